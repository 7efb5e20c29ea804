//! Reading: everything is checked before it is believed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytemuck::Pod;

use super::{Kind, Mapping, ENTRY, HEADER, MAGIC, MAX_SECTIONS, NAME, OLDEST, VERSION};
use crate::error::{Error, Result};
use crate::store::Buf;

/// An open file whose header and table were found good.
#[derive(Debug)]
pub struct Reader<'a> {
    version: u32,
    input: Input<'a>,
    map: Option<Arc<Mapping>>,
    sections: HashMap<String, (Range<usize>, u32)>,
}

/// Where the bytes of a file are.
#[derive(Debug)]
enum Input<'a> {
    File(File),
    Memory(&'a [u8]),
}

impl Input<'_> {
    /// Fills `into` with the bytes from `at` on.
    fn read_at(&mut self, at: usize, into: &mut [u8]) -> Result<()> {
        match self {
            Input::File(file) => {
                file.seek(SeekFrom::Start(at as u64))?;
                file.read_exact(into)?;
            }
            Input::Memory(bytes) => {
                let found = bytes.get(at..).and_then(|rest| rest.get(..into.len()));
                let found = found.ok_or_else(|| Error::format("the file was cut off"))?;
                into.copy_from_slice(found);
            }
        }
        Ok(())
    }
}

impl<'a> Reader<'a> {
    /// Opens a file of the given kind; with `mmap`, large sections are read in place.
    pub fn open(path: &Path, kind: Kind, mmap: bool) -> Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let size = usize::try_from(size).map_err(|_| Error::format("the file is too large"))?;
        let mut reader = Self::of(Input::File(file), size, kind)?;
        if mmap {
            if let Input::File(file) = &reader.input {
                let map = Mapping::new(file)?;
                if map.bytes().len() != size {
                    return Err(Error::format("the file changed while it was opened"));
                }
                reader.map = Some(Arc::new(map));
            }
        }
        Ok(reader)
    }

    /// Reads the bytes of a file, of which nothing is kept.
    pub fn of_bytes(bytes: &'a [u8], kind: Kind) -> Result<Self> {
        Self::of(Input::Memory(bytes), bytes.len(), kind)
    }

    /// Reads the bytes of a file that somebody else holds for as long as the process runs. Large sections are read in
    /// place where they are aligned for their numbers: all are where the bytes begin at a multiple of 8.
    pub fn of_static(bytes: &'static [u8], kind: Kind) -> Result<Self> {
        let mut reader = Self::of(Input::Memory(bytes), bytes.len(), kind)?;
        reader.map = Some(Arc::new(Mapping::of_static(bytes)));
        Ok(reader)
    }

    fn of(mut input: Input<'a>, size: usize, kind: Kind) -> Result<Self> {
        if size < HEADER {
            return Err(Error::format(format!(
                "not a perso_core file: {size} bytes, less than a header"
            )));
        }
        let mut header = [0u8; HEADER];
        input.read_at(0, &mut header)?;
        if header[..8] != MAGIC {
            return Err(Error::format(
                "not a perso_core file: it starts with other bytes",
            ));
        }
        if crc32fast::hash(&header[..60]) != u32_at(&header, 60) {
            return Err(Error::format("the file's header is damaged"));
        }
        let version = u32_at(&header, 8);
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(Error::format(format!(
                "the file has format version {version}; this library reads version {OLDEST} to {VERSION}"
            )));
        }
        let found = u32_at(&header, 12);
        if Kind::from_number(found) != Some(kind) {
            let what = Kind::from_number(found).map_or("something else", Kind::name);
            return Err(Error::format(format!(
                "the file holds {what}, not {}",
                kind.name()
            )));
        }
        if u64_at(&header, 24) != size as u64 {
            return Err(Error::format(format!(
                "the file has {size} bytes and should have {}: it was cut off or added to",
                u64_at(&header, 24)
            )));
        }
        let count = u32_at(&header, 16) as usize;
        let table_end = HEADER + count.min(MAX_SECTIONS) * ENTRY;
        if count > MAX_SECTIONS || table_end > size {
            return Err(Error::format(format!("the file claims {count} sections")));
        }
        let mut table = vec![0u8; table_end - HEADER];
        input.read_at(HEADER, &mut table)?;
        if crc32fast::hash(&table) != u32_at(&header, 20) {
            return Err(Error::format("the file's section table is damaged"));
        }
        Ok(Reader {
            version,
            input,
            map: None,
            sections: parse_table(&table, table_end, size)?,
        })
    }

    /// The format version that the file states.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whether the file has a section.
    pub fn has(&self, name: &str) -> bool {
        self.sections.contains_key(name)
    }

    /// A section as numbers, in place when the file is mapped; its checksum is verified.
    pub fn section<T: Pod>(&mut self, name: &str) -> Result<Buf<T>> {
        let (range, crc) = self
            .sections
            .get(name)
            .cloned()
            .ok_or_else(|| Error::format(format!("the file has no section {name:?}")))?;
        let width = std::mem::size_of::<T>();
        if !range.len().is_multiple_of(width) {
            return Err(Error::format(format!(
                "section {name:?} has {} bytes, not a multiple of {width}",
                range.len()
            )));
        }
        // Sections start at multiples of 64 and maps at pages, so in a mapped file any number type is aligned:
        // an unaligned table entry was refused when it was parsed. Memory may begin anywhere.
        let map = self.map.as_ref();
        let buf = match map.and_then(|map| Buf::mapped(map, range.clone())) {
            Some(buf) => buf,
            None => {
                let mut values = Buf::<T>::with_capacity(range.len() / width);
                values.extend_with(range.len() / width, |slots| {
                    self.input
                        .read_at(range.start, bytemuck::cast_slice_mut(slots))
                })?;
                values
            }
        };
        if crc32fast::hash(bytemuck::cast_slice(&buf)) != crc {
            return Err(Error::format(format!(
                "section {name:?} is damaged (checksum)"
            )));
        }
        Ok(buf)
    }

    /// A section as an owned vector.
    pub fn owned<T: Pod>(&mut self, name: &str) -> Result<Vec<T>> {
        Ok(self.section(name)?.to_vec())
    }
}

fn parse_table(
    table: &[u8],
    table_end: usize,
    size: usize,
) -> Result<HashMap<String, (Range<usize>, u32)>> {
    let mut sections = HashMap::new();
    let mut free_from = table_end;
    for entry in table.chunks_exact(ENTRY) {
        let name_len = entry[..NAME].iter().position(|b| *b == 0).unwrap_or(NAME);
        let name = std::str::from_utf8(&entry[..name_len])
            .map_err(|_| Error::format("a section has a name that is not text"))?;
        let range = usize::try_from(u64_at(entry, 40)).ok().and_then(|start| {
            let len = usize::try_from(u64_at(entry, 48)).ok()?;
            Some(start..start.checked_add(len)?)
        });
        let range = range
            .filter(|range| {
                range.start >= free_from && range.end <= size && range.start.is_multiple_of(64)
            })
            .ok_or_else(|| Error::format(format!("section {name:?} lies outside the file")))?;
        free_from = range.end;
        if sections
            .insert(name.to_owned(), (range, u32_at(entry, 56)))
            .is_some()
        {
            return Err(Error::format(format!("section {name:?} comes twice")));
        }
    }
    Ok(sections)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
