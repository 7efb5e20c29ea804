//! The safe face of a dispatch row: every length is checked here, once, before the pointer is called.

use crate::{Kernels, Matrix, Rows};

/// Most dimensions an int8 dot product may have: beyond, `128 * 128 * dim` could leave `i32`.
pub const MAX_DIM_DOT_I8: usize = (i32::MAX / (128 * 128)) as usize;

/// Most dimensions an int8 squared distance may have: beyond, `255 * 255 * dim` could leave `i32`.
pub const MAX_DIM_L2_I8: usize = (i32::MAX / (255 * 255)) as usize;

/// Most dimensions of a FastScan code: its sums stay exact as f32.
pub const MAX_DIM_FASTSCAN: usize = 1 << 20;

#[inline(always)]
fn check_pair(kernel: &str, query: usize, row: usize, max: usize) {
    if query != row || query > max {
        bad_pair(kernel, query, row, max);
    }
}

#[cold]
#[inline(never)]
fn bad_pair(kernel: &str, query: usize, row: usize, max: usize) -> ! {
    assert!(
        query == row,
        "{kernel}: vectors must have one length; got {query} and {row}"
    );
    panic!("{kernel}: at most {max} dimensions fit an i32 sum; got {query}")
}

pub(crate) fn check_rows<T>(
    kernel: &str,
    query: usize,
    m: &Matrix<'_, T>,
    rows: Rows<'_>,
    out: usize,
    max: usize,
) {
    assert!(
        query == m.dim(),
        "{kernel}: query must have the matrix's dim {}; got {query}",
        m.dim()
    );
    assert!(
        query <= max,
        "{kernel}: at most {max} dimensions fit an i32 sum; got {query}"
    );
    assert!(
        out == rows.len(),
        "{kernel}: out must have one place per row, {}; got {out}",
        rows.len()
    );
    if let Rows::Range { start, len } = rows {
        assert!(
            start.checked_add(len).is_some_and(|end| end <= m.rows()),
            "{kernel}: rows {start} to {start} + {len} are out of bounds for a matrix of {} rows",
            m.rows()
        );
    }
}

