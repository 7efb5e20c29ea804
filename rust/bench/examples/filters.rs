//! The ways of a filtered search beside each other, and the way that is taken: what the prices of `vectors/plan.rs` were
//! fitted to.
//!
//! `cargo run --release -p perso-bench --example filters -- INDEX.pcx QUERIES.f32 [count] [k] [rounds]` reads a saved
//! index and queries (float32, little-endian, one after the other) and prints, for predicates independent of the
//! query, near it and far from it, and of topics near and far, µs a search (processor time; the best of some rounds a
//! query, and the mean of the queries) and recall@k against a scan, by each way. The ways take turns.

use std::path::Path;

use perso_core::eligible::RowSet;
use perso_core::index::Index;
use perso_core::select::Where;
use perso_core::vectors::{Ask, Found, Way};

#[path = "../src/clock.rs"]
mod clock;

const SHARES: [f64; 14] = [
    0.0001, 0.001, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0,
];
const TOPICS: usize = 256;

fn hash(x: u64) -> u64 {
    let mut z = x.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn scores(index: &Index, query: &[f32]) -> Vec<f32> {
    let rows: Vec<u32> = (0..index.id_map().rows_len() as u32).collect();
    let mut out = vec![0.0; rows.len()];
    index.vectors().scores(query, &rows, &mut out);
    out
}

fn ask(k: usize, eligible: Option<&RowSet>) -> Ask<'_> {
    Ask {
        k,
        ef: None,
        eligible,
        exact: false,
    }
}

fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| given.get(i).map_or(default, |n| n.parse().unwrap());
    let index = Index::load(Path::new(&given[0]), false).unwrap();
    let bytes = std::fs::read(&given[1]).unwrap();
    let all: Vec<f32> = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect();
    let dim = index.spec().dim;
    let count = number(2, 50).min(all.len() / dim);
    let (k, rounds) = (number(3, 10), number(4, 3));
    let queries: Vec<&[f32]> = all.chunks_exact(dim).take(count).collect();
    let n = index.len();
    assert!(index.eligible(Where::All, None).unwrap().is_none());

    // The topic of a row is the nearest of some rows.
    let mut topic = vec![(f32::NEG_INFINITY, 0usize); n];
    let mut centre = vec![0.0; dim];
    for t in 0..TOPICS {
        index.vectors().get((t * n / TOPICS) as u32, &mut centre);
        for (slot, score) in topic.iter_mut().zip(scores(&index, &centre)) {
            if score > slot.0 {
                *slot = (score, t);
            }
        }
    }
    let near: Vec<Vec<f32>> = queries.iter().map(|q| scores(&index, q)).collect();
    let ways = [Some(Way::Scan), Some(Way::Filtered), Some(Way::Graph), None];
    println!("kind          share   scan        filtered           graph              taken              (µs recall; share by that way)");
    for kind in ["independent", "near", "far", "near topics", "far topics"] {
        for share in SHARES {
            let want = ((n as f64 * share) as usize).max(1);
            let mut times = [0.0; 4];
            let mut recalls = [0.0; 4];
            let mut own = [0usize; 4];
            let mut paths = [0usize; 3];
            for (qi, query) in queries.iter().enumerate() {
                let mut rows: Vec<u32> = (0..n as u32).collect();
                let of_topic = |t: usize| near[qi][t * n / TOPICS];
                match kind {
                    "independent" => {
                        rows.sort_by_key(|row| hash(u64::from(*row) << 16 | qi as u64))
                    }
                    "near" => {
                        rows.sort_by(|a, b| near[qi][*b as usize].total_cmp(&near[qi][*a as usize]))
                    }
                    "far" => {
                        rows.sort_by(|a, b| near[qi][*a as usize].total_cmp(&near[qi][*b as usize]))
                    }
                    _ => rows.sort_by(|a, b| {
                        let (a, b) = (topic[*a as usize].1, topic[*b as usize].1);
                        let order = of_topic(b).total_cmp(&of_topic(a)).then(a.cmp(&b));
                        if kind == "near topics" {
                            order
                        } else {
                            order.reverse()
                        }
                    }),
                }
                let mut set = RowSet::none(n);
                rows[..want].iter().for_each(|row| set.insert(*row));
                let set = (want < n).then_some(&set);
                let truth = index
                    .vectors()
                    .search(
                        query,
                        Ask {
                            exact: true,
                            ..ask(k, set)
                        },
                        index.id_map(),
                    )
                    .0;
                let last = truth.last().unwrap().score;
                let mut best = [f64::INFINITY; 4];
                for round in 0..rounds {
                    for i in 0..4 {
                        let at = (i + round) % 4;
                        let start = clock::now();
                        let (found, path) = match ways[at] {
                            Some(way) => {
                                index
                                    .vectors()
                                    .search_by(query, ask(k, set), way, index.id_map())
                            }
                            None => index.vectors().search(query, ask(k, set), index.id_map()),
                        };
                        let time = (clock::now() - start) as f64 / 1e3;
                        best[at] = best[at].min(time);
                        if round == 0 {
                            assert_eq!(found.len(), k.min(want));
                            let hits = found.iter().filter(|e| e.score >= last).count();
                            recalls[at] += hits as f64 / truth.len() as f64;
                            own[at] += usize::from(match ways[at] {
                                Some(Way::Scan) => path == Found::Exact,
                                Some(Way::Filtered) => path == Found::Filtered,
                                Some(Way::Graph) => path == Found::Graph,
                                None => true,
                            });
                            if at == 3 {
                                paths[[Found::Exact, Found::Filtered, Found::Graph]
                                    .iter()
                                    .position(|p| *p == path)
                                    .unwrap()] += 1;
                            }
                        }
                    }
                }
                for i in 0..4 {
                    times[i] += best[i];
                }
            }
            let c = count as f64;
            let cell = |i: usize| {
                format!(
                    "{:8.1} {:.3} {:3.0}%",
                    times[i] / c,
                    recalls[i] / c,
                    100.0 * own[i] as f64 / c
                )
            };
            println!(
                "{kind:12} {share:7} {:8.1}  {}  {}  {:8.1} {:.3}  exact {} filtered {} graph {}",
                times[0] / c,
                cell(1),
                cell(2),
                times[3] / c,
                recalls[3] / c,
                paths[0],
                paths[1],
                paths[2],
            );
        }
    }
}
