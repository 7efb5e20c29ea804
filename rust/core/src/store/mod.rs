//! One embedding space: vectors in their storage type, their norms, and scores against them.
//!
//! A vector is kept as given (not normalised), so [`VectorStore::get`] returns the input exactly for
//! `f32`, to half precision for `f16`, and to within `max|x| / 254` per component for `i8`. The norm
//! kept beside it is that of the *stored* vector, so cosine is the cosine of what is stored.
//!
//! Two scores exist. The *coarse* one steers graph traversal and prefilters scans: for `i8` it is
//! integer arithmetic against a quantised query. The *fine* one is reported: full-precision query
//! against the stored vector. For `f32` and `f16` they are the same number.

mod buf;
mod claim;
mod codes;
mod lookup;
mod paged;
mod quantise;
mod region;
mod rounded;
mod texts;

pub use buf::Buf;
pub use lookup::Lookup;
pub use paged::Paged;
pub use quantise::quantise;
pub use rounded::{Rounded, RoundedRows};
pub use texts::{Dictionary, Texts};

/// What `claim` is made of: see there.
mod sync {
    pub(super) use std::sync::atomic::{AtomicUsize, Ordering};
}

use perso_kernels::{prefetch, Coarse, Kernels, Matrix, Rows, Scaled, Sieve};

use crate::error::{Error, Result};
use crate::metric::{Dtype, Metric};
use crate::scored::canonical;

/// Dimensions are bounded so that int8 sums cannot overflow an i32 (127² x 65,535 < 2³¹).
pub const MAX_DIM: usize = 65_535;

/// Vectors of one space in their storage type.
#[derive(Clone, Debug)]
pub enum Data {
    /// IEEE single.
    F32(Buf<f32>),
    /// IEEE half, as bits.
    F16(Buf<u16>),
    /// Codes with one scale per vector.
    I8 {
        /// `rows x dim` codes.
        codes: Buf<i8>,
        /// One scale a row.
        scales: Buf<f32>,
    },
}

/// A query prepared once and scored against many rows.
#[derive(Clone, Debug, Default)]
pub struct Query {
    vector: Vec<f32>,
    norm: f32,
    codes: Vec<i8>,
    scale: f32,
    coarse_norm: f32,
    residual: f32,
}

impl Query {
    /// Its Euclidean norm.
    pub fn norm(&self) -> f32 {
        self.norm
    }

    /// The query as it came.
    pub fn vector(&self) -> &[f32] {
        &self.vector
    }
}

/// The vectors of one space.
#[derive(Clone, Debug)]
pub struct VectorStore {
    dim: usize,
    metric: Metric,
    data: Data,
    norms: Buf<f32>,
    kernels: &'static Kernels,
}

impl VectorStore {
    /// An empty store.
    pub fn new(dim: usize, metric: Metric, dtype: Dtype) -> Result<Self> {
        if dim == 0 || dim > MAX_DIM {
            return Err(Error::invalid("dim", format!("1 to {MAX_DIM}"), dim));
        }
        let data = match dtype {
            Dtype::F32 => Data::F32(Buf::default()),
            Dtype::F16 => Data::F16(Buf::default()),
            Dtype::I8 => Data::I8 {
                codes: Buf::default(),
                scales: Buf::default(),
            },
        };
        Ok(VectorStore {
            dim,
            metric,
            data,
            norms: Buf::default(),
            kernels: Kernels::get(),
        })
    }

    /// Rebuilds a store from a file's sections. Every value is checked: lengths, finiteness, code
    /// range, and that each norm is the norm of its row.
    pub fn from_parts(dim: usize, metric: Metric, data: Data, norms: Buf<f32>) -> Result<Self> {
        let mut store = Self::without_norms(norms.len(), dim, metric, data)?;
        let mut row = vec![0.0; dim];
        for (i, given) in norms.iter().enumerate() {
            let norm = store.norm_of(i, &mut row)?;
            if norm.to_bits() != given.to_bits() {
                return Err(Error::format(format!(
                    "row {i} of a space does not have its norm"
                )));
            }
        }
        store.norms = norms;
        Ok(store)
    }

