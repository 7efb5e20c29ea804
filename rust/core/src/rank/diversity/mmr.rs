//! Maximal marginal relevance (Carbonell and Goldstein, 1998), evaluated lazily.
//!
//! The value of an entry is `(1 - d) rel - d maxsim`, with `rel` its score brought to [0, 1] by the
//! first pool's smallest and largest (0 when they are the same), and `maxsim` its largest cosine to an
//! item chosen so far (0 before the first). `d` is 0 for relevance only and 1 for diversity only.
//!
//! `maxsim` can only grow with each further item, so the value from a `maxsim` that has not yet seen
//! the latest ones is an upper bound, and the choice is lazy (see `lazy`). A pair of items is compared
//! at most once, so a slate costs O(k pool dim) at worst; usually a fraction of the pool is looked at
//! for each slot. The maximum does not depend on the order it is taken in, so the result is the eager
//! one, bit for bit.
//!
//! Cosines are the source's float32 numbers, the same on every machine; the rest is done in float64.

use crate::rank::source::Source;

use super::lazy::{self, Lazy};
use super::scale::Scale;
use super::Diversity;

/// The running state.
pub struct Mmr<'a> {
    source: &'a dyn Source,
    space: usize,
    diversity: f64,
    rows: Vec<u32>,
    relevance: Scale,
    /// Over the first `seen` of the chosen rows.
    max_similarity: Vec<f64>,
    seen: Vec<usize>,
    chosen: Vec<u32>,
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
            relevance: Scale::default(),
            max_similarity: Vec::new(),
            seen: Vec::new(),
            chosen: Vec::new(),
            behind: Vec::new(),
            behind_rows: Vec::new(),
            cosines: Vec::new(),
        }
    }
}

impl Lazy for Mmr<'_> {
    /// One that has seen nothing could have any value: its bound is infinite.
    fn bound(&self, entry: u32) -> f64 {
        let similarity = if self.chosen.is_empty() {
            0.0
        } else {
            self.max_similarity[entry as usize]
        };
        (1.0 - self.diversity) * self.relevance.of(entry) - self.diversity * similarity
    }

    fn is_behind(&self, entry: u32) -> bool {
        self.seen[entry as usize] < self.chosen.len()
    }

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
        self.relevance.extend(scores, first);
        self.rows.extend_from_slice(&rows[first..]);
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
        lazy::best(self, open)
    }
}
