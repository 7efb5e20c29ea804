//! Every bit flipped and every length cut, of a file of each layout, a catalog of all column types, a profile, and files of
//! hnswlib and faiss: a clean error, or the right answer. Where checksums cover a bit the answer is the error; where none
//! do (padding) it is the same content; where there are no checksums at all (foreign files) it is an index that answers.
//! A second pass makes the checksums hold after the damage, so that what is behind them is met.

mod hostile_support;

use std::path::Path;
use std::sync::Arc;

use hostile_support::{catalog, foreign, go, indexes, Target};
use perso_core::catalog::Catalog;
use perso_core::error::{Error, Result};
use perso_core::foreign::{read_faiss, read_hnswlib, Choice, Foreign, Input, Options};
use perso_core::index::Index;
use perso_core::metric::{Dtype, Metric};
use perso_core::profile::{Plan, Prior, Profile};
use perso_core::select::Where;
use perso_core::vectors::{Ask, Layout};
use serde_json::json;

/// All that can be seen of an index, as text.
fn index_content(index: &Index) -> String {
    let ids = index.id_map().live_ids();
    let vectors = index.get(&ids).unwrap();
    let found = index_answers(index);
    let stats = index.stats();
    // But for bytes of memory, which are fewer where a file is mapped.
    let shape = (
        stats.rows,
        stats.layout,
        stats.ef,
        stats.links,
        stats.taught_links,
        stats.layers,
        stats.path,
    );
    format!("{:?} {ids:?} {vectors:?} {found:?} {shape:?}", index.spec())
}

fn index_answers(index: &Index) -> Vec<(Vec<u32>, Vec<u32>)> {
    let dim = index.spec().dim;
    let query: Vec<f32> = (0..dim).map(|i| 0.5 - i as f32 / 7.0).collect();
    let eligible = index.eligible(Where::All, None).unwrap();
    [false, true]
        .map(|exact| {
            let ask = Ask {
                k: 3,
                ef: None,
                eligible: eligible.as_ref(),
                exact,
            };
            let (hits, _) = index.search(&query, ask, 1).unwrap().remove(0);
            assert_eq!(hits.len(), index.len().min(3));
            hits.iter()
                .map(|hit| (hit.row, hit.score.to_bits()))
                .unzip()
        })
        .to_vec()
}

fn catalog_content(catalog: &Catalog) -> String {
    let ids = catalog.id_map().live_ids();
    let items = catalog.get(&ids).unwrap();
    let specs: Vec<_> = catalog.specs().collect();
    let items: Vec<_> = items
        .iter()
        .map(|item| (&item.vectors, &item.attributes))
        .collect();
    format!("{ids:?} {items:?} {specs:?} {}", catalog.content_hash())
}

/// True when it was refused; anything but a format error fails.
fn refused(result: Result<String>, content: &str, what: &str) -> bool {
    match result {
        Ok(found) => {
            assert_eq!(found, content, "{what}: a damaged file was believed");
            false
        }
        Err(Error::Format(_)) => true,
        Err(other) => panic!("{what}: {other:?}"),
    }
}

fn damage_everywhere(path: &Path, open: &dyn Fn(&Path, bool) -> Result<String>) {
    let name = path.display();
    let content = open(path, false).unwrap();
    let mut target = Target::of(path);
    let sections = target.sections();
    let covered_to = 64 + 64 * sections.len();
    let (mut found, mut harmless) = (0, 0);
    for at in 0..target.good.len() {
        let covered = at < covered_to || sections.iter().any(|(_, range)| range.contains(&at));
        for bit in 0..8 {
            target.put(at, &[target.good[at] ^ 1 << bit]);
            let was = refused(
                open(path, (at + bit).is_multiple_of(4)),
                &content,
                &format!("{name}: bit {bit} of byte {at}"),
            );
            assert_eq!(was, covered, "{name}: bit {bit} of byte {at}");
            *(if was { &mut found } else { &mut harmless }) += 1;
        }
        target.restore(at, 1);
    }
    assert_eq!(found + harmless, 8 * target.good.len());
    for len in (0..target.good.len()).rev() {
        target.cut(len);
        let what = format!("{name}: {len} bytes of it");
        assert!(
            refused(open(path, len.is_multiple_of(2)), &content, &what),
            "{what}"
        );
    }
    target.whole();
    assert_eq!(open(path, true).unwrap(), content);

    // The same with checksums that hold: no crash, no hang, no error but of the format. Opening checks its own answers.
    let (mut found, mut believed) = (0, 0);
    for (i, (_, range)) in sections.iter().enumerate() {
        for at in range.clone() {
            for bit in 0..8 {
                target.put_sealed(i, at, target.good[at] ^ 1 << bit);
                match open(path, false) {
                    Ok(_) => believed += 1,
                    Err(Error::Format(_)) => found += 1,
                    Err(other) => panic!("{name}: sealed bit {bit} of byte {at}: {other:?}"),
                }
            }
            target.restore_sealed(at);
        }
    }
    for at in 64..covered_to {
        for bit in 0..8 {
            target.put_sealed_table(at, target.good[at] ^ 1 << bit);
            match open(path, false) {
                Ok(_) => believed += 1,
                Err(Error::Format(_)) => found += 1,
                Err(other) => panic!("{name}: sealed bit {bit} of byte {at}: {other:?}"),
            }
        }
        target.restore_sealed(64);
    }
    assert!(found > 1000 && believed > 0, "{name}: {found} {believed}");
}

