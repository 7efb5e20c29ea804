//! Indexes that other libraries wrote: their vectors, their labels, and the links of their graphs.
//!
//! A graph of hnswlib or faiss is made as one of here is (Malkov and Yashunin, arXiv 1603.09320): M links a layer, 2M in
//! the bottom one, an entry row on the highest. So its links are taken over as they are, and what they cost to find is
//! not spent again: a walk over them finds what it finds there, and rows added later join them. They are built anew where
//! that is better or cannot be otherwise ([`Taken::Built`] says why), never silently:
//!
//! - under inner product: links chosen by it lead to the largest vectors and strand the rest, which is why a graph here
//!   is built under L2 geometry (`hnsw`, decision 0010);
//! - M, or the room in the layers, is none that a graph here has;
//! - more elements were removed than are left.
//!
//! One file a format, and `input` for the checks that both need. What a file says is believed only where it was checked:
//! see there.

mod faiss;
mod hnswlib;
mod input;

pub use input::Input;

use std::path::Path;

use crate::error::{Error, Result};
use crate::hnsw::{Graph, Hook, Params};
use crate::ids::{Id, IdMap, Ids};
use crate::index::Index;
use crate::metric::{Dtype, Metric};
use crate::store::VectorStore;
use crate::threads;
use crate::vectors::{Layout, Rescore, Spec, Vectors};

/// How far the squared length of a unit vector may be off 1: float32 arithmetic and a few roundings.
const UNIT: f32 = 1e-3;

/// What a file held, checked as far as it can be by itself.
#[derive(Debug)]
pub struct Foreign {
    format: &'static str,
    dim: usize,
    metric: Metric,
    vectors: Vec<f32>,
    labels: Vec<i64>,
    live: Vec<bool>,
    graph: Found,
}

/// The graph in a file.
#[derive(Debug)]
enum Found {
    /// None.
    Nothing,
    /// One that a graph here can be made of.
    Links(Links),
    /// One that it cannot, and the parameters to build with instead.
    Misfit {
        m: usize,
        ef_construction: u64,
        reason: String,
    },
}

/// The arrays of [`Graph::from_parts`].
#[derive(Debug)]
struct Links {
    m: usize,
    ef_construction: u64,
    base: Vec<u32>,
    levels: Vec<u8>,
    upper: Vec<u32>,
    entry: u32,
}

/// What is done with the links of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Kept where they are as good as new ones.
    #[default]
    Auto,
    /// Kept, or an error.
    Keep,
    /// Built anew.
    Build,
}

impl Choice {
    /// From the user's spelling.
    pub fn parse(argument: &str, name: &str) -> Result<Self> {
        match name {
            "auto" => Ok(Choice::Auto),
            "keep" => Ok(Choice::Keep),
            "build" => Ok(Choice::Build),
            other => Err(Error::invalid(
                argument,
                "\"auto\", \"keep\" or \"build\"",
                format!("{other:?}"),
            )),
        }
    }
}

/// What the new index is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The id for each label, by its number; `None` for the labels themselves.
    pub ids: Option<Ids>,
    /// Storage type.
    pub dtype: Dtype,
    /// Layout.
    pub layout: Layout,
    /// The finer copy.
    pub rescore: Option<Rescore>,
    /// Seed of the rows to come.
    pub seed: u64,
    /// What is done with the links.
    pub graph: Choice,
    /// Threads to build with.
    pub num_threads: i64,
}

/// Where the new index has its links from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The file's.
    Kept,
    /// Built anew, for this reason.
    Built(String),
    /// It has none, for this reason.
    Nothing(String),
}

/// A new index, and what became of the file's parts.
#[derive(Debug)]
pub struct Imported {
    /// The index.
    pub index: Index,
    /// The library that wrote the file.
    pub format: &'static str,
    /// Its links.
    pub graph: Taken,
    /// Elements of the file that were marked as removed.
    pub removed: usize,
}

