//! Python binding of `perso_core`: every function converts its arguments, releases the GIL, calls the
//! core, and wraps the result. There is no logic here; the thin typed API in `python/perso_core`
//! gives these functions their public form.
#![deny(unsafe_code)]
#![allow(missing_docs)] // The public documentation is that of the Python package.

mod arrow;
mod attributes;
mod candidates;
mod capsule;
mod catalog;
mod columns;
mod convert;
mod durable;
mod error;
mod export;
mod filter;
mod foreign;
mod index;
mod kernels;
mod model;
mod policy;
mod profile;
mod progress;
mod ranking;
mod route;
mod slate;
mod stream;

use pyo3::prelude::*;

/// The extension module. All shared state is behind locks, so it needs no GIL.
#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    perso_kernels::Kernels::from_env()
        .map_err(|error| pyo3::exceptions::PyImportError::new_err(error.to_string()))?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("debug_build", cfg!(debug_assertions))?;
    error::register(module)?;
    kernels::register(module)?;
    module.add_class::<index::Index>()?;
    module.add_class::<catalog::Catalog>()?;
    module.add_class::<export::Export>()?;
    module.add_class::<policy::Policy>()?;
    module.add_class::<candidates::Candidates>()?;
    module.add_class::<capsule::Capsule>()?;
    module.add_class::<filter::Filter>()?;
    module.add_class::<filter::Compiled>()?;
    module.add_class::<profile::ProfilePlan>()?;
    module.add_class::<profile::Profile>()?;
    module.add_class::<slate::Slate>()?;
    module.add_function(wrap_pyfunction!(foreign::import_hnswlib, module)?)?;
    module.add_function(wrap_pyfunction!(foreign::import_faiss, module)?)?;
    module.add_function(wrap_pyfunction!(capsule::pack, module)?)?;
    module.add_function(wrap_pyfunction!(capsule::public_key, module)?)?;
    module.add_function(wrap_pyfunction!(filter::compile, module)?)?;
    module.add_function(wrap_pyfunction!(route::route, module)?)?;
    module.add_function(wrap_pyfunction!(route::route_checked, module)?)?;
    module.add_function(wrap_pyfunction!(route::route_plan, module)?)?;
    module.add_function(wrap_pyfunction!(route::calibrate, module)?)?;
    module.add_function(wrap_pyfunction!(ranking::rank, module)?)?;
    module.add_function(wrap_pyfunction!(ranking::rank_many, module)?)?;
    module.add_function(wrap_pyfunction!(ranking::replay, module)?)?;
    module.add_function(wrap_pyfunction!(ranking::counterfactual, module)?)?;
    Ok(())
}
