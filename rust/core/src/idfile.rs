//! The sections that an index and a catalog have in common: their description and their ids.

use serde::de::DeserializeOwned;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::format::{Reader, Writer};
use crate::ids::{IdMap, Ids};

/// Adds the JSON description of a file.
pub fn write_meta(writer: &mut Writer<'_>, meta: &impl Serialize) {
    let json = serde_json::to_vec(meta).expect("descriptions hold text and numbers only");
    writer.add_owned("meta", &json);
}

/// Reads the JSON description of a file.
pub fn read_meta<T: DeserializeOwned>(reader: &mut Reader) -> Result<T> {
    serde_json::from_slice(&reader.owned::<u8>("meta")?)
        .map_err(|error| Error::format(format!("the file's description is damaged: {error}")))
}

/// Adds ids and live flags.
pub fn write_ids(writer: &mut Writer<'_>, ids: &IdMap) {
    let live: Vec<u8> = (0..ids.rows_len() as u32)
        .map(|row| u8::from(ids.is_live(row)))
        .collect();
    writer.add_owned("live", &live);
    match ids.by_row() {
        Ids::Int(ids) => writer.add_owned("ids.int", ids),
        Ids::Str(ids) => {
            let ends: Vec<u64> = ids
                .iter()
                .scan(0u64, |end, id| {
                    *end += id.len() as u64;
                    Some(*end)
                })
                .collect();
            let text: String = ids.iter().map(|id| &**id).collect();
            writer.add_owned("ids.ends", &ends);
            writer.add_owned("ids.text", text.as_bytes());
        }
    }
}

/// Reads ids and live flags.
pub fn read_ids(reader: &mut Reader) -> Result<IdMap> {
    let live: Vec<u8> = reader.owned("live")?;
    if live.iter().any(|flag| *flag > 1) {
        return Err(Error::format("a live flag is neither 0 nor 1"));
    }
    let live: Vec<bool> = live.into_iter().map(|flag| flag == 1).collect();
    if reader.has("ids.int") {
        return IdMap::from_parts(Ids::Int(reader.owned("ids.int")?), &live);
    }
    let ends: Vec<u64> = reader.owned("ids.ends")?;
    let text = String::from_utf8(reader.owned("ids.text")?)
        .map_err(|_| Error::format("the ids are not UTF-8"))?;
    let mut ids = Vec::with_capacity(ends.len());
    let mut start = 0;
    for end in ends {
        let id = usize::try_from(end)
            .ok()
            .and_then(|end| text.get(start..end))
            .ok_or_else(|| Error::format("an id lies outside the id section"))?;
        start += id.len();
        ids.push(id.into());
    }
    if start != text.len() {
        return Err(Error::format(
            "the id section has text that belongs to no id",
        ));
    }
    IdMap::from_parts(Ids::Str(ids), &live)
}
