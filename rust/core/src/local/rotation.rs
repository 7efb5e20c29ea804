//! A random rotation that takes `O(dim log dim)`: signs and Hadamard transforms.
//!
//! One-bit codes need components of about equal size, which a random rotation gives whatever the data.
//! Hadamard transforms exist for powers of two; for other lengths two of them overlap, one over the
//! head and one over the tail, twice, each after a change of random signs.

use perso_kernels::Kernels;

use crate::hnsw::splitmix64;

/// Rounds of signs and two transforms.
const ROUNDS: usize = 2;

/// An orthonormal map from `dim` to `code_dim >= dim` components.
#[derive(Clone, Debug)]
pub struct Rotation {
    dim: usize,
    code_dim: usize,
    /// Length of a transform: the largest power of two not beyond `code_dim`.
    width: usize,
    /// For each transform its signs, with the scale that makes it orthonormal.
    signs: Vec<f32>,
}

impl Rotation {
    /// The rotation of a seed.
    pub fn new(dim: usize, code_dim: usize, seed: u64) -> Self {
        assert!(code_dim >= dim && code_dim.is_multiple_of(16));
        let width = 1 << code_dim.ilog2();
        let scale = 1.0 / (width as f64).sqrt();
        let signs = (0..2 * ROUNDS * width)
            .map(|i| {
                let bit = splitmix64(seed ^ splitmix64(i as u64)) >> 63;
                (if bit == 1 { -scale } else { scale }) as f32
            })
            .collect();
        Rotation {
            dim,
            code_dim,
            width,
            signs,
        }
    }

    /// Components of a rotated vector.
    pub fn code_dim(&self) -> usize {
        self.code_dim
    }

    /// Rotates `x`.
    pub fn apply(&self, kernels: &Kernels, x: &[f32], out: &mut Vec<f32>) {
        debug_assert_eq!(x.len(), self.dim);
        out.clear();
        out.extend_from_slice(x);
        out.resize(self.code_dim, 0.0);
        let tail = self.code_dim - self.width;
        for (i, signs) in self.signs.chunks_exact(self.width).enumerate() {
            let start = if i % 2 == 0 { 0 } else { tail };
            let part = &mut out[start..start + self.width];
            for (x, sign) in part.iter_mut().zip(signs) {
                *x *= sign;
            }
            kernels.hadamard(part);
        }
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.signs.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_angles_stay() {
        for (dim, code_dim) in [
            (1, 16),
            (3, 16),
            (64, 64),
            (100, 112),
            (384, 384),
            (64, 128),
        ] {
            let rotation = Rotation::new(dim, code_dim, 3);
            let (mut a, mut b) = (Vec::new(), Vec::new());
            let x: Vec<f32> = (0..dim).map(|i| (i as f32 * 0.7).sin()).collect();
            let y: Vec<f32> = (0..dim).map(|i| (i as f32 * 1.3).cos()).collect();
            rotation.apply(Kernels::get(), &x, &mut a);
            rotation.apply(Kernels::get(), &y, &mut b);
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter()
                    .zip(b)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum()
            };
            assert_eq!(a.len(), code_dim);
            assert!((dot(&a, &b) - dot(&x, &y)).abs() < 1e-4 * dim as f64);
            assert!((dot(&a, &a) - dot(&x, &x)).abs() < 1e-4 * dim as f64);
        }
    }

    #[test]
    fn one_component_spreads_over_all() {
        for code_dim in [64, 112, 384, 400] {
            let rotation = Rotation::new(code_dim, code_dim, 0);
            let mut out = Vec::new();
            for hot in [0, code_dim / 2, code_dim - 1] {
                let mut x = vec![0.0; code_dim];
                x[hot] = 1.0;
                rotation.apply(Kernels::get(), &x, &mut out);
                let largest = out.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                assert!(
                    largest < 8.0 / (code_dim as f32).sqrt(),
                    "{largest} at {code_dim}"
                );
            }
        }
    }
}
