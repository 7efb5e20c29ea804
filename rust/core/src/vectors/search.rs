//! The way a query takes: a scan, rows in order of norm, or a walk; and then, whichever it was, the reported
//! scores of the candidates.

use std::cell::RefCell;

use super::plan::{self, Way};
use super::sample::ANSWERS;
use super::{Breadth, Layout, Vectors};
use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::exact;
use crate::hnsw::{self, Extent, Graph};
use crate::local;
use crate::metric::Metric;
use crate::mips::Outcome;
use crate::scored::{Scored, TieBreak};
use crate::store::Query;

/// A scan of this many bytes takes about as long as a graph search: below it the scan is used, and a
/// space smaller than it has no graph at all unless its layout was named.
pub const SCAN_BYTES: usize = 2 << 20;

/// The same for inner product, where a walk takes longer and may miss much: on factors whose norms are
/// alike, 92,000 x 128, hnswlib found 0.61 of the answers at ef=1,200, where reading on takes 170 µs.
pub const MIPS_SCAN_BYTES: usize = 8 << 20;

/// Under inner product, eligible rows of fewer bytes than this are scanned rather than taken in order of
/// norm.
pub(super) const ORDER_BYTES: usize = 64 << 10;

/// How many of the best by coarse score are scored finely, beyond the `k` asked for; or an eighth of `k`, where that
/// is more. The true ten of 100,000 x 384 sentence embeddings and of 92,000 x 128 ALS factors lie among the best 12
/// by int8 scores; with one component of all vectors shifted by 1.5 times their length, which takes most of the
/// codes' range, 0.9997 of them lie among the best 20.
const RESCORE: usize = 16;

/// Times the breadth that a walk over the eligible rows may follow: it is its budget that ends it.
const MOST_FILTERED: usize = 8;

/// Rows of the best inner product among the largest, from which a graph search starts as well.
const MIPS_ENTRIES: usize = 8;

/// Breadth of a graph search when the caller names none and no sample was drawn: this plus `k / 2`. Measured recall@10 at the
/// defaults: 0.98 on 100,000 x 384 sentence embeddings (cosine, i8); on 40,981 x 64 ALS factors (ip, i8)
/// the graph alone had 0.956 at 200 and 0.937 at 100. A pool of 500 of the former has 0.93 of the true 500 and
/// 0.99 of the true 20.
pub fn default_ef(layout: Layout, metric: Metric) -> usize {
    match (layout, metric) {
        (Layout::Local, Metric::Ip) => LOCAL_IP_EF,
        (Layout::Local, _) => LOCAL_EF,
        (_, Metric::Ip) => COMPACT_IP_EF,
        _ => COMPACT_EF,
    }
}

const COMPACT_EF: usize = 100;
const COMPACT_IP_EF: usize = 200;
// 0.963 recall@10 on the same embeddings (0.957 at 100).
const LOCAL_EF: usize = 120;
const LOCAL_IP_EF: usize = 200;

thread_local! {
    static SCRATCH: RefCell<hnsw::Scratch> = RefCell::default();
    static LOCAL_SCRATCH: RefCell<local::Scratch> = RefCell::default();
}

/// Which way the answers were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Every eligible row was scored.
    Exact,
    /// The graph was walked over the eligible rows alone, passing through the others.
    Filtered,
    /// The graph was searched.
    Graph,
}

impl Found {
    /// As users see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Found::Exact => "exact",
            Found::Filtered => "filtered",
            Found::Graph => "graph",
        }
    }
}

/// What is asked of a search besides the query.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// How many answers.
    pub k: usize,
    /// Breadth of a graph search; `None` for the default.
    pub ef: Option<usize>,
    /// The rows that may be answered; `None` when all may.
    pub eligible: Option<&'a RowSet>,
    /// Score every eligible row, whatever the size.
    pub exact: bool,
}

impl Ask<'_> {
    /// With a breadth that is named at least as many rows as are asked for.
    fn broad_enough(self) -> Self {
        let ef = self.ef.map(|ef| ef.max(self.k));
        Ask { ef, ..self }
    }

    /// Refuses what cannot be answered.
    pub fn check(&self) -> Result<()> {
        if self.k == 0 {
            return Err(Error::invalid("k", "at least 1", 0));
        }
        match self.ef {
            Some(0) => Err(Error::invalid("ef", "at least 1", 0)),
            Some(_) if self.exact => Err(Error::invalid(
                "ef",
                "None with exact=True, which searches no graph",
                self.ef.unwrap_or(0),
            )),
            _ => Ok(()),
        }
    }
}

