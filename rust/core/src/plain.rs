//! Exact search and score matrices over plain arrays, without an index.
//!
//! Items are walked in blocks that stay in the second-level cache while all queries pass over them.

use perso_kernels::{Coded, Kernels, Matrix, Rows};

use crate::batch::{self, Asked, Corpus};
use crate::error::{Error, Result};
use crate::metric::Metric;
use crate::scored::{canonical, ByRow, Scored, TopK};
use crate::threads;

/// Bytes of items per block.
const BLOCK_BYTES: usize = 128 << 10;

/// Rows of one kind, `count x dim`.
#[derive(Clone, Copy, Debug)]
pub enum Items<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half precision, as bits.
    F16(&'a [u16]),
}

impl Items<'_> {
    fn len(&self) -> usize {
        match self {
            Items::F32(x) => x.len(),
            Items::F16(x) => x.len(),
        }
    }

    fn block_rows(&self, dim: usize) -> usize {
        let width = match self {
            Items::F32(_) => 4,
            Items::F16(_) => 2,
        };
        (BLOCK_BYTES / (width * dim)).max(8)
    }
}

fn blocks(rows: usize, block: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows)
        .step_by(block)
        .map(move |start| (start, block.min(rows - start)))
}

/// All dot products: `out[q * items + i]`.
pub fn dot(queries: &[f32], items: Items<'_>, dim: usize, out: &mut [f32]) {
    let kernels = Kernels::get();
    let rows = items.len() / dim;
    for (start, len) in blocks(rows, items.block_rows(dim)) {
        let block = Rows::Range { start, len };
        for (q, query) in queries.chunks_exact(dim).enumerate() {
            let out = &mut out[q * rows + start..][..len];
            match items {
                Items::F32(x) => kernels.dot_f32_rows(query, Matrix::new(x, dim, dim), block, out),
                Items::F16(x) => kernels.dot_f16_rows(query, Matrix::new(x, dim, dim), block, out),
            }
        }
    }
}

/// All int8 dot products, exact for the whole range of i8 and rounded once to f32.
pub fn dot_i8(queries: &[i8], items: &[i8], dim: usize, out: &mut [f32]) {
    let kernels = Kernels::get();
    let rows = items.len() / dim;
    // The fast kernel's contract leaves out -128, which quantisers never make but users may have.
    let whole_range = holds_min(items) || holds_min(queries);
    for (start, len) in blocks(rows, (BLOCK_BYTES / dim).max(8)) {
        for (q, query) in queries.chunks_exact(dim).enumerate() {
            let out = &mut out[q * rows + start..][..len];
            if whole_range {
                let items = items[start * dim..].chunks_exact(dim);
                for (slot, item) in out.iter_mut().zip(items) {
                    *slot = kernels.dot_i8_any(query, item) as f32;
                }
            } else {
                let sums: &mut [i32] = bytemuck::cast_slice_mut(&mut *out);
                let matrix = Matrix::new(items, dim, dim);
                kernels.dot_i8_rows(query, matrix, Rows::Range { start, len }, sums);
                out.iter_mut()
                    .for_each(|slot| *slot = slot.to_bits() as i32 as f32);
            }
        }
    }
}

/// `contains(&i8::MIN)`, in runs that vectorise: the plain one stops at each element to look.
fn holds_min(codes: &[i8]) -> bool {
    codes.chunks(4096).any(|run| {
        run.iter()
            .fold(false, |found, code| found | (*code == i8::MIN))
    })
}

/// Fewer queries than these go by themselves: rounding the items to codes would cost more than it saves.
const LEAST_QUERIES: usize = 12;

/// The best `k` items for each query, best first; `min(k, items)` of them.
pub fn topk(
    queries: &[f32],
    items: Items<'_>,
    dim: usize,
    k: usize,
    metric: Metric,
    num_threads: i64,
) -> Result<Vec<Vec<Scored>>> {
    let threads = threads::resolve("num_threads", num_threads)?;
    if k == 0 {
        return Err(Error::invalid("k", "at least 1", k));
    }
    check_finite("queries", queries)?;
    let table = Table {
        kernels: Kernels::get(),
        items,
        dim,
        metric,
        queries: queries.chunks_exact(dim).map(Asking::new).collect(),
    };
    if table.queries.len() >= LEAST_QUERIES {
        let vectors: Vec<&[f32]> = queries.chunks_exact(dim).collect();
        if let Some(asked) = Asked::new(table.kernels, metric, dim, &vectors) {
            if let Some(found) = batch::search(&table, &asked, k, None, &ByRow, threads)? {
                return Ok(found);
            }
        }
    }
    // Each thread takes a run of items over all queries.
    let rows = table.len();
    let runs: Vec<(usize, usize)> = blocks(rows, rows.div_ceil(threads).max(1)).collect();
    let found = threads::map(threads, &runs, || (), |(), run| table.scan(*run, k))?;
    let Some(found) = found.into_iter().collect::<Option<Vec<_>>>() else {
        match items {
            Items::F32(x) => check_finite("items", x)?,
            Items::F16(x) => {
                let mut wide = vec![0.0; x.len()];
                table.kernels.f16_to_f32(x, &mut wide);
                check_finite("items", &wide)?;
            }
        }
        return Err(Error::invalid(
            "items",
            "numbers whose scores are finite in float32",
            "an overflow",
        ));
    };
    let mut tops: Vec<_> = table.queries.iter().map(|_| TopK::new(k, &ByRow)).collect();
    for part in found {
        for (top, other) in tops.iter_mut().zip(part) {
            other.into_sorted().into_iter().for_each(|e| top.push(e));
        }
    }
    Ok(tops.into_iter().map(TopK::into_sorted).collect())
}

