//! Batched, parallel and deterministic insertion.
//!
//! A batch is at most a sixteenth of the graph it is inserted into, so that rows which cannot see each
//! other (those of one batch) are few beside those they can see. Each row of a batch finds its links
//! in the graph as it was before; then all back links are grouped by their target and each target is
//! pruned once. ParlayANN (PPoPP 2024, section 3) shows that such prefix-doubling batches cost no
//! recall.
//!
//! Duplicates: rows at equal distance are taken in an order hashed per row. Taken by row number, every
//! copy of a vector would link to the same few copies and the others could not be reached: of 500
//! copies among 1,500 rows 418 were lost that way.
//!
//! Undo: when the caller's hook asks to stop, every link row of an older row that a batch changed is
//! restored from a journal and the new rows are cut off, so the graph is what it was before the call.

use std::cmp::Ordering;
use std::collections::HashMap;

use perso_kernels::Rows;

use super::search::Collect;
use super::{build_metric, splitmix64, Graph, Scratch, NONE};
use crate::error::{Error, Result};
use crate::metric::Metric;
use crate::scored::{rank_order, Scored, TieBreak};
use crate::store::{Query, VectorStore};
use crate::threads;

/// Told how many rows are done of how many; `false` stops the work.
pub type Hook<'a> = &'a (dyn Fn(usize, usize) -> bool + Sync);

/// A batch never exceeds this many rows, so that the hook is asked a few times a second.
const MAX_BATCH: usize = 2048;
/// A batch is at most this fraction of the rows already linked.
const BATCH_FRACTION: usize = 16;

/// Orders rows at equal distance to a row by a hash of both.
struct HashedFor(u32);

impl TieBreak for HashedFor {
    fn tie(&self, a: u32, b: u32) -> Ordering {
        let key = |row: u32| splitmix64(u64::from(self.0) << 32 | u64::from(row));
        key(a).cmp(&key(b))
    }
}

type Links = Vec<(u8, Vec<u32>)>;

struct Journal {
    /// Rows that were linked before the call, and the graph's entry then.
    rows: usize,
    entry: u32,
    upper: usize,
    changed: HashMap<(u32, u8), Vec<u32>>,
}

impl Journal {
    fn changed_rows(&self) -> Vec<u32> {
        let bottom = self.changed.keys().filter(|(_, level)| *level == 0);
        let mut rows: Vec<u32> = bottom.map(|(row, _)| *row).collect();
        rows.sort_unstable();
        rows
    }
}

impl Graph {
    /// Links all rows of the store that are not linked yet, and returns the rows linked before whose
    /// bottom links changed, in order. Parallel when called inside a rayon pool.
    pub fn insert_rows(&mut self, store: &VectorStore, hook: Hook<'_>) -> Result<Vec<u32>> {
        let first = self.len();
        let total = store.len() - first;
        let mut journal = Journal {
            rows: first,
            entry: self.entry,
            upper: self.upper.len(),
            changed: HashMap::new(),
        };
        self.reserve_rows(store.len());

        // Clustered input in file order costs 1.4 to 2.6 times the distance computations.
        let mut order: Vec<u32> = (first as u32..store.len() as u32).collect();
        shuffle(&mut order, self.params.seed ^ first as u64);

        let mut done = 0;
        while done < total {
            if !hook(done, total) {
                self.undo(journal);
                return Err(Error::Interrupted);
            }
            let batch = self.next_batch(&order[done..], first + done);
            self.insert_batch(store, batch, &mut journal);
            done += batch.len();
        }
        hook(total, total);
        Ok(journal.changed_rows())
    }

    fn reserve_rows(&mut self, rows: usize) {
        let first = self.len();
        let m = self.params.m;
        self.base.make_mut().resize(rows * 2 * m, NONE);
        for row in first..rows {
            let level = self.params.level(row as u32);
            self.levels.make_mut().push(level);
            self.upper_start.push(self.upper.len() as u32);
            let upper = self.upper.len() + usize::from(level) * m;
            self.upper.make_mut().resize(upper, NONE);
        }
    }

