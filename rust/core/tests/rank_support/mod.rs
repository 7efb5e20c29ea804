//! Small builders that the ranking tests share.
#![allow(dead_code)] // each test file uses its own selection

pub mod chi;
pub mod shop;

use std::sync::Arc;

use perso_core::column::{Column, ColumnType, Value};
use perso_core::ids::Ids;
use perso_core::metric::Metric;
use perso_core::rank::{
    rank, Candidates, Eligibility, Policy, Request, Signals, Slate, Source, SpaceInfo, Where,
};
use serde_json::{json, Value as Json};

/// A column from values.
pub fn column(kind: ColumnType, values: impl IntoIterator<Item = Value>) -> Column {
    let mut column = Column::new(kind);
    for value in values {
        column.push("test", value).unwrap();
    }
    column
}

pub fn floats(values: &[Option<f64>]) -> Column {
    column(
        ColumnType::Float,
        values.iter().map(|v| v.map_or(Value::Null, Value::Float)),
    )
}

pub fn lists(values: &[Vec<&str>]) -> Column {
    column(
        ColumnType::StrList,
        values
            .iter()
            .map(|v| Value::StrList(v.iter().map(|&s| s.into()).collect())),
    )
}

pub fn texts(values: &[&str]) -> Column {
    column(
        ColumnType::Str,
        values.iter().map(|&v| Value::Str(v.into())),
    )
}

pub fn times(values: &[Option<i64>]) -> Column {
    column(
        ColumnType::Time,
        values.iter().map(|v| v.map_or(Value::Null, Value::Time)),
    )
}

pub fn space(name: &str, dim: usize, metric: Metric) -> SpaceInfo {
    SpaceInfo {
        name: name.into(),
        dim,
        metric,
    }
}

/// A policy from its JSON without the schema.
pub fn policy(mut spec: Json) -> Arc<Policy> {
    spec["schema"] = json!("perso_core.policy/1");
    Arc::new(Policy::parse(&spec.to_string()).unwrap())
}

/// A request for every item.
pub fn request(source: &dyn Source, user: Option<Vec<(&str, Vec<f32>)>>, k: usize) -> Request {
    Request {
        user: user.map(|user| {
            user.into_iter()
                .map(|(s, v)| (s.to_string(), v.into()))
                .collect()
        }),
        k,
        eligible: Eligibility::all(source.ids()),
        signals: Arc::new(Signals::new()),
        at: 0,
        seed: 7,
        request_id: "r-1".into(),
        target: None,
        pins: Default::default(),
        allow: None,
        budget_us: None,
        route: None,
    }
}

pub fn eligible(source: &dyn Source, filter: Where<'_>, exclude: Option<&Ids>) -> Eligibility {
    Eligibility::new(source.ids(), filter, exclude).unwrap()
}

pub fn int_ids(slate: &Slate) -> Vec<i64> {
    match &slate.ids {
        Ids::Int(ids) => ids.clone(),
        Ids::Str(_) => panic!("the test uses integer ids"),
    }
}

pub fn ranked(source: &dyn Source, policy: &Arc<Policy>, request: &Request) -> Slate {
    rank(source, policy, request).unwrap()
}

/// Candidates with ids 0.., one space, and columns.
pub fn items(dim: usize, vectors: Vec<f32>, columns: Vec<(String, Column)>) -> Candidates {
    let n = vectors.len() / dim;
    Candidates::new(
        Ids::Int((0..n as i64).collect()),
        vec![(space("content", dim, Metric::Cosine), vectors)],
        None,
        columns,
    )
    .unwrap()
}

/// A deterministic stream of numbers in [-1, 1), unrelated to the library's own.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> f64 {
        // SplitMix64 (Steele, Lea and Flood, 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    pub fn vector(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next() as f32).collect()
    }
}

/// Cosine in float64, written without the library.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&x, &y)| f64::from(x) * f64::from(y))
            .sum()
    };
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms == 0.0 {
        0.0
    } else {
        dot(a, b) / norms
    }
}
