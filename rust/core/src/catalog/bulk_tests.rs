//! A stream in pieces against one upsert of all of it.

use std::borrow::Cow;

use super::*;
use crate::ids::Id;
use crate::metric::{Dtype, Metric};
use crate::vectors::{Layout, Numbers};

const DIM: usize = 8;
/// More than a graph needs.
const ITEMS: i64 = 1500;

fn empty() -> Catalog {
    let spec = |metric, dtype, layout| Spec {
        m: 6,
        ef_construction: 30,
        layout,
        ..Spec::new(DIM, metric, dtype)
    };
    Catalog::new(vec![
        ("a".into(), spec(Metric::Cosine, Dtype::F32, Layout::Local)),
        ("b".into(), spec(Metric::Ip, Dtype::I8, Layout::Compact)),
    ])
    .unwrap()
}

fn vectors(ids: &[i64], seed: i64) -> Vec<f32> {
    let one = |id: &i64| {
        let id = *id;
        (0..DIM as i64).map(move |i| ((id * 31 + i * i * 17 + seed) % 101) as f32 - 50.0)
    };
    ids.iter().flat_map(one).collect()
}

fn values(ids: &[i64]) -> (String, ColumnType, Vec<Value>) {
    let value = |id: &i64| match id % 3 {
        0 => Value::Null,
        _ => Value::Str(format!("genre {}", id % 7).into()),
    };
    let values = ids.iter().map(value).collect();
    ("genre".into(), ColumnType::Str, values)
}

fn at_once(ids: &[i64], seed: i64) -> Upsert {
    Upsert {
        ids: Ids::Int(ids.to_vec()),
        vectors: vec![
            ("b".into(), vectors(ids, seed + 1)),
            ("a".into(), vectors(ids, seed)),
        ],
        attributes: vec![values(ids)],
    }
}

fn piece(ids: &[i64], seed: i64) -> Piece<'static> {
    Piece {
        ids: Ids::Int(ids.to_vec()),
        vectors: vec![
            Numbers::F32(Cow::Owned(vectors(ids, seed + 1))),
            Numbers::F32(Cow::Owned(vectors(ids, seed))),
        ],
        attributes: vec![values(ids)],
    }
}

fn in_pieces(catalog: Catalog, ids: &[i64], seed: i64, size: usize) -> Result<Catalog> {
    let mut bulk = Bulk::new(catalog, &["b".into(), "a".into()])?;
    for ids in ids.chunks(size) {
        bulk.put(piece(ids, seed))?;
    }
    bulk.finish(1, &|_, _| true)
}

fn bytes(catalog: &Catalog) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog");
    catalog.save(&path, &|_, _| true).unwrap();
    std::fs::read(path).unwrap()
}

/// The files are the same: rows, links, codes, columns, generation and hash.
#[test]
fn pieces_make_the_catalog_that_one_upsert_makes() {
    let ids: Vec<i64> = (0..ITEMS).collect();
    let changed: Vec<i64> = (ITEMS - 300..ITEMS + 300).rev().collect();
    let mut whole = empty();
    whole.upsert(at_once(&ids, 0), 1, &|_, _| true).unwrap();
    whole.upsert(at_once(&changed, 5), 1, &|_, _| true).unwrap();
    for size in [1, 7, 599, 5000] {
        let catalog = in_pieces(empty(), &ids, 0, size).unwrap();
        let catalog = in_pieces(catalog, &changed, 5, size).unwrap();
        assert_eq!(catalog.hash, catalog.recomputed_hash());
        assert!(bytes(&catalog) == bytes(&whole), "pieces of {size}");
    }
}

#[test]
fn a_space_may_stay_and_attributes_may_come_alone() {
    let ids: Vec<i64> = (0..40).collect();
    let mut whole = empty();
    whole.upsert(at_once(&ids, 0), 1, &|_, _| true).unwrap();
    let mut bulk = Bulk::new(whole.clone(), &["b".into()]).unwrap();
    let mut one = piece(&[3, 5], 9);
    one.vectors.pop();
    bulk.put(one).unwrap();
    let catalog = bulk.finish(1, &|_, _| true).unwrap();
    let items = catalog.get(&Ids::Int(vec![3])).unwrap();
    assert_eq!(
        items[0].vectors[0],
        vectors(&[3], 0),
        "the space that stayed"
    );
    let mut by_upsert = whole.clone();
    let mut one = at_once(&[3, 5], 9);
    one.vectors.pop();
    by_upsert.upsert(one, 1, &|_, _| true).unwrap();
    assert!(bytes(&catalog) == bytes(&by_upsert));

    let mut bulk = Bulk::new(whole.clone(), &[]).unwrap();
    assert_eq!(bulk.weight(), 1);
    for id in [7, 4] {
        let values = vec![Value::Str("new".into())];
        bulk.put(Piece {
            ids: Ids::Int(vec![id]),
            vectors: Vec::new(),
            attributes: vec![("genre".into(), ColumnType::Str, values)],
        })
        .unwrap();
    }
    let catalog = bulk.finish(1, &|_, _| true).unwrap();
    assert_eq!(catalog.hash, catalog.recomputed_hash());
    assert_eq!(catalog.id_map().rows_len(), 40, "no new row");
    assert_ne!(catalog.content_hash(), whole.content_hash());
}