    /// The same where norms were not kept.
    pub fn from_data(rows: usize, dim: usize, metric: Metric, data: Data) -> Result<Self> {
        let mut store = Self::without_norms(rows, dim, metric, data)?;
        let mut row = vec![0.0; dim];
        let mut norms = Buf::with_capacity(rows);
        norms.extend_with(rows, |norms| {
            for (i, norm) in norms.iter_mut().enumerate() {
                *norm = store.norm_of(i, &mut row)?;
            }
            Ok::<(), Error>(())
        })?;
        store.norms = norms;
        Ok(store)
    }

    /// A store of `rows` rows that lacks their norms: lengths and values are checked.
    fn without_norms(rows: usize, dim: usize, metric: Metric, data: Data) -> Result<Self> {
        if dim == 0 || dim > MAX_DIM {
            return Err(Error::format(format!("a space has {dim} dimensions")));
        }
        let (components, finite) = match &data {
            Data::F32(x) => (x.len(), x.iter().all(|v| v.is_finite())),
            Data::F16(x) => (x.len(), x.iter().all(|v| v & 0x7c00 != 0x7c00)),
            Data::I8 { codes, scales } => {
                if scales.len() != rows {
                    return Err(Error::format(
                        "a space has as many scales as rows, or is damaged",
                    ));
                }
                let good = scales.iter().all(|s| s.is_finite() && *s >= 0.0);
                (codes.len(), good && codes.iter().all(|c| *c != i8::MIN))
            }
        };
        if rows.checked_mul(dim) != Some(components) {
            return Err(Error::format(format!(
                "a space has {components} components for {rows} rows of {dim}"
            )));
        }
        if !finite {
            return Err(Error::format("a space holds a value out of range"));
        }
        Ok(VectorStore {
            dim,
            metric,
            data,
            norms: Buf::default(),
            kernels: Kernels::get(),
        })
    }

    /// The norm of a row that `row` gets, if it is one that sums can be made with.
    fn norm_of(&self, i: usize, row: &mut [f32]) -> Result<f32> {
        self.get(i as u32, row);
        let norm = self.kernels.dot_f32(row, row).sqrt();
        // Finite norms keep every dot product finite, as the check of what users bring does.
        if !norm.is_finite() {
            return Err(Error::format(format!(
                "row {i} of a space has a squared length that overflows a float32"
            )));
        }
        if self.has_idle_scale(i) {
            return Err(Error::format(format!(
                "row {i} of a space is zero and has a scale"
            )));
        }
        Ok(norm)
    }

    /// Whether a scale is set beside codes that are all 0. The norm bounds any other scale; this one
    /// could make the product of two scales overflow.
    fn has_idle_scale(&self, row: usize) -> bool {
        match &self.data {
            Data::I8 { codes, scales } => {
                let codes = &codes[row * self.dim..(row + 1) * self.dim];
                scales[row] != 0.0 && codes.iter().all(|code| *code == 0)
            }
            _ => false,
        }
    }

    /// Components of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How scores are made.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The storage type.
    pub fn dtype(&self) -> Dtype {
        match &self.data {
            Data::F32(_) => Dtype::F32,
            Data::F16(_) => Dtype::F16,
            Data::I8 { .. } => Dtype::I8,
        }
    }

    /// Rows held, dead ones included.
    pub fn len(&self) -> usize {
        self.norms.len()
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.norms.is_empty()
    }

    /// The stored numbers, for files and hashes.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Euclidean norms of the stored vectors.
    pub fn norms(&self) -> &Buf<f32> {
        &self.norms
    }

    /// Bytes that a scan reads per row.
    pub fn row_bytes(&self) -> usize {
        self.dim * self.dtype().size() + if self.dtype() == Dtype::I8 { 8 } else { 4 }
    }

    /// Asks for the numbers beside a row that will be scored soon; its vector is asked for by the kernel.
    pub fn prefetch_scale(&self, row: u32) {
        let at = row as usize..row as usize + 1;
        if let Data::I8 { scales, .. } = &self.data {
            prefetch(scales.get(at.clone()).unwrap_or_default());
        }
        prefetch(self.norms.get(at).unwrap_or_default());
    }

