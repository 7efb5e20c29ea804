//! The decision record: everything needed to audit a slate, or to make it again.
//!
//! A record is one JSON document. Doubles are written so that they read back to the same bits. It
//! holds the pool with its scores, because a graph's answers depend on the history of its insertions
//! and so cannot be asked for again. Its `digest` is SHA-256 over the canonical form (RFC 8785) of
//! the rest, with integers beyond 2^53 as decimal strings, as that RFC advises: it tells a record that
//! was changed by accident. It is no signature.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::ids::{Id, Ids};
use crate::route::{self, Route};

use super::allow::Allow;
use super::budget::Budget;
use super::origin::Origin;
use super::policy::{hex, PolicySpec};
use super::record_text;
pub(crate) use super::record_user::RecordedTaste;
use super::record_withheld::withhold;
use super::request::Target;
use super::slate::Slate;
use super::source::Source;

/// The document's schema name.
pub const SCHEMA: &str = "perso_core.record/1";

/// The `propensity_kind` of an estimate.
pub(crate) const MONTE_CARLO: &str = "monte_carlo";

/// What a record keeps of the user's vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserVectors {
    /// The vectors.
    Included,
    /// Their SHA-256 only; a replay then has to be given the vectors again.
    Hashed,
    /// Nothing of them, and nothing that they or other personal input could be computed from; a replay then has to be
    /// given all of it again. See `record_withheld`.
    Withheld,
}

/// The document.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) schema: String,
    pub(crate) library: String,
    pub(crate) request_id: String,
    pub(crate) seed: u64,
    pub(crate) at: i64,
    pub(crate) k: u64,
    pub(crate) generation: u64,
    pub(crate) content_hash: String,
    pub(crate) policy_hash: String,
    pub(crate) policy: PolicySpec,
    /// What the slate was made from; absent in earlier records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<Origin>,
    /// The personal input that the request allowed; absent where it said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) allow: Option<Allow>,
    /// A keyed hash of the user's key, by which a log is searched; absent where none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_key_hmac: Option<String>,
    /// `withheld` where personal input was left out, with what it could be computed from; absent elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) personal: Option<String>,
    pub(crate) user: Option<BTreeMap<String, RecordedTaste>>,
    pub(crate) user_sha256: Option<BTreeMap<String, String>>,
    pub(crate) eligibility: Eligible,
    /// The request's own target of a calibrated slate; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<Target>,
    /// The request's own pins; absent where there were none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pins: Vec<RecordedPin>,
    /// What a budget came to; absent where none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) budget: Option<Budget>,
    /// Why the slate was made where it was; absent where nothing was said.
    #[serde(
        default,
        deserialize_with = "as_recorded",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) route: Option<Route>,
    pub(crate) path: String,
    /// How much of each outside list was eligible; absent where there was no list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) lists: BTreeMap<String, Listed>,
    /// One entry per retrieval: the first, then each deepening.
    pub(crate) pool: Vec<Step>,
    /// The request's own signals, one value per pool entry; null where there was none.
    pub(crate) signals: BTreeMap<String, Vec<Option<f64>>>,
    pub(crate) terms: Vec<String>,
    pub(crate) choices: Vec<Choice>,
    pub(crate) short_reason: Option<String>,
    /// What pins and minima wanted and could not be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unmet: Vec<String>,
    /// What minima cost, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) prices: BTreeMap<String, f64>,
    #[serde(default)]
    pub(crate) digest: String,
}

/// An item pinned to a slot.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordedPin {
    pub(crate) slot: u64,
    pub(crate) id: RecordId,
}

/// How many items were eligible.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Eligible {
    pub(crate) live: u64,
    pub(crate) filtered: u64,
    pub(crate) excluded: u64,
    /// What the policy hid; absent where that was nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) hidden: u64,
    pub(crate) eligible: u64,
}

/// How much of an outside list was eligible.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    pub(crate) given: u64,
    pub(crate) eligible: u64,
}

/// A route as it is, whether its decision would be the same today or not.
fn as_recorded<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<Route>, D::Error> {
    let recorded: Option<route::Recorded> = Deserialize::deserialize(from)?;
    Ok(recorded.map(route::Recorded::unchecked))
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// One retrieval.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) ids: Vec<RecordId>,
    pub(crate) scores: Vec<f64>,
}

/// An id, as JSON has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum RecordId {
    Int(i64),
    Str(Box<str>),
}

impl From<Id> for RecordId {
    fn from(id: Id) -> Self {
        match id {
            Id::Int(id) => RecordId::Int(id),
            Id::Str(id) => RecordId::Str(id),
        }
    }
}

impl From<&RecordId> for Id {
    fn from(id: &RecordId) -> Self {
        match id {
            RecordId::Int(id) => Id::Int(*id),
            RecordId::Str(id) => Id::Str(id.clone()),
        }
    }
}

