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

use perso_kernels::{PanelQueries, PANEL_ROWS};

use crate::rank::source::Source;

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
    mix: Vec<Vec<f64>>,
    mix_squared: f64,
    /// Two queries a direction, and their scales.
    queries: PanelQueries,
    scales: Vec<[f32; 2]>,
    /// The squares of what rounding took from the directions, summed.
    rest: f32,
    slack: f32,
    full: bool,
}

/// What the directions take away from the entries of a panel.
pub(super) struct Taken {
    seen: usize,
    /// By lane: the squares of the components, summed.
    squares: [f32; PANEL_ROWS],
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
            vectors: Vec::new(),
            constants: Vec::new(),
            mix: Vec::new(),
            mix_squared: 0.0,
            queries: PanelQueries::new(panels.kernels, &[], panels.dim),
            scales: Vec::new(),
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
        let mut mix: Vec<f64> = vec![0.0; count + 1];
        mix[count] = 1.0;
        for (component, row) in components.iter().zip(&self.mix) {
            for (to, from) in mix.iter_mut().zip(row) {
                *to -= component * from;
            }
        }
        mix.iter_mut().for_each(|x| *x /= length);
        let squared = self.mix_squared + mix.iter().fold(0.0, |sum, x| sum + x * x);
        // Twice: once for the direction, once for what it is a component of.
        let error = 2.0 * (squared * (count + 1) as f64).sqrt() as f32 * cosine_error(dim);

        let mut direction = vec![0.0f32; dim];
        self.source.unit(self.space, row, &mut direction);
        let mut constant = HALF;
        direction.iter_mut().for_each(|x| *x *= HALF);
        for (t, component) in components.iter().enumerate() {
            let component = *component as f32;
            let earlier = &self.vectors[t * dim..(t + 1) * dim];
            for (to, from) in direction.iter_mut().zip(earlier) {
                *to -= component * from;
            }
            constant -= component * self.constants[t];
        }
        let inverse = 1.0 / length as f32;
        direction.iter_mut().for_each(|x| *x *= inverse);

        let kernels = panels.kernels;
        let mut codes = vec![0i8; dim];
        let coarse = kernels.quantise(&direction, &mut codes);
        self.queries.push(&codes);
        let mut rest = direction.clone();
        for (x, code) in rest.iter_mut().zip(&codes) {
            *x -= coarse.scale * f32::from(*code);
        }
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
        self.scales.push([coarse.scale, fine.scale]);
    }

    /// Brings `taken` up to date; false where it is that.
    pub(super) fn take(&self, panels: &Panels<'_>, group: &Group, taken: &mut Taken) -> bool {
        if taken.seen == self.scales.len() {
            return false;
        }
        let panel = &group.panel;
        let mut dots = [[0i32; PANEL_ROWS]; 6];
        for first in (taken.seen..self.scales.len()).step_by(3) {
            let scales = &self.scales[first..self.scales.len().min(first + 3)];
            let dots = &mut dots[..2 * scales.len()];
            panels.kernels.dots(panel, &self.queries, 2 * first, dots);
            for (t, (pair, scale)) in (first..).zip(dots.as_chunks::<2>().0.iter().zip(scales)) {
                let constant = HALF * self.constants[t];
                let (coarse, fine) = (HALF * scale[0], HALF * scale[1]);
                for lane in 0..PANEL_ROWS {
                    let sum = pair[0][lane] as f32 * coarse + pair[1][lane] as f32 * fine;
                    let component = sum * panel.factor[lane] + constant;
                    taken.squares[lane] += component * component;
                }
            }
        }
        taken.seen = self.scales.len();
        true
    }

    /// No less than the square of what is left of each entry, and at most 1.
    pub(super) fn left(&self, group: &Group, taken: &Taken) -> [f32; PANEL_ROWS] {
        // What adding up squares in single precision may have taken too much.
        let rounding = (taken.seen + 8) as f32 * f32::EPSILON;
        let mut left = [0.0; PANEL_ROWS];
        for (lane, to) in left.iter_mut().enumerate() {
            // The constant component has half of the squared length.
            let whole = 0.5 * group.squared[lane] + 0.5;
            let squared = (whole - taken.squares[lane]).max(0.0) + rounding;
            let length = squared.sqrt() + HALF * group.panel.residual[lane] + self.slack;
            *to = (length * length).min(1.0);
        }
        left
    }
}
