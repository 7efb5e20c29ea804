//! What is known of each item: a posterior from two numbers that come as signals or attributes.
//!
//! Beta: counts of what went well and what did not, added to those of the prior; a missing count is 0,
//! so an item that nobody has seen has the prior. Gaussian: a mean and a standard deviation; an item
//! with either missing has the prior, and is refused where there is none. A number that is withheld
//! from the request, and no attribute has its name, counts for nothing there: 0 with certainty.

use crate::error::{Error, Result};
use crate::rank::bind::Input;
use crate::rank::rng::{item_stream, SlotRng};
use crate::rank::source::Source;

use super::sampling;
use super::spec::PosteriorSpec;
use super::special::{beta_cdf, ln_beta, normal_cdf};

/// Counts above this would leave the distribution function without figures.
const MOST: f64 = 1e9;

/// Beyond this a standard normal has less than 2^-54 of its mass.
const FAR: f64 = 8.3;

/// The square root of 2 pi.
const SQRT_TAU: f64 = 2.506_628_274_631_000_5;

/// How far a logarithm of a density falls within a grid.
const FALL: f64 = 40.0;

/// Where the logit of a Beta variate is most likely, and its standard deviation for large counts.
fn logit_scale(a: f64, b: f64) -> (f64, f64) {
    (libm::log(a / b), (1.0 / a + 1.0 / b).sqrt())
}

/// `log(1 + e^y)`.
fn log1p_exp(y: f64) -> f64 {
    if y > 40.0 {
        y
    } else {
        libm::log1p(libm::exp(y))
    }
}

/// One item's.
#[derive(Clone, Copy, Debug)]
pub enum Belief {
    /// Beta(a, b).
    Beta {
        /// Of what went well.
        a: f64,
        /// Of what did not.
        b: f64,
        /// The logarithm of the beta function of both.
        ln_beta: f64,
    },
    /// Normal.
    Gaussian {
        /// Mean.
        mean: f64,
        /// Standard deviation; 0 for a number that is known.
        std: f64,
    },
}

impl Belief {
    /// Beta(a, b), both more than 0.
    pub fn beta(a: f64, b: f64) -> Self {
        let ln_beta = ln_beta(a, b);
        Belief::Beta { a, b, ln_beta }
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        match *self {
            Belief::Beta { a, b, .. } => a / (a + b),
            Belief::Gaussian { mean, .. } => mean,
        }
    }

    /// The standard deviation.
    pub fn std(&self) -> f64 {
        match *self {
            Belief::Beta { a, b, .. } => {
                let n = a + b;
                (a / n * (b / n) / (n + 1.0)).sqrt()
            }
            Belief::Gaussian { std, .. } => std,
        }
    }

    /// Whether it is one number with certainty.
    pub fn is_certain(&self) -> bool {
        matches!(self, Belief::Gaussian { std: 0.0, .. })
    }

