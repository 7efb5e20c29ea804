//! Maximal marginal relevance (Carbonell and Goldstein, 1998), evaluated lazily.
//!
//! The value of an entry is `(1 - d) rel - d maxsim`, with `rel` its score brought to [0, 1] by the
//! first pool's smallest and largest (0 when they are the same), and `maxsim` its largest cosine to an
//! item chosen so far (0 before the first). `d` is 0 for relevance only and 1 for diversity only.
//!
//! `maxsim` can only grow with each further item, so the value from a `maxsim` that has not yet seen
//! the latest ones is an upper bound. An entry whose bound lies below the value of another is not the
//! best and need not be brought up to date (the lazy greedy of Minoux, 1978). A pair of items is
//! compared at most once, so a slate costs O(k pool dim) at worst; usually a fraction of the pool is
//! looked at for each slot. The maximum does not depend on the order it is taken in, so the result is
//! the eager one, bit for bit.
//!
//! Cosines are the source's float32 numbers, the same on every machine; the rest is done in float64.

use crate::rank::source::Source;

use super::Diversity;

/// Entries brought up to date together: enough to pay for a call, few enough that a better value found
/// among them spares the rest.
const BATCH: usize = 32;

/// The running state.
pub struct Mmr<'a> {
    source: &'a dyn Source,
    space: usize,
    diversity: f64,
    rows: Vec<u32>,
    relevance: Vec<f64>,
    /// Over the first `seen` of the chosen rows.
    max_similarity: Vec<f64>,
    seen: Vec<usize>,
    chosen: Vec<u32>,
    low: f64,
    span: f64,
    behind: Vec<u32>,
    behind_rows: Vec<u32>,
    cosines: Vec<f32>,
}

impl<'a> Mmr<'a> {
    /// Compares items in one space of the source; `diversity` lies in (0, 1].
    pub fn new(source: &'a dyn Source, space: usize, diversity: f64) -> Self {
        Mmr {
            source,
            space,
            diversity,
            rows: Vec::new(),
            relevance: Vec::new(),
            max_similarity: Vec::new(),
            seen: Vec::new(),
            chosen: Vec::new(),
            low: 0.0,
            span: 0.0,
            behind: Vec::new(),
            behind_rows: Vec::new(),
            cosines: Vec::new(),
        }
    }

    /// The value, or an upper bound for an entry that is behind. One that has seen nothing could have
    /// any value: its bound is infinite.
    fn bound(&self, entry: u32) -> f64 {
        let similarity = if self.chosen.is_empty() {
            0.0
        } else {
            self.max_similarity[entry as usize]
        };
        (1.0 - self.diversity) * self.relevance[entry as usize] - self.diversity * similarity
    }

    fn is_behind(&self, entry: u32) -> bool {
        self.seen[entry as usize] < self.chosen.len()
    }

    /// Brings entries up to date.
    fn catch_up(&mut self, entries: &[u32]) {
        let first = entries.iter().map(|&entry| self.seen[entry as usize]);
        for c in first.min().unwrap_or(0)..self.chosen.len() {
            self.behind.clear();
            self.behind_rows.clear();
            for &entry in entries.iter().filter(|&&e| self.seen[e as usize] <= c) {
                self.behind.push(entry);
                self.behind_rows.push(self.rows[entry as usize]);
            }
            self.cosines.clear();
            self.cosines.resize(self.behind.len(), 0.0);
            let (rows, cosines) = (&self.behind_rows, &mut self.cosines);
            self.source
                .cosine(self.space, self.chosen[c], rows, cosines);
            for (&entry, &cosine) in self.behind.iter().zip(&self.cosines) {
                let max = &mut self.max_similarity[entry as usize];
                *max = max.max(f64::from(cosine));
            }
        }
        for &entry in entries {
            self.seen[entry as usize] = self.chosen.len();
        }
    }
}

impl Diversity for Mmr<'_> {
    fn extend(&mut self, rows: &[u32], scores: &[f64], first: usize) {
        if first == 0 {
            self.low = scores.iter().copied().fold(f64::INFINITY, f64::min);
            self.span = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max) - self.low;
        }
        self.rows.extend_from_slice(&rows[first..]);
        for &score in &scores[first..] {
            self.relevance.push(if self.span > 0.0 {
                (score - self.low) / self.span
            } else {
                0.0
            });
        }
        self.max_similarity.resize(rows.len(), f64::NEG_INFINITY);
        self.seen.resize(rows.len(), 0);
    }

    fn value(&mut self, entry: u32) -> f64 {
        self.catch_up(&[entry]);
        self.bound(entry)
    }

    fn values(&mut self, open: &[u32], out: &mut Vec<f64>) {
        self.catch_up(open);
        out.extend(open.iter().map(|&entry| self.bound(entry)));
    }

    fn chosen(&mut self, entry: u32) {
        self.chosen.push(self.rows[entry as usize]);
    }

    fn best(&mut self, open: &[u32]) -> usize {
        let mut top = (f64::NEG_INFINITY, 0);
        for &entry in open {
            let bound = self.bound(entry);
            if bound > top.0 {
                top = (bound, entry);
            }
        }
        // A value that is reached: what cannot exceed it can be left behind.
        let mut floor = if top.0 > f64::NEG_INFINITY {
            self.value(top.1)
        } else {
            f64::NEG_INFINITY
        };
        // The best scores come first, and so the values that spare the rest.
        let mut batch = Vec::with_capacity(BATCH);
        for (i, &entry) in open.iter().enumerate() {
            if self.is_behind(entry) && self.bound(entry) >= floor {
                batch.push(entry);
            }
            if batch.len() == BATCH || i + 1 == open.len() {
                self.catch_up(&batch);
                for entry in batch.drain(..) {
                    floor = floor.max(self.bound(entry));
                }
            }
        }
        open.iter()
            .position(|&entry| !self.is_behind(entry) && self.bound(entry) == floor)
            .unwrap_or(0)
    }
}
