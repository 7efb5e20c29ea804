//! AVX2 with FMA and F16C: eight f32 or thirty-two int8 per register.
//!
//! The 32 lanes of the canonical order are four registers, lane `8 * r + i` in register `r`, so the
//! first two folds of the reduction are additions of whole registers. Four independent chains of
//! fused multiply-adds also are what two loads per step can feed.
//!
//! int8 products: `vpmaddubsw` multiplies unsigned by signed bytes and adds neighbours into i16. With
//! `|q|` as the unsigned side and `x` carrying the sign of `q`, a pair is at most
//! `128 * 127 * 2 = 32512`, inside i16, for every query and all row codes in `[-127, 127]`.
//! `vpmaddwd` by ones then widens to i32. For int8 the order of the terms does not matter, so a tail is
//! the last 32 codes of the row with those already counted masked off.

use super::fastscan::avx2::{estimate, fill_table, hadamard};
use super::nibble::avx2::nibble_dots;
use super::panel2::{
    dots, log_left, pack, quantise, raise, reach, spend, subtract, subtract_codes, FORM,
};
use crate::blocks::{groups, words};
use crate::isa::Isa;
use core::arch::x86_64::*;

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_f32(x: &[f32; 8]) -> __m256 {
    // SAFETY: the array has the 32 bytes the load reads.
    unsafe { _mm256_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_f16(x: &[u16; 8]) -> __m256 {
    // SAFETY: the array has the 16 bytes the load reads.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(x.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_i8(x: &[i8; 8]) -> __m256 {
    // SAFETY: the array has the 8 bytes the load reads.
    let codes = unsafe { _mm_loadl_epi64(x.as_ptr().cast()) };
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_codes(x: &[i8; 32]) -> __m256i {
    // SAFETY: the array has the 32 bytes the load reads.
    unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
}

/// Eight f32 from element `start` on; those `x` does not have are zero.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tail_f32(x: &[f32], start: usize) -> __m256 {
    const MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let start = start.min(x.len());
    let present = (x.len() - start).min(8);
    // SAFETY: 8 - present is at most 8, so the first load reads 8 of the 16 masks; the second reads
    // the `present` elements in the mask, which `x` has from `start` on.
    unsafe {
        let mask = _mm256_loadu_si256(MASKS.as_ptr().add(8 - present).cast());
        _mm256_maskload_ps(x.as_ptr().add(start), mask)
    }
}

/// Eight f16 from element `start` on; those `x` does not have are zero.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tail_f16(x: &[u16], start: usize) -> __m256 {
    // A shuffle by 16 bytes of this table moves a register down; 0x80 makes a zero.
    const DOWN: [u8; 32] = [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, //
        128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
    ];
    let rest = x.get(start..).unwrap_or_default();
    if let Some(block) = rest.first_chunk() {
        return load_f16(block);
    }
    let halves = match x.last_chunk::<8>() {
        // SAFETY: the last 8 elements are 16 bytes; the table is read from byte 2 * (8 - rest), which
        // is at most 16, on.
        Some(last) => unsafe {
            let down = DOWN.as_ptr().add(2 * (8 - rest.len()));
            _mm_shuffle_epi8(
                _mm_loadu_si128(last.as_ptr().cast()),
                _mm_loadu_si128(down.cast()),
            )
        },
        None => {
            let [low, high] = words(rest);
            _mm_set_epi64x(high as i64, low as i64)
        }
    };
    _mm256_cvtph_ps(halves)
}

/// Eight codes from element `start` on; those `x` does not have are zero.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tail_i8(x: &[i8], start: usize) -> __m256 {
    let rest = x.get(start..).unwrap_or_default();
    let [word] = match x.last_chunk::<8>() {
        Some(last) if rest.len() < 8 => {
            words(last).map(|w| w.checked_shr(64 - 8 * rest.len() as u32).unwrap_or(0))
        }
        _ => words(rest),
    };
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(word as i64)))
}

/// The last `count` codes, fewer than 32, and zeros, in an order that depends on the lengths alone.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tail_codes(x: &[i8], count: usize) -> __m256i {
    const MASKS: [i8; 64] = {
        let mut masks = [0; 64];
        let mut i = 32;
        while i < 64 {
            masks[i] = -1;
            i += 1;
        }
        masks
    };
    debug_assert!(count < 32);
    match x.last_chunk::<32>() {
        Some(last) => {
            // SAFETY: `count & 31` is less than 32, so the load reads 32 of the 64 masks.
            let mask = unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(count & 31).cast()) };
            _mm256_and_si256(load_codes(last), mask)
        }
        None => {
            let [a, b, c, d] = words(x);
            _mm256_set_epi64x(d as i64, c as i64, b as i64, a as i64)
        }
    }
}

