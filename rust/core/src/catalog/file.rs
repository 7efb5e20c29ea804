//! The catalog's file: the common container with one group of sections a space (`s0.` …), one a
//! column (`c0.` …), the ids, and a JSON description.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::hash::ContentHash;
use super::Catalog;
use crate::column::{Column, ColumnType, Parts};
use crate::error::{Error, Result};
use crate::filter::Indexed;
use crate::format::{Kind, Reader, Writer};
use crate::hnsw::Hook;
use crate::idfile;
use crate::vectors::{Spec, Vectors};

/// The first format version whose content hash is one over facts.
const FACTS: u32 = 3;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    spaces: Vec<(String, Spec)>,
    columns: Vec<(String, ColumnType)>,
    generation: u64,
    content_hash: String,
    /// The sum of the hashes of all facts; files before version 3 have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    facts: Option<[u64; 4]>,
}

impl Catalog {
    /// Writes the catalog to a file, atomically.
    pub fn save(&self, path: &Path, hook: Hook<'_>) -> Result<()> {
        self.check_hash()?;
        self.sections().write(path, hook)
    }

    /// Writes the bytes of that file anywhere.
    pub fn write_to(&self, out: &mut impl Write, hook: Hook<'_>) -> Result<()> {
        self.check_hash()?;
        self.sections().write_to(out, hook).map(drop)
    }

    /// A catalog whose hash was taken from a mapped file may have been made to lie, and would be saved as a file that does
    /// not open.
    fn check_hash(&self) -> Result<()> {
        if self.hash_is_told && self.recomputed_hash() != self.hash {
            return Err(Error::format(
                "the mapped file that this catalog was opened from states another content hash than its items have",
            ));
        }
        Ok(())
    }

    fn sections(&self) -> Writer<'_> {
        let mut writer = Writer::new(Kind::Catalog);
        let meta = Meta {
            spaces: self
                .specs()
                .map(|(name, spec)| (name.to_owned(), spec.clone()))
                .collect(),
            columns: self
                .attributes()
                .map(|(name, kind)| (name.to_owned(), kind))
                .collect(),
            generation: self.generation,
            content_hash: self.content_hash(),
            facts: Some(self.hash.0),
        };
        idfile::write_meta(&mut writer, &meta);
        idfile::write_ids(&mut writer, &self.ids);
        for (i, space) in self.spaces.iter().enumerate() {
            space.write(&format!("s{i}."), &mut writer);
        }
        for (i, column) in self.columns.values().enumerate() {
            write_column(&mut writer, i, column);
        }
        writer
    }

    /// Reads a catalog from a file. The content hash is computed from what was read and compared with
    /// the one that was written; in a mapped file, whose opening is to be quick, the sum of the facts' hashes is
    /// taken from it, which a checksum guards as it does everything else; it is compared when such a catalog is saved.
    pub fn open(path: &Path, mmap: bool) -> Result<Self> {
        Self::read(&mut Reader::open(path, Kind::Catalog, mmap)?, mmap)
    }

    /// Reads a catalog from the bytes of its file, of which nothing is kept. All of it is checked, as in a file that is
    /// not mapped.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self> {
        Self::read(&mut Reader::of_bytes(bytes, Kind::Catalog)?, false)
    }

    /// The same in place, as in a mapped file: vectors, graphs and ids of numbers lie in `bytes` where these begin at a
    /// multiple of 8, and what is not aligned for its numbers is copied.
    pub fn of_static(bytes: &'static [u8]) -> Result<Self> {
        Self::read(&mut Reader::of_static(bytes, Kind::Catalog)?, true)
    }

    fn read(reader: &mut Reader<'_>, in_place: bool) -> Result<Self> {
        let meta: Meta = idfile::read_meta(reader)?;
        let ids = idfile::read_ids(reader)?;
        let damaged = |error: Error| Error::format(format!("the file's description: {error}"));
        let empty = Catalog::new(meta.spaces.clone()).map_err(damaged)?;
        let mut spaces = Vec::with_capacity(meta.spaces.len());
        for (i, (_, spec)) in meta.spaces.into_iter().enumerate() {
            let space = Vectors::read(spec, &format!("s{i}."), &ids, reader)?;
            spaces.push(Arc::new(space));
        }
        let mut columns = BTreeMap::new();
        for (i, (name, kind)) in meta.columns.into_iter().enumerate() {
            let column = read_column(reader, i, kind)?;
            if column.len() != ids.rows_len() {
                return Err(Error::format(format!(
                    "attribute {name:?} has {} values beside {} ids",
                    column.len(),
                    ids.rows_len()
                )));
            }
            if columns
                .insert(name.as_str().into(), Arc::new(column))
                .is_some()
            {
                return Err(Error::format(format!("attribute {name:?} comes twice")));
            }
        }
        let mut catalog = Catalog {
            infos: empty.infos,
            spaces,
            ids: Arc::new(ids),
            columns,
            generation: meta.generation,
            hash: ContentHash::default(),
            hash_is_told: false,
            indexed: Indexed::default(),
        };
        match meta.facts {
            Some(facts) if in_place => {
                catalog.hash = ContentHash(facts);
                catalog.hash_is_told = true;
            }
            _ => catalog.hash = catalog.recomputed_hash(),
        }
        let found = if reader.version() < FACTS {
            catalog.first_content_hash()
        } else {
            catalog.content_hash()
        };
        if found != meta.content_hash {
            return Err(Error::format(format!(
                "the file's items have the content hash {found}, and it states {:?}",
                meta.content_hash
            )));
        }
        Ok(catalog)
    }
}

