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
            Some(valid) => flags(rows, valid.bytes())?,
            None => vec![1; rows],
        },
        bools: column.bools().map_or(Vec::new(), |v| v.bytes().to_vec()),
        ints: column
            .ints()
            .map_or(Ok(Vec::new()), |ints| read_integers(ints))?,
        floats: match (column.floats(), column.singles()) {
            (None, None) => Vec::new(),
            (Some(floats), None) => floats.iter().collect(),
            (None, Some(singles)) => singles.iter().map(f64::from).collect(),
            (Some(_), Some(_)) => return Err(Error::format("numbers of two widths")),
        },
        codes: column
            .codes()
            .map_or(Vec::new(), |v| v.iter().map(u32::from).collect()),
        ..Parts::default()
    };
    if let Some(lengths) = column.list_lengths() {
        parts.offsets.push(0);
        let mut end = 0;
        parts.offsets.extend(lengths.iter().map(|length| {
            end += u64::from(length);
            end
        }));
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
    let length = |pair: &[u64]| u16::try_from(pair[1] - pair[0]).ok();
    let lengths: Option<Vec<u16>> = parts.offsets.windows(2).map(length).collect();
    let (Some(codes), Some(lengths)) = (codes, lengths) else {
        return Err(Error::invalid(
            format!("attributes[{name:?}]"),
            "at most 65536 distinct texts in a capsule, and lists of at most 65535",
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
    let is = |kinds: &[fb::Kind]| kinds.contains(&kind);
    let exact = |x: &f64| f64::from(*x as f32).to_bits() == x.to_bits();
    let singles = is(&[fb::Kind::Float]) && parts.floats.iter().all(exact);
    let args = fb::ColumnArgs {
        name: Some(builder.create_string(name)),
        kind,
        valid: partial.then(|| builder.create_vector(&bits(&parts.validity))),
        bools: is(&[fb::Kind::Bool]).then(|| builder.create_vector(&parts.bools)),
        ints: is(&[fb::Kind::Int, fb::Kind::Time]).then(|| write_integers(builder, &parts.ints)),
        floats: (is(&[fb::Kind::Float]) && !singles).then(|| builder.create_vector(&parts.floats)),
        singles: singles.then(|| {
            let singles: Vec<f32> = parts.floats.iter().map(|x| *x as f32).collect();
            builder.create_vector(&singles)
        }),
        codes: text.then(|| builder.create_vector(&codes)),
        list_lengths: is(&[fb::Kind::StrList]).then(|| builder.create_vector(&lengths)),
        dictionary,
    };
    Ok(fb::Column::create(builder, &args))
}

/// Flags as bits, the lowest first.
fn bits(flags: &[u8]) -> Vec<u8> {
    let eights = flags.chunks(8);
    eights
        .map(|eight| eight.iter().rev().fold(0, |byte, flag| byte << 1 | flag))
        .collect()
}

fn flags(rows: usize, bits: &[u8]) -> Result<Vec<u8>> {
    let flags: Vec<u8> = (0..8 * bits.len())
        .map(|i| bits[i / 8] >> (i % 8) & 1)
        .collect();
    let (own, rest) = flags.split_at(rows.min(flags.len()));
    if bits.len() != rows.div_ceil(8) || rest.contains(&1) {
        let bytes = bits.len();
        return Err(Error::format(format!(
            "{bytes} bytes of flags for {rows} candidates"
        )));
    }
    Ok(own.to_vec())
}

/// Integers, in as few bytes as their distances allow: most ids and whole seconds in four.
pub(super) fn write_integers<'b>(
    builder: &mut FlatBufferBuilder<'b>,
    values: &[i64],
) -> WIPOffset<fb::Integers<'b>> {
    let base = values.iter().copied().min().unwrap_or_default();
    // Distances fit a u64, whatever the signs.
    let distance = |value: &i64| value.wrapping_sub(base) as u64;
    let step = values.iter().map(distance).fold(0, gcd).max(1);
    let steps: Option<Vec<u32>> = values
        .iter()
        .map(|value| u32::try_from(distance(value) / step).ok())
        .collect();
    let args = match (steps, i64::try_from(step)) {
        (Some(steps), Ok(step)) => fb::IntegersArgs {
            wide: None,
            base,
            step,
            steps: Some(builder.create_vector(&steps)),
        },
        _ => fb::IntegersArgs {
            wide: Some(builder.create_vector(values)),
            ..fb::IntegersArgs::default()
        },
    };
    fb::Integers::create(builder, &args)
}

fn gcd(a: u64, b: u64) -> u64 {
    match b {
        0 => a,
        b => gcd(b, a % b),
    }
}

pub(super) fn read_integers(integers: fb::Integers<'_>) -> Result<Vec<i64>> {
    let wrong = || Error::format("integers that are neither wide nor steps within 64 bits");
    match (integers.wide(), integers.steps()) {
        (Some(wide), None) => Ok(wide.iter().collect()),
        (None, Some(steps)) => {
            let (base, step) = (integers.base(), integers.step());
            // Steps may reach further from the base than an i64: from far below 0 to far above.
            let value = |steps: u32| {
                let far = i128::from(step) * i128::from(steps) + i128::from(base);
                i64::try_from(far).ok()
            };
            steps
                .iter()
                .map(value)
                .collect::<Option<_>>()
                .ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_come_back(
            base in any::<i64>(), step in prop_oneof![Just(1u64), 1u64..5_000_000, any::<u64>()],
            steps in prop::collection::vec(prop_oneof![0u64..9, any::<u64>()], 0..40),
        ) {
            let values: Vec<i64> =
                steps.iter().map(|s| base.wrapping_add(step.wrapping_mul(*s) as i64)).collect();
            let mut builder = FlatBufferBuilder::new();
            let root = write_integers(&mut builder, &values);
            builder.finish(root, None);
            let held = flatbuffers::root::<fb::Integers<'_>>(builder.finished_data()).unwrap();
            prop_assert_eq!(read_integers(held).unwrap(), values);
        }

        /// From the least integer to the greatest, which are further apart than an i64.
        #[test]
        fn integers_far_apart_come_back(parts in 1u64..1000) {
            let step = u64::MAX / parts;
            let value = |i: u64| i64::MIN.wrapping_add((step * i) as i64);
            let values: Vec<i64> = (0..=parts).map(value).collect();
            let mut builder = FlatBufferBuilder::new();
            let root = write_integers(&mut builder, &values);
            builder.finish(root, None);
            let held = flatbuffers::root::<fb::Integers<'_>>(builder.finished_data()).unwrap();
            prop_assert_eq!(read_integers(held).unwrap(), values);
        }

        #[test]
        fn flags_come_back(given in prop::collection::vec(0u8..2, 0..40)) {
            prop_assert_eq!(flags(given.len(), &bits(&given)).unwrap(), given.clone());
            prop_assert!(flags(given.len() + 8, &bits(&given)).is_err());
        }
    }
}
