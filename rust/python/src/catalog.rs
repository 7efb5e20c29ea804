//! `Catalog`: items with spaces and attributes.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::{IntoPyArray, PyReadonlyArray2, PyUntypedArrayMethods};
use perso_core::catalog::{Catalog as Core, Upsert};
use perso_core::durable::{check_target, Change};
use perso_core::error::Error;
use perso_core::live::Live;
use perso_core::metric::{Dtype, Metric};
use perso_core::vectors::{Ask, Layout, Rescore, Spec};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrow;
use crate::attributes;
use crate::convert::{self, Table};
use crate::durable::{self, Behind};
use crate::error::{Failure, Outcome};
use crate::export::{Export, Wanted};
use crate::filter::GivenEach;
use crate::index::Hits;
use crate::progress;
use crate::stream::{self, Stream};

/// What Python says of a space besides its name and dim: (metric, dtype, M, ef_construction, layout, rescore).
type Options = (String, String, usize, usize, String, Option<String>);
/// A space as Python names it: (name, dim, options).
type SpaceArguments = (String, usize, Options);
/// The same with the column its vectors come from; a dim of `None` is taken from the data.
type ArrowSpace = (String, String, Option<usize>, Options);

#[pyclass(frozen, module = "perso_core._core")]
pub struct Catalog {
    core: Arc<Live<Core>>,
    behind: Behind,
}

impl Catalog {
    fn wrap((core, behind): (Core, Behind)) -> Self {
        Catalog {
            core: Arc::new(Live::new(core)),
            behind,
        }
    }

    /// The catalog as it is now: it stays so for whoever holds it, whatever is written meanwhile.
    pub fn read(&self) -> Arc<Core> {
        self.core.read()
    }

    /// What tells it from other catalogs.
    pub fn place(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    fn look<T: Send>(&self, py: Python<'_>, f: impl FnOnce(&Core) -> T + Send) -> T {
        py.detach(|| f(&self.read()))
    }

    fn write(
        &self,
        py: Python<'_>,
        upsert: Upsert,
        num_threads: i64,
        progress: Option<Py<PyAny>>,
    ) -> Outcome<()> {
        stream::not_into(self.place())?;
        let rows = upsert.ids.len();
        progress::run_many(py, progress, rows, |hook| {
            self.behind
                .apply(&self.core, Change::Upsert(upsert), num_threads, hook)
        })
        .map_err(|failure| self.about(failure))
    }

    /// An error of the operating system is about the file of the log.
    fn about(&self, failure: Failure) -> Failure {
        match self.behind.path() {
            Some(path) => failure.about(path),
            None => failure,
        }
    }
}

#[pymethods]
impl Catalog {
    #[new]
    fn new(spaces: Vec<SpaceArguments>, seed: u64) -> Outcome<Self> {
        let spaces = specs_of(spaces, seed)?;
        Ok(Catalog::wrap((Core::new(spaces)?, Behind::Nothing)))
    }

    #[staticmethod]
    #[allow(clippy::too_many_arguments)] // One for each argument of the Python method.
    fn from_arrow(
        py: Python<'_>,
        table: &Bound<'_, PyAny>,
        id: &str,
        spaces: Vec<ArrowSpace>,
        attributes: Option<Vec<String>>,
        seed: u64,
        rows: Option<usize>,
        num_threads: i64,
        progress: Option<Py<PyAny>>,
    ) -> Outcome<Self> {
        let named: Vec<arrow::SpaceColumn> = spaces
            .iter()
            .map(|(name, column, ..)| (name.clone(), column.clone()))
            .collect();
        let batches = stream::reader(table)?;
        let columns = arrow::Columns::find(&batches.schema(), id, &named, attributes.as_deref())?;
        let catalog = progress::run(py, progress, |hook| {
            let mut stream = Stream::new(batches, columns, rows);
            let mut described = Vec::with_capacity(spaces.len());
            for ((name, _, dim, options), found) in spaces.into_iter().zip(stream.dims()?) {
                check_dim(&name, dim, found)?;
                described.push((name, spec_of(dim.unwrap_or(found), options, seed)?));
            }
            let empty = Core::new(described)?;
            let made = stream.pour(empty.clone(), usize::MAX, num_threads, hook)?;
            Ok(made.unwrap_or(empty))
        })?;
        Ok(Catalog::wrap((catalog, Behind::Nothing)))
    }

