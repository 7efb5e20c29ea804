//! Decision records: what they hold, and that a changed one is refused with a reason.

mod rank_support;

use std::sync::Arc;

use perso_core::column::{ColumnType, Value as Attribute};
use perso_core::error::Error;
use perso_core::ids::Ids;
use perso_core::metric::Metric;
use perso_core::rank::{
    record_json, replay, Candidates, Request, Signals, Slate, Source, Taste, User, UserVectors,
};
use proptest::prelude::*;
use rank_support::*;
use serde_json::{json, Value};

const N: usize = 80;

fn source_of(popularity: f64, text: bool) -> Candidates {
    let mut noise = Noise(9);
    let ids = if text {
        Ids::Str((0..N).map(|i| format!("item {i} \"ü\"").into()).collect())
    } else {
        // Beyond what a double can hold.
        Ids::Int((0..N as i64).map(|i| i64::MAX - 3 * i).collect())
    };
    let genres = ["drama", "comedy", "noir"];
    Candidates::new(
        ids,
        vec![(space("content", 8, Metric::Cosine), noise.vector(8 * N))],
        None,
        vec![
            (
                "popularity".into(),
                floats(
                    &(0..N)
                        .map(|i| Some(popularity + i as f64 % 7.0))
                        .collect::<Vec<_>>(),
                ),
            ),
            (
                "genre".into(),
                lists(&(0..N).map(|i| vec![genres[i % 3]]).collect::<Vec<_>>()),
            ),
            (
                "adult".into(),
                column(
                    ColumnType::Bool,
                    (0..N).map(|i| Attribute::Bool(i % 2 == 0)),
                ),
            ),
        ],
    )
    .unwrap()
}

fn make(source: &Candidates) -> Slate {
    let plan = policy(json!({
        "candidates": 30,
        "score": {"signals": [
            {"name": "similarity", "kind": "similarity", "weight": 1.0, "normalize": "minmax"},
            {"name": "popularity", "kind": "value", "weight": 0.2, "normalize": "rank"},
            {"name": "ctr", "kind": "value", "weight": 0.3, "normalize": "zscore"},
        ]},
        "diversity": {"kind": "mmr", "diversity": 0.3},
        "caps": {"genre": 3},
        "explore": {"kind": "epsilon_greedy", "epsilon": 0.3},
    }));
    let mut noise = Noise(2);
    let mut signals = Signals::new();
    let ctr: Vec<Option<f64>> = (0..N).map(|i| (i % 5 > 0).then(|| noise.next())).collect();
    signals.insert_rows("ctr", N, ctr).unwrap();
    let request = Request {
        signals: Arc::new(signals),
        seed: u64::MAX - 1,
        ..request(source, Some(vec![("content", noise.vector(8))]), 8)
    };
    ranked(source, &plan, &request)
}

fn record_of(source: &Candidates) -> Value {
    let record = record_json(&make(source), source, UserVectors::Included).unwrap();
    serde_json::from_str(&record).unwrap()
}

