//! A capsule: the candidates of one request in one signed file, which a device ranks again by itself.
//!
//! A server packs what a policy needs of some items (`pack`); a device checks the signature, the moments and every number
//! (`open`), and then ranks as a catalog is ranked, because a capsule is a [`Source`] (`source`): the same code, the same
//! policy, exact propensities. What the user does meanwhile stays in a profile on the device.
//!
//! ```text
//! 0          4   size of the buffer that follows (u32, little endian)
//! 4          n   a FlatBuffer by rust/core/schema/capsule.fbs; its bytes 4 to 7, the file's 8 to 11, are "PCC1"
//! 4 + n      8   which key signed: the first bytes of the SHA-256 of the public key
//! 12 + n     64  Ed25519 signature over all before it
//! ```
//!
//! FlatBuffers, because they are read in place: codes of int8, scales, halves and ids are windows into the file's bytes, in
//! memory or wherever the caller has them. Protocol Buffers would have been unpacked into copies. The signature is not a
//! field of the buffer: it would have to be left out of what it is over, and a reader would have parsed a buffer that
//! nobody has vouched for yet. As it is nothing but four numbers at fixed places is read before the signature is checked.
//!
//! A file is read into memory, not mapped: somebody could change a mapped file after its signature was checked.

mod columns;
#[rustfmt::skip]
#[allow(unsafe_code, clippy::all, clippy::undocumented_unsafe_blocks, missing_docs, rust_2018_idioms)]
mod generated;
mod open;
mod pack;
mod sign;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::column::Column;
use crate::error::{Error, Refusal, Result};
use crate::format::{write_bytes, Mapping};
use crate::ids::{Id, IdMap, Ids};
use crate::profile::Plan;
use crate::rank::{
    rank, record_json_of, replay_with, Personal, Policy, Request, Slate, SpaceInfo, UserVectors,
};
use crate::store::VectorStore;

pub use pack::{candidates_of, pack, seal, Numbers, Packing};
pub use sign::{PrivateKey, PublicKey, KEY_BYTES};

/// Candidates of a capsule, at most.
pub const MOST_ITEMS: usize = 65_535;
/// Bytes of a capsule, at most.
pub const MOST_BYTES: usize = 1 << 28;
/// A device's clock may be so much behind the server's, in microseconds: a capsule that seems to be made later than that is
/// refused.
pub const CLOCK_TOLERANCE_US: i64 = 300_000_000;

/// Where a capsule comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The version of the library that made it.
    pub library: String,
    /// The generation of the catalog it was made from.
    pub generation: u64,
    /// The hash of that catalog's content.
    pub content_hash: String,
    /// When it was made: microseconds since the epoch.
    pub made_at: i64,
    /// From this moment on it is refused.
    pub expires_at: i64,
    /// Which key signed it: [`PublicKey::id`].
    pub key_id: String,
}

/// An open capsule. It never changes, so any number of threads may use it at once.
#[derive(Debug)]
pub struct Capsule {
    map: Arc<Mapping>,
    hash: String,
    ids: IdMap,
    spaces: Vec<SpaceInfo>,
    stores: Vec<VectorStore>,
    scores: Option<Vec<f64>>,
    attributes: BTreeMap<String, Column>,
    signals: BTreeMap<String, Column>,
    policy: Arc<Policy>,
    plan: Option<Arc<Plan>>,
    provenance: Provenance,
}

impl Capsule {
    /// How many candidates it has: at least one.
    #[allow(clippy::len_without_is_empty)] // None is empty.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The candidates, in the order that the server gave them.
    pub fn ids(&self) -> Ids {
        self.ids.live_ids()
    }

    /// Ids and rows.
    pub fn id_map(&self) -> &IdMap {
        &self.ids
    }

    /// Its spaces.
    pub fn spaces(&self) -> &[SpaceInfo] {
        &self.spaces
    }

    /// Its attributes by name.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &Column)> {
        self.attributes.iter().map(|(name, c)| (name.as_str(), c))
    }

    /// The policy that it is ranked by.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// What profiles are to learn from; `None` where the server did not say.
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        self.plan.as_ref()
    }

    /// Where it comes from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// SHA-256 of all but the key's id and the signature, in hex: what a record names it by.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        self.map.bytes()
    }

    /// Writes the file: it is there whole, or as it was before.
    pub fn save(&self, path: &std::path::Path) -> Result<()> {
        write_bytes(path, self.bytes())
    }

    /// A candidate's vector as stored: what a profile observes.
    pub fn vector(&self, id: &Id, space: &str) -> Result<Vec<f32>> {
        let row = self.ids.require(id)?;
        let at = self.spaces.iter().position(|info| info.name == space);
        let at = at.ok_or_else(|| Error::missing("space", format!("{space:?}")))?;
        let mut out = vec![0.0; self.spaces[at].dim];
        self.stores[at].get(row, &mut out);
        Ok(out)
    }

    /// Refuses a moment outside those at which it may be used.
    pub fn check_moment(&self, at: i64) -> Result<()> {
        let Provenance {
            made_at,
            expires_at,
            ..
        } = self.provenance;
        check_moment(made_at, expires_at, at)
    }

    /// Ranks by the capsule's own policy. A moment outside those at which it may be used is refused.
    pub fn rank(&self, request: &Request) -> Result<Slate> {
        rank(self, &self.policy, request)
    }

    /// The record of a slate that was ranked from it. [`UserVectors::Withheld`] is what may leave the device.
    pub fn record(&self, slate: &Slate, user: UserVectors) -> Result<String> {
        record_json_of(slate, &self.hash, user, None)
    }

    /// Makes the slate of a record again, bit for bit. What the record withholds has to be given.
    pub fn replay(&self, json: &str, personal: Personal) -> Result<Slate> {
        replay_with(json, self, personal)
    }
}

/// Refuses a moment outside those at which a capsule may be used.
fn check_moment(made_at: i64, expires_at: i64, at: i64) -> Result<()> {
    if at >= expires_at {
        return Err(Error::capsule(
            Refusal::Expired,
            format!("the capsule has expired: it was good until {expires_at} µs since the epoch, and this is {at}"),
        ));
    }
    if at < made_at.saturating_sub(CLOCK_TOLERANCE_US) {
        return Err(Error::capsule(
            Refusal::Future,
            format!("the capsule was made in the future: at {made_at} µs since the epoch, and this is {at}"),
        ));
    }
    Ok(())
}
