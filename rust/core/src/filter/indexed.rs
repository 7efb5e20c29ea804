//! The indexes of a catalog that changes, and the filters that were answered lately.
//!
//! Every write is a step with a number, and a catalog says at which step it is. An index is built when a
//! column is asked for the second time, at the step of who asks. From then on the rows that a write changes in
//! place are noted with their step: a query takes what the index says, and tests the noted rows and those
//! that were appended since one by one. So a write costs a note a row, and an index is built anew when
//! more than one row in 32 changed. Rows never move (a catalog that drops dead rows starts over).
//!
//! Versions of one catalog share all this. It says what is right for each of them: between the index and
//! a version, whichever is older, differ the rows that were noted after the older of the two, and to test
//! a row that did not change does no harm. Two versions that grew out of the same one are told apart when
//! the second is written: it finds that somebody else has taken the step, and starts over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::column::{Column, Test};

use super::bits::Bits;
use super::index::{ColumnIndex, PAGE};
use super::Kept;

/// Columns of fewer rows are scanned: that takes a microsecond.
const FEW_ROWS: usize = 2048;

/// An index is built for one question in so many, lest it be built for one alone.
const ASKED: u32 = 2;

/// Answers that are kept.
const ANSWERS: usize = 32;

/// How many rows may have changed before an index is built anew.
fn most_changed(rows: usize) -> usize {
    rows / 32 + 256
}

/// What a catalog keeps for its filters.
#[derive(Clone, Debug)]
pub struct Indexed {
    shared: Arc<Shared>,
    step: u64,
}

#[derive(Debug)]
struct Shared {
    /// No other has it.
    name: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    step: u64,
    columns: HashMap<String, Tracked>,
    answers: HashMap<Arc<str>, Answer>,
    /// Counts questions, for the answer that was not asked for longest.
    clock: u64,
}

#[derive(Debug)]
struct Answer {
    step: u64,
    used: u64,
    kept: Arc<Kept>,
}

/// A column's index and what changed.
#[derive(Debug, Default)]
struct Tracked {
    /// The last step that changed it in place.
    touched: u64,
    asked: u32,
    /// Rows changed in place, with their step, ascending: all of them after the step `since`.
    noted: Option<Vec<(u64, u32)>>,
    since: u64,
    index: Option<(u64, Arc<ColumnIndex>)>,
}

/// At which state of which catalog something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    name: u64,
    step: u64,
}

impl Default for Indexed {
    fn default() -> Self {
        static NAMES: AtomicU64 = AtomicU64::new(0);
        Indexed {
            shared: Arc::new(Shared {
                name: NAMES.fetch_add(1, Ordering::Relaxed),
                state: Mutex::default(),
            }),
            step: 0,
        }
    }
}

