//! The border between C and Rust: pointers become references here or are refused, results and
//! messages are handed over here, and a panic ends here.
//!
//! What the caller promises is in the header: a pointer is null or points to what the function's text
//! says, and stays valid until the call returns. Null and misaligned pointers and lengths that no
//! object can have are found here; the rest of the promise cannot be checked, and every `SAFETY`
//! comment below rests on it.

mod arrays;
mod handle;

use std::any::Any;
use std::ffi::{c_char, CStr, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::ptr;

use perso_core::error::Error;

use crate::status::Status;

pub(crate) use arrays::{array_in, bytes_in_place, optional_array_in, room_for, OutArray};
pub use handle::Handle;

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

    /// Memory that could not be had.
    pub(crate) fn no_memory(what: &str, bytes: usize) -> Self {
        Failure {
            status: Status::NoMemory,
            message: format!("{what}: {bytes} bytes of memory could not be had"),
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
    // What a body shares with later calls is what never changes (catalogs, capsules, slates), search
    // memory that every search clears before it uses it, and profiles, whose lock remembers a panic: nothing
    // is left behind that could be seen half done.
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
pub(crate) fn text_out(mut text: String) -> Result<*mut c_char, Failure> {
    let len = text.len();
    text.try_reserve_exact(1)
        .map_err(|_| Failure::no_memory("the result", len + 1))?;
    match CString::new(text) {
        Ok(text) => Ok(text.into_raw()),
        Err(_) => Err(has_nul()),
    }
}

/// Why a text cannot be given to C.
pub(crate) fn has_nul() -> Failure {
    Failure {
        status: Status::Format,
        message: "the result has a NUL byte, which a C string cannot hold".into(),
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

/// The same, or `None` for null.
///
/// # Safety
/// As for [`bytes_in`].
#[cfg(feature = "replay")]
pub(crate) unsafe fn optional_text_in<'a>(
    argument: &str,
    text: *const c_char,
) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the same contract.
    unsafe { text_in(argument, text) }.map(Some)
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
}
