//! Best-first search over neighbour-local codes.
//!
//! The pool holds estimates. The best entry not yet followed is scored from its stored vector (that
//! score is the one answered with), and one pass over its block estimates all its neighbours; those
//! above the pool's last go in.
//!
//! Each followed neighbour of a row has an estimate of it, and in a narrow search all of them may be in the
//! pool, of which the best is followed: 63 rows followed, of a pool of 100, find what 82 find where the
//! first estimate is the only one (recall@10 of .957 and .958, 100,000 x 384 sentence embeddings, cosine, i8).
//! That is 38 µs against 43. But a pool of 300 may hold 65 rows then, so a wide search, or one
//! under a filter, which has to answer with many rows, takes the first estimate of each.
//!
//! Measured on the same data, µs a search at ef = 100 (best of four passes, on a shared machine):
//! - Huge pages: 107 to 69.
//! - A row asked for as soon as it is likely next, and the one after it; the vector, the links and four lines
//!   of codes into the first cache, the rest into the second: 69 to 53. All lines into the first cache: 59.
//!   One row ahead or three, ten lines or none: within 3% of two and four.
//! - New entries merged into the pool at once, not one by one: 43.7 to 40.4 (with less running beside).
//! - Scoring the vectors of half as many entries again beyond the pool's end, none of them followed: dropped;
//!   recall .9632 to .9639 for 40.4 to 49.8.

use perso_kernels::fastscan::{Line, Table, BLOCK};
use perso_kernels::{prefetch, prefetch_far, Kernels, Rows};

use super::{LocalCodes, FACTORS};
use crate::eligible::RowSet;
use crate::hnsw::{self, Graph, Visited, NONE, TAUGHT_DEGREE};
use crate::metric::Metric;
use crate::scored::{best_of, Scored};
use crate::store::{Query, VectorStore};

/// How many of the rows that are likely next to ask for.
const AHEAD: usize = 2;

/// `u16` of a row's codes to ask into the first cache: four lines. The rest goes to the second only.
const NEAR: usize = 4 * 32;

/// A search for more rows than this, or for chosen ones, has each row in its pool once.
const NARROW: usize = 64;

/// Memory of one search, kept between searches by each thread.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The rows that were followed; or, where each is in the pool once, those that entered it.
    met: Visited,
    /// The rows that a taught link led to, where `met` does not have them.
    scored: Visited,
    pool: Vec<u64>,
    table: Table,
    point: Vec<f32>,
    rotated: Vec<f32>,
    late: Vec<u32>,
    scores: Vec<f32>,
    descent: hnsw::Scratch,
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

