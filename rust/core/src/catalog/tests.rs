use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ids::Id;
use crate::metric::{Dtype, Metric};

fn spec(dim: usize, metric: Metric, dtype: Dtype) -> Spec {
    Spec {
        m: 8,
        ef_construction: 40,
        seed: 1,
        ..Spec::new(dim, metric, dtype)
    }
}

fn two_spaces() -> Catalog {
    Catalog::new(vec![
        ("a".into(), spec(3, Metric::Cosine, Dtype::I8)),
        ("b".into(), spec(2, Metric::Ip, Dtype::F32)),
    ])
    .unwrap()
}

fn vector(seed: i64, dim: usize) -> Vec<f32> {
    (0..dim as i64)
        .map(|i| ((seed * 31 + i * 17) % 23) as f32 - 11.0)
        .collect()
}

fn whole(ids: &[i64], seeds: &[i64], popularity: &[Option<f64>]) -> Upsert {
    let rows = |dim| seeds.iter().flat_map(|seed| vector(*seed, dim)).collect();
    Upsert {
        ids: Ids::Int(ids.to_vec()),
        vectors: vec![("a".into(), rows(3)), ("b".into(), rows(2))],
        attributes: vec![(
            "popularity".into(),
            ColumnType::Float,
            popularity
                .iter()
                .map(|value| value.map_or(Value::Null, Value::Float))
                .collect(),
        )],
    }
}

fn go(_: usize, _: usize) -> bool {
    true
}

/// What a catalog holds, as plain values.
fn contents(catalog: &Catalog) -> BTreeMap<Id, (Vec<Vec<u32>>, Vec<String>)> {
    let ids = catalog.id_map().live_ids();
    let items = catalog.get(&ids).unwrap();
    items
        .into_iter()
        .enumerate()
        .map(|(i, item)| {
            let bits = |vector: Vec<f32>| vector.into_iter().map(f32::to_bits).collect();
            let attributes = item
                .attributes
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            let value = (
                item.vectors.into_iter().map(bits).collect(),
                attributes.collect(),
            );
            (ids.get(i), value)
        })
        .collect()
}

#[test]
fn upsert_changes_what_it_names_and_nothing_else() {
    let mut catalog = two_spaces();
    catalog
        .upsert(
            whole(&[1, 2, 3], &[1, 2, 3], &[Some(0.5), None, Some(2.0)]),
            1,
            &go,
        )
        .unwrap();
    assert_eq!((catalog.len(), catalog.generation), (3, 1));
    let before = contents(&catalog);

    let only_b = Upsert {
        ids: Ids::Int(vec![2]),
        vectors: vec![("b".into(), vec![9.0, 8.0])],
        attributes: Vec::new(),
    };
    catalog.upsert(only_b, 1, &go).unwrap();
    let after = contents(&catalog);
    assert_eq!(after[&Id::Int(1)], before[&Id::Int(1)]);
    assert_eq!(after[&Id::Int(2)].0[0], before[&Id::Int(2)].0[0]);
    assert_eq!(
        after[&Id::Int(2)].0[1],
        [9.0f32.to_bits(), 8.0f32.to_bits()]
    );
    assert_eq!(after[&Id::Int(2)].1, before[&Id::Int(2)].1);

    let rows = catalog.id_map().rows_len();
    let counter = Upsert {
        ids: Ids::Int(vec![3, 1]),
        vectors: Vec::new(),
        attributes: vec![(
            "popularity".into(),
            ColumnType::Float,
            vec![Value::Float(7.0), Value::Null],
        )],
    };
    catalog.upsert(counter, 1, &go).unwrap();
    assert_eq!(
        catalog.id_map().rows_len(),
        rows,
        "no new row for an attribute"
    );
    assert_eq!(contents(&catalog)[&Id::Int(3)].1, ["popularity=7.0"]);
    assert_eq!(catalog.hash, catalog.recomputed_hash());
}

