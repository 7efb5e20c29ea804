//! What a call changes, and its bytes.
//!
//! ```text
//! upsert:  ids, u32 spaces, each: text name, u64 numbers, f32 each
//!          u32 attributes, each: text name, u8 type, one value an id
//! remove:  ids
//! compact: nothing
//! ids:     u8 kind (0 int, 1 str), u64 how many, i64 each or text each
//! text:    u32 length, UTF-8
//! value:   u8 tag, then: 0 null, 1 false, 2 true, 3 i64, 4 f64, 5 microseconds i64, 6 text,
//!          7 u32 how many, text each
//! ```
//!
//! Vectors are kept as they came, not as the catalog stores them: a change is replayed through the same
//! code that made it. Reading believes no length before it has seen that the bytes are there.

use super::frame;
use crate::catalog::{Catalog, Upsert};
use crate::column::{ColumnType, Value};
use crate::error::{Error, Result};
use crate::hnsw::Hook;
use crate::ids::Ids;

/// One change of a catalog: what one frame of a log holds.
#[derive(Clone, Debug)]
pub enum Change {
    /// Inserts items and changes items.
    Upsert(Upsert),
    /// Takes items out.
    Remove(Ids),
    /// Drops what removed and replaced items left behind: no other content and generation, but other rows.
    Compact,
}

const TYPES: [ColumnType; 6] = [
    ColumnType::Bool,
    ColumnType::Int,
    ColumnType::Float,
    ColumnType::Time,
    ColumnType::Str,
    ColumnType::StrList,
];

impl Change {
    /// Does it. All or nothing, as the catalog's own methods are.
    pub fn apply(self, catalog: &mut Catalog, num_threads: i64, hook: Hook<'_>) -> Result<()> {
        match self {
            Change::Upsert(upsert) => catalog.upsert(upsert, num_threads, hook),
            Change::Remove(ids) => catalog.remove(&ids),
            Change::Compact => catalog.compact(),
        }
    }

    /// Items that it names.
    pub(super) fn len(&self) -> usize {
        match self {
            Change::Upsert(upsert) => upsert.ids.len(),
            Change::Remove(ids) => ids.len(),
            Change::Compact => 0,
        }
    }

    /// The kind of its frame.
    pub(super) fn kind(&self) -> u32 {
        match self {
            Change::Upsert(_) => frame::UPSERT,
            Change::Remove(_) => frame::REMOVE,
            Change::Compact => frame::COMPACT,
        }
    }

    /// A frame of it, whose head is not written yet.
    pub(super) fn frame(&self) -> Vec<u8> {
        let mut out = vec![0; frame::HEAD];
        match self {
            Change::Compact => {}
            Change::Remove(ids) => put_ids(&mut out, ids),
            Change::Upsert(upsert) => {
                let numbers: usize = upsert.vectors.iter().map(|(_, v)| v.len()).sum();
                out.reserve(4 * numbers + 32 * upsert.ids.len());
                put_ids(&mut out, &upsert.ids);
                put_len(&mut out, upsert.vectors.len());
                for (name, vectors) in &upsert.vectors {
                    put_text(&mut out, name);
                    out.extend((vectors.len() as u64).to_le_bytes());
                    out.extend_from_slice(bytemuck::cast_slice(vectors));
                }
                put_len(&mut out, upsert.attributes.len());
                for (name, kind, values) in &upsert.attributes {
                    put_text(&mut out, name);
                    let kind = TYPES.iter().position(|known| known == kind);
                    out.push(kind.expect("every type is in the table") as u8);
                    values.iter().for_each(|value| put_value(&mut out, value));
                }
            }
        }
        out
    }

    /// Reads a payload.
    pub(super) fn parse(kind: u32, payload: &[u8]) -> Result<Change> {
        let mut bytes = Bytes(payload);
        let change = match kind {
            frame::UPSERT => Change::Upsert(bytes.upsert()?),
            frame::REMOVE => Change::Remove(bytes.ids()?),
            frame::COMPACT => Change::Compact,
            other => {
                return Err(Error::format(format!(
                    "the log has an entry of kind {other}, which this library does not know"
                )))
            }
        };
        if bytes.0.is_empty() {
            Ok(change)
        } else {
            Err(Error::format(format!(
                "an entry of the log has {} bytes that belong to nothing",
                bytes.0.len()
            )))
        }
    }
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len)
        .expect("a text or list of less than 4 GiB, as Python and Arrow give them");
    out.extend(len.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_ids(out: &mut Vec<u8>, ids: &Ids) {
    out.push(u8::from(ids.kind() == "str"));
    out.extend((ids.len() as u64).to_le_bytes());
    match ids {
        Ids::Int(ids) => out.extend_from_slice(bytemuck::cast_slice(ids)),
        Ids::Str(ids) => ids.iter().for_each(|id| put_text(out, id)),
    }
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0),
        Value::Bool(value) => out.push(1 + u8::from(*value)),
        Value::Int(value) => {
            out.push(3);
            out.extend(value.to_le_bytes());
        }
        Value::Float(value) => {
            out.push(4);
            out.extend(value.to_le_bytes());
        }
        Value::Time(value) => {
            out.push(5);
            out.extend(value.to_le_bytes());
        }
        Value::Str(text) => {
            out.push(6);
            put_text(out, text);
        }
        Value::StrList(texts) => {
            out.push(7);
            put_len(out, texts.len());
            texts.iter().for_each(|text| put_text(out, text));
        }
    }
}

