//! Typed attribute columns, one value per row.
//!
//! Text is kept as codes into a dictionary, so that a cap on a genre compares integers; lists are
//! spans into one array of codes. Columns only append and replace: a removed item leaves its row
//! behind, as everywhere in a catalog. Values lie in pages (`store::Paged`), so versions of a catalog share
//! all but the pages that were written since. What a file holds is [`Parts`], plain arrays that are checked
//! one by one when they are read back.

mod kept;
mod matching;
mod parts;

pub(crate) use matching::Sought;
pub use matching::Test;
pub use parts::Parts;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::store::{Buf, Dictionary, Paged};

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

/// Rows of a page: a multiple of 64, so that a scan of a page fills whole words of a row set.
const ROWS_A_PAGE: usize = 512;

#[derive(Clone, Debug)]
enum Data {
    /// 0 or 1.
    Bool(Paged<u8>),
    Int(Paged<i64>),
    Float(Paged<f64>),
    Time(Paged<i64>),
    Str(Paged<u32>, Dictionary),
    StrList {
        /// Where a row's list starts in `codes`, and its length.
        spans: Paged<u64>,
        codes: Buf<u32>,
        /// Codes that no span covers any more.
        garbage: usize,
        dictionary: Dictionary,
    },
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// 1 where the row has a value, else 0.
    valid: Paged<u8>,
    data: Data,
}

fn pages<T: bytemuck::Pod>(stride: usize) -> Paged<T> {
    Paged::with_rows_a_page(stride, ROWS_A_PAGE)
}

/// The codes of a row's list.
fn list<'a>(spans: &Paged<u64>, codes: &'a Buf<u32>, row: usize) -> &'a [u32] {
    let span = spans.row(row);
    &codes[span[0] as usize..][..span[1] as usize]
}

impl Column {
    /// An empty column.
    pub fn new(kind: ColumnType) -> Self {
        let data = match kind {
            ColumnType::Bool => Data::Bool(pages(1)),
            ColumnType::Int => Data::Int(pages(1)),
            ColumnType::Float => Data::Float(pages(1)),
            ColumnType::Time => Data::Time(pages(1)),
            ColumnType::Str => Data::Str(pages(1), Dictionary::default()),
            ColumnType::StrList => Data::StrList {
                spans: pages(2),
                codes: Buf::default(),
                garbage: 0,
                dictionary: Dictionary::default(),
            },
        };
        Column {
            valid: pages(1),
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
        self.grow(1);
        self.put(self.len() - 1, value)
    }

    /// Appends rows of nulls.
    pub fn grow(&mut self, rows: usize) {
        self.valid.grow(rows, 0);
        match &mut self.data {
            Data::Bool(values) => values.grow(rows, 0),
            Data::Int(values) | Data::Time(values) => values.grow(rows, 0),
            Data::Float(values) => values.grow(rows, 0.0),
            Data::Str(values, _) => values.grow(rows, 0),
            Data::StrList { spans, .. } => spans.grow(rows, 0),
        }
    }

    /// Replaces the value of a row that is there.
    pub fn set(&mut self, attribute: &str, row: u32, value: Value) -> Result<()> {
        self.check(attribute, &value)?;
        self.put(row as usize, value)
    }

    /// Writes a checked value.
    fn put(&mut self, row: usize, value: Value) -> Result<()> {
        let valid = value != Value::Null;
        match (&mut self.data, value) {
            (Data::Bool(values), value) => values.set(row, u8::from(value == Value::Bool(true))),
            (Data::Int(values) | Data::Time(values), Value::Int(value) | Value::Time(value)) => {
                values.set(row, value);
            }
            (Data::Int(values) | Data::Time(values), _) => values.set(row, 0),
            (Data::Float(values), Value::Float(value)) => values.set(row, value),
            (Data::Float(values), Value::Int(value)) => values.set(row, value as f64),
            (Data::Float(values), _) => values.set(row, 0.0),
            (Data::Str(values, dictionary), Value::Str(text)) => {
                values.set(row, dictionary.code(&text)?);
            }
            (Data::Str(values, _), _) => values.set(row, 0),
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
                *garbage += spans.row(row)[1] as usize;
                spans.row_mut(row).copy_from_slice(&span);
                // At least half must be waste, so the copying is paid for by the replacements.
                if *garbage > 1024 && *garbage > codes.len() / 2 {
                    (*spans, *codes) = compact(spans, codes);
                    *garbage = 0;
                }
            }
        }
        if self.valid.get(row) != u8::from(valid) {
            self.valid.set(row, u8::from(valid));
        }
        Ok(())
    }

