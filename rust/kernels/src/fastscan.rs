//! FastScan over 1-bit codes: the scores of 32 neighbours from one table of 4-bit lookups.
//!
//! A code is the signs of a vector's components after a random rotation (RaBitQ, arXiv 2405.12497). Its
//! inner product with a query is a sum of the query's components with those signs; four signs make one
//! of sixteen sums, which a byte shuffle looks up for 16 (AVX2: 32, AVX-512: 64) codes at once (André et
//! al., "Quicker ADC", arXiv 1812.09162). A block holds 32 codes, so that a graph row's neighbours are
//! one pass (SymphonyQG, arXiv 2411.12229).
//!
//! Block layout: per group of four dimensions 16 bytes; byte `j` holds the four signs of code `j` in its
//! low half and of code `j + 16` in its high half, the first dimension in the lowest bit, 1 for plus.
//! Four groups are 64 bytes, so `dim` must be a multiple of 16.
//!
//! Table: entries are 6 bits. Four of them fit a byte, so lookups are added as bytes and widened once in
//! four, which halves the additions against 8 bits. The rounding is a fifteenth of the error that 1-bit
//! codes have at 384 dimensions.
//!
//! What a block's caller wants is not the sum but a score, so the kernel ends with it: with `S` the sum,
//! `score = fma(gain, fma(S, scale, shift), fma(slope, offset, base))`, all f32, each step rounded once,
//! the same on every instruction set; gain and offset are bf16, one pair a code.

use crate::{Kernels, MAX_DIM_FASTSCAN};

/// Codes in a block.
pub const BLOCK: usize = 32;

/// Largest entry of a table: four of them fit a byte.
const TOP: f32 = 63.0;

/// Groups whose entries a 16-bit sum can hold: 63 * 1,024 < 2^16.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(dead_code)
)]
pub(crate) const GROUPS_A_SUM: usize = 1024;

/// A query as sums of four signed components, in 6 bits.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// 16 entries a group of four dimensions; none above 63, which the kernels rely on.
    entries: Vec<u8>,
    /// `fma(S, scale, shift)` is the inner product of the query and signs whose entries sum to `S`.
    scale: f32,
    shift: f32,
}

impl Table {
    /// The table's dimensions.
    pub fn dim(&self) -> usize {
        self.entries.len() / 4
    }

    pub(crate) fn entries(&self) -> &[u8] {
        &self.entries
    }
}

/// The numbers of [`Kernels::estimate`] that a whole block shares.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// What every score starts from.
    pub base: f32,
    /// The factor of the offsets.
    pub slope: f32,
    /// Scores above it are marked in the returned mask.
    pub threshold: f32,
}

pub(crate) type Estimate =
    unsafe fn(&[u8], &[u8], &[u16; 2 * BLOCK], (f32, f32), Line, &mut [f32; BLOCK]) -> u32;
pub(crate) type Fill = unsafe fn(&[f32], &mut [u8]) -> (f32, f32);
pub(crate) type InPlace = unsafe fn(&mut [f32]);

impl Kernels {
    /// Makes the table of a (rotated) query.
    ///
    /// # Panics
    /// If the query's length is not a multiple of 16, or more than [`MAX_DIM_FASTSCAN`].
    pub fn fill_table(&self, query: &[f32], table: &mut Table) {
        assert!(
            query.len().is_multiple_of(16) && query.len() <= MAX_DIM_FASTSCAN,
            "fill_table: the query must have a multiple of 16 components, at most {MAX_DIM_FASTSCAN}; got {}",
            query.len()
        );
        table.entries.resize(query.len() * 4, 0);
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        (table.scale, table.shift) = unsafe { (self.fill_table)(query, &mut table.entries) };
    }

    /// Scores the 32 codes of a block; bit `j` of the result is set if score `j` exceeds the threshold.
    /// `factors` are 32 gains, then 32 offsets, in bf16.
    ///
    /// # Panics
    /// If the block is not as long as the table.
    pub fn estimate(
        &self,
        table: &Table,
        block: &[u8],
        factors: &[u16; 2 * BLOCK],
        line: Line,
        out: &mut [f32; BLOCK],
    ) -> u32 {
        let entries = table.entries();
        assert!(
            block.len() == entries.len(),
            "estimate: the block must have the table's {} bytes; got {}",
            entries.len(),
            block.len()
        );
        let of_sum = (table.scale, table.shift);
        // SAFETY: the CPU has the features of this row, or it would not have been handed out. The
        // lengths are equal and a multiple of 64; entries are at most 63 by construction.
        unsafe { (self.estimate)(entries, block, factors, of_sum, line, out) }
    }

    /// Hadamard transform in place, not scaled: additions and subtractions in a fixed order.
    ///
    /// # Panics
    /// If the length is not a power of two.
    pub fn hadamard(&self, x: &mut [f32]) {
        assert!(
            x.len().is_power_of_two(),
            "hadamard: the length must be a power of two; got {}",
            x.len()
        );
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        unsafe { (self.hadamard)(x) }
    }
}

