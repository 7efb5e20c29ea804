//! The border between C and Rust: pointers become references here or are refused, results and
//! messages are handed over here, and a panic ends here.
//!
//! What the caller promises is in the header: a pointer is null or points to what the function's text
//! says, and stays valid until the call returns. Null and misaligned pointers and lengths that no
//! object can have are found here; the rest of the promise cannot be checked, and every `SAFETY`
//! comment below rests on it.

use std::any::Any;
use std::ffi::{c_char, CStr, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::ptr;

use perso_core::catalog::Catalog;
use perso_core::error::Error;

use crate::status::Status;

/// What `pc_catalog` of the header points to. It is never changed, so shared references to it may be
/// made on any thread at any time before it is freed.
#[derive(Debug)]
pub struct PcCatalog(pub(crate) Catalog);

const _: () = {
    const fn shared_by_threads<T: Send + Sync>() {}
    shared_by_threads::<PcCatalog>();
};

/// Why a call did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) message: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure {
            status: Status::from(&error),
            message: error.to_string(),
        }
    }
}

impl Failure {
    fn null(argument: &str) -> Self {
        Failure {
            status: Status::NullArgument,
            message: format!("{argument}: expected a pointer, got NULL"),
        }
    }

    fn panic(payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        Failure {
            status: Status::Panic,
            message: format!("a defect in the library: {text}"),
        }
    }
}

/// Runs the body of an exported function. Whatever happens in it comes back as a status; the message
/// goes to `error` unless that is null.
///
/// # Safety
/// `error` is null or valid for writing.
pub(crate) unsafe fn call(
    error: *mut *mut c_char,
    body: impl FnOnce() -> Result<(), Failure>,
) -> Status {
    // What a body shares with later calls is an unchanging catalog and search memory that every
    // search clears before it uses it: a panic leaves nothing behind that could be seen half done.
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(outcome) => outcome.err(),
        Err(payload) => Some(Failure::panic(&*payload)),
    };
    if !error.is_null() {
        let message = failure
            .as_ref()
            .map_or(ptr::null_mut(), |failure| message_out(&failure.message));
        // SAFETY: not null, so valid for writing by this function's contract.
        unsafe { error.write(message) };
    }
    failure.map_or(Status::Ok, |failure| failure.status)
}

/// A message may quote what the caller sent, and so a NUL, which would end it early in C.
fn message_out(message: &str) -> *mut c_char {
    CString::new(message.replace('\0', "\u{fffd}")).map_or(ptr::null_mut(), CString::into_raw)
}

/// A text that the caller frees with `pc_string_free`.
pub(crate) fn text_out(text: String) -> Result<*mut c_char, Failure> {
    match CString::new(text) {
        Ok(text) => Ok(text.into_raw()),
        Err(_) => Err(Failure {
            status: Status::Format,
            message: "the result has a NUL byte, which a C string cannot hold".into(),
        }),
    }
}

/// Takes back what [`text_out`] gave.
///
/// # Safety
/// `text` is null or came from this library and was not freed yet.
pub(crate) unsafe fn text_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: every text this library gives away came from `CString::into_raw`.
        drop(unsafe { CString::from_raw(text) });
    }
}

/// A catalog that the caller frees with `pc_catalog_free`.
pub(crate) fn catalog_out(catalog: Catalog) -> *mut PcCatalog {
    Box::into_raw(Box::new(PcCatalog(catalog)))
}

/// Takes back what [`catalog_out`] gave.
///
/// # Safety
/// `catalog` is null or came from this library, was not freed yet, and no call is using it.
pub(crate) unsafe fn catalog_free(catalog: *mut PcCatalog) {
    if !catalog.is_null() {
        // SAFETY: every handle this library gives away came from `Box::into_raw`.
        drop(unsafe { Box::from_raw(catalog) });
    }
}

/// Refuses null, and a pointer that no object of its type can have.
fn check<T>(argument: &str, pointer: *const T) -> Result<(), Failure> {
    if pointer.is_null() {
        return Err(Failure::null(argument));
    }
    if !pointer.is_aligned() {
        let expected = format!("a pointer aligned to {} bytes", align_of::<T>());
        return Err(Error::invalid(argument, expected, format!("{pointer:p}")).into());
    }
    Ok(())
}

/// The catalog behind a handle.
///
/// # Safety
/// `catalog` is null or a handle that stays alive until the call returns.
pub(crate) unsafe fn catalog_in<'a>(catalog: *const PcCatalog) -> Result<&'a Catalog, Failure> {
    check("catalog", catalog)?;
    // SAFETY: not null, so it came from `catalog_out` and is alive; nobody ever holds it mutably.
    Ok(unsafe { &(*catalog).0 })
}

