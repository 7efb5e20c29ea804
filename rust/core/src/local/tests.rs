//! Local codes against f64 arithmetic, exact answers, and themselves built another way.

use super::*;
use crate::exact;
use crate::hnsw::{Extent, Params};
use crate::metric::Dtype;
use crate::scored::ByRow;
use crate::threads;
use perso_kernels::fastscan::{bf16_to_f32, Line, Table};
use perso_kernels::Kernels;

const METRICS: [Metric; 3] = [Metric::Ip, Metric::Cosine, Metric::L2];
const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::I8];

/// Clustered vectors with lengths that vary, away from the origin by `offset`.
fn data(rows: usize, dim: usize, seed: u64, offset: f32) -> Vec<f32> {
    let unit = |i: u64| (crate::hnsw::splitmix64(i) >> 40) as f32 / (1 << 23) as f32 - 1.0;
    (0..rows * dim)
        .map(|i| {
            let (row, d) = ((i / dim) as u64, (i % dim) as u64);
            let centre = unit((row % 23) << 20 | d | 1 << 50);
            let length = 1.0 + 0.3 * unit(row | seed << 40 | 1 << 51);
            offset + length * (centre + unit(i as u64 | seed << 40))
        })
        .collect()
}

struct World {
    store: VectorStore,
    graph: Graph,
    codes: LocalCodes,
}

fn world(vectors: &[f32], dim: usize, metric: Metric, dtype: Dtype) -> World {
    let mut store = VectorStore::new(dim, metric, dtype).unwrap();
    store.push(vectors);
    let params = Params {
        m: 16,
        ef_construction: 60,
        seed: 5,
    };
    let mut graph = Graph::new(params);
    graph.insert_rows(&store, &|_, _| true).unwrap();
    let mut codes = LocalCodes::new(&store, 32, 5);
    codes.update(&store, &graph, &[]);
    World {
        store,
        graph,
        codes,
    }
}

fn recall(world: &World, queries: &[f32], ef: usize) -> f64 {
    let dim = world.store.dim();
    let mut scratch = Scratch::default();
    let (mut hits, mut all) = (0, 0);
    for query in queries.chunks_exact(dim) {
        let query = world.store.query(query);
        let truth = exact::scan(&world.store, &query, 10, None, &ByRow);
        let found = world.codes.search(
            &world.graph,
            &world.store,
            &query,
            Extent::fixed(ef),
            20,
            None,
            &[],
            &mut scratch,
        );
        let rows: Vec<u32> = found.iter().map(|entry| entry.row).collect();
        let found = exact::fine_top_k(&world.store, &query, 10, &rows, &ByRow);
        let worst = truth.last().unwrap().score;
        hits += found.iter().filter(|entry| entry.score >= worst).count();
        all += truth.len();
    }
    hits as f64 / all as f64
}

#[test]
fn recall_holds_for_every_metric_type_and_dimension() {
    for dim in [1, 3, 17, 64, 100, 385] {
        let rows = if dim > 100 { 1500 } else { 3000 };
        let (vectors, queries) = (data(rows, dim, 1, 0.0), data(20, dim, 2, 0.0));
        for metric in METRICS {
            // Under cosine there are two vectors of one dimension.
            if dim == 1 && metric == Metric::Cosine {
                continue;
            }
            for dtype in DTYPES {
                let world = world(&vectors, dim, metric, dtype);
                let recall = recall(&world, &queries, 200);
                // Under inner product the graph alone strands rows: `vectors` gives it starts.
                let least = if metric == Metric::Ip { 0.80 } else { 0.95 };
                assert!(recall >= least, "{recall} {dim} {metric:?} {dtype:?}");
            }
        }
    }
}

#[test]
fn an_offset_costs_l2_no_recall() {
    let (vectors, queries) = (data(3000, 48, 1, 40.0), data(20, 48, 2, 40.0));
    let world = world(&vectors, 48, Metric::L2, Dtype::F32);
    let recall = recall(&world, &queries, 100);
    assert!(recall >= 0.95, "{recall}");
}

