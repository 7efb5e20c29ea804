//! What the log asks of a file system, and the real one.
//!
//! Everything that has to survive goes through [`Storage`], so that the tests can put a file system under
//! it that stops at any operation and forgets what was not synced (`tests/faults.rs`). What each
//! operation promises after a power cut is what POSIX and its file systems do:
//!
//! - bytes of a file are safe once `sync` returned, and any part of them may be lost before;
//! - a file's name (created, renamed, removed) is safe once `sync_dir` returned, and may be the old one
//!   or the new one before;
//! - a failed `sync` says nothing of what is on disk: what was written since the last good one is taken
//!   back, never synced again and believed (the kernel may have dropped it; Rebello et al., "Can
//!   Applications Recover from fsync Failures?", USENIX ATC 2020).

use std::any::Any;
use std::ffi::OsString;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The operations on files.
pub trait Storage: fmt::Debug + Send + Sync {
    /// A file for writing, empty, whether it was there or not.
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>>;
    /// A file that is there, for appending.
    fn append(&self, path: &Path) -> io::Result<Box<dyn LogFile>>;
    /// A file's bytes from an offset on, and the length of all of it.
    fn read(&self, path: &Path, from: u64) -> io::Result<(Box<dyn Read + Send>, u64)>;
    /// Gives a file another name, in place of what had that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a file away.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder safe.
    fn sync_dir(&self, folder: &Path) -> io::Result<()>;
    /// The names in a folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;
    /// Holds a file so that nobody else can, until the answer is dropped. [`io::ErrorKind::WouldBlock`]
    /// where somebody does.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send>>;
}

/// A file that is written from its end on.
pub trait LogFile: Write + fmt::Debug + Send {
    /// Makes what was written safe.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to a length.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// The file system of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl LogFile for File {
    fn sync(&mut self) -> io::Result<()> {
        // The length goes with the data; times may be lost.
        self.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

impl Storage for Disk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        // Appending, so that a cut moves the place that is written to.
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        file.set_len(0)?;
        Ok(Box::new(file))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn read(&self, path: &Path, from: u64) -> io::Result<(Box<dyn Read + Send>, u64)> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(from))?;
        Ok((Box::new(file), len))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    #[cfg(unix)]
    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    #[cfg(not(unix))]
    fn sync_dir(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        std::fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name()))
            .collect()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send>> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Best effort: the holder may be writing its number just now.
                let _ = file.take(32).read_to_string(&mut holder);
                let holder = holder.trim().parse::<u32>();
                let holder =
                    holder.map_or("another process".into(), |pid| format!("process {pid}"));
                return Err(io::Error::new(
                    io::ErrorKind::WouldBlock,
                    format!(
                        "{} is held by {holder}, which writes to this catalog",
                        path.display()
                    ),
                ));
            }
        }
        // For the message above; a full disk is no reason not to open.
        let number = std::process::id().to_string();
        let _ = file
            .set_len(0)
            .and_then(|()| file.write_all(number.as_bytes()));
        // The lock ends when the last descriptor of this opening is closed, so a child that was forked
        // and closes its own leaves it to the parent.
        Ok(Box::new(file))
    }
}
