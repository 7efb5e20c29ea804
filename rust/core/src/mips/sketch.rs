//! 4-bit copies of the longest rows, in order of norm, with a bound on what they leave out.
//!
//! A row `x` is kept as `x̂ = s (u - 7.5)`, `u` from 0 to 15, and `e >= |x - x̂|`. With the query `q` kept
//! as `q̂ = t c`, `c` from -127 to 127,
//!
//! ```text
//! q·x = q̂·x̂ + (q - q̂)·x̂ + q·(x - x̂) <= s t (2 u·c - 15 sum c) / 2 + |q - q̂| |x| + (|q| + |q - q̂|) e
//! ```
//!
//! by Cauchy-Schwarz and `|x̂| <= |x| + e`, the sums in brackets being integers and exact. `e / s` hardly varies (rounding
//! errors are spread evenly over a step), so one ratio a block of sixteen rows is enough, and what is kept
//! beside the codes is one scale a row.
//!
//! The scale is the one of three that leaves the least: the largest component in full, or cut a little.

use perso_kernels::nibble::{self, GROUP, ROWS};
use perso_kernels::Kernels;

use crate::store::{quantise, Query, VectorStore};
use crate::threads;

/// More than what rounding takes from a norm of numbers too small to square: `sqrt(65,535 * 2^-149)`.
pub const TINY: f32 = 1e-20;

/// Rows sketched by one task while building.
const TASK: usize = 64 * ROWS;

/// The share of the largest component that the outermost codes stand for.
const CUTS: [f32; 3] = [1.0, 0.9, 0.8];

/// Sketches of some rows of a store.
#[derive(Clone, Debug, Default)]
pub struct Sketch {
    rows: usize,
    codes: Vec<u8>,
    /// One a row; padding rows have 0.
    scales: Vec<f32>,
    /// One a block: at least `e / s` for each of its rows.
    ratios: Vec<f32>,
}

/// A query as the sketch is scored with.
#[derive(Debug)]
pub struct Probe {
    codes: Vec<i8>,
    sum: i32,
    half_scale: f32,
    /// `|q|`, rounded up.
    norm: f32,
    /// `|q - q̂|`, rounded up.
    residual: f32,
}

impl Probe {
    /// Prepares a query.
    pub fn new(query: &Query, kernels: &Kernels) -> Self {
        let vector = query.vector();
        let mut codes = vec![0i8; vector.len().next_multiple_of(GROUP)];
        let scale = quantise(vector, &mut codes[..vector.len()]);
        let left: Vec<f32> = vector
            .iter()
            .zip(&codes)
            .map(|(value, code)| value - f32::from(*code) * scale)
            .collect();
        let norm = query.norm() * 1.001 + TINY;
        Probe {
            sum: codes.iter().map(|code| i32::from(*code)).sum(),
            codes,
            half_scale: scale * 0.5,
            norm,
            // The products of code and scale are rounded.
            residual: kernels.dot_f32(&left, &left).sqrt() * 1.001 + norm * 1e-6 + TINY,
        }
    }
}

impl Sketch {
    /// How many of the longest rows fit into half of what their int8 codes would take, a row number each
    /// included. None of them where vectors are so short that a sketch saves nothing.
    pub fn reach(dim: usize, rows: usize) -> usize {
        let spare = (dim / 2).saturating_sub(4);
        let row = dim.div_ceil(GROUP) * GROUP / 2 + 5;
        (rows as u64 * spare as u64 / row as u64).min(rows as u64) as usize
    }

    /// Sketches rows, in this order. Parallel when called inside a rayon pool.
    pub fn build(store: &VectorStore, order: &[u32]) -> Self {
        let tasks: Vec<&[u32]> = order.chunks(TASK).collect();
        let parts = threads::par_map(&tasks, &Row::default, &|row, task| {
            let mut part = Sketch::default();
            task.chunks(ROWS)
                .for_each(|block| part.push_block(store, block, row));
            part
        });
        let mut all = Sketch {
            rows: order.len(),
            codes: Vec::with_capacity(parts.iter().map(|part| part.codes.len()).sum()),
            scales: Vec::with_capacity(parts.iter().map(|part| part.scales.len()).sum()),
            ratios: Vec::with_capacity(parts.iter().map(|part| part.ratios.len()).sum()),
        };
        for part in parts {
            all.codes.extend(part.codes);
            all.scales.extend(part.scales);
            all.ratios.extend(part.ratios);
        }
        all
    }

