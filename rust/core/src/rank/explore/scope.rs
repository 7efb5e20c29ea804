//! Exploration kept to some slots, or to items with some attribute.
//!
//! In a slot of the scope the explorer chooses among the greedy item and the eligible items that match;
//! in any other slot the greedy item is the only one open. The explorer inside sees that narrowed set
//! and nothing else, so the probabilities that it states are exact as they are; an eligible item that
//! is not open has probability 0.

use crate::error::Result;
use crate::rank::predicate::Predicate;
use crate::rank::rng::Draws;
use crate::rank::source::Source;

use super::spec::ScopeSpec;
use super::{Draw, Explore, SlotView};

/// An explorer within a scope.
pub struct Scoped<'a> {
    inner: Box<dyn Explore + 'a>,
    slots: Option<&'a [i64]>,
    only: Option<Predicate<'a>>,
    /// By pool entry: whether it matches.
    matches: Vec<bool>,
}

/// The narrowed view's own lists.
struct Narrowed {
    positions: Vec<usize>,
    eligible: Vec<u32>,
    values: Vec<f64>,
    greedy: usize,
}

impl<'a> Scoped<'a> {
    /// Looks up what the scope compares with.
    pub(crate) fn new(
        source: &'a dyn Source,
        scope: &'a ScopeSpec,
        inner: Box<dyn Explore + 'a>,
    ) -> Result<Self> {
        let only = scope.only.as_ref();
        let only = only.map(|spec| Predicate::new(source, "only", spec));
        Ok(Scoped {
            inner,
            slots: scope.slots.as_deref(),
            only: only.transpose()?,
            matches: Vec::new(),
        })
    }

    fn covers(&self, slot: u64) -> bool {
        self.slots
            .is_none_or(|slots| slots.binary_search(&(slot as i64)).is_ok())
    }

    fn narrow(&self, slot: &SlotView<'_>) -> Narrowed {
        let covered = self.covers(slot.slot);
        let is_open = |position: usize| {
            position == slot.greedy || (covered && self.matches[slot.eligible[position] as usize])
        };
        let positions: Vec<usize> = (0..slot.eligible.len()).filter(|&p| is_open(p)).collect();
        Narrowed {
            eligible: positions.iter().map(|&p| slot.eligible[p]).collect(),
            // No values where the explorer inside reads none.
            values: positions
                .iter()
                .filter_map(|&p| slot.values.get(p).copied())
                .collect(),
            greedy: positions
                .iter()
                .position(|&p| p == slot.greedy)
                .unwrap_or_default(),
            positions,
        }
    }
}

impl Narrowed {
    fn view<'v>(&'v self, slot: &SlotView<'v>) -> SlotView<'v> {
        SlotView {
            eligible: &self.eligible,
            values: &self.values,
            greedy: self.greedy,
            ..*slot
        }
    }
}

impl Explore for Scoped<'_> {
    fn extend(&mut self, rows: &[u32]) -> Result<()> {
        let only = self.only.as_ref();
        let matches = |&row: &u32| only.is_none_or(|only| only.matches(row));
        self.matches.extend(rows.iter().map(matches));
        self.inner.extend(rows)
    }

    fn reads_values(&self, slot: u64) -> bool {
        self.covers(slot) && self.inner.reads_values(slot)
    }

    fn probabilities(&self, slot: &SlotView<'_>) -> Option<Vec<f64>> {
        let narrowed = self.narrow(slot);
        let mut out = vec![0.0; slot.eligible.len()];
        if let &[only] = narrowed.positions.as_slice() {
            out[only] = 1.0;
            return Some(out);
        }
        let inside = self.inner.probabilities(&narrowed.view(slot))?;
        for (&position, p) in narrowed.positions.iter().zip(inside) {
            out[position] = p;
        }
        Some(out)
    }

    fn draw(&self, slot: &SlotView<'_>, draws: &Draws) -> Draw {
        let narrowed = self.narrow(slot);
        if let &[only] = narrowed.positions.as_slice() {
            // Outside the scope the explorer inside has no values to read, and nothing to choose.
            return Draw::exact(only, 1.0, 1);
        }
        let draw = self.inner.draw(&narrowed.view(slot), draws);
        Draw {
            position: narrowed.positions[draw.position],
            ..draw
        }
    }

    fn took(&mut self, slot: &SlotView<'_>, position: usize) {
        let narrowed = self.narrow(slot);
        // What was taken is always open; a caller who says otherwise took the greedy one's place.
        let inside = narrowed.positions.iter().position(|&p| p == position);
        let inside = inside.unwrap_or(narrowed.greedy);
        self.inner.took(&narrowed.view(slot), inside);
    }
}