    /// The smallest interval that holds all of it.
    pub fn range(&self) -> (f64, f64) {
        match *self {
            Belief::Beta { .. } => (0.0, 1.0),
            Belief::Gaussian { mean, std: 0.0 } => (mean, mean),
            Belief::Gaussian { .. } => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// One sample.
    pub fn sample(&self, rng: &mut SlotRng) -> f64 {
        match *self {
            Belief::Beta { a, b, .. } => sampling::beta(a, b, rng),
            Belief::Gaussian { mean, std } => mean + std * sampling::normal(rng),
        }
    }

    /// The range of the grid's variable `t`, outside which the density has fallen by more than e^40. Of
    /// one that is not certain.
    ///
    /// The sample is `mean + std sinh(t)` for a Gaussian and the inverse logit of `top + width sinh(t)` for
    /// a Beta, whose own density may be infinite at its ends: equal steps of `t` are small where most of
    /// the mass is, and reach far into tails that fall no faster than exponentially (Takahasi and Mori,
    /// 1974).
    pub fn grid(&self) -> (f64, f64) {
        match *self {
            Belief::Gaussian { .. } => {
                let edge = libm::asinh(FALL.sqrt() * std::f64::consts::SQRT_2);
                (-edge, edge)
            }
            Belief::Beta { a, b, .. } => {
                let (top, width) = logit_scale(a, b);
                let height = |y: f64| -a * log1p_exp(-y) - b * log1p_exp(y);
                let floor = height(top) - FALL;
                // The density of the logit is log-concave, so each side falls for good.
                let edge = |sign: f64| {
                    let mut inside = 0.0;
                    let mut outside = 1.0;
                    while height(top + sign * width * outside) > floor {
                        inside = outside;
                        outside *= 2.0;
                    }
                    for _ in 0..20 {
                        let middle = 0.5 * (inside + outside);
                        if height(top + sign * width * middle) > floor {
                            inside = middle;
                        } else {
                            outside = middle;
                        }
                    }
                    sign * libm::asinh(outside)
                };
                (edge(-1.0), edge(1.0))
            }
        }
    }

    /// The sample at a point of the grid, and the density of `t` there.
    pub fn at(&self, t: f64) -> (f64, f64) {
        let (far, slope) = (libm::sinh(t), libm::cosh(t));
        match *self {
            Belief::Gaussian { mean, std } => {
                let density = libm::exp(-0.5 * far * far) / SQRT_TAU;
                (mean + std * far, density * slope)
            }
            Belief::Beta { a, b, ln_beta } => {
                let (top, width) = logit_scale(a, b);
                let y = top + width * far;
                let log = -a * log1p_exp(-y) - b * log1p_exp(y) - ln_beta;
                (1.0 / (1.0 + libm::exp(-y)), libm::exp(log) * width * slope)
            }
        }
    }

    /// The probability of a sample of at most `x`; of one that is not certain.
    pub fn cdf(&self, x: f64) -> f64 {
        match *self {
            Belief::Beta { a, b, ln_beta } => {
                // A beta variate is sub-Gaussian with variance proxy 1 / (4 (a + b + 1)) (Marchal and
                // Arbel, 2017), so beyond this less than e^-42 < 2^-60 of it is left.
                let above = x - a / (a + b);
                if above > 0.0 && 2.0 * (a + b + 1.0) * above * above > 42.0 {
                    return 1.0;
                }
                beta_cdf(a, b, ln_beta, x)
            }
            Belief::Gaussian { mean, std } => {
                let z = (x - mean) / std;
                if z > FAR {
                    1.0
                } else {
                    normal_cdf(z)
                }
            }
        }
    }
}

/// The posteriors of a pool's entries.
pub struct Posterior<'a> {
    source: &'a dyn Source,
    spec: &'a PosteriorSpec,
    inputs: Vec<(&'a str, Input<'a>)>,
    /// By pool entry.
    beliefs: Vec<Belief>,
    /// By pool entry: where its random numbers are read.
    streams: Vec<u64>,
}

impl<'a> Posterior<'a> {
    pub(crate) fn new(
        source: &'a dyn Source,
        spec: &'a PosteriorSpec,
        inputs: Vec<(&'a str, Input<'a>)>,
    ) -> Self {
        Posterior {
            source,
            spec,
            inputs,
            beliefs: Vec::new(),
            streams: Vec::new(),
        }
    }

    /// Takes in the rows of further pool entries.
    pub fn extend(&mut self, rows: &[u32]) -> Result<()> {
        for &row in rows {
            self.beliefs.push(self.belief_of(row)?);
            self.streams.push(item_stream(&self.source.ids().id(row)));
        }
        Ok(())
    }

    /// One entry's.
    pub fn belief(&self, entry: u32) -> &Belief {
        &self.beliefs[entry as usize]
    }

    /// Where one entry's random numbers are read.
    pub fn stream(&self, entry: u32) -> u64 {
        self.streams[entry as usize]
    }

    fn belief_of(&self, row: u32) -> Result<Belief> {
        let value = |i: usize| match self.inputs.get(i).map(|(_, input)| input) {
            Some(Input::Signal(values)) => values.value(row),
            Some(Input::Attribute(column)) => column.numeric(row).unwrap_or(f64::NAN),
            _ => f64::NAN,
        };
        match self.spec {
            PosteriorSpec::Beta { prior, .. } => {
                let mut counts = *prior;
                for (i, count) in counts.iter_mut().enumerate() {
                    let more = value(i);
                    if !more.is_nan() {
                        if !(0.0..=MOST).contains(&more) {
                            return Err(self.wrong(i, row, "counts from 0 to 1e9", more));
                        }
                        *count += more;
                    }
                }
                Ok(Belief::beta(counts[0], counts[1]))
            }
            PosteriorSpec::Gaussian { prior, .. } => {
                let (mean, std) = (value(0), value(1));
                if let Some(missing) = [mean, std].iter().position(|x| x.is_nan()) {
                    let withheld =
                        |(_, input): &(&str, Input<'_>)| matches!(input, Input::Withheld);
                    if prior.is_none() && self.inputs.iter().any(withheld) {
                        let (mean, std) = (0.0, 0.0);
                        return Ok(Belief::Gaussian { mean, std });
                    }
                    let Some([mean, std]) = *prior else {
                        let expected = "a number for every candidate, or a prior for those without";
                        return Err(self.wrong(missing, row, expected, "none"));
                    };
                    return Ok(Belief::Gaussian { mean, std });
                }
                if std < 0.0 {
                    return Err(self.wrong(1, row, "standard deviations of at least 0", std));
                }
                Ok(Belief::Gaussian { mean, std })
            }
        }
    }

    fn wrong(&self, i: usize, row: u32, expected: &str, got: impl std::fmt::Display) -> Error {
        Error::invalid(
            format!("{} ({:?})", self.spec.arguments()[i], self.spec.names()[i]),
            expected,
            format!("{got} for item {}", self.source.ids().id(row)),
        )
    }
}
