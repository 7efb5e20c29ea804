//! Typed attribute columns, one value per row.
//!
//! Text is kept as codes into a dictionary, so that a cap on a genre compares integers; lists are
//! spans into one array of codes. Columns only append and replace: a removed item leaves its row
//! behind, as everywhere in a catalog. What a file holds is [`Parts`], plain arrays that are checked
//! one by one when they are read back.

mod matching;
mod parts;

pub use matching::Test;
pub use parts::Parts;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ColumnType {
    /// True or false.
    #[serde(rename = "bool")]
    Bool,
    /// 64-bit integers.
    #[serde(rename = "int")]
    Int,
    /// Doubles, never NaN or infinite.
    #[serde(rename = "float")]
    Float,
    /// Microseconds since 1970-01-01T00:00:00Z.
    #[serde(rename = "timestamp")]
    Time,
    /// Text.
    #[serde(rename = "str")]
    Str,
    /// Lists of text.
    #[serde(rename = "list[str]")]
    StrList,
}

impl ColumnType {
    /// The name that users see.
    pub fn as_str(self) -> &'static str {
        match self {
            ColumnType::Bool => "bool",
            ColumnType::Int => "int",
            ColumnType::Float => "float",
            ColumnType::Time => "timestamp",
            ColumnType::Str => "str",
            ColumnType::StrList => "list[str]",
        }
    }

    /// Whether a value is a number that a score can use.
    pub fn is_numeric(self) -> bool {
        matches!(self, ColumnType::Bool | ColumnType::Int | ColumnType::Float)
    }

    /// Whether values can be counted by a cap: equality of floats and of instants is an accident.
    pub fn is_countable(self) -> bool {
        !matches!(self, ColumnType::Float | ColumnType::Time)
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing known.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A finite double.
    Float(f64),
    /// Microseconds since the epoch.
    Time(i64),
    /// Text.
    Str(Box<str>),
    /// A list of text.
    StrList(Vec<Box<str>>),
}

impl Value {
    /// The column that would hold this value; `None` for a null, which fits everywhere.
    pub fn column_type(&self) -> Option<ColumnType> {
        match self {
            Value::Null => None,
            Value::Bool(_) => Some(ColumnType::Bool),
            Value::Int(_) => Some(ColumnType::Int),
            Value::Float(_) => Some(ColumnType::Float),
            Value::Time(_) => Some(ColumnType::Time),
            Value::Str(_) => Some(ColumnType::Str),
            Value::StrList(_) => Some(ColumnType::StrList),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value:?}"),
            Value::Time(value) => write!(f, "timestamp {value} µs"),
            Value::Str(value) => write!(f, "{value:?}"),
            Value::StrList(values) => f.debug_list().entries(values).finish(),
        }
    }
}

/// Text by code and codes by text.
#[derive(Clone, Debug, Default)]
struct Dictionary {
    entries: Vec<Arc<str>>,
    codes: HashMap<Arc<str>, u32>,
}

impl Dictionary {
    fn code(&mut self, text: &str) -> Result<u32> {
        if let Some(code) = self.codes.get(text) {
            return Ok(*code);
        }
        let code = u32::try_from(self.entries.len()).map_err(|_| {
            Error::invalid("attributes", "at most 4294967295 distinct texts", "more")
        })?;
        let entry: Arc<str> = text.into();
        self.entries.push(entry.clone());
        self.codes.insert(entry, code);
        Ok(code)
    }

    fn text(&self, code: u32) -> &str {
        &self.entries[code as usize]
    }
}

/// Where a row's list lies.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: usize,
    len: usize,
}

#[derive(Clone, Debug)]
enum Data {
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Float(Vec<f64>),
    Time(Vec<i64>),
    Str(Vec<u32>, Dictionary),
    StrList {
        spans: Vec<Span>,
        codes: Vec<u32>,
        /// Codes that no span covers any more.
        garbage: usize,
        dictionary: Dictionary,
    },
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    valid: Vec<bool>,
    data: Data,
}

