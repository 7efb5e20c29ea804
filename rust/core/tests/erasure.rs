//! What is removed and compacted is nowhere: the whole memory of the process is searched for it, and the file.
//!
//! The allocator of this test overwrites what is freed, so that what is found is held by something; and memory
//! that is mapped goes back to the system. What is looked for is kept with its bits turned over.
#![cfg(target_os = "linux")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use perso_core::catalog::{Catalog, Upsert};
use perso_core::column::{ColumnType, Value};
use perso_core::ids::Ids;
use perso_core::metric::{Dtype, Metric};
use perso_core::vectors::{Layout as Beside, Rescore, Spec};

struct Overwriting;

// SAFETY: memory comes from and goes to the system's allocator as it is asked for; it is overwritten while it is
// still allocated.
unsafe impl GlobalAlloc for Overwriting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe {
            at.write_bytes(0, layout.size());
            // Or the compiler would leave it out, as nobody reads it any more.
            std::hint::black_box(at);
            System.dealloc(at, layout);
        }
    }
}

#[global_allocator]
static ALLOCATOR: Overwriting = Overwriting;

const DIM: usize = 48;
const ITEMS: i64 = 3000;
const SECRET: i64 = 1234;

fn vector(item: i64) -> Vec<f32> {
    let mut state = item as u64 + 1;
    (0..DIM)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// A text that is made of an item's number and found nowhere else.
fn text(item: i64) -> String {
    let digits = (item as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("text of {digits:016x}")
}

fn upsert(ids: std::ops::Range<i64>) -> Upsert {
    Upsert {
        vectors: ["f32", "i8"]
            .iter()
            .map(|space| ((*space).into(), ids.clone().flat_map(vector).collect()))
            .collect(),
        attributes: vec![
            (
                "title".into(),
                ColumnType::Str,
                ids.clone().map(|id| Value::Str(text(id).into())).collect(),
            ),
            (
                "tags".into(),
                ColumnType::StrList,
                ids.clone()
                    .map(|id| Value::StrList(vec![text(id + 100_000).into(), "all".into()]))
                    .collect(),
            ),
        ],
        ids: Ids::Str(ids.map(|id| text(id + 200_000).into()).collect()),
    }
}

fn turned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

/// How often bytes are found whose complement is given.
fn count(bytes: &[u8], complement: &[u8]) -> usize {
    bytes
        .windows(complement.len())
        .filter(|window| {
            window[0] == !complement[0] && window.iter().zip(complement).all(|(a, b)| *a == !b)
        })
        .count()
}

/// The same in all memory of this process that can be written.
fn count_in_memory(complements: &[Vec<u8>]) -> Vec<usize> {
    let mut found = vec![0; complements.len()];
    let mut memory = File::open("/proc/self/mem").unwrap();
    let mut buffer = vec![0; 1 << 16];
    let own = buffer.as_ptr() as u64..buffer.as_ptr() as u64 + buffer.len() as u64;
    let maps: Vec<String> = BufReader::new(File::open("/proc/self/maps").unwrap())
        .lines()
        .map(|line| line.unwrap())
        .filter(|line| {
            line.split(' ')
                .nth(1)
                .is_some_and(|mode| mode.starts_with("rw"))
        })
        .collect();
    for line in maps {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let from = u64::from_str_radix(from, 16).unwrap();
        let to = u64::from_str_radix(to, 16).unwrap();
        // Pieces overlap by less than what is looked for; this buffer itself is passed over.
        let mut at = from;
        while at < to {
            let some = buffer.len().min((to - at) as usize);
            let mine = at < own.end && at + some as u64 > own.start;
            if !mine
                && memory.seek(SeekFrom::Start(at)).is_ok()
                && memory.read_exact(&mut buffer[..some]).is_ok()
            {
                for (found, complement) in found.iter_mut().zip(complements) {
                    *found += count(&buffer[..some], complement);
                }
            }
            buffer.fill(0);
            at += if some < 128 {
                some as u64
            } else {
                some as u64 - 64
            };
        }
    }
    found
}

#[test]
fn removed_and_compacted_items_are_in_no_file_and_no_memory() {
    let spec = |dtype, rescore| Spec {
        layout: Beside::Local,
        rescore,
        ..Spec::new(DIM, Metric::Cosine, dtype)
    };
    let mut catalog = Catalog::new(vec![
        ("f32".into(), spec(Dtype::F32, None)),
        ("i8".into(), spec(Dtype::I8, Some(Rescore::F16))),
    ])
    .unwrap();
    catalog.upsert(upsert(0..ITEMS), 1, &|_, _| true).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog");

    // The vector in its three forms, the texts, and the id.
    let mut needles: Vec<Vec<u8>> = Vec::new();
    {
        let row = catalog
            .id_map()
            .row(&perso_core::ids::Id::Str(text(SECRET + 200_000).into()))
            .unwrap();
        for space in 0..2 {
            let mut bytes = Vec::new();
            catalog.vectors(space).row_bytes_into(row, &mut bytes);
            // Behind the scale of codes, and at the end, where a finer copy lies.
            needles.push(turned(&bytes[8..40]));
            needles.push(turned(&bytes[bytes.len() - 32..]));
        }
        for number in [SECRET, SECRET + 100_000, SECRET + 200_000] {
            needles.push(turned(text(number).as_bytes()));
        }
    }
    let in_file = |catalog: &Catalog| {
        catalog.save(&path, &|_, _| true).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        needles
            .iter()
            .map(|needle| count(&bytes, needle))
            .collect::<Vec<usize>>()
    };
    assert!(in_file(&catalog).iter().all(|count| *count > 0));
    assert!(count_in_memory(&needles).iter().all(|count| *count > 0));

    let version = catalog.clone();
    catalog
        .remove(&Ids::Str(vec![text(SECRET + 200_000).into()]))
        .unwrap();
    catalog.compact().unwrap();
    assert_eq!(in_file(&catalog), vec![0; needles.len()]);
    // A version that somebody still reads keeps what was there.
    assert!(count_in_memory(&needles).iter().all(|count| *count > 0));
    drop(version);
    assert_eq!(count_in_memory(&needles), vec![0; needles.len()]);
    assert_eq!(catalog.len(), ITEMS as usize - 1);
}
