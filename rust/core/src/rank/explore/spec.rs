//! What a policy says of exploration: one variant a kind, with what each accepts.
//!
//! Fields that are left at what they always were are not written, so a document that was valid before
//! they existed keeps its canonical form and its hash.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

use super::thompson::SHIFTS;
use crate::rank::policy::MAX_INTEGER;
use crate::rank::predicate::PredicateSpec;

/// The least and the most draws that an estimate is made of.
const MIN_DRAWS: i64 = 64;
const MAX_DRAWS: i64 = 1 << 20;

/// The least and the most that a Beta prior may hold of either count: what follows from it stays within
/// a double.
const PRIOR_COUNTS: std::ops::RangeInclusive<f64> = 1e-3..=1e9;

/// How the unknown is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ExploreSpec {
    /// Any open item with probability `epsilon`, else the best.
    EpsilonGreedy {
        /// In [0, 1].
        epsilon: f64,
        /// What a coin decides.
        #[serde(default, skip_serializing_if = "Per::is_slot")]
        per: Per,
        /// How it falls with time; `None` where it stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decay: Option<EpsilonDecay>,
        /// Where it is explored.
        #[serde(default, skip_serializing_if = "ScopeSpec::is_everything")]
        scope: ScopeSpec,
    },
    /// Probability proportional to `exp(value / temperature)`, with the diversified value.
    Softmax {
        /// More than 0.
        temperature: f64,
        /// Where it is explored.
        #[serde(default, skip_serializing_if = "ScopeSpec::is_everything")]
        scope: ScopeSpec,
    },
    /// Probability proportional to `exp(score / temperature)`.
    PlackettLuce {
        /// More than 0.
        temperature: f64,
        /// Where it is explored.
        #[serde(default, skip_serializing_if = "ScopeSpec::is_everything")]
        scope: ScopeSpec,
    },
    /// The best by value and one sample of each item's posterior.
    ThompsonSampling {
        /// What is known of each item.
        posterior: PosteriorSpec,
        /// Factor of the sample.
        weight: f64,
        /// The sample alone decides.
        replace: bool,
        /// Points that a propensity is estimated from.
        draws: i64,
        /// Where it is explored.
        #[serde(default, skip_serializing_if = "ScopeSpec::is_everything")]
        scope: ScopeSpec,
    },
    /// The best by value and an upper bound of what each item may be worth.
    Ucb {
        /// What is known of each item.
        posterior: PosteriorSpec,
        /// Factor of the bound.
        weight: f64,
        /// The bound alone decides.
        replace: bool,
        /// Standard deviations above the mean.
        c: f64,
        /// Where it is explored.
        #[serde(default, skip_serializing_if = "ScopeSpec::is_everything")]
        scope: ScopeSpec,
    },
}

/// How the epsilon of epsilon-greedy falls: what lies above the floor halves in every half-life.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpsilonDecay {
    /// Half-life in microseconds.
    pub half_life_us: i64,
    /// The moment from which it falls: microseconds since the epoch.
    pub since: i64,
    /// What it falls to, from 0 to epsilon.
    #[serde(default)]
    pub floor: f64,
}

impl EpsilonDecay {
    /// `floor + (epsilon - floor) 2^(-(at - since) / half_life)`; `epsilon` until `since`.
    pub fn epsilon(&self, epsilon: f64, at: i64) -> f64 {
        let age = at.saturating_sub(self.since);
        if age <= 0 {
            return epsilon;
        }
        let left = libm::exp2(-(age as f64 / self.half_life_us as f64));
        // A sum that rounds up is no more than it began with.
        (self.floor + (epsilon - self.floor) * left).min(epsilon)
    }

    fn validate(&self, epsilon: f64) -> Result<()> {
        if !(1..=MAX_INTEGER).contains(&self.half_life_us) {
            return Err(Error::invalid(
                "half_life",
                "more than 0 and at most 2^53 microseconds",
                self.half_life_us,
            ));
        }
        if self.since.unsigned_abs() > MAX_INTEGER as u64 {
            return Err(Error::invalid(
                "since",
                "a moment within 2^53 microseconds of the epoch",
                self.since,
            ));
        }
        if !(0.0..=epsilon).contains(&self.floor) {
            return Err(Error::invalid(
                "floor",
                format!("a number from 0 to epsilon = {epsilon}"),
                self.floor,
            ));
        }
        Ok(())
    }
}

/// What one coin of epsilon-greedy decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// One slot.
    #[default]
    Slot,
    /// The whole slate.
    Slate,
}

impl Per {
    fn is_slot(&self) -> bool {
        *self == Per::Slot
    }
}

/// Where it is explored; elsewhere the choice is greedy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeSpec {
    /// Slots from 0, ascending; `None` for all.
    #[serde(default)]
    pub slots: Option<Vec<i64>>,
    /// The conditions that an item must meet; `None` for every item.
    #[serde(default)]
    pub only: Option<PredicateSpec>,
}

impl ScopeSpec {
    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        self.slots.is_none() && self.only.is_none()
    }
}

/// What is known of each item: numbers that come as signals or attributes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PosteriorSpec {
    /// Beta over a rate: counts of what went well and what did not, added to those of the prior. A
    /// missing count is 0.
    Beta {
        /// Name of the counts of what went well.
        alpha: String,
        /// Name of the counts of what did not.
        beta: String,
        /// What is known of an item without counts.
        prior: [f64; 2],
    },
    /// A normal distribution.
    Gaussian {
        /// Name of the means.
        mean: String,
        /// Name of the standard deviations.
        std: String,
        /// Mean and standard deviation of an item that has either missing; `None` when none has.
        #[serde(default)]
        prior: Option<[f64; 2]>,
    },
}

