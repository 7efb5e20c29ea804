//! Items and policies that the tests of exploration share.

use perso_core::column::{ColumnType, Value as Attribute};
use perso_core::ids::Ids;
use perso_core::metric::Metric;
use perso_core::rank::Candidates;
use serde_json::{json, Value};

use super::{column, floats, space, texts, Noise};

/// Items with a quality, a shelf that a cap counts, a flag, and what is known of their worth. `order`
/// says in which order they are handed over.
pub fn shop(order: &[usize]) -> Candidates {
    let mut noise = Noise(77);
    let n = order.len();
    let quality: Vec<f64> = (0..n).map(|_| noise.next()).collect();
    let vectors: Vec<Vec<f32>> = (0..n).map(|_| noise.vector(3)).collect();
    let pick = |values: &[f64]| floats(&order.iter().map(|&i| Some(values[i])).collect::<Vec<_>>());
    let of = |f: &dyn Fn(usize) -> f64| (0..n).map(f).collect::<Vec<f64>>();
    Candidates::new(
        Ids::Int(order.iter().map(|&i| i as i64).collect()),
        vec![(
            space("content", 3, Metric::Cosine),
            order.iter().flat_map(|&i| vectors[i].clone()).collect(),
        )],
        None,
        vec![
            ("quality".into(), pick(&quality)),
            (
                "shelf".into(),
                texts(
                    &order
                        .iter()
                        .map(|&i| ["x", "y", "z"][i % 3])
                        .collect::<Vec<_>>(),
                ),
            ),
            (
                "fresh".into(),
                column(
                    ColumnType::Bool,
                    order.iter().map(|&i| Attribute::Bool(i % 2 == 0)),
                ),
            ),
            ("clicks".into(), pick(&of(&|i| (i * i % 7) as f64))),
            ("skips".into(), pick(&of(&|i| (3 + i % 5) as f64))),
            ("mean".into(), pick(&of(&|i| (i % 3) as f64 * 0.3))),
            ("std".into(), pick(&of(&|i| 0.1 + (i % 4) as f64 * 0.2))),
        ],
    )
    .unwrap()
}

pub fn straight(n: usize) -> Candidates {
    shop(&(0..n).collect::<Vec<_>>())
}

/// The kinds whose probabilities are exact.
pub fn exact_kinds() -> Vec<Value> {
    let slots = json!({"slots": [0, 2], "only": null});
    let only = json!({"slots": null, "only": {"fresh": true}});
    let both = json!({"slots": [1, 2], "only": {"shelf": "x", "fresh": true}});
    let gaussian = json!({"kind": "gaussian", "mean": "mean", "std": "std", "prior": null});
    vec![
        json!(null),
        json!({"kind": "epsilon_greedy", "epsilon": 0.6}),
        json!({"kind": "epsilon_greedy", "epsilon": 0.6, "per": "slate"}),
        json!({"kind": "epsilon_greedy", "epsilon": 1.0, "per": "slate"}),
        json!({"kind": "epsilon_greedy", "epsilon": 0.0, "per": "slate"}),
        json!({"kind": "epsilon_greedy", "epsilon": 0.6, "scope": slots}),
        json!({"kind": "epsilon_greedy", "epsilon": 0.6, "per": "slate", "scope": slots}),
        json!({"kind": "epsilon_greedy", "epsilon": 0.6, "per": "slate", "scope": only}),
        json!({"kind": "softmax", "temperature": 0.5}),
        json!({"kind": "softmax", "temperature": 1e-300}),
        json!({"kind": "softmax", "temperature": 1e300, "scope": only}),
        json!({"kind": "softmax", "temperature": 0.5, "scope": slots}),
        json!({"kind": "plackett_luce", "temperature": 0.7}),
        json!({"kind": "plackett_luce", "temperature": 0.7, "scope": both}),
        json!({"kind": "ucb", "posterior": gaussian, "weight": 1.0, "replace": false, "c": 1.5}),
    ]
}

pub fn thompson(posterior: Value, scope: Option<Value>) -> Value {
    let mut spec = json!({"kind": "thompson_sampling", "posterior": posterior, "weight": 1.0,
        "replace": false, "draws": 64});
    if let Some(scope) = scope {
        spec["scope"] = scope;
    }
    spec
}

pub fn estimated_kinds() -> Vec<Value> {
    let beta = json!({"kind": "beta", "alpha": "clicks", "beta": "skips", "prior": [1.0, 1.0]});
    let gaussian = json!({"kind": "gaussian", "mean": "mean", "std": "std", "prior": null});
    vec![
        thompson(beta, None),
        thompson(
            gaussian,
            Some(json!({"slots": [1], "only": {"fresh": true}})),
        ),
    ]
}

pub fn plan_of(explore: &Value, diversity: f64) -> Value {
    json!({
        "score": {"signals": [
            {"name": "quality", "kind": "value", "weight": 1.0, "normalize": "minmax"}]},
        "diversity": {"kind": "mmr", "diversity": diversity},
        "caps": {"shelf": 2},
        "explore": explore,
    })
}
