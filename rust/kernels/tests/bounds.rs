//! Bounds of diversity: on every instruction set the bits that the definition gives, and never below the true value.

mod common;

use common::{kernels, Random};
use perso_kernels::{Direction, Kernels, Lane, Left, Limit, Panel, PanelQueries, PANEL_ROWS};

/// A packed panel with its codes, queries, and random factors.
struct World {
    rows: Vec<i8>,
    codes: Vec<i8>,
    panel: Panel,
    queries: PanelQueries,
    dim: usize,
    random: Random,
}

impl World {
    fn new(k: &Kernels, dim: usize, queries: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (rows, codes) = (random.bytes(PANEL_ROWS * dim), random.bytes(queries * dim));
        let mut panel = Panel::new(k, dim);
        k.pack(&rows, &mut panel);
        for r in 0..PANEL_ROWS {
            panel.factor[r] = random.unit();
            panel.norm[r] = random.unit();
            panel.residual[r] = random.unit();
        }
        World {
            queries: PanelQueries::new(k, &codes, dim),
            rows,
            codes,
            panel,
            dim,
            random,
        }
    }

    fn dot(&self, query: usize, row: usize) -> i32 {
        let query = &self.codes[query * self.dim..][..self.dim];
        let row = &self.rows[row * self.dim..][..self.dim];
        query
            .iter()
            .zip(row)
            .map(|(&a, &b)| i32::from(a) * i32::from(b))
            .sum()
    }

    fn lane(&mut self) -> Lane {
        std::array::from_fn(|_| self.random.unit())
    }
}

fn bits(lane: &Lane) -> Vec<u32> {
    lane.iter().map(|x| x.to_bits()).collect()
}

const SHAPES: [(usize, usize, usize); 9] = [
    (1, 1, 0),
    (3, 2, 0),
    (31, 5, 2),
    (64, 8, 0),
    (65, 9, 1),
    (127, 16, 3),
    (130, 33, 0),
    (384, 40, 6),
    (1000, 3, 2),
];

#[test]
fn the_largest_bound_is_that_of_the_definition() {
    for k in kernels() {
        for (dim, queries, first) in SHAPES {
            let mut world = World::new(k, dim, queries, dim as u64);
            let limits: Vec<Limit> = (first..queries)
                .map(|_| Limit {
                    scale: world.random.unit() / 100.0,
                    a: world.random.unit(),
                    b: world.random.unit(),
                    c: world.random.unit(),
                    d: world.random.unit(),
                    threshold: f32::NAN,
                })
                .collect();
            let before = world.lane();
            let mut expected = before;
            for (i, limit) in limits.iter().enumerate() {
                for (r, most) in expected.iter_mut().enumerate() {
                    let (n, p) = (world.panel.norm[r], world.panel.residual[r]);
                    let error = limit.a + n * (limit.b + n * limit.c);
                    let dot = world.dot(first + i, r) as f32 * world.panel.factor[r];
                    let bound = dot * limit.scale + error + limit.d * p;
                    *most = most.max(bound);
                }
            }
            let mut most = before;
            k.raise(&world.panel, &world.queries, first, &limits, &mut most);
            assert_eq!(bits(&most), bits(&expected), "{}: dim {dim}", k.isa());
            assert!(limits.is_empty() || most != before);
        }
    }
}

#[test]
fn spent_squares_are_those_of_the_definition() {
    for k in kernels() {
        for (dim, queries, first) in SHAPES {
            let mut world = World::new(k, dim, queries, 77 + dim as u64);
            let directions: Vec<Direction> = (0..(queries - first) / 2)
                .map(|_| Direction {
                    coarse: world.random.unit() / 100.0,
                    fine: world.random.unit() / 10_000.0,
                    constant: world.random.unit(),
                })
                .collect();
            let before = world.lane().map(f32::abs);
            let mut expected = before;
            for (i, along) in directions.iter().enumerate() {
                let at = first + 2 * i;
                for (r, square) in expected.iter_mut().enumerate() {
                    let (coarse, fine) = (world.dot(at, r) as f32, world.dot(at + 1, r) as f32);
                    let sum = coarse * along.coarse + fine * along.fine;
                    let component = sum * world.panel.factor[r] + along.constant;
                    *square += component * component;
                }
            }
            let mut squares = before;
            k.spend(
                &world.panel,
                &world.queries,
                first,
                &directions,
                &mut squares,
            );
            assert_eq!(bits(&squares), bits(&expected), "{}: dim {dim}", k.isa());
        }
    }
}

