//! Panels: 64 rows of int8 codes, transposed, that many queries pass over.
//!
//! A kernel on one query and one row ends in a reduction across a register, which at 128 codes costs
//! more than the products. In a panel each lane of a register belongs to one row, so there is nothing
//! to reduce, and a register of the panel is loaded once for several queries. What comes out is not a
//! score but a bit per row: whether the row's *upper bound* reaches the query's threshold (or the sums
//! themselves, from `dots`). The caller
//! scores the few rows that do in the canonical order, so no result depends on a panel.
//!
//! The bound is `((dot * factor) * scale) + (a + norm * (b + norm * c)) + d * residual`: `factor`,
//! `norm` and `residual` belong to the row, the rest to the query (see [`Limit`]). It holds for the
//! inner product, the cosine and the negated squared distance alike, and a bound that is NaN reaches
//! every threshold.
//!
//! Two forms of a panel. With VNNI, four codes with their top bit flipped (`x + 128`, unsigned) lie
//! side by side, as `vpdpbusd` wants them, and the sums start at `-128 sum q`. Elsewhere two codes lie
//! side by side as i16, for `vpmaddwd`: exact for all codes, and with AVX2 one multiplication where
//! products of bytes take three instructions. Both are words of 32 bits, `SUB` rows after one another.
//!
//! Time of a row and query with 384 codes in cache: 1.1 ns with VNNI (350 products a ns), 5.0 with AVX2,
//! where the kernels on one query take 7 and more; making a panel costs 10 and 20 ns a row, rounding a row
//! of floats to codes 77 and 143.

use crate::Kernels;

/// Rows in a panel.
pub const PANEL_ROWS: usize = 64;

/// Queries that one pass over a panel serves.
pub(crate) const PASS: usize = 6;

/// A cache line of words.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [i32; 16]);

/// How the rows of a panel become upper bounds for one query; see the module.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limit {
    /// Multiplies the integer dot product.
    pub scale: f32,
    /// The part of the bound that is the same for all rows.
    pub a: f32,
    /// The part that grows with the row's norm.
    pub b: f32,
    /// The part that grows with the square of the row's norm.
    pub c: f32,
    /// The part that grows with the row's residual.
    pub d: f32,
    /// Rows whose bound is below are left out.
    pub threshold: f32,
}

/// Sixty-four rows, transposed, with the numbers their bounds are made of.
#[derive(Clone, Debug)]
pub struct Panel {
    dim: usize,
    form: Form,
    pub(crate) lines: Vec<Line>,
    /// Multiplies a row's integer dot product.
    pub factor: [f32; PANEL_ROWS],
    /// A row's norm.
    pub norm: [f32; PANEL_ROWS],
    /// How far a row is from its codes.
    pub residual: [f32; PANEL_ROWS],
}

/// Queries as panels want them.
#[derive(Clone, Debug)]
pub struct PanelQueries {
    dim: usize,
    form: Form,
    count: usize,
    pub(crate) words: Vec<i32>,
    /// What a query's sums start at.
    pub(crate) start: Vec<i32>,
}

/// How codes lie in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Four bytes; rows biased by 128; sixteen rows a line, the lines of 64 rows side by side.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Bytes,
    /// Two i16; sixteen rows a line, the lines of sixteen rows one after the other.
    Halves,
}

impl Form {
    fn codes(self) -> usize {
        match self {
            Form::Bytes => 4,
            Form::Halves => 2,
        }
    }

    fn steps(self, dim: usize) -> usize {
        dim.div_ceil(self.codes())
    }
}

pub(crate) type Pack = unsafe fn(codes: &[i8], dim: usize, lines: &mut [Line]);
pub(crate) type Reach = unsafe fn(&Panel, &PanelQueries, &[Limit], &mut [u64]);
pub(crate) type Dots = unsafe fn(&Panel, &PanelQueries, usize, &mut [[i32; PANEL_ROWS]]);
pub(crate) type Quantise = unsafe fn(&[f32], &mut [i8]) -> Coded;

/// What became of a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coded {
    /// The largest absolute component over 127; infinite or NaN where a component is.
    pub scale: f32,
    /// The sum of the squares of what rounding took away, itself a rounded sum.
    pub residual2: f32,
}

impl Panel {
    /// A panel of zeros.
    pub fn new(kernels: &Kernels, dim: usize) -> Self {
        let form = kernels.form;
        Panel {
            dim,
            form,
            lines: vec![Line([0; 16]); form.steps(dim) * (PANEL_ROWS / 16)],
            factor: [0.0; PANEL_ROWS],
            norm: [0.0; PANEL_ROWS],
            residual: [0.0; PANEL_ROWS],
        }
    }

    /// Words of a row.
    pub(crate) fn steps(&self) -> usize {
        self.form.steps(self.dim)
    }
}

