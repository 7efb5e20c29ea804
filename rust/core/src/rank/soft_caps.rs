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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::{ColumnType, Value};
    use crate::ids::Ids;
    use crate::metric::Metric;
    use crate::rank::caps::SoftSpec;
    use crate::rank::diversity::{Mmr, Relevance};
    use crate::rank::{unnamed_space, Candidates};

    /// Numbers that look random, in [0, 1).
    fn numbers(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        move || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 11) as f64 / 2f64.powi(53)
        }
    }

    fn items(n: usize, seed: u64) -> Candidates {
        let mut next = numbers(seed);
        let vectors = (0..n * 4).map(|_| next() as f32 - 0.5).collect();
        let mut genre = Column::new(ColumnType::StrList);
        for _ in 0..n {
            let mut texts: Vec<Box<str>> = Vec::new();
            for text in ["a", "b", "c", "d"] {
                if next() < 0.4 {
                    texts.push(text.into());
                }
            }
            genre.push("genre", Value::StrList(texts)).unwrap();
        }
        Candidates::new(
            Ids::Int((0..n as i64).collect()),
            vec![(unnamed_space(4, Metric::Cosine), vectors)],
            None,
            vec![("genre".into(), genre)],
        )
        .unwrap()
    }

    /// The first in `open` of the largest values, one by one.
    fn eager(state: &mut dyn Diversity, open: &[u32]) -> usize {
        let values: Vec<f64> = open.iter().map(|&entry| state.value(entry)).collect();
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        values.iter().position(|value| *value == most).unwrap()
    }

    #[test]
    fn the_choice_is_the_eager_one_ties_and_parts_included() {
        let mut ties = 0;
        for seed in 0..60 {
            let source = items(80, seed);
            let mut next = numbers(seed + 1000);
            // Scores from a grid, or ones whose differences are lost when a cost is taken off.
            let fine = if seed % 3 == 0 { 2f64.powi(-58) } else { 0.125 };
            let mut scores: Vec<f64> = (0..80).map(|_| (next() * 9.0).floor() * fine).collect();
            scores.sort_unstable_by(|a, b| b.total_cmp(a));
            let penalty = [0.125, 1.0, 0.3][seed as usize % 3];
            let specs = BTreeMap::from([(
                "genre".to_string(),
                CapSpec::Soft(SoftSpec { limit: 1, penalty }),
            )]);
            let make = || -> Box<dyn Diversity + '_> {
                let inner: Box<dyn Diversity> = if seed % 2 == 0 {
                    Box::new(Relevance::default())
                } else {
                    Box::new(Mmr::new(&source, 0, 0.5))
                };
                around(inner, &source, &specs).unwrap()
            };
            let (mut lazy, mut plain) = (make(), make());
            let rows: Vec<u32> = (0..80).collect();
            lazy.extend(&rows, &scores, 0);
            plain.extend(&rows, &scores, 0);
            let mut open = rows.clone();
            for _ in 0..30 {
                let at = lazy.best(&open);
                assert_eq!(at, eager(&mut *plain, &open), "seed {seed}");
                let value = plain.value(open[at]);
                let same = open.iter().filter(|&&e| plain.value(e) == value).count();
                ties += usize::from(same > 1);
                let mut values = Vec::new();
                lazy.values(&open, &mut values);
                for (value, &entry) in values.iter().zip(&open) {
                    assert_eq!(value.to_bits(), plain.value(entry).to_bits());
                }
                let part: Vec<u32> = open.iter().copied().filter(|_| next() < 0.5).collect();
                if !part.is_empty() {
                    assert_eq!(lazy.best(&part), eager(&mut *plain, &part), "seed {seed}");
                }
                let entry = open.remove((next() * 3.0) as usize);
                lazy.chosen(entry);
                plain.chosen(entry);
            }
        }
        assert!(ties > 100, "{ties} ties");
    }

    #[test]
    fn costs_grow_by_one_penalty_with_each_item_beyond() {
        let source = items(40, 5);
        let specs = BTreeMap::from([(
            "genre".to_string(),
            CapSpec::Soft(SoftSpec {
                limit: 2,
                penalty: 0.25,
            }),
        )]);
        let rows: Vec<u32> = (0..40).collect();
        let mut state = around(Box::<Relevance>::default(), &source, &specs).unwrap();
        state.extend(&rows, &[0.0; 40], 0);
        let texts = |row: u32| match source.column("genre").unwrap().get(row) {
            Value::StrList(texts) => texts,
            _ => Vec::new(),
        };
        let mut above: Vec<u32> = Vec::new();
        for row in 0..20 {
            for entry in row..40 {
                let cost: f64 = texts(entry)
                    .iter()
                    .map(|text| {
                        let n = above.iter().filter(|&&e| texts(e).contains(text)).count();
                        0.25 * (n as f64 + 1.0 - 2.0).max(0.0)
                    })
                    .sum();
                assert_eq!(state.value(entry), 0.0 - cost, "row {entry} after {row}");
            }
            state.chosen(row);
            above.push(row);
        }
    }
}