impl Column {
    /// An empty column.
    pub fn new(kind: ColumnType) -> Self {
        let data = match kind {
            ColumnType::Bool => Data::Bool(Vec::new()),
            ColumnType::Int => Data::Int(Vec::new()),
            ColumnType::Float => Data::Float(Vec::new()),
            ColumnType::Time => Data::Time(Vec::new()),
            ColumnType::Str => Data::Str(Vec::new(), Dictionary::default()),
            ColumnType::StrList => Data::StrList {
                spans: Vec::new(),
                codes: Vec::new(),
                garbage: 0,
                dictionary: Dictionary::default(),
            },
        };
        Column {
            valid: Vec::new(),
            data,
        }
    }

    /// The type of its values.
    pub fn kind(&self) -> ColumnType {
        match self.data {
            Data::Bool(_) => ColumnType::Bool,
            Data::Int(_) => ColumnType::Int,
            Data::Float(_) => ColumnType::Float,
            Data::Time(_) => ColumnType::Time,
            Data::Str(..) => ColumnType::Str,
            Data::StrList { .. } => ColumnType::StrList,
        }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.valid.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.valid.is_empty()
    }

    /// Whether a value could be pushed or set; changes nothing. `attribute` is the column's name, for
    /// the error.
    pub fn check(&self, attribute: &str, value: &Value) -> Result<()> {
        let argument = || format!("attributes[{attribute:?}]");
        match (self.kind(), value) {
            (_, Value::Null)
            | (ColumnType::Bool, Value::Bool(_))
            | (ColumnType::Int, Value::Int(_))
            | (ColumnType::Time, Value::Time(_))
            | (ColumnType::Str, Value::Str(_))
            | (ColumnType::StrList, Value::StrList(_)) => Ok(()),
            (ColumnType::Float, Value::Float(value)) if value.is_finite() => Ok(()),
            (ColumnType::Float, Value::Float(value)) => Err(Error::invalid(
                argument(),
                "finite numbers, or None for a missing one",
                value,
            )),
            // Whole numbers in a float column are what a list like [1, 2.5] holds.
            (ColumnType::Float, Value::Int(value)) if value.unsigned_abs() <= 1 << 53 => Ok(()),
            (ColumnType::Float, Value::Int(value)) => Err(Error::invalid(
                argument(),
                "integers that a float64 can hold (up to 2^53)",
                value,
            )),
            (kind, value) => Err(Error::wrong_type(
                argument(),
                format!("{kind} values"),
                match value.column_type() {
                    Some(got) => format!("{value} ({got})"),
                    None => value.to_string(),
                },
            )),
        }
    }

    /// Appends a row. `attribute` is the column's name, for the error.
    pub fn push(&mut self, attribute: &str, value: Value) -> Result<()> {
        self.check(attribute, &value)?;
        let valid = value != Value::Null;
        match (&mut self.data, value) {
            (Data::Bool(values), value) => values.push(value == Value::Bool(true)),
            (Data::Int(values) | Data::Time(values), Value::Int(value) | Value::Time(value)) => {
                values.push(value);
            }
            (Data::Int(values) | Data::Time(values), _) => values.push(0),
            (Data::Float(values), Value::Float(value)) => values.push(value),
            (Data::Float(values), Value::Int(value)) => values.push(value as f64),
            (Data::Float(values), _) => values.push(0.0),
            (Data::Str(values, dictionary), Value::Str(text)) => {
                let code = dictionary.code(&text)?;
                values.push(code);
            }
            (Data::Str(values, _), _) => values.push(0),
            (
                Data::StrList {
                    spans,
                    codes,
                    dictionary,
                    ..
                },
                value,
            ) => {
                let span = append_list(codes, dictionary, &value)?;
                spans.push(span);
            }
        }
        self.valid.push(valid);
        Ok(())
    }

