//! Arrow tables into catalog rows, through the PyCapsule interface: anything with
//! `__arrow_c_stream__` (pyarrow, polars, DuckDB, arro3, …), without pyarrow.
//!
//! The few conversions are written out here: the general `arrow-cast` crate would make the extension
//! five times as large.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Int8Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt16Type, UInt32Type, UInt64Type, UInt8Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, DataType, Schema, TimeUnit};
use perso_core::column::{ColumnType, Value};
use perso_core::error::{Error, Result};
use perso_core::ids::Ids;

/// A space to read: its name and the column that holds its vectors.
pub type SpaceColumn = (String, String);

/// What a table holds, in the core's terms.
pub struct Rows {
    pub ids: Ids,
    /// Name, dimensions and numbers of each space.
    pub vectors: Vec<(String, usize, Vec<f32>)>,
    pub attributes: Vec<(String, ColumnType, Vec<Value>)>,
}

/// Reads a whole stream. `attributes` of `None` takes every column that is neither the id nor a space.
pub fn read(
    reader: Box<dyn RecordBatchReader + Send>,
    id: &str,
    spaces: &[SpaceColumn],
    attributes: Option<&[String]>,
) -> Result<Rows> {
    let schema = reader.schema();
    let id_column = find(&schema, "id", id)?;
    let mut rows = Rows {
        ids: empty_ids(schema.field(id_column).data_type(), id)?,
        vectors: Vec::new(),
        attributes: Vec::new(),
    };
    let mut space_columns = Vec::new();
    for (space, column) in spaces {
        let at = find(&schema, "spaces", column)?;
        let dim = match schema.field(at).data_type() {
            DataType::FixedSizeList(_, len) => usize::try_from(*len).unwrap_or(0),
            _ => 0, // the first row says it
        };
        space_columns.push(at);
        rows.vectors.push((space.clone(), dim, Vec::new()));
    }
    let mut attribute_columns = Vec::new();
    for (at, field) in schema.fields().iter().enumerate() {
        let wanted = match attributes {
            Some(names) => names.contains(field.name()),
            None => at != id_column && !space_columns.contains(&at),
        };
        if wanted {
            let kind = column_type(field.name(), field.data_type())?;
            rows.attributes
                .push((field.name().clone(), kind, Vec::new()));
            attribute_columns.push(at);
        }
    }
    for name in attributes.unwrap_or_default() {
        find(&schema, "attributes", name)?;
    }
    for batch in reader {
        let batch: RecordBatch = batch.map_err(failed)?;
        read_ids(batch.column(id_column), id, &mut rows.ids)?;
        for ((_, dim, numbers), &at) in rows.vectors.iter_mut().zip(&space_columns) {
            read_vectors(batch.column(at), schema.field(at).name(), dim, numbers)?;
        }
        for ((_, kind, values), &at) in rows.attributes.iter_mut().zip(&attribute_columns) {
            read_values(batch.column(at), *kind, values)?;
        }
    }
    Ok(rows)
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

fn failed(error: ArrowError) -> Error {
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

fn read_ids(column: &ArrayRef, name: &str, ids: &mut Ids) -> Result<()> {
    let null = || {
        Error::invalid(
            "id",
            "a column without nulls",
            format!("a null in {name:?}"),
        )
    };
    match ids {
        Ids::Int(ids) => {
            for number in integers("id", column)? {
                ids.push(number.ok_or_else(null)?);
            }
        }
        Ids::Str(ids) => {
            for text in texts(column.as_ref()) {
                ids.push(text.ok_or_else(null)?);
            }
        }
    }
    Ok(())
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
fn instants(column: &dyn Array) -> Result<Vec<Option<i64>>> {
    const DAY: i64 = 86_400_000_000;
    let scaled = |values: Vec<Option<i64>>, factor: i64| {
        values
            .into_iter()
            .map(|value| {
                let scale = |v: i64| {
                    v.checked_mul(factor).ok_or_else(|| {
                        Error::invalid("attributes", "instants within int64 microseconds", v)
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

fn read_vectors(
    column: &ArrayRef,
    name: &str,
    dim: &mut usize,
    numbers: &mut Vec<f32>,
) -> Result<()> {
    let wrong = |got: String| {
        Error::wrong_type(
            "spaces",
            format!("column {name:?} of lists of floats, all of one length and without nulls"),
            got,
        )
    };
    let item = match column.data_type() {
        DataType::FixedSizeList(item, _) | DataType::List(item) | DataType::LargeList(item) => item,
        other => return Err(wrong(other.to_string())),
    };
    if !item.data_type().is_floating() {
        return Err(wrong(column.data_type().to_string()));
    }
    if column.null_count() > 0 {
        return Err(wrong("nulls".into()));
    }
    for row in 0..column.len() {
        let values = match column.data_type() {
            DataType::FixedSizeList(..) => column.as_fixed_size_list().value(row),
            DataType::List(_) => column.as_list::<i32>().value(row),
            _ => column.as_list::<i64>().value(row),
        };
        if *dim == 0 {
            *dim = values.len();
        }
        if values.len() != *dim {
            return Err(wrong(format!("lists of {} and of {}", dim, values.len())));
        }
        if values.null_count() > 0 {
            return Err(wrong(format!("a null inside the list of row {row}")));
        }
        match values.data_type() {
            DataType::Float32 => {
                numbers.extend_from_slice(values.as_primitive::<Float32Type>().values());
            }
            // A double beyond f32 becomes infinite here and is refused with its row by the store.
            _ => numbers.extend(
                floats(values.as_ref())
                    .into_iter()
                    .flatten()
                    .map(|v| v as f32),
            ),
        }
    }
    Ok(())
}

fn column_type(name: &str, kind: &DataType) -> Result<ColumnType> {
    Ok(match kind {
        DataType::Boolean => ColumnType::Bool,
        kind if kind.is_integer() => ColumnType::Int,
        kind if kind.is_floating() => ColumnType::Float,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => ColumnType::Time,
        kind if is_text(kind) => ColumnType::Str,
        DataType::List(item) | DataType::LargeList(item) if is_text(item.data_type()) => {
            ColumnType::StrList
        }
        other => {
            return Err(Error::wrong_type(
                "attributes",
                "columns of bool, integers, floats, timestamps, dates, text or lists of text \
                 (name the ones to take)",
                format!("column {name:?} of {other}"),
            ))
        }
    })
}

fn read_values(column: &ArrayRef, kind: ColumnType, out: &mut Vec<Value>) -> Result<()> {
    fn put<T>(out: &mut Vec<Value>, values: Vec<Option<T>>, wrap: impl Fn(T) -> Value) {
        out.extend(values.into_iter().map(|v| v.map_or(Value::Null, &wrap)));
    }
    match kind {
        ColumnType::Bool => put(out, column.as_boolean().iter().collect(), Value::Bool),
        ColumnType::Int => put(out, integers("attributes", column)?, Value::Int),
        ColumnType::Float => put(out, floats(column), Value::Float),
        ColumnType::Time => put(out, instants(column)?, Value::Time),
        ColumnType::Str => put(out, texts(column), Value::Str),
        ColumnType::StrList => {
            for row in 0..column.len() {
                if column.is_null(row) {
                    out.push(Value::Null);
                    continue;
                }
                let values = match column.data_type() {
                    DataType::List(_) => column.as_list::<i32>().value(row),
                    _ => column.as_list::<i64>().value(row),
                };
                let texts: Option<Vec<Box<str>>> = texts(values.as_ref()).into_iter().collect();
                out.push(Value::StrList(texts.ok_or_else(|| {
                    Error::invalid(
                        "attributes",
                        "lists of text without nulls inside",
                        format!("a null inside the list of row {row}"),
                    )
                })?));
            }
        }
    }
    Ok(())
}
