//! Attribute columns as Arrow data, for what evaluates them outside.

use std::sync::Arc;

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, RecordBatchIterator, RecordBatchOptions};
use arrow_schema::{Field, Schema};
use perso_core::column::Column;
use perso_core::error::{Error, Result};
use perso_core::ids::IdMap;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::export;

/// A batch that any Arrow library reads.
#[pyclass(frozen, module = "perso_core._core")]
pub struct Batch(RecordBatch);

#[pymethods]
impl Batch {
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let reader = RecordBatchIterator::new([Ok(self.0.clone())], self.0.schema());
        let stream = FFI_ArrowArrayStream::new(Box::new(reader));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }
}

/// Some attributes of the live items, in row order. Moments are timestamps in UTC.
pub fn batch<'c>(
    ids: &IdMap,
    attributes: &[String],
    column: &dyn Fn(&str) -> Option<&'c Column>,
) -> Result<Batch> {
    let rows: Vec<u32> = ids.live_rows().collect();
    let mut fields = Vec::with_capacity(attributes.len());
    let mut arrays = Vec::with_capacity(attributes.len());
    for name in attributes {
        let column =
            column(name).ok_or_else(|| Error::missing("attribute", format!("{name:?}")))?;
        let array = export::values(column, &rows);
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let schema = Arc::new(Schema::new(fields));
    RecordBatch::try_new_with_options(schema, arrays, &options)
        .map(Batch)
        .map_err(|error| Error::Io(std::io::Error::other(error)))
}
