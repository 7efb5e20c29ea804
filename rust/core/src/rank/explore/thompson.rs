//! Thompson sampling (Thompson, 1933): the best by `value + weight sample`, with one sample of each
//! item's posterior in each slot.
//!
//! # What is drawn
//!
//! In slot `t` every open item `j` gets a sample `s_j` from its posterior, keyed by (seed, request id,
//! item id, t), and the largest `v_j + w s_j` is shown; equal ones go to the first by (score, id). `v_j`
//! is the diversified value, or 0 where the sample replaces it. Samples are drawn anew for each slot.
//! With one sample for the whole slate the propensity of a slot would be conditional on an order of the
//! samples above it, an event whose probability vanishes as the slate grows; with samples of its own a
//! slot depends on the slots above through the eligible set and the values only, as every other explorer
//! does, and the first slot is the same either way. (Dimakopoulou, Vlassis and Jebara, 2019, sample the
//! marginal posteriors of a slate's slots in this way.)
//!
//! # What is logged
//!
//! The propensity of the item `i` that was shown is `P(v_j + w s_j < v_i + w s_i for all j)`. Given `s_i` the
//! others are independent, so it is the integral over `s_i` of its density times the product of the others'
//! distribution functions. It has no closed form, and is estimated by systematic sampling: a grid of `m`
//! equal steps over the whole range of `s_i` (of a variable that it depends on, see `posterior`, so that the
//! density is smooth and falls fast on both sides), moved by one uniform number, is an unbiased estimate
//! of the integral (Cranley and Patterson, 1976). The mean of [`SHIFTS`] of them, moved independently of each other and of
//! the draw, is the propensity; its standard error is their standard deviation over `sqrt(SHIFTS)`.
//!
//! For smooth integrands such a grid converges exponentially in `m` (Trefethen and Weideman, 2014). Tried
//! and rejected: counting wins in simulated slots, which gives 0 to what is rare; the mean of the product
//! over plain samples of `s_i`, which has the right mean too, but where an item wins only in the tail of
//! its posterior almost every such estimate is too small by orders of magnitude, and says so of its
//! error as well. The same holds for samples of the others.
//!
//! O(draws x open items) distribution functions a slot; fewer where the product vanishes early.

use crate::error::Result;
use crate::rank::rng::Draws;

use super::posterior::Posterior;
use super::{Draw, Estimate, Explore, SlotView};

/// Grids whose mean an estimate is.
pub const SHIFTS: u32 = 8;

/// Draws are fractions of 2^53: a summand below this changes no propensity that a draw could meet.
const NOTHING: f64 = 1e-30;

/// A probability below which an item does not win.
const VANISHED: f64 = 1e-20;

/// Thompson sampling.
pub struct Thompson<'a> {
    posterior: Posterior<'a>,
    weight: f64,
    replace: bool,
    draws: u32,
}

impl<'a> Thompson<'a> {
    /// `weight` is more than 0; `replace`: the sample alone decides, without the value; `draws`, a
    /// multiple of [`SHIFTS`], are the points that a propensity is estimated from.
    pub fn new(posterior: Posterior<'a>, weight: f64, replace: bool, draws: u32) -> Self {
        Thompson {
            posterior,
            weight,
            replace,
            draws,
        }
    }

    fn value(&self, slot: &SlotView<'_>, position: usize) -> f64 {
        if self.replace {
            0.0
        } else {
            // A value of minus infinity stays one that numbers can be taken from.
            slot.values[position].max(f64::MIN)
        }
    }

    /// Where an item can end up, `v + w s`.
    fn range(&self, slot: &SlotView<'_>, position: usize) -> (f64, f64) {
        let (low, high) = self.posterior.belief(slot.eligible[position]).range();
        let value = self.value(slot, position);
        (value + self.weight * low, value + self.weight * high)
    }

    fn is_certain(&self, slot: &SlotView<'_>, position: usize) -> bool {
        self.posterior.belief(slot.eligible[position]).is_certain()
    }

    /// How many items can come out first. One that is uncertain can if its upper end lies above all lower
    /// ends; one that is certain, if it is the first of the largest of these and above the lower ends of
    /// the uncertain ones.
    fn support(&self, slot: &SlotView<'_>) -> usize {
        let n = slot.eligible.len();
        let mut floor = f64::NEG_INFINITY;
        let mut certain: Option<(f64, usize)> = None;
        for position in 0..n {
            let (low, _) = self.range(slot, position);
            if !self.is_certain(slot, position) {
                floor = floor.max(low);
            } else if certain.is_none_or(|(best, _)| low > best) {
                certain = Some((low, position));
            }
        }
        let sure = certain.map_or(f64::NEG_INFINITY, |(best, _)| best);
        let uncertain = (0..n).filter(|&position| {
            let (_, high) = self.range(slot, position);
            !self.is_certain(slot, position) && high > floor.max(sure)
        });
        uncertain.count() + usize::from(sure > floor)
    }

