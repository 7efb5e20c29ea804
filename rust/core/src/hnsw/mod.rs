//! Hierarchical navigable small world graph (Malkov and Yashunin, arXiv 1603.09320) over the coarse
//! scores of a store.
//!
//! Layout: the bottom layer has `2M` ids a row, padded with [`NONE`]; the few rows that reach higher layers
//! have a second row of `M` ids for each. Both lie in pages (`store::Paged`), so that a version that is read
//! and the next one share all but what an insertion changes. Search keeps one sorted linear pool instead of two heaps, and expands in two passes: collect
//! the unvisited neighbours, then score them in one kernel call that prefetches ahead.
//!
//! Determinism: levels come from a hash of (seed, row), insertion runs in batches that all search the
//! graph as it was before the batch, and back links are applied in sorted order. So the graph depends
//! on the data, the seed and the parameters, and not on the number of threads.
//!
//! Inner product: a graph built under inner product strands most rows (its in-degree concentrates on
//! the largest norms). It is built under L2 geometry and searched by inner product instead (PSP, PVLDB
//! 2025), entered also from rows that the caller names: `mips` finds them.

mod build;
mod extent;
mod filtered;
mod kth;
mod search;
mod taught;
#[cfg(test)]
mod tests;
mod visited;
mod watch;

pub use build::Hook;
pub use extent::Extent;
pub(crate) use kth::KthBest;
pub use search::Scratch;
pub use taught::{Taught, DEGREE as TAUGHT_DEGREE};
pub(crate) use visited::Visited;
pub use watch::Budget;
pub(crate) use watch::Yield;

use std::sync::Arc;

use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::metric::Metric;
use crate::store::{Buf, Paged, VectorStore};

/// The padding of a neighbour row.
pub const NONE: u32 = u32::MAX;

/// Highest layer a row can reach; with M >= 2 more could not be filled by 2³² rows.
const MAX_LEVEL: u8 = 32;

/// What a graph is built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Links a row keeps in the upper layers; twice as many in the bottom one.
    pub m: usize,
    /// Breadth of the search that finds a new row's neighbours.
    pub ef_construction: usize,
    /// Seed of the levels and of the insertion order.
    pub seed: u64,
}

impl Params {
    /// Refuses parameters that no graph can be built with.
    pub fn check(&self) -> Result<()> {
        if !(2..=512).contains(&self.m) {
            return Err(Error::invalid("M", "2 to 512", self.m));
        }
        if !(1..=65_536).contains(&self.ef_construction) {
            return Err(Error::invalid(
                "ef_construction",
                "1 to 65536",
                self.ef_construction,
            ));
        }
        Ok(())
    }

    /// The layer that a row reaches: geometric with ratio 1/M, from integers only.
    fn level(&self, row: u32) -> u8 {
        let r = splitmix64(self.seed ^ splitmix64(u64::from(row).wrapping_add(0x9e37_79b9)));
        let mut bound = u64::MAX / self.m as u64;
        let mut level = 0;
        while r < bound && level < MAX_LEVEL {
            level += 1;
            bound /= self.m as u64;
        }
        level
    }
}

