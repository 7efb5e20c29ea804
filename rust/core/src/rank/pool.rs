//! Retrieval into a pool, and its deepening.
//!
//! With a user, every similarity of positive weight retrieves as many rows as the pool shall have, and so does every
//! outside list (of several interests in one space, each); they are merged round-robin (first signal first) until that many distinct rows are there.
//! Without either, or when none is wanted, and where outside lists alone have no more to give, all eligible rows are ranked by the blend itself,
//! normalised over all of them, and the best are taken. Models are left out of that: they see a pool.
//!
//! Within a step rows are sorted by id, so what follows does not depend on the order of the source.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use crate::eligible::RowSet;
use crate::error::Result;
use crate::price::WHOLE;
use crate::scored::TieBreak;

use super::bind::{Bound, Input};
use super::blend::{Blend, Table};
use super::interests::Taste;
use super::policy::Normalize;
use super::rules::Boost;
use super::source::{Path, Source};

/// The first rows of a pool.
pub(crate) struct First {
    pub(crate) rows: Vec<u32>,
    /// A space with the score of each row in it, where retrieval has worked that out already.
    pub(crate) known: Option<Known>,
    /// How they were found.
    pub(crate) path: Path,
}

/// Scores of rows in a space: what [`Source::similarity`] says.
pub(crate) struct Known {
    pub(crate) space: usize,
    pub(crate) scores: Vec<f32>,
}

/// Where pool rows come from: a live source, or the lists of a record.
pub(crate) trait Retriever {
    /// The first `want` rows.
    fn first(&mut self, want: usize) -> Result<First>;

    /// Up to `want` further rows out of those that `allowed` lets through (which leaves out the ones
    /// already pooled). Empty when there is none.
    fn deepen(&mut self, want: usize, allowed: &mut dyn FnMut(u32) -> bool) -> Result<Vec<u32>>;

    /// Whether a row may be shown.
    fn is_eligible(&self, row: u32) -> bool;

    /// Takes rows that may be shown, and were not retrieved, into the pool.
    fn join(&mut self, rows: Vec<u32>) -> Vec<u32>;
}

/// Retrieval from a source.
pub(crate) struct Live<'a> {
    source: &'a dyn Source,
    bound: &'a [Bound<'a>],
    boosts: &'a [Boost<'a>],
    eligible: &'a RowSet,
    /// Of the breadth of walks, the parts that are walked.
    parts: usize,
    /// Without a retrieving signal: every eligible row with its blend, once it was needed.
    preferences: Option<Vec<(f64, u32)>>,
}

