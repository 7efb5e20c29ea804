//! Rows that are taken out, and links for those that had led there.
//!
//! A row that is taken out stays where it is for a while: walks go through it and do not return it, and no
//! new link leads to it. When enough rows wait ([`Graph::repair_is_due`]), all links to them are replaced in
//! one pass, as IP-DiskANN (arXiv 2502.13826) does for one row at a time: whoever linked to a row gets in its
//! place one of the rows that lie behind it. One pass for many rows knows every link that led to them exactly,
//! where a search for the rows that may have linked to one misses some, and those it misses dangle; and it
//! costs no search at all.
//!
//! What lies behind is found by following links through rows that are gone, so a whole region may go at once.
//! The links that are left and what lies behind are then candidates alike, and the heuristic chooses among them as it does
//! for a new row. To fill only the places of lost links had cost 1.4 points of recall@10 at ef 50 where half of 100,000 sentences
//! replaced the other half region by region, and costs .7 with the links that new rows have now; chosen anew it is .2 (`bench/churn.py`).
//! A row that is left with few links looks for others as a new row does.
//! After that every row that is left can be reached from the entry (`reach`).
//!
//! The rows themselves are dropped later, in a compaction, which numbers the others anew and builds nothing.

use std::sync::Arc;

use super::batch::rows_of;
use super::prune::Pruner;
use super::Journal;
use crate::hnsw::search::Collect;
use crate::hnsw::{build_metric, Extent, Graph, Scratch, NONE};
use crate::scored::ByRow;
use crate::store::{Paged, Query, VectorStore};
use crate::threads;

/// Fewer rows than this wait for each other.
const LEAST: usize = 64;
/// The inverse of the share of all rows that may wait. A pass reads all links once, some 15 ms at 100,000
/// rows of 32, and walks the graph once.
const SHARE: usize = 256;
/// Candidates for the places of one row's lost links.
const BEHIND: usize = 96;
/// Rows that are gone, looked behind for one row.
const THROUGH: usize = 64;

impl Graph {
    /// Takes rows out. Links still lead to them until [`Graph::repair`].
    pub fn take_out(&mut self, rows: &[u32]) {
        let gone = Arc::make_mut(&mut self.gone);
        gone.grow(self.levels.len());
        for &row in rows
            .iter()
            .filter(|row| (**row as usize) < self.levels.len())
        {
            self.waiting += usize::from(!gone.contains(row));
            gone.insert(row);
        }
    }

    /// Whether so many rows were taken out that a repair pays.
    pub fn repair_is_due(&self) -> bool {
        self.waiting >= LEAST.max(self.len() / SHARE)
    }

    /// Whether links may lead to rows that were taken out.
    pub fn needs_repair(&self) -> bool {
        self.waiting > 0
    }

    /// Replaces all links to rows that were taken out; returns the rows whose bottom links changed, in order.
    /// Parallel when called inside a rayon pool.
    pub fn repair(&mut self, store: &VectorStore) -> Vec<u32> {
        let mut journal = Journal::new(self.len());
        self.waiting = 0;
        let Some(top) = self.top_level() else {
            return Vec::new();
        };
        for level in (0..=top).rev() {
            let lost = |row: &u32| {
                !self.gone.contains(*row)
                    && self.levels[*row as usize] >= level
                    && self
                        .links(*row, level)
                        .iter()
                        .any(|id| self.gone.contains(*id))
            };
            let bereft: Vec<u32> = (0..self.len() as u32).filter(lost).collect();
            let init = || (Pruner::new(store), Query::default(), Scratch::default());
            let links = threads::par_map(&bereft, &init, &|(pruner, query, scratch), &row| {
                self.links_without_the_gone(store, row, level, pruner, query, scratch)
            });
            for (row, links) in bereft.into_iter().zip(links) {
                journal.note(row, level);
                self.set_links(row, level, &links);
            }
        }
        if self.gone.contains(self.entry) {
            self.entry = self.highest();
        }
        self.reach_all(store, &mut journal);
        journal.changed_rows()
    }

