//! DPP, its windowed form and Spread: lazy evaluation against full evaluation to the bit, and values
//! against determinants and Gram-Schmidt processes written from the definitions in float64.

mod rank_support;

use perso_core::ids::Ids;
use perso_core::metric::Metric;
use perso_core::rank::diversity::{Diversity, Dpp, Spread, WindowedDpp};
use perso_core::rank::{Candidates, Source};
use proptest::prelude::*;
use rank_support::*;

const FLOOR: f64 = 1e-6;

fn source(vectors: &[Vec<f32>]) -> Candidates {
    Candidates::new(
        Ids::Int((0..vectors.len() as i64).collect()),
        vec![(
            space("v", vectors[0].len(), Metric::Cosine),
            vectors.concat(),
        )],
        None,
        vec![],
    )
    .unwrap()
}

/// Vectors of which some are equal, some opposite and one is zero.
fn vectors(n: usize, dim: usize, seed: u64, coarse: bool) -> Vec<Vec<f32>> {
    let mut noise = Noise(seed);
    let mut out: Vec<Vec<f32>> = (0..n)
        .map(|_| {
            let v = noise.vector(dim);
            if coarse {
                v.iter().map(|x| (x * 1.5).round()).collect()
            } else {
                v
            }
        })
        .collect();
    if n >= 12 {
        out[n / 2] = vec![0.0; dim];
        out[n / 3] = out[0].clone();
        out[n / 4] = out[n - 1].iter().map(|x| -x).collect();
    }
    out
}

fn relevance(scores: &[f64], first: usize) -> Vec<f64> {
    let low = scores[..first].iter().copied().reduce(f64::min).unwrap();
    let span = scores[..first].iter().copied().reduce(f64::max).unwrap() - low;
    scores
        .iter()
        .map(|score| {
            if span > 0.0 {
                (score - low) / span
            } else {
                0.0
            }
        })
        .collect()
}

fn kernel(source: &dyn Source, a: u32, b: u32) -> f64 {
    if a == b {
        return 1.0;
    }
    let mut out = [0.0f32];
    source.cosine(0, a, &[b], &mut out);
    (1.0 + f64::from(out[0])) / 2.0
}

/// By Gaussian elimination with pivoting.
fn determinant(source: &dyn Source, rows: &[u32]) -> f64 {
    let n = rows.len();
    let mut m: Vec<Vec<f64>> = rows
        .iter()
        .map(|&a| rows.iter().map(|&b| kernel(source, a, b)).collect())
        .collect();
    let mut out = 1.0;
    for c in 0..n {
        let pivot = (c..n)
            .max_by(|&a, &b| m[a][c].abs().total_cmp(&m[b][c].abs()))
            .unwrap();
        if m[pivot][c] == 0.0 {
            return 0.0;
        }
        if pivot != c {
            m.swap(pivot, c);
            out = -out;
        }
        out *= m[c][c];
        for r in c + 1..n {
            let factor = m[r][c] / m[c][c];
            let (above, below) = m.split_at_mut(r);
            for (x, y) in below[0][c..].iter_mut().zip(&above[c][c..]) {
                *x -= factor * y;
            }
        }
    }
    out
}

/// What share of item `i` is new beside `shown`, of which those that add nothing are left out.
fn new_share(source: &dyn Source, shown: &[u32], i: u32) -> f64 {
    let mut kept: Vec<u32> = Vec::new();
    let ratio = |kept: &[u32], i: u32| {
        let with: Vec<u32> = kept.iter().copied().chain([i]).collect();
        determinant(source, &with) / determinant(source, kept)
    };
    for &row in shown {
        if ratio(&kept, row) >= FLOOR {
            kept.push(row);
        }
    }
    ratio(&kept, i)
}

