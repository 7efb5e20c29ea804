//! Stored rows as unit vectors, and those rounded to int8.

use super::{Data, VectorStore};

/// What the codes of a rounded unit vector stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounded {
    /// The vector is about `factor` times the codes.
    pub factor: f32,
    /// The distance from the vector to that is at most this.
    pub residual: f32,
    /// The squared length of what the codes stand for; 1 where that is the vector itself.
    pub squared: f32,
}

impl VectorStore {
    /// A row's unit vector rounded to int8; `None` where no scale fits.
    pub fn round(&self, row: u32, codes: &mut [i8]) -> Option<Rounded> {
        let at = row as usize;
        let range = at * self.dim..(at + 1) * self.dim;
        let norm = self.norms[at];
        if norm == 0.0 {
            codes.fill(0);
            return Some(Rounded {
                factor: 0.0,
                residual: 0.0,
                squared: 1.0,
            });
        }
        let coded = match &self.data {
            Data::I8 {
                codes: stored,
                scales,
            } => {
                codes.copy_from_slice(&stored[range]);
                return Some(Rounded {
                    factor: scales[at] / norm,
                    residual: 0.0,
                    squared: 1.0,
                });
            }
            Data::F32(x) => self.kernels.quantise(&x[range], codes),
            Data::F16(_) => {
                let mut wide = vec![0.0; self.dim];
                self.get(row, &mut wide);
                self.kernels.quantise(&wide, codes)
            }
        };
        if !coded.scale.is_finite() {
            return None;
        }
        let factor = coded.scale / norm;
        let squares = self.kernels.dot_i8(codes, codes) as f32;
        Some(Rounded {
            factor,
            // A little more than what was measured: that is a rounded sum.
            residual: 1.001 * (coded.residual2.sqrt() / norm)
                + (self.dim / 16 + 32) as f32 * f32::EPSILON,
            squared: factor * factor * squares,
        })
    }

    /// A row's unit vector; zeros for a zero vector.
    pub fn unit(&self, row: u32, out: &mut [f32]) {
        self.get(row, out);
        let norm = self.norms[row as usize];
        if norm > 0.0 {
            out.iter_mut().for_each(|x| *x /= norm);
        }
    }
}

/// The rounded rows of a store that will be compared more than once.
#[derive(Clone, Debug)]
pub struct RoundedRows {
    dim: usize,
    codes: Vec<i8>,
    rounded: Vec<Option<Rounded>>,
}

impl RoundedRows {
    /// Rounds all rows.
    pub fn new(store: &VectorStore) -> Self {
        let dim = store.dim();
        let mut codes = vec![0; store.len() * dim];
        let rows = codes.chunks_exact_mut(dim).zip(0..);
        let rounded = rows.map(|(codes, row)| store.round(row, codes)).collect();
        RoundedRows {
            dim,
            codes,
            rounded,
        }
    }

    /// What [`VectorStore::round`] says of a row.
    pub fn get(&self, row: u32, codes: &mut [i8]) -> Option<Rounded> {
        let at = row as usize;
        codes.copy_from_slice(&self.codes[at * self.dim..(at + 1) * self.dim]);
        self.rounded[at]
    }

    /// Asks for a row.
    pub fn prefetch(&self, row: u32) {
        let at = row as usize;
        perso_kernels::prefetch(&self.codes[at * self.dim..(at + 1) * self.dim]);
    }
}
