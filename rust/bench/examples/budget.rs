//! Predicted beside measured microseconds of `rank`, over shapes of catalogs and policies: what the prices of budgets were
//! fitted to, and how well they hold.
//!
//! `cargo run --release -p perso-bench --example budget -- FOLDER [rounds] [FILTER]` builds what it needs in the folder and keeps it
//! there. Each line is a catalog (rows x components, storage, metric), a policy and `k`: the medians of the stages (by the
//! wall clock) and of the whole (by processor time), what is predicted, and their ratio.

use std::path::PathBuf;
use std::sync::Arc;

use perso_core::catalog::{Catalog, Upsert};
use perso_core::column::{ColumnType, Value};
use perso_core::ids::Ids;
use perso_core::metric::{Dtype, Metric};
use perso_core::rank::{self, Eligibility, Policy, Request, Signals, Slate, Source};
use perso_core::vectors::Spec;
use serde_json::{json, Value as Json};

#[path = "../src/clock.rs"]
mod clock;
#[allow(dead_code)]
#[path = "../src/data.rs"]
mod data;

/// Catalogs: rows, components, storage, metric.
const SHAPES: [(usize, usize, Dtype, Metric); 7] = [
    (2_000, 64, Dtype::F32, Metric::Cosine),
    (10_000, 128, Dtype::I8, Metric::Cosine),
    (20_000, 128, Dtype::I8, Metric::Cosine),
    (20_000, 384, Dtype::I8, Metric::Cosine),
    (60_000, 128, Dtype::I8, Metric::Cosine),
    (60_000, 96, Dtype::F32, Metric::Cosine),
    (60_000, 64, Dtype::F32, Metric::Ip),
];

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn open(folder: &std::path::Path, shape: (usize, usize, Dtype, Metric)) -> (Catalog, Vec<f32>) {
    let (rows, dim, dtype, metric) = shape;
    let name = format!(
        "{rows}-{dim}-{}-{}.catalog",
        dtype.as_str(),
        metric.as_str()
    );
    let path = folder.join(name);
    if !path.exists() {
        let made = data::vectors(rows, dim, metric);
        let mut numbers = data::Numbers::new(3);
        let popularity = (0..rows).map(|_| Value::Float(f64::from(numbers.unit())));
        let popularity = popularity.collect();
        let published = (0..rows).map(|_| Value::Time(-(numbers.below(90 * 86_400) as i64)));
        let published = published.collect();
        let genre = (0..rows).map(|_| Value::Str(format!("g{}", numbers.below(24)).into()));
        let genre = genre.collect();
        let upsert = Upsert {
            ids: Ids::Int((0..rows as i64).collect()),
            vectors: vec![("content".into(), made.items)],
            attributes: vec![
                ("popularity".into(), ColumnType::Float, popularity),
                ("published".into(), ColumnType::Time, published),
                ("genre".into(), ColumnType::Str, genre),
            ],
        };
        let space = Spec::new(dim, metric, dtype);
        let mut catalog = Catalog::new(vec![("content".into(), space)]).unwrap();
        catalog.upsert(upsert, -1, &|_, _| true).unwrap();
        catalog.save(&path, &|_, _| true).unwrap();
    }
    let queries = data::vectors(0, dim, metric).queries;
    (Catalog::open(&path, false).unwrap(), queries)
}

/// What searches take, whole and narrowed, and how much of the exact answer they find.
fn searches(label: &str, catalog: &Catalog, queries: &[f32], dim: usize, rounds: usize) {
    let all = Eligibility::all(catalog.id_map()).rows;
    let source: &dyn Source = catalog;
    for n in [40, 100, 500, 1000] {
        for parts in [16, 12, 8] {
            let (mut taken, mut found) = (Vec::new(), 0);
            for i in 0..rounds + 3 {
                let query = &queries[(i % data::QUERIES) * dim..][..dim];
                let start = clock::now();
                let got = source.retrieve_narrowed(0, query, n, &all, parts).unwrap();
                let us = (clock::now() - start) as f64 / 1e3;
                if i < 3 {
                    continue;
                }
                taken.push(us);
                let mut scores = vec![0.0; all.len()];
                let rows: Vec<u32> = all.iter().collect();
                source.similarity(0, query, &rows, &mut scores).unwrap();
                scores.sort_unstable_by(|a, b| b.total_cmp(a));
                found += got
                    .hits
                    .iter()
                    .filter(|hit| hit.score >= scores[n - 1])
                    .count();
            }
            let us = median(taken);
            let outlook = source.outlook(0, n, all.len(), parts);
            println!(
                "search {label:<18} n={n:<5} parts={parts:<3} ef={:<5} recall {:.3} | {us:>8.1} {:>9.1} {:>6.2}",
                outlook.ef.map_or("-".into(), |ef| ef.to_string()),
                found as f64 / (rounds * n) as f64,
                outlook.ns / 1e3,
                outlook.ns / 1e3 / us,
            );
        }
    }
}

