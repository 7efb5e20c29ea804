//! Exploration: which member of a slot's eligible set is shown, and with what probability.
//!
//! An explorer draws from a distribution over the slot's eligible set, given the slots above. The
//! probability it reports is that of the item it drew, so nothing may reorder a slate afterwards.
//!
//! One file a kind: `greedy`, `epsilon`, `softmax`, `thompson`, `ucb`; `scope` keeps any of them to some
//! slots or items. `posterior` is what the last two know of each item, with `sampling` and `special` for
//! its draws and its distribution functions.

mod epsilon;
mod greedy;
mod posterior;
pub mod sampling;
mod scope;
mod softmax;
mod spec;
pub mod special;
mod thompson;
mod ucb;

use crate::error::Result;

use super::bind::{explore_inputs, Input};
use super::policy::Policy;
use super::rng::Draws;
use super::signals::Signals;
use super::source::Source;

pub use epsilon::{EpsilonGreedy, EpsilonSlate};
pub use greedy::Greedy;
pub use posterior::Posterior;
pub use scope::Scoped;
pub use softmax::Softmax;
pub use spec::{EpsilonDecay, ExploreSpec, Per, PosteriorSpec, ScopeSpec};
pub use thompson::Thompson;
pub use ucb::Ucb;

/// A slot before it is filled.
#[derive(Clone, Copy, Debug)]
pub struct SlotView<'a> {
    /// Its place in the slate, from 0.
    pub slot: u64,
    /// The eligible pool entries, by (score descending, id).
    pub eligible: &'a [u32],
    /// Scores by pool entry.
    pub scores: &'a [f64],
    /// The diversified values by position in `eligible`; empty unless [`Explore::reads_values`].
    pub values: &'a [f64],
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
    /// How many positions have a probability that is not 0.
    pub support: u32,
    /// How the propensity was estimated; `None` where it is exact.
    pub estimate: Option<Estimate>,
}

impl Draw {
    /// A draw whose probability is exact.
    pub fn exact(position: usize, propensity: f64, support: usize) -> Self {
        Draw {
            position,
            propensity,
            support: support as u32,
            estimate: None,
        }
    }
}

/// A Monte Carlo estimate of a propensity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Points that it was drawn from.
    pub draws: u32,
    /// Its standard error.
    pub standard_error: f64,
}

/// A distribution over a slot's eligible set.
pub trait Explore {
    /// Takes in the rows of further pool entries.
    fn extend(&mut self, _rows: &[u32]) -> Result<()> {
        Ok(())
    }

    /// Whether the diversified values of the eligible entries are wanted for a slot.
    fn reads_values(&self, _slot: u64) -> bool {
        false
    }

    /// The whole distribution, one probability per member of `eligible`; `None` where it has no closed
    /// form.
    fn probabilities(&self, slot: &SlotView<'_>) -> Option<Vec<f64>>;

    /// One draw from it.
    fn draw(&self, slot: &SlotView<'_>, draws: &Draws) -> Draw;

    /// The slot was filled with this position of its eligible set.
    fn took(&mut self, _slot: &SlotView<'_>, _position: usize) {}
}

/// The explorer of a policy, as a ranking of this source with these signals uses it at this moment
/// (microseconds since the epoch).
pub fn of_policy<'a>(
    source: &'a dyn Source,
    policy: &'a Policy,
    signals: &'a Signals,
    at: i64,
) -> Result<Box<dyn Explore + 'a>> {
    let inputs = explore_inputs(source, policy, signals)?;
    from_spec(source, policy.spec().explore.as_ref(), inputs, at)
}

/// The explorer that a policy asks for; `inputs` are the numbers that its posterior reads, `at` is the
/// request's moment.
pub(crate) fn from_spec<'a>(
    source: &'a dyn Source,
    spec: Option<&'a ExploreSpec>,
    inputs: Vec<(&'a str, Input<'a>)>,
    at: i64,
) -> Result<Box<dyn Explore + 'a>> {
    let Some(spec) = spec else {
        return Ok(Box::new(Greedy));
    };
    let inner: Box<dyn Explore + 'a> = match spec {
        ExploreSpec::EpsilonGreedy {
            epsilon,
            per,
            decay,
            ..
        } => {
            let epsilon = decay.map_or(*epsilon, |decay| decay.epsilon(*epsilon, at));
            match per {
                Per::Slot => Box::new(EpsilonGreedy { epsilon }),
                Per::Slate => Box::new(EpsilonSlate::new(epsilon)),
            }
        }
        ExploreSpec::Softmax { temperature, .. } => Box::new(Softmax {
            temperature: *temperature,
            diversified: true,
        }),
        ExploreSpec::PlackettLuce { temperature, .. } => Box::new(Softmax {
            temperature: *temperature,
            diversified: false,
        }),
        ExploreSpec::ThompsonSampling {
            posterior,
            weight,
            replace,
            draws,
            ..
        } => Box::new(Thompson::new(
            Posterior::new(source, posterior, inputs),
            *weight,
            *replace,
            *draws as u32,
        )),
        ExploreSpec::Ucb {
            posterior,
            weight,
            replace,
            c,
            ..
        } => Box::new(Ucb::new(
            Posterior::new(source, posterior, inputs),
            *weight,
            *replace,
            *c,
        )),
    };
    if spec.scope().is_everything() {
        Ok(inner)
    } else {
        Ok(Box::new(Scoped::new(source, spec.scope(), inner)?))
    }
}
