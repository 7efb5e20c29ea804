//! What a space is, in the words that users choose it with.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::hnsw::Params;
use crate::metric::{Dtype, Metric};

/// What a space keeps beside its vectors, to find neighbours with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// The space picks: nothing while a scan takes no longer than a walk, a graph from then on.
    #[default]
    Auto,
    /// Nothing: every search scores every eligible row.
    Exact,
    /// A graph of row numbers.
    Compact,
    /// The same graph, with short codes of the neighbours in each row.
    Local,
}

impl Layout {
    /// From the user's spelling.
    pub fn parse(argument: &str, name: &str) -> Result<Self> {
        [Layout::Auto, Layout::Exact, Layout::Compact, Layout::Local]
            .into_iter()
            .find(|layout| layout.as_str() == name)
            .ok_or_else(|| {
                let expected = "\"auto\", \"exact\", \"compact\" or \"local\"";
                Error::invalid(argument, expected, format!("{name:?}"))
            })
    }

    /// The user's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Layout::Auto => "auto",
            Layout::Exact => "exact",
            Layout::Compact => "compact",
            Layout::Local => "local",
        }
    }
}

/// The finer copy of the vectors that the last step of a search scores with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rescore {
    /// In half precision.
    F16,
}

impl Rescore {
    /// From the user's spelling.
    pub fn parse(argument: &str, name: &str) -> Result<Self> {
        match name {
            "f16" => Ok(Rescore::F16),
            other => Err(Error::invalid(
                argument,
                "None or \"f16\"",
                format!("{other:?}"),
            )),
        }
    }

    /// The user's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Rescore::F16 => "f16",
        }
    }

    /// How the copy is stored.
    pub fn dtype(self) -> Dtype {
        match self {
            Rescore::F16 => Dtype::F16,
        }
    }
}

/// The part of a space's description that a file keeps as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Components of a vector.
    pub dim: usize,
    /// How scores are made.
    pub metric: Metric,
    /// Storage type.
    pub dtype: Dtype,
    /// Links a row.
    pub m: usize,
    /// Breadth while building.
    pub ef_construction: usize,
    /// Seed of the graph.
    pub seed: u64,
    /// What lies beside the vectors. Files of version 1 do not say.
    #[serde(default)]
    pub layout: Layout,
    /// The finer copy, beside int8 codes only. Files of version 1 have none.
    #[serde(default)]
    pub rescore: Option<Rescore>,
}

impl Spec {
    /// A space with the defaults of everything else.
    pub fn new(dim: usize, metric: Metric, dtype: Dtype) -> Self {
        Spec {
            dim,
            metric,
            dtype,
            m: 16,
            ef_construction: 200,
            seed: 0,
            layout: Layout::Auto,
            rescore: None,
        }
    }

    /// Refuses a description that no space can have; the dimensions are the store's to check.
    pub fn check(&self) -> Result<()> {
        self.params().check()?;
        match self.rescore {
            Some(rescore) if self.dtype != Dtype::I8 => Err(Error::invalid(
                "rescore",
                "None, or dtype \"i8\" beside it",
                format!(
                    "{:?} with dtype {:?}",
                    rescore.as_str(),
                    self.dtype.as_str()
                ),
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn params(&self) -> Params {
        Params {
            m: self.m,
            ef_construction: self.ef_construction,
            seed: self.seed,
        }
    }
}
