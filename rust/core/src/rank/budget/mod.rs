//! A time budget: what a ranking gives up of a policy to be made in so many microseconds, and says so.
//!
//! # What is given up, in this order
//!
//! 1. `ef`: the walks of retrieval, down to half of the breadth that they have by themselves, as far as that finds a pool;
//! 2. `candidates`: the pool, down to [`LEAST_POOL`] or `2 k`, whichever is more;
//! 3. `diversity`: items are no longer compared with each other; what is left is the relevance, on the scale that it had. What
//!    that saves goes back to the pool and the walks: they are lowered anew, in the same order, as far as the rest has to be.
//!
//! Each is lowered as little as it takes. Caps, soft caps, rules, pins, filters and exploration stay as they are, and
//! propensities are those of what was really done: an explorer draws from the pool that there is.
//!
//! # By counted costs
//!
//! A budget that looked at a clock would show one thing on an idle machine and another on a busy one, and a record could not
//! say which. So a time is predicted from counts (rows, components, candidates, slots, the breadth of walks) times
//! prices (`price` here, and `crate::price`), and the same request to the same catalog gives up the same on every machine.
//! Microseconds are those of one core that the prices were fitted to; whoever has another multiplies by how fast it is
//! beside that one ([`speed`]).
//!
//! A record holds what was decided, as it holds the pool: a replay has no retrieval to predict, and does what was done.
//!
//! # Tried and left out
//!
//! Steps by share of all three at once spread the loss, and nobody could say beforehand what a tight
//! budget would do to a slate. A cheaper objective in place of none (a window, or the head of the pool): with the pool
//! at its floor there is no head left, and a window costs more than the lazy choice among all.

mod price;
mod speed;

pub use speed::speed;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::price::WHOLE;

pub(crate) use price::Ranking;

/// A pool is not lowered below this many candidates, or twice the items that are wanted.
pub const LEAST_POOL: usize = 40;

/// The parts of its breadth that a walk keeps.
const LEAST_PARTS: usize = WHOLE / 2;

/// What a ranking was made with, and what for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// What was given, in microseconds of the reference core.
    pub us: f64,
    /// What the whole policy is predicted to take.
    pub whole_us: f64,
    /// What is predicted for what was done.
    pub planned_us: f64,
    /// What was lowered, in order; empty where the whole policy fits.
    pub lowered: Vec<Lowered>,
    /// The same in words, and whether the budget is met.
    pub given_up: Vec<String>,
}

/// Something that was lowered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum Lowered {
    /// The breadth of the walk through a space.
    Ef {
        /// The space.
        space: String,
        /// The breadth that it has by itself for a pool of that size.
        from: u64,
        /// The one that it had.
        to: u64,
        /// Microseconds.
        saves_us: f64,
    },
    /// The size of the pool.
    Candidates {
        /// As the policy has it, and as there are eligible items.
        from: u64,
        /// As it was asked for.
        to: u64,
        /// Microseconds.
        saves_us: f64,
    },
    /// The comparison of items with each other.
    Diversity {
        /// Its kind.
        from: String,
        /// Microseconds.
        saves_us: f64,
    },
}

impl Lowered {
    fn text(&self) -> String {
        match self {
            Lowered::Ef {
                space,
                from,
                to,
                saves_us,
            } => format!("ef of {space:?}: {to} in place of {from}, which saves {saves_us:.0} us"),
            Lowered::Candidates { from, to, saves_us } => {
                format!("candidates: {to} in place of {from}, which saves {saves_us:.0} us")
            }
            Lowered::Diversity { from, saves_us } => {
                format!("diversity: none in place of {from}, which saves {saves_us:.0} us")
            }
        }
    }
}

impl Budget {
    /// Whether what was done is predicted to take no longer than was given.
    pub fn is_met(&self) -> bool {
        self.planned_us <= self.us
    }

    /// The size of the pool, where it was lowered.
    pub(crate) fn candidates(&self) -> Option<usize> {
        self.lowered.iter().find_map(|lowered| match lowered {
            Lowered::Candidates { to, .. } => usize::try_from(*to).ok(),
            _ => None,
        })
    }