fn reason(record: &Value, source: &Candidates) -> String {
    match replay(&record.to_string(), source, None) {
        Ok(_) => panic!("the record should be refused"),
        Err(Error::Replay(reason)) => reason,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_record_says_what_was_decided() {
    for text in [false, true] {
        let source = source_of(1.0, text);
        let slate = make(&source);
        let record = record_of(&source);
        assert_eq!(record["schema"], "perso_core.record/1");
        assert_eq!(record["seed"], json!(u64::MAX - 1));
        assert_eq!(record["request_id"], "r-1");
        assert_eq!(record["k"], 8);
        assert_eq!(record["policy_hash"], slate.policy.hash());
        assert_eq!(record["content_hash"], source.content_hash());
        assert_eq!(record["generation"], 0);
        assert_eq!(record["user"]["content"].as_array().unwrap().len(), 8);
        assert_eq!(
            record["eligibility"],
            json!({"live": N, "filtered": 0, "excluded": 0, "eligible": N})
        );
        assert_eq!(record["terms"], json!(["similarity", "popularity", "ctr"]));
        assert_eq!(record["signals"]["ctr"].as_array().unwrap().len(), 30);
        for (t, choice) in record["choices"].as_array().unwrap().iter().enumerate() {
            assert_eq!(
                choice["score"].as_f64().unwrap().to_bits(),
                slate.scores[t].to_bits()
            );
            assert_eq!(
                choice["propensity"].as_f64(),
                Some(slate.slots[t].propensity)
            );
            assert_eq!(choice["terms"].as_array().unwrap().len(), 3);
            assert_eq!(choice["eligible"], slate.slots[t].eligible);
        }
        let again = replay(&record.to_string(), &source, None).unwrap();
        assert_eq!(again.ids, slate.ids);
        assert_eq!(again.slots, slate.slots);
        assert_eq!(again.reasons(), slate.reasons());
        assert_eq!(again.asked.user, slate.asked.user, "every float came back");
    }
}

#[test]
fn a_record_has_a_reasonable_size() {
    // 500 candidates, 20 slots, a user of 384 components.
    let mut noise = Noise(1);
    let source = items(384, noise.vector(384 * 1000), vec![]);
    let plan = policy(json!({"candidates": 500, "score": {"signals": [
        {"name": "similarity", "kind": "similarity", "weight": 1.0, "normalize": "minmax"}]}}));
    let slate = ranked(
        &source,
        &plan,
        &request(&source, Some(vec![("content", noise.vector(384))]), 20),
    );
    let full = record_json(&slate, &source, UserVectors::Included).unwrap();
    let hashed = record_json(&slate, &source, UserVectors::Hashed).unwrap();
    assert!(full.len() < 25_000, "{} bytes", full.len());
    assert!(hashed.len() < 20_000, "{} bytes", hashed.len());
}

#[test]
fn changed_content_is_named() {
    let record = record_of(&source_of(1.0, false));
    let reason = reason(&record, &source_of(2.0, false));
    assert!(
        reason.starts_with("the catalog's content has changed: its hash is "),
        "{reason}"
    );
}

#[test]
fn hashed_vectors_must_be_given_again() {
    let source = source_of(1.0, false);
    let slate = make(&source);
    let record = record_json(&slate, &source, UserVectors::Hashed).unwrap();
    let user = slate.asked.user.clone().unwrap();
    let Taste::Vector(vector) = &user[0].1 else {
        panic!("one vector was given")
    };
    for x in vector {
        assert!(
            !record.contains(&x.to_string()),
            "the record tells the user's vector"
        );
    }
    let again = replay(&record, &source, Some(user.clone())).unwrap();
    assert_eq!(again.slots, slate.slots);
    let refused = |user: Option<User>| replay(&record, &source, user).unwrap_err().to_string();
    assert!(refused(None).contains("it holds only hashes of the user's vectors"));
    let mut other = user.clone();
    let mut moved = vector.clone();
    moved[0] += 1e-6;
    other[0].1 = moved.into();
    assert!(refused(Some(other.clone())).contains("is not the recorded one"));
    assert!(refused(Some(vec![])).contains("with 1 user vectors, not 0"));
    // A record with its vectors takes the same user, and no other.
    let full = record_of(&source).to_string();
    assert!(replay(&full, &source, Some(user)).is_ok());
    assert!(replay(&full, &source, Some(other)).is_err());
}

/// Every leaf of a document, by JSON pointer.
fn leaves(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                leaves(
                    value,
                    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")),
                    out,
                );
            }
        }
        Value::Array(items) => {
            for (i, value) in items.iter().enumerate() {
                leaves(value, format!("{at}/{i}"), out);
            }
        }
        _ => out.push(at),
    }
}

fn nudge(value: &mut Value) {
    *value = match value {
        Value::Number(n) => match (n.as_u64(), n.as_i64(), n.as_f64()) {
            (Some(u), _, _) => json!(u ^ 1),
            (_, Some(i), _) => json!(i ^ 1),
            (_, _, Some(f)) => json!(f64::from_bits(f.to_bits() ^ 1)),
            _ => unreachable!(),
        },
        Value::String(s) => json!(format!("{s}0")),
        Value::Bool(b) => json!(!*b),
        _ => json!(0),
    };
}

