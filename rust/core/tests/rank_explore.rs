//! Draws: their stream, their fairness, and whether their frequencies are the stated propensities.
//!
//! Each statistical test here asks that a chi-square statistic has a p-value above 1e-6. With a seed
//! that is fixed it always gives the same answer; for one in a million seeds a correct library would
//! fail it. Each is run against a wrong distribution as well, which it must reject.

mod rank_support;

use std::collections::BTreeMap;

use perso_core::ids::Id;
use perso_core::rank::explore::{EpsilonGreedy, Explore, Greedy, SlotView};
use perso_core::rank::rng::Draws;
use perso_core::rank::{rank_many, Candidates, Request};
use rank_support::chi::*;
use rank_support::*;
use serde_json::json;

const DRAWS: usize = 20_000;

#[test]
fn the_p_value_is_the_tabulated_one() {
    // Any table of the chi-square distribution.
    for (degrees, p, quantile) in [
        (1, 0.05, 3.841),
        (2, 0.05, 5.991),
        (3, 0.01, 11.345),
        (10, 0.05, 18.307),
        (29, 0.001, 58.301),
        (30, 0.01, 50.892),
    ] {
        let got = p_value(quantile, degrees);
        assert!((got / p - 1.0).abs() < 1e-3, "{degrees}: {got}");
    }
}

#[test]
fn the_stream_is_pinned() {
    // Records replay only as long as these stay what they are, on every platform. The numbers come
    // from ChaCha8 written out by hand, 64-bit counter and 64-bit nonce, not from this library.
    let draws = Draws::new(7, "r-1");
    let first: Vec<u64> = (0..3)
        .map(|slot| draws.slot(slot).uniform().to_bits())
        .collect();
    assert_eq!(
        first,
        [0x3fd3d53afa0f9b7e, 0x3fabc8bfb5b3f590, 0x3fe2c2975932c421]
    );
    let mut slot = draws.slot(1);
    slot.uniform();
    let below: Vec<u64> = (0..6).map(|_| slot.below(10)).collect();
    assert_eq!(below, [8, 5, 0, 9, 2, 2]);
}

#[test]
fn a_slot_reads_its_own_stream() {
    let draws = Draws::new(1, "a");
    let mut early = draws.slot(0);
    (0..1000).for_each(|_| {
        early.uniform();
    });
    let untouched = Draws::new(1, "a").slot(1).uniform();
    assert_eq!(draws.slot(1).uniform(), untouched);
    let others = [
        Draws::new(2, "a").slot(1).uniform(),
        Draws::new(1, "b").slot(1).uniform(),
        Draws::new(1, "a").slot(2).uniform(),
    ];
    assert!(others.iter().all(|&other| other != untouched));
}

#[test]
fn uniform_numbers_are_uniform() {
    let draws = Draws::new(3, "uniform");
    let mut counts = [0usize; 100];
    let mut below = [0usize; 30];
    for i in 0..DRAWS as u64 {
        let mut rng = draws.slot(i);
        let u = rng.uniform();
        assert!((0.0..1.0).contains(&u));
        assert_eq!(u * 2f64.powi(53), (u * 2f64.powi(53)).trunc());
        counts[(u * 100.0) as usize] += 1;
        below[rng.below(30) as usize] += 1;
    }
    assert!(p_value(chi_square(&counts, &[0.01; 100]), 99) > FALSE_ALARM);
    assert!(p_value(chi_square(&below, &[1.0 / 30.0; 30]), 29) > FALSE_ALARM);
    let mut tilted = [1.0 / 30.0; 30];
    tilted[0] *= 1.3;
    tilted[1] *= 0.7;
    assert!(
        p_value(chi_square(&below, &tilted), 29) < FALSE_ALARM,
        "the test has no power"
    );
}

