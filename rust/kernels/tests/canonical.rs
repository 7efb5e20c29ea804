//! Every instruction set gives the bits of the scalar kernels, at every length and alignment.

mod common;

use common::{kernels, lengths, same_bits, Random};
use perso_kernels::{scalar, Kernels};
use proptest::prelude::*;

/// All float kernels of one row against the scalar ones, on one pair of vectors.
fn float_kernels_agree(
    k: &Kernels,
    q: &[f32],
    x: &[f32],
    halves: &[u16],
    codes: &[i8],
    scale: f32,
) {
    let check = |name: &str, got: f32, expected: f32| {
        same_bits(got, expected, || {
            format!("{} {name}, dim {}", k.isa(), q.len())
        });
    };
    check("dot_f32", k.dot_f32(q, x), scalar::dot_f32(q, x));
    check("l2_f32", k.l2_f32(q, x), scalar::l2_f32(q, x));
    check("dot_f16", k.dot_f16(q, halves), scalar::dot_f16(q, halves));
    check("l2_f16", k.l2_f16(q, halves), scalar::l2_f16(q, halves));
    check(
        "dot_f32_i8",
        k.dot_f32_i8(q, codes),
        scalar::dot_f32_i8(q, codes),
    );
    check(
        "l2_f32_i8",
        k.l2_f32_i8(q, scale, codes),
        scalar::l2_f32_i8(q, scale, codes),
    );
}

#[test]
fn every_length_gives_the_scalar_bits() {
    for k in kernels() {
        for dim in lengths() {
            let mut random = Random::new(dim as u64);
            for _ in 0..4 {
                let (q, x) = (random.floats(dim), random.floats(dim));
                let (halves, codes) = (random.halves(dim), random.bytes(dim));
                float_kernels_agree(k, &q, &x, &halves, &codes, random.unit() / 127.0);
            }
        }
    }
}

#[test]
fn unaligned_slices_give_the_scalar_bits() {
    let mut random = Random::new(7);
    let n = 200;
    let (q, x) = (random.floats(n), random.floats(n));
    let (halves, codes) = (random.halves(n), random.bytes(n));
    for k in kernels() {
        for (a, b) in [(0, 1), (1, 0), (1, 3), (5, 2), (7, 7)] {
            for dim in [1, 31, 33, 64, 100, 130] {
                float_kernels_agree(
                    k,
                    &q[a..a + dim],
                    &x[b..b + dim],
                    &halves[b..b + dim],
                    &codes[b..b + dim],
                    0.03,
                );
            }
        }
    }
}

/// A lane at -0.0 becomes +0.0 if the padding takes part in the step, and stays if it does not.
#[test]
fn padding_takes_part_in_the_step() {
    let tiny = f32::MIN_POSITIVE;
    let minus = scalar::dot_f32(&[tiny; 32], &[-tiny; 32]);
    assert_eq!(
        minus.to_bits(),
        (-0.0f32).to_bits(),
        "32 underflowing products leave -0.0 in all lanes"
    );
    let padded = scalar::dot_f32(&[tiny; 33], &[-tiny; 33]);
    assert_eq!(
        padded.to_bits(),
        0.0f32.to_bits(),
        "31 padded lanes are +0.0"
    );
    for k in kernels() {
        for dim in lengths() {
            for x in [tiny, -tiny] {
                let (q, x) = (vec![tiny; dim], vec![x; dim]);
                float_kernels_agree(k, &q, &x, &vec![0x8000; dim], &vec![0; dim], -0.0);
            }
        }
    }
}

#[test]
fn empty_vectors_give_plus_zero() {
    for k in kernels() {
        for zero in [
            k.dot_f32(&[], &[]),
            k.l2_f32(&[], &[]),
            k.dot_f16(&[], &[]),
            k.l2_f16(&[], &[]),
            k.dot_f32_i8(&[], &[]),
            k.l2_f32_i8(&[], 1.0, &[]),
        ] {
            assert_eq!(zero.to_bits(), 0);
        }
        assert_eq!(
            (
                k.dot_i8(&[], &[]),
                k.dot_i8_any(&[], &[]),
                k.l2_i8(&[], &[])
            ),
            (0, 0, 0)
        );
    }
}

#[test]
fn infinities_and_nans_are_the_same_everywhere() {
    let specials = [
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MAX,
        -f32::MAX,
        0.0,
        1.0,
        f32::from_bits(1),
    ];
    let half_specials = [
        0x7c00, 0xfc00, 0x7e00, 0x7c01, 0x7bff, 0x0000, 0x3c00, 0x0001,
    ];
    for k in kernels() {
        for dim in [1, 8, 31, 32, 33, 70] {
            let mut random = Random::new(dim as u64);
            for at in [0, dim / 2, dim - 1] {
                for (&a, &half) in specials.iter().zip(&half_specials) {
                    for &b in &specials {
                        let (mut q, mut x) = (random.floats(dim), random.floats(dim));
                        let (mut halves, codes) = (random.halves(dim), random.bytes(dim));
                        (q[at], x[at], halves[at]) = (b, a, half);
                        float_kernels_agree(k, &q, &x, &halves, &codes, 0.01);
                    }
                }
            }
        }
    }
}

/// The scalar kernel is what the documentation says, written out a second time with `mul_add`.
#[test]
fn scalar_follows_the_documented_order() {
    let mut random = Random::new(3);
    for dim in lengths() {
        let (q, x) = (random.floats(dim), random.floats(dim));
        let (mut dot, mut l2) = ([0.0f32; 32], [0.0f32; 32]);
        for i in 0..dim.next_multiple_of(32) {
            let (q, x) = if i < dim { (q[i], x[i]) } else { (0.0, 0.0) };
            dot[i % 32] = q.mul_add(x, dot[i % 32]);
            l2[i % 32] = (q - x).mul_add(q - x, l2[i % 32]);
        }
        fn reduce(lanes: &[f32]) -> f32 {
            match lanes {
                [one] => *one,
                _ => {
                    let (low, high) = lanes.split_at(lanes.len() / 2);
                    reduce(&low.iter().zip(high).map(|(a, b)| a + b).collect::<Vec<_>>())
                }
            }
        }
        same_bits(scalar::dot_f32(&q, &x), reduce(&dot), || {
            format!("dot_f32, dim {dim}")
        });
        same_bits(scalar::l2_f32(&q, &x), reduce(&l2), || {
            format!("l2_f32, dim {dim}")
        });
    }
}

fn any_float() -> impl Strategy<Value = f32> {
    prop_oneof![8 => -2.0f32..2.0, 2 => any::<u32>().prop_map(f32::from_bits), 1 => Just(-0.0f32), 1 => Just(f32::MAX)]
}

proptest! {
    #[test]
    fn any_floats_give_the_scalar_bits(
        data in proptest::collection::vec((any_float(), any_float(), any::<u16>(), any::<i8>()), 0..200),
        scale in -1.0f32..1.0,
    ) {
        let q: Vec<f32> = data.iter().map(|d| d.0).collect();
        let x: Vec<f32> = data.iter().map(|d| d.1).collect();
        let halves: Vec<u16> = data.iter().map(|d| d.2).collect();
        let codes: Vec<i8> = data.iter().map(|d| d.3).collect();
        for k in kernels() {
            float_kernels_agree(k, &q, &x, &halves, &codes, scale);
        }
    }
}