    /// Replaces the value of a row that is there.
    pub fn set(&mut self, attribute: &str, row: u32, value: Value) -> Result<()> {
        self.check(attribute, &value)?;
        let valid = value != Value::Null;
        let row = row as usize;
        match (&mut self.data, value) {
            (Data::Bool(values), value) => values[row] = value == Value::Bool(true),
            (Data::Int(values) | Data::Time(values), Value::Int(value) | Value::Time(value)) => {
                values[row] = value;
            }
            (Data::Int(values) | Data::Time(values), _) => values[row] = 0,
            (Data::Float(values), Value::Float(value)) => values[row] = value,
            (Data::Float(values), Value::Int(value)) => values[row] = value as f64,
            (Data::Float(values), _) => values[row] = 0.0,
            (Data::Str(values, dictionary), Value::Str(text)) => {
                values[row] = dictionary.code(&text)?;
            }
            (Data::Str(values, _), _) => values[row] = 0,
            (
                Data::StrList {
                    spans,
                    codes,
                    garbage,
                    dictionary,
                },
                value,
            ) => {
                let span = append_list(codes, dictionary, &value)?;
                *garbage += spans[row].len;
                spans[row] = span;
                // At least half must be waste, so the copying is paid for by the replacements.
                if *garbage > 1024 && *garbage > codes.len() / 2 {
                    (*spans, *codes) = compact(spans, codes);
                    *garbage = 0;
                }
            }
        }
        self.valid[row] = valid;
        Ok(())
    }

    /// The value of a row; null past the end.
    pub fn get(&self, row: u32) -> Value {
        let row = row as usize;
        if !self.valid.get(row).copied().unwrap_or(false) {
            return Value::Null;
        }
        match &self.data {
            Data::Bool(values) => Value::Bool(values[row]),
            Data::Int(values) => Value::Int(values[row]),
            Data::Float(values) => Value::Float(values[row]),
            Data::Time(values) => Value::Time(values[row]),
            Data::Str(values, dictionary) => Value::Str(dictionary.text(values[row]).into()),
            Data::StrList {
                spans,
                codes,
                dictionary,
                ..
            } => Value::StrList(
                codes[spans[row].start..][..spans[row].len]
                    .iter()
                    .map(|&code| dictionary.text(code).into())
                    .collect(),
            ),
        }
    }

    /// Takes back the rows from `len` on: the undo of an interrupted insertion.
    pub fn truncate(&mut self, len: usize) {
        self.valid.truncate(len);
        match &mut self.data {
            Data::Bool(values) => values.truncate(len),
            Data::Int(values) | Data::Time(values) => values.truncate(len),
            Data::Float(values) => values.truncate(len),
            Data::Str(values, _) => values.truncate(len),
            Data::StrList { spans, garbage, .. } => {
                *garbage += spans.iter().skip(len).map(|span| span.len).sum::<usize>();
                spans.truncate(len);
            }
        }
    }

    /// The number in a bool (0 or 1), int or float column; `None` for a null and for other types.
    #[inline]
    pub fn numeric(&self, row: u32) -> Option<f64> {
        let row = row as usize;
        if !self.valid.get(row).copied().unwrap_or(false) {
            return None;
        }
        match &self.data {
            Data::Bool(values) => Some(f64::from(u8::from(values[row]))),
            Data::Int(values) => Some(values[row] as f64),
            Data::Float(values) => Some(values[row]),
            _ => None,
        }
    }

    /// The instant in a timestamp column; `None` for a null and for other types.
    #[inline]
    pub fn time(&self, row: u32) -> Option<i64> {
        match &self.data {
            Data::Time(values) if self.valid.get(row as usize).copied().unwrap_or(false) => {
                Some(values[row as usize])
            }
            _ => None,
        }
    }

