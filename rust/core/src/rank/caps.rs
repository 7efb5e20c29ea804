//! Caps: at most so many items of a slate share a value of an attribute. Soft ones are in `soft_caps`.
//!
//! A cap is a mask over each slot's eligible set. Within a slate counts only grow, so an entry that
//! is masked once stays masked. Of a list-valued attribute every value counts; a null has no value
//! and is never masked.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::column::Column;
use crate::error::{Error, Result};

use super::policy::MAX_INTEGER;
use super::source::Source;

/// What a policy says of one attribute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CapSpec {
    /// At most so many.
    Hard(i64),
    /// More than so many at a price.
    Soft(SoftSpec),
}

/// A soft cap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftSpec {
    /// So many cost nothing.
    pub limit: i64,
    /// What each one beyond costs, for each that it is beyond.
    pub penalty: f64,
}

impl CapSpec {
    pub(crate) fn validate(&self, attribute: &str) -> Result<()> {
        let argument = |part: &str| format!("caps[{attribute:?}]{part}");
        let (limit, part) = match self {
            CapSpec::Hard(limit) => (limit, ""),
            CapSpec::Soft(soft) => (&soft.limit, ".limit"),
        };
        if !(1..=MAX_INTEGER).contains(limit) {
            let expected = "an integer of at least 1";
            return Err(Error::invalid(argument(part), expected, limit));
        }
        match self {
            CapSpec::Soft(SoftSpec { penalty, .. }) if !(penalty.is_finite() && *penalty > 0.0) => {
                let expected = "a finite number of more than 0";
                Err(Error::invalid(argument(".penalty"), expected, penalty))
            }
            _ => Ok(()),
        }
    }
}

/// The column that a cap counts values of.
pub(super) fn counted_column<'a>(source: &'a dyn Source, attribute: &str) -> Result<&'a Column> {
    let column = source
        .column(attribute)
        .ok_or_else(|| Error::missing("attribute", format!("{attribute:?}")))?;
    if column.kind().is_countable() {
        return Ok(column);
    }
    Err(Error::wrong_type(
        format!("caps[{attribute:?}]"),
        "a bool, int, str or list[str] attribute",
        column.kind(),
    ))
}

/// The caps of one slate, with what has been counted so far.
#[derive(Debug)]
pub struct Caps<'a> {
    caps: Vec<Cap<'a>>,
}

#[derive(Debug)]
struct Cap<'a> {
    attribute: &'a str,
    limit: i64,
    column: &'a Column,
    counts: HashMap<u64, i64>,
    /// Values that have reached the limit, ascending.
    full: Vec<u64>,
    /// The keys of all pool entries, and where each entry's end.
    keys: Vec<u64>,
    ends: Vec<usize>,
}

impl Cap<'_> {
    #[cfg_attr(panic = "abort", inline(always))]
    fn keys_of(&self, entry: u32) -> &[u64] {
        let entry = entry as usize;
        let start = if entry == 0 { 0 } else { self.ends[entry - 1] };
        &self.keys[start..self.ends[entry]]
    }

    #[cfg_attr(panic = "abort", inline(always))]
    fn admits(&self, keys: &[u64]) -> bool {
        self.full.is_empty() || !keys.iter().any(|key| self.full.binary_search(key).is_ok())
    }
}

impl<'a> Caps<'a> {
    /// The hard ones of some caps by attribute name, over a source's columns.
    pub fn new(source: &'a dyn Source, specs: &'a BTreeMap<String, CapSpec>) -> Result<Self> {
        let caps = specs
            .iter()
            .filter_map(|(attribute, spec)| match spec {
                CapSpec::Hard(limit) => Some((attribute, *limit)),
                CapSpec::Soft(_) => None,
            })
            .map(|(attribute, limit)| {
                Ok(Cap {
                    attribute,
                    limit,
                    column: counted_column(source, attribute)?,
                    counts: HashMap::new(),
                    full: Vec::new(),
                    keys: Vec::new(),
                    ends: Vec::new(),
                })
            })
            .collect::<Result<_>>()?;
        Ok(Caps { caps })
    }

    /// Takes in the rows of further pool entries.
    pub fn extend(&mut self, rows: &[u32]) {
        for cap in &mut self.caps {
            for &row in rows {
                cap.column.keys(row, &mut cap.keys);
                cap.ends.push(cap.keys.len());
            }
        }
    }

    /// Whether a pool entry may still be chosen.
    pub fn admits(&self, entry: u32) -> bool {
        self.caps.iter().all(|cap| cap.admits(cap.keys_of(entry)))
    }

    /// Whether a row that is not in the pool could still be chosen.
    pub fn admits_row(&self, row: u32, scratch: &mut Vec<u64>) -> bool {
        self.caps.iter().all(|cap| {
            scratch.clear();
            cap.column.keys(row, scratch);
            cap.admits(scratch)
        })
    }

    /// Counts a chosen entry; true when that filled a cap.
    pub fn take(&mut self, entry: u32) -> bool {
        let mut filled = false;
        for cap in &mut self.caps {
            let start = if entry == 0 {
                0
            } else {
                cap.ends[entry as usize - 1]
            };
            for &key in &cap.keys[start..cap.ends[entry as usize]] {
                let count = cap.counts.entry(key).or_insert(0);
                *count += 1;
                if *count == cap.limit {
                    if let Err(at) = cap.full.binary_search(&key) {
                        cap.full.insert(at, key);
                        filled = true;
                    }
                }
            }
        }
        filled
    }

    /// The caps that have filled up, as a user writes them: `genre=3`.
    pub fn describe_full(&self) -> String {
        self.caps
            .iter()
            .filter(|cap| !cap.full.is_empty())
            .map(|cap| format!("{}={}", cap.attribute, cap.limit))
            .collect::<Vec<_>>()
            .join(", ")
    }
}
