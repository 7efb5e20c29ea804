//! Small things to start from: a catalog, candidates, policies, records, and their files.

use std::sync::Arc;

use perso_core::catalog::{Catalog, Upsert};
use perso_core::column::{Column, ColumnType, Value};
use perso_core::hnsw::{Graph, Params};
use perso_core::ids::Ids;
use perso_core::index::Index;
use perso_core::local::LocalCodes;
use perso_core::metric::{Dtype, Metric};
use perso_core::rank::{
    rank, record_json, Candidates, Eligibility, Policy, Request, Signals, Source, SpaceInfo, User,
    UserVectors,
};
use perso_core::vectors::{Layout, Rescore, Spec, Vectors};
use serde_json::{json, Value as Json};

use crate::container::Sections;
use crate::files::scratch;

/// Items of the catalogs.
const ITEMS: usize = 24;

fn spec(dim: usize, metric: Metric, dtype: Dtype) -> Spec {
    Spec {
        m: 2,
        ef_construction: 8,
        seed: 1,
        ..Spec::new(dim, metric, dtype)
    }
}

/// Numbers in [-1, 1) without a pattern; every seventh row repeats the one before, and row 3 is zero.
fn vectors(rows: usize, dim: usize) -> Vec<f32> {
    let mut out: Vec<f32> = (0..rows * dim)
        .map(|i| ((i * 2_654_435_761) >> 7 & 0xffff) as f32 / 32_768.0 - 1.0)
        .collect();
    for row in (7..rows).step_by(7) {
        out.copy_within((row - 1) * dim..row * dim, row * dim);
    }
    if rows > 3 {
        out[3 * dim..4 * dim].fill(0.0);
    }
    out
}

fn attributes(rows: usize) -> Vec<(String, ColumnType, Vec<Value>)> {
    let column = |value: fn(usize) -> Value| {
        (0..rows)
            .map(|i| if i % 5 == 4 { Value::Null } else { value(i) })
            .collect()
    };
    let genres = |i: usize| {
        let all = ["drama", "noir", "comedy"];
        Value::StrList(all[..i % 4].iter().map(|&genre| genre.into()).collect())
    };
    vec![
        (
            "adult".into(),
            ColumnType::Bool,
            column(|i| Value::Bool(i % 2 == 0)),
        ),
        ("genre".into(), ColumnType::StrList, column(genres)),
        (
            "lang".into(),
            ColumnType::Str,
            column(|i| Value::Str(["en", "dé"][i % 2].into())),
        ),
        (
            "popularity".into(),
            ColumnType::Float,
            column(|i| Value::Float(i as f64 * 0.75 - 3.0)),
        ),
        (
            "published".into(),
            ColumnType::Time,
            column(|i| Value::Time(i as i64 * 86_400_000_000)),
        ),
        (
            "year".into(),
            ColumnType::Int,
            column(|i| Value::Int(1990 + i as i64)),
        ),
    ]
}

fn ids(rows: usize, text: bool) -> Ids {
    if text {
        Ids::Str((0..rows).map(|i| format!("item {i}").into()).collect())
    } else {
        Ids::Int((0..rows as i64).map(|i| 10 * i - 20).collect())
    }
}

/// Two spaces and every type of attribute; two items were removed.
pub fn catalog() -> Catalog {
    let spaces = vec![
        ("cf".to_string(), spec(4, Metric::Ip, Dtype::I8)),
        ("content".to_string(), spec(6, Metric::Cosine, Dtype::F32)),
    ];
    let mut catalog = Catalog::new(spaces).expect("good spaces");
    let upsert = Upsert {
        ids: ids(ITEMS, false),
        vectors: vec![
            ("cf".into(), vectors(ITEMS, 4)),
            ("content".into(), vectors(ITEMS, 6)),
        ],
        attributes: attributes(ITEMS),
    };
    catalog.upsert(upsert, 1, &|_, _| true).expect("good items");
    catalog.remove(&Ids::Int(vec![-20, 30])).expect("items");
    catalog
}

/// One half-precision space under Euclidean distance, text ids, one attribute.
pub fn text_catalog() -> Catalog {
    let spaces = vec![("content".to_string(), spec(3, Metric::L2, Dtype::F16))];
    let mut catalog = Catalog::new(spaces).expect("good spaces");
    let upsert = Upsert {
        ids: ids(9, true),
        vectors: vec![("content".into(), vectors(9, 3))],
        attributes: vec![attributes(9).swap_remove(1)],
    };
    catalog.upsert(upsert, 1, &|_, _| true).expect("good items");
    catalog
}

