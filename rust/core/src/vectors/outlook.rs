//! What a search is predicted to take, by the way that it begins with, and the narrower walk that takes less.

use super::plan::{eased, Way};
use super::search::{candidates, ORDER_BYTES};
use super::{Layout, Vectors};
use crate::metric::Dtype;
use crate::price::{self, answers, gathered, Outlook, WHOLE};

/// No walk is narrowed below this breadth.
const NARROWEST: usize = 32;
/// Nor below this share of what is asked for: one that is scores too few rows to answer, and a scan has to stand in. For 500 of
/// 20,000 a breadth of 309 took 208 us, and one of 232 took 387.
const NARROWEST_SHARE: f64 = 0.6;

/// To enter the graph, and go down to its lowest layer.
const ENTRY: f64 = 12_000.0;

/// A row followed, with what is scored of its neighbours. Most of it is waiting for memory, the longer the more of it vectors and
/// links lie in: 20,000 rows of 128 bytes took .47 us, 60,000 took .99, and of 384 bytes .65 and 1.32.
fn followed(bytes: f64, megabytes: f64) -> f64 {
    250.0 + 0.1 * bytes + 38.0 * megabytes.min(40.0)
}

/// The same with the neighbours' codes beside it.
fn followed_local(bytes: f64) -> f64 {
    450.0 + 0.85 * bytes
}

/// Of a scan over int8 codes, what each answer takes beyond those of floats: bounds are kept, and scores taken twice.
const CODED_ANSWER: f64 = 250.0;

/// A unit of breadth of a walk over the eligible rows.
fn followed_filtered(bytes: f64) -> f64 {
    2_000.0 + 6.0 * bytes
}

/// Under inner product, an answer in order of norm has to look at the rows that are at least so long, beside the longest: users'
/// vectors are seldom much closer to an item than this cosine.
const AS_LONG: f32 = 0.5;
/// To begin one.
const ORDER: f64 = 20_000.0;
/// Of those rows, the share that is read whole.
const READ: f64 = 1.0;

impl Vectors {
    /// The breadth of a walk for `k` answers, in `parts` of [`WHOLE`] parts of the one it has by itself.
    pub fn narrowed(&self, k: usize, parts: usize) -> usize {
        let whole = self.default_breadth(k);
        let narrowest = NARROWEST.max((NARROWEST_SHARE * k as f64).ceil() as usize);
        (whole * parts).div_ceil(WHOLE).max(narrowest).min(whole)
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
        let coded = match self.finest().dtype() {
            Dtype::I8 => CODED_ANSWER * k.min(rows) as f64,
            _ => 0.0,
        };
        let scan = Outlook::of(price::scan(rows, self.len(), finest, k) + coded);
        let mut before = 0.0;
        let bytes = rows * finest;
        if let Some(order) = self.order.as_ref().filter(|_| bytes > ORDER_BYTES) {
            let share = rows as f64 / self.len().max(1) as f64;
            let long = READ * order.within(self.finest(), AS_LONG) as f64 * share;
            let read = |rows: f64| {
                let rows = (rows as usize).max(k);
                let answers = price::ANSWER_IN_ORDER * k.min(rows) as f64;
                ORDER + price::scan(rows, rows, finest, 0) + answers
            };
            let most = self.most_in_order(None, k).unwrap_or(bytes) as f64 / finest as f64;
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
                    _ => {
                        let held = self.len() as f64 * (coarse + 8.0 * self.spec.m as f64);
                        followed(coarse, held / 1e6)
                    }
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
