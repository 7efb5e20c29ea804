//! The exported functions, a file for each noun, in the order of the header, which describes them to their callers.
//!
//! Each one first empties its results, then turns pointers into references, then calls the core.
//! All pointers of a call are null or what the header says they are; a `# Safety` section that says
//! "as the header says" means that.

mod capsule;
#[cfg(feature = "catalog")]
mod catalog;
mod profile;
#[cfg(feature = "catalog")]
mod rank;
mod route;
mod slate;
mod source;

use std::ffi::c_char;

use perso_core::error::Error;

use crate::border::{self, Failure};
use crate::status::Status;

pub use capsule::*;
#[cfg(feature = "catalog")]
pub use catalog::*;
pub use profile::*;
#[cfg(feature = "catalog")]
pub use rank::*;
pub use route::*;
pub use slate::*;

/// Version of the ABI; `PC_ABI_VERSION` of the header.
pub const ABI_VERSION: u32 = 1;

/// Flag of `pc_catalog_open_memory` and [`pc_capsule_open_memory`]: the bytes are read in place; `PC_OPEN_IN_PLACE` of the
/// header.
pub const OPEN_IN_PLACE: u32 = 2;

/// The version of the ABI that this library has.
#[unsafe(no_mangle)]
pub extern "C" fn pc_abi_version() -> u32 {
    ABI_VERSION
}

/// The name of a status.
#[unsafe(no_mangle)]
pub extern "C" fn pc_status_name(status: i32) -> *const c_char {
    Status::from_code(status)
        .map_or(c"unknown", Status::name)
        .as_ptr()
}

/// Frees a text.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_string_free(text: *mut c_char) {
    // SAFETY: the caller's promise is that of `text_free`.
    unsafe { border::text_free(text) }
}

/// Refuses flags that are none of `known`, a text that lists them.
fn check_flags(flags: u32, all: u32, known: &str) -> Result<(), Failure> {
    if flags & !all == 0 {
        return Ok(());
    }
    Err(Error::invalid("flags", format!("0 or {known}"), format!("{flags:#x}")).into())
}
