//! What an accepted file has to do: answer, be saved and read back the same, and be changed.

use std::sync::Arc;

use perso_core::catalog::{Catalog, Upsert};
use perso_core::column::{ColumnType, Value};
use perso_core::error::Error;
use perso_core::hnsw::{Extent, Scratch};
use perso_core::ids::{Id, Ids};
use perso_core::index::{Answers, Index};
use perso_core::rank::{rank, record_json, replay, Eligibility, Policy, Request, Signals, Slate};
use perso_core::rank::{Source, UserVectors};
use perso_core::select::Where;
use perso_core::vectors::{Ask, Vectors};
use serde_json::json;

use crate::files::scratch;

/// Rows beyond which only a sample of what can be asked is asked: the fuzzer wants speed.
const MANY: usize = 256;

fn queries(vectors: &Vectors) -> Vec<Vec<f32>> {
    let dim = vectors.spec().dim;
    let mut queries = vec![vec![0.0; dim], vec![1.0; dim]];
    queries.push((0..dim).map(|i| (i % 5) as f32 - 1.5).collect());
    if !vectors.store().is_empty() {
        let mut stored = vec![0.0; dim];
        vectors.store().get(0, &mut stored);
        queries.push(stored);
    }
    queries
}

fn check_hits(found: &[Answers], wanted: usize, allowed: impl Fn(u32) -> bool) {
    for (hits, _) in found {
        assert_eq!(hits.len(), wanted);
        assert!(hits
            .iter()
            .all(|hit| !hit.score.is_nan() && allowed(hit.row)));
        assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
        let mut rows: Vec<u32> = hits.iter().map(|hit| hit.row).collect();
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows.len(), wanted);
    }
}

/// A few live ids as what was seen, and a mask of every second item.
fn restrictions(live: &Ids) -> (Ids, Vec<bool>) {
    let head = live.len().min(3);
    let seen = match live {
        Ids::Int(ids) => Ids::Int(ids[..head].to_vec()),
        Ids::Str(ids) => Ids::Str(ids[..head].to_vec()),
    };
    (seen, (0..live.len()).map(|i| i % 2 == 0).collect())
}

fn asks(rows: usize) -> Vec<Ask<'static>> {
    let ask = Ask {
        k: 3,
        ef: None,
        eligible: None,
        exact: false,
    };
    vec![
        ask,
        Ask {
            k: rows.max(1),
            exact: true,
            ..ask
        },
        Ask {
            k: usize::MAX,
            ..ask
        },
        Ask {
            k: 2,
            ef: Some(1),
            ..ask
        },
    ]
}

/// Everything an index can be asked.
pub fn index(mut index: Index) {
    let live = index.id_map().live_ids();
    index.get(&live).expect("live ids are there");
    index.stats();
    ask_index(&index, &live);

    index
        .save(&scratch("first"), &|_, _| true)
        .expect("a scratch file");
    let again = Index::load(&scratch("first"), false).expect("what was saved is good");
    again
        .save(&scratch("second"), &|_, _| true)
        .expect("a scratch file");
    same_files();

    let dim = index.spec().dim;
    let new = vec![0.25; 3 * dim];
    if let Ok(ids) = index.add(&new, None, 1, &|_, _| true) {
        assert_eq!(index.len(), live.len() + ids.len());
    }
    let live = index.id_map().live_ids();
    ask_index(&index, &live);
    let most = first_of(&live, live.len() - live.len() / 3);
    index.remove(&most).expect("live ids can be removed");
    assert_eq!(index.len(), live.len() - most.len());
    ask_index(&index, &index.id_map().live_ids());
    index
        .save(&scratch("first"), &|_, _| true)
        .expect("a scratch file");
    Index::load(&scratch("first"), true).expect("what was saved is good");
}

fn ask_index(index: &Index, live: &Ids) {
    let (seen, mask) = restrictions(live);
    for query in vectors_of_index(index, live) {
        for ask in asks(live.len()) {
            for (filter, exclude) in [
                (Where::All, None),
                (Where::Mask(&mask), None),
                (Where::All, Some(&seen)),
            ] {
                let eligible = index.eligible(filter, exclude).expect("fitting filters");
                let count = eligible.as_ref().map_or(live.len(), |rows| rows.len());
                let ask = Ask {
                    eligible: eligible.as_ref(),
                    ..ask
                };
                let Ok(found) = index.search(&query, ask, 1) else {
                    continue;
                };
                check_hits(&found, ask.k.min(count), |row| {
                    eligible.as_ref().is_none_or(|rows| rows.contains(row))
                });
            }
        }
        if live.len() > MANY {
            break;
        }
    }
}

