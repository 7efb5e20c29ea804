//! Arrow columns in the core's terms. They come through the PyCapsule interface, from anything with
//! `__arrow_c_stream__` or `__arrow_c_array__` (pyarrow, polars, DuckDB, pandas, nanoarrow, …), without pyarrow;
//! `stream` reads them batch by batch. Vectors in single precision and int8 are taken where they lie.
//!
//! The few conversions are written out here: the general `arrow-cast` crate would make the extension
//! five times as large.

mod vectors;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Int8Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt16Type, UInt32Type, UInt64Type, UInt8Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Schema, TimeUnit};
use perso_core::catalog::Piece;
use perso_core::column::{ColumnType, Value};
use perso_core::error::{Error, Result};
use perso_core::ids::Ids;

use vectors::{check_lists, first_len, numbers};

/// A space to read: its name and the column that holds its vectors.
pub type SpaceColumn = (String, String);

/// A column of a table: its name and where it stands.
type Place = (String, usize);

/// Where a table has what a catalog takes.
pub struct Columns {
    id: Place,
    /// Each with the name of its space, and the components that the schema states.
    spaces: Vec<(String, Place, usize)>,
    attributes: Vec<(Place, ColumnType)>,
}

impl Columns {
    /// `attributes` of `None` takes every column that is neither the id nor a space.
    pub fn find(
        schema: &Schema,
        id: &str,
        spaces: &[SpaceColumn],
        attributes: Option<&[String]>,
    ) -> Result<Self> {
        let id = (id.to_owned(), find(schema, "id", id)?);
        empty_ids(schema.field(id.1).data_type(), &id.0)?;
        let mut columns = Columns {
            id,
            spaces: Vec::new(),
            attributes: Vec::new(),
        };
        for (space, column) in spaces {
            let at = find(schema, "spaces", column)?;
            check_lists(column, schema.field(at).data_type())?;
            let dim = match schema.field(at).data_type() {
                DataType::FixedSizeList(_, len) => usize::try_from(*len).unwrap_or(0),
                _ => 0, // the first row says it
            };
            let place = (column.clone(), at);
            columns.spaces.push((space.clone(), place, dim));
        }
        for (at, field) in schema.fields().iter().enumerate() {
            let is_space = || columns.spaces.iter().any(|(_, place, _)| place.1 == at);
            let wanted = match attributes {
                Some(names) => names.contains(field.name()),
                None => at != columns.id.1 && !is_space(),
            };
            if wanted {
                let kind = column_type(field.name(), field.data_type())?;
                let place = (field.name().clone(), at);
                columns.attributes.push((place, kind));
            }
        }
        for name in attributes.unwrap_or_default() {
            find(schema, "attributes", name)?;
        }
        Ok(columns)
    }

    /// The spaces that the table has vectors of.
    pub fn space_names(&self) -> Vec<String> {
        self.spaces.iter().map(|(name, ..)| name.clone()).collect()
    }

    /// Components of each space's vectors; 0 where the schema does not say and there is no row.
    pub fn dims(&self, batch: Option<&RecordBatch>) -> Vec<usize> {
        let dim = |(_, (_, at), stated): &(String, Place, usize)| {
            let column = batch.filter(|batch| *stated == 0 && batch.num_rows() > 0);
            column.map_or(*stated, |batch| first_len(batch.column(*at)))
        };
        self.spaces.iter().map(dim).collect()
    }

    /// A batch in the core's terms; `row` is the place of its first row in the whole table.
    pub fn piece<'a>(&self, batch: &'a RecordBatch, row: usize) -> Result<Piece<'a>> {
        let (id, at) = &self.id;
        let vectors = self.spaces.iter().map(|(_, (column, at), dim)| {
            let dim = if *dim == 0 {
                first_len(batch.column(*at))
            } else {
                *dim
            };
            numbers(batch.column(*at), column, dim, row)
        });
        let attributes = self.attributes.iter().map(|((name, at), kind)| {
            let mut values = Vec::with_capacity(batch.num_rows());
            read_values(batch.column(*at), name, *kind, row, &mut values)?;
            Ok((name.clone(), *kind, values))
        });
        Ok(Piece {
            ids: read_ids(batch.column(*at), id, row)?,
            vectors: vectors.collect::<Result<_>>()?,
            attributes: attributes.collect::<Result<_>>()?,
        })
    }
}

fn find(schema: &Schema, argument: &str, name: &str) -> Result<usize> {
    schema.index_of(name).map_err(|_| {
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| &**field.name())
            .collect();
        Error::invalid(
            argument,
            format!("a column of the table {names:?}"),
            format!("{name:?}"),
        )
    })
}