#[test]
fn a_wrong_upsert_changes_nothing() {
    let mut catalog = two_spaces();
    catalog
        .upsert(whole(&[1, 2], &[1, 2], &[None, None]), 1, &go)
        .unwrap();
    let (before, hash) = (contents(&catalog), catalog.content_hash());
    let mut wrong: Vec<(Upsert, &str)> = Vec::new();
    wrong.push((whole(&[5, 5], &[1, 2], &[None, None]), "each id once"));
    let mut upsert = whole(&[1, 9], &[1, 2], &[None, None]);
    upsert.vectors.pop();
    wrong.push((upsert, "also \"b\""));
    let mut upsert = whole(&[1, 9], &[1, 2], &[None, None]);
    upsert.vectors[0].1[4] = f32::NAN;
    wrong.push((upsert, "NaN in row 1"));
    let mut upsert = whole(&[1, 9], &[1, 2], &[None, None]);
    upsert.vectors[0].1.truncate(3);
    wrong.push((upsert, "2 rows, one an id"));
    let mut upsert = whole(&[1, 9], &[1, 2], &[None, None]);
    upsert.attributes[0] = (
        "popularity".into(),
        ColumnType::Str,
        vec![Value::Str("x".into()); 2],
    );
    wrong.push((upsert, "attributes[\"popularity\"]"));
    let mut upsert = whole(&[1, 9], &[1, 2], &[None, None]);
    upsert.attributes[0].2.pop();
    wrong.push((upsert, "2 values, one an id"));
    let mut upsert = whole(&[1, 9], &[1, 2], &[None, None]);
    upsert.vectors[0].0 = "c".into();
    wrong.push((upsert, "one of the spaces"));
    let mut upsert = whole(&[1, 9], &[1, 2], &[None, None]);
    upsert.ids = Ids::Str(vec!["x".into(), "y".into()]);
    wrong.push((upsert, "int ids"));
    for (upsert, message) in wrong {
        let error = catalog.upsert(upsert, 1, &go).unwrap_err().to_string();
        assert!(
            error.contains(message),
            "{error:?} does not say {message:?}"
        );
    }
    assert_eq!(contents(&catalog), before);
    assert_eq!((catalog.content_hash(), catalog.generation), (hash, 1));
}

#[test]
fn an_interrupted_upsert_changes_nothing() {
    let mut catalog = Catalog::new(vec![
        ("a".into(), spec(64, Metric::Cosine, Dtype::F32)),
        ("b".into(), spec(64, Metric::L2, Dtype::F32)),
    ])
    .unwrap();
    let rows = 12_000;
    let make = |first: i64| {
        let values: Vec<f32> = (first..first + rows)
            .flat_map(|id| vector(id, 64))
            .collect();
        Upsert {
            ids: Ids::Int((first..first + rows).collect()),
            vectors: vec![("a".into(), values.clone()), ("b".into(), values)],
            attributes: Vec::new(),
        }
    };
    catalog.upsert(make(0), -1, &go).unwrap();
    let graphs = |catalog: &Catalog| -> Vec<Vec<u32>> {
        let links = |space: &std::sync::Arc<Vectors>| space.graph().unwrap().parts().0.to_vec();
        catalog.spaces.iter().map(links).collect()
    };
    let (before, hash) = (graphs(&catalog), catalog.content_hash());
    // Stop while the second space is being linked, after the first is done.
    let stopped = catalog.upsert(make(rows), -1, &|done, _| done < 3 * rows as usize / 2);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert_eq!(graphs(&catalog), before);
    assert_eq!(
        (catalog.content_hash(), catalog.len()),
        (hash, rows as usize)
    );
}

#[test]
fn the_hash_names_the_content() {
    let mut one = two_spaces();
    one.upsert(whole(&[1, 2], &[1, 2], &[Some(1.0), None]), 1, &go)
        .unwrap();
    let mut other = two_spaces();
    other.upsert(whole(&[2], &[2], &[None]), 1, &go).unwrap();
    other.upsert(whole(&[7], &[3], &[None]), 1, &go).unwrap();
    other
        .upsert(whole(&[1], &[1], &[Some(1.0)]), 1, &go)
        .unwrap();
    assert_ne!(one.content_hash(), other.content_hash());
    other.remove(&Ids::Int(vec![7])).unwrap();
    assert_eq!(
        one.content_hash(),
        other.content_hash(),
        "order and history do not matter"
    );
    other
        .upsert(whole(&[1], &[1], &[Some(1.5)]), 1, &go)
        .unwrap();
    assert_ne!(one.content_hash(), other.content_hash());
}

