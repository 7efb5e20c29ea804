//! Linking many rows at once, where an insertion brings at least as many rows as there were.
//!
//! A sixteenth of the new rows, among them all that reach upper layers, is inserted in batches as
//! ever: these rows have the long links and are what a search finds its way by. Every other row gets its
//! candidates without a search of the whole graph: the nearest rows from random partitions (see
//! `near`), all rows old and new taking part, and from farther off the best of a narrow search of the
//! graph of the sixteenth. Then each row chooses, what it chooses is offered the row in return, and
//! each row makes its final choice once among what it chose, what it was offered and what it had; slots
//! left free are filled with the nearest.
//!
//! Measured with M=16 and ef_construction=200 in i8, processor time of both threads and recall@10 at
//! ef 50/100/200 against the exact scan of the codes, batches alone against this, on a busy machine (the
//! first row interleaved, the others in runs of their own):
//!
//! | rows | batches | bulk |
//! |---|---|---|
//! | 100,000 x 384 sentence embeddings | 34 s, .955/.982/.992 | 20 s, .954/.981/.991 |
//! | 40,981 x 64 ALS factors, ip | 6.3 s, .981/.987/.989 | 3.9 s, .985/.989/.992 |
//! | 50,000 x 32, a third of them copies or zero | 11 s, .80/.87/.95, 38 lost | 5.2 s, .88/.92/.96, 0 lost |
//! | 20,000 x 64, queries from none of their clusters | 3.2 s, .85/.94/.987 | 1.9 s, .81/.93/.979 |
//!
//! Full rows cost distances: on the embeddings 1,938 a query at ef 100 (batches: 1,839), on the factors
//! 804 (619), and on the last set 1,308 (1,621). Tried on the embeddings, recall at ef 100:
//!
//! - More rounds: .973 at 6 and .976 at 9 (both after a pass over neighbours of neighbours), .978 at
//!   12 without it, with 64 candidates a row. Kept 12, growing with the rows.
//! - More candidates a row: .978 at 64, .980 at 96 (12 rounds). Half of ef_construction is kept.
//! - A final choice among all candidates and offers, not among what was chosen and offered (20,000
//!   rows): .984 for .990. Dropped: it fills slots with the nearest rows where a row that chose this one
//!   needs the link back.
//! - Rows left with free slots (20,000 rows): .987 for .990 at 1,586 distances for 1,734, so about as
//!   good by distances. Filled, because a walk that scores a row at once pays for the slots anyway.
//! - A pass over neighbours of neighbours (20,000 rows): .9895 for .9888 in a quarter more time. Dropped.
//! - A narrower search for what lies farther: 40 clusters of 100 rows, queries from elsewhere, recall
//!   .89 at breadth 8, .97 at 32. Kept 32 or more.

use super::near::{Keys, Round};
use super::prune::Pruner;
use super::{HashedFor, Hook, Journal};
use crate::error::{Error, Result};
use crate::hnsw::search::Collect;
use crate::hnsw::{build_metric, splitmix64, Extent, Graph, Scratch};
use crate::scored::Scored;
use crate::store::{Query, VectorStore};
use crate::threads;

/// Rows handled between two questions to the hook.
const STRETCH: usize = 4096;
/// Leaves handled between two.
const LEAVES: usize = 16;

/// Candidates of every row, packed by the row's [`Keys`] and sorted.
type Lists = Vec<Vec<u64>>;

/// Tells the hook how far the work is, in rows.
pub(super) struct Progress<'a> {
    pub hook: Hook<'a>,
    pub done: usize,
    pub total: usize,
}

impl Progress<'_> {
    /// `share` of what this stage does between two shares of the whole.
    fn at(&self, (from, to): (f64, f64), share: f64) -> Result<()> {
        let rows = (self.total - self.done) as f64 * (from + (to - from) * share);
        match (self.hook)(self.done + rows as usize, self.total) {
            true => Ok(()),
            false => Err(Error::Interrupted),
        }
    }
}

/// How many partitions: what lies next to a row is met more rarely the more leaves there are.
fn rounds(rows: usize) -> usize {
    (2 * rows.max(1).ilog2() as usize).saturating_sub(20).max(5)
}

impl Graph {
    /// Links the waiting rows, and the linked ones to them.
    pub(super) fn link_in_bulk(
        &mut self,
        store: &VectorStore,
        waiting: &[u32],
        journal: &mut Journal,
        progress: &Progress<'_>,
    ) -> Result<()> {
        let width = (self.params.ef_construction / 2).max(3 * self.params.m);
        let (mut lists, order) = self.near_lists(store, width, progress)?;
        self.add_far(store, waiting, &order, &mut lists, progress)?;
        let (chosen, offers) = self.choose(store, &order, &lists, progress)?;
        self.settle(store, &order, &lists, &chosen, &offers, journal, progress)
    }

    /// The nearest rows of each row, and an order in which near rows follow each other: worked on in
    /// that order, what one row reads is still in cache for the next.
    fn near_lists(
        &self,
        store: &VectorStore,
        width: usize,
        progress: &Progress<'_>,
    ) -> Result<(Lists, Vec<u32>)> {
        let rounds = rounds(self.len());
        let mut lists: Lists = vec![Vec::new(); self.len()];
        let mut order = Vec::new();
        for number in 0..rounds {
            let part = |share: f64| (number as f64 + share) / rounds as f64;
            let seed = splitmix64(self.params.seed ^ splitmix64(number as u64));
            let round = Round { store, seed };
            let leaves = round.leaves(&mut || progress.at((0.0, 0.75), part(0.0)))?;
            for (i, some) in leaves.chunks(LEAVES).enumerate() {
                let share = (i * LEAVES) as f64 / leaves.len() as f64;
                progress.at((0.0, 0.75), part(share))?;
                let met =
                    threads::par_map(some, &|| (), &|(), leaf| round.meet(leaf, &lists, width));
                for (leaf, new) in some.iter().zip(met) {
                    for (&row, list) in leaf.iter().zip(new) {
                        lists[row as usize] = list;
                    }
                }
            }
            order = leaves.concat();
        }
        Ok((lists, order))
    }