/// Reads an index that hnswlib saved; the file states neither its space nor, but for its size, its dimension.
pub fn from_hnswlib(
    path: &Path,
    dim: usize,
    space: Metric,
    options: Options,
    hook: Hook<'_>,
) -> Result<Imported> {
    let mut input = Input::open(path, hook)?;
    read_hnswlib(&mut input, dim, space)?.into_index(options, hook)
}

/// The same from an input.
pub fn read_hnswlib(input: &mut Input<'_>, dim: usize, space: Metric) -> Result<Foreign> {
    hnswlib::read(input, dim, space)?.checked("space", None)
}

/// Reads an index that faiss wrote. Under `Some(Cosine)` one of unit vectors by inner product becomes one by cosine.
pub fn from_faiss(
    path: &Path,
    metric: Option<Metric>,
    options: Options,
    hook: Hook<'_>,
) -> Result<Imported> {
    let mut input = Input::open(path, hook)?;
    read_faiss(&mut input, metric)?.into_index(options, hook)
}

/// The same from an input.
pub fn read_faiss(input: &mut Input<'_>, metric: Option<Metric>) -> Result<Foreign> {
    faiss::read(input)?.checked("metric", metric)
}

impl Foreign {
    /// Checks the vectors, and that they are what the metric takes them for.
    fn checked(mut self, argument: &str, asked: Option<Metric>) -> Result<Self> {
        match asked {
            Some(Metric::Cosine) if self.metric == Metric::Ip => self.metric = Metric::Cosine,
            Some(asked) if asked != self.metric => {
                return Err(Error::invalid(
                    argument,
                    format!(
                        "{:?}, the file's{}",
                        self.metric.as_str(),
                        if self.metric == Metric::Ip {
                            ", or \"cosine\""
                        } else {
                            ""
                        }
                    ),
                    format!("{:?}", asked.as_str()),
                ));
            }
            _ => {}
        }
        let store = VectorStore::new(self.dim, self.metric, Dtype::F32)?;
        store
            .check("vectors", &self.vectors)
            .map_err(|error| Error::format(format!("the file's {error}")))?;
        self.check_labels()?;
        if self.metric == Metric::Cosine {
            for (row, vector) in self.vectors.chunks_exact(self.dim).enumerate() {
                let squared: f32 = vector.iter().map(|x| x * x).sum();
                if squared != 0.0 && (squared - 1.0).abs() > UNIT {
                    return Err(Error::invalid(
                        argument,
                        "\"cosine\" for a file of unit vectors alone",
                        format!(
                            "\"cosine\", and vector {row} has the length {}",
                            squared.sqrt()
                        ),
                    ));
                }
            }
        }
        Ok(self)
    }

