//! An objective of which only the relevance is left: what a budget makes of diversity that it has no time for.
//!
//! The value of an entry is `(1 - d) rel`, with `rel` its score on the scale of the first pool (see `scale`): what every
//! objective here says of an entry that is unlike all others, up to a number that is the same for all. So an
//! explorer that weighs differences of values meets those of relevance at the size that it knows.

use super::scale::Scale;
use super::Diversity;

/// Relevance on the scale of another objective.
pub(super) struct Plain {
    weight: f64,
    relevance: Scale,
}

impl Plain {
    /// What an objective of strength `diversity` says of relevance.
    pub(super) fn new(diversity: f64) -> Self {
        Plain {
            weight: 1.0 - diversity,
            relevance: Scale::default(),
        }
    }
}

impl Diversity for Plain {
    fn extend(&mut self, _: &[u32], scores: &[f64], first: usize) {
        self.relevance.extend(scores, first);
    }

    fn value(&mut self, entry: u32) -> f64 {
        self.weight * self.relevance.of(entry)
    }

    fn chosen(&mut self, _: u32) {}

    /// Entries are ordered by score, and equal values go to the first.
    fn best(&mut self, _: &[u32]) -> usize {
        0
    }
}
