//! Exact search and score matrices over plain arrays, without an index.
//!
//! Items are walked in blocks that stay in the second-level cache while all queries pass over them.

use perso_kernels::{Kernels, Matrix, Rows};

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

/// The best `k` items for each query, best first; `min(k, items)` of them.
pub fn topk(
    queries: &[f32],
    items: &[f32],
    dim: usize,
    k: usize,
    metric: Metric,
    num_threads: i64,
) -> Result<Vec<Vec<Scored>>> {
    let threads = threads::resolve("num_threads", num_threads)?;
    if k == 0 {
        return Err(Error::invalid("k", "at least 1", k));
    }
    let kernels = Kernels::get();
    let inverse_norms: Vec<f32> = match metric {
        Metric::Cosine => items
            .chunks_exact(dim)
            .map(|x| inverse(kernels.dot_f32(x, x).sqrt()))
            .collect(),
        _ => Vec::new(),
    };
    check_finite("queries", queries)?;
    let queries: Vec<&[f32]> = queries.chunks_exact(dim).collect();
    // Each thread takes a run of queries over all items.
    let runs: Vec<&[&[f32]]> = queries
        .chunks(queries.len().div_ceil(threads).max(1))
        .collect();
    let found = threads::map(
        threads,
        &runs,
        || (),
        |(), run| topk_run(kernels, run, items, dim, k, metric, &inverse_norms),
    )?;
    let found: Option<Vec<Vec<Vec<Scored>>>> = found.into_iter().collect();
    match found {
        Some(found) => Ok(found.into_iter().flatten().collect()),
        None => {
            check_finite("items", items)?;
            Err(Error::invalid(
                "items",
                "numbers whose scores are finite in float32",
                "an overflow",
            ))
        }
    }
}

/// `None` when a score is not finite: an item holds NaN or infinity, or the score overflowed.
fn topk_run(
    kernels: &Kernels,
    queries: &[&[f32]],
    items: &[f32],
    dim: usize,
    k: usize,
    metric: Metric,
    inverse_norms: &[f32],
) -> Option<Vec<Vec<Scored>>> {
    let rows = items.len() / dim;
    let matrix = Matrix::new(items, dim, dim);
    let mut tops: Vec<_> = queries.iter().map(|_| TopK::new(k, &ByRow)).collect();
    let query_norms: Vec<f32> = queries
        .iter()
        .map(|q| inverse(kernels.dot_f32(q, q).sqrt()))
        .collect();
    let block = Items::F32(items).block_rows(dim);
    let mut scores = vec![0.0f32; block];
    for (start, len) in blocks(rows, block) {
        let scores = &mut scores[..len];
        for (q, top) in tops.iter_mut().enumerate() {
            let block = Rows::Range { start, len };
            match metric {
                Metric::L2 => kernels.l2_f32_rows(queries[q], matrix, block, scores),
                _ => kernels.dot_f32_rows(queries[q], matrix, block, scores),
            }
            for (i, score) in scores.iter().enumerate() {
                let score = canonical(match metric {
                    Metric::Ip => *score,
                    Metric::L2 => -score,
                    Metric::Cosine => score * query_norms[q] * inverse_norms[start + i],
                });
                if !score.is_finite() {
                    return None;
                }
                if score >= top.threshold() {
                    let row = (start + i) as u32;
                    top.push(Scored { score, row });
                }
            }
        }
    }
    Some(tops.into_iter().map(TopK::into_sorted).collect())
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