/// The length of what is left of item `i`: Huang et al.'s process over explicit vectors, which are
/// changed in place, each slot's direction being added back when it leaves the window.
fn sliding_length(vectors: &[Vec<f32>], shown: &[u32], window: usize, i: u32) -> f64 {
    let unit = |v: &[f32]| -> Vec<f64> {
        let norm = v.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        // A zero vector is as unlike to all others as orthogonal ones are: give it an axis of its own.
        let own = if norm == 0.0 { 1.0 } else { 0.0 };
        v.iter()
            .map(|&x| {
                if norm == 0.0 {
                    0.0
                } else {
                    f64::from(x) / norm
                }
            })
            .chain([own, 1.0])
            .map(|x| x / 2f64.sqrt())
            .collect()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let mut left: Vec<Vec<f64>> = vectors.iter().map(|v| unit(v)).collect();
    let mut queue: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    for &row in shown {
        let basis = left[row as usize].clone();
        if queue.len() == window {
            let (old, shares) = queue.remove(0);
            for (v, share) in left.iter_mut().zip(&shares) {
                v.iter_mut().zip(&old).for_each(|(x, b)| *x += share * b);
            }
        }
        let square = dot(&basis, &basis);
        let shares: Vec<f64> = left
            .iter()
            .map(|v| {
                if square < FLOOR {
                    0.0
                } else {
                    dot(v, &basis) / square
                }
            })
            .collect();
        for (v, share) in left.iter_mut().zip(&shares) {
            v.iter_mut().zip(&basis).for_each(|(x, b)| *x -= share * b);
        }
        queue.push((basis, shares));
    }
    let v = &left[i as usize];
    dot(v, v).sqrt()
}

/// One slate: what is open, a deepening in slot 4, a cap after every third slot, and now and then a
/// choice that is not the greedy one.
#[derive(Debug)]
struct Course {
    n: usize,
    late: usize,
    scores: Vec<f64>,
    explored: Vec<Option<prop::sample::Index>>,
}

impl Course {
    /// Follows it, and hands over each slot: what is open, what was chosen, and the best of it.
    fn follow<D: Diversity>(
        &self,
        lazy: &mut D,
        mut check: impl FnMut(&mut D, &[u32], &[u32], usize) -> Result<(), TestCaseError>,
    ) -> Result<(), TestCaseError> {
        let rows: Vec<u32> = (0..(self.n + self.late) as u32).collect();
        lazy.extend(&rows[..self.n], &self.scores[..self.n], 0);
        let sort = |open: &mut Vec<u32>| {
            open.sort_by(|&a, &b| {
                let by = self.scores[b as usize].total_cmp(&self.scores[a as usize]);
                by.then(a.cmp(&b))
            });
        };
        let mut open = rows[..self.n].to_vec();
        sort(&mut open);
        let mut chosen = Vec::new();
        for (t, explored) in self.explored.iter().enumerate() {
            if t == 4 {
                lazy.extend(&rows, &self.scores, self.n);
                open.extend_from_slice(&rows[self.n..]);
                sort(&mut open);
            }
            if open.is_empty() {
                break;
            }
            let best = lazy.best(&open);
            check(lazy, &open, &chosen, best)?;
            let pick = open.remove(explored.map_or(best, |i| i.index(open.len())));
            lazy.chosen(pick);
            chosen.push(pick);
            if t % 3 == 2 {
                open.retain(|entry| entry % 11 != pick % 11);
            }
        }
        Ok(())
    }
}

/// The first of the largest.
fn argmax(values: &[f64]) -> usize {
    (0..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

fn courses() -> impl Strategy<Value = (Course, u64, bool)> {
    (
        1usize..60,
        0usize..20,
        any::<u64>(),
        any::<bool>(),
        prop::collection::vec(
            prop::option::weighted(0.2, any::<prop::sample::Index>()),
            25,
        ),
    )
        .prop_map(|(n, late, seed, coarse, explored)| {
            let mut noise = Noise(!seed);
            let scores = (0..n + late)
                .map(|_| {
                    if coarse {
                        (noise.next() * 3.0).round()
                    } else {
                        noise.next()
                    }
                })
                .collect();
            let course = Course {
                n,
                late,
                scores,
                explored,
            };
            (course, seed, coarse)
        })
}

/// The kinds by number, behind one type.
fn kind<'a>(
    which: usize,
    source: &'a dyn Source,
    diversity: f64,
    window: usize,
) -> Box<dyn Diversity + 'a> {
    match which {
        0 => Box::new(Dpp::new(source, 0, diversity)),
        1 => Box::new(WindowedDpp::new(source, 0, diversity, window)),
        _ => Box::new(Spread::new(source, 0, diversity, window)),
    }
}

/// A box is a Diversity too, for `follow`.
struct Boxed<'a>(Box<dyn Diversity + 'a>);

