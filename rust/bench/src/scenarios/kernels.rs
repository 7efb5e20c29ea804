//! One query against rows that fit the second-level cache.

use std::hint::black_box;

use perso_core::metric::Metric;
use perso_core::plain;
use perso_kernels::{Kernels, Matrix, Rows};

use crate::data::{codes, floats, halves, vectors, Numbers};
use crate::meter::Meter;

const ROWS: usize = 1000;
const ALL: Rows<'_> = Rows::Range {
    start: 0,
    len: ROWS,
};

pub fn dot_f32<const DIM: usize>(meter: &mut Meter) {
    let (q, x) = (floats(DIM, 1), floats(ROWS * DIM, 2));
    let mut out = vec![0.0; ROWS];
    let matrix = Matrix::new(&x, DIM, DIM);
    meter.count(20, |_| {
        Kernels::get().dot_f32_rows(black_box(&q), matrix, ALL, &mut out);
    });
    let sum = |row: usize| -> f64 {
        let row = x[row * DIM..][..DIM].iter().zip(&q);
        row.map(|(x, q)| f64::from(*x) * f64::from(*q)).sum()
    };
    assert!((0..ROWS).all(|row| (sum(row) - f64::from(out[row])).abs() < 1e-4));
}

pub fn l2_f32(meter: &mut Meter) {
    const DIM: usize = 128;
    let (q, x) = (floats(DIM, 1), floats(ROWS * DIM, 2));
    let mut out = vec![0.0; ROWS];
    let matrix = Matrix::new(&x, DIM, DIM);
    meter.count(20, |_| {
        Kernels::get().l2_f32_rows(black_box(&q), matrix, ALL, &mut out);
    });
    let sum = |row: usize| -> f64 {
        let row = x[row * DIM..][..DIM].iter().zip(&q);
        row.map(|(x, q)| (f64::from(*x) - f64::from(*q)).powi(2))
            .sum()
    };
    assert!((0..ROWS).all(|row| (sum(row) - f64::from(out[row])).abs() < 1e-3));
}

pub fn dot_f16<const DIM: usize>(meter: &mut Meter) {
    let (q, x) = (floats(DIM, 1), halves(ROWS * DIM, 2));
    let mut out = vec![0.0; ROWS];
    let matrix = Matrix::new(&x, DIM, DIM);
    meter.count(20, |_| {
        Kernels::get().dot_f16_rows(black_box(&q), matrix, ALL, &mut out);
    });
    // The bits of a dot product are those of one row at a time.
    let row = |row: usize| Kernels::get().dot_f16(&q, &x[row * DIM..][..DIM]);
    assert!((0..ROWS).all(|i| row(i) == out[i] && out[i].is_finite()));
}

pub fn dot_i8<const DIM: usize>(meter: &mut Meter) {
    let (q, x) = (codes(DIM, 1), codes(ROWS * DIM, 2));
    let mut out = vec![0; ROWS];
    let matrix = Matrix::new(&x, DIM, DIM);
    meter.count(20, |_| {
        Kernels::get().dot_i8_rows(black_box(&q), matrix, ALL, &mut out);
    });
    assert!((0..ROWS).all(|row| dot(&q, &x[row * DIM..][..DIM]) == out[row]));
}

/// Lists of 32 rows at random, as a graph has them.
pub fn dot_i8_gathered(meter: &mut Meter) {
    const DIM: usize = 128;
    let (q, x) = (codes(DIM, 1), codes(ROWS * DIM, 2));
    let mut numbers = Numbers::new(3);
    let ids: Vec<u32> = (0..32 * 32).map(|_| numbers.below(ROWS) as u32).collect();
    let mut out = [0; 32];
    let matrix = Matrix::new(&x, DIM, DIM);
    meter.count(20, |_| {
        for list in ids.chunks_exact(32) {
            Kernels::get().dot_i8_rows(black_box(&q), matrix, Rows::Ids(list), &mut out);
        }
    });
    let last = &ids[31 * 32..];
    assert!(last
        .iter()
        .zip(out)
        .all(|(&row, out)| dot(&q, &x[row as usize * DIM..][..DIM]) == out));
}

fn dot(q: &[i8], x: &[i8]) -> i32 {
    q.iter()
        .zip(x)
        .map(|(q, x)| i32::from(*q) * i32::from(*x))
        .sum()
}

/// `pc.topk`: 16 queries over a plain array.
pub fn topk(meter: &mut Meter) {
    const DIM: usize = 128;
    let made = vectors(2000, DIM, Metric::Cosine);
    let queries = &made.queries[..16 * DIM];
    let mut found = Vec::new();
    meter.count(3, |_| {
        found = plain::topk(
            black_box(queries),
            plain::Items::F32(&made.items),
            DIM,
            10,
            Metric::Cosine,
            1,
        )
        .expect("valid vectors");
    });
    assert!(found.len() == 16 && found.iter().all(|hits| hits.len() == 10));
}