impl Vectors {
    /// The best rows for a checked query: always `min(k, eligible)` of them.
    pub fn search<T: TieBreak + ?Sized>(
        &self,
        query: &[f32],
        ask: Ask<'_>,
        tie: &T,
    ) -> (Vec<Scored>, Found) {
        let ask = ask.broad_enough();
        self.search_of(query, ask, ask.ef, tie)
    }

    /// The same with `parts` of [`WHOLE`] parts of the breadth that a walk has by itself, which may come to fewer rows than
    /// are asked for: a walk meets many times those it follows.
    pub fn search_narrowed<T: TieBreak + ?Sized>(
        &self,
        query: &[f32],
        ask: Ask<'_>,
        parts: usize,
        tie: &T,
    ) -> (Vec<Scored>, Found) {
        let ef = Some(self.narrowed(ask.k, parts));
        // An answer in order of norm is exact, and seldom worth giving up for a walk.
        self.search_of(query, Ask { ef, ..ask }, None, tie)
    }

    /// With the breadth as it is, and that of the walk which an answer in order of norm is held against.
    fn search_of<T: TieBreak + ?Sized>(
        &self,
        query: &[f32],
        ask: Ask<'_>,
        beside: Option<usize>,
        tie: &T,
    ) -> (Vec<Scored>, Found) {
        // Prepared for the coarse scores; the finer copy needs no more than the query as it came.
        let query = self.store.query(query);
        let rows = ask.eligible.map_or(self.len(), RowSet::len);
        let mut probe = Vec::new();
        let in_order = Ask { ef: beside, ..ask };
        match self.search_in_order(&query, in_order, rows, tie) {
            Some(Outcome::Exact(found)) => return (found, Found::Exact),
            Some(Outcome::Probe(best)) => probe.extend(best.iter().map(|entry| entry.row)),
            None => {}
        }
        if !ask.exact {
            let way = self.way_for(&query, ask, rows);
            if let Some(answer) = self.search_graph(&query, ask, rows, way, probe, tie) {
                return answer;
            }
        }
        (self.scan(&query, ask, tie), Found::Exact)
    }

    /// The same by a way that the caller chooses, for measurements and tests. A walk that cannot answer still gives
    /// way to the next one.
    pub fn search_by<T: TieBreak + ?Sized>(
        &self,
        query: &[f32],
        ask: Ask<'_>,
        way: Way,
        tie: &T,
    ) -> (Vec<Scored>, Found) {
        let ask = ask.broad_enough();
        let query = self.store.query(query);
        let rows = ask.eligible.map_or(self.len(), RowSet::len);
        self.search_graph(&query, ask, rows, way, Vec::new(), tie)
            .unwrap_or_else(|| (self.scan(&query, ask, tie), Found::Exact))
    }

    /// The same for many queries that will all be answered by a scan, which then is shared; `None` where a
    /// graph might be the better way.
    pub fn scan_batch<T: TieBreak + Sync + ?Sized>(
        &self,
        queries: &[&[f32]],
        ask: Ask<'_>,
        tie: &T,
        threads: usize,
    ) -> Result<Option<Vec<Vec<Scored>>>> {
        let ask = ask.broad_enough();
        let rows = ask.eligible.map_or(self.len(), RowSet::len);
        let plan = self.plan(rows, ask.ef, ask.k);
        if !ask.exact && (plan.way != Way::Scan || plan.depends_on_query()) {
            return Ok(None);
        }
        if queries.len() < 2 || self.order.is_some() && !self.norms_are_alike() {
            return Ok(None);
        }
        exact::scan_batch(self.finest(), queries, ask.k, ask.eligible, tie, threads).map(Some)
    }

    /// Whether most rows are at least half as long as the longest: then an answer in order of norm reads most
    /// of them, and a shared scan is the better way.
    fn norms_are_alike(&self) -> bool {
        let norms = self.finest().norms();
        let half = norms.iter().fold(0.0f32, |m, n| m.max(*n)) / 2.0;
        2 * norms.iter().filter(|norm| **norm >= half).count() > norms.len()
    }

    /// The way that a search begins with: where the number of eligible rows leaves it open, it is told by those around the query.
    fn way_for(&self, query: &Query, ask: Ask<'_>, rows: usize) -> Way {
        let plan = self.plan(rows, ask.ef, ask.k);
        let (Some(graph), Some(eligible)) = (&self.graph, ask.eligible) else {
            return plan.way;
        };
        if !plan.depends_on_query() {
            return plan.way;
        }
        let links = SCRATCH.with_borrow_mut(|scratch| graph.around(&self.store, query, scratch));
        let good = links.iter().filter(|row| eligible.contains(**row)).count();
        plan.around(good, links.len())
    }

