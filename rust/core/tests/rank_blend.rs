//! The blend: normalisers against their textbook forms, sums that are exact, the decay.

use perso_core::rank::blend::{decay, settle, Normaliser};
use perso_core::rank::policy::{Normalize, Shape};
use proptest::prelude::*;

/// Values as pools have them: ties, gaps, constants, and some missing.
fn pool() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        6 => -100.0..100.0f64,
        2 => (-3i32..3).prop_map(f64::from),
        1 => Just(f64::NAN),
    ];
    prop_oneof![
        8 => prop::collection::vec(value, 1..60),
        1 => (1usize..10, -5.0..5.0f64).prop_map(|(n, x)| vec![x; n]),
    ]
}

/// The definitions, one value at a time.
fn naive(kind: &Normalize, values: &[f64], x: f64) -> f64 {
    let present: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    let n = present.len() as f64;
    let min = present.iter().copied().reduce(f64::min).unwrap_or(0.0);
    let max = present.iter().copied().reduce(f64::max).unwrap_or(0.0);
    if *kind == Normalize::None {
        return x;
    }
    if min == max {
        return 0.0;
    }
    match kind {
        Normalize::None => x,
        Normalize::Minmax => (x - min) / (max - min),
        Normalize::Zscore => {
            let mean = present.iter().sum::<f64>() / n;
            let variance = present.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            (x - mean) / variance.sqrt()
        }
        _ => {
            // The mean position of the value's ties in the sorted list, out of the last position.
            let mut sorted = present;
            sorted.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let positions: Vec<f64> = (0..sorted.len())
                .filter(|&i| sorted[i] == x)
                .map(|i| i as f64)
                .collect();
            positions.iter().sum::<f64>() / positions.len() as f64 / (n - 1.0)
        }
    }
}

proptest! {
    #[test]
    fn normalisers_are_what_they_are_called(
        values in pool(),
        kind in prop::sample::select(vec![
            Normalize::None, Normalize::Minmax, Normalize::Zscore, Normalize::Rank]),
    ) {
        let fitted = Normaliser::fit(&kind, &values);
        for &x in &values {
            let got = fitted.apply(x);
            if x.is_nan() {
                prop_assert!(got.is_nan(), "a missing value stays missing");
                continue;
            }
            let expected = naive(&kind, &values, x);
            prop_assert!((got - expected).abs() <= 1e-9 * (1.0 + expected.abs()), "{got} {expected}");
            if matches!(kind, Normalize::Minmax | Normalize::Rank) {
                prop_assert!((0.0..=1.0).contains(&got));
            }
        }
    }

    #[test]
    fn rank_of_a_newcomer_lies_between_its_neighbours(values in pool(), x in -120.0..120.0f64) {
        let fitted = Normaliser::fit(&Normalize::Rank, &values);
        let got = fitted.apply(x);
        prop_assert!((0.0..=1.0).contains(&got));
        for &other in values.iter().filter(|v| !v.is_nan()) {
            if fitted == Normaliser::Zero {
                prop_assert_eq!(got, 0.0);
            } else if other < x {
                prop_assert!(fitted.apply(other) <= got);
            } else if other > x {
                prop_assert!(fitted.apply(other) >= got);
            }
        }
    }

    #[test]
    fn terms_add_up_exactly_in_any_order(
        terms in prop::collection::vec(
            prop_oneof![
                4 => -10.0..10.0f64,
                2 => (any::<i64>(), -200i32..200).prop_map(|(m, e)| m as f64 * 2f64.powi(e)),
                1 => Just(0.0),
                1 => Just(f64::MIN_POSITIVE / 8.0),
                1 => Just(-0.0),
            ],
            1..12,
        ),
        shuffle in any::<u64>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let before = terms.clone();
        let mut terms = terms;
        let score = settle(&mut terms).unwrap();
        let bits = score.to_bits();
        let mut order = terms.clone();
        let mut state = shuffle;
        for i in (1..order.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            order.swap(i, (state >> 33) as usize % (i + 1));
        }
        let forward = order.iter().fold(0.0, |a, b| a + b);
        let backward = order.iter().rev().fold(0.0, |a, b| a + b);
        // The tree that pairwise summation, as in NumPy, uses.
        let (left, right) = order.split_at(cut.index(order.len()));
        let pairwise = left.iter().fold(0.0, |a, b| a + b) + right.iter().fold(0.0, |a, b| a + b);
        prop_assert_eq!(forward.to_bits(), bits);
        prop_assert_eq!(backward.to_bits(), bits);
        prop_assert_eq!(pairwise.to_bits(), bits);
        // The stated bound on the rounding.
        let largest = before.iter().fold(0.0f64, |m, t| m.max(t.abs()));
        let bound = largest * 2f64.powi(-53) * (before.len().next_power_of_two() as f64);
        for (old, new) in before.iter().zip(&terms) {
            prop_assert!((old - new).abs() <= bound, "{old} became {new}");
        }
    }

    #[test]
    fn one_term_is_not_rounded(term in any::<f64>().prop_filter("finite", |t| t.abs() < 1e300)) {
        let mut terms = [term];
        prop_assert_eq!(settle(&mut terms), Some(term + 0.0));
        prop_assert_eq!(terms[0], term);
    }
}

