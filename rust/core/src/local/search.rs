//! Best-first search over neighbour-local codes.
//!
//! The pool holds estimates, each row once. The best entry not yet followed is scored from its stored vector
//! (that score is the one answered with), and one pass over its block estimates all its neighbours; those that
//! may be worth following go in. How far the walk goes is said by an [`Extent`]: the k-th best of the scores so
//! far tells which estimates are still worth it.
//!
//! What a row reads, some forty lines in three places, takes longer to come than to work on. So a row is asked
//! for one turn before it is its turn, and keeps its turn even if a better one turns up meanwhile: that one is
//! asked for, and next.
//!
//! Measured on 100,000 x 384 sentence embeddings, cosine, i8, µs a search in the core (one core of a shared Zen 4,
//! best of passes, alternating):
//!
//! - By distance in place of a fixed breadth: 53 to 43 at a recall@10 of .967, 71 to 60 at .980; 37 to 36 at .95.
//! - A row in turn in place of the best when its time comes: 48 to 41 at .95 with one row ahead, 41.5 with two, 43
//!   with three. The numbers beside a row's vector (scale and norm) asked for with it: part of that; a fifth of a
//!   search was spent waiting for them.
//! - A start from landmarks in place of the upper layers: 5 to 6 less (see `landmarks`).
//! - Several estimates of a row in the pool, one from each followed neighbour (63 rows followed found what 82 did
//!   with the first estimate only): dropped. By distance the first estimate alone is as fast at .95 and faster above.
//! - Vector, links and factors copied into the row of codes, so that all lies in one place: 0 to 5% faster for a
//!   quarter more memory; dropped. With the data in the caches a search of 37 takes 15, so what is left is the time
//!   that some 36 lines a row take to come, wherever they lie.
//! - Codes of the leading 256 or 320 principal dimensions of 384: the time of a row falls by 3% and less, and at a
//!   recall of .95 a search takes 17% and 8% longer, for 23% and 12% less memory; dropped.
//! - The rest of a row's lines asked for half a turn later than the first: no difference.
//!
use perso_kernels::fastscan::{Line, Table, BLOCK};
use perso_kernels::{prefetch, prefetch_far, Kernels, Rows};

use super::{LocalCodes, FACTORS};
use crate::eligible::RowSet;
use crate::hnsw::{Extent, Graph, KthBest, Visited, Yield, NONE, TAUGHT_DEGREE};
use crate::metric::Metric;
use crate::scored::{best_of, Scored};
use crate::store::{Query, VectorStore};

/// Rows that have been asked for while another one is worked on.
const AHEAD: usize = 1;

/// `u16` of a row's codes to ask into the first cache: four lines. The rest goes to the second only.
const NEAR: usize = 4 * 32;

/// A search for more rows than this scores half as many again by their estimates alone.
const NARROW: usize = 64;

/// Memory of one search, kept between searches by each thread.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The rows that entered the pool.
    met: Visited,
    pool: Vec<u64>,
    /// The best scores of the rows followed that are eligible.
    best: KthBest,
    /// Whether the last search was broken off because it met too few eligible rows.
    pub poor: bool,
    table: Table,
    point: Vec<f32>,
    rotated: Vec<f32>,
    late: Vec<u32>,
    scores: Vec<f32>,
}

/// A pool entry as one number, smallest first: the estimate's order reversed, the row, and in the lowest
/// bit whether it was followed.
fn entry(estimate: f32, row: u32) -> u64 {
    let bits = (estimate + 0.0).to_bits();
    // Makes the order of bits that of numbers (negative numbers count down), then turns it around.
    let ordered = if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    };
    u64::from(!ordered) << 32 | u64::from(row) << 1
}

fn row_of(entry: u64) -> u32 {
    (entry as u32) >> 1
}

fn estimate_of(entry: u64) -> f32 {
    let ordered = !((entry >> 32) as u32);
    f32::from_bits(if ordered >> 31 == 1 {
        ordered & !(1 << 31)
    } else {
        !ordered
    })
}

/// A walk under way.
struct Walk {
    extent: Extent,
    /// Entries kept whatever they are worth.
    keep: usize,
    /// Entries before this one are followed.
    cursor: usize,
    /// The lowest estimate that is worth following, beyond the least number of rows.
    floor: f32,
}

impl Walk {
    /// The next row to follow.
    #[inline]
    fn next(&mut self, pool: &mut [u64]) -> Option<u32> {
        while let Some(entry) = pool.get_mut(self.cursor) {
            if *entry & 1 == 1 {
                self.cursor += 1;
                continue;
            }
            let beyond = self.cursor >= self.extent.least() && estimate_of(*entry) < self.floor;
            if beyond || self.cursor >= self.extent.most() {
                return None;
            }
            *entry |= 1;
            return Some(row_of(*entry));
        }
        None
    }

    /// Entries kept at most.
    fn room(&self) -> usize {
        self.keep.max(self.extent.most())
    }

