//! A row with its score, the total order on such pairs, and the bounded top-k.
//!
//! Scores are always higher-is-better. Equal scores are ordered by the user's id (smaller first),
//! so no result depends on insertion order, hash order or thread timing. The id comparison is
//! behind [`TieBreak`], because only ties need it: the hot path compares floats.

use std::cmp::Ordering;

/// A row of a store and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Higher is better; never NaN.
    pub score: f32,
    /// Row number in the store.
    pub row: u32,
}

/// Orders rows whose scores are equal.
pub trait TieBreak {
    /// `Less` when row `a` comes before row `b` at equal score.
    fn tie(&self, a: u32, b: u32) -> Ordering;
}

/// Ties by row number: for graph internals and plain arrays, where the row is the id.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByRow;

impl TieBreak for ByRow {
    fn tie(&self, a: u32, b: u32) -> Ordering {
        a.cmp(&b)
    }
}

/// Turns `-0.0` into `0.0`, so that bit order and numeric order agree.
#[inline]
pub fn canonical(score: f32) -> f32 {
    score + 0.0
}

/// `Less` when `a` ranks before `b`.
// In the library that is made for size (`sort`) a comparison would be a call otherwise; elsewhere the compiler knows better,
// and to insist costs a ranking 3% of its instructions.
#[cfg_attr(not(panic = "abort"), inline)]
#[cfg_attr(panic = "abort", inline(always))]
pub fn rank_order<T: TieBreak + ?Sized>(tie: &T, a: Scored, b: Scored) -> Ordering {
    match b.score.total_cmp(&a.score) {
        Ordering::Equal => tie.tie(a.row, b.row),
        unequal => unequal,
    }
}

/// The best `want` of what a walk noted, best first, ties by row. Picked out at the end, because a bounded
/// heap on the way costs a tenth of a search.
pub fn best_of(mut noted: Vec<Scored>, want: usize) -> Vec<Scored> {
    let order = |a: &Scored, b: &Scored| rank_order(&ByRow, *a, *b);
    if want < noted.len() {
        noted.select_nth_unstable_by(want, order);
        noted.truncate(want);
    }
    noted.sort_unstable_by(order);
    noted
}

/// The best `k` of a stream: a binary heap with the worst kept entry at the root.
#[derive(Debug)]
pub struct TopK<'t, T: TieBreak + ?Sized> {
    k: usize,
    heap: Vec<Scored>,
    tie: &'t T,
}

impl<'t, T: TieBreak + ?Sized> TopK<'t, T> {
    /// Keeps at most `k` entries. `k` comes from outside, so memory grows with what arrives.
    pub fn new(k: usize, tie: &'t T) -> Self {
        TopK {
            k,
            heap: Vec::with_capacity(k.min(4096)),
            tie,
        }
    }

    /// The score below which nothing can enter any more; an equal score may enter by its id.
    #[inline]
    pub fn threshold(&self) -> f32 {
        if self.k == 0 {
            f32::INFINITY
        } else if self.heap.len() < self.k {
            f32::NEG_INFINITY
        } else {
            self.heap[0].score
        }
    }

    /// Offers one entry.
    #[inline]
    pub fn push(&mut self, entry: Scored) {
        if self.heap.len() < self.k {
            self.heap.push(entry);
            self.sift_up(self.heap.len() - 1);
        } else if self.k > 0 && rank_order(self.tie, entry, self.heap[0]) == Ordering::Less {
            self.heap[0] = entry;
            self.sift_down();
        }
    }

    /// Offers the rows from `first` on with their scores. Whole runs of scores below the threshold, which
    /// are most of them, are passed over by comparisons that vectorise.
    #[inline]
    pub fn push_rows(&mut self, first: u32, scores: &[f32]) {
        const RUN: usize = 32;
        for (run, scores) in scores.chunks(RUN).enumerate() {
            let threshold = self.threshold();
            if !scores.iter().fold(false, |any, s| any | (*s >= threshold)) {
                continue;
            }
            for (i, &score) in scores.iter().enumerate() {
                if score >= self.threshold() {
                    let row = first + (run * RUN + i) as u32;
                    self.push(Scored { score, row });
                }
            }
        }
    }

    /// The kept entries, best first.
    pub fn into_sorted(self) -> Vec<Scored> {
        let TopK { mut heap, tie, .. } = self;
        heap.sort_unstable_by(|a, b| rank_order(tie, *a, *b));
        heap
    }

    fn sift_up(&mut self, mut i: usize) {
        while i > 0 {
            let parent = (i - 1) / 2;
            if rank_order(self.tie, self.heap[i], self.heap[parent]) != Ordering::Greater {
                break;
            }
            self.heap.swap(i, parent);
            i = parent;
        }
    }

    fn sift_down(&mut self) {
        let mut i = 0;
        loop {
            let mut worst = i;
            for child in [2 * i + 1, 2 * i + 2] {
                if child < self.heap.len()
                    && rank_order(self.tie, self.heap[child], self.heap[worst]) == Ordering::Greater
                {
                    worst = child;
                }
            }
            if worst == i {
                return;
            }
            self.heap.swap(i, worst);
            i = worst;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn top_k_is_the_head_of_the_sorted_list(
            scores in prop::collection::vec(prop_oneof![Just(0.0f32), Just(1.0), -5.0f32..5.0], 0..200),
            k in 0usize..50,
        ) {
            let all: Vec<Scored> = scores
                .iter()
                .enumerate()
                .map(|(row, &score)| Scored { score: canonical(score), row: row as u32 })
                .collect();
            let mut top = TopK::new(k, &ByRow);
            all.iter().for_each(|&entry| top.push(entry));
            let mut expected = all;
            expected.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap().then(a.row.cmp(&b.row)));
            expected.truncate(k);
            prop_assert_eq!(top.into_sorted(), expected);
        }
    }
}
