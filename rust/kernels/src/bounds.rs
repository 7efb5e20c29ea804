//! What is made of the sums of a panel's rows, 64 lanes at a time.
//!
//! The arithmetic is plain Rust on arrays, compiled once for each row of the dispatch table, where the compiler
//! makes vectors of it; each operation rounds as written (no product is fused with a sum), so every row gives
//! the same bits.

use crate::panel::{Panel, PanelQueries, PANEL_ROWS};
use crate::{Kernels, Limit};

/// A number for each row of a panel.
pub type Lane = [f32; PANEL_ROWS];

/// The largest of a panel's values and the first row that has it; `None` where all are negative infinity. No value is NaN.
pub fn first_largest(values: &[f64; PANEL_ROWS]) -> Option<(f64, u32)> {
    // In eight lanes, because one maximum would wait for the one before.
    let mut most = [f64::NEG_INFINITY; 8];
    for eight in values.as_chunks::<8>().0 {
        for (most, &value) in most.iter_mut().zip(eight) {
            *most = if value > *most { value } else { *most };
        }
    }
    let largest = most.into_iter().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return None;
    }
    let mut equal = 0u64;
    for (at, &value) in values.iter().enumerate() {
        equal |= u64::from(value == largest) << at;
    }
    Some((largest, equal.trailing_zeros()))
}

/// How the sums of a pair of queries, a coarse one and a fine one, become a component: `(coarse * c + fine * f) *
/// factor + constant`, with the factor of the row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Direction {
    /// Multiplies the coarse sum.
    pub coarse: f32,
    /// Multiplies the fine sum.
    pub fine: f32,
    /// The part that does not depend on the sums.
    pub constant: f32,
}

/// What of a row is left, from the squares of its components; see [`Kernels::log_left`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Left {
    /// Added to the square of what is left.
    pub rounding: f32,
    /// Multiplies the row's residual, which is added to the length.
    pub residual: f32,
    /// Added to the length.
    pub slack: f32,
    /// Squares below this count as this.
    pub floor: f32,
}

pub(crate) type Raise = unsafe fn(&Panel, &PanelQueries, usize, &[Limit], &mut Lane);
pub(crate) type Spend = unsafe fn(&Panel, &PanelQueries, usize, &[Direction], &mut Lane);
pub(crate) type LogLeft = unsafe fn(&Lane, &Lane, &Lane, Left, &mut Lane);
pub(crate) type Subtract = unsafe fn(&mut [f32], f32, &[f32]);
pub(crate) type SubtractCodes = unsafe fn(&mut [f32], f32, &[i8]);

impl Kernels {
    /// Raises `most` to the largest [`Limit`] bound of each row over the queries from `first` on, one a limit;
    /// thresholds are not looked at.
    ///
    /// # Panics
    /// As [`Kernels::dots`].
    pub fn raise(
        &self,
        panel: &Panel,
        queries: &PanelQueries,
        first: usize,
        limits: &[Limit],
        most: &mut Lane,
    ) {
        self.check(panel, queries, first, limits.len());
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        unsafe { (self.raise)(panel, queries, first, limits, most) }
    }

    /// Adds the squares of each row's components to `squares`: along `directions`, whose pairs of queries lie from
    /// query `first` on.
    ///
    /// # Panics
    /// As [`Kernels::dots`].
    pub fn spend(
        &self,
        panel: &Panel,
        queries: &PanelQueries,
        first: usize,
        directions: &[Direction],
        squares: &mut Lane,
    ) {
        self.check(panel, queries, first, 2 * directions.len());
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        unsafe { (self.spend)(panel, queries, first, directions, squares) }
    }

    /// For each row no less than the natural logarithm of the square of `sqrt(max(whole - spent, 0) + rounding) +
    /// residual r + slack`, that square being held between `floor` (at least 1e-6) and 1; 1e-5 more at most.
    pub fn log_left(
        &self,
        whole: &Lane,
        spent: &Lane,
        residuals: &Lane,
        left: Left,
        logs: &mut Lane,
    ) {
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        unsafe { (self.log_left)(whole, spent, residuals, left, logs) }
    }

    /// Takes `factor` times `y` from `x`, component by component.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn subtract(&self, x: &mut [f32], factor: f32, y: &[f32]) {
        assert!(
            x.len() == y.len(),
            "subtract: vectors must have one length; got {} and {}",
            x.len(),
            y.len()
        );
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        unsafe { (self.subtract)(x, factor, y) }
    }

    /// The same with codes.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn subtract_codes(&self, x: &mut [f32], factor: f32, codes: &[i8]) {
        assert!(
            x.len() == codes.len(),
            "subtract_codes: vectors must have one length; got {} and {}",
            x.len(),
            codes.len()
        );
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        unsafe { (self.subtract_codes)(x, factor, codes) }
    }
}

#[inline(always)]
pub(crate) fn subtract_codes(x: &mut [f32], factor: f32, codes: &[i8]) {
    for (x, code) in x.iter_mut().zip(codes) {
        *x -= factor * f32::from(*code);
    }
}

