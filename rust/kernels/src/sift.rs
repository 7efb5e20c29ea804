//! Sifting: int8 rows by the upper bounds of their scores, in one pass over memory.
//!
//! An exact scan wants few of the rows it reads. For each it makes a *coarse* score out of the integer dot
//! product of the codes, an upper bound of the true one, and compares it with the k-th best so far. What
//! leaves the kernel is the coarse score and a bit a row: set where the bound is not below the threshold,
//! so that the rest of the scan touches those rows alone.
//!
//! With `d` the dot product of the codes, `s` and `t` the scales and `n` and `m` the norms of query and row,
//! all f32 and each step rounded once, the same on every instruction set:
//!
//! - `dot = f32(d) * (s * t)`;
//! - the score is `dot`, `dot / (n * m)` (zero where `n * m` is) or `-max((n * n + m * m) - 2 * dot, 0)`,
//!   plus `+0.0`, which leaves no `-0.0`;
//! - the bound is `score + (a + m * (b + m * c))`, and a bound that is NaN is not below anything.
//!
//! Rows in order are settled 32 at a time, where their sums lie, before the next 32 are read. Fraction of the
//! read bandwidth of the same core in the same run, for 96 MiB of rows of 256 codes (Zen 4, AVX-512 VNNI, best of
//! 150 rounds; the scales and norms are 3% more bytes): .91. By 128, 256 and 512 rows .69, .76 and .80; with
//! their sums in an array of their own, cleared for each call, .57 to .75. In cache the order is the reverse, so
//! it is not the work that differs; what does was not found out. Tried besides, without gain: asking ahead for
//! scales and norms, and settling one piece behind the products.

use crate::{Kernels, Matrix, Rows, MAX_DIM_DOT_I8};

/// Rows that share a word of the mask.
pub const SIFT_ROWS: usize = 32;

/// What a coarse score is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coarse {
    /// The inner product.
    Dot,
    /// The inner product over the norms.
    Cosine,
    /// The negated squared distance.
    L2,
}

/// What is the same for all rows of [`Kernels::sift_i8`].
#[derive(Clone, Copy, Debug)]
pub struct Sieve {
    /// Which score.
    pub coarse: Coarse,
    /// The query's scale.
    pub scale: f32,
    /// The norm of what the query's codes stand for.
    pub norm: f32,
    /// How far a score may lie below the true one, as a polynomial in the row's norm, lowest power first.
    pub error: [f32; 3],
    /// Rows whose bound is below are left out.
    pub threshold: f32,
}

impl Sieve {
    /// How far the score of a row of this norm may lie below the true one.
    #[inline(always)]
    pub fn error_at(&self, norm: f32) -> f32 {
        let [a, b, c] = self.error;
        a + norm * (b + norm * c)
    }
}

/// Int8 rows with their scales and norms.
#[derive(Clone, Copy, Debug)]
pub struct Scaled<'a> {
    /// The codes, in [-127, 127].
    pub codes: Matrix<'a, i8>,
    /// One scale a row.
    pub scales: &'a [f32],
    /// One norm a row.
    pub norms: &'a [f32],
}

pub(crate) type Sift = unsafe fn(&[i8], &Sieve, Scaled<'_>, Rows<'_>, &mut [f32], &mut [u32]);

impl Kernels {
    /// Coarse scores of rows, and which of them could be among the best: bit `i % 32` of `masks[i / 32]`
    /// is set if the bound of the `i`-th row is not below the threshold. Bits beyond the last row are zero.
    ///
    /// # Panics
    /// If `q` is not as long as a row, or longer than [`MAX_DIM_DOT_I8`]; if there is not one scale and one
    /// norm for each row of the matrix, not one place in `scores` for each row visited or not one in
    /// `masks` for each 32 of them; or if a row is out of bounds.
    pub fn sift_i8(
        &self,
        q: &[i8],
        sieve: &Sieve,
        items: Scaled<'_>,
        rows: Rows<'_>,
        scores: &mut [f32],
        masks: &mut [u32],
    ) {
        let m = &items.codes;
        crate::api::check_rows("sift_i8", q.len(), m, rows, scores.len(), MAX_DIM_DOT_I8);
        assert!(
            items.scales.len() == m.rows() && items.norms.len() == m.rows(),
            "sift_i8: scales and norms must have one entry per matrix row, {}; got {} and {}",
            m.rows(),
            items.scales.len(),
            items.norms.len()
        );
        assert!(
            masks.len() == rows.len().div_ceil(SIFT_ROWS),
            "sift_i8: masks must have one word per {SIFT_ROWS} of {} rows; got {}",
            rows.len(),
            masks.len()
        );
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        unsafe { (self.sift_i8)(q, sieve, items, rows, scores, masks) }
    }
}

