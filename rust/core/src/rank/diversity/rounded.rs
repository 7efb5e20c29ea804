//! A pool's unit vectors rounded to int8, in panels of 64: what bounds of cosines are worked out from.
//!
//! With `x` a unit vector, `x~` what its codes stand for and `r = x - x~`, the inner product of `x` with any `y` lies
//! within `|r| |y|` of that of `x~`: some hundredths at most, and nothing where the source stores codes. A panel
//! gives 64 such products in the time of two or three on floats (see `perso_kernels::Panel`), and its codes
//! stay in cache where the floats do not.

use perso_kernels::{Kernels, Lane, Panel, PANEL_ROWS};

use crate::rank::source::Source;
use crate::store::Rounded;

/// Rows that are fetched before their turn.
const AHEAD: usize = 6;

/// A panel with what its lanes stand for.
pub(super) struct Group {
    pub(super) panel: Panel,
    /// The squared length of each `[x~, 1] / sqrt 2`, or 1 where it stands for the vector itself.
    pub(super) whole: Lane,
}

/// The panels of a pool, lane by lane as `Lanes` has them; each is made when it is first asked for.
pub(super) struct Panels<'a> {
    source: &'a dyn Source,
    space: usize,
    pub(super) kernels: &'static Kernels,
    pub(super) dim: usize,
    /// By lane.
    rows: Vec<u32>,
    groups: Vec<State>,
    codes: Vec<i8>,
}

enum State {
    Unmade,
    /// A vector is too small or too large to be rounded.
    Never,
    Made(Box<Group>),
}

impl<'a> Panels<'a> {
    /// The panels for these rows of a space.
    pub(super) fn new(source: &'a dyn Source, space: usize, rows: Vec<u32>) -> Self {
        let dim = source.spaces()[space].dim;
        let count = rows.len().div_ceil(PANEL_ROWS);
        Panels {
            source,
            space,
            kernels: Kernels::get(),
            dim,
            rows,
            groups: (0..count).map(|_| State::Unmade).collect(),
            codes: vec![0; PANEL_ROWS * dim],
        }
    }

    /// A panel; None where it cannot be made.
    pub(super) fn get(&mut self, panel: usize) -> Option<&Group> {
        if matches!(self.groups[panel], State::Unmade) {
            self.groups[panel] = match self.make(panel) {
                Some(group) => State::Made(Box::new(group)),
                None => State::Never,
            };
        }
        self.made(panel)
    }

    /// A panel that was made.
    pub(super) fn made(&self, panel: usize) -> Option<&Group> {
        match &self.groups[panel] {
            State::Made(group) => Some(group),
            _ => None,
        }
    }

    fn make(&mut self, panel: usize) -> Option<Group> {
        let dim = self.dim;
        let mut group = Group {
            panel: Panel::new(self.kernels, dim),
            whole: [0.0; PANEL_ROWS],
        };
        let rows = &self.rows[panel * PANEL_ROWS..];
        for (lane, &row) in rows.iter().take(PANEL_ROWS).enumerate() {
            if let Some(&soon) = rows.get(lane + AHEAD) {
                self.source.prefetch(self.space, soon, true);
            }
            let codes = &mut self.codes[lane * dim..(lane + 1) * dim];
            let rounded = self.source.round(self.space, row, codes)?;
            group.panel.factor[lane] = rounded.factor;
            group.panel.residual[lane] = rounded.residual;
            group.whole[lane] = 0.5 * rounded.squared + 0.5;
        }
        self.kernels.pack(&self.codes, &mut group.panel);
        Some(group)
    }
}

/// How far the float32 cosine of a source may lie from the inner product of the unit vectors.
pub(super) fn cosine_error(dim: usize) -> f32 {
    // A dot product in 32 lanes and a tree, two norms, a product and a quotient: each step at most half a unit.
    (dim / 32 + 24) as f32 * f32::EPSILON
}

/// The codes of one row.
pub(super) fn codes(source: &dyn Source, space: usize, row: u32) -> Option<(Vec<i8>, Rounded)> {
    let mut codes = vec![0; source.spaces()[space].dim];
    let rounded = source.round(space, row, &mut codes)?;
    Some((codes, rounded))
}
