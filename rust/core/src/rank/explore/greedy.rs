//! No exploration: the greedy choice, with certainty.

use crate::rank::rng::Draws;

use super::{Draw, Explore, SlotView};

/// The greedy choice.
#[derive(Clone, Copy, Debug)]
pub struct Greedy;

impl Explore for Greedy {
    fn probabilities(&self, slot: &SlotView<'_>) -> Option<Vec<f64>> {
        let mut out = vec![0.0; slot.eligible.len()];
        out[slot.greedy] = 1.0;
        Some(out)
    }

    fn draw(&self, slot: &SlotView<'_>, _: &Draws) -> Draw {
        Draw::exact(slot.greedy, 1.0, 1)
    }
}