pub fn failed(error: ArrowError) -> Error {
    Error::format(format!("the Arrow data cannot be read: {error}"))
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn empty_ids(kind: &DataType, name: &str) -> Result<Ids> {
    if kind.is_integer() {
        Ok(Ids::Int(Vec::new()))
    } else if is_text(kind) {
        Ok(Ids::Str(Vec::new()))
    } else {
        Err(Error::wrong_type(
            "id",
            "a column of integers or text",
            format!("column {name:?} of {kind}"),
        ))
    }
}

fn read_ids(column: &ArrayRef, name: &str, row: usize) -> Result<Ids> {
    if column.null_count() > 0 {
        let at = row
            + (0..column.len())
                .position(|i| column.is_null(i))
                .unwrap_or(0);
        let got = format!("a null in {name:?}, row {at}");
        return Err(Error::invalid("id", "a column without nulls", got));
    }
    let null = || {
        Error::invalid(
            "id",
            "a column without nulls",
            format!("a null in {name:?}"),
        )
    };
    Ok(match empty_ids(column.data_type(), name)? {
        Ids::Int(_) => {
            let found = integers("id", column)?.into_iter();
            Ids::Int(found.map(|id| id.ok_or_else(null)).collect::<Result<_>>()?)
        }
        // A dictionary may have null entries.
        Ids::Str(_) => {
            let found = texts(column.as_ref()).into_iter();
            Ids::Str(found.map(|id| id.ok_or_else(null)).collect::<Result<_>>()?)
        }
    })
}

/// Every integer type as i64.
fn integers(argument: &str, column: &dyn Array) -> Result<Vec<Option<i64>>> {
    macro_rules! widen {
        ($kind:ty) => {
            Ok(column
                .as_primitive::<$kind>()
                .iter()
                .map(|v| v.map(i64::from))
                .collect())
        };
    }
    match column.data_type() {
        DataType::Int8 => widen!(Int8Type),
        DataType::Int16 => widen!(Int16Type),
        DataType::Int32 => widen!(Int32Type),
        DataType::Int64 => widen!(Int64Type),
        DataType::UInt8 => widen!(UInt8Type),
        DataType::UInt16 => widen!(UInt16Type),
        DataType::UInt32 => widen!(UInt32Type),
        _ => column
            .as_primitive::<UInt64Type>()
            .iter()
            .map(|value| {
                let fits = |v| {
                    i64::try_from(v)
                        .map_err(|_| Error::invalid(argument, "integers within int64", v))
                };
                value.map(fits).transpose()
            })
            .collect(),
    }
}

/// Every float type as f64; widening is exact.
fn floats(column: &dyn Array) -> Vec<Option<f64>> {
    match column.data_type() {
        DataType::Float16 => {
            let values = column.as_primitive::<Float16Type>().iter();
            values.map(|v| v.map(f64::from)).collect()
        }
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>().iter();
            values.map(|v| v.map(f64::from)).collect()
        }
        _ => column.as_primitive::<Float64Type>().iter().collect(),
    }
}

