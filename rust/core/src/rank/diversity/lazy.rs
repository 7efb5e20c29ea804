//! Lazy greedy choice (Minoux, 1978): look only at entries that could be the best, and only as far as it
//! takes to see that they are not.
//!
//! Where a value can only fall with each further item chosen, one that has not been brought up to date
//! is an upper bound. The entry of the largest bound is brought up to date step by step; when its bound
//! falls below another's, that one goes on. The first whose bound is a value is the best, and what the
//! others are worth need not be known. The answer is the eager one, bit for bit: the first in `open` of
//! those with the largest value.
//!
//! Only bounds that reach one known value enter the heap, which is a few dozen of a pool of thousands; a
//! heap of all entries that outlives the slot would have to be told what caps take away.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Chosen items that an entry is compared with in one step: enough to pay for a call.
pub(super) const STEP: usize = 8;

/// Values that may be out of date.
pub(super) trait Lazy {
    /// The value, or an upper bound for an entry that is behind.
    fn bound(&self, entry: u32) -> f64;

    /// Whether the bound may lie above the value.
    fn is_behind(&self, entry: u32) -> bool;

    /// Takes an entry that is behind a step further.
    fn advance(&mut self, entry: u32);

    /// Brings an entry up to date.
    fn catch_up(&mut self, entry: u32) {
        while self.is_behind(entry) {
            self.advance(entry);
        }
    }
}

/// A bound at a position of `open`: the larger first, then the one that comes first.
struct Rival(f64, Reverse<usize>);

impl Ord for Rival {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

impl PartialOrd for Rival {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rival {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Rival {}

/// The position in `open` of the best entry.
pub(super) fn best(state: &mut impl Lazy, open: &[u32]) -> usize {
    let mut top = (f64::NEG_INFINITY, 0);
    for &entry in open {
        let bound = state.bound(entry);
        if bound > top.0 {
            top = (bound, entry);
        }
    }
    // A value that is reached: what cannot reach it can be left behind.
    state.catch_up(top.1);
    let floor = state.bound(top.1);
    let rivals = open.iter().enumerate().filter_map(|(at, &entry)| {
        let bound = state.bound(entry);
        // -0.0 becomes 0.0: the heap tells them apart, and values must not.
        (bound >= floor).then_some(Rival(bound + 0.0, Reverse(at)))
    });
    let mut rivals: BinaryHeap<Rival> = rivals.collect();
    while let Some(Rival(_, Reverse(at))) = rivals.pop() {
        let entry = open[at];
        if !state.is_behind(entry) {
            return at;
        }
        state.advance(entry);
        let bound = state.bound(entry);
        if bound >= floor {
            rivals.push(Rival(bound + 0.0, Reverse(at)));
        }
    }
    0
}
