//! int8 kernels are exact: against i64 arithmetic, at the worst values and the largest dimensions.

mod common;

use common::{kernels, lengths, Random};
use perso_kernels::{MAX_DIM_DOT_I8, MAX_DIM_L2_I8};
use proptest::prelude::*;

fn dot(q: &[i8], x: &[i8]) -> i64 {
    q.iter()
        .zip(x)
        .map(|(&q, &x)| i64::from(q) * i64::from(x))
        .sum()
}

fn l2(q: &[i8], x: &[i8]) -> i64 {
    q.iter()
        .zip(x)
        .map(|(&q, &x)| (i64::from(q) - i64::from(x)).pow(2))
        .sum()
}

#[test]
fn every_length_is_exact() {
    for k in kernels() {
        for dim in lengths() {
            let mut random = Random::new(dim as u64);
            for _ in 0..4 {
                let (q, x, codes) = (random.bytes(dim), random.bytes(dim), random.codes(dim));
                let context = format!("{}, dim {dim}", k.isa());
                assert_eq!(
                    i64::from(k.dot_i8(&q, &codes)),
                    dot(&q, &codes),
                    "dot_i8 {context}"
                );
                assert_eq!(
                    i64::from(k.dot_i8_any(&q, &x)),
                    dot(&q, &x),
                    "dot_i8_any {context}"
                );
                assert_eq!(i64::from(k.l2_i8(&q, &x)), l2(&q, &x), "l2_i8 {context}");
            }
        }
    }
}

/// All pairs of the values where saturation, negation or a sign could go wrong.
#[test]
fn worst_case_values_do_not_saturate() {
    let extremes = [-128, -127, -126, -1, 0, 1, 126, 127];
    for k in kernels() {
        for dim in [1, 2, 31, 32, 64, 65, 96, 128, 1024] {
            for a in extremes {
                for b in extremes {
                    let (q, x) = (vec![a; dim], vec![b; dim]);
                    let context = format!("{}, dim {dim}, {a} and {b}", k.isa());
                    if b != -128 {
                        assert_eq!(i64::from(k.dot_i8(&q, &x)), dot(&q, &x), "dot_i8 {context}");
                    }
                    assert_eq!(
                        i64::from(k.dot_i8_any(&q, &x)),
                        dot(&q, &x),
                        "dot_i8_any {context}"
                    );
                    assert_eq!(i64::from(k.l2_i8(&q, &x)), l2(&q, &x), "l2_i8 {context}");
                }
            }
        }
    }
}

#[test]
fn the_largest_dimensions_do_not_overflow() {
    for k in kernels() {
        let low = vec![-128i8; MAX_DIM_DOT_I8];
        let high = vec![127i8; MAX_DIM_DOT_I8];
        assert_eq!(
            i64::from(k.dot_i8(&low, &high)),
            dot(&low, &high),
            "{}",
            k.isa()
        );
        assert_eq!(
            i64::from(k.dot_i8(&high, &high)),
            dot(&high, &high),
            "{}",
            k.isa()
        );
        assert_eq!(
            i64::from(k.dot_i8_any(&low, &low)),
            dot(&low, &low),
            "{}",
            k.isa()
        );
        let (low, high) = (&low[..MAX_DIM_L2_I8], &high[..MAX_DIM_L2_I8]);
        assert_eq!(i64::from(k.l2_i8(low, high)), l2(low, high), "{}", k.isa());
        assert_eq!(i64::from(k.l2_i8(high, low)), l2(high, low), "{}", k.isa());
    }
    // The limits are the largest possible: one more, and the worst case leaves i32.
    assert!((MAX_DIM_DOT_I8 as i64 + 1) * 128 * 128 > i64::from(i32::MAX));
    assert!((MAX_DIM_L2_I8 as i64 + 1) * 255 * 255 > i64::from(i32::MAX));
}

#[test]
fn dimensions_beyond_the_limit_are_refused() {
    let long = vec![0i8; MAX_DIM_DOT_I8 + 1];
    let longish = &long[..MAX_DIM_L2_I8 + 1];
    for k in kernels() {
        for refused in [
            std::panic::catch_unwind(|| k.dot_i8(&long, &long)),
            std::panic::catch_unwind(|| k.dot_i8_any(&long, &long)),
            std::panic::catch_unwind(|| k.l2_i8(longish, longish)),
        ] {
            let message = *refused
                .expect_err("too many dimensions")
                .downcast::<String>()
                .expect("a message");
            assert!(message.contains("dimensions fit an i32 sum"), "{message}");
        }
    }
}

proptest! {
    #[test]
    fn any_codes_are_exact(data in proptest::collection::vec((any::<i8>(), any::<i8>()), 0..300)) {
        let (q, x): (Vec<i8>, Vec<i8>) = data.into_iter().unzip();
        let codes: Vec<i8> = x.iter().map(|&x| x.max(-127)).collect();
        for k in kernels() {
            prop_assert_eq!(i64::from(k.dot_i8(&q, &codes)), dot(&q, &codes));
            prop_assert_eq!(i64::from(k.dot_i8_any(&q, &x)), dot(&q, &x));
            prop_assert_eq!(i64::from(k.l2_i8(&q, &x)), l2(&q, &x));
        }
    }
}
