//! Calibrated slates: the values of an attribute in the shares that a target gives them (Steck,
//! "Calibrated recommendations", RecSys 2018).
//!
//! A slate `Y` is worth
//!
//! ```text
//! (1 - s) sum_{i in Y} rel_i - s KL(p || q~)        q~(g) = (1 - a) q(g) + a p(g),  a = 0.01
//! ```
//!
//! with `rel` the score on the scale of the first pool (see `scale`), `p` the target and `q` the shares in
//! `Y`: an item with n values gives each of them 1/n, and `q(g)` is the sum over `Y` divided by the number
//! of items in `Y`. An item without a value takes a slot and gives nothing. `s` is 0 for relevance only
//! and 1 for the target only. For a fixed size of `Y` the objective is submodular, and it is maximised
//! greedily: an entry's value is `(1 - s) rel_i - s KL` with `KL` that of the slate so far and the entry.
//!
//! Without a given target, `p` are the shares in the first pool among the items that have a value: what
//! retrieval found for this user, before scores and caps thinned it out.
//!
//! Entries with the same values share one divergence, so a slot costs one logarithm for each value of the
//! target and for each value of each distinct set of values, and one comparison for each entry. Sums run
//! over values in the order of the target's text, or of their first appearance in a pool that is ordered
//! by id: never in that of dictionary codes, which depend on a catalog's history.

use std::collections::{BTreeMap, HashMap};

use crate::column::{Column, ColumnType};
use crate::error::{Error, Result};

use super::scale::Scale;
use super::Diversity;

/// The share of the target that is mixed into a slate's shares, so that the divergence stays finite.
const SMOOTHING: f64 = 0.01;

/// One value of the target.
struct Aim {
    share: f64,
    /// What the items chosen so far give it.
    given: f64,
}

/// Entries with these values of the target (positions in it) out of `values` in all.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Pattern {
    aims: Vec<usize>,
    values: usize,
}

/// The running state.
pub struct Calibrated<'a> {
    column: &'a Column,
    strength: f64,
    relevance: Scale,
    aims: Vec<Aim>,
    /// Positions in `aims` by key of the column; looked up, never iterated.
    by_key: HashMap<u64, usize>,
    taken_from_pool: bool,
    patterns: Vec<Pattern>,
    by_pattern: HashMap<Pattern, usize>,
    /// By entry.
    pattern: Vec<usize>,
    /// By pattern: the divergence with one more item of it. Empty where it has to be worked out.
    divergence: Vec<f64>,
    chosen: usize,
}

impl<'a> Calibrated<'a> {
    /// Calibrates a countable attribute's column; `strength` lies in (0, 1]. `target` holds shares by the
    /// values' text; they need not add up to 1.
    pub fn new(
        column: &'a Column,
        strength: f64,
        target: Option<&BTreeMap<String, f64>>,
    ) -> Result<Self> {
        let mut aims = Vec::new();
        let mut by_key = HashMap::new();
        let total: f64 = target.iter().flat_map(|target| target.values()).sum();
        for (text, &share) in target.into_iter().flatten() {
            match column.key_of(text) {
                Some(key) => {
                    by_key.insert(key, aims.len());
                }
                // No item has this text, and the target still asks for it.
                None if matches!(column.kind(), ColumnType::Str | ColumnType::StrList) => {}
                None => {
                    return Err(Error::invalid(
                        format!("target[{text:?}]"),
                        format!("the text of a value of type {}", column.kind()),
                        format!("{text:?}"),
                    ));
                }
            }
            aims.push(Aim {
                share: share / total,
                given: 0.0,
            });
        }
        Ok(Calibrated {
            column,
            strength,
            relevance: Scale::default(),
            aims,
            by_key,
            taken_from_pool: target.is_none(),
            patterns: Vec::new(),
            by_pattern: HashMap::new(),
            pattern: Vec::new(),
            divergence: Vec::new(),
            chosen: 0,
        })
    }

    /// Takes the target from a pool.
    fn aim_at(&mut self, rows: &[u32]) {
        let mut keys = Vec::new();
        let mut with_value = 0usize;
        for &row in rows {
            keys.clear();
            self.column.keys(row, &mut keys);
            with_value += usize::from(!keys.is_empty());
            for &key in &keys {
                let at = *self.by_key.entry(key).or_insert_with(|| {
                    self.aims.push(Aim {
                        share: 0.0,
                        given: 0.0,
                    });
                    self.aims.len() - 1
                });
                self.aims[at].share += 1.0 / keys.len() as f64;
            }
        }
        for aim in &mut self.aims {
            aim.share /= with_value as f64;
        }
    }

    /// Works out the divergence for each pattern.
    fn assess(&mut self) {
        let size = (self.chosen + 1) as f64;
        let summand = |aim: &Aim, more: f64| {
            let q = (1.0 - SMOOTHING) * ((aim.given + more) / size) + SMOOTHING * aim.share;
            if aim.share > 0.0 {
                aim.share * libm::log(aim.share / q)
            } else {
                0.0
            }
        };
        let without: Vec<f64> = self.aims.iter().map(|aim| summand(aim, 0.0)).collect();
        let total: f64 = without.iter().sum();
        let Calibrated {
            aims, divergence, ..
        } = self;
        divergence.extend(self.patterns.iter().map(|pattern| {
            let more = 1.0 / pattern.values.max(1) as f64;
            pattern.aims.iter().fold(total, |sum, &at| {
                sum + (summand(&aims[at], more) - without[at])
            })
        }));
    }
}

impl Diversity for Calibrated<'_> {
    fn extend(&mut self, rows: &[u32], scores: &[f64], first: usize) {
        self.relevance.extend(scores, first);
        if first == 0 && self.taken_from_pool {
            self.aim_at(rows);
        }
        let mut keys = Vec::new();
        for &row in &rows[first..] {
            keys.clear();
            self.column.keys(row, &mut keys);
            let mut aims: Vec<usize> = keys
                .iter()
                .filter_map(|key| self.by_key.get(key).copied())
                .collect();
            aims.sort_unstable();
            let pattern = Pattern {
                aims,
                values: keys.len(),
            };
            let at = *self.by_pattern.entry(pattern).or_insert_with_key(|new| {
                self.patterns.push(new.clone());
                self.patterns.len() - 1
            });
            self.pattern.push(at);
        }
        self.divergence.clear();
    }

    fn value(&mut self, entry: u32) -> f64 {
        if self.divergence.is_empty() {
            self.assess();
        }
        let divergence = self.divergence[self.pattern[entry as usize]];
        (1.0 - self.strength) * self.relevance.of(entry) - self.strength * divergence
    }

    fn chosen(&mut self, entry: u32) {
        let pattern = &self.patterns[self.pattern[entry as usize]];
        for &at in &pattern.aims {
            self.aims[at].given += 1.0 / pattern.values as f64;
        }
        self.chosen += 1;
        self.divergence.clear();
    }
}
