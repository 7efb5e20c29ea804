//! A catalog as its file and its log have it.
//!
//! The file is a catalog at some generation; the log has the changes since, one generation each. Frames
//! are applied in order, none left out, and after each the catalog must have the generation and the
//! content hash that the frame states: a log beside a file that it does not belong to is found at its
//! first frame. Only the newest segment may end in bytes that are no whole frame, and only where nothing
//! behind them proves that they were one (see [`super::frame`]). Everything else that is missing or
//! damaged is an error.

use std::io;
use std::path::Path;

use super::change::Change;
use super::frame::{Head, MARK};
use super::segment::{self, Frames, Next, HEADER};
use super::storage::Storage;
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::hnsw::Hook;
use crate::rank::Source;

/// Why a catalog could not be read.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Something was not there: damage, or a writer that made a checkpoint meanwhile.
    Moved(String),
    /// Anything else.
    Other(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Other(error)
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Error {
        match trouble {
            Trouble::Moved(what) => Error::Format(what),
            Trouble::Other(error) => error,
        }
    }
}

/// Where reading a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub number: u64,
    /// Behind the last whole frame.
    pub at: u64,
    /// Bytes behind it that are none.
    pub torn: u64,
    /// The last frame's head, to tell whether it is still the one that was read.
    pub last: Option<(u64, Head)>,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Recovered {
    pub catalog: Catalog,
    /// Segments that are older than the file.
    pub obsolete: Vec<u64>,
    /// Segments that were read but for the last, and their bytes.
    pub older: Vec<(u64, u64)>,
    /// Where the last of them ended; `None` without a log.
    pub end: Option<End>,
    /// A segment of which not even the header is whole.
    pub headless: Option<u64>,
}

/// The catalog's generation and content hash.
pub(super) fn state_of(catalog: &Catalog) -> (u64, [u8; 32]) {
    let hex = catalog.content_hash();
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let value = |digit: u8| (digit as char).to_digit(16).unwrap_or(0) as u8;
        *byte = value(digits[0]) << 4 | value(digits[1]);
    }
    (catalog.generation(), hash)
}

fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How a log is read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub storage: &'a dyn Storage,
    pub path: &'a Path,
    pub mmap: bool,
    pub num_threads: i64,
    /// Told bytes of the log done of all.
    pub hook: Hook<'a>,
}