impl PanelQueries {
    /// Takes `codes`, one query of `dim` after the other.
    ///
    /// # Panics
    /// If `dim` is zero or more than [`crate::MAX_DIM_DOT_I8`], or `codes` not whole queries.
    pub fn new(kernels: &Kernels, codes: &[i8], dim: usize) -> Self {
        assert!(
            dim > 0 && dim <= crate::MAX_DIM_DOT_I8 && codes.len().is_multiple_of(dim),
            "PanelQueries: codes must be whole queries of 1 to {} dimensions; got {} of {dim}",
            crate::MAX_DIM_DOT_I8,
            codes.len()
        );
        let form = kernels.form;
        let mut queries = PanelQueries {
            dim,
            form,
            count: 0,
            words: Vec::with_capacity(codes.len() / dim * form.steps(dim)),
            start: Vec::with_capacity(codes.len() / dim),
        };
        codes.chunks_exact(dim).for_each(|q| queries.push(q));
        queries
    }

    /// Takes one more.
    ///
    /// # Panics
    /// If it has other dimensions.
    pub fn push(&mut self, codes: &[i8]) {
        assert!(
            codes.len() == self.dim,
            "PanelQueries: a query must have {} dimensions; got {}",
            self.dim,
            codes.len()
        );
        match self.form {
            Form::Bytes => {
                // Four whole codes are a word as they lie there.
                let (words, rest) = codes.as_chunks::<4>();
                let word = |four: &[i8; 4]| i32::from_le_bytes(four.map(|code| code as u8));
                self.words.extend(words.iter().map(word));
                self.words
                    .extend(rest.chunks(4).map(|rest| bytes_word(rest, 0)));
            }
            Form::Halves => {
                let (words, rest) = codes.as_chunks::<2>();
                let word =
                    |[low, high]: &[i8; 2]| (i32::from(*low) & 0xffff) | i32::from(*high) << 16;
                self.words.extend(words.iter().map(word));
                self.words.extend(rest.chunks(2).map(halves_word));
            }
        }
        self.start.push(match self.form {
            Form::Bytes => -128 * codes.iter().map(|&code| i32::from(code)).sum::<i32>(),
            Form::Halves => 0,
        });
        self.count += 1;
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

fn bytes_word(codes: &[i8], bias: u8) -> i32 {
    let mut word = [bias; 4];
    for (to, from) in word.iter_mut().zip(codes) {
        *to = *from as u8 ^ bias;
    }
    i32::from_le_bytes(word)
}

fn halves_word(codes: &[i8]) -> i32 {
    let half = |i: usize| codes.get(i).map_or(0, |&code| i32::from(code));
    (half(0) & 0xffff) | half(1) << 16
}

impl Kernels {
    /// Makes a panel of 64 rows of codes, which lie one after the other. Rows that there are not are
    /// left to the caller to ignore: any codes will do.
    ///
    /// # Panics
    /// If `codes` is not 64 rows of the panel's dimensions, or the panel was made for another row of
    /// the dispatch table.
    pub fn pack(&self, codes: &[i8], panel: &mut Panel) {
        assert!(
            codes.len() == PANEL_ROWS * panel.dim && panel.form == self.form,
            "pack: codes must be {PANEL_ROWS} rows of {}; got {} codes",
            panel.dim,
            codes.len()
        );
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        unsafe { (self.pack)(codes, panel.dim, &mut panel.lines) }
    }

    /// For each query the rows of the panel (bit `r` for row `r`) whose bound reaches its threshold.
    ///
    /// # Panics
    /// If there is not one limit and one mask a query, or panel and queries differ in dimensions or
    /// were made for another row of the dispatch table.
    pub fn reach(
        &self,
        panel: &Panel,
        queries: &PanelQueries,
        limits: &[Limit],
        masks: &mut [u64],
    ) {
        assert!(
            limits.len() == queries.count && masks.len() == queries.count,
            "reach: {} queries need as many limits and masks; got {} and {}",
            queries.count,
            limits.len(),
            masks.len()
        );
        assert!(
            panel.dim == queries.dim && panel.form == self.form && queries.form == self.form,
            "reach: panel and queries must have one dim and one form; got dims {} and {}",
            panel.dim,
            queries.dim
        );
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        unsafe { (self.reach)(panel, queries, limits, masks) }
    }

    /// The integer dot products of the panel's rows with the queries from `first` on, one for each of `out`.
    ///
    /// # Panics
    /// If there are fewer queries, or panel and queries differ in dimensions or were made for another row
    /// of the dispatch table.
    pub fn dots(
        &self,
        panel: &Panel,
        queries: &PanelQueries,
        first: usize,
        out: &mut [[i32; PANEL_ROWS]],
    ) {
        self.check(panel, queries, first, out.len());
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        unsafe { (self.dots)(panel, queries, first, out) }
    }

    pub(crate) fn check(&self, panel: &Panel, queries: &PanelQueries, first: usize, count: usize) {
        assert!(
            first <= queries.count && count <= queries.count - first,
            "panels: there are {} queries; got {count} from {first} on",
            queries.count
        );
        assert!(
            panel.dim == queries.dim && panel.form == self.form && queries.form == self.form,
            "panels: panel and queries must have one dim and one form; got dims {} and {}",
            panel.dim,
            queries.dim
        );
    }

    /// Rounds a vector to int8 codes in `[-127, 127]`, to nearest.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn quantise(&self, x: &[f32], codes: &mut [i8]) -> Coded {
        assert!(
            x.len() == codes.len(),
            "quantise: vectors must have one length; got {} and {}",
            x.len(),
            codes.len()
        );
        // SAFETY: the CPU has the features of this row, or it would not have been handed out.
        unsafe { (self.quantise)(x, codes) }
    }
}

/// Lanes that the residual of a vector is summed in.
pub(crate) const LANES: usize = 16;

/// The lanes' sum, folded by halves.
#[inline(always)]
pub(crate) fn fold(mut lanes: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}

/// The scale for a largest absolute component and its inverse, or what is to be said of a vector that
/// has none: below 2^-97 products would round away what they are to measure.
#[inline(always)]
pub(crate) fn scale(largest: f32) -> Result<(f32, f32), Coded> {
    let scale = largest / 127.0;
    if scale.is_finite() && largest >= 1e-29 {
        return Ok((scale, 127.0 / largest));
    }
    Err(Coded {
        scale: if largest == 0.0 { 0.0 } else { f32::NAN },
        residual2: 0.0,
    })
}

/// The oracle, and what runs where no faster form was written.
pub(crate) mod portable {
    use super::*;

