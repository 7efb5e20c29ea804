//! The checks of the JSON targets: a policy, a record and a route are refused with a reason, or they work.

use std::sync::{Arc, OnceLock};

use perso_core::catalog::Catalog;
use perso_core::error::Error;
use perso_core::rank::{rank, replay, Candidates, Policy, Source};
use perso_core::route::{decide_json, Route, RoutePlan};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{answers, memory, world};

struct Sources {
    catalog: Catalog,
    plain: Candidates,
    scored: Candidates,
}

fn sources() -> [&'static dyn Source; 3] {
    static SOURCES: OnceLock<Sources> = OnceLock::new();
    let sources = SOURCES.get_or_init(|| Sources {
        catalog: world::catalog(),
        plain: world::candidates(false),
        scored: world::candidates(true),
    });
    [&sources.catalog, &sources.plain, &sources.scored]
}

/// What a document of `len` bytes may make the library hold: a tree of JSON values costs some hundred
/// bytes a value, and `[0,0,…` has one every two bytes; records are held as a tree three times.
fn bound(len: usize) -> usize {
    1024 * len + (1 << 20)
}

/// A policy. True when it was accepted.
pub fn policy(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else {
        return false;
    };
    let parsed = memory::bounded("parsing", bound(text.len()), || Policy::parse(text));
    let policy = match parsed {
        Ok(policy) => Arc::new(policy),
        Err(error) => {
            assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
            return false;
        }
    };
    let again = Policy::parse(policy.canonical_json()).expect("its own canonical form");
    assert_eq!(again.canonical_json(), policy.canonical_json());
    assert_eq!(again.hash(), policy.hash());
    for source in sources() {
        for (k, user) in [(4, true), (100, false)] {
            let request = world::request(source, &policy, k, user);
            if let Ok(slate) = rank(source, &policy, &request) {
                answers::slate_and_record(source, &slate, k.min(source.ids().len()));
            }
        }
    }
    true
}

/// A record: as it is, and with the hashes that it needs to get further. True when it was replayed.
pub fn record(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else {
        return false;
    };
    let mut accepted = false;
    for source in sources() {
        accepted |= replays(text, source);
        if let Some(sealed) = seal(text, source) {
            accepted |= replays(&sealed, source);
        }
    }
    accepted
}

/// A question where to rank, or a decision. True when it was answered or accepted.
pub fn route(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else {
        return false;
    };
    let answers = [
        decide_json(text),
        Route::parse(text).and_then(|r| r.to_json()),
    ];
    let mut accepted = false;
    for answer in answers {
        match answer {
            Ok(document) => {
                let route =
                    Route::parse(&document).expect("what was decided follows from its inputs");
                assert_eq!(route.to_json().expect("a document"), document);
                let plan = RoutePlan::new(route.plan.clone()).expect("its own plan");
                let again = Route::decide(route.inputs.clone(), &plan).expect("its own inputs");
                assert_eq!(again, route);
                accepted = true;
            }
            Err(error) => assert!(matches!(error, Error::Invalid { .. }), "{error:?}"),
        }
    }
    accepted
}

/// What the target starts from.
pub fn route_seeds() -> Vec<Vec<u8>> {
    let question = r#"{"inputs":{"battery":0.1,"network":"wifi","metered":true,"round_trip_ms":80,
        "capsule_age_s":90,"capsule_ttl_s":100,"catalog_age_s":5,"budget_ms":200,"device_ms":4},
        "plan":{"battery_low":0.3,"prefer":"server"}}"#;
    let decision = decide_json(question).expect("a question");
    // A negative zero is written as 0, and once was named in a reason all the same.
    let zero = r#"{"inputs":{"battery":-0.0}}"#;
    [r#"{"inputs":{}}"#, question, &decision, zero]
        .map(|text| text.as_bytes().to_vec())
        .into()
}

fn replays(text: &str, source: &dyn Source) -> bool {
    match memory::bounded("a replay", bound(text.len()), || replay(text, source, None)) {
        Ok(slate) => {
            slate.reasons();
            true
        }
        Err(error) => {
            assert!(matches!(error, Error::Replay(_)), "{error:?}");
            false
        }
    }
}

/// A record with the content hash of a source, the hash of its policy, those of its user's vectors,
/// and its digest.
fn seal(text: &str, source: &dyn Source) -> Option<String> {
    let mut record: Value = serde_json::from_str(text).ok()?;
    let fields = record.as_object_mut()?;
    fields.insert("content_hash".into(), source.content_hash().into());
    if let Some(policy) = fields.get("policy") {
        if let Ok(policy) = Policy::parse(&policy.to_string()) {
            fields.insert("policy_hash".into(), policy.hash().into());
        }
    }
    if let Some(Value::Object(user)) = fields.get("user") {
        let hashes = user.iter().map(|(space, vector)| {
            let mut hash = Sha256::new();
            for x in vector.as_array().into_iter().flatten() {
                let x = x.as_f64().unwrap_or_default() as f32;
                hash.update(x.to_le_bytes());
            }
            (space.clone(), hex(&hash.finalize()).into())
        });
        let hashes = Value::Object(hashes.collect());
        fields.insert("user_sha256".into(), hashes);
    }
    fields.remove("digest");
    let canonical = serde_json_canonicalizer::to_vec(&large_as_text(&record)).ok()?;
    record["digest"] = hex(&Sha256::digest(canonical)).into();
    Some(record.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Integers beyond 2^53 as text, as the digest of a record wants them.
fn large_as_text(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let magnitude = match (number.as_u64(), number.as_i64()) {
                (Some(n), _) => n,
                (None, Some(n)) => n.unsigned_abs(),
                (None, None) => 0,
            };
            if magnitude > 1 << 53 {
                Value::String(number.to_string())
            } else {
                value.clone()
            }
        }
        Value::Array(items) => Value::Array(items.iter().map(large_as_text).collect()),
        Value::Object(fields) => {
            let fields = fields.iter();
            Value::Object(
                fields
                    .map(|(key, value)| (key.clone(), large_as_text(value)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}
