//! Distribution functions of the normal and the beta distribution, in `libm` and plain arithmetic.
//!
//! The regularised incomplete beta function is the continued fraction DLMF 8.17.22, which converges
//! fast for `x < (a + 1) / (a + b + 2)`; above, `I_x(a, b) = 1 - I_(1-x)(b, a)` (8.17.4). It is
//! evaluated by the modified method of Lentz (Thompson and Barnett, 1986). Near the mean it takes
//! O(sqrt(max(a, b))) steps. The factor before it is a difference of logarithms of gamma functions,
//! whose error grows with them: for a + b = 1e9 it is about 1e-6 of the result, far below what a
//! Monte Carlo mean can tell.

/// `P(Z <= z)` for a standard normal Z.
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// The logarithm of the beta function.
pub fn ln_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}

/// `P(X <= x)` for X from Beta(a, b); `ln_beta` is that of `a` and `b`.
pub fn beta_cdf(a: f64, b: f64, ln_beta: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = libm::exp(a * libm::log(x) + b * libm::log1p(-x) - ln_beta);
    let value = if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(a, b, x) / a
    } else {
        1.0 - front * fraction(b, a, 1.0 - x) / b
    };
    value.clamp(0.0, 1.0)
}

fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let off_zero = |x: f64| if x.abs() < TINY { TINY } else { x };
    // Ten times what convergence takes near the mean; far from it a few steps do.
    let most = 200 + 10 * a.max(b).sqrt() as u32;
    let mut c = 1.0;
    let mut d = 1.0 / off_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..=most {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / off_zero(1.0 + even * d);
        c = off_zero(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / off_zero(1.0 + odd * d);
        c = off_zero(1.0 + odd / c);
        let factor = d * c;
        h *= factor;
        if (factor - 1.0).abs() < 1e-15 {
            break;
        }
    }
    h
}
