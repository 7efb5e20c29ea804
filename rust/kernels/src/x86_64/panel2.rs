//! Panels with AVX2: two registers (sixteen rows) by six queries, twelve sums in registers.
//!
//! Products of i16: `vpmaddwd` and an addition make 16 products, where bytes would need the sign of the
//! query carried over to each row (three instructions and an addition for 32). With AVX-512 but no
//! VNNI these are used as well.

use crate::panel::{
    fold, scale, Coded, Form, Limit, Line, Panel, PanelQueries, LANES, PANEL_ROWS, PASS,
};
use core::arch::x86_64::*;

pub(super) const FORM: Form = Form::Halves;

/// An 8 x 8 transpose of words.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn transpose(r: [__m256i; 8]) -> [__m256i; 8] {
    let mut a = r;
    for i in 0..4 {
        a[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        a[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    let mut b = a;
    for g in 0..2 {
        b[4 * g] = _mm256_unpacklo_epi64(a[4 * g], a[4 * g + 2]);
        b[4 * g + 1] = _mm256_unpackhi_epi64(a[4 * g], a[4 * g + 2]);
        b[4 * g + 2] = _mm256_unpacklo_epi64(a[4 * g + 1], a[4 * g + 3]);
        b[4 * g + 3] = _mm256_unpackhi_epi64(a[4 * g + 1], a[4 * g + 3]);
    }
    let mut out = b;
    for c in 0..4 {
        out[c] = _mm256_permute2x128_si256::<0x20>(b[c], b[4 + c]);
        out[4 + c] = _mm256_permute2x128_si256::<0x31>(b[c], b[4 + c]);
    }
    out
}

/// Sixteen codes from `start` on as i16; those the row does not have are zero.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widened(row: &[i8], start: usize) -> __m256i {
    let rest = &row[start..];
    let codes = match rest.first_chunk::<16>() {
        // SAFETY: the array has the 16 bytes the load reads.
        Some(codes) => unsafe { _mm_loadu_si128(codes.as_ptr().cast()) },
        None => {
            let [low, high] = crate::blocks::words(rest);
            _mm_set_epi64x(high as i64, low as i64)
        }
    };
    _mm256_cvtepi8_epi16(codes)
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn pack(codes: &[i8], dim: usize, lines: &mut [Line]) {
    let steps = dim.div_ceil(2);
    for (eight, rows) in codes.chunks_exact(8 * dim).enumerate() {
        let (sub, half) = (eight / 2, eight % 2);
        let lines = &mut lines[sub * steps..(sub + 1) * steps];
        for start in (0..dim).step_by(16) {
            let mut r = [_mm256_setzero_si256(); 8];
            for (r, row) in r.iter_mut().zip(rows.chunks_exact(dim)) {
                *r = widened(row, start);
            }
            for (line, column) in lines[start / 2..].iter_mut().zip(transpose(r)) {
                let eight = &mut line.0.as_chunks_mut::<8>().0[half];
                // SAFETY: the chunk has the 32 bytes the store writes.
                unsafe { _mm256_storeu_si256(eight.as_mut_ptr().cast(), column) };
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load(x: &[f32; PANEL_ROWS], eight: usize) -> __m256 {
    // SAFETY: the chunk has the 32 bytes the load reads.
    unsafe { _mm256_loadu_ps(x.as_chunks::<8>().0[eight].as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn mask(dots: [__m256i; 2], sub: usize, panel: &Panel, limit: &Limit) -> u64 {
    let set = |x| _mm256_set1_ps(x);
    let mut mask = 0;
    for (half, dots) in dots.into_iter().enumerate() {
        let eight = 2 * sub + half;
        let (n, p) = (load(&panel.norm, eight), load(&panel.residual, eight));
        let square = _mm256_add_ps(set(limit.b), _mm256_mul_ps(n, set(limit.c)));
        let error = _mm256_add_ps(set(limit.a), _mm256_mul_ps(n, square));
        let dot = _mm256_mul_ps(_mm256_cvtepi32_ps(dots), load(&panel.factor, eight));
        let upper = _mm256_add_ps(_mm256_mul_ps(dot, set(limit.scale)), error);
        let upper = _mm256_add_ps(upper, _mm256_mul_ps(set(limit.d), p));
        let kept = _mm256_cmp_ps::<_CMP_NLT_UQ>(upper, set(limit.threshold));
        mask |= u64::from(_mm256_movemask_ps(kept) as u32) << (8 * eight);
    }
    mask
}

/// Sums of `count` queries from `first` on over sixteen rows at a time, each handed to `take` with the place of
/// the sixteen and that of the query in its run.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sums(
    panel: &Panel,
    queries: &PanelQueries,
    first: usize,
    count: usize,
    mut take: impl FnMut(usize, usize, [__m256i; 2]),
) {
    let steps = panel.steps();
    for (sub, lines) in panel.lines.chunks_exact(steps).enumerate() {
        let mut q = 0;
        while q < count {
            // Sums as variables of their own: see `panel512.rs`.
            macro_rules! pass {
                ($n:literal, $($i:literal $acc:ident $word:ident),+) => {{
                    $(
                        let mut $acc = [_mm256_setzero_si256(), _mm256_setzero_si256()];
                        let $word = queries.words[(first + q + $i) * steps..][..lines.len()].as_ptr();
                    )+
                    for (s, line) in lines.iter().enumerate() {
                        // SAFETY: a line has the 64 bytes the two loads read, aligned.
                        let x = unsafe {
                            let first = line.0.as_ptr().cast::<__m256i>();
                            [_mm256_load_si256(first), _mm256_load_si256(first.add(1))]
                        };
                        $(
                            // SAFETY: `s` is less than `lines.len()`, which the slice was cut to.
                            let word = _mm256_set1_epi32(unsafe { *$word.add(s) });
                            $acc[0] = _mm256_add_epi32($acc[0], _mm256_madd_epi16(x[0], word));
                            $acc[1] = _mm256_add_epi32($acc[1], _mm256_madd_epi16(x[1], word));
                        )+
                    }
                    $(take(sub, q + $i, $acc);)+
                    q += $n;
                }};
            }
            match count - q {
                PASS.. => pass!(6, 0 a0 w0, 1 a1 w1, 2 a2 w2, 3 a3 w3, 4 a4 w4, 5 a5 w5),
                3..PASS => pass!(3, 0 a0 w0, 1 a1 w1, 2 a2 w2),
                2 => pass!(2, 0 a0 w0, 1 a1 w1),
                _ => pass!(1, 0 a0 w0),
            }
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn reach(panel: &Panel, queries: &PanelQueries, limits: &[Limit], masks: &mut [u64]) {
    masks.fill(0);
    sums(panel, queries, 0, limits.len(), |sub, q, dots| {
        masks[q] |= mask(dots, sub, panel, &limits[q]);
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn dots(
    panel: &Panel,
    queries: &PanelQueries,
    first: usize,
    out: &mut [[i32; PANEL_ROWS]],
) {
    sums(panel, queries, first, out.len(), |sub, q, dots| {
        let eights = out[q].as_chunks_mut::<8>().0;
        for (to, dots) in eights[2 * sub..].iter_mut().zip(dots) {
            // SAFETY: the chunk has the 32 bytes the store writes.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), dots) };
        }
    });
}

bounds_kernels!(
    #[target_feature(enable = "avx2,fma,f16c")]
);

/// Eight f32; those the slice does not have are zero.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn eight(x: &[f32]) -> __m256 {
    match x.first_chunk::<8>() {
        // SAFETY: the array has the 32 bytes the load reads.
        Some(x) => unsafe { _mm256_loadu_ps(x.as_ptr()) },
        None => {
            let [a, b, c, d] = crate::blocks::words(x);
            _mm256_castsi256_ps(_mm256_set_epi64x(d as i64, c as i64, b as i64, a as i64))
        }
    }
}

/// Sixteen f32 from element `start` on; those `x` does not have are zero.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sixteen(x: &[f32], start: usize) -> [__m256; 2] {
    let rest = &x[start..];
    [eight(rest), eight(&rest[rest.len().min(8)..])]
}

/// The codes of sixteen elements; what rounding took away is added to `sum`, squared.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn step(x: [__m256; 2], inverse: __m256, scale: __m256, sum: &mut [__m256; 2]) -> [i8; 16] {
    let mut words = [_mm256_setzero_si256(); 2];
    for i in 0..2 {
        words[i] = _mm256_cvtps_epi32(_mm256_mul_ps(x[i], inverse));
        let rest = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(words[i]), scale, x[i]);
        sum[i] = _mm256_fmadd_ps(rest, rest, sum[i]);
    }
    // Packing works on halves of registers, so the quarters come out as 0, 2, 1, 3.
    let halves = _mm256_packs_epi32(words[0], words[1]);
    let halves = _mm256_permute4x64_epi64::<0b11_01_10_00>(halves);
    let low = _mm256_castsi256_si128(halves);
    let bytes = _mm_packs_epi16(low, _mm256_extracti128_si256::<1>(halves));
    let mut codes = [0i8; 16];
    // SAFETY: the array has the 16 bytes the store writes.
    unsafe { _mm_storeu_si128(codes.as_mut_ptr().cast(), bytes) };
    codes
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn quantise(x: &[f32], codes: &mut [i8]) -> Coded {
    let size = _mm256_set1_epi32(0x7fff_ffff);
    let mut largest = [_mm256_setzero_si256(); 2];
    for start in (0..x.len()).step_by(16) {
        for (largest, x) in largest.iter_mut().zip(sixteen(x, start)) {
            let bits = _mm256_and_si256(_mm256_castps_si256(x), size);
            *largest = _mm256_max_epu32(*largest, bits);
        }
    }
    let mut lanes = [0u32; 8];
    // SAFETY: the array has the 32 bytes the store writes.
    unsafe {
        let both = _mm256_max_epu32(largest[0], largest[1]);
        _mm256_storeu_si256(lanes.as_mut_ptr().cast(), both);
    }
    let (scale, inverse) = match scale(f32::from_bits(lanes.into_iter().fold(0, u32::max))) {
        Ok(both) => both,
        Err(none) => {
            codes.fill(0);
            return none;
        }
    };
    let (scale_8, inverse_8) = (_mm256_set1_ps(scale), _mm256_set1_ps(inverse));
    let mut sum = [_mm256_setzero_ps(); 2];
    let (blocks, tail) = codes.as_chunks_mut::<16>();
    for (start, to) in (0..).step_by(16).zip(blocks) {
        *to = step(sixteen(x, start), inverse_8, scale_8, &mut sum);
    }
    let last = sixteen(x, x.len() - tail.len());
    let last = step(last, inverse_8, scale_8, &mut sum);
    tail.copy_from_slice(&last[..tail.len()]);
    let mut sums = [0.0f32; LANES];
    let (low, high) = sums.split_at_mut(8);
    // SAFETY: each half of the array has the 32 bytes a store writes.
    unsafe {
        _mm256_storeu_ps(low.as_mut_ptr(), sum[0]);
        _mm256_storeu_ps(high.as_mut_ptr(), sum[1]);
    }
    Coded {
        scale,
        residual2: fold(sums),
    }
}
