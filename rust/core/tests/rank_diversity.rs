//! MMR's lazy evaluation against the definition evaluated in full at every step, to the bit.

mod rank_support;

use perso_core::ids::Ids;
use perso_core::metric::Metric;
use perso_core::rank::diversity::{Diversity, Mmr, Relevance};
use perso_core::rank::{Candidates, Source};
use proptest::prelude::*;
use rank_support::*;

/// The definition: every open entry against every chosen one, each time.
struct Eager<'a> {
    source: &'a dyn Source,
    diversity: f64,
    rows: Vec<u32>,
    scores: Vec<f64>,
    first: usize,
    chosen: Vec<u32>,
}

impl Eager<'_> {
    fn value(&self, entry: u32) -> f64 {
        let first = &self.scores[..self.first];
        let low = first.iter().copied().reduce(f64::min).unwrap();
        let span = first.iter().copied().reduce(f64::max).unwrap() - low;
        let relevance = if span > 0.0 {
            (self.scores[entry as usize] - low) / span
        } else {
            0.0
        };
        let row = self.rows[entry as usize];
        let similarity = self
            .chosen
            .iter()
            .map(|&chosen| {
                let mut out = [0.0f32];
                self.source.cosine(0, chosen, &[row], &mut out);
                f64::from(out[0])
            })
            .reduce(f64::max)
            .unwrap_or(0.0);
        (1.0 - self.diversity) * relevance - self.diversity * similarity
    }

    fn best(&self, open: &[u32]) -> usize {
        let mut best = 0;
        for i in 1..open.len() {
            if self.value(open[i]) > self.value(open[best]) {
                best = i;
            }
        }
        best
    }
}

fn source(n: usize, seed: u64, coarse: bool) -> Candidates {
    let mut noise = Noise(seed);
    // Coarse coordinates make many equal vectors, hence many ties; the last one is zero.
    let mut vectors: Vec<f32> = (0..3 * n)
        .map(|_| {
            if coarse {
                (noise.next() * 2.0).round() as f32
            } else {
                noise.next() as f32
            }
        })
        .collect();
    vectors[3 * n - 3..].fill(0.0);
    Candidates::new(
        Ids::Int((0..n as i64).collect()),
        vec![(space("v", 3, Metric::Cosine), vectors)],
        None,
        vec![],
    )
    .unwrap()
}

proptest! {
    #[test]
    fn lazy_is_eager(
        n in 1usize..150,
        late in 0usize..40,
        seed in any::<u64>(),
        coarse in any::<bool>(),
        diversity in prop_oneof![Just(1.0), 0.001..1.0f64],
        explored in prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 25),
    ) {
        let source = source(n + late, seed, coarse);
        let rows: Vec<u32> = (0..(n + late) as u32).rev().collect();
        let mut noise = Noise(!seed);
        let scores: Vec<f64> = rows
            .iter()
            .map(|_| if coarse { (noise.next() * 3.0).round() } else { noise.next() })
            .collect();
        let mut lazy = Mmr::new(&source, 0, diversity);
        lazy.extend(&rows[..n], &scores[..n], 0);
        let mut eager = Eager {
            source: &source,
            diversity,
            rows: rows.clone(),
            scores: scores.clone(),
            first: n,
            chosen: vec![],
        };
        let mut open: Vec<u32> = (0..n as u32).collect();
        let sort = |open: &mut Vec<u32>| {
            open.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b)));
        };
        sort(&mut open);
        for (t, explored) in explored.iter().enumerate() {
            if t == 7 {
                lazy.extend(&rows, &scores, n);
                open.extend(n as u32..(n + late) as u32);
                sort(&mut open);
            }
            if open.is_empty() {
                break;
            }
            let best = lazy.best(&open);
            prop_assert_eq!(best, eager.best(&open), "slot {}", t);
            let value = lazy.value(open[best]);
            prop_assert_eq!(value.to_bits(), eager.value(open[best]).to_bits());
            let chosen = open.remove(explored.map_or(best, |i| i.index(open.len())));
            lazy.chosen(chosen);
            eager.chosen.push(rows[chosen as usize]);
            // A cap takes away some of the rest.
            if t % 5 == 4 {
                open.retain(|entry| entry % 7 != chosen % 7);
            }
        }
        for &entry in &open {
            prop_assert_eq!(lazy.value(entry).to_bits(), eager.value(entry).to_bits());
        }
    }
}

#[test]
fn relevance_takes_the_first() {
    let mut relevance = Relevance::default();
    relevance.extend(&[5, 6, 7], &[0.5, 2.0, 1.0], 0);
    assert_eq!(relevance.best(&[1, 2, 0]), 0);
    assert_eq!(relevance.value(2), 1.0);
}

#[test]
fn diversity_trades_score_for_distance() {
    // Two pairs of twins: without diversity the better pair, with it one of each.
    let source = items(2, vec![1.0, 0.0, 1.0, 0.1, 0.0, 1.0, 0.1, 1.0], vec![]);
    let plan = |diversity: f64| {
        policy(serde_json::json!({
            "score": {"signals": [{"name": "similarity", "kind": "similarity", "weight": 1.0, "normalize": "minmax"}]},
            "diversity": {"kind": "mmr", "diversity": diversity},
        }))
    };
    let asked = request(&source, Some(vec![("content", vec![1.0, 0.5])]), 4);
    let by = |diversity: f64| int_ids(&ranked(&source, &plan(diversity), &asked));
    assert_eq!(by(0.0), [1, 0, 3, 2]);
    assert_eq!(by(0.7)[..2], [1, 2]);
    let slate = ranked(&source, &plan(0.7), &asked);
    assert!(
        !slate.reasons()[0].contains("variety")
            && slate.reasons()[1].contains("chosen for variety")
    );
}
