//! AArch64 Advanced SIMD: four f32 or sixteen int8 per register.
//!
//! The 32 lanes of the canonical order are eight registers, lane `4 * r + i` in register `r`; all
//! folds but the last two are additions of whole registers.
//!
//! f16 is widened and narrowed with `fcvtl` and `fcvtn`, which are in the baseline; the intrinsics
//! that name them ask for the optional half-precision arithmetic, so the two are inline assembly.
//!
//! int8 products are exact for all codes: `smull` gives i16 (at most `128 * 128`) and `sadalp` adds
//! neighbours into i32. Summing two `smull` in i16 first would save an instruction and overflow at
//! `-128 * -128 * 2`. Squared distances take `|q - x|` as an unsigned byte (`sabd`) and go the same
//! way, unsigned.

use super::fastscan::{estimate, fill_table, hadamard};
use super::nibble::nibble_dots;
use crate::blocks::{groups, words};
use crate::isa::Isa;
use crate::panel::portable::{
    dots, log_left, pack, quantise, raise, reach, spend, subtract, subtract_codes, FORM,
};
use core::arch::aarch64::*;
use core::arch::asm;

/// Eight f32 in two registers.
type Eight = [float32x4_t; 2];

#[inline]
#[target_feature(enable = "neon")]
fn load_f32(x: &[f32; 8]) -> Eight {
    // SAFETY: the array has the 32 bytes the two loads read.
    unsafe { [vld1q_f32(x.as_ptr()), vld1q_f32(x.as_ptr().add(4))] }
}

/// Two words, the first in the low half.
#[inline]
#[target_feature(enable = "neon")]
fn join(low: u64, high: u64) -> uint64x2_t {
    vcombine_u64(vcreate_u64(low), vcreate_u64(high))
}

/// Eight f32 from element `start` on; those `x` does not have are zero.
#[inline]
#[target_feature(enable = "neon")]
fn tail_f32(x: &[f32], start: usize) -> Eight {
    let [a, b, c, d] = words(x.get(start..).unwrap_or_default());
    [
        vreinterpretq_f32_u64(join(a, b)),
        vreinterpretq_f32_u64(join(c, d)),
    ]
}

#[inline]
#[target_feature(enable = "neon")]
fn load_f16(x: &[u16; 8]) -> Eight {
    // SAFETY: the array has the 16 bytes the load reads.
    widen_f16(unsafe { vld1q_u16(x.as_ptr()) })
}

/// Eight f16 from element `start` on; those `x` does not have are zero.
#[inline]
#[target_feature(enable = "neon")]
fn tail_f16(x: &[u16], start: usize) -> Eight {
    let [a, b] = words(x.get(start..).unwrap_or_default());
    widen_f16(vreinterpretq_u16_u64(join(a, b)))
}

#[inline]
#[target_feature(enable = "neon")]
fn widen_f16(halves: uint16x8_t) -> Eight {
    let (low, high): (float32x4_t, float32x4_t);
    // SAFETY: baseline instructions on registers. They may raise floating-point status flags, which
    // is why `preserves_flags` is not claimed.
    unsafe {
        asm!(
            "fcvtl {low:v}.4s, {halves:v}.4h",
            "fcvtl2 {high:v}.4s, {halves:v}.8h",
            low = out(vreg) low,
            high = out(vreg) high,
            halves = in(vreg) halves,
            options(pure, nomem, nostack),
        );
    }
    [low, high]
}

#[inline]
#[target_feature(enable = "neon")]
fn load_i8(x: &[i8; 8]) -> Eight {
    // SAFETY: the array has the 8 bytes the load reads.
    widen_i8(unsafe { vld1_s8(x.as_ptr()) })
}

/// Eight codes from element `start` on; those `x` does not have are zero.
#[inline]
#[target_feature(enable = "neon")]
fn tail_i8(x: &[i8], start: usize) -> Eight {
    let [a] = words(x.get(start..).unwrap_or_default());
    widen_i8(vcreate_s8(a))
}

#[inline]
#[target_feature(enable = "neon")]
fn widen_i8(codes: int8x8_t) -> Eight {
    let wide = vmovl_s8(codes);
    let (low, high) = (vmovl_s16(vget_low_s16(wide)), vmovl_high_s16(wide));
    [vcvtq_f32_s32(low), vcvtq_f32_s32(high)]
}

#[inline]
#[target_feature(enable = "neon")]
fn load_codes(x: &[i8; 16]) -> int8x16_t {
    // SAFETY: the array has the 16 bytes the load reads.
    unsafe { vld1q_s8(x.as_ptr()) }
}

/// Fewer than sixteen codes, and zeros.
#[inline]
#[target_feature(enable = "neon")]
fn tail_codes(tail: &[i8]) -> int8x16_t {
    let [a, b] = words(tail);
    vreinterpretq_s8_u64(join(a, b))
}