#[test]
fn a_file_gives_back_the_catalog_and_damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog");
    let mut catalog = two_spaces();
    catalog
        .upsert(
            whole(
                &[1, 2, 3, 4],
                &[1, 2, 3, 4],
                &[Some(1.0), None, None, Some(3.0)],
            ),
            1,
            &go,
        )
        .unwrap();
    let genres = Upsert {
        ids: Ids::Int(vec![1, 2]),
        vectors: Vec::new(),
        attributes: vec![(
            "genres".into(),
            ColumnType::StrList,
            vec![
                Value::StrList(vec!["drama".into(), "été".into()]),
                Value::StrList(Vec::new()),
            ],
        )],
    };
    catalog.upsert(genres, 1, &go).unwrap();
    catalog.remove(&Ids::Int(vec![4])).unwrap();
    catalog.save(&path, &go).unwrap();
    for mmap in [false, true] {
        let mut opened = Catalog::open(&path, mmap).unwrap();
        assert_eq!(contents(&opened), contents(&catalog));
        assert_eq!(opened.content_hash(), catalog.content_hash());
        assert_eq!(opened.generation, catalog.generation);
        // A mapped catalog can be changed; its file stays as it is.
        opened.upsert(whole(&[9], &[9], &[None]), 1, &go).unwrap();
        assert_eq!(Catalog::open(&path, mmap).unwrap().len(), 3);
    }
    let bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        std::fs::write(&path, &damaged).unwrap();
        match Catalog::open(&path, at.is_multiple_of(2)) {
            Ok(opened) => assert_eq!(contents(&opened), contents(&catalog), "byte {at}"),
            Err(error) => assert!(matches!(error, Error::Format(_)), "byte {at}: {error}"),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<(i64, i64)>),
    Count(i64, f64),
    Remove(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::collection::btree_map(0i64..20, 0i64..50, 1..6)
            .prop_map(|items| Step::Put(items.into_iter().collect())),
        (0i64..20, -5.0f64..5.0).prop_map(|(id, value)| Step::Count(id, value)),
        (0i64..20).prop_map(Step::Remove),
    ]
}

proptest! {
    /// Any sequence of changes against a map of what should be there.
    #[test]
    fn changes_behave_like_a_map(steps in prop::collection::vec(step(), 1..40)) {
        let mut catalog = two_spaces();
        let mut model: BTreeMap<i64, (i64, Option<f64>)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(items) => {
                    let ids: Vec<i64> = items.iter().map(|item| item.0).collect();
                    let seeds: Vec<i64> = items.iter().map(|item| item.1).collect();
                    catalog.upsert(whole(&ids, &seeds, &vec![None; ids.len()]), 1, &go).unwrap();
                    model.extend(items.into_iter().map(|(id, seed)| (id, (seed, None))));
                }
                Step::Count(id, value) => {
                    let upsert = Upsert {
                        ids: Ids::Int(vec![id]),
                        vectors: Vec::new(),
                        attributes: vec![("popularity".into(), ColumnType::Float, vec![Value::Float(value)])],
                    };
                    let done = catalog.upsert(upsert, 1, &go);
                    match model.get_mut(&id) {
                        Some(item) => { done.unwrap(); item.1 = Some(value); }
                        None => prop_assert!(done.is_err()),
                    }
                }
                Step::Remove(id) => {
                    let done = catalog.remove(&Ids::Int(vec![id]));
                    prop_assert_eq!(done.is_ok(), model.remove(&id).is_some());
                }
            }
        }
        let mut fresh = two_spaces();
        let ids: Vec<i64> = model.keys().copied().collect();
        let seeds: Vec<i64> = model.values().map(|item| item.0).collect();
        let counts: Vec<Option<f64>> = model.values().map(|item| item.1).collect();
        fresh.upsert(whole(&ids, &seeds, &counts), 1, &go).unwrap();
        prop_assert_eq!(catalog.content_hash(), fresh.content_hash());
        prop_assert_eq!(catalog.hash, catalog.recomputed_hash());
        prop_assert!(catalog.id_map().rows_len() <= 2 * catalog.len().max(1) + 6);
        if !ids.is_empty() {
            prop_assert_eq!(contents(&catalog), contents(&fresh));
        }
    }
}
