//! Insertion in batches: each row of a batch searches the graph as it was before the batch.

use super::prune::Pruner;
use super::{HashedFor, Journal};
use crate::hnsw::search::Collect;
use crate::hnsw::{build_metric, Extent, Graph, Scratch};
use crate::scored::Scored;
use crate::store::{Query, VectorStore};
use crate::threads;

/// A batch never exceeds this many rows, so that the hook is asked a few times a second.
const MAX_BATCH: usize = 2048;
/// A batch is at most this fraction of the rows already linked.
const BATCH_FRACTION: usize = 16;

type Links = Vec<(u8, Vec<u32>)>;

impl Graph {
    /// How many of the waiting rows go together. A row that opens a new layer goes alone: rows that
    /// reach the layer later must be able to find it.
    pub(super) fn next_batch<'a>(&self, waiting: &'a [u32], linked: usize) -> &'a [u32] {
        let opens = |row: &u32| match self.top_level() {
            Some(top) => self.levels[*row as usize] > top,
            None => true,
        };
        if opens(&waiting[0]) {
            return &waiting[..1];
        }
        let limit = (linked / BATCH_FRACTION)
            .clamp(1, MAX_BATCH)
            .min(waiting.len());
        let end = waiting[..limit].iter().position(opens).unwrap_or(limit);
        &waiting[..end]
    }

    pub(super) fn insert_batch(
        &mut self,
        store: &VectorStore,
        batch: &[u32],
        journal: &mut Journal,
    ) {
        let found: Vec<Links> = threads::par_map(
            batch,
            &|| (Scratch::default(), Query::default(), Pruner::new(store)),
            &|(scratch, query, pruner), &row| self.find_links(store, row, query, pruner, scratch),
        );

        let mut back: Vec<(u8, u32, u32)> = Vec::new();
        for (&row, links) in batch.iter().zip(&found) {
            for (level, ids) in links {
                self.set_links(row, *level, ids);
                back.extend(ids.iter().map(|&target| (*level, target, row)));
            }
        }
        back.sort_unstable();
        let groups: Vec<&[(u8, u32, u32)]> =
            back.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).collect();
        let updated: Vec<(u32, u8, Vec<u32>)> =
            threads::par_map(&groups, &|| Pruner::new(store), &|pruner, group| {
                let (level, target, _) = group[0];
                let mut ids = self.links(target, level).to_vec();
                ids.extend(group.iter().map(|(_, _, row)| *row));
                if ids.len() > self.capacity(level) {
                    let near = pruner.scored(target, &ids);
                    let capacity = self.capacity(level);
                    ids = rows_of(&pruner.diverse(target, &near, capacity, capacity));
                }
                (target, level, ids)
            });
        for (target, level, ids) in updated {
            journal.note(target, level);
            self.set_links(target, level, &ids);
        }
        let row = batch[0];
        if self
            .top_level()
            .is_none_or(|top| self.levels[row as usize] > top)
        {
            self.entry = row;
        }
    }

    /// The links of a new row in each of its layers, top first.
    fn find_links(
        &self,
        store: &VectorStore,
        row: u32,
        query: &mut Query,
        pruner: &mut Pruner<'_>,
        scratch: &mut Scratch,
    ) -> Links {
        let Some(top) = self.top_level() else {
            return Vec::new();
        };
        let metric = build_metric(store);
        store.row_query(row, query);
        let level = self.levels[row as usize].min(top);
        let mut starts = vec![self.descend(store, query, metric, level, scratch)];
        let mut links = Links::new();
        for layer in (0..=level).rev() {
            self.begin(scratch);
            let breadth = self.params.ef_construction;
            let extent = Extent::fixed(breadth);
            let tie = HashedFor(row);
            let all = Collect {
                want: breadth,
                eligible: None,
            };
            let mut near = self.search_layer(
                store, query, metric, layer, extent, &starts, all, &tie, scratch,
            );
            starts.clear();
            starts.extend(near.iter().map(|entry| entry.row));
            near.retain(|entry| !self.gone.contains(entry.row));
            // New rows start with M links, and on the bottom layer with up to half as many more that nothing stands in
            // front of; the rest comes by back links. Of those there are few where rows come region by region.
            let m = self.params.m;
            let most = self.capacity(layer).min(m + m / 2);
            let chosen = pruner.diverse(row, &near, most, m);
            links.push((layer, rows_of(&chosen)));
        }
        links
    }
}

pub(super) fn rows_of(links: &[Scored]) -> Vec<u32> {
    links.iter().map(|link| link.row).collect()
}
