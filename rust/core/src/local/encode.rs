//! Making the codes of rows: see the parent for the arithmetic.

use perso_kernels::fastscan::{bf16_to_f32, f32_to_bf16, BLOCK};
use perso_kernels::Kernels;

use super::LocalCodes;
use crate::hnsw::{Graph, NONE};
use crate::metric::Metric;
use crate::store::VectorStore;
use crate::threads;

/// Rows a worker encodes before it asks for more.
const CHUNK: usize = 64;

/// Rows encoded before their codes are put in place: 7 MB of codes at 384 dimensions.
const BATCH: usize = 4096;

/// The mean of all rows, summed in row order.
pub(super) fn mean(store: &VectorStore) -> Vec<f32> {
    let mut sum = vec![0.0f64; store.dim()];
    let mut row = vec![0.0f32; store.dim()];
    for i in 0..store.len() as u32 {
        store.get(i, &mut row);
        for (sum, value) in sum.iter_mut().zip(&row) {
            *sum += f64::from(*value);
        }
    }
    let rows = store.len().max(1) as f64;
    sum.iter().map(|sum| (sum / rows) as f32).collect()
}

/// Memory of one worker.
#[derive(Default)]
struct Encoder {
    /// The row, and its rotation.
    own: Vec<f32>,
    own_rotated: Vec<f32>,
    /// A neighbour's difference from the row, the rotation of that, and its signs.
    other: Vec<f32>,
    rotated: Vec<f32>,
    signs: Vec<f32>,
}

/// The rotations of all rows, made once where most are needed: each is a neighbour of some 32 rows.
#[derive(Default)]
struct Rotated(Vec<f32>);

impl Rotated {
    fn of(&self, row: u32, width: usize) -> Option<&[f32]> {
        self.0.get(row as usize * width..)?.get(..width)
    }
}

/// They are kept up to this many bytes.
const ROTATED_BYTES: usize = 1 << 30;

impl LocalCodes {
    /// Encodes the changed rows anew and all rows of the graph that have no codes yet. Parallel when
    /// called inside a rayon pool.
    pub fn update(&mut self, store: &VectorStore, graph: &Graph, changed: &[u32]) {
        let first = self.len() as u32;
        let changed: Vec<u32> = changed.iter().copied().filter(|row| *row < first).collect();
        let new: Vec<u32> = (first..graph.len() as u32).collect();
        let needed = (changed.len() + new.len()) * self.blocks * BLOCK;
        let all_rotated = self.all_rotated(store, needed);
        let mut codes = Vec::new();
        for some in changed.chunks(BATCH) {
            self.encode(store, graph, &all_rotated, some, &mut codes);
            for (&row, codes) in some.iter().zip(codes.chunks_exact(self.stride())) {
                self.rows.row_mut(row as usize).copy_from_slice(codes);
            }
        }
        for some in new.chunks(BATCH) {
            self.encode(store, graph, &all_rotated, some, &mut codes);
            self.rows.extend_from_slice(&codes);
        }
        self.choose_landmarks(store);
    }

    /// The codes of some rows, one row's after another's.
    fn encode(
        &self,
        store: &VectorStore,
        graph: &Graph,
        all_rotated: &Rotated,
        rows: &[u32],
        codes: &mut Vec<u16>,
    ) {
        let stride = self.stride();
        codes.clear();
        codes.resize(rows.len() * stride, 0);
        let some = |encoder: &mut Encoder, first: usize, codes: &mut [u16]| {
            let rows = &rows[first / stride..];
            for (&row, codes) in rows.iter().zip(codes.chunks_exact_mut(stride)) {
                self.point(store, row, &mut encoder.own);
                self.encode_around(store, graph.links(row, 0), all_rotated, codes, encoder);
            }
        };
        threads::par_chunks_mut(codes, CHUNK * stride, &Encoder::default, &some);
    }

    /// The rotations of all rows, if about `needed` will be looked at, or none.
    fn all_rotated(&self, store: &VectorStore, needed: usize) -> Rotated {
        let width = self.rotation.code_dim();
        if needed < store.len() || store.len() * width * 4 > ROTATED_BYTES {
            return Rotated::default();
        }
        let mut all = vec![0.0; store.len() * width];
        let some = |(point, rotated): &mut (Vec<f32>, Vec<f32>), first: usize, out: &mut [f32]| {
            for (j, slot) in out.chunks_exact_mut(width).enumerate() {
                self.point(store, (first / width + j) as u32, point);
                self.rotation.apply(Kernels::get(), point, rotated);
                slot.copy_from_slice(rotated);
            }
        };
        threads::par_chunks_mut(&mut all, CHUNK * width, &Default::default, &some);
        Rotated(all)
    }

