//! One request: who asks, for how many, out of which rows.

use std::sync::Arc;

use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::ids::{IdMap, Ids};

use super::signals::Signals;

/// A user's vectors by space.
pub type User = Vec<(String, Vec<f32>)>;

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
}

/// The rows that may be shown.
#[derive(Clone, Debug)]
pub struct Eligibility {
    /// The rows.
    pub rows: RowSet,
    /// Why the others are not in.
    pub counts: Counts,
}

/// What `where=` may be.
#[derive(Clone, Copy, Debug)]
pub enum Where<'a> {
    /// No filter.
    All,
    /// One flag per live item, in row order: aligned with the ids that the user sees.
    Mask(&'a [bool]),
    /// These ids only.
    Ids(&'a Ids),
}

impl Eligibility {
    /// The live rows within `filter`, less `exclude`.
    ///
    /// An id of `exclude` that is not there is fine (a seen item that was removed since); an
    /// id of the filter that is not there is [`Error::Missing`].
    pub fn new(ids: &IdMap, filter: Where<'_>, exclude: Option<&Ids>) -> Result<Eligibility> {
        let live_count = ids.len();
        let mut rows = match filter {
            Where::All => ids.live().clone(),
            Where::Mask(flags) => {
                if flags.len() != live_count {
                    return Err(Error::invalid(
                        "where",
                        format!("one flag for each of the {live_count} items"),
                        format!("{} flags", flags.len()),
                    ));
                }
                let mut rows = RowSet::none(ids.rows_len());
                ids.live_rows()
                    .zip(flags)
                    .filter(|(_, &keep)| keep)
                    .for_each(|(row, _)| rows.insert(row));
                rows
            }
            Where::Ids(wanted) => {
                check_kind("where", ids, wanted)?;
                let mut rows = RowSet::none(ids.rows_len());
                ids.require_all(wanted)?
                    .into_iter()
                    .for_each(|row| rows.insert(row));
                rows
            }
        };
        let within = rows.len();
        if let Some(exclude) = exclude {
            check_kind("exclude", ids, exclude)?;
            for i in 0..exclude.len() {
                if let Some(row) = ids.row_of(exclude, i) {
                    rows.remove(row);
                }
            }
        }
        let counts = Counts {
            eligible: rows.len(),
            live: live_count,
            filtered: live_count - within,
            excluded: within - rows.len(),
        };
        Ok(Eligibility { rows, counts })
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

pub(super) fn check_kind(argument: &str, ids: &IdMap, given: &Ids) -> Result<()> {
    // Without ids there is no kind yet, and an empty list has none that means anything.
    if ids.rows_len() == 0 || given.is_empty() || ids.by_row().kind() == given.kind() {
        return Ok(());
    }
    Err(Error::wrong_type(
        argument,
        format!("{} ids, as the items have", ids.by_row().kind()),
        format!("{} ids", given.kind()),
    ))
}