    /// The first of the rows on the highest layer that are left.
    fn highest(&self) -> u32 {
        let left = (0..self.len() as u32).filter(|row| !self.gone.contains(*row));
        left.max_by_key(|row| (self.levels[*row as usize], std::cmp::Reverse(*row)))
            .unwrap_or(NONE)
    }

    fn links_without_the_gone(
        &self,
        store: &VectorStore,
        row: u32,
        level: u8,
        pruner: &mut Pruner<'_>,
        query: &mut Query,
        scratch: &mut Scratch,
    ) -> Vec<u32> {
        let had = self.links(row, level);
        let mut links: Vec<u32> = had.to_vec();
        links.retain(|id| !self.gone.contains(*id));
        links.extend(self.behind(row, had, level));
        let near = pruner.scored(row, &links);
        let capacity = self.capacity(level);
        links = rows_of(&pruner.diverse(row, &near, capacity, capacity));
        if links.len() < self.params.m.min(had.len()) / 2 {
            let near = self.near(store, row, level, query, scratch);
            pruner.fill(row, &mut links, &near, self.params.m);
        }
        links
    }

    /// Rows that are left and lie behind those of some links that are gone, the nearest by links first.
    fn behind(&self, row: u32, links: &[u32], level: u8) -> Vec<u32> {
        let mut through: Vec<u32> = links.to_vec();
        through.retain(|id| self.gone.contains(*id));
        let mut found = Vec::new();
        let mut at = 0;
        while at < through.len().min(THROUGH) && found.len() < BEHIND {
            for &id in self.links(through[at], level) {
                if self.gone.contains(id) {
                    if !through.contains(&id) {
                        through.push(id);
                    }
                } else if id != row && !links.contains(&id) && !found.contains(&id) {
                    found.push(id);
                }
            }
            at += 1;
        }
        found
    }

    /// Rows near a row that are left, by a search.
    fn near(
        &self,
        store: &VectorStore,
        row: u32,
        level: u8,
        query: &mut Query,
        scratch: &mut Scratch,
    ) -> Vec<u32> {
        let metric = build_metric(store);
        let breadth = self.params.ef_construction;
        store.row_query(row, query);
        let start = [self.descend(store, query, metric, level, scratch)];
        self.begin(scratch);
        let all = Collect {
            want: breadth,
            eligible: None,
        };
        let extent = Extent::fixed(breadth);
        let found = self.search_layer(
            store, query, metric, level, extent, &start, all, &ByRow, scratch,
        );
        let left = found.into_iter().map(|entry| entry.row);
        left.filter(|id| *id != row && !self.gone.contains(*id))
            .collect()
    }

    /// The graph of some rows alone, numbered as they come, without links to any other.
    pub fn keep(&self, rows: &[u32]) -> Graph {
        let mut now = vec![NONE; self.len()];
        for (new, &old) in rows.iter().enumerate() {
            now[old as usize] = new as u32;
        }
        let m = self.params.m;
        let mut kept = Graph {
            taught: self.taught.keep(rows),
            base: Paged::new(2 * m),
            upper: Paged::new(m),
            ..Graph::new(self.params)
        };
        kept.base.grow(rows.len(), NONE);
        let uppers = rows
            .iter()
            .map(|row| usize::from(self.levels[*row as usize]));
        kept.upper.grow(uppers.sum(), NONE);
        let mut upper = 0;
        let mut links = Vec::with_capacity(2 * m);
        for (new, &old) in rows.iter().enumerate() {
            let top = self.levels[old as usize];
            kept.levels.push(top);
            kept.upper_start.push(upper);
            upper += u32::from(top);
            for level in 0..=top {
                links.clear();
                links.extend(self.links(old, level).iter().map(|id| now[*id as usize]));
                // Links to what goes were replaced before, unless a file that was made to mislead says that none waits.
                links.retain(|id| *id != NONE);
                kept.set_links(new as u32, level, &links);
            }
        }
        kept.entry = match now.get(self.entry as usize) {
            Some(&entry) if entry != NONE => entry,
            _ => kept.highest(),
        };
        kept
    }
}

#[cfg(test)]
mod tests;