    fn upsert(
        &self,
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        vectors: &Bound<'_, PyDict>,
        attributes: &Bound<'_, PyDict>,
        num_threads: i64,
        progress: Option<Py<PyAny>>,
    ) -> Outcome<()> {
        let upsert = Upsert {
            ids: convert::ids("ids", ids)?,
            vectors: self.vectors_in(py, vectors)?,
            attributes: attributes::columns(attributes)?,
        };
        self.write(py, upsert, num_threads, progress)
    }

    #[allow(clippy::too_many_arguments)] // One for each argument of the Python method.
    fn upsert_arrow(
        &self,
        py: Python<'_>,
        table: &Bound<'_, PyAny>,
        id: &str,
        spaces: Vec<arrow::SpaceColumn>,
        attributes: Option<Vec<String>>,
        rows: Option<usize>,
        rows_per_change: Option<usize>,
        num_threads: i64,
        progress: Option<Py<PyAny>>,
    ) -> Outcome<()> {
        stream::not_into(self.place())?;
        let batches = stream::reader(table)?;
        let columns = arrow::Columns::find(&batches.schema(), id, &spaces, attributes.as_deref())?;
        progress::run(py, progress, |hook| {
            let _into = stream::Into::catalog(self.place());
            let mut stream = Stream::new(batches, columns, rows);
            let now = self.read();
            for ((name, _), found) in spaces.iter().zip(stream.dims()?) {
                let known = now.specs().find(|(space, _)| space == name);
                check_dim(name, known.map(|(_, spec)| spec.dim), found)?;
            }
            drop(now);
            let most = rows_per_change.unwrap_or(usize::MAX);
            loop {
                // Other writers wait while a change is made, and not while its rows come.
                if rows_per_change.is_some() {
                    stream.gather(most, hook)?;
                }
                if stream.is_done()? {
                    return Ok(());
                }
                if self.behind.path().is_some() {
                    // A log keeps changes as they were given.
                    let change = stream.change(most, hook)?.map(Change::Upsert);
                    if let Some(change) = change {
                        self.behind.apply(&self.core, change, num_threads, hook)?;
                    }
                    continue;
                }
                self.core.write(|core| {
                    if let Some(next) = stream.pour(core.clone(), most, num_threads, hook)? {
                        *core = next;
                    }
                    Ok(())
                })?;
            }
        })
    }

    /// Rows as a stream of Arrow batches, out of the catalog as it is now.
    fn export(
        &self,
        py: Python<'_>,
        id: String,
        spaces: Option<Vec<arrow::SpaceColumn>>,
        attributes: Option<Vec<String>>,
        ids: Option<&Bound<'_, PyAny>>,
    ) -> Outcome<Export> {
        let ids = convert::optional_ids("ids", ids)?;
        let wanted = Wanted {
            id,
            spaces,
            attributes,
            ids,
        };
        py.detach(|| Ok(Export::new(self.read(), wanted)?))
    }

    fn remove(&self, py: Python<'_>, ids: &Bound<'_, PyAny>) -> Outcome<()> {
        let ids = convert::ids("ids", ids)?;
        stream::not_into(self.place())?;
        py.detach(|| {
            self.behind
                .apply(&self.core, Change::Remove(ids), 1, &|_, _| true)
        })
        .map_err(|error| self.about(error.into()))
    }

    fn compact(&self, py: Python<'_>) -> Outcome<()> {
        stream::not_into(self.place())?;
        py.detach(|| self.behind.compact(&self.core))
            .map_err(|error| self.about(error.into()))
    }

    fn copy(&self) -> Self {
        Catalog::wrap((Core::clone(&self.read()), Behind::Nothing))
    }

