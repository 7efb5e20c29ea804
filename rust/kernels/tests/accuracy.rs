//! The scalar kernels against f64, with the error bound that follows from the reduction order.
//!
//! With unit roundoff `u = 2^-24`, a term goes through at most `g = ceil(n / 32)` fused steps and 5
//! additions of the tree, each a factor `1 + d` with `|d| <= u`, so (Higham, "Accuracy and Stability
//! of Numerical Algorithms", 2nd ed., lemma 3.1 and section 4.2)
//!
//!   |computed - exact| <= gamma(g + 5) * sum |terms|,   gamma(k) = k u / (1 - k u).
//!
//! In a squared distance the difference is rounded before it is squared: two more factors. Each
//! rounding may also underflow, by at most half of the least subnormal, once per step.

mod common;

use common::{lengths, Random};
use perso_kernels::scalar;

fn gamma(k: usize) -> f64 {
    let ku = k as f64 * f64::from(f32::EPSILON) / 2.0;
    ku / (1.0 - ku)
}

fn bound(n: usize, extra: usize, magnitude: f64) -> f64 {
    let steps = n.div_ceil(32) + 5 + extra;
    gamma(steps) * magnitude
        + (n + 64) as f64 * 2f64.powi(-150)
        + magnitude * f64::EPSILON * n as f64
}

fn check(name: &str, n: usize, extra: usize, got: f32, terms: impl Iterator<Item = f64>) {
    let (exact, magnitude) = terms.fold((0.0, 0.0), |(sum, size), term| {
        (sum + term, size + term.abs())
    });
    let (error, bound) = ((f64::from(got) - exact).abs(), bound(n, extra, magnitude));
    assert!(
        error <= bound,
        "{name}, dim {n}: got {got:e}, exact {exact:e}, error {error:e} > {bound:e}"
    );
}

#[test]
fn errors_stay_below_the_derived_bound() {
    for dim in lengths().skip(1) {
        for seed in 0..6 {
            let mut random = Random::new(seed << 32 | dim as u64);
            let (q, x): (Vec<f32>, Vec<f32>) = if seed % 2 == 0 {
                (
                    (0..dim).map(|_| random.unit()).collect(),
                    (0..dim).map(|_| random.unit()).collect(),
                )
            } else {
                (random.floats(dim), random.floats(dim))
            };
            // Exponents in f16's range, so that the magnitudes do not drown each other.
            let halves: Vec<u16> = (0..dim)
                .map(|_| scalar::narrow_f32(random.unit()))
                .collect();
            let codes = random.codes(dim);
            let scale = 1.0 / 127.0f32;
            let pairs = || {
                q.iter()
                    .zip(&x)
                    .map(|(&q, &x)| (f64::from(q), f64::from(x)))
            };
            let with_halves = || {
                q.iter()
                    .zip(&halves)
                    .map(|(&q, &h)| (f64::from(q), f64::from(scalar::widen_f16(h))))
            };
            let with_codes = || {
                q.iter()
                    .zip(&codes)
                    .map(|(&q, &c)| (f64::from(q), f64::from(c)))
            };

            check(
                "dot_f32",
                dim,
                0,
                scalar::dot_f32(&q, &x),
                pairs().map(|(q, x)| q * x),
            );
            check(
                "l2_f32",
                dim,
                2,
                scalar::l2_f32(&q, &x),
                pairs().map(|(q, x)| (q - x).powi(2)),
            );
            check(
                "dot_f16",
                dim,
                0,
                scalar::dot_f16(&q, &halves),
                with_halves().map(|(q, x)| q * x),
            );
            check(
                "l2_f16",
                dim,
                2,
                scalar::l2_f16(&q, &halves),
                with_halves().map(|(q, x)| (q - x).powi(2)),
            );
            check(
                "dot_f32_i8",
                dim,
                0,
                scalar::dot_f32_i8(&q, &codes),
                with_codes().map(|(q, x)| q * x),
            );
            let s = f64::from(scale);
            check(
                "l2_f32_i8",
                dim,
                2,
                scalar::l2_f32_i8(&q, scale, &codes),
                with_codes().map(|(q, x)| (q - s * x).powi(2)),
            );
        }
    }
}

/// The bound is worth something: summing in one chain breaks it.
#[test]
fn a_single_chain_would_break_the_bound() {
    // One large term, then many that each round away against it.
    let n = 1 << 16;
    let q = vec![1.0f32; n];
    let mut x = vec![0.9 * f32::EPSILON / 2.0; n];
    x[0] = 1.0;
    let chain = q
        .iter()
        .zip(&x)
        .fold(0.0f32, |sum, (&q, &x)| scalar::fma(q, x, sum));
    let exact: f64 = x.iter().map(|&x| f64::from(x)).sum();
    assert!((f64::from(chain) - exact).abs() > bound(n, 0, exact));
    check(
        "dot_f32",
        n,
        0,
        scalar::dot_f32(&q, &x),
        x.iter().map(|&x| f64::from(x)),
    );
}
