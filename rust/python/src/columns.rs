//! Attribute columns as Arrow arrays, for what evaluates them outside.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions,
    TimestampMicrosecondArray,
};
use arrow_schema::{Field, Schema};
use perso_core::column::{Column, ColumnType, Value};
use perso_core::error::{Error, Result};
use perso_core::ids::IdMap;
use pyo3::prelude::*;
use pyo3_arrow::PyRecordBatch;

/// Some attributes of the live items, in row order. Moments are timestamps in UTC.
pub fn batch<'c>(
    ids: &IdMap,
    attributes: &[String],
    column: &dyn Fn(&str) -> Option<&'c Column>,
) -> Result<RecordBatch> {
    let rows: Vec<u32> = ids.live_rows().collect();
    let mut fields = Vec::with_capacity(attributes.len());
    let mut arrays = Vec::with_capacity(attributes.len());
    for name in attributes {
        let column =
            column(name).ok_or_else(|| Error::missing("attribute", format!("{name:?}")))?;
        let array = array(column, &rows);
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let schema = Arc::new(Schema::new(fields));
    RecordBatch::try_new_with_options(schema, arrays, &options)
        .map_err(|error| Error::Io(std::io::Error::other(error)))
}

/// The same for pyarrow.
pub fn to_pyarrow<'py>(py: Python<'py>, batch: RecordBatch) -> PyResult<Bound<'py, PyAny>> {
    PyRecordBatch::new(batch).into_pyarrow(py)
}

fn array(column: &Column, rows: &[u32]) -> ArrayRef {
    let values = rows.iter().map(|&row| column.get(row));
    match column.kind() {
        ColumnType::Bool => Arc::new(BooleanArray::from_iter(values.map(|value| match value {
            Value::Bool(value) => Some(value),
            _ => None,
        }))),
        ColumnType::Int => Arc::new(Int64Array::from_iter(values.map(|value| match value {
            Value::Int(value) => Some(value),
            _ => None,
        }))),
        ColumnType::Float => Arc::new(Float64Array::from_iter(
            rows.iter().map(|&row| column.numeric(row)),
        )),
        ColumnType::Time => {
            let moments = rows.iter().map(|&row| column.time(row));
            Arc::new(TimestampMicrosecondArray::from_iter(moments).with_timezone("UTC"))
        }
        ColumnType::Str => {
            let mut texts = StringBuilder::new();
            values.for_each(|value| match value {
                Value::Str(text) => texts.append_value(text),
                _ => texts.append_null(),
            });
            Arc::new(texts.finish())
        }
        ColumnType::StrList => {
            let mut lists = ListBuilder::new(StringBuilder::new());
            values.for_each(|value| match value {
                Value::StrList(list) => {
                    list.iter()
                        .for_each(|text| lists.values().append_value(text));
                    lists.append(true);
                }
                _ => lists.append(false),
            });
            Arc::new(lists.finish())
        }
    }
}
