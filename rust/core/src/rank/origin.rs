//! What a slate was made from, in words that an audit reads: the content hash names it, this describes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A source, as a record describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// `catalog`, `candidates` or `capsule`.
    pub kind: String,
    /// Items in it.
    pub items: u64,
    /// Its spaces by name.
    pub spaces: BTreeMap<String, OriginSpace>,
    /// What a capsule was packed from; absent elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packed: Option<Packed>,
}

/// What a capsule was packed from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packed {
    /// The generation of the catalog.
    pub generation: u64,
    /// The hash of its content.
    pub content_hash: String,
    /// When, in microseconds since the epoch.
    pub made_at: i64,
    /// Until when it may be ranked.
    pub expires_at: i64,
    /// Which key signed it.
    pub key_id: String,
}

/// A space of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginSpace {
    /// Components of a vector.
    pub dim: u64,
    /// How vectors are compared.
    pub metric: String,
    /// How they are stored.
    pub dtype: String,
    /// What lay beside them when the slate was made; absent for candidates. It is no part of the content, so a
    /// replay does not compare it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
}

impl Origin {
    /// With the layouts that another description has: what is left to compare is content.
    pub(crate) fn with_layouts_of(mut self, other: &Origin) -> Self {
        for (name, space) in &mut self.spaces {
            if let Some(other) = other.spaces.get(name) {
                space.layout.clone_from(&other.layout);
            }
        }
        self
    }
}