    /// Asks for a row that will be scored soon, and for the numbers beside it.
    pub fn prefetch(&self, row: u32) {
        fn of<T: bytemuck::Pod>(x: &[T], row: u32, width: usize) {
            let range = row as usize * width..(row as usize + 1) * width;
            prefetch(x.get(range).unwrap_or_default());
        }
        match &self.data {
            Data::F32(x) => of(x, row, self.dim),
            Data::F16(x) => of(x, row, self.dim),
            Data::I8 { codes, scales } => {
                of(codes, row, self.dim);
                of(scales, row, 1);
            }
        }
        of(&self.norms, row, 1);
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.norms.heap_bytes()
            + match &self.data {
                Data::F32(x) => x.heap_bytes(),
                Data::F16(x) => x.heap_bytes(),
                Data::I8 { codes, scales } => codes.heap_bytes() + scales.heap_bytes(),
            }
    }

    /// Refuses vectors of a wrong length, with NaN or infinity, or too large for their storage type.
    pub fn check(&self, argument: &str, vectors: &[f32]) -> Result<()> {
        if !vectors.len().is_multiple_of(self.dim) {
            return Err(Error::invalid(
                argument,
                format!("rows of {} components", self.dim),
                format!("{} numbers", vectors.len()),
            ));
        }
        for (i, row) in vectors.chunks_exact(self.dim).enumerate() {
            self.check_row(row).map_err(|what| {
                let at = if vectors.len() == self.dim {
                    String::new()
                } else {
                    format!(" in row {i}")
                };
                Error::invalid(argument, "finite numbers", format!("{what}{at}"))
            })?;
        }
        Ok(())
    }

    fn check_row(&self, row: &[f32]) -> std::result::Result<(), String> {
        if let Some(bad) = row.iter().find(|v| !v.is_finite()) {
            return Err(format!("{bad}"));
        }
        let mut squared = self.kernels.dot_f32(row, row);
        if matches!(self.data, Data::I8 { .. }) && squared > f32::MAX / 8.0 {
            // Codes are rounded up as well as down, so what is stored may be longer than what came: up
            // to 1 + sqrt(65,535) / 254 times.
            let mut codes = vec![0; row.len()];
            let scale = quantise(row, &mut codes);
            let mut stored = vec![0.0; row.len()];
            dequantise(&codes, scale, &mut stored);
            squared = squared.max(self.kernels.dot_f32(&stored, &stored));
        }
        if !squared.is_finite() {
            return Err("a vector whose squared length overflows a float32".into());
        }
        if let Data::F16(_) = self.data {
            // 65,504 is the largest half; from 65,520 on rounding gives infinity.
            if let Some(bad) = row.iter().find(|v| v.abs() >= 65_520.0) {
                return Err(format!("{bad}, which is infinite as float16"));
            }
        }
        Ok(())
    }

    /// Appends vectors that passed [`VectorStore::check`].
    pub fn push(&mut self, vectors: &[f32]) {
        let dim = self.dim;
        let rows = vectors.len() / dim;
        let kernels = self.kernels;
        let norms = &mut self.norms;
        norms.reserve(rows);
        let mut stored = vec![0.0f32; dim];
        match &mut self.data {
            Data::F32(data) => {
                data.extend_from_slice(vectors);
                norms.extend_with(rows, |norms| {
                    for (norm, x) in norms.iter_mut().zip(vectors.chunks_exact(dim)) {
                        *norm = kernels.dot_f32(x, x).sqrt();
                    }
                });
            }
            Data::F16(data) => {
                data.reserve(vectors.len());
                for x in vectors.chunks_exact(dim) {
                    data.extend_with(dim, |half| {
                        kernels.f32_to_f16(x, half);
                        kernels.f16_to_f32(half, &mut stored);
                    });
                    norms.push(kernels.dot_f32(&stored, &stored).sqrt());
                }
            }
            Data::I8 { codes, scales } => {
                codes.reserve(vectors.len());
                scales.reserve(rows);
                for x in vectors.chunks_exact(dim) {
                    let scale = codes.extend_with(dim, |codes| {
                        let scale = quantise(x, codes);
                        dequantise(codes, scale, &mut stored);
                        scale
                    });
                    scales.push(scale);
                    norms.push(kernels.dot_f32(&stored, &stored).sqrt());
                }
            }
        }
    }

