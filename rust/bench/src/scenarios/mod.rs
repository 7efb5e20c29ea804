//! The scenarios. A new one is a function and a line here; `python -m bench.check --update` then records it.
//!
//! A scenario sets up, checks its answer, and hands the calls to `Meter::count`. It uses one thread, the data of
//! `data.rs`, and nothing that differs between machines. `quick` ones are those that `make test` runs: one of each
//! kind, as many as fit into its time.

mod build;
mod kernels;
pub mod ranking;
mod search;

use crate::meter::Meter;

pub struct Scenario {
    pub name: &'static str,
    pub quick: bool,
    pub run: fn(&mut Meter),
}

const fn quick(name: &'static str, run: fn(&mut Meter)) -> Scenario {
    Scenario {
        name,
        quick: true,
        run,
    }
}

const fn full(name: &'static str, run: fn(&mut Meter)) -> Scenario {
    Scenario {
        name,
        quick: false,
        run,
    }
}

pub const ALL: &[Scenario] = &[
    full("dot-f32-64", kernels::dot_f32::<64>),
    quick("dot-f32-384", kernels::dot_f32::<384>),
    full("dot-f16-64", kernels::dot_f16::<64>),
    quick("dot-f16-384", kernels::dot_f16::<384>),
    full("dot-i8-64", kernels::dot_i8::<64>),
    full("dot-i8-100", kernels::dot_i8::<100>),
    quick("dot-i8-384", kernels::dot_i8::<384>),
    full("dot-i8-gathered-128", kernels::dot_i8_gathered),
    full("l2-f32-128", kernels::l2_f32),
    full("topk-plain-f32-batch", kernels::topk),
    quick("scan-i8", search::scan_i8),
    full("scan-f16", search::scan_f16),
    full("scan-f32", search::scan_f32),
    quick("scan-i8-batch", search::scan_i8_batch),
    quick("search-compact-i8", search::compact_i8),
    full("search-compact-i8-rescore", search::compact_i8_rescore),
    full("search-compact-f32-l2", search::compact_f32_l2),
    quick("search-local-i8", search::local_i8),
    full("search-local-i8-rescore", search::local_i8_rescore),
    full("search-filtered-i8", search::filtered_i8),
    quick("search-mips-f32", search::mips_f32),
    quick("build-compact-i8", build::compact_i8),
    full("build-compact-f32-l2", build::compact_f32_l2),
    full("build-local-i8", build::local_i8),
    quick("rank", ranking::rank),
    full("rank-record", ranking::rank_record),
    full("rank-nobody", ranking::rank_nobody),
];

/// Names and which of them are quick, as JSON.
pub fn list() -> serde_json::Value {
    ALL.iter()
        .map(|s| serde_json::json!({"name": s.name, "quick": s.quick}))
        .collect()
}
