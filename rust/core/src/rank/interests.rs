//! Users who want several things: what a user is in one space.
//!
//! One vector is a point between all that somebody likes, where there may be nothing. With several, an item is as
//! near to the user as to the interest that it is nearest to (`Combine::Max`; so do Pal et al., "PinnerSage:
//! Multi-Modal User Embedding Framework for Recommendations at Pinterest", KDD 2020, retrieve), or on average
//! (`Combine::Mean`). With s_i the metric's score of an item and interest i, of weight w_i,
//!
//! ```text
//! max:  max_i w_i s_i        mean:  sum_i w_i s_i / sum_i w_i
//! ```
//!
//! less `negative_weight * max(0, max_j s_j)` over vectors of what is not wanted. Scores are float32, as everywhere;
//! the arithmetic here is float64 in the order of the vectors. A score of l2 is a distance, negative, so a weight
//! or a negative vector has no such meaning there, and is refused.

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::metric::Metric;

use super::policy::hex;

/// What a user is in one space.
#[derive(Clone, Debug, PartialEq)]
pub enum Taste {
    /// One vector.
    Vector(Vec<f32>),
    /// Several.
    Interests(Box<Interests>),
}

/// Several vectors of one user.
#[derive(Clone, Debug, PartialEq)]
pub struct Interests {
    /// At least one.
    pub vectors: Vec<Vec<f32>>,
    /// One per vector, above 0 and at most 1.
    pub weights: Vec<f64>,
    /// What is not wanted.
    pub negative: Vec<Vec<f32>>,
    /// At least 0.
    pub negative_weight: f64,
    /// What becomes of the scores of the vectors.
    pub combine: Combine,
}

/// How the scores of several vectors become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// The largest weighted score.
    Max,
    /// The weighted mean.
    Mean,
}

impl Combine {
    /// As users see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Combine::Max => "max",
            Combine::Mean => "mean",
        }
    }

    /// From that spelling.
    pub fn parse(name: &str) -> Option<Self> {
        [Combine::Max, Combine::Mean]
            .into_iter()
            .find(|combine| combine.as_str() == name)
    }
}

impl From<Vec<f32>> for Taste {
    fn from(vector: Vec<f32>) -> Self {
        Taste::Vector(vector)
    }
}

impl Taste {
    /// Every vector in it, negative ones last.
    pub(crate) fn vectors(&self) -> impl Iterator<Item = &[f32]> {
        let (one, several) = match self {
            Taste::Vector(vector) => (Some(vector.as_slice()), None),
            Taste::Interests(interests) => (None, Some(interests)),
        };
        let several = several
            .into_iter()
            .flat_map(|all| all.vectors.iter().chain(&all.negative))
            .map(Vec::as_slice);
        one.into_iter().chain(several)
    }

    /// Checks what is not a matter of single vectors.
    pub(crate) fn check(&self, argument: &str, metric: Metric) -> Result<()> {
        let Taste::Interests(all) = self else {
            return Ok(());
        };
        if all.vectors.is_empty() {
            return Err(Error::invalid(argument, "at least one vector", "none"));
        }
        if all.weights.len() != all.vectors.len() {
            return Err(Error::invalid(
                format!("{argument}.weights"),
                format!("{}, one per vector", all.vectors.len()),
                all.weights.len(),
            ));
        }
        if let Some(bad) = all.weights.iter().find(|&&w| !(w > 0.0 && w <= 1.0)) {
            return Err(Error::invalid(
                format!("{argument}.weights"),
                "numbers above 0 and at most 1",
                bad,
            ));
        }
        if !(0.0..=f64::MAX).contains(&all.negative_weight) {
            return Err(Error::invalid(
                format!("{argument}.negative_weight"),
                "a finite number of at least 0",
                all.negative_weight,
            ));
        }
        if metric == Metric::L2 {
            if !all.negative.is_empty() {
                return Err(Error::invalid(
                    format!("{argument}.negative"),
                    "none in a space with metric l2, whose scores are never above 0",
                    format!("{} vectors", all.negative.len()),
                ));
            }
            if all.combine == Combine::Max && all.weights.iter().any(|&w| w != 1.0) {
                return Err(Error::invalid(
                    format!("{argument}.weights"),
                    "weights of 1 for the nearest interest by metric l2, whose scores are distances",
                    format!("{:?}", all.weights),
                ));
            }
        }
        Ok(())
    }

    /// The queries whose answers are candidates: each interest, or their weighted mean.
    pub(crate) fn queries(&self, metric: Metric) -> Vec<Vec<f32>> {
        match self {
            Taste::Vector(vector) => vec![vector.clone()],
            Taste::Interests(all) if all.combine == Combine::Max => all.vectors.clone(),
            Taste::Interests(all) => vec![all.mean(metric)],
        }
    }

    /// SHA-256 of all of it: of a vector's little-endian floats, or of several with what belongs to them.
    pub(crate) fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let mut floats = |vector: &[f32]| vector.iter().for_each(|x| hash.update(x.to_le_bytes()));
        match self {
            Taste::Vector(vector) => floats(vector),
            Taste::Interests(all) => {
                self.vectors().for_each(&mut floats);
                hash.update(all.combine.as_str());
                for number in [
                    all.vectors.len(),
                    all.negative.len(),
                    all.vectors.first().map_or(0, Vec::len),
                ] {
                    hash.update((number as u64).to_le_bytes());
                }
                for number in all.weights.iter().chain([&all.negative_weight]) {
                    hash.update(number.to_le_bytes());
                }
            }
        }
        hex(&hash.finalize())
    }
}

impl Interests {
    /// The vector whose order is that of the mean score: for cosine the mean of directions.
    fn mean(&self, metric: Metric) -> Vec<f32> {
        let dim = self.vectors[0].len();
        let mut sum = vec![0.0f64; dim];
        let total: f64 = self.weights.iter().sum();
        for (vector, weight) in self.vectors.iter().zip(&self.weights) {
            let square: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            let unit = match metric {
                Metric::Cosine if square > 0.0 => square.sqrt(),
                _ => 1.0,
            };
            for (sum, &x) in sum.iter_mut().zip(vector) {
                *sum += weight / total * f64::from(x) / unit;
            }
        }
        sum.into_iter().map(|x| x as f32).collect()
    }

    /// The score of an item whose scores with the vectors are `scores`, negative ones last.
    pub(crate) fn score(&self, scores: impl Iterator<Item = f64> + Clone) -> f64 {
        let interests = self.weights.iter().zip(scores.clone());
        let wanted = match self.combine {
            Combine::Max => interests.fold(f64::NEG_INFINITY, |best, (w, s)| best.max(w * s)),
            Combine::Mean => {
                let total: f64 = self.weights.iter().sum();
                interests.fold(0.0, |sum, (w, s)| sum + w * s) / total
            }
        };
        let unwanted = scores.skip(self.weights.len()).fold(0.0, f64::max);
        if unwanted > 0.0 {
            wanted - self.negative_weight * unwanted
        } else {
            wanted
        }
    }
}
