//! Which scale a signal is brought to: the part of a policy's document; `blend` has the formulas.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a signal is brought to a common scale; the formulas are in `blend`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Normalize {
    /// As it is.
    None,
    /// 0 for the smallest of the pool, 1 for the largest.
    Minmax,
    /// Mean 0 and standard deviation 1 over the pool.
    Zscore,
    /// 0 for the last of the pool, 1 for the first.
    Rank,
    /// `(x - origin) / unit`, whoever else is in the pool.
    Linear {
        /// The value that becomes 0.
        origin: f64,
        /// The difference that becomes 1.
        unit: f64,
    },
    /// `1 / (1 + exp(-(x - origin) / unit))`.
    Sigmoid {
        /// The value that becomes 1/2.
        origin: f64,
        /// The difference over which it rises from there to 0.73.
        unit: f64,
    },
    /// `1 / (k + rank)`, with rank 1 for the largest of the pool.
    Rrf {
        /// What softens the lead of the first.
        k: f64,
    },
    /// The share of a population below, from its quantiles.
    Percentiles {
        /// Quantiles at even steps from 0 to 1, ascending.
        at: Vec<f64>,
    },
}

/// Most quantiles in a table.
const MOST_QUANTILES: usize = 10_001;

impl Normalize {
    /// Checks every parameter; `argument` names the signal.
    pub(crate) fn validate(&self, argument: &str) -> Result<()> {
        match self {
            Normalize::None | Normalize::Minmax | Normalize::Zscore | Normalize::Rank => Ok(()),
            Normalize::Linear { origin, unit } | Normalize::Sigmoid { origin, unit } => {
                if !origin.is_finite() {
                    let name = format!("{argument}.normalize.origin");
                    return Err(Error::invalid(name, "a finite number", origin));
                }
                if !unit.is_normal() {
                    let name = format!("{argument}.normalize.unit");
                    return Err(Error::invalid(name, "a finite number other than 0", unit));
                }
                Ok(())
            }
            Normalize::Rrf { k } => {
                if (0.0..=f64::MAX).contains(k) {
                    return Ok(());
                }
                let name = format!("{argument}.normalize.k");
                Err(Error::invalid(name, "a finite number of at least 0", k))
            }
            Normalize::Percentiles { at } => {
                let rising = at.windows(2).all(|pair| pair[0] <= pair[1]) && at.first() < at.last();
                let good = (2..=MOST_QUANTILES).contains(&at.len())
                    && at.iter().all(|value| value.is_finite());
                if good && rising {
                    return Ok(());
                }
                Err(Error::invalid(
                    format!("{argument}.normalize.values"),
                    format!(
                        "2 to {MOST_QUANTILES} finite numbers in ascending order, not all the same"
                    ),
                    format!("{} numbers", at.len()),
                ))
            }
        }
    }
}
