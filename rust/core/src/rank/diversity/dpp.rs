//! Determinantal point process: fast greedy MAP inference (Chen, Zhang and Zhou, NeurIPS 2018,
//! arXiv 1709.05135, algorithm 1), evaluated lazily.
//!
//! A slate `Y` is worth `(1 - d) sum_{i in Y} rel_i + d ln det S_Y`: their trade-off of section 4.2, with
//! `d` for what they write as `1 - theta`, 0 for relevance only and 1 for diversity only. Up to the factor
//! `d` it is the log-probability of `Y` under the kernel `L = diag(q) S diag(q)` with
//! `q_i = exp((1 - d) / (2 d) rel_i)`. `rel` is the score on the scale of the first pool (see `scale`), `S`
//! as in `residual`. The objective gains
//!
//! ```text
//! (1 - d) rel_i + d ln max(d_i^2, FLOOR)
//! ```
//!
//! with item `i`, where `d_i^2 = det S_{Y + i} / det S_Y`; that is an entry's value. Factoring `S` and
//! not `L` gives the same choices, keeps large `q` out of the arithmetic, and needs no `exp`.
//!
//! `FLOOR` is 1e-6 of the largest possible `d_i^2`, which is 1. The paper stops when nothing above it is
//! left. A slate must be filled, so here the floor stands in for the logarithm: a duplicate is worth
//! `13.8 d` less than something all new, and when nothing new is left the order is that of the scores. So
//! `d` towards 0 leads to the order of the scores too, and no value is infinite.
//!
//! `d_i^2` only falls with each further item (the objective is submodular), so an old or a rough one gives an
//! upper bound, and the choice is lazy: by rounded vectors and directions for panels of 64 (see `lanes` and
//! `basis`), by the recurrence for the few entries that reach the best value, so the result is the eager one, bit
//! for bit. Cost: O(k pool dim) products of bytes, fewer where the head of the pool decides, and O(k (dim + k)) for
//! each entry that is valued.

use perso_kernels::PANEL_ROWS;

use crate::rank::source::Source;

use super::basis::{Basis, Taken};
use super::lanes::{Bounds, Lanes, Valued};
use super::lazy::{self, Lazy};
use super::residual::{Residuals, FLOOR};
use super::rounded::Panels;
use super::scale::Scale;
use super::Diversity;

/// The running state.
pub struct Dpp<'a> {
    exact: Exact<'a>,
    lanes: Option<Lanes>,
    /// Made when it is first asked.
    coarse: Option<Coarse<'a>>,
}

/// The values themselves.
struct Exact<'a> {
    source: &'a dyn Source,
    space: usize,
    diversity: f64,
    rows: Vec<u32>,
    relevance: Scale,
    /// Of the entries that were looked at, in that order.
    residuals: Residuals<'a>,
    /// By entry: its place there.
    places: Vec<u32>,
    chosen: Vec<u32>,
}

/// What is known of residuals from rounded vectors, by panel.
struct Coarse<'a> {
    panels: Panels<'a>,
    basis: Basis<'a>,
    taken: Vec<Taken>,
    relevance: Vec<[f64; PANEL_ROWS]>,
}

const UNSEEN: u32 = u32::MAX;

impl<'a> Dpp<'a> {
    /// Compares items in one space of the source; `diversity` lies in (0, 1].
    pub fn new(source: &'a dyn Source, space: usize, diversity: f64) -> Self {
        Dpp {
            exact: Exact {
                source,
                space,
                diversity,
                rows: Vec::new(),
                relevance: Scale::default(),
                residuals: Residuals::new(source, space, None),
                places: Vec::new(),
                chosen: Vec::new(),
            },
            lanes: None,
            coarse: None,
        }
    }
}

/// What an entry of this relevance gains, of which `squared` is new.
pub(super) fn gain(diversity: f64, relevance: f64, squared: f64) -> f64 {
    (1.0 - diversity) * relevance + diversity * libm::log(squared.max(FLOOR))
}

impl Exact<'_> {
    /// The place of an entry among those that were looked at.
    fn place(&mut self, entry: u32) -> u32 {
        let place = &mut self.places[entry as usize];
        if *place == UNSEEN {
            *place = self.residuals.push(self.rows[entry as usize]);
        }
        *place
    }
}

