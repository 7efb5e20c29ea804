use super::*;
use crate::exact;
use crate::metric::Dtype;
use crate::scored::ByRow;
use crate::threads::with_pool;

/// Clustered vectors, as embeddings are; reproducible.
pub(super) fn clustered(rows: usize, dim: usize, clusters: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut unit = move || {
        state = splitmix64(state);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let centres: Vec<f32> = (0..clusters * dim).map(|_| unit()).collect();
    (0..rows)
        .flat_map(|row| {
            let centre = &centres[(row % clusters) * dim..][..dim];
            centre.iter().map(|c| c + 0.6 * unit()).collect::<Vec<_>>()
        })
        .collect()
}

pub(super) fn build(store: &VectorStore, threads: usize) -> Graph {
    let mut graph = Graph::new(Params {
        m: 12,
        ef_construction: 80,
        seed: 5,
    });
    with_pool(threads, || graph.insert_rows(store, &|_, _| true))
        .unwrap()
        .unwrap();
    graph
}

pub(super) fn store(metric: Metric, dtype: Dtype, vectors: &[f32], dim: usize) -> VectorStore {
    let mut store = VectorStore::new(dim, metric, dtype).unwrap();
    store.push(vectors);
    store
}

#[test]
fn recall_beside_the_exact_scan() {
    let dim = 24;
    let vectors = clustered(4000, dim, 40, 1);
    let queries = clustered(100, dim, 40, 2);
    for dtype in [Dtype::F32, Dtype::F16, Dtype::I8] {
        for metric in [Metric::Cosine, Metric::L2, Metric::Ip] {
            let store = store(metric, dtype, &vectors, dim);
            let graph = build(&store, 2);
            // Under inner product: the rows of largest norm.
            let mut entries: Vec<u32> = (0..store.len() as u32).collect();
            entries
                .sort_by(|a, b| store.norms()[*b as usize].total_cmp(&store.norms()[*a as usize]));
            entries.truncate(if metric == Metric::Ip { 8 } else { 0 });
            let mut scratch = Scratch::default();
            let mut hits = 0;
            for query in queries.chunks_exact(dim) {
                let query = store.query(query);
                let near = graph.search(
                    &store,
                    &query,
                    Extent::fixed(100),
                    40,
                    None,
                    &entries,
                    &mut scratch,
                );
                let rows: Vec<u32> = near.iter().map(|e| e.row).collect();
                let found = exact::fine_top_k(&store, &query, 10, &rows, &ByRow);
                let truth = exact::scan(&store, &query, 10, None, &ByRow);
                hits += found.iter().filter(|e| truth.contains(e)).count();
            }
            let recall = hits as f64 / 1000.0;
            assert!(recall >= 0.96, "{dtype:?} {metric:?}: recall@10 {recall}");
        }
    }
}

#[test]
fn the_graph_does_not_depend_on_the_number_of_threads() {
    let vectors = clustered(3000, 16, 10, 3);
    let store = store(Metric::Cosine, Dtype::I8, &vectors, 16);
    let one = build(&store, 1);
    for threads in [2, 5] {
        assert_eq!(build(&store, threads).parts(), one.parts());
    }
}

#[test]
fn an_interrupted_insertion_leaves_the_graph_as_it_was() {
    let vectors = clustered(3000, 16, 10, 4);
    let small = store(Metric::L2, Dtype::F32, &vectors[..16 * 1500], 16);
    let full = store(Metric::L2, Dtype::F32, &vectors, 16);
    let mut graph = build(&small, 2);
    let before = graph.clone();
    let stopped = graph.insert_rows(&full, &|done, _| done < 700);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert_eq!(graph.parts(), before.parts());
    graph.insert_rows(&full, &|_, _| true).unwrap();
    let mut again = before;
    again.insert_rows(&full, &|_, _| true).unwrap();
    assert_eq!(graph.parts(), again.parts());
}

#[test]
fn an_insertion_names_the_older_rows_whose_links_it_changed() {
    let vectors = clustered(2000, 16, 10, 8);
    let small = store(Metric::L2, Dtype::I8, &vectors[..16 * 1900], 16);
    let full = store(Metric::L2, Dtype::I8, &vectors, 16);
    let mut graph = build(&small, 2);
    let before = graph.clone();
    let changed = graph.insert_rows(&full, &|_, _| true).unwrap();
    assert!(!changed.is_empty());
    let other: Vec<u32> = (0..1900)
        .filter(|&row| graph.link_row(row, 0) != before.link_row(row, 0))
        .collect();
    // A row may be named whose links came out as they were; none may be missing.
    assert!(changed.is_sorted() && changed.last() < Some(&1900));
    assert!(other.iter().all(|row| changed.binary_search(row).is_ok()));
    assert!(graph.insert_rows(&full, &|_, _| true).unwrap().is_empty());
}

#[test]
fn every_row_is_reachable_even_among_duplicates() {
    let mut vectors = clustered(1500, 8, 5, 6);
    // A third of all rows are copies of one vector, and a few are zero.
    for row in 0..500 {
        vectors.copy_within(0..8, row * 24);
    }
    vectors[8..40].fill(0.0);
    for metric in [Metric::Cosine, Metric::L2] {
        let store = store(metric, Dtype::F32, &vectors, 8);
        let graph = build(&store, 2);
        assert_eq!(lost(&graph), 0, "{metric:?}");
    }
}

/// Enough rows to be linked in bulk.
const MANY: usize = 10_000;

fn lost(graph: &Graph) -> usize {
    let mut seen = vec![false; graph.len()];
    let mut stack = vec![graph.entry];
    seen[graph.entry as usize] = true;
    while let Some(row) = stack.pop() {
        for &next in graph.links(row, 0) {
            if !std::mem::replace(&mut seen[next as usize], true) {
                stack.push(next);
            }
        }
    }
    seen.iter().filter(|seen| !**seen).count()
}

#[test]
fn rows_linked_in_bulk_are_found_at_any_number_of_threads() {
    let dim = 16;
    let all = clustered(MANY + 100, dim, 50, 9);
    let (vectors, queries) = all.split_at(MANY * dim);
    for metric in [Metric::Cosine, Metric::L2] {
        let store = store(metric, Dtype::I8, vectors, dim);
        let graph = build(&store, 3);
        assert_eq!(graph.parts(), build(&store, 1).parts());
        assert_eq!(lost(&graph), 0);
        for row in 0..graph.len() as u32 {
            for level in 0..=graph.levels[row as usize] {
                graph.check_links(row, level).unwrap();
                let mut links = graph.links(row, level).to_vec();
                links.sort_unstable();
                assert!(links.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
        let mut scratch = Scratch::default();
        let mut hits = 0;
        for query in queries.chunks_exact(dim) {
            let query = store.query(query);
            let near = graph.search(
                &store,
                &query,
                Extent::fixed(64),
                40,
                None,
                &[],
                &mut scratch,
            );
            let rows: Vec<u32> = near.iter().map(|e| e.row).collect();
            let found = exact::fine_top_k(&store, &query, 10, &rows, &ByRow);
            let truth = exact::scan(&store, &query, 10, None, &ByRow);
            hits += found.iter().filter(|e| truth.contains(e)).count();
        }
        assert!(hits >= 980, "{metric:?}: {hits} of 1000 found");
    }
}

#[test]
fn a_bulk_beside_older_rows_is_undone_or_names_them() {
    let vectors = clustered(MANY + 1500, 8, 10, 10);
    let small = store(Metric::L2, Dtype::I8, &vectors[..8 * 1500], 8);
    let full = store(Metric::L2, Dtype::I8, &vectors, 8);
    let mut graph = build(&small, 2);
    let before = graph.clone();
    // In batches, while lists are made, and while old rows get their new links.
    for stop in [100, MANY / 2, MANY - 200] {
        let stopped = graph.insert_rows(&full, &|done, _| done < stop);
        assert!(matches!(stopped, Err(Error::Interrupted)));
        assert_eq!(graph.parts(), before.parts());
    }
    let reports = std::sync::Mutex::new(Vec::new());
    let hook = |done: usize, total: usize| {
        assert_eq!(total, MANY);
        reports.lock().unwrap().push(done);
        true
    };
    let changed = graph.insert_rows(&full, &hook).unwrap();
    let reports = reports.into_inner().unwrap();
    assert!(reports.is_sorted() && reports.last() == Some(&MANY));
    let mut other = (0..1500).filter(|&row| graph.link_row(row, 0) != before.link_row(row, 0));
    assert!(other.all(|row| changed.binary_search(&row).is_ok()));
    assert_eq!(lost(&graph), 0);
}

#[test]
fn a_bulk_of_copies_and_zero_vectors_is_reachable() {
    let mut vectors = clustered(MANY, 8, 5, 11);
    // Half of all rows are copies of one vector, and a hundredth are zero.
    for row in 0..MANY {
        if row % 2 == 0 {
            vectors.copy_within(8..16, row * 8);
        } else if row % 100 == 51 {
            vectors[row * 8..][..8].fill(0.0);
        }
    }
    for metric in [Metric::Cosine, Metric::L2] {
        assert_eq!(lost(&build(&store(metric, Dtype::I8, &vectors, 8), 2)), 0);
        let same = vectors[8..16].repeat(MANY);
        assert_eq!(lost(&build(&store(metric, Dtype::I8, &same, 8), 2)), 0);
    }
}

#[test]
fn damaged_parts_are_refused() {
    let vectors = clustered(500, 8, 5, 7);
    let store = store(Metric::L2, Dtype::F32, &vectors, 8);
    let graph = build(&store, 1);
    let (base, levels, upper, entry) = graph.parts();
    let load = |base: Vec<u32>, levels: Vec<u8>, upper: Vec<u32>, entry| {
        Graph::from_parts(
            graph.params,
            base.into(),
            levels.into(),
            upper.into(),
            entry,
        )
    };
    let (base, levels, upper) = (base.to_vec(), levels.to_vec(), upper.to_vec());
    assert!(load(base.clone(), levels.clone(), upper.clone(), entry).is_ok());
    assert!(load(base.clone(), levels.clone(), upper.clone(), 500).is_err());
    assert!(load(base.clone(), levels.clone(), upper.clone(), NONE).is_err());
    assert!(load(base[1..].to_vec(), levels.clone(), upper.clone(), entry).is_err());
    let mut bad = base.clone();
    bad[0] = 500;
    assert!(load(bad, levels.clone(), upper.clone(), entry).is_err());
    let mut bad = base.clone();
    bad[24] = 1;
    assert!(
        load(bad, levels.clone(), upper.clone(), entry).is_err(),
        "a row linked to itself"
    );
    let mut bad = levels.clone();
    bad[3] = 200;
    assert!(load(base, bad, upper, entry).is_err());
}

#[test]
fn no_rows_make_an_empty_graph() {
    let empty = store(Metric::Ip, Dtype::I8, &[], 4);
    let graph = build(&empty, 1);
    assert_eq!(graph.len(), 0);
}
