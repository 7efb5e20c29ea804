//! A column as plain arrays, and back. What comes from a file is checked before it is believed.

use crate::error::{Error, Result};

use super::{list, pages, Column, ColumnType, Data};
use crate::store::{Dictionary, Paged};

/// The plain arrays of a column, as a file keeps them. Which ones are in use depends on the type;
/// the others are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// 1 where the row has a value, else 0.
    pub validity: Vec<u8>,
    /// Bool: 0 or 1 per row.
    pub bools: Vec<u8>,
    /// Int and Time: one per row.
    pub ints: Vec<i64>,
    /// Float: one per row.
    pub floats: Vec<f64>,
    /// Str: one dictionary code per row. StrList: the codes of all lists, one list after another.
    pub codes: Vec<u32>,
    /// StrList: where each row's codes start, and the end of the last: rows + 1 numbers.
    pub offsets: Vec<u64>,
    /// Str and StrList: where each dictionary entry starts, and the end of the last.
    pub dict_offsets: Vec<u64>,
    /// Str and StrList: the dictionary entries, one after another.
    pub dict_bytes: Vec<u8>,
}

impl Column {
    /// The plain arrays to save. The dictionary is written in order of first use and without entries
    /// that nothing uses, so equal columns give equal bytes.
    pub fn to_parts(&self) -> Parts {
        let mut parts = Parts {
            validity: self.valid.to_vec(),
            ..Parts::default()
        };
        match &self.data {
            Data::Bool(values) => parts.bools = values.to_vec(),
            Data::Int(values) | Data::Time(values) => parts.ints = values.to_vec(),
            Data::Float(values) => parts.floats = values.to_vec(),
            Data::Str(values, dictionary) => {
                let mut fresh = Recode::new(dictionary);
                parts.codes = values
                    .iter()
                    .zip(self.valid.iter())
                    .map(|(&code, &valid)| if valid == 1 { fresh.code(code) } else { 0 })
                    .collect();
                (parts.dict_offsets, parts.dict_bytes) = fresh.finish();
            }
            Data::StrList {
                spans,
                codes,
                dictionary,
                ..
            } => {
                let mut fresh = Recode::new(dictionary);
                parts.offsets.push(0);
                for row in 0..spans.len() {
                    for &code in list(spans, codes, row) {
                        parts.codes.push(fresh.code(code));
                    }
                    parts.offsets.push(parts.codes.len() as u64);
                }
                (parts.dict_offsets, parts.dict_bytes) = fresh.finish();
            }
        }
        parts
    }