fn vectors_of_index(index: &Index, live: &Ids) -> Vec<Vec<f32>> {
    let dim = index.spec().dim;
    let mut queries = vec![vec![0.0; dim], vec![1.0; dim]];
    if !live.is_empty() {
        let one = index.get(&first_of(live, 1)).expect("a live id");
        queries.push(one.iter().map(|x| -x).collect());
        queries.push(one);
    }
    queries
}

fn first_of(ids: &Ids, n: usize) -> Ids {
    match ids {
        Ids::Int(ids) => Ids::Int(ids[..n].to_vec()),
        Ids::Str(ids) => Ids::Str(ids[..n].to_vec()),
    }
}

fn same_files() {
    let first = std::fs::read(scratch("first")).expect("a scratch file");
    let second = std::fs::read(scratch("second")).expect("a scratch file");
    assert_eq!(first, second, "saving what was read gives another file");
}

/// Everything a catalog can be asked.
pub fn catalog(mut catalog: Catalog) {
    ask_catalog(&catalog);

    // A mapped file may lie about its content hash, which is found out when it is to be saved.
    match catalog.save(&scratch("first"), &|_, _| true) {
        Err(Error::Format(_)) => return,
        saved => saved.expect("a scratch file"),
    }
    let again = Catalog::open(&scratch("first"), false).expect("what was saved is good");
    assert_eq!(again.content_hash(), catalog.content_hash());
    again
        .save(&scratch("second"), &|_, _| true)
        .expect("a scratch file");
    same_files();

    change_catalog(&mut catalog);
    ask_catalog(&catalog);
    catalog
        .save(&scratch("first"), &|_, _| true)
        .expect("a scratch file");
    let again = Catalog::open(&scratch("first"), true).expect("what was saved is good");
    assert_eq!(again.content_hash(), catalog.content_hash());
}

fn change_catalog(catalog: &mut Catalog) {
    let live = catalog.id_map().live_ids();
    let some = first_of(&live, live.len().div_ceil(2));
    let attributes: Vec<(String, ColumnType, Vec<Value>)> = catalog
        .attributes()
        .map(|(name, kind)| {
            let value = |i: usize| match kind {
                _ if i.is_multiple_of(3) => Value::Null,
                ColumnType::Bool => Value::Bool(i.is_multiple_of(2)),
                ColumnType::Int => Value::Int(i as i64),
                ColumnType::Float => Value::Float(0.5),
                ColumnType::Time => Value::Time(-1),
                ColumnType::Str => Value::Str("new".into()),
                ColumnType::StrList => Value::StrList(vec!["new".into(), "x".into(), "x".into()]),
            };
            (name.to_owned(), kind, (0..some.len()).map(value).collect())
        })
        .filter(|(name, _, _)| !name.is_empty())
        .collect();
    let in_place = Upsert {
        ids: some.clone(),
        vectors: Vec::new(),
        attributes: attributes.clone(),
    };
    catalog
        .upsert(in_place, 1, &|_, _| true)
        .expect("fitting values");
    let (name, dim) = {
        let (name, spec) = catalog.specs().next().expect("a catalog has a space");
        (name.to_owned(), spec.dim)
    };
    let moved = Upsert {
        vectors: vec![(name, vec![0.5; dim * some.len()])],
        ids: some,
        attributes,
    };
    if moved.ids.len() * dim < 1 << 20 {
        catalog
            .upsert(moved, 1, &|_, _| true)
            .expect("fitting vectors");
    }
    let live = catalog.id_map().live_ids();
    let most = first_of(&live, live.len() - live.len() / 4);
    catalog.remove(&most).expect("live ids can be removed");
}

fn ask_catalog(catalog: &Catalog) {
    let live = catalog.id_map().live_ids();
    assert_eq!(catalog.get(&live).expect("live ids").len(), catalog.len());
    let (seen, mask) = restrictions(&live);
    let names: Vec<String> = catalog.specs().map(|(name, _)| name.to_owned()).collect();
    for (space, name) in names.iter().enumerate() {
        assert_eq!(catalog.space(name).expect("its own space"), space);
        let vectors = catalog.vectors(space);
        for query in queries(vectors) {
            for ask in asks(live.len()) {
                for (filter, exclude) in [
                    (Where::All, None),
                    (Where::Mask(&mask), None),
                    (Where::All, Some(&seen)),
                ] {
                    let eligible = catalog.eligible(filter, exclude).expect("fitting filters");
                    let count = eligible.as_ref().map_or(live.len(), |rows| rows.len());
                    let ask = Ask {
                        eligible: eligible.as_ref(),
                        ..ask
                    };
                    let Ok(found) = catalog.search(space, &query, ask, 1) else {
                        continue;
                    };
                    check_hits(&found, ask.k.min(count), |row| {
                        eligible.as_ref().is_none_or(|rows| rows.contains(row))
                    });
                }
            }
            walk(vectors, &query);
        }
    }
    for policy in policies(catalog) {
        for (user, k) in [(0, 5), (1, 3), (2, 2000)] {
            rank_one(catalog, &policy, user, k);
        }
    }
}