    /// The codes of some rows as seen from the point that codes are made relative to.
    pub(super) fn encode_from_origin(&self, store: &VectorStore, rows: &[u32]) -> Vec<u16> {
        let mut codes = vec![0; rows.len().div_ceil(BLOCK) * self.block_len()];
        let mut encoder = Encoder {
            own: vec![0.0; store.dim()],
            ..Encoder::default()
        };
        let all_rotated = Rotated::default();
        self.encode_around(store, rows, &all_rotated, &mut codes, &mut encoder);
        codes
    }

    /// The codes of rows relative to the encoder's own point.
    fn encode_around(
        &self,
        store: &VectorStore,
        rows: &[u32],
        all_rotated: &Rotated,
        codes: &mut [u16],
        encoder: &mut Encoder,
    ) {
        codes.fill(0);
        let kernels = Kernels::get();
        let width = self.rotation.code_dim();
        let Encoder {
            own,
            own_rotated,
            other,
            rotated,
            signs,
        } = encoder;
        self.rotation.apply(kernels, own, own_rotated);
        let l2 = store.metric() == Metric::L2;
        for (rows, block) in rows
            .chunks(BLOCK)
            .zip(codes.chunks_exact_mut(self.block_len()))
        {
            let (bits, factors) = block.split_at_mut(self.block_codes());
            let bits: &mut [u8] = bytemuck::cast_slice_mut(bits);
            for (j, &row) in rows.iter().enumerate() {
                debug_assert_ne!(row, NONE);
                self.point(store, row, other);
                match all_rotated.of(row, width) {
                    Some(known) => known.clone_into(rotated),
                    None => self.rotation.apply(kernels, other, rotated),
                }
                // A rotation is linear.
                subtract(rotated, own_rotated);
                subtract(other, own);
                signs.clear();
                signs.extend(rotated.iter().map(|x| if *x > 0.0 { 1.0 } else { -1.0 }));
                set_bits(bits, j, rotated);
                let square = kernels.dot_f32(other, other);
                let reach = kernels.dot_f32(rotated, signs);
                let double = if l2 { 2.0 } else { 1.0 };
                // A copy of the row has no direction: it scores what the row scores.
                let ratio = if reach > 0.0 { square / reach } else { 0.0 };
                let gain = f32_to_bf16(double * ratio);
                let own_part = bf16_to_f32(gain) * kernels.dot_f32(own_rotated, signs);
                let known = if l2 {
                    -square
                } else {
                    kernels.dot_f32(own, other)
                };
                factors[j] = gain;
                factors[BLOCK + j] = f32_to_bf16(known - own_part);
            }
        }
    }

    /// A row in the space that codes are made in: of unit length under cosine, from the mean under L2.
    fn point(&self, store: &VectorStore, row: u32, out: &mut Vec<f32>) {
        out.resize(store.dim(), 0.0);
        store.get(row, out);
        match store.metric() {
            Metric::Ip => {}
            Metric::Cosine => {
                let norm = store.norms()[row as usize];
                let inverse = if norm > 0.0 { 1.0 / norm } else { 0.0 };
                out.iter_mut().for_each(|x| *x *= inverse);
            }
            Metric::L2 => {
                for (x, mean) in out.iter_mut().zip(&self.mean) {
                    *x -= mean;
                }
            }
        }
    }
}

fn subtract(from: &mut [f32], other: &[f32]) {
    for (x, other) in from.iter_mut().zip(other) {
        *x -= other;
    }
}

/// Writes the signs of code `j` into a block, four dimensions to half a byte.
fn set_bits(block: &mut [u8], j: usize, rotated: &[f32]) {
    let shift = if j < 16 { 0 } else { 4 };
    for (group, four) in block
        .as_chunks_mut::<16>()
        .0
        .iter_mut()
        .zip(rotated.as_chunks::<4>().0)
    {
        let mut nibble = 0;
        for (bit, x) in four.iter().enumerate() {
            nibble |= u8::from(*x > 0.0) << bit;
        }
        group[j % 16] |= nibble << shift;
    }
}
