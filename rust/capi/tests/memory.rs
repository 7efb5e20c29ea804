//! What a device needs to rank 200 items: less than 2 MB at its highest, counted by an allocator, from before the catalog
//! is opened until its record is there. Code, stacks and what the system keeps for a file are not in it.
//!
//! A binary of its own, with one test: the allocator counts for the whole process.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use perso_core::catalog::{Catalog, Upsert};
use perso_core::column::{ColumnType, Value};
use perso_core::ids::Ids;
use perso_core::metric::{Dtype, Metric};
use perso_core::vectors::Spec;
use support::calls;

const ITEMS: usize = 200;
const DIM: usize = 64;
const MOST: usize = 2_000_000;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    let held = HELD.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(held, Relaxed);
}

// SAFETY: every call is handed to the system's allocator as it came; the counters hold no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(size);
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises about memory, layout and size are passed on.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise that the memory came from here is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that `body` held at once beyond what was held before, and what it answers.
fn peak_of<T>(body: impl FnOnce() -> T) -> (usize, T) {
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let answer = body();
    (PEAK.load(Relaxed) - before, answer)
}

fn items() -> Catalog {
    let mut catalog = Catalog::new(vec![(
        "content".into(),
        Spec::new(DIM, Metric::Cosine, Dtype::I8),
    )])
    .unwrap();
    let numbers = (0..ITEMS * DIM).map(|i| ((i * i * 31 + 7 * i) % 257) as f32 - 128.0);
    let each = |f: &dyn Fn(usize) -> Value| (0..ITEMS).map(f).collect::<Vec<_>>();
    let upsert = Upsert {
        ids: Ids::Int((0..ITEMS as i64).collect()),
        vectors: vec![("content".into(), numbers.collect())],
        attributes: vec![
            (
                "popularity".into(),
                ColumnType::Float,
                each(&|i| Value::Float((i * 37 % 101) as f64)),
            ),
            (
                "published".into(),
                ColumnType::Time,
                each(&|i| Value::Time(support::AT - i as i64 * 3_600_000_000)),
            ),
            (
                "genre".into(),
                ColumnType::StrList,
                each(&|i| Value::StrList(vec![format!("g{}", i % 5).into()])),
            ),
        ],
    };
    catalog.upsert(upsert, 1, &|_, _| true).unwrap();
    catalog
}

fn request() -> String {
    let user: Vec<f32> = (0..DIM).map(|i| (i as f32 * 0.37).sin()).collect();
    format!(
        r#"{{"k": 20, "at": {}, "seed": 7, "request_id": "r-1", "user": {{"content": {user:?}}}}}"#,
        support::AT
    )
}

/// All 200 are candidates, and every stage has work.
fn policy(diversity: &str, explore: &str) -> String {
    format!(
        r#"{{"schema": "perso_core.policy/1", "candidates": {ITEMS},
        "score": {{"signals": [
            {{"kind": "similarity", "name": "similarity", "space": "content", "weight": 1.0, "normalize": "minmax"}},
            {{"kind": "value", "name": "popularity", "weight": 0.2, "normalize": "rank"}},
            {{"kind": "decay", "name": "freshness", "attribute": "published",
              "half_life_us": 259200000000, "weight": 0.3, "normalize": "none"}}
        ]}},
        "diversity": {diversity}, "caps": {{"genre": 6}}, "explore": {explore}}}"#
    )
}

#[test]
fn two_hundred_items_are_ranked_in_less_than_two_megabytes() {
    let folder = calls::folder();
    let path = support::save(&items(), folder.path(), "capsule.pc");
    let request = request();
    let diversities = [
        r#"{"kind": "mmr", "diversity": 0.3, "space": "content"}"#,
        r#"{"kind": "dpp", "diversity": 0.5, "space": "content"}"#,
    ];
    let explorers = [
        r#"{"kind": "epsilon_greedy", "epsilon": 0.3}"#,
        r#"{"kind": "plackett_luce", "temperature": 0.3}"#,
    ];
    for diversity in diversities {
        for explore in explorers {
            let policy = policy(diversity, explore);
            let (opening, catalog) = peak_of(|| calls::open(&path, 0));
            let (ranking, record) = peak_of(|| calls::record(&catalog, &request, &policy));
            let held = HELD.load(Relaxed);
            drop(catalog);
            let catalog_bytes = held - HELD.load(Relaxed);
            println!(
                "{diversity} {explore}: opening {opening}, the catalog {catalog_bytes}, ranking {ranking} bytes more"
            );
            // The codes alone, and the record alone: the counters count.
            assert!(catalog_bytes > ITEMS * DIM && ranking > record.len());
            let peak = opening.max(catalog_bytes + ranking);
            assert!(peak < MOST, "{peak} bytes at the highest");
        }
    }
}
