//! Every kind of exploration: exact laws by enumeration.
//!
//! Enumerations walk every slate of a small pool through the explorer that a policy makes, with a value
//! that depends on the slots above and a cap, and multiply what it states.

mod rank_support;

use std::collections::BTreeMap;

use perso_core::rank::explore::{of_policy, SlotView};
use perso_core::rank::rng::Draws;
use perso_core::rank::{Candidates, Signals};
use rank_support::shop::*;
use rank_support::*;
use serde_json::{json, Value};

// --- every slate of a small pool ------------------------------------------------------------------------

/// A slot's eligible set by score, its values and its greedy choice, after a prefix: a value that falls
/// with the number of items of the same shelf above, and at most two of a shelf.
fn state(scores: &[f64], prefix: &[u32]) -> (Vec<u32>, Vec<f64>, usize) {
    let shelf = |e: u32| e % 3;
    let taken = |e: u32| prefix.iter().filter(|&&p| shelf(p) == shelf(e)).count();
    let mut eligible: Vec<u32> = (0..scores.len() as u32)
        .filter(|e| !prefix.contains(e) && taken(*e) < 2)
        .collect();
    eligible.sort_by(|&a, &b| {
        scores[b as usize]
            .total_cmp(&scores[a as usize])
            .then(a.cmp(&b))
    });
    let values: Vec<f64> = eligible
        .iter()
        .map(|&e| scores[e as usize] - 0.4 * taken(e) as f64)
        .collect();
    let best = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let greedy = values.iter().position(|&v| v == best).unwrap();
    (eligible, values, greedy)
}

/// What an explorer states of every slate of `k`: the product of its slots' probabilities.
fn laws(source: &Candidates, explore: &Value, scores: &[f64], k: usize) -> BTreeMap<Vec<u32>, f64> {
    let plan = policy(plan_of(explore, 0.0));
    let signals = Signals::new();
    let rows: Vec<u32> = (0..scores.len() as u32).collect();
    let mut done = BTreeMap::new();
    let mut open = vec![(Vec::new(), 1.0)];
    while let Some((prefix, p)) = open.pop() {
        let mut explorer = of_policy(source, &plan, &signals, 0).unwrap();
        explorer.extend(&rows).unwrap();
        let mut law = Vec::new();
        let mut eligible = Vec::new();
        for slot in 0..=prefix.len() {
            let (now, values, greedy) = state(scores, &prefix[..slot]);
            let view = SlotView {
                slot: slot as u64,
                eligible: &now,
                scores,
                values: &values,
                greedy,
            };
            match prefix.get(slot) {
                Some(entry) => {
                    let position = now.iter().position(|e| e == entry).unwrap();
                    explorer.took(&view, position);
                }
                None => law = explorer.probabilities(&view).unwrap(),
            }
            eligible = now;
        }
        assert_eq!(law.len(), eligible.len());
        let sum: f64 = law.iter().sum();
        assert!(
            (sum - 1.0).abs() < 1e-12,
            "{explore} after {prefix:?}: {sum}"
        );
        assert!(law.iter().all(|p| (0.0..=1.0).contains(p)));
        for (&entry, q) in eligible.iter().zip(law) {
            let mut longer = prefix.clone();
            longer.push(entry);
            if longer.len() == k {
                done.insert(longer, p * q);
            } else if q > 0.0 {
                open.push((longer, p * q));
            }
        }
    }
    done
}

fn scores_of(n: usize) -> Vec<f64> {
    let mut noise = Noise(5);
    (0..n).map(|_| noise.next()).collect()
}

#[test]
fn the_slates_of_a_small_pool_have_probability_one_together() {
    let source = straight(6);
    for explore in exact_kinds() {
        for k in [1, 2, 4] {
            let total: f64 = laws(&source, &explore, &scores_of(6), k).values().sum();
            assert!((total - 1.0).abs() < 1e-12, "{explore}: {total}");
        }
    }
}

