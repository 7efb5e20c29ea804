//! Arrays and memory across the border: in as a copy or in place, out into room of the caller's, and the question
//! whether there is memory at all.

use std::hint;
use std::ptr;

use perso_core::error::Error;

use super::{check, Failure};

/// A copy of an array, so that nothing of the caller's is borrowed while it is worked with.
///
/// # Safety
/// `start` is null or points to `len` values that stay unchanged until the call returns.
pub(crate) unsafe fn array_in<T: Copy>(
    argument: &str,
    start: *const T,
    len: usize,
) -> Result<Vec<T>, Failure> {
    check(argument, start)?;
    check_len::<T>(argument, len)?;
    let mut copy = Vec::new();
    copy.try_reserve_exact(len)
        .map_err(|_| Failure::no_memory(argument, len * size_of::<T>()))?;
    // SAFETY: not null, aligned and no longer than an object can be; the values are there by this
    // function's contract.
    copy.extend_from_slice(unsafe { std::slice::from_raw_parts(start, len) });
    Ok(copy)
}

/// The same, or `None` for null.
///
/// # Safety
/// As for [`array_in`].
pub(crate) unsafe fn optional_array_in<T: Copy>(
    argument: &str,
    start: *const T,
    len: usize,
) -> Result<Option<Vec<T>>, Failure> {
    if start.is_null() {
        return Ok(None);
    }
    // SAFETY: the same contract.
    unsafe { array_in(argument, start, len) }.map(Some)
}

/// Bytes of the caller's, where they are.
///
/// # Safety
/// `start` is null or points to `len` bytes that stay there unchanged for as long as `'a` lasts: until the call
/// returns, or until what was opened over them is freed.
pub(crate) unsafe fn bytes_in_place<'a>(
    argument: &str,
    start: *const u8,
    len: usize,
) -> Result<&'a [u8], Failure> {
    check(argument, start)?;
    check_len::<u8>(argument, len)?;
    // SAFETY: not null and no longer than an object can be; the bytes are there by this function's contract.
    Ok(unsafe { std::slice::from_raw_parts(start, len) })
}

/// Refuses what needs more memory at once than there is. The memory is given back before it is used, in pieces, so this
/// finds a shortage that lasts and not one that begins a moment later.
pub(crate) fn room_for(what: &str, bytes: usize) -> Result<(), Failure> {
    let mut memory: Vec<u8> = Vec::new();
    let had = memory.try_reserve_exact(bytes);
    // Memory that nobody looks at need not be asked for, as a compiler sees it.
    hint::black_box(memory.as_mut_ptr());
    had.map_err(|_| Failure::no_memory(what, bytes))
}

fn check_len<T>(argument: &str, len: usize) -> Result<(), Failure> {
    let most = isize::MAX as usize / size_of::<T>();
    if len > most {
        return Err(Error::invalid(argument, format!("at most {most} entries"), len).into());
    }
    Ok(())
}

/// An array of the caller's that results go to. It may be uninitialised, so it is only written.
pub(crate) struct OutArray<T> {
    argument: &'static str,
    start: *mut T,
    capacity: usize,
}

impl<T: Copy> OutArray<T> {
    /// Null is fine for no room at all: it is what `malloc(0)` may give.
    ///
    /// # Safety
    /// `start` is null or valid for writing `capacity` values for as long as the `OutArray` lives.
    pub(crate) unsafe fn new(
        argument: &'static str,
        start: *mut T,
        capacity: usize,
    ) -> Result<Self, Failure> {
        if capacity > 0 {
            check(argument, start)?;
        }
        Ok(OutArray {
            argument,
            start,
            capacity,
        })
    }

    /// Writes the values to the head of the array; refuses, and writes nothing, where there is no room for all.
    pub(crate) fn fill(self, values: &[T]) -> Result<(), Failure> {
        if values.len() > self.capacity {
            let expected = format!("room for {} values", values.len());
            return Err(Error::invalid(self.argument, expected, self.capacity).into());
        }
        if values.is_empty() {
            return Ok(());
        }
        // SAFETY: the array has room for at least one value, as was just checked, so it is not null and valid for
        // writing by the contract of `new`. `values` is the library's own memory, so the two do not overlap.
        unsafe { ptr::copy_nonoverlapping(values.as_ptr(), self.start, values.len()) }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    #[test]
    fn lengths_and_addresses_that_cannot_be_are_refused() {
        let values = [1.0f32, 2.0];
        // SAFETY: refused before anything is read.
        let (long, odd) = unsafe {
            (
                array_in("query", values.as_ptr(), usize::MAX / 2).unwrap_err(),
                array_in("query", values.as_ptr().byte_add(1), 1).unwrap_err(),
            )
        };
        assert_eq!(long.status, Status::InvalidValue);
        assert!(
            long.message.contains("query: expected at most"),
            "{}",
            long.message
        );
        assert_eq!(odd.status, Status::InvalidValue);
        assert!(
            odd.message.contains("aligned to 4 bytes"),
            "{}",
            odd.message
        );
    }

    #[test]
    fn memory_that_cannot_be_had_is_a_status() {
        let values = [1u8; 2];
        let most = isize::MAX as usize;
        // SAFETY: there is no memory for a copy, so nothing is read.
        let copy = unsafe { array_in("bytes", values.as_ptr(), most) }.unwrap_err();
        assert_eq!(copy.status, Status::NoMemory);
        let room = room_for("the catalog", most).unwrap_err();
        assert_eq!(room.status, Status::NoMemory);
        let message = format!("the catalog: {most} bytes of memory could not be had");
        assert_eq!(room.message, message);
        room_for("the catalog", 1 << 10).unwrap();
    }

    #[test]
    fn an_array_is_never_written_past_its_end() {
        let mut places = [0i64; 2];
        // SAFETY: there are two places.
        let out = unsafe { OutArray::new("ids_out", places.as_mut_ptr(), 2) };
        let out = out.unwrap_or_else(|failure| panic!("{failure:?}"));
        let refused = out.fill(&[1, 2, 3]).unwrap_err();
        assert_eq!(refused.status, Status::InvalidValue);
        assert_eq!(
            refused.message,
            "ids_out: expected room for 3 values, got 2"
        );
        assert_eq!(places, [0, 0]);
    }
}