impl Reading<'_> {
    /// The file, and then the log.
    pub fn recover(self) -> std::result::Result<Recovered, Trouble> {
        let mut catalog = Catalog::open(self.path, self.mmap)?;
        let file = catalog.generation();
        let numbers = segment::numbers(self.storage, self.path)?;
        let mut segments = Vec::with_capacity(numbers.len());
        let mut headless = None;
        for &number in &numbers {
            let start = segment::start_of(self.storage, self.path, number);
            match start.map_err(gone)? {
                Some(start) => segments.push((number, start)),
                None if Some(&number) == numbers.last() => headless = Some(number),
                None => {
                    let what = format!("the header of segment {number} of the log is damaged");
                    return Err(Error::Format(what).into());
                }
            }
        }
        // Generations wrap, so "at or before" is: less than half the way round.
        let reached = |start: u64| file.wrapping_sub(start) < 1 << 63;
        let Some(first) = segments.iter().rposition(|(_, start)| reached(*start)) else {
            return match segments.first() {
                None => Ok(Recovered {
                    catalog,
                    obsolete: Vec::new(),
                    older: Vec::new(),
                    end: None,
                    headless,
                }),
                Some((number, start)) => Err(Trouble::Moved(format!(
                    "the file is at generation {file}, and its log begins with segment {number} at generation \
                     {start}: the changes between are missing"
                ))),
            };
        };
        let mut skip = file.wrapping_sub(segments[first].1);
        let needed = &segments[first..];
        let total = self.bytes(needed).map_err(gone)?;
        let (mut done, mut older, mut end) = (0, Vec::new(), None::<End>);
        for (i, &(number, start)) in needed.iter().enumerate() {
            if let Some(End {
                number: before, at, ..
            }) = end
            {
                if before + 1 != number {
                    return Err(Trouble::Moved(format!(
                        "segment {} of the log is missing",
                        before + 1
                    )));
                }
                if start != catalog.generation() {
                    return Err(Error::Format(format!(
                        "segment {number} of the log begins at generation {start}, and the one before it \
                         ends at {}",
                        catalog.generation()
                    ))
                    .into());
                }
                older.push((before, at));
            }
            let last = i + 1 == needed.len() && headless.is_none();
            let from = End {
                number,
                at: HEADER as u64,
                torn: 0,
                last: None,
            };
            let progress = |at: u64| (self.hook)((done + at) as usize, total as usize);
            let found = self.replay(&mut catalog, from, &mut skip, last, &progress);
            let found = found.map_err(gone)?;
            done += found.at;
            end = Some(found);
        }
        if skip > 0 {
            return Err(Error::Format(format!(
                "the file is at generation {file}, {skip} changes after the end of its log: one of them was \
                 replaced"
            ))
            .into());
        }
        Ok(Recovered {
            catalog,
            obsolete: segments[..first]
                .iter()
                .map(|(number, _)| *number)
                .collect(),
            older,
            end,
            headless,
        })
    }

    fn bytes(&self, segments: &[(u64, u64)]) -> Result<u64> {
        let len = |number| self.storage.read(&segment::path_of(self.path, number), 0);
        segments.iter().map(|(number, _)| Ok(len(*number)?.1)).sum()
    }

    /// Takes in the frames of a segment from some place on, but for the first `skip` changes.
    pub fn replay(
        &self,
        catalog: &mut Catalog,
        mut end: End,
        skip: &mut u64,
        last: bool,
        progress: &dyn Fn(u64) -> bool,
    ) -> Result<End> {
        let open = |at| Frames::open(self.storage, self.path, end.number, at);
        let mut frames = open(end.at)?;
        loop {
            let mut next = frames.next()?;
            if matches!(next, Next::Bad)
                && segment::was_whole(self.storage, self.path, end.number, end.at)?
            {
                // Or it was being written when it was looked at.
                frames = open(end.at)?;
                next = frames.next()?;
                if matches!(next, Next::Bad) {
                    return Err(self.damaged(&end));
                }
            }
            match next {
                Next::End => return Ok(end),
                Next::Bad if last => {
                    end.torn = frames.len().saturating_sub(end.at);
                    return Ok(end);
                }
                Next::Bad => return Err(self.damaged(&end)),
                Next::Frame(head, payload) => {
                    if *skip > 0 {
                        *skip -= head.steps();
                    } else {
                        self.take(catalog, &end, &head, &payload)?;
                    }
                    end.last = Some((end.at, head));
                    end.at = frames.at();
                    if !progress(end.at) {
                        return Err(Error::Interrupted);
                    }
                }
            }
        }
    }

    fn damaged(&self, end: &End) -> Error {
        Error::format(format!(
            "segment {} of the log is damaged at byte {}",
            end.number, end.at
        ))
    }

    /// Takes in one frame.
    fn take(&self, catalog: &mut Catalog, end: &End, head: &Head, payload: &[u8]) -> Result<()> {
        let about = |what: String| {
            Error::format(format!(
                "the entry at byte {} of segment {} of the log {what}",
                end.at, end.number
            ))
        };
        let before = catalog.generation();
        let next = before.wrapping_add(head.steps());
        if head.generation != next {
            return Err(about(format!(
                "makes generation {}, and stands where generation {next} is made",
                head.generation
            )));
        }
        if head.kind != MARK {
            let change = Change::parse(head.kind, payload)?;
            match change.apply(catalog, self.num_threads, &|_, _| true) {
                Ok(()) => {}
                Err(error @ (Error::Io(_) | Error::Interrupted)) => return Err(error),
                Err(error) => return Err(about(format!("cannot be done: {error}"))),
            }
        }
        let (generation, hash) = state_of(catalog);
        if (generation, hash) != (head.generation, head.hash) {
            return Err(about(format!(
                "leads to the content hash {}, and it states {}: the log belongs to another file",
                hex(&hash),
                hex(&head.hash)
            )));
        }
        Ok(())
    }
}

/// A file that is not there any more.
fn gone(error: Error) -> Trouble {
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            Trouble::Moved("a segment of the log went away while it was read".into())
        }
        other => Trouble::Other(other),
    }
}
