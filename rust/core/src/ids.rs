//! The users' own ids (int64 or text) and the row each of them lives in.
//!
//! Rows are never reused: removing an id leaves a dead row behind until compaction, so a row number
//! that a graph or a snapshot holds never comes to mean another item.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::quality::RandomState;

use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::scored::TieBreak;
use crate::store::{Buf, Lookup, Texts};

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

    /// The places of an id that comes twice.
    fn repeated(&self) -> Option<(usize, usize)> {
        fn of<T: Eq + Hash>(ids: impl ExactSizeIterator<Item = T>) -> Option<(usize, usize)> {
            let mut seen = HashMap::with_capacity_and_hasher(ids.len(), RandomState::default());
            ids.enumerate()
                .find_map(|(i, id)| seen.insert(id, i).map(|first| (first, i)))
        }
        match self {
            Ids::Int(ids) => of(ids.iter()),
            Ids::Str(ids) => of(ids.iter()),
        }
    }
}

/// Whether so many of the rows are dead that they are dropped: a sixteenth of the live ones. A compaction
/// copies what is live, which each removal then pays for sixteen times over: a few microseconds.
pub fn compaction_is_due(rows: usize, live: usize) -> bool {
    let dead = rows - live;
    dead > live / 16 && (dead > 8 || live == 0)
}

/// The id of every row.
#[derive(Clone, Debug)]
pub enum ByRow {
    /// Integers.
    Int(Buf<i64>),
    /// Text.
    Str(Texts),
}

impl ByRow {
    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            ByRow::Int(ids) => ids.len(),
            ByRow::Str(ids) => ids.len(),
        }
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of a row.
    pub fn get(&self, row: usize) -> Id {
        match self {
            ByRow::Int(ids) => Id::Int(ids[row]),
            ByRow::Str(ids) => Id::Str(ids.get(row).into()),
        }
    }

    /// "int" or "str", as error messages say it.
    pub fn kind(&self) -> &'static str {
        match self {
            ByRow::Int(_) => "int",
            ByRow::Str(_) => "str",
        }
    }

    fn push(&mut self, id: &Id) {
        match (self, id) {
            (ByRow::Int(ids), Id::Int(id)) => ids.push(*id),
            (ByRow::Str(ids), Id::Str(id)) => ids.push(id),
            _ => unreachable!("the kind was checked before"),
        }
    }

    fn hash(&self, state: &RandomState, row: u32) -> u64 {
        match self {
            ByRow::Int(ids) => state.hash_one(ids[row as usize]),
            ByRow::Str(ids) => state.hash_one(ids.bytes(row as usize)),
        }
    }
}

impl From<Ids> for ByRow {
    fn from(ids: Ids) -> Self {
        match ids {
            Ids::Int(ids) => ByRow::Int(ids.into()),
            Ids::Str(ids) => {
                let mut texts = Texts::default();
                ids.iter().for_each(|id| texts.push(id));
                ByRow::Str(texts)
            }
        }
    }
}

/// Rows by id and ids by row; a copy shares all of it but what changes afterwards.
#[derive(Clone, Debug)]
pub struct IdMap {
    by_row: ByRow,
    live: Arc<RowSet>,
    rows: Lookup,
    state: RandomState,
}

impl Default for IdMap {
    fn default() -> Self {
        IdMap {
            by_row: ByRow::Int(Buf::default()),
            live: Arc::new(RowSet::none(0)),
            rows: Lookup::default(),
            state: RandomState::default(),
        }
    }
}

impl IdMap {
    /// A map without ids; the first ids that come decide whether they are integers or text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rebuilds a map from a file's columns; refuses two live rows with one id.
    pub fn from_parts(by_row: impl Into<ByRow>, live: &[bool]) -> Result<Self> {
        let by_row = by_row.into();
        if by_row.len() != live.len() || by_row.len() > u32::MAX as usize {
            return Err(Error::format(format!(
                "the id section has {} ids and {} live flags",
                by_row.len(),
                live.len()
            )));
        }
        let live = RowSet::from_flags(live);
        let mut map = IdMap {
            rows: Lookup::with_capacity(live.len()),
            by_row,
            live: Arc::default(),
            state: RandomState::default(),
        };
        for row in live.iter() {
            if let Some(other) = map.insert(row) {
                return Err(Error::format(format!(
                    "rows {other} and {row} have the same id {}",
                    map.by_row.get(row as usize)
                )));
            }
        }
        map.live = Arc::new(live);
        Ok(map)
    }