/// The folds from 32 lanes to 4.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn fold_to_4(acc: [__m256; 4]) -> __m128 {
    let eight = _mm256_add_ps(_mm256_add_ps(acc[0], acc[2]), _mm256_add_ps(acc[1], acc[3]));
    _mm_add_ps(
        _mm256_castps256_ps128(eight),
        _mm256_extractf128_ps::<1>(eight),
    )
}

/// The last two folds, of one row.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn finish_1(v: __m128) -> f32 {
    let two = _mm_add_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// The last two folds, of four rows at once: the same additions, transposed.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn finish_4(v: [__m128; 4]) -> [f32; 4] {
    let a = _mm_add_ps(_mm_movelh_ps(v[0], v[1]), _mm_movehl_ps(v[1], v[0]));
    let b = _mm_add_ps(_mm_movelh_ps(v[2], v[3]), _mm_movehl_ps(v[3], v[2]));
    let sums = _mm_add_ps(
        _mm_shuffle_ps::<0b10_00_10_00>(a, b),
        _mm_shuffle_ps::<0b11_01_11_01>(a, b),
    );
    let mut out = [0.0; 4];
    // SAFETY: the array has the 16 bytes the store writes.
    unsafe { _mm_storeu_ps(out.as_mut_ptr(), sums) };
    out
}

/// A float kernel: `$step` makes a register's new value of query, row, accumulator (and scale).
macro_rules! float_kernel {
    ($name:ident($($s:ident)?), $x:ty, $load:ident, $tail:ident, |$q:ident, $v:ident, $acc:ident| $step:expr) => {
        pub(super) mod $name {
            use super::*;

            #[inline]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn lanes(q: &[f32], $($s: f32,)? x: &[$x]) -> __m128 {
                $(let $s = _mm256_set1_ps($s);)?
                let mut acc = [_mm256_setzero_ps(); 4];
                let (q_groups, x_groups) = (groups(q), groups(x));
                for (q, x) in q_groups.iter().zip(x_groups) {
                    for (acc, (q, x)) in acc.iter_mut().zip(q.iter().zip(x)) {
                        let ($q, $v, $acc) = (load_f32(q), $load(x), *acc);
                        *acc = $step;
                    }
                }
                let tail = 32 * q_groups.len();
                if tail < q.len() {
                    for (block, acc) in acc.iter_mut().enumerate() {
                        let start = tail + 8 * block;
                        let ($q, $v, $acc) = (tail_f32(q, start), $tail(x, start), *acc);
                        *acc = $step;
                    }
                }
                fold_to_4(acc)
            }

            #[inline]
            #[target_feature(enable = "avx2,fma,f16c")]
            pub(crate) fn one(q: &[f32], $($s: f32,)? x: &[$x]) -> f32 {
                finish_1(lanes(q, $($s,)? x))
            }

            #[inline]
            #[target_feature(enable = "avx2,fma,f16c")]
            pub(crate) fn four(q: &[f32], $($s: [f32; 4],)? x: [&[$x]; 4]) -> [f32; 4] {
                finish_4([
                    lanes(q, $($s[0],)? x[0]),
                    lanes(q, $($s[1],)? x[1]),
                    lanes(q, $($s[2],)? x[2]),
                    lanes(q, $($s[3],)? x[3]),
                ])
            }
        }
    };
}

float_kernel!(dot_f32(), f32, load_f32, tail_f32, |q, x, acc| {
    _mm256_fmadd_ps(q, x, acc)
});
float_kernel!(l2_f32(), f32, load_f32, tail_f32, |q, x, acc| square(
    _mm256_sub_ps(q, x),
    acc
));
float_kernel!(dot_f16(), u16, load_f16, tail_f16, |q, x, acc| {
    _mm256_fmadd_ps(q, x, acc)
});
float_kernel!(l2_f16(), u16, load_f16, tail_f16, |q, x, acc| square(
    _mm256_sub_ps(q, x),
    acc
));
float_kernel!(dot_f32_i8(), i8, load_i8, tail_i8, |q, x, acc| {
    _mm256_fmadd_ps(q, x, acc)
});
float_kernel!(l2_f32_i8(scale), i8, load_i8, tail_i8, |q, x, acc| square(
    _mm256_fnmadd_ps(scale, x, q),
    acc
));

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn square(d: __m256, acc: __m256) -> __m256 {
    _mm256_fmadd_ps(d, d, acc)
}

