//! Panels give, on every instruction set, the bits that the definition gives; quantising is to nearest.

mod common;

use common::{kernels, Random};
use perso_kernels::{Kernels, Limit, Panel, PanelQueries, PANEL_ROWS};

/// The bound as the definition has it, from an exact integer sum.
fn upper(dot: i64, factor: f32, norm: f32, residual: f32, limit: &Limit) -> f32 {
    let error = limit.a + norm * (limit.b + norm * limit.c);
    (dot as i32 as f32 * factor) * limit.scale + error + limit.d * residual
}

fn agrees(k: &Kernels, dim: usize, queries: usize, extreme: bool, seed: u64) -> u32 {
    let mut random = Random::new(seed);
    let mut codes = |n: usize| -> Vec<i8> {
        let mut codes = random.bytes(n);
        if extreme {
            codes
                .iter_mut()
                .for_each(|c| *c = if *c < 0 { -128 } else { 127 });
        }
        codes
    };
    let (rows, q) = (codes(PANEL_ROWS * dim), codes(queries * dim));
    let mut panel = Panel::new(k, dim);
    // Twice: what a panel held before does not show.
    k.pack(&vec![77; PANEL_ROWS * dim], &mut panel);
    k.pack(&rows, &mut panel);
    for r in 0..PANEL_ROWS {
        panel.factor[r] = random.unit();
        panel.norm[r] = random.unit();
        panel.residual[r] = random.unit();
    }
    panel.norm[5] = f32::NAN;
    let mut limits = vec![Limit::default(); queries];
    let mut expected = vec![0u64; queries];
    for (i, limit) in limits.iter_mut().enumerate() {
        *limit = Limit {
            scale: random.unit() / 100.0,
            a: random.unit(),
            b: random.unit(),
            c: random.unit(),
            d: random.unit(),
            threshold: 0.0,
        };
        let uppers: Vec<f32> = (0..PANEL_ROWS)
            .map(|r| {
                let dot = (0..dim)
                    .map(|d| i64::from(q[i * dim + d]) * i64::from(rows[r * dim + d]))
                    .sum();
                upper(
                    dot,
                    panel.factor[r],
                    panel.norm[r],
                    panel.residual[r],
                    limit,
                )
            })
            .collect();
        // The threshold is one of the bounds, so a bound that differs in its last bit would show.
        let mut sorted = uppers.clone();
        sorted.sort_by(f32::total_cmp);
        limit.threshold = sorted[random.bits() as usize % (PANEL_ROWS - 1)];
        for (r, upper) in uppers.iter().enumerate() {
            expected[i] |= u64::from(upper.is_nan() || *upper >= limit.threshold) << r;
        }
    }
    let all = PanelQueries::new(k, &q, dim);
    for first in 0..=queries {
        let mut dots = vec![[i32::MAX; PANEL_ROWS]; queries - first];
        k.dots(&panel, &all, first, &mut dots);
        for (i, dots) in (first..).zip(&dots) {
            for (r, &dot) in dots.iter().enumerate() {
                let pairs = q[i * dim..][..dim].iter().zip(&rows[r * dim..][..dim]);
                let exact: i64 = pairs.map(|(&a, &b)| i64::from(a) * i64::from(b)).sum();
                assert_eq!(dot, exact as i32, "{}: query {i}, row {r}", k.isa());
            }
        }
    }
    let mut masks = vec![u64::MAX; queries];
    k.reach(&panel, &all, &limits, &mut masks);
    assert_eq!(masks, expected, "{}: dim {dim}, {queries} queries", k.isa());
    masks.iter().map(|mask| mask.count_ones()).sum()
}

#[test]
fn every_dimension_and_number_of_queries_agrees_with_the_definition() {
    for k in kernels() {
        let mut kept = 0;
        for dim in (1..=130).chain([255, 384, 511, 1000, 2047, 2048]) {
            kept += agrees(k, dim, 1 + dim % 7, false, dim as u64);
        }
        for queries in 0..=20 {
            kept += agrees(k, 37, queries, false, 1000 + queries as u64);
        }
        assert!(kept > 1000, "{}: {kept} rows were kept in all", k.isa());
    }
}

#[test]
fn the_extremes_of_a_byte_are_exact() {
    for k in kernels() {
        for dim in [1, 63, 64, 65, 2048, 65_535] {
            agrees(k, dim, 3, true, dim as u64);
        }
    }
}

#[test]
fn codes_are_the_nearest_and_the_residual_is_measured() {
    for k in kernels() {
        let mut random = Random::new(9);
        for dim in (1..=70).chain([384, 2047]) {
            let x: Vec<f32> = (0..dim).map(|_| random.unit() * 3.0).collect();
            let mut codes = vec![1; dim];
            let coded = k.quantise(&x, &mut codes);
            let largest = x.iter().fold(0f32, |a, b| a.max(b.abs()));
            assert_eq!(coded.scale, largest / 127.0);
            let scale = f64::from(coded.scale);
            let mut residual2 = 0.0;
            for (x, code) in x.iter().zip(&codes) {
                let rest = f64::from(*x) - f64::from(*code) * scale;
                assert!(rest.abs() <= scale * 0.50001, "{x} became {code} x {scale}");
                residual2 += rest * rest;
            }
            let slack = 1e-4 * residual2 + 1e-12 * f64::from(largest).powi(2);
            assert!((f64::from(coded.residual2) - residual2).abs() <= slack);
        }
    }
}

#[test]
fn what_cannot_be_quantised_says_so() {
    for k in kernels() {
        for (at, bad) in [(0, f32::NAN), (17, f32::INFINITY), (32, f32::NEG_INFINITY)] {
            let mut x = [1.0f32; 33];
            x[at] = bad;
            assert!(!k.quantise(&x, &mut [0; 33]).scale.is_finite());
        }
        assert!(!k.quantise(&[1e-30; 3], &mut [0; 3]).scale.is_finite());
        let zero = k.quantise(&[0.0, -0.0], &mut [1; 2]);
        assert_eq!((zero.scale, zero.residual2), (0.0, 0.0));
    }
}

#[test]
fn every_instruction_set_quantises_alike() {
    let mut random = Random::new(4);
    for dim in (1..=70).chain([384]) {
        let x = random.floats(dim);
        let all: Vec<_> = kernels()
            .iter()
            .map(|k| {
                let mut codes = vec![0; dim];
                let coded = k.quantise(&x, &mut codes);
                (codes, coded.scale.to_bits(), coded.residual2.to_bits())
            })
            .collect();
        assert!(all.windows(2).all(|two| two[0] == two[1]), "dim {dim}");
    }
}
