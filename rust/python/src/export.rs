//! A catalog as Arrow data: a stream of record batches through the PyCapsule interface, without pyarrow.
//!
//! A stream reads a snapshot, so it is of one moment whatever changes meanwhile, and each call for one starts anew.
//! Vectors are lists of a fixed length: halves where halves are stored, else single precision. A batch holds about 16
//! MiB of them, so the whole is never held twice.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::types::{ArrowPrimitiveType, Float16Type};
use arrow_array::{
    ArrayRef, FixedSizeListArray, Float32Array, Int64Array, PrimitiveArray, RecordBatch,
    RecordBatchIterator, StringArray,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use perso_core::catalog::Catalog as Core;
use perso_core::column::{Column, ColumnType, Value};
use perso_core::error::{Error, Result};
use perso_core::ids::Ids;
use perso_core::metric::Dtype;
use perso_core::rank::Source;
use perso_core::vectors::Vectors;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::arrow::SpaceColumn;
use crate::error::Outcome;

type Half = <Float16Type as ArrowPrimitiveType>::Native;

const BATCH_ROWS: usize = 65_536;
const BATCH_BYTES: usize = 16 << 20;

/// What to take out: `None` for all there is.
pub struct Wanted {
    /// The name of the column of ids.
    pub id: String,
    pub spaces: Option<Vec<SpaceColumn>>,
    pub attributes: Option<Vec<String>>,
    pub ids: Option<Ids>,
}

/// One snapshot's rows and columns.
struct Plan {
    catalog: Arc<Core>,
    rows: Vec<u32>,
    spaces: Vec<usize>,
    attributes: Vec<String>,
    schema: SchemaRef,
    /// Rows of a batch.
    step: usize,
}

/// A table that any Arrow library reads, as often as it likes.
#[pyclass(frozen, module = "perso_core._core")]
pub struct Export {
    plan: Arc<Plan>,
}

impl Export {
    pub fn new(catalog: Arc<Core>, wanted: Wanted) -> Result<Self> {
        let rows = match &wanted.ids {
            Some(ids) => catalog.id_map().require_all(ids)?,
            None => catalog.id_map().live_rows().collect(),
        };
        let spaces = wanted.spaces.unwrap_or_else(|| {
            let names = catalog.specs().map(|(name, _)| name.to_owned());
            names.map(|name| (name.clone(), name)).collect()
        });
        let attributes = wanted.attributes.unwrap_or_else(|| {
            let names = catalog.attributes().map(|(name, _)| name.to_owned());
            names.collect()
        });
        let id_type = match catalog.id_map().ids_of(std::iter::empty()) {
            Ids::Int(_) => DataType::Int64,
            Ids::Str(_) => DataType::Utf8,
        };
        let mut fields = vec![Field::new(wanted.id, id_type, false)];
        let mut places = Vec::with_capacity(spaces.len());
        for (name, column) in spaces {
            let space = catalog.space(&name).map_err(|_| {
                let known: Vec<&str> = catalog.specs().map(|(name, _)| name).collect();
                let expected = format!("some of the spaces {known:?}");
                Error::invalid("spaces", expected, format!("{name:?}"))
            })?;
            let vectors = catalog.vectors(space);
            let item = Arc::new(Field::new_list_field(number_type(vectors), false));
            let dim = i32::try_from(vectors.spec().dim).expect("dimensions are bounded");
            fields.push(Field::new(
                column,
                DataType::FixedSizeList(item, dim),
                false,
            ));
            places.push(space);
        }
        for name in &attributes {
            let Some(column) = Source::column(&*catalog, name) else {
                let known: Vec<&str> = catalog.attributes().map(|(name, _)| name).collect();
                let expected = format!("some of the attributes {known:?}");
                return Err(Error::invalid("attributes", expected, format!("{name:?}")));
            };
            fields.push(Field::new(name, value_type(column.kind()), true));
        }
        for (at, field) in fields.iter().enumerate() {
            if let Some(other) = fields[..at]
                .iter()
                .find(|other| other.name() == field.name())
            {
                return Err(Error::invalid(
                    "spaces",
                    "columns of different names (id= names the ids, spaces={space: column} the vectors)",
                    format!("{:?} twice", other.name()),
                ));
            }
        }
        let dims: usize = places
            .iter()
            .map(|&space| catalog.vectors(space).spec().dim)
            .sum();
        let plan = Plan {
            rows,
            spaces: places,
            attributes,
            schema: Arc::new(Schema::new(fields)),
            step: (BATCH_BYTES / 4 / dims.max(1)).clamp(1, BATCH_ROWS),
            catalog,
        };
        Ok(Export {
            plan: Arc::new(plan),
        })
    }
}

#[pymethods]
impl Export {
    /// A new stream. The columns' types are the catalog's; a wish for others is left to who reads, as the interface
    /// allows.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> Outcome<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let plan = Arc::clone(&self.plan);
        let schema = Arc::clone(&plan.schema);
        let starts = (0..plan.rows.len()).step_by(plan.step);
        let batches = starts.map(move |start| {
            let end = plan.rows.len().min(start + plan.step);
            plan.batch(&plan.rows[start..end])
        });
        let reader = RecordBatchIterator::new(batches, schema);
        let stream = FFI_ArrowArrayStream::new(Box::new(reader));
        Ok(PyCapsule::new_with_value(
            py,
            stream,
            c"arrow_array_stream",
        )?)
    }

    /// Name and type of each column, as Arrow writes the type.
    #[getter]
    fn columns(&self) -> Vec<(String, String)> {
        let fields = self.plan.schema.fields().iter();
        fields
            .map(|f| (f.name().clone(), f.data_type().to_string()))
            .collect()
    }

    fn __len__(&self) -> usize {
        self.plan.rows.len()
    }

    fn __repr__(&self) -> String {
        let columns = self.columns();
        let columns: Vec<String> = columns.iter().map(|(n, t)| format!("{n}: {t}")).collect();
        format!(
            "<Arrow table of {} items: {}>",
            self.plan.rows.len(),
            columns.join(", ")
        )
    }
}