    /// Makes the id of a row lead to it, unless it leads to another row, which is returned.
    fn insert(&mut self, row: u32) -> Option<u32> {
        let (by_row, state) = (&self.by_row, &self.state);
        let hash = by_row.hash(state, row);
        let is = |other: u32| match by_row {
            ByRow::Int(ids) => ids[other as usize] == ids[row as usize],
            ByRow::Str(ids) => ids.bytes(other as usize) == ids.bytes(row as usize),
        };
        let known = self.rows.find(hash, is);
        if known.is_none() {
            self.rows.insert(hash, row, |row| by_row.hash(state, row));
        }
        known
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

    fn row_of_int(&self, id: i64) -> Option<u32> {
        let ByRow::Int(ids) = &self.by_row else {
            return None;
        };
        let hash = self.state.hash_one(id);
        self.rows.find(hash, |row| ids[row as usize] == id)
    }

    fn row_of_text(&self, id: &str) -> Option<u32> {
        let ByRow::Str(ids) = &self.by_row else {
            return None;
        };
        let hash = self.state.hash_one(id.as_bytes());
        self.rows
            .find(hash, |row| ids.bytes(row as usize) == id.as_bytes())
    }

    /// The row of a live id.
    pub fn row(&self, id: &Id) -> Option<u32> {
        match id {
            Id::Int(id) => self.row_of_int(*id),
            Id::Str(id) => self.row_of_text(id),
        }
    }

    /// The row of the `i`-th id of a column, when it is live.
    pub fn row_of(&self, ids: &Ids, i: usize) -> Option<u32> {
        match ids {
            Ids::Int(ids) => self.row_of_int(ids[i]),
            Ids::Str(ids) => self.row_of_text(&ids[i]),
        }
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
    pub fn by_row(&self) -> &ByRow {
        &self.by_row
    }

    /// The ids of some rows.
    pub fn ids_of(&self, rows: impl IntoIterator<Item = u32>) -> Ids {
        let rows = rows.into_iter();
        match &self.by_row {
            ByRow::Int(ids) => Ids::Int(rows.map(|row| ids[row as usize]).collect()),
            ByRow::Str(ids) => Ids::Str(rows.map(|row| ids.get(row as usize).into()).collect()),
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
        if let Some((first, second)) = ids.repeated() {
            return Err(Error::invalid(
                argument,
                "each id once in a call",
                format!("{} at positions {first} and {second}", ids.get(second)),
            ));
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
            self.by_row = ByRow::Str(Texts::default());
        }
        let row = self.by_row.len();
        self.by_row.push(&id);
        let live = Arc::make_mut(&mut self.live);
        live.grow(row + 1);
        live.insert(row as u32);
        let known = self.insert(row as u32);
        debug_assert_eq!(known, None);
        row as u32
    }

    /// Kills a row; its number is not given out again.
    pub fn kill(&mut self, row: u32) {
        if self.live.contains(row) {
            Arc::make_mut(&mut self.live).remove(row);
            let hash = self.by_row.hash(&self.state, row);
            self.rows.remove(hash, |other| other == row);
        }
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        let ids = match &self.by_row {
            ByRow::Int(ids) => ids.heap_bytes(),
            ByRow::Str(ids) => ids.heap_bytes(),
        };
        ids + self.rows.heap_bytes() + self.rows_len() / 8
    }
}

impl TieBreak for IdMap {
    // As `rank_order`.
    #[cfg_attr(panic = "abort", inline(always))]
    fn tie(&self, a: u32, b: u32) -> Ordering {
        match &self.by_row {
            ByRow::Int(ids) => ids[a as usize].cmp(&ids[b as usize]),
            ByRow::Str(ids) => ids.bytes(a as usize).cmp(ids.bytes(b as usize)),
        }
        .then(a.cmp(&b))
    }
}
