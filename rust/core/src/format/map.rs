//! Bytes that nobody changes and that are read in place: a file's pages, or memory.

use std::fs::File;

use crate::error::Result;
use crate::store::Buf;

/// Bytes that are read in place.
#[derive(Debug)]
pub struct Mapping(Bytes);

#[derive(Debug)]
enum Bytes {
    Pages(memmap2::Mmap),
    Memory(&'static [u8]),
    Own(Buf<u8>),
}

impl Mapping {
    /// Maps a whole file.
    pub(super) fn new(file: &File) -> Result<Self> {
        // SAFETY: the map is private to this process and read-only. The one danger is another process
        // changing the file under it; files of this project are never written in place, only replaced
        // by rename, which leaves the mapped inode as it was.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(file)? };
        Ok(Mapping(Bytes::Pages(map)))
    }

    /// Memory that stays as it is.
    pub(crate) fn of_static(bytes: &'static [u8]) -> Self {
        Mapping(Bytes::Memory(bytes))
    }

    /// A copy, which begins at a multiple of 64.
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let mut own = Buf::with_capacity(bytes.len());
        own.extend_from_slice(bytes);
        Mapping(Bytes::Own(own))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Pages(map) => map,
            Bytes::Memory(bytes) => bytes,
            Bytes::Own(bytes) => bytes,
        }
    }
}
