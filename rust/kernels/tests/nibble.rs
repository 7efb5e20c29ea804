//! 4-bit codes: every instruction set against plain arithmetic.

use perso_kernels::nibble::{block_bytes, put_row, GROUP, ROWS};
use perso_kernels::Kernels;

/// Codes and queries at their extremes and at random, dimensions that do and do not fill the steps.
#[test]
fn every_row_agrees_with_plain_sums() {
    let mut state = 1u64;
    let mut next = move || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as u32
    };
    for dim in [
        1usize, 4, 7, 8, 9, 16, 24, 31, 32, 33, 50, 64, 72, 96, 128, 200, 384, 2048,
    ] {
        for (blocks, extreme) in [(0, false), (1, false), (3, false), (2, true)] {
            let padded = dim.div_ceil(GROUP) * GROUP;
            let mut query = vec![0i8; padded];
            for q in &mut query[..dim] {
                *q = if extreme { -128 } else { next() as i8 };
            }
            let rows: Vec<Vec<u8>> = (0..blocks * ROWS)
                .map(|_| {
                    (0..dim)
                        .map(|_| if extreme { 15 } else { next() as u8 & 15 })
                        .collect()
                })
                .collect();
            let size = block_bytes(dim);
            let mut data = vec![0u8; blocks * size];
            for (i, codes) in rows.iter().enumerate() {
                put_row(&mut data[i / ROWS * size..][..size], i % ROWS, codes);
            }
            let expected: Vec<i32> = rows
                .iter()
                .map(|row| {
                    row.iter()
                        .zip(&query)
                        .map(|(&c, &q)| i32::from(c) * i32::from(q))
                        .sum()
                })
                .collect();
            for kernels in Kernels::available() {
                let mut out = vec![[7i32; ROWS]; blocks];
                kernels.nibble_dots(&query, &data, &mut out);
                assert_eq!(
                    out.concat(),
                    expected,
                    "{} at {dim}",
                    kernels.isa().as_str()
                );
            }
        }
    }
}

#[test]
fn a_row_written_again_replaces_its_codes_alone() {
    let mut block = vec![0xffu8; block_bytes(10)];
    put_row(&mut block, 3, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let mut query = [0i8; 16];
    for dim in 0..16 {
        query.fill(0);
        query[dim] = 1;
        let mut out = [[0; ROWS]];
        Kernels::get().nibble_dots(&query, &block, &mut out);
        let expected = if dim < 10 { dim as i32 } else { 15 };
        for (row, &value) in out[0].iter().enumerate() {
            assert_eq!(
                value,
                if row == 3 { expected } else { 15 },
                "dimension {dim}, row {row}"
            );
        }
    }
}

#[test]
#[should_panic(expected = "blocks for a query of 16 codes")]
fn blocks_of_another_length_are_refused() {
    Kernels::get().nibble_dots(&[0; 16], &[0; 64], &mut [[0; ROWS]]);
}

#[test]
#[should_panic(expected = "holds fewer than 9 dimensions")]
fn more_codes_than_a_block_holds_are_refused() {
    put_row(&mut [0; 64], 0, &[0; 9]);
}