#[test]
fn bounded_integers_have_no_bias() {
    // With the largest range that 64 bits map to unevenly, multiplication alone would give the first
    // half twice the share of the rest.
    let n = 3u64 << 62;
    let mut rng = Draws::new(5, "bias").slot(0);
    let mut counts = [0usize; 12];
    for _ in 0..DRAWS {
        counts[(rng.below(n) / (1 << 60)) as usize] += 1;
    }
    assert!(p_value(chi_square(&counts, &[1.0 / 12.0; 12]), 11) > FALSE_ALARM);
    assert_eq!(rng.below(1), 0);
}

#[test]
fn epsilon_greedy_is_what_the_formula_says() {
    let eligible: Vec<u32> = (0..8).collect();
    let scores = vec![0.0; 8];
    for epsilon in [0.0, 0.1, 1.0] {
        for n in [1usize, 2, 8] {
            let view = SlotView {
                eligible: &eligible[..n],
                scores: &scores,
                values: &[],
                slot: 0,
                greedy: n / 2,
            };
            let p = EpsilonGreedy { epsilon }.probabilities(&view).unwrap();
            for (position, &p) in p.iter().enumerate() {
                let share = epsilon / n as f64;
                let expected = if position == n / 2 {
                    1.0 - epsilon + share
                } else {
                    share
                };
                assert!((p - expected).abs() < 1e-15);
            }
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            if n == 1 || epsilon == 0.0 {
                assert_eq!(p[n / 2], 1.0, "certainty is exactly one");
            }
        }
    }
    let view = SlotView {
        eligible: &eligible,
        scores: &scores,
        values: &[],
        slot: 0,
        greedy: 3,
    };
    let draw = Greedy.draw(&view, &Draws::new(0, ""));
    assert_eq!((draw.position, draw.propensity), (3, 1.0));
    assert_eq!(
        Greedy.probabilities(&view).unwrap().iter().sum::<f64>(),
        1.0
    );
}

const ITEMS: usize = 30;
const EPSILON: f64 = 0.6;

/// Thirty items, MMR, a cap of one per genre on the first six, epsilon-greedy.
fn setting() -> (Candidates, serde_json::Value) {
    let mut noise = Noise(21);
    let vectors = noise.vector(ITEMS * 4);
    let scores = (0..ITEMS).map(|_| Some(noise.next())).collect::<Vec<_>>();
    let genres: Vec<Vec<&str>> = (0..ITEMS)
        .map(|i| if i < 6 { vec!["x"] } else { vec![] })
        .collect();
    let source = items(
        4,
        vectors,
        vec![
            ("quality".into(), floats(&scores)),
            ("genre".into(), lists(&genres)),
        ],
    );
    let spec = json!({
        "score": {"signals": [
            {"name": "quality", "kind": "value", "weight": 1.0, "normalize": "minmax"}]},
        "diversity": {"kind": "mmr", "diversity": 0.5},
        "caps": {"genre": 1},
        "explore": {"kind": "epsilon_greedy", "epsilon": EPSILON},
    });
    (source, spec)
}

