//! A hash of the content that costs O(what changed), not O(catalog), to keep current.
//!
//! Each *fact* is hashed by itself, with SHA-256: that an item has these vectors, and that an item has this
//! value of an attribute. The hashes are added as 256-bit integers modulo 2²⁵⁶ (AdHash: Bellare and
//! Micciancio, EUROCRYPT 1997). Adding and subtracting facts is then adding and subtracting numbers, and the
//! order in which they came does not matter. A counter that changes costs two blocks of SHA-256, whatever
//! the size of the vectors beside it. The sum names the data; it is no protection against somebody who crafts
//! items to collide, which the file checksums are not either.
//!
//! Releases before hashed an item with all its attributes at once ([`Catalog::first_content_hash`]): files of
//! format version 1 and 2 state that hash, and so do records of that time.

use sha2::{Digest, Sha256};

use super::Catalog;
use crate::column::{Column, Value};

/// A 256-bit sum of item hashes, least significant word first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ContentHash(pub(super) [u64; 4]);

impl ContentHash {
    pub(super) fn add(&mut self, item: [u8; 32]) {
        let mut carry = false;
        for (word, bytes) in self.0.iter_mut().zip(item.chunks_exact(8)) {
            let (sum, first) = word.overflowing_add(word_of(bytes));
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *word = sum;
            carry = first || second;
        }
    }

    pub(super) fn subtract(&mut self, item: [u8; 32]) {
        let mut borrow = false;
        for (word, bytes) in self.0.iter_mut().zip(item.chunks_exact(8)) {
            let (rest, first) = word.overflowing_sub(word_of(bytes));
            let (rest, second) = rest.overflowing_sub(u64::from(borrow));
            *word = rest;
            borrow = first || second;
        }
    }
}

fn word_of(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, byte| word << 8 | u64::from(*byte))
}

impl Catalog {
    /// The hash of the fact that a row's item has its vectors.
    pub(super) fn vectors_hash(&self, row: u32) -> [u8; 32] {
        let mut bytes = Vec::with_capacity(512);
        bytes.push(0);
        self.ids.id(row).canonical_bytes(&mut bytes);
        for space in &self.spaces {
            space.row_bytes_into(row, &mut bytes);
        }
        Sha256::digest(&bytes).into()
    }

    /// The hash of the fact that a row's item has its value of an attribute; `None` for a null, which is
    /// no fact.
    pub(super) fn value_hash(
        &self,
        row: u32,
        name: &str,
        column: &Column,
        bytes: &mut Vec<u8>,
    ) -> Option<[u8; 32]> {
        bytes.clear();
        bytes.push(1);
        self.ids.id(row).canonical_bytes(bytes);
        bytes.extend((name.len() as u64).to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        let before = bytes.len();
        column.row_bytes(row, bytes);
        // The first byte of a null is 0, and all that there is.
        (bytes[before] != 0).then(|| Sha256::digest(&*bytes).into())
    }

    /// The hashes of all facts about a row's item.
    pub(super) fn facts(&self, row: u32) -> Vec<[u8; 32]> {
        let mut bytes = Vec::with_capacity(64);
        let values = self.columns.iter();
        let values =
            values.filter_map(|(name, column)| self.value_hash(row, name, column, &mut bytes));
        std::iter::once(self.vectors_hash(row))
            .chain(values)
            .collect()
    }

    /// 64 hex digits that stand for the content: spaces (name, dim, metric, dtype, finer copy), items and
    /// attributes. Independent of the order of insertion and of the graphs, and so of the layout.
    pub fn content_hash(&self) -> String {
        self.hash_of("perso_core.content/2", self.hash)
    }

    /// The hash that releases with format versions 1 and 2 gave the same content. It is worked out anew, in
    /// time O(catalog).
    pub fn first_content_hash(&self) -> String {
        let mut sum = ContentHash::default();
        self.ids.live_rows().for_each(|row| {
            let mut bytes = Vec::with_capacity(512);
            self.ids.id(row).canonical_bytes(&mut bytes);
            for space in &self.spaces {
                space.row_bytes_into(row, &mut bytes);
            }
            for (name, column) in &self.columns {
                if column.get(row) != Value::Null {
                    bytes.extend((name.len() as u64).to_le_bytes());
                    bytes.extend_from_slice(name.as_bytes());
                    column.row_bytes(row, &mut bytes);
                }
            }
            sum.add(Sha256::digest(&bytes).into());
        });
        self.hash_of("perso_core.content/1", sum)
    }

    fn hash_of(&self, version: &str, sum: ContentHash) -> String {
        let mut hasher = Sha256::new();
        hasher.update(version);
        for (name, spec) in self.specs() {
            hasher.update((name.len() as u64).to_le_bytes());
            hasher.update(name);
            hasher.update((spec.dim as u64).to_le_bytes());
            hasher.update(spec.metric.as_str());
            hasher.update([0]);
            hasher.update(spec.dtype.as_str());
            hasher.update([0]);
            // A space without a finer copy has the hash that it had before there were any.
            if let Some(rescore) = spec.rescore {
                hasher.update(rescore.as_str());
                hasher.update([0xff]);
            }
        }
        hasher.update((self.len() as u64).to_le_bytes());
        for word in sum.0 {
            hasher.update(word.to_le_bytes());
        }
        hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The sum over all live items, from scratch: what the kept sum must equal.
    pub(super) fn recomputed_hash(&self) -> ContentHash {
        let mut hash = ContentHash::default();
        for row in self.ids.live_rows() {
            self.facts(row).into_iter().for_each(|fact| hash.add(fact));
        }
        hash
    }
}
