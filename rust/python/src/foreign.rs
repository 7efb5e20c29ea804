//! Indexes from the files of other libraries.

use std::path::PathBuf;

use perso_core::foreign::{from_faiss, from_hnswlib, Choice, Imported, Options, Taken};
use perso_core::metric::{Dtype, Metric};
use perso_core::vectors::{Layout, Rescore};
use pyo3::prelude::*;

use crate::convert;
use crate::error::Outcome;
use crate::index::Index;
use crate::progress;

/// dtype, layout, rescore, seed, graph, threads.
type Form = (String, String, Option<String>, u64, String, i64);

/// The index; "kept", "built" or "none"; why not "kept"; elements that were removed.
type Told = (Index, &'static str, Option<String>, usize);

fn options(ids: Option<&Bound<'_, PyAny>>, form: Form) -> Outcome<Options> {
    let (dtype, layout, rescore, seed, graph, num_threads) = form;
    Ok(Options {
        ids: convert::optional_ids("ids", ids)?,
        dtype: Dtype::parse("dtype", &dtype)?,
        layout: Layout::parse("layout", &layout)?,
        rescore: rescore
            .map(|name| Rescore::parse("rescore", &name))
            .transpose()?,
        seed,
        graph: Choice::parse("graph", &graph)?,
        num_threads,
    })
}

fn told(imported: Imported) -> Told {
    let (graph, reason) = match imported.graph {
        Taken::Kept => ("kept", None),
        Taken::Built(reason) => ("built", Some(reason)),
        Taken::Nothing(reason) => ("none", Some(reason)),
    };
    (Index::wrap(imported.index), graph, reason, imported.removed)
}

#[pyfunction]
pub fn import_hnswlib(
    py: Python<'_>,
    path: PathBuf,
    dim: usize,
    space: &str,
    ids: Option<&Bound<'_, PyAny>>,
    form: Form,
    progress: Option<Py<PyAny>>,
) -> Outcome<Told> {
    let space = Metric::parse("space", space)?;
    let options = options(ids, form)?;
    progress::run(py, progress, |hook| {
        from_hnswlib(&path, dim, space, options, hook)
    })
    .map(told)
    .map_err(|failure| failure.about(&path))
}

#[pyfunction]
pub fn import_faiss(
    py: Python<'_>,
    path: PathBuf,
    metric: Option<&str>,
    ids: Option<&Bound<'_, PyAny>>,
    form: Form,
    progress: Option<Py<PyAny>>,
) -> Outcome<Told> {
    let metric = metric
        .map(|name| Metric::parse("metric", name))
        .transpose()?;
    let options = options(ids, form)?;
    progress::run(py, progress, |hook| {
        from_faiss(&path, metric, options, hook)
    })
    .map(told)
    .map_err(|failure| failure.about(&path))
}
