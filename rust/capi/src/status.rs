//! What a call returns: numbers that keep their meaning for ever.

use std::ffi::CStr;
use std::io::ErrorKind;

use perso_core::error::{Error, Refusal};

/// Outcome of a call, as `enum pc_status_code` of the header has it. A number whose meaning is gone is
/// not given to another: new ones go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// The call did what it was asked.
    Ok = 0,
    /// A pointer that must not be null is null.
    NullArgument = 1,
    /// The right type with the wrong content.
    InvalidValue = 2,
    /// The wrong type.
    WrongType = 3,
    /// An id, space or attribute that is not there.
    Missing = 4,
    /// A file that is damaged, foreign or of a later version.
    Format = 5,
    /// A record that cannot be replayed.
    Replay = 6,
    /// The operating system refused.
    Io = 7,
    /// A defect in the library, stopped at the border.
    Panic = 8,
    /// The catalog's ids are text, and the call has room for integers only.
    TextIds = 9,
    /// The work was told to stop.
    Interrupted = 10,
    /// Memory that could not be had.
    NoMemory = 11,
    /// A capsule that has expired.
    Expired = 12,
    /// A capsule that was made in the future.
    Future = 13,
    /// A capsule that was signed with a key that is not among those given.
    WrongKey = 14,
    /// A capsule whose signature does not hold.
    Tampered = 15,
}

impl Status {
    /// Every status, in order of its number.
    pub const ALL: [Status; 16] = [
        Status::Ok,
        Status::NullArgument,
        Status::InvalidValue,
        Status::WrongType,
        Status::Missing,
        Status::Format,
        Status::Replay,
        Status::Io,
        Status::Panic,
        Status::TextIds,
        Status::Interrupted,
        Status::NoMemory,
        Status::Expired,
        Status::Future,
        Status::WrongKey,
        Status::Tampered,
    ];

    /// The status with this number.
    pub fn from_code(code: i32) -> Option<Status> {
        Status::ALL
            .into_iter()
            .find(|status| *status as i32 == code)
    }

    /// Its name, for logs.
    pub fn name(self) -> &'static CStr {
        match self {
            Status::Ok => c"ok",
            Status::NullArgument => c"null_argument",
            Status::InvalidValue => c"invalid_value",
            Status::WrongType => c"wrong_type",
            Status::Missing => c"missing",
            Status::Format => c"format",
            Status::Replay => c"replay",
            Status::Io => c"io",
            Status::Panic => c"panic",
            Status::TextIds => c"text_ids",
            Status::Interrupted => c"interrupted",
            Status::NoMemory => c"no_memory",
            Status::Expired => c"expired",
            Status::Future => c"future",
            Status::WrongKey => c"wrong_key",
            Status::Tampered => c"tampered",
        }
    }
}

impl From<&Error> for Status {
    fn from(error: &Error) -> Self {
        match error {
            Error::Invalid { .. } => Status::InvalidValue,
            Error::Type { .. } => Status::WrongType,
            Error::Missing { .. } => Status::Missing,
            Error::Format(_) => Status::Format,
            Error::Capsule { reason, .. } => match reason {
                Refusal::Expired => Status::Expired,
                Refusal::Future => Status::Future,
                Refusal::Key => Status::WrongKey,
                Refusal::Tampered => Status::Tampered,
                _ => Status::Format,
            },
            Error::Replay(_) => Status::Replay,
            Error::Io(error) if error.kind() == ErrorKind::OutOfMemory => Status::NoMemory,
            Error::Io(_) => Status::Io,
            Error::Interrupted => Status::Interrupted,
            // No C call hands over code of the caller's that may fail.
            Error::Outside(_) => Status::InvalidValue,
        }
    }
}
