//! Exact inner-product search in order of norm, for as long as it is cheap.
//!
//! By Cauchy-Schwarz `q·x <= |q| |x|`. Rows are scored from the largest norm down; once the k-th best
//! score exceeds `|q|` times the next norm, no row further down can enter and the answer is exact. How
//! far that is depends on the data: where norms vary widely (where graphs are weakest, because the
//! answers sit among a few large rows) it is a small share of the rows; where all norms are alike it
//! is all of them. So a probe of the largest rows decides: the k-th best among them bounds how many
//! rows an exact answer needs, and when that is beyond the budget the graph takes over, entered from
//! the best rows of the probe.
//!
//! Few of the rows on the way are scored in full. A 4-bit copy of them, in order of norm and so read from
//! front to back, gives an upper bound on each score (`sketch.rs`), and only rows whose bound reaches the
//! k-th best are looked up.
//!
//! Measured (k=10, one of two busy cores, AVX-512 with VNNI, processor time; recall is that of int8 codes,
//! in f32 it is 1; rows and lookups are averages over queries):
//!
//! | factors | rows within reach | looked up at the final threshold | i8, us | f32, us |
//! |---|---|---|---|---|
//! | Gowalla ALS, 40,981 x 64 | 2,200 | 21 | 9.8 | 9.2 |
//! | ALS of synthetic visits, 300,000 x 64 | 2,800 | 22 | 11.7 | 11.4 |
//! | 92,000 x 128, little regularised | 3,500 | 22 | 23 | 21 |
//! | 92,000 x 128, regularised 10 | 10,500 | 23 | 47 | 48 |
//! | 92,000 x 128, weight 40: norms alike | 42,100 | 44 | 171 | 178 |
//!
//! Dropped: the leading half of the dimensions after a rotation to principal axes in int8, with the norm of
//! the rest in the bound. Factors have flat spectra, so the rest is half the length, and of the rows of the
//! five sets 229, 415, 304, 632 and 1,124 (medians) passed a bound that cost the same bytes. Dropped too:
//! counting only a share of the rest, or of the norm at the stop, for speed instead of exactness: answers
//! are the very rows whose rest is aligned with the query's (at a share of 0.5 recall was 0.58 to 0.80; a
//! stop at 0.9 of the norm lost up to 0.017 of recall to save a fifth to a quarter of the rows).

mod sketch;

use std::sync::Arc;

use perso_kernels::nibble::ROWS;
use perso_kernels::{Kernels, Rows};

use crate::eligible::RowSet;
use crate::scored::{Scored, TieBreak, TopK};
use crate::store::{Query, VectorStore};
use sketch::{Probe, Sketch, TINY};

/// Rows bounded or scored between two looks at the threshold.
const CHUNK: usize = 512;

/// Rows of largest norm that are seen before the decision to give up.
const PROBE: usize = 1024;

/// Rows scored in full before the rest of a chunk's bounds are compared again.
const BATCH: usize = 32;

/// New rows wait beside the sorted ones until they are more than this, or than [`FRESH_SHARE`] of those.
const FRESH: usize = 64;

/// The inverse of the share of rows that may wait.
const FRESH_SHARE: usize = 32;

/// A row that is looked up costs this many times the bytes it has, against rows read in order.
const LOOKUP: usize = 3;

/// How a search in order of norm ended.
#[derive(Debug)]
pub enum Outcome {
    /// The best rows, exactly.
    Exact(Vec<Scored>),
    /// The best rows of the probe; the exact answer would cost more than the budget.
    Probe(Vec<Scored>),
}

/// All rows of a store by norm, largest first.
#[derive(Clone, Debug, Default)]
pub struct NormOrder {
    /// The rows at the time of the last sorting.
    rows: Arc<Vec<u32>>,
    /// Those that came since, in order of norm as well.
    fresh: Vec<u32>,
    /// The first of `rows`.
    sketch: Arc<Sketch>,
}

/// What is the same for all rows during a search.
struct Search<'a, T: TieBreak + ?Sized> {
    store: &'a VectorStore,
    query: &'a Query,
    eligible: Option<&'a RowSet>,
    /// `|q|`, rounded up so far that it covers the rounding of norms and scores too.
    reach: f32,
    top: TopK<'a, T>,
}