    /// The answer by way of the rows in order of norm, or the best of the first of them where the whole
    /// answer would cost more than a walk or a scan.
    fn search_in_order<T: TieBreak + ?Sized>(
        &self,
        query: &Query,
        ask: Ask<'_>,
        rows: usize,
        tie: &T,
    ) -> Option<Outcome> {
        let store = self.finest();
        let scan = rows * store.row_bytes();
        let order = self.order.as_ref().filter(|_| scan > ORDER_BYTES)?;
        // A broader walk takes longer, so the order may read more before it is the worse way.
        let most = self.most_in_order(ask.ef, ask.k);
        let budget = match most.filter(|_| !ask.exact) {
            Some(most) => scan.min(most),
            None => scan,
        };
        Some(order.search(store, query, ask.k, ask.eligible, budget, tie))
    }

    /// Bytes that an answer in order of norm may read before a walk is the better way; `None` without a walk.
    pub(super) fn most_in_order(&self, ef: Option<usize>, k: usize) -> Option<usize> {
        self.graph.as_ref()?;
        let broader = self.breadth(ef, k, self.len()) as f64 / COMPACT_IP_EF as f64;
        let bytes = match self.spec.layout {
            Layout::Auto => MIPS_SCAN_BYTES,
            // Who names a layout wants its walk unless the order is plainly better.
            _ => SCAN_BYTES,
        };
        Some((bytes as f64 * broader) as usize)
    }

    /// The answer by way of the graph, unless a scan is the better way, or turns out to be. `probe` are rows already
    /// found to be good.
    fn search_graph<T: TieBreak + ?Sized>(
        &self,
        query: &Query,
        ask: Ask<'_>,
        rows: usize,
        way: Way,
        probe: Vec<u32>,
        tie: &T,
    ) -> Option<(Vec<Scored>, Found)> {
        let graph = self.graph.as_ref().filter(|_| way != Way::Scan)?;
        if self.order.is_some() && self.scans_anyway(rows) {
            return None;
        }
        let entries = &probe[..probe.len().min(MIPS_ENTRIES)];
        let mut near = None;
        let mut found = Found::Graph;
        if way == Way::Graph {
            near = self.near(graph, query, ask, rows, entries);
        }
        if let (None, Some(eligible)) = (&near, ask.eligible) {
            let first = way == Way::Filtered;
            near = self.near_within(graph, query, ask, eligible, entries, first);
            found = Found::Filtered;
        }
        let mut near = near?;
        if !probe.is_empty() {
            near.extend(probe);
            near.sort_unstable();
            near.dedup();
        }
        // A walk that did not reach enough eligible rows would answer short: all of them are scored instead.
        (near.len() >= ask.k.min(rows)).then(|| {
            let best = exact::fine_top_k(self.finest(), query, ask.k, &near, tie);
            (best, found)
        })
    }

    /// Every eligible row, by the score that is reported.
    fn scan<T: TieBreak + ?Sized>(&self, query: &Query, ask: Ask<'_>, tie: &T) -> Vec<Scored> {
        exact::scan(self.finest(), query, ask.k, ask.eligible, tie)
    }

    /// The rows to score finely: the best by coarse score, with a margin beyond `k`. None where a filter lets far
    /// fewer rows through around the query than elsewhere.
    ///
    /// This is where a layout's own walk goes.
    fn near(
        &self,
        graph: &Graph,
        query: &Query,
        ask: Ask<'_>,
        rows: usize,
        entries: &[u32],
    ) -> Option<Vec<u32>> {
        let want = candidates(ask.k);
        if let Some(left) = ask.eligible.filter(|set| set.len() == graph.left()) {
            // All that is left of the graph: few links lead anywhere else, so the walk asks afterwards.
            let plain = Ask {
                eligible: None,
                ..ask
            };
            let mut near = self.near(graph, query, plain, self.len(), entries)?;
            near.retain(|row| left.contains(*row));
            if near.len() + RESCORE / 2 >= want.min(rows) {
                return Some(near);
            }
        }
        let extent = self.extent(ask, rows);
        let (store, eligible) = (&self.store, ask.eligible);
        let (found, poor) = match &self.local {
            Some(local) => LOCAL_SCRATCH.with_borrow_mut(|scratch| {
                let found = local.search(
                    graph, store, query, extent, want, eligible, entries, scratch,
                );
                (found, scratch.poor)
            }),
            None => SCRATCH.with_borrow_mut(|scratch| {
                let found = graph.search(store, query, extent, want, eligible, entries, scratch);
                (found, scratch.poor)
            }),
        };
        (!poor).then(|| found.into_iter().map(|entry| entry.row).collect())
    }

