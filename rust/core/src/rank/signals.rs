//! Numbers per row that the caller brings.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::ids::{IdMap, Ids};
use crate::select::check_kind;

use super::lists::{List, ListsCounts};
use super::model::Predict;

/// Numbers per row that the caller brings, by signal name, models that make some, and lists that bring rows too.
/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    by_name: BTreeMap<String, Arc<SignalValues>>,
    models: BTreeMap<String, Arc<dyn Predict>>,
    lists: BTreeMap<String, Arc<List>>,
    /// Whether what came is withheld, so that what is lacking is missing rather than wrong.
    withheld: bool,
}

/// The numbers of one signal. A row without one contributes 0.
#[derive(Clone, Debug)]
enum SignalValues {
    /// One per row; NaN where there is none.
    Dense(Vec<f64>),
    /// Some rows.
    Sparse(HashMap<u32, f64>),
}

impl Signals {
    /// No signals.
    pub fn new() -> Self {
        Self::default()
    }

    /// A signal with one number, or none, for each row of the source (dead rows included).
    pub fn insert_rows(
        &mut self,
        name: &str,
        rows: usize,
        values: impl IntoIterator<Item = Option<f64>>,
    ) -> Result<()> {
        let values: Vec<f64> = values
            .into_iter()
            .map(|value| match value {
                Some(value) => finite(name, value),
                None => Ok(f64::NAN),
            })
            .collect::<Result<_>>()?;
        if values.len() != rows {
            return Err(Error::invalid(
                argument(name),
                format!("{rows} numbers, one per item"),
                values.len(),
            ));
        }
        self.put(name, SignalValues::Dense(values))
    }

    /// A signal with one number, or none, for each live item, in the order of the ids that users see.
    pub fn insert_live(
        &mut self,
        name: &str,
        ids: &IdMap,
        values: impl IntoIterator<Item = Option<f64>>,
    ) -> Result<()> {
        let mut by_row = vec![f64::NAN; ids.rows_len()];
        let mut live = ids.live_rows();
        let mut count = 0;
        for value in values {
            count += 1;
            if let (Some(row), Some(value)) = (live.next(), value) {
                by_row[row as usize] = finite(name, value)?;
            }
        }
        if count != ids.len() {
            return Err(Error::invalid(
                argument(name),
                format!("{} numbers, one per item", ids.len()),
                count,
            ));
        }
        self.put(name, SignalValues::Dense(by_row))
    }

    /// A signal with numbers for some items.
    pub fn insert_ids(
        &mut self,
        name: &str,
        ids: &IdMap,
        keys: &Ids,
        values: &[f64],
    ) -> Result<()> {
        check_kind(&argument(name), ids, keys)?;
        if keys.len() != values.len() {
            return Err(Error::invalid(
                argument(name),
                format!("{} numbers, one per id", keys.len()),
                values.len(),
            ));
        }
        let mut map = HashMap::with_capacity(keys.len());
        for (i, &value) in values.iter().enumerate() {
            map.insert(ids.require(&keys.get(i))?, finite(name, value)?);
        }
        self.put(name, SignalValues::Sparse(map))
    }

    /// The values of some rows, for a replay: they were checked when they were first given.
    pub(crate) fn insert_sparse(&mut self, name: &str, values: HashMap<u32, f64>) -> Result<()> {
        for &value in values.values() {
            finite(name, value)?;
        }
        self.put(name, SignalValues::Sparse(values))
    }

    /// The model behind a signal of kind `model`.
    pub fn insert_model(&mut self, name: &str, model: Arc<dyn Predict>) -> Result<()> {
        if self.models.contains_key(name) {
            return Err(Error::invalid(
                "models",
                "each name once",
                format!("{name:?} twice"),
            ));
        }
        self.models.insert(name.to_string(), model);
        Ok(())
    }

    /// The same without the numbers that the caller brought; models and lists stay.
    pub(crate) fn withheld(&self) -> Self {
        Signals {
            by_name: BTreeMap::new(),
            models: self.models.clone(),
            lists: self.lists.clone(),
            withheld: true,
        }
    }

