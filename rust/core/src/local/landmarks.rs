//! Where a walk begins: the nearest of a few rows by their codes.
//!
//! The upper layers of the graph lead to a good start as well, by some 130 scores of rows that lie anywhere in
//! memory: 5 to 7 µs of a search of 45 on 100,000 x 384 embeddings. The codes of [`COUNT`] rows lie together, stay
//! in the second cache, and are read in a microsecond; the walk makes up for the rest with a row or two.

use std::sync::Arc;

use perso_kernels::fastscan::{Line, Table, BLOCK};
use perso_kernels::Kernels;

use super::{LocalCodes, FACTORS};
use crate::hnsw::spread;
use crate::store::VectorStore;

/// How many rows.
const COUNT: usize = 512;
/// New ones are chosen when the rows have become this many times as many.
const GROWTH: usize = 2;

/// Some rows, evenly among all, and their codes as seen from the origin (under L2 from the mean).
#[derive(Clone, Debug, Default)]
pub(super) struct Landmarks {
    /// Rows there were when these were chosen.
    of: usize,
    rows: Vec<u32>,
    codes: Vec<u16>,
}

impl Landmarks {
    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.rows.capacity() * 4 + self.codes.capacity() * 2
    }
}

impl LocalCodes {
    /// Chooses landmarks where there are none, or too few rows among them.
    pub(super) fn choose_landmarks(&mut self, store: &VectorStore) {
        let all = self.len();
        if !self.landmarks.rows.is_empty() && all < GROWTH * self.landmarks.of {
            return;
        }
        let count = all.min(COUNT);
        let rows: Vec<u32> = (0..count).map(|i| spread(i, all, count)).collect();
        self.landmarks = Arc::new(Landmarks {
            of: all,
            codes: self.encode_from_origin(store, &rows),
            rows,
        });
    }

    /// The landmark that is nearest by its code; the first of those that are alike.
    pub(super) fn nearest_landmark(&self, kernels: &Kernels, table: &Table) -> Option<u32> {
        let mut best = None;
        let mut line = Line {
            base: 0.0,
            slope: 1.0,
            threshold: f32::NEG_INFINITY,
        };
        let mut estimates = [0.0f32; BLOCK];
        let blocks = self.landmarks.codes.chunks_exact(self.block_len());
        for (rows, block) in self.landmarks.rows.chunks(BLOCK).zip(blocks) {
            let (codes, factors) = block.split_at(block.len() - FACTORS);
            let factors = factors
                .first_chunk()
                .expect("a block ends with its factors");
            let codes = bytemuck::cast_slice(codes);
            let mut above = kernels.estimate(table, codes, factors, line, &mut estimates);
            while above != 0 {
                let j = above.trailing_zeros() as usize;
                above &= above - 1;
                if j < rows.len() && estimates[j] > line.threshold {
                    line.threshold = estimates[j];
                    best = Some(rows[j]);
                }
            }
        }
        best
    }
}
