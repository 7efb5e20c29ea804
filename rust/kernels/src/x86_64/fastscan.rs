//! FastScan on x86-64: `pshufb` looks up 16 entries in each 128-bit lane. See `crate::fastscan`.
//!
//! A register of codes holds two (AVX2) or four (AVX-512) groups, each with its table in the same lane of
//! another register. Lookups of four steps are added as bytes (at most 4 * 63 in each), then the even and
//! the odd codes go to 16-bit sums of their own, which costs a mask and a shift and no unpacking.

use crate::fastscan::{fill, transform, Line, BLOCK, GROUPS_A_SUM};
use core::arch::x86_64::*;

/// The loops, compiled for a register width.
macro_rules! estimate_kernel {
    (
        #[$feature:meta], $register:ty, $bytes:literal,
        $load:ident, $and:ident, $shift:ident, $shuffle:ident, $add8:ident, $add16:ident,
        $set8:ident, $set16:ident, $zero:ident
    ) => {
        #[inline]
        #[$feature]
        fn load(x: &[u8; $bytes]) -> $register {
            // SAFETY: the array has the bytes the load reads.
            unsafe { $load(x.as_ptr().cast()) }
        }

        /// The 16-bit sums of at most `GROUPS_A_SUM` groups: even and odd codes of the low half, then
        /// of the high half, each in as many parts as the register has lanes.
        #[inline]
        #[$feature]
        fn sums(entries: &[u8], block: &[u8]) -> [$register; 4] {
            let nibble = $set8(15);
            let byte = $set16(0xff);
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
            sums
        }

        #[$feature]
        pub(crate) fn fill_table(query: &[f32], entries: &mut [u8]) -> (f32, f32) {
            fill(query, entries)
        }

        #[$feature]
        pub(crate) fn hadamard(x: &mut [f32]) {
            transform(x);
        }
    };
}

pub(super) mod avx2 {
    use super::*;

    estimate_kernel!(
        #[target_feature(enable = "avx2,fma,f16c")], __m256i, 32,
        _mm256_loadu_si256, _mm256_and_si256, _mm256_srli_epi16, _mm256_shuffle_epi8,
        _mm256_add_epi8, _mm256_add_epi16, _mm256_set1_epi8, _mm256_set1_epi16,
        _mm256_setzero_si256
    );

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn fold(sum: __m256i) -> __m128i {
        _mm_add_epi16(
            _mm256_castsi256_si128(sum),
            _mm256_extracti128_si256::<1>(sum),
        )
    }

    /// Eight bf16 as f32.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn widen(x: &[u16; 8]) -> __m256 {
        // SAFETY: the array has the 16 bytes the load reads.
        let halves = unsafe { _mm_loadu_si128(x.as_ptr().cast()) };
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(crate) fn estimate(
        entries: &[u8],
        block: &[u8],
        factors: &[u16; 2 * BLOCK],
        of_sum: (f32, f32),
        line: Line,
        out: &mut [f32; BLOCK],
    ) -> u32 {
        let mut totals = [_mm256_setzero_si256(); 4];
        let entries = entries.chunks(16 * GROUPS_A_SUM);
        for (entries, block) in entries.zip(block.chunks(16 * GROUPS_A_SUM)) {
            let [a, b, c, d] = sums(entries, block);
            let [a, b, c, d] = [fold(a), fold(b), fold(c), fold(d)];
            let parts = [
                _mm_unpacklo_epi16(a, b),
                _mm_unpackhi_epi16(a, b),
                _mm_unpacklo_epi16(c, d),
                _mm_unpackhi_epi16(c, d),
            ];
            for (total, part) in totals.iter_mut().zip(parts) {
                *total = _mm256_add_epi32(*total, _mm256_cvtepu16_epi32(part));
            }
        }
        let (gains, offsets) = factors.as_chunks::<8>().0.split_at(4);
        let (scale, shift) = (_mm256_set1_ps(of_sum.0), _mm256_set1_ps(of_sum.1));
        let (base, slope) = (_mm256_set1_ps(line.base), _mm256_set1_ps(line.slope));
        let threshold = _mm256_set1_ps(line.threshold);
        let mut mask = 0;
        for (i, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let product = _mm256_fmadd_ps(_mm256_cvtepi32_ps(totals[i]), scale, shift);
            let start = _mm256_fmadd_ps(slope, widen(&offsets[i]), base);
            let score = _mm256_fmadd_ps(widen(&gains[i]), product, start);
            // SAFETY: the array has the 32 bytes the store writes.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr(), score) };
            let above = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(score, threshold));
            mask |= (above as u32) << (8 * i);
        }
        mask
    }
}

pub(super) mod avx512 {
    use super::*;

    estimate_kernel!(
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")], __m512i, 64,
        _mm512_loadu_si512, _mm512_and_si512, _mm512_srli_epi16, _mm512_shuffle_epi8,
        _mm512_add_epi8, _mm512_add_epi16, _mm512_set1_epi8, _mm512_set1_epi16,
        _mm512_setzero_si512
    );

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    fn fold(sum: __m512i) -> __m128i {
        let half = _mm256_add_epi16(
            _mm512_castsi512_si256(sum),
            _mm512_extracti64x4_epi64::<1>(sum),
        );
        _mm_add_epi16(
            _mm256_castsi256_si128(half),
            _mm256_extracti128_si256::<1>(half),
        )
    }

    /// Sixteen bf16 as f32.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    fn widen(x: &[u16; 16]) -> __m512 {
        // SAFETY: the array has the 32 bytes the load reads.
        let halves = unsafe { _mm256_loadu_si256(x.as_ptr().cast()) };
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    pub(crate) fn estimate(
        entries: &[u8],
        block: &[u8],
        factors: &[u16; 2 * BLOCK],
        of_sum: (f32, f32),
        line: Line,
        out: &mut [f32; BLOCK],
    ) -> u32 {
        let mut totals = [_mm512_setzero_si512(); 2];
        let entries = entries.chunks(16 * GROUPS_A_SUM);
        for (entries, block) in entries.zip(block.chunks(16 * GROUPS_A_SUM)) {
            let [a, b, c, d] = sums(entries, block);
            let [a, b, c, d] = [fold(a), fold(b), fold(c), fold(d)];
            let parts = [
                _mm256_set_m128i(_mm_unpackhi_epi16(a, b), _mm_unpacklo_epi16(a, b)),
                _mm256_set_m128i(_mm_unpackhi_epi16(c, d), _mm_unpacklo_epi16(c, d)),
            ];
            for (total, part) in totals.iter_mut().zip(parts) {
                *total = _mm512_add_epi32(*total, _mm512_cvtepu16_epi32(part));
            }
        }
        let (gains, offsets) = factors.as_chunks::<16>().0.split_at(2);
        let (scale, shift) = (_mm512_set1_ps(of_sum.0), _mm512_set1_ps(of_sum.1));
        let (base, slope) = (_mm512_set1_ps(line.base), _mm512_set1_ps(line.slope));
        let threshold = _mm512_set1_ps(line.threshold);
        let mut mask = 0;
        for (i, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let product = _mm512_fmadd_ps(_mm512_cvtepi32_ps(totals[i]), scale, shift);
            let start = _mm512_fmadd_ps(slope, widen(&offsets[i]), base);
            let score = _mm512_fmadd_ps(widen(&gains[i]), product, start);
            // SAFETY: the array has the 64 bytes the store writes.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), score) };
            let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(score, threshold);
            mask |= u32::from(above) << (16 * i);
        }
        mask
    }
}
