//! Determinantal point process: fast greedy MAP inference (Chen, Zhang and Zhou, NeurIPS 2018,
//! arXiv 1709.05135, algorithm 1), evaluated lazily.
//!
//! A slate `Y` is worth `(1 - d) sum_{i in Y} rel_i + d ln det S_Y`: their trade-off of section 4.2, with
//! `d` for what they write as `1 - theta`, 0 for relevance only and 1 for diversity only. Up to the factor
//! `d` it is the log-probability of `Y` under the kernel `L = diag(q) S diag(q)` with
//! `q_i = exp((1 - d) / (2 d) rel_i)`. `rel` is the score on the scale of the first pool (see `scale`), `S`
//! as in `residual`. The objective gains
//!
//! ```text
//! (1 - d) rel_i + d ln max(d_i^2, FLOOR)
//! ```
//!
//! with item `i`, where `d_i^2 = det S_{Y + i} / det S_Y`; that is an entry's value. Factoring `S` and
//! not `L` gives the same choices, keeps large `q` out of the arithmetic, and needs no `exp`.
//!
//! `FLOOR` is 1e-6 of the largest possible `d_i^2`, which is 1. The paper stops when nothing above it is
//! left. A slate must be filled, so here the floor stands in for the logarithm: a duplicate is worth
//! `13.8 d` less than something all new, and when nothing new is left the order is that of the scores. So
//! `d` towards 0 leads to the order of the scores too, and no value is infinite.
//!
//! `d_i^2` only falls with each further item (the objective is submodular), so the choice is lazy (see
//! `lazy`). Cost: O(k pool dim + k^2 pool) at worst, usually a fraction; k pool doubles.

use crate::rank::source::Source;

use super::lazy::{self, Lazy};
use super::residual::{Residuals, FLOOR};
use super::scale::Scale;
use super::Diversity;

/// The running state.
pub struct Dpp<'a> {
    diversity: f64,
    relevance: Scale,
    residuals: Residuals<'a>,
    /// By entry: the value, or an upper bound for one that is behind.
    values: Vec<f64>,
}

impl<'a> Dpp<'a> {
    /// Compares items in one space of the source; `diversity` lies in (0, 1].
    pub fn new(source: &'a dyn Source, space: usize, diversity: f64) -> Self {
        Dpp {
            diversity,
            relevance: Scale::default(),
            residuals: Residuals::new(source, space, None),
            values: Vec::new(),
        }
    }
}

/// What an entry of this relevance gains, of which `squared` is new.
pub(super) fn gain(diversity: f64, relevance: f64, squared: f64) -> f64 {
    (1.0 - diversity) * relevance + diversity * libm::log(squared.max(FLOOR))
}

impl Lazy for Dpp<'_> {
    fn bound(&self, entry: u32) -> f64 {
        self.values[entry as usize]
    }

    fn is_behind(&self, entry: u32) -> bool {
        self.residuals.is_behind(entry)
    }

    fn advance(&mut self, entry: u32) {
        self.residuals.advance(entry);
        self.values[entry as usize] = gain(
            self.diversity,
            self.relevance.of(entry),
            self.residuals.squared(entry),
        );
    }
}

impl Diversity for Dpp<'_> {
    fn extend(&mut self, rows: &[u32], scores: &[f64], first: usize) {
        self.relevance.extend(scores, first);
        self.residuals.extend(rows, first);
        for entry in first as u32..rows.len() as u32 {
            let value = gain(self.diversity, self.relevance.of(entry), 1.0);
            self.values.push(value);
        }
    }

    fn value(&mut self, entry: u32) -> f64 {
        self.catch_up(entry);
        self.bound(entry)
    }

    fn chosen(&mut self, entry: u32) {
        self.residuals.chosen(entry);
    }

    fn best(&mut self, open: &[u32]) -> usize {
        lazy::best(self, open)
    }
}