/// A query and one over its norm.
struct Asking<'a> {
    vector: &'a [f32],
    inverse: f32,
}

impl<'a> Asking<'a> {
    fn new(vector: &'a [f32]) -> Self {
        Asking {
            vector,
            inverse: inverse(Kernels::get().dot_f32(vector, vector).sqrt()),
        }
    }
}

/// Items and the queries that are put to them.
struct Table<'a> {
    kernels: &'static Kernels,
    items: Items<'a>,
    dim: usize,
    metric: Metric,
    queries: Vec<Asking<'a>>,
}

impl Table<'_> {
    fn norm(&self, row: usize, scratch: &mut [f32]) -> f32 {
        let at = row * self.dim..(row + 1) * self.dim;
        let row = match self.items {
            Items::F32(x) => &x[at],
            Items::F16(x) => {
                self.kernels.f16_to_f32(&x[at], scratch);
                scratch
            }
        };
        self.kernels.dot_f32(row, row).sqrt()
    }

    /// Scores under the metric, given one over the norm of each row where that counts.
    fn scores(&self, query: usize, rows: Rows<'_>, inverse_norms: &[f32], out: &mut [f32]) {
        let (q, dim, k) = (&self.queries[query], self.dim, self.kernels);
        match (self.items, self.metric) {
            (Items::F32(x), Metric::L2) => {
                k.l2_f32_rows(q.vector, Matrix::new(x, dim, dim), rows, out)
            }
            (Items::F32(x), _) => k.dot_f32_rows(q.vector, Matrix::new(x, dim, dim), rows, out),
            (Items::F16(x), Metric::L2) => {
                k.l2_f16_rows(q.vector, Matrix::new(x, dim, dim), rows, out)
            }
            (Items::F16(x), _) => k.dot_f16_rows(q.vector, Matrix::new(x, dim, dim), rows, out),
        }
        match self.metric {
            Metric::Ip => out.iter_mut().for_each(|slot| *slot = canonical(*slot)),
            Metric::L2 => out.iter_mut().for_each(|slot| *slot = canonical(-*slot)),
            Metric::Cosine => out
                .iter_mut()
                .zip(inverse_norms)
                .for_each(|(slot, norm)| *slot = canonical(*slot * q.inverse * norm)),
        }
    }

    /// Every score of a run of items. `None` when one is not finite: an item holds NaN or infinity, or
    /// the score overflowed.
    fn scan(&self, (first, count): (usize, usize), k: usize) -> Option<Vec<TopK<'static, ByRow>>> {
        let mut tops: Vec<_> = self.queries.iter().map(|_| TopK::new(k, &ByRow)).collect();
        let block = self.items.block_rows(self.dim);
        let mut scores = vec![0.0f32; block.min(count)];
        let mut inverse_norms = Vec::with_capacity(scores.len());
        let mut scratch = vec![0.0f32; self.dim];
        for (start, len) in blocks(count, block) {
            let start = first + start;
            let scores = &mut scores[..len];
            inverse_norms.clear();
            if self.metric == Metric::Cosine {
                let norms = (start..start + len).map(|row| inverse(self.norm(row, &mut scratch)));
                inverse_norms.extend(norms);
            }
            for (q, top) in tops.iter_mut().enumerate() {
                self.scores(q, Rows::Range { start, len }, &inverse_norms, scores);
                // As integers absolute values keep their order, with infinity and NaN on top.
                let largest = scores
                    .iter()
                    .fold(0, |m, s| (s.to_bits() & 0x7fff_ffff).max(m));
                if !f32::from_bits(largest).is_finite() {
                    return None;
                }
                top.push_rows(start as u32, scores);
            }
        }
        Some(tops)
    }
}

impl Corpus for Table<'_> {
    fn len(&self) -> usize {
        match self.items {
            Items::F32(x) => x.len() / self.dim,
            Items::F16(x) => x.len() / self.dim,
        }
    }

    fn code(&self, row: usize, scratch: &mut [f32], codes: &mut [i8]) -> (Coded, f32) {
        let at = row * self.dim..(row + 1) * self.dim;
        let row = match self.items {
            Items::F32(x) => &x[at],
            Items::F16(x) => {
                self.kernels.f16_to_f32(&x[at], scratch);
                scratch
            }
        };
        let norm = self.kernels.dot_f32(row, row).sqrt();
        (self.kernels.quantise(row, codes), norm)
    }

    fn score(&self, query: usize, rows: &[u32], out: &mut [f32]) {
        let mut inverse_norms = Vec::new();
        if self.metric == Metric::Cosine {
            let mut scratch = vec![0.0; self.dim];
            let norms = rows
                .iter()
                .map(|row| inverse(self.norm(*row as usize, &mut scratch)));
            inverse_norms.extend(norms);
        }
        self.scores(query, Rows::Ids(rows), &inverse_norms, out);
    }
}

/// Refuses NaN and infinity, naming where the first one is.
pub fn check_finite(argument: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::invalid(
            argument,
            "finite numbers",
            format!("{} at position {at}", values[at]),
        )),
    }
}

fn inverse(norm: f32) -> f32 {
    if norm == 0.0 {
        0.0
    } else {
        1.0 / norm
    }
}
