//! `Capsule`, what packs one, and keys.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1};
use perso_core::capsule::{self, Packing, PrivateKey, PublicKey};
use perso_core::error::Error;
use perso_core::ids::IdMap;
use perso_core::metric::Dtype;
use perso_core::rank::Source;
use perso_core::select::check_kind;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::convert;
use crate::error::{Failure, Outcome};
use crate::policy::Policy;
use crate::profile::ProfilePlan;
use crate::ranking::{signals_in, GivenSignal, Items};

#[pyclass(frozen, module = "perso_core._core")]
pub struct Capsule {
    pub core: Arc<capsule::Capsule>,
}

impl Capsule {
    fn of(core: capsule::Capsule) -> Self {
        Capsule {
            core: Arc::new(core),
        }
    }
}

fn keys_in(keys: &[Vec<u8>]) -> Result<Vec<PublicKey>, Error> {
    keys.iter().map(|key| PublicKey::new(key)).collect()
}

/// Library, generation, content hash, made at, expires at, key id.
type Provenance = (String, u64, String, i64, i64, String);

#[pymethods]
impl Capsule {
    #[staticmethod]
    fn open(py: Python<'_>, data: &[u8], keys: Vec<Vec<u8>>, at_us: i64) -> Outcome<Self> {
        let keys = keys_in(&keys)?;
        Ok(Capsule::of(
            py.detach(|| capsule::Capsule::open(data, &keys, at_us))?,
        ))
    }

    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf, keys: Vec<Vec<u8>>, at_us: i64) -> Outcome<Self> {
        let keys = keys_in(&keys)?;
        let opened = py.detach(|| capsule::Capsule::load(&path, &keys, at_us));
        Ok(Capsule::of(
            opened.map_err(|error| Failure::from(error).about(&path))?,
        ))
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> Outcome<()> {
        let saved = py.detach(|| self.core.save(&path));
        saved.map_err(|error| Failure::from(error).about(&path))
    }

    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.core.bytes())
    }

    #[getter]
    fn size(&self) -> usize {
        self.core.bytes().len()
    }

    #[getter]
    fn ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::ids_out(py, self.core.ids())
    }

    #[getter]
    fn policy(&self) -> Policy {
        Policy {
            core: Arc::clone(self.core.policy()),
        }
    }

    #[getter]
    fn plan(&self) -> Option<ProfilePlan> {
        let plan = self.core.plan()?;
        Some(ProfilePlan {
            core: Arc::clone(plan),
        })
    }

    #[getter]
    fn provenance(&self) -> Provenance {
        let capsule::Provenance {
            library,
            generation,
            content_hash,
            made_at,
            expires_at,
            key_id,
        } = self.core.provenance().clone();
        (
            library,
            generation,
            content_hash,
            made_at,
            expires_at,
            key_id,
        )
    }

    #[getter]
    fn hash(&self) -> &str {
        self.core.hash()
    }

    /// Name, components, metric, storage type.
    fn spaces(&self) -> Vec<(String, usize, &'static str, &'static str)> {
        let spaces = self.core.spaces().iter().enumerate();
        let dtype = |at: usize| {
            let store = Source::store(&*self.core, at);
            store.map_or("", |store| store.dtype().as_str())
        };
        spaces
            .map(|(at, info)| (info.name.clone(), info.dim, info.metric.as_str(), dtype(at)))
            .collect()
    }

    /// Name and type.
    fn attributes(&self) -> Vec<(String, &'static str)> {
        let attributes = self.core.attributes();
        attributes
            .map(|(name, column)| (name.to_owned(), column.kind().as_str()))
            .collect()
    }

    fn vector<'py>(
        &self,
        py: Python<'py>,
        id: &Bound<'py, PyAny>,
        space: &str,
    ) -> Outcome<Bound<'py, PyArray1<f32>>> {
        let id = convert::any_id(id)
            .ok_or_else(|| Error::wrong_type("id", "an int or a str", id.get_type()))?;
        Ok(self.core.vector(&id, space)?.into_pyarray(py))
    }

    fn __len__(&self) -> usize {
        self.core.len()
    }
}

/// The bytes of a signed capsule.
#[pyfunction]
#[pyo3(signature = (source, policy, ids, spaces, dtype, attributes, signals, plan, made_at_us, expires_at_us, key))]
#[allow(clippy::too_many_arguments)] // One for each argument of the Python function.
pub fn pack<'py>(
    py: Python<'py>,
    source: Items<'_>,
    policy: PyRef<'_, Policy>,
    ids: &Bound<'_, PyAny>,
    spaces: Option<Vec<String>>,
    dtype: &str,
    attributes: Vec<String>,
    signals: &Bound<'_, PyDict>,
    plan: Option<PyRef<'_, ProfilePlan>>,
    made_at_us: i64,
    expires_at_us: i64,
    key: &[u8],
) -> Outcome<Bound<'py, PyBytes>> {
    let ids = convert::ids("ids", ids)?;
    let dtype = Dtype::parse("dtype", dtype)?;
    let given = signals_in(signals)?;
    let key = PrivateKey::new(key)?;
    let plan = plan.map(|plan| Arc::clone(&plan.core));
    let policy = Arc::clone(&policy.core);
    let held = source.hold();
    let bytes = py.detach(|| {
        // Numbers by id are dealt to the candidates; those of other items stay behind.
        let mut places = IdMap::new();
        places.check_batch("ids", &ids)?;
        (0..ids.len()).for_each(|i| {
            places.push(ids.get(i));
        });
        let signals: Vec<(String, Vec<f64>)> = given
            .into_iter()
            .map(|signal| match signal {
                GivenSignal::All(name, values) => Ok((name, values)),
                GivenSignal::Some(name, keys, values) => {
                    check_kind(&format!("signals[{name:?}]"), &places, &keys)?;
                    let mut dealt = vec![f64::NAN; ids.len()];
                    for (i, value) in values.into_iter().enumerate() {
                        if let Some(row) = places.row_of(&keys, i) {
                            dealt[row as usize] = value;
                        }
                    }
                    Ok((name, dealt))
                }
            })
            .collect::<Result<_, Error>>()?;
        held.with(|source, _| {
            let packing = Packing {
                ids: &ids,
                spaces: spaces.as_deref(),
                dtype,
                attributes: &attributes,
                signals: &signals,
                plan: plan.as_deref(),
                made_at: made_at_us,
                expires_at: expires_at_us,
            };
            Ok(capsule::pack(source, &policy, &packing, &key)?)
        })
    })?;
    Ok(PyBytes::new(py, &bytes))
}

/// The public key that belongs to a private one, and what names it.
#[pyfunction]
pub fn public_key<'py>(py: Python<'py>, key: &[u8]) -> Outcome<(Bound<'py, PyBytes>, String)> {
    let public = PrivateKey::new(key)?.public();
    Ok((PyBytes::new(py, &public.to_bytes()), public.id()))
}
