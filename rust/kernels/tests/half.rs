//! f16 conversions: every f16, and f32 around every place where rounding decides, against `half`.

mod common;

use common::{kernels, Random};
use half::f16;
use perso_kernels::scalar;

#[test]
fn all_f16_widen_exactly() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    for k in kernels() {
        let mut wide = vec![0.0f32; all.len()];
        k.f16_to_f32(&all, &mut wide);
        for (&half, wide) in all.iter().zip(&wide) {
            let expected = f16::from_bits(half).to_f32();
            assert_eq!(
                wide.to_bits(),
                expected.to_bits(),
                "{}: {half:04x}",
                k.isa()
            );
        }
    }
}

#[test]
fn all_f16_survive_the_round_trip() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    for k in kernels() {
        let (mut wide, mut back) = (vec![0.0f32; all.len()], vec![0u16; all.len()]);
        k.f16_to_f32(&all, &mut wide);
        k.f32_to_f16(&wide, &mut back);
        for (&half, &back) in all.iter().zip(&back) {
            // A signalling NaN comes back quiet.
            let quiet = if f16::from_bits(half).is_nan() {
                half | 0x0200
            } else {
                half
            };
            assert_eq!(back, quiet, "{}", k.isa());
        }
    }
}

/// f32 at, just below and just above every f16 and every midpoint of two, plus random bits.
fn interesting() -> Vec<f32> {
    let mut values = Vec::new();
    for half in 0..=0x7c00u16 {
        let here = f16::from_bits(half).to_f64();
        // The step above 65504 would be 65536; from half way on, rounding gives infinity.
        let next = if half >= 0x7bff {
            65536.0
        } else {
            f16::from_bits(half + 1).to_f64()
        };
        for value in [here.min(65536.0), (here.min(65536.0) + next) / 2.0] {
            let bits = (value as f32).to_bits();
            for nearby in [bits.saturating_sub(1), bits, bits + 1] {
                values.extend([f32::from_bits(nearby), -f32::from_bits(nearby)]);
            }
        }
    }
    values.extend([
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        f32::from_bits(1),
    ]);
    // NaNs quiet and signalling, payloads that f16 keeps and payloads that it cannot.
    for payload in [
        0x0000_0001,
        0x0000_2000,
        0x0020_0000,
        0x0040_0000,
        0x007f_ffff,
        0x0012_3456,
    ] {
        values.extend([
            f32::from_bits(0x7f80_0000 | payload),
            f32::from_bits(0xff80_0000 | payload),
        ]);
    }
    let mut random = Random::new(11);
    values.extend((0..200_000).map(|_| f32::from_bits(random.bits() as u32)));
    values
}

#[test]
fn f32_round_to_the_nearest_f16() {
    let values = interesting();
    for k in kernels() {
        let mut halves = vec![0u16; values.len()];
        k.f32_to_f16(&values, &mut halves);
        for (value, &half) in values.iter().zip(&halves) {
            let expected = f16::from_f32(*value).to_bits();
            assert_eq!(
                half,
                expected,
                "{}: {value:e} ({:08x})",
                k.isa(),
                value.to_bits()
            );
        }
    }
}

/// Every tail length, and nothing written beside the destination.
#[test]
fn conversions_of_every_length() {
    let values = interesting();
    for k in kernels() {
        for len in 0..=70 {
            let src = &values[1000..1000 + len];
            let mut halves = vec![0xabcd_u16; len + 2];
            k.f32_to_f16(src, &mut halves[1..=len]);
            let expected: Vec<u16> = src.iter().map(|&x| scalar::narrow_f32(x)).collect();
            assert_eq!(halves[1..=len], expected, "{}, {len} elements", k.isa());
            assert_eq!((halves[0], halves[len + 1]), (0xabcd, 0xabcd));
            let mut wide = vec![7.0f32; len + 2];
            k.f16_to_f32(&expected, &mut wide[1..=len]);
            let expected: Vec<f32> = expected.iter().map(|&x| scalar::widen_f16(x)).collect();
            assert_eq!(wide[1..=len], expected, "{}, {len} elements", k.isa());
            assert_eq!((wide[0], wide[len + 1]), (7.0, 7.0));
        }
    }
}