    /// Refuses two elements with one label, but for those that were removed: theirs may have been given out again.
    fn check_labels(&self) -> Result<()> {
        let live = (0..self.live.len()).filter(|row| self.live[*row]);
        let mut labels: Vec<(i64, usize)> = live.map(|row| (self.labels[row], row)).collect();
        labels.sort_unstable();
        match labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(Error::format(format!(
                "elements {} and {} have the same label {}",
                pair[0].1, pair[1].1, pair[0].0
            ))),
            None => Ok(()),
        }
    }

    /// The new index.
    pub fn into_index(self, options: Options, hook: Hook<'_>) -> Result<Imported> {
        threads::resolve("num_threads", options.num_threads)?;
        let ids = self.ids(options.ids.as_ref())?;
        let removed = self.live.iter().filter(|live| !**live).count();
        let (m, ef_construction) = match &self.graph {
            Found::Nothing => (16, 200),
            Found::Links(links) => (links.m, links.ef_construction),
            Found::Misfit {
                m, ef_construction, ..
            } => ((*m).clamp(2, 512), *ef_construction),
        };
        let spec = Spec {
            m,
            ef_construction: ef_construction.clamp(1, 65_536) as usize,
            seed: options.seed,
            layout: options.layout,
            rescore: options.rescore,
            ..Spec::new(self.dim, self.metric, options.dtype)
        };
        let Foreign {
            vectors,
            live,
            graph,
            metric,
            format,
            dim,
            ..
        } = self;
        Vectors::new(spec.clone())?
            .check("dtype", &vectors)
            .map_err(|error| match error {
                Error::Invalid { got, .. } => Error::invalid(
                    "dtype",
                    "a type that holds the vectors",
                    format!("{:?}, and {got}", spec.dtype.as_str()),
                ),
                other => other,
            })?;
        let against = match &graph {
            _ if options.layout == Layout::Exact => {
                Some("layout \"exact\" has no links".to_owned())
            }
            Found::Nothing => Some("the file has no links".to_owned()),
            Found::Misfit { reason, .. } => Some(reason.clone()),
            Found::Links(_) if options.graph == Choice::Build => Some("graph=\"build\"".to_owned()),
            Found::Links(_) if 2 * removed > live.len() => {
                Some(format!("{removed} of {} were removed", live.len()))
            }
            Found::Links(_) if metric == Metric::Ip && options.graph == Choice::Auto => {
                Some("links chosen by inner product strand rows".to_owned())
            }
            Found::Links(_) => None,
        };
        if let Some(reason) = against.as_ref().filter(|_| options.graph == Choice::Keep) {
            return Err(Error::invalid(
                "graph",
                "\"auto\" or \"build\" for this file",
                format!("\"keep\" ({reason})"),
            ));
        }
        let told = |index: Index, graph| Imported {
            index,
            format,
            graph,
            removed,
        };
        match (against, graph) {
            (None, Found::Links(links)) => {
                let params = Params {
                    m,
                    ef_construction: spec.ef_construction,
                    seed: spec.seed,
                };
                let graph = Graph::from_parts(
                    params,
                    links.base.into(),
                    links.levels.into(),
                    links.upper.into(),
                    links.entry,
                )?;
                let index =
                    Index::of_graph(spec, &vectors, ids, &live, graph, options.num_threads)?;
                Ok(told(index, Taken::Kept))
            }
            (reason, _) => {
                let mut index = Index::new(spec)?;
                let (vectors, ids) = living(vectors, ids, &live, dim);
                if !ids.is_empty() {
                    index.add(&vectors, Some(ids), options.num_threads, hook)?;
                }
                let reason = reason.unwrap_or_default();
                let taken = if index.stats().layout == Layout::Exact {
                    Taken::Nothing(reason)
                } else {
                    Taken::Built(reason)
                };
                Ok(told(index, taken))
            }
        }
    }

    /// The ids of the rows.
    fn ids(&self, given: Option<&Ids>) -> Result<Ids> {
        let Some(given) = given else {
            return Ok(Ids::Int(self.labels.clone()));
        };
        IdMap::new().check_batch("ids", given)?;
        let mut ids = given.empty_like();
        for &label in &self.labels {
            let at = usize::try_from(label).ok().filter(|at| *at < given.len());
            let at = at.ok_or_else(|| {
                Error::invalid(
                    "ids",
                    format!("an id for each label, and the file has the label {label}"),
                    format!("{} ids", given.len()),
                )
            })?;
            match (&mut ids, given.get(at)) {
                (Ids::Int(ids), Id::Int(id)) => ids.push(id),
                (Ids::Str(ids), Id::Str(id)) => ids.push(id),
                _ => unreachable!("ids are of one kind"),
            }
        }
        Ok(ids)
    }
}

/// The rows that were not removed.
fn living(vectors: Vec<f32>, ids: Ids, live: &[bool], dim: usize) -> (Vec<f32>, Ids) {
    if live.iter().all(|live| *live) {
        return (vectors, ids);
    }
    let rows = || (0..live.len()).filter(|row| live[*row]);
    let kept = rows().flat_map(|row| vectors[row * dim..][..dim].iter().copied());
    let ids = match &ids {
        Ids::Int(ids) => Ids::Int(rows().map(|row| ids[row]).collect()),
        Ids::Str(ids) => Ids::Str(rows().map(|row| ids[row].clone()).collect()),
    };
    (kept.collect(), ids)
}