#[inline(always)]
pub(crate) fn raise(dots: &[[i32; PANEL_ROWS]], panel: &Panel, limits: &[Limit], most: &mut Lane) {
    for (dots, limit) in dots.iter().zip(limits) {
        for lane in 0..PANEL_ROWS {
            let (n, p) = (panel.norm[lane], panel.residual[lane]);
            let error = limit.a + n * (limit.b + n * limit.c);
            let bound =
                (dots[lane] as f32 * panel.factor[lane]) * limit.scale + error + limit.d * p;
            most[lane] = if bound > most[lane] {
                bound
            } else {
                most[lane]
            };
        }
    }
}

#[inline(always)]
pub(crate) fn spend(
    dots: &[[i32; PANEL_ROWS]],
    panel: &Panel,
    directions: &[Direction],
    squares: &mut Lane,
) {
    for (pair, along) in dots.as_chunks::<2>().0.iter().zip(directions) {
        for lane in 0..PANEL_ROWS {
            let sum = pair[0][lane] as f32 * along.coarse + pair[1][lane] as f32 * along.fine;
            let component = sum * panel.factor[lane] + along.constant;
            squares[lane] += component * component;
        }
    }
}

#[inline(always)]
pub(crate) fn log_left(whole: &Lane, spent: &Lane, residuals: &Lane, left: Left, logs: &mut Lane) {
    for lane in 0..PANEL_ROWS {
        let rest = whole[lane] - spent[lane];
        let rest = if rest > 0.0 { rest } else { 0.0 };
        let length = (rest + left.rounding).sqrt() + left.residual * residuals[lane] + left.slack;
        let square = length * length;
        let square = if square < 1.0 { square } else { 1.0 };
        let square = if square > left.floor {
            square
        } else {
            left.floor
        };
        logs[lane] = above_log(square);
    }
}

#[inline(always)]
pub(crate) fn subtract(x: &mut [f32], factor: f32, y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x -= factor * y;
    }
}

/// No less than the natural logarithm of a float from 1e-6 to 1, and no more than 1e-5 above it.
///
/// With `x = m 2^e` and `m` in [0.7, 1.4), `ln x = e ln 2 + 2 artanh s` for `s = (m - 1) / (m + 1)`, `|s| <= 0.18`,
/// of which four terms of the series leave less than 1e-7.
#[inline(always)]
fn above_log(x: f32) -> f32 {
    /// The bits of 0.7: less these, the exponent is that of `x / m`.
    const LEAST: u32 = 0x3f33_3333;
    let bits = x.to_bits();
    let exponent = (bits.wrapping_sub(LEAST) as i32) >> 23;
    let m = f32::from_bits(bits.wrapping_sub((exponent << 23) as u32));
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let series = 2.0 * s * (1.0 + s2 * (1.0 / 3.0 + s2 * (0.2 + s2 * (1.0 / 7.0))));
    exponent as f32 * std::f32::consts::LN_2 + series + 5e-6
}

/// These for the instruction set of the caller, whose `dots` must be in scope.
macro_rules! bounds_kernels {
    ($(#[$feature:meta])?) => {
        $(#[$feature])?
        pub(crate) fn raise(
            panel: &$crate::Panel,
            queries: &$crate::PanelQueries,
            first: usize,
            limits: &[$crate::Limit],
            most: &mut $crate::Lane,
        ) {
            let mut sums = [[0i32; $crate::PANEL_ROWS]; $crate::panel::PASS];
            for (first, limits) in (first..).step_by(sums.len()).zip(limits.chunks(sums.len())) {
                let sums = &mut sums[..limits.len()];
                dots(panel, queries, first, sums);
                $crate::bounds::raise(sums, panel, limits, most);
            }
        }

        $(#[$feature])?
        pub(crate) fn spend(
            panel: &$crate::Panel,
            queries: &$crate::PanelQueries,
            first: usize,
            directions: &[$crate::Direction],
            squares: &mut $crate::Lane,
        ) {
            let mut sums = [[0i32; $crate::PANEL_ROWS]; $crate::panel::PASS];
            let runs = directions.chunks(sums.len() / 2);
            for (first, directions) in (first..).step_by(sums.len()).zip(runs) {
                let sums = &mut sums[..2 * directions.len()];
                dots(panel, queries, first, sums);
                $crate::bounds::spend(sums, panel, directions, squares);
            }
        }

        $(#[$feature])?
        pub(crate) fn log_left(
            whole: &$crate::Lane,
            spent: &$crate::Lane,
            residuals: &$crate::Lane,
            left: $crate::Left,
            logs: &mut $crate::Lane,
        ) {
            $crate::bounds::log_left(whole, spent, residuals, left, logs);
        }

        $(#[$feature])?
        pub(crate) fn subtract(x: &mut [f32], factor: f32, y: &[f32]) {
            $crate::bounds::subtract(x, factor, y);
        }

        $(#[$feature])?
        pub(crate) fn subtract_codes(x: &mut [f32], factor: f32, codes: &[i8]) {
            $crate::bounds::subtract_codes(x, factor, codes);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::above_log;

    #[test]
    fn the_logarithm_is_above_and_near() {
        let mut x = 9e-7f32;
        while x <= 1.0 {
            let (rough, exact) = (f64::from(above_log(x)), f64::from(x).ln());
            assert!(
                rough >= exact && rough <= exact + 1e-5,
                "{x}: {rough} for {exact}"
            );
            x *= 1.000_003;
        }
        assert!(above_log(1.0) >= 0.0);
    }
}