impl PosteriorSpec {
    /// The names of its two inputs.
    pub fn names(&self) -> [&str; 2] {
        match self {
            PosteriorSpec::Beta { alpha, beta, .. } => [alpha, beta],
            PosteriorSpec::Gaussian { mean, std, .. } => [mean, std],
        }
    }

    /// What the Python user calls these inputs.
    pub(crate) fn arguments(&self) -> [&'static str; 2] {
        match self {
            PosteriorSpec::Beta { .. } => ["alpha", "beta"],
            PosteriorSpec::Gaussian { .. } => ["mean", "std"],
        }
    }
}

impl ExploreSpec {
    /// Where it is explored.
    pub fn scope(&self) -> &ScopeSpec {
        match self {
            ExploreSpec::EpsilonGreedy { scope, .. }
            | ExploreSpec::Softmax { scope, .. }
            | ExploreSpec::PlackettLuce { scope, .. }
            | ExploreSpec::ThompsonSampling { scope, .. }
            | ExploreSpec::Ucb { scope, .. } => scope,
        }
    }

    /// What is known of each item, for the kinds that use it.
    pub fn posterior(&self) -> Option<&PosteriorSpec> {
        match self {
            ExploreSpec::ThompsonSampling { posterior, .. }
            | ExploreSpec::Ucb { posterior, .. } => Some(posterior),
            _ => None,
        }
    }

    /// Checks every number; `diversified` tells whether the policy asks for diversity or has soft caps.
    pub(crate) fn validate(&self, diversified: bool) -> Result<()> {
        match self {
            ExploreSpec::EpsilonGreedy { epsilon, decay, .. } => {
                if !(0.0..=1.0).contains(epsilon) {
                    return Err(Error::invalid("epsilon", "a number from 0 to 1", epsilon));
                }
                if let Some(decay) = decay {
                    decay.validate(*epsilon)?;
                }
            }
            ExploreSpec::Softmax { temperature, .. }
            | ExploreSpec::PlackettLuce { temperature, .. } => {
                positive("temperature", *temperature)?;
            }
            ExploreSpec::ThompsonSampling {
                weight,
                replace,
                draws,
                ..
            } => {
                positive("weight", *weight)?;
                replaceable(*replace, diversified)?;
                if !(MIN_DRAWS..=MAX_DRAWS).contains(draws) || draws % i64::from(SHIFTS) != 0 {
                    return Err(Error::invalid(
                        "draws",
                        format!("a multiple of {SHIFTS} from {MIN_DRAWS} to {MAX_DRAWS}"),
                        draws,
                    ));
                }
            }
            ExploreSpec::Ucb {
                weight, replace, c, ..
            } => {
                positive("weight", *weight)?;
                replaceable(*replace, diversified)?;
                if !(c.is_finite() && *c >= 0.0) {
                    return Err(Error::invalid("c", "a finite number of at least 0", c));
                }
            }
        }
        if let Some(posterior) = self.posterior() {
            validate_posterior(posterior)?;
        }
        validate_scope(self.scope())
    }
}

fn positive(argument: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(Error::invalid(
            argument,
            "a finite number of more than 0",
            value,
        ))
    }
}

/// A sample that replaces the value leaves diversity and soft caps without effect.
fn replaceable(replace: bool, diversified: bool) -> Result<()> {
    if replace && diversified {
        return Err(Error::invalid(
            "replace",
            "False with a policy that has a diversity or soft caps, which would have no effect",
            "True",
        ));
    }
    Ok(())
}

fn validate_posterior(posterior: &PosteriorSpec) -> Result<()> {
    for (argument, name) in posterior.arguments().into_iter().zip(posterior.names()) {
        if name.is_empty() {
            return Err(Error::invalid(
                argument,
                "the name of a signal or attribute",
                "an empty name",
            ));
        }
    }
    let [first, second] = posterior.names();
    if first == second {
        return Err(Error::invalid(
            posterior.arguments()[1],
            "another signal or attribute than the first",
            format!("{second:?} twice"),
        ));
    }
    match posterior {
        PosteriorSpec::Beta { prior, .. } => {
            if let Some(bad) = prior.iter().find(|count| !PRIOR_COUNTS.contains(count)) {
                return Err(Error::invalid("prior", "two counts from 0.001 to 1e9", bad));
            }
        }
        PosteriorSpec::Gaussian {
            prior: Some([mean, std]),
            ..
        } => {
            if !mean.is_finite() || !std.is_finite() || *std < 0.0 {
                return Err(Error::invalid(
                    "prior",
                    "a finite mean, and a finite standard deviation of at least 0",
                    format!("{mean} and {std}"),
                ));
            }
        }
        PosteriorSpec::Gaussian { prior: None, .. } => {}
    }
    Ok(())
}

fn validate_scope(scope: &ScopeSpec) -> Result<()> {
    if let Some(slots) = &scope.slots {
        let ascending = slots.windows(2).all(|pair| pair[0] < pair[1]);
        let within = slots.iter().all(|slot| (0..MAX_INTEGER).contains(slot));
        if slots.is_empty() || !ascending || !within {
            return Err(Error::invalid(
                "slots",
                "one or more integers of at least 0, ascending, each once",
                format!("{slots:?}"),
            ));
        }
    }
    scope
        .only
        .as_ref()
        .map_or(Ok(()), |only| only.validate("only"))
}