impl<'a> Live<'a> {
    pub(crate) fn new(
        source: &'a dyn Source,
        bound: &'a [Bound<'a>],
        boosts: &'a [Boost<'a>],
        eligible: &'a RowSet,
    ) -> Self {
        Live {
            source,
            bound,
            boosts,
            eligible,
            parts: WHOLE,
            preferences: None,
        }
    }

    /// Walks with so many parts of their breadth, from here on.
    pub(crate) fn narrow(&mut self, parts: usize) {
        self.parts = parts;
    }

    /// Up to `want` rows of `eligible`; `None` when no signal retrieves.
    fn retrieve(&self, want: usize, eligible: &RowSet) -> Result<Option<First>> {
        let mut lists: Vec<Vec<u32>> = Vec::new();
        let mut known = None;
        let mut path = None;
        for bound in self.bound.iter().filter(|bound| bound.retrieves()) {
            if let Input::List(list) = bound.input {
                let rows = list.within(eligible, want);
                let all = rows.len() == eligible.len();
                lists.push(rows);
                known = None;
                path = path.or(Some(Path::Given));
                if all {
                    break;
                }
                continue;
            }
            let (space, queries) = match bound.input {
                Input::Similarity { space, query } => {
                    (space, query.queries(self.source.spaces()[space].metric))
                }
                _ => (0, vec![Vec::new()]),
            };
            let mut all = false;
            for query in &queries {
                let found = match self.parts {
                    WHOLE => self.source.retrieve(space, query, want, eligible)?,
                    parts => {
                        let source = self.source;
                        source.retrieve_narrowed(space, query, want, eligible, parts)?
                    }
                };
                all = found.hits.len() == eligible.len();
                lists.push(found.hits.iter().map(|hit| hit.row).collect());
                known = match bound.input {
                    // Rows of one list alone are all in it. Where scores came with the candidates, these are what
                    // they were retrieved by, whatever the space.
                    Input::Similarity {
                        query: Taste::Vector(_),
                        ..
                    } if lists.len() == 1 && self.source.given_scores().is_none() => Some(Known {
                        space,
                        scores: found.hits.iter().map(|hit| hit.score).collect(),
                    }),
                    _ => None,
                };
                // One approximate list makes the pool approximate.
                if !path.is_some_and(Path::is_approximate) {
                    path = Some(found.path);
                }
                if all {
                    break;
                }
            }
            if all {
                break;
            }
        }
        Ok(path.map(|path| First {
            rows: merge(lists, want),
            known,
            path,
        }))
    }

    /// All eligible rows with their blend, normalised over all of them.
    fn preferences(&self) -> Result<Vec<(f64, u32)>> {
        let mut rows: Vec<u32> = self.eligible.iter().collect();
        if self.bound.is_empty() && self.boosts.is_empty() {
            return Ok(rows.into_iter().map(|row| (0.0, row)).collect());
        }
        // Of the normalisers only this one sums, so only its parameters depend on an order: the one
        // of ids, as in a pool.
        let sums = |bound: &Bound<'_>| *bound.spec.normalize() == Normalize::Zscore;
        if self.bound.iter().any(sums) {
            let ids = self.source.ids();
            rows.sort_unstable_by(|&a, &b| ids.tie(a, b));
        }
        let mut table = Table::default();
        Blend::new(self.source, self.bound, self.boosts)
            .without_models()
            .extend(&rows, None, &mut table)?;
        Ok(table.scores.into_iter().zip(rows).collect())
    }

    /// The `want` best of them by (blend descending, id), in no particular order.
    fn best(&self, mut preferences: Vec<(f64, u32)>, want: usize) -> Vec<u32> {
        if want < preferences.len() {
            let ids = self.source.ids();
            preferences.select_nth_unstable_by(want, |a, b| {
                b.0.total_cmp(&a.0).then_with(|| ids.tie(a.1, b.1))
            });
            preferences.truncate(want);
        }
        preferences.into_iter().map(|(_, row)| row).collect()
    }
}

impl Retriever for Live<'_> {
    fn first(&mut self, want: usize) -> Result<First> {
        if let Some(found) = self.retrieve(want, self.eligible)? {
            // Lists alone may bring nothing at all.
            if !found.rows.is_empty() || self.eligible.is_empty() {
                return Ok(found);
            }
        }
        let preferences = self.preferences()?;
        self.preferences = Some(preferences.clone());
        Ok(First {
            rows: self.best(preferences, want),
            known: None,
            path: Path::Attributes,
        })
    }

    fn deepen(&mut self, want: usize, allowed: &mut dyn FnMut(u32) -> bool) -> Result<Vec<u32>> {
        if let Some(preferences) = &self.preferences {
            let further = preferences.iter().copied();
            let further = further.filter(|&(_, row)| allowed(row)).collect();
            return Ok(self.best(further, want));
        }
        let mut rest = self.eligible.clone();
        for row in self.eligible.iter().filter(|&row| !allowed(row)) {
            rest.remove(row);
        }
        if rest.is_empty() {
            return Ok(Vec::new());
        }
        match self.retrieve(want, &rest)? {
            Some(found) if !found.rows.is_empty() => Ok(found.rows),
            // Outside lists have no more.
            _ => {
                self.preferences = Some(self.preferences()?);
                self.deepen(want, allowed)
            }
        }
    }

    fn is_eligible(&self, row: u32) -> bool {
        self.eligible.contains(row)
    }

    fn join(&mut self, rows: Vec<u32>) -> Vec<u32> {
        rows
    }
}

/// Round-robin over the lists, first list first, until `want` distinct rows.
fn merge(mut lists: Vec<Vec<u32>>, want: usize) -> Vec<u32> {
    if lists.len() == 1 {
        return lists.swap_remove(0);
    }
    let mut seen: HashSet<u32, BuildHasherDefault<RowHasher>> = HashSet::default();
    let mut merged = Vec::new();
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    for i in 0..longest {
        for list in &lists {
            if merged.len() == want {
                return merged;
            }
            if let Some(&row) = list.get(i) {
                if seen.insert(row) {
                    merged.push(row);
                }
            }
        }
    }
    merged
}

/// Row numbers come from inside, so nobody can choose them to collide: one multiplication will do.
/// The sets that use it are never iterated.
#[derive(Default)]
pub(crate) struct RowHasher(u64);

impl Hasher for RowHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    fn write_u32(&mut self, row: u32) {
        let mixed = (self.0 ^ u64::from(row)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