    /// The estimate that an entry has to exceed to be taken in.
    #[inline]
    fn threshold(&self, pool: &[u64]) -> f32 {
        let full = pool.get(self.room() - 1).map(|last| estimate_of(*last));
        let kept = pool
            .get(self.keep - 1)
            .map(|last| estimate_of(*last).min(self.floor));
        let least = f32::NEG_INFINITY;
        kept.unwrap_or(least).max(full.unwrap_or(least))
    }
}

impl LocalCodes {
    /// The best `want` rows that a walk finds, by coarse score. With `eligible`, ineligible rows are
    /// walked through and not returned, and a walk that
    /// follows far fewer eligible rows than there should be is broken off: `scratch.poor`.
    #[allow(clippy::too_many_arguments)] // A search has this many inputs; a struct would be used once.
    pub fn search(
        &self,
        graph: &Graph,
        store: &VectorStore,
        query: &Query,
        extent: Extent,
        want: usize,
        eligible: Option<&RowSet>,
        entries: &[u32],
        scratch: &mut Scratch,
    ) -> Vec<Scored> {
        if self.is_empty() {
            return Vec::new();
        }
        let kernels = Kernels::get();
        let metric = store.metric();
        scratch.met.begin(self.len());
        scratch.pool.clear();
        scratch.best.clear();
        scratch.poor = false;
        self.prepare(kernels, metric, query, scratch);
        let start = self.nearest_landmark(kernels, &scratch.table);
        for &row in entries.iter().chain(&start) {
            if scratch.met.insert(row) {
                scratch.pool.push(entry(f32::MAX, row));
            }
        }
        scratch.pool.sort_unstable();

        // Who wants many rows, or chosen ones of which there are few, gets those that are only estimated as well.
        let wide = want > NARROW || eligible.is_some_and(|set| 2 * set.len() < self.len());
        let mut walk = Walk {
            extent,
            keep: extent
                .least()
                .max(if wide { want + want / 2 } else { want }),
            cursor: 0,
            floor: f32::NEG_INFINITY,
        };
        let mut found: Vec<Scored> = Vec::with_capacity(extent.most().min(4096) + 16);
        let mut coming = [NONE; AHEAD + 1];
        let mut count = 0;
        let mut watch = Yield::of(eligible.map_or(0, RowSet::len), self.len());
        loop {
            while count <= AHEAD {
                let Some(row) = walk.next(&mut scratch.pool) else {
                    break;
                };
                self.ask_for(graph, store, row);
                coming[count] = row;
                count += 1;
            }
            if count == 0 {
                // Everything that may be followed was, and more was worth it.
                let cut = walk.cursor >= extent.most();
                scratch.poor = extent.k() > 0 && cut && watch.lacks();
                break;
            }
            let row = coming[0];
            coming.copy_within(1.., 0);
            count -= 1;
            let mut score = [0.0];
            store.coarse(metric, query, Rows::Ids(&[row]), &mut score);
            let [score] = score;
            let good = eligible.is_none_or(|set| set.contains(row));
            if good {
                found.push(Scored { score, row });
                if let Some(kth) = scratch.best.note(score, extent.k()) {
                    walk.floor = extent.floor(metric, kth);
                }
            }
            watch.note(good);
            if watch.is_poor() {
                scratch.poor = true;
                break;
            }
            self.estimate_links(
                kernels,
                graph,
                store,
                Scored { score, row },
                &mut walk,
                scratch,
            );
            let taught = graph.taught().links(row);
            if !taught.is_empty() {
                self.add_taught(taught, store, query, &mut walk, scratch);
            }
        }
        self.score_the_rest(
            store, query, eligible, want, wide, &walk, scratch, &mut found,
        );
        best_of(found, want)
    }

    /// Estimates a followed row's neighbours and takes into the pool those that may be worth following.
    #[inline]
    fn estimate_links(
        &self,
        kernels: &Kernels,
        graph: &Graph,
        store: &VectorStore,
        from: Scored,
        walk: &mut Walk,
        scratch: &mut Scratch,
    ) {
        let slope = match store.metric() {
            Metric::L2 => 1.0,
            Metric::Cosine => from.score,
            Metric::Ip => {
                let norm = store.norms()[from.row as usize];
                if norm > 0.0 {
                    from.score / (norm * norm)
                } else {
                    0.0
                }
            }
        };
        let mut estimates = [0.0f32; BLOCK];
        let mut fresh = [0u64; BLOCK];
        let block_len = self.block_len();
        for (links, block) in graph
            .link_row(from.row, 0)
            .chunks(BLOCK)
            .zip(self.row(from.row).chunks_exact(block_len))
        {
            let line = Line {
                base: from.score,
                slope,
                threshold: walk.threshold(&scratch.pool),
            };
            let (codes, factors) = block.split_at(block_len - FACTORS);
            let factors = factors
                .first_chunk()
                .expect("a block ends with its factors");
            let mut mask = kernels.estimate(
                &scratch.table,
                bytemuck::cast_slice(codes),
                factors,
                line,
                &mut estimates,
            );
            let mut count = 0;
            while mask != 0 {
                let j = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                let Some(&link) = links.get(j).filter(|link| **link != NONE) else {
                    break;
                };
                if !scratch.met.insert(link) {
                    continue;
                }
                let new = entry(estimates[j], link);
                // In order as they come: there are few.
                let mut at = count;
                while at > 0 && fresh[at - 1] > new {
                    fresh[at] = fresh[at - 1];
                    at -= 1;
                }
                fresh[at] = new;
                count += 1;
            }
            let first = merge(&mut scratch.pool, &fresh[..count], walk.room());
            walk.cursor = walk.cursor.min(first);
        }
    }