    /// Says that numbers are lacking because they are withheld.
    pub(crate) fn withhold(&mut self) {
        self.withheld = true;
    }

    /// Whether they are.
    pub(crate) fn are_withheld(&self) -> bool {
        self.withheld
    }

    /// A model that has been given.
    pub(crate) fn model(&self, name: &str) -> Option<&dyn Predict> {
        self.models.get(name).map(|model| &**model)
    }

    /// The names of the models, sorted.
    pub fn model_names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// The list behind a signal of kind `list`.
    pub fn insert_list(&mut self, name: &str, list: List) -> Result<()> {
        if self.lists.contains_key(name) {
            return Err(Error::invalid(
                "lists",
                "each name once",
                format!("{name:?} twice"),
            ));
        }
        self.lists.insert(name.to_string(), Arc::new(list));
        Ok(())
    }

    /// A list that has been given.
    pub(crate) fn list(&self, name: &str) -> Option<&List> {
        self.lists.get(name).map(|list| &**list)
    }

    /// The names of the lists, sorted.
    pub fn list_names(&self) -> impl Iterator<Item = &str> {
        self.lists.keys().map(String::as_str)
    }

    /// How much of each list is eligible.
    pub(crate) fn list_counts(&self, eligible: &RowSet) -> ListsCounts {
        let lists = self.lists.iter();
        lists
            .map(|(name, list)| (name.clone(), list.counts(eligible)))
            .collect()
    }

    fn put(&mut self, name: &str, values: SignalValues) -> Result<()> {
        if self.by_name.contains_key(name) {
            return Err(Error::invalid(
                "signals",
                "each name once",
                format!("{name:?} twice"),
            ));
        }
        self.by_name.insert(name.to_string(), Arc::new(values));
        Ok(())
    }

    /// The numbers of a signal that has been given.
    pub(crate) fn lookup(&self, name: &str) -> Option<SignalLookup<'_>> {
        self.by_name.get(name).map(|values| SignalLookup(values))
    }

    /// Some of them: the signals, models and lists whose names are wanted. Nothing is copied but names.
    pub(crate) fn only(
        &self,
        signal: impl Fn(&str) -> bool,
        model: impl Fn(&str) -> bool,
        list: impl Fn(&str) -> bool,
    ) -> Signals {
        fn some<V>(
            all: &BTreeMap<String, Arc<V>>,
            wanted: impl Fn(&str) -> bool,
        ) -> BTreeMap<String, Arc<V>>
        where
            V: ?Sized,
        {
            all.iter()
                .filter(|(name, _)| wanted(name))
                .map(|(name, value)| (name.clone(), Arc::clone(value)))
                .collect()
        }
        Signals {
            by_name: some(&self.by_name, signal),
            models: some(&self.models, model),
            lists: some(&self.lists, list),
            withheld: self.withheld,
        }
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

pub(super) fn argument(name: &str) -> String {
    format!("signals[{name:?}]")
}

fn finite(name: &str, value: f64) -> Result<f64> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(Error::invalid(
            argument(name),
            "finite numbers, or None for a missing one",
            value,
        ))
    }
}

/// The numbers of one request signal.
#[derive(Clone, Copy)]
pub(crate) struct SignalLookup<'a>(&'a SignalValues);

impl SignalLookup<'_> {
    /// How many rows it covers; `None` when it names some rows only.
    pub(crate) fn rows(self) -> Option<usize> {
        match self.0 {
            SignalValues::Dense(values) => Some(values.len()),
            SignalValues::Sparse(_) => None,
        }
    }

    /// NaN where there is none.
    pub(crate) fn value(self, row: u32) -> f64 {
        match self.0 {
            SignalValues::Dense(values) => values.get(row as usize).copied().unwrap_or(f64::NAN),
            SignalValues::Sparse(values) => values.get(&row).copied().unwrap_or(f64::NAN),
        }
    }
}
