//! Samples and distribution functions that Thompson sampling is made of.

mod rank_support;

use perso_core::ids::Id;
use perso_core::rank::explore::sampling::{beta, log_gamma, normal};
use perso_core::rank::explore::special::{beta_cdf, ln_beta, normal_cdf};
use perso_core::rank::rng::{item_stream, Draws};
use rank_support::chi::*;

#[test]
fn the_normal_distribution_function_is_the_tabulated_one() {
    for (z, p) in [
        (0.0, 0.5),
        (1.0, 0.841_344_746_068_543),
        (1.959_963_984_540_054, 0.975),
        (-3.0, 1.349_898_031_630_095e-3),
        (-8.0, 6.220_960_574_271_785e-16),
    ] {
        assert!((normal_cdf(z) / p - 1.0).abs() < 1e-12, "{z}");
    }
}

#[test]
fn the_beta_distribution_function_is_a_binomial_sum() {
    // For whole numbers I_x(a, b) = sum over j >= a of C(n, j) x^j (1 - x)^(n - j), n = a + b - 1
    // (DLMF 8.17.5).
    for a in [1u32, 2, 7, 30] {
        for b in [1u32, 3, 12, 40] {
            let n = a + b - 1;
            for i in 1..20 {
                let x = f64::from(i) / 20.0;
                let term = |j: u32| {
                    let choose = (0..j).fold(1.0, |c, i| c * f64::from(n - i) / f64::from(i + 1));
                    choose * x.powi(j as i32) * (1.0 - x).powi((n - j) as i32)
                };
                let expected: f64 = (a..=n).map(term).sum();
                let (a, b) = (f64::from(a), f64::from(b));
                let got = beta_cdf(a, b, ln_beta(a, b), x);
                assert!(
                    (got - expected).abs() < 1e-13,
                    "{a} {b} {x}: {got}, {expected}"
                );
            }
        }
    }
    // Closed forms for any shape: x^a, and 1 - (1 - x)^b.
    for shape in [0.001, 0.3, 2.5, 1e4] {
        for x in [1e-9, 0.2, 0.9, 0.999_999] {
            let first = beta_cdf(shape, 1.0, ln_beta(shape, 1.0), x);
            assert!((first - x.powf(shape)).abs() < 1e-11);
            let second = beta_cdf(1.0, shape, ln_beta(1.0, shape), x);
            assert!((second - (1.0 - (1.0 - x).powf(shape))).abs() < 1e-11);
        }
    }
    // Large counts: half of a symmetric one lies below 1/2, and three standard deviations are normal.
    for n in [1e3, 1e6, 1e9] {
        assert!((beta_cdf(n, n, ln_beta(n, n), 0.5) - 0.5).abs() < 1e-5);
        let sd = (1.0 / (4.0 * (2.0 * n + 1.0))).sqrt();
        let tail = beta_cdf(n, n, ln_beta(n, n), 0.5 - 3.0 * sd);
        assert!(
            (tail / normal_cdf(-3.0) - 1.0).abs() < 5.0 / n.sqrt() + 1e-4,
            "{n}: {tail}"
        );
    }
    assert_eq!(beta_cdf(2.0, 3.0, ln_beta(2.0, 3.0), 0.0), 0.0);
    assert_eq!(beta_cdf(2.0, 3.0, ln_beta(2.0, 3.0), 1.0), 1.0);
}

const SAMPLES: usize = 20_000;

/// Samples put through their distribution function are uniform: 20 cells, p-value above 1e-6; a law that
/// is not theirs is rejected.
fn uniform(samples: &[f64], cdf: impl Fn(f64) -> f64) -> f64 {
    let mut counts = [0usize; 20];
    for &x in samples {
        counts[((cdf(x) * 20.0) as usize).min(19)] += 1;
    }
    p_value(chi_square(&counts, &[0.05; 20]), 19)
}

#[test]
fn normal_samples_are_normal() {
    let draws = Draws::new(1, "normal");
    let samples: Vec<f64> = (0..SAMPLES as u64)
        .map(|i| normal(&mut draws.slot(i)))
        .collect();
    assert!(uniform(&samples, normal_cdf) > FALSE_ALARM);
    assert!(uniform(&samples, |x| normal_cdf(x * 1.1)) < FALSE_ALARM);
}

#[test]
fn beta_samples_are_beta() {
    for (a, b) in [
        (0.5, 0.5),
        (1.0, 1.0),
        (0.3, 4.0),
        (2.0, 5.0),
        (30.0, 9.0),
        (1e4, 1e6),
    ] {
        let draws = Draws::new(2, "beta");
        let numbers = (0..SAMPLES as u64).map(|i| beta(a, b, &mut draws.item(1 << 63, i)));
        let samples: Vec<f64> = numbers.collect();
        let cdf = |a: f64, b: f64| move |x| beta_cdf(a, b, ln_beta(a, b), x);
        assert!(uniform(&samples, cdf(a, b)) > FALSE_ALARM, "{a} {b}");
        assert!(uniform(&samples, cdf(a * 1.2, b)) < FALSE_ALARM, "{a} {b}");
    }
    // Far below what a power of a uniform number could hold.
    let draws = Draws::new(3, "tiny");
    for i in 0..2000 {
        let x = beta(1e-3, 1e-3, &mut draws.slot(i));
        assert!((0.0..=1.0).contains(&x));
    }
}

#[test]
fn samples_have_these_bits() {
    // On every platform: a replay draws them again. The same methods written in Python over ChaCha8
    // give them too, to a unit in the last place.
    let draws = Draws::new(7, "r-1");
    let stream = item_stream(&Id::Int(42));
    let got = [
        normal(&mut draws.item(stream, 3)).to_bits(),
        log_gamma(0.4, &mut draws.item(stream, 4)).to_bits(),
        beta(2.0, 30.0, &mut draws.item(stream, 5)).to_bits(),
    ];
    assert_eq!(got, BITS, "{got:#x?}");
    // The key of a stream is SHA-256 of the kind and the id, as any other program works it out.
    assert_eq!(stream, STREAM, "{stream:#x}");
    assert_ne!(item_stream(&Id::Str("42".into())), stream);
    assert_eq!(stream >> 63, 1);
}

const BITS: [u64; 3] = [
    0x3fe7_8166_ab8b_1a1b,
    0xbff6_ddd5_6cb2_4c19,
    0x3f83_7ff7_2666_5c2e,
];
const STREAM: u64 = 0xbca2_b226_3090_36f8;

#[test]
fn an_items_numbers_are_its_own() {
    let draws = Draws::new(7, "r-1");
    let (one, two) = (item_stream(&Id::Int(1)), item_stream(&Id::Int(2)));
    let first = draws.item(one, 0).uniform();
    assert_eq!(draws.item(one, 0).uniform(), first);
    let others = [
        draws.item(one, 1).uniform(),
        draws.item(two, 0).uniform(),
        draws.slot(0).uniform(),
        draws.slate().uniform(),
        Draws::new(8, "r-1").item(one, 0).uniform(),
        Draws::new(7, "r-2").item(one, 0).uniform(),
    ];
    assert!(others.iter().all(|&other| other != first));
}