/// Instants and dates as microseconds since the epoch. Nanoseconds are rounded down.
fn instants(argument: &str, column: &dyn Array) -> Result<Vec<Option<i64>>> {
    const DAY: i64 = 86_400_000_000;
    let scaled = |values: Vec<Option<i64>>, factor: i64| {
        values
            .into_iter()
            .map(|value| {
                let scale = |v: i64| {
                    v.checked_mul(factor).ok_or_else(|| {
                        Error::invalid(argument, "instants within int64 microseconds", v)
                    })
                };
                value.map(scale).transpose()
            })
            .collect()
    };
    macro_rules! values {
        ($kind:ty) => {
            column
                .as_primitive::<$kind>()
                .iter()
                .map(|v| v.map(i64::from))
                .collect::<Vec<_>>()
        };
    }
    match column.data_type() {
        DataType::Date32 => scaled(values!(Date32Type), DAY),
        DataType::Date64 => scaled(values!(Date64Type), 1_000),
        DataType::Timestamp(TimeUnit::Second, _) => scaled(values!(TimestampSecondType), 1_000_000),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            scaled(values!(TimestampMillisecondType), 1_000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(values!(TimestampMicrosecondType)),
        _ => Ok(values!(TimestampNanosecondType)
            .into_iter()
            .map(|v| v.map(|v| v.div_euclid(1_000)))
            .collect()),
    }
}

/// Every text type, dictionaries included.
fn texts(column: &dyn Array) -> Vec<Option<Box<str>>> {
    match column.data_type() {
        DataType::Utf8 => column
            .as_string::<i32>()
            .iter()
            .map(|v| v.map(Box::from))
            .collect(),
        DataType::LargeUtf8 => column
            .as_string::<i64>()
            .iter()
            .map(|v| v.map(Box::from))
            .collect(),
        DataType::Utf8View => column
            .as_string_view()
            .iter()
            .map(|v| v.map(Box::from))
            .collect(),
        _ => {
            let dictionary = column.as_any_dictionary();
            let entries = texts(dictionary.values().as_ref());
            if entries.is_empty() {
                return vec![None; column.len()];
            }
            let keys = dictionary.normalized_keys();
            keys.iter()
                .enumerate()
                .map(|(row, key)| {
                    column
                        .is_valid(row)
                        .then(|| entries[*key].clone())
                        .flatten()
                })
                .collect()
        }
    }
}

fn column_type(name: &str, kind: &DataType) -> Result<ColumnType> {
    Ok(match kind {
        DataType::Boolean => ColumnType::Bool,
        kind if kind.is_integer() => ColumnType::Int,
        kind if kind.is_floating() => ColumnType::Float,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => ColumnType::Time,
        kind if is_text(kind) => ColumnType::Str,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)
            if is_text(item.data_type()) =>
        {
            ColumnType::StrList
        }
        DataType::Dictionary(_, values) if !matches!(**values, DataType::Dictionary(..)) => {
            match column_type(name, values)? {
                ColumnType::StrList => return Err(unknown(name, kind)),
                plain => plain,
            }
        }
        other => return Err(unknown(name, other)),
    })
}

fn unknown(name: &str, kind: &DataType) -> Error {
    let hint = if kind.is_decimal() {
        ", which no attribute can hold exactly: cast it to float64, or to int64 in a smaller unit"
    } else {
        ""
    };
    Error::wrong_type(
        "attributes",
        "columns of bool, integers, floats, timestamps, dates, text or lists of text \
         (name the ones to take)",
        format!("column {name:?} of {kind}{hint}"),
    )
}

fn read_values(
    column: &ArrayRef,
    name: &str,
    kind: ColumnType,
    row: usize,
    out: &mut Vec<Value>,
) -> Result<()> {
    fn put<T>(out: &mut Vec<Value>, values: Vec<Option<T>>, wrap: impl Fn(T) -> Value) {
        out.extend(values.into_iter().map(|v| v.map_or(Value::Null, &wrap)));
    }
    let argument = || format!("attributes[{name:?}]");
    match kind {
        ColumnType::Str => put(out, texts(column), Value::Str),
        // Of other values than text: an entry stands for every row with its key.
        _ if matches!(column.data_type(), DataType::Dictionary(..)) => {
            let dictionary = column.as_any_dictionary();
            let mut entries = Vec::new();
            read_values(dictionary.values(), name, kind, row, &mut entries)?;
            let keys = if entries.is_empty() {
                vec![0; column.len()]
            } else {
                dictionary.normalized_keys()
            };
            let entry = |(i, key): (usize, usize)| match column.is_valid(i) {
                true => entries.get(key).cloned().unwrap_or(Value::Null),
                false => Value::Null,
            };
            out.extend(keys.into_iter().enumerate().map(entry));
        }
        ColumnType::Bool => put(out, column.as_boolean().iter().collect(), Value::Bool),
        ColumnType::Int => put(out, integers(&argument(), column)?, Value::Int),
        ColumnType::Float => put(out, floats(column), Value::Float),
        ColumnType::Time => put(out, instants(&argument(), column)?, Value::Time),
        ColumnType::StrList => {
            for i in 0..column.len() {
                if column.is_null(i) {
                    out.push(Value::Null);
                    continue;
                }
                let values = match column.data_type() {
                    DataType::List(_) => column.as_list::<i32>().value(i),
                    DataType::LargeList(_) => column.as_list::<i64>().value(i),
                    _ => column.as_fixed_size_list().value(i),
                };
                let texts: Option<Vec<Box<str>>> = texts(values.as_ref()).into_iter().collect();
                out.push(Value::StrList(texts.ok_or_else(|| {
                    Error::invalid(
                        argument(),
                        "lists of text without nulls inside",
                        format!("a null inside the list of row {}", row + i),
                    )
                })?));
            }
        }
    }
    Ok(())
}
