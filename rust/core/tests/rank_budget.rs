//! Budgets: what is given up falls in with what is given, and the slate is that of the policy so lowered.

mod rank_support;

use perso_core::rank::{
    rank, record_json, replay, Candidates, Lowered, Request, Slate, UserVectors,
};
use rank_support::{items, policy, request, Noise};
use serde_json::{json, Value};

const DIM: usize = 8;

fn source() -> Candidates {
    let mut noise = Noise(5);
    items(
        DIM,
        (0..600 * DIM).map(|_| noise.next() as f32).collect(),
        vec![],
    )
}

fn spec(candidates: usize, diversity: Value) -> Value {
    json!({
        "candidates": candidates,
        "score": {"signals": [{"kind": "similarity", "name": "similarity", "weight": 1.0,
                               "normalize": "minmax"}]},
        "diversity": diversity,
        "explore": {"kind": "epsilon_greedy", "epsilon": 0.3},
    })
}

fn asked(source: &Candidates, budget_us: Option<f64>) -> Request {
    let user = vec![("content", (0..DIM).map(|i| i as f32 - 3.0).collect())];
    Request {
        budget_us,
        ..request(source, Some(user), 10)
    }
}

/// The pool, and whether items are compared.
fn kept(slate: &Slate) -> (usize, bool) {
    let (mut pool, mut diversity) = (400, true);
    for lowered in &slate.asked.budget.as_ref().unwrap().lowered {
        match lowered {
            Lowered::Candidates { to, .. } => pool = *to as usize,
            Lowered::Diversity { .. } => diversity = false,
            Lowered::Ef { .. } => panic!("candidates are not walked"),
        }
    }
    (pool, diversity)
}

#[test]
fn less_time_gives_up_more_and_the_slate_is_that_of_the_lowered_policy() {
    let source = source();
    for kind in [
        json!({"kind": "mmr", "diversity": 0.4}),
        json!({"kind": "dpp", "diversity": 0.4}),
        json!({"kind": "spread", "diversity": 0.4, "window": 3}),
    ] {
        let whole = policy(spec(400, kind.clone()));
        let enough = rank(&source, &whole, &asked(&source, Some(1e9))).unwrap();
        let most = enough.asked.budget.as_ref().unwrap().whole_us;
        assert!(enough.given_up().is_empty());
        let mut before = (400, true);
        let mut seen = Vec::new();
        for step in 0..60 {
            let us = most * (1.0 - f64::from(step) / 60.0);
            let slate = rank(&source, &whole, &asked(&source, Some(us))).unwrap();
            let budget = slate.asked.budget.clone().unwrap();
            let now = kept(&slate);
            assert_eq!(budget.whole_us, most);
            assert_eq!(budget.is_met(), budget.planned_us <= us);
            assert!(budget.is_met() || now == (40, false), "{budget:?}");
            // Diversity never comes back; while it is as it was, the pool only falls.
            assert!(now.1 <= before.1 && (now.1 != before.1 || now.0 <= before.0));
            let diversity = if now.1 { kind.clone() } else { Value::Null };
            let lowered = policy(spec(now.0, diversity));
            let plain = rank(&source, &lowered, &asked(&source, None)).unwrap();
            assert_eq!(slate.ids, plain.ids);
            assert_eq!(slate.scores, plain.scores);
            assert_eq!(slate.propensities(), plain.propensities());
            let record = record_json(&slate, &source, UserVectors::Included).unwrap();
            let again = replay(&record, &source, None).unwrap();
            assert_eq!(again.asked.budget, Some(budget));
            assert_eq!(
                record_json(&again, &source, UserVectors::Included).unwrap(),
                record
            );
            seen.push(now);
            before = now;
        }
        assert!(
            seen.iter().any(|now| *now != (400, true) && now.1),
            "the pool goes first"
        );
        assert!(
            seen.iter().any(|now| !now.1 && now.0 > 40),
            "what diversity saved goes back"
        );
    }
}

#[test]
fn what_is_no_time_is_refused() {
    let source = source();
    let whole = policy(spec(400, Value::Null));
    for us in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = rank(&source, &whole, &asked(&source, Some(us))).unwrap_err();
        let expected = "budget_us: expected a finite number of more than 0, or None, got";
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
