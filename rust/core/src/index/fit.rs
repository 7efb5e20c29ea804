//! Teaching an index with a sample of queries, and measuring on others of them what it gained.

use super::Index;
use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::hnsw::Hook;
use crate::ids::IdMap;
use crate::select::Where;
use crate::threads;
use crate::vectors::{Found, Lesson, Recall, Trial};

/// Of so many queries one is held out to measure with.
const HOLD_OUT: usize = 10;

/// At most so many are: the standard error of a recall of .95 measured with them is about .004.
const HELD_MOST: usize = 200;

/// Fewer than these measure nothing, and all are taught.
const HELD_LEAST: usize = 10;

/// Answers that recall is measured over.
const K: usize = 10;

/// What teaching did.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// Queries that taught.
    pub queries: usize,
    /// Links taught, and rows that have any.
    pub links: usize,
    /// Rows that have taught links.
    pub rows: usize,
    /// Queries that were held out.
    pub held_out: usize,
    /// Recall@10 at the default breadth over those held out, before and after; `None` without any.
    pub recall: Option<(Recall, Recall)>,
    /// What a plain search of the held-out queries does; without any, of an unfiltered query.
    pub path: Found,
    /// Why nothing was taught, or why it does not show.
    pub advice: Option<&'static str>,
}

impl Index {
    /// Replaces what the graph was taught by what a sample of queries teaches. Every tenth query of a sample of
    /// a hundred or more is held out, to measure recall before and after. Without a graph nothing is taught
    /// and the result says so. On interruption nothing has changed.
    pub fn fit(&mut self, queries: &[f32], num_threads: i64, hook: Hook<'_>) -> Result<Fitted> {
        let threads = threads::resolve("num_threads", num_threads)?;
        self.check_sample("queries", queries)?;
        let (taught_by, held) = self.split(queries);
        let total = queries.len() / self.spec().dim;
        let mut fitted = Fitted {
            queries: total - held.len(),
            links: 0,
            rows: 0,
            held_out: held.len(),
            recall: None,
            path: Found::Exact,
            advice: None,
        };
        if self.vectors.graph().is_none() {
            fitted.queries = 0;
            fitted.held_out = 0;
            fitted.advice = Some("searches score every vector: there is no graph to teach");
            hook(total, total);
            return Ok(fitted);
        }
        fitted.path = Found::Graph;
        let before = self.measured(&held, threads, &|_, _| hook(0, total))?;
        let eligible = self.live_with(0);
        let lesson = Lesson {
            queries: &taught_by,
            eligible: eligible.as_ref(),
        };
        let learn = || {
            self.vectors
                .learn(lesson, &|done, _| hook(done.min(total - 1), total))
        };
        let taught = threads::with_pool(threads, learn)??.unwrap_or_default();
        (fitted.links, fitted.rows) = (taught.len(), taught.rows());
        let had = self.vectors.swap_taught(taught);
        let after = self.measured(&held, threads, &|_, _| hook(total - 1, total));
        if after.is_err() {
            self.vectors.swap_taught(had);
        }
        fitted.recall = before.zip(after?);
        if let Some((_, after)) = fitted.recall {
            fitted.path = after.path;
        }
        if fitted.path == Found::Exact {
            fitted.advice =
                Some("plain searches with such queries are exact and do not walk the graph");
        }
        hook(total, total);
        Ok(fitted)
    }

    /// Refuses a sample that nothing could be learnt from.
    pub(super) fn check_sample(&self, argument: &str, queries: &[f32]) -> Result<()> {
        self.vectors.store().check(argument, queries)?;
        if queries.is_empty() {
            return Err(Error::invalid(argument, "at least one query", "none"));
        }
        Ok(())
    }

    /// The rows that may be answered once `count` rows have come; `None` when all may.
    pub(super) fn live_with(&self, count: usize) -> Option<RowSet> {
        let rows = self.ids.rows_len();
        if rows == self.ids.len() {
            return None;
        }
        let mut live = self.ids.live().clone();
        live.grow(rows + count);
        (rows..rows + count).for_each(|row| live.insert(row as u32));
        Some(live)
    }

    /// The queries to teach with, and those to measure with, at even distances.
    fn split<'q>(&self, queries: &'q [f32]) -> (Vec<f32>, Vec<&'q [f32]>) {
        let dim = self.spec().dim;
        let count = queries.len() / dim;
        let held = (count / HOLD_OUT).min(HELD_MOST);
        if held < HELD_LEAST {
            return (queries.to_vec(), Vec::new());
        }
        let mut taught_by = Vec::with_capacity(queries.len());
        let mut held_out = Vec::with_capacity(held);
        for (i, query) in queries.chunks_exact(dim).enumerate() {
            // Counts up by one where the next of the even distances is passed.
            if (i + 1) * held / count > i * held / count {
                held_out.push(query);
            } else {
                taught_by.extend_from_slice(query);
            }
        }
        (taught_by, held_out)
    }

    fn measured(&self, held: &[&[f32]], threads: usize, hook: Hook<'_>) -> Result<Option<Recall>> {
        let eligible = self.eligible(Where::All, None)?;
        if held.is_empty() || self.is_empty() {
            return Ok(None);
        }
        let trial: Trial<'_, IdMap> = Trial::new(
            &self.vectors,
            held.to_vec(),
            K,
            eligible.as_ref(),
            &self.ids,
            threads,
            hook,
        )?;
        trial.recall(None).map(Some)
    }
}
