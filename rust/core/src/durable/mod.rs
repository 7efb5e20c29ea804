//! A catalog that loses nothing: a write-ahead log beside its file.
//!
//! ```text
//! items.perso             the catalog at some generation, as `save` writes it: the checkpoint
//! items.perso.log.7       the changes since, in segments; the newest is appended to
//! items.perso.lock        held by the one process that writes; has its number
//! items.perso.checkpoint  the next file, while it is written
//! ```
//!
//! A change is tried on a copy of the catalog, appended to the log, synced, and only then shown to readers
//! and acknowledged. Opening takes the file and applies the log to it. A checkpoint begins a new segment,
//! writes the catalog to the side, syncs and renames it, and removes the segments before: whatever
//! moment the machine stops at, the file and the segments that are there together have every acknowledged
//! change. Threads that write at the same time share one sync.
//!
//! `docs/durability.md` says what is promised and which test holds it, `docs/decisions/0026` why it is
//! done so. The protocol is the usual one (Mohan et al., "ARIES", TODS 1992, without undo: a change
//! that is not whole was never shown).

mod change;
mod follow;
mod frame;
mod log;
mod recover;
mod segment;
mod storage;
#[cfg(test)]
mod tests;
mod writer;

pub use change::Change;
pub use follow::{open_read, Follower};
pub use storage::{Disk, LogFile, Storage};
pub use writer::{Durable, Stats};

use std::path::Path;

use crate::error::{Error, Result};

/// When an appended change is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Before it is acknowledged: it survives a power cut.
    Always,
    /// When the system likes to: it survives the end of the process, and a power cut may take the last
    /// changes, always a whole number of them from the end.
    Never,
}

impl Sync {
    /// By the name that users give it.
    pub fn parse(argument: &str, name: &str) -> Result<Self> {
        match name {
            "always" => Ok(Sync::Always),
            "never" => Ok(Sync::Never),
            other => Err(Error::invalid(
                argument,
                "\"always\" or \"never\"",
                format!("{other:?}"),
            )),
        }
    }

    /// That name.
    pub fn as_str(self) -> &'static str {
        match self {
            Sync::Always => "always",
            Sync::Never => "never",
        }
    }
}

/// How a catalog is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// When changes are synced.
    pub sync: Sync,
    /// Bytes of log after which a checkpoint is due; `None` for the larger of 64 MiB and half the file.
    pub log_limit: Option<u64>,
    /// Leave the file's vectors in it and map it.
    pub mmap: bool,
    /// For replaying the log.
    pub num_threads: i64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            sync: Sync::Always,
            log_limit: None,
            mmap: false,
            num_threads: -1,
        }
    }
}

/// Refuses to write a plain file over one that has a log: the log would not fit it.
pub fn check_target(path: &Path) -> Result<()> {
    let found = match segment::numbers(&Disk, path) {
        Ok(found) => found,
        // The folder is not there: writing says so better.
        Err(_) => return Ok(()),
    };
    match found.last() {
        None => Ok(()),
        Some(number) => Err(Error::invalid(
            "path",
            "a file without a log (a durable catalog is brought up to date by its checkpoint())",
            format!("one beside {}", segment::path_of(path, *number).display()),
        )),
    }
}
