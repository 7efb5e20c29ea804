//! `Index`: vectors under ids.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray2};
use perso_core::index::Index as Core;
use perso_core::live::Live;
use perso_core::metric::{Dtype, Metric};
use perso_core::vectors::{Ask, Layout, Rescore, Spec};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{self, Table};
use crate::error::Outcome;
use crate::filter::GivenEach;
use crate::progress;

/// The same for one query: `(k,)` arrays, ids as a list where they are text.
type OneHits<'py> = (Bound<'py, PyAny>, Bound<'py, PyArray1<f32>>, &'static str);

/// `(ids, scores, path)` of a search.
pub type Hits<'py> = (Bound<'py, PyAny>, Bound<'py, PyArray2<f32>>, &'static str);

#[pyclass(frozen, module = "perso_core._core")]
pub struct Index {
    core: Live<Core>,
    spec: Spec,
}

impl Index {
    pub(crate) fn wrap(core: Core) -> Self {
        Index {
            spec: core.spec().clone(),
            core: Live::new(core),
        }
    }

    /// The index as it is now: it stays so for whoever holds it, whatever is written meanwhile.
    pub(crate) fn read(&self) -> Arc<Core> {
        self.core.read()
    }

    /// What tells it from other indexes.
    pub(crate) fn place(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }
}

#[pymethods]
impl Index {
    #[new]
    #[pyo3(signature = (dim, metric, dtype, m, ef_construction, seed, layout, rescore))]
    #[allow(clippy::too_many_arguments)] // One for each argument of the Python method.
    fn new(
        dim: usize,
        metric: &str,
        dtype: &str,
        m: usize,
        ef_construction: usize,
        seed: u64,
        layout: &str,
        rescore: Option<&str>,
    ) -> Outcome<Self> {
        let spec = Spec {
            dim,
            metric: Metric::parse("metric", metric)?,
            dtype: Dtype::parse("dtype", dtype)?,
            m,
            ef_construction,
            seed,
            layout: Layout::parse("layout", layout)?,
            rescore: rescore
                .map(|name| Rescore::parse("rescore", name))
                .transpose()?,
        };
        Ok(Index::wrap(Core::new(spec)?))
    }