    /// Adds the nearest of the rows inserted before, a sample of all, to the lists of the new rows.
    fn add_far(
        &self,
        store: &VectorStore,
        waiting: &[u32],
        order: &[u32],
        lists: &mut Lists,
        progress: &Progress<'_>,
    ) -> Result<()> {
        let breadth = (self.params.ef_construction / 6).max(32);
        let extent = Extent::fixed(breadth);
        let metric = build_metric(store);
        let all = Collect {
            want: breadth,
            eligible: None,
        };
        let mut waits = vec![false; self.len()];
        waiting.iter().for_each(|row| waits[*row as usize] = true);
        for (i, some) in order.chunks(STRETCH).enumerate() {
            progress.at((0.75, 0.85), (i * STRETCH) as f64 / order.len() as f64)?;
            let init = || (Scratch::default(), Query::default());
            let merged = threads::par_map(some, &init, &|(scratch, query), &row| {
                let list = &lists[row as usize];
                if !waits[row as usize] {
                    return list.clone();
                }
                store.row_query(row, query);
                let start = [self.descend(store, query, metric, 0, scratch)];
                self.begin(scratch);
                let tie = HashedFor(row);
                let mut far =
                    self.search_layer(store, query, metric, 0, extent, &start, all, &tie, scratch);
                far.retain(|entry| !self.gone.contains(entry.row));
                merge(row, list, &far)
            });
            for (&row, list) in some.iter().zip(merged) {
                lists[row as usize] = list;
            }
        }
        Ok(())
    }

    /// What each row chooses among its candidates, and what is offered to each in return, sorted.
    fn choose(
        &self,
        store: &VectorStore,
        order: &[u32],
        lists: &Lists,
        progress: &Progress<'_>,
    ) -> Result<(Lists, Vec<(u32, u64)>)> {
        let mut chosen: Lists = vec![Vec::new(); self.len()];
        let mut offers = Vec::with_capacity(self.len() * self.params.m);
        for (i, some) in order.chunks(STRETCH).enumerate() {
            progress.at((0.85, 0.93), (i * STRETCH) as f64 / order.len() as f64)?;
            let links = threads::par_map(some, &|| Pruner::new(store), &|pruner, &row| {
                pruner.diverse(
                    row,
                    &unpack(row, &lists[row as usize]),
                    self.params.m,
                    self.params.m,
                )
            });
            for (&row, links) in some.iter().zip(links) {
                let offer = |link: &Scored| (link.row, Keys::of(link.row).pack(link.score, row));
                offers.extend(links.iter().map(offer));
                chosen[row as usize] = merge(row, &[], &links);
            }
        }
        offers.sort_unstable();
        Ok((chosen, offers))
    }

    /// The final links of every row.
    #[allow(clippy::too_many_arguments)] // What the stages before it made.
    fn settle(
        &mut self,
        store: &VectorStore,
        order: &[u32],
        lists: &Lists,
        chosen: &Lists,
        offers: &[(u32, u64)],
        journal: &mut Journal,
        progress: &Progress<'_>,
    ) -> Result<()> {
        let limit = self.capacity(0);
        for (i, some) in order.chunks(STRETCH).enumerate() {
            progress.at((0.93, 1.0), (i * STRETCH) as f64 / order.len() as f64)?;
            let links = threads::par_map(some, &|| Pruner::new(store), &|pruner, &row| {
                let had = pruner.scored(row, self.links(row, 0));
                let mut list = merge(row, &chosen[row as usize], &had);
                let from = offers.partition_point(|(target, _)| *target < row);
                let mine = offers[from..].iter().take_while(|(to, _)| *to == row);
                list.extend(mine.map(|(_, key)| *key));
                list.sort_unstable();
                list.dedup();
                let links = pruner.diverse(row, &unpack(row, &list), limit, limit);
                let mut links: Vec<u32> = links.into_iter().map(|link| link.row).collect();
                let keys = Keys::of(row);
                for &key in &lists[row as usize] {
                    if links.len() == limit {
                        break;
                    }
                    let id = keys.row(key);
                    if !links.contains(&id) {
                        links.push(id);
                    }
                }
                links
            });
            for (&row, links) in some.iter().zip(links) {
                journal.note(row, 0);
                self.set_links(row, 0, &links);
            }
        }
        Ok(())
    }
}

/// A row's list with more candidates in it.
fn merge(row: u32, list: &[u64], more: &[Scored]) -> Vec<u64> {
    let keys = Keys::of(row);
    let mut merged = Vec::with_capacity(list.len() + more.len());
    merged.extend_from_slice(list);
    merged.extend(more.iter().map(|entry| keys.pack(entry.score, entry.row)));
    merged.sort_unstable();
    merged.dedup();
    merged
}

fn unpack(row: u32, list: &[u64]) -> Vec<Scored> {
    let keys = Keys::of(row);
    let entry = |&key: &u64| Scored {
        score: Keys::score(key),
        row: keys.row(key),
    };
    list.iter().map(entry).collect()
}