/// Candidates, with or without scores of their own.
pub fn candidates(scores: bool) -> Candidates {
    let columns = attributes(ITEMS).into_iter().map(|(name, kind, values)| {
        let mut column = Column::new(kind);
        for value in values {
            column.push(&name, value).expect("a good value");
        }
        (name, column)
    });
    let space = |name: &str, dim, metric| SpaceInfo {
        name: name.into(),
        dim,
        metric,
    };
    Candidates::new(
        ids(ITEMS, true),
        vec![
            (space("cf", 4, Metric::Ip), vectors(ITEMS, 4)),
            (space("content", 6, Metric::Cosine), vectors(ITEMS, 6)),
        ],
        scores.then(|| (0..ITEMS).map(|i| (i * i % 17) as f64).collect()),
        columns.collect(),
    )
    .expect("good candidates")
}

/// Policies that use every part there is.
pub fn policies() -> Vec<Json> {
    let similarity = |name: &str, space: Json, normalize: &str| {
        json!({
            "kind": "similarity", "name": name, "space": space, "weight": 1.0,
            "normalize": normalize,
        })
    };
    let value = |name: &str, normalize: &str| json!({"kind": "value", "name": name, "weight": 0.25, "normalize": normalize});
    let fresh = json!({
        "kind": "decay", "name": "fresh", "attribute": "published",
        "half_life_us": 259_200_000_000i64, "weight": 0.5, "normalize": "none",
    });
    let both = [
        similarity("similarity.cf", json!("cf"), "minmax"),
        similarity("similarity.content", json!("content"), "zscore"),
        value("popularity", "rank"),
        value("boost", "none"),
        fresh,
    ];
    vec![
        json!({
            "schema": "perso_core.policy/1", "candidates": 12, "score": {"signals": both},
            "diversity": {"kind": "mmr", "diversity": 0.4, "space": "content"},
            "caps": {"genre": 2, "lang": 3},
            "explore": {"kind": "epsilon_greedy", "epsilon": 0.2},
        }),
        json!({
            "schema": "perso_core.policy/1",
            "score": {"signals": [similarity("similarity", Json::Null, "minmax")]},
            "diversity": {"kind": "mmr", "diversity": 1.0},
        }),
        json!({
            "schema": "perso_core.policy/1", "candidates": 4,
            "score": {"signals": [value("popularity", "zscore"), value("adult", "minmax")]},
            "caps": {"year": 1, "adult": 2},
        }),
        json!({
            "schema": "perso_core.policy/1", "candidates": 9,
            "score": {"signals": [similarity("similarity", Json::Null, "minmax")]},
            "diversity": {"kind": "dpp", "diversity": 0.5, "window": 3},
        }),
        json!({
            "schema": "perso_core.policy/1", "candidates": 9,
            "score": {"signals": [similarity("similarity", Json::Null, "minmax")]},
            "diversity": {"kind": "spread", "diversity": 0.5, "window": 2},
            "caps": {"genre": 2},
        }),
        json!({
            "schema": "perso_core.policy/1", "candidates": 9,
            "score": {"signals": [value("popularity", "rank")]},
            "diversity": {"kind": "calibrated", "attribute": "genre", "strength": 0.5, "target": {"drama": 2, "é": 1}},
        }),
    ]
}

/// A request that fits a policy: with the vectors and the signal that it asks for.
pub fn request(source: &dyn Source, policy: &Policy, k: usize, user: bool) -> Request {
    let text = policy.canonical_json();
    let mut signals = Signals::new();
    if text.contains("\"name\":\"boost\"") {
        let rows = source.ids().rows_len();
        let values = (0..rows).map(|i| (i % 3 > 0).then_some(i as f64 / 8.0));
        signals.insert_rows("boost", rows, values).expect("numbers");
    }
    let wanted = |space: &&SpaceInfo| text.contains(&format!("\"space\":\"{}\"", space.name));
    let vectors: User = source
        .spaces()
        .iter()
        .filter(wanted)
        .map(|space| {
            (
                space.name.clone(),
                vectors(9, space.dim)[space.dim..2 * space.dim]
                    .to_vec()
                    .into(),
            )
        })
        .collect();
    Request {
        user: (user && !vectors.is_empty()).then_some(vectors),
        k,
        eligible: Eligibility::all(source.ids()),
        signals: Arc::new(signals),
        at: 1_000_000_000_000,
        seed: u64::MAX - 5,
        request_id: "r-1".into(),
        target: None,
        allow: None,
        pins: Default::default(),
        budget_us: None,
        route: None,
    }
}

/// Records of every policy over every source that it fits.
pub fn records() -> Vec<String> {
    let catalog = catalog();
    let plain = candidates(false);
    let scored = candidates(true);
    let sources: [&dyn Source; 3] = [&catalog, &plain, &scored];
    let mut records = Vec::new();
    for source in sources {
        for policy in policies() {
            let policy = Arc::new(Policy::parse(&policy.to_string()).expect("a good policy"));
            for (k, user) in [(3, true), (40, false)] {
                let request = request(source, &policy, k, user);
                if let Ok(slate) = rank(source, &policy, &request) {
                    let included = UserVectors::Included;
                    records.push(record_json(&slate, source, included).expect("a record"));
                }
            }
        }
    }
    records
}

