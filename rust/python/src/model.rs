//! Models of the caller's: Python callables that the core may ask.
//!
//! A ranking holds a version of its catalog and no lock, so a model may use the catalog it is asked for, and
//! change it.

use std::sync::Arc;

use numpy::{IntoPyArray, PyArrayMethods, PyReadonlyArray1};
use perso_core::error::{Error, Result};
use perso_core::rank::Predict;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::Outcome;

/// Models by the name of their signal.
pub type GivenModels = Vec<(String, Arc<dyn Predict>)>;

/// A callable from a (rows, width) float32 array to a (rows,) float64 array.
#[derive(Debug)]
struct Callable {
    model: Py<PyAny>,
}

impl Predict for Callable {
    /// Takes the GIL for the call.
    fn predict(&self, features: &[f32], rows: usize, width: usize) -> Result<Vec<f64>> {
        Python::attach(|py| -> PyResult<Vec<f64>> {
            let matrix = features.to_vec().into_pyarray(py).reshape([rows, width])?;
            let answers: PyReadonlyArray1<'_, f64> =
                self.model.bind(py).call1((matrix,))?.extract()?;
            Ok(answers.as_array().to_vec())
        })
        .map_err(|raised| Error::Outside(Box::new(raised)))
    }
}

/// The models of a request.
pub fn models_in(models: &Bound<'_, PyDict>) -> Outcome<GivenModels> {
    let mut out: GivenModels = Vec::with_capacity(models.len());
    for (name, model) in models.iter() {
        let model = Callable {
            model: model.unbind(),
        };
        out.push((name.extract()?, Arc::new(model)));
    }
    Ok(out)
}
