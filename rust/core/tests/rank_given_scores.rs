//! Candidates that bring scores and vectors: a similarity is one, also where the scores retrieved the pool. Found by fuzzing
//! policies: with the scores' weight below 0 they alone retrieved, and were taken for similarities.

use std::sync::Arc;

use perso_core::ids::Ids;
use perso_core::metric::Metric;
use perso_core::rank::{
    rank, record_json, replay, Candidates, Eligibility, Policy, Request, Signals, Source,
    SpaceInfo, UserVectors,
};
use serde_json::json;

#[test]
fn scores_that_retrieve_are_no_similarities() {
    let space = SpaceInfo {
        name: "a".into(),
        dim: 2,
        metric: Metric::Ip,
    };
    let vectors = vec![1.0, 0.0, 0.0, 2.0, 3.0, 1.0, -1.0, 5.0, 0.5, 0.25];
    let scores = vec![7.0, -2.0, 4.0, 1.0, 3.0];
    let source = Candidates::new(
        Ids::Int((10..15).collect()),
        vec![(space, vectors.clone())],
        Some(scores.clone()),
        Default::default(),
    )
    .unwrap();
    let policy = json!({"schema": "perso_core.policy/1", "candidates": 4, "score": {"signals": [
        {"kind": "similarity", "name": "given", "space": null, "weight": -1.0, "normalize": "none"},
        {"kind": "similarity", "name": "near", "space": "a", "weight": 1.0, "normalize": "none"},
    ]}});
    let policy = Arc::new(Policy::parse(&policy.to_string()).unwrap());
    let user = [2.0f32, 1.0];
    let request = Request {
        user: Some(vec![("a".into(), user.to_vec().into())]),
        k: 3,
        eligible: Eligibility::all(source.ids()),
        signals: Arc::new(Signals::new()),
        at: 0,
        seed: 1,
        request_id: "r".into(),
        target: None,
        allow: None,
        budget_us: None,
        route: None,
        pins: Default::default(),
    };
    let slate = rank(&source, &policy, &request).unwrap();
    assert_eq!(slate.len(), 3);
    for (i, &row) in slate.rows.iter().enumerate() {
        let row = row as usize;
        let near = vectors[2 * row] * user[0] + vectors[2 * row + 1] * user[1];
        assert_eq!(slate.terms_of(i), [-scores[row], f64::from(near)]);
    }
    let record = record_json(&slate, &source, UserVectors::Included).unwrap();
    let again = replay(&record, &source, None).unwrap();
    assert_eq!((again.rows, again.scores), (slate.rows, slate.scores));
}
