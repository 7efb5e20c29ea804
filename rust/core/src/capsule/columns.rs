//! Attribute columns in a capsule, both ways.

use std::collections::BTreeMap;

use flatbuffers::{FlatBufferBuilder, ForwardsUOffset, Vector, WIPOffset};

use super::generated::perso_core as fb;
use crate::column::{Column, ColumnType, Parts};
use crate::error::{Error, Result};

/// Reads the columns of one kind; names are distinct.
pub(super) fn read_all(
    rows: usize,
    columns: Option<Vector<'_, ForwardsUOffset<fb::Column<'_>>>>,
    most: usize,
) -> Result<BTreeMap<String, Column>> {
    let mut out = BTreeMap::new();
    for column in columns.into_iter().flatten() {
        let name = column.name();
        let about = |what: String| Error::format(format!("attribute {name:?}: {what}"));
        if name.is_empty() || out.len() == most {
            return Err(about("no name, or too many attributes".into()));
        }
        let read = read(rows, &column).map_err(|error| about(error.to_string()))?;
        if out.insert(name.to_string(), read).is_some() {
            return Err(about("it is there twice".into()));
        }
    }
    Ok(out)
}

fn read(rows: usize, column: &fb::Column<'_>) -> Result<Column> {
    let kind = match column.kind() {
        fb::Kind::Bool => ColumnType::Bool,
        fb::Kind::Int => ColumnType::Int,
        fb::Kind::Float => ColumnType::Float,
        fb::Kind::Time => ColumnType::Time,
        fb::Kind::Str => ColumnType::Str,
        fb::Kind::StrList => ColumnType::StrList,
        fb::Kind(other) => return Err(Error::format(format!("an unknown kind {other}"))),
    };
    let mut parts = Parts {
        validity: match column.valid() {
            Some(valid) => valid.bytes().to_vec(),
            None => vec![1; rows],
        },
        bools: column.bools().map_or(Vec::new(), |v| v.bytes().to_vec()),
        ints: column.ints().map_or(Vec::new(), |v| v.iter().collect()),
        floats: column.floats().map_or(Vec::new(), |v| v.iter().collect()),
        codes: column
            .codes()
            .map_or(Vec::new(), |v| v.iter().map(u32::from).collect()),
        ..Parts::default()
    };
    if parts.validity.len() != rows {
        let len = parts.validity.len();
        return Err(Error::format(format!("{len} flags for {rows} candidates")));
    }
    if let Some(ends) = column.list_ends() {
        parts.offsets = std::iter::once(0)
            .chain(ends.iter().map(u64::from))
            .collect();
    }
    if let Some(dictionary) = column.dictionary() {
        parts.dict_offsets.push(0);
        for text in dictionary {
            parts.dict_bytes.extend_from_slice(text.as_bytes());
            parts.dict_offsets.push(parts.dict_bytes.len() as u64);
        }
    }
    Column::from_parts(kind, parts)
}

/// Writes a column.
pub(super) fn write<'b>(
    builder: &mut FlatBufferBuilder<'b>,
    name: &str,
    column: &Column,
) -> Result<WIPOffset<fb::Column<'b>>> {
    let kind = match column.kind() {
        ColumnType::Bool => fb::Kind::Bool,
        ColumnType::Int => fb::Kind::Int,
        ColumnType::Float => fb::Kind::Float,
        ColumnType::Time => fb::Kind::Time,
        ColumnType::Str => fb::Kind::Str,
        ColumnType::StrList => fb::Kind::StrList,
    };
    let parts = column.to_parts();
    let narrow = |code: &u32| u16::try_from(*code).ok();
    let codes: Option<Vec<u16>> = parts.codes.iter().map(narrow).collect();
    let end = |end: &u64| u32::try_from(*end).ok();
    let ends: Option<Vec<u32>> = parts.offsets.iter().skip(1).map(end).collect();
    let (Some(codes), Some(ends)) = (codes, ends) else {
        return Err(Error::invalid(
            format!("attributes[{name:?}]"),
            "at most 65536 distinct texts in a capsule, and lists of 4294967295 in all",
            "more",
        ));
    };
    let text = matches!(kind, fb::Kind::Str | fb::Kind::StrList);
    let dictionary = text.then(|| {
        let entries: Vec<_> = parts
            .dict_offsets
            .windows(2)
            .map(|pair| {
                let bytes = &parts.dict_bytes[pair[0] as usize..pair[1] as usize];
                // Columns hold text only.
                builder.create_string(std::str::from_utf8(bytes).unwrap_or_default())
            })
            .collect();
        builder.create_vector(&entries)
    });
    let partial = parts.validity.contains(&0);
    let args = fb::ColumnArgs {
        name: Some(builder.create_string(name)),
        kind,
        valid: partial.then(|| builder.create_vector(&parts.validity)),
        bools: (kind == fb::Kind::Bool).then(|| builder.create_vector(&parts.bools)),
        ints: matches!(kind, fb::Kind::Int | fb::Kind::Time)
            .then(|| builder.create_vector(&parts.ints)),
        floats: (kind == fb::Kind::Float).then(|| builder.create_vector(&parts.floats)),
        codes: text.then(|| builder.create_vector(&codes)),
        list_ends: (kind == fb::Kind::StrList).then(|| builder.create_vector(&ends)),
        dictionary,
    };
    Ok(fb::Column::create(builder, &args))
}
