//! Softmax over a slot's open items: probability proportional to `exp(value / temperature)`.
//!
//! Drawn slot after slot without replacement from scores alone, this is the Plackett-Luce ranking
//! model (Luce, 1959; Plackett, 1975). From the diversified value, which depends on the slots above, it
//! is a softmax of another kind in each slot. The two differ in what they read and in nothing else, so
//! they are one implementation.
//!
//! The largest value is subtracted before `exp`, so nothing overflows and the sum is at least 1. `exp`
//! is `libm`'s, the sum runs in the order of the eligible set, (score descending, id): the same bits on
//! every machine, whatever the order of the pool. One uniform number picks by the inverse of the
//! cumulated weights. That takes one `exp` an item, as the sum does anyway; the Gumbel trick would take
//! two logarithms an item on top of the sum, which the propensity needs in any case.
//!
//! A weight below [`LEAST`] counts as 0: the item has no support in this slot, and the slate says so.

use crate::rank::rng::Draws;

use super::{Draw, Explore, SlotView};

/// Weights below this, relative to the largest, count as 0, so that no quotient becomes subnormal.
pub const LEAST: f64 = 1e-290;

/// Softmax with a temperature.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    /// Finite and more than 0: small is close to greedy, large close to uniform.
    pub temperature: f64,
    /// Reads the diversified values; otherwise the scores.
    pub diversified: bool,
}

impl Softmax {
    /// One weight an open item, the largest of them 1.
    fn weights(&self, slot: &SlotView<'_>) -> Vec<f64> {
        let mut weights: Vec<f64> = if self.diversified {
            slot.values.to_vec()
        } else {
            let scores = slot.eligible.iter().map(|&e| slot.scores[e as usize]);
            scores.collect()
        };
        let largest = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for weight in &mut weights {
            // Equal to the largest even where that is infinite: a difference would be no number.
            *weight = if *weight == largest {
                1.0
            } else {
                libm::exp((*weight - largest) / self.temperature)
            };
            if *weight < LEAST {
                *weight = 0.0;
            }
        }
        weights
    }
}

impl Explore for Softmax {
    fn reads_values(&self, _: u64) -> bool {
        self.diversified
    }

    fn probabilities(&self, slot: &SlotView<'_>) -> Option<Vec<f64>> {
        let weights = self.weights(slot);
        let sum: f64 = weights.iter().sum();
        Some(weights.iter().map(|weight| weight / sum).collect())
    }

    fn draw(&self, slot: &SlotView<'_>, draws: &Draws) -> Draw {
        let weights = self.weights(slot);
        let sum: f64 = weights.iter().sum();
        let target = draws.slot(slot.slot).uniform() * sum;
        let mut position = 0;
        let mut cumulated = 0.0;
        for (i, &weight) in weights.iter().enumerate().filter(|(_, &w)| w > 0.0) {
            // The last one with support stays where rounding leaves the target at the very end.
            position = i;
            cumulated += weight;
            if cumulated > target {
                break;
            }
        }
        let supported = weights.iter().filter(|&&weight| weight > 0.0).count();
        Draw::exact(position, weights[position] / sum, supported)
    }
}
