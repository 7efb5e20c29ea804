//! The users' own ids (int64 or text) and the row each of them lives in.
//!
//! Rows are never reused: removing an id leaves a dead row behind until compaction, so a row number
//! that a graph or a snapshot holds never comes to mean another item.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;

use foldhash::quality::RandomState;

use crate::eligible::RowSet;
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

impl Id {
    /// Bytes that no other id has, for content hashes.
    pub fn canonical_bytes(&self, out: &mut Vec<u8>) {
        match self {
            Id::Int(id) => {
                out.push(0);
                out.extend(id.to_le_bytes());
            }
            Id::Str(id) => {
                out.push(1);
                out.extend((id.len() as u64).to_le_bytes());
                out.extend_from_slice(id.as_bytes());
            }
        }
    }
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

/// Rows by id, in a map of the ids' own kind: a tagged key would double the memory of integers.
#[derive(Clone, Debug)]
enum Rows {
    Int(HashMap<i64, u32, RandomState>),
    Str(HashMap<Box<str>, u32, RandomState>),
}

impl Rows {
    fn with_capacity(like: &Ids, capacity: usize) -> Self {
        let state = RandomState::default();
        match like {
            Ids::Int(_) => Rows::Int(HashMap::with_capacity_and_hasher(capacity, state)),
            Ids::Str(_) => Rows::Str(HashMap::with_capacity_and_hasher(capacity, state)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Rows::Int(rows) => rows.len(),
            Rows::Str(rows) => rows.len(),
        }
    }

    fn get(&self, ids: &Ids, i: usize) -> Option<u32> {
        match (self, ids) {
            (Rows::Int(rows), Ids::Int(ids)) => rows.get(&ids[i]).copied(),
            (Rows::Str(rows), Ids::Str(ids)) => rows.get(&ids[i]).copied(),
            _ => None,
        }
    }

    /// Notes where the `i`-th id lives; returns where it lived before.
    fn insert(&mut self, ids: &Ids, i: usize, row: u32) -> Option<u32> {
        match (self, ids) {
            (Rows::Int(rows), Ids::Int(ids)) => rows.insert(ids[i], row),
            (Rows::Str(rows), Ids::Str(ids)) => rows.insert(ids[i].clone(), row),
            _ => unreachable!("the kind was checked before"),
        }
    }

    fn remove(&mut self, ids: &Ids, i: usize) {
        match (self, ids) {
            (Rows::Int(rows), Ids::Int(ids)) => rows.remove(&ids[i]),
            (Rows::Str(rows), Ids::Str(ids)) => rows.remove(&ids[i]),
            _ => None,
        };
    }
}

/// Rows by id and ids by row.
#[derive(Clone, Debug)]
pub struct IdMap {
    by_row: Ids,
    live: RowSet,
    rows: Rows,
}

impl Default for IdMap {
    fn default() -> Self {
        let by_row = Ids::Int(Vec::new());
        IdMap {
            live: RowSet::none(0),
            rows: Rows::with_capacity(&by_row, 0),
            by_row,
        }
    }
}

impl IdMap {
    /// A map without ids; the first ids that come decide whether they are integers or text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rebuilds a map from a file's columns; refuses two live rows with one id.
    pub fn from_parts(by_row: Ids, live: &[bool]) -> Result<Self> {
        if by_row.len() != live.len() || by_row.len() > u32::MAX as usize {
            return Err(Error::format(format!(
                "the id section has {} ids and {} live flags",
                by_row.len(),
                live.len()
            )));
        }
        let live = RowSet::from_flags(live);
        let mut rows = Rows::with_capacity(&by_row, live.len());
        for row in live.iter() {
            if let Some(other) = rows.insert(&by_row, row as usize, row) {
                return Err(Error::format(format!(
                    "rows {other} and {row} have the same id {}",
                    by_row.get(row as usize)
                )));
            }
        }
        Ok(IdMap { by_row, live, rows })
    }

    /// All rows ever given out, dead ones included.
    pub fn rows_len(&self) -> usize {
        self.by_row.len()
    }

    /// Live ids.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True when no id is live.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of a live id.
    pub fn row(&self, id: &Id) -> Option<u32> {
        match (&self.rows, id) {
            (Rows::Int(rows), Id::Int(id)) => rows.get(id).copied(),
            (Rows::Str(rows), Id::Str(id)) => rows.get(id).copied(),
            _ => None,
        }
    }

    /// The row of the `i`-th id of a column, when it is live.
    pub fn row_of(&self, ids: &Ids, i: usize) -> Option<u32> {
        self.rows.get(ids, i)
    }

    /// The row of a live id, or [`Error::Missing`].
    pub fn require(&self, id: &Id) -> Result<u32> {
        self.row(id).ok_or_else(|| Error::missing("id", id))
    }

    /// The rows of some live ids, or [`Error::Missing`] for the first that is not there.
    pub fn require_all(&self, ids: &Ids) -> Result<Vec<u32>> {
        (0..ids.len())
            .map(|i| {
                self.row_of(ids, i)
                    .ok_or_else(|| Error::missing("id", ids.get(i)))
            })
            .collect()
    }

    /// The id that lives, or lived, in a row.
    pub fn id(&self, row: u32) -> Id {
        self.by_row.get(row as usize)
    }

    /// Whether the row holds a live item.
    pub fn is_live(&self, row: u32) -> bool {
        self.live.contains(row)
    }

    /// The live rows.
    pub fn live(&self) -> &RowSet {
        &self.live
    }

    /// Ids by row, dead rows included.
    pub fn by_row(&self) -> &Ids {
        &self.by_row
    }

    /// The ids of some rows.
    pub fn ids_of(&self, rows: impl IntoIterator<Item = u32>) -> Ids {
        let rows = rows.into_iter();
        match &self.by_row {
            Ids::Int(ids) => Ids::Int(rows.map(|row| ids[row as usize]).collect()),
            Ids::Str(ids) => Ids::Str(rows.map(|row| ids[row as usize].clone()).collect()),
        }
    }

    /// Live ids in row order.
    pub fn live_ids(&self) -> Ids {
        self.ids_of(self.live_rows())
    }

    /// Live rows in order.
    pub fn live_rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.live.iter()
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
        let mut seen = Rows::with_capacity(ids, ids.len());
        for i in 0..ids.len() {
            if let Some(first) = seen.insert(ids, i, i as u32) {
                return Err(Error::invalid(
                    argument,
                    "each id once in a call",
                    format!("{} at positions {first} and {i}", ids.get(i)),
                ));
            }
        }
        if self.rows_len() + ids.len() > u32::MAX as usize {
            return Err(Error::invalid(
                argument,
                "at most 4294967295 rows in all",
                self.rows_len() + ids.len(),
            ));
        }
        Ok(())
    }

    /// Gives a new row to an id that is not live; the batch was checked before.
    pub fn push(&mut self, id: Id) -> u32 {
        if self.by_row.is_empty() && matches!(id, Id::Str(_)) {
            self.by_row = Ids::Str(Vec::new());
            self.rows = Rows::with_capacity(&self.by_row, 0);
        }
        let row = self.by_row.len();
        self.by_row.push(id);
        self.live.grow(row + 1);
        self.live.insert(row as u32);
        self.rows.insert(&self.by_row, row, row as u32);
        row as u32
    }

    /// Kills a row; its number is not given out again.
    pub fn kill(&mut self, row: u32) {
        if self.live.contains(row) {
            self.live.remove(row);
            self.rows.remove(&self.by_row, row as usize);
        }
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
