//! The directions that chosen items add, rounded, and how much of each pool entry they leave.
//!
//! With `b_t` the direction of the item chosen for slot `t`, made orthogonal to those before it and of length 1,
//! what is left of an entry's vector `x` has the length `d = |x - sum_t <x, b_t> b_t|` (see `residual`, which has the
//! recurrence that values are worked out by). From the entry's codes `x~` the same length `d~` follows with
//! `|d - d~| <= |x - x~|`, however many directions there are: what is left of a difference is no longer than the
//! difference. That is what makes codes of 8 bits good enough here, where errors of single components would
//! add up and be divided by small `d_t`.
//!
//! Directions are rounded to a pair of codes, coarse and fine, which leaves some 3e-5 of each. That, and what float32
//! cosines differ from inner products of unit vectors, is counted in `slack`: with `M` the matrix that makes
//! directions out of chosen vectors and `e` the error of a cosine, components differ by at most `|M| sqrt(t) e`
//! in all, with the Frobenius norm. When near-copies have been chosen that grows beyond use; then no further
//! direction is taken in, and bounds stay what they are.
//!
//! Vectors have the constant component of `residual`: `[x, 1] / sqrt 2`.

use perso_kernels::{Direction, Lane, Left, PanelQueries, PANEL_ROWS};

use crate::rank::source::Source;

use super::residual::FLOOR;
use super::rounded::{cosine_error, Group, Panels};

/// With more than this the bounds would tell nothing.
const MOST_SLACK: f32 = 0.03;

const HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// The directions so far.
pub(super) struct Basis<'a> {
    source: &'a dyn Source,
    space: usize,
    /// One after the other, and their constant components.
    vectors: Vec<f32>,
    constants: Vec<f32>,
    /// Rows of `M`.
    mix: Vec<Vec<f32>>,
    mix_squared: f32,
    /// Two queries a direction, and how their sums become components.
    queries: PanelQueries,
    directions: Vec<Direction>,
    /// The squares of what rounding took from the directions, summed.
    rest: f32,
    slack: f32,
    full: bool,
}

/// What the directions take away from the entries of a panel.
pub(super) struct Taken {
    seen: usize,
    /// By lane: the squares of the components, summed.
    squares: Lane,
}

impl Taken {
    pub(super) fn nothing() -> Self {
        Taken {
            seen: 0,
            squares: [0.0; PANEL_ROWS],
        }
    }
}

impl<'a> Basis<'a> {
    pub(super) fn new(source: &'a dyn Source, space: usize, panels: &Panels<'_>) -> Self {
        Basis {
            source,
            space,
            vectors: Vec::with_capacity(16 * panels.dim),
            constants: Vec::new(),
            mix: Vec::new(),
            mix_squared: 0.0,
            queries: PanelQueries::new(panels.kernels, &[], panels.dim),
            directions: Vec::new(),
            rest: 0.0,
            slack: 0.0,
            full: false,
        }
    }

    /// Takes in the direction of a row: its components along those before it, and the length of what is left.
    pub(super) fn push(&mut self, panels: &Panels<'_>, row: u32, components: &[f64], length: f64) {
        let count = self.constants.len();
        if self.full || components.len() != count {
            self.full = true;
            return;
        }
        let dim = panels.dim;
        let mut mix = vec![0.0f32; count + 1];
        mix[count] = 1.0;
        for (component, row) in components.iter().zip(&self.mix) {
            let part = &mut mix[..row.len()];
            panels.kernels.subtract(part, *component as f32, row);
        }
        let inverse = 1.0 / length as f32;
        mix.iter_mut().for_each(|x| *x *= inverse);
        let squared = self.mix_squared + panels.kernels.dot_f32(&mix, &mix);
        // Twice: once for the direction, once for what it is a component of.
        let error = 2.0 * (squared * (count + 1) as f32).sqrt() * cosine_error(dim);

        let mut direction = vec![0.0f32; dim];
        self.source.unit(self.space, row, &mut direction);
        let mut constant = HALF;
        direction.iter_mut().for_each(|x| *x *= HALF);
        for (t, component) in components.iter().enumerate() {
            let component = *component as f32;
            let earlier = &self.vectors[t * dim..(t + 1) * dim];
            panels.kernels.subtract(&mut direction, component, earlier);
            constant -= component * self.constants[t];
        }
        direction.iter_mut().for_each(|x| *x *= inverse);

        let kernels = panels.kernels;
        let mut codes = vec![0i8; dim];
        let coarse = kernels.quantise(&direction, &mut codes);
        self.queries.push(&codes);
        let mut rest = direction.clone();
        kernels.subtract_codes(&mut rest, coarse.scale, &codes);
        let fine = kernels.quantise(&rest, &mut codes);
        self.queries.push(&codes);
        if !coarse.scale.is_finite() || !fine.scale.is_finite() {
            self.full = true;
            return;
        }
        self.rest += 1.01 * fine.residual2;
        let slack = error + 1.02 * self.rest.sqrt();
        if slack > MOST_SLACK {
            self.full = true;
            return;
        }
        self.slack = slack;
        self.mix_squared = squared;
        self.mix.push(mix);
        self.vectors.extend_from_slice(&direction);
        self.constants.push(constant * inverse);
        self.directions.push(Direction {
            coarse: HALF * coarse.scale,
            fine: HALF * fine.scale,
            constant: HALF * constant * inverse,
        });
    }

    /// Brings `taken` up to date; false where it is that.
    pub(super) fn take(&self, panels: &Panels<'_>, group: &Group, taken: &mut Taken) -> bool {
        let first = std::mem::replace(&mut taken.seen, self.directions.len());
        if first == self.directions.len() {
            return false;
        }
        let new = &self.directions[first..];
        let (panel, squares) = (&group.panel, &mut taken.squares);
        let kernels = panels.kernels;
        kernels.spend(panel, &self.queries, 2 * first, new, squares);
        true
    }

    /// No less than the logarithm of the square of what is left of each entry.
    pub(super) fn log_left(&self, panels: &Panels<'_>, group: &Group, taken: &Taken) -> Lane {
        let left = Left {
            // What adding up squares in single precision may have taken too much.
            rounding: (taken.seen + 8) as f32 * f32::EPSILON,
            residual: HALF,
            slack: self.slack,
            floor: FLOOR as f32,
        };
        let mut logs = [0.0; PANEL_ROWS];
        let (whole, residuals) = (&group.whole, &group.panel.residual);
        let kernels = panels.kernels;
        kernels.log_left(whole, &taken.squares, residuals, left, &mut logs);
        logs
    }
}
