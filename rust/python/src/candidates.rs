//! `Candidates`: items that the caller brings.

use std::sync::Arc;

use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use perso_core::column::Column;
use perso_core::error::Error;
use perso_core::metric::Metric;
use perso_core::rank::{Candidates as Core, SpaceInfo};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::attributes;
use crate::convert;
use crate::error::Outcome;

#[pyclass(frozen, module = "perso_core._core")]
pub struct Candidates {
    pub core: Arc<Core>,
}

#[pymethods]
impl Candidates {
    /// `vectors`: {space: float32 matrix}; `metrics`: {space: metric}.
    #[new]
    fn new(
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        vectors: &Bound<'_, PyDict>,
        metrics: std::collections::HashMap<String, String>,
        scores: Option<PyReadonlyArray1<'_, f64>>,
        attributes: &Bound<'_, PyDict>,
    ) -> Outcome<Self> {
        let ids = convert::ids("ids", ids)?;
        let mut spaces = Vec::with_capacity(vectors.len());
        for (name, array) in vectors.iter() {
            let name: String = name.extract()?;
            let array: PyReadonlyArray2<'_, f32> = array.extract().map_err(|_| {
                let argument = format!("vectors[{name:?}]");
                Error::wrong_type(argument, "a float32 matrix", array.get_type())
            })?;
            let metric = metrics.get(&name).map_or("cosine", String::as_str);
            let info = SpaceInfo {
                name,
                dim: array.shape()[1],
                metric: Metric::parse("metric", metric)?,
            };
            spaces.push((info, convert::contiguous("vectors", &array)?.to_vec()));
        }
        let scores = scores.map(|scores| scores.as_array().to_vec());
        let mut columns = Vec::new();
        for (name, kind, values) in attributes::columns(attributes)? {
            let mut column = Column::new(kind);
            for value in values {
                column.push(&name, value)?;
            }
            columns.push((name, column));
        }
        let core = py.detach(|| Core::new(ids, spaces, scores, columns))?;
        Ok(Candidates {
            core: Arc::new(core),
        })
    }

    fn __len__(&self) -> usize {
        self.core.len()
    }
}
