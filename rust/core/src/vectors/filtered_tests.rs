//! Filtered searches against a scan of the eligible rows: at every share, with predicates that have nothing to do
//! with the query, that agree with it and that are opposed to it; in both layouts, by every metric.

use super::search::Found;
use super::{Ask, Layout, Spec, Vectors, Way};
use crate::eligible::RowSet;
use crate::hnsw::splitmix64;
use crate::metric::{Dtype, Metric};
use crate::scored::{ByRow, Scored};
use proptest::prelude::*;

const DIM: usize = 24;
const ROWS: usize = 4000;
const K: usize = 10;

fn unit(i: u64) -> f32 {
    (splitmix64(i) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Clustered vectors; of another seed, queries like them.
fn clustered(rows: usize, seed: u64) -> Vec<f32> {
    (0..rows * DIM)
        .map(|i| {
            let (row, d) = ((i / DIM) as u64, (i % DIM) as u64);
            let centre = unit((splitmix64(row ^ seed << 32) % 40) << 20 | d | 1 << 50);
            centre + 0.7 * unit(i as u64 | seed << 40)
        })
        .collect()
}

fn space(metric: Metric, dtype: Dtype, layout: Layout) -> Vectors {
    let mut vectors = Vectors::new(Spec {
        dim: DIM,
        metric,
        dtype,
        m: 12,
        ef_construction: 80,
        seed: 3,
        layout,
        rescore: None,
    })
    .unwrap();
    vectors.push(&clustered(ROWS, 1), &|_, _| true).unwrap();
    vectors
}

fn ask(eligible: Option<&RowSet>, exact: bool) -> Ask<'_> {
    Ask {
        k: K,
        ef: None,
        eligible,
        exact,
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Independent,
    Near,
    Far,
}

/// The share of all rows that a predicate of this kind lets through.
fn eligible(vectors: &Vectors, query: &[f32], kind: Kind, share: f64, seed: u64) -> RowSet {
    let mut rows: Vec<u32> = (0..ROWS as u32).collect();
    let mut scores = vec![0.0; ROWS];
    vectors.scores(query, &rows, &mut scores);
    let score = |row: &u32| scores[*row as usize];
    match kind {
        Kind::Independent => rows.sort_by_key(|row| splitmix64(u64::from(*row) << 20 ^ seed)),
        Kind::Near => rows.sort_by(|a, b| score(b).total_cmp(&score(a))),
        Kind::Far => rows.sort_by(|a, b| score(a).total_cmp(&score(b))),
    }
    let mut set = RowSet::none(ROWS);
    let count = ((ROWS as f64 * share) as usize).max(1);
    rows[..count].iter().for_each(|row| set.insert(*row));
    set
}

/// The share of the exact answers found, ties counted for what they are.
fn recall(found: &[Scored], truth: &[Scored]) -> f64 {
    let last = truth.last().map_or(f32::NEG_INFINITY, |e| e.score);
    let hits = found.iter().filter(|e| e.score >= last).count();
    hits as f64 / truth.len() as f64
}

const SHARES: [f64; 8] = [0.0005, 0.01, 0.05, 0.1, 0.2, 0.5, 0.9, 0.995];

/// What is searched at each point, and how a point is called.
fn points() -> impl Iterator<Item = (Kind, f64)> {
    [Kind::Independent, Kind::Near, Kind::Far]
        .into_iter()
        .flat_map(|kind| SHARES.map(|share| (kind, share)))
}

#[test]
fn a_filtered_search_finds_the_answers_at_every_share() {
    let count = 20;
    let queries = clustered(count, 9);
    for metric in [Metric::Cosine, Metric::L2, Metric::Ip] {
        for (layout, dtype) in [
            (Layout::Compact, Dtype::I8),
            (Layout::Local, Dtype::F32),
            (Layout::Auto, Dtype::F32),
        ] {
            let vectors = space(metric, dtype, layout);
            // Every way as well as the one that is taken: walks over so few rows are seldom the cheapest.
            let ways = [None, Some(Way::Filtered), Some(Way::Graph)];
            for (kind, share) in points() {
                let mut sums = [0.0; 3];
                for (i, query) in queries.chunks_exact(DIM).enumerate() {
                    let set = eligible(&vectors, query, kind, share, i as u64);
                    let (truth, _) = vectors.search(query, ask(Some(&set), true), &ByRow);
                    for (sum, way) in sums.iter_mut().zip(ways) {
                        let asked = ask(Some(&set), false);
                        let (found, _) = match way {
                            None => vectors.search(query, asked, &ByRow),
                            Some(way) => vectors.search_by(query, asked, way, &ByRow),
                        };
                        assert_eq!(found.len(), K.min(set.len()), "{kind:?} {share}");
                        assert!(found.iter().all(|e| set.contains(e.row)));
                        *sum += recall(&found, &truth);
                    }
                }
                for (sum, way) in sums.iter().zip(ways) {
                    // A walk by inner product promises less, and is not what is taken here.
                    let least = match (metric, way) {
                        (Metric::Ip, Some(_)) => continue,
                        _ => 0.95,
                    };
                    let mean = sum / count as f64;
                    assert!(
                        mean >= least,
                        "{metric:?} {layout:?} {dtype:?} {kind:?} {share} {way:?}: {mean}"
                    );
                }
            }
        }
    }
}

#[test]
fn each_way_is_reported() {
    let vectors = space(Metric::Cosine, Dtype::F32, Layout::Compact);
    let query = &clustered(1, 9)[..];
    let by = |kind, share, way| {
        let set = eligible(&vectors, query, kind, share, 0);
        vectors
            .search_by(query, ask(Some(&set), false), way, &ByRow)
            .1
    };
    assert_eq!(by(Kind::Independent, 0.5, Way::Scan), Found::Exact);
    assert_eq!(by(Kind::Independent, 0.5, Way::Filtered), Found::Filtered);
    assert_eq!(by(Kind::Independent, 0.5, Way::Graph), Found::Graph);
    // Nothing eligible around the query: no walk to it finds anything.
    assert_ne!(by(Kind::Far, 0.2, Way::Graph), Found::Graph);
    // And what is taken without a word.
    let taken = |share| {
        let set = eligible(&vectors, query, Kind::Independent, share, 0);
        vectors.search(query, ask(Some(&set), false), &ByRow).1
    };
    assert_eq!(taken(0.01), Found::Exact);
    assert_eq!(taken(0.9), Found::Graph);
}

#[test]
fn answers_do_not_depend_on_threads_or_on_what_was_asked_before() {
    let query = &clustered(1, 9)[..];
    let one = space(Metric::L2, Dtype::I8, Layout::Local);
    let other =
        crate::threads::with_pool(3, || space(Metric::L2, Dtype::I8, Layout::Local)).unwrap();
    let set = eligible(&one, query, Kind::Independent, 0.3, 1);
    for way in [Way::Scan, Way::Filtered, Way::Graph] {
        let asked = ask(Some(&set), false);
        let first = one.search_by(query, asked, way, &ByRow);
        one.search(query, ask(None, false), &ByRow);
        assert_eq!(first, one.search_by(query, asked, way, &ByRow));
        assert_eq!(first, other.search_by(query, asked, way, &ByRow));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn as_many_as_there_are_come_back(
        seed in any::<u64>(), k in 1usize..60, share in prop_oneof![0.0f64..0.02, 0.0f64..1.0],
        kind in prop_oneof![Just(Kind::Independent), Just(Kind::Near), Just(Kind::Far)],
        way in prop_oneof![Just(None), Just(Some(Way::Scan)), Just(Some(Way::Filtered)), Just(Some(Way::Graph))],
        ef in prop_oneof![Just(None), (1usize..80).prop_map(Some)],
    ) {
        thread_local! {
            static SPACE: Vectors = space(Metric::Cosine, Dtype::I8, Layout::Compact);
        }
        SPACE.with(|vectors| {
            let query = clustered(1, seed % 1000);
            let set = eligible(vectors, &query, kind, share, seed);
            let asked = Ask { k, ef, eligible: Some(&set), exact: false };
            let (found, path) = match way {
                None => vectors.search(&query, asked, &ByRow),
                Some(way) => vectors.search_by(&query, asked, way, &ByRow),
            };
            prop_assert_eq!(found.len(), k.min(set.len()));
            let mut rows: Vec<u32> = found.iter().map(|e| e.row).collect();
            prop_assert!(rows.iter().all(|row| set.contains(*row)));
            prop_assert!(found.windows(2).all(|two| two[0].score >= two[1].score));
            rows.sort_unstable();
            rows.dedup();
            prop_assert_eq!(rows.len(), found.len());
            if path == Found::Exact {
                let (truth, _) = vectors.search(&query, Ask { ef: None, exact: true, ..asked }, &ByRow);
                prop_assert_eq!(found, truth);
            }
            Ok(())
        })?;
    }
}
