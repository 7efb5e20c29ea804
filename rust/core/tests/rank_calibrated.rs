//! Calibrated slates against the divergence written from its definition, by the values' texts.

mod rank_support;

use std::collections::BTreeMap;

use perso_core::column::{ColumnType, Value};
use perso_core::rank::diversity::{Calibrated, Diversity};
use perso_core::rank::{record_json, replay, UserVectors};
use proptest::prelude::*;
use rank_support::*;
use serde_json::json;

const GENRES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Shares of some lists, over the lists that have a value.
fn mix(lists: &[Vec<&'static str>]) -> BTreeMap<String, f64> {
    let with_value = lists.iter().filter(|list| !list.is_empty()).count() as f64;
    let mut out = BTreeMap::new();
    for list in lists {
        for value in list {
            *out.entry(value.to_string()).or_insert(0.0) += 1.0 / list.len() as f64 / with_value;
        }
    }
    out
}

fn divergence(target: &BTreeMap<String, f64>, slate: &[&Vec<&'static str>]) -> f64 {
    let total: f64 = target.values().sum();
    target
        .iter()
        .filter(|(_, &share)| share > 0.0)
        .map(|(value, share)| {
            let p = share / total;
            let given: f64 = slate
                .iter()
                .filter(|list| list.iter().any(|v| v == value))
                .map(|list| 1.0 / list.len() as f64)
                .sum();
            let q = 0.99 * given / slate.len() as f64 + 0.01 * p;
            p * (p / q).ln()
        })
        .sum()
}

proptest! {
    #[test]
    fn values_are_the_definition(
        picks in prop::collection::vec(prop::collection::btree_set(0usize..5, 0..4), 1..50),
        late in 0usize..20,
        seed in any::<u64>(),
        strength in 0.01..=1.0f64,
        given in prop::option::of(prop::collection::btree_map("[a-g]", 0.1..9.0f64, 1..6)),
        explored in prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 15),
    ) {
        let values: Vec<Vec<&'static str>> = picks
            .iter()
            .map(|pick| pick.iter().map(|&g| GENRES[g]).collect())
            .collect();
        let n = values.len();
        let first = n - late.min(n - 1);
        let column = lists(&values);
        let mut noise = Noise(seed);
        let scores: Vec<f64> = (0..n).map(|_| noise.next()).collect();
        let target = given.clone().unwrap_or_else(|| mix(&values[..first]));
        let mut diversity = Calibrated::new(&column, strength, given.as_ref()).unwrap();
        let rows: Vec<u32> = (0..n as u32).collect();
        diversity.extend(&rows[..first], &scores[..first], 0);
        let low = scores[..first].iter().copied().reduce(f64::min).unwrap();
        let span = scores[..first].iter().copied().reduce(f64::max).unwrap() - low;
        let mut open = rows[..first].to_vec();
        let sort = |open: &mut Vec<u32>| {
            open.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b)));
        };
        sort(&mut open);
        let mut slate: Vec<&Vec<&'static str>> = Vec::new();
        for (t, explored) in explored.iter().enumerate() {
            if t == 3 {
                diversity.extend(&rows, &scores, first);
                open.extend_from_slice(&rows[first..]);
                sort(&mut open);
            }
            if open.is_empty() {
                break;
            }
            let expected: Vec<f64> = open
                .iter()
                .map(|&i| {
                    let with: Vec<_> = slate.iter().copied().chain([&values[i as usize]]).collect();
                    let rel = if span > 0.0 { (scores[i as usize] - low) / span } else { 0.0 };
                    (1.0 - strength) * rel - strength * divergence(&target, &with)
                })
                .collect();
            for (&i, &value) in open.iter().zip(&expected) {
                prop_assert!((diversity.value(i) - value).abs() < 1e-12);
            }
            let best = diversity.best(&open);
            let top = expected.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(expected[best] > top - 1e-12);
            let pick = open.remove(explored.map_or(best, |i| i.index(open.len())));
            diversity.chosen(pick);
            slate.push(&values[pick as usize]);
        }
    }
}

#[test]
fn shares_are_met() {
    let genres: Vec<&str> = (0..40).map(|i| if i < 30 { "x" } else { "y" }).collect();
    let vectors = (0..40).flat_map(|i| [40.0 - i as f32, 10.0]).collect();
    let source = items(2, vectors, vec![("genre".into(), texts(&genres))]);
    let asked = request(&source, Some(vec![("content", vec![1.0, 0.0])]), 10);
    let shown = |diversity: serde_json::Value| {
        let policy = policy(json!({
            "candidates": 40,
            "score": {"signals": [{"name": "similarity", "kind": "similarity", "weight": 1.0, "normalize": "minmax"}]},
            "diversity": diversity,
        }));
        let slate = ranked(&source, &policy, &asked);
        let record = record_json(&slate, &source, UserVectors::Included).unwrap();
        assert_eq!(replay(&record, &source, None).unwrap().ids, slate.ids);
        int_ids(&slate).iter().filter(|&&id| id >= 30).count()
    };
    assert_eq!(shown(json!(null)), 0);
    let with = |strength: f64, target: serde_json::Value| {
        shown(
            json!({"kind": "calibrated", "attribute": "genre", "strength": strength, "target": target}),
        )
    };
    assert_eq!(with(0.0, json!({"y": 1})), 0);
    assert_eq!(with(1.0, json!({"y": 1})), 10);
    assert_eq!(with(1.0, json!({"y": 2, "x": 3})), 4);
    assert_eq!(with(1.0, json!({"y": 0.5, "z": 0.5})), 10);
    // The pool is one quarter y, and a tenth of it is 2.5: the nearer divergence decides.
    assert!((2..=3).contains(&with(1.0, json!(null))));
}

#[test]
fn targets_of_every_countable_type() {
    let ints = column(ColumnType::Int, [3, -1].map(Value::Int));
    let target = |names: &[&str]| names.iter().map(|&n| (n.to_string(), 1.0)).collect();
    assert!(Calibrated::new(&ints, 1.0, Some(&target(&["3", "-1", "77"]))).is_ok());
    for wrong in ["three", "+3", "03", "3.0", ""] {
        let error = Calibrated::new(&ints, 1.0, Some(&target(&[wrong])))
            .err()
            .unwrap();
        assert!(
            error.to_string().starts_with(&format!("target[{wrong:?}]")),
            "{error}"
        );
    }
    let bools = column(ColumnType::Bool, [true, false].map(Value::Bool));
    assert!(Calibrated::new(&bools, 1.0, Some(&target(&["true"]))).is_ok());
    assert!(Calibrated::new(&bools, 1.0, Some(&target(&["1"]))).is_err());
}