/// The folds from 32 lanes to 4. Block `b` of eight lanes is `acc[b]`.
#[inline]
#[target_feature(enable = "neon")]
fn fold_to_4(acc: [Eight; 4]) -> float32x4_t {
    let eight = |half: usize| {
        let (a, b) = (
            vaddq_f32(acc[0][half], acc[2][half]),
            vaddq_f32(acc[1][half], acc[3][half]),
        );
        vaddq_f32(a, b)
    };
    vaddq_f32(eight(0), eight(1))
}

/// The last two folds, of one row.
#[inline]
#[target_feature(enable = "neon")]
fn finish_1(v: float32x4_t) -> f32 {
    let two = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    vget_lane_f32::<0>(vpadd_f32(two, two))
}

/// The last two folds, of four rows at once: the same additions, transposed.
#[inline]
#[target_feature(enable = "neon")]
fn finish_4(v: [float32x4_t; 4]) -> [f32; 4] {
    let fold = |a: float32x4_t, b: float32x4_t| {
        vaddq_f32(
            vcombine_f32(vget_low_f32(a), vget_low_f32(b)),
            vcombine_f32(vget_high_f32(a), vget_high_f32(b)),
        )
    };
    let sums = vpaddq_f32(fold(v[0], v[1]), fold(v[2], v[3]));
    let mut out = [0.0; 4];
    // SAFETY: the array has the 16 bytes the store writes.
    unsafe { vst1q_f32(out.as_mut_ptr(), sums) };
    out
}

#[inline]
#[target_feature(enable = "neon")]
fn dot_step(q: float32x4_t, x: float32x4_t, acc: float32x4_t) -> float32x4_t {
    vfmaq_f32(acc, q, x)
}

#[inline]
#[target_feature(enable = "neon")]
fn l2_step(q: float32x4_t, x: float32x4_t, acc: float32x4_t) -> float32x4_t {
    let d = vsubq_f32(q, x);
    vfmaq_f32(acc, d, d)
}

#[inline]
#[target_feature(enable = "neon")]
fn scaled_l2_step(
    q: float32x4_t,
    scale: float32x4_t,
    x: float32x4_t,
    acc: float32x4_t,
) -> float32x4_t {
    let d = vfmsq_f32(q, scale, x);
    vfmaq_f32(acc, d, d)
}

