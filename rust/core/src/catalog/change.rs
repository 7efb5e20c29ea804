//! Upsert and remove.

use std::sync::Arc;

use super::Catalog;
use crate::column::{Column, ColumnType, Value};
use crate::error::{Error, Result};
use crate::filter::Indexed;
use crate::hnsw::Hook;
use crate::ids::{compaction_is_due, Id, IdMap, Ids};
use crate::threads;

/// What to write for some ids.
#[derive(Clone, Debug)]
pub struct Upsert {
    /// The items, each once.
    pub ids: Ids,
    /// Vectors by space name, `ids.len() x dim` numbers each. Items that are new need every space.
    pub vectors: Vec<(String, Vec<f32>)>,
    /// Values by attribute name, one an item. Attributes that are not named keep their values.
    pub attributes: Vec<(String, ColumnType, Vec<Value>)>,
}

impl Catalog {
    /// Inserts items and changes items. All or nothing: after an error or an interruption the catalog
    /// is what it was.
    pub fn upsert(&mut self, upsert: Upsert, num_threads: i64, hook: Hook<'_>) -> Result<()> {
        let threads = threads::resolve("num_threads", num_threads)?;
        let vectors = self.check(&upsert)?;
        if upsert.ids.is_empty() {
            return Ok(());
        }
        // A copy shares everything: undoing is going back to it.
        let before = self.clone();
        let done = self.write(&upsert, &vectors, threads, hook);
        if done.is_err() {
            *self = before;
        }
        done
    }

    /// Writes a checked upsert; after an error only a part of it may be there.
    fn write(
        &mut self,
        upsert: &Upsert,
        vectors: &[Option<&[f32]>],
        threads: usize,
        hook: Hook<'_>,
    ) -> Result<()> {
        let rows = if upsert.vectors.is_empty() {
            self.ids.require_all(&upsert.ids)?
        } else {
            self.move_to_new_rows(&upsert.ids, vectors, threads, hook)?
        };
        self.write_attributes(&rows, &upsert.attributes)?;
        self.next_generation();
        let in_place = upsert.vectors.is_empty();
        let names = upsert.attributes.iter().map(|(name, ..)| &**name);
        let names = names.filter(|_| in_place);
        self.indexed.wrote(names, &rows, self.ids.rows_len());
        self.compact_if_due()
    }