    /// Appends what a cap counts for this row: one key per distinct value; none for a null.
    ///
    /// Keys mean something within this column only. Float and timestamp columns have none: see
    /// [`ColumnType::is_countable`].
    #[inline]
    pub fn keys(&self, row: u32, out: &mut Vec<u64>) {
        let row = row as usize;
        if !self.valid.get(row).copied().unwrap_or(false) {
            return;
        }
        match &self.data {
            Data::Bool(values) => out.push(u64::from(values[row])),
            Data::Int(values) => out.push(values[row] as u64),
            Data::Str(values, _) => out.push(u64::from(values[row])),
            Data::StrList { spans, codes, .. } => {
                let first = out.len();
                for &code in &codes[spans[row].start..][..spans[row].len] {
                    // Lists are short: a scan is cheaper than a set.
                    if !out[first..].contains(&u64::from(code)) {
                        out.push(u64::from(code));
                    }
                }
            }
            Data::Float(_) | Data::Time(_) => {}
        }
    }

    /// The value behind a key, as text.
    pub fn key_name(&self, key: u64) -> String {
        match &self.data {
            Data::Bool(_) => (key != 0).to_string(),
            Data::Str(_, dictionary) | Data::StrList { dictionary, .. } => dictionary
                .entries
                .get(key as usize)
                .map_or_else(|| key.to_string(), |text| text.to_string()),
            _ => (key as i64).to_string(),
        }
    }

    /// The key whose name this is: the inverse of [`Column::key_name`]. `None` where no row ever had such
    /// a text, and for what is not how a bool or an integer is written.
    pub fn key_of(&self, name: &str) -> Option<u64> {
        let key = match &self.data {
            Data::Bool(_) => name.parse::<bool>().ok().map(u64::from),
            Data::Int(_) => name.parse::<i64>().ok().map(|value| value as u64),
            Data::Str(_, dictionary) | Data::StrList { dictionary, .. } => {
                dictionary.codes.get(name).map(|&code| u64::from(code))
            }
            Data::Float(_) | Data::Time(_) => None,
        };
        // "+3" and "03" are integers too, and would be second names of one key.
        key.filter(|&key| self.key_name(key) == name)
    }

    /// Appends bytes that stand for the row's value alone: not for its dictionary codes or its place.
    pub fn row_bytes(&self, row: u32, out: &mut Vec<u8>) {
        fn text(out: &mut Vec<u8>, text: &str) {
            out.extend((text.len() as u64).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        let at = row as usize;
        if !self.valid.get(at).copied().unwrap_or(false) {
            out.push(0);
            return;
        }
        match &self.data {
            Data::Bool(values) => out.extend([1, u8::from(values[at])]),
            Data::Int(values) => {
                out.push(2);
                out.extend(values[at].to_le_bytes());
            }
            Data::Float(values) => {
                out.push(3);
                out.extend(values[at].to_bits().to_le_bytes());
            }
            Data::Time(values) => {
                out.push(4);
                out.extend(values[at].to_le_bytes());
            }
            Data::Str(values, dictionary) => {
                out.push(5);
                text(out, dictionary.text(values[at]));
            }
            Data::StrList {
                spans,
                codes,
                dictionary,
                ..
            } => {
                out.push(6);
                out.extend((spans[at].len as u64).to_le_bytes());
                for &code in &codes[spans[at].start..][..spans[at].len] {
                    text(out, dictionary.text(code));
                }
            }
        }
    }
}

fn append_list(codes: &mut Vec<u32>, dictionary: &mut Dictionary, value: &Value) -> Result<Span> {
    let start = codes.len();
    if let Value::StrList(values) = value {
        for text in values {
            let code = dictionary.code(text)?;
            codes.push(code);
        }
    }
    Ok(Span {
        start,
        len: codes.len() - start,
    })
}

fn compact(spans: &[Span], codes: &[u32]) -> (Vec<Span>, Vec<u32>) {
    let mut kept = Vec::with_capacity(spans.iter().map(|span| span.len).sum());
    let spans = spans
        .iter()
        .map(|span| {
            let start = kept.len();
            kept.extend_from_slice(&codes[span.start..][..span.len]);
            Span {
                start,
                len: span.len,
            }
        })
        .collect();
    (spans, kept)
}
