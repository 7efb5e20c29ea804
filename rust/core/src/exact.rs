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
//! The integer scan of 100,000 x 128 codes takes 610 µs where reading them takes 510; with bounds checks
//! in the loop that turns sums into scores, which kept it from being vectorised, it took 860.

use perso_kernels::Rows;

use crate::eligible::RowSet;
use crate::metric::Dtype;
use crate::scored::{ByRow, Scored, TieBreak, TopK};
use crate::store::{Query, VectorStore};

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
        for_each_block(store.len(), eligible, |rows, scores| {
            store.fine(query, rows, scores);
            push_block(&mut top, rows, scores);
        });
        return top.into_sorted();
    }

    let mut lower = TopK::new(k, &ByRow);
    let mut survivors: Vec<(f32, u32)> = Vec::new();
    let mut limit = 4 * k.min(store.len()) + 4096;
    let bound = store.coarse_error(query);
    let norms = store.norms();
    for_each_block(store.len(), eligible, |rows, scores| {
        store.coarse(store.metric(), query, rows, scores);
        let mut threshold = lower.threshold();
        for (i, &score) in scores.iter().enumerate() {
            let row = row_at(rows, i);
            let error = bound.at(norms[row as usize]);
            // A bound that overflowed says nothing, so its row stays.
            let upper = match score + error {
                upper if upper.is_nan() => f32::INFINITY,
                upper => upper,
            };
            if upper < threshold {
                continue;
            }
            survivors.push((upper, row));
            let score = score - error;
            if score >= threshold {
                lower.push(Scored { score, row });
                threshold = lower.threshold();
            }
        }
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
    let mut top = TopK::new(k, tie);
    let mut scores = [0.0; BLOCK];
    for block in rows.chunks(BLOCK) {
        let scores = &mut scores[..block.len()];
        store.fine(query, Rows::Ids(block), scores);
        push_block(&mut top, Rows::Ids(block), scores);
    }
    top.into_sorted()
}

fn push_block<T: TieBreak + ?Sized>(top: &mut TopK<'_, T>, rows: Rows<'_>, scores: &[f32]) {
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

fn for_each_block(len: usize, eligible: Option<&RowSet>, mut f: impl FnMut(Rows<'_>, &mut [f32])) {
    let mut scores = [0.0; BLOCK];
    let Some(eligible) = eligible else {
        for start in (0..len).step_by(BLOCK) {
            let block = BLOCK.min(len - start);
            f(Rows::Range { start, len: block }, &mut scores[..block]);
        }
        return;
    };
    let mut rows = Vec::with_capacity(BLOCK);
    for row in eligible.iter() {
        rows.push(row);
        if rows.len() == BLOCK {
            f(Rows::Ids(&rows), &mut scores);
            rows.clear();
        }
    }
    f(Rows::Ids(&rows), &mut scores[..rows.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// The two-pass int8 scan against scoring every row finely.
        #[test]
        fn i8_scan_finds_what_scoring_everything_finds(
            seed in any::<u64>(), dim in 1usize..100, n in 0usize..1500, k in 0usize..40,
            metric in prop_oneof![Just(Metric::Ip), Just(Metric::Cosine), Just(Metric::L2)],
            filtered in any::<bool>(), magnitude in -12i32..12,
        ) {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * 2f32.powi(magnitude)
            };
            let mut store = VectorStore::new(dim, metric, Dtype::I8).unwrap();
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
            (0..n as u32).filter(|row| row % 3 != 1).for_each(|row| eligible.insert(row));
            let eligible = filtered.then_some(&eligible);
            let found = scan(&store, &query, k, eligible, &ByRow);
            let all: Vec<u32> = (0..n as u32)
                .filter(|row| eligible.is_none_or(|set| set.contains(*row)))
                .collect();
            prop_assert_eq!(found, fine_top_k(&store, &query, k, &all, &ByRow));
        }
    }
}
