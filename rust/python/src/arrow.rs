//! Arrow tables into catalog rows, through the PyCapsule interface: anything with
//! `__arrow_c_stream__` (pyarrow, polars, DuckDB, arro3, …), without pyarrow.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchReader};
use arrow_cast::cast;
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
        space_columns.push(find(&schema, "spaces", column)?);
        rows.vectors.push((space.clone(), 0, Vec::new()));
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
    if column.logical_null_count() > 0 {
        return Err(Error::invalid(
            "id",
            "a column without nulls",
            format!("nulls in {name:?}"),
        ));
    }
    match ids {
        Ids::Int(ids) => {
            let numbers = cast(column, &DataType::Int64).map_err(failed)?;
            if numbers.null_count() > 0 {
                return Err(Error::invalid(
                    "id",
                    "integers within int64",
                    format!("a larger one in {name:?}"),
                ));
            }
            ids.extend_from_slice(numbers.as_primitive::<Int64Type>().values());
        }
        Ids::Str(ids) => {
            let text = cast(column, &DataType::LargeUtf8).map_err(failed)?;
            ids.extend(text.as_string::<i64>().iter().flatten().map(Box::from));
        }
    }
    Ok(())
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
    let (item, fixed) = match column.data_type() {
        DataType::FixedSizeList(item, len) => (item, usize::try_from(*len).ok()),
        DataType::List(item) | DataType::LargeList(item) => (item, None),
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
            *dim = fixed.unwrap_or(values.len());
        }
        if values.len() != *dim {
            return Err(wrong(format!("lists of {} and of {}", dim, values.len())));
        }
        if values.null_count() > 0 {
            return Err(wrong(format!("a null inside the list of row {row}")));
        }
        let values = cast(&values, &DataType::Float32).map_err(failed)?;
        numbers.extend_from_slice(values.as_primitive::<Float32Type>().values());
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
    let as_type = |to: &DataType| -> Result<ArrayRef> {
        let array = cast(column, to).map_err(failed)?;
        // A cast turns what does not fit into null, and a value must not vanish.
        if array.logical_null_count() > column.logical_null_count() {
            return Err(Error::invalid(
                "attributes",
                format!("values that fit {kind}"),
                format!("a value of {} that does not", column.data_type()),
            ));
        }
        Ok(array)
    };
    match kind {
        ColumnType::Bool => {
            let values = column.as_boolean();
            out.extend(values.iter().map(|v| v.map_or(Value::Null, Value::Bool)));
        }
        ColumnType::Int => {
            let array = as_type(&DataType::Int64)?;
            let values = array.as_primitive::<Int64Type>().iter();
            out.extend(values.map(|v| v.map_or(Value::Null, Value::Int)));
        }
        ColumnType::Float => {
            let array = as_type(&DataType::Float64)?;
            let values = array.as_primitive::<Float64Type>().iter();
            out.extend(values.map(|v| v.map_or(Value::Null, Value::Float)));
        }
        ColumnType::Time => {
            let array = as_type(&DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let values = array.as_primitive::<TimestampMicrosecondType>().iter();
            out.extend(values.map(|v| v.map_or(Value::Null, Value::Time)));
        }
        ColumnType::Str => {
            let array = as_type(&DataType::LargeUtf8)?;
            let values = array.as_string::<i64>().iter();
            out.extend(values.map(|v| v.map_or(Value::Null, |text| Value::Str(text.into()))));
        }
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
                if values.logical_null_count() > 0 {
                    return Err(Error::invalid(
                        "attributes",
                        "lists of text without nulls inside",
                        format!("a null inside the list of row {row}"),
                    ));
                }
                let values = cast(&values, &DataType::LargeUtf8).map_err(failed)?;
                let texts = values.as_string::<i64>().iter().flatten().map(Box::from);
                out.push(Value::StrList(texts.collect()));
            }
        }
    }
    Ok(())
}
