//! What opening a file holds is bounded by the file's size, whatever the file claims: checked with an allocator that counts,
//! over every bit of the headers, tables and descriptions flipped with checksums that hold, every bit of foreign files, and
//! capsules that were signed damaged. So is what a device holds to rank one.
//!
//! A binary of its own, with one test: the allocator counts for the whole process.

mod hostile_support;

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;

use hostile_support::{catalog, foreign, go, indexes, Target};
use perso_core::capsule::{pack, seal, Capsule, Packing, PrivateKey};
use perso_core::catalog::Catalog;
use perso_core::column::{Column, ColumnType, Value};
use perso_core::error::Error;
use perso_core::foreign::{read_faiss, read_hnswlib, Choice, Input, Options};
use perso_core::ids::Ids;
use perso_core::index::Index;
use perso_core::metric::{Dtype, Metric};
use perso_core::rank::{
    unnamed_space, Candidates, Eligibility, Policy, Request, Source, UserVectors,
};
use perso_core::vectors::{Layout, Spec};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    let held = HELD.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(held, Relaxed);
}

// SAFETY: every call is handed to the system's allocator as it came; the counters hold no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Memory) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Memory) -> *mut u8 {
        grow(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Memory, size: usize) -> *mut u8 {
        grow(size);
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises about memory, layout and size are passed on.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Memory) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise that the memory came from here is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes held for each byte of a file: its numbers, and maps of ids and dictionaries, whose entries weigh some ten words
/// and may have 8 bytes in a file.
const SHARE: usize = 32;
/// Bytes held whatever the size: a buffer to read through, the section table, a few rows of the widest space.
const FIXED: usize = 1 << 17;

/// Runs `f` and checks its peak.
fn bounded<R>(what: &str, len: usize, f: impl FnOnce() -> R) -> R {
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = f();
    let most = PEAK.load(Relaxed) - before;
    assert!(
        most <= SHARE * len + FIXED,
        "{what}: {most} bytes were held for a file of {len}"
    );
    result
}

fn format_error<T>(what: &str, result: Result<T, Error>) -> bool {
    match result {
        Ok(_) => false,
        Err(Error::Format(_)) => true,
        Err(other) => panic!("{what}: {other:?}"),
    }
}

fn attack(path: &Path, open: &dyn Fn(&Path) -> Result<(), Error>) {
    let mut target = Target::of(path);
    let sections = target.sections();
    let (name, len) = (path.display().to_string(), target.good.len());
    bounded(&name, len, || open(path)).unwrap();
    let mut refused = 0;
    let check = |what: &str| usize::from(format_error(what, bounded(what, len, || open(path))));
    for (i, (section, range)) in sections.iter().enumerate() {
        // Where sizes are claimed: in the description, and in what is read as an offset, a count or an end.
        let claims = [
            "meta", "ends", "offsets", "starts", "levels", "entry", "codes",
        ];
        if !claims.iter().any(|claim| section.ends_with(claim)) {
            continue;
        }
        for at in range.clone() {
            for bit in 0..8 {
                target.put_sealed(i, at, target.good[at] ^ 1 << bit);
                refused += check(&format!("{name}: {section}, bit {bit} of byte {at}"));
            }
            target.restore_sealed(at);
        }
    }
    for at in 0..64 + 64 * sections.len() {
        for bit in 0..8 {
            target.put_sealed_table(at, target.good[at] ^ 1 << bit);
            refused += check(&format!("{name}: bit {bit} of byte {at}"));
        }
        target.restore_sealed(0);
    }
    // A dimension, a number of links, a seed as large as can be written.
    let (meta, range) = sections[0].clone();
    assert_eq!(meta, "meta");
    for at in range {
        if target.good[at].is_ascii_digit() {
            target.put_sealed(0, at, b'9');
            refused += check(&format!("{name}: a 9 at {at}"));
            target.restore_sealed(at);
        }
    }
    assert!(refused > 500, "{name}: {refused}");
    bounded(&name, len, || open(path)).unwrap();
}

/// A capsule of `n` candidates.
fn capsule(n: usize, dim: usize) -> Vec<u8> {
    let policy = r#"{"schema":"perso_core.policy/1","candidates":500,
        "score":{"signals":[{"kind":"similarity","name":"similarity","weight":1,"normalize":"minmax"}]},
        "diversity":{"kind":"mmr","diversity":0.3},"caps":{"genre":3},
        "explore":{"kind":"epsilon_greedy","epsilon":0.1}}"#;
    let vectors = (0..n * dim).map(|i| (i * 37 % 1009) as f32 - 500.0);
    let mut genres = Column::new(ColumnType::StrList);
    for i in 0..n {
        let genres_of = vec![format!("g{}", i % 7).into(), format!("h{}", i % 3).into()];
        let value = match i % 5 {
            4 => Value::Null,
            _ => Value::StrList(genres_of),
        };
        genres.push("genre", value).unwrap();
    }
    let source = Candidates::new(
        Ids::Str((0..n).map(|i| format!("item {i}").into()).collect()),
        vec![(unnamed_space(dim, Metric::Cosine), vectors.collect())],
        None,
        vec![("genre".into(), genres)],
    )
    .unwrap();
    let ids = source.ids().live_ids();
    let packing = Packing {
        ids: &ids,
        spaces: None,
        dtype: Dtype::I8,
        attributes: &[],
        signals: &[],
        plan: None,
        made_at: 1_000_000,
        expires_at: 2_000_000,
    };
    let policy = Arc::new(Policy::parse(policy).unwrap());
    pack(
        &source,
        &policy,
        &packing,
        &PrivateKey::new(&[3; 32]).unwrap(),
    )
    .unwrap()
}

