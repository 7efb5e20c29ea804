//! Two policies for one request, and a recorded slate without some names: each slate is that of a call of its own.

mod rank_support;

use std::sync::Arc;

use perso_core::ids::Ids;
use perso_core::metric::Metric;
use perso_core::rank::{
    counterfactual, rank, rank_beside, rank_many_beside, record_json, replay, Candidates, Request,
    Signals, Slate, Source, UserVectors,
};
use rank_support::*;
use serde_json::json;

const N: usize = 40;

fn source() -> Candidates {
    let mut noise = Noise(9);
    let some: Vec<Option<f64>> = noise
        .vector(N)
        .iter()
        .map(|&x| Some(f64::from(x)))
        .collect();
    Candidates::new(
        Ids::Int((0..N as i64).collect()),
        vec![
            (space("cf", 2, Metric::Ip), noise.vector(2 * N)),
            (space("content", 3, Metric::Cosine), noise.vector(3 * N)),
        ],
        None,
        vec![("popularity".into(), floats(&some))],
    )
    .unwrap()
}

fn similarity(space: &str) -> serde_json::Value {
    json!({"name": "similarity", "kind": "similarity", "space": space, "weight": 1.0, "normalize": "minmax"})
}

fn value(name: &str) -> serde_json::Value {
    json!({"name": name, "kind": "value", "weight": 0.5, "normalize": "minmax"})
}

fn of(signals: serde_json::Value) -> serde_json::Value {
    let explore = json!({"kind": "epsilon_greedy", "epsilon": 0.5});
    json!({"score": {"signals": signals}, "explore": explore})
}

fn clicks(source: &Candidates) -> Arc<Signals> {
    let mut signals = Signals::new();
    let values = (0..N).map(|i| Some((i * 7 % 11) as f64));
    signals.insert_live("clicks", source.ids(), values).unwrap();
    Arc::new(signals)
}

fn asked(source: &Candidates, spaces: &[&str], seed: u64) -> Request {
    let vectors = [("cf", vec![1.0, -0.5]), ("content", vec![0.3, 1.0, -2.0])];
    let user = vectors.iter().filter(|(name, _)| spaces.contains(name));
    let user: Vec<_> = user
        .map(|(name, vector)| (name.to_string(), vector.clone().into()))
        .collect();
    let mut asked = request(source, None, 6);
    asked.user = (!user.is_empty()).then_some(user);
    asked.seed = seed;
    asked
}

fn text(slate: &Slate, source: &Candidates) -> String {
    record_json(slate, source, UserVectors::Included).unwrap()
}

#[test]
fn both_are_what_each_makes_alone() {
    let source = source();
    let first = policy(of(json!([similarity("cf"), value("popularity")])));
    let second = policy(of(json!([similarity("content"), value("clicks")])));
    let both: Vec<Request> = (0..20)
        .map(|seed| Request {
            signals: clicks(&source),
            ..asked(&source, &["cf", "content"], seed)
        })
        .collect();
    let pairs = rank_many_beside(&source, &first, &second, &both, 3).unwrap();
    let mut differ = 0;
    for (seed, (request, (slate, shadow))) in both.iter().zip(&pairs).enumerate() {
        let again = rank_beside(&source, &first, &second, request).unwrap();
        let one = rank(&source, &first, &asked(&source, &["cf"], seed as u64)).unwrap();
        let other = Request {
            signals: clicks(&source),
            ..asked(&source, &["content"], seed as u64)
        };
        let other = rank(&source, &second, &other).unwrap();
        for (found, wanted) in [
            (slate, &one),
            (shadow, &other),
            (&again.0, &one),
            (&again.1, &other),
        ] {
            assert_eq!(text(found, &source), text(wanted, &source));
        }
        differ += usize::from(slate.rows != shadow.rows);
    }
    assert!(differ > 15);
    assert!(
        rank(&source, &first, &both[0]).is_err(),
        "alone it is refused"
    );
}

#[test]
fn what_neither_uses_is_refused() {
    let source = source();
    let plain = policy(of(json!([similarity("cf")])));
    let other = policy(of(json!([value("popularity")])));
    let refused = |request: &Request| {
        let refused = rank_beside(&source, &plain, &other, request);
        refused.expect_err("it is of no use").to_string()
    };
    let error = refused(&asked(&source, &["cf", "content"], 1));
    assert!(
        error.starts_with("user: expected vectors for spaces"),
        "{error}"
    );
    let with = Request {
        signals: clicks(&source),
        ..asked(&source, &["cf"], 1)
    };
    assert!(refused(&with).starts_with("signals: "));
    let bad = policy(of(json!([similarity("content")])));
    let error = rank_beside(&source, &plain, &bad, &asked(&source, &["cf"], 1)).unwrap_err();
    assert!(error
        .to_string()
        .starts_with("shadow: user: expected a vector"));
}

#[test]
fn a_counterfactual_is_the_call_without_what_is_masked() {
    let source = source();
    // Everything is in the pool, so a call of its own has the same one.
    let whole = policy(of(json!([
        similarity("cf"),
        value("popularity"),
        value("clicks")
    ])));
    let left = policy(of(json!([value("clicks")])));
    let mask = ["popularity".to_string(), "similarity".to_string()];
    let mut changed = 0;
    for seed in 0..20 {
        let request = Request {
            signals: clicks(&source),
            ..asked(&source, &["cf"], seed)
        };
        let slate = rank(&source, &whole, &request).unwrap();
        let record = text(&slate, &source);
        let (served, masked) = counterfactual(&record, &source, None, &mask).unwrap();
        assert_eq!(text(&served, &source), record);
        let alone = Request {
            signals: clicks(&source),
            ..asked(&source, &[], seed)
        };
        let alone = rank(&source, &left, &alone).unwrap();
        assert_eq!(masked.rows, alone.rows);
        assert_eq!(masked.scores, alone.scores);
        assert_eq!(masked.propensities(), alone.propensities());
        assert_eq!(masked.policy.hash(), left.hash());
        let again = replay(&text(&masked, &source), &source, None).unwrap();
        assert_eq!(again.rows, masked.rows);
        changed += usize::from(masked.rows != served.rows);
    }
    assert!(changed > 15);
    assert_eq!(whole.reads(), ["clicks", "popularity", "similarity"]);
}
