//! Handles: what the library keeps for a caller, who holds an address of it and cannot look inside.
//!
//! A handle is a box. Only shared references to what is in it are ever made, on any thread, so what changes behind one
//! brings its own lock.

use std::panic::{catch_unwind, AssertUnwindSafe};

use super::{check, Failure};

/// What an opaque type of the header points to.
#[derive(Debug)]
pub struct Handle<T>(T);

impl<T: Send + Sync> Handle<T> {
    /// Gives a value away; the caller frees it with [`Handle::free`].
    pub(crate) fn give(value: T) -> *mut Self {
        Box::into_raw(Box::new(Handle(value)))
    }

    /// The value behind a handle.
    ///
    /// # Safety
    /// `handle` is null or a handle of this type that stays alive until the call returns.
    pub(crate) unsafe fn look<'a>(argument: &str, handle: *const Self) -> Result<&'a T, Failure> {
        check(argument, handle)?;
        // SAFETY: not null, so it came from `give` and is alive; nobody ever holds it mutably.
        Ok(unsafe { &(*handle).0 })
    }

    /// The value behind a handle, or `None` for null.
    ///
    /// # Safety
    /// As for [`Handle::look`].
    pub(crate) unsafe fn look_if_any<'a>(
        argument: &str,
        handle: *const Self,
    ) -> Result<Option<&'a T>, Failure> {
        if handle.is_null() {
            return Ok(None);
        }
        // SAFETY: the same contract.
        unsafe { Self::look(argument, handle) }.map(Some)
    }

    /// Takes back what [`Handle::give`] gave.
    ///
    /// # Safety
    /// `handle` is null, or came from `give`, was not freed yet, and no call is using it.
    pub(crate) unsafe fn free(handle: *mut Self) {
        if handle.is_null() {
            return;
        }
        // SAFETY: not null, so it came from `Box::into_raw` and is nobody else's by this function's contract.
        let value = unsafe { Box::from_raw(handle) };
        // Nobody can be told about a panic, and there is nothing left to be done about it.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
    }
}
