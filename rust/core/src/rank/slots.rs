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

use std::cmp::Ordering;

use crate::error::Result;

use super::caps::Caps;
use super::diversity::Diversity;
use super::explore::{Estimate, Explore, SlotView};
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

    /// Appends entries whose rows `allowed` lets through; none when there is nothing more.
    fn deepen(&mut self, allowed: &mut dyn FnMut(u32) -> bool, clock: &mut Clock) -> Result<()>;
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
    let Deciders {
        diversity,
        caps,
        explore,
        draws,
    } = deciders;
    let mut slots: Vec<Slot> = Vec::new();
    // The eligible set, by (score descending, id).
    let mut open: Vec<u32> = Vec::new();
    let mut values: Vec<f64> = Vec::new();
    take_in(pool, 0, &mut open, diversity, caps);
    explore.extend(pool.rows())?;
    clock.lap(Stage::Diversify);

    while slots.len() < k {
        if open.is_empty() {
            let before = pool.rows().len();
            let mut scratch = Vec::new();
            let blocked = &*caps;
            pool.deepen(&mut |row| blocked.admits_row(row, &mut scratch), clock)?;
            take_in(pool, before, &mut open, diversity, caps);
            explore.extend(&pool.rows()[before..])?;
            if open.is_empty() {
                break;
            }
        }
        let greedy = diversity.best(&open);
        let slot = slots.len() as u64;
        values.clear();
        if explore.reads_values(slot) {
            diversity.values(&open, &mut values);
        }
        clock.lap(Stage::Diversify);
        let view = SlotView {
            slot,
            eligible: &open,
            scores: pool.scores(),
            values: &values,
            greedy,
        };
        let drawn = explore.draw(&view, draws);
        explore.took(&view, drawn.position);
        let entry = open[drawn.position];
        slots.push(Slot {
            entry,
            propensity: drawn.propensity,
            explored: drawn.position != greedy,
            eligible: open.len() as u32,
            greedy: open[greedy],
            varied: greedy != 0,
            support: drawn.support,
            estimate: drawn.estimate,
        });
        clock.lap(Stage::Explore);
        open.remove(drawn.position);
        if caps.take(entry) {
            open.retain(|&entry| {
                let admitted = caps.admits(entry);
                if !admitted {
                    diversity.closed(entry);
                }
                admitted
            });
        }
        diversity.chosen(entry);
        clock.lap(Stage::Diversify);
    }
    Ok(slots)
}

/// Makes the pool's entries from `first` on known to the deciders, and those that may be chosen open.
fn take_in(
    pool: &dyn Pool,
    first: usize,
    open: &mut Vec<u32>,
    diversity: &mut dyn Diversity,
    caps: &mut Caps<'_>,
) {
    let (rows, scores) = (pool.rows(), pool.scores());
    caps.extend(&rows[first..]);
    diversity.extend(rows, scores, first);
    open.extend((first as u32..rows.len() as u32).filter(|&entry| caps.admits(entry)));
    open.sort_unstable_by(|&a, &b| {
        scores[b as usize]
            .total_cmp(&scores[a as usize])
            .then_with(|| pool.tie(a, b))
    });
}
