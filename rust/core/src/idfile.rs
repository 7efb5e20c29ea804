//! The sections that an index and a catalog have in common: their description and their ids.

use serde::de::DeserializeOwned;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::format::{Reader, Writer};
use crate::ids::{ByRow, IdMap};
use crate::store::Texts;

/// Adds the JSON description of a file.
pub fn write_meta(writer: &mut Writer<'_>, meta: &impl Serialize) {
    let json = serde_json::to_vec(meta).expect("descriptions hold text and numbers only");
    writer.add_owned("meta", &json);
}

/// Reads the JSON description of a file.
pub fn read_meta<T: DeserializeOwned>(reader: &mut Reader<'_>) -> Result<T> {
    serde_json::from_slice(&reader.owned::<u8>("meta")?)
        .map_err(|error| Error::format(format!("the file's description is damaged: {error}")))
}

/// Adds ids and live flags.
pub fn write_ids<'a>(writer: &mut Writer<'a>, ids: &'a IdMap) {
    let live: Vec<u8> = (0..ids.rows_len() as u32)
        .map(|row| u8::from(ids.is_live(row)))
        .collect();
    writer.add_owned("live", &live);
    match ids.by_row() {
        ByRow::Int(ids) => writer.add("ids.int", ids),
        ByRow::Str(ids) => {
            let (ends, text) = ids.parts();
            writer.add("ids.ends", ends);
            writer.add("ids.text", text);
        }
    }
}

/// Reads ids and live flags.
pub fn read_ids(reader: &mut Reader<'_>) -> Result<IdMap> {
    let live: Vec<u8> = reader.owned("live")?;
    if live.iter().any(|flag| *flag > 1) {
        return Err(Error::format("a live flag is neither 0 nor 1"));
    }
    let live: Vec<bool> = live.into_iter().map(|flag| flag == 1).collect();
    if reader.has("ids.int") {
        return IdMap::from_parts(ByRow::Int(reader.section("ids.int")?), &live);
    }
    let texts = Texts::from_parts(reader.section("ids.ends")?, reader.section("ids.text")?)?;
    IdMap::from_parts(ByRow::Str(texts), &live)
}
