//! The many-rows kernels give what the pair kernels give, in order or gathered, at any stride, and
//! refuse every row that is not there.

mod common;

use common::{kernels, Random};
use perso_kernels::{Kernels, Matrix, Rows};
use proptest::prelude::*;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// A matrix of every element type with the same shape, and a query for it.
struct Data {
    dim: usize,
    stride: usize,
    rows: usize,
    q: Vec<f32>,
    q_codes: Vec<i8>,
    floats: Vec<f32>,
    halves: Vec<u16>,
    codes: Vec<i8>,
    scales: Vec<f32>,
}

impl Data {
    /// The last row has no gap behind it, so a read past its end leaves the allocation.
    fn new(dim: usize, gap: usize, rows: usize, seed: u64) -> Self {
        let stride = dim + gap;
        let len = if rows == 0 {
            0
        } else {
            (rows - 1) * stride + dim
        };
        let mut random = Random::new(seed);
        Self {
            dim,
            stride,
            rows,
            q: random.floats(dim),
            q_codes: random.bytes(dim),
            floats: random.floats(len),
            halves: random.halves(len),
            codes: random.codes(len),
            scales: (0..rows).map(|_| random.unit() / 100.0).collect(),
        }
    }

    fn matrix<'a, T>(&self, data: &'a [T]) -> Matrix<'a, T> {
        let m = Matrix::new(data, self.dim, self.stride);
        assert_eq!(
            (m.rows(), m.dim(), m.stride()),
            (self.rows, self.dim, self.stride)
        );
        m
    }
}

/// Every kernel over `rows` against the pair kernel of the same instruction set.
fn rows_agree_with_pairs(k: &Kernels, data: &Data, rows: Rows<'_>) {
    let indices: Vec<usize> = match rows {
        Rows::Range { start, len } => (start..start + len).collect(),
        Rows::Ids(ids) => ids.iter().map(|&id| id as usize).collect(),
    };
    let (f, h, c) = (
        data.matrix(&data.floats),
        data.matrix(&data.halves),
        data.matrix(&data.codes),
    );
    let (q, q_codes, n) = (&data.q, &data.q_codes, indices.len());
    let (mut out, mut sums) = (vec![f32::NAN; n], vec![i32::MIN; n]);

    macro_rules! check {
        ($out:ident, $name:literal, $many:expr, |$i:ident| $pair:expr) => {
            $many;
            for (place, &$i) in indices.iter().enumerate() {
                let expected = $pair;
                assert!(
                    $out[place].to_ne_bytes() == expected.to_ne_bytes(),
                    "{} {}: place {place}, row {}, dim {}, stride {}: got {:?}, expected {expected:?}",
                    k.isa(), $name, $i, data.dim, data.stride, $out[place]
                );
            }
        };
    }
    check!(out, "dot_f32", k.dot_f32_rows(q, f, rows, &mut out), |i| k
        .dot_f32(q, f.row(i)));
    check!(out, "l2_f32", k.l2_f32_rows(q, f, rows, &mut out), |i| k
        .l2_f32(q, f.row(i)));
    check!(out, "dot_f16", k.dot_f16_rows(q, h, rows, &mut out), |i| k
        .dot_f16(q, h.row(i)));
    check!(out, "l2_f16", k.l2_f16_rows(q, h, rows, &mut out), |i| k
        .l2_f16(q, h.row(i)));
    check!(
        out,
        "dot_f32_i8",
        k.dot_f32_i8_rows(q, c, rows, &mut out),
        |i| k.dot_f32_i8(q, c.row(i))
    );
    let s = &data.scales;
    check!(
        out,
        "l2_f32_i8",
        k.l2_f32_i8_rows(q, s, c, rows, &mut out),
        |i| k.l2_f32_i8(q, s[i], c.row(i))
    );
    check!(
        sums,
        "dot_i8",
        k.dot_i8_rows(q_codes, c, rows, &mut sums),
        |i| k.dot_i8(q_codes, c.row(i))
    );
    check!(
        sums,
        "dot_i8_any",
        k.dot_i8_any_rows(q_codes, c, rows, &mut sums),
        |i| k.dot_i8_any(q_codes, c.row(i))
    );
    check!(
        sums,
        "l2_i8",
        k.l2_i8_rows(q_codes, c, rows, &mut sums),
        |i| k.l2_i8(q_codes, c.row(i))
    );
}

#[test]
fn every_dimension_agrees_with_the_pairs() {
    for k in kernels() {
        for dim in (1..=130).chain([384, 1000]) {
            let data = Data::new(dim, 0, 11, dim as u64);
            rows_agree_with_pairs(k, &data, Rows::Range { start: 0, len: 11 });
            rows_agree_with_pairs(k, &data, Rows::Ids(&[10, 0, 3, 3, 9, 1, 10]));
        }
    }
}

#[test]
fn every_number_of_rows_and_stride_agrees_with_the_pairs() {
    for k in kernels() {
        for gap in [0, 1, 3, 16] {
            let data = Data::new(37, gap, 100, gap as u64);
            let mut random = Random::new(5);
            for n in 0..=24 {
                rows_agree_with_pairs(k, &data, Rows::Range { start: n, len: n });
                rows_agree_with_pairs(
                    k,
                    &data,
                    Rows::Range {
                        start: 100 - n,
                        len: n,
                    },
                );
                let ids: Vec<u32> = (0..3 * n).map(|_| (random.bits() % 100) as u32).collect();
                rows_agree_with_pairs(k, &data, Rows::Ids(&ids));
            }
        }
    }
}

