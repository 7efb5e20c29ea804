//! Exact scan: the true top-k under the reported score.
//!
//! For `f32` and `f16` every eligible row is scored once. For `i8` two passes give the same answer at
//! the price of an integer scan:
//!
//! 1. every row gets its coarse score `c` (integer dot product with the quantised query) and a bound
//!    `e` on `|fine - c|`. With `q̂` the quantised query and `x` the stored vector,
//!    `|q·x - q̂·x| <= |q - q̂| |x|` (Cauchy-Schwarz), plus the rounding of an f32 sum in 32 lanes
//!    (Higham, *Accuracy and Stability*, section 4.2). A row whose `c + e` is below the k-th best
//!    `c - e` seen so far cannot be among the answers.
//! 2. the survivors (some hundreds of 100,000 sentence embeddings) get their fine score.
//!
//! The first pass is one kernel (`Kernels::sift_i8`): it leaves a bit for each row that stays, and the rest of
//! the scan touches those alone. With the scores, the bounds and the comparison in passes of their own over 512
//! rows, and the first cache asked ahead: .64 to .70 of the read bandwidth (1,048,576 x 256, cosine, Zen 4,
//! AVX-512 VNNI); so: .86. With AVX2 .69 to .71 and .71 to .74, where the kernel by itself has .84; what takes
//! the rest there was not found out. `cargo run --release -p perso-bench --example exact_scan` prints the figure
//! of the machine it is on.

use perso_kernels::{Coded, Kernels, Rows, SIFT_ROWS};

use crate::batch::{self, Asked, Corpus};
use crate::eligible::RowSet;
use crate::error::Result;
use crate::metric::Dtype;
use crate::scored::{rank_order, ByRow, Scored, TieBreak, TopK};
use crate::sort::sort_by;
use crate::store::{Data, Query, VectorStore};
use crate::threads;

/// From this share of eligible rows on a block of rows is read as it lies, and the others' scores are dropped: rows in order
/// take 14 ns each, and chosen ones 36 to 50 (384 int8 codes, Zen 4).
pub(crate) const DENSE: f64 = 0.4;

/// Rows scored per kernel call: enough to hide the call, few enough to stay in the first-level cache.
const BLOCK: usize = 512;

/// The best `k` eligible rows, best first; `None` means that every row is eligible.
pub fn scan<T: TieBreak + ?Sized>(
    store: &VectorStore,
    query: &Query,
    k: usize,
    eligible: Option<&RowSet>,
    tie: &T,
) -> Vec<Scored> {
    if store.dtype() != Dtype::I8 {
        let mut top = TopK::new(k, tie);
        for_each_block(store.len(), eligible, |rows, words, scores| {
            store.fine(query, rows, scores);
            match words {
                None => push_block(&mut top, rows, scores),
                Some(words) => push_some(&mut top, rows, words, scores),
            }
        });
        return top.into_sorted();
    }

    let mut lower = TopK::new(k, &ByRow);
    let mut survivors: Vec<(f32, u32)> = Vec::new();
    let mut limit = 4 * k.min(store.len()) + 4096;
    let mut sieve = store.sieve(query);
    let norms = store.norms();
    let mut masks = [0; BLOCK / SIFT_ROWS];
    for_each_block(store.len(), eligible, |rows, words, scores| {
        let masks = &mut masks[..rows.len().div_ceil(SIFT_ROWS)];
        sieve.threshold = lower.threshold();
        store.sift(query, &sieve, rows, scores, masks);
        for (group, mask) in masks.iter().enumerate() {
            let mut mask = *mask;
            if let Some(words) = words {
                mask &= (words[group / 2] >> (SIFT_ROWS * (group % 2))) as u32;
            }
            while mask != 0 {
                let i = group * SIFT_ROWS + mask.trailing_zeros() as usize;
                mask &= mask - 1;
                let (row, score) = (row_at(rows, i), scores[i]);
                let error = sieve.error_at(norms[row as usize]);
                // A bound that overflowed says nothing, so its row stays.
                let upper = match score + error {
                    upper if upper.is_nan() => f32::INFINITY,
                    upper => upper,
                };
                // The threshold may have risen since the sieve had it.
                let threshold = lower.threshold();
                if upper < threshold {
                    continue;
                }
                survivors.push((upper, row));
                let score = score - error;
                if score >= threshold {
                    lower.push(Scored { score, row });
                }
            }
        }
        let threshold = lower.threshold();
        if survivors.len() > limit {
            survivors.retain(|(upper, _)| *upper >= threshold);
            limit = limit.max(2 * survivors.len());
        }
    });
    let threshold = lower.threshold();
    let rows: Vec<u32> = survivors
        .into_iter()
        .filter(|(upper, _)| *upper >= threshold)
        .map(|(_, row)| row)
        .collect();
    fine_top_k(store, query, k, &rows, tie)
}

