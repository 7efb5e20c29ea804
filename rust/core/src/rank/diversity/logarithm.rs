//! The natural logarithm, a little too large, for many numbers at once.

/// No less than the natural logarithm of a normal float from 1e-6 to 1, and no more than 1e-5 above it.
///
/// With `x = m 2^e` and `m` in [0.7, 1.42), `ln x = e ln 2 + 2 artanh s` for `s = (m - 1) / (m + 1)`, `|s| <= 0.18`,
/// of which four terms of the series leave less than 1e-7. Without branches or calls, so a loop over it is
/// vectorised.
#[inline]
pub(super) fn above_log(x: f32) -> f32 {
    /// The bits of about 0.7: what is subtracted leaves the exponent of `x / m`.
    const LEAST: u32 = 0x3f33_3333;
    let bits = x.to_bits();
    let exponent = (bits.wrapping_sub(LEAST) as i32) >> 23;
    let m = f32::from_bits(bits.wrapping_sub((exponent << 23) as u32));
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let series = 2.0 * s * (1.0 + s2 * (1.0 / 3.0 + s2 * (0.2 + s2 * (1.0 / 7.0))));
    exponent as f32 * std::f32::consts::LN_2 + series + 5e-6
}

#[cfg(test)]
mod tests {
    use super::above_log;

    #[test]
    fn it_is_above_and_near() {
        let mut x = 9e-7f32;
        while x <= 1.0 {
            let (rough, exact) = (f64::from(above_log(x)), f64::from(x).ln());
            assert!(rough >= exact && rough <= exact + 1e-5, "{x}: {rough}, {exact}");
            x *= 1.000_003;
        }
        assert!(above_log(1.0) >= 0.0);
    }
}
