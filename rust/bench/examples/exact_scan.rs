//! Exact scans by one query beside the read bandwidth of the same core and memory, in the same rounds.
//!
//! `cargo run --release -p perso-bench --example exact_scan -- [i8 f16 f32] [cosine ip l2]` reads and scans
//! 256 MiB of rows of 256 dimensions in turn and prints the best round of each, the ratio of these and the
//! median ratio of all rounds, for every type and metric named, or for all of them. Time is the processor's,
//! so that what else runs enters by the caches and the memory only. `PERSO_CORE_ISA` chooses the kernels.

use perso_core::exact::scan;
use perso_core::metric::{Dtype, Metric};
use perso_core::scored::ByRow;
use perso_core::store::{Buf, VectorStore};
use perso_kernels::Kernels;
use std::hint::black_box;

#[path = "../src/clock.rs"]
mod clock;

const DIM: usize = 256;
const BYTES: usize = 256 << 20;
const ROUNDS: usize = 60;
const K: usize = 10;

/// The plainest reduction there is, over as many independent sums as hide the additions.
fn read(words: &[u64]) -> u64 {
    let mut sums = [0u64; 32];
    for words in words.as_chunks::<32>().0 {
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().fold(0, |all, sum| all.wrapping_add(*sum))
}

fn seconds<T>(run: impl FnOnce() -> T) -> f64 {
    let start = clock::now();
    black_box(run());
    (clock::now() - start) as f64 / 1e9
}

/// Numbers of a generator, in [-1, 1), like enough to noise that few rows are near the query.
fn numbers(count: usize, state: &mut u64) -> Vec<f32> {
    (0..count)
        .map(|_| {
            *state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (*state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn main() {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let pick = |all: [&'static str; 3]| -> Vec<&'static str> {
        let some: Vec<_> = all
            .into_iter()
            .filter(|a| named.iter().any(|n| n == a))
            .collect();
        if some.is_empty() {
            all.to_vec()
        } else {
            some
        }
    };
    let mut words = Buf::default();
    words.extend_from_slice(&vec![1u64; BYTES / 8]);
    println!("kernels: {}", Kernels::get().isa());
    for dtype in pick(["i8", "f16", "f32"]) {
        for metric in pick(["cosine", "ip", "l2"]) {
            let dtype = Dtype::parse("dtype", dtype).expect("a type");
            let metric = Metric::parse("metric", metric).expect("a metric");
            let rows = BYTES / (DIM * dtype.size());
            let mut store = VectorStore::new(DIM, metric, dtype).expect("a store");
            let mut state = 7;
            while store.len() < rows {
                store.push(&numbers((rows - store.len()).min(4096) * DIM, &mut state));
            }
            let query = store.query(&numbers(DIM, &mut state));
            let (mut reading, mut scanning) = (f64::INFINITY, f64::INFINITY);
            let mut pairs: Vec<f64> = Vec::new();
            for _ in 0..ROUNDS {
                let one = seconds(|| read(&words));
                let other = seconds(|| scan(&store, &query, K, None, &ByRow));
                pairs.push(one / other);
                reading = reading.min(one);
                scanning = scanning.min(other);
            }
            pairs.sort_unstable_by(f64::total_cmp);
            let best = scan(&store, &query, K, None, &ByRow)[0];
            println!(
                "{:4}{:8}{rows} x {DIM}: read {:6.2} ms ({:5.2} GB/s), scan {:6.2} ms ({:5.2} GB/s), ratio {:.2}, of pairs {:.2}; best row {} {}",
                dtype.as_str(),
                metric.as_str(),
                reading * 1e3,
                BYTES as f64 / reading / 1e9,
                scanning * 1e3,
                BYTES as f64 / scanning / 1e9,
                reading / scanning,
                pairs[ROUNDS / 2],
                best.row,
                best.score,
            );
        }
    }
}
