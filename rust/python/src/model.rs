//! Models of the caller's: Python callables that the core may ask.
//!
//! A catalog is locked while a model is asked. One that uses this catalog would wait for itself, for ever where it changes
//! it and where another thread waits to change it; so each thread knows what it is asking for, and refuses.

use std::cell::RefCell;
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
    /// Where the catalog lies that is locked meanwhile.
    catalog: Option<usize>,
}

thread_local! {
    /// The catalogs that models of this thread are asked for.
    static ASKING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// For as long as a model is asked.
struct Asking;

impl Asking {
    fn for_catalog(catalog: usize) -> Self {
        ASKING.with_borrow_mut(|asking| asking.push(catalog));
        Asking
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        ASKING.with_borrow_mut(|asking| asking.pop());
    }
}

/// Refuses the use of a catalog by a model that is asked for it.
pub fn not_asked_for(catalog: usize) -> Result<()> {
    if ASKING.with_borrow(|asking| asking.contains(&catalog)) {
        return Err(Error::invalid(
            "models",
            "models that do not use the catalog, which is locked while they are asked",
            "one that does",
        ));
    }
    Ok(())
}

impl Predict for Callable {
    /// Takes the GIL for the call.
    fn predict(&self, features: &[f32], rows: usize, width: usize) -> Result<Vec<f64>> {
        let _asking = self.catalog.map(Asking::for_catalog);
        Python::attach(|py| -> PyResult<Vec<f64>> {
            let matrix = features.to_vec().into_pyarray(py).reshape([rows, width])?;
            let answers: PyReadonlyArray1<'_, f64> =
                self.model.bind(py).call1((matrix,))?.extract()?;
            Ok(answers.as_array().to_vec())
        })
        .map_err(|raised| Error::Outside(Box::new(raised)))
    }
}

/// The models of a request, and where the catalog lies that it is for.
pub fn models_in(models: &Bound<'_, PyDict>, catalog: Option<usize>) -> Outcome<GivenModels> {
    let mut out: GivenModels = Vec::with_capacity(models.len());
    for (name, model) in models.iter() {
        let model = Callable {
            model: model.unbind(),
            catalog,
        };
        out.push((name.extract()?, Arc::new(model)));
    }
    Ok(out)
}
