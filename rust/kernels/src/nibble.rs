//! Dot products of an int8 query with 4-bit codes, sixteen rows at a time.
//!
//! Block layout: per group of eight dimensions 64 bytes, four a row; byte `4 r + i` holds the code of row
//! `r` in dimension `i` of the group in its low half and in dimension `i + 4` in its high half. A row keeps
//! to a 32-bit lane, so that a block needs no sum across lanes, and the query's part of a group is one
//! broadcast word. Codes are unsigned: byte products take one unsigned side as it is, where a signed one
//! would need the sign of the query moved over.

use crate::Kernels;

/// Rows in a block.
pub const ROWS: usize = 16;

/// Dimensions in a group.
pub const GROUP: usize = 8;

/// Bytes of a group of a block.
pub(crate) const BYTES: usize = ROWS * GROUP / 2;

/// Most dimensions: beyond, `15 * 128 * dim` could leave `i32`.
pub const MAX_DIM: usize = (i32::MAX / (15 * 128)) as usize;

pub(crate) type Dots = unsafe fn(&[i8], &[u8], &mut [[i32; ROWS]]);

/// Bytes of a block for a number of dimensions, which are padded to whole groups.
pub fn block_bytes(dim: usize) -> usize {
    dim.div_ceil(GROUP) * BYTES
}

/// Puts a row's codes into a block; codes above 15 are cut to their low half.
///
/// # Panics
/// If the block is too short for the codes, or has no such row.
pub fn put_row(block: &mut [u8], row: usize, codes: &[u8]) {
    assert!(row < ROWS, "put_row: a block has {ROWS} rows; got {row}");
    for (group, codes) in block.chunks_exact_mut(BYTES).zip(codes.chunks(GROUP)) {
        let bytes = &mut group[4 * row..4 * row + 4];
        for (i, code) in codes.iter().enumerate() {
            let shift = if i < 4 { 0 } else { 4 };
            bytes[i % 4] = bytes[i % 4] & !(15 << shift) | (code & 15) << shift;
        }
    }
    assert!(
        codes.len() <= block.len() / BYTES * GROUP,
        "put_row: a block of {} bytes holds fewer than {} dimensions",
        block.len(),
        codes.len()
    );
}

impl Kernels {
    /// Exact dot products of the query's codes with the rows of consecutive blocks. The query is padded
    /// with zeros to whole groups.
    ///
    /// # Panics
    /// If the query is not a multiple of [`GROUP`] long, longer than [`MAX_DIM`], or the blocks are not
    /// as many as `out`.
    pub fn nibble_dots(&self, query: &[i8], blocks: &[u8], out: &mut [[i32; ROWS]]) {
        assert!(
            query.len().is_multiple_of(GROUP) && query.len() <= MAX_DIM,
            "nibble_dots: the query must have a multiple of {GROUP} codes, at most {MAX_DIM}; got {}",
            query.len()
        );
        assert!(
            Some(blocks.len()) == out.len().checked_mul(block_bytes(query.len())),
            "nibble_dots: {} blocks for a query of {} codes; got {} bytes",
            out.len(),
            query.len(),
            blocks.len()
        );
        if query.is_empty() {
            out.fill([0; ROWS]);
            return;
        }
        // SAFETY: the CPU has the features of this row, or it would not have been handed out; the
        // lengths are those of whole blocks.
        unsafe { (self.nibble_dots)(query, blocks, out) }
    }
}

/// The plain form: the oracle.
pub(crate) mod plain {
    use super::{BYTES, GROUP, ROWS};

    pub(crate) fn nibble_dots(query: &[i8], blocks: &[u8], out: &mut [[i32; ROWS]]) {
        let size = query.len() / GROUP * BYTES;
        for (block, out) in blocks.chunks_exact(size).zip(out) {
            *out = [0; ROWS];
            for (q, group) in query
                .as_chunks::<GROUP>()
                .0
                .iter()
                .zip(block.chunks_exact(BYTES))
            {
                for (bytes, sum) in group.as_chunks::<4>().0.iter().zip(out.iter_mut()) {
                    for (i, byte) in bytes.iter().enumerate() {
                        *sum += i32::from(byte & 15) * i32::from(q[i]);
                        *sum += i32::from(byte >> 4) * i32::from(q[i + 4]);
                    }
                }
            }
        }
    }
}