    /// Appends copies of stored rows, bit for bit.
    pub fn push_copies(&mut self, rows: &[u32]) {
        let copies = self.keep(rows);
        self.norms.extend_from_slice(&copies.norms);
        match (&mut self.data, &copies.data) {
            (Data::F32(to), Data::F32(from)) => to.extend_from_slice(from),
            (Data::F16(to), Data::F16(from)) => to.extend_from_slice(from),
            (
                Data::I8 { codes, scales },
                Data::I8 {
                    codes: from_codes,
                    scales: from_scales,
                },
            ) => {
                codes.extend_from_slice(from_codes);
                scales.extend_from_slice(from_scales);
            }
            _ => unreachable!("a copy has the kind of its original"),
        }
    }

    /// A store of the same kind with only the given rows, bit for bit.
    pub fn keep(&self, rows: &[u32]) -> VectorStore {
        fn gather<T: bytemuck::Pod>(from: &[T], rows: &[u32], width: usize) -> Buf<T> {
            let mut out = Buf::with_capacity(rows.len() * width);
            out.extend_with(rows.len() * width, |slots| {
                for (slot, &row) in slots.chunks_exact_mut(width).zip(rows) {
                    slot.copy_from_slice(&from[row as usize * width..][..width]);
                }
            });
            out
        }
        let data = match &self.data {
            Data::F32(x) => Data::F32(gather(x, rows, self.dim)),
            Data::F16(x) => Data::F16(gather(x, rows, self.dim)),
            Data::I8 { codes, scales } => Data::I8 {
                codes: gather(codes, rows, self.dim),
                scales: gather(scales, rows, 1),
            },
        };
        VectorStore {
            data,
            norms: gather(&self.norms, rows, 1),
            dim: self.dim,
            metric: self.metric,
            kernels: self.kernels,
        }
    }

    /// The stored vector as single precision.
    pub fn get(&self, row: u32, out: &mut [f32]) {
        let range = row as usize * self.dim..(row as usize + 1) * self.dim;
        match &self.data {
            Data::F32(x) => out.copy_from_slice(&x[range]),
            Data::F16(x) => self.kernels.f16_to_f32(&x[range], out),
            Data::I8 { codes, scales } => dequantise(&codes[range], scales[row as usize], out),
        }
    }

    /// The stored bytes of a row, for the content hash.
    pub fn row_bytes_into(&self, row: u32, out: &mut Vec<u8>) {
        let range = row as usize * self.dim..(row as usize + 1) * self.dim;
        match &self.data {
            Data::F32(x) => out.extend(x[range].iter().flat_map(|v| v.to_le_bytes())),
            Data::F16(x) => out.extend(x[range].iter().flat_map(|v| v.to_le_bytes())),
            Data::I8 { codes, scales } => {
                out.extend(scales[row as usize].to_le_bytes());
                out.extend_from_slice(bytemuck::cast_slice(&codes[range]));
            }
        }
    }

    /// Prepares a user's query; it passed [`VectorStore::check`].
    pub fn query(&self, vector: &[f32]) -> Query {
        let mut query = Query {
            vector: vector.to_vec(),
            norm: self.kernels.dot_f32(vector, vector).sqrt(),
            ..Query::default()
        };
        query.coarse_norm = query.norm;
        if let Data::I8 { .. } = self.data {
            query.codes = vec![0; self.dim];
            query.scale = quantise(vector, &mut query.codes);
            let mut stored = vec![0.0; self.dim];
            dequantise(&query.codes, query.scale, &mut stored);
            query.coarse_norm = self.kernels.dot_f32(&stored, &stored).sqrt();
            query.residual = self.kernels.l2_f32(vector, &stored).sqrt();
        }
        query
    }

    /// Makes a stored row the query; only coarse scores may be asked of it.
    pub fn row_query(&self, row: u32, query: &mut Query) {
        query.norm = self.norms[row as usize];
        query.coarse_norm = query.norm;
        match &self.data {
            Data::I8 { codes, scales } => {
                query.codes.clear();
                let range = row as usize * self.dim..(row as usize + 1) * self.dim;
                query.codes.extend_from_slice(&codes[range]);
                query.scale = scales[row as usize];
            }
            _ => {
                query.vector.resize(self.dim, 0.0);
                self.get(row, &mut query.vector);
            }
        }
    }

