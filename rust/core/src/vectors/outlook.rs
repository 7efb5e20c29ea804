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

/// Under inner product, an answer in order of norm has to look at the rows that are at least so long, beside the longest: users'
/// vectors are seldom much closer to an item than this cosine.
const AS_LONG: f32 = 0.5;
/// Of those rows, the share that is read whole, by their sketches.
const READ: f64 = 0.3;

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
        if let Some(order) = self.order.as_ref().filter(|_| bytes > ORDER_BYTES) {
            let share = rows as f64 / self.len().max(1) as f64;
            let long = READ * order.within(self.finest(), AS_LONG) as f64 * share;
            let read = |rows: f64| {
                let rows = (rows as usize).max(k);
                let answers = price::ANSWER_IN_ORDER * k.min(rows) as f64;
                price::scan(rows, rows, finest, 0) + answers
            };
            let most = self.most_in_order(ef, k).unwrap_or(bytes) as f64 / finest as f64;
            if long <= most {
                return Outlook::of(read(long));
            }
            if self.scans_anyway(rows) {
                return scan;
            }
            // As much as it takes to see that it is too much.
            before = read(0.0);
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