#[test]
fn a_matrix_counts_whole_rows() {
    let data = [0u8; 20];
    for (len, dim, stride, rows) in [
        (0, 4, 4, 0),
        (3, 4, 4, 0),
        (4, 4, 4, 1),
        (7, 4, 4, 1),
        (8, 4, 4, 2),
        (19, 4, 5, 4),
        (20, 4, 8, 3),
        (20, 4, 100, 1),
    ] {
        let m = Matrix::new(&data[..len], dim, stride);
        assert_eq!(m.rows(), rows, "len {len}, dim {dim}, stride {stride}");
        assert_eq!((0..rows).map(|i| m.row(i).len()).sum::<usize>(), rows * dim);
        assert!(catch_unwind(|| m.row(rows)).is_err());
        assert!(catch_unwind(|| m.row(usize::MAX)).is_err());
    }
    let huge = Matrix::new(&data, 4, usize::MAX);
    assert_eq!(huge.rows(), 1);
    assert_eq!(huge.row(0).len(), 4);
}

#[track_caller]
fn panics<T>(expected: &str, run: impl FnOnce() -> T) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(run)) else {
        panic!("nothing was refused where {expected:?} should have been");
    };
    let message = match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic.downcast::<&str>().expect("a message").to_string(),
    };
    assert!(
        message.contains(expected),
        "{message:?} does not say {expected:?}"
    );
}

#[test]
fn rows_that_are_not_there_are_refused() {
    let data = Data::new(20, 4, 9, 1);
    let (f, h, c) = (
        data.matrix(&data.floats),
        data.matrix(&data.halves),
        data.matrix(&data.codes),
    );
    for k in kernels() {
        let (mut out, mut sums) = ([0.0f32; 6], [0i32; 6]);
        for place in 0..6 {
            for bad in [9, 10, u32::MAX] {
                let mut ids = [0u32; 6];
                ids[place] = bad;
                let (rows, says) = (
                    Rows::Ids(&ids),
                    format!("row {bad} is out of bounds for a matrix of 9 rows"),
                );
                panics(&says, || k.dot_f32_rows(&data.q, f, rows, &mut out));
                panics(&says, || k.l2_f32_rows(&data.q, f, rows, &mut out));
                panics(&says, || k.dot_f16_rows(&data.q, h, rows, &mut out));
                panics(&says, || k.l2_f16_rows(&data.q, h, rows, &mut out));
                panics(&says, || k.dot_f32_i8_rows(&data.q, c, rows, &mut out));
                panics(&says, || k.dot_i8_rows(&data.q_codes, c, rows, &mut sums));
                panics(&says, || {
                    k.dot_i8_any_rows(&data.q_codes, c, rows, &mut sums)
                });
                panics(&says, || k.l2_i8_rows(&data.q_codes, c, rows, &mut sums));
                panics(&says, || {
                    k.l2_f32_i8_rows(&data.q, &data.scales, c, rows, &mut out)
                });
            }
        }
        for (start, len) in [(9, 1), (4, 6), (usize::MAX, 6), (usize::MAX - 2, 6)] {
            let mut out = vec![0.0; len];
            panics("out of bounds for a matrix of 9 rows", || {
                k.dot_f32_rows(&data.q, f, Rows::Range { start, len }, &mut out)
            });
        }
    }
}

#[test]
fn lengths_that_do_not_match_are_refused() {
    let data = Data::new(8, 0, 4, 1);
    let (f, c) = (data.matrix(&data.floats), data.matrix(&data.codes));
    let rows = Rows::Range { start: 0, len: 4 };
    for k in kernels() {
        panics("vectors must have one length; got 3 and 2", || {
            k.dot_f32(&[0.0; 3], &[0.0; 2])
        });
        panics("vectors must have one length; got 2 and 3", || {
            k.l2_i8(&[0; 2], &[0; 3])
        });
        panics("vectors must have one length; got 1 and 0", || {
            k.f32_to_f16(&[0.0], &mut [])
        });
        panics("vectors must have one length; got 0 and 1", || {
            k.f16_to_f32(&[], &mut [0.0])
        });
        panics("vectors must have one length; got 2 and 1", || {
            k.l2_f32_i8(&[0.0; 2], 1.0, &[0])
        });
        panics("query must have the matrix's dim 8; got 7", || {
            k.dot_f32_rows(&data.q[..7], f, rows, &mut [0.0; 4])
        });
        panics("out must have one place per row, 4; got 3", || {
            k.dot_f32_rows(&data.q, f, rows, &mut [0.0; 3])
        });
        panics("out must have one place per row, 1; got 0", || {
            k.dot_f32_rows(&data.q, f, Rows::Ids(&[0]), &mut [])
        });
        panics(
            "scales must have one entry per matrix row, 4; got 3",
            || k.l2_f32_i8_rows(&data.q, &data.scales[..3], c, rows, &mut [0.0; 4]),
        );
    }
    panics(
        "stride must be at least dim and not zero; got stride 3 for dim 4",
        || Matrix::new(&[0u8; 8], 4, 3),
    );
    panics(
        "stride must be at least dim and not zero; got stride 0 for dim 0",
        || Matrix::new(&[0u8; 8], 0, 0),
    );
}

proptest! {
    #[test]
    fn any_shape_agrees_with_the_pairs(
        dim in 1usize..200,
        gap in 0usize..40,
        rows in 1usize..40,
        seed: u64,
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
        range in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let data = Data::new(dim, gap, rows, seed);
        let ids: Vec<u32> = picks.iter().map(|pick| pick.index(rows) as u32).collect();
        let start = range.0.index(rows);
        let len = range.1.index(rows - start + 1);
        for k in kernels() {
            rows_agree_with_pairs(k, &data, Rows::Ids(&ids));
            rows_agree_with_pairs(k, &data, Rows::Range { start, len });
        }
    }
}
