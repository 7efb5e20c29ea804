//! What a sample of the rows tells of walks through the graph: the intrinsic dimension of the data, and the
//! breadth that a walk needs when the caller names none.
//!
//! **Breadth.** Rows are searched for like queries, and the least breadth is kept that finds [`RECALL`] of the
//! exact answers, half as much again being added. Rows are easier than what users ask with, since each has its neighbours linked to it: on
//! 100,000 x 384 sentence embeddings a breadth with .984 for rows has .926 for queries that are none of the rows,
//! one with .988 has .952, one with .992 has .970, and one with .995 has .988 (i8, compact; the local layout
//! alike). Points half way between two neighbours are easier still. So the target is higher than the .95 that is
//! promised.
//!
//! **Dimension.** The maximum likelihood estimate from the distances of a point's neighbours is `1 / mean(ln(T_l / T_j))` over
//! pairs j < l (Levina and Bickel, NIPS 2004, equation 8, averaged over points as in MacKay and Ghahramani's
//! comment). Here one pair is taken, the 10th and the 100th neighbour, because that is the range in which
//! `Extent` makes use of it.

use std::ops::RangeInclusive;

use super::tune::{Trial, WIDEST};
use super::Vectors;
use crate::error::{Error, Result};
use crate::hnsw::{spread, Extent, Graph, Hook, Scratch};
use crate::metric::Metric;
use crate::scored::{ByRow, Scored};
use crate::store::{Query, VectorStore};
use crate::threads;

/// Recall, over a sample of the rows, of two thirds of the breadth that is taken where none is named.
const RECALL: f64 = 0.99;
/// Rows in that sample, and the answers of each beside itself: a recall of .99 has a standard error of .002.
const SEARCHED: usize = 256;
pub(super) const ANSWERS: usize = 10;
/// A default breadth is not below this one: the sample is small, and queries may be unlike it.
const LEAST_EF: usize = 64;

/// Rows whose neighbours' distances are looked at. The estimate's standard error is a few hundredths of it.
const ROWS: usize = 256;
/// The two neighbours whose distances are compared.
const NEAR: usize = 10;
const FAR: usize = 100;
/// Breadth of the walk that finds them.
const EF: usize = 160;
/// Fewer rows whose neighbours are no copies of them than this tell nothing.
const LEAST: usize = 16;
/// What an estimate is cut off at.
const DIMENSIONS: RangeInclusive<f32> = 1.0..=1000.0;
/// A sample is drawn anew when the rows have become this many times as many.
const GROWTH: usize = 2;

/// What the sample told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampled {
    /// Rows in the graph when it was drawn.
    pub rows: usize,
    /// Intrinsic dimension of the data; `None` where distances do not tell.
    pub dimension: Option<f32>,
    /// The breadth of a walk for [`ANSWERS`] answers; `None` where rows say nothing of queries.
    pub ef: Option<u32>,
}

impl Vectors {
    /// Draws a sample where there is none, or one of far fewer rows.
    pub(super) fn draw_sample(&mut self) {
        let Some(graph) = &self.graph else {
            self.sampled = None;
            return;
        };
        let rows = graph.len();
        if self.sampled.is_some_and(|old| rows < GROWTH * old.rows) {
            return;
        }
        self.sampled = Some(Sampled {
            rows,
            dimension: dimension(&self.store, graph),
            ef: None,
        });
        let ef = self.sufficient_breadth();
        if let Some(sampled) = &mut self.sampled {
            sampled.ef = ef;
        }
    }

    /// The least breadth that is enough for rows.
    fn sufficient_breadth(&self) -> Option<u32> {
        // Under inner product rows are no queries: users' vectors point elsewhere.
        if self.spec.metric == Metric::Ip {
            return None;
        }
        let count = self.len().min(SEARCHED);
        let mut rows = vec![0.0; count * self.spec.dim];
        for (i, slot) in rows.chunks_exact_mut(self.spec.dim).enumerate() {
            self.get(spread(i, self.len(), count), slot);
        }
        let queries = rows.chunks_exact(self.spec.dim).collect();
        let threads = threads::current();
        // Each row finds itself, which is no answer.
        let target = (RECALL * ANSWERS as f64 + 1.0) / (ANSWERS + 1) as f64;
        let go_on: Hook<'_> = &|_, _| true;
        let trial = Trial::new(self, queries, ANSWERS + 1, None, &ByRow, threads, go_on).ok()?;
        let found = trial.least_breadth(target).ok()?;
        let ef = found.ef?;
        Some((ef + ef / 2).clamp(LEAST_EF, WIDEST) as u32)
    }
}

