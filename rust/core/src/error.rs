//! The one error type of the core. Each variant becomes one Python exception or one C status code;
//! the mapping lives with the bindings, the wording lives here.

use std::fmt;

/// What went wrong, with what was expected and what came.
#[derive(Debug)]
pub enum Error {
    /// A value that has the right type and the wrong content (`ValueError`).
    Invalid {
        /// The argument as the caller wrote it.
        argument: String,
        /// What would have been accepted.
        expected: String,
        /// What came instead.
        got: String,
    },
    /// A value of the wrong type (`TypeError`).
    Type {
        /// The argument as the caller wrote it.
        argument: String,
        /// What would have been accepted.
        expected: String,
        /// What came instead.
        got: String,
    },
    /// An id, space or attribute that is not there (`KeyError`).
    Missing {
        /// The kind of thing looked for: "id", "space", "attribute".
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A file or document that is damaged, foreign or of a later version (`FormatError`).
    Format(String),
    /// A decision record that cannot be replayed (`ReplayError`), with the reason.
    Replay(String),
    /// A capsule that is refused (`CapsuleError`).
    Capsule {
        /// Why.
        reason: Refusal,
        /// The same with what was expected and what came.
        message: String,
    },
    /// The operating system refused (`OSError`).
    Io(std::io::Error),
    /// What code of the caller's own raised, as it is.
    Outside(Box<dyn std::error::Error + Send + Sync>),
    /// The caller's progress hook asked to stop; nothing was changed.
    Interrupted,
}

/// Why a capsule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is something else.
    Foreign,
    /// It is of a version that this library does not read.
    Version,
    /// It is cut short.
    Truncated,
    /// Bytes come after its end.
    Trailing,
    /// It was signed with a key that is not among those given.
    Key,
    /// Its signature does not hold: it was changed after it was signed, or never signed with that key.
    Tampered,
    /// It was signed as it is, and what is in it does not fit together.
    Damaged,
    /// It has expired.
    Expired,
    /// It was made in the future.
    Future,
}

impl Refusal {
    /// As users see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Foreign => "foreign",
            Refusal::Version => "version",
            Refusal::Truncated => "truncated",
            Refusal::Trailing => "trailing",
            Refusal::Key => "key",
            Refusal::Tampered => "tampered",
            Refusal::Damaged => "damaged",
            Refusal::Expired => "expired",
            Refusal::Future => "future",
        }
    }
}

/// `Result` with the core's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A wrong value, in the house form "argument: expected …, got …".
    pub fn invalid(
        argument: impl Into<String>,
        expected: impl Into<String>,
        got: impl fmt::Display,
    ) -> Self {
        Error::Invalid {
            argument: argument.into(),
            expected: expected.into(),
            got: got.to_string(),
        }
    }

    /// A wrong type, in the same form.
    pub fn wrong_type(
        argument: impl Into<String>,
        expected: impl Into<String>,
        got: impl fmt::Display,
    ) -> Self {
        Error::Type {
            argument: argument.into(),
            expected: expected.into(),
            got: got.to_string(),
        }
    }

    /// A missing id, space or attribute.
    pub fn missing(what: &'static str, name: impl fmt::Display) -> Self {
        Error::Missing {
            what,
            name: name.to_string(),
        }
    }

    /// A capsule that is refused.
    pub fn capsule(reason: Refusal, message: impl Into<String>) -> Self {
        Error::Capsule {
            reason,
            message: message.into(),
        }
    }

    /// A damaged or foreign file.
    pub fn format(message: impl Into<String>) -> Self {
        Error::Format(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Invalid {
                argument,
                expected,
                got,
            }
            | Error::Type {
                argument,
                expected,
                got,
            } => write!(f, "{argument}: expected {expected}, got {got}"),
            Error::Missing { what, name } => write!(f, "no such {what}: {name}"),
            Error::Format(message) | Error::Capsule { message, .. } => f.write_str(message),
            Error::Replay(reason) => write!(f, "the record cannot be replayed: {reason}"),
            Error::Io(error) => error.fmt(f),
            Error::Outside(error) => error.fmt(f),
            Error::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            Error::Outside(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::Io(error)
    }
}