    /// The same by a walk over the eligible rows alone; none where it gives up.
    fn near_within(
        &self,
        graph: &Graph,
        query: &Query,
        ask: Ask<'_>,
        eligible: &RowSet,
        entries: &[u32],
        first: bool,
    ) -> Option<Vec<u32>> {
        if !self.walks_within(eligible.len()) {
            return None;
        }
        let dimension = self.sampled.and_then(|sampled| sampled.dimension)?;
        let ef = self.lessened(self.breadth(ask.ef, ask.k, self.len()), ask.k);
        let budget = self.budget(eligible.len(), ef, first);
        let extent = Extent::of(ef, ask.k, dimension).up_to(MOST_FILTERED * ef);
        let want = candidates(ask.k);
        let found = SCRATCH.with_borrow_mut(|scratch| {
            graph.search_filtered(
                &self.store,
                query,
                extent,
                want,
                eligible,
                entries,
                budget,
                scratch,
            )
        })?;
        Some(found.into_iter().map(|entry| entry.row).collect())
    }

    /// How far a walk goes that scores ineligible rows as well.
    fn extent(&self, ask: Ask<'_>, rows: usize) -> Extent {
        let ef = self.breadth(ask.ef, ask.k, rows);
        match self.sampled.and_then(|sampled| sampled.dimension) {
            // The distance is that of the k-th best eligible row, so the breadth is that of an unfiltered walk; but
            // more rows lie within it.
            Some(dimension) => {
                let own = self.breadth(ask.ef, ask.k, self.len());
                let share = rows as f64 / self.len().max(1) as f64;
                let extent = Extent::of(plan::eased(own, share), ask.k, dimension);
                extent.up_to((extent.most() as f64 / share.max(1e-9)) as usize)
            }
            None => Extent::fixed(ef),
        }
    }

    /// Under inner product a walk is broader and misses more where norms are alike (recall@10 of 0.69 on
    /// 40,000 x 64 Gaussian vectors), so a scan that takes no longer is preferred to it.
    pub(super) fn scans_anyway(&self, rows: usize) -> bool {
        self.spec.layout == Layout::Auto && rows * self.store.row_bytes() <= MIPS_SCAN_BYTES
    }

    /// What a plain search for ten does.
    pub fn path(&self) -> Found {
        match &self.graph {
            Some(_) if self.way(self.len(), None, ANSWERS) != Way::Scan => Found::Graph,
            _ => Found::Exact,
        }
    }

    /// The breadth of an unfiltered walk for `k` answers that names none.
    pub fn default_breadth(&self, k: usize) -> usize {
        let untuned = match self.sampled.and_then(|sampled| sampled.ef) {
            Some(ef) => Breadth {
                ef: ef as usize,
                k: ANSWERS,
            },
            None => Breadth {
                ef: default_ef(self.layout(), self.spec.metric),
                k: 0,
            },
        };
        // Rows that are not followed are known by estimates only, so for many answers more are followed.
        let more = match (self.tuned, self.layout()) {
            (None, Layout::Local) => k / 2,
            _ => 0,
        };
        self.tuned.unwrap_or(untuned).at(k).saturating_add(more)
    }

    /// Whether distances tell how far a walk has to go.
    pub(super) fn has_dimension(&self) -> bool {
        self.sampled.is_some_and(|s| s.dimension.is_some())
    }

    /// The greatest breadth with which a search among so many eligible rows would still walk.
    pub(super) fn widest(&self, eligible: usize) -> usize {
        let share = eligible as f64 / self.len().max(1) as f64;
        ((eligible.saturating_sub(1) / self.spec.m) as f64 * share) as usize
    }

    pub(super) fn breadth(&self, ef: Option<usize>, k: usize, eligible: usize) -> usize {
        let ef = ef.unwrap_or_else(|| self.default_breadth(k));
        // Under a filter only the eligible share of what is walked counts.
        let share = self.len() as f64 / eligible.max(1) as f64;
        ((ef as f64 * share).ceil() as usize).min(self.len())
    }
}

/// How many rows a walk hands on to be scored finely.
pub(super) fn candidates(k: usize) -> usize {
    k.saturating_add(RESCORE.max(k / 8))
}
