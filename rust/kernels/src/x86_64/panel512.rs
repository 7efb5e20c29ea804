//! Panels with AVX-512 VNNI: four lines (64 rows) by six queries, 24 sums in registers.
//!
//! A step loads four lines and six words of queries for 24 `vpdpbusd`, so the loads (ten, two a cycle)
//! hide behind the products (two a cycle).

use crate::panel::{
    fold, scale, Coded, Form, Limit, Line, Panel, PanelQueries, LANES, PANEL_ROWS, PASS,
};
use core::arch::x86_64::*;

pub(super) const FORM: Form = Form::Bytes;

/// Lines of sixteen rows in a panel.
const LINES: usize = PANEL_ROWS / 16;

/// A 16 x 16 transpose of words, by 2 x 2, 4 x 4, then whole quarters of registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn transpose(r: [__m512i; 16]) -> [__m512i; 16] {
    let mut a = r;
    for i in 0..8 {
        a[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    // b[4 * g + c]: of rows 4g .. 4g + 3, column 4 * quarter + c in each quarter.
    let mut b = a;
    for g in 0..4 {
        b[4 * g] = _mm512_unpacklo_epi64(a[4 * g], a[4 * g + 2]);
        b[4 * g + 1] = _mm512_unpackhi_epi64(a[4 * g], a[4 * g + 2]);
        b[4 * g + 2] = _mm512_unpacklo_epi64(a[4 * g + 1], a[4 * g + 3]);
        b[4 * g + 3] = _mm512_unpackhi_epi64(a[4 * g + 1], a[4 * g + 3]);
    }
    let mut out = b;
    for c in 0..4 {
        let low01 = _mm512_shuffle_i32x4::<0b01_00_01_00>(b[c], b[4 + c]);
        let high01 = _mm512_shuffle_i32x4::<0b11_10_11_10>(b[c], b[4 + c]);
        let low23 = _mm512_shuffle_i32x4::<0b01_00_01_00>(b[8 + c], b[12 + c]);
        let high23 = _mm512_shuffle_i32x4::<0b11_10_11_10>(b[8 + c], b[12 + c]);
        out[c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(low01, low23);
        out[4 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(low01, low23);
        out[8 + c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(high01, high23);
        out[12 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(high01, high23);
    }
    out
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn pack(codes: &[i8], dim: usize, lines: &mut [Line]) {
    let bias = _mm512_set1_epi8(-128);
    for (sub, rows) in codes.chunks_exact(16 * dim).enumerate() {
        for start in (0..dim).step_by(64) {
            let width = (dim - start).min(64);
            let mask = u64::MAX >> (64 - width);
            let mut r = [_mm512_setzero_si512(); 16];
            for (r, row) in r.iter_mut().zip(rows.chunks_exact(dim)) {
                // SAFETY: a masked load reads the codes in the mask, which the row has from `start` on.
                let codes = unsafe { _mm512_maskz_loadu_epi8(mask, row.as_ptr().add(start)) };
                *r = _mm512_xor_si512(codes, bias);
            }
            let steps = lines[start / 4 * LINES..].chunks_exact_mut(LINES);
            for (step, column) in steps.zip(transpose(r)) {
                // SAFETY: a line has the 64 bytes the store writes.
                unsafe { _mm512_store_si512(step[sub].0.as_mut_ptr().cast(), column) };
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn load_line(line: &Line) -> __m512i {
    // SAFETY: a line has the 64 bytes the load reads, aligned.
    unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn load(x: &[f32; PANEL_ROWS], line: usize) -> __m512 {
    // SAFETY: the chunk has the 64 bytes the load reads.
    unsafe { _mm512_loadu_ps(x.as_chunks::<16>().0[line].as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn mask(dots: [__m512i; LINES], panel: &Panel, limit: &Limit) -> u64 {
    let set = |x| _mm512_set1_ps(x);
    let mut mask = 0;
    for (line, dots) in dots.into_iter().enumerate() {
        let (n, p) = (load(&panel.norm, line), load(&panel.residual, line));
        let square = _mm512_add_ps(set(limit.b), _mm512_mul_ps(n, set(limit.c)));
        let error = _mm512_add_ps(set(limit.a), _mm512_mul_ps(n, square));
        let dot = _mm512_mul_ps(_mm512_cvtepi32_ps(dots), load(&panel.factor, line));
        let upper = _mm512_add_ps(_mm512_mul_ps(dot, set(limit.scale)), error);
        let upper = _mm512_add_ps(upper, _mm512_mul_ps(set(limit.d), p));
        let kept = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(upper, set(limit.threshold));
        mask |= u64::from(kept) << (16 * line);
    }
    mask
}

/// Sums of `count` queries from `first` on, each handed to `take` with its place in that run.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn sums(
    panel: &Panel,
    queries: &PanelQueries,
    first: usize,
    count: usize,
    mut take: impl FnMut(usize, [__m512i; LINES]),
) {
    let steps = panel.steps();
    let lines = panel.lines.as_chunks::<LINES>().0;
    let mut q = 0;
    while q < count {
        // The sums are variables of their own with constant indices, because arrays under a loop stayed in
        // memory in some builds (three times slower), depending on the order of the compiler's passes.
        macro_rules! pass {
            ($n:literal, $($i:literal $acc:ident $word:ident),+) => {{
                $(
                    let start = _mm512_set1_epi32(queries.start[first + q + $i]);
                    let mut $acc = [start, start, start, start];
                    let $word = queries.words[(first + q + $i) * steps..][..lines.len()].as_ptr();
                )+
                for (s, step) in lines.iter().enumerate() {
                    let x = [load_line(&step[0]), load_line(&step[1]), load_line(&step[2]), load_line(&step[3])];
                    $(
                        // SAFETY: `s` is less than `lines.len()`, which the slice was cut to.
                        let word = _mm512_set1_epi32(unsafe { *$word.add(s) });
                        $acc[0] = _mm512_dpbusd_epi32($acc[0], x[0], word);
                        $acc[1] = _mm512_dpbusd_epi32($acc[1], x[1], word);
                        $acc[2] = _mm512_dpbusd_epi32($acc[2], x[2], word);
                        $acc[3] = _mm512_dpbusd_epi32($acc[3], x[3], word);
                    )+
                }
                $(take(q + $i, $acc);)+
                q += $n;
            }};
        }
        match count - q {
            PASS.. => pass!(6, 0 a0 w0, 1 a1 w1, 2 a2 w2, 3 a3 w3, 4 a4 w4, 5 a5 w5),
            5 => pass!(5, 0 a0 w0, 1 a1 w1, 2 a2 w2, 3 a3 w3, 4 a4 w4),
            4 => pass!(4, 0 a0 w0, 1 a1 w1, 2 a2 w2, 3 a3 w3),
            3 => pass!(3, 0 a0 w0, 1 a1 w1, 2 a2 w2),
            2 => pass!(2, 0 a0 w0, 1 a1 w1),
            _ => pass!(1, 0 a0 w0),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn reach(panel: &Panel, queries: &PanelQueries, limits: &[Limit], masks: &mut [u64]) {
    sums(panel, queries, 0, limits.len(), |q, dots| {
        masks[q] = mask(dots, panel, &limits[q]);
    });
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn dots(
    panel: &Panel,
    queries: &PanelQueries,
    first: usize,
    out: &mut [[i32; PANEL_ROWS]],
) {
    sums(panel, queries, first, out.len(), |q, dots| {
        for (to, dots) in out[q].as_chunks_mut::<16>().0.iter_mut().zip(dots) {
            // SAFETY: the chunk has the 64 bytes the store writes.
            unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), dots) };
        }
    });
}

bounds_kernels!(
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
);

/// Sixteen f32 from element `start` on, and which of them `x` has; the others are zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn sixteen(x: &[f32], start: usize) -> (__m512, u16) {
    let rest = &x[start..];
    let mask = ((1u32 << rest.len().min(16)) - 1) as u16;
    // SAFETY: a masked load reads the elements in the mask, and `rest` has these.
    (unsafe { _mm512_maskz_loadu_ps(mask, rest.as_ptr()) }, mask)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn whole(x: &[f32; 16]) -> __m512 {
    // SAFETY: the array has the 64 bytes the load reads.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

/// The codes of sixteen elements as words; what rounding took away is added to `sum`, squared.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn step(x: __m512, inverse: __m512, scale: __m512, sum: &mut __m512) -> __m512i {
    let words = _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse));
    let rest = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(words), scale, x);
    *sum = _mm512_fmadd_ps(rest, rest, *sum);
    words
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn quantise(x: &[f32], codes: &mut [i8]) -> Coded {
    let blocks = x.as_chunks::<16>().0;
    let tail = x.len() - x.len() % 16;
    // Two maxima, because one would wait for itself.
    let mut largest = [_mm512_setzero_si512(); 2];
    let (pairs, odd) = blocks.as_chunks::<2>();
    for pair in pairs {
        for (largest, x) in largest.iter_mut().zip(pair) {
            let bits = _mm512_castps_si512(_mm512_abs_ps(whole(x)));
            *largest = _mm512_max_epu32(*largest, bits);
        }
    }
    if let [x] = odd {
        let bits = _mm512_castps_si512(_mm512_abs_ps(whole(x)));
        largest[0] = _mm512_max_epu32(largest[0], bits);
    }
    let last = sixteen(x, tail);
    let bits = _mm512_castps_si512(_mm512_abs_ps(last.0));
    let largest = _mm512_max_epu32(largest[0], _mm512_max_epu32(largest[1], bits));
    let (scale, inverse) = match scale(f32::from_bits(_mm512_reduce_max_epu32(largest))) {
        Ok(both) => both,
        Err(none) => {
            codes.fill(0);
            return none;
        }
    };
    let (scale_16, inverse_16) = (_mm512_set1_ps(scale), _mm512_set1_ps(inverse));
    let mut sum = _mm512_setzero_ps();
    // Packing works on quarters of registers, and leaves the words of four elements in this order. A narrowing
    // conversion to memory (`vpmovdb`) takes some 20 cycles on Zen 4.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let (fours, rest) = blocks.as_chunks::<4>();
    let to = codes.as_chunks_mut::<64>().0;
    for (four, to) in fours.iter().zip(to) {
        let mut words = [_mm512_setzero_si512(); 4];
        for (words, x) in words.iter_mut().zip(four) {
            *words = step(whole(x), inverse_16, scale_16, &mut sum);
        }
        let low = _mm512_packs_epi32(words[0], words[1]);
        let high = _mm512_packs_epi32(words[2], words[3]);
        let bytes = _mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high));
        // SAFETY: the chunk has the 64 bytes the store writes.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), bytes) };
    }
    let mut at = fours.len() * 64;
    for x in rest {
        let words = step(whole(x), inverse_16, scale_16, &mut sum);
        let mut bytes = [0i8; 16];
        // SAFETY: the array has the 16 bytes the store writes.
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(words)) };
        codes[at..at + 16].copy_from_slice(&bytes);
        at += 16;
    }
    if tail < x.len() {
        let (x, mask) = last;
        let words = step(x, inverse_16, scale_16, &mut sum);
        let to = &mut codes[tail..];
        debug_assert!(mask.count_ones() as usize <= to.len());
        // SAFETY: a masked store writes the elements in the mask, which `codes`, being as long as
        // `x`, has from `tail` on.
        unsafe { _mm_mask_storeu_epi8(to.as_mut_ptr(), mask, _mm512_cvtepi32_epi8(words)) };
    }
    let mut sums = [0.0f32; LANES];
    // SAFETY: the array has the 64 bytes the store writes.
    unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), sum) };
    Coded {
        scale,
        residual2: fold(sums),
    }
}
