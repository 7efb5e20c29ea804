//! One request: who asks, for how many, out of which rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::eligible::RowSet;
use crate::error::Result;
use crate::ids::{Id, IdMap, Ids};
use crate::route::Route;
use crate::select::{select, Selection, Where};

use super::allow::Allow;
use super::interests::Taste;
use super::signals::Signals;

/// What a user is in each space.
pub type User = Vec<(String, Taste)>;

/// Shares by the values' text, whatever they add up to.
pub type Target = BTreeMap<String, f64>;

/// Items by the slot that they are pinned to, from 0.
pub type Pins = BTreeMap<usize, Id>;

/// One request to rank.
#[derive(Clone, Debug)]
pub struct Request {
    /// One vector per space, or `None`: no personal input is used.
    pub user: Option<User>,
    /// Items wanted.
    pub k: usize,
    /// Which rows may be shown.
    pub eligible: Eligibility,
    /// Numbers that the caller brings; shared by the requests of a batch.
    pub signals: Arc<Signals>,
    /// The moment that decays are measured from: microseconds since the epoch.
    pub at: i64,
    /// Keys the random numbers, together with the request id.
    pub seed: u64,
    /// The caller's name for this request.
    pub request_id: String,
    /// The shares that a calibrated slate aims at, in place of the policy's own.
    pub target: Option<Target>,
    /// Items that slots must show, in place of the policy's own pins of these slots.
    pub pins: Pins,
    /// Which personal input may be used; `None` where nothing was said, and all of it may.
    pub allow: Option<Allow>,
    /// Microseconds of the reference core that the ranking may take; `None` for as many as it does.
    pub budget_us: Option<f64>,
    /// Why it is made here, for the record.
    pub route: Option<Arc<Route>>,
}

/// How many rows are eligible, and why the others are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that may be shown.
    pub eligible: usize,
    /// Live items.
    pub live: usize,
    /// Live items that `where` left out.
    pub filtered: usize,
    /// Items within `where` that `exclude` took away.
    pub excluded: usize,
    /// What of the rest the policy hides.
    pub hidden: usize,
}

/// The rows that may be shown.
#[derive(Clone, Debug)]
pub struct Eligibility {
    /// The rows.
    pub rows: RowSet,
    /// Why the others are not in.
    pub counts: Counts,
}

impl Eligibility {
    /// The live rows within `filter`, less `exclude`; see [`select`] for ids that are not there.
    pub fn new(ids: &IdMap, filter: Where<'_>, exclude: Option<&Ids>) -> Result<Eligibility> {
        let Selection { rows, within } = select(ids, "where", filter, exclude)?;
        let counts = Counts {
            eligible: rows.len(),
            live: ids.len(),
            filtered: ids.len() - within,
            excluded: within - rows.len(),
            hidden: 0,
        };
        Ok(Eligibility { rows, counts })
    }

    /// The same less what a policy hides.
    pub(crate) fn without(&self, hidden: &RowSet) -> Eligibility {
        let mut rows = self.rows.clone();
        rows.subtract(hidden);
        let counts = Counts {
            eligible: rows.len(),
            hidden: self.rows.len() - rows.len(),
            ..self.counts
        };
        Eligibility { rows, counts }
    }

    /// Every live row.
    pub fn all(ids: &IdMap) -> Eligibility {
        let rows = ids.live().clone();
        let counts = Counts {
            eligible: rows.len(),
            live: rows.len(),
            ..Counts::default()
        };
        Eligibility { rows, counts }
    }
}
