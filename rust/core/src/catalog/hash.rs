//! A hash of the content that costs O(changed items), not O(catalog), to keep current.
//!
//! Each item is hashed by itself (SHA-256 over its id, stored vectors and attributes) and the hashes
//! are added as 256-bit integers modulo 2²⁵⁶ (AdHash: Bellare and Micciancio, EUROCRYPT 1997). Adding
//! and subtracting items is then adding and subtracting numbers, and the order in which they came does
//! not matter. The sum names the data; it is no protection against somebody who crafts items to
//! collide, which the file checksums are not either.

use sha2::{Digest, Sha256};

use super::Catalog;
use crate::column::Value;

/// A 256-bit sum of item hashes, least significant word first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ContentHash([u64; 4]);

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
    /// The hash of the item in a row.
    pub(super) fn item_hash(&self, row: u32) -> [u8; 32] {
        let mut bytes = Vec::with_capacity(512);
        self.ids.id(row).canonical_bytes(&mut bytes);
        for space in &self.spaces {
            space.row_bytes_into(row, &mut bytes);
        }
        for (name, column) in &self.columns {
            // A null is not there: adding a column changes no item's hash until a value is set.
            if column.get(row) != Value::Null {
                bytes.extend((name.len() as u64).to_le_bytes());
                bytes.extend_from_slice(name.as_bytes());
                column.row_bytes(row, &mut bytes);
            }
        }
        Sha256::digest(&bytes).into()
    }

    /// 64 hex digits that stand for the content: spaces (name, dim, metric, dtype, finer copy), items and
    /// attributes. Independent of the order of insertion and of the graphs, and so of the layout.
    pub fn content_hash(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(b"perso_core.content/1");
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
        for word in self.hash.0 {
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
        self.ids
            .live_rows()
            .for_each(|row| hash.add(self.item_hash(row)));
        hash
    }
}