#[test]
fn logarithms_of_what_is_left_are_bounds_and_the_same_everywhere() {
    let mut random = Random::new(5);
    let mut first: Vec<Vec<u32>> = Vec::new();
    let cases: Vec<(Lane, Lane, Lane, Left)> = (0..200)
        .map(|i| {
            let mut lane =
                |scale: f32| -> Lane { std::array::from_fn(|_| random.unit().abs() * scale) };
            let (whole, residuals) = (lane(1.0), lane(0.01));
            // Some rows are spent to nearly nothing, some beyond it by rounding.
            let spent: Lane = std::array::from_fn(|r| match r % 3 {
                0 => whole[r] * (1.0 - 1e-6),
                1 => whole[r] * (1.0 + 1e-6),
                _ => whole[r] * random.unit().abs(),
            });
            let left = Left {
                rounding: 1e-7,
                residual: if i % 2 == 0 { 1.0 } else { 0.0 },
                slack: 1e-6,
                floor: 1e-6,
            };
            (whole, spent, residuals, left)
        })
        .collect();
    for k in kernels() {
        let mut found = Vec::new();
        for (whole, spent, residuals, left) in &cases {
            let mut logs = [f32::NAN; PANEL_ROWS];
            k.log_left(whole, spent, residuals, *left, &mut logs);
            for r in 0..PANEL_ROWS {
                let rest = (f64::from(whole[r]) - f64::from(spent[r])).max(0.0);
                let length = (rest + f64::from(left.rounding)).sqrt()
                    + f64::from(left.residual) * f64::from(residuals[r])
                    + f64::from(left.slack);
                let exact = (length * length).clamp(1e-6, 1.0).ln();
                let got = f64::from(logs[r]);
                // The difference of `whole` and `spent` is float32, as its callers allow for by `rounding`.
                let room = 2.0 * f64::from(f32::EPSILON) * f64::from(whole[r]) / (length * length);
                assert!(
                    got >= exact - room && got <= exact + 1e-5 + room,
                    "{}: row {r}: {got} for {exact}",
                    k.isa()
                );
            }
            found.push(bits(&logs));
        }
        if first.is_empty() {
            first = found;
        } else {
            assert!(first == found, "{}: other bits", k.isa());
        }
    }
}

#[test]
fn subtraction_rounds_twice_per_component() {
    for k in kernels() {
        let mut random = Random::new(9);
        for dim in (0..=70).chain([384, 1001]) {
            let (x, y, factor) = (random.floats(dim), random.floats(dim), random.unit());
            let codes = random.codes(dim);
            let mut from_floats = x.clone();
            k.subtract(&mut from_floats, factor, &y);
            let mut from_codes = x.clone();
            k.subtract_codes(&mut from_codes, factor, &codes);
            for i in 0..dim {
                let product = factor * y[i];
                assert_eq!(
                    from_floats[i].to_bits(),
                    (x[i] - product).to_bits(),
                    "{}",
                    k.isa()
                );
                let product = factor * f32::from(codes[i]);
                assert_eq!(
                    from_codes[i].to_bits(),
                    (x[i] - product).to_bits(),
                    "{}",
                    k.isa()
                );
            }
        }
    }
}

#[test]
#[should_panic(expected = "vectors must have one length; got 3 and 2")]
fn vectors_of_two_lengths_are_refused() {
    Kernels::get().subtract(&mut [1.0; 3], 1.0, &[1.0; 2]);
}

#[test]
fn the_first_of_the_largest_values_is_found() {
    let mut values = [f64::NEG_INFINITY; PANEL_ROWS];
    assert_eq!(perso_kernels::first_largest(&values), None);
    for (at, value) in [(63, -2.0), (40, -1.0), (41, -1.0), (7, 0.5), (0, 0.5)] {
        values[at] = value;
        let found = values.iter().position(|&v| v == value).unwrap();
        assert_eq!(
            perso_kernels::first_largest(&values),
            Some((value, found as u32))
        );
    }
}
