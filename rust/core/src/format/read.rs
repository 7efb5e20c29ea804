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
pub struct Reader {
    version: u32,
    file: File,
    map: Option<Arc<Mapping>>,
    sections: HashMap<String, (Range<usize>, u32)>,
}

impl Reader {
    /// Opens a file of the given kind; with `mmap`, large sections are read in place.
    pub fn open(path: &Path, kind: Kind, mmap: bool) -> Result<Self> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        let size = usize::try_from(size).map_err(|_| Error::format("the file is too large"))?;
        if size < HEADER {
            return Err(Error::format(format!(
                "not a perso_core file: {size} bytes, less than a header"
            )));
        }
        let mut header = [0u8; HEADER];
        file.read_exact(&mut header)?;
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
        file.read_exact(&mut table)?;
        if crc32fast::hash(&table) != u32_at(&header, 20) {
            return Err(Error::format("the file's section table is damaged"));
        }
        let sections = parse_table(&table, table_end, size)?;
        let map = if mmap {
            Some(Arc::new(Mapping::new(&file)?))
        } else {
            None
        };
        if map.as_ref().is_some_and(|map| map.bytes().len() != size) {
            return Err(Error::format("the file changed while it was opened"));
        }
        Ok(Reader {
            version,
            file,
            map,
            sections,
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
        let buf = match &self.map {
            // Sections start at multiples of 64 and maps at pages, so any number type is aligned: an
            // unaligned table entry was refused when it was parsed.
            Some(map) => Buf::mapped(map, range)
                .ok_or_else(|| Error::format(format!("section {name:?} lies outside the file")))?,
            None => {
                let mut values = Buf::<T>::with_capacity(range.len() / width);
                self.file.seek(SeekFrom::Start(range.start as u64))?;
                values.extend_with(range.len() / width, |slots| {
                    self.file.read_exact(bytemuck::cast_slice_mut(slots))
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
