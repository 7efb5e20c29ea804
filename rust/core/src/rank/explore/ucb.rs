//! Upper confidence bounds: the best by `value + weight (mean + c std)`, with certainty.
//!
//! Optimism in the face of uncertainty (Lai and Robbins, 1985; Auer, Cesa-Bianchi and Fischer, 2002):
//! what is little known is shown until it is known better. Nothing is drawn, so the propensity is 1 and
//! no other item has support: a log of such slates tells nothing about the items it did not show.

use crate::error::Result;
use crate::rank::rng::Draws;

use super::posterior::Posterior;
use super::{Draw, Explore, SlotView};

/// Upper confidence bounds.
pub struct Ucb<'a> {
    posterior: Posterior<'a>,
    weight: f64,
    replace: bool,
    c: f64,
}

impl<'a> Ucb<'a> {
    /// `replace`: the bound alone decides, without the value.
    pub fn new(posterior: Posterior<'a>, weight: f64, replace: bool, c: f64) -> Self {
        Ucb {
            posterior,
            weight,
            replace,
            c,
        }
    }

    fn best(&self, slot: &SlotView<'_>) -> usize {
        let mut best = (f64::NEG_INFINITY, 0);
        for (position, &entry) in slot.eligible.iter().enumerate() {
            let belief = self.posterior.belief(entry);
            let base = if self.replace {
                0.0
            } else {
                slot.values[position]
            };
            let bound = base + self.weight * (belief.mean() + self.c * belief.std());
            if bound > best.0 {
                best = (bound, position);
            }
        }
        best.1
    }
}

impl Explore for Ucb<'_> {
    fn extend(&mut self, rows: &[u32]) -> Result<()> {
        self.posterior.extend(rows)
    }

    fn reads_values(&self, _: u64) -> bool {
        !self.replace
    }

    fn probabilities(&self, slot: &SlotView<'_>) -> Option<Vec<f64>> {
        let mut out = vec![0.0; slot.eligible.len()];
        out[self.best(slot)] = 1.0;
        Some(out)
    }

    fn draw(&self, slot: &SlotView<'_>, _: &Draws) -> Draw {
        Draw::exact(self.best(slot), 1.0, 1)
    }
}
