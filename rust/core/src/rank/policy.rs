//! The configuration of a whole ranking: a frozen document with a hash.
//!
//! A policy arrives as JSON, is validated once, and is then only read. Its hash is SHA-256 over the
//! canonical form of RFC 8785, with every default written out, so the same policy has the same hash
//! however it was spelt. Each part is an enum tagged by `kind`: a new kind is a new variant here and
//! a new file beside the old ones.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

use super::caps::CapSpec;
pub use super::explore::ExploreSpec;
use super::model::{validate_explored, validate_features};
pub use super::normalize::Normalize;
use super::rules::{self, RuleSpec};

/// The document's schema name.
pub const SCHEMA: &str = "perso_core.policy/1";

/// Integers in a policy stay below this, because RFC 8785 numbers are doubles.
pub(crate) const MAX_INTEGER: i64 = 1 << 53;

/// A validated policy.
#[derive(Clone, Debug)]
pub struct Policy {
    spec: PolicySpec,
    canonical: String,
    hash: String,
}

/// The document itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Size of the pool; `None` for `max(100, 10 k)`.
    #[serde(default)]
    pub candidates: Option<i64>,
    /// How candidates are scored.
    pub score: ScoreSpec,
    /// How variety is bought.
    #[serde(default)]
    pub diversity: Option<DiversitySpec>,
    /// At most so many items with the same value of an attribute, or more at a price.
    #[serde(default)]
    pub caps: BTreeMap<String, CapSpec>,
    /// How the unknown is tried.
    #[serde(default)]
    pub explore: Option<ExploreSpec>,
    /// What holds beside the score, in this order. Documents without rules do not name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleSpec>,
}

/// The blend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreSpec {
    /// Its summands, in the order of the slate's term columns.
    pub signals: Vec<SignalSpec>,
}

/// One summand of the blend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SignalSpec {
    /// The score of a space's metric between the user's vector and the item's.
    Similarity {
        /// Term name.
        name: String,
        /// The space; `None` for the only one the user gave, or the only one there is.
        #[serde(default)]
        space: Option<String>,
        /// Factor.
        weight: f64,
        /// Normaliser.
        normalize: Normalize,
    },
    /// A number per item: a signal of the request by this name, else the attribute by this name.
    Value {
        /// Term name, and name of the signal or attribute.
        name: String,
        /// Factor.
        weight: f64,
        /// Normaliser.
        normalize: Normalize,
    },
    /// What is left after the age of a timestamp attribute: a half after the half-life.
    Decay {
        /// Term name.
        name: String,
        /// The timestamp attribute.
        attribute: String,
        /// Half-life in microseconds.
        half_life_us: i64,
        /// How it falls. Documents from before there were several name none, and keep their hash.
        #[serde(default, skip_serializing_if = "Shape::is_exponential")]
        shape: Shape,
        /// Factor.
        weight: f64,
        /// Normaliser.
        normalize: Normalize,
    },
    /// A list from outside that comes with the request.
    List {
        /// Term name, and name of the list.
        name: String,
        /// Factor.
        weight: f64,
        /// Normaliser.
        normalize: Normalize,
    },
    /// What a model that comes with the request makes of other numbers.
    Model {
        /// Term name, and name of the model.
        name: String,
        /// What it is fed with, in this order: signals of this blend, request signals or attributes.
        features: Vec<String>,
        /// Which version of the model is meant: text for people and for logs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        /// Factor.
        weight: f64,
        /// Normaliser.
        normalize: Normalize,
    },
}

impl SignalSpec {
    /// The term's name.
    pub fn name(&self) -> &str {
        match self {
            SignalSpec::Similarity { name, .. }
            | SignalSpec::Value { name, .. }
            | SignalSpec::Decay { name, .. }
            | SignalSpec::List { name, .. }
            | SignalSpec::Model { name, .. } => name,
        }
    }

    /// The factor.
    pub fn weight(&self) -> f64 {
        match self {
            SignalSpec::Similarity { weight, .. }
            | SignalSpec::Value { weight, .. }
            | SignalSpec::Decay { weight, .. }
            | SignalSpec::List { weight, .. }
            | SignalSpec::Model { weight, .. } => *weight,
        }
    }

    /// The normaliser.
    pub fn normalize(&self) -> &Normalize {
        match self {
            SignalSpec::Similarity { normalize, .. }
            | SignalSpec::Value { normalize, .. }
            | SignalSpec::Decay { normalize, .. }
            | SignalSpec::List { normalize, .. }
            | SignalSpec::Model { normalize, .. } => normalize,
        }
    }