/// The bytes of a C string.
///
/// # Safety
/// `text` is null or NUL-terminated, and stays unchanged until the call returns.
unsafe fn bytes_in<'a>(argument: &str, text: *const c_char) -> Result<&'a [u8], Failure> {
    check(argument, text)?;
    // SAFETY: not null, so NUL-terminated and unchanged by this function's contract.
    Ok(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// A text in UTF-8.
///
/// # Safety
/// As for [`bytes_in`].
pub(crate) unsafe fn text_in<'a>(argument: &str, text: *const c_char) -> Result<&'a str, Failure> {
    // SAFETY: the same contract.
    let bytes = unsafe { bytes_in(argument, text) }?;
    std::str::from_utf8(bytes)
        .map_err(|error| Error::invalid(argument, "text in UTF-8", error).into())
}

/// A path: any bytes where file names are bytes, UTF-8 elsewhere.
///
/// # Safety
/// As for [`bytes_in`].
pub(crate) unsafe fn path_in(argument: &str, path: *const c_char) -> Result<PathBuf, Failure> {
    #[cfg(unix)]
    {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        // SAFETY: the same contract.
        let bytes = unsafe { bytes_in(argument, path) }?;
        Ok(PathBuf::from(OsStr::from_bytes(bytes)))
    }
    #[cfg(not(unix))]
    {
        // SAFETY: the same contract.
        Ok(PathBuf::from(unsafe { text_in(argument, path) }?))
    }
}

/// A copy of an array, so that nothing of the caller's is borrowed while it is searched with.
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
    // SAFETY: not null, aligned and no longer than an object can be; the values are there by this
    // function's contract.
    Ok(unsafe { std::slice::from_raw_parts(start, len) }.to_vec())
}

fn check_len<T>(argument: &str, len: usize) -> Result<(), Failure> {
    let most = isize::MAX as usize / size_of::<T>();
    if len > most {
        return Err(Error::invalid(argument, format!("at most {most} entries"), len).into());
    }
    Ok(())
}

/// Where a result goes. It holds `empty` from the start, so that after a failure it holds nothing to
/// be freed by mistake.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// `slot` is null or valid for writing for as long as the `Out` lives.
    pub(crate) unsafe fn new(argument: &str, slot: *mut T, empty: T) -> Result<Self, Failure> {
        check(argument, slot)?;
        // SAFETY: not null and aligned, so valid for writing by this function's contract.
        unsafe { slot.write(empty) };
        Ok(Out(slot))
    }

    pub(crate) fn set(self, value: T) {
        // SAFETY: `new` checked the pointer, and its contract lasts as long as `self`. `T` is a number
        // or a pointer: nothing is lost with the value that was there.
        unsafe { self.0.write(value) }
    }
}

/// An array of the caller's that results go to. It may be uninitialised, so it is only written.
pub(crate) struct OutArray<T> {
    start: *mut T,
    capacity: usize,
}

impl<T: Copy> OutArray<T> {
    /// # Safety
    /// `start` is null or valid for writing `capacity` values for as long as the `OutArray` lives.
    pub(crate) unsafe fn new(
        argument: &str,
        start: *mut T,
        capacity: usize,
    ) -> Result<Self, Failure> {
        check(argument, start)?;
        Ok(OutArray { start, capacity })
    }

    /// Writes the values to the head of the array.
    pub(crate) fn set(self, values: &[T]) {
        assert!(
            values.len() <= self.capacity,
            "{} results for {} places",
            values.len(),
            self.capacity
        );
        // SAFETY: the array has room, as was just checked, and is valid for writing by the contract of
        // `new`. `values` is the library's own memory, so the two do not overlap.
        unsafe { ptr::copy_nonoverlapping(values.as_ptr(), self.start, values.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(body: impl FnOnce() -> Result<(), Failure>) -> (Status, Option<String>) {
        let mut error = ptr::null_mut();
        // SAFETY: `error` is a local variable, and what it then holds came from `call`.
        unsafe {
            let status = call(&mut error, body);
            let message =
                (!error.is_null()).then(|| CStr::from_ptr(error).to_str().unwrap().to_owned());
            text_free(error);
            (status, message)
        }
    }

    #[test]
    fn a_panic_becomes_a_status() {
        let (status, message) = message_of(|| panic!("slot {} of 3", 7));
        assert_eq!(status, Status::Panic);
        assert_eq!(message.unwrap(), "a defect in the library: slot 7 of 3");
        let (status, message) = message_of(|| std::panic::panic_any(5u8));
        assert_eq!(status, Status::Panic);
        assert_eq!(message.unwrap(), "a defect in the library: no message");
        // SAFETY: null is allowed.
        let status = unsafe { call(ptr::null_mut(), || panic!("nobody listens")) };
        assert_eq!(status, Status::Panic);
    }

    #[test]
    fn a_success_has_no_message() {
        assert_eq!(message_of(|| Ok(())), (Status::Ok, None));
    }

    #[test]
    fn a_message_is_whole_even_with_a_nul_in_it() {
        let (status, message) =
            message_of(|| Err(Error::missing("space", "a\0b of the caller").into()));
        assert_eq!(status, Status::Missing);
        assert_eq!(message.unwrap(), "no such space: a\u{fffd}b of the caller");
        assert_eq!(text_out("a\0b".into()).unwrap_err().status, Status::Format);
    }

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
    #[should_panic(expected = "3 results for 2 places")]
    fn an_array_is_never_written_past_its_end() {
        let mut places = [0i64; 2];
        // SAFETY: there are two places.
        let out = unsafe { OutArray::new("ids_out", places.as_mut_ptr(), 2) };
        out.unwrap_or_else(|failure| panic!("{failure:?}"))
            .set(&[1, 2, 3]);
    }
}
