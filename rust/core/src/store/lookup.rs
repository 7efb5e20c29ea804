//! Numbers found by the hash of what they stand for, in shards that versions share.
//!
//! Rows by id and codes by text: what a number stands for lies in a column of its own, so an entry is the
//! four bytes of the number, and a caller compares. A copy shares all shards; the first change to a shard
//! that is shared copies some [`SHARD`] entries, a few kilobytes.

use std::sync::Arc;

use hashbrown::HashTable;

/// Entries of a shard, on average, at most.
const SHARD: usize = 512;

/// A map from hashes to numbers.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// A power of two of them.
    shards: Vec<Arc<HashTable<u32>>>,
    len: usize,
}

impl Default for Lookup {
    fn default() -> Self {
        Lookup {
            shards: vec![Arc::default()],
            len: 0,
        }
    }
}

impl Lookup {
    /// Room for so many entries.
    pub fn with_capacity(entries: usize) -> Self {
        let count = entries.div_ceil(SHARD).next_power_of_two();
        let shard = || Arc::new(HashTable::with_capacity(entries.div_ceil(count)));
        Lookup {
            shards: (0..count).map(|_| shard()).collect(),
            len: 0,
        }
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// A table takes its places from the low bits of a hash and its tags from the highest seven.
    fn shard(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.shards.len() - 1)
    }

    /// The entry with this hash that `is` says yes to.
    pub fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.shards[self.shard(hash)]
            .find(hash, |number| is(*number))
            .copied()
    }

    /// Adds an entry that is not there. `hash_of` gives the hash of any that is.
    pub fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        if self.len >= SHARD * self.shards.len() {
            self.split(&hash_of);
        }
        let shard = self.shard(hash);
        Arc::make_mut(&mut self.shards[shard]).insert_unique(hash, number, |n| hash_of(*n));
        self.len += 1;
    }

    /// Takes out the entry with this hash that `is` says yes to.
    pub fn remove(&mut self, hash: u64, mut is: impl FnMut(u32) -> bool) {
        let shard = self.shard(hash);
        let table = Arc::make_mut(&mut self.shards[shard]);
        if let Ok(entry) = table.find_entry(hash, |number| is(*number)) {
            entry.remove();
            self.len -= 1;
        }
    }

    fn split(&mut self, hash_of: &impl Fn(u32) -> u64) {
        let mut wider = Lookup::with_capacity(2 * SHARD * self.shards.len());
        for &number in self.shards.iter().flat_map(|shard| shard.iter()) {
            let hash = hash_of(number);
            let shard = wider.shard(hash);
            Arc::make_mut(&mut wider.shards[shard]).insert_unique(hash, number, |n| hash_of(*n));
        }
        wider.len = self.len;
        *self = wider;
    }

    /// Bytes of memory held, about: an entry has a number and a tag, and tables are three quarters full.
    pub fn heap_bytes(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| 5 * shard.capacity() * 8 / 7)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::hnsw::splitmix64;

    #[test]
    fn versions_are_maps() {
        let hash = |number: u32| splitmix64(u64::from(number));
        let mut versions = vec![(Lookup::default(), HashMap::<u32, ()>::new())];
        for step in 0..6000u32 {
            let (mut lookup, mut plain) = versions.last().unwrap().clone();
            let number = splitmix64(u64::from(step)) as u32 % 3000;
            if plain.insert(number, ()).is_some() {
                lookup.remove(hash(number), |n| n == number);
                plain.remove(&number);
            } else {
                lookup.insert(hash(number), number, hash);
            }
            if versions.len() > 2 {
                versions.remove(0);
            }
            versions.push((lookup, plain));
            if step % 500 == 0 || step == 5999 {
                for (lookup, plain) in &versions {
                    assert_eq!(lookup.len(), plain.len());
                    for number in 0..3000 {
                        let found = lookup.find(hash(number), |n| n == number);
                        assert_eq!(found.is_some(), plain.contains_key(&number));
                    }
                }
            }
        }
        assert!(versions[0].0.shards.len() > 1);
    }
}
