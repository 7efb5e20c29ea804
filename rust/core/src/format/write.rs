//! Writing: to a temporary file beside the target, flushed to disk, then renamed over it, so that a
//! reader or a crash sees the old file or the new one and nothing else.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use bytemuck::Pod;

use super::{Kind, ALIGN, ENTRY, HEADER, MAGIC, MAX_SECTIONS, NAME, VERSION};
use crate::error::{Error, Result};

/// Collects sections and writes them in one go.
#[derive(Debug)]
pub struct Writer<'a> {
    kind: Kind,
    sections: Vec<(String, Section<'a>)>,
}

#[derive(Debug)]
enum Section<'a> {
    /// One piece after another.
    Borrowed(Vec<&'a [u8]>),
    Owned(Vec<u8>),
}

impl Section<'_> {
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let (many, one) = match self {
            Section::Borrowed(pieces) => (&pieces[..], None),
            Section::Owned(bytes) => (&[][..], Some(&bytes[..])),
        };
        many.iter().copied().chain(one)
    }

    fn len(&self) -> usize {
        self.pieces().map(<[u8]>::len).sum()
    }

    fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        self.pieces().for_each(|piece| hasher.update(piece));
        hasher.finalize()
    }
}

impl<'a> Writer<'a> {
    /// A file of some kind, without sections yet.
    pub fn new(kind: Kind) -> Self {
        Writer {
            kind,
            sections: Vec::new(),
        }
    }

    /// Adds a section that the caller keeps.
    pub fn add<T: Pod>(&mut self, name: impl Into<String>, values: &'a [T]) {
        self.add_pieces(name, std::iter::once(values));
    }

    /// Adds a section that the caller keeps in pieces.
    pub fn add_pieces<T: Pod>(
        &mut self,
        name: impl Into<String>,
        pieces: impl Iterator<Item = &'a [T]>,
    ) {
        let pieces = pieces.map(bytemuck::cast_slice).collect();
        self.sections.push((name.into(), Section::Borrowed(pieces)));
    }

    /// Adds a section made for this file.
    pub fn add_owned<T: Pod>(&mut self, name: impl Into<String>, values: &[T]) {
        let bytes = bytemuck::cast_slice(values).to_vec();
        self.sections.push((name.into(), Section::Owned(bytes)));
    }

    /// Writes the file; `hook` is told bytes done of bytes in all and may stop the work.
    pub fn write(self, path: &Path, hook: &dyn Fn(usize, usize) -> bool) -> Result<()> {
        let total = replace(path, |out| self.write_to(out, hook))?;
        hook(total, total);
        Ok(())
    }

    /// Writes the file's bytes anywhere, and says how many they are; `hook` as for [`Writer::write`].
    pub fn write_to(
        self,
        out: &mut impl Write,
        hook: &dyn Fn(usize, usize) -> bool,
    ) -> Result<usize> {
        let table_end = HEADER + ENTRY * self.sections.len();
        if self.sections.len() > MAX_SECTIONS {
            return Err(Error::invalid(
                "path",
                format!("at most {MAX_SECTIONS} sections"),
                self.sections.len(),
            ));
        }
        let mut table = Vec::with_capacity(table_end - HEADER);
        let mut offset = table_end.next_multiple_of(ALIGN);
        for (name, section) in &self.sections {
            assert!(name.len() <= NAME, "section names are made by this crate");
            let len = section.len();
            let mut entry = [0u8; ENTRY];
            entry[..name.len()].copy_from_slice(name.as_bytes());
            entry[40..48].copy_from_slice(&(offset as u64).to_le_bytes());
            entry[48..56].copy_from_slice(&(len as u64).to_le_bytes());
            entry[56..60].copy_from_slice(&section.checksum().to_le_bytes());
            table.extend_from_slice(&entry);
            offset = (offset + len).next_multiple_of(ALIGN);
        }
        let total = offset;

        let mut header = [0u8; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12..16].copy_from_slice(&(self.kind as u32).to_le_bytes());
        header[16..20].copy_from_slice(&(self.sections.len() as u32).to_le_bytes());
        header[20..24].copy_from_slice(&crc32fast::hash(&table).to_le_bytes());
        header[24..32].copy_from_slice(&(total as u64).to_le_bytes());
        let crc = crc32fast::hash(&header[..60]);
        header[60..].copy_from_slice(&crc.to_le_bytes());

        out.write_all(&header)?;
        out.write_all(&table)?;
        let mut at = table_end;
        let mut asked = 0;
        for (_, section) in &self.sections {
            pad(out, &mut at)?;
            for chunk in section.pieces().flat_map(|piece| piece.chunks(8 << 20)) {
                if at >= asked + (8 << 20) || asked == 0 {
                    asked = at;
                    if !hook(at, total) {
                        return Err(Error::Interrupted);
                    }
                }
                out.write_all(chunk)?;
                at += chunk.len();
            }
        }
        pad(out, &mut at)?;
        debug_assert_eq!(at, total);
        Ok(total)
    }
}

/// Writes these bytes as a file, whole or not at all.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |out| {
        out.write_all(bytes)?;
        Ok(bytes.len())
    })?;
    Ok(())
}

/// Writes to the side and renames; `write` says how many bytes it wrote.
fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<tempfile::NamedTempFile>) -> Result<usize>,
) -> Result<usize> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = tempfile::Builder::new()
        .prefix(".perso-core-")
        .suffix(".tmp")
        .tempfile_in(folder)
        .map_err(plain)?;
    let mut out = BufWriter::with_capacity(1 << 20, temporary);
    let total = write(&mut out)?;
    let mut temporary = out.into_inner().map_err(|error| error.into_error())?;
    temporary.flush()?;
    debug_assert_eq!(temporary.seek(SeekFrom::End(0))?, total as u64);
    temporary.as_file().sync_all()?;
    set_mode(&temporary)?;
    temporary
        .persist(path)
        .map_err(|error| plain(error.error))?;
    sync_folder(folder)?;
    Ok(total)
}

/// The operating system's own error, without the temporary file's name around it: the caller knows the
/// path that was asked for.
fn plain(error: io::Error) -> io::Error {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.source())
        .and_then(|source| source.downcast_ref::<io::Error>())
        .and_then(io::Error::raw_os_error);
    inner.map_or(error, io::Error::from_raw_os_error)
}

fn pad(out: &mut impl Write, at: &mut usize) -> Result<()> {
    let zeros = at.next_multiple_of(ALIGN) - *at;
    out.write_all(&[0u8; ALIGN][..zeros])?;
    *at += zeros;
    Ok(())
}

/// A temporary file is private to its owner; a saved one is readable like other files.
#[cfg(unix)]
fn set_mode(file: &tempfile::NamedTempFile) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(mode)?;
    Ok(())
}

#[cfg(not(unix))]
fn set_mode(_file: &tempfile::NamedTempFile) -> Result<()> {
    Ok(())
}

/// Makes the rename itself durable.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> Result<()> {
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> Result<()> {
    Ok(())
}