    /// How many of the waiting rows go together. A row that opens a new layer goes alone: rows that
    /// reach the layer later must be able to find it.
    fn next_batch<'a>(&self, waiting: &'a [u32], linked: usize) -> &'a [u32] {
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

    fn insert_batch(&mut self, store: &VectorStore, batch: &[u32], journal: &mut Journal) {
        let found: Vec<Links> = threads::par_map(
            batch,
            &|| (Scratch::default(), Query::default(), Query::default()),
            &|(scratch, query, other), &row| self.find_links(store, row, query, other, scratch),
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
        let updated: Vec<(u32, u8, Vec<u32>)> = threads::par_map(
            &groups,
            &|| (Query::default(), Query::default(), Vec::new()),
            &|(query, other, scores), group| {
                let (level, target, _) = group[0];
                let mut ids = self.links(target, level).to_vec();
                ids.extend(group.iter().map(|(_, _, row)| *row));
                if ids.len() > self.capacity(level) {
                    ids = self.prune(store, target, &ids, level, query, other, scores);
                }
                (target, level, ids)
            },
        );
        for (target, level, ids) in updated {
            if (target as usize) < journal.rows {
                journal
                    .changed
                    .entry((target, level))
                    .or_insert_with(|| self.links(target, level).to_vec());
            }
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
        other: &mut Query,
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
            let ef = self.params.ef_construction;
            let tie = HashedFor(row);
            let all = Collect {
                want: ef,
                eligible: None,
            };
            let near =
                self.search_layer(store, query, metric, layer, ef, &starts, all, &tie, scratch);
            starts.clear();
            starts.extend(near.iter().map(|entry| entry.row));
            // New rows start with M links everywhere; the bottom layer fills up by back links.
            let chosen = diverse(store, metric, &near, self.params.m, other);
            links.push((layer, chosen));
        }
        links
    }

    #[allow(clippy::too_many_arguments)] // The last three are scratch memory.
    fn prune(
        &self,
        store: &VectorStore,
        target: u32,
        ids: &[u32],
        level: u8,
        query: &mut Query,
        other: &mut Query,
        scores: &mut Vec<f32>,
    ) -> Vec<u32> {
        let metric = build_metric(store);
        store.row_query(target, query);
        scores.clear();
        scores.resize(ids.len(), 0.0);
        store.coarse(metric, query, Rows::Ids(ids), scores);
        let mut near: Vec<Scored> = ids
            .iter()
            .zip(scores.iter())
            .map(|(&row, &score)| Scored { score, row })
            .collect();
        near.sort_unstable_by(|a, b| rank_order(&HashedFor(target), *a, *b));
        diverse(store, metric, &near, self.capacity(level), other)
    }

    fn undo(&mut self, journal: Journal) {
        self.entry = journal.entry;
        self.base
            .make_mut()
            .truncate(journal.rows * 2 * self.params.m);
        self.levels.make_mut().truncate(journal.rows);
        self.upper_start.truncate(journal.rows);
        self.upper.make_mut().truncate(journal.upper);
        for ((row, level), links) in journal.changed {
            self.set_links(row, level, &links);
        }
    }
}

/// The neighbour heuristic (algorithm 4 of the paper): a candidate is kept when it is nearer to the
/// new row than to any neighbour kept before it; what was passed over fills the remaining slots.
fn diverse(
    store: &VectorStore,
    metric: Metric,
    near: &[Scored],
    limit: usize,
    other: &mut Query,
) -> Vec<u32> {
    let mut kept: Vec<u32> = Vec::with_capacity(limit);
    let mut passed: Vec<u32> = Vec::new();
    let mut scores = [0.0f32; 16];
    for candidate in near {
        if kept.len() == limit {
            break;
        }
        store.row_query(candidate.row, other);
        // In chunks, because most refusals come from the first few neighbours.
        let good = kept.chunks(scores.len()).all(|chunk| {
            let scores = &mut scores[..chunk.len()];
            store.coarse(metric, other, Rows::Ids(chunk), scores);
            scores.iter().all(|score| *score < candidate.score)
        });
        if good {
            kept.push(candidate.row);
        } else {
            passed.push(candidate.row);
        }
    }
    let free = limit - kept.len();
    kept.extend(passed.into_iter().take(free));
    kept
}

/// Fisher-Yates from a counter-based generator.
fn shuffle(rows: &mut [u32], seed: u64) {
    for i in (1..rows.len()).rev() {
        let r = splitmix64(seed.wrapping_add(splitmix64(i as u64)));
        let j = ((u128::from(r) * (i as u128 + 1)) >> 64) as usize;
        rows.swap(i, j);
    }
}