/// The finaliser of Steele, Lea and Flood's SplittableRandom (OOPSLA 2014).
pub(crate) fn splitmix64(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The `i`-th of `count` rows spread evenly over so many. In 64 bits, as these decide what is built, on every processor alike.
pub(crate) fn spread(i: usize, rows: usize, count: usize) -> u32 {
    (i as u64 * rows as u64 / count as u64) as u32
}

/// The graph over the rows of one store.
#[derive(Clone, Debug)]
pub struct Graph {
    params: Params,
    /// `2M` ids a row.
    base: Paged<u32>,
    /// The layer each row reaches.
    levels: Buf<u8>,
    /// Where a row's upper links begin in `upper`; unused for rows of level 0.
    upper_start: Buf<u32>,
    /// `M` ids for each layer above the bottom of each row, in order of rows.
    upper: Paged<u32>,
    /// The row that searches start from: the first to reach the highest layer.
    entry: u32,
    /// Links beside the bottom ones, walked by searches alone: insertion neither follows nor changes them.
    taught: Taught,
    /// Rows that were taken out. No new link leads to them.
    gone: Arc<RowSet>,
    /// How many of them since links to such rows were last replaced.
    waiting: usize,
    /// Rows inserted since all rows were last known to be reachable.
    unchecked: usize,
}

impl Graph {
    /// A graph without rows.
    pub fn new(params: Params) -> Self {
        Graph {
            params,
            base: Paged::new(2 * params.m),
            levels: Buf::default(),
            upper_start: Buf::default(),
            upper: Paged::new(params.m),
            entry: NONE,
            taught: Taught::default(),
            gone: Arc::default(),
            waiting: 0,
            unchecked: 0,
        }
    }

    /// Rows linked.
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// True when no row is linked.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Parameters.
    pub fn params(&self) -> Params {
        self.params
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.base.heap_bytes()
            + self.levels.heap_bytes()
            + self.upper.heap_bytes()
            + self.upper_start.heap_bytes()
    }

    /// Links in the bottom layer, and the number of layers.
    pub fn shape(&self) -> (usize, usize) {
        let links = self.base.iter().filter(|id| **id != NONE).count();
        (links, self.top_level().map_or(0, |top| top as usize + 1))
    }

    /// The links that queries taught.
    pub fn taught(&self) -> &Taught {
        &self.taught
    }

    /// Puts other taught links in the place of those there are, and returns these.
    pub fn swap_taught(&mut self, taught: Taught) -> Taught {
        std::mem::replace(&mut self.taught, taught)
    }

    /// The geometry that links are chosen under.
    pub(crate) fn geometry(&self, store: &VectorStore) -> Metric {
        build_metric(store)
    }

    /// Bottom links, levels, upper links and the entry row, for a file.
    pub fn parts(&self) -> (&Paged<u32>, &[u8], &Paged<u32>, u32) {
        (&self.base, &self.levels, &self.upper, self.entry)
    }

    /// Rows that were not taken out.
    pub fn left(&self) -> usize {
        self.len() - self.gone.len()
    }

    /// What is due, for a file: rows taken out since the last repair, rows inserted since all were last known
    /// to be reachable.
    pub fn due(&self) -> [u32; 2] {
        [self.waiting as u32, self.unchecked as u32]
    }

    /// Says again what was taken out of a graph from a file, and what is due.
    pub fn set_due(&mut self, gone: RowSet, [waiting, unchecked]: [u32; 2]) {
        self.waiting = (waiting as usize).min(gone.len());
        self.unchecked = (unchecked as usize).min(self.len());
        self.gone = Arc::new(gone);
    }

    /// Rebuilds a graph from a file's sections; every id, level and degree is checked.
    pub fn from_parts(
        params: Params,
        base: Buf<u32>,
        levels: Buf<u8>,
        upper: Buf<u32>,
        entry: u32,
    ) -> Result<Self> {
        params
            .check()
            .map_err(|error| Error::format(format!("graph parameter {error}")))?;
        let rows = levels.len();
        let (m, stride) = (params.m, 2 * params.m);
        let mut starts = Vec::with_capacity(rows);
        let mut start = 0u64;
        for &level in levels.iter() {
            if level > MAX_LEVEL {
                return Err(Error::format(format!("a graph row has level {level}")));
            }
            starts.push(start as u32);
            start += u64::from(level);
        }
        // In 64 bits, where no product of these can come round to a length that is there.
        let fits = |len: usize, lists: u64, each: usize| {
            lists.checked_mul(each as u64) == Some(len as u64)
        };
        if !fits(base.len(), rows as u64, stride)
            || !fits(upper.len(), start, m)
            || start > u64::from(u32::MAX)
        {
            return Err(Error::format(format!(
                "a graph of {rows} rows has {} bottom and {} upper links",
                base.len(),
                upper.len()
            )));
        }
        // Rows that were taken out may reach higher layers than the entry.
        if entry as usize >= rows && (rows > 0 || entry != NONE) {
            return Err(Error::format(format!(
                "the graph's entry row {entry} is not one of its {rows} rows"
            )));
        }
        let graph = Graph {
            params,
            base: Paged::new(stride).from_buf(&base),
            levels,
            upper_start: starts.into(),
            upper: Paged::new(m).from_buf(&upper),
            entry,
            ..Graph::new(params)
        };
        for row in 0..rows as u32 {
            for level in 0..=graph.levels[row as usize] {
                graph.check_links(row, level)?;
            }
        }
        Ok(graph)
    }

    fn check_links(&self, row: u32, level: u8) -> Result<()> {
        let links = self.link_row(row, level);
        let degree = degree(links);
        let padded = links[degree..].iter().all(|id| *id == NONE);
        // Every row is in the bottom layer, so there a link is good if it leads to another row at all.
        let rows = self.levels.len();
        let known = |id: u32| match level {
            0 => (id as usize) < rows,
            _ => self
                .levels
                .get(id as usize)
                .is_some_and(|top| *top >= level),
        };
        let led = links[..degree].iter();
        let good = padded & led.fold(true, |good, &id| good & (id != row) & known(id));
        if good {
            Ok(())
        } else {
            Err(Error::format(format!(
                "row {row} of the graph has a bad link in layer {level}"
            )))
        }
    }

    fn top_level(&self) -> Option<u8> {
        self.levels.get(self.entry as usize).copied()
    }

    /// The fixed-stride link row, padding included.
    pub(crate) fn link_row(&self, row: u32, level: u8) -> &[u32] {
        if level == 0 {
            self.base.row(row as usize)
        } else {
            self.upper.row(self.upper_row(row, level))
        }
    }

    fn upper_row(&self, row: u32, level: u8) -> usize {
        self.upper_start[row as usize] as usize + usize::from(level) - 1
    }

    /// The links of a row in a layer.
    pub fn links(&self, row: u32, level: u8) -> &[u32] {
        let links = self.link_row(row, level);
        &links[..degree(links)]
    }

    fn set_links(&mut self, row: u32, level: u8, links: &[u32]) {
        let slots = if level == 0 {
            self.base.row_mut(row as usize)
        } else {
            let at = self.upper_row(row, level);
            self.upper.row_mut(at)
        };
        slots[..links.len()].copy_from_slice(links);
        slots[links.len()..].fill(NONE);
    }

    fn capacity(&self, level: u8) -> usize {
        if level == 0 {
            2 * self.params.m
        } else {
            self.params.m
        }
    }
}

fn degree(links: &[u32]) -> usize {
    links
        .iter()
        .position(|id| *id == NONE)
        .unwrap_or(links.len())
}

/// The geometry that links are chosen under.
fn build_metric(store: &VectorStore) -> Metric {
    match store.metric() {
        Metric::Ip => Metric::L2,
        other => other,
    }
}
