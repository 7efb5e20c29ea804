//! A walk over the eligible rows alone, which passes through the others.
//!
//! A plain walk scores every row that it meets, so with a filter that lets the share `s` through it works `1 / s` times
//! as much for its answers. Here only eligible rows are scored and followed; where a followed row has ineligible
//! links, *their* links are looked through for eligible rows instead (two hops, "ACORN-1": Patel et al., "ACORN:
//! Performant and Predicate-Agnostic Search Over Vector Embeddings and Structured Data", SIGMOD 2024, arXiv
//! 2403.04871), which costs a look into the bit set a link and not a vector. As many ineligible links are passed
//! through as it takes to find as many eligible neighbours as a row has links, so a filter that lets most rows
//! through costs hardly any second hop (the adaptive choice of NaviX: Sehgal and Salihoglu, arXiv 2506.23397, without its
//! thresholds).
//!
//! It begins where the upper layers lead, at what the caller names, and at some eligible rows from all over the store: where everything around the
//! query is ineligible nothing eligible may be within two hops, and the walk comes from the other side.
//!
//! It gives up, rather than answer badly, when its budget is spent, when fewer rows were found than were asked for, or
//! when it has come to rest where far more rows are worth following than its breadth: about as near to the
//! query as the best ones then lie so many that a walk does not find the nearest of them. That is so where everything near the
//! query is ineligible (recall@10 of .24 with the 50% of rows that are farthest from the query).

use perso_kernels::{prefetch, Rows};

use super::search::Scratch;
use super::watch::Budget;
use super::{Extent, Graph, NONE};
use crate::eligible::RowSet;
use crate::scored::{best_of, ByRow, Scored};
use crate::store::{Query, VectorStore};

/// Eligible rows from all over the store that a walk begins at.
const SEEDS: usize = 16;

/// Rows worth following, in breadths, that are too many.
const CROWD: usize = 6;

/// Between so many rows followed two thirds of all rows scored are too many as well: a walk that comes nearer to the query leaves
/// most of what it scored behind.
const FIRST: usize = 12;
const LAST: usize = 16;

/// Rows to pass through whose links have been asked for ahead.
const AHEAD: usize = 4;

impl Graph {
    /// The best `want` of the eligible rows that a walk among them scores, by coarse score; `None` when it gives up.
    #[allow(clippy::too_many_arguments)] // A search has this many inputs; a struct would be used once.
    pub fn search_filtered(
        &self,
        store: &VectorStore,
        query: &Query,
        extent: Extent,
        want: usize,
        eligible: &RowSet,
        starts: &[u32],
        mut budget: Budget,
        scratch: &mut Scratch,
    ) -> Option<Vec<Scored>> {
        self.begin(scratch);
        if self.is_empty() {
            return None;
        }
        let metric = store.metric();
        let most = extent.most();
        let keep = extent.least().max(want).min(most);
        let mut noted: Vec<Scored> = Vec::new();
        let mut opened = 0;
        let nearest = self.descend(store, query, metric, 0, scratch);
        scratch.fresh.clear();
        for row in eligible.spread(SEEDS) {
            if scratch.visited.insert(row) {
                scratch.fresh.push(row);
            }
        }
        for &row in starts.iter().chain([&nearest]) {
            if !scratch.visited.insert(row) {
                continue;
            }
            if eligible.contains(row) {
                scratch.fresh.push(row);
            } else {
                opened += self.open(row, eligible, scratch);
            }
        }
        let mut cursor = 0;
        let mut followed = 0;
        loop {
            let count = scratch.fresh.len();
            if !budget.pay(count, opened) {
                return None;
            }
            scratch.scores.clear();
            scratch.scores.resize(count, 0.0);
            store.coarse(
                metric,
                query,
                Rows::Ids(&scratch.fresh),
                &mut scratch.scores,
            );
            scratch.scored += count;
            scratch.opened += opened;
            let mut least = f32::NEG_INFINITY;
            if let Some((last, _)) = scratch.pool.get(keep - 1) {
                least = scratch.floor(extent, metric).min(last.score);
            }
            for i in 0..count {
                let entry = Scored {
                    score: scratch.scores[i],
                    row: scratch.fresh[i],
                };
                noted.push(entry);
                if entry.score < least {
                    continue;
                }
                if let Some(at) = scratch.insert(entry, most, &ByRow) {
                    cursor = cursor.min(at);
                }
            }
            while scratch
                .pool
                .get(cursor)
                .is_some_and(|(_, followed)| *followed)
            {
                cursor += 1;
            }
            let floor = scratch.floor(extent, metric);
            if followed >= FIRST && extent.k() <= extent.breadth() {
                let worth = scratch
                    .pool
                    .partition_point(|(entry, _)| entry.score >= floor);
                let early = followed < LAST && 3 * worth >= 2 * noted.len();
                if early || followed >= extent.breadth() / 2 && worth > CROWD * extent.breadth() {
                    return None;
                }
            }
            let Some((next, done)) = scratch.pool.get_mut(cursor) else {
                break;
            };
            if cursor >= extent.least() && next.score < floor {
                break;
            }
            *done = true;
            followed += 1;
            let row = next.row;
            if let Some((likely, _)) = scratch.pool[cursor..].iter().find(|(_, done)| !done) {
                prefetch(self.link_row(likely.row, 0));
            }
            scratch.fresh.clear();
            opened = 1 + self.open(row, eligible, scratch);
        }
        (noted.len() >= want.min(eligible.len())).then(|| best_of(noted, want))
    }

    /// The eligible neighbours of a row that were not met before go to `fresh`, and where they are fewer than a row
    /// has links, neighbours of the ineligible ones. Returns how many of these were passed through.
    fn open(&self, row: u32, eligible: &RowSet, scratch: &mut Scratch) -> usize {
        let begin = scratch.fresh.len();
        let links = self.link_row(row, 0);
        scratch.turn.clear();
        let mut near = 0;
        for &link in links.iter().chain(self.taught.links(row)) {
            if link == NONE {
                continue;
            }
            if eligible.contains(link) {
                near += 1;
                if scratch.visited.insert(link) {
                    scratch.fresh.push(link);
                }
            } else {
                if scratch.turn.len() < AHEAD {
                    prefetch(self.link_row(link, 0));
                }
                scratch.turn.push(link);
            }
        }
        let known = near - (scratch.fresh.len() - begin);
        let enough = links.len();
        let mut opened = 0;
        for i in 0..scratch.turn.len() {
            if known + scratch.fresh.len() - begin >= enough {
                break;
            }
            if let Some(&coming) = scratch.turn.get(i + AHEAD) {
                prefetch(self.link_row(coming, 0));
            }
            let through = scratch.turn[i];
            if !scratch.visited.insert(through) {
                continue;
            }
            opened += 1;
            for &link in self.link_row(through, 0) {
                if link == NONE {
                    break;
                }
                if eligible.contains(link) && scratch.visited.insert(link) {
                    scratch.fresh.push(link);
                }
            }
        }
        opened
    }
}
