//! The three metrics and the three storage types, by the names users write.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How two vectors are compared. Scores are higher-is-better for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Raw inner product; the score is `q·x`.
    Ip,
    /// Cosine; the score is `q·x / (|q| |x|)`, and 0 when either vector is zero.
    Cosine,
    /// Squared Euclidean distance; the score is `-|q - x|²`.
    L2,
}

impl Metric {
    /// From the user's spelling.
    pub fn parse(argument: &str, name: &str) -> Result<Self> {
        match name {
            "ip" => Ok(Metric::Ip),
            "cosine" => Ok(Metric::Cosine),
            "l2" => Ok(Metric::L2),
            other => Err(Error::invalid(
                argument,
                "\"ip\", \"cosine\" or \"l2\"",
                format!("{other:?}"),
            )),
        }
    }

    /// The user's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Metric::Ip => "ip",
            Metric::Cosine => "cosine",
            Metric::L2 => "l2",
        }
    }
}

/// What a stored vector component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// IEEE single: exact.
    F32,
    /// IEEE half, round to nearest even.
    F16,
    /// Signed byte with one scale per vector: codes in [-127, 127].
    I8,
}

impl Dtype {
    /// From the user's spelling.
    pub fn parse(argument: &str, name: &str) -> Result<Self> {
        match name {
            "f32" => Ok(Dtype::F32),
            "f16" => Ok(Dtype::F16),
            "i8" => Ok(Dtype::I8),
            other => Err(Error::invalid(
                argument,
                "\"f32\", \"f16\" or \"i8\"",
                format!("{other:?}"),
            )),
        }
    }

    /// The user's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::I8 => "i8",
        }
    }

    /// Bytes of one component.
    pub fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 => 2,
            Dtype::I8 => 1,
        }
    }
}
