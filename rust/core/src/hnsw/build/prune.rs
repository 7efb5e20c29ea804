//! Which of a row's candidates it links to.

use perso_kernels::Rows;

use super::HashedFor;
use crate::hnsw::build_metric;
use crate::metric::Metric;
use crate::scored::{rank_order, Scored};
use crate::store::{Query, VectorStore};

/// Candidates looked at together: one kernel call scores a kept neighbour against all of a block that
/// are still open.
const BLOCK: usize = 64;

/// The neighbour heuristic (algorithm 4 of the paper), and the memory it works in.
pub(super) struct Pruner<'a> {
    store: &'a VectorStore,
    metric: Metric,
    query: Query,
    /// Candidates of the block that no kept neighbour stands in front of: place in the list, row, score.
    places: Vec<usize>,
    rows: Vec<u32>,
    wanted: Vec<f32>,
    scores: Vec<f32>,
}

impl<'a> Pruner<'a> {
    pub(super) fn new(store: &'a VectorStore) -> Self {
        Pruner {
            store,
            metric: build_metric(store),
            query: Query::default(),
            places: Vec::new(),
            rows: Vec::new(),
            wanted: Vec::new(),
            scores: Vec::new(),
        }
    }

    /// Candidates of a row with their scores, best first.
    pub(super) fn scored(&mut self, row: u32, ids: &[u32]) -> Vec<Scored> {
        self.score(row, ids);
        let mut near: Vec<Scored> = ids
            .iter()
            .zip(&self.scores)
            .map(|(&row, &score)| Scored { score, row })
            .collect();
        near.sort_unstable_by(|a, b| rank_order(&HashedFor(row), *a, *b));
        near
    }

    fn score(&mut self, row: u32, ids: &[u32]) {
        self.store.row_query(row, &mut self.query);
        self.scores.clear();
        self.scores.resize(ids.len(), 0.0);
        self.store
            .coarse(self.metric, &self.query, Rows::Ids(ids), &mut self.scores);
    }

    /// At most `most` of the candidates, which come best first: one is kept when it is nearer to the
    /// row than to any neighbour kept before it. What was passed over is added until there are `filled`.
    ///
    /// More of what was passed over is no gain: with 5/4 M for a new row recall@10 of clustered vectors fell from .991 to .982,
    /// because back links that stand in front of others took their places.
    ///
    /// A neighbour that coincides with the row is as far from every candidate as the row is; it stands
    /// in front of other copies only, or a group of copies would have no way out.
    pub(super) fn diverse(
        &mut self,
        row: u32,
        near: &[Scored],
        most: usize,
        filled: usize,
    ) -> Vec<Scored> {
        let kept = self.kept(row, near, most);
        let mut links: Vec<Scored> = kept.iter().map(|&place| near[place]).collect();
        let mut kept = kept.into_iter().peekable();
        for (place, candidate) in near.iter().enumerate() {
            if links.len() >= filled {
                break;
            }
            if kept.next_if_eq(&place).is_none() {
                links.push(*candidate);
            }
        }
        links
    }

    /// Adds candidates to a row's links until there are `limit`: first, from the nearest on, those that no
    /// link stands in front of; then the nearest of the others.
    pub(super) fn fill(
        &mut self,
        row: u32,
        links: &mut Vec<u32>,
        candidates: &[u32],
        limit: usize,
    ) {
        if links.len() >= limit || candidates.is_empty() {
            return;
        }
        let mut near = self.scored(row, candidates);
        near.retain(|entry| !links.contains(&entry.row));
        let mut passed = Vec::new();
        for entry in near {
            if links.len() == limit {
                return;
            }
            self.score(entry.row, links);
            if self.scores.iter().any(|score| *score >= entry.score) {
                passed.push(entry.row);
            } else {
                links.push(entry.row);
            }
        }
        let room = limit - links.len();
        links.extend(passed.into_iter().take(room));
    }

    fn kept(&mut self, row: u32, near: &[Scored], limit: usize) -> Vec<usize> {
        self.score(row, &[row]);
        let own = self.scores[0];
        let mut kept: Vec<usize> = Vec::with_capacity(limit);
        for (block, candidates) in near.chunks(BLOCK).enumerate() {
            self.open(block * BLOCK, candidates);
            for &place in &kept {
                self.close(near[place], own);
            }
            while kept.len() < limit && !self.places.is_empty() {
                let place = self.places.remove(0);
                self.rows.remove(0);
                self.wanted.remove(0);
                kept.push(place);
                if kept.len() < limit {
                    self.close(near[place], own);
                }
            }
            if kept.len() == limit {
                break;
            }
        }
        kept
    }

    fn open(&mut self, first: usize, candidates: &[Scored]) {
        self.places.clear();
        self.places.extend(first..first + candidates.len());
        self.rows.clear();
        self.rows.extend(candidates.iter().map(|entry| entry.row));
        self.wanted.clear();
        self.wanted
            .extend(candidates.iter().map(|entry| entry.score));
    }

    /// Takes out the candidates that `kept` stands in front of.
    fn close(&mut self, kept: Scored, own: f32) {
        if self.rows.is_empty() {
            return;
        }
        self.store.row_query(kept.row, &mut self.query);
        self.scores.clear();
        self.scores.resize(self.rows.len(), 0.0);
        let rows = Rows::Ids(&self.rows);
        self.store
            .coarse(self.metric, &self.query, rows, &mut self.scores);
        let copy = kept.score >= own;
        let mut open = 0;
        for i in 0..self.rows.len() {
            let wanted = self.wanted[i];
            let hidden = if copy {
                wanted >= own
            } else {
                self.scores[i] >= wanted
            };
            if !hidden {
                self.places[open] = self.places[i];
                self.rows[open] = self.rows[i];
                self.wanted[open] = wanted;
                open += 1;
            }
        }
        self.places.truncate(open);
        self.rows.truncate(open);
        self.wanted.truncate(open);
    }
}