fn open_index(path: &Path, mmap: bool) -> Result<String> {
    Index::load(path, mmap).map(|index| index_content(&index))
}

#[test]
fn an_index_without_links() {
    let folder = tempfile::tempdir().unwrap();
    for path in &indexes(folder.path())[..2] {
        damage_everywhere(path, &open_index);
    }
}

#[test]
fn an_index_with_links_and_a_finer_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = &indexes(folder.path())[2];
    assert!(Index::load(path, false).unwrap().stats().taught_links > 0);
    damage_everywhere(path, &open_index);
}

#[test]
fn an_index_with_codes() {
    let folder = tempfile::tempdir().unwrap();
    let path = &indexes(folder.path())[3];
    let index = Index::load(path, false).unwrap();
    assert_eq!(index.stats().layout, Layout::Local);
    // Found by fuzzing: the breadth of a walk for as many answers as there are numbers.
    let ask = Ask {
        k: usize::MAX,
        ef: None,
        eligible: None,
        exact: false,
    };
    let found = index.search(&[0.0, 0.5, 1.0], ask, 1).unwrap();
    assert_eq!(found[0].0.len(), index.stats().rows);
    damage_everywhere(path, &open_index);
}

#[test]
fn a_catalog_with_all_column_types() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog");
    catalog(&path);
    damage_everywhere(&path, &|path, mmap| {
        let opened = Catalog::open(path, mmap).map(|catalog| catalog_content(&catalog));
        if !mmap {
            // The same bytes from memory: the same answer.
            let bytes = std::fs::read(path).unwrap();
            let again = Catalog::of_bytes(&bytes).map(|catalog| catalog_content(&catalog));
            assert_eq!(format!("{again:?}"), format!("{opened:?}"));
        }
        opened
    });
}

/// Bytes that lie as a file's pages do are read in place, and others are copied as far as they have to be.
#[test]
fn a_catalog_in_memory_that_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog");
    catalog(&path);
    let file = std::fs::read(&path).unwrap();
    let read = Catalog::open(&path, false).unwrap();
    let mapped = Catalog::open(&path, true).unwrap();
    assert!(mapped.heap_bytes() < read.heap_bytes());
    for (offset, heap) in [
        (0, mapped.heap_bytes()..=mapped.heap_bytes()),
        (4, mapped.heap_bytes()..=read.heap_bytes()),
        (1, mapped.heap_bytes() + 1..=read.heap_bytes()),
    ] {
        // Words, so that it is known where they begin. They are never given back: they stay.
        let room = vec![0u64; file.len() / 8 + 2].leak();
        let memory: &'static mut [u8] = bytemuck::cast_slice_mut(room);
        memory[offset..offset + file.len()].copy_from_slice(&file);
        let bytes: &'static [u8] = &memory[offset..offset + file.len()];
        let catalog = Catalog::of_static(bytes).unwrap();
        assert_eq!(catalog_content(&catalog), catalog_content(&read));
        assert!(
            heap.contains(&catalog.heap_bytes()),
            "{offset}: {heap:?} {}",
            catalog.heap_bytes()
        );
        let refused = Catalog::of_static(&bytes[..bytes.len() - 1]);
        assert!(matches!(refused, Err(Error::Format(_))));
    }
}