impl Sampled {
    /// As a file keeps it.
    pub fn to_words(self) -> [u32; 3] {
        [
            self.rows as u32,
            self.dimension.map_or(0, f32::to_bits),
            self.ef.unwrap_or(0),
        ]
    }

    /// From a file.
    pub fn from_words(words: &[u32]) -> Result<Self> {
        let bad = || Error::format("what was measured on a sample of the rows is out of range");
        let [rows, dimension, ef] = *words else {
            return Err(bad());
        };
        let dimension = Some(f32::from_bits(dimension)).filter(|_| dimension != 0);
        if dimension.is_some_and(|m| !DIMENSIONS.contains(&m)) || ef as usize > WIDEST {
            return Err(bad());
        }
        Ok(Sampled {
            rows: rows as usize,
            dimension,
            ef: Some(ef).filter(|ef| *ef != 0),
        })
    }
}

/// Intrinsic dimension of the rows around rows.
fn dimension(store: &VectorStore, graph: &Graph) -> Option<f32> {
    // A walk under inner product has no use for it.
    if store.metric() == Metric::Ip || graph.len() <= 2 * FAR {
        return None;
    }
    let count = graph.len().min(ROWS);
    let rows: Vec<u32> = (0..count).map(|i| spread(i, graph.len(), count)).collect();
    let init = || (Scratch::default(), Query::default());
    let growth = threads::par_map(&rows, &init, &|(scratch, query), &row| {
        store.row_query(row, query);
        let extent = Extent::fixed(EF);
        let near = graph.search(store, query, extent, FAR + 1, None, &[row], scratch);
        let others: Vec<&Scored> = near.iter().filter(|entry| entry.row != row).collect();
        let at = |n: usize| {
            others
                .get(n - 1)
                .map(|entry| distance(store.metric(), entry.score))
        };
        let (near, far) = (at(NEAR)?, at(FAR)?);
        // Of copies of the row the distances are 0, or what rounding leaves.
        (near > 1e-5 * far && near > 0.0).then(|| libm::logf(far / near))
    });
    let told: Vec<f32> = growth.into_iter().flatten().collect();
    if told.len() < LEAST {
        return None;
    }
    let mean = told.iter().sum::<f32>() / told.len() as f32;
    // Of squared distances, so half of it is that of distances.
    let dimension = 2.0 * libm::logf((FAR / NEAR) as f32) / mean;
    dimension
        .is_finite()
        .then(|| dimension.clamp(*DIMENSIONS.start(), *DIMENSIONS.end()))
}

