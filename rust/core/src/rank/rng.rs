//! Random numbers without state: a function of (seed, request id, slot).
//!
//! The key of a ChaCha8 generator is `SHA-256("perso_core.rng/1" ‖ 0 ‖ seed as 8 little-endian bytes ‖
//! request id)`; slot `t` reads stream `t` from its start. So a draw does not depend on how many draws
//! other slots made, on threads, or on the platform. What a whole slate shares reads the last stream.
//! An item's numbers, for explorers that draw one per item, read the stream `2^63 + 2 h` from word
//! `t 2^20` on, with `h` 62 bits of the SHA-256 of the id: they do not depend on which other items are
//! there. Slots are numbered below 2^63, so the three never meet.

use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::ids::Id;

const DOMAIN: &[u8] = b"perso_core.rng/1\0";

/// The random numbers of one request.
#[derive(Clone, Debug)]
pub struct Draws {
    base: ChaCha8Rng,
}

impl Draws {
    /// Keyed by the seed and the request's id.
    pub fn new(seed: u64, request_id: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(seed.to_le_bytes());
        hash.update(request_id.as_bytes());
        Draws {
            base: ChaCha8Rng::from_seed(hash.finalize().into()),
        }
    }

    /// The numbers of one slot.
    pub fn slot(&self, slot: u64) -> SlotRng {
        let mut rng = self.base.clone();
        rng.set_stream(slot);
        SlotRng { rng }
    }

    /// The numbers that the slots of a slate share.
    pub fn slate(&self) -> SlotRng {
        self.slot(u64::MAX)
    }

    /// The numbers of one item in one slot; see [`item_stream`].
    pub fn item(&self, stream: u64, slot: u64) -> SlotRng {
        let mut numbers = self.slot(stream);
        numbers.rng.set_word_pos(u128::from(slot) << 20);
        numbers
    }
}

/// The stream that an item's numbers are read from.
pub fn item_stream(id: &Id) -> u64 {
    let mut hash = Sha256::new();
    match id {
        Id::Int(id) => {
            hash.update(b"int");
            hash.update(id.to_le_bytes());
        }
        Id::Str(id) => {
            hash.update(b"str");
            hash.update(id.as_bytes());
        }
    }
    let digest = hash.finalize();
    let mut first = [0u8; 8];
    first.copy_from_slice(&digest[..8]);
    (u64::from_le_bytes(first) | 1 << 63) & !1
}

/// The random numbers of one slot.
#[derive(Clone, Debug)]
pub struct SlotRng {
    rng: ChaCha8Rng,
}

impl SlotRng {
    /// Uniform in [0, 1): a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `0..n`, without bias: Lemire's multiplication with rejection (2019).
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "an empty range has no uniform number");
        // Of the 2^64 products' low halves, the first 2^64 mod n would favour some results.
        let unfair = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.rng.next_u64()) * u128::from(n);
            if product as u64 >= unfair {
                return (product >> 64) as u64;
            }
        }
    }
}
