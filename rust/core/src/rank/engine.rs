//! One ranking from bound inputs to a slate, wherever the pool comes from.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::error::Result;
use crate::scored::TieBreak;
use crate::sort::sort_by;

use super::bind::{Bound, Input};
use super::blend::{Blend, Table};
use super::budget::Budget;
use super::caps::Caps;
use super::diversity;
use super::explore;
use super::policy::Policy;
use super::pool::{First, Known, Retriever};
use super::reasons;
use super::rng::Draws;
use super::rules::{self, Boost};
use super::slate::{Asked, PoolTrace, Slate};
use super::slots::{fill, Deciders, Pool};
use super::soft_caps;
use super::source::Source;
use super::timing::{Clock, Stage};

/// The pool of a running request.
struct Growing<'a> {
    source: &'a dyn Source,
    retriever: &'a mut dyn Retriever,
    blend: Blend<'a>,
    rows: Vec<u32>,
    /// Rows in the pool, for the check that a deepening leaves them out.
    pooled: std::collections::HashSet<u32, std::hash::BuildHasherDefault<super::pool::RowHasher>>,
    table: Table,
    steps: Vec<usize>,
}

impl Growing<'_> {
    fn append(
        &mut self,
        mut rows: Vec<u32>,
        known: Option<Known>,
        clock: &mut Clock,
    ) -> Result<()> {
        let ids = self.source.ids();
        let known = match known {
            None => {
                sort_by(&mut rows, |&a, &b| ids.tie(a, b));
                None
            }
            Some(Known { space, scores }) => {
                let mut both: Vec<(u32, f32)> = rows.iter().copied().zip(scores).collect();
                sort_by(&mut both, |a, b| ids.tie(a.0, b.0));
                rows.clear();
                rows.extend(both.iter().map(|(row, _)| *row));
                let scores = both.into_iter().map(|(_, score)| score).collect();
                Some(Known { space, scores })
            }
        };
        self.blend.extend(&rows, known.as_ref(), &mut self.table)?;
        self.rows.extend_from_slice(&rows);
        self.steps.push(self.rows.len());
        clock.lap(Stage::Score);
        Ok(())
    }
}

impl Pool for Growing<'_> {
    fn rows(&self) -> &[u32] {
        &self.rows
    }

    fn scores(&self) -> &[f64] {
        &self.table.scores
    }

    fn tie(&self, a: u32, b: u32) -> Ordering {
        self.source
            .ids()
            .tie(self.rows[a as usize], self.rows[b as usize])
    }

    fn deepen(
        &mut self,
        allowed: &mut dyn FnMut(u32) -> bool,
        noted: bool,
        clock: &mut Clock,
    ) -> Result<()> {
        self.pooled.extend(self.rows.iter().copied());
        let pooled = &self.pooled;
        let rows = self.retriever.deepen(self.rows.len().max(1), &mut |row| {
            !pooled.contains(&row) && allowed(row)
        })?;
        clock.lap(Stage::Retrieve);
        if rows.is_empty() {
            if noted {
                self.steps.push(self.rows.len());
            }
            return Ok(());
        }
        self.append(rows, None, clock)
    }

    fn join(&mut self, rows: &[u32], clock: &mut Clock) -> Result<()> {
        self.pooled.extend(self.rows.iter().copied());
        let mut further: Vec<u32> = Vec::new();
        for &row in rows {
            if self.pooled.insert(row) {
                further.push(row);
            }
        }
        if further.is_empty() {
            return Ok(());
        }
        let rows = self.retriever.join(further);
        clock.lap(Stage::Retrieve);
        self.append(rows, None, clock)
    }
}

/// Ranks.
#[allow(clippy::too_many_arguments)] // What the two callers, a request and its replay, differ in.
pub(crate) fn run<'a>(
    source: &'a dyn Source,
    policy: &'a Arc<Policy>,
    bound: &'a [Bound<'a>],
    boosts: &'a [Boost<'a>],
    inputs: &'a [(&'a str, Input<'a>)],
    asked: Asked,
    retriever: &'a mut dyn Retriever,
    mut clock: Clock,
) -> Result<Slate> {
    let spec = policy.spec();
    let whole = policy.pool_size(asked.k)?;
    let budget = asked.budget.as_ref();
    let want = budget.and_then(Budget::candidates).unwrap_or(whole);
    let mut caps = Caps::new(source, &spec.caps)?;
    let diversity = diversity::from_spec(source, spec.diversity.as_ref(), asked.target.as_ref())?;
    let given_up = budget.is_some_and(Budget::is_without_diversity);
    let diversity = match spec.diversity.as_ref().filter(|_| given_up) {
        Some(spec) => diversity::relevance_of(spec),
        None => diversity,
    };
    let mut diversity = soft_caps::around(diversity, source, &spec.caps)?;
    let mut explore = explore::from_spec(source, spec.explore.as_ref(), inputs.to_vec(), asked.at)?;
    let draws = Draws::new(asked.seed, &asked.request_id);
    let mut masks = rules::masks(source, policy, &asked, retriever)?;

    let First { rows, known, path } = retriever.first(want)?;
    clock.lap(Stage::Retrieve);
    let mut pool = Growing {
        source,
        retriever,
        blend: Blend::new(source, bound, boosts),
        rows: Vec::new(),
        pooled: Default::default(),
        table: Table::default(),
        steps: Vec::new(),
    };
    pool.append(rows, known, &mut clock)?;
    let deciders = Deciders {
        diversity: &mut *diversity,
        caps: &mut caps,
        masks: &mut masks,
        explore: &mut *explore,
        draws: &draws,
    };
    let slots = fill(asked.k, &mut pool, deciders, &mut clock)?;

    let Growing {
        rows,
        table,
        steps,
        blend,
        ..
    } = pool;
    let width = blend.width();
    let chosen: Vec<u32> = slots.iter().map(|slot| rows[slot.entry as usize]).collect();
    let mut terms = Vec::with_capacity(slots.len() * width);
    for slot in &slots {
        let entry = slot.entry as usize;
        terms.extend_from_slice(&table.terms[entry * width..(entry + 1) * width]);
    }
    let mut signals: Vec<(String, Vec<f64>)> = bound
        .iter()
        .zip(table.values)
        .filter(|(bound, _)| {
            matches!(
                bound.input,
                Input::Signal(_) | Input::Model(_) | Input::List(_)
            )
        })
        .map(|(bound, values)| (bound.spec.name().to_string(), values))
        .collect();
    for (name, input) in inputs {
        match input {
            Input::Signal(given) if signals.iter().all(|(other, _)| other != name) => {
                let values = rows.iter().map(|&row| given.value(row)).collect();
                signals.push((name.to_string(), values));
            }
            _ => {}
        }
    }
    let ids = source.ids();
    Ok(Slate {
        ids: ids.ids_of(chosen.iter().copied()),
        rows: chosen,
        scores: slots
            .iter()
            .map(|slot| table.scores[slot.entry as usize])
            .collect(),
        term_names: blend.term_names(),
        terms,
        outcome: masks.outcome(slots.len()),
        short_reason: reasons::short(slots.len(), asked.k, asked.counts, &caps),
        slots,
        pool: PoolTrace {
            ids: ids.ids_of(rows.iter().copied()),
            rows,
            scores: table.scores,
            steps,
            signals,
        },
        path,
        asked,
        policy: policy.clone(),
        generation: source.generation(),
        origin: source.origin(),
        recorded_content: None,
        timings: clock.stop(),
    })
}