    /// In hardware where the compiler knows that there is such an instruction.
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        if cfg!(target_arch = "aarch64") {
            a.mul_add(b, c)
        } else {
            crate::fused::fma(a, b, c)
        }
    }

    pub(crate) const FORM: Form = Form::Halves;

    pub(crate) fn pack(codes: &[i8], dim: usize, lines: &mut [Line]) {
        let steps = FORM.steps(dim);
        for (r, row) in codes.chunks_exact(dim).enumerate() {
            let (sub, lane) = (r / 16, r % 16);
            for (line, codes) in lines[sub * steps..].iter_mut().zip(row.chunks(2)) {
                line.0[lane] = halves_word(codes);
            }
        }
    }

    pub(crate) fn quantise(x: &[f32], codes: &mut [i8]) -> Coded {
        // As integers absolute values keep their order, with infinity and NaN on top.
        let bits = |x: &f32| x.to_bits() & 0x7fff_ffff;
        let (scale, inverse) = match scale(f32::from_bits(x.iter().map(bits).fold(0, u32::max))) {
            Ok(both) => both,
            Err(none) => {
                codes.fill(0);
                return none;
            }
        };
        let mut sums = [0.0f32; LANES];
        for (x, codes) in x.chunks(LANES).zip(codes.chunks_mut(LANES)) {
            for ((x, code), sum) in x.iter().zip(codes).zip(&mut sums) {
                // At most 127 * (1 + 2^-22) in size, so it rounds into [-127, 127].
                let whole = (x * inverse).round_ties_even();
                *code = whole as i8;
                let rest = fma(-whole, scale, *x);
                *sum = fma(rest, rest, *sum);
            }
        }
        Coded {
            scale,
            residual2: fold(sums),
        }
    }

    pub(crate) fn reach(
        panel: &Panel,
        queries: &PanelQueries,
        limits: &[Limit],
        masks: &mut [u64],
    ) {
        let mut dots = [[0i32; PANEL_ROWS]; 1];
        for (q, (limit, mask)) in limits.iter().zip(masks.iter_mut()).enumerate() {
            self::dots(panel, queries, q, &mut dots);
            *mask = 0;
            for (r, &dot) in dots[0].iter().enumerate() {
                let (factor, n, p) = (panel.factor[r], panel.norm[r], panel.residual[r]);
                let error = limit.a + n * (limit.b + n * limit.c);
                let upper = (dot as f32 * factor) * limit.scale + error + limit.d * p;
                *mask |= u64::from(upper >= limit.threshold || upper.is_nan()) << r;
            }
        }
    }

    pub(crate) fn dots(
        panel: &Panel,
        queries: &PanelQueries,
        first: usize,
        out: &mut [[i32; PANEL_ROWS]],
    ) {
        let steps = panel.steps();
        let queries = queries.words.chunks_exact(steps).skip(first);
        for (words, out) in queries.zip(out) {
            let rows = out.as_chunks_mut::<16>().0;
            for (lines, dots) in panel.lines.chunks_exact(steps).zip(rows) {
                *dots = [0; 16];
                for (line, &q) in lines.iter().zip(words) {
                    for (dot, &x) in dots.iter_mut().zip(&line.0) {
                        *dot += (q as i16 as i32) * (x as i16 as i32) + (q >> 16) * (x >> 16);
                    }
                }
            }
        }
    }

    bounds_kernels!();
}
