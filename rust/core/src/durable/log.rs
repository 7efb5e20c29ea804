//! The log's writing end.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::frame::{Head, HEAD, MARK};
use super::recover::End;
use super::segment::{self, HEADER};
use super::storage::{LogFile, Storage};
use super::Sync;
use crate::error::{Error, Result};

/// The newest segment, open for appending, and what is known of those before it.
#[derive(Debug)]
pub(super) struct Log {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    sync: Sync,
    file: Box<dyn LogFile>,
    /// Of the newest segment.
    pub number: u64,
    /// Behind its last frame.
    end: u64,
    /// Bytes of it that are on disk.
    pub synced: u64,
    /// The segments before it, and their bytes.
    older: Vec<(u64, u64)>,
    /// Whether it ends with a mark.
    marked: bool,
    /// Why nothing can be appended any more.
    broken: Option<String>,
}

impl Log {
    /// Begins a log, or goes on with a segment that is there: cut to what is whole, and on disk.
    pub fn open(
        storage: &Arc<dyn Storage>,
        path: PathBuf,
        sync: Sync,
        older: Vec<(u64, u64)>,
        last: Option<End>,
        next: u64,
        generation: u64,
    ) -> Result<Self> {
        let (number, end, file) = match last {
            None => (
                next,
                HEADER as u64,
                begin(&**storage, &path, next, generation)?,
            ),
            Some(last) => {
                let mut file = storage.append(&segment::path_of(&path, last.number))?;
                if last.torn > 0 {
                    file.truncate(last.at)?;
                }
                file.sync()?;
                (last.number, last.at, file)
            }
        };
        Ok(Log {
            storage: Arc::clone(storage),
            path,
            sync,
            file,
            number,
            end,
            synced: end,
            older,
            marked: last.is_some_and(|end| end.last.is_some_and(|(_, head)| head.kind == MARK)),
            broken: None,
        })
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.end + self.older.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }

    /// Segments.
    pub fn segments(&self) -> usize {
        1 + self.older.len()
    }

    /// Whether there is anything that a checkpoint would take in.
    pub fn has_frames(&self) -> bool {
        self.end > HEADER as u64 || !self.older.is_empty()
    }

    /// Refuses where the log cannot be trusted any more.
    pub fn usable(&self) -> Result<()> {
        match &self.broken {
            None => Ok(()),
            Some(why) => Err(Error::Io(io::Error::other(format!(
                "the log of {} takes no more changes, because {why}; close the catalog and open it again",
                self.path.display()
            )))),
        }
    }

    /// Appends whole frames. After an error the log is what it was, or takes no more.
    pub fn append(&mut self, frames: &[u8]) -> Result<()> {
        self.usable()?;
        let written = match self.file.write_all(frames) {
            Ok(()) if self.sync == Sync::Always => self.file.sync(),
            other => other,
        };
        match written {
            Ok(()) => {
                self.end += frames.len() as u64;
                self.marked = false;
                if self.sync == Sync::Always {
                    self.synced = self.end;
                }
                Ok(())
            }
            Err(error) => Err(self.take_back(error)),
        }
    }

    /// Cuts the file back to the last good frame.
    fn take_back(&mut self, error: io::Error) -> Error {
        let cut = self.file.truncate(self.end).and_then(|()| self.file.sync());
        match cut {
            // What a failed sync may have dropped has been cut off; all before it was on disk, or is now.
            Ok(()) => self.synced = self.end,
            Err(cut) => {
                self.broken = Some(format!(
                    "appending failed ({error}) and so did taking the rest back ({cut})"
                ));
            }
        }
        Error::Io(error)
    }

    /// Makes everything that was appended safe.
    fn flush(&mut self) -> Result<()> {
        self.usable()?;
        if self.synced < self.end {
            if let Err(error) = self.file.sync() {
                self.broken = Some(format!(
                    "what was appended did not reach the disk ({error})"
                ));
                return Err(error.into());
            }
            self.synced = self.end;
        }
        Ok(())
    }

    /// Begins the next segment, where this one has anything.
    pub fn rotate(&mut self, generation: u64) -> Result<()> {
        self.flush()?;
        if self.end == HEADER as u64 {
            return Ok(());
        }
        let next = self.number + 1;
        match begin(&*self.storage, &self.path, next, generation) {
            Ok(file) => {
                self.older.push((self.number, self.end));
                self.file = file;
                self.number = next;
                self.end = HEADER as u64;
                self.synced = self.end;
                Ok(())
            }
            Err(error) => {
                // If it came back after a power cut, it would contradict what is appended here from now on.
                let removed = match self.storage.remove(&segment::path_of(&self.path, next)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => self.storage.sync_dir(segment::folder_of(&self.path)),
                };
                if let Err(removing) = removed {
                    self.broken = Some(format!(
                        "the next segment was begun ({error}) and could not be removed ({removing})"
                    ));
                }
                Err(error.into())
            }
        }
    }

    /// Removes the segments before one: a checkpoint has what they have. One that stays is tried again.
    pub fn remove_before(&mut self, number: u64) {
        let (storage, path) = (&self.storage, &self.path);
        self.older.retain(|(old, _)| {
            *old >= number
                || storage
                    .remove(&segment::path_of(path, *old))
                    .is_err_and(|error| error.kind() != io::ErrorKind::NotFound)
        });
    }

    /// Says that all before is good, and makes it safe.
    pub fn close(&mut self, generation: u64, hash: [u8; 32]) -> Result<()> {
        self.flush()?;
        if self.end > HEADER as u64 && !self.marked {
            let mut frame = vec![0; HEAD];
            Head::seal(MARK, generation, hash, self.synced, self.number, &mut frame);
            self.append(&frame)?;
            self.flush()?;
        }
        Ok(())
    }
}

/// A segment with nothing but its header, on disk with its name.
fn begin(
    storage: &dyn Storage,
    path: &std::path::Path,
    number: u64,
    generation: u64,
) -> io::Result<Box<dyn LogFile>> {
    let mut file = storage.create(&segment::path_of(path, number))?;
    file.write_all(&segment::header(number, generation))?;
    file.sync()?;
    storage.sync_dir(segment::folder_of(path))?;
    Ok(file)
}
