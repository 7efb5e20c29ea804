//! How much of the exact answer a search finds, and the least breadth that finds enough of it.
//!
//! An answer counts when its score reaches that of the last exact answer, so of several vectors with that
//! score any will do. Both scores come from the same stored vectors, bit for bit.
//!
//! The breadth is doubled until the sample's recall reaches the target, and the gap is then halved. Recall is
//! not quite monotone in the breadth, so "least" means: enough at this breadth, and not enough one below it.

use serde::{Deserialize, Serialize};

use super::{Ask, Found, Vectors};
use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::hnsw::Hook;
use crate::metric::Dtype;
use crate::scored::{Scored, TieBreak};
use crate::threads;

/// Queries that tuning looks at; of more, this many at even distances. The standard error of a recall of .99
/// measured with them is about .0015.
pub const SAMPLE: usize = 500;

/// Beyond this breadth a target counts as out of reach: every further point of recall costs more than a finer
/// copy or a denser graph.
pub(super) const WIDEST: usize = 8192;

/// Queries between two calls of the hook.
const CHUNK: usize = 64;

/// A breadth and the number of answers that it was found for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breadth {
    /// Breadth of the walk.
    pub ef: usize,
    /// Answers asked for.
    pub k: usize,
}

impl Breadth {
    /// For another number of answers: half of what they are more is added.
    pub(super) fn at(self, k: usize) -> usize {
        self.ef.saturating_add(k.saturating_sub(self.k) / 2)
    }
}

/// The mean of a sample with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recall {
    /// The share of the exact answers that were found, from 0 to 1.
    pub mean: f64,
    /// Its standard error over the queries.
    pub standard_error: f64,
    /// Whether any query walked a graph; if none did, the recall is 1 by what a scan is.
    pub path: Found,
}

/// What tuning found.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// The breadth; `None` where searches are exact and have none.
    pub ef: Option<usize>,
    /// Recall with it, over the sample.
    pub recall: Recall,
    /// What was asked for.
    pub target: f64,
    /// Answers a query.
    pub k: usize,
    /// Queries that were looked at.
    pub queries: usize,
    /// Whether the target was reached.
    pub reached: bool,
    /// What to do where it was not.
    pub advice: Option<&'static str>,
}

/// What each query's recall is measured against.
struct Truth<'q> {
    query: &'q [f32],
    /// The score of the last exact answer.
    last: f32,
    answers: usize,
}

/// One measurement: some queries on one space.
pub struct Trial<'a, T: TieBreak + Sync + ?Sized> {
    vectors: &'a Vectors,
    k: usize,
    eligible: Option<&'a RowSet>,
    tie: &'a T,
    threads: usize,
    hook: Hook<'a>,
    truths: Vec<Truth<'a>>,
}

impl<'a, T: TieBreak + Sync + ?Sized> Trial<'a, T> {
    /// Finds the exact answers. The queries are checked, and at least one.
    pub fn new(
        vectors: &'a Vectors,
        queries: Vec<&'a [f32]>,
        k: usize,
        eligible: Option<&'a RowSet>,
        tie: &'a T,
        threads: usize,
        hook: Hook<'a>,
    ) -> Result<Self> {
        if queries.is_empty() {
            return Err(Error::invalid("queries", "at least one query", "none"));
        }
        if eligible.map_or(vectors.len(), RowSet::len) == 0 {
            return Err(Error::invalid(
                "queries",
                "vectors to search",
                "an empty index",
            ));
        }
        let mut trial = Trial {
            vectors,
            k,
            eligible,
            tie,
            threads,
            hook,
            truths: Vec::new(),
        };
        let ask = trial.ask(None, true);
        let exact = trial.map(&queries, |query| {
            let (found, _) = vectors.search(query, ask, tie);
            Truth {
                query,
                last: found.last().map_or(f32::NEG_INFINITY, |entry| entry.score),
                answers: found.len(),
            }
        })?;
        trial.truths = exact;
        Ok(trial)
    }

