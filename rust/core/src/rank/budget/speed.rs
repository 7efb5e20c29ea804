//! How fast this machine is beside the one that the prices were fitted to.
//!
//! The one place that looks at a clock. It decides nothing: it gives callers the number by which to multiply the
//! microseconds that they have, and that product is what a request says and a record holds.

use std::sync::Arc;
use std::time::Instant;

use crate::column::{Column, ColumnType, Value};
use crate::error::{Error, Result};
use crate::ids::Ids;
use crate::metric::Metric;
use crate::rank::{rank, unnamed_space, Candidates, Eligibility, Policy, Request, Signals, Slate};

/// The candidates that are ranked: as many as a catalog of a shop, so that some of the time is a scan.
const ROWS: usize = 4096;
const DIM: usize = 128;
/// Rankings before the clock is looked at, which fill caches, and those that it is looked at for.
const WARM: usize = 3;

const POLICY: &str = r#"{"schema":"perso_core.policy/1","candidates":500,"score":{"signals":[
    {"kind":"similarity","name":"similarity","weight":1.0,"normalize":"minmax"},
    {"kind":"value","name":"popularity","weight":0.2,"normalize":"rank"}]},
    "diversity":{"kind":"mmr","diversity":0.3},
    "explore":{"kind":"epsilon_greedy","epsilon":0.1}}"#;

/// Reference microseconds that this machine does in one of its own: 1 is as fast as the reference core, 0.5 half as fast.
/// The median of `rounds` rankings, some tenths of a millisecond each; what else the machine does at the time makes it
/// smaller.
pub fn speed(rounds: usize) -> Result<f64> {
    if !(1..=1_000_000).contains(&rounds) {
        return Err(Error::invalid("rounds", "1 to 1000000", rounds));
    }
    let (source, policy) = workload()?;
    let mut predicted = 0.0;
    let mut taken = Vec::with_capacity(rounds);
    for round in 0..WARM + rounds {
        let request = request(&source, round);
        let start = Instant::now();
        let slate = rank(&source, &policy, &request)?;
        let us = start.elapsed().as_secs_f64() * 1e6;
        predicted = whole_us(&slate);
        if round >= WARM {
            taken.push(us);
        }
    }
    taken.sort_unstable_by(f64::total_cmp);
    // A clock may be so coarse that it saw no time pass.
    Ok(predicted / taken[rounds / 2].max(1e-3))
}

fn whole_us(slate: &Slate) -> f64 {
    slate.asked.budget.as_ref().map_or(0.0, |b| b.whole_us)
}

fn workload() -> Result<(Candidates, Arc<Policy>)> {
    // Splitmix64.
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 24) as f32 - 0.5
    };
    let vectors = (0..ROWS * DIM).map(|_| next()).collect();
    let mut popularity = Column::new(ColumnType::Float);
    for _ in 0..ROWS {
        popularity.push("popularity", Value::Float(f64::from(next())))?;
    }
    let source = Candidates::new(
        Ids::Int((0..ROWS as i64).collect()),
        vec![(unnamed_space(DIM, Metric::Cosine), vectors)],
        None,
        vec![("popularity".into(), popularity)],
    )?;
    Ok((source, Arc::new(Policy::parse(POLICY)?)))
}

fn request(source: &Candidates, round: usize) -> Request {
    let user = (0..DIM).map(|i| ((i * 37 + round) % 19) as f32 - 9.0);
    Request {
        user: Some(vec![("vectors".into(), user.collect::<Vec<f32>>().into())]),
        k: 20,
        eligible: Eligibility::all(crate::rank::Source::ids(source)),
        signals: Arc::new(Signals::new()),
        at: 0,
        seed: 7,
        request_id: format!("speed-{round}"),
        target: None,
        pins: Default::default(),
        allow: None,
        // So much that nothing is given up, and the whole is predicted.
        budget_us: Some(1e12),
        route: None,
    }
}