/// The graph by itself: files this small would be scanned.
fn walk(vectors: &Vectors, query: &[f32]) {
    let Some(graph) = vectors.graph() else { return };
    graph.shape();
    let store = vectors.store();
    if store.check("query", query).is_err() {
        return;
    }
    let query = store.query(query);
    let mut scratch = Scratch::default();
    for (ef, want) in [(1, 1), (4, 10), (1000, 5)] {
        let found = graph.search(
            store,
            &query,
            Extent::fixed(ef),
            want,
            None,
            &[],
            &mut scratch,
        );
        assert!(found.len() <= want);
        assert!(found.iter().all(|hit| (hit.row as usize) < store.len()));
    }
}

/// Policies that use whatever the catalog has.
fn policies(catalog: &Catalog) -> Vec<Arc<Policy>> {
    let mut signals = Vec::new();
    let mut caps = serde_json::Map::new();
    for (i, (name, _)) in catalog.specs().enumerate() {
        signals.push(json!({
            "kind": "similarity", "name": format!("similarity.{i}"), "space": name, "weight": 1.0,
            "normalize": (["minmax", "none", "rank", "zscore"][i % 4]),
        }));
    }
    for (i, (name, kind)) in catalog.attributes().enumerate() {
        if name.is_empty() {
            continue;
        }
        let normalize = ["zscore", "rank", "minmax"][i % 3];
        if kind.is_numeric() {
            signals.push(json!({
                "kind": "value", "name": name, "weight": -0.5, "normalize": normalize,
            }));
        }
        if kind == ColumnType::Time {
            signals.push(json!({
                "kind": "decay", "name": format!("age of {i}"), "attribute": name,
                "half_life_us": 86_400_000_000i64, "weight": 0.3, "normalize": "none",
            }));
        }
        if kind.is_countable() {
            caps.insert(name.into(), json!(1 + i % 2));
        }
    }
    let full = json!({
        "schema": "perso_core.policy/1", "candidates": null, "score": {"signals": signals},
        "diversity": {"kind": "mmr", "diversity": 0.5}, "caps": caps,
        "explore": {"kind": "epsilon_greedy", "epsilon": 0.3},
    });
    let plain = json!({
        "schema": "perso_core.policy/1", "candidates": 2000, "score": {"signals": signals},
    });
    [full, plain]
        .iter()
        .filter_map(|policy| Policy::parse(&policy.to_string()).ok().map(Arc::new))
        .collect()
}

fn rank_one(catalog: &Catalog, policy: &Arc<Policy>, user: usize, k: usize) {
    let vectors = |space: usize| {
        let dim = catalog.vectors(space).spec().dim;
        let vector: Vec<f32> = (0..dim).map(|i| ((i + user) % 3) as f32 - 0.5).collect();
        vector.into()
    };
    let named = catalog.specs().enumerate();
    let user = (user > 0).then(|| {
        named
            .map(|(space, (name, _))| (name.to_owned(), vectors(space)))
            .collect()
    });
    let request = Request {
        user,
        k,
        eligible: Eligibility::all(catalog.id_map()),
        signals: Arc::new(Signals::new()),
        at: 1_700_000_000_000_000,
        seed: 3,
        request_id: "fuzz".into(),
        target: None,
        allow: None,
        pins: Default::default(),
        budget_us: (k % 2 == 0).then_some(20.0 * k as f64),
        route: None,
    };
    if let Ok(slate) = rank(catalog, policy, &request) {
        slate_and_record(catalog, &slate, request.k.min(catalog.len()));
    }
}

/// What every slate keeps to, and that its record gives it again.
pub fn slate_and_record(source: &dyn Source, slate: &Slate, most: usize) {
    assert!(slate.len() <= most);
    assert!(slate.len() == most || slate.short_reason.is_some());
    assert_eq!(slate.reasons().len(), slate.len());
    let mut rows = slate.rows.clone();
    rows.sort_unstable();
    rows.dedup();
    assert_eq!(rows.len(), slate.len());
    for i in 0..slate.len() {
        let sum: f64 = slate.terms_of(i).iter().sum();
        assert!(sum == slate.scores[i], "{sum} and {}", slate.scores[i]);
        let p = slate.slots[i].propensity;
        assert!(p > 0.0 && p <= 1.0);
        assert!(matches!(slate.greedy_id(i), Id::Int(_) | Id::Str(_)));
    }
    let record = record_json(slate, source, UserVectors::Included).expect("nothing has changed");
    let again = replay(&record, source, None).expect("its own record");
    assert_eq!(again.rows, slate.rows);
    assert_eq!(again.propensities(), slate.propensities());
}
