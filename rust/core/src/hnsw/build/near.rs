//! The nearest rows of each row, from random partitions.
//!
//! A round cuts the rows into leaves by their nearest of a few leaders drawn at random, and scores each
//! leaf all against all. What one round separates another joins: each draws its own leaders.

use perso_kernels::Rows;

use crate::error::Result;
use crate::hnsw::{build_metric, splitmix64};
use crate::scored::canonical;
use crate::store::{Query, VectorStore};
use crate::threads;

/// Most rows of a leaf: their codes should fit the second cache.
const LEAF: usize = 1024;
/// Most leaders of one cut.
const LEADERS: usize = 256;
/// A cut deeper than this is by number: the rows are too lopsided for leaders.
const DEPTH: usize = 12;
/// Rows assigned to leaders by one task.
const CHUNK: usize = 256;

/// Odd, with its inverse modulo 2^32.
const MIX: u32 = 0x9e37_79b1;
const UNMIX: u32 = inverse(MIX);

const fn inverse(odd: u32) -> u32 {
    // Newton's iteration doubles the number of right bits; an odd number is its own inverse modulo 8.
    let mut x = odd;
    let mut i = 0;
    while i < 4 {
        x = x.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(x)));
        i += 1;
    }
    x
}

/// Packs candidates of one row into integers that sort best first, ties in an order of the row's own.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    salt: u32,
}

impl Keys {
    pub(super) fn of(row: u32) -> Self {
        Keys {
            salt: splitmix64(u64::from(row)) as u32,
        }
    }

    pub(super) fn pack(self, score: f32, row: u32) -> u64 {
        u64::from(worse(score)) << 32 | u64::from((row ^ self.salt).wrapping_mul(MIX))
    }

    pub(super) fn row(self, key: u64) -> u32 {
        (key as u32).wrapping_mul(UNMIX) ^ self.salt
    }

    pub(super) fn score(key: u64) -> f32 {
        let bits = !((key >> 32) as u32);
        f32::from_bits(if bits >> 31 == 1 {
            bits & 0x7fff_ffff
        } else {
            !bits
        })
    }
}

/// Larger for lower scores.
fn worse(score: f32) -> u32 {
    let bits = canonical(score).to_bits();
    !(if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    })
}

/// What one round works on.
pub(super) struct Round<'a> {
    pub store: &'a VectorStore,
    pub seed: u64,
}

impl Round<'_> {
    /// Cuts all rows into leaves; `go_on` is asked now and then.
    pub(super) fn leaves(&self, go_on: &mut dyn FnMut() -> Result<()>) -> Result<Vec<Vec<u32>>> {
        let mut leaves = Vec::new();
        let mut open: Vec<(usize, Vec<u32>)> = vec![(0, (0..self.store.len() as u32).collect())];
        while let Some((depth, rows)) = open.pop() {
            if rows.len() <= LEAF {
                leaves.push(rows);
            } else if depth == DEPTH {
                leaves.extend(rows.chunks(LEAF).map(<[u32]>::to_vec));
            } else {
                let seed =
                    splitmix64(self.seed ^ splitmix64((leaves.len() as u64) << 32 | depth as u64));
                let parts = self.cut(&rows, seed, go_on)?;
                open.extend(parts.into_iter().map(|part| (depth + 1, part)));
            }
        }
        Ok(leaves)
    }

    fn cut(
        &self,
        rows: &[u32],
        seed: u64,
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<Vec<u32>>> {
        let count = (2 * rows.len() / LEAF).clamp(2, LEADERS);
        // One of each stretch, so that none is drawn twice.
        let leaders: Vec<u32> = (0..count)
            .map(|i| {
                let (from, to) = (rows.len() * i / count, rows.len() * (i + 1) / count);
                let r = splitmix64(seed.wrapping_add(i as u64));
                rows[from + (r % (to - from) as u64) as usize]
            })
            .collect();
        let leaders = self.store.keep(&leaders);
        let metric = build_metric(self.store);
        let chunks: Vec<&[u32]> = rows.chunks(CHUNK).collect();
        let mut parts = vec![Vec::new(); count];
        for some in chunks.chunks(64) {
            go_on()?;
            let assigned = threads::par_map(
                some,
                &|| (Query::default(), vec![0.0; count]),
                &|(query, scores), rows| {
                    let assign = |&row: &u32| {
                        self.store.row_query(row, query);
                        let all = Rows::Range {
                            start: 0,
                            len: count,
                        };
                        leaders.coarse(metric, query, all, scores);
                        best_of(scores, splitmix64(seed ^ u64::from(row)))
                    };
                    rows.iter().map(assign).collect::<Vec<usize>>()
                },
            );
            for (rows, parts_of) in some.iter().zip(assigned) {
                for (&row, part) in rows.iter().zip(parts_of) {
                    parts[part].push(row);
                }
            }
        }
        parts.retain(|part| !part.is_empty());
        Ok(parts)
    }

    /// The lists of a leaf's rows after scoring it all against all: at most `width` keys each.
    pub(super) fn meet(&self, leaf: &[u32], lists: &[Vec<u64>], width: usize) -> Vec<Vec<u64>> {
        let metric = build_metric(self.store);
        let near = self.store.keep(leaf);
        let mut query = Query::default();
        let mut scores = vec![0.0f32; leaf.len()];
        let mut found = Vec::new();
        (0..leaf.len())
            .map(|i| {
                near.row_query(i as u32, &mut query);
                let all = Rows::Range {
                    start: 0,
                    len: leaf.len(),
                };
                near.coarse(metric, &query, all, &mut scores);
                let keys = Keys::of(leaf[i]);
                let list = &lists[leaf[i] as usize];
                let least = match list.len() == width {
                    true => Keys::score(list[width - 1]),
                    false => f32::NEG_INFINITY,
                };
                found.clear();
                for (&row, &score) in leaf.iter().zip(&scores) {
                    if score >= least {
                        found.push(keys.pack(score, row));
                    }
                }
                let own = keys.pack(scores[i], leaf[i]);
                found.retain(|key| *key != own);
                if found.len() > width {
                    found.select_nth_unstable(width - 1);
                    found.truncate(width);
                }
                found.extend_from_slice(list);
                found.sort_unstable();
                found.dedup();
                found.truncate(width);
                found.clone()
            })
            .collect()
    }
}

/// The place of the highest score; one of them by `draw` when there are several.
fn best_of(scores: &[f32], draw: u64) -> usize {
    let best = scores.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let ties = scores.iter().filter(|score| **score == best).count().max(1);
    let nth = (draw % ties as u64) as usize;
    let mut places = (0..scores.len()).filter(|&i| scores[i] == best);
    places.nth(nth).unwrap_or(0)
}
