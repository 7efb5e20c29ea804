//! Sorting in a request: by total orders, so that every way of sorting gives the same.

use std::cmp::Ordering;

/// Sorts by an order in which no two are equal.
///
/// In place, as that is quickest; but a library made for size (`profile.embedded-small`, which is built to abort) has a standard
/// library made for size too, where sorting in place is a heapsort, which compares twice as often as merging.
#[inline(always)]
pub(crate) fn sort_by<T>(items: &mut [T], order: impl FnMut(&T, &T) -> Ordering) {
    if cfg!(panic = "abort") {
        items.sort_by(order);
    } else {
        items.sort_unstable_by(order);
    }
}