/// One slot.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    pub(crate) id: RecordId,
    /// Absent, as its terms are, where personal input is withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) score: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) terms: Option<Vec<f64>>,
    pub(crate) propensity: f64,
    pub(crate) explored: bool,
    pub(crate) greedy: RecordId,
    pub(crate) eligible: u64,
    /// How many eligible entries had a probability that is not 0; absent in earlier records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) support: Option<u64>,
    /// `monte_carlo` where the propensity is an estimate; absent where it is exact, and so are the
    /// number of points it was drawn from and its standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) propensity_kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) draws: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) standard_error: Option<f64>,
}

/// The record of a slate. The source must still be what the slate was made from.
pub fn record_json(slate: &Slate, source: &dyn Source, user: UserVectors) -> Result<String> {
    if source.generation() != slate.generation {
        return Err(Error::Replay(format!(
            "the catalog has changed since the slate was made (generation {}, now {}), so its content \
             can no longer be named; take the record before changing it",
            slate.generation,
            source.generation()
        )));
    }
    record_json_of(slate, &source.content_hash(), user, None)
}

/// The record of a slate whose source had `content_hash` when the slate was made: for callers that
/// noted the hash then, because the source may have changed since. `user_key_hmac` is a keyed hash of
/// whatever names the user outside, in hex: a replay ignores it.
pub fn record_json_of(
    slate: &Slate,
    content_hash: &str,
    user: UserVectors,
    user_key_hmac: Option<&str>,
) -> Result<String> {
    let mut document = document(slate, content_hash.to_owned());
    document.user_key_hmac = user_key_hmac.map(str::to_owned);
    match user {
        UserVectors::Included => {}
        UserVectors::Hashed => document.user = None,
        UserVectors::Withheld => {
            let mut value = to_value(&document)?;
            withhold(&mut value);
            return text_of(value);
        }
    }
    if let Some(text) = record_text::write(&mut document)? {
        return Ok(text);
    }
    plain_text(&document)
}

/// The text of a document with its digest, by the way that holds for every document.
fn plain_text(document: &Document) -> Result<String> {
    text_of(to_value(document)?)
}

/// The same of its fields.
fn text_of(mut value: Value) -> Result<String> {
    let digest = digest(&mut value)?;
    value["digest"] = Value::String(digest);
    serde_json::to_string(&value).map_err(|error| Error::Replay(error.to_string()))
}

/// The document without its digest.
pub(crate) fn document(slate: &Slate, content_hash: String) -> Document {
    let asked = &slate.asked;
    let ids = |ids: &Ids, range: std::ops::Range<usize>| -> Vec<RecordId> {
        range.map(|i| ids.get(i).into()).collect()
    };
    let mut start = 0;
    let pool = slate
        .pool
        .steps
        .iter()
        .map(|&end| {
            let step = Step {
                ids: ids(&slate.pool.ids, start..end),
                scores: slate.pool.scores[start..end].to_vec(),
            };
            start = end;
            step
        })
        .collect();
    Document {
        schema: SCHEMA.into(),
        library: env!("CARGO_PKG_VERSION").into(),
        request_id: asked.request_id.clone(),
        seed: asked.seed,
        at: asked.at,
        k: asked.k as u64,
        generation: slate.generation,
        content_hash: slate.recorded_content.clone().unwrap_or(content_hash),
        policy_hash: slate.policy.hash().into(),
        policy: slate.policy.spec().clone(),
        source: slate.origin.clone(),
        allow: asked.allow,
        user_key_hmac: None,
        personal: None,
        user: asked.user.as_ref().map(|user| {
            user.iter()
                .map(|(space, taste)| (space.clone(), RecordedTaste::new(taste)))
                .collect()
        }),
        user_sha256: asked.user.as_ref().map(|user| {
            user.iter()
                .map(|(space, taste)| (space.clone(), taste.hash()))
                .collect()
        }),
        eligibility: Eligible {
            live: asked.counts.live as u64,
            filtered: asked.counts.filtered as u64,
            excluded: asked.counts.excluded as u64,
            hidden: asked.counts.hidden as u64,
            eligible: asked.counts.eligible as u64,
        },
        target: asked.target.clone(),
        pins: asked
            .pins
            .iter()
            .map(|(&slot, id)| RecordedPin {
                slot: slot as u64,
                id: id.clone().into(),
            })
            .collect(),
        budget: asked.budget.clone(),
        route: asked.route.as_deref().cloned(),
        path: slate.path.as_str().into(),
        lists: asked
            .lists
            .iter()
            .map(|(name, list)| {
                let listed = Listed {
                    given: list.given as u64,
                    eligible: list.eligible as u64,
                };
                (name.clone(), listed)
            })
            .collect(),
        pool,
        signals: slate
            .pool
            .signals
            .iter()
            .map(|(name, values)| {
                let values = values.iter().map(|v| Some(*v).filter(|v| !v.is_nan()));
                (name.clone(), values.collect())
            })
            .collect(),
        terms: slate.term_names.clone(),
        choices: (0..slate.len())
            .map(|i| Choice {
                id: slate.ids.get(i).into(),
                score: Some(slate.scores[i]),
                terms: Some(slate.terms_of(i).to_vec()),
                propensity: slate.slots[i].propensity,
                explored: slate.slots[i].explored,
                greedy: slate.greedy_id(i).into(),
                eligible: u64::from(slate.slots[i].eligible),
                support: Some(u64::from(slate.slots[i].support)),
                propensity_kind: slate.slots[i].estimate.map(|_| MONTE_CARLO.into()),
                draws: slate.slots[i].estimate.map(|e| u64::from(e.draws)),
                standard_error: slate.slots[i].estimate.map(|e| e.standard_error),
            })
            .collect(),
        short_reason: slate.short_reason.clone(),
        unmet: slate.outcome.unmet.clone(),
        prices: slate.outcome.prices.clone(),
        digest: String::new(),
    }
}