    /// One dict an item: {"vectors": {space: array}, "attributes": {name: value}}.
    fn get<'py>(
        &self,
        py: Python<'py>,
        ids: &Bound<'py, PyAny>,
    ) -> Outcome<Vec<Bound<'py, PyDict>>> {
        let ids = convert::ids("ids", ids)?;
        let (names, items) = self.look(py, |core| {
            let names: Vec<String> = core.specs().map(|(name, _)| name.to_owned()).collect();
            (names, core.get(&ids))
        });
        items?
            .into_iter()
            .map(|item| {
                let vectors = PyDict::new(py);
                for (name, vector) in names.iter().zip(item.vectors) {
                    vectors.set_item(name, vector.into_pyarray(py))?;
                }
                let values = PyDict::new(py);
                for (name, value) in item.attributes {
                    values.set_item(name, attributes::out(py, value)?)?;
                }
                let out = PyDict::new(py);
                out.set_item("vectors", vectors)?;
                out.set_item("attributes", values)?;
                Ok(out)
            })
            .collect()
    }

    fn ids<'py>(&self, py: Python<'py>) -> Outcome<Bound<'py, PyAny>> {
        let ids = self.look(py, |core| core.id_map().live_ids());
        Ok(convert::ids_out(py, ids)?)
    }

    fn attributes(&self, py: Python<'_>) -> Vec<(String, &'static str)> {
        self.look(py, |core| {
            core.attributes()
                .map(|(name, kind)| (name.to_owned(), kind.as_str()))
                .collect()
        })
    }

    fn spaces(&self, py: Python<'_>) -> Vec<SpaceArguments> {
        self.look(py, |core| {
            core.specs()
                .map(|(name, spec)| (name.to_owned(), spec.dim, options_of(spec)))
                .collect()
        })
    }

    #[getter]
    fn generation(&self, py: Python<'_>) -> u64 {
        self.look(py, perso_core::rank::Source::generation)
    }

    #[getter]
    fn content_hash(&self, py: Python<'_>) -> String {
        self.look(py, |core| core.content_hash())
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.look(py, Core::len)
    }

    fn __contains__(&self, py: Python<'_>, id: &Bound<'_, PyAny>) -> bool {
        let Some(id) = convert::any_id(id) else {
            return false;
        };
        self.look(py, |core| core.contains(&id))
    }

    fn stats<'py>(&self, py: Python<'py>) -> Outcome<Bound<'py, PyDict>> {
        let (items, rows, bytes, shapes) = self.look(py, |core| {
            let shapes: Vec<_> = core
                .specs()
                .enumerate()
                .map(|(i, (name, _))| {
                    let space = core.vectors(i);
                    let shape = space.graph().map(|graph| graph.shape());
                    (
                        name.to_owned(),
                        space.layout(),
                        space.bytes(),
                        space.path(),
                        shape,
                    )
                })
                .collect();
            (
                core.len(),
                core.id_map().rows_len(),
                core.heap_bytes(),
                shapes,
            )
        });
        let spaces = PyDict::new(py);
        for (name, layout, bytes, path, shape) in shapes {
            let one = PyDict::new(py);
            one.set_item("layout", layout.as_str())?;
            one.set_item("bytes", bytes.total())?;
            one.set_item("bytes_by_part", convert::parts(py, bytes)?)?;
            one.set_item("path", path.as_str())?;
            one.set_item("links", shape.map_or(0, |shape| shape.0))?;
            one.set_item("layers", shape.map_or(0, |shape| shape.1))?;
            spaces.set_item(name, one)?;
        }
        let out = PyDict::new(py);
        out.set_item("items", items)?;
        out.set_item("rows", rows)?;
        out.set_item("bytes", bytes)?;
        out.set_item("spaces", spaces)?;
        if let Some(log) = self.behind.stats(py)? {
            out.set_item("log", log)?;
        }
        Ok(out)
    }

    #[allow(clippy::too_many_arguments)] // One for each argument of the Python method.
    #[pyo3(signature = (space, queries, k, ef, r#where, exclude, exact, num_threads))]
    fn search<'py>(
        &self,
        py: Python<'py>,
        space: &str,
        queries: PyReadonlyArray2<'py, f32>,
        k: usize,
        ef: Option<usize>,
        r#where: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
        exact: bool,
        num_threads: i64,
    ) -> Outcome<Hits<'py>> {
        convert::check_table(queries.shape()[0], k)?;
        let [count, columns] = [queries.shape()[0], queries.shape()[1]];
        let filters = GivenEach::new("where", r#where, self.place(), count)?;
        let exclude = convert::optional_ids("exclude", exclude)?;
        let queries = convert::contiguous("queries", &queries)?;
        let (table, path) = py.detach(|| -> Outcome<_> {
            let core = self.read();
            let space = core.space(space)?;
            convert::check_columns("queries", core.vectors(space).spec().dim, columns)?;
            let kept = filters.kept(&*core as &dyn perso_core::rank::Source)?;
            let eligible = filters.map(&kept, |only| core.eligible(only, exclude.as_ref()))?;
            let ask = eligible.iter().map(|rows| Ask {
                k,
                ef,
                eligible: rows.as_ref(),
                exact,
            });
            let asks: Vec<Ask<'_>> = ask.collect();
            let answers = match asks[..] {
                [ask] if !filters.is_each() => core.search(space, queries, ask, num_threads)?,
                _ => core.search_each(space, queries, &asks, num_threads)?,
            };
            let (lists, path) = convert::split(answers);
            Ok((Table::new(&lists, k, Some(core.id_map())), path))
        })?;
        let (ids, scores) = table.into_py(py)?;
        Ok((ids, scores, path))
    }

    fn save(&self, py: Python<'_>, path: PathBuf, progress: Option<Py<PyAny>>) -> Outcome<()> {
        progress::run(py, progress, |hook| {
            check_target(&path)?;
            self.read().save(&path, hook)
        })
        .map_err(|failure| failure.about(&path))
    }

    #[staticmethod]
    fn open(
        py: Python<'_>,
        path: PathBuf,
        mmap: bool,
        progress: Option<Py<PyAny>>,
    ) -> Outcome<Self> {
        progress::run(py, progress, |hook| Behind::file(&path, mmap, hook))
            .map(Catalog::wrap)
            .map_err(|failure| failure.about(&path))
    }

    #[staticmethod]
    #[allow(clippy::too_many_arguments)] // One for each argument of the Python method.
    fn open_durable(
        py: Python<'_>,
        path: PathBuf,
        mmap: bool,
        spaces: Option<Vec<SpaceArguments>>,
        seed: u64,
        sync: &str,
        log_limit: Option<u64>,
        progress: Option<Py<PyAny>>,
    ) -> Outcome<Self> {
        let options = durable::options(mmap, sync, log_limit)?;
        let spaces = spaces.map(|spaces| specs_of(spaces, seed)).transpose()?;
        progress::run(py, progress, |hook| {
            Behind::log(&path, spaces, options, hook)
        })
        .map(Catalog::wrap)
        .map_err(|failure| failure.about(&path))
    }

    fn checkpoint(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> Outcome<()> {
        progress::run(py, progress, |hook| {
            self.behind.checkpoint(&self.core, hook)
        })
        .map_err(|failure| self.about(failure))
    }

    fn refresh(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> Outcome<u64> {
        stream::not_into(self.place())?;
        progress::run(py, progress, |hook| self.behind.refresh(&self.core, hook))
    }

    fn close(&self, py: Python<'_>) -> Outcome<()> {
        py.detach(|| self.behind.close(&self.core))
            .map_err(|error| self.about(error.into()))
    }
}

impl Catalog {
    fn vectors_in(
        &self,
        py: Python<'_>,
        given: &Bound<'_, PyDict>,
    ) -> Outcome<Vec<(String, Vec<f32>)>> {
        let dims = self.look(py, |core| {
            core.specs()
                .map(|(name, spec)| (name.to_owned(), spec.dim))
                .collect::<Vec<_>>()
        });
        let mut out = Vec::with_capacity(given.len());
        for (name, array) in given.iter() {
            let name: String = name.extract()?;
            let array: PyReadonlyArray2<'_, f32> = array.extract().map_err(|_| {
                Error::wrong_type(
                    format!("vectors[{name:?}]"),
                    "a float32 matrix",
                    array.get_type(),
                )
            })?;
            if let Some((_, dim)) = dims.iter().find(|(space, _)| *space == name) {
                convert::check_columns(&format!("vectors[{name:?}]"), *dim, array.shape()[1])?;
            }
            out.push((name, convert::contiguous("vectors", &array)?.to_vec()));
        }
        Ok(out)
    }
}