fn policies() -> Vec<(&'static str, Json)> {
    let similarity =
        json!({"kind": "similarity", "name": "similarity", "weight": 1.0, "normalize": "minmax"});
    let popularity =
        json!({"kind": "value", "name": "popularity", "weight": 0.2, "normalize": "rank"});
    let fresh = json!({"kind": "decay", "name": "fresh", "attribute": "published",
        "half_life_us": 86400000000i64, "weight": 0.3, "normalize": "none"});
    let of = |signals: &[&Json], more: Json| {
        let mut policy = json!({"schema": "perso_core.policy/1", "score": {"signals": signals}});
        for (key, value) in more.as_object().unwrap() {
            policy[key] = value.clone();
        }
        policy
    };
    vec![
        ("similarity", of(&[&similarity], json!({}))),
        (
            "blend",
            of(
                &[&similarity, &popularity, &fresh],
                json!({"caps": {"genre": 3}}),
            ),
        ),
        (
            "mmr",
            of(
                &[&similarity, &popularity, &fresh],
                json!({"diversity": {"kind": "mmr", "diversity": 0.3}, "caps": {"genre": 3},
                       "explore": {"kind": "epsilon_greedy", "epsilon": 0.1}}),
            ),
        ),
        (
            "dpp",
            of(
                &[&similarity],
                json!({"diversity": {"kind": "dpp", "diversity": 0.3}}),
            ),
        ),
        (
            "spread",
            of(
                &[&similarity],
                json!({"diversity": {"kind": "spread", "diversity": 0.3, "window": 8}}),
            ),
        ),
        (
            "calibrated",
            of(
                &[&similarity],
                json!({"diversity": {"kind": "calibrated", "attribute": "genre", "strength": 0.3}}),
            ),
        ),
        (
            "softmax",
            of(
                &[&similarity],
                json!({"diversity": {"kind": "mmr", "diversity": 0.3},
                       "explore": {"kind": "softmax", "temperature": 0.1}}),
            ),
        ),
        (
            "plackett_luce",
            of(
                &[&similarity],
                json!({"explore": {"kind": "plackett_luce", "temperature": 0.1}}),
            ),
        ),
    ]
}

fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let folder = PathBuf::from(&given[0]);
    let rounds: usize = given.get(1).map_or(30, |n| n.parse().unwrap());
    let filter = given.get(2).cloned().unwrap_or_default();
    println!(
        "{:<22} {:<14} {:>4} {:>3} {:>7} {:>9} {:>8} {:>8} {:>8} | {:>8} {:>9} {:>6}",
        "catalog",
        "policy",
        "pool",
        "k",
        "path",
        "retrieve",
        "score",
        "divers",
        "explore",
        "cpu us",
        "predicted",
        "ratio"
    );
    for shape in SHAPES {
        let (rows, dim, dtype, metric) = shape;
        let label = format!("{rows}x{dim} {} {}", dtype.as_str(), metric.as_str());
        if !label.contains(&filter) {
            continue;
        }
        let (catalog, queries) = open(&folder, shape);
        searches(&label, &catalog, &queries, dim, rounds);
        for (name, mut document) in policies() {
            for (pool, k) in [(100, 10), (500, 20), (500, 50), (1000, 20)] {
                document["candidates"] = json!(pool);
                let policy = Arc::new(Policy::parse(&document.to_string()).unwrap());
                for user in [true, false] {
                    if !user && name != "blend" {
                        continue;
                    }
                    let request = |i: usize| Request {
                        user: user.then(|| {
                            let at = (i % data::QUERIES) * dim;
                            vec![("content".into(), queries[at..at + dim].to_vec().into())]
                        }),
                        k,
                        eligible: Eligibility::all(catalog.id_map()),
                        signals: Arc::new(Signals::new()),
                        at: 0,
                        seed: 7,
                        request_id: format!("r-{i}"),
                        target: None,
                        pins: Default::default(),
                        allow: None,
                        budget_us: Some(1e12),
                        route: None,
                    };
                    let mut slates: Vec<(f64, Slate)> = Vec::new();
                    for i in 0..rounds + 3 {
                        let request = request(i);
                        let start = clock::now();
                        let slate = rank::rank(&catalog, &policy, &request).unwrap();
                        let us = (clock::now() - start) as f64 / 1e3;
                        if i >= 3 {
                            slates.push((us, slate));
                        }
                    }
                    let stage = |of: &dyn Fn(&Slate) -> f64| {
                        median(slates.iter().map(|(_, slate)| of(slate)).collect())
                    };
                    let us = median(slates.iter().map(|(us, _)| *us).collect());
                    let first = &slates[0].1;
                    let predicted = first.asked.budget.as_ref().unwrap().whole_us;
                    println!(
                        "{label:<22} {name:<14} {pool:>4} {k:>3} {:>10} {:>6.1} {:>8.1} {:>8.1} {:>8.1} | {us:>8.1} {predicted:>9.1} {:>6.2}",
                        first.path.as_str(),
                        stage(&|s| s.timings.retrieve),
                        stage(&|s| s.timings.score),
                        stage(&|s| s.timings.diversify),
                        stage(&|s| s.timings.explore),
                        predicted / us,
                    );
                }
            }
        }
    }
}
