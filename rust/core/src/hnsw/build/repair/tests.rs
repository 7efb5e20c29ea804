//! Graphs whose rows are taken out, against graphs built of what is left.

use super::*;
use crate::eligible::RowSet;
use crate::exact;
use crate::hnsw::tests::{build, clustered, store};
use crate::metric::{Dtype, Metric};

const DIM: usize = 16;

/// Every row that is left can be reached, and none that is left leads to one that is gone.
fn check(graph: &Graph) {
    let left = |row: &u32| !graph.gone.contains(*row);
    let rows = (0..graph.len() as u32).filter(left);
    for row in rows.clone() {
        for level in 0..=graph.levels[row as usize] {
            let links = graph.links(row, level);
            assert!(
                links.iter().all(left),
                "row {row} in layer {level}: {links:?}"
            );
            let mut once = links.to_vec();
            once.sort_unstable();
            once.dedup();
            assert!(once.len() == links.len() && !once.contains(&row));
        }
    }
    let mut seen = vec![false; graph.len()];
    let mut open: Vec<u32> = [graph.entry]
        .into_iter()
        .filter(|row| *row != NONE)
        .collect();
    while let Some(row) = open.pop() {
        if !std::mem::replace(&mut seen[row as usize], true) {
            open.extend(graph.links(row, 0));
        }
    }
    assert!(
        rows.clone().all(|row| seen[row as usize]),
        "rows that nothing leads to"
    );
    assert!(rows.clone().next().is_none() || left(&graph.entry));
}

/// Recall@10 of searches for rows near those that are left.
fn recall(graph: &Graph, store: &VectorStore, ef: usize) -> f64 {
    let left: Vec<u32> = (0..graph.len() as u32)
        .filter(|row| !graph.gone.contains(*row))
        .collect();
    let mut eligible = RowSet::none(store.len());
    left.iter().for_each(|row| eligible.insert(*row));
    let mut scratch = Scratch::default();
    let (mut hits, mut all) = (0, 0);
    for row in left.iter().step_by(left.len() / 150 + 1) {
        let mut vector = vec![0.0; DIM];
        store.get(*row, &mut vector);
        vector
            .iter_mut()
            .enumerate()
            .for_each(|(i, x)| *x += 0.1 * ((i % 3) as f32 - 1.0));
        let query = store.query(&vector);
        let near = graph.search(
            store,
            &query,
            Extent::fixed(ef),
            20,
            Some(&eligible),
            &[],
            &mut scratch,
        );
        let rows: Vec<u32> = near.iter().map(|entry| entry.row).collect();
        let found = exact::fine_top_k(store, &query, 10, &rows, &ByRow);
        let truth = exact::scan(store, &query, 10, Some(&eligible), &ByRow);
        hits += found.iter().filter(|entry| truth.contains(entry)).count();
        all += truth.len();
    }
    hits as f64 / all as f64
}

fn without(graph: &mut Graph, store: &VectorStore, rows: &[u32], batch: usize) {
    for some in rows.chunks(batch) {
        graph.take_out(some);
        graph.repair(store);
        check(graph);
    }
}

/// The graph after rows were taken out is as good as one built of the rest, and so is what is kept of it.
fn as_good_as_new(metric: Metric, dtype: Dtype, gone: &[u32], batch: usize) {
    let vectors = clustered(4000, DIM, 40, 7);
    let all = store(metric, dtype, &vectors, DIM);
    let mut graph = build(&all, 2);
    without(&mut graph, &all, gone, batch);
    let left: Vec<u32> = (0..4000).filter(|row| !gone.contains(row)).collect();
    let kept_store = all.keep(&left);
    let kept = graph.keep(&left);
    check(&kept);
    assert_eq!(kept.len(), left.len());
    let new = build(&kept_store, 2);
    let (was, is, fresh) = (
        recall(&graph, &all, 60),
        recall(&kept, &kept_store, 60),
        recall(&new, &kept_store, 60),
    );
    // 150 searches for ten: a standard error of about half a percent.
    assert!(
        was > fresh - 0.02,
        "{metric:?} {dtype:?}: {was} where a new graph has {fresh}"
    );
    assert!(
        (was - is).abs() < 0.01,
        "{was} before, {is} after rows are numbered anew"
    );
}

