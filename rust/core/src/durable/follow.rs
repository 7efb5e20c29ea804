//! Those who read a durable catalog while another process writes it.
//!
//! A reader takes no lock. It reads the file and then the log, which only grows; a segment that goes away
//! meanwhile has been taken into a newer file, so reading begins again. Frames that are not whole yet are
//! left for later. A write that fails is cut off again by the writer: a reader that had seen it finds
//! another frame, or none, in its place, and begins again as well.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{Head, HEAD};
use super::recover::{state_of, End, Reading, Recovered, Trouble};
use super::segment::{self, HEADER};
use super::storage::{Disk, Storage};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::hnsw::Hook;
use crate::rank::Source;

/// A file that still moves after so many tries is not being checkpointed but damaged.
const TRIES: usize = 16;

/// Where a reader is in the log.
#[derive(Debug)]
pub struct Follower {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    mmap: bool,
    /// Generation and content hash of what was read.
    seen: (u64, [u8; 32]),
    end: Option<End>,
    /// A refresh failed: the next one begins again.
    lost: bool,
}

/// Opens a catalog for reading: its file and its log, if it has one.
pub fn open_read(
    path: &Path,
    mmap: bool,
    num_threads: i64,
    hook: Hook<'_>,
) -> Result<(Catalog, Follower)> {
    Follower::open_in(Arc::new(Disk), path, mmap, num_threads, hook)
}

impl Follower {
    pub(super) fn open_in(
        storage: Arc<dyn Storage>,
        path: &Path,
        mmap: bool,
        num_threads: i64,
        hook: Hook<'_>,
    ) -> Result<(Catalog, Follower)> {
        let mut follower = Follower {
            storage,
            path: path.to_owned(),
            mmap,
            seen: (0, [0; 32]),
            end: None,
            lost: false,
        };
        let catalog = follower.read_all(num_threads, hook)?;
        Ok((catalog, follower))
    }

    fn reading<'a>(&'a self, num_threads: i64, hook: Hook<'a>) -> Reading<'a> {
        Reading {
            storage: &*self.storage,
            path: &self.path,
            mmap: self.mmap,
            num_threads,
            hook,
        }
    }

    fn read_all(&mut self, num_threads: i64, hook: Hook<'_>) -> Result<Catalog> {
        let mut tries = 0;
        let Recovered { catalog, end, .. } = loop {
            tries += 1;
            match self.reading(num_threads, hook).recover() {
                Ok(found) => break found,
                Err(Trouble::Moved(_)) if tries < TRIES => {}
                Err(trouble) => return Err(trouble.into()),
            }
        };
        self.seen = state_of(&catalog);
        self.end = end;
        self.lost = false;
        Ok(catalog)
    }

    /// Takes in what was written since: the number of changes. A catalog that was changed here is refused.
    /// After an error the catalog may have some of it; the next call reads all again.
    pub fn refresh(
        &mut self,
        catalog: &mut Catalog,
        num_threads: i64,
        hook: Hook<'_>,
    ) -> Result<u64> {
        if !self.lost && state_of(catalog) != self.seen {
            return Err(Error::invalid(
                "catalog",
                "one that was not changed since it was read from its file",
                format!("generation {} after {}", catalog.generation(), self.seen.0),
            ));
        }
        let before = self.seen.0;
        let caught_up = !self.lost && {
            self.lost = true;
            self.catch_up(catalog, num_threads, hook)?
        };
        if !caught_up {
            self.lost = true;
            *catalog = self.read_all(num_threads, hook)?;
        }
        self.lost = false;
        // Fewer than before where the writer took back what this reader had seen.
        let more = self.seen.0.wrapping_sub(before);
        Ok(if more < 1 << 63 { more } else { 0 })
    }

    /// Goes on in the log from where it ended; false where that is not possible.
    fn catch_up(
        &mut self,
        catalog: &mut Catalog,
        num_threads: i64,
        hook: Hook<'_>,
    ) -> Result<bool> {
        let Some(mut end) = self.end else {
            // There was no log. If there is none now, the file may be another one.
            return Ok(false);
        };
        let path = |number| segment::path_of(&self.path, number);
        loop {
            // Looked for before the segment is read: if the next one is there, this one is whole.
            let next = segment::numbers(&*self.storage, &self.path)?;
            let next = next.into_iter().find(|number| *number > end.number);
            let start = next.map(|next| segment::start_of(&*self.storage, &self.path, next));
            let start = match start.transpose() {
                Ok(start) => start.flatten(),
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Ok(false)
                }
                Err(error) => return Err(error),
            };
            match self.storage.read(&path(end.number), 0) {
                Ok((_, len)) if len < end.at => return Ok(false),
                Ok(_) if !self.still_there(&end)? => return Ok(false),
                Ok(_) => {
                    let reading = self.reading(num_threads, hook);
                    let progress = |_: u64| hook(0, 0);
                    match reading.replay(catalog, end, &mut 0, start.is_none(), &progress) {
                        Ok(found) => end = found,
                        Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                            return Ok(false);
                        }
                        Err(error) => return Err(error),
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            self.seen = state_of(catalog);
            self.end = Some(end);
            match (next, start) {
                (Some(next), Some(start)) if start == catalog.generation() => {
                    end = End {
                        number: next,
                        at: HEADER as u64,
                        torn: 0,
                        last: None,
                    };
                }
                // A segment that is just being begun has nothing yet, if this one is there.
                (Some(_), None) | (None, None) => {
                    return Ok(self.storage.read(&path(end.number), 0).is_ok());
                }
                _ => return Ok(false),
            }
        }
    }

    /// Whether the frame that was read last is still the one that it was.
    fn still_there(&self, end: &End) -> Result<bool> {
        let Some((at, head)) = end.last else {
            return Ok(true);
        };
        let (mut reader, _) = self
            .storage
            .read(&segment::path_of(&self.path, end.number), at)?;
        let mut bytes = [0; HEAD];
        match reader.read_exact(&mut bytes) {
            Ok(()) => Ok(Head::parse(end.number, &bytes) == Some(head)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
