//! Opening a catalog file, with the log beside it or without one.

use std::path::Path;

use perso_core::catalog::Catalog;
use perso_core::durable;
use perso_core::error::Result;

/// Opens a file with the log beside it, if it has one, on the thread that calls.
#[cfg(feature = "durable")]
pub(crate) fn open(path: &Path, mmap: bool) -> Result<Catalog> {
    durable::open_read(path, mmap, 1, &|_, _| true).map(|(catalog, _)| catalog)
}

/// Opens a file that has no log: with one, it would not be the newest there is.
///
/// Applying a log is changing a catalog, and so brings all that builds graphs: about half of the library.
#[cfg(not(feature = "durable"))]
pub(crate) fn open(path: &Path, mmap: bool) -> Result<Catalog> {
    durable::check_target(path)?;
    Catalog::open(path, mmap)
}
