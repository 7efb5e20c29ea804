//! The items: ids, one or more spaces, typed attributes, a generation and a content hash.
//!
//! Rows are append-only. An item whose vectors change moves to a new row and leaves a dead one
//! behind; an item whose attributes alone change stays where it is and no graph is touched. When a
//! sixteenth of the rows are dead, they are dropped (`compact`).
//!
//! A catalog is a value: a copy costs a few references, shares everything, and the two may change apart
//! (`store::{Buf, Paged}`). `live::Live` makes of that one catalog that is read while it changes.

mod bulk;
#[cfg(test)]
mod bulk_tests;
mod change;
mod file;
mod hash;
mod source;
#[cfg(test)]
mod tests;

pub use bulk::{Bulk, Piece};
pub use change::Upsert;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::column::{Column, ColumnType, Value};
use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::filter::{Filter, Indexed, Kept};
use crate::ids::{IdMap, Ids};
use crate::index::Answers;
use crate::rank::{Source, SpaceInfo};
use crate::select::{select_some, Where};
use crate::threads;
use crate::vectors::{Ask, Spec, Vectors};

use hash::ContentHash;

/// The items of one service.
#[derive(Clone, Debug)]
pub struct Catalog {
    infos: Arc<[SpaceInfo]>,
    spaces: Vec<Arc<Vectors>>,
    ids: Arc<IdMap>,
    columns: BTreeMap<Arc<str>, Arc<Column>>,
    generation: u64,
    hash: ContentHash,
    /// Whether the hash goes back to what a file says of itself, which nobody has compared with its items.
    hash_is_told: bool,
    indexed: Indexed,
}

/// One item, read back.
#[derive(Clone, Debug)]
pub struct Item {
    /// The stored vector of each space, in the catalog's order of spaces.
    pub vectors: Vec<Vec<f32>>,
    /// Attributes by name.
    pub attributes: Vec<(String, Value)>,
}

impl Catalog {
    /// A catalog without items. Spaces have distinct names of at least one character.
    pub fn new(spaces: Vec<(String, Spec)>) -> Result<Self> {
        if spaces.is_empty() {
            return Err(Error::invalid("spaces", "at least one space", "none"));
        }
        let mut infos: Vec<SpaceInfo> = Vec::with_capacity(spaces.len());
        let mut vectors = Vec::with_capacity(spaces.len());
        for (name, spec) in spaces {
            if name.is_empty() || infos.iter().any(|info| info.name == name) {
                return Err(Error::invalid(
                    "spaces",
                    "distinct names of at least one character",
                    format!("{name:?}"),
                ));
            }
            infos.push(SpaceInfo {
                name,
                dim: spec.dim,
                metric: spec.metric,
            });
            vectors.push(Arc::new(Vectors::new(spec)?));
        }
        Ok(Catalog {
            infos: infos.into(),
            spaces: vectors,
            ids: Arc::default(),
            columns: BTreeMap::new(),
            generation: 0,
            hash: ContentHash::default(),
            hash_is_told: false,
            indexed: Indexed::default(),
        })
    }

    /// Live items.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True when there is no item.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Ids and rows.
    pub fn id_map(&self) -> &IdMap {
        &self.ids
    }

    /// Names and descriptions of the spaces.
    pub fn specs(&self) -> impl Iterator<Item = (&str, &Spec)> {
        self.infos
            .iter()
            .zip(&self.spaces)
            .map(|(info, space)| (&*info.name, space.spec()))
    }

    /// Names and types of the attributes, by name.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, ColumnType)> {
        self.columns
            .iter()
            .map(|(name, column)| (&**name, column.kind()))
    }

    /// The number of a space.
    pub fn space(&self, name: &str) -> Result<usize> {
        self.infos
            .iter()
            .position(|info| info.name == name)
            .ok_or_else(|| Error::missing("space", format!("{name:?}")))
    }

    /// One space's vectors and graph.
    pub fn vectors(&self, space: usize) -> &Vectors {
        &self.spaces[space]
    }

    /// The items of some ids.
    pub fn get(&self, ids: &Ids) -> Result<Vec<Item>> {
        (0..ids.len())
            .map(|i| {
                let row = self.ids.require(&ids.get(i))?;
                let vector = |space: &Arc<Vectors>| {
                    let mut vector = vec![0.0; space.spec().dim];
                    space.get(row, &mut vector);
                    vector
                };
                Ok(Item {
                    vectors: self.spaces.iter().map(vector).collect(),
                    attributes: self
                        .columns
                        .iter()
                        .map(|(name, column)| (name.to_string(), column.get(row)))
                        .collect(),
                })
            })
            .collect()
    }

    /// The live rows that a filter and an exclusion leave; `None` when that is every row.
    pub fn eligible(&self, filter: Where<'_>, exclude: Option<&Ids>) -> Result<Option<RowSet>> {
        select_some(&self.ids, "where", filter, exclude)
    }

    /// Searches one space with each of some queries.
    pub fn search(
        &self,
        space: usize,
        queries: &[f32],
        ask: Ask<'_>,
        num_threads: i64,
    ) -> Result<Vec<Answers>> {
        let threads = threads::resolve("num_threads", num_threads)?;
        ask.check()?;
        let vectors = &self.spaces[space];
        vectors.store().check("queries", queries)?;
        let queries: Vec<&[f32]> = queries.chunks_exact(vectors.store().dim()).collect();
        threads::map(
            threads,
            &queries,
            || (),
            |(), query| vectors.search(query, ask, &*self.ids),
        )
    }

    /// Searches one space with each of some queries, each in a way of its own: among rows of its own, say.
    pub fn search_each(
        &self,
        space: usize,
        queries: &[f32],
        asks: &[Ask<'_>],
        num_threads: i64,
    ) -> Result<Vec<Answers>> {
        let threads = threads::resolve("num_threads", num_threads)?;
        let vectors = &self.spaces[space];
        vectors.search_each(queries, asks, threads, &*self.ids)
    }

    /// The live rows that a filter keeps.
    pub fn filter(&self, filter: &Filter) -> Result<Arc<Kept>> {
        let source: &dyn Source = self;
        filter.compile(source, "where")
    }

    /// Heap bytes of vectors and graphs.
    pub fn heap_bytes(&self) -> usize {
        self.spaces.iter().map(|space| space.bytes().total()).sum()
    }
}
