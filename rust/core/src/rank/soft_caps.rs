//! Soft caps: more than so many items of a slate may share a value of an attribute, at a price.
//!
//! With `n` items above that share a value and a limit of `l`, one more of that value costs `penalty` times
//! `n + 1 - l` where that is more than 0: the first one beyond costs one penalty, the next one two. Of a
//! list-valued attribute the costs of all values add up, and so do those of several soft caps. The cost is
//! taken from what diversity says an entry is worth; nothing becomes ineligible, and scores stay as they are.
//!
//! This goes around any [`Diversity`] and keeps its choice lazy. What an entry costs is the same for all
//! entries of the same costs, so the best of each such class is the inner objective's own best of a part of
//! what is open; classes whose cost is more than they could make up for are not looked at, and where the best
//! of all costs nothing, it is the answer. Two values that differ may be equal once the cost is taken off and
//! the difference is rounded; then the entry that comes first in `open` goes first, so the members before
//! the best one are asked again until none of them is as good. The result is the eager one, bit for bit.

use std::collections::{BTreeMap, HashMap};

use crate::column::Column;
use crate::error::Result;

use super::caps::{counted_column, CapSpec};
use super::diversity::Diversity;
use super::source::Source;

/// An objective with what too much of one thing costs.
struct SoftCaps<'a> {
    inner: Box<dyn Diversity + 'a>,
    caps: Vec<Cap<'a>>,
}

struct Cap<'a> {
    column: &'a Column,
    limit: i64,
    penalty: f64,
    /// Keys of the column's values, numbered as they come.
    numbers: HashMap<u64, u32>,
    /// By number: how many chosen entries have the value.
    counts: Vec<i64>,
    /// Some count has reached the limit.
    reached: bool,
    /// The numbers of all pool entries, and where each entry's end.
    values: Vec<u32>,
    ends: Vec<usize>,
}

impl Cap<'_> {
    fn values_of(&self, entry: u32) -> &[u32] {
        let entry = entry as usize;
        let start = if entry == 0 { 0 } else { self.ends[entry - 1] };
        &self.values[start..self.ends[entry]]
    }

    fn extend(&mut self, rows: &[u32]) {
        let mut keys = Vec::new();
        for &row in rows {
            keys.clear();
            self.column.keys(row, &mut keys);
            for &key in &keys {
                let next = self.counts.len() as u32;
                let number = *self.numbers.entry(key).or_insert(next);
                if number == next {
                    self.counts.push(0);
                }
                self.values.push(number);
            }
            self.ends.push(self.values.len());
        }
    }

    fn cost(&self, entry: u32) -> f64 {
        if !self.reached {
            return 0.0;
        }
        let beyond = |&value: &u32| (self.counts[value as usize] + 1 - self.limit).max(0);
        // One multiplication of a whole number: the order of a list's values does not matter.
        self.penalty * self.values_of(entry).iter().map(beyond).sum::<i64>() as f64
    }

    fn take(&mut self, entry: u32) {
        let start = if entry == 0 {
            0
        } else {
            self.ends[entry as usize - 1]
        };
        for &value in &self.values[start..self.ends[entry as usize]] {
            self.counts[value as usize] += 1;
            self.reached |= self.counts[value as usize] >= self.limit;
        }
    }
}

/// Puts the soft ones of some caps around an objective; the objective itself where there are none.
pub(super) fn around<'a>(
    inner: Box<dyn Diversity + 'a>,
    source: &'a dyn Source,
    specs: &BTreeMap<String, CapSpec>,
) -> Result<Box<dyn Diversity + 'a>> {
    let mut caps = Vec::new();
    for (attribute, spec) in specs {
        if let CapSpec::Soft(soft) = spec {
            caps.push(Cap {
                column: counted_column(source, attribute)?,
                limit: soft.limit,
                penalty: soft.penalty,
                numbers: HashMap::new(),
                counts: Vec::new(),
                reached: false,
                values: Vec::new(),
                ends: Vec::new(),
            });
        }
    }
    if caps.is_empty() {
        return Ok(inner);
    }
    Ok(Box::new(SoftCaps { inner, caps }))
}

impl SoftCaps<'_> {
    fn cost(&self, entry: u32) -> f64 {
        self.caps.iter().fold(0.0, |sum, cap| sum + cap.cost(entry))
    }

    /// The first of some positions in `open` whose entries all cost the same, out of those that are worth the
    /// most with the cost taken off; and that worth.
    fn best_of(&mut self, open: &[u32], mut positions: Vec<usize>, cost: f64) -> (f64, usize) {
        let mut best: Option<(f64, usize)> = None;
        loop {
            let entries: Vec<u32> = positions.iter().map(|&at| open[at]).collect();
            let at = self.inner.best(&entries);
            let value = self.inner.value(entries[at]) - cost;
            match best {
                Some((top, _)) if value < top => break,
                _ => best = Some((value, positions[at])),
            }
            if at == 0 || cost == 0.0 {
                break;
            }
            positions.truncate(at);
        }
        best.unwrap_or((f64::NEG_INFINITY, 0))
    }
}

impl Diversity for SoftCaps<'_> {
    fn extend(&mut self, rows: &[u32], scores: &[f64], first: usize) {
        for cap in &mut self.caps {
            cap.extend(&rows[first..]);
        }
        self.inner.extend(rows, scores, first);
    }

    fn value(&mut self, entry: u32) -> f64 {
        self.inner.value(entry) - self.cost(entry)
    }

    fn values(&mut self, open: &[u32], out: &mut Vec<f64>) {
        let first = out.len();
        self.inner.values(open, out);
        for (value, &entry) in out[first..].iter_mut().zip(open) {
            *value -= self.cost(entry);
        }
    }

    fn chosen(&mut self, entry: u32) {
        for cap in &mut self.caps {
            cap.take(entry);
        }
        self.inner.chosen(entry);
    }

    fn closed(&mut self, entry: u32) {
        self.inner.closed(entry);
    }

    fn best(&mut self, open: &[u32]) -> usize {
        let all = self.inner.best(open);
        if self.cost(open[all]) == 0.0 {
            return all;
        }
        // Nothing is worth more than this before costs.
        let most = self.inner.value(open[all]);
        let costs: Vec<f64> = open.iter().map(|&entry| self.cost(entry)).collect();
        let mut classes = costs.clone();
        classes.sort_unstable_by(f64::total_cmp);
        classes.dedup();
        let mut best: Option<(f64, usize)> = None;
        for cost in classes {
            if best.is_some_and(|(value, _)| most - cost < value) {
                break;
            }
            let members = (0..open.len()).filter(|&at| costs[at] == cost).collect();
            let (value, at) = self.best_of(open, members, cost);
            if best.is_none_or(|(top, first)| value > top || (value == top && at < first)) {
                best = Some((value, at));
            }
        }
        best.map_or(0, |(_, at)| at)
    }
}
