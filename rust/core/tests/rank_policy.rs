//! Policies: what is accepted, what is refused and how, and what the hash stands for.

use perso_core::rank::Policy;
use serde_json::{json, Value};

fn full() -> Value {
    json!({
        "schema": "perso_core.policy/1",
        "candidates": 500,
        "score": {"signals": [
            {"name": "similarity.cf", "kind": "similarity", "space": "cf", "weight": 0.7, "normalize": "minmax"},
            {"name": "popularity", "kind": "value", "weight": 0.2, "normalize": "rank"},
            {"name": "freshness", "kind": "decay", "attribute": "published_at",
             "half_life_us": 259_200_000_000_i64, "weight": 0.3, "normalize": "none"},
        ]},
        "diversity": {"kind": "mmr", "diversity": 0.3, "space": null},
        "caps": {"genre": 3},
        "explore": {"kind": "epsilon_greedy", "epsilon": 0.1},
    })
}

fn parse(value: &Value) -> Result<Policy, String> {
    Policy::parse(&value.to_string()).map_err(|error| error.to_string())
}

#[test]
fn the_canonical_form_is_stable() {
    // The hash names policies in records that outlive a version: it may change with the schema only.
    let policy = parse(&full()).unwrap();
    assert_eq!(
        policy.canonical_json(),
        "{\"candidates\":500,\"caps\":{\"genre\":3},\"diversity\":{\"diversity\":0.3,\"kind\":\"mmr\",\
         \"space\":null},\"explore\":{\"epsilon\":0.1,\"kind\":\"epsilon_greedy\"},\
         \"schema\":\"perso_core.policy/1\",\"score\":{\"signals\":[{\"kind\":\"similarity\",\
         \"name\":\"similarity.cf\",\"normalize\":\"minmax\",\"space\":\"cf\",\"weight\":0.7},\
         {\"kind\":\"value\",\"name\":\"popularity\",\"normalize\":\"rank\",\"weight\":0.2},\
         {\"attribute\":\"published_at\",\"half_life_us\":259200000000,\"kind\":\"decay\",\
         \"name\":\"freshness\",\"normalize\":\"none\",\"weight\":0.3}]}}"
    );
    assert_eq!(policy.hash(), GOLDEN);
    let again = Policy::parse(policy.canonical_json()).unwrap();
    assert_eq!(again.spec(), policy.spec());
    assert_eq!(again.hash(), policy.hash());
}

const GOLDEN: &str = "4d068a50268453c7ff6689a2c59d6fb32b6cce0cebcda9251bb953fa692594aa";

#[test]
fn spelling_does_not_change_the_hash_and_meaning_does() {
    let short = json!({
        "score": {"signals": [{"normalize": "none", "weight": 1, "kind": "similarity", "name": "similarity"}]},
        "schema": "perso_core.policy/1",
    });
    let long = json!({
        "schema": "perso_core.policy/1", "candidates": null, "caps": {}, "diversity": null, "explore": null,
        "score": {"signals": [
            {"name": "similarity", "kind": "similarity", "space": null, "weight": 1.0, "normalize": "none"}]},
    });
    let hash = parse(&short).unwrap().hash().to_string();
    assert_eq!(hash, parse(&long).unwrap().hash());
    let mut other = long;
    other["score"]["signals"][0]["weight"] = json!(1.0000000000000002);
    assert_ne!(hash, parse(&other).unwrap().hash());
}

