//! A small shop that the tests of the border share: catalogs, a policy, a request, and what the core
//! says to them without any border.
#![allow(dead_code)] // each test file uses its own selection

pub mod build;
pub mod calls;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use perso_core::catalog::{Catalog, Upsert};
use perso_core::column::{ColumnType, Value};
use perso_core::ids::{ByRow, Ids};
use perso_core::metric::{Dtype, Metric};
use perso_core::rank::{self, Eligibility, Policy, Request, Signals, UserVectors, Where};
use perso_core::vectors::{Ask, Spec};

pub const ITEMS: usize = 200;
pub const CONTENT_DIM: usize = 8;
pub const CF_DIM: usize = 4;

/// Every part of a policy.
pub const POLICY: &str = r#"{
    "schema": "perso_core.policy/1",
    "candidates": 60,
    "score": {"signals": [
        {"kind": "similarity", "name": "similarity.content", "space": "content", "weight": 1.0,
         "normalize": "minmax"},
        {"kind": "similarity", "name": "similarity.cf", "space": "cf", "weight": 0.5,
         "normalize": "zscore"},
        {"kind": "value", "name": "popularity", "weight": 0.2, "normalize": "rank"},
        {"kind": "decay", "name": "freshness", "attribute": "published",
         "half_life_us": 259200000000, "weight": 0.3, "normalize": "none"}
    ]},
    "diversity": {"kind": "mmr", "diversity": 0.3, "space": "content"},
    "caps": {"genre": 3},
    "explore": {"kind": "epsilon_greedy", "epsilon": 0.3}
}"#;

/// A policy that is about nothing but what everybody likes.
pub const POPULAR: &str = r#"{
    "schema": "perso_core.policy/1",
    "score": {"signals": [
        {"kind": "value", "name": "popularity", "weight": 1.0, "normalize": "none"}
    ]}
}"#;

pub const AT: i64 = 1_700_000_000_000_000;
pub const SEED: u64 = u64::MAX - 6;
pub const CONTENT: [f32; CONTENT_DIM] = [0.1, -0.7, 0.3, 1e-3, 0.5, 0.25, -1.5, 16777217.0 / 1e8];
pub const CF: [f32; CF_DIM] = [0.9, -0.2, 0.3333333, 2.0];

/// The request of the tests, as JSON. Its floats are Rust's shortest decimals.
pub fn request_json() -> String {
    format!(
        r#"{{"k": 10, "at": {AT}, "seed": {SEED}, "request_id": "küche-1",
             "user": {{"cf": {CF:?}, "content": {CONTENT:?}}},
             "exclude": {:?}, "where": {:?}}}"#,
        excluded(),
        only()
    )
}

/// The last one is in no catalog.
pub fn excluded() -> Vec<i64> {
    vec![id(3), id(5), id(8), 4]
}

pub fn only() -> Vec<i64> {
    (0..ITEMS).filter(|i| i % 9 != 0).map(id).collect()
}

/// Ids on both sides of zero, and beyond what a double holds.
pub fn id(i: usize) -> i64 {
    (i as i64 - 100) * 90_071_992_547_409_931
}

/// SplitMix64 (Steele, Lea and Flood, 2014), for vectors.
fn noise(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// A catalog of [`ITEMS`] items with these ids.
pub fn catalog(ids: Ids) -> Catalog {
    let mut catalog = Catalog::new(vec![
        (
            "content".into(),
            Spec::new(CONTENT_DIM, Metric::Cosine, Dtype::I8),
        ),
        ("cf".into(), Spec::new(CF_DIM, Metric::Ip, Dtype::F32)),
    ])
    .unwrap();
    let mut state = 11;
    let mut numbers = |n: usize| (0..n).map(|_| noise(&mut state)).collect::<Vec<f32>>();
    let upsert = Upsert {
        ids,
        vectors: vec![
            ("content".into(), numbers(ITEMS * CONTENT_DIM)),
            ("cf".into(), numbers(ITEMS * CF_DIM)),
        ],
        attributes: vec![
            (
                "popularity".into(),
                ColumnType::Float,
                (0..ITEMS)
                    .map(|i| Value::Float((i * 37 % 101) as f64))
                    .collect(),
            ),
            (
                "published".into(),
                ColumnType::Time,
                (0..ITEMS)
                    .map(|i| Value::Time(AT - i as i64 * 3_600_000_000))
                    .collect(),
            ),
            (
                "genre".into(),
                ColumnType::StrList,
                (0..ITEMS)
                    .map(|i| Value::StrList(vec![format!("g{}", i % 5).into()]))
                    .collect(),
            ),
        ],
    };
    catalog.upsert(upsert, 1, &|_, _| true).unwrap();
    // A dead row, so that rows and items are not the same thing.
    let gone = match catalog.id_map().by_row() {
        ByRow::Int(_) => Ids::Int(vec![id(0)]),
        ByRow::Str(_) => Ids::Str(vec![text_id(0)]),
    };
    catalog.remove(&gone).unwrap();
    catalog
}

pub fn int_catalog() -> Catalog {
    catalog(Ids::Int((0..ITEMS).map(id).collect()))
}

pub fn text_id(i: usize) -> Box<str> {
    format!("sku-{i}").into()
}

pub fn text_catalog() -> Catalog {
    catalog(Ids::Str((0..ITEMS).map(text_id).collect()))
}

pub fn save(catalog: &Catalog, folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    catalog.save(&path, &|_, _| true).unwrap();
    path
}

/// What the core searches for the same query.
pub fn hits_of_core(catalog: &Catalog, k: usize) -> Vec<(i64, u32)> {
    let eligible = catalog.eligible(Where::All, None).unwrap();
    let ask = Ask {
        k,
        ef: None,
        eligible: eligible.as_ref(),
        exact: true,
    };
    let space = catalog.space("content").unwrap();
    let answers = catalog.search(space, &CONTENT, ask, 1).unwrap();
    let rows = answers[0].0.iter().map(|hit| hit.row);
    let Ids::Int(ids) = catalog.id_map().ids_of(rows) else {
        panic!("the catalog has integer ids")
    };
    let bits = answers[0].0.iter().map(|hit| hit.score.to_bits());
    ids.into_iter().zip(bits).collect()
}

/// The core's record for [`request_json`] and [`POLICY`].
pub fn record_of_core(catalog: &Catalog) -> String {
    let request = Request {
        user: Some(vec![
            ("content".into(), CONTENT.to_vec().into()),
            ("cf".into(), CF.to_vec().into()),
        ]),
        k: 10,
        eligible: Eligibility::new(
            catalog.id_map(),
            Where::Ids(&Ids::Int(only())),
            Some(&Ids::Int(excluded())),
        )
        .unwrap(),
        signals: Arc::new(Signals::new()),
        at: AT,
        seed: SEED,
        request_id: "küche-1".into(),
        target: None,
        pins: Default::default(),
        allow: None,
        budget_us: None,
        route: None,
    };
    let policy = Arc::new(Policy::parse(POLICY).unwrap());
    let slate = rank::rank(catalog, &policy, &request).unwrap();
    assert_eq!(slate.len(), 10);
    rank::record_json(&slate, catalog, UserVectors::Included).unwrap()
}
