//! Where a slate is to be made, and how fast this machine makes one.

use perso_core::rank::budget;
use perso_core::route::{decide_json, Route, RoutePlan};
use pyo3::prelude::*;

use crate::error::Outcome;

/// A decision for a situation, `{"inputs": {...}, "plan": {...}}`, as a document in canonical JSON.
#[pyfunction]
pub fn route(situation: &str) -> Outcome<String> {
    Ok(decide_json(situation)?)
}

/// A decision's document in canonical JSON; refused where it does not follow from its inputs.
#[pyfunction]
pub fn route_checked(document: &str) -> Outcome<String> {
    Ok(Route::parse(document)?.to_json()?)
}

/// A plan in canonical JSON, and its hash.
#[pyfunction]
pub fn route_plan(document: &str) -> Outcome<(String, String)> {
    let plan = RoutePlan::parse(document)?;
    Ok((plan.canonical_json().into(), plan.hash().into()))
}

/// Reference microseconds in one of this machine's.
#[pyfunction]
pub fn calibrate(py: Python<'_>, rounds: usize) -> Outcome<f64> {
    py.detach(|| Ok(budget::speed(rounds)?))
}