#[test]
fn any_changed_leaf_is_noticed() {
    let source = source_of(1.0, false);
    let record = record_of(&source);
    let mut all = Vec::new();
    leaves(&record, String::new(), &mut all);
    assert!(all.len() > 150);
    for leaf in &all {
        let mut changed = record.clone();
        nudge(changed.pointer_mut(leaf).unwrap());
        assert_ne!(changed, record);
        reason(&changed, &source);
    }
    for field in record.as_object().unwrap().keys() {
        let mut changed = record.clone();
        changed.as_object_mut().unwrap().remove(field);
        reason(&changed, &source);
    }
    let mut more = record.clone();
    more["note"] = json!("mine");
    assert!(reason(&more, &source).contains("note"));
}

/// A record whose digest was made to fit again: what was decided is then compared itself.
fn forge(record: &Value, edit: impl Fn(&mut Value)) -> Value {
    let mut forged = record.clone();
    edit(&mut forged);
    forged.as_object_mut().unwrap().remove("digest");
    let canonical = serde_json_canonicalizer::to_vec(&large_as_text(&forged)).unwrap();
    use sha2::Digest;
    let digest = sha2::Sha256::digest(canonical);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    forged["digest"] = json!(digest);
    forged
}

/// The published rule of the digest: integers beyond 2^53 as decimal strings.
fn large_as_text(value: &Value) -> Value {
    match value {
        Value::Number(n)
            if n.as_u64().is_some_and(|u| u > 1 << 53)
                || n.as_i64().is_some_and(|i| i < -(1 << 53)) =>
        {
            json!(n.to_string())
        }
        Value::Array(items) => items.iter().map(large_as_text).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(k, v)| (k.clone(), large_as_text(v)))
            .collect(),
        other => other.clone(),
    }
}

#[test]
fn forged_decisions_do_not_follow_from_their_inputs() {
    let source = source_of(1.0, false);
    let record = record_of(&source);
    // Nothing but the digest protects what nothing follows from; the rest protects itself.
    assert_eq!(
        forge(&record, |_| ()),
        record,
        "the digest is the documented one"
    );
    type Edit = fn(&mut Value);
    let forgeries: [(&str, Edit); 16] = [
        ("record.choices[0].score", |r| {
            r["choices"][0]["score"] = json!(9.0)
        }),
        ("record.choices[1].propensity", |r| {
            r["choices"][1]["propensity"] = json!(0.5)
        }),
        ("record.choices[2].explored", |r| {
            nudge(&mut r["choices"][2]["explored"])
        }),
        ("record.choices[3].eligible", |r| {
            r["choices"][3]["eligible"] = json!(1)
        }),
        ("record.choices[4].id", |r| {
            r["choices"][4]["id"] = r["choices"][0]["id"].clone()
        }),
        ("record.choices[0].terms[1]", |r| {
            nudge(&mut r["choices"][0]["terms"][1])
        }),
        ("record.choices has 7 entries", |r| {
            r["choices"].as_array_mut().unwrap().pop();
        }),
        ("record.pool[0].scores[3]", |r| {
            nudge(&mut r["pool"][0]["scores"][3])
        }),
        ("record.pool[0].ids[0]", |r| {
            r["pool"][0]["ids"].as_array_mut().unwrap().swap(0, 1)
        }),
        ("record.short_reason", |r| {
            r["short_reason"] = json!("bad luck")
        }),
        ("record.terms[0]", |r| r["terms"][0] = json!("magic")),
        ("its policy has hash", |r| {
            r["policy"]["candidates"] = json!(31)
        }),
        ("the catalog's content has changed", |r| {
            r["content_hash"] = json!("00")
        }),
        ("the user's vector for space \"content\" is not", |r| {
            r["user"]["content"][0] = json!(0.5)
        }),
        ("is twice in its pool", |r| {
            r["pool"][0]["ids"][1] = r["pool"][0]["ids"][0].clone()
        }),
        ("of its pool is not there", |r| {
            r["pool"][0]["ids"][1] = json!(5)
        }),
    ];
    for (expected, edit) in forgeries {
        let reason = reason(&forge(&record, edit), &source);
        assert!(
            reason.starts_with(expected) || reason.contains(expected),
            "{expected}: {reason}"
        );
    }
    // Another seed draws other items.
    let reseeded = (0..20).any(|seed| {
        replay(
            &forge(&record, |r| r["seed"] = json!(seed)).to_string(),
            &source,
            None,
        )
        .is_err()
    });
    assert!(reseeded);
    // A later generation with the same content is the same data.
    let mut moved = forge(&record, |r| r["generation"] = json!(7));
    assert!(replay(&moved.to_string(), &source, None).is_ok());
    moved = forge(&moved, |r| r["library"] = json!("99.0"));
    assert!(replay(&moved.to_string(), &source, None).is_ok());
}

