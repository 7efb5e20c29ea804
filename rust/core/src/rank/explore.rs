//! Exploration: which member of a slot's eligible set is shown, and with what probability.
//!
//! An explorer draws from a distribution over the slot's eligible set, given the slots above. The
//! probability it reports is that of the item it drew, so nothing may reorder a slate afterwards.

use super::policy::ExploreSpec;
use super::rng::SlotRng;

/// A slot before it is filled.
#[derive(Clone, Copy, Debug)]
pub struct SlotView<'a> {
    /// The eligible pool entries, by (score descending, id).
    pub eligible: &'a [u32],
    /// Scores by pool entry.
    pub scores: &'a [f64],
    /// Position in `eligible` of the greedy choice.
    pub greedy: usize,
}

/// What was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// Position in `eligible`.
    pub position: usize,
    /// The probability with which that position is drawn.
    pub propensity: f64,
}

/// A distribution over a slot's eligible set.
pub trait Explore: Sync {
    /// The whole distribution: one probability per member of `eligible`.
    fn probabilities(&self, slot: &SlotView<'_>) -> Vec<f64>;

    /// One draw from it.
    fn draw(&self, slot: &SlotView<'_>, rng: &mut SlotRng) -> Draw;
}

/// No exploration: the greedy choice, with certainty.
#[derive(Clone, Copy, Debug)]
pub struct Greedy;

impl Explore for Greedy {
    fn probabilities(&self, slot: &SlotView<'_>) -> Vec<f64> {
        let mut out = vec![0.0; slot.eligible.len()];
        out[slot.greedy] = 1.0;
        out
    }

    fn draw(&self, slot: &SlotView<'_>, _: &mut SlotRng) -> Draw {
        Draw {
            position: slot.greedy,
            propensity: 1.0,
        }
    }
}

/// With probability epsilon any of the n eligible items, else the greedy one. The greedy choice so
/// has probability `1 - eps + eps/n`, any other member `eps/n`.
///
/// The coin is a multiple of 2^-53, so the drawn frequencies follow the stated ones to 2^-53.
#[derive(Clone, Copy, Debug)]
pub struct EpsilonGreedy {
    /// In [0, 1].
    pub epsilon: f64,
}

impl EpsilonGreedy {
    fn propensity(&self, n: usize, is_greedy: bool) -> f64 {
        let share = self.epsilon / n as f64;
        match (n, is_greedy) {
            (1, _) => 1.0,
            (_, true) => (1.0 - self.epsilon + share).min(1.0),
            (_, false) => share,
        }
    }
}

impl Explore for EpsilonGreedy {
    fn probabilities(&self, slot: &SlotView<'_>) -> Vec<f64> {
        let n = slot.eligible.len();
        (0..n)
            .map(|position| self.propensity(n, position == slot.greedy))
            .collect()
    }

    fn draw(&self, slot: &SlotView<'_>, rng: &mut SlotRng) -> Draw {
        let n = slot.eligible.len();
        let position = if rng.uniform() < self.epsilon {
            rng.below(n as u64) as usize
        } else {
            slot.greedy
        };
        Draw {
            position,
            propensity: self.propensity(n, position == slot.greedy),
        }
    }
}

/// The explorer that a policy asks for.
pub fn from_spec(spec: Option<&ExploreSpec>) -> Box<dyn Explore> {
    match spec {
        None => Box::new(Greedy),
        Some(ExploreSpec::EpsilonGreedy { epsilon }) => {
            Box::new(EpsilonGreedy { epsilon: *epsilon })
        }
    }
}
