//! How far a walk goes: a number of rows, or until what is left lies too far off.
//!
//! A walk that follows the best `ef` rows it meets does so for every query alike, although one query has its
//! answer after ten rows and another needs hundreds. The distances tell them apart: a row is worth following
//! while it is not much farther from the query than the k-th best row found so far (Al-Jazzazi et al.,
//! "Distance Adaptive Beam Search", NeurIPS 2025, arXiv 2505.15636). So a walk goes on while
//!
//! `distance² <= ratio * (distance of the k-th best)²`
//!
//! and `ef` stays the one number that users choose, through the ratio within which a typical query has `ef`
//! rows. Around a point of data of intrinsic dimension `m` the number of rows within a distance grows with
//! its m-th power (Levina and Bickel, "Maximum Likelihood Estimation of Intrinsic Dimension", NIPS 2004), so
//! that is `ratio = (ef / k)^(2/m)`, with `m` measured on a sample of the rows (`vectors/sample.rs`). Where rows
//! crowd around the k-th, more than `ef` are followed, and fewer where they stand apart; the bounds on both sides
//! are for data whose neighbourhoods are unlike each other, in which the first group of rows that a walk comes
//! upon may not be the nearest one.
//!
//! Under a filter the k-th best *eligible* row is the measure. Within the ratio of its distance lie about `ef` eligible
//! rows, and with them the `ef / s` rows to walk through where the share `s` of all is eligible at random; fewer where
//! the rows around the query are eligible more often than others, and more where less often. So one ratio does for all.
//!
//! Under inner product there is no distance that this could be said of: there the number is fixed.

use crate::metric::Metric;

/// Of `ef`, the share that is followed in any case.
const LEAST: f32 = 0.35;
/// At most this many times `ef` rows are followed.
const MOST: usize = 2;

/// How many rows a walk follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    /// The answer whose distance is the measure; 0 when the number is fixed.
    k: usize,
    /// What a typical query follows.
    ef: usize,
    least: usize,
    most: usize,
    ratio: f32,
}

impl Extent {
    /// This many, whatever their scores.
    pub fn fixed(ef: usize) -> Self {
        Extent {
            k: 0,
            ef,
            least: ef,
            most: ef,
            ratio: 1.0,
        }
    }

    /// About `ef` for a typical query that wants `k` answers, in data of this intrinsic dimension.
    pub fn of(ef: usize, k: usize, dimension: f32) -> Self {
        let share = ef as f32 / k.max(1) as f32;
        Extent {
            k: k.max(1),
            ef,
            least: ((LEAST * ef as f32) as usize).max(1),
            most: MOST * ef,
            ratio: libm::powf(share, 2.0 / dimension),
        }
    }

    /// The same, with another number of rows at most.
    pub fn up_to(self, most: usize) -> Self {
        Extent {
            most: most.max(self.least),
            ..self
        }
    }

    /// Rows that are followed for a typical query.
    pub fn breadth(&self) -> usize {
        self.ef
    }

    /// Rows that are followed in any case.
    pub fn least(&self) -> usize {
        self.least
    }

    /// Rows that are followed at most.
    pub fn most(&self) -> usize {
        self.most
    }

    /// The answer whose score [`Extent::floor`] is asked with; 0 when it need not be.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The lowest score that is worth following beyond the least number, given that of the k-th best.
    #[inline]
    pub fn floor(&self, metric: Metric, kth: f32) -> f32 {
        match metric {
            _ if self.k == 0 => f32::NEG_INFINITY,
            Metric::Ip => f32::NEG_INFINITY,
            // The squared distance between two unit vectors is 2 - 2 cos.
            Metric::Cosine => 1.0 - self.ratio * (1.0 - kth),
            Metric::L2 => self.ratio * kth,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_holds_ef_rows_where_rows_fill_a_ball() {
        // N(r) = r^m: the ef-th row of n lies at (ef/n)^(1/m), and the k-th at (k/n)^(1/m).
        for (ef, k, m) in [(100, 10, 8.0f64), (50, 10, 35.0), (64, 1, 2.0)] {
            let at = |count: usize| (count as f64 / 1e5).powf(1.0 / m);
            let extent = Extent::of(ef, k, m as f32);
            let floor = extent.floor(Metric::L2, -(at(k) * at(k)) as f32);
            let count = 1e5 * f64::from(-floor).sqrt().powf(m);
            assert!(
                (count / ef as f64 - 1.0).abs() < 1e-3,
                "{ef} {k} {m}: {count}"
            );
            // The same points as unit vectors: half the squared distance is what the cosine lacks to 1.
            let cosine = extent.floor(Metric::Cosine, 1.0 - (at(k) * at(k) / 2.0) as f32);
            assert!((f64::from(1.0 - cosine) / f64::from(-floor) - 0.5).abs() < 1e-3);
        }
    }

    #[test]
    fn a_fixed_number_knows_no_floor() {
        for metric in [Metric::Ip, Metric::Cosine, Metric::L2] {
            assert_eq!(Extent::fixed(7).floor(metric, 0.5), f32::NEG_INFINITY);
        }
        assert_eq!(
            Extent::of(100, 10, 9.0).floor(Metric::Ip, 0.5),
            f32::NEG_INFINITY
        );
    }
}
