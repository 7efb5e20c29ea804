//! Retrieval into a pool, and its deepening.
//!
//! With a user, every similarity of positive weight retrieves as many rows as the pool shall have;
//! the lists are merged round-robin (first signal first) until that many distinct rows are there.
//! Without one, or when no similarity is wanted, all eligible rows are ranked by the blend itself,
//! normalised over all of them, and the best are taken.
//!
//! Within a step rows are sorted by id, so what follows does not depend on the order of the source.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use crate::eligible::RowSet;
use crate::error::Result;
use crate::scored::TieBreak;

use super::bind::{Bound, Input};
use super::blend::{Blend, Table};
use super::source::{Path, Source};

/// Where pool rows come from: a live source, or the lists of a record.
pub(crate) trait Retriever {
    /// The first `want` rows, and how they were found.
    fn first(&mut self, want: usize) -> Result<(Vec<u32>, Path)>;

    /// Up to `want` further rows out of those that `allowed` lets through (which leaves out the ones
    /// already pooled). Empty when there is none.
    fn deepen(&mut self, want: usize, allowed: &mut dyn FnMut(u32) -> bool) -> Result<Vec<u32>>;
}

/// Retrieval from a source.
pub(crate) struct Live<'a> {
    source: &'a dyn Source,
    bound: &'a [Bound<'a>],
    eligible: &'a RowSet,
    /// Without a retrieving signal: every eligible row, best first, once it was needed.
    preference: Option<Vec<u32>>,
}

impl<'a> Live<'a> {
    pub(crate) fn new(
        source: &'a dyn Source,
        bound: &'a [Bound<'a>],
        eligible: &'a RowSet,
    ) -> Self {
        Live {
            source,
            bound,
            eligible,
            preference: None,
        }
    }

    /// Up to `want` rows of `eligible`; `None` for the path when no signal retrieves.
    fn retrieve(&self, want: usize, eligible: &RowSet) -> Result<Option<(Vec<u32>, Path)>> {
        let mut lists: Vec<Vec<u32>> = Vec::new();
        let mut path = None;
        for bound in self.bound.iter().filter(|bound| bound.retrieves()) {
            let found = match bound.input {
                Input::Similarity { space, query } => {
                    self.source.retrieve(space, query, want, eligible)?
                }
                _ => self.source.retrieve(0, &[], want, eligible)?,
            };
            let all = found.hits.len() == eligible.len();
            lists.push(found.hits.iter().map(|hit| hit.row).collect());
            // One approximate list makes the pool approximate.
            if path != Some(Path::Graph) {
                path = Some(found.path);
            }
            if all {
                break;
            }
        }
        Ok(path.map(|path| (merge(lists, want), path)))
    }

    /// All eligible rows by (blend descending, id).
    fn preferred(&self) -> Result<Vec<u32>> {
        let ids = self.source.ids();
        let mut rows: Vec<u32> = self.eligible.iter().collect();
        // In the order of ids, like a pool: the normalisers' sums must not depend on row numbers.
        rows.sort_unstable_by(|&a, &b| ids.tie(a, b));
        if self.bound.is_empty() {
            return Ok(rows);
        }
        let mut table = Table::default();
        Blend::new(self.source, self.bound).extend(&rows, &mut table)?;
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| {
            table.scores[b as usize]
                .total_cmp(&table.scores[a as usize])
                .then(a.cmp(&b))
        });
        Ok(order.into_iter().map(|i| rows[i as usize]).collect())
    }
}

impl Retriever for Live<'_> {
    fn first(&mut self, want: usize) -> Result<(Vec<u32>, Path)> {
        if let Some(found) = self.retrieve(want, self.eligible)? {
            return Ok(found);
        }
        let preference = self.preference.insert(self.preferred()?);
        Ok((
            preference.iter().copied().take(want).collect(),
            Path::Attributes,
        ))
    }

    fn deepen(&mut self, want: usize, allowed: &mut dyn FnMut(u32) -> bool) -> Result<Vec<u32>> {
        if let Some(preference) = &self.preference {
            let further = preference.iter().copied().filter(|&row| allowed(row));
            return Ok(further.take(want).collect());
        }
        let mut rest = self.eligible.clone();
        for row in self.eligible.iter().filter(|&row| !allowed(row)) {
            rest.remove(row);
        }
        if rest.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self
            .retrieve(want, &rest)?
            .map(|(rows, _)| rows)
            .unwrap_or_default())
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
