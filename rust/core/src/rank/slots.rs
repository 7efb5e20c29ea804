//! The slot loop: which pool entry goes where, and with what probability.
//!
//! For slot `t` with the slots above it filled, the eligible set `E` is the pool minus what is
//! chosen, minus what a cap masks. The diversified best of `E` is the greedy choice; the explorer
//! draws from a distribution over `E` and states the probability of what it drew. Nothing is
//! reordered afterwards, so that probability is exact given the slots above.
//!
//! When caps have emptied `E` while eligible rows lie outside the pool, the pool deepens right there,
//! inside the loop: `E` for this slot is then drawn from the deepened pool, and what was chosen and
//! stated before stays as it was. Caps only fill up within a slate, so a masked row stays masked, and
//! only rows that no cap masks are worth retrieving: one deepening either gives an `E` with something
//! in it, or there is nothing left to show.
//!
//! Pins and minima narrow `E` before anything is chosen (see `mask`); where they would leave nothing of it, the pool
//! deepens for them in the same way.

use std::cmp::Ordering;

use crate::error::Result;
use crate::sort::sort_by;

use super::caps::Caps;
use super::diversity::Diversity;
use super::explore::{Estimate, Explore, SlotView};
use super::mask::{Clause, Masks};
use super::rng::Draws;
use super::timing::{Clock, Stage};

/// A pool that can grow.
pub trait Pool {
    /// The row of each entry, in order of pooling.
    fn rows(&self) -> &[u32];

    /// The score of each entry.
    fn scores(&self) -> &[f64];

    /// `Less` when entry `a` comes before entry `b` at equal score.
    fn tie(&self, a: u32, b: u32) -> Ordering;

    /// Appends entries whose rows `allowed` lets through; none when there is nothing more, which is noted among
    /// the steps where others may follow (`noted`).
    fn deepen(
        &mut self,
        allowed: &mut dyn FnMut(u32) -> bool,
        noted: bool,
        clock: &mut Clock,
    ) -> Result<()>;

    /// Appends those of these rows that are not in yet.
    fn join(&mut self, rows: &[u32], clock: &mut Clock) -> Result<()>;
}

/// A filled slot. Entries are positions in the pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// What is shown.
    pub entry: u32,
    /// The probability with which it was chosen for this slot, given the slots above.
    pub propensity: f64,
    /// Drawn by exploration, and not the greedy choice.
    pub explored: bool,
    /// Size of the eligible set.
    pub eligible: u32,
    /// The greedy choice.
    pub greedy: u32,
    /// Diversity made the greedy choice another one than the best score.
    pub varied: bool,
    /// How many members of the eligible set could have been chosen: their probability is not 0.
    pub support: u32,
    /// How the propensity was estimated; `None` where it is exact.
    pub estimate: Option<Estimate>,
}

/// The parts that decide.
pub struct Deciders<'a, 'c> {
    /// Values entries given the slots above.
    pub diversity: &'a mut dyn Diversity,
    /// Masks entries given the slots above.
    pub caps: &'a mut Caps<'c>,
    /// Narrows slots to what they must show.
    pub(crate) masks: &'a mut Masks<'c>,
    /// Draws one of the eligible entries.
    pub explore: &'a mut dyn Explore,
    /// The request's random numbers.
    pub draws: &'a Draws,
}

/// Fills up to `k` slots; fewer only when nothing eligible is left.
pub fn fill(
    k: usize,
    pool: &mut dyn Pool,
    deciders: Deciders<'_, '_>,
    clock: &mut Clock,
) -> Result<Vec<Slot>> {
    let draws = deciders.draws;
    let mut state = State {
        deciders,
        open: Vec::new(),
        exhausted: false,
    };
    let mut slots: Vec<Slot> = Vec::new();
    let mut values: Vec<f64> = Vec::new();
    state.take_in(pool, 0)?;
    state.reserve(pool, clock)?;
    clock.lap(Stage::Diversify);

    while slots.len() < k {
        let slot = slots.len();
        let Some(narrowed) = state.narrow(slot, pool, clock)? else {
            break;
        };
        let State { deciders, open, .. } = &mut state;
        let eligible: &[u32] = narrowed.set.as_deref().unwrap_or(open);
        values.clear();
        if deciders.explore.reads_values(slot as u64) {
            deciders.diversity.values(eligible, &mut values);
        }
        clock.lap(Stage::Diversify);
        let view = SlotView {
            slot: slot as u64,
            eligible,
            scores: pool.scores(),
            values: &values,
            greedy: narrowed.greedy,
        };
        let drawn = deciders.explore.draw(&view, draws);
        deciders.explore.took(&view, drawn.position);
        let entry = eligible[drawn.position];
        slots.push(Slot {
            entry,
            propensity: drawn.propensity,
            explored: drawn.position != narrowed.greedy,
            eligible: eligible.len() as u32,
            greedy: eligible[narrowed.greedy],
            varied: narrowed.greedy != 0,
            support: drawn.support,
            estimate: drawn.estimate,
        });
        deciders.masks.filled(slot, entry, &narrowed.by);
        clock.lap(Stage::Explore);
        let at = match narrowed.set {
            None => Some(drawn.position),
            // A reserved entry is not among the open ones.
            Some(_) => open.iter().position(|&other| other == entry),
        };
        if let Some(at) = at {
            open.remove(at);
        }
        if !deciders.masks.is_counted(entry) && deciders.caps.take(entry) {
            state.close_capped();
        }
        state.deciders.diversity.chosen(entry);
        clock.lap(Stage::Diversify);
    }
    Ok(slots)
}

