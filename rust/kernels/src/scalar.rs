//! The kernels in plain Rust: the definition the SIMD kernels are tested against, bit for bit, and
//! what runs on a CPU without them.
//!
//! Written to be read next to the crate's description of the canonical order, not to be fast: the
//! fused multiply-add is emulated (see `fused.rs`). Lengths are expected to be equal; a longer slice
//! is cut to the shorter one.

use crate::isa::Isa;
use crate::panel::portable::{
    dots, log_left, pack, quantise, raise, reach, spend, subtract, subtract_codes, FORM,
};

/// Lanes of the canonical order.
const LANES: usize = 32;

/// `a * b + c`, rounded once: what `f32::mul_add` gives, without the platform's C library.
#[inline]
pub fn fma(a: f32, b: f32, c: f32) -> f32 {
    crate::fused::fma(a, b, c)
}

/// Steps 1 to 4 of the canonical order; `step(q, x, acc)` gives the lane's new value.
#[inline]
fn accumulate<X: Copy>(
    q: &[f32],
    x: &[X],
    widen: impl Fn(X) -> f32,
    step: impl Fn(f32, f32, f32) -> f32,
) -> f32 {
    let mut acc = [0.0f32; LANES];
    for (q, x) in q.chunks(LANES).zip(x.chunks(LANES)) {
        for (lane, acc) in acc.iter_mut().enumerate() {
            let q = q.get(lane).copied().unwrap_or(0.0);
            let x = x.get(lane).map_or(0.0, |&x| widen(x));
            *acc = step(q, x, *acc);
        }
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            acc[lane] += acc[lane + half];
        }
        half /= 2;
    }
    acc[0]
}

fn dot_step(q: f32, x: f32, acc: f32) -> f32 {
    fma(q, x, acc)
}

fn l2_step(q: f32, x: f32, acc: f32) -> f32 {
    let d = q - x;
    fma(d, d, acc)
}

/// A kernel as the module the dispatch row expects, and as a public function.
macro_rules! kernel {
    ($(#[$doc:meta])* $name:ident($q:ty, $x:ty) -> $out:ty = |$a:ident, $b:ident| $body:expr) => {
        $(#[$doc])*
        pub fn $name($a: &[$q], $b: &[$x]) -> $out {
            $body
        }

        mod $name {
            pub(super) fn one(q: &[$q], x: &[$x]) -> $out {
                super::$name(q, x)
            }

            pub(super) fn four(q: &[$q], x: [&[$x]; 4]) -> [$out; 4] {
                x.map(|x| super::$name(q, x))
            }
        }
    };
}

kernel!(
    /// Dot product.
    dot_f32(f32, f32) -> f32 = |q, x| accumulate(q, x, |x| x, dot_step)
);
kernel!(
    /// Squared Euclidean distance.
    l2_f32(f32, f32) -> f32 = |q, x| accumulate(q, x, |x| x, l2_step)
);
kernel!(
    /// Dot product of an f32 query and an f16 row.
    dot_f16(f32, u16) -> f32 = |q, x| accumulate(q, x, widen_f16, dot_step)
);
kernel!(
    /// Squared Euclidean distance of an f32 query and an f16 row.
    l2_f16(f32, u16) -> f32 = |q, x| accumulate(q, x, widen_f16, l2_step)
);
kernel!(
    /// Dot product of int8 codes (of any codes, in this row).
    dot_i8(i8, i8) -> i32 = |q, x| q.iter().zip(x).map(|(&q, &x)| i32::from(q) * i32::from(x)).sum()
);
kernel!(
    /// Dot product of any int8 codes.
    dot_i8_any(i8, i8) -> i32 = |q, x| dot_i8(q, x)
);
kernel!(
    /// Squared distance of any int8 codes.
    l2_i8(i8, i8) -> i32 = |q, x| q.iter().zip(x).map(|(&q, &x)| (i32::from(q) - i32::from(x)).pow(2)).sum()
);
kernel!(
    /// Dot product of an f32 query and int8 codes.
    dot_f32_i8(f32, i8) -> f32 = |q, x| accumulate(q, x, f32::from, dot_step)
);

/// Squared Euclidean distance of an f32 query and the row `scale * x`.
pub fn l2_f32_i8(q: &[f32], scale: f32, x: &[i8]) -> f32 {
    accumulate(q, x, f32::from, |q, x, acc| {
        let d = fma(-scale, x, q);
        fma(d, d, acc)
    })
}

mod l2_f32_i8 {
    pub(super) fn one(q: &[f32], scale: f32, x: &[i8]) -> f32 {
        super::l2_f32_i8(q, scale, x)
    }

    pub(super) fn four(q: &[f32], scales: [f32; 4], x: [&[i8]; 4]) -> [f32; 4] {
        std::array::from_fn(|r| super::l2_f32_i8(q, scales[r], x[r]))
    }
}

/// The f32 equal to an f16 bit pattern. A NaN keeps its sign and payload and becomes quiet.
pub fn widen_f16(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let exponent = u32::from(half >> 10) & 0x1f;
    let mantissa = u32::from(half & 0x3ff);
    let magnitude = match (exponent, mantissa) {
        (0x1f, 0) => 0x7f80_0000,
        (0x1f, payload) => 0x7fc0_0000 | payload << 13,
        // Zero or subnormal: a multiple of 2^-24, exact in f32.
        (0, _) => (mantissa as f32 * f32::from_bits(0x3380_0000)).to_bits(),
        // The exponent bias is 127 instead of 15.
        _ => (exponent + 112) << 23 | mantissa << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// The f16 bit pattern nearest to an f32, ties to even. A NaN keeps its sign and the top of its
/// payload and becomes quiet.
pub fn narrow_f32(value: f32) -> u16 {
    const INFINITY: u32 = 0x7f80_0000;
    // 65520 = 65504 + half a unit: from here on the nearest f16 is infinity (the tie goes to even).
    const OVERFLOW: u32 = 0x477f_f000;
    const SMALLEST_NORMAL: u32 = 0x3880_0000;
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    let half = if magnitude > INFINITY {
        0x7e00 | (magnitude >> 13 & 0x3ff)
    } else if magnitude >= OVERFLOW {
        0x7c00
    } else if magnitude >= SMALLEST_NORMAL {
        // Add just under half a unit of the kept bits, or half if the last kept bit is odd; a carry
        // into the exponent is what rounding up to the next power of two should do.
        let rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
        (rounded - (112 << 23)) >> 13
    } else {
        // In [0.5, 1) a unit of f32 is 2^-24, the unit of f16 subnormals: the addition rounds.
        (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits()
    };
    sign | half as u16
}

/// [`narrow_f32`] of every element.
pub fn f32_to_f16(src: &[f32], dst: &mut [u16]) {
    for (dst, &src) in dst.iter_mut().zip(src) {
        *dst = narrow_f32(src);
    }
}

/// [`widen_f16`] of every element.
pub fn f16_to_f32(src: &[u16], dst: &mut [f32]) {
    for (dst, &src) in dst.iter_mut().zip(src) {
        *dst = widen_f16(src);
    }
}

use crate::fastscan::plain::{estimate, fill_table, hadamard};
use crate::nibble::plain::nibble_dots;

dispatch_row!(Isa::Scalar);