/// A float kernel: `$step` makes a register's new value of query, row, accumulator (and scale).
macro_rules! float_kernel {
    ($name:ident($($s:ident)?), $x:ty, $load:ident, $tail:ident, |$q:ident, $v:ident, $acc:ident| $step:expr) => {
        mod $name {
            use super::*;

            #[inline]
            #[target_feature(enable = "neon")]
            fn lanes(q: &[f32], $($s: f32,)? x: &[$x]) -> float32x4_t {
                $(let $s = vdupq_n_f32($s);)?
                let mut acc = [[vdupq_n_f32(0.0); 2]; 4];
                let (q_groups, x_groups) = (groups(q), groups(x));
                for (q, x) in q_groups.iter().zip(x_groups) {
                    for (acc, (q, x)) in acc.iter_mut().zip(q.iter().zip(x)) {
                        for (acc, (q, x)) in acc.iter_mut().zip(load_f32(q).into_iter().zip($load(x))) {
                            let ($q, $v, $acc) = (q, x, *acc);
                            *acc = $step;
                        }
                    }
                }
                let tail = 32 * q_groups.len();
                if tail < q.len() {
                    for (block, acc) in acc.iter_mut().enumerate() {
                        let start = tail + 8 * block;
                        let (q, x) = (tail_f32(q, start), $tail(x, start));
                        for (acc, (q, x)) in acc.iter_mut().zip(q.into_iter().zip(x)) {
                            let ($q, $v, $acc) = (q, x, *acc);
                            *acc = $step;
                        }
                    }
                }
                fold_to_4(acc)
            }

            #[inline]
            #[target_feature(enable = "neon")]
            pub(super) fn one(q: &[f32], $($s: f32,)? x: &[$x]) -> f32 {
                finish_1(lanes(q, $($s,)? x))
            }

            #[inline]
            #[target_feature(enable = "neon")]
            pub(super) fn four(q: &[f32], $($s: [f32; 4],)? x: [&[$x]; 4]) -> [f32; 4] {
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

float_kernel!(dot_f32(), f32, load_f32, tail_f32, |q, x, acc| dot_step(
    q, x, acc
));
float_kernel!(l2_f32(), f32, load_f32, tail_f32, |q, x, acc| l2_step(
    q, x, acc
));
float_kernel!(dot_f16(), u16, load_f16, tail_f16, |q, x, acc| dot_step(
    q, x, acc
));
float_kernel!(l2_f16(), u16, load_f16, tail_f16, |q, x, acc| l2_step(
    q, x, acc
));
float_kernel!(dot_f32_i8(), i8, load_i8, tail_i8, |q, x, acc| dot_step(
    q, x, acc
));
float_kernel!(l2_f32_i8(scale), i8, load_i8, tail_i8, |q, x, acc| {
    scaled_l2_step(q, scale, x, acc)
});

/// An int8 kernel: `$step` adds 16 elements' terms to two accumulators.
macro_rules! code_kernel {
    ($name:ident, $step:ident) => {
        mod $name {
            use super::*;

            #[inline]
            #[target_feature(enable = "neon")]
            fn lanes(q: &[i8], x: &[i8]) -> int32x4_t {
                let mut acc = [vdupq_n_s32(0); 2];
                let ((q_blocks, q_tail), (x_blocks, x_tail)) =
                    (q.as_chunks::<16>(), x.as_chunks::<16>());
                for (q, x) in q_blocks.iter().zip(x_blocks) {
                    acc = $step(load_codes(q), load_codes(x), acc);
                }
                if !q_tail.is_empty() {
                    acc = $step(tail_codes(q_tail), tail_codes(x_tail), acc);
                }
                vaddq_s32(acc[0], acc[1])
            }

            #[inline]
            #[target_feature(enable = "neon")]
            pub(super) fn one(q: &[i8], x: &[i8]) -> i32 {
                vaddvq_s32(lanes(q, x))
            }

            #[inline]
            #[target_feature(enable = "neon")]
            pub(super) fn four(q: &[i8], x: [&[i8]; 4]) -> [i32; 4] {
                let (a, b) = (
                    vpaddq_s32(lanes(q, x[0]), lanes(q, x[1])),
                    vpaddq_s32(lanes(q, x[2]), lanes(q, x[3])),
                );
                let mut out = [0; 4];
                // SAFETY: the array has the 16 bytes the store writes.
                unsafe { vst1q_s32(out.as_mut_ptr(), vpaddq_s32(a, b)) };
                out
            }
        }
    };
}

code_kernel!(dot_i8, dot_codes);
code_kernel!(l2_i8, l2_codes);
use dot_i8 as dot_i8_any;

#[inline]
#[target_feature(enable = "neon")]
fn dot_codes(q: int8x16_t, x: int8x16_t, acc: [int32x4_t; 2]) -> [int32x4_t; 2] {
    [
        vpadalq_s16(acc[0], vmull_s8(vget_low_s8(q), vget_low_s8(x))),
        vpadalq_s16(acc[1], vmull_high_s8(q, x)),
    ]
}

#[inline]
#[target_feature(enable = "neon")]
fn l2_codes(q: int8x16_t, x: int8x16_t, acc: [int32x4_t; 2]) -> [int32x4_t; 2] {
    let d = vreinterpretq_u8_s8(vabdq_s8(q, x));
    let add =
        |acc, squares| vreinterpretq_s32_u32(vpadalq_u16(vreinterpretq_u32_s32(acc), squares));
    [
        add(acc[0], vmull_u8(vget_low_u8(d), vget_low_u8(d))),
        add(acc[1], vmull_high_u8(d, d)),
    ]
}

#[inline]
#[target_feature(enable = "neon")]
fn narrow_8([low, high]: Eight) -> [u16; 8] {
    let halves: uint16x8_t;
    // SAFETY: baseline instructions on registers, as in `widen_f16`; the second writes the upper half and keeps the lower.
    unsafe {
        asm!(
            "fcvtn {halves:v}.4h, {low:v}.4s",
            "fcvtn2 {halves:v}.8h, {high:v}.4s",
            halves = out(vreg) halves,
            low = in(vreg) low,
            high = in(vreg) high,
            options(pure, nomem, nostack),
        );
    }
    let mut dst = [0; 8];
    // SAFETY: the array has the 16 bytes the store writes.
    unsafe { vst1q_u16(dst.as_mut_ptr(), halves) };
    dst
}

#[inline]
#[target_feature(enable = "neon")]
fn widen_8([low, high]: Eight) -> [f32; 8] {
    let mut dst = [0.0; 8];
    // SAFETY: the array has the 32 bytes the two stores write.
    unsafe {
        vst1q_f32(dst.as_mut_ptr(), low);
        vst1q_f32(dst.as_mut_ptr().add(4), high);
    }
    dst
}

#[target_feature(enable = "neon")]
fn f32_to_f16(src: &[f32], dst: &mut [u16]) {
    let ((src, src_tail), (dst, dst_tail)) = (src.as_chunks::<8>(), dst.as_chunks_mut::<8>());
    for (dst, src) in dst.iter_mut().zip(src) {
        *dst = narrow_8(load_f32(src));
    }
    for (dst, src) in dst_tail.iter_mut().zip(narrow_8(tail_f32(src_tail, 0))) {
        *dst = src;
    }
}

#[target_feature(enable = "neon")]
fn f16_to_f32(src: &[u16], dst: &mut [f32]) {
    let ((src, src_tail), (dst, dst_tail)) = (src.as_chunks::<8>(), dst.as_chunks_mut::<8>());
    for (dst, src) in dst.iter_mut().zip(src) {
        *dst = widen_8(load_f16(src));
    }
    for (dst, src) in dst_tail.iter_mut().zip(widen_8(tail_f16(src_tail, 0))) {
        *dst = src;
    }
}

dispatch_row!(Isa::Neon, #[target_feature(enable = "neon")]);
