//! AVX-512 F, BW, DQ and VL: sixteen f32 or sixty-four int8 per register.
//!
//! The 32 lanes of the canonical order are two registers, lane `16 * r + i` in register `r`. Tails
//! are masked loads, which do not touch what the mask leaves out, so nothing is copied.
//!
//! int8 products are those of `avx2.rs`; there is no sign instruction at this width, so rows are
//! negated under the mask of the query's sign bits.
//!
//! On a CPU that runs these in two halves (Zen 4) the gain over AVX2 is small for whole groups (64 f32
//! in cache: 4.2 ns a row against 4.4) and comes from the tails (50 f32: 5.2 against 7).

use super::avx2::{finish_1, finish_4, sum_1, sum_4};
use super::fastscan::avx512::{estimate, fill_table, hadamard};
use super::nibble::avx512::nibble_dots;
use super::panel2::{
    dots, log_left, pack, quantise, raise, reach, spend, subtract, subtract_codes, FORM,
};
use crate::isa::Isa;
use core::arch::x86_64::*;

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn load_f32(x: &[f32; 16]) -> __m512 {
    // SAFETY: the array has the 64 bytes the load reads.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn load_f16(x: &[u16; 16]) -> __m512 {
    // SAFETY: the array has the 32 bytes the load reads.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(x.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn load_i8(x: &[i8; 16]) -> __m512 {
    // SAFETY: the array has the 16 bytes the load reads.
    let codes = unsafe { _mm_loadu_si128(x.as_ptr().cast()) };
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes))
}

/// Groups of 32 elements, as two blocks of sixteen, and what does not fill a group.
#[inline(always)]
fn groups<T>(x: &[T]) -> (&[[[T; 16]; 2]], &[T]) {
    let groups = x.as_chunks::<16>().0.as_chunks::<2>().0;
    (groups, &x[groups.len() * 32..])
}