/// A kernel on one query and one row.
macro_rules! pair {
    ($(#[$doc:meta])* $name:ident($q:ty, $x:ty) -> $out:ty, max = $max:expr) => {
        $(#[$doc])*
        ///
        /// # Panics
        /// If the lengths differ, or are more than the kernel can sum.
        #[inline]
        pub fn $name(&self, q: &[$q], x: &[$x]) -> $out {
            check_pair(stringify!($name), q.len(), x.len(), $max);
            // SAFETY: the CPU has the features of this row, or it would not have been handed out.
            unsafe { (self.$name)(q, x) }
        }
    };
}

/// A kernel on one query and many rows.
macro_rules! many {
    ($(#[$doc:meta])* $name:ident($q:ty, $x:ty) -> $out:ty, max = $max:expr) => {
        $(#[$doc])*
        ///
        /// # Panics
        /// If `q` is not as long as a row, `out` not as long as `rows`, or a row is out of bounds.
        pub fn $name(&self, q: &[$q], m: Matrix<'_, $x>, rows: Rows<'_>, out: &mut [$out]) {
            check_rows(stringify!($name), q.len(), &m, rows, out.len(), $max);
            // SAFETY: the CPU has the features of this row, or it would not have been handed out.
            unsafe { (self.$name)(q, m, rows, out) }
        }
    };
}

impl Kernels {
    pair!(
        /// Dot product.
        dot_f32(f32, f32) -> f32, max = usize::MAX
    );
    pair!(
        /// Squared Euclidean distance.
        l2_f32(f32, f32) -> f32, max = usize::MAX
    );
    pair!(
        /// Dot product of an f32 query and an f16 row.
        dot_f16(f32, u16) -> f32, max = usize::MAX
    );
    pair!(
        /// Squared Euclidean distance of an f32 query and an f16 row.
        l2_f16(f32, u16) -> f32, max = usize::MAX
    );
    pair!(
        /// Exact dot product of int8 codes, for rows with codes in `[-127, 127]`.
        ///
        /// The query may hold -128: the AVX2 kernel multiplies `|q|`, taken as unsigned, by `x` with
        /// the sign of `q`. `|-128|` is representable there, but negating an `x` of -128 is not.
        /// With a -128 in `x` the answer is unspecified (and may differ between instruction sets);
        /// use [`Kernels::dot_i8_any`] where that can happen.
        /// At most [`MAX_DIM_DOT_I8`] dimensions.
        dot_i8(i8, i8) -> i32, max = MAX_DIM_DOT_I8
    );
    pair!(
        /// Exact dot product of any int8 codes, -128 included. At most [`MAX_DIM_DOT_I8`] dimensions.
        dot_i8_any(i8, i8) -> i32, max = MAX_DIM_DOT_I8
    );
    pair!(
        /// Exact squared distance of any int8 codes. At most [`MAX_DIM_L2_I8`] dimensions.
        l2_i8(i8, i8) -> i32, max = MAX_DIM_L2_I8
    );
    pair!(
        /// Dot product of an f32 query and int8 codes (any codes; multiply by the row's scale after).
        dot_f32_i8(f32, i8) -> f32, max = usize::MAX
    );

    /// Squared Euclidean distance of an f32 query and the row `scale * x`, `scale` being finite.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    pub fn l2_f32_i8(&self, q: &[f32], scale: f32, x: &[i8]) -> f32 {
        check_pair("l2_f32_i8", q.len(), x.len(), usize::MAX);
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        unsafe { (self.l2_f32_i8)(q, scale, x) }
    }

    many!(
        /// [`Kernels::dot_f32`] of one query with many rows.
        dot_f32_rows(f32, f32) -> f32, max = usize::MAX
    );
    many!(
        /// [`Kernels::l2_f32`] of one query with many rows.
        l2_f32_rows(f32, f32) -> f32, max = usize::MAX
    );
    many!(
        /// [`Kernels::dot_f16`] of one query with many rows.
        dot_f16_rows(f32, u16) -> f32, max = usize::MAX
    );
    many!(
        /// [`Kernels::l2_f16`] of one query with many rows.
        l2_f16_rows(f32, u16) -> f32, max = usize::MAX
    );
    many!(
        /// [`Kernels::dot_i8`] of one query with many rows; the same limit on the rows' codes.
        dot_i8_rows(i8, i8) -> i32, max = MAX_DIM_DOT_I8
    );
    many!(
        /// [`Kernels::dot_i8_any`] of one query with many rows.
        dot_i8_any_rows(i8, i8) -> i32, max = MAX_DIM_DOT_I8
    );
    many!(
        /// [`Kernels::l2_i8`] of one query with many rows.
        l2_i8_rows(i8, i8) -> i32, max = MAX_DIM_L2_I8
    );
    many!(
        /// [`Kernels::dot_f32_i8`] of one query with many rows.
        dot_f32_i8_rows(f32, i8) -> f32, max = usize::MAX
    );

    /// [`Kernels::l2_f32_i8`] of one query with many rows; `scales` has one scale per row of `m`.
    ///
    /// # Panics
    /// If `q` is not as long as a row, `out` not as long as `rows`, `scales` not as long as the
    /// matrix has rows, or a row is out of bounds.
    pub fn l2_f32_i8_rows(
        &self,
        q: &[f32],
        scales: &[f32],
        m: Matrix<'_, i8>,
        rows: Rows<'_>,
        out: &mut [f32],
    ) {
        check_rows("l2_f32_i8_rows", q.len(), &m, rows, out.len(), usize::MAX);
        assert!(
            scales.len() == m.rows(),
            "l2_f32_i8_rows: scales must have one entry per matrix row, {}; got {}",
            m.rows(),
            scales.len()
        );
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        unsafe { (self.l2_f32_i8_rows)(q, scales, m, rows, out) }
    }

    /// Round to f16: to nearest, ties to even, with subnormals and infinities; a NaN keeps its sign
    /// and the top of its payload and becomes quiet.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn f32_to_f16(&self, src: &[f32], dst: &mut [u16]) {
        check_pair("f32_to_f16", src.len(), dst.len(), usize::MAX);
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        unsafe { (self.f32_to_f16)(src, dst) }
    }

    /// Widen f16 to f32, exactly; a NaN keeps its sign and payload and becomes quiet.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn f16_to_f32(&self, src: &[u16], dst: &mut [f32]) {
        check_pair("f16_to_f32", src.len(), dst.len(), usize::MAX);
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        unsafe { (self.f16_to_f32)(src, dst) }
    }
}
