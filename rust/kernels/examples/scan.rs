//! Time of one query against many rows, for every kernel this CPU can run.
//!
//! `cargo run --release --example scan` prints nanoseconds per row and gigabytes per second: rows in
//! order and rows gathered at random, from a matrix that fits the cache and one that does not.

use perso_kernels::{Kernels, Matrix, Rows};
use std::hint::black_box;
use std::time::Instant;

/// The best of some rounds: the others waited for somebody else.
fn best_of(rounds: usize, mut run: impl FnMut()) -> f64 {
    (0..rounds)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    let only = std::env::args().nth(1);
    let scratch = |n: usize| (0..n as u32).map(|i| i.wrapping_mul(2_654_435_761));
    println!("ns per row (GB/s of rows), best of rounds; small: 256 KiB of rows, large: 128 MiB");
    println!(
        "{:12}{:14}{:>5}{:>18}{:>18}{:>18}{:>18}",
        "isa", "kernel", "dim", "small", "small gathered", "large", "large gathered"
    );
    for k in Kernels::available() {
        for dim in [50, 64, 100, 128, 384] {
            for kernel in [
                "dot_f32",
                "l2_f32",
                "dot_f16",
                "dot_i8",
                "l2_i8",
                "dot_f32_i8",
            ] {
                if only.as_deref().is_some_and(|only| only != kernel) {
                    continue;
                }
                let size = match kernel {
                    "dot_f32" | "l2_f32" => 4,
                    "dot_f16" => 2,
                    _ => 1,
                };
                print!("{:12}{kernel:14}{dim:5}", k.isa().as_str());
                for bytes in [256 << 10, 128 << 20] {
                    let rows = bytes / (dim * size);
                    if k.isa().as_str() == "scalar" && bytes > 1 << 20 {
                        print!("{:>18}{:>18}", "-", "-");
                        continue;
                    }
                    let q: Vec<f32> = scratch(dim).map(|b| b as f32 / 4e9).collect();
                    let q_codes: Vec<i8> =
                        scratch(dim).map(|b| ((b >> 24) as i8).max(-127)).collect();
                    let floats: Vec<f32> = if size == 4 {
                        scratch(rows * dim).map(|b| b as f32 / 4e9).collect()
                    } else {
                        vec![]
                    };
                    let halves: Vec<u16> = if size == 2 {
                        scratch(rows * dim)
                            .map(|b| (b >> 17) as u16 & 0x3bff)
                            .collect()
                    } else {
                        vec![]
                    };
                    let codes: Vec<i8> = if size == 1 {
                        scratch(rows * dim)
                            .map(|b| ((b >> 24) as i8).max(-127))
                            .collect()
                    } else {
                        vec![]
                    };
                    let ids: Vec<u32> = scratch(rows).map(|b| (b >> 3) % rows as u32).collect();
                    let (mut out, mut out_codes) = (vec![0.0f32; rows], vec![0i32; rows]);
                    let repeat = ((8 << 20) / bytes).max(1);
                    for r in [
                        Rows::Range {
                            start: 0,
                            len: rows,
                        },
                        Rows::Ids(&ids),
                    ] {
                        let seconds = best_of(9, || {
                            for _ in 0..repeat {
                                let (f, h, c) = (&floats, &halves, &codes);
                                match kernel {
                                    "dot_f32" => {
                                        k.dot_f32_rows(&q, Matrix::new(f, dim, dim), r, &mut out)
                                    }
                                    "l2_f32" => {
                                        k.l2_f32_rows(&q, Matrix::new(f, dim, dim), r, &mut out)
                                    }
                                    "dot_f16" => {
                                        k.dot_f16_rows(&q, Matrix::new(h, dim, dim), r, &mut out)
                                    }
                                    "dot_i8" => k.dot_i8_rows(
                                        &q_codes,
                                        Matrix::new(c, dim, dim),
                                        r,
                                        &mut out_codes,
                                    ),
                                    "l2_i8" => k.l2_i8_rows(
                                        &q_codes,
                                        Matrix::new(c, dim, dim),
                                        r,
                                        &mut out_codes,
                                    ),
                                    _ => {
                                        k.dot_f32_i8_rows(&q, Matrix::new(c, dim, dim), r, &mut out)
                                    }
                                }
                                black_box((&out, &out_codes));
                            }
                        });
                        let per_row = seconds / (rows * repeat) as f64;
                        let rate = (dim * size) as f64 / per_row / 1e9;
                        print!("{:>18}", format!("{:.1} ({rate:.1})", per_row * 1e9));
                    }
                }
                println!();
            }
        }
    }
}
