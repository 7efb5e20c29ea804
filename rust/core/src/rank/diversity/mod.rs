//! Diversity: how good each candidate is for the next slot, given the slots above it.

mod mmr;

pub use mmr::Mmr;

use crate::error::{Error, Result};
use crate::metric::Metric;

use super::bind::space_index;
use super::policy::DiversitySpec;
use super::source::Source;

/// A greedy objective over a pool that may grow.
pub trait Diversity {
    /// Takes in the pool's entries from `first` on: with `first` 0 to begin with, and again after each
    /// deepening.
    fn extend(&mut self, rows: &[u32], scores: &[f64], first: usize);

    /// How good an entry is for the next slot.
    fn value(&mut self, entry: u32) -> f64;

    /// Appends the values of some entries, for an explorer that reads them all.
    fn values(&mut self, open: &[u32], out: &mut Vec<f64>) {
        out.extend(open.iter().map(|&entry| self.value(entry)));
    }

    /// An entry was chosen for a slot.
    fn chosen(&mut self, entry: u32);

    /// The position in `open`, which is ordered by (score descending, id), of the best entry. Equal
    /// values go to the one that comes first.
    fn best(&mut self, open: &[u32]) -> usize {
        let mut best = 0;
        let mut best_value = f64::NEG_INFINITY;
        for (position, &entry) in open.iter().enumerate() {
            let value = self.value(entry);
            if value > best_value {
                (best, best_value) = (position, value);
            }
        }
        best
    }
}

/// No diversity: the best score.
#[derive(Clone, Debug, Default)]
pub struct Relevance {
    scores: Vec<f64>,
}

impl Diversity for Relevance {
    fn extend(&mut self, _: &[u32], scores: &[f64], first: usize) {
        self.scores.extend_from_slice(&scores[first..]);
    }

    fn value(&mut self, entry: u32) -> f64 {
        self.scores[entry as usize]
    }

    fn chosen(&mut self, _: u32) {}

    fn best(&mut self, _: &[u32]) -> usize {
        0
    }
}

/// The objective that a policy asks for.
pub(crate) fn from_spec<'a>(
    source: &'a dyn Source,
    spec: Option<&DiversitySpec>,
) -> Result<Box<dyn Diversity + 'a>> {
    match spec {
        None => Ok(Box::new(Relevance::default())),
        Some(DiversitySpec::Mmr { diversity, space }) => {
            let space = match space {
                Some(name) => Some(space_index(source, name)?),
                None => default_space(source),
            };
            match (*diversity, space) {
                // Nothing is compared, so no space is needed.
                (0.0, _) => Ok(Box::new(Relevance::default())),
                (diversity, Some(space)) => Ok(Box::new(Mmr::new(source, space, diversity))),
                (_, None) => Err(Error::invalid(
                    "diversity",
                    "a source with vectors to compare items by",
                    "candidates without vectors",
                )),
            }
        }
    }
}

/// The first cosine space, else the first.
fn default_space(source: &dyn Source) -> Option<usize> {
    let spaces = source.spaces();
    spaces
        .iter()
        .position(|space| space.metric == Metric::Cosine)
        .or(if spaces.is_empty() { None } else { Some(0) })
}