/// Where block `index` of sixteen starts in a tail, and which of its elements exist.
#[inline(always)]
fn tail_block<T>(tail: &[T], index: usize) -> (*const T, u16) {
    let start = (index * 16).min(tail.len());
    let present = (tail.len() - start).min(16);
    (
        tail.as_ptr().wrapping_add(start),
        ((1u32 << present) - 1) as u16,
    )
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn tail_f32(tail: &[f32], index: usize) -> __m512 {
    let (start, mask) = tail_block(tail, index);
    // SAFETY: a masked load reads the elements in the mask, and these are in `tail`.
    unsafe { _mm512_maskz_loadu_ps(mask, start) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn tail_f16(tail: &[u16], index: usize) -> __m512 {
    let (start, mask) = tail_block(tail, index);
    // SAFETY: a masked load reads the elements in the mask, and these are in `tail`.
    _mm512_cvtph_ps(unsafe { _mm256_maskz_loadu_epi16(mask, start.cast()) })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn tail_i8(tail: &[i8], index: usize) -> __m512 {
    let (start, mask) = tail_block(tail, index);
    // SAFETY: a masked load reads the elements in the mask, and these are in `tail`.
    let codes = unsafe { _mm_maskz_loadu_epi8(mask, start) };
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn load_codes(x: &[i8; 64]) -> __m512i {
    // SAFETY: the array has the 64 bytes the load reads.
    unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
}

/// Fewer than 64 codes, padded with zeros.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn tail_codes(tail: &[i8]) -> __m512i {
    debug_assert!(tail.len() < 64);
    let mask = (1u64 << (tail.len() & 63)) - 1;
    // SAFETY: a masked load reads the elements in the mask, and these are in `tail`.
    unsafe { _mm512_maskz_loadu_epi8(mask, tail.as_ptr()) }
}

/// The folds from 32 lanes to 4.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn fold_to_4(acc: [__m512; 2]) -> __m128 {
    let sixteen = _mm512_add_ps(acc[0], acc[1]);
    let eight = _mm256_add_ps(
        _mm512_castps512_ps256(sixteen),
        _mm512_extractf32x8_ps::<1>(sixteen),
    );
    _mm_add_ps(
        _mm256_castps256_ps128(eight),
        _mm256_extractf128_ps::<1>(eight),
    )
}

/// A float kernel: `$step` makes a register's new value of query, row, accumulator (and scale).
macro_rules! float_kernel {
    ($name:ident($($s:ident)?), $x:ty, $load:ident, $tail:ident, |$q:ident, $v:ident, $acc:ident| $step:expr) => {
        pub(super) mod $name {
            use super::*;

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            fn lanes(q: &[f32], $($s: f32,)? x: &[$x]) -> __m128 {
                $(let $s = _mm512_set1_ps($s);)?
                let mut acc = [_mm512_setzero_ps(); 2];
                let ((q_groups, q_tail), (x_groups, x_tail)) = (groups(q), groups(x));
                for (q, x) in q_groups.iter().zip(x_groups) {
                    for (acc, (q, x)) in acc.iter_mut().zip(q.iter().zip(x)) {
                        let ($q, $v, $acc) = (load_f32(q), $load(x), *acc);
                        *acc = $step;
                    }
                }
                if !q_tail.is_empty() {
                    for (block, acc) in acc.iter_mut().enumerate() {
                        let ($q, $v, $acc) = (tail_f32(q_tail, block), $tail(x_tail, block), *acc);
                        *acc = $step;
                    }
                }
                fold_to_4(acc)
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            pub(crate) fn one(q: &[f32], $($s: f32,)? x: &[$x]) -> f32 {
                finish_1(lanes(q, $($s,)? x))
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
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
    _mm512_fmadd_ps(q, x, acc)
});
float_kernel!(l2_f32(), f32, load_f32, tail_f32, |q, x, acc| square(
    _mm512_sub_ps(q, x),
    acc
));
float_kernel!(dot_f16(), u16, load_f16, tail_f16, |q, x, acc| {
    _mm512_fmadd_ps(q, x, acc)
});
float_kernel!(l2_f16(), u16, load_f16, tail_f16, |q, x, acc| square(
    _mm512_sub_ps(q, x),
    acc
));
float_kernel!(dot_f32_i8(), i8, load_i8, tail_i8, |q, x, acc| {
    _mm512_fmadd_ps(q, x, acc)
});
float_kernel!(l2_f32_i8(scale), i8, load_i8, tail_i8, |q, x, acc| {
    square(_mm512_fnmadd_ps(scale, x, q), acc)
});

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn square(d: __m512, acc: __m512) -> __m512 {
    _mm512_fmadd_ps(d, d, acc)
}

/// The sixteen sums of a register as four.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn sum_to_4(v: __m512i) -> __m128i {
    let eight = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64::<1>(v));
    _mm_add_epi32(
        _mm256_castsi256_si128(eight),
        _mm256_extracti128_si256::<1>(eight),
    )
}

/// An int8 kernel: `$step` adds 64 elements' terms to sixteen i32. Two accumulators for a single
/// row, one per row for four: either way the additions do not wait for each other.
macro_rules! code_kernel {
    ($name:ident, #[$feature:meta], |$q:ident, $x:ident, $acc:ident| $step:expr) => {
        pub(super) mod $name {
            use super::*;

            #[inline]
            #[$feature]
            fn lanes(q: &[i8], x: &[i8]) -> __m128i {
                let mut acc = [_mm512_setzero_si512(); 2];
                let ((q_blocks, q_tail), (x_blocks, x_tail)) =
                    (q.as_chunks::<64>(), x.as_chunks::<64>());
                let ((q_pairs, q_odd), (x_pairs, x_odd)) =
                    (q_blocks.as_chunks::<2>(), x_blocks.as_chunks::<2>());
                for (q, x) in q_pairs.iter().zip(x_pairs) {
                    for (acc, (q, x)) in acc.iter_mut().zip(q.iter().zip(x)) {
                        let ($q, $x, $acc) = (load_codes(q), load_codes(x), *acc);
                        *acc = $step;
                    }
                }
                for (q, x) in q_odd.iter().zip(x_odd) {
                    let ($q, $x, $acc) = (load_codes(q), load_codes(x), acc[0]);
                    acc[0] = $step;
                }
                if !q_tail.is_empty() {
                    let ($q, $x, $acc) = (tail_codes(q_tail), tail_codes(x_tail), acc[1]);
                    acc[1] = $step;
                }
                sum_to_4(_mm512_add_epi32(acc[0], acc[1]))
            }

            #[inline]
            #[$feature]
            pub(crate) fn one(q: &[i8], x: &[i8]) -> i32 {
                sum_1(lanes(q, x))
            }

            #[inline]
            #[$feature]
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
pub(super) use code_kernel;

code_kernel!(
    dot_i8,
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")],
    |q, x, acc| {
        let signed = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(q), _mm512_setzero_si512(), x);
        let pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(q), signed);
        _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
    }
);
code_kernel!(
    dot_i8_any,
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")],
    |q, x, acc| {
        let low = _mm512_madd_epi16(low_half(q), low_half(x));
        let high = _mm512_madd_epi16(high_half(q), high_half(x));
        _mm512_add_epi32(acc, _mm512_add_epi32(low, high))
    }
);
code_kernel!(
    l2_i8,
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")],
    |q, x, acc| {
        let (low, high) = distances(q, x);
        let squares = _mm512_add_epi32(_mm512_madd_epi16(low, low), _mm512_madd_epi16(high, high));
        _mm512_add_epi32(acc, squares)
    }
);

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn low_half(x: __m512i) -> __m512i {
    _mm512_cvtepi8_epi16(_mm512_castsi512_si256(x))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn high_half(x: __m512i) -> __m512i {
    _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64::<1>(x))
}

/// `|q - x|` as i16, in two registers, in an order of no matter. The difference of two i8 fits an
/// unsigned byte, and max - min wraps into exactly that.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn distances(q: __m512i, x: __m512i) -> (__m512i, __m512i) {
    let d = _mm512_sub_epi8(_mm512_max_epi8(q, x), _mm512_min_epi8(q, x));
    let zero = _mm512_setzero_si512();
    (_mm512_unpacklo_epi8(d, zero), _mm512_unpackhi_epi8(d, zero))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn f32_to_f16(src: &[f32], dst: &mut [u16]) {
    for (dst, src) in dst.chunks_mut(16).zip(src.chunks(16)) {
        let (start, mask) = tail_block(src, 0);
        // SAFETY: masked loads and stores touch the elements in the mask, which is cut to those that
        // both chunks have.
        unsafe {
            let mask = mask & tail_block(dst, 0).1;
            let halves =
                _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm512_maskz_loadu_ps(mask, start));
            _mm256_mask_storeu_epi16(dst.as_mut_ptr().cast(), mask, halves);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn f16_to_f32(src: &[u16], dst: &mut [f32]) {
    for (dst, src) in dst.chunks_mut(16).zip(src.chunks(16)) {
        let mask = tail_block(dst, 0).1;
        // SAFETY: a masked store touches the elements in the mask, and these are in `dst`.
        unsafe { _mm512_mask_storeu_ps(dst.as_mut_ptr(), mask, tail_f16(src, 0)) };
    }
}

dispatch_row!(
    Isa::Avx512,
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
);