#[test]
fn hostile_records_are_refused_in_peace() {
    let source = source_of(1.0, false);
    let record = record_of(&source);
    for text in [
        "",
        "{",
        "null",
        "[]",
        "3",
        "\"x\"",
        "{\"schema\": 3}",
        "{\"schema\": \"other/1\"}",
    ] {
        assert!(
            matches!(replay(text, &source, None), Err(Error::Replay(_))),
            "{text}"
        );
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(replay(&deep, &source, None).is_err());
    type Edit = fn(&mut Value);
    let edits: [Edit; 14] = [
        |r| r["k"] = json!(u64::MAX),
        |r| r["k"] = json!(1_000_000_000_000_u64),
        |r| r["k"] = json!(0),
        |r| r["k"] = json!(-1),
        |r| r["pool"] = json!([]),
        |r| r["pool"] = json!([{"ids": [], "scores": []}]),
        |r| r["pool"][0]["scores"] = json!([]),
        |r| r["signals"] = json!({}),
        |r| r["signals"]["ctr"] = json!([1.0]),
        |r| r["signals"]["other"] = r["signals"]["ctr"].clone(),
        |r| r["user"] = json!({"content": []}),
        |r| r["user"] = json!({"content": [1e300, 0, 0, 0, 0, 0, 0, 0]}),
        |r| r["eligibility"]["eligible"] = json!(u64::MAX),
        |r| r["at"] = json!(i64::MIN),
    ];
    for (i, edit) in edits.iter().enumerate() {
        let forged = forge(&record, edit);
        // Nothing in this policy decays, so another moment gives the same slate; nor does the number
        // of eligible rows enter a full one.
        let harmless = i >= 12;
        assert_eq!(
            replay(&forged.to_string(), &source, None).is_ok(),
            harmless,
            "edit {i}"
        );
    }
}

proptest! {
    #[test]
    fn no_document_makes_a_replay_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4),
        redigest in any::<bool>(),
    ) {
        let source = source_of(1.0, false);
        let mut record = record_of(&source);
        let mut all = Vec::new();
        leaves(&record, String::new(), &mut all);
        let odd = [
            json!(null), json!(-1), json!(1e308), json!(u64::MAX), json!(""), json!([]), json!({}),
            json!([[]]), json!(true), json!(0.1), json!(i64::MIN), record["pool"].clone(),
        ];
        for (leaf, value) in edits {
            if let Some(at) = record.pointer_mut(&all[leaf.index(all.len())]) {
                *at = value.get(&odd).clone();
            }
        }
        if redigest {
            record = forge(&record, |_| ());
        }
        let outcome = replay(&record.to_string(), &source, None);
        prop_assert!(matches!(outcome, Ok(_) | Err(Error::Replay(_))));
    }

    #[test]
    fn floats_of_any_kind_survive_a_record(
        bits in prop::collection::vec(any::<u32>(), 4),
    ) {
        let vector: Vec<f32> = bits
            .iter()
            .map(|&bits| f32::from_bits(bits))
            // Finite, and with a squared length that is.
            .map(|x| if x.abs() < 1e18 { x } else { 1.0 / 3.0 })
            .collect();
        let source = items(4, vec![1.0; 8], vec![]);
        let plan = policy(json!({"score": {"signals": [
            {"name": "similarity", "kind": "similarity", "weight": 1.0, "normalize": "none"}]}}));
        let slate = ranked(&source, &plan, &request(&source, Some(vec![("content", vector.clone())]), 2));
        let record = record_json(&slate, &source, UserVectors::Included).unwrap();
        let again = replay(&record, &source, None).unwrap();
        let Taste::Vector(back) = again.asked.user.unwrap().remove(0).1 else {
            panic!("one vector was recorded")
        };
        for (a, b) in vector.iter().zip(&back) {
            prop_assert_eq!(a.to_bits(), b.to_bits());
        }
    }
}