    fn add<'py>(
        &self,
        py: Python<'py>,
        vectors: PyReadonlyArray2<'py, f32>,
        ids: Option<&Bound<'py, PyAny>>,
        num_threads: i64,
        progress: Option<Py<PyAny>>,
        fit_queries: Option<PyReadonlyArray2<'py, f32>>,
    ) -> Outcome<Bound<'py, PyAny>> {
        let sample = fit_queries
            .as_ref()
            .map(|queries| convert::matrix("fit_queries", queries, self.spec.dim))
            .transpose()?;
        let vectors = convert::matrix("vectors", &vectors, self.spec.dim)?;
        let ids = convert::optional_ids("ids", ids)?;
        let rows = vectors.len() / self.spec.dim + sample.map_or(0, <[f32]>::len);
        let added = progress::run_many(py, progress, rows, |hook| {
            self.core
                .write(|core| core.add_and_fit(vectors, ids, sample, num_threads, hook))
        })?;
        Ok(convert::ids_out(py, added)?)
    }

    #[allow(clippy::too_many_arguments)] // One for each argument of the Python method.
    fn search<'py>(
        &self,
        py: Python<'py>,
        queries: PyReadonlyArray2<'py, f32>,
        k: usize,
        ef: Option<usize>,
        filter: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
        exact: bool,
        num_threads: i64,
    ) -> Outcome<Hits<'py>> {
        let queries = convert::matrix("queries", &queries, self.spec.dim)?;
        let count = queries.len() / self.spec.dim;
        convert::check_table(count, k)?;
        let filters = GivenEach::new("filter", filter, self.place(), count)?;
        let exclude = convert::optional_ids("exclude", exclude)?;
        let (table, path) = py.detach(|| -> Outcome<_> {
            let core = self.core.read();
            let kept = filters.kept(&*core)?;
            let eligible = filters.map(&kept, |only| core.eligible(only, exclude.as_ref()))?;
            let ask = eligible.iter().map(|rows| Ask {
                k,
                ef,
                eligible: rows.as_ref(),
                exact,
            });
            let asks: Vec<Ask<'_>> = ask.collect();
            let answers = match asks[..] {
                [ask] if !filters.is_each() => core.search(queries, ask, num_threads)?,
                _ => core.search_each(queries, &asks, num_threads)?,
            };
            let (lists, path) = convert::split(answers);
            Ok((Table::new(&lists, k, Some(core.id_map())), path))
        })?;
        let (ids, scores) = table.into_py(py)?;
        Ok((ids, scores, path))
    }

    /// One query by the shortest way. `None` unless it is a contiguous float32 vector of the index's
    /// dimensions: anything else is for `search`, which converts and refuses.
    fn search_one<'py>(
        &self,
        py: Python<'py>,
        query: &Bound<'py, PyAny>,
        k: usize,
        ef: Option<usize>,
    ) -> Outcome<Option<OneHits<'py>>> {
        let Some(query) = convert::plain_vector(query, self.spec.dim) else {
            return Ok(None);
        };
        let Ok(query) = query.as_slice() else {
            return Ok(None);
        };
        convert::check_table(1, k)?;
        let (table, path) = py.detach(|| -> Outcome<_> {
            let core = self.core.read();
            let (list, path) = core.search_one(query, k, ef)?;
            Ok((
                Table::new(std::slice::from_ref(&list), k, Some(core.id_map())),
                path,
            ))
        })?;
        let (ids, scores) = table.into_py_one(py)?;
        Ok(Some((ids, scores, path.as_str())))
    }

    /// `(mean, standard error, path)`.
    fn recall(
        &self,
        py: Python<'_>,
        queries: PyReadonlyArray2<'_, f32>,
        k: usize,
        ef: Option<usize>,
        num_threads: i64,
        progress: Option<Py<PyAny>>,
    ) -> Outcome<(f64, f64, &'static str)> {
        let queries = convert::matrix("queries", &queries, self.spec.dim)?;
        let found = progress::run(py, progress, |hook| {
            let core = self.core.read();
            core.recall(queries, k, ef, num_threads, hook)
        })?;
        Ok((found.mean, found.standard_error, found.path.as_str()))
    }

    fn tune<'py>(
        &self,
        py: Python<'py>,
        queries: PyReadonlyArray2<'_, f32>,
        recall: f64,
        k: usize,
        num_threads: i64,
        progress: Option<Py<PyAny>>,
    ) -> Outcome<Bound<'py, PyDict>> {
        let queries = convert::matrix("queries", &queries, self.spec.dim)?;
        let found = progress::run(py, progress, |hook| {
            let core = self.core.read();
            let tuning = core.tuning(queries, recall, k, num_threads, hook)?;
            self.core.write(|core| {
                core.set_tuning(&tuning);
                Ok(())
            })?;
            Ok(tuning)
        })?;
        let out = PyDict::new(py);
        out.set_item("ef", found.ef)?;
        out.set_item("recall", found.recall.mean)?;
        out.set_item("standard_error", found.recall.standard_error)?;
        out.set_item("path", found.recall.path.as_str())?;
        out.set_item("target", found.target)?;
        out.set_item("k", found.k)?;
        out.set_item("queries", found.queries)?;
        out.set_item("reached", found.reached)?;
        out.set_item("advice", found.advice)?;
        Ok(out)
    }

    fn fit<'py>(
        &self,
        py: Python<'py>,
        queries: PyReadonlyArray2<'_, f32>,
        num_threads: i64,
        progress: Option<Py<PyAny>>,
    ) -> Outcome<Bound<'py, PyDict>> {
        let queries = convert::matrix("queries", &queries, self.spec.dim)?;
        let found = progress::run(py, progress, |hook| {
            self.core.write(|core| core.fit(queries, num_threads, hook))
        })?;
        let (before, after) = found.recall.unzip();
        let out = PyDict::new(py);
        out.set_item("queries", found.queries)?;
        out.set_item("links", found.links)?;
        out.set_item("rows", found.rows)?;
        out.set_item("held_out", found.held_out)?;
        out.set_item("recall_before", before.map(|recall| recall.mean))?;
        out.set_item("recall_after", after.map(|recall| recall.mean))?;
        out.set_item("path", found.path.as_str())?;
        out.set_item("advice", found.advice)?;
        Ok(out)
    }

    fn remove(&self, py: Python<'_>, ids: &Bound<'_, PyAny>) -> Outcome<()> {
        let ids = convert::ids("ids", ids)?;
        py.detach(|| Ok(self.core.write(|core| core.remove(&ids))?))
    }

    fn compact(&self, py: Python<'_>) -> Outcome<()> {
        py.detach(|| Ok(self.core.write(Core::compact)?))
    }

    fn copy(&self) -> Self {
        Index::wrap(Core::clone(&self.core.read()))
    }

    fn get<'py>(
        &self,
        py: Python<'py>,
        ids: &Bound<'py, PyAny>,
    ) -> Outcome<Bound<'py, PyArray2<f32>>> {
        let ids = convert::ids("ids", ids)?;
        let vectors = py.detach(|| -> Outcome<_> { Ok(self.core.read().get(&ids)?) })?;
        Ok(vectors
            .into_pyarray(py)
            .reshape([ids.len(), self.spec.dim])?)
    }

    fn ids<'py>(&self, py: Python<'py>) -> Outcome<Bound<'py, PyAny>> {
        let ids = py.detach(|| self.core.read().id_map().live_ids());
        Ok(convert::ids_out(py, ids)?)
    }

    fn __len__(&self) -> usize {
        self.core.read().len()
    }

    #[getter]
    fn dim(&self) -> usize {
        self.spec.dim
    }

    #[getter]
    fn metric(&self) -> &'static str {
        self.spec.metric.as_str()
    }

    #[getter]
    fn dtype(&self) -> &'static str {
        self.spec.dtype.as_str()
    }

    #[getter(M)]
    fn m(&self) -> usize {
        self.spec.m
    }

    #[getter]
    fn ef_construction(&self) -> usize {
        self.spec.ef_construction
    }

    #[getter]
    fn seed(&self) -> u64 {
        self.spec.seed
    }

    #[getter]
    fn layout(&self) -> &'static str {
        self.spec.layout.as_str()
    }

    #[getter]
    fn rescore(&self) -> Option<&'static str> {
        self.spec.rescore.map(Rescore::as_str)
    }

    fn stats<'py>(&self, py: Python<'py>) -> Outcome<Bound<'py, PyDict>> {
        let stats = py.detach(|| self.core.read().stats());
        let out = PyDict::new(py);
        out.set_item("items", stats.items)?;
        out.set_item("rows", stats.rows)?;
        out.set_item("layout", stats.layout.as_str())?;
        out.set_item("bytes", stats.bytes.total())?;
        out.set_item("bytes_by_part", convert::parts(py, stats.bytes)?)?;
        out.set_item("ef", stats.ef)?;
        out.set_item("links", stats.links)?;
        out.set_item("taught_links", stats.taught_links)?;
        out.set_item("layers", stats.layers)?;
        out.set_item("path", stats.path.as_str())?;
        Ok(out)
    }

    fn save(&self, py: Python<'_>, path: PathBuf, progress: Option<Py<PyAny>>) -> Outcome<()> {
        progress::run(py, progress, |hook| self.core.read().save(&path, hook))
            .map_err(|failure| failure.about(&path))
    }

    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf, mmap: bool) -> Outcome<Self> {
        progress::run(py, None, |_| Core::load(&path, mmap))
            .map(Index::wrap)
            .map_err(|failure| failure.about(&path))
    }
}