#[test]
fn one_coin_a_slate_is_a_mixture_of_two_slates() {
    // (1 - eps) [greedy] + eps (product of 1 / n): stated without conditional probabilities.
    let source = straight(6);
    let scores = scores_of(6);
    for epsilon in [0.0, 0.25, 0.9, 1.0] {
        let explore = json!({"kind": "epsilon_greedy", "epsilon": epsilon, "per": "slate"});
        for (slate, p) in laws(&source, &explore, &scores, 4) {
            let (mut greedy, mut random) = (1.0, 1.0);
            for slot in 0..4 {
                let (eligible, _, best) = state(&scores, &slate[..slot]);
                greedy *= f64::from(u8::from(eligible[best] == slate[slot]));
                random /= eligible.len() as f64;
            }
            let expected = (1.0 - epsilon) * greedy + epsilon * random;
            assert!(
                (p - expected).abs() < 1e-15,
                "{slate:?}: {p}, not {expected}"
            );
        }
    }
    // Kept to slots 0 and 2, the random slate is greedy elsewhere.
    let explore = json!({"kind": "epsilon_greedy", "epsilon": 0.6, "per": "slate",
        "scope": {"slots": [0, 2], "only": null}});
    for (slate, p) in laws(&source, &explore, &scores, 3) {
        let (mut greedy, mut random) = (1.0, 1.0);
        for slot in 0..3 {
            let (eligible, _, best) = state(&scores, &slate[..slot]);
            let is_greedy = f64::from(u8::from(eligible[best] == slate[slot]));
            greedy *= is_greedy;
            random *= if slot == 1 {
                is_greedy
            } else {
                1.0 / eligible.len() as f64
            };
        }
        let expected = 0.4 * greedy + 0.6 * random;
        assert!(
            (p - expected).abs() < 1e-15,
            "{slate:?}: {p}, not {expected}"
        );
    }
}

#[test]
fn plackett_luce_is_its_textbook_formula() {
    let source = straight(6);
    let scores = scores_of(6);
    let law = laws(
        &source,
        &json!({"kind": "plackett_luce", "temperature": 0.7}),
        &scores,
        3,
    );
    for (slate, p) in law {
        let mut expected = 1.0;
        for slot in 0..3 {
            let (eligible, ..) = state(&scores, &slate[..slot]);
            let weight = |e: u32| (scores[e as usize] / 0.7).exp();
            expected *= weight(slate[slot]) / eligible.iter().map(|&e| weight(e)).sum::<f64>();
        }
        assert!(
            (p / expected - 1.0).abs() < 1e-13,
            "{slate:?}: {p}, not {expected}"
        );
    }
}

#[test]
fn a_scope_leaves_the_rest_greedy() {
    let source = straight(6);
    let scores = scores_of(6);
    let only = json!({"kind": "softmax", "temperature": 0.5,
        "scope": {"slots": [1], "only": {"fresh": true}}});
    for (slate, p) in laws(&source, &only, &scores, 3) {
        let mut expected = 1.0;
        for slot in 0..3 {
            let (eligible, values, best) = state(&scores, &slate[..slot]);
            let is_open = |i: usize| i == best || (slot == 1 && eligible[i] % 2 == 0);
            let weight = |i: usize| f64::from(u8::from(is_open(i))) * (values[i] / 0.5).exp();
            let at = eligible.iter().position(|&e| e == slate[slot]).unwrap();
            expected *= weight(at) / (0..eligible.len()).map(weight).sum::<f64>();
        }
        assert!(
            (p - expected).abs() < 1e-14,
            "{slate:?}: {p}, not {expected}"
        );
    }
}

#[test]
fn a_softmax_survives_every_temperature_and_value() {
    let source = straight(4);
    let signals = Signals::new();
    for temperature in [f64::MIN_POSITIVE, 1e-9, 1.0, f64::MAX] {
        for values in [
            [0.0, 0.0, 0.0, 0.0],
            [f64::MAX, 1.0, -1.0, f64::MIN],
            [3.0, f64::NEG_INFINITY, 2.0, f64::NEG_INFINITY],
            [f64::NEG_INFINITY; 4],
        ] {
            let plan = policy(plan_of(
                &json!({"kind": "softmax", "temperature": temperature}),
                0.0,
            ));
            let explorer = of_policy(&source, &plan, &signals, 0).unwrap();
            let view = SlotView {
                slot: 0,
                eligible: &[0, 1, 2, 3],
                scores: &[0.0; 4],
                values: &values,
                greedy: 0,
            };
            let law = explorer.probabilities(&view).unwrap();
            assert!((law.iter().sum::<f64>() - 1.0).abs() < 1e-15, "{law:?}");
            for i in 0..50 {
                let draw = explorer.draw(&view, &Draws::new(i, ""));
                assert_eq!(draw.propensity, law[draw.position]);
                assert!(draw.propensity > 0.0);
                assert_eq!(
                    draw.support as usize,
                    law.iter().filter(|&&p| p > 0.0).count()
                );
            }
        }
    }
}

