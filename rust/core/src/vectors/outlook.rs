//! What a search is predicted to take, by the way that it begins with, and the narrower walk that takes less.

use super::plan::{eased, Way};
use super::search::{candidates, ORDER_BYTES};
use super::{Layout, Vectors};
use crate::price::{self, answers, gathered, Outlook, WHOLE};

/// No walk is narrowed below this breadth.
const NARROWEST: usize = 32;

/// To enter the graph, and go down to its lowest layer.
const ENTRY: f64 = 4_000.0;

/// A row followed, with what is scored of its neighbours.
fn followed(bytes: f64) -> f64 {
    600.0 + 1.6 * bytes
}

/// The same with the neighbours' codes beside it.
fn followed_local(bytes: f64) -> f64 {
    450.0 + 0.85 * bytes
}

/// A unit of breadth of a walk over the eligible rows.
fn followed_filtered(bytes: f64) -> f64 {
    2_000.0 + 6.0 * bytes
}

/// Under inner product, of the bytes that an answer in order of norm may read, what it does read.
const READ: f64 = 0.5;

impl Vectors {
    /// The breadth of a walk for `k` answers, in `parts` of [`WHOLE`] parts of the one it has by itself.
    pub fn narrowed(&self, k: usize, parts: usize) -> usize {
        let whole = self.default_breadth(k);
        (whole * parts).div_ceil(WHOLE).max(NARROWEST).min(whole)
    }

    /// What a search for `k` among so many eligible rows, or all, is predicted to take with that breadth.
    ///
    /// A walk that turns out to be a bad bet is broken off (see `plan`), and takes longer than this.
    pub fn outlook(&self, k: usize, eligible: Option<usize>, parts: usize) -> Outlook {
        let rows = eligible.unwrap_or(self.len());
        let finest = self.finest().row_bytes();
        let ef = match parts {
            WHOLE => None,
            _ => Some(self.narrowed(k, parts)),
        };
        let scan = Outlook::of(price::scan(rows, self.len(), finest, k));
        let mut before = 0.0;
        let bytes = rows * finest;
        if self.order.is_some() && bytes > ORDER_BYTES {
            let read = |bytes: usize| {
                let rows = bytes.div_ceil(finest.max(1));
                price::scan(rows, rows, finest, k)
            };
            match self.most_in_order(ef, k) {
                None => return Outlook::of(READ * read(bytes)),
                Some(most) if bytes <= most => return Outlook::of(READ * read(bytes)),
                Some(most) => before = READ * read(most),
            }
            if self.scans_anyway(rows) {
                return scan;
            }
        }
        let way = self.way(rows, ef, k);
        if way == Way::Scan {
            return Outlook::of(before + scan.ns);
        }
        let breadth = ef
            .unwrap_or_else(|| self.default_breadth(k))
            .min(self.len());
        let coarse = self.store.row_bytes() as f64;
        let share = rows as f64 / self.len().max(1) as f64;
        let walked = match way {
            Way::Filtered => self.lessened(breadth, k) as f64 * followed_filtered(coarse),
            _ => {
                let price = match self.layout() {
                    Layout::Local => followed_local(coarse),
                    _ => followed(coarse),
                };
                eased(breadth, share) as f64 / share.max(1e-9) * price
            }
        };
        let near = candidates(k).min(rows);
        let fine = near as f64 * gathered(finest as f64) + answers(near);
        Outlook {
            ns: price::CALL + before + ENTRY + walked + fine,
            ef: Some(breadth),
        }
    }
}
