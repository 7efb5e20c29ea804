//! A user's state that learns from events, one vector at a time, and keeps no history.
//!
//! # What is kept
//!
//! An event `e` is an item's vector `x_e`, a kind and a moment `t_e`; the plan gives its kind a weight `w_e`, negative
//! for what the user turned away from. For a half-life `h`, with `d_e = x_e / |x_e|`:
//!
//! ```text
//! S(t) = sum_e  w_e  2^(-(t - t_e) / h) d_e        the sum
//! n(t) = sum_e |w_e| 2^(-(t - t_e) / h)            the evidence
//! ```
//!
//! once for the short term (`S_s`, `n_s`) and once for the long term (`S_l`, `n_l`), which may have no half-life and then
//! never forgets. What events of negative weight add is also kept apart, over the long term, with its sign turned.
//!
//! Sums are kept as of the latest event seen. A later event decays them to its own moment and adds itself; an earlier one
//! is decayed itself, so that the order of arrival changes nothing but the rounding. An event costs `O(dim)`.
//!
//! # What is read
//!
//! With `p` the prior (the user's base vector, else a population's, else zero), `K` the plan's prior strength, `c` its
//! short weight, and `r = |p|`, or 1 where `p` is zero:
//!
//! ```text
//! long = (K p + r S_l) / (n_l + K)                  = (1 - a) p + a r S_l / n_l    with a = n_l / (n_l + K)
//! b    = c n_s / (n_s + K)
//! u    = (1 - b) long + c r S_s / (n_s + K)         = (1 - b) long + b r S_s / n_s
//! ```
//!
//! `n / (n + K)` is the credibility factor of Buehlmann (Experience rating and credibility, ASTIN Bulletin 4, 1967), the
//! weight that an empirical-Bayes estimate of a mean gives to what was observed. It is exact there for independent
//! observations with known variances; decayed clicks are neither, so `K` is a dial here: the evidence at which half of
//! the vector is learned. `r` brings directions to the prior's scale, so `K` means the same in every space.
//!
//! A moment before the latest event is read as that event's moment: nothing grows backwards.
//!
//! # The same bytes everywhere
//!
//! Sums are float64, added in the order of components, from `libm` and the operations that IEEE 754 rounds exactly. So a
//! given order of events gives the same state, and the same bytes, on every platform.

mod bytes;
mod plan;
mod state;

pub use plan::{Plan, PlanSpec};
pub use state::{Evidence, Prior, Profile};

#[cfg(test)]
mod tests;
