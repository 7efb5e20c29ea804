//! A correctly rounded `f32` fused multiply-add in plain Rust.
//!
//! `f32::mul_add` is the right operation, but on a baseline x86-64 build it is a call into the
//! platform's C library, whose answer this crate would then depend on. This one depends on nothing
//! but IEEE `f64` addition and multiplication.
//!
//! The product of two `f32` has at most 48 significant bits and an exponent well inside the range
//! of `f64`: it is exact there. The sum `s = fl(product + c)` need not be, and rounding it a second
//! time to `f32` may then fall on the wrong side of a tie. So the exact error of the sum comes from
//! TwoSum (Knuth, TAOCP vol. 2, 4.2.2, theorem B), and `s` is moved to "round to odd": if the sum
//! was inexact and the last bit of `s` is even, `s` steps to its odd neighbour on the side of the
//! true value. Rounding an odd-rounded value of `p + 2` or more bits to `p` bits is the same as
//! rounding the true value once (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums:
//! proved algorithms using rounding to odd", IEEE TC 57(4), 2008); here `p = 24` (fewer for a
//! subnormal result) against 53.

/// `a * b + c`, rounded once, to nearest and ties to even.
#[inline]
pub(crate) fn fma(a: f32, b: f32, c: f32) -> f32 {
    let product = f64::from(a) * f64::from(b);
    let c = f64::from(c);
    let sum = product + c;
    // TwoSum: `sum + error` is exactly `product + c`.
    let c_part = sum - product;
    let product_part = sum - c_part;
    let error = (product - product_part) + (c - c_part);
    let bits = sum.to_bits();
    // An infinite or NaN sum has a NaN error and is already what it should be.
    if error != 0.0 && !error.is_nan() && bits & 1 == 0 {
        // An inexact sum is not zero, so its neighbours in magnitude are one bit pattern away.
        let outwards = (error > 0.0) == (sum > 0.0);
        let odd = if outwards { bits + 1 } else { bits - 1 };
        return f64::from_bits(odd) as f32;
    }
    sum as f32
}

#[cfg(test)]
mod tests {
    use super::fma;
    use proptest::prelude::*;

    fn agrees(a: f32, b: f32, c: f32) {
        let (ours, std) = (fma(a, b, c), a.mul_add(b, c));
        assert!(
            ours.to_bits() == std.to_bits() || (ours.is_nan() && std.is_nan()),
            "fma({a:e}, {b:e}, {c:e}): {ours:e} ({:08x}), expected {std:e} ({:08x})",
            ours.to_bits(),
            std.to_bits()
        );
    }

    #[test]
    fn edge_cases_agree_with_mul_add() {
        let tiny = f32::from_bits(1);
        let just_below_one = 1.0 - f32::EPSILON / 2.0;
        let mut values = vec![
            0.0,
            1.0,
            1.0 + f32::EPSILON,
            just_below_one,
            2.0,
            3.0,
            1e-20,
            1e20,
            tiny,
            tiny * 3.0,
            f32::from_bits(0x007f_ffff),
            f32::MIN_POSITIVE,
            f32::MIN_POSITIVE * 1.5,
            f32::MAX,
            f32::MAX / 2.0,
            f32::EPSILON,
            f32::EPSILON / 2.0,
            f32::INFINITY,
            f32::NAN,
            16_777_215.0,
            0.1,
        ];
        values.extend(values.clone().iter().map(|v| -v));
        for &a in &values {
            for &b in &values {
                for &c in &values {
                    agrees(a, b, c);
                }
            }
        }
    }

    /// `(1 + 2^-12)^2` is half way between two f32, so an addend too small for the f64 sum decides:
    /// rounding twice loses it. These cases are what round-to-odd is for.
    #[test]
    fn double_rounding_is_avoided() {
        let a = 1.0 + 1.0 / 4096.0f32;
        let mut wrong_if_rounded_twice = 0;
        for exponent in -149..60 {
            for sign in [-1.0f64, 1.0] {
                for ulps in 0..8 {
                    let significand = 1.0 + f64::from(ulps) * f64::from(f32::EPSILON);
                    let c = (sign * significand * 2f64.powi(exponent)) as f32;
                    for (a, b) in [(a, a), (-a, a), (a, 3.0 * a), (a, a * 2f32.powi(-140))] {
                        agrees(a, b, c);
                        let twice = (f64::from(a) * f64::from(b) + f64::from(c)) as f32;
                        wrong_if_rounded_twice +=
                            u32::from(twice.to_bits() != fma(a, b, c).to_bits());
                    }
                }
            }
        }
        assert!(
            wrong_if_rounded_twice > 100,
            "only {wrong_if_rounded_twice} cases round twice"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn any_bits_agree_with_mul_add(a: u32, b: u32, c: u32) {
            agrees(f32::from_bits(a), f32::from_bits(b), f32::from_bits(c));
        }

        /// Exponents close enough for the addend to meet the product, which random bits seldom do.
        #[test]
        fn near_cancellation_agrees_with_mul_add(
            a in -2.0f32..2.0, b in -2.0f32..2.0, scale in -60i32..30, nudge in -4i32..4, away in -30i32..30,
        ) {
            let a = a * 2f32.powi(scale);
            let c = -(a * b) * 2f32.powi(away);
            let c = f32::from_bits(c.to_bits().wrapping_add_signed(nudge));
            agrees(a, b, c);
            agrees(a, b, -c);
        }
    }
}