/// The numbers that some bytes are, wherever they lie.
fn numbers<T: bytemuck::Pod>(bytes: &[u8]) -> Vec<T> {
    let mut out = vec![T::zeroed(); bytes.len() / std::mem::size_of::<T>()];
    bytemuck::cast_slice_mut(&mut out).copy_from_slice(bytes);
    out
}

/// What is left of a payload.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(len) else {
            return Err(Error::format(format!(
                "an entry of the log ends where {len} bytes were to follow, after {}",
                self.0.len()
            )));
        };
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<usize> {
        Ok(frame::u32_at(self.take(4)?, 0) as usize)
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(frame::u64_at(self.take(8)?, 0))
    }

    /// How many things follow, each of at least `width` bytes: no more than the bytes have room for.
    fn count(&mut self, count: u64, width: usize) -> Result<usize> {
        let room = self.0.len() / width;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= room)
            .ok_or_else(|| {
                Error::format(format!(
                    "an entry of the log names {count} things where {room} have room"
                ))
            })
    }

    fn text(&mut self) -> Result<&'a str> {
        let len = self.u32()?;
        std::str::from_utf8(self.take(len)?)
            .map_err(|_| Error::format("a text in the log is not UTF-8"))
    }

    fn ids(&mut self) -> Result<Ids> {
        let kind = self.u8()?;
        let count = self.u64()?;
        match kind {
            0 => {
                let count = self.count(count, 8)?;
                Ok(Ids::Int(numbers(self.take(8 * count)?)))
            }
            1 => {
                let count = self.count(count, 4)?;
                let ids = (0..count).map(|_| Ok(self.text()?.into()));
                Ok(Ids::Str(ids.collect::<Result<_>>()?))
            }
            other => Err(Error::format(format!(
                "an entry of the log has ids of kind {other}"
            ))),
        }
    }

    fn upsert(&mut self) -> Result<Upsert> {
        let ids = self.ids()?;
        let spaces = self.u32()?;
        let spaces = self.count(spaces as u64, 12)?;
        let mut vectors = Vec::with_capacity(spaces);
        for _ in 0..spaces {
            let name = self.text()?.to_owned();
            let count = self.u64()?;
            let count = self.count(count, 4)?;
            vectors.push((name, numbers(self.take(4 * count)?)));
        }
        let named = self.u32()?;
        let named = self.count(named as u64, 5)?;
        let mut attributes = Vec::with_capacity(named);
        for _ in 0..named {
            let name = self.text()?.to_owned();
            let kind = usize::from(self.u8()?);
            let kind = *TYPES.get(kind).ok_or_else(|| {
                Error::format(format!(
                    "an entry of the log has an attribute of type {kind}"
                ))
            })?;
            let count = self.count(ids.len() as u64, 1)?;
            let values = (0..count).map(|_| self.value());
            attributes.push((name, kind, values.collect::<Result<_>>()?));
        }
        Ok(Upsert {
            ids,
            vectors,
            attributes,
        })
    }

    fn value(&mut self) -> Result<Value> {
        Ok(match self.u8()? {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => Value::Int(self.u64()? as i64),
            4 => Value::Float(f64::from_bits(self.u64()?)),
            5 => Value::Time(self.u64()? as i64),
            6 => Value::Str(self.text()?.into()),
            7 => {
                let count = self.u32()?;
                let count = self.count(count as u64, 4)?;
                let texts = (0..count).map(|_| Ok(self.text()?.into()));
                Value::StrList(texts.collect::<Result<_>>()?)
            }
            other => {
                return Err(Error::format(format!(
                    "an entry of the log has a value of kind {other}"
                )))
            }
        })
    }
}
