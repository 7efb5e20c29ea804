//! Neighbour-local codes: beside each graph row, its neighbours as 1-bit codes relative to the row.
//!
//! A walk that follows a row has to score all its neighbours, and each lies somewhere else in memory:
//! 32 neighbours of 384 int8 components are 192 cache lines. Here the row carries a sketch of each
//! neighbour, 24 lines for all of them, read in order and scored by one FastScan pass. Only rows that
//! are followed are scored from their stored vector, which makes the scores of the answer exact as they
//! come (SymphonyQG, arXiv 2411.12229).
//!
//! The sketch (RaBitQ, arXiv 2405.12497): with `r = u - v` for neighbour `u` of row `v`, `R` a random
//! rotation and `x` the signs of `R r`, the estimate of `<w, r>` for any `w` is
//! `gain <R w, x>`, `gain = |r|² / |R r|_1`: it is exact in the direction of `r`, and of the rest of `w`
//! only a share of about `1/sqrt(dim)` gets in. So it is applied to the part of the query that is left
//! after its projection on `v`:
//!
//! `score(u) = score(v) + gain <R q, x> + slope (<v, r> - gain <R v, x>)`
//!
//! with `slope = <q, v> / |v|²` under inner product and cosine, of which `<q, v>` is known exactly once
//! `v` is followed. Under L2 the same is done with `q - v`: `slope` is 1, the gain doubles, and `-|r|²`
//! joins the term in brackets; vectors are taken relative to their mean, because the lookups' error grows
//! with the length of what they are applied to. The term in brackets is the `offset`. Gain and offset are
//! bf16, whose 0.4% is far below the error of the signs and whose range is that of f32.

mod encode;
mod landmarks;
mod rotation;
mod search;
#[cfg(test)]
mod tests;

pub use search::Scratch;

use std::sync::Arc;

use landmarks::Landmarks;

use perso_kernels::fastscan::BLOCK;

use crate::error::{Error, Result};
use crate::hnsw::Graph;
use crate::metric::Metric;
use crate::store::{Buf, Paged, VectorStore};
pub use rotation::Rotation;

/// Fewest dimensions of a code: below, one bit a dimension is too few (an error of 0.18 of the length at
/// 64), and a rotation into more dimensions is a way of having more bits.
const MIN_CODE_DIM: usize = 128;

/// `u16` that hold the factors of a block.
const FACTORS: usize = 2 * BLOCK;

/// The codes of every graph row's bottom links.
#[derive(Clone, Debug)]
pub struct LocalCodes {
    rotation: Rotation,
    /// Under L2 the mean of the rows there were when the codes were begun; empty otherwise.
    mean: Vec<f32>,
    /// Blocks of 32 neighbours a row.
    blocks: usize,
    /// For each row its blocks; for each block its codes, then 32 gains and 32 offsets.
    rows: Paged<u16>,
    landmarks: Arc<Landmarks>,
}

fn code_dim(dim: usize) -> usize {
    dim.next_multiple_of(16).max(MIN_CODE_DIM)
}

impl LocalCodes {
    /// Codes for no row yet, of a graph with `links` slots a row over vectors like those in the store.
    pub fn new(store: &VectorStore, links: usize, seed: u64) -> Self {
        let mean = match store.metric() {
            Metric::L2 => encode::mean(store),
            Metric::Ip | Metric::Cosine => Vec::new(),
        };
        Self::with_mean(store.dim(), mean, links, seed)
    }

    fn with_mean(dim: usize, mean: Vec<f32>, links: usize, seed: u64) -> Self {
        let blocks = links.div_ceil(BLOCK);
        let block = code_dim(dim) * BLOCK / 8 / 2 + FACTORS;
        LocalCodes {
            rotation: Rotation::new(dim, code_dim(dim), seed),
            mean,
            blocks,
            rows: Paged::new(blocks * block),
            landmarks: Arc::default(),
        }
    }

    /// Bytes of the codes of one row's links.
    pub fn row_bytes(dim: usize, links: usize) -> usize {
        links.div_ceil(BLOCK) * (code_dim(dim) * BLOCK / 8 + 2 * FACTORS)
    }

    /// `u16` that hold a block's codes.
    fn block_codes(&self) -> usize {
        self.rotation.code_dim() * BLOCK / 8 / 2
    }

    /// `u16` of a block, its factors at the end.
    fn block_len(&self) -> usize {
        self.block_codes() + FACTORS
    }

    /// `u16` of a row.
    fn stride(&self) -> usize {
        self.blocks * self.block_len()
    }

    /// Rows that have codes.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True when no row has.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn row(&self, row: u32) -> &[u16] {
        self.rows.row(row as usize)
    }

    /// The codes of some rows alone, numbered as they come, whose links are the same and in the same order.
    pub fn keep(&self, store: &VectorStore, rows: &[u32]) -> Self {
        let mut kept = LocalCodes {
            rows: Paged::new(self.stride()),
            landmarks: Arc::default(),
            ..self.clone()
        };
        kept.rows.reserve(rows.len());
        rows.iter().for_each(|row| kept.rows.push(self.row(*row)));
        kept.choose_landmarks(store);
        kept
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.rows.heap_bytes()
            + self.rotation.heap_bytes()
            + self.mean.capacity() * 4
            + self.landmarks.heap_bytes()
    }

    /// The codes and the mean, for a file.
    pub fn parts(&self) -> (&Paged<u16>, &[f32]) {
        (&self.rows, &self.mean)
    }

    /// Rebuilds codes from a file's sections. Any bits are codes; lengths and factors are checked.
    pub fn from_parts(
        store: &VectorStore,
        graph: &Graph,
        rows: Buf<u16>,
        mean: Vec<f32>,
    ) -> Result<Self> {
        let centred = store.metric() == Metric::L2;
        if mean.len() != if centred { store.dim() } else { 0 }
            || !mean.iter().all(|v| v.is_finite())
        {
            return Err(Error::format(format!(
                "the mean of a space of {} dimensions has {} components, or is not finite",
                store.dim(),
                mean.len()
            )));
        }
        let params = graph.params();
        let mut codes = Self::with_mean(store.dim(), mean, 2 * params.m, params.seed);
        if Some(rows.len()) != store.len().checked_mul(codes.stride()) {
            return Err(Error::format(format!(
                "{} rows have {} numbers of neighbour codes",
                store.len(),
                rows.len()
            )));
        }
        let block = codes.block_len();
        for factors in rows.chunks_exact(block) {
            // All exponent bits set is an infinity or NaN.
            if factors[block - FACTORS..]
                .iter()
                .any(|f| f & 0x7f80 == 0x7f80)
            {
                return Err(Error::format("a neighbour code has a factor out of range"));
            }
        }
        codes.rows = codes.rows.from_buf(&rows);
        codes.choose_landmarks(store);
        Ok(codes)
    }
}