#[test]
fn a_profile() {
    let spec = json!({
        "schema": "perso_core.profile/1", "space": "a", "kinds": {"click": 1.0, "skip": -0.5},
        "half_life_us": 1_800_000_000, "long_half_life_us": null, "prior_strength": 10.0, "short_weight": 0.5,
    });
    let plan = Arc::new(Plan::parse(&spec.to_string()).unwrap());
    let prior = Some(Prior::Base(vec![2.0, 0.0, -1.0]));
    let mut profile = Profile::new(Arc::clone(&plan), 3, prior).unwrap();
    profile
        .observe(&[1.0, 2.0, -3.0], "click", 1_700_000_000_000_000)
        .unwrap();
    profile
        .observe(&[1.0, 0.0, 3.0], "skip", 1_700_000_100_000_000)
        .unwrap();
    let good = profile.to_bytes();
    let read = |bytes: &[u8]| match Profile::from_bytes(bytes, Arc::clone(&plan)) {
        Ok(profile) => {
            // One form for each state, and a vector that a ranking takes.
            assert_eq!(profile.to_bytes(), bytes);
            profile.vector(1_700_000_200_000_000);
            false
        }
        Err(Error::Format(_)) => true,
        Err(other) => panic!("{other:?}"),
    };
    assert!(!read(&good));
    let covered = good.len() - 4;
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut damaged = good.clone();
            damaged[at] ^= 1 << bit;
            assert!(read(&damaged), "bit {bit} of byte {at}");
            let sealed = crc32fast::hash(&damaged[..covered]).to_le_bytes();
            damaged[covered..].copy_from_slice(&sealed);
            read(&damaged);
        }
        assert!(read(&good[..at]), "{at} bytes of it");
    }
}

fn options(layout: Layout, dtype: Dtype) -> Options {
    Options {
        ids: None,
        dtype,
        layout,
        rescore: None,
        seed: 0,
        graph: Choice::Auto,
        num_threads: 1,
    }
}

fn read(name: &str, bytes: &[u8]) -> Result<Foreign> {
    let mut input = Input::of(bytes);
    if name.contains("faiss") {
        return read_faiss(&mut input, None);
    }
    let space = match name {
        "tiny_hnswlib_ip.bin" => Metric::Ip,
        "tiny_hnswlib_cosine.bin" => Metric::Cosine,
        _ => Metric::L2,
    };
    read_hnswlib(&mut input, 3, space)
}

/// These files have no checksums: what a flip makes of a vector is a vector. So a damaged one is refused, as damaged or as
/// not what the caller says it is, or what comes of it answers and is saved and read again.
#[test]
fn files_of_other_libraries() {
    let folder = tempfile::tempdir().unwrap();
    for (name, good) in foreign() {
        let (mut refused, mut taken) = (0, 0);
        let mut check = |bytes: &[u8], what: &str| {
            let made = read(&name, bytes)
                .and_then(|foreign| foreign.into_index(options(Layout::Auto, Dtype::F32), &go));
            match made {
                Ok(imported) => {
                    taken += 1;
                    index_content(&imported.index);
                    if taken % 500 == 1 {
                        let path = folder.path().join("again");
                        imported.index.save(&path, &go).unwrap();
                        let again = Index::load(&path, false).unwrap();
                        assert_eq!(index_content(&again), index_content(&imported.index));
                    }
                }
                Err(Error::Format(_)) => refused += 1,
                Err(Error::Invalid { argument, .. })
                    if ["dim", "space", "metric"].contains(&&*argument) =>
                {
                    refused += 1;
                }
                Err(other) => panic!("{name}: {what}: {other:?}"),
            }
        };
        check(&good, "as it is");
        let mut damaged = good.clone();
        for at in 0..good.len() {
            for bit in 0..8 {
                damaged[at] ^= 1 << bit;
                check(&damaged, &format!("bit {bit} of byte {at}"));
                damaged[at] ^= 1 << bit;
            }
        }
        assert!(
            refused > good.len() / 4 && taken > good.len(),
            "{name}: {refused} {taken}"
        );
        for len in 0..good.len() {
            assert!(
                matches!(read(&name, &good[..len]), Err(Error::Format(_))),
                "{name}: {len} bytes of it"
            );
        }
        let longer = [&good[..], &[0]].concat();
        assert!(
            matches!(read(&name, &longer), Err(Error::Format(_))),
            "{name}"
        );
    }
}
