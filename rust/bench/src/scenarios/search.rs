//! Searches of an index: scans and graphs.

use std::collections::HashSet;
use std::hint::black_box;

use perso_core::eligible::RowSet;
use perso_core::index::Index;
use perso_core::metric::{Dtype, Metric};
use perso_core::vectors::{Ask, Found, Layout, Rescore, Spec};

use crate::data::{index, spec, QUERIES};
use crate::meter::Meter;

const ROWS: usize = 20_000;
const FEWER: usize = 8000;
const DIM: usize = 128;

fn ask(exact: bool) -> Ask<'static> {
    Ask {
        k: 10,
        ef: None,
        eligible: None,
        exact,
    }
}

/// Counts one query a call; the answers must come by the path where one is named, and hold most of the exact ones.
fn searches(
    meter: &mut Meter,
    index: &Index,
    queries: &[f32],
    ask: Ask<'_>,
    path: Option<Found>,
    calls: usize,
) {
    let dim = index.spec().dim;
    let query = |i: usize| &queries[(i % QUERIES) * dim..][..dim];
    let rows = |query: &[f32], ask: Ask<'_>| -> (HashSet<u32>, Found) {
        let (hits, found) = index
            .search(query, ask, 1)
            .expect("a valid query")
            .remove(0);
        (hits.iter().map(|hit| hit.row).collect(), found)
    };
    let mut right = 0;
    for i in 0..8 {
        let exact = Ask {
            exact: true,
            ef: None,
            ..ask
        };
        let (answers, found) = rows(query(i), ask);
        assert!(path.is_none_or(|path| found == path), "{found:?}");
        right += answers.intersection(&rows(query(i), exact).0).count();
    }
    assert!(right >= 72, "recall {right} of 80");
    meter.count(calls, |i| {
        black_box(
            index
                .search(black_box(query(i)), ask, 1)
                .expect("a valid query"),
        );
    });
}

/// The index that most scenarios share: int8 codes under a graph of row numbers.
fn shared(meter: &Meter) -> (Index, Vec<f32>) {
    let spec = spec(DIM, Metric::Cosine, Dtype::I8, Layout::Compact);
    index(meter.folder(), spec, ROWS)
}

pub fn scan_i8(meter: &mut Meter) {
    let (index, queries) = shared(meter);
    searches(meter, &index, &queries, ask(true), Some(Found::Exact), 8);
}

pub fn scan_f16(meter: &mut Meter) {
    let spec = spec(DIM, Metric::Cosine, Dtype::F16, Layout::Exact);
    let (index, queries) = index(meter.folder(), spec, FEWER);
    searches(meter, &index, &queries, ask(true), Some(Found::Exact), 8);
}

pub fn scan_f32(meter: &mut Meter) {
    let spec = spec(DIM, Metric::L2, Dtype::F32, Layout::Exact);
    let (index, queries) = index(meter.folder(), spec, FEWER);
    searches(meter, &index, &queries, ask(true), Some(Found::Exact), 8);
}

/// All queries in one call.
pub fn scan_i8_batch(meter: &mut Meter) {
    let (index, queries) = shared(meter);
    let search = |queries: &[f32]| {
        index
            .search(black_box(queries), ask(true), 1)
            .expect("valid queries")
    };
    let mut found = Vec::new();
    meter.count(1, |_| found = search(&queries));
    assert!((0..4).all(|i| search(&queries[i * DIM..][..DIM])[0] == found[i]));
}

pub fn compact_i8(meter: &mut Meter) {
    let (index, queries) = shared(meter);
    searches(meter, &index, &queries, ask(false), Some(Found::Graph), 32);
}

pub fn compact_f32_l2(meter: &mut Meter) {
    let spec = spec(DIM, Metric::L2, Dtype::F32, Layout::Compact);
    let (index, queries) = index(meter.folder(), spec, FEWER);
    searches(meter, &index, &queries, ask(false), Some(Found::Graph), 32);
}

pub fn compact_i8_rescore(meter: &mut Meter) {
    let spec = Spec {
        rescore: Some(Rescore::F16),
        ..spec(DIM, Metric::Cosine, Dtype::I8, Layout::Compact)
    };
    let (index, queries) = index(meter.folder(), spec, FEWER);
    searches(meter, &index, &queries, ask(false), Some(Found::Graph), 32);
}

pub fn local_i8(meter: &mut Meter) {
    let spec = spec(DIM, Metric::Cosine, Dtype::I8, Layout::Local);
    let (index, queries) = index(meter.folder(), spec, FEWER);
    searches(meter, &index, &queries, ask(false), Some(Found::Graph), 32);
}

pub fn local_i8_rescore(meter: &mut Meter) {
    let spec = Spec {
        rescore: Some(Rescore::F16),
        ..spec(DIM, Metric::Cosine, Dtype::I8, Layout::Local)
    };
    let (index, queries) = index(meter.folder(), spec, FEWER);
    searches(meter, &index, &queries, ask(false), Some(Found::Graph), 32);
}

/// A filter that leaves every second row, whichever way answers.
pub fn filtered_i8(meter: &mut Meter) {
    let (index, queries) = shared(meter);
    let mut half = RowSet::none(ROWS);
    (0..ROWS as u32).step_by(2).for_each(|row| half.insert(row));
    let ask = Ask {
        eligible: Some(&half),
        ..ask(false)
    };
    searches(meter, &index, &queries, ask, None, 16);
}

/// Inner product, norms that vary, whichever way answers.
pub fn mips_f32(meter: &mut Meter) {
    let spec = spec(64, Metric::Ip, Dtype::F32, Layout::Auto);
    let (index, queries) = index(meter.folder(), spec, 12_000);
    searches(meter, &index, &queries, ask(false), None, 32);
}