    fn ask(&self, ef: Option<usize>, exact: bool) -> Ask<'a> {
        Ask {
            k: self.k,
            ef,
            eligible: self.eligible,
            exact,
        }
    }

    fn map<I: Sync + Copy, R: Send>(
        &self,
        items: &[I],
        f: impl Fn(I) -> R + Sync + Send,
    ) -> Result<Vec<R>> {
        let mut out = Vec::with_capacity(items.len());
        for chunk in items.chunks(CHUNK * self.threads) {
            if !(self.hook)(0, 1) {
                return Err(Error::Interrupted);
            }
            out.extend(threads::map(
                self.threads,
                chunk,
                || (),
                |(), item| f(*item),
            )?);
        }
        Ok(out)
    }

    /// Recall with a breadth; `None` for the default one.
    pub fn recall(&self, ef: Option<usize>) -> Result<Recall> {
        let ask = self.ask(ef, false);
        let truths: Vec<&Truth<'_>> = self.truths.iter().collect();
        let shares = self.map(&truths, |truth| {
            let (found, path) = self.vectors.search(truth.query, ask, self.tie);
            let good = |entry: &&Scored| entry.score >= truth.last;
            let hits = found.iter().filter(good).count();
            (hits as f64 / truth.answers.max(1) as f64, path)
        })?;
        let count = shares.len() as f64;
        let mean = shares.iter().map(|(share, _)| share).sum::<f64>() / count;
        let squares: f64 = shares.iter().map(|(share, _)| (share - mean).powi(2)).sum();
        let walked = shares.iter().any(|(_, path)| *path != Found::Exact);
        Ok(Recall {
            mean,
            standard_error: (squares / (count - 1.0).max(1.0) / count).sqrt(),
            path: if walked { Found::Graph } else { Found::Exact },
        })
    }

    /// The least breadth that reaches a recall; where none does, the least that comes as far as any.
    pub fn least_breadth(&self, target: f64) -> Result<Tuning> {
        let eligible = self.eligible.map_or(self.vectors.len(), RowSet::len);
        let widest = self.vectors.widest(eligible).min(WIDEST).max(self.k);
        let mut tried: Vec<(usize, Recall)> = Vec::new();
        let mut ef = self.k;
        loop {
            let recall = self.recall(Some(ef))?;
            tried.push((ef, recall));
            if recall.mean >= target || recall.path == Found::Exact || ef == widest {
                break;
            }
            ef = (2 * ef).min(widest);
        }
        let mut tuning = Tuning {
            ef: None,
            recall: tried[tried.len() - 1].1,
            target,
            k: self.k,
            queries: self.truths.len(),
            reached: true,
            advice: None,
        };
        if tuning.recall.path == Found::Exact {
            return Ok(tuning);
        }
        let most = tried
            .iter()
            .map(|(_, recall)| recall.mean)
            .fold(0.0, f64::max);
        let enough = |recall: &Recall| recall.mean >= target.min(most);
        let first = tried.iter().position(|(_, recall)| enough(recall));
        let first = first.expect("the best of them is among them");
        let (mut high, mut best) = tried[first];
        let mut low = first.checked_sub(1).map_or(self.k - 1, |at| tried[at].0);
        // `low` is not enough, `high` is.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let recall = self.recall(Some(middle))?;
            if enough(&recall) {
                (high, best) = (middle, recall);
            } else {
                low = middle;
            }
        }
        tuning.ef = Some(high);
        tuning.recall = best;
        tuning.reached = best.mean >= target;
        tuning.advice = (!tuning.reached).then(|| self.advice());
        Ok(tuning)
    }

    fn advice(&self) -> &'static str {
        let spec = self.vectors.spec();
        if spec.dtype == Dtype::I8 && spec.rescore.is_none() {
            "int8 codes alone do not get there: build the index with rescore=\"f16\""
        } else {
            "build the graph with a larger M or ef_construction, or search with exact=True"
        }
    }
}