    /// Asks for what following a row reads, in the order it is read.
    #[inline]
    fn ask_for(&self, graph: &Graph, store: &VectorStore, row: u32) {
        store.prefetch(row);
        prefetch(graph.link_row(row, 0));
        let codes = self.row(row);
        let (near, far) = codes.split_at(codes.len().min(NEAR));
        prefetch(near);
        prefetch_far(far);
    }

    /// The query's table of lookups.
    fn prepare(&self, kernels: &Kernels, metric: Metric, query: &Query, scratch: &mut Scratch) {
        let point = &mut scratch.point;
        point.clear();
        match metric {
            Metric::Ip => point.extend_from_slice(query.vector()),
            Metric::Cosine => {
                let norm = query.norm();
                let inverse = if norm > 0.0 { 1.0 / norm } else { 0.0 };
                point.extend(query.vector().iter().map(|x| x * inverse));
            }
            Metric::L2 => point.extend(query.vector().iter().zip(&self.mean).map(|(x, m)| x - m)),
        }
        self.rotation.apply(kernels, point, &mut scratch.rotated);
        kernels.fill_table(&scratch.rotated, &mut scratch.table);
    }

    /// Puts the rows that a row's taught links lead to into the pool, by their scores: they have no codes.
    fn add_taught(
        &self,
        taught: &[u32],
        store: &VectorStore,
        query: &Query,
        walk: &mut Walk,
        scratch: &mut Scratch,
    ) {
        let late = &mut scratch.late;
        late.clear();
        late.extend(taught.iter().filter(|link| scratch.met.insert(**link)));
        let mut scores = [0.0; TAUGHT_DEGREE];
        let scores = &mut scores[..late.len()];
        store.coarse(store.metric(), query, Rows::Ids(late), scores);
        let mut fresh = [0u64; TAUGHT_DEGREE];
        let fresh = &mut fresh[..late.len()];
        for ((slot, &link), &score) in fresh.iter_mut().zip(late.iter()).zip(scores.iter()) {
            *slot = entry(score, link);
        }
        fresh.sort_unstable();
        let first = merge(&mut scratch.pool, fresh, walk.room());
        walk.cursor = walk.cursor.min(first);
    }

    /// Rows that were estimated well and not followed are scored as well, where they are wanted: that costs a
    /// fifth of following them.
    #[allow(clippy::too_many_arguments)] // The end of `search`, which has this many.
    fn score_the_rest(
        &self,
        store: &VectorStore,
        query: &Query,
        eligible: Option<&RowSet>,
        want: usize,
        wide: bool,
        walk: &Walk,
        scratch: &mut Scratch,
        found: &mut Vec<Scored>,
    ) {
        let lack = want.saturating_sub(found.len());
        let late = &mut scratch.late;
        late.clear();
        for &entry in scratch.pool.iter().filter(|entry| **entry & 1 == 0) {
            let row = row_of(entry);
            let wanted = wide || late.len() < lack || estimate_of(entry) >= walk.floor;
            if !wanted {
                break;
            }
            if eligible.is_none_or(|set| set.contains(row)) {
                late.push(row);
            }
        }
        scratch.scores.clear();
        scratch.scores.resize(late.len(), 0.0);
        store.coarse(store.metric(), query, Rows::Ids(late), &mut scratch.scores);
        found.extend(
            late.iter()
                .zip(&scratch.scores)
                .map(|(&row, &score)| Scored { score, row }),
        );
    }
}

/// Merges entries in order into the pool of at most `keep`, also in order; returns where the first one
/// went. From the end, so that each entry moves once, however many come.
fn merge(pool: &mut Vec<u64>, fresh: &[u64], keep: usize) -> usize {
    let before = pool.len();
    pool.extend_from_slice(fresh);
    let mut old = before;
    let mut at = pool.len();
    for (left, &new) in fresh.iter().enumerate().rev() {
        while old > 0 && pool[old - 1] > new {
            pool[old + left] = pool[old - 1];
            old -= 1;
        }
        at = old + left;
        pool[at] = new;
    }
    pool.truncate(keep);
    at
}
