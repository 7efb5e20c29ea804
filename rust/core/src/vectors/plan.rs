//! Which way a filtered search takes, and what it may spend before it goes over to another.
//!
//! There are three ways: to score every eligible row (`exact`), to walk the graph over all rows and keep the eligible ones, or
//! to walk over the eligible rows alone (`hnsw/filtered.rs`). What decides is the share of the rows that is eligible,
//! which is known exactly, and what each way costs.
//!
//! **Costs are counted, not timed.** Each is a number of steps (rows scored, rows followed) times a price in
//! nanoseconds, and the number of steps of a walk is calibrated on the space itself: it is the breadth that the sample of
//! `sample.rs`, or tuning, found enough for it. The prices were fitted once (one core of a shared Zen 4, 100,000 x 384 embeddings,
//! int8 and f32, both layouts; `cargo run --release -p perso-bench --example filters` prints the ways beside each
//! other) and are constants: a price that was measured where the program runs would make answers depend on the machine,
//! and on what else it did at that moment. On a machine of other proportions the crossings lie a little off, where
//! both ways cost about the same, and no answer changes.
//!
//! | share, independent | scan | all rows | eligible rows alone | (µs, int8 compact) |
//! |---|---|---|---|---|
//! | .05 | 112 | 3,090 | 536 | |
//! | .1 | 212 | 1,515 | 602 | |
//! | .2 | 870 | 833 | 657 | before its breadth was halved: recall was 1 |
//! | .3 | 1,452 | 482 | 493 | |
//! | .9 | 1,400 | 144 | 434 | |
//!
//! With neighbour codes (local layout) a walk over all rows costs a third of that and is the better walk above a share of .12.
//!
//! **What lies around the query.** A filter that agrees with the query lets through far more of the rows around it than of
//! all rows, and then a plain walk is done as soon as an unfiltered one: 150 µs where the nearest 5 to 20% are eligible, in place
//! of 290 to 450 for a scan or a walk over them alone (int8 and f32). So where that would be much the cheaper way,
//! the links of the row that the upper layers lead to are asked how many of them are eligible, before a way is chosen.
//!
//! **A walk is a bet.** Where the eligible rows lie away from the query it finds none of them. So it is broken off when it
//! meets a quarter of the eligible rows that the share promises (`hnsw/watch.rs`), or comes to its end without having
//! converged and with a lack of them; the walk over eligible rows then has [`STAKE`] of what a scan costs, and after that
//! everything eligible is scored. So a search costs little more than a scan in the worst case, and always
//! returns as many rows as there are.

use super::search::SCAN_BYTES;
use super::{Layout, Vectors};
use crate::exact;
use crate::hnsw::Budget;
use crate::metric::Dtype;

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

/// A way, and what it costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) way: Way,
    cost: f64,
    /// What a plain walk costs where every row around the query is eligible, if there can be such a walk.
    agreed: Option<f64>,
}

impl Plan {
    fn only(way: Way) -> Self {
        Plan {
            way,
            cost: 0.0,
            agreed: None,
        }
    }

    /// Whether it is worth while to ask how many of the rows around the query are eligible.
    pub(super) fn depends_on_query(&self) -> bool {
        self.way != Way::Graph && self.agreed.is_some_and(|least| AGREED * least < self.cost)
    }

    /// The way when `eligible` of `rows` around the query are.
    pub(super) fn around(&self, eligible: usize, rows: usize) -> Way {
        let share = eligible.saturating_sub(CHANCE) as f64 / rows.max(1) as f64;
        match self.agreed {
            Some(least) if least < MARGIN * share * self.cost => Way::Graph,
            _ => self.way,
        }
    }
}

/// The rows around a query are asked where a walk that they agree with would cost so many times less than the way planned.
const AGREED: f64 = 1.5;

/// Rows around a query that may be eligible by chance.
const CHANCE: usize = 3;

/// A walk is preferred to a scan, whose answer is exact, when it costs at most this share of it.
const MARGIN: f64 = 0.8;

/// Of a scan's cost, what a walk over the eligible rows may spend when the one over all rows has failed.
const STAKE: f64 = 0.12;

/// Eligible rows that two hops from a row have to lead to, on the average, for a walk over eligible rows.
const REACHED: f64 = 40.0;

/// Nanoseconds to score a row that lies anywhere, of so many bytes.
fn gathered(bytes: f64) -> f64 {
    8.0 + 0.108 * bytes
}

/// The same for a row after the last one.
fn streamed(bytes: f64) -> f64 {
    0.0405 * bytes
}

/// The same in a walk: of a few rows at a time, with what taking them in costs.
fn met(bytes: f64) -> f64 {
    30.0 + 0.081 * bytes
}

/// A row followed with its neighbours' codes beside it.
fn followed_local(bytes: f64) -> f64 {
    550.0 + 0.85 * bytes
}

/// A row followed, and the part of its neighbours scored that was not met before.
fn followed(bytes: f64) -> f64 {
    1000.0 + 20.0 * met(bytes)
}

/// A unit of breadth of a walk over the eligible rows: rows are followed and others looked through, and some seventy scored.
fn followed_filtered(bytes: f64) -> f64 {
    3000.0 + 70.0 * met(bytes)
}

/// Of the breadth of an unfiltered walk, what a walk over the share `share` of rows takes for as many answers. A walk
/// that passes many ineligible rows scores many eligible ones beside its way: recall@10 was 1 below a share of .2
/// where the unfiltered walk had .99.
pub(super) fn eased(ef: usize, share: f64) -> usize {
    let part = 0.7 + (share / 0.3).min(1.0) * 0.3;
    ((ef as f64 * part).ceil() as usize).max(1)
}

