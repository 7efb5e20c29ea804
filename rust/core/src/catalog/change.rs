//! Upsert and remove.

use std::collections::BTreeMap;

use super::Catalog;
use crate::column::{Column, ColumnType, Value};
use crate::error::{Error, Result};
use crate::hnsw::Hook;
use crate::ids::{Id, IdMap, Ids};
use crate::threads;

/// Calls with fewer items than this finish before anybody could interrupt them; larger ones keep a
/// copy of what they change so that an interruption can take everything back.
const INTERRUPTIBLE: usize = 1024;

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
        let count = upsert.ids.len();
        if count == 0 {
            return Ok(());
        }
        let rows = if upsert.vectors.is_empty() {
            self.ids.require_all(&upsert.ids)?
        } else {
            self.move_to_new_rows(&upsert.ids, &vectors, threads, hook)?
        };
        self.write_attributes(&rows, upsert.attributes, upsert.vectors.is_empty());
        if !upsert.vectors.is_empty() {
            for &row in &rows {
                let hash = self.item_hash(row);
                self.hash.add(hash);
            }
        }
        self.next_generation();
        self.compact_if_mostly_dead()
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
        let mut names: Vec<&str> = Vec::new();
        for (name, kind, values) in &upsert.attributes {
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
            let column = self.columns.get(name).unwrap_or(&empty);
            values
                .iter()
                .try_for_each(|value| column.check(name, value))?;
        }
        Ok(vectors)
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
        let first = self.ids.rows_len();
        let large = count >= INTERRUPTIBLE;
        let backup = large.then(|| self.spaces.clone());
        let parts = self.spaces.len();
        for (at, (space, given)) in self.spaces.iter_mut().zip(vectors).enumerate() {
            // Spaces are linked one after another; the hook sees one run over all of them.
            let share = |done: usize, _: usize| !large || hook(at * count + done, parts * count);
            let mut push = || match given {
                Some(values) => space.push(values, &share),
                // Only a call whose items are all there may leave a space out: checked before.
                None => {
                    let rows: Vec<u32> = old.iter().flatten().copied().collect();
                    space.push_copies(&rows, &share)
                }
            };
            let pushed = if threads > 1 && count >= 32 {
                threads::with_pool(threads, push)?
            } else {
                push()
            };
            if let Err(error) = pushed {
                if let Some(backup) = backup {
                    self.spaces = backup;
                }
                return Err(error);
            }
        }
        let mut rows = Vec::with_capacity(count);
        for (i, old) in old.iter().enumerate() {
            if let Some(old) = *old {
                let hash = self.item_hash(old);
                self.hash.subtract(hash);
                self.ids.kill(old);
            }
            rows.push(self.ids.push(ids.get(i)));
        }
        debug_assert_eq!(rows.first().copied(), Some(first as u32));
        for (name, column) in &mut self.columns {
            for old in &old {
                let value = old.map_or(Value::Null, |old| column.get(old));
                column
                    .push(name, value)
                    .expect("a value fits the column it came from");
            }
        }
        Ok(rows)
    }

    fn write_attributes(
        &mut self,
        rows: &[u32],
        attributes: Vec<(String, ColumnType, Vec<Value>)>,
        in_place: bool,
    ) {
        if in_place {
            for &row in rows {
                let hash = self.item_hash(row);
                self.hash.subtract(hash);
            }
        }
        let len = self.ids.rows_len();
        for (name, kind, values) in attributes {
            let column = self.columns.entry(name.clone()).or_insert_with(|| {
                let mut column = Column::new(kind);
                (0..len).for_each(|_| {
                    column
                        .push(&name, Value::Null)
                        .expect("null fits every column");
                });
                column
            });
            for (&row, value) in rows.iter().zip(values) {
                column
                    .set(&name, row, value)
                    .expect("the values were checked before");
            }
        }
        if in_place {
            for &row in rows {
                let hash = self.item_hash(row);
                self.hash.add(hash);
            }
        }
    }

    /// Takes items out; all of them must be there.
    pub fn remove(&mut self, ids: &Ids) -> Result<()> {
        self.ids.check_batch("ids", ids)?;
        let rows = self.ids.require_all(ids)?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            let hash = self.item_hash(row);
            self.hash.subtract(hash);
            self.ids.kill(row);
        }
        self.next_generation();
        self.compact_if_mostly_dead()
    }

    /// Wraps, because a file may state any generation, and what matters is that it is another one.
    fn next_generation(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// Drops dead rows once they outnumber the live ones, and builds the graphs anew.
    fn compact_if_mostly_dead(&mut self) -> Result<()> {
        let dead = self.ids.rows_len() - self.ids.len();
        if dead <= self.ids.len() {
            return Ok(());
        }
        let rows: Vec<u32> = self.ids.live_rows().collect();
        for space in &mut self.spaces {
            *space = space.keep(&rows, &|_, _| true)?;
        }
        let columns = std::mem::take(&mut self.columns);
        self.columns = columns
            .into_iter()
            .map(|(name, column)| {
                let mut kept = Column::new(column.kind());
                for &row in &rows {
                    kept.push(&name, column.get(row))?;
                }
                Ok((name, kept))
            })
            .collect::<Result<BTreeMap<_, _>>>()?;
        let ids = self.ids.live_ids();
        let live = vec![true; ids.len()];
        self.ids = IdMap::from_parts(ids, &live)?;
        Ok(())
    }

    /// Whether an id is there.
    pub fn contains(&self, id: &Id) -> bool {
        self.ids.row(id).is_some()
    }
}