impl Lazy for Exact<'_> {
    fn bound(&self, entry: u32) -> f64 {
        let squared = match self.places[entry as usize] {
            UNSEEN => 1.0,
            place => self.residuals.squared(place),
        };
        gain(self.diversity, self.relevance.of(entry), squared)
    }

    fn is_behind(&self, entry: u32) -> bool {
        match self.places[entry as usize] {
            UNSEEN => !self.chosen.is_empty(),
            place => self.residuals.is_behind(place),
        }
    }

    fn advance(&mut self, entry: u32) {
        let place = self.place(entry);
        self.residuals.advance(place);
    }
}

impl<'a> Coarse<'a> {
    fn new(exact: &Exact<'a>, lanes: &Lanes) -> Self {
        let rows = lanes
            .order()
            .iter()
            .map(|&entry| exact.rows[entry as usize]);
        let panels = Panels::new(exact.source, exact.space, rows.collect());
        let mut relevance = vec![[0.0; PANEL_ROWS]; lanes.panels()];
        for (panel, relevance) in relevance.iter_mut().enumerate() {
            for (to, &entry) in relevance.iter_mut().zip(lanes.entries(panel)) {
                *to = exact.relevance.of(entry);
            }
        }
        let mut coarse = Coarse {
            basis: Basis::new(exact.source, exact.space, &panels),
            taken: (0..lanes.panels()).map(|_| Taken::nothing()).collect(),
            relevance,
            panels,
        };
        for slot in 0..exact.chosen.len() {
            coarse.push(exact, slot);
        }
        coarse
    }

    fn push(&mut self, exact: &Exact<'_>, slot: usize) {
        if let Some((components, length)) = exact.residuals.direction(slot) {
            let row = exact.chosen[slot];
            self.basis.push(&self.panels, row, &components, length);
        }
    }
}

/// Bounds from the one, values from the other.
struct Both<'m, 'a>(&'m mut Exact<'a>, &'m mut Coarse<'a>);

impl Valued for Both<'_, '_> {
    fn tighten(&mut self, panel: usize, bounds: &mut Bounds) -> bool {
        let Both(exact, coarse) = self;
        let taken = &mut coarse.taken[panel];
        if coarse.panels.get(panel).is_none() {
            return false;
        }
        let Some(group) = coarse.panels.made(panel) else {
            return false;
        };
        if !coarse.basis.take(&coarse.panels, group, taken) {
            return false;
        }
        let logs = coarse.basis.log_left(&coarse.panels, group, taken);
        let relevance = &coarse.relevance[panel];
        let d = exact.diversity;
        for lane in 0..PANEL_ROWS {
            let bound = (1.0 - d) * relevance[lane] + d * f64::from(logs[lane]);
            bounds[lane] = bounds[lane].min(bound);
        }
        true
    }

    fn soon(&self, entry: u32) {
        if self.0.is_behind(entry) {
            let row = self.0.rows[entry as usize];
            self.0.source.prefetch(self.0.space, row, false);
        }
    }

    fn is_exact(&self, entry: u32) -> bool {
        !self.0.is_behind(entry)
    }

    fn exact(&mut self, entry: u32) -> f64 {
        self.0.catch_up(entry);
        self.0.bound(entry)
    }
}

impl Diversity for Dpp<'_> {
    fn extend(&mut self, rows: &[u32], scores: &[f64], first: usize) {
        let exact = &mut self.exact;
        exact.relevance.extend(scores, first);
        exact.rows.extend_from_slice(&rows[first..]);
        exact.places.resize(rows.len(), UNSEEN);
        self.lanes = None;
        self.coarse = None;
    }

    fn value(&mut self, entry: u32) -> f64 {
        self.exact.catch_up(entry);
        self.exact.bound(entry)
    }

    fn chosen(&mut self, entry: u32) {
        let exact = &mut self.exact;
        let place = exact.place(entry);
        exact.residuals.chosen(place);
        exact.chosen.push(exact.rows[entry as usize]);
        if let Some(coarse) = &mut self.coarse {
            coarse.push(exact, exact.chosen.len() - 1);
        }
        self.closed(entry);
    }

    fn closed(&mut self, entry: u32) {
        if let Some(lanes) = &mut self.lanes {
            lanes.close(entry);
        }
    }

    fn best(&mut self, open: &[u32]) -> usize {
        let exact = &mut self.exact;
        let lanes = self
            .lanes
            .get_or_insert_with(|| Lanes::new(open, exact.rows.len(), |entry| exact.bound(entry)));
        if exact.chosen.is_empty() || lanes.len() != open.len() {
            // Nothing to compare with, or only a part of what is open.
            return lazy::best(exact, open);
        }
        let coarse = self.coarse.get_or_insert_with(|| Coarse::new(exact, lanes));
        lanes.best(&mut Both(exact, coarse))
    }
}