fn write_column(writer: &mut Writer<'_>, i: usize, column: &Column) {
    let parts = column.to_parts();
    writer.add_owned(format!("c{i}.validity"), &parts.validity);
    writer.add_owned(format!("c{i}.bools"), &parts.bools);
    writer.add_owned(format!("c{i}.ints"), &parts.ints);
    writer.add_owned(format!("c{i}.floats"), &parts.floats);
    writer.add_owned(format!("c{i}.codes"), &parts.codes);
    writer.add_owned(format!("c{i}.offsets"), &parts.offsets);
    writer.add_owned(format!("c{i}.dict_offsets"), &parts.dict_offsets);
    writer.add_owned(format!("c{i}.dict_bytes"), &parts.dict_bytes);
}

fn read_column(reader: &mut Reader<'_>, i: usize, kind: ColumnType) -> Result<Column> {
    let parts = Parts {
        validity: reader.owned(&format!("c{i}.validity"))?,
        bools: reader.owned(&format!("c{i}.bools"))?,
        ints: reader.owned(&format!("c{i}.ints"))?,
        floats: reader.owned(&format!("c{i}.floats"))?,
        codes: reader.owned(&format!("c{i}.codes"))?,
        offsets: reader.owned(&format!("c{i}.offsets"))?,
        dict_offsets: reader.owned(&format!("c{i}.dict_offsets"))?,
        dict_bytes: reader.owned(&format!("c{i}.dict_bytes"))?,
    };
    Column::from_parts(kind, parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;
    use crate::metric::{Dtype, Metric};
    use crate::vectors::Spec;

    #[test]
    fn a_catalog_that_a_file_lied_about_is_not_saved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.pc");
        let spec = Spec::new(2, Metric::Cosine, Dtype::F32);
        let mut catalog = Catalog::new(vec![("v".into(), spec)]).unwrap();
        let change = crate::catalog::Upsert {
            ids: Ids::Int(vec![1, 2]),
            vectors: vec![("v".into(), vec![1.0, 0.0, 0.0, 1.0])],
            attributes: Vec::new(),
        };
        catalog.upsert(change, 1, &|_, _| true).unwrap();
        catalog.save(&path, &|_, _| true).unwrap();
        let mut mapped = Catalog::open(&path, true).unwrap();
        mapped.save(&path, &|_, _| true).unwrap();
        mapped.hash.0[0] ^= 1;
        let refused = mapped.save(&path, &|_, _| true).unwrap_err();
        assert!(matches!(refused, Error::Format(_)), "{refused}");
        Catalog::open(&path, false).unwrap();
    }
}