/// Rounds to bf16, to nearest, ties to even; beyond its range to its largest number, NaN to zero.
pub fn f32_to_bf16(x: f32) -> u16 {
    if x.is_nan() {
        return 0;
    }
    let x = x.clamp(-3.389_531_4e38, 3.389_531_4e38);
    let bits = x.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// Widens bf16, exactly.
#[inline(always)]
pub fn bf16_to_f32(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

/// The body of `fill_table`, compiled once for each instruction set: no step depends on the width.
#[inline(always)]
pub(crate) fn fill(query: &[f32], entries: &mut [u8]) -> (f32, f32) {
    let mut reach = 0.0f32;
    for q in query.as_chunks::<4>().0 {
        let sum = (q[0].abs() + q[1].abs()) + (q[2].abs() + q[3].abs());
        reach = if sum > reach { sum } else { reach };
    }
    // Too short to be told from zero, or not finite: all sums are taken for zero.
    if !(f32::MIN_POSITIVE * 64.0..=f32::MAX / 4.0).contains(&reach) {
        entries.fill(0);
        return (0.0, 0.0);
    }
    let step = 2.0 * reach / TOP;
    let inverse = TOP / (2.0 * reach);
    // At 2^23 and above the last bit of an f32 is 1: adding it rounds and leaves the integer in the low
    // bits. A cast would do the same one by one, because it has to see to NaN and overflow.
    const TO_INTEGER: f32 = 8_388_608.0;
    const SIGNS: [[f32; 16]; 4] = signs();
    for (q, entries) in query
        .as_chunks::<4>()
        .0
        .iter()
        .zip(entries.as_chunks_mut::<16>().0)
    {
        // Each step over all sixteen, so that it is one instruction or two.
        let low: [f32; 16] = std::array::from_fn(|i| q[0] * SIGNS[0][i] + q[1] * SIGNS[1][i]);
        let high: [f32; 16] = std::array::from_fn(|i| q[2] * SIGNS[2][i] + q[3] * SIGNS[3][i]);
        let scaled: [f32; 16] = std::array::from_fn(|i| (low[i] + high[i]) * inverse + TOP / 2.0);
        // From 0 to 63 (and what rounding adds), so the mask changes nothing; the kernels rely on it.
        *entries = scaled.map(|x| (x + TO_INTEGER).to_bits() as u8 & 63);
    }
    let groups = (query.len() / 4) as f32;
    (step, -reach * groups)
}

/// The sign of dimension `d` of four in entry `i`.
const fn signs() -> [[f32; 16]; 4] {
    let mut signs = [[-1.0; 16]; 4];
    let mut d = 0;
    while d < 4 {
        let mut i = 0;
        while i < 16 {
            if i >> d & 1 == 1 {
                signs[d][i] = 1.0;
            }
            i += 1;
        }
        d += 1;
    }
    signs
}

/// One level of a Hadamard transform within sixteen: partners are `HALF` apart.
#[inline(always)]
fn level<const HALF: usize>(x: &[f32; 16]) -> [f32; 16] {
    let partner: [f32; 16] = std::array::from_fn(|i| x[i ^ HALF]);
    std::array::from_fn(|i| partner[i] + if i & HALF == 0 { x[i] } else { -x[i] })
}

/// The body of `hadamard`. The first four levels stay within sixteen neighbours, in registers.
#[inline(always)]
pub(crate) fn transform(x: &mut [f32]) {
    let (sixteens, rest) = x.as_chunks_mut::<16>();
    let mut half = if rest.is_empty() { 16 } else { 1 };
    for x in sixteens {
        *x = level::<8>(&level::<4>(&level::<2>(&level::<1>(x))));
    }
    while half < x.len() {
        for pair in x.chunks_exact_mut(2 * half) {
            let (a, b) = pair.split_at_mut(half);
            for (a, b) in a.iter_mut().zip(b) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

/// The end of `estimate`, lane by lane.
#[inline(always)]
pub(crate) fn settle(
    sums: &[u32; BLOCK],
    factors: &[u16; 2 * BLOCK],
    (scale, shift): (f32, f32),
    line: Line,
    fma: impl Fn(f32, f32, f32) -> f32,
    out: &mut [f32; BLOCK],
) -> u32 {
    let mut mask = 0;
    for j in 0..BLOCK {
        let product = fma(sums[j] as f32, scale, shift);
        let start = fma(line.slope, bf16_to_f32(factors[BLOCK + j]), line.base);
        out[j] = fma(bf16_to_f32(factors[j]), product, start);
        mask |= u32::from(out[j] > line.threshold) << j;
    }
    mask
}

/// The plain form: the oracle.
pub(crate) mod plain {
    use super::{Line, BLOCK};

    pub(crate) fn estimate(
        entries: &[u8],
        block: &[u8],
        factors: &[u16; 2 * BLOCK],
        of_sum: (f32, f32),
        line: Line,
        out: &mut [f32; BLOCK],
    ) -> u32 {
        let mut sums = [0u32; BLOCK];
        for (entries, codes) in entries
            .as_chunks::<16>()
            .0
            .iter()
            .zip(block.as_chunks::<16>().0)
        {
            for j in 0..16 {
                sums[j] += u32::from(entries[usize::from(codes[j] & 15)]);
                sums[j + 16] += u32::from(entries[usize::from(codes[j] >> 4)]);
            }
        }
        super::settle(&sums, factors, of_sum, line, crate::fused::fma, out)
    }

    pub(crate) fn fill_table(query: &[f32], entries: &mut [u8]) -> (f32, f32) {
        super::fill(query, entries)
    }

    pub(crate) fn hadamard(x: &mut [f32]) {
        super::transform(x);
    }
}