pub(crate) fn to_value(document: &Document) -> Result<Value> {
    serde_json::to_value(document).map_err(|error| Error::Replay(error.to_string()))
}

/// The digest of a record, which is taken without the field that holds it. `value` loses that field.
pub(crate) fn digest(value: &mut Value) -> Result<String> {
    if let Value::Object(fields) = value {
        fields.remove("digest");
    }
    let canonical = serde_json_canonicalizer::to_vec(&large_as_text(value))
        .map_err(|error| Error::Replay(format!("it has no canonical form: {error}")))?;
    Ok(hex(&Sha256::digest(canonical)))
}

/// Integers that a double may not hold become strings.
fn large_as_text(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let large = match (number.as_u64(), number.as_i64()) {
                (Some(unsigned), _) => unsigned > 1 << 53,
                (None, Some(signed)) => signed < -(1 << 53),
                (None, None) => false,
            };
            if large {
                Value::String(number.to_string())
            } else {
                value.clone()
            }
        }
        Value::Array(items) => Value::Array(items.iter().map(large_as_text).collect()),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), large_as_text(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document with these numbers in all places.
    fn document(numbers: &[f64], seed: u64, id: i64, name: &str) -> Document {
        let policy = r#"{"schema":"perso_core.policy/1","score":{"signals":[
            {"kind":"value","name":"x","weight":1e-7,"normalize":"none"}]}}"#;
        Document {
            schema: SCHEMA.into(),
            library: "0".into(),
            request_id: "r \"quoted\" \u{7} \u{e9} \u{1f600}".into(),
            seed,
            at: id,
            k: 3,
            generation: seed,
            content_hash: "c".into(),
            policy_hash: "p".into(),
            policy: serde_json::from_str(policy).unwrap(),
            source: None,
            allow: None,
            user_key_hmac: None,
            personal: None,
            user: Some(BTreeMap::from([(
                name.into(),
                RecordedTaste::Vector(numbers.to_vec()),
            )])),
            user_sha256: None,
            eligibility: Eligible {
                live: 1,
                filtered: 0,
                excluded: 0,
                hidden: 0,
                eligible: 1,
            },
            target: None,
            pins: vec![],
            budget: None,
            route: None,
            path: "exact".into(),
            lists: BTreeMap::new(),
            pool: vec![
                Step {
                    ids: vec![RecordId::Int(id), RecordId::Str("a\nb".into())],
                    scores: numbers.to_vec(),
                },
                Step {
                    ids: vec![],
                    scores: vec![],
                },
            ],
            signals: BTreeMap::from([(name.into(), numbers.iter().map(|x| Some(*x)).collect())]),
            terms: vec![name.into()],
            choices: vec![],
            short_reason: None,
            unmet: vec![],
            prices: BTreeMap::new(),
            digest: String::new(),
        }
    }

    #[test]
    fn both_ways_write_the_same_text() {
        let mut numbers = vec![
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.1,
            1e-6,
            9.999e-7,
            1e-7,
            1e15,
            1e16,
            1e17,
            123456789012345680.0,
            1e20,
            1e21,
            1.5e300,
            5e-324,
            f64::MAX,
            1.0 / 3.0,
            0.5,
            100.0,
            1e-5,
            2f64.powi(53),
            4.0e-6,
        ];
        let mut state = 1u64;
        for _ in 0..20_000 {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let x = f64::from_bits(state ^ (state >> 29));
            numbers.extend(x.is_finite().then_some(x));
            // Of the size of scores, and as short as a float.
            let unit = (state >> 11) as f64 / 2f64.powi(53);
            numbers.extend([
                unit,
                1e-4 * unit,
                (unit as f32).to_string().parse().unwrap(),
            ]);
        }
        for (seed, id) in [
            (7, 1),
            (u64::MAX, i64::MIN),
            ((1 << 53) + 1, i64::MAX),
            (1 << 53, -5),
        ] {
            let mut ascii = document(&numbers, seed, id, "x");
            let plain = plain_text(&ascii).unwrap();
            assert_eq!(record_text::write(&mut ascii).unwrap(), Some(plain));
        }
        let mut other = document(&numbers, 1, 1, "\u{e9}");
        assert_eq!(record_text::write(&mut other).unwrap(), None);
        assert_eq!(
            other.pool.len(),
            2,
            "nothing is taken from a document that is not written"
        );
    }
}
