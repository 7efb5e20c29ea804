//! Lazy greedy choice (Minoux, 1978): look only at entries that could be the best.
//!
//! Where a value can only fall with each further item chosen, one that has not been brought up to date
//! is an upper bound. An entry whose bound lies below the value of another is not the best, and what it
//! is worth need not be known. The answer is the eager one, bit for bit: the first in `open` of those
//! with the largest value.

/// Entries brought up to date together: enough to pay for a call, few enough that a better value found
/// among them spares the rest.
const BATCH: usize = 32;

/// Values that may be out of date.
pub(super) trait Lazy {
    /// The value, or an upper bound for an entry that is behind.
    fn bound(&self, entry: u32) -> f64;

    /// Whether the bound may lie above the value.
    fn is_behind(&self, entry: u32) -> bool;

    /// Brings entries up to date.
    fn catch_up(&mut self, entries: &[u32]);
}

/// The position in `open` of the best entry.
pub(super) fn best(state: &mut impl Lazy, open: &[u32]) -> usize {
    let mut top = (f64::NEG_INFINITY, 0);
    for &entry in open {
        let bound = state.bound(entry);
        if bound > top.0 {
            top = (bound, entry);
        }
    }
    // A value that is reached: what cannot exceed it can be left behind.
    let mut floor = f64::NEG_INFINITY;
    if top.0 > f64::NEG_INFINITY {
        state.catch_up(&[top.1]);
        floor = state.bound(top.1);
    }
    // The best scores come first, and so the values that spare the rest.
    let mut batch = Vec::with_capacity(BATCH);
    for (i, &entry) in open.iter().enumerate() {
        if state.is_behind(entry) && state.bound(entry) >= floor {
            batch.push(entry);
        }
        if batch.len() == BATCH || i + 1 == open.len() {
            state.catch_up(&batch);
            for entry in batch.drain(..) {
                floor = floor.max(state.bound(entry));
            }
        }
    }
    open.iter()
        .position(|&entry| !state.is_behind(entry) && state.bound(entry) == floor)
        .unwrap_or(0)
}
