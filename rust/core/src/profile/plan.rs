//! What profiles learn and how fast they forget: a frozen document with a hash, as a policy is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::rank::policy::hex;

/// The document's schema name.
pub const SCHEMA: &str = "perso_core.profile/1";

/// Numbers of RFC 8785 are doubles.
const MAX_INTEGER: i64 = 1 << 53;
/// The most that an event weighs, and its inverse the least: sums of any number of events stay finite.
pub(crate) const HEAVIEST: f64 = 1e6;
/// Kinds of events in a plan.
const MOST_KINDS: usize = 1000;

/// A validated plan.
#[derive(Clone, Debug)]
pub struct Plan {
    spec: PlanSpec,
    canonical: String,
    digest: [u8; 32],
    hash: String,
}

/// The document itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanSpec {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The space that vectors are of.
    pub space: String,
    /// The weight of each kind of event; negative for what turns away.
    pub kinds: BTreeMap<String, f64>,
    /// Half-life of the short term, in microseconds.
    pub half_life_us: i64,
    /// Half-life of the long term, in microseconds; `None` for one that never forgets.
    #[serde(default)]
    pub long_half_life_us: Option<i64>,
    /// The evidence at which half of the vector is learned.
    pub prior_strength: f64,
    /// The most that the short term has of the vector.
    pub short_weight: f64,
}

impl Plan {
    /// Reads and validates a plan document.
    pub fn parse(json: &str) -> Result<Self> {
        let spec: PlanSpec = serde_json::from_str(json)
            .map_err(|error| Error::invalid("plan", format!("a {SCHEMA} document"), error))?;
        Self::new(spec)
    }

    /// Validates a plan.
    pub fn new(spec: PlanSpec) -> Result<Self> {
        validate(&spec)?;
        let canonical = serde_json_canonicalizer::to_string(&spec)
            .map_err(|error| Error::invalid("plan", "a document that JSON can hold", error))?;
        let digest: [u8; 32] = Sha256::digest(canonical.as_bytes()).into();
        Ok(Plan {
            spec,
            canonical,
            hash: hex(&digest),
            digest,
        })
    }

    /// The document.
    pub fn spec(&self) -> &PlanSpec {
        &self.spec
    }

    /// The document in the canonical form of RFC 8785.
    pub fn canonical_json(&self) -> &str {
        &self.canonical
    }

    /// SHA-256 of the canonical form, in hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The same as bytes.
    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// A kind's place in the order of names, and its weight.
    pub(crate) fn kind(&self, name: &str) -> Result<(usize, f64)> {
        self.spec
            .kinds
            .iter()
            .enumerate()
            .find(|(_, (kind, _))| *kind == name)
            .map(|(i, (_, &weight))| (i, weight))
            .ok_or_else(|| {
                let names = self.spec.kinds.keys();
                let names: Vec<String> = names.map(|kind| format!("{kind:?}")).collect();
                let expected = format!("one of the plan's kinds ({})", names.join(", "));
                Error::invalid("kind", expected, format!("{name:?}"))
            })
    }
}

fn validate(spec: &PlanSpec) -> Result<()> {
    if spec.schema != SCHEMA {
        let got = format!("{:?}", spec.schema);
        return Err(Error::invalid("plan", format!("schema {SCHEMA:?}"), got));
    }
    if spec.space.is_empty() {
        return Err(Error::invalid("space", "a name", "an empty one"));
    }
    if !(1..=MOST_KINDS).contains(&spec.kinds.len()) {
        let expected = format!("1 to {MOST_KINDS} kinds");
        return Err(Error::invalid("kinds", expected, spec.kinds.len()));
    }
    for (kind, weight) in &spec.kinds {
        if kind.is_empty() {
            return Err(Error::invalid("kinds", "names", "an empty one"));
        }
        if !(1.0 / HEAVIEST..=HEAVIEST).contains(&weight.abs()) {
            return Err(Error::invalid(
                format!("kinds[{kind:?}]"),
                "a weight from 1e-6 to 1e6, or the negative of one",
                weight,
            ));
        }
    }
    duration("half_life", 1, spec.half_life_us)?;
    if let Some(long) = spec.long_half_life_us {
        duration("long_half_life", spec.half_life_us, long)?;
    }
    if !(1.0 / HEAVIEST..=1e12).contains(&spec.prior_strength) {
        return Err(Error::invalid(
            "prior_strength",
            "a number from 1e-6 to 1e12",
            spec.prior_strength,
        ));
    }
    if !(0.0..=1.0).contains(&spec.short_weight) {
        let got = spec.short_weight;
        return Err(Error::invalid("short_weight", "a number from 0 to 1", got));
    }
    Ok(())
}

fn duration(argument: &str, least: i64, us: i64) -> Result<()> {
    if (least..=MAX_INTEGER).contains(&us) {
        return Ok(());
    }
    Err(Error::invalid(
        argument,
        if argument == "half_life" {
            "more than 0 and at most 2^53 microseconds"
        } else {
            "at least half_life and at most 2^53 microseconds, or None"
        },
        format!("{us} microseconds"),
    ))
}