impl<T: TieBreak + ?Sized> Search<'_, T> {
    /// No fine score of a row this long is above it. Not a number where the product overflows.
    fn bound(&self, norm: f32) -> f32 {
        self.reach * (norm + TINY) + f32::MIN_POSITIVE
    }

    /// Whether a row of this length, and so all shorter ones, cannot be among the best.
    fn ends_at(&self, norm: f32) -> bool {
        // Written so that a bound that overflowed goes on.
        self.bound(norm) < self.top.threshold()
    }

    fn eligible(&self, row: u32) -> bool {
        self.eligible.is_none_or(|set| set.contains(row))
    }

    fn score(&mut self, rows: &[u32]) {
        let mut scores = [0.0; CHUNK];
        for rows in rows.chunks(CHUNK) {
            let scores = &mut scores[..rows.len()];
            self.store.fine(self.query, Rows::Ids(rows), scores);
            for (&row, &score) in rows.iter().zip(scores.iter()) {
                if score >= self.top.threshold() {
                    self.top.push(Scored { score, row });
                }
            }
        }
    }

    /// Scores rows that lie in order of norm, as far as they can be among the best.
    fn score_in_order(&mut self, rows: &[u32]) {
        let norms = self.store.norms();
        let mut block: Vec<u32> = Vec::with_capacity(CHUNK);
        for rows in rows.chunks(CHUNK) {
            if self.ends_at(norms[rows[0] as usize]) {
                break;
            }
            block.clear();
            block.extend(rows.iter().filter(|row| self.eligible(**row)));
            self.score(&block);
        }
    }

    /// Scores the rows of a chunk whose bounds reach the threshold, largest bounds first.
    fn score_chunk(&mut self, rows: &[u32], bounds: &[[f32; ROWS]], picks: &mut Vec<(f32, u32)>) {
        let threshold = self.top.threshold();
        // What overflowed, to either side, is no bound.
        let passes = |bound: f32, threshold: f32| {
            (bound >= threshold) | bound.is_nan() | (bound == f32::NEG_INFINITY)
        };
        picks.clear();
        for (bounds, rows) in bounds.iter().zip(rows.chunks(ROWS)) {
            // All sixteen at once: most blocks have none.
            let any = bounds
                .iter()
                .fold(false, |any, bound| any | passes(*bound, threshold));
            if any {
                let passing = bounds.iter().zip(rows);
                let passing = passing.filter(|(bound, _)| passes(**bound, threshold));
                picks.extend(
                    passing
                        .map(|(bound, row)| (*bound, *row))
                        .filter(|(_, row)| self.eligible(*row)),
                );
            }
        }
        let mut batch = [0; BATCH];
        while !picks.is_empty() {
            if picks.len() > BATCH {
                picks.select_nth_unstable_by(BATCH - 1, |a, b| b.0.total_cmp(&a.0));
            }
            let count = picks.len().min(BATCH);
            for (slot, (_, row)) in batch.iter_mut().zip(picks.drain(..count)) {
                *slot = row;
            }
            self.score(&batch[..count]);
            let threshold = self.top.threshold();
            picks.retain(|(bound, _)| passes(*bound, threshold));
        }
    }
}

impl NormOrder {
    /// Takes in the rows that the store has gained.
    pub fn extend(&mut self, store: &VectorStore) {
        let norms = store.norms();
        let before = |a: u32, b: u32| {
            norms[b as usize]
                .total_cmp(&norms[a as usize])
                .then(a.cmp(&b))
        };
        let known = self.rows.len() + self.fresh.len();
        let waiting = store.len() - self.rows.len();
        if waiting <= FRESH.max(self.rows.len() / FRESH_SHARE) {
            self.fresh.extend(known as u32..store.len() as u32);
            self.fresh.sort_unstable_by(|&a, &b| before(a, b));
            return;
        }
        self.fresh = Vec::new();
        let mut rows: Vec<u32> = (0..store.len() as u32).collect();
        rows.sort_unstable_by(|&a, &b| before(a, b));
        let reach = Sketch::reach(store.dim(), store.len());
        self.sketch = Arc::new(Sketch::build(store, &rows[..reach]));
        self.rows = Arc::new(rows);
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        (self.rows.capacity() + self.fresh.capacity()) * 4 + self.sketch.heap_bytes()
    }

    /// How many of the rows are at least this share as long as the longest one.
    pub(crate) fn within(&self, store: &VectorStore, share: f32) -> usize {
        let norms = store.norms();
        let count = |rows: &[u32]| {
            let longest = self.rows.first().map_or(0.0, |row| norms[*row as usize]);
            rows.partition_point(|row| norms[*row as usize] >= share * longest)
        };
        count(&self.rows) + count(&self.fresh)
    }

    /// The best `k` eligible rows by inner product, if finding them reads about `budget` bytes at most.
    pub fn search<T: TieBreak + ?Sized>(
        &self,
        store: &VectorStore,
        query: &Query,
        k: usize,
        eligible: Option<&RowSet>,
        budget: usize,
        tie: &T,
    ) -> Outcome {
        let norms = store.norms();
        // Both norms and the score are rounded float32 sums; the factor covers all three.
        let slack = 4.0 * (store.dim() / 32 + 16) as f32 * f32::EPSILON;
        let mut search = Search {
            store,
            query,
            eligible,
            reach: (query.norm() + TINY) * (1.0 + slack),
            top: TopK::new(k, tie),
        };
        search.score_in_order(&self.fresh);
        let kernels = Kernels::get();
        let probe = Probe::new(query, kernels);
        let enough = PROBE.max(k.saturating_mul(2));
        let mut decided = false;
        let mut bounds = [[0.0; ROWS]; CHUNK / ROWS];
        let mut picks = Vec::with_capacity(CHUNK);
        let mut seen = 0;
        let chunks = self.rows[..self.sketch.len()].chunks(CHUNK);
        for rows in chunks.chain(self.rows[self.sketch.len()..].chunks(CHUNK)) {
            let longest = norms[rows[0] as usize];
            if search.ends_at(longest) {
                break;
            }
            if !decided && seen >= enough {
                if self.cost(&search) > budget {
                    return Outcome::Probe(search.top.into_sorted());
                }
                decided = true;
            }
            if seen < self.sketch.len() {
                let bounds = &mut bounds[..rows.len().div_ceil(ROWS)];
                let first = seen / ROWS;
                self.sketch
                    .bounds(&probe, kernels, first, longest, slack, bounds);
                search.score_chunk(rows, bounds, &mut picks);
            } else {
                search.score_in_order(rows);
            }
            seen += rows.len();
        }
        Outcome::Exact(search.top.into_sorted())
    }

    /// About how many bytes an exact answer reads, from how far the threshold reaches by now.
    fn cost<T: TieBreak + ?Sized>(&self, search: &Search<'_, T>) -> usize {
        let norms = search.store.norms();
        let needed = self
            .rows
            .partition_point(|&row| !search.ends_at(norms[row as usize]));
        let sketched = needed.min(self.sketch.len());
        sketched * Sketch::row_bytes(search.store.dim())
            + (needed - sketched) * LOOKUP * search.store.row_bytes()
    }
}

#[cfg(test)]
mod tests;
