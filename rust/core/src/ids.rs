//! The users' own ids (int64 or text) and the row each of them lives in.
//!
//! Rows are never reused: removing an id leaves a dead row behind until compaction, so a row number
//! that a graph or a snapshot holds never comes to mean another item.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;

use crate::error::{Error, Result};
use crate::scored::TieBreak;

/// One id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Id {
    /// A 64-bit integer.
    Int(i64),
    /// Text.
    Str(Box<str>),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Int(value) => write!(f, "{value}"),
            Id::Str(value) => write!(f, "{value:?}"),
        }
    }
}

/// A column of ids, all of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ids {
    /// Integers.
    Int(Vec<i64>),
    /// Text.
    Str(Vec<Box<str>>),
}

impl Ids {
    /// An empty column of the same kind.
    pub fn empty_like(&self) -> Ids {
        match self {
            Ids::Int(_) => Ids::Int(Vec::new()),
            Ids::Str(_) => Ids::Str(Vec::new()),
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Ids::Int(ids) => ids.len(),
            Ids::Str(ids) => ids.len(),
        }
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `i`-th id.
    pub fn get(&self, i: usize) -> Id {
        match self {
            Ids::Int(ids) => Id::Int(ids[i]),
            Ids::Str(ids) => Id::Str(ids[i].clone()),
        }
    }

    /// "int" or "str", as error messages say it.
    pub fn kind(&self) -> &'static str {
        match self {
            Ids::Int(_) => "int",
            Ids::Str(_) => "str",
        }
    }

    fn push(&mut self, id: Id) {
        match (self, id) {
            (Ids::Int(ids), Id::Int(id)) => ids.push(id),
            (Ids::Str(ids), Id::Str(id)) => ids.push(id),
            _ => unreachable!("the kind was checked before"),
        }
    }
}

/// Rows by id and ids by row.
#[derive(Clone, Debug)]
pub struct IdMap {
    by_row: Ids,
    live: Vec<bool>,
    rows: HashMap<Id, u32>,
}

impl Default for IdMap {
    fn default() -> Self {
        IdMap {
            by_row: Ids::Int(Vec::new()),
            live: Vec::new(),
            rows: HashMap::new(),
        }
    }
}

impl IdMap {
    /// A map without ids; the first ids that come decide whether they are integers or text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rebuilds a map from a file's columns; refuses two live rows with one id.
    pub fn from_parts(by_row: Ids, live: Vec<bool>) -> Result<Self> {
        if by_row.len() != live.len() || by_row.len() > u32::MAX as usize {
            return Err(Error::format(format!(
                "the id section has {} ids and {} live flags",
                by_row.len(),
                live.len()
            )));
        }
        let mut rows = HashMap::with_capacity(by_row.len());
        for (row, _) in live.iter().enumerate().filter(|(_, live)| **live) {
            let id = by_row.get(row);
            if let Some(other) = rows.insert(id, row as u32) {
                return Err(Error::format(format!(
                    "rows {other} and {row} have the same id {}",
                    by_row.get(row)
                )));
            }
        }
        Ok(IdMap { by_row, live, rows })
    }

    /// All rows ever given out, dead ones included.
    pub fn rows_len(&self) -> usize {
        self.live.len()
    }

    /// Live ids.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True when no id is live.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of a live id.
    pub fn row(&self, id: &Id) -> Option<u32> {
        self.rows.get(id).copied()
    }

    /// The row of a live id, or [`Error::Missing`].
    pub fn require(&self, id: &Id) -> Result<u32> {
        self.row(id).ok_or_else(|| Error::missing("id", id))
    }

    /// The id that lives, or lived, in a row.
    pub fn id(&self, row: u32) -> Id {
        self.by_row.get(row as usize)
    }

    /// Whether the row holds a live item.
    pub fn is_live(&self, row: u32) -> bool {
        self.live.get(row as usize).copied().unwrap_or(false)
    }

    /// Live flags by row.
    pub fn live(&self) -> &[bool] {
        &self.live
    }

    /// Ids by row, dead rows included.
    pub fn by_row(&self) -> &Ids {
        &self.by_row
    }

    /// The ids of some rows.
    pub fn ids_of(&self, rows: impl IntoIterator<Item = u32>) -> Ids {
        let mut out = self.by_row.empty_like();
        rows.into_iter().for_each(|row| out.push(self.id(row)));
        out
    }

    /// Live ids in row order.
    pub fn live_ids(&self) -> Ids {
        self.ids_of(self.live_rows())
    }

    /// Live rows in order.
    pub fn live_rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.live
            .iter()
            .enumerate()
            .filter(|(_, live)| **live)
            .map(|(row, _)| row as u32)
    }

    /// Refuses ids of the other kind than those already here, and an id that comes twice.
    pub fn check_batch(&self, argument: &str, ids: &Ids) -> Result<()> {
        if !self.by_row.is_empty() && !ids.is_empty() && self.by_row.kind() != ids.kind() {
            return Err(Error::wrong_type(
                argument,
                format!("{} ids, as the ones already here", self.by_row.kind()),
                ids.kind(),
            ));
        }
        let mut seen = HashMap::with_capacity(ids.len());
        for i in 0..ids.len() {
            let id = ids.get(i);
            if let Some(first) = seen.insert(id, i) {
                return Err(Error::invalid(
                    argument,
                    "each id once in a call",
                    format!("{} at positions {first} and {i}", ids.get(i)),
                ));
            }
        }
        if self.live.len() + ids.len() > u32::MAX as usize {
            return Err(Error::invalid(
                argument,
                "at most 4294967295 rows in all",
                self.live.len() + ids.len(),
            ));
        }
        Ok(())
    }

    /// Gives a new row to an id that is not live; the batch was checked before.
    pub fn push(&mut self, id: Id) -> u32 {
        if self.by_row.is_empty() && matches!(id, Id::Str(_)) {
            self.by_row = Ids::Str(Vec::new());
        }
        let row = self.live.len() as u32;
        self.by_row.push(id.clone());
        self.live.push(true);
        self.rows.insert(id, row);
        row
    }

    /// Kills a row; its number is not given out again.
    pub fn kill(&mut self, row: u32) {
        if std::mem::replace(&mut self.live[row as usize], false) {
            self.rows.remove(&self.by_row.get(row as usize));
        }
    }

    /// Takes back the rows from `len` on: the undo of an interrupted insertion.
    pub fn truncate(&mut self, len: usize) {
        for row in len..self.live.len() {
            self.kill(row as u32);
        }
        self.live.truncate(len);
        match &mut self.by_row {
            Ids::Int(ids) => ids.truncate(len),
            Ids::Str(ids) => ids.truncate(len),
        }
    }

    /// Makes a dead row live again: the undo of [`IdMap::kill`].
    pub fn revive(&mut self, row: u32) {
        self.live[row as usize] = true;
        self.rows.insert(self.by_row.get(row as usize), row);
    }
}

impl TieBreak for IdMap {
    fn tie(&self, a: u32, b: u32) -> Ordering {
        match &self.by_row {
            Ids::Int(ids) => ids[a as usize].cmp(&ids[b as usize]),
            Ids::Str(ids) => ids[a as usize].cmp(&ids[b as usize]),
        }
        .then(a.cmp(&b))
    }
}
