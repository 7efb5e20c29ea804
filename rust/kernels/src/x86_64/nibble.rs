//! 4-bit codes on x86-64. See `crate::nibble`.
//!
//! `vpmaddubsw` sums a pair of products in i16: at most `2 * 15 * 128 = 3840`, so eight of them (four
//! groups, two halves each) may be added before they are widened. `vpdpbusd` needs no such care.

use crate::nibble::{BYTES, GROUP, ROWS};
use core::arch::x86_64::*;

/// The two words of a group's query.
#[inline(always)]
fn words(q: &[i8; GROUP]) -> [i32; 2] {
    let [a, b, c, d, e, f, g, h] = q.map(|code| code as u8);
    [
        i32::from_le_bytes([a, b, c, d]),
        i32::from_le_bytes([e, f, g, h]),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_256(x: &[u8; 32]) -> __m256i {
    // SAFETY: the array has the 32 bytes the load reads.
    unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn load_512(x: &[u8; BYTES]) -> __m512i {
    // SAFETY: the array has the 64 bytes the load reads.
    unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
}

pub(super) mod avx2 {
    use super::*;

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(crate) fn nibble_dots(query: &[i8], blocks: &[u8], out: &mut [[i32; ROWS]]) {
        let query = query.as_chunks::<GROUP>().0;
        let (low_half, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
        for (block, out) in blocks.chunks_exact(query.len() * BYTES).zip(out) {
            let block = block.as_chunks::<BYTES>().0;
            let mut sums = [_mm256_setzero_si256(); 2];
            for (query, block) in query.chunks(4).zip(block.chunks(4)) {
                let mut pairs = [_mm256_setzero_si256(); 2];
                for (q, group) in query.iter().zip(block) {
                    let [first, second] = words(q).map(|word| _mm256_set1_epi32(word));
                    for (pairs, half) in pairs.iter_mut().zip(group.as_chunks::<32>().0) {
                        let codes = load_256(half);
                        let low = _mm256_and_si256(codes, low_half);
                        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), low_half);
                        *pairs = _mm256_add_epi16(*pairs, _mm256_maddubs_epi16(low, first));
                        *pairs = _mm256_add_epi16(*pairs, _mm256_maddubs_epi16(high, second));
                    }
                }
                for (sum, pairs) in sums.iter_mut().zip(pairs) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
                }
            }
            let halves = out.as_chunks_mut::<8>().0;
            for (half, sum) in halves.iter_mut().zip(sums) {
                // SAFETY: the array has the 32 bytes the store writes.
                unsafe { _mm256_storeu_si256(half.as_mut_ptr().cast(), sum) };
            }
        }
    }
}

pub(super) mod avx512 {
    use super::*;

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    pub(crate) fn nibble_dots(query: &[i8], blocks: &[u8], out: &mut [[i32; ROWS]]) {
        let query = query.as_chunks::<GROUP>().0;
        let (low_half, ones) = (_mm512_set1_epi8(15), _mm512_set1_epi16(1));
        for (block, out) in blocks.chunks_exact(query.len() * BYTES).zip(out) {
            let block = block.as_chunks::<BYTES>().0;
            let mut sum = _mm512_setzero_si512();
            for (query, block) in query.chunks(4).zip(block.chunks(4)) {
                let mut pairs = _mm512_setzero_si512();
                for (q, group) in query.iter().zip(block) {
                    let [first, second] = words(q).map(|word| _mm512_set1_epi32(word));
                    let codes = load_512(group);
                    let low = _mm512_and_si512(codes, low_half);
                    let high = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), low_half);
                    pairs = _mm512_add_epi16(pairs, _mm512_maddubs_epi16(low, first));
                    pairs = _mm512_add_epi16(pairs, _mm512_maddubs_epi16(high, second));
                }
                sum = _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, ones));
            }
            // SAFETY: the array has the 64 bytes the store writes.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sum) };
        }
    }
}

pub(super) mod vnni {
    use super::*;

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    pub(crate) fn nibble_dots(query: &[i8], blocks: &[u8], out: &mut [[i32; ROWS]]) {
        let query = query.as_chunks::<GROUP>().0;
        let low_half = _mm512_set1_epi8(15);
        for (block, out) in blocks.chunks_exact(query.len() * BYTES).zip(out) {
            let block = block.as_chunks::<BYTES>().0;
            // Two chains, so that the additions do not wait for each other.
            let mut sums = [_mm512_setzero_si512(); 2];
            for (q, group) in query.iter().zip(block) {
                let [first, second] = words(q).map(|word| _mm512_set1_epi32(word));
                let codes = load_512(group);
                let low = _mm512_and_si512(codes, low_half);
                let high = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), low_half);
                sums[0] = _mm512_dpbusd_epi32(sums[0], low, first);
                sums[1] = _mm512_dpbusd_epi32(sums[1], high, second);
            }
            let sum = _mm512_add_epi32(sums[0], sums[1]);
            // SAFETY: the array has the 64 bytes the store writes.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sum) };
        }
    }
}
