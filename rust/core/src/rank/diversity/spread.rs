//! Spread over the slots just above: sliding spectrum decomposition (Huang, Wang, Zhang and Xu, KDD 2021,
//! arXiv 2107.05204), greedy, in its sliding Gram-Schmidt form, evaluated lazily.
//!
//! The value of an entry is
//!
//! ```text
//! (1 - d) rel + d |r|
//! ```
//!
//! with `rel` its score on the scale of the first pool (see `scale`), `|r|` the length of what is left of
//! its unit vector when the directions of the latest `window` slots are taken out (see `residual`): 1 for
//! something all new, 0 for something that those slots already have. `d` is 0 for relevance only and 1
//! for diversity only.
//!
//! The paper maximises the volume that the items of each window span, which grows by the factor `|r|`
//! with an item. Its stable variant adds `|r|` itself to the relevance rather than the product of all of
//! them, which shrinks as the window fills; that is what stands here. The constant component
//! that the paper appends to each vector, so that opposite items do not count as alike, is in `S`.
//!
//! A component that is not known yet would only shorten `r`, so a stale value is an upper bound and the
//! choice is lazy (see `lazy`); when the window slides, lengths grow again, and the bounds of all entries
//! are taken from the columns that are still in it. Cost: O(k pool (dim + window)) at worst; pool times
//! min(k, window) doubles.

use crate::rank::source::Source;

use super::lazy::{self, Lazy};
use super::residual::Residuals;
use super::scale::Scale;
use super::Diversity;

/// The running state.
pub struct Spread<'a> {
    diversity: f64,
    relevance: Scale,
    residuals: Residuals<'a>,
    /// By entry: the value, or an upper bound for one that is behind.
    values: Vec<f64>,
}

impl<'a> Spread<'a> {
    /// Compares items with the latest `window` in one space of the source; `diversity` lies in (0, 1],
    /// `window` is at least 1.
    pub fn new(source: &'a dyn Source, space: usize, diversity: f64, window: usize) -> Self {
        Spread {
            diversity,
            relevance: Scale::default(),
            residuals: Residuals::new(source, space, Some(window)),
            values: Vec::new(),
        }
    }

    fn assess(&mut self, entry: u32) {
        let length = self.residuals.squared(entry).max(0.0).sqrt();
        self.values[entry as usize] =
            (1.0 - self.diversity) * self.relevance.of(entry) + self.diversity * length;
    }
}

impl Lazy for Spread<'_> {
    fn bound(&self, entry: u32) -> f64 {
        self.values[entry as usize]
    }

    fn is_behind(&self, entry: u32) -> bool {
        self.residuals.is_behind(entry)
    }

    fn advance(&mut self, entry: u32) {
        self.residuals.advance(entry);
        self.assess(entry);
    }
}

impl Diversity for Spread<'_> {
    fn extend(&mut self, rows: &[u32], scores: &[f64], first: usize) {
        self.relevance.extend(scores, first);
        self.residuals.extend(rows, first);
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
        self.residuals.chosen(entry);
        if self.residuals.slid() {
            for entry in 0..self.values.len() as u32 {
                self.assess(entry);
            }
        }
    }

    fn best(&mut self, open: &[u32]) -> usize {
        lazy::best(self, open)
    }
}
