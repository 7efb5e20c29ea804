//! Epsilon-greedy, with one coin a slot or one coin a slate.
//!
//! `n` is the number of items open to exploration in a slot, `g` the greedy one among them.
//!
//! # One coin a slot
//!
//! `p(g) = 1 - eps + eps / n`, any other open item `eps / n`.
//!
//! # One coin a slate
//!
//! With probability `1 - eps` every slot is filled greedily, with `eps` every slot uniformly from its
//! open items. The coin is not seen in the slate, but the slots above tell about it. Let `R` be the
//! product of `1 / n` over the slots above: the probability of these slots if the coin fell for
//! exploration. If it did not, their probability is `G = 1` when each of them holds its greedy choice,
//! else `G = 0`. By Bayes the coin fell for exploration, given the slots above, with probability
//!
//! `q = eps R / ((1 - eps) G + eps R)`
//!
//! and so `p(g) = 1 - q + q / n`, any other open item `q / n`. The product over the slots is
//! `(1 - eps) G + eps R` of the whole slate, which is its probability. A slot with one open item
//! (outside the scope, say) multiplies `R` by 1 and tells nothing.
//!
//! Where caps narrow the sets as a slate grows, uniform in each slot is not the same as uniform over
//! all slates that the caps allow: the former is what is drawn, and what is stated.
//!
//! Coins are multiples of 2^-53, so the drawn frequencies follow the stated ones to 2^-53.

use crate::rank::rng::Draws;

use super::{Draw, Explore, SlotView};

/// The probability of one position when exploration has probability `q`.
fn propensity(q: f64, n: usize, is_greedy: bool) -> f64 {
    let share = q / n as f64;
    match (n, is_greedy) {
        (1, _) => 1.0,
        (_, true) => (1.0 - q + share).min(1.0),
        (_, false) => share,
    }
}

fn probabilities(q: f64, slot: &SlotView<'_>) -> Vec<f64> {
    let n = slot.eligible.len();
    (0..n)
        .map(|position| propensity(q, n, position == slot.greedy))
        .collect()
}

fn drawn(q: f64, slot: &SlotView<'_>, position: usize) -> Draw {
    let n = slot.eligible.len();
    let supported = if q > 0.0 { n } else { 1 };
    Draw::exact(
        position,
        propensity(q, n, position == slot.greedy),
        supported,
    )
}

/// One coin a slot.
#[derive(Clone, Copy, Debug)]
pub struct EpsilonGreedy {
    /// In [0, 1].
    pub epsilon: f64,
}

impl Explore for EpsilonGreedy {
    fn probabilities(&self, slot: &SlotView<'_>) -> Option<Vec<f64>> {
        Some(probabilities(self.epsilon, slot))
    }

    fn draw(&self, slot: &SlotView<'_>, draws: &Draws) -> Draw {
        let mut rng = draws.slot(slot.slot);
        let position = if rng.uniform() < self.epsilon {
            rng.below(slot.eligible.len() as u64) as usize
        } else {
            slot.greedy
        };
        drawn(self.epsilon, slot, position)
    }
}

/// One coin a slate.
#[derive(Clone, Copy, Debug)]
pub struct EpsilonSlate {
    epsilon: f64,
    /// Every slot above holds its greedy choice.
    greedy_above: bool,
    /// The probability of the slots above if the coin fell for exploration.
    random_above: f64,
}

impl EpsilonSlate {
    /// Before the first slot; `epsilon` lies in [0, 1].
    pub fn new(epsilon: f64) -> Self {
        EpsilonSlate {
            epsilon,
            greedy_above: true,
            random_above: 1.0,
        }
    }

    /// The probability that the coin fell for exploration, given the slots above.
    fn exploring(&self) -> f64 {
        if !self.greedy_above {
            return 1.0;
        }
        let random = self.epsilon * self.random_above;
        if random == 0.0 {
            0.0
        } else {
            random / (1.0 - self.epsilon + random)
        }
    }
}

impl Explore for EpsilonSlate {
    fn probabilities(&self, slot: &SlotView<'_>) -> Option<Vec<f64>> {
        Some(probabilities(self.exploring(), slot))
    }

    fn draw(&self, slot: &SlotView<'_>, draws: &Draws) -> Draw {
        let position = if draws.slate().uniform() < self.epsilon {
            draws.slot(slot.slot).below(slot.eligible.len() as u64) as usize
        } else {
            slot.greedy
        };
        drawn(self.exploring(), slot, position)
    }

    fn took(&mut self, slot: &SlotView<'_>, position: usize) {
        self.greedy_above &= position == slot.greedy;
        // A slate that follows the greedy one by chance for so long does not occur; its probability
        // stays positive all the same, as the draw's is.
        let share = self.random_above / slot.eligible.len() as f64;
        self.random_above = share.max(f64::MIN_POSITIVE);
    }
}