impl LocalCodes {
    /// The best `want` rows found by following `ef` of them, by coarse score. With `eligible`,
    /// ineligible rows are walked through and not returned.
    #[allow(clippy::too_many_arguments)] // A search has this many inputs; a struct would be used once.
    pub fn search(
        &self,
        graph: &Graph,
        store: &VectorStore,
        query: &Query,
        ef: usize,
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
        if !graph.taught().is_empty() {
            scratch.scored.begin(self.len());
        }
        scratch.pool.clear();
        self.prepare(kernels, metric, query, scratch);
        let start = graph.descend(store, query, metric, 0, &mut scratch.descent);
        let once = want > NARROW || eligible.is_some();
        for &row in entries.iter().chain([&start]) {
            if !once || scratch.met.insert(row) {
                scratch.pool.push(entry(f32::MAX, row));
            }
        }
        scratch.pool.sort_unstable();

        // As many as are wanted, also where fewer are followed.
        let keep = if once {
            ef.max(want + want / 2)
        } else {
            ef.max(want)
        };
        let mut found: Vec<Scored> = Vec::with_capacity(ef + 16);
        let mut estimates = [0.0f32; BLOCK];
        let mut fresh = [0u64; BLOCK];
        let mut cursor = 0;
        let mut asked = [NONE; 2 * AHEAD];
        let block_len = self.block_codes() + FACTORS;
        while cursor < scratch.pool.len().min(ef) {
            let current = scratch.pool[cursor];
            if current & 1 == 1 {
                cursor += 1;
                continue;
            }
            scratch.pool[cursor] |= 1;
            let row = row_of(current);
            if !once && !scratch.met.insert(row) {
                continue;
            }
            if !asked.contains(&row) {
                self.ask_for(graph, store, row);
            }
            // What is likely followed next, and after that, arrives while this row is worked on.
            let likely = scratch.pool[cursor + 1..]
                .iter()
                .filter(|next| **next & 1 == 0)
                .map(|next| row_of(*next));
            for row in likely.take(AHEAD) {
                if !asked.contains(&row) {
                    self.ask_for(graph, store, row);
                    asked.rotate_right(1);
                    asked[0] = row;
                }
            }
            let mut score = [0.0];
            store.coarse(metric, query, Rows::Ids(&[row]), &mut score);
            let [score] = score;
            if eligible.is_none_or(|set| set.contains(row)) {
                found.push(Scored { score, row });
            }
            let slope = match metric {
                Metric::L2 => 1.0,
                Metric::Cosine => score,
                Metric::Ip => {
                    let norm = store.norms()[row as usize];
                    if norm > 0.0 {
                        score / (norm * norm)
                    } else {
                        0.0
                    }
                }
            };
            for (links, block) in graph
                .link_row(row, 0)
                .chunks(BLOCK)
                .zip(self.row(row).chunks_exact(block_len))
            {
                let full = scratch.pool.len() >= keep;
                let threshold = match scratch.pool.last() {
                    Some(last) if full => estimate_of(*last),
                    _ => f32::NEG_INFINITY,
                };
                let line = Line {
                    base: score,
                    slope,
                    threshold,
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
                    let known = if once {
                        !scratch.met.insert(link)
                    } else {
                        scratch.met.contains(link)
                    };
                    if known {
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
                cursor = cursor.min(merge(&mut scratch.pool, &fresh[..count], keep));
            }
            let taught = graph.taught().links(row);
            if !taught.is_empty() {
                let first = self.add_taught(taught, store, query, once, keep, scratch);
                cursor = cursor.min(first);
            }
        }
        self.score_the_rest(store, query, eligible, once, scratch, &mut found);
        best_of(found, want)
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
    /// Returns where the first one went.
    fn add_taught(
        &self,
        taught: &[u32],
        store: &VectorStore,
        query: &Query,
        once: bool,
        keep: usize,
        scratch: &mut Scratch,
    ) -> usize {
        let late = &mut scratch.late;
        late.clear();
        for &link in taught {
            // Once is enough: these are scores, and several of them would be the same.
            let known = if once {
                !scratch.met.insert(link)
            } else {
                scratch.met.contains(link) || !scratch.scored.insert(link)
            };
            if !known {
                late.push(link);
            }
        }
        if late.is_empty() {
            return usize::MAX;
        }
        let mut scores = [0.0; TAUGHT_DEGREE];
        let scores = &mut scores[..late.len()];
        store.coarse(store.metric(), query, Rows::Ids(late), scores);
        let mut fresh = [0u64; TAUGHT_DEGREE];
        let fresh = &mut fresh[..late.len()];
        for ((slot, &link), &score) in fresh.iter_mut().zip(late.iter()).zip(scores.iter()) {
            *slot = entry(score, link);
        }
        fresh.sort_unstable();
        merge(&mut scratch.pool, fresh, keep)
    }

    /// Rows that were estimated well and not followed are scored as well: that costs a fifth of
    /// following them.
    fn score_the_rest(
        &self,
        store: &VectorStore,
        query: &Query,
        eligible: Option<&RowSet>,
        once: bool,
        scratch: &mut Scratch,
        found: &mut Vec<Scored>,
    ) {
        let mut late = std::mem::take(&mut scratch.late);
        late.clear();
        for i in 0..scratch.pool.len() {
            let row = row_of(scratch.pool[i]);
            if scratch.pool[i] & 1 == 0
                && eligible.is_none_or(|set| set.contains(row))
                && (once || scratch.met.insert(row))
            {
                late.push(row);
            }
        }
        scratch.scores.clear();
        scratch.scores.resize(late.len(), 0.0);
        store.coarse(store.metric(), query, Rows::Ids(&late), &mut scratch.scores);
        found.extend(
            late.iter()
                .zip(&scratch.scores)
                .map(|(&row, &score)| Scored { score, row }),
        );
        scratch.late = late;
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