#[test]
fn rows_taken_out_at_random_leave_a_graph_as_good_as_new() {
    let gone: Vec<u32> = (0..4000)
        .filter(|row| super::super::splitmix64(*row).is_multiple_of(2))
        .map(|row| row as u32)
        .collect();
    as_good_as_new(Metric::Cosine, Dtype::I8, &gone, 64);
    as_good_as_new(Metric::L2, Dtype::F32, &gone, 1000);
}

#[test]
fn clusters_taken_out_whole_leave_a_graph_as_good_as_new() {
    // Of 40 clusters, which follow each other row by row, the first 25.
    let mut gone: Vec<u32> = (0..4000).filter(|row| row % 40 < 25).collect();
    gone.sort_by_key(|row| row % 40);
    as_good_as_new(Metric::L2, Dtype::F32, &gone, 100);
    as_good_as_new(Metric::Cosine, Dtype::I8, &gone, 1700);
}

#[test]
fn the_entry_and_whole_layers_may_go_and_so_may_everything() {
    let vectors = clustered(2000, DIM, 10, 9);
    let all = store(Metric::Cosine, Dtype::F32, &vectors, DIM);
    let mut graph = build(&all, 1);
    for _ in 0..2 {
        let top = graph.top_level().unwrap();
        let highest: Vec<u32> = (0..2000)
            .filter(|row| graph.levels[*row as usize] == top && !graph.gone.contains(*row))
            .collect();
        without(&mut graph, &all, &highest, 2000);
    }
    let rest: Vec<u32> = (0..2000).filter(|row| row % 100 != 3).collect();
    without(&mut graph, &all, &rest, 300);
    assert!(recall(&graph, &all, 30) > 0.99);
    let last: Vec<u32> = (0..2000).collect();
    without(&mut graph, &all, &last, 2000);
    assert_eq!((graph.entry, graph.keep(&[]).len()), (NONE, 0));
}

#[test]
fn a_repair_does_not_depend_on_threads_and_names_what_it_changed() {
    let vectors = clustered(3000, DIM, 20, 11);
    let all = store(Metric::L2, Dtype::I8, &vectors, DIM);
    let before = build(&all, 1);
    let gone: Vec<u32> = (0..3000).step_by(7).collect();
    let repaired = |threads: usize| {
        let mut graph = before.clone();
        graph.take_out(&gone);
        let changed = threads::with_pool(threads, || graph.repair(&all)).unwrap();
        (graph, changed)
    };
    let (one, changed) = repaired(1);
    let (two, again) = repaired(3);
    assert_eq!((one.parts(), &changed), (two.parts(), &again));
    let other = |row: &u32| one.link_row(*row, 0) != before.link_row(*row, 0);
    assert!((0..3000)
        .filter(other)
        .all(|row| changed.binary_search(&row).is_ok()));
}

#[test]
fn no_link_leads_to_a_row_that_was_taken_out_before_it_came() {
    let vectors = clustered(3000, DIM, 20, 12);
    let small = store(Metric::L2, Dtype::F32, &vectors[..2000 * DIM], DIM);
    let full = store(Metric::L2, Dtype::F32, &vectors, DIM);
    let mut graph = build(&small, 2);
    let gone: Vec<u32> = (0..2000).filter(|row| row % 3 == 0).collect();
    graph.take_out(&gone);
    graph.insert_rows(&full, &|_, _| true).unwrap();
    let leads = |row: &u32| {
        graph
            .links(*row, 0)
            .iter()
            .any(|id| graph.gone.contains(*id))
    };
    assert_eq!((2000..3000).filter(leads).count(), 0);
    graph.repair(&full);
    check(&graph);
    assert!(recall(&graph, &full, 60) > 0.97);
}