    /// Rebuilds a column from a file's arrays; anything that does not fit together is an
    /// [`Error::Format`].
    pub fn from_parts(kind: ColumnType, parts: Parts) -> Result<Column> {
        let rows = parts.validity.len();
        let damaged = |what: String| Error::format(format!("a {kind} column is damaged: {what}"));
        if let Some(flag) = parts.validity.iter().find(|&&flag| flag > 1) {
            return Err(damaged(format!("validity {flag} is neither 0 nor 1")));
        }
        let text = matches!(kind, ColumnType::Str | ColumnType::StrList);
        let expected = [
            ("bools", parts.bools.len(), kind == ColumnType::Bool, rows),
            (
                "ints",
                parts.ints.len(),
                matches!(kind, ColumnType::Int | ColumnType::Time),
                rows,
            ),
            (
                "floats",
                parts.floats.len(),
                kind == ColumnType::Float,
                rows,
            ),
            (
                "codes",
                parts.codes.len(),
                text,
                if kind == ColumnType::StrList {
                    parts.codes.len()
                } else {
                    rows
                },
            ),
            (
                "offsets",
                parts.offsets.len(),
                kind == ColumnType::StrList,
                rows + 1,
            ),
            (
                "dictionary offsets",
                parts.dict_offsets.len(),
                text,
                parts.dict_offsets.len().max(1),
            ),
            (
                "dictionary bytes",
                parts.dict_bytes.len(),
                text,
                parts.dict_bytes.len(),
            ),
        ];
        for (name, len, used, wanted) in expected {
            let wanted = if used { wanted } else { 0 };
            if len != wanted {
                return Err(damaged(format!("{len} {name} where {wanted} belong")));
            }
        }
        let data = match kind {
            ColumnType::Bool => {
                if let Some(bad) = parts.bools.iter().find(|&&b| b > 1) {
                    return Err(damaged(format!("{bad} is neither 0 nor 1")));
                }
                Data::Bool(filled(&parts.bools))
            }
            ColumnType::Int => Data::Int(filled(&parts.ints)),
            ColumnType::Time => Data::Time(filled(&parts.ints)),
            ColumnType::Float => {
                if let Some(bad) = parts.floats.iter().find(|value| !value.is_finite()) {
                    return Err(damaged(format!("it holds {bad}")));
                }
                Data::Float(filled(&parts.floats))
            }
            ColumnType::Str => {
                let dictionary =
                    read_dictionary(&parts.dict_offsets, parts.dict_bytes).map_err(damaged)?;
                let entries = dictionary.len();
                let valued = parts.codes.iter().zip(&parts.validity);
                for (&code, _) in valued.filter(|(_, valid)| **valid == 1) {
                    if code as usize >= entries {
                        return Err(damaged(format!("code {code} of {entries}")));
                    }
                }
                Data::Str(filled(&parts.codes), dictionary)
            }
            ColumnType::StrList => {
                let dictionary =
                    read_dictionary(&parts.dict_offsets, parts.dict_bytes).map_err(damaged)?;
                let entries = dictionary.len();
                if let Some(code) = parts.codes.iter().find(|&&code| code as usize >= entries) {
                    return Err(damaged(format!("code {code} of {entries}")));
                }
                check_offsets(&parts.offsets, parts.codes.len()).map_err(damaged)?;
                let lengths = parts.offsets.windows(2).map(|pair| pair[1] - pair[0]);
                let mut spans = pages(2);
                for ((start, len), &valid) in parts.offsets.iter().zip(lengths).zip(&parts.validity)
                {
                    if valid == 0 && len > 0 {
                        return Err(damaged("a missing list has values".into()));
                    }
                    spans.push(&[*start, len]);
                }
                Data::StrList {
                    spans,
                    codes: parts.codes.into(),
                    garbage: 0,
                    dictionary,
                }
            }
        };
        Ok(Column {
            valid: filled(&parts.validity),
            data,
        })
    }
}

fn filled<T: bytemuck::Pod>(values: &[T]) -> Paged<T> {
    let mut filled = pages(1);
    filled.extend_from_slice(values);
    filled
}

/// A dictionary rewritten in order of first use.
struct Recode<'a> {
    old: &'a Dictionary,
    new_codes: Vec<Option<u32>>,
    used: u32,
    offsets: Vec<u64>,
    bytes: Vec<u8>,
}

impl<'a> Recode<'a> {
    fn new(old: &'a Dictionary) -> Self {
        Recode {
            old,
            new_codes: vec![None; old.len()],
            used: 0,
            offsets: vec![0],
            bytes: Vec::new(),
        }
    }

    fn code(&mut self, old: u32) -> u32 {
        if let Some(code) = self.new_codes[old as usize] {
            return code;
        }
        let code = self.used;
        self.new_codes[old as usize] = Some(code);
        self.used += 1;
        self.bytes.extend_from_slice(self.old.text(old).as_bytes());
        self.offsets.push(self.bytes.len() as u64);
        code
    }

    fn finish(self) -> (Vec<u64>, Vec<u8>) {
        (self.offsets, self.bytes)
    }
}

fn check_offsets(offsets: &[u64], end: usize) -> std::result::Result<(), String> {
    let monotone = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    if offsets.first() != Some(&0) || offsets.last() != Some(&(end as u64)) || !monotone {
        return Err(format!("its offsets do not run from 0 to {end}"));
    }
    Ok(())
}

fn read_dictionary(offsets: &[u64], bytes: Vec<u8>) -> std::result::Result<Dictionary, String> {
    check_offsets(offsets, bytes.len())?;
    let mut dictionary = Dictionary::default();
    for pair in offsets.windows(2) {
        let entry = std::str::from_utf8(&bytes[pair[0] as usize..pair[1] as usize])
            .map_err(|_| "its dictionary is not UTF-8".to_string())?;
        let before = dictionary.len() as u32;
        match dictionary.code(entry) {
            Ok(code) if code == before => {}
            _ => return Err(format!("its dictionary has {entry:?} twice")),
        }
    }
    Ok(dictionary)
}