impl Vectors {
    /// Likewise for a walk that scores nothing but eligible rows: recall@10 was 1 with the whole breadth, .965 to .985 with
    /// half of it. It goes by scores, so what the breadth of a walk has for the errors of neighbour codes is not needed; and
    /// where these are the scores that are reported, it loses nothing to rounding: .962 to .977 with three
    /// eighths, where int8 has .950 to .970.
    pub(super) fn lessened(&self, ef: usize, k: usize) -> usize {
        let sixteenths = match self.store.dtype() {
            Dtype::I8 => 8,
            _ => 6,
        };
        (ef * sixteenths / 16).max(ef.min(k)).max(1)
    }

    /// The way that a search among so many eligible rows begins with, as far as their number tells.
    pub(super) fn way(&self, eligible: usize, ef: Option<usize>, k: usize) -> Way {
        self.plan(eligible, ef, k).way
    }

    /// The same with what it costs.
    ///
    /// Who names a layout wants its walk: a search in which half of the rows or more are eligible, as dead ones outnumbered
    /// by live ones may lie about, is then not scanned for being small. A walk whose breadth reaches most of the eligible
    /// rows is never worth it.
    pub(super) fn plan(&self, eligible: usize, ef: Option<usize>, k: usize) -> Plan {
        if self.graph.is_none() {
            return Plan::only(Way::Scan);
        }
        let bytes = self.store.row_bytes();
        // A walk that is broader because its caller wants it so is still a walk.
        let own = self
            .breadth(ef, k, self.len())
            .min(self.breadth(None, k, self.len()));
        let named = self.spec.layout != Layout::Auto && 2 * eligible >= self.len();
        if eligible >= self.len() {
            let broad = own.saturating_mul(self.spec.m) >= eligible;
            let large = named || eligible * bytes > SCAN_BYTES;
            return Plan::only(if large && !broad {
                Way::Graph
            } else {
                Way::Scan
            });
        }
        let share = eligible as f64 / self.len() as f64;
        let bytes = bytes as f64;
        let plain = eased(own, share) as f64 / share;
        let price = match self.layout() {
            Layout::Local => followed_local(bytes),
            _ => followed(bytes),
        };
        let mut best = (plain * price, Way::Graph, plain);
        let alone = self.lessened(own, k) as f64;
        let filtered = alone * followed_filtered(bytes);
        if self.walks_within(eligible) && filtered < best.0 {
            best = (filtered, Way::Filtered, alone);
        }
        let (cost, way, breadth) = best;
        let broad = breadth * self.spec.m as f64 >= eligible as f64;
        let scan = self.scan_cost(eligible);
        let small = !named && cost > MARGIN * scan;
        let (way, cost) = if broad || small {
            (Way::Scan, scan)
        } else {
            (way, cost)
        };
        // Such a walk is as narrow as an unfiltered one because distances end it, and they need a dimension.
        let agrees = self.has_dimension() && own * self.spec.m < eligible;
        let agreed = agrees.then_some(own as f64 * price);
        Plan { way, cost, agreed }
    }

    /// Whether a walk over this many eligible rows finds its way: by two hops it reaches too few of them where the share is
    /// small, and it has to know how far to go.
    pub(super) fn walks_within(&self, eligible: usize) -> bool {
        let share = eligible as f64 / self.len().max(1) as f64;
        self.has_dimension() && share * (4 * self.spec.m * self.spec.m) as f64 >= REACHED
    }

    /// What scoring this many eligible rows costs.
    fn scan_cost(&self, eligible: usize) -> f64 {
        // Scans read what is reported.
        let bytes = self.finest().row_bytes() as f64;
        let share = eligible as f64 / self.len().max(1) as f64;
        if share >= exact::DENSE {
            self.len() as f64 * streamed(bytes)
        } else {
            eligible as f64 * gathered(bytes)
        }
    }

    /// What a walk over the eligible rows may spend: `first` when no other walk has failed before.
    pub(super) fn budget(&self, eligible: usize, ef: usize, first: bool) -> Budget {
        let bytes = self.store.row_bytes() as f64;
        let stake = STAKE * self.scan_cost(eligible);
        let expected = ef as f64 * followed_filtered(bytes);
        let sum = if first {
            stake.max(2.0 * expected)
        } else {
            stake
        };
        Budget {
            left: sum as u64,
            score: met(bytes) as u64,
            open: OPEN,
        }
    }
}

/// Nanoseconds to look through the links of a row.
const OPEN: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_around_the_query_decides_where_a_plain_walk_would_be_cheap() {
        let plan = Plan {
            way: Way::Scan,
            cost: 1000.0,
            agreed: Some(400.0),
        };
        assert!(plan.depends_on_query());
        assert_eq!(plan.around(32, 32), Way::Graph);
        // 400 / (17 / 32) is 753, within .8 of the planned cost; 400 / (16 / 32) is that itself.
        assert_eq!(plan.around(3 + 17, 32), Way::Graph);
        assert_eq!(plan.around(3 + 16, 32), Way::Scan);
        assert_eq!(plan.around(0, 32), Way::Scan);
        assert_eq!(plan.around(0, 0), Way::Scan);
    }

    #[test]
    fn nothing_is_asked_where_it_would_change_little_or_nothing() {
        let plan = |way, agreed| Plan {
            way,
            cost: 1000.0,
            agreed,
        };
        assert!(!plan(Way::Scan, Some(700.0)).depends_on_query());
        assert!(!plan(Way::Graph, Some(100.0)).depends_on_query());
        assert!(!plan(Way::Filtered, None).depends_on_query());
        assert!(!Plan::only(Way::Scan).depends_on_query());
    }
}
