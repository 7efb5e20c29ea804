use super::{Layout, Vectors};
use crate::hnsw::Budget;
use super::search::SCAN_BYTES;

/// A way to find the eligible rows nearest to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Every eligible row is scored.
    Scan,
    /// A walk over the eligible rows, which passes through the others.
    Filtered,
    /// A walk over all rows, of which the eligible ones are kept.
    Graph,
}

impl Vectors {
    pub(super) fn way(&self, eligible: usize, ef: Option<usize>, k: usize) -> Way {
        if self.graph.is_none() { return Way::Scan; }
        let named = self.spec.layout != Layout::Auto && 2 * eligible >= self.len();
        let scan = eligible * self.store.row_bytes();
        let breadth = self
            .breadth(ef, k, eligible)
            .min(self.breadth(None, k, eligible));
        let broad = breadth.saturating_mul(self.spec.m);
        if (named || scan > SCAN_BYTES) && broad < eligible { Way::Graph } else { Way::Scan }
    }

    pub(super) fn budget(&self, _eligible: usize) -> Budget {
        Budget { left: u64::MAX, score: 30, open: 50 }
    }
}
