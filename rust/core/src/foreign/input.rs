//! The bytes of a foreign file, read from front to back.
//!
//! Such a file has no checksums and states lengths that nothing vouches for, so every length is held against what is
//! left of the file before anything of that length is allocated.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use bytemuck::Pod;

use crate::error::{Error, Result};
use crate::hnsw::Hook;

/// A file, or the bytes of one, with a place in it.
pub struct Input<'a> {
    read: Box<dyn Read + 'a>,
    size: u64,
    left: u64,
    hook: Hook<'a>,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Input({} of {} bytes left)", self.left, self.size)
    }
}

impl<'a> Input<'a> {
    /// A file from its beginning; `hook` is told bytes read of bytes in all and may stop the work.
    pub fn open(path: &Path, hook: Hook<'a>) -> Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Input {
            read: Box::new(BufReader::with_capacity(1 << 16, file)),
            size,
            left: size,
            hook,
        })
    }

    /// Bytes in memory.
    pub fn of(bytes: &'a [u8]) -> Self {
        Input {
            read: Box::new(bytes),
            size: bytes.len() as u64,
            left: bytes.len() as u64,
            hook: &|_, _| true,
        }
    }

    /// Fills a slice; `what` names it in an error.
    pub fn fill(&mut self, what: &str, out: &mut [u8]) -> Result<()> {
        if out.len() as u64 > self.left {
            return Err(self.short(what, out.len() as u64));
        }
        if !(self.hook)((self.size - self.left) as usize, self.size as usize) {
            return Err(Error::Interrupted);
        }
        self.read
            .read_exact(out)
            .map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => {
                    Error::format(format!("the file ended within {what} while it was read"))
                }
                _ => Error::Io(error),
            })?;
        self.left -= out.len() as u64;
        Ok(())
    }

    fn short(&self, what: &str, wanted: impl std::fmt::Display) -> Error {
        let at = self.size - self.left;
        Error::format(format!(
            "the file is cut short, or is no such file: {what} at byte {at} takes {wanted} bytes, and {} are left",
            self.left
        ))
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut out = [0; N];
        self.fill(what, &mut out)?;
        Ok(out)
    }

    /// One byte.
    pub fn u8(&mut self, what: &str) -> Result<u8> {
        Ok(self.array::<1>(what)?[0])
    }

    /// Four bytes as they are.
    pub fn tag(&mut self, what: &str) -> Result<[u8; 4]> {
        self.array(what)
    }

    /// An unsigned number of 4 bytes.
    pub fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// A signed number of 4 bytes.
    pub fn i32(&mut self, what: &str) -> Result<i32> {
        Ok(i32::from_le_bytes(self.array(what)?))
    }

    /// An unsigned number of 8 bytes.
    pub fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A signed number of 8 bytes.
    pub fn i64(&mut self, what: &str) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array(what)?))
    }

    /// Refuses a run of `count` things of `width` bytes that the rest of the file does not hold; the number as `usize`.
    pub fn holds(&self, what: &str, count: u64, width: u64) -> Result<usize> {
        match count.checked_mul(width) {
            Some(bytes) if bytes <= self.left => {
                usize::try_from(count).map_err(|_| self.short(what, bytes))
            }
            _ => Err(self.short(what, format!("{count} x {width}"))),
        }
    }

    /// So many numbers.
    pub fn values<T: Pod>(&mut self, what: &str, count: u64) -> Result<Vec<T>> {
        let count = self.holds(what, count, std::mem::size_of::<T>() as u64)?;
        let mut out = vec![T::zeroed(); count];
        self.fill(what, bytemuck::cast_slice_mut(&mut out))?;
        Ok(out)
    }

    /// Refuses bytes beyond the end of what was read.
    pub fn end(&self) -> Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        Err(Error::format(format!(
            "{} bytes follow the index: it is of a later version, or no such file",
            self.left
        )))
    }
}
