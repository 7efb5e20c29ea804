//! A read-only memory mapping.

use std::fs::File;

use crate::error::Result;

/// A file's pages.
#[derive(Debug)]
pub struct Mapping(memmap2::Mmap);

impl Mapping {
    /// Maps a whole file.
    pub(super) fn new(file: &File) -> Result<Self> {
        // SAFETY: the map is private to this process and read-only. The one danger is another process
        // changing the file under it; files of this project are never written in place, only replaced
        // by rename, which leaves the mapped inode as it was.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(file)? };
        Ok(Mapping(map))
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}
