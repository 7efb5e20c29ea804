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

use super::lazy::{self, Lazy, STEP};
use super::scale::Scale;
use super::Diversity;

/// Below any cosine, whatever its rounding.
const UNSEEN: f64 = -1.001;

/// The running state.
pub struct Mmr<'a> {
    source: &'a dyn Source,
    space: usize,
    diversity: f64,
    rows: Vec<u32>,
    relevance: Scale,
    /// By entry: how many of the chosen rows it was compared with, and the largest cosine to those.
    seen: Vec<usize>,
    max_similarity: Vec<f64>,
    /// By entry: the value, or an upper bound for one that is behind.
    values: Vec<f64>,
    chosen: Vec<u32>,
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
            seen: Vec::new(),
            max_similarity: Vec::new(),
            values: Vec::new(),
            chosen: Vec::new(),
        }
    }

    fn assess(&mut self, entry: u32) {
        let similarity = if self.chosen.is_empty() {
            0.0
        } else {
            self.max_similarity[entry as usize]
        };
        self.values[entry as usize] =
            (1.0 - self.diversity) * self.relevance.of(entry) - self.diversity * similarity;
    }
}

impl Lazy for Mmr<'_> {
    fn bound(&self, entry: u32) -> f64 {
        self.values[entry as usize]
    }

    fn is_behind(&self, entry: u32) -> bool {
        self.seen[entry as usize] < self.chosen.len()
    }

    fn advance(&mut self, entry: u32) {
        let at = entry as usize;
        let chosen = &self.chosen[self.seen[at]..];
        let chosen = &chosen[..chosen.len().min(STEP)];
        let mut cosines = [0.0; STEP];
        let cosines = &mut cosines[..chosen.len()];
        self.source
            .cosine(self.space, self.rows[at], chosen, cosines);
        for &cosine in cosines.iter() {
            self.max_similarity[at] = self.max_similarity[at].max(f64::from(cosine));
        }
        self.seen[at] += chosen.len();
        self.assess(entry);
    }
}

impl Diversity for Mmr<'_> {
    fn extend(&mut self, rows: &[u32], scores: &[f64], first: usize) {
        self.relevance.extend(scores, first);
        self.rows.extend_from_slice(&rows[first..]);
        self.seen.resize(rows.len(), 0);
        self.max_similarity.resize(rows.len(), UNSEEN);
        self.values.resize(rows.len(), 0.0);
        for entry in first as u32..rows.len() as u32 {
            self.assess(entry);
        }
    }

    fn value(&mut self, entry: u32) -> f64 {
        self.catch_up(entry);
        self.bound(entry)
    }

    fn chosen(&mut self, entry: u32) {
        self.chosen.push(self.rows[entry as usize]);
        // In the first slot nothing is alike; from the second on, everything might be unlike.
        if self.chosen.len() == 1 {
            for entry in 0..self.rows.len() as u32 {
                self.assess(entry);
            }
        }
    }

    fn best(&mut self, open: &[u32]) -> usize {
        lazy::best(self, open)
    }
}