    /// How the Python user wrote this signal: `similarity={"cf": …}` or a keyword of `Blend`.
    fn argument(&self) -> String {
        match self {
            SignalSpec::Similarity {
                space: Some(space), ..
            } => format!("similarity[{space:?}]"),
            SignalSpec::Similarity { .. } => "similarity".into(),
            SignalSpec::Value { name, .. }
            | SignalSpec::Decay { name, .. }
            | SignalSpec::List { name, .. }
            | SignalSpec::Model { name, .. } => name.clone(),
        }
    }
}

/// How a decay falls with the age; the formulas are in `blend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// By the same factor in the same time.
    #[default]
    Exponential,
    /// By the same amount in the same time, down to 0 after two half-lives.
    Linear,
    /// Slowly at first, then fast.
    Gauss,
}

impl Shape {
    fn is_exponential(&self) -> bool {
        *self == Shape::Exponential
    }
}

/// How variety is bought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DiversitySpec {
    /// Maximal marginal relevance.
    Mmr {
        /// 0 for relevance only, 1 for diversity only.
        diversity: f64,
        /// Where items are compared; `None` for the first cosine space, else the first.
        #[serde(default)]
        space: Option<String>,
    },
    /// Determinantal point process.
    Dpp {
        /// 0 for relevance only, 1 for diversity only.
        diversity: f64,
        /// As for `Mmr`.
        #[serde(default)]
        space: Option<String>,
        /// Compared with this many slots above; `None` for all.
        #[serde(default)]
        window: Option<i64>,
    },
    /// Sliding spectrum decomposition.
    Spread {
        /// 0 for relevance only, 1 for diversity only.
        diversity: f64,
        /// Compared with this many slots above.
        window: i64,
        /// As for `Mmr`.
        #[serde(default)]
        space: Option<String>,
    },
    /// Shares of an attribute's values.
    Calibrated {
        /// The attribute.
        attribute: String,
        /// 0 for relevance only, 1 for the target only.
        strength: f64,
        /// Shares by the values' text, whatever they add up to; `None` for those of the first pool.
        #[serde(default)]
        target: Option<BTreeMap<String, f64>>,
    },
}

impl DiversitySpec {
    /// How much it weighs against relevance, from 0 to 1.
    pub(crate) fn strength(&self) -> f64 {
        match self {
            DiversitySpec::Mmr { diversity, .. }
            | DiversitySpec::Dpp { diversity, .. }
            | DiversitySpec::Spread { diversity, .. } => *diversity,
            DiversitySpec::Calibrated { strength, .. } => *strength,
        }
    }

    /// Its kind, as documents have it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            DiversitySpec::Mmr { .. } => "mmr",
            DiversitySpec::Dpp { .. } => "dpp",
            DiversitySpec::Spread { .. } => "spread",
            DiversitySpec::Calibrated { .. } => "calibrated",
        }
    }
}

impl Policy {
    /// Reads and validates a policy document.
    pub fn parse(json: &str) -> Result<Self> {
        let spec: PolicySpec = serde_json::from_str(json)
            .map_err(|error| Error::invalid("policy", format!("a {SCHEMA} document"), error))?;
        Self::new(spec)
    }

    /// Validates a policy.
    pub fn new(mut spec: PolicySpec) -> Result<Self> {
        rules::fill_names(&mut spec.rules);
        validate(&spec)?;
        Self::unchecked(spec)
    }

    /// What is left of a valid policy, which may be no signal at all.
    pub(crate) fn unchecked(spec: PolicySpec) -> Result<Self> {
        let canonical = serde_json_canonicalizer::to_string(&spec)
            .map_err(|error| Error::invalid("policy", "a document that JSON can hold", error))?;
        let hash = hex(&Sha256::digest(canonical.as_bytes()));
        Ok(Policy {
            spec,
            canonical,
            hash,
        })
    }

    /// The document.
    pub fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    /// The blend's signals.
    pub fn signals(&self) -> &[SignalSpec] {
        &self.spec.score.signals
    }

    /// The names of signals and attributes that some part of it reads, sorted; see `without`.
    pub fn reads(&self) -> Vec<&str> {
        super::without::names_read(&self.spec).into_iter().collect()
    }

    /// The document in the canonical form of RFC 8785.
    pub fn canonical_json(&self) -> &str {
        &self.canonical
    }