/// Everything that can be wrong with a capsule although its signature holds.
fn capsules() {
    let key = PrivateKey::new(&[3; 32]).unwrap();
    let keys = [key.public()];
    let good = capsule(6, 3);
    let body = &good[..good.len() - 72];
    let mut refused = 0;
    let mut check = |body: Vec<u8>, what: &str| {
        let bytes = seal(body, &key);
        match bounded(what, bytes.len(), || {
            Capsule::open(&bytes, &keys, 1_500_000)
        }) {
            Ok(_) => {}
            Err(Error::Capsule { .. }) => refused += 1,
            Err(other) => panic!("{what}: {other:?}"),
        }
    };
    for at in 4..body.len() {
        let mut damaged = body.to_vec();
        damaged[at] ^= 1 << (at % 8);
        check(damaged, &format!("capsule: a bit of byte {at}"));
        let mut damaged = body.to_vec();
        let end = (at + 4).min(body.len());
        damaged[at..end].fill(0x7f);
        check(damaged, &format!("capsule: a large number at {at}"));
    }
    assert!(refused > body.len() / 2, "{refused} of {}", 2 * body.len());

    // What a device holds for 200 candidates: opened, ranked, recorded.
    let bytes = capsule(200, 64);
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let opened = Capsule::open(&bytes, &keys, 1_500_000).unwrap();
    let request = Request {
        user: Some(vec![("vectors".into(), vec![1.0f32; 64].into())]),
        k: 20,
        eligible: Eligibility::all(opened.id_map()),
        signals: Arc::default(),
        at: 1_500_000,
        seed: 1,
        request_id: "r".into(),
        target: None,
        pins: Default::default(),
        allow: None,
        budget_us: None,
        route: None,
    };
    let slate = opened.rank(&request).unwrap();
    assert_eq!(slate.len(), 20);
    opened.record(&slate, UserVectors::Withheld).unwrap();
    let most = PEAK.load(Relaxed) - before;
    println!(
        "a capsule of {} bytes: {most} bytes to open, rank and record",
        bytes.len()
    );
    assert!(most < 1 << 20, "{most}");
}

#[test]
fn what_is_held_while_a_file_is_opened_is_bounded_by_its_size() {
    capsules();
    let folder = tempfile::tempdir().unwrap();
    let index = |path: &Path| Index::load(path, false).map(drop);
    for path in indexes(folder.path()) {
        attack(&path, &index);
    }
    let path = folder.path().join("catalog");
    catalog(&path);
    attack(&path, &|path| Catalog::open(path, false).map(drop));

    // One large enough for the share to count and not the fixed part.
    let spec = Spec {
        layout: Layout::Compact,
        m: 4,
        ef_construction: 10,
        ..Spec::new(2, Metric::L2, Dtype::F32)
    };
    let mut large = Index::new(spec).unwrap();
    let numbers: Vec<f32> = (0..40_000).map(|i| (i * 37 % 1009) as f32).collect();
    large.add(&numbers, None, 1, &go).unwrap();
    let path = folder.path().join("large");
    large.save(&path, &go).unwrap();
    let len = std::fs::metadata(&path).unwrap().len() as usize;
    assert!(len > 4 * FIXED);
    bounded("large", len, || index(&path)).unwrap();

    for (name, good) in foreign() {
        let mut refused = 0;
        let mut check = |bytes: &[u8], what: &str| {
            let made = bounded(what, bytes.len(), || {
                let mut input = Input::of(bytes);
                let foreign = if name.contains("faiss") {
                    read_faiss(&mut input, None)
                } else {
                    read_hnswlib(&mut input, 3, Metric::L2)
                }?;
                let options = Options {
                    ids: None,
                    dtype: Dtype::F32,
                    layout: Layout::Auto,
                    rescore: None,
                    seed: 0,
                    graph: Choice::Auto,
                    num_threads: 1,
                };
                foreign.into_index(options, &go).map(drop)
            });
            match made {
                Ok(()) => {}
                Err(Error::Format(_)) => refused += 1,
                Err(Error::Invalid { argument, .. }) if argument == "dim" => refused += 1,
                Err(other) => panic!("{what}: {other:?}"),
            }
        };
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut damaged = good.clone();
                damaged[at] ^= 1 << bit;
                check(&damaged, &format!("{name}: bit {bit} of byte {at}"));
            }
            // Whatever number this is the start of, as large as it gets.
            let mut damaged = good.clone();
            let end = (at + 8).min(good.len());
            damaged[at..end].fill(0x7f);
            check(&damaged, &format!("{name}: a large number at {at}"));
        }
        assert!(refused > good.len() / 2, "{name}: {refused}");
    }
}
