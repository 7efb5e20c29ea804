//! The result of one request.

use std::sync::Arc;

use crate::ids::{Id, Ids};
use crate::route::Route;

use super::allow::Allow;
use super::budget::Budget;
use super::lists::ListsCounts;
use super::mask::Outcome;
use super::origin::Origin;
use super::policy::Policy;
use super::reasons;
use super::request::{Counts, Pins, Target, User};
use super::slots::Slot;
use super::source::Path;
use super::timing::Timings;

/// The ordered items to show, with everything that explains them.
#[derive(Clone, Debug)]
pub struct Slate {
    /// Rows in the source, in order of the slots.
    pub rows: Vec<u32>,
    /// Their ids.
    pub ids: Ids,
    /// Their scores: the exact sum of their terms.
    pub scores: Vec<f64>,
    /// Names of the terms.
    pub term_names: Vec<String>,
    /// `slots x terms`.
    pub terms: Vec<f64>,
    /// How each slot was filled.
    pub slots: Vec<Slot>,
    /// The candidates.
    pub pool: PoolTrace,
    /// Where the candidates came from.
    pub path: Path,
    /// What pins and minima came to.
    pub outcome: Outcome,
    /// Why there are fewer items than asked for.
    pub short_reason: Option<String>,
    /// How long each stage took.
    pub timings: Timings,
    /// What was asked.
    pub asked: Asked,
    /// By which policy.
    pub policy: Arc<Policy>,
    /// The source's generation when the slate was made.
    pub generation: u64,
    /// The source in words; `None` where it says nothing, or a replayed record did not.
    pub origin: Option<Origin>,
    /// Of a replayed slate: the hash by which its record names the content, perhaps that of an earlier release.
    pub recorded_content: Option<String>,
}

/// The pool of a slate, in order of pooling.
#[derive(Clone, Debug)]
pub struct PoolTrace {
    /// Rows in the source.
    pub rows: Vec<u32>,
    /// Their ids.
    pub ids: Ids,
    /// Their scores.
    pub scores: Vec<f64>,
    /// How many rows were pooled after each step: the retrieval, then each deepening.
    pub steps: Vec<usize>,
    /// The values of the request's own signals, by name: NaN where there was none.
    pub signals: Vec<(String, Vec<f64>)>,
}

/// The request, as far as a record needs it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The user's vectors; `None` when no personal input was used.
    pub user: Option<User>,
    /// Items wanted.
    pub k: usize,
    /// The moment that decays were measured from.
    pub at: i64,
    /// Seed of the random numbers.
    pub seed: u64,
    /// The caller's name for the request.
    pub request_id: String,
    /// How many rows were eligible, and why the others were not.
    pub counts: Counts,
    /// The request's own target, for a policy that calibrates.
    pub target: Option<Target>,
    /// How much of each outside list was eligible.
    pub lists: ListsCounts,
    /// The request's own pins.
    pub pins: Pins,
    /// Which personal input it allowed, where it said so.
    pub allow: Option<Allow>,
    /// What a budget came to; `None` where none was given.
    pub budget: Option<Budget>,
    /// Why it was made where it was, as far as the request said so.
    pub route: Option<Arc<Route>>,
}

impl Slate {
    /// Items in the slate.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The terms of one slot.
    pub fn terms_of(&self, slot: usize) -> &[f64] {
        let width = self.term_names.len();
        &self.terms[slot * width..(slot + 1) * width]
    }

    /// One term of every slot.
    pub fn term(&self, name: &str) -> Option<Vec<f64>> {
        let at = self.term_names.iter().position(|term| term == name)?;
        Some(
            (0..self.len())
                .map(|slot| self.terms_of(slot)[at])
                .collect(),
        )
    }

    /// The probability with which each item was put into its slot, given the slots above.
    pub fn propensities(&self) -> Vec<f64> {
        self.slots.iter().map(|slot| slot.propensity).collect()
    }

    /// The logarithm of the slate's probability, which is the product of its propensities.
    pub fn log_propensity(&self) -> f64 {
        let logs = self.slots.iter().map(|slot| libm::log(slot.propensity));
        logs.fold(0.0, |sum, log| sum + log)
    }

    /// What the slate's log cannot tell, because some eligible items had no chance; `None` where all had.
    pub fn support_warning(&self) -> Option<String> {
        reasons::support(&self.slots)
    }

    /// Which items exploration put in place of the greedy choice.
    pub fn explored(&self) -> Vec<bool> {
        self.slots.iter().map(|slot| slot.explored).collect()
    }

    /// The id of the greedy choice of each slot.
    pub fn greedy_id(&self, slot: usize) -> Id {
        self.pool_id(self.slots[slot].greedy)
    }

    /// The id of a pool entry.
    pub fn pool_id(&self, entry: u32) -> Id {
        self.pool.ids.get(entry as usize)
    }

    /// The categories of personal input that the request did not allow.
    pub fn masked(&self) -> Vec<&'static str> {
        self.asked.allow.map_or_else(Vec::new, Allow::masked)
    }

    /// What was given up for a budget, and whether it is met: plain statements; none without one.
    pub fn given_up(&self) -> &[String] {
        self.asked.budget.as_ref().map_or(&[], |b| &b.given_up)
    }

    /// Why each item is where it is: short texts for people.
    pub fn reasons(&self) -> Vec<String> {
        reasons::reasons(self)
    }
}
