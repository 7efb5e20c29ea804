//! What work is predicted to cost: counts times prices, in nanoseconds of the reference core.
//!
//! A prediction that decides what is shown must be the same on every machine and under every load, so nothing here
//! is measured where it runs. The prices were fitted once, to one core of a shared Zen 4 (`cargo run --release -p perso-bench
//! --example budget` prints prediction beside measurement); `rank/budget` says what is decided by them. The prices that choose
//! the way of a search are others (`vectors/plan.rs`): those compare ways, these add up to a time.

/// The whole breadth of a walk, in the parts that a budget counts it by.
pub const WHOLE: usize = 16;

/// What a retrieval is predicted to take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// Nanoseconds of the reference core.
    pub ns: f64,
    /// The breadth of its walk; `None` where it is none.
    pub ef: Option<usize>,
}

impl Outlook {
    /// Of something that is no walk.
    pub(crate) fn of(ns: f64) -> Self {
        Outlook { ns, ef: None }
    }
}

/// To call, and to prepare a query.
pub(crate) const CALL: f64 = 1_000.0;

/// A row of so many bytes after the last one.
fn streamed(bytes: f64) -> f64 {
    0.6 + 0.0405 * bytes
}

/// One that lies anywhere.
pub(crate) fn gathered(bytes: f64) -> f64 {
    8.0 + 0.108 * bytes
}

/// Among the best so far, each of `n` answers.
const ANSWER: f64 = 80.0;

/// To score `eligible` of `rows` rows and keep the best `n`.
pub(crate) fn scan(eligible: usize, rows: usize, bytes: usize, n: usize) -> f64 {
    let (eligible, rows, bytes) = (eligible as f64, rows as f64, bytes as f64);
    let read = (eligible * gathered(bytes)).min(rows * streamed(bytes));
    CALL + read + answers(n.min(eligible as usize))
}

/// To keep and order the best `n`.
pub(crate) fn answers(n: usize) -> f64 {
    ANSWER * n as f64
}

/// The same where answers come in an order of norms, which is none of scores.
pub(crate) const ANSWER_IN_ORDER: f64 = 430.0;

/// To sort so many numbers with their ids.
pub(crate) fn sorted(n: usize) -> f64 {
    2.5 * n as f64 * log2(n)
}

/// Whole binary digits: a logarithm that is the same everywhere.
pub(crate) fn log2(n: usize) -> f64 {
    f64::from(usize::BITS - n.leading_zeros())
}