/// The eligible set of a slot, as masks narrowed it.
struct Narrowed {
    /// `None` for all that is open.
    set: Option<Vec<u32>>,
    /// Position of the greedy choice.
    greedy: usize,
    /// The masks that changed the set.
    by: Vec<Clause>,
}

struct State<'a, 'c> {
    deciders: Deciders<'a, 'c>,
    /// What could be chosen if no mask were there, by (score descending, id).
    open: Vec<u32>,
    /// No further row can be pooled.
    exhausted: bool,
}

impl State<'_, '_> {
    /// Makes the pool's entries from `first` on known to the deciders, and those that may be chosen open.
    fn take_in(&mut self, pool: &dyn Pool, first: usize) -> Result<()> {
        let (rows, scores) = (pool.rows(), pool.scores());
        let Deciders {
            diversity,
            caps,
            masks,
            explore,
            ..
        } = &mut self.deciders;
        caps.extend(&rows[first..]);
        masks.extend(&rows[first..]);
        diversity.extend(rows, scores, first);
        explore.extend(&rows[first..])?;
        let further = first as u32..rows.len() as u32;
        self.open
            .extend(further.filter(|&entry| caps.admits(entry)));
        sort_by(&mut self.open, |&a, &b| {
            scores[b as usize]
                .total_cmp(&scores[a as usize])
                .then_with(|| pool.tie(a, b))
        });
        Ok(())
    }

    /// Brings pinned items into the pool, and keeps them for their slots.
    fn reserve(&mut self, pool: &mut dyn Pool, clock: &mut Clock) -> Result<()> {
        if !self.deciders.masks.has_pinned_items() {
            return Ok(());
        }
        let before = pool.rows().len();
        let rows: Vec<u32> = self.deciders.masks.rows().collect();
        pool.join(&rows, clock)?;
        self.take_in(pool, before)?;
        let Deciders { caps, masks, .. } = &mut self.deciders;
        masks.reserve(pool.rows(), caps);
        self.open.retain(|&entry| !masks.is_counted(entry));
        self.close_capped();
        Ok(())
    }

    /// Closes the entries that caps mask by now.
    fn close_capped(&mut self) {
        let Deciders {
            caps, diversity, ..
        } = &mut self.deciders;
        self.open.retain(|&entry| {
            let admitted = caps.admits(entry);
            if !admitted {
                diversity.closed(entry);
            }
            admitted
        });
    }

    /// Deepens the pool by rows that no cap masks and that these masks let through.
    fn deepen(&mut self, clauses: &[Clause], pool: &mut dyn Pool, clock: &mut Clock) -> Result<()> {
        let before = pool.rows().len();
        let mut scratch = Vec::new();
        let Deciders { caps, masks, .. } = &self.deciders;
        let mut allowed =
            |row| caps.admits_row(row, &mut scratch) && masks.admits_row(clauses, row);
        pool.deepen(&mut allowed, !clauses.is_empty(), clock)?;
        self.take_in(pool, before)
    }

    /// The eligible set of a slot; `None` when there is nothing left to show.
    fn narrow(
        &mut self,
        slot: usize,
        pool: &mut dyn Pool,
        clock: &mut Clock,
    ) -> Result<Option<Narrowed>> {
        let alone = |entry: u32| Narrowed {
            set: Some(vec![entry]),
            greedy: 0,
            by: Vec::new(),
        };
        if let Some(entry) = self.deciders.masks.fixed_at(slot) {
            return Ok(Some(alone(entry)));
        }
        if self.open.is_empty() && !self.exhausted {
            self.deepen(&[], pool, clock)?;
            self.exhausted = self.open.is_empty();
        }
        if self.open.is_empty() {
            return Ok(self.deciders.masks.release().map(alone));
        }
        let clauses = self.possible(slot, pool, clock)?;
        let Deciders {
            diversity, masks, ..
        } = &mut self.deciders;
        // Before any part of it: see `Diversity::best`.
        let mut greedy = diversity.best(&self.open);
        let mut set: Option<Vec<u32>> = None;
        let mut by = Vec::new();
        for clause in clauses {
            let whole = set.as_deref().unwrap_or(&self.open);
            let within = |&entry: &u32| masks.admits(&clause, entry);
            let part: Vec<u32> = whole.iter().copied().filter(within).collect();
            if part.len() == whole.len() {
                continue;
            }
            let best = whole[greedy];
            // The best of all is the best of every part that it is in.
            greedy = match part.iter().position(|&entry| entry == best) {
                Some(position) => position,
                None => diversity.best(&part),
            };
            let scores = pool.scores();
            let cost = scores[best as usize] - scores[part[greedy] as usize];
            masks.narrowed(&clause, part[greedy], cost);
            set = Some(part);
            by.push(clause);
        }
        Ok(Some(Narrowed { set, greedy, by }))
    }

    /// The masks of a slot that leave something together, each with what the pool was deepened for.
    fn possible(
        &mut self,
        slot: usize,
        pool: &mut dyn Pool,
        clock: &mut Clock,
    ) -> Result<Vec<Clause>> {
        let mut kept: Vec<Clause> = Vec::new();
        for clause in self.deciders.masks.clauses(slot) {
            kept.push(clause);
            if self.any_open(&kept) {
                continue;
            }
            if !self.exhausted && !self.deciders.masks.is_futile(&kept) {
                self.deepen(&kept, pool, clock)?;
                if self.any_open(&kept) {
                    continue;
                }
                self.deciders.masks.set_futile(kept.clone());
            }
            kept.pop();
        }
        Ok(kept)
    }

    fn any_open(&self, clauses: &[Clause]) -> bool {
        let masks = &self.deciders.masks;
        let all = |entry: u32| clauses.iter().all(|clause| masks.admits(clause, entry));
        self.open.iter().any(|&entry| all(entry))
    }
}