/// Fine scores of the given rows, the best `k` of them in order.
pub fn fine_top_k<T: TieBreak + ?Sized>(
    store: &VectorStore,
    query: &Query,
    k: usize,
    rows: &[u32],
    tie: &T,
) -> Vec<Scored> {
    let mut scores = [0.0; BLOCK];
    if rows.len() / 2 < k {
        // Most of them are answers: to sort them is less work than a heap.
        let mut all = Vec::with_capacity(rows.len());
        for block in rows.chunks(BLOCK) {
            let scores = &mut scores[..block.len()];
            store.fine(query, Rows::Ids(block), scores);
            let scored = block.iter().zip(scores.iter());
            all.extend(scored.map(|(&row, &score)| Scored { score, row }));
        }
        sort_by(&mut all, |a, b| rank_order(tie, *a, *b));
        all.truncate(k);
        return all;
    }
    let mut top = TopK::new(k, tie);
    for block in rows.chunks(BLOCK) {
        let scores = &mut scores[..block.len()];
        store.fine(query, Rows::Ids(block), scores);
        push_block(&mut top, Rows::Ids(block), scores);
    }
    top.into_sorted()
}

/// Fewer queries than these are faster one by one. Int8 rows have their codes; others have to be rounded
/// to codes first, which costs as much as scoring a row for some queries.
fn least_queries(dtype: Dtype) -> usize {
    match dtype {
        Dtype::I8 => 2,
        Dtype::F32 | Dtype::F16 => 12,
    }
}

/// What [`scan`] finds for each of some queries, at a fraction of its price: see `batch`.
pub fn scan_batch<T: TieBreak + Sync + ?Sized>(
    store: &VectorStore,
    queries: &[&[f32]],
    k: usize,
    eligible: Option<&RowSet>,
    tie: &T,
    threads: usize,
) -> Result<Vec<Vec<Scored>>> {
    if queries.len() >= least_queries(store.dtype()) {
        let kernels = Kernels::get();
        if let Some(asked) = Asked::new(kernels, store.metric(), store.dim(), queries) {
            let queries: Vec<Query> = queries.iter().map(|q| store.query(q)).collect();
            let corpus = Stored {
                store,
                queries,
                kernels,
            };
            if let Some(found) = batch::search(&corpus, &asked, k, eligible, tie, threads)? {
                return Ok(found);
            }
        }
    }
    threads::map(
        threads,
        queries,
        || (),
        |(), query| scan(store, &store.query(query), k, eligible, tie),
    )
}

struct Stored<'a> {
    store: &'a VectorStore,
    queries: Vec<Query>,
    kernels: &'static Kernels,
}

impl Corpus for Stored<'_> {
    fn len(&self) -> usize {
        self.store.len()
    }

    fn code(&self, row: usize, scratch: &mut [f32], codes: &mut [i8]) -> (Coded, f32) {
        let dim = self.store.dim();
        let coded = match self.store.data() {
            Data::F32(x) => self.kernels.quantise(&x[row * dim..][..dim], codes),
            Data::F16(x) => {
                self.kernels.f16_to_f32(&x[row * dim..][..dim], scratch);
                self.kernels.quantise(scratch, codes)
            }
            Data::I8 { codes: x, scales } => {
                codes.copy_from_slice(&x[row * dim..][..dim]);
                Coded {
                    scale: scales[row],
                    residual2: 0.0,
                }
            }
        };
        (coded, self.store.norms()[row])
    }

    fn score(&self, query: usize, rows: &[u32], out: &mut [f32]) {
        self.store.fine(&self.queries[query], Rows::Ids(rows), out);
    }
}

fn push_block<T: TieBreak + ?Sized>(top: &mut TopK<'_, T>, rows: Rows<'_>, scores: &[f32]) {
    if let Rows::Range { start, .. } = rows {
        return top.push_rows(start as u32, scores);
    }
    for (i, &score) in scores.iter().enumerate() {
        if score >= top.threshold() {
            top.push(Scored {
                score,
                row: row_at(rows, i),
            });
        }
    }
}

fn row_at(rows: Rows<'_>, i: usize) -> u32 {
    match rows {
        Rows::Range { start, .. } => (start + i) as u32,
        Rows::Ids(ids) => ids[i],
    }
}

/// The rows of a block whose bit is set.
fn push_some<T: TieBreak + ?Sized>(
    top: &mut TopK<'_, T>,
    rows: Rows<'_>,
    words: &[u64],
    scores: &[f32],
) {
    for (at, (&word, scores)) in words.iter().zip(scores.chunks(64)).enumerate() {
        let mut word = word;
        while word != 0 {
            let bit = word.trailing_zeros() as usize;
            word &= word - 1;
            if scores[bit] >= top.threshold() {
                top.push(Scored {
                    score: scores[bit],
                    row: row_at(rows, at * 64 + bit),
                });
            }
        }
    }
}