    /// The probability that all others stay behind when the item at `at` comes out at `x`; 0 once it can
    /// no longer count, by the factor that it is multiplied with.
    fn others_behind(&self, slot: &SlotView<'_>, at: usize, x: f64, factor: f64) -> f64 {
        let mut product = 1.0;
        for (position, &entry) in slot.eligible.iter().enumerate() {
            if position == at {
                continue;
            }
            let belief = self.posterior.belief(entry);
            let value = self.value(slot, position);
            product *= if belief.is_certain() {
                let other = value + self.weight * belief.mean();
                f64::from(u8::from(x > other || (x == other && at < position)))
            } else {
                belief.cdf((x - value) / self.weight)
            };
            if product * factor < NOTHING {
                return 0.0;
            }
        }
        product
    }

    /// The part of a position's range where it can win: the others' product only grows along it, so what
    /// lies below a point where that has vanished can be left out, and the grid is finer for it.
    fn worth_looking(&self, slot: &SlotView<'_>, at: usize) -> (f64, f64) {
        let belief = self.posterior.belief(slot.eligible[at]);
        let value = self.value(slot, at);
        let (mut low, high) = belief.grid();
        let vanishes = |t: f64| {
            let x = value + self.weight * belief.at(t).0;
            self.others_behind(slot, at, x, 1.0) < VANISHED
        };
        if vanishes(low) {
            let mut above = high;
            for _ in 0..10 {
                let middle = 0.5 * (low + above);
                if vanishes(middle) {
                    low = middle;
                } else {
                    above = middle;
                }
            }
        }
        (low, high)
    }

    /// The propensity of a position, and its standard error.
    fn estimate(&self, slot: &SlotView<'_>, at: usize, draws: &Draws) -> (f64, f64) {
        let belief = self.posterior.belief(slot.eligible[at]);
        let value = self.value(slot, at);
        if belief.is_certain() {
            let x = value + self.weight * belief.mean();
            return (self.others_behind(slot, at, x, 1.0), 0.0);
        }
        let mut rng = draws.slot(slot.slot);
        let nodes = self.draws / SHIFTS;
        let (low, high) = self.worth_looking(slot, at);
        let step = (high - low) / f64::from(nodes);
        // Welford's running mean and sum of squared deviations.
        let (mut mean, mut squares) = (0.0, 0.0);
        for i in 1..=SHIFTS {
            let shift = rng.uniform();
            let mut sum = 0.0;
            for node in 0..nodes {
                let (sample, density) = belief.at(low + step * (f64::from(node) + shift));
                let x = value + self.weight * sample;
                sum += density * self.others_behind(slot, at, x, density);
            }
            let p = step * sum;
            let off = p - mean;
            mean += off / f64::from(i);
            squares += off * (p - mean);
        }
        let n = f64::from(SHIFTS);
        let error = (squares / (n - 1.0) / n).sqrt();
        // It was drawn, so its probability is not 0, even where the estimate vanishes.
        (mean.clamp(f64::MIN_POSITIVE, 1.0), error)
    }
}

impl Explore for Thompson<'_> {
    fn extend(&mut self, rows: &[u32]) -> Result<()> {
        self.posterior.extend(rows)
    }

    fn reads_values(&self, _: u64) -> bool {
        !self.replace
    }

    fn probabilities(&self, _: &SlotView<'_>) -> Option<Vec<f64>> {
        None
    }

    fn draw(&self, slot: &SlotView<'_>, draws: &Draws) -> Draw {
        if slot.eligible.len() == 1 {
            return Draw::exact(0, 1.0, 1);
        }
        let mut best = (f64::NEG_INFINITY, 0);
        for (position, &entry) in slot.eligible.iter().enumerate() {
            let mut rng = draws.item(self.posterior.stream(entry), slot.slot);
            let sample = self.posterior.belief(entry).sample(&mut rng);
            let x = self.value(slot, position) + self.weight * sample;
            if x > best.0 {
                best = (x, position);
            }
        }
        let position = best.1;
        let support = self.support(slot);
        if support == 1 {
            return Draw::exact(position, 1.0, 1);
        }
        let (propensity, standard_error) = self.estimate(slot, position, draws);
        Draw {
            position,
            propensity,
            support: support as u32,
            estimate: Some(Estimate {
                draws: self.draws,
                standard_error,
            }),
        }
    }
}
