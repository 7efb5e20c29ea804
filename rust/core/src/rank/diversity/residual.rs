//! How much of each pool entry is new: what is left of it when what the chosen items have in common with
//! it is taken away.
//!
//! Items are compared by `S_ij = (1 + cos(i, j)) / 2`, `S_ii = 1`: 0 for opposite items, 1 for equal ones,
//! as Chen, Zhang and Zhou (2018) take it, and positive semidefinite. It is the inner product of the
//! vectors `[x / |x|, 1] / sqrt 2`. With `j` the item chosen for slot `t`,
//!
//! ```text
//! c_i[t] = (S_ij - sum_{s < t} c_i[s] c_j[s]) / d_j        d_i^2 = 1 - sum_t c_i[t]^2
//! ```
//!
//! is one row of the incremental Cholesky factor of `S` (their algorithm 1), and at the same time one step
//! of a Gram-Schmidt process over those vectors: `c_i[t]` is the component of `i` along the direction that
//! `j` added, `d_i` the length of what is left. Only inner products are needed, so a cosine costs what it
//! costs anyway and no vector is copied.
//!
//! With a window, sums go over the latest `window` slots alone. A direction keeps what it was made
//! orthogonal to, also when that has left the window: the sliding Gram-Schmidt of Huang et al. (2021). It
//! adds the component along the oldest direction back and takes away the one along the newest.
//!
//! An item with `d_j^2` below [`FLOOR`] is, as far as float32 cosines can tell, a combination of the ones
//! before it. It adds no direction; dividing by its `d_j` would only blow up rounding errors.
//!
//! Columns of entries are worked out when they are asked for, and a missing column only makes `d_i^2`
//! larger: an upper bound for a lazy choice. Cosines are the source's float32 numbers; the rest is float64
//! in a fixed order of operations. Numbers are kept entry by entry, not column by column, because an entry
//! is brought up to date alone. Memory: 8 bytes for each entry and column.

use crate::rank::source::Source;

use super::lazy::STEP;
use super::ring::{Block, Ring};

/// Below this share of its own length, nothing of an item is new.
pub(super) const FLOOR: f64 = 1e-6;

/// The direction that the item of a slot adds: its components along the ones before it, and the length of
/// what is left. None where it adds no direction.
type Pivot = Option<(Vec<Block>, f64)>;

/// The running state.
pub(super) struct Residuals<'a> {
    source: &'a dyn Source,
    space: usize,
    window: Option<usize>,
    rows: Vec<u32>,
    /// Components by entry and slot.
    components: Ring,
    /// How many slots each entry has seen.
    seen: Vec<usize>,
    /// `d_i^2` by the slots seen and in the window.
    squared: Vec<f64>,
    pivots: Vec<Pivot>,
    pivot_rows: Vec<u32>,
    /// With a window: the latest slot that each place of `components` is for.
    slots: Vec<usize>,
}

impl<'a> Residuals<'a> {
    pub(super) fn new(source: &'a dyn Source, space: usize, window: Option<usize>) -> Self {
        Residuals {
            source,
            space,
            window,
            rows: Vec::new(),
            components: Ring::new(window),
            seen: Vec::new(),
            squared: Vec::new(),
            pivots: Vec::new(),
            pivot_rows: Vec::new(),
            slots: Vec::new(),
        }
    }

    pub(super) fn extend(&mut self, rows: &[u32], first: usize) {
        self.rows.extend_from_slice(&rows[first..]);
        self.components.extend(rows.len());
        self.seen.resize(rows.len(), 0);
        self.squared.resize(rows.len(), 1.0);
    }

    /// Takes in one more row, and returns its place.
    pub(super) fn push(&mut self, row: u32) -> u32 {
        let place = self.rows.len();
        self.rows.push(row);
        self.components.extend(place + 1);
        self.seen.push(0);
        self.squared.push(1.0);
        place as u32
    }

    /// The direction that the item of a slot added: its components along those of the slots before it that
    /// added one, and the length of what was left. None where it added none. Without a window.
    pub(super) fn direction(&self, slot: usize) -> Option<(Vec<f64>, f64)> {
        let (components, length) = self.pivots[slot].as_ref()?;
        let components = components.iter().flatten().copied();
        let before = components.zip(&self.pivots[..slot]);
        let before = before.filter(|(_, pivot)| pivot.is_some());
        Some((before.map(|(component, _)| component).collect(), *length))
    }

    /// `d_i^2`, or an upper bound for an entry that is behind. Rounding may bring it below 0.
    #[inline]
    pub(super) fn squared(&self, entry: u32) -> f64 {
        self.squared[entry as usize]
    }

    #[inline]
    pub(super) fn is_behind(&self, entry: u32) -> bool {
        self.seen[entry as usize] < self.pivots.len()
    }

    /// Whether a slot has left the window since the item before the latest was chosen: then residuals
    /// may have grown.
    pub(super) fn slid(&self) -> bool {
        self.window.is_some_and(|window| self.pivots.len() > window)
    }

    /// Takes an entry up to [`STEP`] slots further.
    pub(super) fn advance(&mut self, entry: u32) {
        let at = entry as usize;
        let first = self.seen[at];
        let rows = &self.pivot_rows[first..];
        let rows = &rows[..rows.len().min(STEP)];
        let mut cosines = [0.0; STEP];
        let cosines = &mut cosines[..rows.len()];
        self.source.cosine(self.space, self.rows[at], rows, cosines);
        for (t, &cosine) in (first..).zip(cosines.iter()) {
            // The place of column `t` still holds that of `t - window`, which was in the window when the
            // item was chosen.
            let component = match &self.pivots[t] {
                Some((components, length)) => {
                    (similarity(cosine) - self.components.dot(entry, components)) / length
                }
                None => 0.0,
            };
            self.components.set(entry, t, component);
            self.squared[at] -= component * component;
        }
        self.seen[at] += rows.len();
        self.measure(entry);
    }

    /// With a window, takes `d_i^2` from its columns alone, so that it depends neither on slots that have
    /// left nor on when it was worked out.
    fn measure(&mut self, entry: u32) {
        if self.window.is_none() {
            return;
        }
        let seen = self.seen[entry as usize];
        let components = self.components.of(entry).flatten();
        let mut squared = 1.0;
        for (&component, &slot) in components.zip(&self.slots) {
            // A place that the entry has not seen taken again holds what has left the window.
            if slot < seen {
                squared -= component * component;
            }
        }
        self.squared[entry as usize] = squared;
    }

    /// An entry was chosen for the next slot.
    pub(super) fn chosen(&mut self, entry: u32) {
        while self.is_behind(entry) {
            self.advance(entry);
        }
        let t = self.pivots.len();
        let squared = self.squared(entry);
        self.pivots.push((squared >= FLOOR).then(|| {
            let components = self.components.of(entry).copied().collect();
            (components, squared.sqrt())
        }));
        self.pivot_rows.push(self.rows[entry as usize]);
        self.components.open(t);
        if self.window.is_some() {
            let place = self.components.place(t);
            self.slots.resize(self.slots.len().max(place + 1), t);
            self.slots[place] = t;
        }
        if self.slid() {
            for entry in 0..self.rows.len() as u32 {
                self.measure(entry);
            }
        }
    }
}

/// How alike two items are, from 0 to 1.
#[inline]
pub(super) fn similarity(cosine: f32) -> f64 {
    0.5 * (1.0 + f64::from(cosine))
}
