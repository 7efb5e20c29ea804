//! Lists from outside: what a search engine or another retriever found for this request, best first.
//!
//! A list is a signal of the blend as a space is: with a positive weight its eligible items join the pool, and its
//! numbers are a term of theirs. The number is the score that the list gives, larger for better, or, where it
//! gives an order only, 0, -1, -2, ... along it. An item that is not in the list has no number. The numbers of the
//! pool are recorded as those of a request's signals are, so a replay needs no list.

use std::collections::{BTreeMap, HashMap};

use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::ids::{IdMap, Ids};
use crate::scored::TieBreak;
use crate::select::check_kind;

/// One list, as far as the source has its items.
#[derive(Clone, Debug)]
pub struct List {
    /// Best first.
    rows: Vec<u32>,
    values: HashMap<u32, f64>,
    given: usize,
}

/// How much of a list could be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListCounts {
    /// Items in the list.
    pub given: usize,
    /// Those of them that the source has, and that were eligible.
    pub eligible: usize,
}

/// The counts of a request's lists by name.
pub type ListsCounts = BTreeMap<String, ListCounts>;

impl List {
    /// From ids, best first, with a score each where `scores` is given. Equal scores are ordered by id. Ids that are
    /// not there are passed over: an outside index may lag behind.
    pub fn new(name: &str, ids: &IdMap, keys: &Ids, scores: Option<&[f64]>) -> Result<List> {
        let argument = || format!("lists[{name:?}]");
        check_kind(&argument(), ids, keys)?;
        if let Some(scores) = scores {
            if scores.len() != keys.len() {
                return Err(Error::invalid(
                    argument(),
                    format!("{} scores, one per id", keys.len()),
                    scores.len(),
                ));
            }
            if let Some(bad) = scores.iter().find(|score| !score.is_finite()) {
                return Err(Error::invalid(argument(), "finite scores", bad));
            }
        }
        let mut values = HashMap::with_capacity(keys.len());
        let mut rows = Vec::with_capacity(keys.len());
        for i in 0..keys.len() {
            let Some(row) = ids.row(&keys.get(i)) else {
                continue;
            };
            let value = scores.map_or(-(i as f64), |scores| scores[i]);
            if values.insert(row, value + 0.0).is_some() {
                return Err(Error::invalid(
                    argument(),
                    "each id once",
                    format!("{} twice", keys.get(i)),
                ));
            }
            rows.push(row);
        }
        if scores.is_some() {
            rows.sort_unstable_by(|a, b| {
                values[b]
                    .total_cmp(&values[a])
                    .then_with(|| ids.tie(*a, *b))
            });
        }
        Ok(List {
            rows,
            values,
            given: keys.len(),
        })
    }

    /// Up to `want` of its rows that are eligible, best first.
    pub(crate) fn within(&self, eligible: &RowSet, want: usize) -> Vec<u32> {
        let rows = self.rows.iter().copied();
        rows.filter(|&row| eligible.contains(row))
            .take(want)
            .collect()
    }

    /// The number of a row; NaN where it has none.
    pub(crate) fn value(&self, row: u32) -> f64 {
        self.values.get(&row).copied().unwrap_or(f64::NAN)
    }

    /// How many are eligible.
    pub(crate) fn counts(&self, eligible: &RowSet) -> ListCounts {
        let eligible = self.rows.iter().filter(|&&row| eligible.contains(row));
        ListCounts {
            given: self.given,
            eligible: eligible.count(),
        }
    }
}