#[test]
fn frequencies_are_the_stated_propensities() {
    let (source, spec) = setting();
    let plan = policy(spec.clone());
    let requests: Vec<Request> = (0..DRAWS)
        .map(|i| Request {
            request_id: format!("request-{i}"),
            ..request(&source, None, 2)
        })
        .collect();
    let slates = rank_many(&source, &plan, &requests, 2).unwrap();

    // What each slot states: the same probability for the same item after the same prefix.
    let mut stated: BTreeMap<(Option<Id>, Id), f64> = BTreeMap::new();
    let mut counts: BTreeMap<(Option<Id>, Id), usize> = BTreeMap::new();
    let mut prefixes: BTreeMap<Option<Id>, usize> = BTreeMap::new();
    for slate in &slates {
        let mut prefix = None;
        for (t, slot) in slate.slots.iter().enumerate() {
            let id = slate.ids.get(t);
            let key = (prefix.clone(), id.clone());
            let before = stated.entry(key.clone()).or_insert(slot.propensity);
            assert_eq!(
                *before, slot.propensity,
                "one item, one prefix, one propensity"
            );
            *counts.entry(key).or_default() += 1;
            *prefixes.entry(prefix).or_default() += 1;
            prefix = Some(id);
        }
    }

    // Slot 0: every item is eligible and is drawn.
    let first: Vec<(f64, usize)> = stated
        .iter()
        .filter(|((prefix, _), _)| prefix.is_none())
        .map(|(key, &p)| (p, counts[key]))
        .collect();
    assert_eq!(first.len(), ITEMS);
    accept(&first);

    // Slot 1 after the greedy first item, the most frequent prefix: the eligible set has one item
    // less, and without the other five of its genre if it has one.
    let greedy = slates[0].greedy_id(0);
    let second: Vec<(f64, usize)> = stated
        .iter()
        .filter(|((prefix, _), _)| prefix.as_ref() == Some(&greedy))
        .map(|(key, &p)| (p, counts[key]))
        .collect();
    let capped = matches!(greedy, Id::Int(id) if id < 6);
    assert_eq!(second.len(), if capped { ITEMS - 6 } else { ITEMS - 1 });
    assert!(prefixes[&Some(greedy)] > DRAWS / 3);
    accept(&second);

    // After an item of the capped genre, none of the others can follow.
    for (prefix, id) in stated.keys() {
        if let (Some(Id::Int(a)), Id::Int(b)) = (prefix, id) {
            assert!(a != b && !(*a < 6 && *b < 6));
        }
    }

    // Both slots together: the product of the conditional probabilities.
    let joint: Vec<(f64, usize)> = {
        let pair =
            |slate: &perso_core::rank::Slate| (slate.slots[0].explored, slate.slots[1].explored);
        let mut cells: BTreeMap<(bool, bool), usize> = BTreeMap::new();
        slates
            .iter()
            .for_each(|slate| *cells.entry(pair(slate)).or_default() += 1);
        let stay = |n: f64| 1.0 - EPSILON + EPSILON / n;
        // The second set's size depends on whether the first item was one of the six.
        let mut expected: BTreeMap<(bool, bool), f64> = BTreeMap::new();
        for ((prefix, id), p) in &stated {
            if prefix.is_some() {
                continue;
            }
            let capped = matches!(id, Id::Int(id) if *id < 6);
            let n = if capped { ITEMS - 6 } else { ITEMS - 1 } as f64;
            let explored = *id != slates[0].greedy_id(0);
            *expected.entry((explored, false)).or_default() += p * stay(n);
            *expected.entry((explored, true)).or_default() += p * (1.0 - stay(n));
        }
        expected
            .into_iter()
            .map(|(cell, p)| (p, cells[&cell]))
            .collect()
    };
    let (p, n): (Vec<f64>, Vec<usize>) = joint.into_iter().unzip();
    assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    assert!(p_value(chi_square(&n, &p), 3) > FALSE_ALARM);
}

/// The frequencies agree with the stated distribution, and not with one whose epsilon is off by 10 %.
fn accept(cells: &[(f64, usize)]) {
    let (p, n): (Vec<f64>, Vec<usize>) = cells.iter().copied().unzip();
    assert!(
        (p.iter().sum::<f64>() - 1.0).abs() < 1e-12,
        "{}",
        p.iter().sum::<f64>()
    );
    let statistic = chi_square(&n, &p);
    assert!(
        p_value(statistic, p.len() - 1) > FALSE_ALARM,
        "chi-square {statistic}"
    );
    let share = EPSILON / p.len() as f64;
    let wrong: Vec<f64> = p
        .iter()
        .map(|&p| {
            if p > 2.0 * share {
                p + 0.1 * (EPSILON - share)
            } else {
                0.9 * share
            }
        })
        .collect();
    let statistic = chi_square(&n, &wrong);
    assert!(
        p_value(statistic, p.len() - 1) < FALSE_ALARM,
        "the test has no power: {statistic}"
    );
}