impl Plan {
    fn batch(&self, rows: &[u32]) -> std::result::Result<RecordBatch, ArrowError> {
        let ids = self.catalog.id_map().ids_of(rows.iter().copied());
        let mut columns: Vec<ArrayRef> = vec![match ids {
            Ids::Int(ids) => Arc::new(Int64Array::from(ids)),
            Ids::Str(ids) => Arc::new(StringArray::from_iter_values(ids)),
        }];
        for &space in &self.spaces {
            columns.push(Arc::new(vectors(self.catalog.vectors(space), rows)?));
        }
        for name in &self.attributes {
            let column = Source::column(&*self.catalog, name);
            columns.push(values(column.expect("found before"), rows));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

fn number_type(vectors: &Vectors) -> DataType {
    match vectors.finest().dtype() {
        Dtype::F16 => DataType::Float16,
        Dtype::F32 | Dtype::I8 => DataType::Float32,
    }
}

fn value_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Int => DataType::Int64,
        ColumnType::Float => DataType::Float64,
        ColumnType::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ColumnType::Str => DataType::Utf8,
        ColumnType::StrList => DataType::new_list(DataType::Utf8, true),
    }
}

fn vectors(space: &Vectors, rows: &[u32]) -> std::result::Result<FixedSizeListArray, ArrowError> {
    let dim = space.spec().dim;
    let mut numbers = vec![0.0f32; rows.len() * dim];
    for (row, out) in rows.iter().zip(numbers.chunks_exact_mut(dim)) {
        space.get(*row, out);
    }
    let kind = number_type(space);
    let numbers: ArrayRef = match kind {
        DataType::Float16 => {
            let halves = numbers.into_iter().map(Half::from_f32);
            Arc::new(PrimitiveArray::<Float16Type>::from_iter_values(halves))
        }
        _ => Arc::new(Float32Array::from(numbers)),
    };
    let item = Arc::new(Field::new_list_field(kind, false));
    let dim = i32::try_from(dim).expect("dimensions are bounded");
    FixedSizeListArray::try_new(item, dim, numbers, None)
}

/// The values of some rows.
pub fn values(column: &Column, rows: &[u32]) -> ArrayRef {
    let found = rows.iter().map(|row| column.get(*row));
    macro_rules! plain {
        ($builder:expr, $kind:ident) => {{
            let mut builder = $builder;
            for value in found {
                match value {
                    Value::$kind(value) => builder.append_value(value),
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }};
    }
    match column.kind() {
        ColumnType::Bool => plain!(BooleanBuilder::new(), Bool),
        ColumnType::Int => plain!(Int64Builder::new(), Int),
        ColumnType::Float => plain!(Float64Builder::new(), Float),
        ColumnType::Time => plain!(
            TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            Time
        ),
        ColumnType::Str => plain!(StringBuilder::new(), Str),
        ColumnType::StrList => {
            let mut builder = ListBuilder::new(StringBuilder::new());
            for value in found {
                let valid = if let Value::StrList(texts) = value {
                    texts
                        .iter()
                        .for_each(|text| builder.values().append_value(text));
                    true
                } else {
                    false
                };
                builder.append(valid);
            }
            Arc::new(builder.finish())
        }
    }
}
