//! FastScan gives the same bits on every instruction set, and what its definition says.

mod common;

use common::{kernels, Random};
use perso_kernels::fastscan::{bf16_to_f32, f32_to_bf16, Line, Table, BLOCK};
use perso_kernels::Kernels;

/// Dimensions with one, several and many groups of each register width; the last two pass the number
/// of groups that a 16-bit sum holds.
const DIMS: [usize; 12] = [16, 32, 48, 64, 80, 128, 384, 400, 1536, 2048, 4112, 8208];

fn block_of(dim: usize, random: &mut Random) -> Vec<u8> {
    random.bytes(4 * dim).iter().map(|b| *b as u8).collect()
}

fn factors_of(random: &mut Random) -> [u16; 2 * BLOCK] {
    std::array::from_fn(|_| f32_to_bf16(random.unit()))
}

/// The sign of dimension `d` in code `j` of a block.
fn sign(block: &[u8], d: usize, j: usize) -> f64 {
    let byte = block[d / 4 * 16 + j % 16];
    let nibble = if j < 16 { byte & 15 } else { byte >> 4 };
    if nibble >> (d % 4) & 1 == 1 {
        1.0
    } else {
        -1.0
    }
}

#[test]
fn every_isa_gives_the_bits_of_the_plain_form() {
    let plain = Kernels::by_name("scalar").unwrap();
    for (seed, dim) in DIMS.into_iter().enumerate() {
        let mut random = Random::new(seed as u64);
        let query: Vec<f32> = (0..dim).map(|_| random.unit()).collect();
        let (block, factors) = (block_of(dim, &mut random), factors_of(&mut random));
        let line = Line {
            base: random.unit(),
            slope: random.unit(),
            threshold: 0.1,
        };
        let mut expected_table = Table::default();
        plain.fill_table(&query, &mut expected_table);
        let mut expected = [0.0; BLOCK];
        let expected_mask = plain.estimate(&expected_table, &block, &factors, line, &mut expected);
        for (bit, score) in expected.iter().enumerate() {
            assert_eq!(expected_mask >> bit & 1 == 1, *score > 0.1);
        }
        for k in kernels() {
            let mut table = Table::default();
            k.fill_table(&query, &mut table);
            assert_eq!(format!("{table:?}"), format!("{expected_table:?}"), "{k:?}");
            let mut scores = [0.0; BLOCK];
            let mask = k.estimate(&table, &block, &factors, line, &mut scores);
            assert_eq!(mask, expected_mask, "{k:?} dim {dim}");
            assert_eq!(
                scores.map(f32::to_bits),
                expected.map(f32::to_bits),
                "{k:?} dim {dim}"
            );
        }
    }
}

#[test]
fn largest_sums_do_not_wrap() {
    // Every lookup is the largest entry: the sum is 63 a group.
    for dim in DIMS {
        for k in kernels() {
            let mut table = Table::default();
            k.fill_table(&vec![1.0; dim], &mut table);
            let mut scores = [0.0; BLOCK];
            let mut factors = [0; 2 * BLOCK];
            factors[..BLOCK].fill(f32_to_bf16(1.0));
            let line = Line {
                base: 0.0,
                slope: 0.0,
                threshold: 0.0,
            };
            k.estimate(&table, &vec![0xff; 4 * dim], &factors, line, &mut scores);
            for score in scores {
                assert!(
                    (score - dim as f32).abs() <= 1e-5 * dim as f32,
                    "{score} of {dim}"
                );
            }
        }
    }
}