#[test]
fn without_the_grid_sums_depend_on_the_order() {
    // The property above would hold for nothing if it held for any numbers.
    let terms = [0.1, 0.2, 0.3];
    assert_ne!(
        (terms[0] + terms[1]) + terms[2],
        terms[0] + (terms[1] + terms[2])
    );
    let mut settled = terms;
    settle(&mut settled).unwrap();
    assert_eq!(
        (settled[0] + settled[1]) + settled[2],
        settled[0] + (settled[1] + settled[2])
    );
}

#[test]
fn what_is_not_finite_is_not_a_score() {
    assert_eq!(settle(&mut [f64::NAN]), None);
    assert_eq!(settle(&mut [1.0, f64::INFINITY]), None);
    assert_eq!(settle(&mut [f64::MAX, f64::MAX]), None);
    assert_eq!(settle(&mut []), Some(0.0));
    let tiny = f64::from_bits(3);
    assert_eq!(settle(&mut [tiny, tiny, -tiny]), Some(tiny));
}

#[test]
fn decay_halves_with_every_half_life() {
    let day = 86_400_000_000i64;
    assert_eq!(
        decay(Shape::Exponential, 10 * day, 10 * day, 3.0 * day as f64),
        1.0
    );
    assert_eq!(
        decay(Shape::Exponential, 10 * day, 7 * day, 3.0 * day as f64),
        0.5
    );
    assert_eq!(
        decay(Shape::Exponential, 10 * day, 4 * day, 3.0 * day as f64),
        0.25
    );
    assert_eq!(
        decay(Shape::Exponential, 10 * day, 11 * day, 3.0 * day as f64),
        1.0,
        "the future is new"
    );
    assert_eq!(
        decay(Shape::Exponential, i64::MAX, i64::MIN, 1.0),
        0.0,
        "the age saturates"
    );
    let got = decay(Shape::Exponential, day, 0, 3.0 * day as f64);
    assert!((got - 0.5f64.powf(1.0 / 3.0)).abs() < 1e-15);
}

#[test]
fn every_decay_is_a_half_after_the_half_life_and_never_rises() {
    for shape in [Shape::Exponential, Shape::Linear, Shape::Gauss] {
        assert_eq!(decay(shape, 50, 50, 8.0), 1.0);
        assert_eq!(decay(shape, 50, 90, 8.0), 1.0, "the future is new");
        assert_eq!(decay(shape, 58, 50, 8.0), 0.5);
        assert_eq!(decay(shape, i64::MAX, i64::MIN, 1.0), 0.0);
        let values: Vec<f64> = (0..40).map(|age| decay(shape, age, 0, 8.0)).collect();
        assert!(
            values.windows(2).all(|pair| pair[0] >= pair[1]),
            "{shape:?}"
        );
    }
    assert_eq!(decay(Shape::Linear, 12, 0, 8.0), 0.25);
    assert_eq!(decay(Shape::Linear, 16, 0, 8.0), 0.0);
    assert_eq!(decay(Shape::Gauss, 16, 0, 8.0), 0.0625);
    assert_eq!(decay(Shape::Exponential, 16, 0, 8.0), 0.25);
}

#[test]
fn fixed_calibrations_know_nothing_of_the_pool() {
    let at = vec![-1.0, 0.0, 0.0, 0.0, 4.0];
    let kinds = [
        Normalize::Linear {
            origin: 3.0,
            unit: -2.0,
        },
        Normalize::Sigmoid {
            origin: 1.0,
            unit: 0.5,
        },
        Normalize::Percentiles { at },
    ];
    // value, linear, sigmoid (from the hyperbolic tangent), percentiles by hand
    let expected = [
        (-7.0, 5.0, 0.5 + 0.5 * (-8.0f64).tanh(), 0.0),
        (-0.5, 1.75, 0.5 + 0.5 * (-1.5f64).tanh(), 0.125),
        (0.0, 1.5, 0.5 + 0.5 * (-1.0f64).tanh(), 0.5),
        (1.0, 1.0, 0.5, 0.8125),
        (4.0, -0.5, 0.5 + 0.5 * 3.0f64.tanh(), 1.0),
        (90.0, -43.5, 1.0, 1.0),
    ];
    for pool in [&[][..], &[f64::NAN], &[1.0, 2.0, 700.0]] {
        let fitted = kinds.each_ref().map(|kind| Normaliser::fit(kind, pool));
        for (x, linear, sigmoid, percentile) in expected {
            let got = fitted.each_ref().map(|normaliser| normaliser.apply(x));
            for (got, expected) in got.into_iter().zip([linear, sigmoid, percentile]) {
                assert!((got - expected).abs() < 1e-15, "{x}: {got} {expected}");
            }
        }
        assert!(fitted
            .iter()
            .all(|normaliser| normaliser.apply(f64::NAN).is_nan()));
    }
    let wide = Normaliser::fit(
        &Normalize::Percentiles {
            at: vec![-1.5e308, 1.5e308],
        },
        &[],
    );
    assert_eq!(wide.apply(0.0), 0.5);
}