fn specs_of(spaces: Vec<SpaceArguments>, seed: u64) -> Result<Vec<(String, Spec)>, Error> {
    spaces
        .into_iter()
        .map(|(name, dim, options)| Ok((name, spec_of(dim, options, seed)?)))
        .collect()
}

fn spec_of(dim: usize, options: Options, seed: u64) -> Result<Spec, Error> {
    let (metric, dtype, m, ef_construction, layout, rescore) = options;
    Ok(Spec {
        dim,
        metric: Metric::parse("metric", &metric)?,
        dtype: Dtype::parse("dtype", &dtype)?,
        m,
        ef_construction,
        seed,
        layout: Layout::parse("layout", &layout)?,
        rescore: rescore
            .map(|name| Rescore::parse("rescore", &name))
            .transpose()?,
    })
}

fn options_of(spec: &Spec) -> Options {
    (
        spec.metric.as_str().to_owned(),
        spec.dtype.as_str().to_owned(),
        spec.m,
        spec.ef_construction,
        spec.layout.as_str().to_owned(),
        spec.rescore.map(|rescore| rescore.as_str().to_owned()),
    )
}

/// Refuses a column of other dimensions than its space has. A column without rows may have none.
fn check_dim(space: &str, dim: Option<usize>, found: usize) -> Result<(), Error> {
    match dim {
        Some(dim) if found != 0 && dim != found => Err(Error::invalid(
            format!("spaces[{space:?}]"),
            format!("vectors of {dim} components"),
            format!("vectors of {found}"),
        )),
        _ => Ok(()),
    }
}