#[test]
fn scores_are_those_of_the_signs() {
    // The oracle is f64 arithmetic on the unpacked signs. A table entry is off by at most half a step
    // (plus rounding), and a step is 2/63 of the largest sum of four.
    for (seed, dim) in DIMS.into_iter().enumerate() {
        let mut random = Random::new(100 + seed as u64);
        let query: Vec<f32> = (0..dim).map(|_| random.unit()).collect();
        let (block, factors) = (block_of(dim, &mut random), factors_of(&mut random));
        let reach = query
            .chunks(4)
            .map(|q| q.iter().map(|x| f64::from(x.abs())).sum::<f64>())
            .fold(0.0, f64::max);
        let bound = (dim / 4) as f64 * reach / 63.0 * 1.001;
        let line = Line {
            base: 0.5,
            slope: -0.75,
            threshold: 0.0,
        };
        for k in kernels() {
            let mut table = Table::default();
            k.fill_table(&query, &mut table);
            assert_eq!(table.dim(), dim);
            let mut scores = [0.0; BLOCK];
            k.estimate(&table, &block, &factors, line, &mut scores);
            for (j, score) in scores.iter().enumerate() {
                let product: f64 = (0..dim)
                    .map(|d| f64::from(query[d]) * sign(&block, d, j))
                    .sum();
                let (gain, offset) = (bf16_to_f32(factors[j]), bf16_to_f32(factors[BLOCK + j]));
                let expected = 0.5 - 0.75 * f64::from(offset) + f64::from(gain) * product;
                let slack = bound * f64::from(gain.abs()) + 1e-3;
                assert!(
                    (f64::from(*score) - expected).abs() <= slack,
                    "dim {dim}, code {j}: {score} for {expected}"
                );
            }
        }
    }
}

#[test]
fn a_query_of_zeros_or_of_infinities_scores_the_base() {
    let mut random = Random::new(7);
    let block = block_of(32, &mut random);
    let factors = factors_of(&mut random);
    let line = Line {
        base: 2.0,
        slope: 0.0,
        threshold: 1.0,
    };
    for k in kernels() {
        for value in [0.0, 1e-40, f32::INFINITY, f32::NAN] {
            let mut table = Table::default();
            k.fill_table(&[value; 32], &mut table);
            let mut scores = [0.0; BLOCK];
            let mask = k.estimate(&table, &block, &factors, line, &mut scores);
            assert_eq!((scores, mask), ([2.0; BLOCK], u32::MAX), "{k:?} {value}");
        }
    }
}

#[test]
fn hadamard_is_the_matrix_of_signs() {
    for (seed, len) in [1usize, 2, 4, 8, 64, 256, 1024].into_iter().enumerate() {
        let x: Vec<f32> = {
            let mut random = Random::new(seed as u64);
            (0..len).map(|_| random.unit()).collect()
        };
        let mut first: Option<Vec<u32>> = None;
        for k in kernels() {
            let mut y = x.clone();
            k.hadamard(&mut y);
            for (i, y) in y.iter().enumerate() {
                let expected: f64 = x
                    .iter()
                    .enumerate()
                    .map(|(j, x)| {
                        f64::from(*x)
                            * if (i & j).count_ones() % 2 == 0 {
                                1.0
                            } else {
                                -1.0
                            }
                    })
                    .sum();
                assert!((f64::from(*y) - expected).abs() < 1e-4, "{k:?} {len}");
            }
            let bits: Vec<u32> = y.iter().map(|y| y.to_bits()).collect();
            assert_eq!(*first.get_or_insert_with(|| bits.clone()), bits, "{k:?}");
        }
    }
}

#[test]
fn bf16_rounds_to_nearest_and_saturates() {
    for (x, expected) in [
        (1.0f32, 1.0f32),
        (1.003_906_2, 1.0),       // a tie, to even
        (1.011_718_8, 1.015_625), // a tie, to even
        (1.004, 1.007_812_5),
        (-2.5, -2.5),
        (f32::MAX, 3.389_531_4e38),
        (f32::NEG_INFINITY, -3.389_531_4e38),
        (f32::NAN, 0.0),
    ] {
        assert_eq!(bf16_to_f32(f32_to_bf16(x)), expected, "{x}");
    }
}

#[test]
#[should_panic(expected = "multiple of 16 components")]
fn a_table_of_an_odd_length_is_refused() {
    Kernels::get().fill_table(&[0.0; 20], &mut Table::default());
}

#[test]
#[should_panic(expected = "the table's 64 bytes; got 128")]
fn a_block_of_another_length_is_refused() {
    let mut table = Table::default();
    Kernels::get().fill_table(&[0.0; 16], &mut table);
    let line = Line {
        base: 0.0,
        slope: 0.0,
        threshold: 0.0,
    };
    Kernels::get().estimate(&table, &[0; 128], &[0; 64], line, &mut [0.0; 32]);
}
