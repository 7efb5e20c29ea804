//! Samples of a normal, a gamma and a beta distribution: the same bits on every platform.
//!
//! Each is built from uniform numbers by additions, multiplications, divisions, square roots (which
//! IEEE 754 rounds in one way only) and `libm`'s logarithm and exponential, in a fixed order. Methods
//! by rejection read as many numbers as they need from a stream of the item's own, so how many they
//! need does not move anyone else's.

use crate::rank::rng::SlotRng;

/// Uniform in (0, 1]: its logarithm is finite.
fn positive_uniform(rng: &mut SlotRng) -> f64 {
    1.0 - rng.uniform()
}

/// Standard normal, by the polar method (Marsaglia and Bray, 1964). Of each pair one number is used.
pub fn normal(rng: &mut SlotRng) -> f64 {
    loop {
        let x = 2.0 * rng.uniform() - 1.0;
        let y = 2.0 * rng.uniform() - 1.0;
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            return x * (-2.0 * libm::log(square) / square).sqrt();
        }
    }
}

/// The logarithm of a gamma variate of this shape and scale 1 (Marsaglia and Tsang, 2000). A shape
/// below 1 is one more, times `U^(1 / shape)`: in logarithms, because the power underflows.
pub fn log_gamma(shape: f64, rng: &mut SlotRng) -> f64 {
    if shape < 1.0 {
        let power = libm::log(positive_uniform(rng)) / shape;
        return log_gamma(shape + 1.0, rng) + power;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let v = 1.0 + c * x;
        if v <= 0.0 {
            continue;
        }
        let v = v * v * v;
        if libm::log(positive_uniform(rng)) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return libm::log(d) + libm::log(v);
        }
    }
}

/// Beta(a, b): `X / (X + Y)` of two gamma variates, from the difference of their logarithms.
pub fn beta(a: f64, b: f64, rng: &mut SlotRng) -> f64 {
    let x = log_gamma(a, rng);
    let y = log_gamma(b, rng);
    1.0 / (1.0 + libm::exp(y - x))
}
