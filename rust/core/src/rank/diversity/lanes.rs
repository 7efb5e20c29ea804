//! Greedy choice by bounds that are kept for 64 entries at a time.
//!
//! Entries lie in lanes in the order of (score descending, id), 64 to a panel, each with an upper bound of its
//! value; a panel knows its largest. The panel with the largest of all is brought up to date as a whole, at
//! some nanoseconds an entry; when it stays in front, its first entry is valued exactly, and when that stays
//! in front, it is the choice. So the answer is the eager one, bit for bit, ties included: of equal bounds the
//! first lane comes first, and an exact value is a bound that nobody lowers.
//!
//! A slot costs one look at each panel, and work only where a bound reaches the best value.

use perso_kernels::{first_largest, PANEL_ROWS};

/// The bounds of a panel's entries.
pub(super) type Bounds = [f64; PANEL_ROWS];

/// What values are bounded and worked out by. Values may only fall from slot to slot.
pub(super) trait Valued {
    /// Lowers the bounds of a panel to what is known by now; false where they are that already.
    fn tighten(&mut self, panel: usize, bounds: &mut Bounds) -> bool;

    /// Says that the value of an entry may be asked for soon.
    fn soon(&self, entry: u32);

    /// Whether an entry's value was last worked out for this slot.
    fn is_exact(&self, entry: u32) -> bool;

    /// The value of an entry in this slot.
    fn exact(&mut self, entry: u32) -> f64;
}

/// The entries that may be chosen, in lanes.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Entries by lane, and lanes by entry.
    order: Vec<u32>,
    lane_of: Vec<u32>,
    /// By panel: which lanes are open, their bounds, and the first of the largest of those.
    open: Vec<u64>,
    bounds: Vec<Bounds>,
    tops: Vec<Top>,
    count: usize,
}

#[derive(Clone, Copy, Debug)]
struct Top {
    bound: f64,
    lane: u32,
}

const NONE: Top = Top {
    bound: f64::NEG_INFINITY,
    lane: u32::MAX,
};

impl Lanes {
    /// Lanes for these entries, which are ordered by (score descending, id), each with its bound. `entries` is
    /// the size of the pool.
    pub(super) fn new(open: &[u32], entries: usize, bound: impl Fn(u32) -> f64) -> Self {
        let mut lane_of = vec![u32::MAX; entries];
        for (lane, &entry) in (0..).zip(open) {
            lane_of[entry as usize] = lane;
        }
        let mut lanes = Lanes {
            order: open.to_vec(),
            lane_of,
            open: Vec::new(),
            bounds: Vec::new(),
            tops: Vec::new(),
            count: open.len(),
        };
        for entries in open.chunks(PANEL_ROWS) {
            let mut bounds = [f64::NEG_INFINITY; PANEL_ROWS];
            for (to, &entry) in bounds.iter_mut().zip(entries) {
                *to = bound(entry);
            }
            lanes.open.push(u64::MAX >> (PANEL_ROWS - entries.len()));
            lanes.bounds.push(bounds);
            lanes.tops.push(NONE);
        }
        (0..lanes.tops.len()).for_each(|panel| lanes.top(panel));
        lanes
    }

    /// How many entries are open.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The entries of a panel, open or not.
    pub(super) fn entries(&self, panel: usize) -> &[u32] {
        let rest = &self.order[panel * PANEL_ROWS..];
        &rest[..rest.len().min(PANEL_ROWS)]
    }

    /// The entries of all lanes.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    /// How many panels there are.
    pub(super) fn panels(&self) -> usize {
        self.tops.len()
    }

    /// Closes an entry for good.
    pub(super) fn close(&mut self, entry: u32) {
        let Some(&lane) = self.lane_of.get(entry as usize) else {
            return;
        };
        if lane == u32::MAX {
            return;
        }
        let (panel, at) = place(lane);
        if self.open[panel] >> at & 1 == 1 {
            self.open[panel] &= !(1 << at);
            self.bounds[panel][at] = f64::NEG_INFINITY;
            self.count -= 1;
            if self.tops[panel].lane == lane {
                self.top(panel);
            }
        }
    }

    /// Sets the bounds of all entries anew.
    pub(super) fn reset(&mut self, bound: impl Fn(u32) -> f64) {
        for panel in 0..self.tops.len() {
            for at in 0..self.entries(panel).len() {
                if self.open[panel] >> at & 1 == 1 {
                    self.bounds[panel][at] = bound(self.order[panel * PANEL_ROWS + at]);
                }
            }
            self.top(panel);
        }
    }

    /// The position of the best open entry among the open ones; at least one is open.
    pub(super) fn best(&mut self, valued: &mut impl Valued) -> usize {
        loop {
            let (mut panel, mut top) = (0, NONE);
            for (i, other) in self.tops.iter().enumerate() {
                if other.bound > top.bound {
                    (panel, top) = (i, *other);
                }
            }
            if top.lane == u32::MAX {
                return 0;
            }
            let (_, at) = place(top.lane);
            let entry = self.order[top.lane as usize];
            if valued.is_exact(entry) {
                let before: u32 = self.open[..panel]
                    .iter()
                    .map(|open| open.count_ones())
                    .sum();
                let own = self.open[panel] & ((1 << at) - 1);
                return (before + own.count_ones()) as usize;
            }
            if !valued.tighten(panel, &mut self.bounds[panel]) {
                self.bounds[panel][at] = valued.exact(entry);
            }
            self.top(panel);
            if let Some(&entry) = self.order.get(self.tops[panel].lane as usize) {
                valued.soon(entry);
            }
        }
    }

    /// Finds the first of a panel's largest bounds.
    fn top(&mut self, panel: usize) {
        // Closed lanes have no bound, so the whole panel can be looked at without asking.
        self.tops[panel] = match first_largest(&self.bounds[panel]) {
            Some((bound, row)) => Top {
                bound,
                lane: panel as u32 * PANEL_ROWS as u32 + row,
            },
            None => NONE,
        };
    }
}

fn place(lane: u32) -> (usize, usize) {
    (lane as usize / PANEL_ROWS, lane as usize % PANEL_ROWS)
}
