//! Files whose checksums hold and whose content does not: found by fuzzing (see `fuzz/`).

use std::path::Path;

use perso_core::catalog::{Catalog, Upsert};
use perso_core::error::Error;
use perso_core::format::{Kind, Reader, Writer};
use perso_core::ids::Ids;
use perso_core::index::Index;
use perso_core::metric::{Dtype, Metric};
use perso_core::vectors::Spec;
use serde_json::{json, Value};

fn go(_: usize, _: usize) -> bool {
    true
}

/// An index file of two items with the ids 0 and 1, in one dimension under inner product.
fn write_index(path: &Path, dtype: &str, next_id: i64, add: impl FnOnce(&mut Writer<'_>)) {
    let spec = json!({
        "dim": 1, "metric": "ip", "dtype": dtype, "m": 4, "ef_construction": 10, "seed": 0,
    });
    let meta = json!({"spec": spec, "next_id": next_id}).to_string();
    let mut writer = Writer::new(Kind::Index);
    writer.add_owned("meta", meta.as_bytes());
    writer.add_owned("live", &[1u8, 1]);
    writer.add_owned("ids.int", &[0i64, 1]);
    add(&mut writer);
    writer.write(path, &go).unwrap();
}

fn refusal(path: &Path) -> String {
    match Index::load(path, false) {
        Err(Error::Format(message)) => message,
        other => panic!("expected a format error, got {other:?}"),
    }
}

#[test]
fn ids_that_are_counted_up_cannot_meet_ids_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let write = |next_id| {
        write_index(&path, "f32", next_id, |writer| {
            writer.add_owned("vectors", &[3.0f32, 4.0]);
            writer.add_owned("norms", &[3.0f32, 4.0]);
        });
    };
    for next_id in [i64::MIN, 0, 1] {
        write(next_id);
        let message = refusal(&path);
        assert!(message.contains(&format!("next id is {next_id}, and 1 is taken")));
    }
    write(2);
    let mut index = Index::load(&path, false).unwrap();
    let new = index.add(&[5.0], None, 1, &go).unwrap();
    assert_eq!((new, index.len()), (Ids::Int(vec![2]), 3));
}

#[test]
fn a_vector_too_long_for_finite_scores_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    write_index(&path, "f32", 2, |writer| {
        writer.add_owned("vectors", &[1.0f32, 3e38]);
        writer.add_owned("norms", &[1.0f32, f32::INFINITY]);
    });
    assert!(refusal(&path).contains("row 1 of a space has a squared length that overflows"));
}

#[test]
fn a_scale_beside_zero_codes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let write = |scale: f32| {
        write_index(&path, "i8", 2, |writer| {
            writer.add_owned("vectors", &[127i8, 0]);
            writer.add_owned("scales", &[1.0f32, scale]);
            writer.add_owned("norms", &[127.0f32, 0.0]);
        });
    };
    write(3e38);
    assert!(refusal(&path).contains("row 1 of a space is zero and has a scale"));
    write(0.0);
    assert_eq!(Index::load(&path, false).unwrap().len(), 2);
}

/// Quantisation rounds the second component up, and the stored vector's squared length overflows
/// though that of the given one does not.
#[test]
fn a_vector_that_grows_too_long_when_quantised_is_refused() {
    let vector = [127.0 * 1.207_97e17, 84.6 * 1.207_97e17f32];
    assert!(vector.iter().map(|x| x * x).sum::<f32>().is_finite());
    for (dtype, fits) in [(Dtype::F32, true), (Dtype::I8, false)] {
        let spec = Spec {
            m: 4,
            ef_construction: 10,
            ..Spec::new(2, Metric::Ip, dtype)
        };
        let mut index = Index::new(spec).unwrap();
        match index.add(&vector, None, 1, &go) {
            Err(Error::Invalid { got, .. }) => assert!(!fits && got.contains("overflows")),
            other => assert!(fits && other.is_ok(), "{other:?}"),
        }
    }
}

