//! The one mapping from the core's errors to Python exceptions.

use std::path::Path;

use perso_core::error::Error;
use pyo3::create_exception;
use pyo3::exceptions::{PyKeyError, PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;

create_exception!(
    perso_core,
    FormatError,
    PyValueError,
    "A file or document is damaged, foreign, or of a later version."
);
create_exception!(
    perso_core,
    CapsuleError,
    FormatError,
    "A capsule is refused; `reason` says why in a word, the message in a sentence."
);
create_exception!(
    perso_core,
    ReplayError,
    PyValueError,
    "A decision record cannot be replayed; the message says why."
);

/// An error on its way to Python.
#[derive(Debug)]
pub enum Failure {
    Core(Error),
    Python(PyErr),
}

impl Failure {
    /// Gives an operating system error the file name that Python's own errors carry. `OSError` with an
    /// errno turns itself into FileNotFoundError, PermissionError, …
    pub fn about(self, path: &Path) -> Failure {
        match self {
            Failure::Core(Error::Io(error)) => match error.raw_os_error() {
                Some(errno) => {
                    let text = error.to_string();
                    let text = text
                        .split(" (os error")
                        .next()
                        .unwrap_or_default()
                        .to_owned();
                    Failure::Python(PyOSError::new_err((
                        errno,
                        text,
                        path.as_os_str().to_owned(),
                    )))
                }
                None => Failure::Core(Error::Io(error)),
            },
            other => other,
        }
    }
}

/// Result of a binding function.
pub type Outcome<T> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Core(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Failure::Python(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        match failure {
            Failure::Python(error) => error,
            Failure::Core(Error::Outside(error)) => match error.downcast::<PyErr>() {
                Ok(raised) => *raised,
                Err(other) => PyRuntimeError::new_err(other.to_string()),
            },
            Failure::Core(error) => {
                let message = error.to_string();
                match error {
                    Error::Invalid { .. } => PyValueError::new_err(message),
                    Error::Type { .. } => PyTypeError::new_err(message),
                    Error::Missing { .. } => PyKeyError::new_err(message),
                    Error::Format(_) => FormatError::new_err(message),
                    Error::Capsule { reason, .. } => refused(reason.as_str(), message),
                    Error::Replay(_) => ReplayError::new_err(message),
                    Error::Io(error) => error.into(),
                    Error::Interrupted | Error::Outside(_) => PyRuntimeError::new_err(message),
                }
            }
        }
    }
}

/// A refusal with its reason as an attribute.
fn refused(reason: &str, message: String) -> PyErr {
    let error = CapsuleError::new_err(message);
    Python::attach(|py| match error.value(py).setattr("reason", reason) {
        Ok(()) => error,
        Err(other) => other,
    })
}

/// A lock that a panicking writer left behind: what it guards may be half changed.
pub fn poisoned<T>(lock: T) -> Failure {
    lost(lock).into()
}

/// The same as a core error, for closures that the core calls.
pub fn lost<T>(_: T) -> Error {
    Error::Io(std::io::Error::other(
        "an earlier change of this object failed half way; open it again from its file",
    ))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("FormatError", py.get_type::<FormatError>())?;
    module.add("CapsuleError", py.get_type::<CapsuleError>())?;
    module.add("ReplayError", py.get_type::<ReplayError>())
}
