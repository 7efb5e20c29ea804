//! What a record keeps of a user's vectors.

use serde::{Deserialize, Serialize};

use super::interests::{Combine, Interests, Taste};

/// What a user is in one space: a vector, or several with what belongs to them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum RecordedTaste {
    Vector(Vec<f64>),
    Interests(RecordedInterests),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordedInterests {
    vectors: Vec<Vec<f64>>,
    weights: Vec<f64>,
    negative: Vec<Vec<f64>>,
    negative_weight: f64,
    combine: String,
}

impl RecordedTaste {
    /// As it is recorded.
    pub(super) fn new(taste: &Taste) -> Self {
        let shorts = |vector: &Vec<f32>| vector.iter().map(|&x| short(x)).collect();
        match taste {
            Taste::Vector(vector) => RecordedTaste::Vector(shorts(vector)),
            Taste::Interests(all) => RecordedTaste::Interests(RecordedInterests {
                vectors: all.vectors.iter().map(shorts).collect(),
                weights: all.weights.clone(),
                negative: all.negative.iter().map(shorts).collect(),
                negative_weight: all.negative_weight,
                combine: all.combine.as_str().into(),
            }),
        }
    }

    /// What was recorded; `None` where it cannot have been.
    pub(crate) fn taste(&self) -> Option<Taste> {
        let floats = |vector: &Vec<f64>| vector.iter().map(|&x| x as f32).collect();
        Some(match self {
            RecordedTaste::Vector(vector) => Taste::Vector(floats(vector)),
            RecordedTaste::Interests(all) => Taste::Interests(Box::new(Interests {
                vectors: all.vectors.iter().map(floats).collect(),
                weights: all.weights.clone(),
                negative: all.negative.iter().map(floats).collect(),
                negative_weight: all.negative_weight,
                combine: Combine::parse(&all.combine)?,
            })),
        })
    }
}

/// The double with the fewest digits that rounds to this float; the float itself where a decimal
/// that is short for a float would round twice to another one.
fn short(x: f32) -> f64 {
    // In half the time of `to_string`; for NaN it writes what is no number.
    let text = serde_json::to_string(&x).unwrap_or_default();
    match text.parse::<f64>() {
        Ok(wide) if (wide as f32).to_bits() == x.to_bits() => wide,
        _ => f64::from(x),
    }
}
