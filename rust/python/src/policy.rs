//! `Policy`: a validated, hashed policy document.

use std::sync::Arc;

use perso_core::rank::Policy as Core;
use pyo3::prelude::*;

use crate::error::Outcome;

#[pyclass(frozen, module = "perso_core._core")]
pub struct Policy {
    pub core: Arc<Core>,
}

#[pymethods]
impl Policy {
    #[new]
    fn new(json: &str) -> Outcome<Self> {
        Ok(Policy {
            core: Arc::new(Core::parse(json)?),
        })
    }

    /// The document in the canonical form of RFC 8785.
    #[getter]
    fn json(&self) -> &str {
        self.core.canonical_json()
    }

    /// The names of signals and attributes that some part of it reads, sorted.
    #[getter]
    fn reads(&self) -> Vec<&str> {
        self.core.reads()
    }

    /// SHA-256 of the canonical form, in hex.
    #[getter]
    fn hash(&self) -> &str {
        self.core.hash()
    }
}