    /// Everything that can be wrong with an upsert is found here, before anything is changed. Returns
    /// the vectors in the order of the spaces.
    fn check<'u>(&self, upsert: &'u Upsert) -> Result<Vec<Option<&'u [f32]>>> {
        let count = upsert.ids.len();
        self.ids.check_batch("ids", &upsert.ids)?;
        let mut vectors: Vec<Option<&[f32]>> = vec![None; self.spaces.len()];
        for (name, values) in &upsert.vectors {
            let argument = format!("vectors[{name:?}]");
            let Some(space) = self.infos.iter().position(|info| info.name == *name) else {
                let known: Vec<&str> = self.infos.iter().map(|info| &*info.name).collect();
                let expected = format!("one of the spaces {known:?}");
                return Err(Error::invalid("vectors", expected, format!("{name:?}")));
            };
            let dim = self.infos[space].dim;
            self.spaces[space].check(&argument, values)?;
            if values.len() != count * dim {
                return Err(Error::invalid(
                    argument,
                    format!("{count} rows, one an id"),
                    values.len() / dim,
                ));
            }
            if vectors[space].replace(values).is_some() {
                return Err(Error::invalid(
                    "vectors",
                    "each space once",
                    format!("{name:?}"),
                ));
            }
        }
        let missing = vectors.iter().position(Option::is_none);
        // A call without any vectors changes attributes; an unknown id is then simply not there.
        if let Some(missing) = missing.filter(|_| !upsert.vectors.is_empty()) {
            let new = (0..count)
                .map(|i| upsert.ids.get(i))
                .find(|id| self.ids.row(id).is_none());
            if let Some(id) = new {
                return Err(Error::invalid(
                    "vectors",
                    format!(
                        "vectors of every space for new items, also {:?}",
                        self.infos[missing].name
                    ),
                    format!("none, and {id} is new"),
                ));
            }
        }
        self.check_attributes(count, &upsert.attributes)?;
        Ok(vectors)
    }

    /// Refuses attribute values that could not be written.
    pub(super) fn check_attributes(
        &self,
        count: usize,
        attributes: &[(String, ColumnType, Vec<Value>)],
    ) -> Result<()> {
        let mut names: Vec<&str> = Vec::new();
        for (name, kind, values) in attributes {
            let argument = format!("attributes[{name:?}]");
            if name.is_empty() || names.contains(&&**name) {
                return Err(Error::invalid(
                    "attributes",
                    "distinct names",
                    format!("{name:?}"),
                ));
            }
            names.push(name);
            if values.len() != count {
                return Err(Error::invalid(
                    argument,
                    format!("{count} values, one an id"),
                    values.len(),
                ));
            }
            let empty = Column::new(*kind);
            let column = self.columns.get(&**name).map_or(&empty, |column| &**column);
            values
                .iter()
                .try_for_each(|value| column.check(name, value))?;
        }
        Ok(())
    }

    /// Gives every item of the call a new row with its new vectors (old ones where a space is not
    /// named), copies its attributes over, and kills its old row.
    fn move_to_new_rows(
        &mut self,
        ids: &Ids,
        vectors: &[Option<&[f32]>],
        threads: usize,
        hook: Hook<'_>,
    ) -> Result<Vec<u32>> {
        let count = ids.len();
        let old: Vec<Option<u32>> = (0..count).map(|i| self.ids.row_of(ids, i)).collect();
        let leaving: Vec<u32> = old.iter().flatten().copied().collect();
        self.take_out(&leaving, threads)?;
        let first = self.ids.rows_len();
        let parts = self.spaces.len();
        for (at, (space, given)) in self.spaces.iter_mut().zip(vectors).enumerate() {
            // Spaces are linked one after another; the hook sees one run over all of them.
            let share = |done: usize, _: usize| hook(at * count + done, parts * count);
            let space = Arc::make_mut(space);
            let mut push = || match given {
                Some(values) => space.push(values, &share),
                // Only a call whose items are all there may leave a space out: checked before.
                None => space.push_copies(&leaving, &share),
            };
            if threads > 1 && count >= 32 {
                threads::with_pool(threads, push)??;
            } else {
                push()?;
            }
        }
        let mut rows = Vec::with_capacity(count);
        for (i, old) in old.iter().enumerate() {
            if let Some(old) = *old {
                let hash = self.vectors_hash(old);
                self.hash.subtract(hash);
                Arc::make_mut(&mut self.ids).kill(old);
            }
            let row = Arc::make_mut(&mut self.ids).push(ids.get(i));
            let hash = self.vectors_hash(row);
            self.hash.add(hash);
            rows.push(row);
        }
        debug_assert_eq!(rows.first().copied(), Some(first as u32));
        self.carry_attributes(&rows, &old)?;
        Ok(rows)
    }

    /// Gives new rows, the last ones, the attributes of the old rows of their items; nulls to items that are new.
    pub(super) fn carry_attributes(&mut self, rows: &[u32], old: &[Option<u32>]) -> Result<()> {
        for (name, column) in &mut self.columns {
            let column = Arc::make_mut(column);
            column.grow(rows.len());
            for (&row, old) in rows.iter().zip(old) {
                if let Some(old) = old {
                    column.set(name, row, column.get(*old))?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn write_attributes(
        &mut self,
        rows: &[u32],
        attributes: &[(String, ColumnType, Vec<Value>)],
    ) -> Result<()> {
        let mut bytes = Vec::new();
        for (name, kind, values) in attributes {
            let known = self.columns.remove(&**name);
            let mut column = known.unwrap_or_else(|| {
                let mut column = Column::new(*kind);
                column.grow(self.ids.rows_len());
                Arc::new(column)
            });
            let own = Arc::make_mut(&mut column);
            for (&row, value) in rows.iter().zip(values) {
                if let Some(fact) = self.value_hash(row, name, own, &mut bytes) {
                    self.hash.subtract(fact);
                }
                own.set(name, row, value.clone())?;
                if let Some(fact) = self.value_hash(row, name, own, &mut bytes) {
                    self.hash.add(fact);
                }
            }
            self.columns.insert(name.as_str().into(), column);
        }
        Ok(())
    }

    /// Takes items out; all of them must be there.
    pub fn remove(&mut self, ids: &Ids) -> Result<()> {
        self.ids.check_batch("ids", ids)?;
        let rows = self.ids.require_all(ids)?;
        if rows.is_empty() {
            return Ok(());
        }
        self.take_out(&rows, 1)?;
        for row in rows {
            let facts = self.facts(row);
            facts.into_iter().for_each(|fact| self.hash.subtract(fact));
            Arc::make_mut(&mut self.ids).kill(row);
        }
        self.next_generation();
        self.indexed
            .wrote(std::iter::empty(), &[], self.ids.rows_len());
        self.compact_if_due()
    }

    /// Takes rows out of the graphs.
    pub(super) fn take_out(&mut self, rows: &[u32], threads: usize) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        for space in &mut self.spaces {
            let space = Arc::make_mut(space);
            if threads > 1 {
                threads::with_pool(threads, || space.take_out(rows))?;
            } else {
                space.take_out(rows);
            }
        }
        Ok(())
    }

    /// Drops the rows that replaced and removed items left behind, and every byte that only they had. What is
    /// left is in memory of its own.
    pub fn compact(&mut self) -> Result<()> {
        let rows: Vec<u32> = self.ids.live_rows().collect();
        for space in &mut self.spaces {
            *space = Arc::new(space.keep(&rows));
        }
        for column in self.columns.values_mut() {
            *column = Arc::new(column.keep(&rows));
        }
        let ids = self.ids.live_ids();
        let live = vec![true; ids.len()];
        self.ids = Arc::new(IdMap::from_parts(ids, &live)?);
        self.indexed = Indexed::default();
        Ok(())
    }

    /// Wraps, because a file may state any generation, and what matters is that it is another one.
    pub(super) fn next_generation(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// Drops dead rows when there are too many beside the live ones.
    pub(super) fn compact_if_due(&mut self) -> Result<()> {
        if compaction_is_due(self.ids.rows_len(), self.ids.len()) {
            self.compact()?;
        }
        Ok(())
    }

    /// Whether an id is there.
    pub fn contains(&self, id: &Id) -> bool {
        self.ids.row(id).is_some()
    }
}