/// Sums of a group of rows, which lie where their scores will, to scores and a mask: compiled once for each instruction set: no step depends
/// on the width.
#[inline(always)]
pub(crate) fn settle(
    sieve: &Sieve,
    scales: &[f32; SIFT_ROWS],
    norms: &[f32; SIFT_ROWS],
    scores: &mut [f32; SIFT_ROWS],
) -> u32 {
    let (scale, norm) = (sieve.scale, sieve.norm);
    let sums = scores.map(|sum| sum.to_bits() as i32);
    let dot = |i: usize| sums[i] as f32 * (scale * scales[i]);
    *scores = match sieve.coarse {
        Coarse::Dot => std::array::from_fn(|i| dot(i) + 0.0),
        Coarse::Cosine => std::array::from_fn(|i| {
            let both = norm * norms[i];
            // Divided before it is asked, so that there is nothing to branch on.
            let cosine = dot(i) / both;
            if both == 0.0 {
                0.0
            } else {
                cosine + 0.0
            }
        }),
        Coarse::L2 => std::array::from_fn(|i| {
            let squared = norm * norm + norms[i] * norms[i] - 2.0 * dot(i);
            -squared.max(0.0) + 0.0
        }),
    };
    // A bit each, put together by halves: whole registers until the last few steps.
    let mut bits: [u32; SIFT_ROWS] = std::array::from_fn(|i| {
        let below = scores[i] + sieve.error_at(norms[i]) < sieve.threshold;
        if below {
            0
        } else {
            1 << i
        }
    });
    let mut half = SIFT_ROWS / 2;
    while half > 0 {
        for i in 0..half {
            bits[i] |= bits[i + half];
        }
        half /= 2;
    }
    bits[0]
}

/// The numbers of up to 32 rows, and zeros.
#[inline(always)]
fn padded(numbers: &[f32]) -> [f32; SIFT_ROWS] {
    match numbers.first_chunk() {
        Some(all) => *all,
        None => {
            let mut some = [0.0; SIFT_ROWS];
            some[..numbers.len()].copy_from_slice(numbers);
            some
        }
    }
}

/// [`settle`] for up to 32 rows.
#[inline(always)]
pub(crate) fn settle_group(
    sieve: &Sieve,
    items: &Scaled<'_>,
    rows: Rows<'_>,
    scores: &mut [f32],
) -> u32 {
    let (scales, norms) = match rows {
        Rows::Range { start, len } => {
            let own = start..start + len;
            (
                padded(&items.scales[own.clone()]),
                padded(&items.norms[own]),
            )
        }
        Rows::Ids(ids) => {
            let (mut scales, mut norms) = ([0.0; SIFT_ROWS], [0.0; SIFT_ROWS]);
            for ((scale, norm), &id) in scales.iter_mut().zip(&mut norms).zip(ids) {
                *scale = items.scales[id as usize];
                *norm = items.norms[id as usize];
            }
            (scales, norms)
        }
    };
    if let Some(scores) = scores.first_chunk_mut() {
        return settle(sieve, &scales, &norms, scores);
    }
    let mut all = padded(scores);
    let mask = settle(sieve, &scales, &norms, &mut all);
    scores.copy_from_slice(&all[..scores.len()]);
    mask & ((1 << scores.len()) - 1)
}

/// Rows `first` to `first + len` of some.
#[inline(always)]
pub(crate) fn part(rows: Rows<'_>, first: usize, len: usize) -> Rows<'_> {
    match rows {
        Rows::Range { start, .. } => Rows::Range {
            start: start + first,
            len,
        },
        Rows::Ids(ids) => Rows::Ids(&ids[first..][..len]),
    }
}

/// The places of scores as places of the sums they are made of.
#[inline(always)]
pub(crate) fn as_sums(scores: &mut [f32]) -> &mut [i32] {
    // SAFETY: i32 and f32 have one size and one alignment, and every bit pattern is a value of either; the
    // borrow of `scores` lasts as long as the result.
    unsafe { std::slice::from_raw_parts_mut(scores.as_mut_ptr().cast(), scores.len()) }
}

/// The kernel of an instruction set, from its `dot_i8_rows`.
macro_rules! sift_kernel {
    ($(#[$feature:meta])?) => {
        $(#[$feature])?
        fn sift_i8(
            q: &[i8],
            sieve: &crate::sift::Sieve,
            items: crate::sift::Scaled<'_>,
            rows: crate::Rows<'_>,
            scores: &mut [f32],
            masks: &mut [u32],
        ) {
            use crate::sift::{as_sums, part, settle_group, SIFT_ROWS};
            // Gathered rows at once: each list is a fresh start for prefetching, and waits at its end.
            let piece = match rows {
                crate::Rows::Range { .. } => SIFT_ROWS,
                crate::Rows::Ids(ids) => ids.len().max(1).next_multiple_of(SIFT_ROWS),
            };
            let mut first = 0;
            for (scores, masks) in scores.chunks_mut(piece).zip(masks.chunks_mut(piece / SIFT_ROWS)) {
                let own = part(rows, first, scores.len());
                dot_i8_rows(q, items.codes, own, as_sums(scores));
                for (scores, mask) in scores.chunks_mut(SIFT_ROWS).zip(masks) {
                    let own = part(rows, first, scores.len());
                    *mask = settle_group(sieve, &items, own, scores);
                    first += scores.len();
                }
            }
        }
    };
}