impl Diversity for Boxed<'_> {
    fn extend(&mut self, rows: &[u32], scores: &[f64], first: usize) {
        self.0.extend(rows, scores, first);
    }

    fn value(&mut self, entry: u32) -> f64 {
        self.0.value(entry)
    }

    fn values(&mut self, open: &[u32], out: &mut Vec<f64>) {
        self.0.values(open, out);
    }

    fn chosen(&mut self, entry: u32) {
        self.0.chosen(entry);
    }

    fn best(&mut self, open: &[u32]) -> usize {
        self.0.best(open)
    }
}

proptest! {
    #[test]
    fn lazy_is_eager(
        (course, seed, coarse) in courses(),
        which in 0usize..3,
        diversity in prop_oneof![Just(1.0), 0.001..1.0f64],
        window in 1usize..12,
        dim in 2usize..9,
    ) {
        let vectors = vectors(course.n + course.late, dim, seed, coarse);
        let source = source(&vectors);
        let mut lazy = Boxed(kind(which, &source, diversity, window));
        course.follow(&mut lazy, |lazy, open, chosen, best| {
            // The same course, every value asked for in every slot.
            let mut eager = kind(which, &source, diversity, window);
            let rows: Vec<u32> = (0..(course.n + course.late) as u32).collect();
            eager.extend(&rows[..course.n], &course.scores[..course.n], 0);
            for (t, &entry) in chosen.iter().enumerate() {
                if t == 4 {
                    eager.extend(&rows, &course.scores, course.n);
                }
                for other in 0..(if t < 4 { course.n } else { rows.len() }) as u32 {
                    if !chosen[..t].contains(&other) {
                        eager.value(other);
                    }
                }
                eager.chosen(entry);
            }
            if chosen.len() == 4 {
                eager.extend(&rows, &course.scores, course.n);
            }
            let mut values = Vec::new();
            eager.values(open, &mut values);
            prop_assert!(values.iter().all(|value| value.is_finite()));
            prop_assert_eq!(best, argmax(&values), "slot {}", chosen.len());
            prop_assert_eq!(lazy.value(open[best]).to_bits(), values[best].to_bits());
            if chosen.len() % 8 == 7 {
                for (&entry, value) in open.iter().zip(&values) {
                    prop_assert_eq!(lazy.value(entry).to_bits(), value.to_bits());
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn spread_is_the_sliding_gram_schmidt_process(
        (course, seed, _) in courses(),
        diversity in 0.05..1.0f64,
        window in 1usize..8,
    ) {
        let vectors = vectors(course.n + course.late, 40, seed, false);
        let source = source(&vectors);
        let rel = relevance(&course.scores, course.n);
        let mut lazy = Spread::new(&source, 0, diversity, window);
        course.follow(&mut lazy, |lazy, open, chosen, best| {
            let values: Vec<f64> = open
                .iter()
                .map(|&i| {
                    (1.0 - diversity) * rel[i as usize]
                        + diversity * sliding_length(&vectors, chosen, window, i)
                })
                .collect();
            for (&i, &value) in open.iter().zip(&values) {
                // The root of a rounding error of a float32 cosine.
                prop_assert!((lazy.value(i) - value).abs() < 1e-3, "{} {}", lazy.value(i), value);
            }
            let top = values[argmax(&values)];
            prop_assert!(values[best] > top - 1e-3, "{} is not {}", values[best], top);
            Ok(())
        })?;
    }
}

proptest! {
    // Determinants of every set, made anew, take their time.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn dpp_is_the_determinant(
        (course, seed, _) in courses(),
        diversity in 0.05..1.0f64,
        window in prop::option::of(1usize..8),
    ) {
        // More dimensions than slots: determinants stay far from 0, save for the equal vectors.
        let vectors = vectors(course.n + course.late, 40, seed, false);
        let source = source(&vectors);
        let rel = relevance(&course.scores, course.n);
        let mut lazy = Boxed(match window {
            None => kind(0, &source, diversity, 0),
            Some(window) => kind(1, &source, diversity, window),
        });
        course.follow(&mut lazy, |lazy, open, chosen, best| {
            if chosen.len() > 9 {
                return Ok(());
            }
            let near = &chosen[chosen.len().saturating_sub(window.unwrap_or(usize::MAX))..];
            let shares: Vec<f64> = open.iter().map(|&i| new_share(&source, near, i)).collect();
            let values: Vec<f64> = open
                .iter()
                .zip(&shares)
                .map(|(&i, share)| {
                    (1.0 - diversity) * rel[i as usize] + diversity * share.max(FLOOR).ln()
                })
                .collect();
            for ((&i, &value), &share) in open.iter().zip(&values).zip(&shares) {
                if !(FLOOR / 4.0..=1e-3).contains(&share) {
                    prop_assert!((lazy.value(i) - value).abs() < 1e-9, "{} {}", lazy.value(i), value);
                }
            }
            let top = values[argmax(&values)];
            prop_assert!(values[best] > top - 1e-9, "{} is not {}", values[best], top);
            Ok(())
        })?;
    }
}

fn two_pairs() -> Candidates {
    source(&[
        vec![1.0, 0.0, 0.0],
        vec![1.0, 0.0, 0.0],
        vec![0.0, 1.0, 0.0],
        vec![0.0, 1.0, 0.0],
        vec![-1.0, 0.0, 0.0],
    ])
}

fn order(mut diversity: impl Diversity, scores: &[f64]) -> Vec<u32> {
    let rows: Vec<u32> = (0..scores.len() as u32).collect();
    diversity.extend(&rows, scores, 0);
    let mut open = rows;
    let mut out = Vec::new();
    while !open.is_empty() {
        let entry = open.remove(diversity.best(&open));
        diversity.chosen(entry);
        out.push(entry);
    }
    out
}

#[test]
fn duplicates_come_last_and_by_score() {
    let source = two_pairs();
    let scores = [1.0, 0.9, 0.8, 0.7, 0.0];
    assert_eq!(order(Dpp::new(&source, 0, 0.5), &scores), [0, 2, 4, 1, 3]);
    // Worth 13.8 d less than something new: at 0.005 that is less than the score between them.
    assert_eq!(order(Dpp::new(&source, 0, 0.005), &scores), [0, 1, 2, 3, 4]);
}

#[test]
fn a_window_forgets() {
    let source = two_pairs();
    let scores = [1.0, 0.9, 0.8, 0.7, 0.0];
    // With one slot to look back at, an item's twin is welcome again after another item.
    assert_eq!(
        order(WindowedDpp::new(&source, 0, 0.5, 1), &scores)[..4],
        [0, 2, 1, 3]
    );
    assert_eq!(
        order(WindowedDpp::new(&source, 0, 0.5, 50), &scores),
        order(Dpp::new(&source, 0, 0.5), &scores)
    );
    assert_eq!(
        order(Spread::new(&source, 0, 0.5, 1), &scores)[..4],
        [0, 2, 1, 3]
    );
    assert_eq!(
        order(Spread::new(&source, 0, 1.0, 50), &scores)[..2],
        [0, 4]
    );
}