    /// SHA-256 of the canonical form, in hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// How many candidates a slate of `k` is made from; at least `k`, or an error.
    pub fn pool_size(&self, k: usize) -> Result<usize> {
        match self.spec.candidates {
            None => Ok(k.saturating_mul(10).max(100)),
            Some(candidates) if (candidates as u64) < k as u64 => Err(Error::invalid(
                "candidates",
                format!("at least k = {k}"),
                candidates,
            )),
            Some(candidates) => Ok(usize::try_from(candidates).unwrap_or(usize::MAX)),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn validate(spec: &PolicySpec) -> Result<()> {
    if spec.schema != SCHEMA {
        return Err(Error::invalid(
            "policy",
            format!("schema {SCHEMA:?}"),
            format!("{:?}", spec.schema),
        ));
    }
    if spec
        .candidates
        .is_some_and(|n| !(1..=MAX_INTEGER).contains(&n))
    {
        return Err(Error::invalid(
            "candidates",
            "None, or an integer from 1 to 2^53",
            spec.candidates.unwrap_or_default(),
        ));
    }
    validate_signals(&spec.score.signals)?;
    if let Some(diversity) = &spec.diversity {
        validate_diversity(diversity)?;
    }
    for (attribute, cap) in &spec.caps {
        cap.validate(attribute)?;
    }
    rules::validate(&spec.rules, &spec.score.signals)?;
    match &spec.explore {
        Some(explore) => {
            let soft = |cap: &CapSpec| matches!(cap, CapSpec::Soft(_));
            explore.validate(spec.diversity.is_some() || spec.caps.values().any(soft))?;
            validate_explored(spec)
        }
        None => Ok(()),
    }
}

fn validate_diversity(spec: &DiversitySpec) -> Result<()> {
    match spec {
        DiversitySpec::Mmr { diversity, .. } => unit_interval("diversity", *diversity),
        DiversitySpec::Dpp {
            diversity, window, ..
        } => {
            unit_interval("diversity", *diversity)?;
            window.map_or(Ok(()), slots)
        }
        DiversitySpec::Spread {
            diversity, window, ..
        } => {
            unit_interval("diversity", *diversity)?;
            slots(*window)
        }
        DiversitySpec::Calibrated {
            attribute,
            strength,
            target,
        } => {
            if attribute.is_empty() {
                return Err(Error::invalid("attribute", "a name", "an empty one"));
            }
            unit_interval("strength", *strength)?;
            target.as_ref().map_or(Ok(()), validate_target)
        }
    }
}

/// Shares that a slate can be calibrated to.
pub(crate) fn validate_target(target: &BTreeMap<String, f64>) -> Result<()> {
    for (value, &share) in target {
        if !(0.0..=f64::MAX).contains(&share) {
            return Err(Error::invalid(
                format!("target[{value:?}]"),
                "a finite number of at least 0",
                share,
            ));
        }
    }
    let total: f64 = target.values().sum();
    // The smallest normal number: shares are divided by it.
    if (f64::MIN_POSITIVE..=f64::MAX).contains(&total) {
        return Ok(());
    }
    Err(Error::invalid(
        "target",
        "shares with a sum that is finite and above 0",
        total,
    ))
}

fn slots(window: i64) -> Result<()> {
    if (1..=MAX_INTEGER).contains(&window) {
        Ok(())
    } else {
        Err(Error::invalid(
            "window",
            "an integer from 1 to 2^53",
            window,
        ))
    }
}

fn validate_signals(signals: &[SignalSpec]) -> Result<()> {
    if signals.is_empty() {
        return Err(Error::invalid(
            "score",
            "a Blend of at least one signal",
            "none",
        ));
    }
    let mut names = BTreeSet::new();
    let mut spaces = BTreeSet::new();
    for signal in signals {
        let argument = signal.argument();
        if signal.name().is_empty() {
            return Err(Error::invalid(
                "score",
                "signals with names",
                "an empty name",
            ));
        }
        if !names.insert(signal.name()) {
            return Err(Error::invalid(
                "score",
                "each signal name once",
                format!("{:?} twice", signal.name()),
            ));
        }
        if !signal.weight().is_finite() {
            return Err(Error::invalid(argument, "a finite weight", signal.weight()));
        }
        signal.normalize().validate(&argument)?;
        match signal {
            SignalSpec::Similarity { space, .. } => {
                if !spaces.insert(space.as_deref()) {
                    return Err(Error::invalid(
                        "similarity",
                        "each space once",
                        match space {
                            Some(space) => format!("{space:?} twice"),
                            None => "two similarities without a space".into(),
                        },
                    ));
                }
            }
            SignalSpec::Decay { half_life_us, .. } => {
                if !(1..=MAX_INTEGER).contains(half_life_us) {
                    return Err(Error::invalid(
                        format!("{argument}.half_life"),
                        "more than 0 and at most 2^53 microseconds",
                        format!("{half_life_us} microseconds"),
                    ));
                }
            }
            SignalSpec::Model { features, .. } => validate_features(&argument, features, signals)?,
            SignalSpec::Value { .. } | SignalSpec::List { .. } => {}
        }
    }
    Ok(())
}

fn unit_interval(argument: &str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(Error::invalid(argument, "a number from 0 to 1", value))
    }
}
