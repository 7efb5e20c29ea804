//! A change that arrives in pieces: a stream of any length in the memory of the catalog and one piece.
//!
//! Pieces are stored as they come and linked once, at the end: a graph built in bulk costs half of one that grows by
//! the piece, and it is the graph that one upsert of everything would have made, link for link. The catalog goes in
//! and comes out by value, so a stream that breaks off leaves nothing half done: who had the catalog before still has
//! it, and what was begun is dropped.
//!
//! Every id comes once in the whole stream, whatever piece it is in: a row that this change made, or an item that it
//! touched, is the mark of an earlier one.

use std::sync::Arc;

use super::Catalog;
use crate::column::{ColumnType, Value};
use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::filter::Indexed;
use crate::hnsw::Hook;
use crate::ids::Ids;
use crate::threads;
use crate::vectors::{Layout, Numbers, Vectors};

/// Some rows of a stream.
#[derive(Clone, Debug)]
pub struct Piece<'a> {
    /// The items.
    pub ids: Ids,
    /// Vectors of the spaces that the change names, in that order.
    pub vectors: Vec<Numbers<'a>>,
    /// Values by attribute name, one an item. Attributes that are not named keep their values.
    pub attributes: Vec<(String, ColumnType, Vec<Value>)>,
}

/// A catalog while a stream goes in.
#[derive(Debug)]
pub struct Bulk {
    catalog: Catalog,
    /// By space: where a piece has its vectors, if it has.
    given: Vec<Option<usize>>,
    /// Rows before the change.
    first: usize,
    /// Items that came, and items of the stream that earlier changes took.
    count: usize,
    earlier: usize,
    /// Rows that the change replaces.
    leaving: Vec<u32>,
    /// Without spaces: the rows whose attributes were written, in place.
    written: RowSet,
}

impl Bulk {
    /// Begins a change of these spaces; none for one of attributes alone.
    pub fn new(catalog: Catalog, spaces: &[String]) -> Result<Self> {
        let mut given = vec![None; catalog.spaces.len()];
        for (at, name) in spaces.iter().enumerate() {
            let Some(space) = catalog.infos.iter().position(|info| info.name == *name) else {
                let known: Vec<&str> = catalog.infos.iter().map(|info| &*info.name).collect();
                let expected = format!("some of the spaces {known:?}");
                return Err(Error::invalid("spaces", expected, format!("{name:?}")));
            };
            if given[space].replace(at).is_some() {
                let got = format!("{name:?}");
                return Err(Error::invalid("spaces", "each space once", got));
            }
        }
        Ok(Bulk {
            given,
            first: catalog.ids.rows_len(),
            count: 0,
            earlier: 0,
            leaving: Vec::new(),
            written: RowSet::none(catalog.ids.rows_len()),
            catalog,
        })
    }

    /// Errors count items from here on, where earlier changes took that many of the stream.
    pub fn starting_at(mut self, earlier: usize) -> Self {
        self.earlier = earlier;
        self
    }

    /// Items that came.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True when none came.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How often a row counts in what a hook hears of the whole change: once as it comes, and once for each space
    /// that may get links.
    pub fn weight(&self) -> usize {
        let spaces = self.catalog.spaces.iter();
        1 + spaces.filter(|space| self.links(space)).count()
    }

