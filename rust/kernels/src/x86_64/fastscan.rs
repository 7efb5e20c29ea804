//! FastScan on x86-64: `pshufb` looks up 16 entries in each 128-bit lane. See `crate::fastscan`.
//!
//! A register of codes holds two (AVX2) or four (AVX-512) groups, each with its table in the same lane of
//! another register. Lookups of four steps are added as bytes (at most 4 * 63 in each), then the even and
//! the odd codes go to 16-bit sums of their own, which costs a mask and a shift and no unpacking.

use crate::fastscan::{fill, settle, transform, Line, BLOCK, GROUPS_A_SUM};
use core::arch::x86_64::*;

/// Adds the 16-bit sums of the codes of one half of a block (even codes, then odd ones) to its totals.
#[inline(always)]
fn add(totals: &mut [u32], even: [u16; 8], odd: [u16; 8]) {
    for i in 0..8 {
        totals[2 * i] += u32::from(even[i]);
        totals[2 * i + 1] += u32::from(odd[i]);
    }
}

macro_rules! sums_kernel {
    (
        $module:ident, #[$feature:meta], $register:ty, $bytes:literal,
        $load:ident, $and:ident, $shift:ident, $shuffle:ident, $add8:ident, $add16:ident,
        $set8:ident, $set16:ident, $zero:ident, $fold:ident
    ) => {
        pub(super) mod $module {
            use super::*;

            #[inline]
            #[$feature]
            fn load(x: &[u8; $bytes]) -> $register {
                // SAFETY: the array has the bytes the load reads.
                unsafe { $load(x.as_ptr().cast()) }
            }

            #[inline]
            #[$feature]
            fn sums(entries: &[u8], block: &[u8]) -> [u32; BLOCK] {
                let mut totals = [0u32; BLOCK];
                let nibble = $set8(15);
                let byte = $set16(0xff);
                for (entries, block) in entries
                    .chunks(16 * GROUPS_A_SUM)
                    .zip(block.chunks(16 * GROUPS_A_SUM))
                {
                    // Even and odd codes of the low half, then of the high half.
                    let mut sums = [$zero(); 4];
                    let entries = entries.as_chunks::<$bytes>().0;
                    let block = block.as_chunks::<$bytes>().0;
                    for (entries, block) in entries.chunks(4).zip(block.chunks(4)) {
                        let (mut low, mut high) = ($zero(), $zero());
                        for (entries, block) in entries.iter().zip(block) {
                            let (table, codes) = (load(entries), load(block));
                            low = $add8(low, $shuffle(table, $and(codes, nibble)));
                            high = $add8(high, $shuffle(table, $and($shift::<4>(codes), nibble)));
                        }
                        sums[0] = $add16(sums[0], $and(low, byte));
                        sums[1] = $add16(sums[1], $shift::<8>(low));
                        sums[2] = $add16(sums[2], $and(high, byte));
                        sums[3] = $add16(sums[3], $shift::<8>(high));
                    }
                    let [a, b, c, d] = sums.map(|sum| $fold(sum));
                    add(&mut totals[..16], a, b);
                    add(&mut totals[16..], c, d);
                }
                totals
            }

            #[$feature]
            pub(crate) fn estimate(
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

            #[$feature]
            pub(crate) fn fill_table(query: &[f32], entries: &mut [u8]) -> (f32, f32) {
                fill(query, entries)
            }

            #[$feature]
            pub(crate) fn hadamard(x: &mut [f32]) {
                transform(x);
            }
        }
    };
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn fold_256(sum: __m256i) -> [u16; 8] {
    let folded = _mm_add_epi16(
        _mm256_castsi256_si128(sum),
        _mm256_extracti128_si256::<1>(sum),
    );
    let mut out = [0; 8];
    // SAFETY: the array has the 16 bytes the store writes.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), folded) };
    out
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn fold_512(sum: __m512i) -> [u16; 8] {
    fold_256(_mm256_add_epi16(
        _mm512_castsi512_si256(sum),
        _mm512_extracti64x4_epi64::<1>(sum),
    ))
}

sums_kernel!(
    avx2, #[target_feature(enable = "avx2,fma,f16c")], __m256i, 32,
    _mm256_loadu_si256, _mm256_and_si256, _mm256_srli_epi16, _mm256_shuffle_epi8, _mm256_add_epi8,
    _mm256_add_epi16, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_setzero_si256, fold_256
);
sums_kernel!(
    avx512, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")], __m512i, 64,
    _mm512_loadu_si512, _mm512_and_si512, _mm512_srli_epi16, _mm512_shuffle_epi8, _mm512_add_epi8,
    _mm512_add_epi16, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_setzero_si512, fold_512
);