/// An int8 kernel: `$step` sums 32 elements' terms into eight i32.
macro_rules! code_kernel {
    ($name:ident, |$q:ident, $x:ident| $step:expr) => {
        pub(super) mod $name {
            use super::*;

            #[inline]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn lanes(q: &[i8], x: &[i8]) -> __m128i {
                let mut acc = [_mm256_setzero_si256(); 2];
                let ((q_blocks, q_tail), (x_blocks, _)) =
                    (q.as_chunks::<32>(), x.as_chunks::<32>());
                let ((q_pairs, q_odd), (x_pairs, x_odd)) =
                    (q_blocks.as_chunks::<2>(), x_blocks.as_chunks::<2>());
                for (q, x) in q_pairs.iter().zip(x_pairs) {
                    for (acc, (q, x)) in acc.iter_mut().zip(q.iter().zip(x)) {
                        let ($q, $x) = (load_codes(q), load_codes(x));
                        *acc = _mm256_add_epi32(*acc, $step);
                    }
                }
                for (q, x) in q_odd.iter().zip(x_odd) {
                    let ($q, $x) = (load_codes(q), load_codes(x));
                    acc[0] = _mm256_add_epi32(acc[0], $step);
                }
                if !q_tail.is_empty() {
                    let ($q, $x) = (tail_codes(q, q_tail.len()), tail_codes(x, q_tail.len()));
                    acc[1] = _mm256_add_epi32(acc[1], $step);
                }
                let eight = _mm256_add_epi32(acc[0], acc[1]);
                _mm_add_epi32(
                    _mm256_castsi256_si128(eight),
                    _mm256_extracti128_si256::<1>(eight),
                )
            }

            #[inline]
            #[target_feature(enable = "avx2,fma,f16c")]
            pub(crate) fn one(q: &[i8], x: &[i8]) -> i32 {
                sum_1(lanes(q, x))
            }

            #[inline]
            #[target_feature(enable = "avx2,fma,f16c")]
            pub(crate) fn four(q: &[i8], x: [&[i8]; 4]) -> [i32; 4] {
                sum_4([
                    lanes(q, x[0]),
                    lanes(q, x[1]),
                    lanes(q, x[2]),
                    lanes(q, x[3]),
                ])
            }
        }
    };
}

code_kernel!(dot_i8, |q, x| {
    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(x, q));
    _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
});
code_kernel!(dot_i8_any, |q, x| {
    _mm256_add_epi32(
        _mm256_madd_epi16(low_half(q), low_half(x)),
        _mm256_madd_epi16(high_half(q), high_half(x)),
    )
});
code_kernel!(l2_i8, |q, x| {
    // The difference of two i8 fits an unsigned byte, and max - min wraps into exactly that.
    let d = _mm256_sub_epi8(_mm256_max_epi8(q, x), _mm256_min_epi8(q, x));
    let zero = _mm256_setzero_si256();
    let (low, high) = (_mm256_unpacklo_epi8(d, zero), _mm256_unpackhi_epi8(d, zero));
    _mm256_add_epi32(_mm256_madd_epi16(low, low), _mm256_madd_epi16(high, high))
});

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn low_half(x: __m256i) -> __m256i {
    _mm256_cvtepi8_epi16(_mm256_castsi256_si128(x))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn high_half(x: __m256i) -> __m256i {
    _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(x))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn sum_1(v: __m128i) -> i32 {
    let two = _mm_add_epi32(v, _mm_unpackhi_epi64(v, v));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two)))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn sum_4(v: [__m128i; 4]) -> [i32; 4] {
    let sums = _mm_hadd_epi32(_mm_hadd_epi32(v[0], v[1]), _mm_hadd_epi32(v[2], v[3]));
    let mut out = [0; 4];
    // SAFETY: the array has the 16 bytes the store writes.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), sums) };
    out
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn narrow_8(src: __m256) -> [u16; 8] {
    let mut dst = [0; 8];
    let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(src);
    // SAFETY: the array has the 16 bytes the store writes.
    unsafe { _mm_storeu_si128(dst.as_mut_ptr().cast(), halves) };
    dst
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen_8(src: __m256) -> [f32; 8] {
    let mut dst = [0.0; 8];
    // SAFETY: the array has the 32 bytes the store writes.
    unsafe { _mm256_storeu_ps(dst.as_mut_ptr(), src) };
    dst
}

#[target_feature(enable = "avx2,fma,f16c")]
fn f32_to_f16(src: &[f32], dst: &mut [u16]) {
    let ((src, src_tail), (dst, dst_tail)) = (src.as_chunks::<8>(), dst.as_chunks_mut::<8>());
    for (dst, src) in dst.iter_mut().zip(src) {
        *dst = narrow_8(load_f32(src));
    }
    for (dst, src) in dst_tail.iter_mut().zip(narrow_8(tail_f32(src_tail, 0))) {
        *dst = src;
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn f16_to_f32(src: &[u16], dst: &mut [f32]) {
    let ((src, src_tail), (dst, dst_tail)) = (src.as_chunks::<8>(), dst.as_chunks_mut::<8>());
    for (dst, src) in dst.iter_mut().zip(src) {
        *dst = widen_8(load_f16(src));
    }
    for (dst, src) in dst_tail.iter_mut().zip(widen_8(tail_f16(src_tail, 0))) {
        *dst = src;
    }
}

dispatch_row!(Isa::Avx2, #[target_feature(enable = "avx2,fma,f16c")]);