#[test]
fn a_softmax_has_these_bits() {
    // On every platform: the exponential, the order of the sum and the draw are part of the format.
    let source = straight(4);
    let plan = policy(plan_of(
        &json!({"kind": "softmax", "temperature": 0.3}),
        0.0,
    ));
    let signals = Signals::new();
    let explorer = of_policy(&source, &plan, &signals, 0).unwrap();
    let view = SlotView {
        slot: 1,
        eligible: &[2, 0, 3, 1],
        scores: &[0.0; 4],
        values: &[0.9, 0.7, 0.35, -0.2],
        greedy: 0,
    };
    let law: Vec<u64> = explorer
        .probabilities(&view)
        .unwrap()
        .iter()
        .map(|p| p.to_bits())
        .collect();
    assert_eq!(law, SOFTMAX_BITS, "{law:#x?}");
    let drawn: Vec<usize> = (0..12)
        .map(|seed| explorer.draw(&view, &Draws::new(seed, "r")).position)
        .collect();
    assert_eq!(drawn, SOFTMAX_DRAWN, "{drawn:?}");
}

const SOFTMAX_BITS: [u64; 4] = [
    0x3fe2_d60f_caf1_af92,
    0x3fd3_5775_423a_2a62,
    0x3fb8_1799_98e3_f774,
    0x3f8e_d098_352f_13cc,
];
const SOFTMAX_DRAWN: [usize; 12] = [2, 0, 1, 1, 1, 1, 0, 1, 2, 3, 1, 0];

#[test]
fn a_rare_items_propensity_is_estimated_as_well() {
    // Two Gaussians: P(first wins) = Phi((m1 - m2) / sqrt(s1^2 + s2^2)).
    for (means, stds, within) in [
        ([0.0, 4.0], [1.0, 1.0], 1e-3),
        ([0.0, 1.0], [1.0, 0.3], 3e-2),
        ([0.0, 1.0], [0.3, 1.0], 1e-3),
        ([0.0, 1.2], [0.4, 0.0], 0.8),
    ] {
        let pick = |values: [f64; 2]| floats(&values.map(Some));
        let source = items(
            1,
            vec![1.0; 2],
            vec![
                ("quality".into(), pick([0.0; 2])),
                ("shelf".into(), texts(&["x", "y"])),
                ("mean".into(), pick(means)),
                ("std".into(), pick(stds)),
            ],
        );
        let explore = json!({"kind": "thompson_sampling", "weight": 1.0, "replace": true, "draws": 256,
            "posterior": {"kind": "gaussian", "mean": "mean", "std": "std", "prior": null}});
        let mut plan = plan_of(&explore, 0.0);
        plan["diversity"] = json!(null);
        let plan = policy(plan);
        let signals = Signals::new();
        let mut explorer = of_policy(&source, &plan, &signals, 0).unwrap();
        explorer.extend(&[0, 1]).unwrap();
        let view = SlotView {
            slot: 0,
            eligible: &[0, 1],
            scores: &[0.0; 2],
            values: &[],
            greedy: 0,
        };
        let z = (means[0] - means[1]) / (stds[0] * stds[0] + stds[1] * stds[1]).sqrt();
        let exact = perso_core::rank::explore::special::normal_cdf(z);
        let mut rare = 0;
        let mut sum = 0.0;
        for seed in 0..10_000 {
            let draw = explorer.draw(&view, &Draws::new(seed, ""));
            if draw.position == 0 {
                rare += 1;
                sum += draw.propensity;
                let error = (draw.propensity / exact - 1.0).abs();
                assert!(
                    error < within,
                    "{means:?} {stds:?}: {} and {exact}",
                    draw.propensity
                );
            }
        }
        // Drawn as often as stated, within five standard deviations, and stated without bias.
        let expected = 10_000.0 * exact;
        assert!(
            (f64::from(rare) - expected).abs() < 5.0 * expected.sqrt(),
            "{rare}"
        );
        assert!((sum / f64::from(rare) / exact - 1.0).abs() < 0.2);
    }
}
