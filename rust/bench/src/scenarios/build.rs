//! Indexes, built on one thread. Few rows: a second under callgrind is some hundredths of one outside.

use perso_core::index::Index;
use perso_core::metric::{Dtype, Metric};
use perso_core::vectors::{Layout, Spec};

use crate::data::{spec, vectors};
use crate::meter::Meter;

fn build(meter: &mut Meter, rows: usize, spec: Spec) {
    let items = vectors(rows, spec.dim, spec.metric).items;
    let mut index = Index::new(spec).expect("a valid description");
    // Once and from nothing: a second call would be another scenario.
    meter.count_cold(1, |_| {
        index
            .add(&items, None, 1, &|_, _| true)
            .expect("valid vectors");
    });
    let links = index.stats().links;
    assert!(links > 8 * rows, "{links} links for {rows} rows");
}

pub fn compact_i8(meter: &mut Meter) {
    build(
        meter,
        1200,
        spec(64, Metric::Cosine, Dtype::I8, Layout::Compact),
    );
}

pub fn compact_f32_l2(meter: &mut Meter) {
    build(
        meter,
        2000,
        spec(128, Metric::L2, Dtype::F32, Layout::Compact),
    );
}

pub fn local_i8(meter: &mut Meter) {
    build(
        meter,
        1200,
        spec(128, Metric::Cosine, Dtype::I8, Layout::Local),
    );
}
