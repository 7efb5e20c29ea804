//! `Profile` and its plan: a user's state that learns from events.

use std::sync::{Arc, Mutex};

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use perso_core::profile::{Plan, Prior, Profile as Core};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{poisoned, Outcome};

#[pyclass(frozen, module = "perso_core._core")]
pub struct ProfilePlan {
    pub core: Arc<Plan>,
}

#[pymethods]
impl ProfilePlan {
    #[new]
    fn new(json: &str) -> Outcome<Self> {
        Ok(ProfilePlan {
            core: Arc::new(Plan::parse(json)?),
        })
    }

    /// The document in the canonical form of RFC 8785.
    #[getter]
    fn json(&self) -> &str {
        self.core.canonical_json()
    }

    /// SHA-256 of the canonical form, in hex.
    #[getter]
    fn hash(&self) -> &str {
        self.core.hash()
    }
}

/// Each call is a few hundred operations, so none releases the GIL.
#[pyclass(frozen, module = "perso_core._core")]
pub struct Profile {
    core: Mutex<Core>,
}

impl Profile {
    fn look<T>(&self, f: impl FnOnce(&Core) -> T) -> Outcome<T> {
        Ok(f(&*self.core.lock().map_err(poisoned)?))
    }
}

type Vector<'py> = Bound<'py, PyArray1<f32>>;

#[pymethods]
impl Profile {
    #[new]
    fn new(
        plan: PyRef<'_, ProfilePlan>,
        dim: usize,
        base: Option<PyReadonlyArray1<'_, f32>>,
        prior: Option<PyReadonlyArray1<'_, f32>>,
    ) -> Outcome<Self> {
        let owned = |array: PyReadonlyArray1<'_, f32>| array.as_array().to_vec();
        let base = base.map(|base| Prior::Base(owned(base)));
        let prior = prior.map(|prior| Prior::Population(owned(prior)));
        if base.is_some() {
            // Not used then, and checked all the same.
            Core::new(Arc::clone(&plan.core), dim, prior.clone())?;
        }
        Ok(Profile {
            core: Mutex::new(Core::new(Arc::clone(&plan.core), dim, base.or(prior))?),
        })
    }

    #[staticmethod]
    fn from_bytes(data: &[u8], plan: PyRef<'_, ProfilePlan>) -> Outcome<Self> {
        Ok(Profile {
            core: Mutex::new(Core::from_bytes(data, Arc::clone(&plan.core))?),
        })
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Outcome<Bound<'py, PyBytes>> {
        let bytes = self.look(Core::to_bytes)?;
        Ok(PyBytes::new(py, &bytes))
    }

    fn observe(&self, item: PyReadonlyArray1<'_, f32>, kind: &str, at_us: i64) -> Outcome<()> {
        let item = item.as_array().to_vec();
        let mut core = self.core.lock().map_err(poisoned)?;
        Ok(core.observe(&item, kind, at_us)?)
    }

    fn vector<'py>(&self, py: Python<'py>, at_us: i64) -> Outcome<Option<Vector<'py>>> {
        let vector = self.look(|core| core.vector(at_us))?;
        Ok(vector.map(|vector| vector.into_pyarray(py)))
    }

    fn negative<'py>(&self, py: Python<'py>) -> Outcome<Option<Vector<'py>>> {
        let vector = self.look(Core::negative)?;
        Ok(vector.map(|vector| vector.into_pyarray(py)))
    }

    /// Of the short term, the long term, the negative events.
    fn evidence(&self, at_us: i64) -> Outcome<(f64, f64, f64)> {
        let evidence = self.look(|core| core.evidence(at_us))?;
        Ok((evidence.short, evidence.long, evidence.negative))
    }

    fn counts(&self) -> Outcome<Vec<(String, u64)>> {
        self.look(|core| core.counts().map(|(k, n)| (k.to_owned(), n)).collect())
    }

    fn latest_us(&self) -> Outcome<Option<i64>> {
        self.look(Core::latest)
    }

    #[getter]
    fn dim(&self) -> Outcome<usize> {
        self.look(Core::dim)
    }
}