/// Index files of every storage type and metric, as structured inputs.
pub fn index_inputs() -> Vec<Sections> {
    let kinds = [
        (Metric::Ip, Dtype::F32, false, Layout::Auto),
        (Metric::Cosine, Dtype::F16, true, Layout::Compact),
        (Metric::L2, Dtype::I8, false, Layout::Auto),
        (Metric::L2, Dtype::I8, false, Layout::Local),
        (Metric::Cosine, Dtype::I8, true, Layout::Local),
    ];
    let mut inputs = Vec::new();
    for (i, (metric, dtype, text, layout)) in kinds.into_iter().enumerate() {
        let spec = Spec {
            layout,
            rescore: (i > 2).then_some(Rescore::F16),
            ..spec(3, metric, dtype)
        };
        let mut index = Index::new(spec).expect("a good index");
        index
            .add(&vectors(10, 3), Some(ids(10, text)), 1, &|_, _| true)
            .expect("good vectors");
        let all = index.id_map().live_ids();
        let one = match &all {
            Ids::Int(ids) => Ids::Int(vec![ids[2]]),
            Ids::Str(ids) => Ids::Str(vec![ids[2].clone()]),
        };
        index.remove(&one).expect("an item");
        index
            .save(&scratch("seed"), &|_, _| true)
            .expect("a scratch file");
        let file = std::fs::read(scratch("seed")).expect("a scratch file");
        let mut sections = Sections::of_file(&file, i as u8 % 4);
        inputs.push(sections.clone());
        let mut vectors_alone = Vectors::new(index.spec().clone()).expect("a good space");
        vectors_alone
            .push(&vectors(10, 3), &|_, _| true)
            .expect("vectors");
        add_graph(&mut sections, "", &vectors_alone);
        sections.flags |= 1;
        inputs.push(sections);
    }
    let empty = Index::new(spec(3, Metric::Ip, Dtype::F32)).expect("a good index");
    empty
        .save(&scratch("seed"), &|_, _| true)
        .expect("a scratch file");
    let file = std::fs::read(scratch("seed")).expect("a scratch file");
    inputs.push(Sections::of_file(&file, 0));
    inputs
}

/// Catalog files, as structured inputs.
pub fn catalog_inputs() -> Vec<Sections> {
    let mut inputs = Vec::new();
    let empty = Catalog::new(vec![("cf".into(), spec(4, Metric::Ip, Dtype::I8))]);
    for catalog in [catalog(), text_catalog(), empty.expect("good spaces")] {
        catalog
            .save(&scratch("seed"), &|_, _| true)
            .expect("a scratch file");
        let file = std::fs::read(scratch("seed")).expect("a scratch file");
        let mut sections = Sections::of_file(&file, 1);
        inputs.push(sections.clone());
        let spaces = catalog.specs().count();
        for space in 0..spaces {
            add_graph(&mut sections, &format!("s{space}."), catalog.vectors(space));
        }
        sections.flags |= 2;
        inputs.push(sections);
    }
    inputs
}

/// Small stores have no graph, but a file may bring one, with links that queries taught, what was measured on a sample,
/// and, in the local layout, codes of the neighbours.
fn add_graph(sections: &mut Sections, prefix: &str, vectors: &Vectors) {
    let spec = vectors.spec();
    let mut graph = Graph::new(Params {
        m: spec.m,
        ef_construction: spec.ef_construction,
        seed: spec.seed,
    });
    graph
        .insert_rows(vectors.store(), &|_, _| true)
        .expect("nobody interrupts");
    let (base, levels, upper, entry) = graph.parts();
    let mut set = |part: &str, bytes: &[u8]| sections.set(&format!("{prefix}{part}"), bytes.into());
    set("links", bytemuck::cast_slice(&base.to_vec()));
    set("levels", levels);
    set("upper", bytemuck::cast_slice(&upper.to_vec()));
    set("entry", &entry.to_le_bytes());
    set("due", bytemuck::cast_slice(&[1u32, 0]));
    let rows = vectors.len() as u32;
    if rows > 1 {
        let starts: Vec<u32> = (0..=rows).map(|row| row.min(1)).collect();
        set("taught_starts", bytemuck::cast_slice(&starts));
        set("taught", &(rows - 1).to_le_bytes());
        let sampled = [rows, 2.5f32.to_bits(), 64];
        set("sampled", bytemuck::cast_slice(&sampled));
    }
    if spec.layout == Layout::Local {
        let mut local = LocalCodes::new(vectors.store(), 2 * spec.m, spec.seed);
        local.update(vectors.store(), &graph, &[]);
        let (codes, mean) = local.parts();
        set("local", bytemuck::cast_slice(&codes.to_vec()));
        set("local_mean", bytemuck::cast_slice(mean));
    }
}