#[test]
fn wrong_policies_are_refused_by_argument() {
    type Edit = fn(&mut Value);
    let cases: [(&str, Edit); 24] = [
        ("policy: expected schema", |p| {
            p["schema"] = json!("perso_core.policy/2")
        }),
        ("policy", |p| p["surprise"] = json!(1)),
        ("policy", |p| {
            p["score"]["signals"][0]["surprise"] = json!(1)
        }),
        ("policy", |p| {
            p["score"]["signals"][0]["kind"] = json!("magic")
        }),
        ("policy", |p| {
            p["score"]["signals"][0]["normalize"] = json!("softmax")
        }),
        ("candidates: expected", |p| p["candidates"] = json!(0)),
        ("candidates: expected", |p| p["candidates"] = json!(-3)),
        ("score: expected", |p| p["score"]["signals"] = json!([])),
        ("score: expected each signal name once", |p| {
            p["score"]["signals"][2]["name"] = json!("popularity");
        }),
        ("score: expected signals with names", |p| {
            p["score"]["signals"][1]["name"] = json!("")
        }),
        ("similarity: expected each space once", |p| {
            p["score"]["signals"][1] = json!({"name": "similarity.cf2", "kind": "similarity",
                "space": "cf", "weight": 0.7, "normalize": "minmax"});
        }),
        ("policy", |p| {
            p["score"]["signals"][0]["weight"] = json!(null)
        }),
        ("freshness.half_life: expected", |p| {
            p["score"]["signals"][2]["half_life_us"] = json!(0)
        }),
        ("freshness.half_life: expected", |p| {
            p["score"]["signals"][2]["half_life_us"] = json!(-1)
        }),
        ("freshness.half_life: expected", |p| {
            p["score"]["signals"][2]["half_life_us"] = json!(1_i64 << 60);
        }),
        ("diversity: expected a number from 0 to 1, got 1.5", |p| {
            p["diversity"]["diversity"] = json!(1.5);
        }),
        ("diversity: expected", |p| {
            p["diversity"]["diversity"] = json!(-0.1)
        }),
        ("policy", |p| p["diversity"]["kind"] = json!("dpp?")),
        (
            "caps[\"genre\"]: expected an integer of at least 1, got 0",
            |p| p["caps"]["genre"] = json!(0),
        ),
        ("caps[\"genre\"]: expected", |p| {
            p["caps"]["genre"] = json!(-1)
        }),
        ("policy", |p| p["caps"]["genre"] = json!(1.5)),
        ("epsilon: expected a number from 0 to 1, got 2", |p| {
            p["explore"]["epsilon"] = json!(2)
        }),
        ("epsilon: expected", |p| {
            p["explore"]["epsilon"] = json!(-0.5)
        }),
        ("policy", |p| p["explore"] = json!("epsilon_greedy")),
    ];
    for (start, edit) in cases {
        let mut policy = full();
        edit(&mut policy);
        assert_ne!(policy, full(), "{start}: the case changes nothing");
        let error = parse(&policy).expect_err(start);
        assert!(
            error.starts_with(start),
            "expected {start:?}…, got {error:?}"
        );
    }
    assert!(Policy::parse("{").is_err());
    assert!(Policy::parse("[]").is_err());
}

#[test]
fn weights_that_json_cannot_write_are_refused() {
    use perso_core::rank::policy::{Normalize, PolicySpec, ScoreSpec, SignalSpec, SCHEMA};
    for weight in [f64::NAN, f64::INFINITY] {
        let error = Policy::new(PolicySpec {
            schema: SCHEMA.into(),
            candidates: None,
            score: ScoreSpec {
                signals: vec![SignalSpec::Value {
                    name: "popularity".into(),
                    weight,
                    normalize: Normalize::None,
                }],
            },
            diversity: None,
            caps: Default::default(),
            rules: Default::default(),
            explore: None,
        })
        .unwrap_err();
        assert!(error
            .to_string()
            .starts_with("popularity: expected a finite weight"));
    }
}

#[test]
fn the_pool_is_never_smaller_than_the_slate() {
    let policy = parse(&full()).unwrap();
    assert_eq!(policy.pool_size(500).unwrap(), 500);
    assert_eq!(
        policy.pool_size(501).unwrap_err().to_string(),
        "candidates: expected at least k = 501, got 500"
    );
    let mut open = full();
    open["candidates"] = json!(null);
    let policy = parse(&open).unwrap();
    assert_eq!(policy.pool_size(3).unwrap(), 100);
    assert_eq!(policy.pool_size(20).unwrap(), 200);
    assert_eq!(policy.pool_size(usize::MAX).unwrap(), usize::MAX);
}
