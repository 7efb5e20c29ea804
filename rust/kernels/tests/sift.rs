//! Sifting gives the same bits on every instruction set, and those that its definition gives.

mod common;

use common::{kernels, same_bits, Random};
use perso_kernels::{Coarse, Kernels, Matrix, Rows, Scaled, Sieve, SIFT_ROWS};

const ALL: [Coarse; 3] = [Coarse::Dot, Coarse::Cosine, Coarse::L2];

/// Rows with scales and norms of many sizes, zeros among them, and a query.
struct Data {
    dim: usize,
    q: Vec<i8>,
    codes: Vec<i8>,
    scales: Vec<f32>,
    norms: Vec<f32>,
}

impl Data {
    fn new(dim: usize, rows: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut sizes =
            |n: usize| -> Vec<f32> { random.floats(n).iter().map(|x| x.abs()).collect() };
        let (scales, norms) = (sizes(rows), sizes(rows));
        Self {
            dim,
            q: random.codes(dim),
            codes: random.codes(rows * dim),
            scales,
            norms,
        }
    }

    fn items(&self) -> Scaled<'_> {
        Scaled {
            codes: Matrix::new(&self.codes, self.dim, self.dim),
            scales: &self.scales,
            norms: &self.norms,
        }
    }

    /// The score and whether the row stays, from the definition.
    fn expected(&self, sieve: &Sieve, row: usize) -> (f32, bool) {
        let sum: i64 = self
            .q
            .iter()
            .zip(&self.codes[row * self.dim..])
            .map(|(q, x)| i64::from(*q) * i64::from(*x))
            .sum();
        let (n, m) = (sieve.norm, self.norms[row]);
        let dot = sum as f32 * (sieve.scale * self.scales[row]);
        let score = match sieve.coarse {
            Coarse::Dot => dot,
            Coarse::Cosine if n * m == 0.0 => 0.0,
            Coarse::Cosine => dot / (n * m),
            Coarse::L2 => -((n * n + m * m) - 2.0 * dot).max(0.0),
        };
        let score = if score == 0.0 { 0.0 } else { score };
        let [a, b, c] = sieve.error;
        let bound = score + (a + m * (b + m * c));
        (score, bound.is_nan() || bound >= sieve.threshold)
    }
}

fn check(k: &Kernels, data: &Data, sieve: &Sieve, rows: Rows<'_>) -> usize {
    let count = rows.len();
    let mut scores = vec![f32::NAN; count];
    let mut masks = vec![u32::MAX; count.div_ceil(SIFT_ROWS)];
    k.sift_i8(&data.q, sieve, data.items(), rows, &mut scores, &mut masks);
    for (i, score) in scores.iter().enumerate() {
        let row = match rows {
            Rows::Range { start, .. } => start + i,
            Rows::Ids(ids) => ids[i] as usize,
        };
        let (expected, stays) = data.expected(sieve, row);
        let context = || format!("{k:?} dim {} row {row} {sieve:?}", data.dim);
        same_bits(*score, expected, context);
        assert_eq!(
            masks[i / SIFT_ROWS] >> (i % SIFT_ROWS) & 1 == 1,
            stays,
            "{}",
            context()
        );
    }
    let beyond = masks.len() * SIFT_ROWS - count;
    if beyond > 0 {
        assert_eq!(masks[count / SIFT_ROWS] >> (SIFT_ROWS - beyond), 0);
    }
    masks.iter().map(|mask| mask.count_ones() as usize).sum()
}

fn sieve(coarse: Coarse, random: &mut Random) -> Sieve {
    Sieve {
        coarse,
        scale: random.unit().abs(),
        norm: random.unit().abs() * 10.0,
        error: std::array::from_fn(|_| random.unit().abs() / 100.0),
        threshold: if coarse == Coarse::L2 { -150.0 } else { 0.02 },
    }
}

#[test]
fn every_dimension_and_number_of_rows_gives_the_bits_of_the_definition() {
    let mut random = Random::new(1);
    let (mut stayed, mut seen) = (0, 0);
    for dim in (1..=130).chain([255, 256, 384]) {
        let data = Data::new(dim, 70, dim as u64);
        for coarse in ALL {
            let sieve = sieve(coarse, &mut random);
            for k in kernels() {
                let rows = Rows::Range { start: 3, len: 67 };
                stayed += check(k, &data, &sieve, rows);
                seen += 67;
            }
        }
    }
    assert!(
        stayed > seen / 20 && stayed < seen * 19 / 20,
        "{stayed} of {seen}"
    );
    let data = Data::new(40, 160, 9);
    let gathered: Vec<u32> = (0..160).map(|_| (random.bits() % 160) as u32).collect();
    for coarse in ALL {
        let sieve = sieve(coarse, &mut random);
        for k in kernels() {
            for len in 0..=130 {
                let start = 160 - len;
                check(k, &data, &sieve, Rows::Range { start, len });
                check(k, &data, &sieve, Rows::Ids(&gathered[..len]));
            }
        }
    }
}

/// Overflow to either side, and what it makes of a bound.
#[test]
fn what_overflows_is_kept_or_left_out_alike() {
    let mut data = Data::new(16, 64, 4);
    data.scales[..40].fill(f32::MAX);
    data.norms[20..50].fill(f32::MAX);
    data.norms[50..].fill(f32::MIN_POSITIVE / 8.0);
    for coarse in ALL {
        for (scale, norm) in [
            (f32::MAX, f32::MAX),
            (1.0, f32::MIN_POSITIVE / 8.0),
            (0.0, 0.0),
        ] {
            for threshold in [f32::NEG_INFINITY, -1.0, 0.0, f32::MAX, f32::INFINITY] {
                for error in [[0.0; 3], [0.0, 1.0, 0.0], [f32::MAX, 0.0, 1.0]] {
                    let sieve = Sieve {
                        coarse,
                        scale,
                        norm,
                        error,
                        threshold,
                    };
                    for k in kernels() {
                        check(k, &data, &sieve, Rows::Range { start: 0, len: 64 });
                    }
                }
            }
        }
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let data = Data::new(8, 40, 2);
    let sieve = sieve(Coarse::Dot, &mut Random::new(3));
    let refused = |rows: Rows<'_>, items: Scaled<'_>, dim: usize, scores: usize, masks: usize| {
        std::panic::catch_unwind(|| {
            let (mut scores, mut masks) = (vec![0.0; scores], vec![0; masks]);
            Kernels::get().sift_i8(&data.q[..dim], &sieve, items, rows, &mut scores, &mut masks);
        })
        .is_err()
    };
    let all = Rows::Range { start: 0, len: 40 };
    let items = data.items();
    assert!(!refused(all, items, 8, 40, 2));
    assert!(refused(all, items, 7, 40, 2), "query");
    assert!(refused(all, items, 8, 39, 2), "scores");
    assert!(refused(all, items, 8, 40, 1), "masks");
    assert!(refused(all, items, 8, 40, 3), "masks");
    assert!(
        refused(Rows::Range { start: 1, len: 40 }, items, 8, 40, 2),
        "range"
    );
    assert!(refused(Rows::Ids(&[40]), items, 8, 1, 1), "row");
    let scales = &data.scales[1..];
    assert!(refused(all, Scaled { scales, ..items }, 8, 40, 2), "scales");
    let norms = &data.norms[1..];
    assert!(refused(all, Scaled { norms, ..items }, 8, 40, 2), "norms");
}
