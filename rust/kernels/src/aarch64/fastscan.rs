//! FastScan on AArch64: `tbl` looks up 16 entries. See `crate::fastscan`.

use crate::fastscan::{fill, settle, transform, Line, BLOCK, GROUPS_A_SUM};
use core::arch::aarch64::*;

#[inline]
#[target_feature(enable = "neon")]
fn load(x: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the array has the 16 bytes the load reads.
    unsafe { vld1q_u8(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn add(totals: &mut [u32], sums: uint16x8_t) {
    let mut out = [0u16; 8];
    // SAFETY: the array has the 16 bytes the store writes.
    unsafe { vst1q_u16(out.as_mut_ptr(), sums) };
    for (total, sum) in totals.iter_mut().zip(out) {
        *total += u32::from(sum);
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn sums(entries: &[u8], block: &[u8]) -> [u32; BLOCK] {
    let mut totals = [0u32; BLOCK];
    let nibble = vdupq_n_u8(15);
    for (entries, block) in entries
        .chunks(16 * GROUPS_A_SUM)
        .zip(block.chunks(16 * GROUPS_A_SUM))
    {
        let mut sums = [vdupq_n_u16(0); 4];
        let entries = entries.as_chunks::<16>().0;
        let block = block.as_chunks::<16>().0;
        for (entries, block) in entries.chunks(4).zip(block.chunks(4)) {
            let (mut low, mut high) = (vdupq_n_u8(0), vdupq_n_u8(0));
            for (entries, block) in entries.iter().zip(block) {
                let (table, codes) = (load(entries), load(block));
                low = vaddq_u8(low, vqtbl1q_u8(table, vandq_u8(codes, nibble)));
                high = vaddq_u8(high, vqtbl1q_u8(table, vshrq_n_u8::<4>(codes)));
            }
            sums[0] = vaddw_u8(sums[0], vget_low_u8(low));
            sums[1] = vaddw_high_u8(sums[1], low);
            sums[2] = vaddw_u8(sums[2], vget_low_u8(high));
            sums[3] = vaddw_high_u8(sums[3], high);
        }
        for (totals, sums) in totals.chunks_exact_mut(8).zip(sums) {
            add(totals, sums);
        }
    }
    totals
}

#[target_feature(enable = "neon")]
pub(super) fn estimate(
    entries: &[u8],
    block: &[u8],
    factors: &[u16; 2 * BLOCK],
    of_sum: (f32, f32),
    line: Line,
    out: &mut [f32; BLOCK],
) -> u32 {
    let sums = sums(entries, block);
    settle(&sums, factors, of_sum, line, f32::mul_add, out)
}

#[target_feature(enable = "neon")]
pub(super) fn fill_table(query: &[f32], entries: &mut [u8]) -> (f32, f32) {
    fill(query, entries)
}

#[target_feature(enable = "neon")]
pub(super) fn hadamard(x: &mut [f32]) {
    transform(x);
}