    fn push_block(&mut self, store: &VectorStore, rows: &[u32], row: &mut Row) {
        let start = self.codes.len();
        let size = nibble::block_bytes(store.dim());
        self.codes.resize(start + size, 0);
        let mut ratio = 0.0f32;
        for (i, &id) in rows.iter().enumerate() {
            row.vector.resize(store.dim(), 0.0);
            store.get(id, &mut row.vector);
            let (scale, left) = row.quantise();
            nibble::put_row(&mut self.codes[start..], i, &row.codes);
            self.scales.push(scale);
            if scale > 0.0 {
                ratio = ratio.max(left / scale);
            } else if left > TINY {
                // Too short to quantise, and no bound: such a row is always scored.
                ratio = f32::INFINITY;
            }
        }
        self.scales
            .resize(self.scales.len() + ROWS - rows.len(), 0.0);
        self.ratios.push(ratio);
    }

    /// Rows sketched.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Bytes that scoring a row reads.
    pub fn row_bytes(dim: usize) -> usize {
        nibble::block_bytes(dim) / ROWS + 4
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.codes.capacity() + 4 * (self.scales.capacity() + self.ratios.capacity())
    }

    /// Upper bounds on the fine scores of the blocks from `first` on, whose rows are no longer than
    /// `longest`. `slack` bounds the relative error of a fine score and of the sums here.
    pub fn bounds(
        &self,
        probe: &Probe,
        kernels: &Kernels,
        first: usize,
        longest: f32,
        slack: f32,
        out: &mut [[f32; ROWS]],
    ) {
        let size = nibble::block_bytes(probe.codes.len());
        let dots: &mut [[i32; ROWS]] = bytemuck::cast_slice_mut(&mut *out);
        let codes = &self.codes[first * size..][..dots.len() * size];
        kernels.nibble_dots(&probe.codes, codes, dots);
        let longest = longest * 1.001 + TINY;
        let rest = longest * (probe.residual + slack * probe.norm) + f32::MIN_POSITIVE;
        // |x̂| <= |x| + e, so e has two factors.
        let of_left = probe.norm + probe.residual;
        let scales = self.scales[first * ROWS..].as_chunks::<ROWS>().0;
        for ((out, scales), ratio) in out.iter_mut().zip(scales).zip(&self.ratios[first..]) {
            let left = of_left * ratio;
            for (slot, scale) in out.iter_mut().zip(scales) {
                let dot = (2 * (slot.to_bits() as i32) - 15 * probe.sum) as f32;
                *slot = scale * (dot * probe.half_scale + left) + rest;
            }
        }
    }
}

/// Memory of sketching one row.
#[derive(Default)]
struct Row {
    vector: Vec<f32>,
    codes: Vec<u8>,
    tried: Vec<u8>,
}

impl Row {
    /// Sets the codes; returns the scale and a bound on the length of what they leave out.
    fn quantise(&mut self) -> (f32, f32) {
        let largest = self.vector.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        self.codes.clear();
        self.codes.resize(self.vector.len(), 0);
        let mut best = (0.0, f32::INFINITY);
        if !(largest / 127.0).is_normal() {
            return (0.0, if largest == 0.0 { 0.0 } else { f32::INFINITY });
        }
        self.tried.resize(self.vector.len(), 0);
        for cut in CUTS {
            let scale = largest * cut / 7.5;
            let inverse = 1.0 / scale;
            // Sixteen sums, so that the loop can be vectorised in one fixed order.
            let mut sums = [0.0f32; 16];
            for (values, codes) in self.vector.chunks(16).zip(self.tried.chunks_mut(16)) {
                for ((value, code), sum) in values.iter().zip(codes).zip(&mut sums) {
                    // In units of a step: squares neither overflow nor vanish.
                    let at = value * inverse + 7.5;
                    let level = ((at + 0.5) as i32).clamp(0, 15);
                    let left = at - level as f32;
                    *sum += left * left;
                    *code = level as u8;
                }
            }
            let left = sums.iter().sum::<f32>().sqrt();
            // Sums, the inverse and `at` are rounded: a thousandth covers the first, and a millionth of
            // the largest step, at most 10, times the square root of 65,535, the others.
            let bound = (left * 1.001 + 1e-6 * 10.0 * (self.vector.len() as f32).sqrt()) * scale;
            if bound < best.1 {
                best = (scale, bound);
                std::mem::swap(&mut self.codes, &mut self.tried);
            }
        }
        best
    }
}