/// The squared distance, or for unit vectors half of it.
fn distance(metric: Metric, score: f32) -> f32 {
    match metric {
        Metric::Cosine => 1.0 - score,
        _ => -score,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact;
    use crate::hnsw::splitmix64;
    use crate::metric::Dtype;
    use crate::vectors::{Ask, Found, Layout, Spec};

    fn unit(i: u64) -> f32 {
        (splitmix64(i) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Rows on a random plane of `inner` dimensions in `dim`, in groups where `groups` is not 0.
    fn data(rows: usize, dim: usize, inner: usize, groups: u64, seed: u64) -> Vec<f32> {
        let mut out = Vec::with_capacity(rows * dim);
        for row in 0..rows as u64 {
            let at: Vec<f32> = (0..inner as u64)
                .map(|i| {
                    let own = unit(seed << 50 | row << 16 | i);
                    match groups {
                        0 => own,
                        groups => 0.35 * own + unit((splitmix64(row) % groups) << 16 | i | 1 << 60),
                    }
                })
                .collect();
            for d in 0..dim as u64 {
                out.push(
                    at.iter()
                        .enumerate()
                        .map(|(i, x)| x * unit((i as u64) << 16 | d | 1 << 61))
                        .sum(),
                );
            }
        }
        out
    }

    fn space(metric: Metric, layout: Layout, dim: usize, rows: &[f32]) -> Vectors {
        let mut vectors = Vectors::new(Spec {
            dim,
            metric,
            dtype: Dtype::I8,
            m: 16,
            ef_construction: 100,
            seed: 3,
            layout,
            rescore: None,
        })
        .unwrap();
        threads::with_pool(2, || vectors.push(rows, &|_, _| true))
            .unwrap()
            .unwrap();
        vectors
    }

    #[test]
    fn the_dimension_is_that_of_the_plane_the_rows_lie_on() {
        // The estimate falls short of the truth as neighbours come near the edge, more so in more dimensions.
        for (inner, range) in [(2, 1.6..2.3), (5, 3.8..5.5), (12, 7.5..13.0)] {
            let rows = data(6000, 40, inner, 0, 1);
            let vectors = space(Metric::L2, Layout::Compact, 40, &rows);
            let found = vectors.sampled.unwrap().dimension.unwrap();
            assert!(range.contains(&found), "{inner} dimensions: {found}");
        }
    }

    #[test]
    fn the_default_breadth_is_enough_for_queries_that_are_no_rows() {
        let (dim, count) = (48, 200);
        for (inner, groups) in [(48, 0), (30, 40), (48, 300), (3, 0)] {
            let rows = data(9000, dim, inner, groups, 1);
            let queries = data(count, dim, inner, groups, 2);
            for metric in [Metric::Cosine, Metric::L2] {
                for layout in [Layout::Compact, Layout::Local] {
                    let vectors = space(metric, layout, dim, &rows);
                    let ask = Ask {
                        k: 10,
                        ef: None,
                        eligible: None,
                        exact: false,
                    };
                    let mut hits = 0;
                    for query in queries.chunks_exact(dim) {
                        let (found, path) = vectors.search(query, ask, &ByRow);
                        assert_eq!(path, Found::Graph);
                        let prepared = vectors.store().query(query);
                        let truth = exact::scan(vectors.store(), &prepared, 10, None, &ByRow);
                        let worst = truth.last().unwrap().score;
                        hits += found.iter().filter(|entry| entry.score >= worst).count();
                    }
                    let recall = hits as f64 / (10 * count) as f64;
                    let what = format!("{inner} {groups} {metric:?} {layout:?}");
                    assert!(
                        recall >= 0.95,
                        "{what}: {recall} at {}",
                        vectors.default_breadth(10)
                    );
                }
            }
        }
    }

    #[test]
    fn it_is_drawn_again_when_the_rows_have_doubled_and_not_under_inner_product() {
        let dim = 8;
        let mut vectors = space(Metric::L2, Layout::Compact, dim, &data(1500, dim, 8, 0, 1));
        let first = vectors.sampled.unwrap();
        assert_eq!(first.rows, 1500);
        vectors
            .push(&data(700, dim, 8, 0, 2), &|_, _| true)
            .unwrap();
        assert_eq!(vectors.sampled, Some(first));
        vectors
            .push(&data(900, dim, 8, 0, 3), &|_, _| true)
            .unwrap();
        assert_eq!(vectors.sampled.unwrap().rows, 3100);
        let vectors = space(Metric::Ip, Layout::Compact, dim, &data(1500, dim, 8, 0, 1));
        let sampled = vectors.sampled.unwrap();
        assert_eq!((sampled.dimension, sampled.ef), (None, None));
    }

    #[test]
    fn copies_and_zeros_tell_nothing_and_do_no_harm() {
        let dim = 6;
        for value in [0.0, 2.5] {
            let vectors = space(Metric::Cosine, Layout::Local, dim, &vec![value; 2000 * dim]);
            let sampled = vectors.sampled.unwrap();
            assert_eq!(sampled.dimension, None);
        }
    }

    #[test]
    fn words_are_read_back_or_refused() {
        for (dimension, ef) in [(None, None), (Some(11.5), Some(64)), (Some(1.0), None)] {
            let sampled = Sampled {
                rows: 7,
                dimension,
                ef,
            };
            assert_eq!(Sampled::from_words(&sampled.to_words()).unwrap(), sampled);
        }
        for bad in [
            &[1, 0][..],
            &[1, 0, 0, 0],
            &[1, f32::NAN.to_bits(), 64],
            &[1, 0.5f32.to_bits(), 64],
            &[1, f32::INFINITY.to_bits(), 64],
            &[1, (-2.0f32).to_bits(), 64],
            &[1, 0, WIDEST as u32 + 1],
        ] {
            assert!(Sampled::from_words(bad).is_err(), "{bad:?}");
        }
    }
}
