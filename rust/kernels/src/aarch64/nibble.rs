//! 4-bit codes on AArch64. See `crate::nibble`.
//!
//! Codes below 16 are the same as signed bytes. A product is at most `15 * 128 = 1920`, so sixteen of
//! them (eight groups, two halves each) may be added in i16 before they are widened.

use crate::nibble::{BYTES, GROUP, ROWS};
use core::arch::aarch64::*;

#[inline]
#[target_feature(enable = "neon")]
fn load(x: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the array has the 16 bytes the load reads.
    unsafe { vld1q_u8(x.as_ptr()) }
}

/// Four codes, four times.
#[inline]
#[target_feature(enable = "neon")]
fn spread(q: [i8; 4]) -> int8x16_t {
    let word = i32::from_le_bytes(q.map(|code| code as u8));
    vreinterpretq_s8_s32(vdupq_n_s32(word))
}

#[target_feature(enable = "neon")]
pub(super) fn nibble_dots(query: &[i8], blocks: &[u8], out: &mut [[i32; ROWS]]) {
    let query = query.as_chunks::<GROUP>().0;
    let low_half = vdupq_n_u8(15);
    for (block, out) in blocks.chunks_exact(query.len() * BYTES).zip(out) {
        let block = block.as_chunks::<BYTES>().0;
        // Of each four rows: two partial sums a row, of two rows and of the other two.
        let mut sums = [[vdupq_n_s32(0); 2]; 4];
        for (query, block) in query.chunks(8).zip(block.chunks(8)) {
            let mut products = [[vdupq_n_s16(0); 2]; 4];
            for (q, group) in query.iter().zip(block) {
                let [a, b, c, d, e, f, g, h] = *q;
                let (first, second) = (spread([a, b, c, d]), spread([e, f, g, h]));
                for (acc, quarter) in products.iter_mut().zip(group.as_chunks::<16>().0) {
                    let codes = load(quarter);
                    let low = vreinterpretq_s8_u8(vandq_u8(codes, low_half));
                    let high = vreinterpretq_s8_u8(vshrq_n_u8::<4>(codes));
                    acc[0] = vmlal_s8(acc[0], vget_low_s8(low), vget_low_s8(first));
                    acc[1] = vmlal_high_s8(acc[1], low, first);
                    acc[0] = vmlal_s8(acc[0], vget_low_s8(high), vget_low_s8(second));
                    acc[1] = vmlal_high_s8(acc[1], high, second);
                }
            }
            for (sums, products) in sums.iter_mut().zip(products) {
                sums[0] = vpadalq_s16(sums[0], products[0]);
                sums[1] = vpadalq_s16(sums[1], products[1]);
            }
        }
        for (four, [a, b]) in out.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
            // SAFETY: the array has the 16 bytes the store writes.
            unsafe { vst1q_s32(four.as_mut_ptr(), vpaddq_s32(a, b)) };
        }
    }
}