impl Indexed {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here is half changed when a thread panics: at worst a note is missing that nobody read.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The state that it is at.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            name: self.shared.name,
            step: self.step,
        }
    }

    /// Takes note of a write that changed some attributes of some rows in place, of none perhaps. Rows that
    /// were appended or killed need no note. `rows` is how many there are.
    pub(crate) fn wrote<'n>(
        &mut self,
        attributes: impl Iterator<Item = &'n str>,
        changed: &[u32],
        rows: usize,
    ) {
        let mut state = self.state();
        if state.step != self.step {
            drop(state);
            *self = Indexed::default();
            return;
        }
        state.step += 1;
        let step = state.step;
        for attribute in attributes {
            let tracked = match state.columns.get_mut(attribute) {
                Some(tracked) => tracked,
                None => state.columns.entry(attribute.to_owned()).or_default(),
            };
            tracked.touched = step;
            let Some(noted) = &mut tracked.noted else {
                continue;
            };
            if noted.len() + changed.len() > most_changed(rows) {
                tracked.noted = None;
                tracked.index = None;
            } else {
                noted.extend(changed.iter().map(|&row| (step, row)));
            }
        }
        drop(state);
        self.step = step;
    }

    /// The index of a column, with what changed; `None` where a scan is to be made.
    pub(crate) fn view(&self, attribute: &str, column: &Column) -> Option<View> {
        if column.len() < FEW_ROWS {
            return None;
        }
        {
            let mut state = self.state();
            let tracked = match state.columns.get_mut(attribute) {
                Some(tracked) => tracked,
                None => state.columns.entry(attribute.to_owned()).or_default(),
            };
            if let Some(view) = tracked.view(self.step, column.len()) {
                return Some(view);
            }
            // A reader of an older state scans, and leaves what serves the others.
            if self.step < tracked.touched {
                return None;
            }
            tracked.asked = tracked.asked.saturating_add(1);
            if tracked.asked < ASKED {
                return None;
            }
            // The column is as it was at `touched`, so nothing need have been noted before.
            tracked.noted = Some(Vec::new());
            tracked.since = tracked.touched;
            tracked.index = None;
        }
        // Without the lock: it takes milliseconds for a million rows.
        let index = Arc::new(ColumnIndex::build(column));
        let mut state = self.state();
        if let Some(tracked) = state.columns.get_mut(attribute) {
            let newer = tracked
                .index
                .as_ref()
                .is_none_or(|(built, _)| *built < self.step);
            if tracked.noted.is_some() && tracked.since <= self.step && newer {
                tracked.index = Some((self.step, index.clone()));
            }
        }
        Some(View {
            index,
            changed: Vec::new(),
        })
    }

    /// What was found for a key at this state.
    pub(crate) fn answer(&self, key: &str) -> Option<Arc<Kept>> {
        let mut state = self.state();
        state.clock += 1;
        let clock = state.clock;
        let answer = state.answers.get_mut(key)?;
        if answer.step != self.step {
            return None;
        }
        answer.used = clock;
        Some(answer.kept.clone())
    }

    /// Keeps what was found.
    pub(crate) fn keep(&self, key: &Arc<str>, kept: &Arc<Kept>) {
        let mut state = self.state();
        // A reader of an older state would take the place of what the next one asks for.
        if state.step != self.step {
            return;
        }
        if state.answers.len() >= ANSWERS && !state.answers.contains_key(key) {
            let oldest = state.answers.iter().min_by_key(|(_, answer)| answer.used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                state.answers.remove(&oldest);
            }
        }
        let answer = Answer {
            step: self.step,
            used: state.clock,
            kept: kept.clone(),
        };
        state.answers.insert(key.clone(), answer);
    }

    /// The attributes that have an index.
    #[cfg(test)]
    pub(crate) fn built(&self) -> Vec<String> {
        let state = self.state();
        let built = state.columns.iter();
        let mut names: Vec<String> = built
            .filter(|(_, tracked)| tracked.index.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        names.sort();
        names
    }
}

impl Tracked {
    fn view(&self, step: u64, rows: usize) -> Option<View> {
        let (built, index) = self.index.as_ref()?;
        let noted = self.noted.as_ref()?;
        let older = step.min(*built);
        if older < self.since || rows > index.rows() + most_changed(index.rows()) {
            return None;
        }
        let first = noted.partition_point(|(step, _)| *step <= older);
        let mut changed: Vec<u32> = noted[first..].iter().map(|(_, row)| *row).collect();
        changed.sort_unstable();
        changed.dedup();
        Some(View {
            index: index.clone(),
            changed,
        })
    }
}

/// An index, and the rows of which it may be wrong.
#[derive(Debug)]
pub(crate) struct View {
    index: Arc<ColumnIndex>,
    /// Ascending.
    changed: Vec<u32>,
}

impl View {
    /// The rows below `rows` that pass a test; `None` where a scan is as good.
    pub(crate) fn yes(&self, test: &Test<'_>, rows: usize) -> Option<Bits> {
        let mut dirty: Vec<usize> = self
            .changed
            .iter()
            .map(|&row| row as usize / PAGE)
            .collect();
        dirty.dedup();
        let mut found = self.index.find(test, rows, &dirty)?;
        for &row in &self.changed {
            found.set(row, test.matches(row));
        }
        if let Some(first) = self.appended(rows) {
            found.unite_words(first / 64, &test.words(first..rows));
        }
        Some(found)
    }

    /// The rows without a value.
    pub(crate) fn nulls(&self, column: &Column, rows: usize) -> Bits {
        let mut found = self.index.nulls().resized(rows);
        for &row in &self.changed {
            found.set(row, column.is_null(row));
        }
        if let Some(first) = self.appended(rows) {
            found.unite_words(first / 64, &column.null_words(first..rows));
        }
        found
    }

    /// The first row of the word in which the index ends, where there are rows beyond it.
    fn appended(&self, rows: usize) -> Option<usize> {
        let covered = self.index.rows();
        (rows > covered).then_some(covered / 64 * 64)
    }
}
