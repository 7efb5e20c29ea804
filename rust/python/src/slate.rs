//! `Slate`: the result of one request.

use std::collections::BTreeMap;
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods};
use perso_core::rank::{self, Source, UserVectors};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert;
use crate::error::Outcome;
use crate::policy::Policy;

/// What a slate was made from, as far as its record must name it.
#[derive(Clone)]
pub enum Origin {
    /// A catalog, by the hash of its content at the time of the call: it may change afterwards.
    Catalog(String),
    /// Candidates, which never change; they are hashed when a record is asked for.
    Candidates(Arc<rank::Candidates>),
    /// A capsule, by its hash.
    Capsule(String),
}

#[pyclass(frozen, module = "perso_core._core")]
pub struct Slate {
    core: rank::Slate,
    origin: Origin,
    filter_us: f64,
}

impl Slate {
    pub fn new(core: rank::Slate, origin: Origin, filter_us: f64) -> Self {
        Slate {
            core,
            origin,
            filter_us,
        }
    }

    fn by_slot<T>(&self, of: impl Fn(&rank::Slot) -> T) -> Vec<T> {
        self.core.slots.iter().map(of).collect()
    }
}

#[pymethods]
impl Slate {
    #[getter]
    fn ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::ids_out(py, self.core.ids.clone())
    }

    #[getter]
    fn scores<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.core.scores.clone().into_pyarray(py)
    }

    #[getter]
    fn propensities<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.core.propensities().into_pyarray(py)
    }

    #[getter]
    fn log_propensity(&self) -> f64 {
        self.core.log_propensity()
    }

    /// 0 where the propensity is exact.
    #[getter]
    fn propensity_errors<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.by_slot(|slot| slot.estimate.map_or(0.0, |e| e.standard_error))
            .into_pyarray(py)
    }

    /// 0 where the propensity is exact.
    #[getter]
    fn propensity_draws<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        self.by_slot(|slot| slot.estimate.map_or(0, |e| i64::from(e.draws)))
            .into_pyarray(py)
    }

    #[getter]
    fn support<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        self.by_slot(|slot| i64::from(slot.support))
            .into_pyarray(py)
    }

    #[getter]
    fn support_warning(&self) -> Option<String> {
        self.core.support_warning()
    }

    #[getter]
    fn explored<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<bool>> {
        self.core.explored().into_pyarray(py)
    }

    #[getter]
    fn eligible_counts(&self) -> Vec<usize> {
        self.core
            .slots
            .iter()
            .map(|slot| slot.eligible as usize)
            .collect()
    }

    #[getter]
    fn reasons(&self) -> Vec<String> {
        self.core.reasons()
    }

    #[getter]
    fn masked(&self) -> Vec<&'static str> {
        self.core.masked()
    }

    #[getter]
    fn term_names(&self) -> Vec<String> {
        self.core.term_names.clone()
    }

    /// Slots x terms.
    #[getter]
    fn terms<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let shape = [self.core.len(), self.core.term_names.len()];
        self.core.terms.clone().into_pyarray(py).reshape(shape)
    }

    #[getter]
    fn timings_us<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        out.set_item("filter", self.filter_us)?;
        for (stage, us) in self.core.timings.pairs() {
            let us = if stage == "total" {
                us + self.filter_us
            } else {
                us
            };
            out.set_item(stage, us)?;
        }
        Ok(out)
    }

    #[getter]
    fn short_reason(&self) -> Option<&str> {
        self.core.short_reason.as_deref()
    }

    #[getter]
    fn unmet(&self) -> Vec<String> {
        self.core.outcome.unmet.clone()
    }

    #[getter]
    fn given_up(&self) -> Vec<String> {
        self.core.given_up().to_vec()
    }

    /// Given, predicted for the whole policy, and predicted for what was done; None without a budget.
    #[getter]
    fn budget_us(&self) -> Option<(f64, f64, f64)> {
        let budget = self.core.asked.budget.as_ref();
        budget.map(|b| (b.us, b.whole_us, b.planned_us))
    }

    /// The document of the decision that it was made here; None where nothing was said.
    #[getter]
    fn route(&self) -> Outcome<Option<String>> {
        let route = self.core.asked.route.as_ref();
        Ok(route.map(|route| route.to_json()).transpose()?)
    }

    #[getter]
    fn prices(&self) -> std::collections::BTreeMap<String, f64> {
        self.core.outcome.prices.clone()
    }

    #[getter]
    fn pool_size(&self) -> usize {
        self.core.pool.rows.len()
    }

    #[getter]
    fn lists(&self) -> BTreeMap<String, BTreeMap<&'static str, usize>> {
        let lists = self.core.asked.lists.iter();
        lists
            .map(|(name, list)| {
                let counts = [("given", list.given), ("eligible", list.eligible)];
                (name.clone(), BTreeMap::from(counts))
            })
            .collect()
    }

    #[getter]
    fn path(&self) -> &'static str {
        self.core.path.as_str()
    }

    #[getter]
    fn k(&self) -> usize {
        self.core.asked.k
    }

    #[getter]
    fn at_us(&self) -> i64 {
        self.core.asked.at
    }

    #[getter]
    fn seed(&self) -> u64 {
        self.core.asked.seed
    }

    #[getter]
    fn request_id(&self) -> &str {
        &self.core.asked.request_id
    }

    #[getter]
    fn generation(&self) -> u64 {
        self.core.generation
    }

    #[getter]
    fn policy_hash(&self) -> &str {
        self.core.policy.hash()
    }

    fn __len__(&self) -> usize {
        self.core.len()
    }

    /// Whether it was ranked from a capsule.
    #[getter]
    fn of_capsule(&self) -> bool {
        matches!(self.origin, Origin::Capsule(_))
    }

    /// Up to `most` of its candidates for a capsule, and numbers that came with its request.
    fn candidates<'py>(
        &self,
        py: Python<'py>,
        policy: PyRef<'_, Policy>,
        most: usize,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyDict>)> {
        let (ids, signals) = perso_core::capsule::candidates_of(&self.core, &policy.core, most);
        let out = PyDict::new(py);
        for (name, values) in signals {
            out.set_item(name, values.into_pyarray(py))?;
        }
        Ok((convert::ids_out(py, ids)?, out))
    }

    /// The decision record as a JSON document. `user` says what it keeps of the user's vectors: "included", "hashed",
    /// or "withheld", with all that is personal.
    fn record(&self, py: Python<'_>, user: &str, user_key_hmac: Option<&str>) -> Outcome<String> {
        let user = match user {
            "included" => UserVectors::Included,
            "hashed" => UserVectors::Hashed,
            _ => UserVectors::Withheld,
        };
        py.detach(|| {
            let hash = match &self.origin {
                Origin::Catalog(hash) | Origin::Capsule(hash) => hash.clone(),
                Origin::Candidates(core) => core.content_hash(),
            };
            Ok(rank::record_json_of(
                &self.core,
                &hash,
                user,
                user_key_hmac,
            )?)
        })
    }
}