    /// Whether a row has a value; one past the end has none.
    #[inline]
    fn is_valid(&self, row: usize) -> bool {
        row < self.valid.len() && self.valid.get(row) == 1
    }

    /// The value of a row; null past the end.
    pub fn get(&self, row: u32) -> Value {
        let row = row as usize;
        if !self.is_valid(row) {
            return Value::Null;
        }
        match &self.data {
            Data::Bool(values) => Value::Bool(values.get(row) == 1),
            Data::Int(values) => Value::Int(values.get(row)),
            Data::Float(values) => Value::Float(values.get(row)),
            Data::Time(values) => Value::Time(values.get(row)),
            Data::Str(values, dictionary) => Value::Str(dictionary.text(values.get(row)).into()),
            Data::StrList {
                spans,
                codes,
                dictionary,
                ..
            } => Value::StrList(
                list(spans, codes, row)
                    .iter()
                    .map(|&code| dictionary.text(code).into())
                    .collect(),
            ),
        }
    }

    /// The number in a bool (0 or 1), int or float column; `None` for a null and for other types.
    #[inline]
    pub fn numeric(&self, row: u32) -> Option<f64> {
        let row = row as usize;
        if !self.is_valid(row) {
            return None;
        }
        match &self.data {
            Data::Bool(values) => Some(f64::from(values.get(row))),
            Data::Int(values) => Some(values.get(row) as f64),
            Data::Float(values) => Some(values.get(row)),
            _ => None,
        }
    }

    /// The instant in a timestamp column; `None` for a null and for other types.
    #[inline]
    pub fn time(&self, row: u32) -> Option<i64> {
        match &self.data {
            Data::Time(values) if self.is_valid(row as usize) => Some(values.get(row as usize)),
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
        if !self.is_valid(row) {
            return;
        }
        match &self.data {
            Data::Bool(values) => out.push(u64::from(values.get(row))),
            Data::Int(values) => out.push(values.get(row) as u64),
            Data::Str(values, _) => out.push(u64::from(values.get(row))),
            Data::StrList { spans, codes, .. } => {
                let first = out.len();
                for &code in list(spans, codes, row) {
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
            Data::Str(_, dictionary) | Data::StrList { dictionary, .. } => {
                if key < dictionary.len() as u64 {
                    dictionary.text(key as u32).to_owned()
                } else {
                    key.to_string()
                }
            }
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
                dictionary.find(name).map(u64::from)
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
        if !self.is_valid(at) {
            out.push(0);
            return;
        }
        match &self.data {
            Data::Bool(values) => out.extend([1, values.get(at)]),
            Data::Int(values) => {
                out.push(2);
                out.extend(values.get(at).to_le_bytes());
            }
            Data::Float(values) => {
                out.push(3);
                out.extend(values.get(at).to_bits().to_le_bytes());
            }
            Data::Time(values) => {
                out.push(4);
                out.extend(values.get(at).to_le_bytes());
            }
            Data::Str(values, dictionary) => {
                out.push(5);
                text(out, dictionary.text(values.get(at)));
            }
            Data::StrList {
                spans,
                codes,
                dictionary,
                ..
            } => {
                out.push(6);
                out.extend(spans.row(at)[1].to_le_bytes());
                for &code in list(spans, codes, at) {
                    text(out, dictionary.text(code));
                }
            }
        }
    }
}

fn append_list(
    codes: &mut Buf<u32>,
    dictionary: &mut Dictionary,
    value: &Value,
) -> Result<[u64; 2]> {
    let start = codes.len();
    if let Value::StrList(values) = value {
        for text in values {
            codes.push(dictionary.code(text)?);
        }
    }
    Ok([start as u64, (codes.len() - start) as u64])
}

fn compact(spans: &Paged<u64>, codes: &Buf<u32>) -> (Paged<u64>, Buf<u32>) {
    let mut kept_spans = pages(2);
    let mut kept = Buf::default();
    for row in 0..spans.len() {
        let own = list(spans, codes, row);
        kept_spans.push(&[kept.len() as u64, own.len() as u64]);
        kept.extend_from_slice(own);
    }
    (kept_spans, kept)
}
