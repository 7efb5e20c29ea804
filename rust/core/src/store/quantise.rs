//! Symmetric int8 quantisation with one scale per vector.
//!
//! `scale = max|x| / 127`, `code = round_half_even(x / scale)`, so codes lie in [-127, 127] and
//! `|x_i - scale * code_i| <= scale / 2` up to rounding: at most `max|x| / 254` per component.
//! A vector so small that its scale would be subnormal is stored as zeros with scale 0.

/// Writes the codes of `x` and returns the scale.
pub fn quantise(x: &[f32], codes: &mut [i8]) -> f32 {
    debug_assert_eq!(x.len(), codes.len());
    let largest = largest(x);
    let scale = largest / 127.0;
    if !scale.is_normal() {
        codes.fill(0);
        return 0.0;
    }
    for (code, value) in codes.iter_mut().zip(x) {
        // Between 2^23 and 2^24 an f32 has no fraction: the addition rounds, ties to even, and leaves
        // the integer in the low bits, in a few instructions for a whole register. Rounding by name is
        // a call of a function for each number where the instruction set is plain x86-64.
        const TO_INTEGER: f32 = 12_582_912.0;
        *code = ((value / scale).clamp(-127.0, 127.0) + TO_INTEGER).to_bits() as i8;
    }
    scale
}

/// The largest magnitude, in lanes that do not wait for each other.
fn largest(x: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (sixteens, rest) = x.as_chunks::<16>();
    for x in sixteens {
        for (lane, x) in lanes.iter_mut().zip(x) {
            *lane = if x.abs() > *lane { x.abs() } else { *lane };
        }
    }
    rest.iter()
        .chain(&lanes)
        .fold(0.0f32, |m, v| m.max(v.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn error_is_at_most_half_a_step(x in prop::collection::vec(-1e6f32..1e6, 1..200)) {
            let mut codes = vec![0i8; x.len()];
            let scale = quantise(&x, &mut codes);
            for (value, code) in x.iter().zip(&codes) {
                let error = (f64::from(*value) - f64::from(scale) * f64::from(*code)).abs();
                prop_assert!(error <= f64::from(scale) * 0.50001 + 1e-37);
                prop_assert!(*code >= -127);
            }
        }
    }

    #[test]
    fn rounding_is_to_nearest_with_ties_to_even() {
        // A scale of 1, so that the values are the quotients.
        let mut x: Vec<f32> = (-254..=254).map(|i| i as f32 / 2.0).collect();
        x.extend([0.499_999_97, 62.500_004, -62.499_996]);
        let mut codes = vec![0; x.len()];
        assert_eq!(quantise(&x, &mut codes), 1.0);
        for (x, code) in x.iter().zip(codes) {
            assert_eq!(f32::from(code), x.round_ties_even(), "{x}");
        }
    }

    #[test]
    fn tiny_and_zero_vectors_have_scale_zero() {
        let mut codes = [1i8; 3];
        assert_eq!(quantise(&[0.0; 3], &mut codes), 0.0);
        assert_eq!(quantise(&[1e-45, 0.0, -1e-45], &mut codes), 0.0);
        assert_eq!(codes, [0; 3]);
    }

    #[test]
    fn the_largest_component_is_kept_to_a_rounding_step() {
        let mut codes = [0i8; 2];
        let scale = quantise(&[3.0, -3.0], &mut codes);
        assert_eq!(codes, [127, -127]);
        assert!((scale * 127.0 - 3.0).abs() < 1e-6);
    }
}