    /// Whether items are not compared with each other.
    pub(crate) fn is_without_diversity(&self) -> bool {
        let diversity = |lowered: &Lowered| matches!(lowered, Lowered::Diversity { .. });
        self.lowered.iter().any(diversity)
    }

    /// With the words for its numbers.
    pub(crate) fn in_words(mut self) -> Self {
        self.given_up = self.lowered.iter().map(Lowered::text).collect();
        if !self.is_met() {
            self.given_up.push(format!(
                "the budget is not met: {:.0} us are predicted, and {} were given",
                self.planned_us, self.us
            ));
        }
        self
    }
}

/// A number of microseconds that may be given.
pub(crate) fn check(us: f64) -> Result<()> {
    if us > 0.0 && us.is_finite() {
        return Ok(());
    }
    Err(Error::invalid(
        "budget_us",
        "a finite number of more than 0, or None",
        us,
    ))
}

/// How much of a policy is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extent {
    /// Of [`WHOLE`] parts, those of a walk's breadth.
    pub(crate) parts: usize,
    /// The size of the pool.
    pub(crate) pool: usize,
    /// Whether items are compared with each other.
    pub(crate) diversity: bool,
}

/// What to do of a ranking in so many microseconds.
pub(crate) fn plan(ranking: &Ranking<'_>, us: f64) -> Result<(Budget, Extent)> {
    check(us)?;
    let whole = ranking.whole();
    let chosen = choose(ranking, whole, us);
    // What narrower walks save is told for the pool that there is: a smaller one has narrower walks by itself.
    let mut lowered = ranking.narrowed(chosen.pool, chosen.parts);
    let mut so_far = whole;
    if chosen.pool < whole.pool {
        so_far.pool = chosen.pool;
        lowered.push(Lowered::Candidates {
            from: whole.pool as u64,
            to: chosen.pool as u64,
            saves_us: tenth(ranking.us(whole) - ranking.us(so_far)),
        });
    }
    so_far.parts = chosen.parts;
    if !chosen.diversity && whole.diversity {
        let before = ranking.us(so_far);
        so_far.diversity = false;
        lowered.push(Lowered::Diversity {
            from: ranking.diversity().into(),
            saves_us: tenth(before - ranking.us(so_far)),
        });
    }
    let budget = Budget {
        us,
        whole_us: tenth(ranking.us(whole)),
        planned_us: tenth(ranking.us(chosen)),
        lowered,
        given_up: Vec::new(),
    };
    Ok((budget.in_words(), chosen))
}

/// The first that fits: the whole; with narrower walks; with a smaller pool; and the same again without diversity. The
/// least of all where none does.
fn choose(ranking: &Ranking<'_>, whole: Extent, us: f64) -> Extent {
    let fits = |extent: Extent| tenth(ranking.us(extent)) <= us;
    let floor = ranking.k.saturating_mul(2).max(LEAST_POOL).min(whole.pool);
    let mut extent = whole;
    for diversity in [true, false] {
        if diversity && !whole.diversity {
            continue;
        }
        extent = Extent { diversity, ..whole };
        if fits(extent) {
            return extent;
        }
        if ranking.narrows(floor, LEAST_PARTS) {
            for parts in (LEAST_PARTS..WHOLE).rev() {
                extent.parts = parts;
                if fits(extent) {
                    return extent;
                }
            }
        }
        // The largest pool that fits, between one that is known to fit and one that does not.
        let (mut low, mut high) = (floor, whole.pool);
        extent.pool = low;
        if fits(extent) {
            while high - low > 1 {
                extent.pool = low + (high - low) / 2;
                if fits(extent) {
                    low = extent.pool;
                } else {
                    high = extent.pool;
                }
            }
            extent.pool = low;
            return extent;
        }
    }
    extent
}

/// Rounded to tenths: what is compared is what is told.
fn tenth(us: f64) -> f64 {
    (us * 10.0).round() / 10.0
}
