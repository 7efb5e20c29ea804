//! Ours and the frozen baseline, timed in turn within one process.
//!
//! A round runs frozen, ours, ours, frozen, so that a drift within it falls on both; its figure is
//! `ln(frozen / ours)`. A process reports the median of its rounds. Rounds of one process share the addresses
//! their memory came to lie at, and those matter (by some percent), so it is over processes that `bench/pairs.py`
//! takes its averages and its noise.

use std::hint::black_box;
use std::path::Path;

use perso_core::metric::{Dtype, Metric};
use perso_core::vectors::{Ask, Layout};
use perso_kernels::{Kernels, Matrix, Rows};

use crate::data::{codes, floats, index, spec, Numbers};
use crate::scenarios::ranking::Desk;
use crate::{clock, frozen};

const ROWS: usize = 20_000;
const DIM: usize = 128;

/// Medians over the rounds of every pair, as JSON: `{"isa": ..., "pairs": {name: {"log_ratio", "ours_ns"}}}`.
pub fn measure(folder: &Path, rounds: usize) -> serde_json::Value {
    let mut found = serde_json::Map::new();
    let mut add = |name: &str, ours: &mut dyn FnMut(usize), frozen: &mut dyn FnMut(usize)| {
        found.insert(name.into(), pair(rounds, ours, frozen));
    };

    let (q, x) = (floats(DIM, 1), floats(1000 * DIM, 2));
    let (q8, x8) = (codes(DIM, 1), codes(ROWS * DIM, 2));
    let (mut out, mut out8) = (vec![0.0; 1000], vec![0; 1000]);
    let some = Rows::Range {
        start: 0,
        len: 1000,
    };
    add(
        "dot-f32",
        &mut |_| {
            Kernels::get().dot_f32_rows(&q, Matrix::new(&x, DIM, DIM), some, black_box(&mut out))
        },
        &mut |_| {
            let sums = x.chunks_exact(DIM).map(|x| frozen::dot_f32(&q, x));
            black_box(sums.sum::<f32>());
        },
    );
    add(
        "dot-i8",
        &mut |_| {
            Kernels::get().dot_i8_rows(&q8, Matrix::new(&x8, DIM, DIM), some, black_box(&mut out8))
        },
        &mut |_| {
            let sums = x8
                .chunks_exact(DIM)
                .take(1000)
                .map(|x| frozen::dot_i8(&q8, x));
            black_box(sums.sum::<i32>());
        },
    );

    let (index, queries) = index(
        folder,
        spec(DIM, Metric::Cosine, Dtype::I8, Layout::Compact),
        ROWS,
    );
    let query = |i: usize| &queries[(i % crate::data::QUERIES) * DIM..][..DIM];
    let search = |queries: &[f32], exact: bool| {
        let ask = Ask {
            k: 10,
            ef: None,
            eligible: None,
            exact,
        };
        black_box(index.search(queries, ask, 1).expect("valid queries"));
    };
    let scan = |_: usize| {
        black_box(frozen::top_ten(ROWS, |row| {
            frozen::dot_i8(&q8, &x8[row * DIM..][..DIM]) as f32
        }));
    };
    add("scan-i8", &mut |i| search(query(i), true), &mut { scan });
    add(
        "scan-i8-batch",
        &mut |_| search(&queries[..8 * DIM], true),
        &mut |i| (0..8).for_each(|_| scan(i)),
    );
    let mut numbers = Numbers::new(5);
    let ids: Vec<u32> = (0..64 * 32).map(|_| numbers.below(ROWS) as u32).collect();
    let walk = |_: usize| {
        black_box(frozen::walk(&q8, &x8, &ids));
    };
    add(
        "search-compact-i8",
        &mut |i| search(query(i), false),
        &mut { walk },
    );

    let desk = Desk::new(folder);
    let requests: Vec<_> = (0..16).map(|i| desk.request(i)).collect();
    let pool: Vec<u32> = ids.iter().copied().take(500).collect();
    add(
        "rank",
        &mut |i| {
            black_box(desk.rank(&requests[i % 16]));
        },
        &mut |i| {
            walk(i);
            black_box(frozen::diversify(&x8, DIM, &pool, 20));
        },
    );
    serde_json::json!({"isa": Kernels::get().isa().as_str(), "pairs": found})
}

/// Calls for about this long make one timing: long beside the clock's own cost, short beside a time slice.
const SLICE_NS: u64 = 1_000_000;

fn pair(
    rounds: usize,
    ours: &mut dyn FnMut(usize),
    frozen: &mut dyn FnMut(usize),
) -> serde_json::Value {
    let timed = |calls: usize, run: &mut dyn FnMut(usize)| {
        let start = clock::now();
        (0..calls).for_each(&mut *run);
        (clock::now() - start).max(1)
    };
    // Calls that fill a slice, in whole passes over the queries where that is not much longer.
    let calls = |run: &mut dyn FnMut(usize)| {
        let one = timed(8, run) / 8;
        (SLICE_NS / one.max(1)).max(1).next_multiple_of(8) as usize
    };
    let (n_ours, n_frozen) = (calls(ours), calls(frozen));
    let (mut ratios, mut times) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let first = timed(n_frozen, frozen);
        let mine = timed(n_ours, ours) + timed(n_ours, ours);
        let theirs = first + timed(n_frozen, frozen);
        let mine = mine as f64 / (2 * n_ours) as f64;
        let theirs = theirs as f64 / (2 * n_frozen) as f64;
        ratios.push((theirs / mine).ln());
        times.push(mine);
    }
    serde_json::json!({"log_ratio": median(ratios), "ours_ns": median(times).round()})
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}
