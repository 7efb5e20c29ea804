//! The files of a log: their names, their first 64 bytes, and the frames behind them.
//!
//! ```text
//! 0   8   magic "PERSOLOG"
//! 8   4   log version (u32, little endian, as every number)
//! 12  4   zero
//! 16  8   the segment's number, that in its name
//! 24  8   the catalog's generation when it was begun: that before its first frame
//! 32  28  zero
//! 60  4   CRC-32 of bytes 0..60
//! 64      frames
//! ```
//!
//! A segment is begun when all before it are on disk, and its header is on disk before its first frame is
//! written. So only the newest can end in a frame that was cut off, and a header that is cut off has no
//! frame behind it.

use std::ffi::OsString;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::frame::{u32_at, u64_at, Head, HEAD, MAGIC as FRAME};
use super::storage::Storage;
use crate::error::{Error, Result};

/// Bytes before the first frame.
pub(super) const HEADER: usize = 64;
const MAGIC: [u8; 8] = *b"PERSOLOG";
const VERSION: u32 = 1;

/// The name of a file beside the catalog's.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}

/// The name of a segment.
pub(super) fn path_of(path: &Path, number: u64) -> PathBuf {
    beside(path, &format!(".log.{number}"))
}

/// The folder that a catalog's files lie in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The numbers of a catalog's segments, in order.
pub(super) fn numbers(storage: &dyn Storage, path: &Path) -> Result<Vec<u64>> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let mut found: Vec<u64> = storage
        .list(folder_of(path))?
        .iter()
        .filter_map(|entry| {
            let rest = entry.as_encoded_bytes().strip_prefix(name)?;
            let digits = std::str::from_utf8(rest.strip_prefix(b".log.")?).ok()?;
            // Only the names that are written: neither "+1" nor "01".
            let number = digits.parse::<u64>().ok()?;
            (number.to_string() == digits).then_some(number)
        })
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// A segment's first bytes.
pub(super) fn header(number: u64, start: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[16..24].copy_from_slice(&number.to_le_bytes());
    header[24..32].copy_from_slice(&start.to_le_bytes());
    let crc = crc32fast::hash(&header[..60]);
    header[60..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The generation that a segment was begun at; `None` when its header was cut off.
pub(super) fn start_of(storage: &dyn Storage, path: &Path, number: u64) -> Result<Option<u64>> {
    let (mut reader, len) = storage.read(&path_of(path, number), 0)?;
    let mut bytes = [0; HEADER];
    let whole = read_whole(&mut reader, &mut bytes)?;
    let name = || format!("segment {number} of the log");
    if whole && bytes[..8] == MAGIC && u32_at(&bytes, 60) == crc32fast::hash(&bytes[..60]) {
        let version = u32_at(&bytes, 8);
        if version != VERSION {
            return Err(Error::format(format!(
                "{} has version {version}; this library reads version {VERSION}",
                name()
            )));
        }
        if u64_at(&bytes, 16) != number {
            return Err(Error::format(format!(
                "{} says that it is segment {}",
                name(),
                u64_at(&bytes, 16)
            )));
        }
        return Ok(Some(u64_at(&bytes, 24)));
    }
    if len > HEADER as u64 {
        return Err(Error::format(format!(
            "the header of {} is damaged",
            name()
        )));
    }
    Ok(None)
}

/// False when the file ends before.
fn read_whole(reader: &mut impl Read, bytes: &mut [u8]) -> Result<bool> {
    match reader.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What comes next in a segment.
#[derive(Debug)]
pub(super) enum Next {
    /// A whole frame.
    Frame(Head, Vec<u8>),
    /// Nothing: the file ends where a frame would begin.
    End,
    /// Bytes that are no whole frame.
    Bad,
}

/// The frames of a segment, one after another.
pub(super) struct Frames<R> {
    reader: BufReader<R>,
    number: u64,
    /// Where the next frame begins.
    at: u64,
    len: u64,
}

impl Frames<Box<dyn Read + Send>> {
    /// From some offset on, where a frame begins.
    pub fn open(storage: &dyn Storage, path: &Path, number: u64, at: u64) -> Result<Self> {
        let (reader, len) = storage.read(&path_of(path, number), at)?;
        Ok(Frames {
            reader: BufReader::with_capacity(1 << 16, reader),
            number,
            at,
            len,
        })
    }
}

impl<R: Read> Frames<R> {
    /// Where the next frame begins.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The length of the file when it was opened.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The next frame. No more is allocated than the file has bytes.
    pub fn next(&mut self) -> Result<Next> {
        let left = self.len.saturating_sub(self.at);
        if left == 0 {
            return Ok(if self.at == self.len {
                Next::End
            } else {
                Next::Bad
            });
        }
        let mut head = [0; HEAD];
        if left < HEAD as u64 || !read_whole(&mut self.reader, &mut head)? {
            return Ok(Next::Bad);
        }
        let Some(head) = Head::parse(self.number, &head) else {
            return Ok(Next::Bad);
        };
        let payload = usize::try_from(head.len).ok();
        let Some(payload) = payload.filter(|_| head.len <= left - HEAD as u64) else {
            return Ok(Next::Bad);
        };
        let mut payload = vec![0; payload];
        if !read_whole(&mut self.reader, &mut payload)? || crc32fast::hash(&payload) != head.crc {
            return Ok(Next::Bad);
        }
        self.at += HEAD as u64 + head.len;
        Ok(Next::Frame(head, payload))
    }
}

/// Whether the bytes behind a bad frame prove that it was whole once: see [`super::frame`].
pub(super) fn was_whole(storage: &dyn Storage, path: &Path, number: u64, at: u64) -> Result<bool> {
    const CHUNK: usize = 1 << 20;
    let (mut reader, _) = storage.read(&path_of(path, number), at + 1)?;
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        let before = bytes.len();
        (&mut reader).take(CHUNK as u64).read_to_end(&mut bytes)?;
        let heads = bytes.windows(HEAD).filter(|window| window[..4] == FRAME);
        let mut heads = heads.filter_map(|window| Head::parse(number, window.try_into().ok()?));
        if heads.any(|head| head.synced > at) {
            return Ok(true);
        }
        if bytes.len() == before {
            return Ok(false);
        }
        bytes.drain(..bytes.len().saturating_sub(HEAD - 1));
    }
}