    /// Coarse scores of rows under a metric, which during graph building may be another one than the
    /// store's own.
    pub fn coarse(&self, metric: Metric, query: &Query, rows: Rows<'_>, out: &mut [f32]) {
        if matches!(self.data, Data::I8 { .. }) {
            let (codes, scale) = (&query.codes[..], query.scale);
            self.coarse_i8(metric, codes, scale, query.coarse_norm, rows, out);
        } else {
            self.fine_as(metric, query, rows, out);
        }
    }

    /// The same for codes of an i8 store.
    fn coarse_i8(
        &self,
        metric: Metric,
        query: &[i8],
        query_scale: f32,
        norm: f32,
        rows: Rows<'_>,
        out: &mut [f32],
    ) {
        let Data::I8 { codes, scales } = &self.data else {
            unreachable!("codes of a store that has none")
        };
        let dots: &mut [i32] = bytemuck::cast_slice_mut(&mut *out);
        let matrix = Matrix::new(codes, self.dim, self.dim);
        self.kernels.dot_i8_rows(query, matrix, rows, dots);
        let settle = |slot: &mut f32, scale: f32, x_norm: f32| {
            let dot = slot.to_bits() as i32 as f32 * (query_scale * scale);
            *slot = from_dot(metric, dot, norm, x_norm);
        };
        match rows {
            // Without an index to check, this loop is vectorised.
            Rows::Range { start, len } => out
                .iter_mut()
                .zip(&scales[start..start + len])
                .zip(&self.norms[start..start + len])
                .for_each(|((slot, scale), x_norm)| settle(slot, *scale, *x_norm)),
            Rows::Ids(ids) => out.iter_mut().zip(ids).for_each(|(slot, &row)| {
                settle(slot, scales[row as usize], self.norms[row as usize]);
            }),
        }
    }

    /// The reported scores of rows under the store's metric.
    pub fn fine(&self, query: &Query, rows: Rows<'_>, out: &mut [f32]) {
        self.fine_as(self.metric, query, rows, out);
    }

    /// Item-to-item cosine of one stored row with others, from the stored vectors.
    pub fn cosine_to(&self, row: u32, rows: &[u32], scratch: &mut Query, out: &mut [f32]) {
        let (at, dim) = (row as usize, self.dim);
        let rows_of = Rows::Ids(rows);
        match &self.data {
            // The row is its own query: a copy would cost as much as a comparison.
            Data::F32(x) => {
                let query = &x[at * dim..(at + 1) * dim];
                self.kernels
                    .dot_f32_rows(query, Matrix::new(x, dim, dim), rows_of, out);
                let norm = self.norms[at];
                for (slot, &row) in out.iter_mut().zip(rows) {
                    *slot = from_dot(Metric::Cosine, *slot, norm, self.norms[row as usize]);
                }
            }
            Data::I8 { codes, scales } => {
                let query = &codes[at * dim..(at + 1) * dim];
                let (scale, norm) = (scales[at], self.norms[at]);
                self.coarse_i8(Metric::Cosine, query, scale, norm, rows_of, out);
            }
            Data::F16(_) => {
                self.row_query(row, scratch);
                self.coarse(Metric::Cosine, scratch, rows_of, out);
            }
        }
    }