/// Rewrites a catalog file of one f32 space and integer ids with another description.
fn with_meta(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut reader = Reader::open(path, Kind::Catalog, false).unwrap();
    let meta: Vec<u8> = reader.owned("meta").unwrap();
    let mut meta: Value = serde_json::from_slice(&meta).unwrap();
    change(&mut meta);
    let mut writer = Writer::new(Kind::Catalog);
    writer.add_owned("meta", meta.to_string().as_bytes());
    for name in ["live", "ids.int", "s0.vectors", "s0.norms"] {
        writer.add_owned(name, &reader.owned::<u8>(name).unwrap());
    }
    writer.write(path, &go).unwrap();
}

fn two_items() -> Upsert {
    Upsert {
        ids: Ids::Int(vec![7, 8]),
        vectors: vec![("a".into(), vec![1.0, 2.0])],
        attributes: Vec::new(),
    }
}

fn write_catalog(path: &Path) -> Catalog {
    let spec = Spec {
        m: 4,
        ef_construction: 10,
        ..Spec::new(1, Metric::Ip, Dtype::F32)
    };
    let mut catalog = Catalog::new(vec![("a".into(), spec)]).unwrap();
    catalog.upsert(two_items(), 1, &go).unwrap();
    catalog.save(path, &go).unwrap();
    catalog
}

#[test]
fn the_last_generation_has_a_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog");
    write_catalog(&path);
    with_meta(&path, |meta| meta["generation"] = json!(u64::MAX));
    let mut catalog = Catalog::open(&path, false).unwrap();
    catalog.upsert(two_items(), 1, &go).unwrap();
    catalog.remove(&Ids::Int(vec![7])).unwrap();
    catalog.save(&path, &go).unwrap();
    assert_eq!(Catalog::open(&path, false).unwrap().len(), 1);
}

#[test]
fn a_foreign_content_hash_is_refused_with_both_hashes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog");
    let hash = write_catalog(&path).content_hash();
    with_meta(&path, |meta| meta["content_hash"] = json!("another"));
    match Catalog::open(&path, false) {
        Err(Error::Format(message)) => {
            assert!(
                message.contains(&hash) && message.contains("\"another\""),
                "{message}"
            );
        }
        other => panic!("expected a format error, got {other:?}"),
    }
}

/// Taught links beside a graph of two rows: of rows that are not there, beyond what is there, too many.
#[test]
fn taught_links_that_lead_nowhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let write = |sections: &[(&str, &[u32])]| {
        write_index(&path, "f32", 2, |writer| {
            writer.add_owned("vectors", &[3.0f32, 4.0]);
            writer.add_owned("norms", &[3.0f32, 4.0]);
            let mut base = [u32::MAX; 16];
            (base[0], base[8]) = (1, 0);
            writer.add_owned("links", &base);
            writer.add_owned("levels", &[0u8, 0]);
            writer.add_owned::<u32>("upper", &[]);
            writer.add_owned("entry", &[0u32]);
            for (name, values) in sections {
                writer.add_owned(*name, values);
            }
        });
    };
    write(&[]);
    assert_eq!(Index::load(&path, false).unwrap().stats().taught_links, 0);
    write(&[("taught_starts", &[0, 1, 1]), ("taught", &[1])]);
    assert_eq!(Index::load(&path, true).unwrap().stats().taught_links, 1);
    for (starts, links) in [
        (&[0, 1, 1][..], &[2][..]),
        (&[0, 1, 1], &[0]),
        (&[0, 1, 1], &[u32::MAX]),
        (&[0, 2, 1], &[1]),
        (&[0, u32::MAX, 1], &[1]),
        (&[0, 17, 17], &[1; 17]),
    ] {
        write(&[("taught_starts", starts), ("taught", links)]);
        assert!(
            refusal(&path).contains("has a bad taught link"),
            "{starts:?}"
        );
    }
    for (starts, links) in [
        (&[][..], &[][..]),
        (&[0, 0, 0, 0], &[]),
        (&[1, 1, 1], &[1]),
        (&[0, 0, 0], &[1]),
    ] {
        write(&[("taught_starts", starts), ("taught", links)]);
        assert!(refusal(&path).contains("taught links of"), "{starts:?}");
    }
    write(&[("taught_starts", &[0, 1, 1])]);
    assert!(refusal(&path).contains("no section \"taught\""));
    write(&[("taught", &[1])]);
    assert!(refusal(&path).contains("no section \"taught_starts\""));
}
