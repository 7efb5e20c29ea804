//! C ABI of `perso_core`: what a program without Python links against. `include/perso_core.h` is the
//! reference for its users; nothing here ranks or searches, it converts and calls the core.
//!
//! - `entry/`: the exported functions, a file for each noun;
//! - `border/`: handles, pointers in, values and messages out, and the wall that no panic crosses;
//! - `open`: catalog files, with the log beside them or without;
//! - `status`: the numbers that functions return;
//! - `request/`: the JSON document of a request.
//!
//! What is behind a handle never changes, or has a lock (profiles), so any number of threads may use it at once.

// Two folders touch the caller's memory; everything else is safe.
#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod border;
#[allow(unsafe_code)]
mod entry;
#[cfg(feature = "catalog")]
mod open;
mod request;
mod status;

pub use border::Handle;
pub use entry::*;
pub use status::Status;