    fn fine_as(&self, metric: Metric, query: &Query, rows: Rows<'_>, out: &mut [f32]) {
        let (q, k, dim) = (&query.vector[..], self.kernels, self.dim);
        let l2 = metric == Metric::L2;
        match &self.data {
            Data::F32(x) if l2 => k.l2_f32_rows(q, Matrix::new(x, dim, dim), rows, out),
            Data::F32(x) => k.dot_f32_rows(q, Matrix::new(x, dim, dim), rows, out),
            Data::F16(x) if l2 => k.l2_f16_rows(q, Matrix::new(x, dim, dim), rows, out),
            Data::F16(x) => k.dot_f16_rows(q, Matrix::new(x, dim, dim), rows, out),
            Data::I8 { codes, scales } if l2 => {
                k.l2_f32_i8_rows(q, scales, Matrix::new(codes, dim, dim), rows, out);
            }
            Data::I8 { codes, scales } => {
                k.dot_f32_i8_rows(q, Matrix::new(codes, dim, dim), rows, out);
                for_each_row(rows, out, |row, slot| *slot *= scales[row]);
            }
        }
        match metric {
            Metric::L2 => out.iter_mut().for_each(|slot| *slot = canonical(-*slot)),
            Metric::Ip => out.iter_mut().for_each(|slot| *slot = canonical(*slot)),
            Metric::Cosine => for_each_row(rows, out, |row, slot| {
                *slot = from_dot(Metric::Cosine, *slot, query.norm, self.norms[row]);
            }),
        }
    }

    /// What a scan of int8 rows sifts by: see `exact` for how far a fine score can lie from a coarse one.
    pub fn sieve(&self, query: &Query) -> Sieve {
        let rounding = (self.dim / 32 + 16) as f32 * f32::EPSILON;
        let q = query.norm.max(query.coarse_norm);
        let dot = query.residual * 1.001 + rounding * q;
        let (coarse, error) = match self.metric {
            Metric::Ip => (Coarse::Dot, [0.0, dot, 0.0]),
            // The coarse cosine divides by the norm of the quantised query: |q̂·x|(1/|q̂| - 1/|q|) is
            // at most residual/|q| more.
            Metric::Cosine => {
                let shortest = query.norm.min(query.coarse_norm).max(f32::MIN_POSITIVE);
                let error = 2.002 * query.residual / shortest + 4.0 * rounding;
                (Coarse::Cosine, [error, 0.0, 0.0])
            }
            // |q̂|² - |q|² is at most residual * (|q| + |q̂|); the rounding is that of (|q| + |x|)².
            Metric::L2 => (
                Coarse::L2,
                [
                    2.002 * query.residual * q + 4.0 * rounding * q * q,
                    2.0 * dot + 8.0 * rounding * q,
                    4.0 * rounding,
                ],
            ),
        };
        Sieve {
            coarse,
            scale: query.scale,
            norm: query.coarse_norm,
            error,
            threshold: f32::NEG_INFINITY,
        }
    }

    /// Coarse scores of int8 rows, and which of them pass the sieve: see [`Kernels::sift_i8`].
    ///
    /// # Panics
    /// If the vectors are of another type.
    pub fn sift(
        &self,
        query: &Query,
        sieve: &Sieve,
        rows: Rows<'_>,
        scores: &mut [f32],
        masks: &mut [u32],
    ) {
        let Data::I8 { codes, scales } = &self.data else {
            panic!("only int8 vectors have coarse scores of their own");
        };
        let items = Scaled {
            codes: Matrix::new(codes, self.dim, self.dim),
            scales,
            norms: &self.norms,
        };
        self.kernels
            .sift_i8(&query.codes, sieve, items, rows, scores, masks);
    }
}

fn dequantise(codes: &[i8], scale: f32, out: &mut [f32]) {
    for (value, code) in out.iter_mut().zip(codes) {
        *value = f32::from(*code) * scale;
    }
}

#[inline]
fn from_dot(metric: Metric, dot: f32, q_norm: f32, x_norm: f32) -> f32 {
    match metric {
        Metric::Ip => canonical(dot),
        Metric::Cosine => {
            let norms = q_norm * x_norm;
            if norms == 0.0 {
                0.0
            } else {
                canonical(dot / norms)
            }
        }
        Metric::L2 => canonical(-(q_norm * q_norm + x_norm * x_norm - 2.0 * dot).max(0.0)),
    }
}

#[inline]
fn for_each_row(rows: Rows<'_>, out: &mut [f32], mut f: impl FnMut(usize, &mut f32)) {
    match rows {
        Rows::Range { start, .. } => out
            .iter_mut()
            .enumerate()
            .for_each(|(i, slot)| f(start + i, slot)),
        Rows::Ids(ids) => out
            .iter_mut()
            .zip(ids)
            .for_each(|(slot, &row)| f(row as usize, slot)),
    }
}