    /// Takes the next rows. After an error the change cannot go on.
    pub fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        let rows = piece.ids.len();
        if rows == 0 {
            return Ok(());
        }
        self.check(&piece)?;
        let touched = if self.moves() {
            self.append(&piece)?
        } else {
            self.find(&piece.ids)?
        };
        self.catalog.write_attributes(&touched, &piece.attributes)?;
        self.count += rows;
        Ok(())
    }

    /// Links what came. The hook hears of rows linked, space after space.
    pub fn finish(mut self, num_threads: i64, hook: Hook<'_>) -> Result<Catalog> {
        let threads = threads::resolve("num_threads", num_threads)?;
        if self.count == 0 {
            return Ok(self.catalog);
        }
        let (count, total) = (self.count, (self.weight() - 1) * self.count);
        let counts: Vec<bool> = self.catalog.spaces.iter().map(|s| self.links(s)).collect();
        let moves = self.moves();
        let catalog = &mut self.catalog;
        // As one upsert does it: first out of the graphs with what leaves, then in with what is new.
        catalog.take_out(&self.leaving, threads)?;
        let mut before = 0;
        for (space, counts) in catalog.spaces.iter_mut().zip(counts) {
            if !moves {
                continue;
            }
            let space = Arc::make_mut(space);
            let share = |done: usize, _: usize| !counts || hook(before + done, total);
            let mut link = || space.link_appended(&share);
            if threads > 1 && count >= 32 {
                threads::with_pool(threads, link)??;
            } else {
                link()?;
            }
            before += if counts { count } else { 0 };
        }
        // Too many rows changed for the indexes to be told of each.
        catalog.indexed = Indexed::default();
        catalog.next_generation();
        catalog.compact_if_due()?;
        Ok(self.catalog)
    }

    /// Whether items get new rows.
    fn moves(&self) -> bool {
        self.given.iter().any(Option::is_some)
    }

    /// Whether a space may get links.
    fn links(&self, space: &Vectors) -> bool {
        self.moves() && space.spec().layout != Layout::Exact
    }

    /// The place in the stream of the next piece's first row.
    fn place(&self) -> usize {
        self.earlier + self.count
    }

    fn check(&self, piece: &Piece<'_>) -> Result<()> {
        let (catalog, count) = (&self.catalog, piece.ids.len());
        let kind = catalog.ids.by_row().kind();
        if catalog.ids.rows_len() > 0 && kind != piece.ids.kind() {
            let expected = format!("{kind} ids, as the ones already here");
            return Err(Error::wrong_type("id", expected, piece.ids.kind()));
        }
        if catalog.ids.rows_len() + count > u32::MAX as usize {
            let got = catalog.ids.rows_len() + count;
            return Err(Error::invalid("id", "at most 4294967295 rows in all", got));
        }
        for (space, given) in self.given.iter().enumerate() {
            let Some(given) = given.map(|at| &piece.vectors[at]) else {
                continue;
            };
            let argument = format!("spaces[{:?}]", catalog.infos[space].name);
            catalog.spaces[space].check_numbers(&argument, given, self.place())?;
            let rows = given.len() / catalog.infos[space].dim;
            if rows != count {
                return Err(Error::invalid(
                    argument,
                    format!("{count} rows, one an id"),
                    rows,
                ));
            }
        }
        catalog.check_attributes(count, &piece.attributes)
    }

    /// New rows with the piece's vectors, and old ones of spaces that the change leaves alone.
    fn append(&mut self, piece: &Piece<'_>) -> Result<Vec<u32>> {
        let catalog = &mut self.catalog;
        let count = piece.ids.len();
        let ids = Arc::make_mut(&mut catalog.ids);
        let mut old = Vec::with_capacity(count);
        let mut rows = Vec::with_capacity(count);
        for i in 0..count {
            let row = ids.row_of(&piece.ids, i);
            if let Some(row) = row {
                if row as usize >= self.first {
                    let (one, two) = (row as usize - self.first, self.count + i);
                    let (one, two) = (self.earlier + one, self.earlier + two);
                    let got = format!("{} at positions {one} and {two}", piece.ids.get(i));
                    return Err(Error::invalid("id", "each id once in a change", got));
                }
                ids.kill(row);
            } else if let Some(missing) = self.given.iter().position(Option::is_none) {
                let name = &catalog.infos[missing].name;
                return Err(Error::invalid(
                    "spaces",
                    format!("vectors of every space for new items, also {name:?}"),
                    format!("none, and {} is new", piece.ids.get(i)),
                ));
            }
            old.push(row);
            rows.push(ids.push(piece.ids.get(i)));
        }
        let leaving: Vec<u32> = old.iter().flatten().copied().collect();
        for (space, given) in catalog.spaces.iter_mut().zip(&self.given) {
            let space = Arc::make_mut(space);
            match given {
                Some(at) => space.append_unlinked(&piece.vectors[*at]),
                // All of the items are there: checked above.
                None => space.append_copies_unlinked(&leaving),
            }
        }
        for &row in &leaving {
            let hash = catalog.vectors_hash(row);
            catalog.hash.subtract(hash);
        }
        for &row in &rows {
            let hash = catalog.vectors_hash(row);
            catalog.hash.add(hash);
        }
        catalog.carry_attributes(&rows, &old)?;
        self.leaving.extend(leaving);
        Ok(rows)
    }

    /// The rows of items that are there, each touched once.
    fn find(&mut self, ids: &Ids) -> Result<Vec<u32>> {
        let rows = self.catalog.ids.require_all(ids)?;
        for (i, &row) in rows.iter().enumerate() {
            if self.written.contains(row) {
                let got = format!("{} again at position {}", ids.get(i), self.place() + i);
                return Err(Error::invalid("id", "each id once in a change", got));
            }
            self.written.insert(row);
        }
        Ok(rows)
    }
}