#[test]
fn what_is_wrong_is_named_with_its_place_in_the_stream() {
    let ids: Vec<i64> = (0..20).collect();
    let message = |mut change: Vec<Piece<'static>>, spaces: &[String]| {
        let catalog = in_pieces(empty(), &ids, 0, 20).unwrap();
        let last = change.pop().unwrap();
        let mut bulk = Bulk::new(catalog, spaces).unwrap();
        for piece in change {
            bulk.put(piece).unwrap();
        }
        bulk.put(last).unwrap_err().to_string()
    };
    let both = ["b".into(), "a".into()];
    let again = message(vec![piece(&[30, 31], 0), piece(&[32, 31], 0)], &both);
    assert!(again.contains("31 at positions 1 and 3"), "{again}");
    let again = message(vec![piece(&[5, 5], 0)], &both);
    assert!(again.contains("5 at positions 0 and 1"), "{again}");
    let mut bad = piece(&[32, 33], 0);
    let mut numbers = vectors(&[32, 33], 0);
    numbers[DIM + 2] = f32::NAN;
    bad.vectors[1] = Numbers::F32(Cow::Owned(numbers));
    let nan = message(vec![piece(&[30, 31], 0), bad], &both);
    assert!(
        nan.contains("spaces[\"a\"]") && nan.contains("NaN in row 3"),
        "{nan}"
    );
    let mut half = piece(&[1, 77], 0);
    half.vectors.pop();
    let new = message(vec![half], &["b".into()]);
    assert!(
        new.contains("also \"a\"") && new.contains("77 is new"),
        "{new}"
    );
    let mut text = piece(&[1], 0);
    text.ids = Ids::Str(vec!["x".into()]);
    assert!(message(vec![text], &both).contains("int ids"));
    let plain = |id| Piece {
        ids: Ids::Int(vec![id]),
        vectors: Vec::new(),
        attributes: vec![values(&[id])],
    };
    let again = message(vec![plain(3), plain(3)], &[]);
    assert!(again.contains("3 again at position 1"), "{again}");
    assert!(message(vec![plain(99)], &[]).contains("99"));
    for spaces in [vec!["c".to_owned()], vec!["a".into(), "a".into()]] {
        let error = Bulk::new(empty(), &spaces).unwrap_err().to_string();
        assert!(error.starts_with("spaces"), "{error}");
    }
}

#[test]
fn an_interrupted_stream_gives_no_catalog() {
    let ids: Vec<i64> = (0..ITEMS).collect();
    let mut bulk = Bulk::new(empty(), &["b".into(), "a".into()]).unwrap();
    bulk.put(piece(&ids, 0)).unwrap();
    assert_eq!((bulk.len(), bulk.weight()), (ITEMS as usize, 3));
    let stopped = bulk.finish(1, &|_, _| false);
    assert!(matches!(stopped, Err(Error::Interrupted)));
}

/// Whole numbers stay what they are in a space of int8, but for rows that have no code.
#[test]
fn codes_are_kept() {
    for (dtype, exact) in [(Dtype::I8, false), (Dtype::F16, true), (Dtype::F32, true)] {
        let spec = Spec::new(3, Metric::L2, dtype);
        let catalog = Catalog::new(vec![("v".into(), spec)]).unwrap();
        let mut bulk = Bulk::new(catalog, &["v".into()]).unwrap();
        let codes: [i8; 12] = [1, -2, 3, 0, 0, 0, -127, 5, 126, -128, 64, 1];
        bulk.put(Piece {
            ids: Ids::Int((0..4).collect()),
            vectors: vec![Numbers::I8(&codes)],
            attributes: Vec::new(),
        })
        .unwrap();
        let catalog = bulk.finish(1, &|_, _| true).unwrap();
        for (id, row) in codes.chunks(3).enumerate() {
            let found = catalog.get(&Ids::Int(vec![id as i64])).unwrap();
            let wide: Vec<f32> = row.iter().map(|code| f32::from(*code)).collect();
            if exact || id < 3 {
                assert_eq!(found[0].vectors[0], wide);
            } else {
                let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 128.0 / 254.0 * 1.001;
                assert!(found[0].vectors[0].iter().zip(&wide).all(near));
            }
        }
        // A file checks each row's norm and scale.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog");
        catalog.save(&path, &|_, _| true).unwrap();
        let opened = Catalog::open(&path, false).unwrap();
        assert_eq!(opened.content_hash(), catalog.content_hash());
        assert!(opened.contains(&Id::Int(3)));
    }
}