/// All eligible rows in blocks: where many of a block's rows are eligible the whole block, with a bit for each of its rows.
fn for_each_block(
    len: usize,
    eligible: Option<&RowSet>,
    mut f: impl FnMut(Rows<'_>, Option<&[u64]>, &mut [f32]),
) {
    let mut scores = [0.0; BLOCK];
    let Some(eligible) = eligible else {
        for start in (0..len).step_by(BLOCK) {
            let len = BLOCK.min(len - start);
            f(Rows::Range { start, len }, None, &mut scores[..len]);
        }
        return;
    };
    let mut rows = Vec::with_capacity(BLOCK);
    for (block, words) in eligible.words().chunks(BLOCK / 64).enumerate() {
        let start = block * BLOCK;
        let count: u32 = words.iter().map(|word| word.count_ones()).sum();
        let here = (words.len() * 64).min(len.saturating_sub(start));
        if f64::from(count) >= DENSE * here as f64 && count > 0 {
            let range = Rows::Range { start, len: here };
            f(range, Some(words), &mut scores[..here]);
            continue;
        }
        for (i, &word) in words.iter().enumerate() {
            let mut word = word;
            while word != 0 {
                rows.push((start + i * 64) as u32 + word.trailing_zeros());
                word &= word - 1;
                if rows.len() == BLOCK {
                    f(Rows::Ids(&rows), None, &mut scores);
                    rows.clear();
                }
            }
        }
    }
    f(Rows::Ids(&rows), None, &mut scores[..rows.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// The two-pass int8 scan, and the plain one, against scoring every row finely.
        #[test]
        fn a_scan_finds_what_scoring_everything_finds(
            seed in any::<u64>(), dim in 1usize..100, n in 0usize..1500, k in 0usize..40,
            metric in prop_oneof![Just(Metric::Ip), Just(Metric::Cosine), Just(Metric::L2)],
            dtype in prop_oneof![2 => Just(Dtype::I8), 1 => Just(Dtype::F32), 1 => Just(Dtype::F16)],
            filtered in any::<bool>(), magnitude in -12i32..12,
        ) {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * 2f32.powi(magnitude)
            };
            let mut store = VectorStore::new(dim, metric, dtype).unwrap();
            let mut x: Vec<f32> = (0..n * dim).map(|_| next()).collect();
            // Duplicates and zero vectors are where ties and zero norms live.
            for row in 1..n {
                if row % 7 == 0 {
                    x.copy_within((row - 1) * dim..row * dim, row * dim);
                } else if row % 11 == 0 {
                    x[row * dim..(row + 1) * dim].fill(0.0);
                }
            }
            store.push(&x);
            let query: Vec<f32> = (0..dim).map(|_| next()).collect();
            let query = store.query(&query);
            let mut eligible = RowSet::none(n);
            // The first blocks are read whole, the last ones by row.
            let few = |row: &u32| if *row < 1000 { row % 3 != 1 } else { row % 5 == 1 };
            (0..n as u32).filter(few).for_each(|row| eligible.insert(row));
            let eligible = filtered.then_some(&eligible);
            let found = scan(&store, &query, k, eligible, &ByRow);
            let all: Vec<u32> = (0..n as u32)
                .filter(|row| eligible.is_none_or(|set| set.contains(*row)))
                .collect();
            prop_assert_eq!(found, fine_top_k(&store, &query, k, &all, &ByRow));
        }

        /// Many queries at once against one at a time, for each kind of store.
        #[test]
        fn a_batch_finds_what_its_queries_find_alone(
            seed in any::<u64>(), dim in 1usize..100, n in 0usize..700, k in 0usize..40,
            count in 0usize..30, threads in 1usize..4,
            metric in prop_oneof![Just(Metric::Ip), Just(Metric::Cosine), Just(Metric::L2)],
            dtype in prop_oneof![Just(Dtype::F32), Just(Dtype::F16), Just(Dtype::I8)],
            filtered in any::<bool>(), magnitude in -12i32..12, lone in any::<bool>(),
        ) {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * 2f32.powi(magnitude)
            };
            let mut store = VectorStore::new(dim, metric, dtype).unwrap();
            let mut x: Vec<f32> = (0..n * dim).map(|_| next()).collect();
            for row in 1..n {
                let at = row * dim..(row + 1) * dim;
                match row % 13 {
                    0 => x.copy_within((row - 1) * dim..row * dim, row * dim),
                    1 => x[at].fill(0.0),
                    // One large component leaves the others few codes, so the bound is wide.
                    2 => x[row * dim] *= 200.0,
                    // Out of the range that the bound holds in.
                    3 if lone && row == 3 => x[at].iter_mut().for_each(|v| *v *= 1e-12),
                    _ => {}
                }
            }
            store.push(&x);
            let mut queries: Vec<f32> = (0..count * dim).map(|_| next()).collect();
            if count > 2 {
                queries[dim..2 * dim].fill(0.0);
            }
            let queries: Vec<&[f32]> = queries.chunks_exact(dim).collect();
            let mut eligible = RowSet::none(n);
            (0..n as u32).filter(|row| row % 3 != 1).for_each(|row| eligible.insert(row));
            let eligible = filtered.then_some(&eligible);
            let found = scan_batch(&store, &queries, k, eligible, &ByRow, threads).unwrap();
            prop_assert_eq!(found.len(), count);
            for (query, found) in queries.iter().zip(found) {
                prop_assert_eq!(found, scan(&store, &store.query(query), k, eligible, &ByRow));
            }
        }
    }
}