#[test]
fn estimates_are_scores_with_a_small_error_and_no_bias() {
    // Oracle: scores in f64. The error of an estimate relative to |r||w|, where w is what the code is
    // applied to, has deviation 0.76/sqrt(D-1) or less: sqrt(1 - c²)/c with c² = 2/pi, by one over the root
    // of the code's dimensions. Thousands of them average to nothing: a mean beyond a tenth of the
    // deviation has probability below 1e-9 were they independent.
    let dim = 200;
    let (vectors, queries) = (data(600, dim, 3, 0.0), data(5, dim, 4, 0.0));
    for metric in METRICS {
        let World {
            store,
            graph,
            codes,
        } = world(&vectors, dim, metric, Dtype::F32);
        let kernels = Kernels::get();
        let (mut sum, mut squares, mut count) = (0.0f64, 0.0f64, 0.0f64);
        for query in queries.chunks_exact(dim) {
            let prepared = store.query(query);
            let mut point = query.to_vec();
            match metric {
                Metric::Cosine => point.iter_mut().for_each(|x| *x /= prepared.norm()),
                Metric::L2 => point.iter_mut().zip(&codes.mean).for_each(|(x, m)| *x -= m),
                Metric::Ip => {}
            }
            let mut rotated = Vec::new();
            codes.rotation.apply(kernels, &point, &mut rotated);
            let mut table = Table::default();
            kernels.fill_table(&rotated, &mut table);
            for row in 0..store.len() as u32 {
                let links = graph.links(row, 0);
                let mut scores = vec![0.0; links.len()];
                store.fine(&prepared, perso_kernels::Rows::Ids(links), &mut scores);
                let mut own = [0.0];
                store.fine(&prepared, perso_kernels::Rows::Ids(&[row]), &mut own);
                let norm = store.norms()[row as usize];
                let slope = match metric {
                    Metric::L2 => 1.0,
                    Metric::Cosine => own[0],
                    Metric::Ip => own[0] / (norm * norm),
                };
                let line = Line {
                    base: own[0],
                    slope,
                    threshold: 0.0,
                };
                let block = codes.row(row);
                let (bits, factors) = block.split_at(block.len() - FACTORS);
                let mut out = [0.0; BLOCK];
                kernels.estimate(
                    &table,
                    bytemuck::cast_slice(bits),
                    factors.first_chunk().unwrap(),
                    line,
                    &mut out,
                );
                for (j, score) in scores.iter().enumerate() {
                    // The gain is |r| times a number near 1.25/sqrt(D), 2.5 under L2: it scales the error.
                    let gain = f64::from(bf16_to_f32(factors[j])).max(1e-9);
                    let mut rest = f64::from(prepared.norm());
                    if metric == Metric::L2 {
                        rest = f64::from(-own[0]).sqrt();
                    }
                    if metric == Metric::Cosine {
                        rest = 1.0;
                    }
                    let error = f64::from(out[j] - score) / (gain * rest.max(1e-6));
                    sum += error;
                    squares += error * error;
                    count += 1.0;
                }
            }
        }
        let (mean, deviation) = (sum / count, (squares / count).sqrt());
        // In units of gain times length the deviation is at most sqrt(1 - 2/pi) = 0.60 (0.65 with the
        // roundings of lookups and factors).
        assert!(deviation <= 0.65, "{metric:?}: {deviation}");
        assert!(
            mean.abs() <= 0.1 * deviation,
            "{metric:?}: {mean} of {deviation}"
        );
    }
}

#[test]
fn codes_do_not_depend_on_threads_or_on_how_rows_came() {
    let dim = 40;
    let vectors = data(1200, dim, 6, 0.0);
    for metric in [Metric::Ip, Metric::Cosine] {
        let mut store = VectorStore::new(dim, metric, Dtype::I8).unwrap();
        let params = Params {
            m: 16,
            ef_construction: 40,
            seed: 1,
        };
        let mut graph = Graph::new(params);
        let mut codes = LocalCodes::new(&store, 32, 1);
        for part in vectors.chunks(300 * dim) {
            store.push(part);
            let changed = graph.insert_rows(&store, &|_, _| true).unwrap();
            threads::with_pool(3, || codes.update(&store, &graph, &changed)).unwrap();
        }
        let mut fresh = LocalCodes::new(&store, 32, 1);
        fresh.update(&store, &graph, &[]);
        assert!(codes.parts().0 == fresh.parts().0, "{metric:?}");
    }
}

#[test]
fn copies_zeros_and_extremes_neither_fail_nor_hide() {
    let dim = 24;
    let mut vectors = data(400, dim, 8, 0.0);
    vectors[..50 * dim].fill(0.0);
    let copy = vectors[60 * dim..61 * dim].to_vec();
    for row in 100..250 {
        vectors[row * dim..(row + 1) * dim].copy_from_slice(&copy);
    }
    vectors[399 * dim..].fill(1e15);
    let mut queries = data(6, dim, 9, 0.0);
    queries[..dim].copy_from_slice(&copy);
    queries[dim..2 * dim].fill(0.0);
    for metric in METRICS {
        for dtype in [Dtype::F32, Dtype::I8] {
            let world = world(&vectors, dim, metric, dtype);
            let recall = recall(&world, &queries, 300);
            assert!(recall >= 0.9, "{recall} {metric:?} {dtype:?}");
        }
    }
}

#[test]
fn only_eligible_rows_are_answered() {
    let dim = 32;
    let vectors = data(1500, dim, 10, 0.0);
    let World {
        store,
        graph,
        codes,
    } = world(&vectors, dim, Metric::Cosine, Dtype::I8);
    let flags: Vec<bool> = (0..1500).map(|row| row % 3 == 0).collect();
    let eligible = crate::eligible::RowSet::from_flags(&flags);
    let query = store.query(&vectors[..dim]);
    let found = codes.search(
        &graph,
        &store,
        &query,
        Extent::fixed(300),
        50,
        Some(&eligible),
        &[],
        &mut Scratch::default(),
    );
    assert_eq!(found.len(), 50);
    assert!(found.iter().all(|entry| entry.row % 3 == 0));
    let truth = exact::scan(&store, &query, 10, Some(&eligible), &ByRow);
    assert_eq!(found[0].row, truth[0].row);
}

#[test]
fn damaged_parts_are_refused() {
    let dim = 16;
    let vectors = data(300, dim, 11, 0.0);
    let World {
        store,
        graph,
        codes,
    } = world(&vectors, dim, Metric::L2, Dtype::F32);
    let (rows, mean) = codes.parts();
    let read = |rows: Vec<u16>, mean: Vec<f32>| {
        LocalCodes::from_parts(&store, &graph, rows.into(), mean).map(|codes| codes.len())
    };
    assert_eq!(read(rows.to_vec(), mean.to_vec()).unwrap(), 300);
    assert!(read(rows.to_vec()[1..].to_vec(), mean.to_vec()).is_err());
    assert!(read(rows.to_vec(), vec![]).is_err());
    assert!(read(rows.to_vec(), vec![f32::NAN; dim]).is_err());
    let mut bad = rows.to_vec();
    *bad.last_mut().unwrap() = 0x7f80;
    let error = read(bad, mean.to_vec()).unwrap_err().to_string();
    assert!(error.contains("factor out of range"), "{error}");
}
