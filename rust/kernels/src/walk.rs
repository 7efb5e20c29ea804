//! The one-query-many-rows kernels, built from an instruction set's `one` and `four`.
//!
//! A macro rather than a generic function over closures: the body has to be compiled under the
//! `#[target_feature]` of its instruction set for the inner loops to be inlined into it.
//!
//! An instruction set offers each kernel as a module with two functions, `one(query, row)` and
//! `four(query, [row; 4])`. Four rows share the end of the reduction, which at 64 dimensions costs as
//! much as the products: the same additions, on transposed registers. Their inner loops run one after
//! the other. Walking four rows in step, to load the query once, was tried and is slower (AVX-512, Zen
//! 4): 10 ns a row instead of 4 at 64 f32 in cache, 200 instead of 80 at 384 f32 from memory. Rows are
//! bounds-checked as they are visited, by [`Matrix::row`](crate::Matrix::row).

/// The two loops: a range, and gathered rows with prefetching.
macro_rules! walk {
    ($m:ident, $rows:ident, $out:ident, |$i:ident| $one:expr, |$j:ident| $four:expr) => {
        match $rows {
            crate::Rows::Range { start, .. } => {
                let (quads, rest) = $out.as_chunks_mut::<4>();
                let mut next = start;
                for out in quads {
                    $m.prefetch_stream(next);
                    let $j = [next, next + 1, next + 2, next + 3];
                    *out = $four;
                    next += 4;
                }
                for out in rest {
                    let $i = next;
                    *out = $one;
                    next += 1;
                }
            }
            crate::Rows::Ids(ids) => {
                let ahead = $m.prefetch_distance();
                let (quads, rest) = $out.as_chunks_mut::<4>();
                let (id_quads, id_rest) = ids.as_chunks::<4>();
                let (first, coming) = ids.split_at(ids.len().min(ahead));
                for &id in first {
                    $m.prefetch(id as usize);
                }
                let mut coming = coming.iter();
                for (out, ids) in quads.iter_mut().zip(id_quads) {
                    for &id in coming.by_ref().take(4) {
                        $m.prefetch(id as usize);
                    }
                    let $j = ids.map(|id| id as usize);
                    *out = $four;
                }
                for (out, &id) in rest.iter_mut().zip(id_rest) {
                    let $i = id as usize;
                    *out = $one;
                }
            }
        }
    };
}

/// One `*_rows` function.
macro_rules! rows_kernel {
    ($(#[$feature:meta])? $rows_name:ident = $name:ident($q:ty, $x:ty) -> $out:ty) => {
        $(#[$feature])?
        fn $rows_name(q: &[$q], m: crate::Matrix<'_, $x>, rows: crate::Rows<'_>, out: &mut [$out]) {
            walk!(m, rows, out,
                |i| $name::one(q, m.row(i)),
                |j| $name::four(q, [m.row(j[0]), m.row(j[1]), m.row(j[2]), m.row(j[3])])
            );
        }
    };
}

/// All `*_rows` functions of an instruction set and its row of the dispatch table.
///
/// The kernel modules (`dot_f32`, `l2_f32`, ...) and the two conversions must be in scope, as must
/// `FORM`, `pack`, `reach`, `dots`, `quantise` and those of `bounds`, the panel kernels. An instruction set whose integer products have
/// something to make of the query first brings `dot_i8_rows` and `dot_i8_any_rows` too, and says so.
macro_rules! dispatch_row {
    ($isa:expr $(, #[$feature:meta])?) => {
        rows_kernel!($(#[$feature])? dot_i8_rows = dot_i8(i8, i8) -> i32);
        rows_kernel!($(#[$feature])? dot_i8_any_rows = dot_i8_any(i8, i8) -> i32);
        dispatch_row!($isa, own dot_i8_rows $(, #[$feature])?);
    };
    ($isa:expr, own dot_i8_rows $(, #[$feature:meta])?) => {
        rows_kernel!($(#[$feature])? dot_f32_rows = dot_f32(f32, f32) -> f32);
        rows_kernel!($(#[$feature])? l2_f32_rows = l2_f32(f32, f32) -> f32);
        rows_kernel!($(#[$feature])? dot_f16_rows = dot_f16(f32, u16) -> f32);
        rows_kernel!($(#[$feature])? l2_f16_rows = l2_f16(f32, u16) -> f32);
        rows_kernel!($(#[$feature])? l2_i8_rows = l2_i8(i8, i8) -> i32);
        rows_kernel!($(#[$feature])? dot_f32_i8_rows = dot_f32_i8(f32, i8) -> f32);

        $(#[$feature])?
        fn l2_f32_i8_rows(
            q: &[f32],
            scales: &[f32],
            m: crate::Matrix<'_, i8>,
            rows: crate::Rows<'_>,
            out: &mut [f32],
        ) {
            walk!(m, rows, out,
                |i| {
                    // The row first: its message is the one to read if there is no such row.
                    let x = m.row(i);
                    l2_f32_i8::one(q, scales[i], x)
                },
                |j| {
                    let x = [m.row(j[0]), m.row(j[1]), m.row(j[2]), m.row(j[3])];
                    l2_f32_i8::four(q, [scales[j[0]], scales[j[1]], scales[j[2]], scales[j[3]]], x)
                }
            );
        }

        sift_kernel!($(#[$feature])?);

        pub(crate) static KERNELS: crate::Kernels = crate::Kernels {
            isa: $isa,
            dot_f32: dot_f32::one,
            l2_f32: l2_f32::one,
            dot_f16: dot_f16::one,
            l2_f16: l2_f16::one,
            dot_i8: dot_i8::one,
            dot_i8_any: dot_i8_any::one,
            l2_i8: l2_i8::one,
            dot_f32_i8: dot_f32_i8::one,
            l2_f32_i8: l2_f32_i8::one,
            dot_f32_rows,
            l2_f32_rows,
            dot_f16_rows,
            l2_f16_rows,
            dot_i8_rows,
            dot_i8_any_rows,
            l2_i8_rows,
            dot_f32_i8_rows,
            l2_f32_i8_rows,
            sift_i8,
            estimate,
            fill_table,
            hadamard,
            nibble_dots,
            f32_to_f16,
            f16_to_f32,
            form: FORM,
            pack,
            reach,
            dots,
            raise,
            spend,
            log_left,
            subtract,
            subtract_codes,
            quantise,
        };
    };
}
