//! Rows of equal length in one slice, and which of them to visit.

/// A borrowed matrix: row `i` is `data[i * stride .. i * stride + dim]`.
///
/// The number of rows is computed once, so a row's bounds are one comparison, and no index
/// arithmetic on a valid row can overflow.
#[derive(Debug)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    dim: usize,
    stride: usize,
    rows: usize,
}

// Not derived: a derive would ask for `T: Copy`, which a borrow does not need.
impl<T> Clone for Matrix<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Matrix<'_, T> {}

// Prefetching of gathered rows, measured on Zen 4 (AVX-512, rows at random in 128 MiB, best of 9; none
// -> as below): 64 int8 36 -> 23 ns a row, 384 int8 82 -> 58, 64 f32 58 -> 46, 384 f32 215 -> 177.
// Further ahead was worse (64 int8 at 2 KiB: 29 ns), as were more lines (384 f32 at 16: 196 ns): both
// run out of miss buffers, and the hardware sees a row's stream after a few lines. Asking for the
// first rows of a list before the first is worked on is what makes lists of 32, as a graph has them,
// gain at all (64 int8: 34 -> 25 ns).

/// Most cache lines of one row to ask for.
const PREFETCH_LINES: usize = 4;
const LINE_BYTES: usize = 64;
/// How far ahead a loop over rows in order asks for its data, and into the second cache only. Fraction of the
/// read bandwidth of the same core and memory in the same run, 256 dimensions of i8:
///
/// - An Intel Xeon (AVX-512, pages of 4 KiB, 256 MB of i8 and 512 MB of f16, the whole exact scan), asking into
///   the first cache: not at all .75 and .78; 512 bytes ahead .85 and .90; 1024 .86 and .96; 2048 .84 and .79;
///   4096 .73 and .63. Further ahead more requests fall into a page whose address is not known yet, and wait
///   for it.
/// - Zen 4 (AVX-512 VNNI, huge pages, 128 MB, products alone): into the first cache .68 to .77 from 512 to 3072
///   bytes ahead, probably because it has fewer miss buffers than the memory could have lines under way; not
///   at all .95; into the second 1.02 to 1.07 from 512 to 3072. From 4096 on that falls too (.90, at 8192 .58).
///
/// Into the second cache has not been measured on Intel.
const STREAM_BYTES: usize = 1024;
/// How much data to keep under way when rows are gathered.
const PREFETCH_BYTES: usize = 1024;
/// Rows are worked on by four, so asking for the next four is the least that is ahead.
const LEAST_ROWS_AHEAD: usize = 4;

impl<'a, T> Matrix<'a, T> {
    /// A matrix over `data` with rows of `dim` elements, `stride` elements apart.
    ///
    /// It has as many rows as fit whole: `(data.len() - dim) / stride + 1`, or none if `data` is
    /// shorter than `dim`.
    ///
    /// # Panics
    /// If `stride` is zero or less than `dim`.
    pub fn new(data: &'a [T], dim: usize, stride: usize) -> Self {
        assert!(
            stride >= dim && stride > 0,
            "stride must be at least dim and not zero; got stride {stride} for dim {dim}"
        );
        let rows = match data.len().checked_sub(dim) {
            Some(slack) => slack / stride + 1,
            None => 0,
        };
        Self {
            data,
            dim,
            stride,
            rows,
        }
    }

    /// Number of whole rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements in a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Elements from the start of one row to the start of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The slice the matrix lies in.
    pub fn data(&self) -> &'a [T] {
        self.data
    }

    /// Row `index`.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline(always)]
    pub fn row(&self, index: usize) -> &'a [T] {
        if index >= self.rows {
            no_such_row(index, self.rows);
        }
        let start = index * self.stride;
        // SAFETY: rows <= (len - dim) / stride + 1, so index * stride <= len - dim: the product does
        // not overflow, and dim elements from there lie within `data`.
        unsafe { self.data.get_unchecked(start..start + self.dim) }
    }

    /// How many rows ahead of the one in work a gathering loop should prefetch.
    #[inline(always)]
    pub(crate) fn prefetch_distance(&self) -> usize {
        (PREFETCH_BYTES / (self.dim * size_of::<T>()).max(LINE_BYTES)).max(LEAST_ROWS_AHEAD)
    }

    /// Ask for what a loop over rows in order will read a little later than the four rows from `index` on.
    /// As many bytes are asked for as four rows have, up to a multiple of four lines.
    #[inline(always)]
    pub(crate) fn prefetch_stream(&self, index: usize) {
        let bytes = 4 * self.stride * size_of::<T>();
        let first = self.data.as_ptr().wrapping_add(index * self.stride);
        let first = first.cast::<u8>().wrapping_add(STREAM_BYTES);
        let mut offset = 0;
        // By four: with a loop around each line there are more instructions of the loop than requests.
        while offset < bytes {
            for line in 0..4 {
                prefetch_line_far(first.wrapping_add(offset + line * LINE_BYTES));
            }
            offset += 4 * LINE_BYTES;
        }
    }

    /// Ask for row `index` to be brought into the cache. Any `index` will do.
    #[inline(always)]
    pub(crate) fn prefetch(&self, index: usize) {
        if index < self.rows {
            let first = self
                .data
                .as_ptr()
                .wrapping_add(index * self.stride)
                .cast::<u8>();
            let bytes = (self.dim * size_of::<T>()).min(PREFETCH_LINES * LINE_BYTES);
            let mut offset = 0;
            while offset < bytes {
                prefetch_line(first.wrapping_add(offset));
                offset += LINE_BYTES;
            }
        }
    }
}

/// Asks for the cache lines of a slice that will be read soon. A hint: it changes nothing but speed.
#[inline]
pub fn prefetch<T>(items: &[T]) {
    let first = items.as_ptr().cast::<u8>();
    for offset in (0..std::mem::size_of_val(items)).step_by(64) {
        prefetch_line(first.wrapping_add(offset));
    }
}

/// The same, into the second cache only: for more lines than the first one's miss buffers take (10 to 16).
#[inline]
pub fn prefetch_far<T>(items: &[T]) {
    let first = items.as_ptr().cast::<u8>();
    for offset in (0..std::mem::size_of_val(items)).step_by(64) {
        prefetch_line_far(first.wrapping_add(offset));
    }
}

/// A hint only: it reads nothing and cannot fault, whatever the address.
#[inline(always)]
fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a prefetch does not access memory.
    unsafe {
        use core::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: PRFM does not access memory, and changes neither flags nor stack.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

/// The same, into the second cache only.
#[inline(always)]
fn prefetch_line_far(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a prefetch does not access memory.
    unsafe {
        use core::arch::x86_64::{_mm_prefetch, _MM_HINT_T1};
        _mm_prefetch::<_MM_HINT_T1>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: PRFM does not access memory, and changes neither flags nor stack.
    unsafe {
        core::arch::asm!("prfm pldl2keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

#[cold]
#[inline(never)]
fn no_such_row(index: usize, rows: usize) -> ! {
    panic!("row {index} is out of bounds for a matrix of {rows} rows")
}

/// Which rows of a [`Matrix`] a kernel visits, in order.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// `start`, `start + 1`, ..., `start + len - 1`.
    Range {
        /// First row.
        start: usize,
        /// Number of rows.
        len: usize,
    },
    /// The rows with these indices, in this order; repeats are fine.
    Ids(&'a [u32]),
}

impl Rows<'_> {
    /// Number of rows to visit.
    pub fn len(&self) -> usize {
        match self {
            Rows::Range { len, .. } => *len,
            Rows::Ids(ids) => ids.len(),
        }
    }

    /// Whether there is nothing to visit.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
