//! Every kind of exploration: draws against what they state, support, and replay.
//!
//! Statistical tests ask for a chi-square p-value above 1e-6: with their fixed seeds they always give the
//! same answer, and for one seed in a million a correct library would fail one of them.

mod rank_support;

use std::collections::BTreeMap;

use perso_core::ids::Id;
use perso_core::rank::{
    rank, rank_many, record_json, replay, Candidates, Request, Signals, Slate, UserVectors,
};
use rank_support::chi::*;
use rank_support::shop::*;
use rank_support::*;
use serde_json::{json, Value};

const DRAWS: usize = 20_000;

fn many(source: &Candidates, explore: &Value, k: usize) -> Vec<Slate> {
    let plan = policy(plan_of(explore, 0.4));
    let requests: Vec<Request> = (0..DRAWS)
        .map(|i| Request {
            request_id: format!("request-{i}"),
            ..request(source, None, k)
        })
        .collect();
    rank_many(source, &plan, &requests, 1).unwrap()
}

fn ids(slate: &Slate) -> Vec<i64> {
    int_ids(slate)
}

/// Joins cells that are too rare for the approximation. Whether a law that is off by 25 % would have been noticed.
fn accept(cells: Vec<(f64, usize)>, what: &Value) -> bool {
    let total: usize = cells.iter().map(|(_, n)| n).sum();
    let sum: f64 = cells.iter().map(|(p, _)| p).sum();
    assert!((sum - 1.0).abs() < 1e-12, "{what}: {sum}");
    let (rare, mut common): (Vec<_>, Vec<_>) = cells
        .into_iter()
        .partition(|(p, _)| p * (total as f64) < 40.0);
    let rest = rare.iter().fold((0.0, 0), |(p, n), (q, m)| (p + q, n + m));
    if rest.0 * total as f64 >= 40.0 {
        common.push(rest);
    } else if let Some(cell) = common.first_mut() {
        *cell = (cell.0 + rest.0, cell.1 + rest.1);
    }
    if common.len() < 2 {
        return false;
    }
    let (p, n): (Vec<f64>, Vec<usize>) = common.into_iter().unzip();
    let statistic = chi_square(&n, &p);
    let chance = p_value(statistic, p.len() - 1);
    assert!(chance > FALSE_ALARM, "{what}: chi-square {statistic}");
    // Power: cells tilted by 25 % in turn are rejected, wherever that many draws can tell.
    let mut wrong: Vec<f64> = (0..p.len())
        .map(|i| p[i] * if i % 2 == 0 { 1.25 } else { 0.75 })
        .collect();
    let sum: f64 = wrong.iter().sum();
    wrong.iter_mut().for_each(|p| *p /= sum);
    let cells = wrong.iter().zip(&p);
    let shift: f64 = cells.map(|(w, p)| total as f64 * (w - p).powi(2) / w).sum();
    if shift < 80.0 + 10.0 * (p.len() as f64).sqrt() {
        return false;
    }
    let statistic = chi_square(&n, &wrong);
    assert!(
        p_value(statistic, p.len() - 1) < FALSE_ALARM,
        "{what}: the test has no power: {statistic}"
    );
    true
}

#[test]
fn whole_slates_come_as_often_as_stated() {
    let source = straight(7);
    let mut powerful = 0;
    for explore in exact_kinds() {
        let slates = many(&source, &explore, 3);
        let mut stated: BTreeMap<Vec<i64>, f64> = BTreeMap::new();
        let mut counts: BTreeMap<Vec<i64>, usize> = BTreeMap::new();
        for slate in &slates {
            let p: f64 = slate.propensities().iter().product();
            let before = *stated.entry(ids(slate)).or_insert(p);
            assert_eq!(before, p, "one slate, one probability");
            assert!((slate.log_propensity() - p.ln()).abs() < 1e-12);
            *counts.entry(ids(slate)).or_default() += 1;
            assert!(slate.slots.iter().all(|slot| slot.estimate.is_none()));
        }
        // What did not come is one more cell.
        let missing = 1.0 - stated.values().sum::<f64>();
        let mut cells: Vec<(f64, usize)> = stated.iter().map(|(id, &p)| (p, counts[id])).collect();
        assert!(
            missing > -1e-12 && missing * (DRAWS as f64) < 50.0,
            "{explore}: {missing}"
        );
        cells.push((missing.max(0.0), 0));
        powerful += usize::from(accept(cells, &explore));
    }
    assert!(powerful >= 8, "{powerful} of the tests had power");
}

#[test]
fn estimates_are_unbiased_and_their_errors_are_right() {
    let source = straight(7);
    for explore in estimated_kinds() {
        // By slot 1 after the most frequent slot 0, and by slot 0.
        let slates = many(&source, &explore, 2);
        let mut firsts: BTreeMap<i64, usize> = BTreeMap::new();
        slates
            .iter()
            .for_each(|s| *firsts.entry(ids(s)[0]).or_default() += 1);
        let frequent = *firsts.iter().max_by_key(|(_, &n)| n).unwrap().0;
        for t in 0..2 {
            let mut seen: BTreeMap<i64, Vec<(f64, f64)>> = BTreeMap::new();
            let mut total = 0;
            for slate in slates.iter().filter(|s| t == 0 || ids(s)[0] == frequent) {
                let slot = &slate.slots[t];
                let error = slot.estimate.map_or(0.0, |e| e.standard_error);
                seen.entry(ids(slate)[t])
                    .or_default()
                    .push((slot.propensity, error));
                total += 1;
            }
            // Averaged over thousands of requests an estimate is as good as exact.
            let mut means: BTreeMap<i64, f64> = BTreeMap::new();
            for (&id, estimates) in &seen {
                let n = estimates.len() as f64;
                let mean = estimates.iter().map(|e| e.0).sum::<f64>() / n;
                let spread = estimates.iter().map(|e| (e.0 - mean).powi(2)).sum::<f64>() / n;
                let stated = estimates.iter().map(|e| e.1 * e.1).sum::<f64>() / n;
                if n > 1000.0 && spread > 0.0 {
                    assert!(
                        (spread / stated - 1.0).abs() < 0.2,
                        "{id}: {spread} and {stated}"
                    );
                }
                means.insert(id, mean);
            }
            let sum: f64 = means.values().sum();
            assert!(
                (sum - 1.0).abs() < 5e-3,
                "{explore}: slot {t} adds up to {sum}"
            );
            let cells = seen
                .iter()
                .map(|(id, e)| (means[id] / sum, e.len()))
                .collect();
            let certain = seen.len() == 1;
            assert!(accept(cells, &explore) || certain, "{explore}: no power");
            assert!(total > DRAWS / 10);
        }
    }
}

#[test]
fn support_is_what_could_have_come() {
    let source = straight(7);
    let last = |explore: &Value| {
        let plan = policy(plan_of(explore, 0.4));
        rank(&source, &plan, &request(&source, None, 3)).unwrap()
    };
    let greedy = last(&json!(null));
    assert!(greedy.slots.iter().all(|slot| slot.support == 1));
    assert!(greedy
        .support_warning()
        .unwrap()
        .starts_with("in 3 of 3 slots"));
    for explore in exact_kinds().iter().chain(&estimated_kinds()) {
        let slates = many(&source, explore, 3);
        let mut shown: BTreeMap<(Vec<i64>, usize), std::collections::BTreeSet<i64>> =
            BTreeMap::new();
        for slate in &slates {
            let ids = ids(slate);
            for t in 0..slate.len() {
                shown
                    .entry((ids[..t].to_vec(), t))
                    .or_default()
                    .insert(ids[t]);
            }
        }
        for slate in &slates {
            let ids = ids(slate);
            for (t, slot) in slate.slots.iter().enumerate() {
                let seen = shown[&(ids[..t].to_vec(), t)].len() as u32;
                assert!(
                    seen <= slot.support && slot.support <= slot.eligible,
                    "{explore}"
                );
            }
        }
        let first = slates[0].slots[0];
        if first.estimate.is_none() {
            let all = shown[&(vec![], 0)].len() as u32;
            assert_eq!(all, first.support, "{explore}: each comes in {DRAWS} draws");
        }
    }
    let full = last(&json!({"kind": "plackett_luce", "temperature": 0.7}));
    assert_eq!(full.support_warning(), None);
}

// --- one and the same ------------------------------------------------------------------------------------

#[test]
fn slates_do_not_depend_on_the_order_of_the_pool() {
    let n = 40;
    let mut shuffled: Vec<usize> = (0..n).collect();
    let mut noise = Noise(3);
    for i in (1..n).rev() {
        shuffled.swap(i, (noise.next().abs() * i as f64) as usize);
    }
    let (a, b) = (straight(n), shop(&shuffled));
    for explore in exact_kinds().iter().chain(&estimated_kinds()) {
        let plan = policy(plan_of(explore, 0.4));
        for i in 0..10 {
            let ask = |source: &Candidates| Request {
                request_id: format!("{i}"),
                ..request(source, None, 6)
            };
            let (one, two) = (ranked(&a, &plan, &ask(&a)), ranked(&b, &plan, &ask(&b)));
            assert_eq!(one.ids, two.ids);
            assert_eq!(one.propensities(), two.propensities());
            assert_eq!(one.len(), 6);
        }
    }
}

fn forge(record: &Value, edit: impl Fn(&mut Value)) -> String {
    use sha2::Digest;
    let mut forged = record.clone();
    edit(&mut forged);
    forged.as_object_mut().unwrap().remove("digest");
    let canonical = serde_json_canonicalizer::to_vec(&forged).unwrap();
    let digest = sha2::Sha256::digest(canonical);
    forged["digest"] = json!(digest
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect::<String>());
    forged.to_string()
}

#[test]
fn every_kind_replays_and_says_how_it_knows() {
    let source = straight(30);
    for (i, explore) in exact_kinds().iter().chain(&estimated_kinds()).enumerate() {
        let plan = policy(plan_of(explore, 0.4));
        let again = perso_core::rank::Policy::parse(plan.canonical_json()).unwrap();
        assert_eq!((again.hash(), again.spec()), (plan.hash(), plan.spec()));
        let slate = ranked(&source, &plan, &request(&source, None, 5));
        let text = record_json(&slate, &source, UserVectors::Included).unwrap();
        let record: Value = serde_json::from_str(&text).unwrap();
        let again = replay(&text, &source, None).unwrap();
        assert_eq!(again.slots, slate.slots);
        assert_eq!(again.ids, slate.ids);
        for (t, choice) in record["choices"].as_array().unwrap().iter().enumerate() {
            assert_eq!(choice["support"], slate.slots[t].support);
            match slate.slots[t].estimate {
                None => assert!(choice.get("propensity_kind").is_none()),
                Some(estimate) => {
                    assert_eq!(choice["propensity_kind"], "monte_carlo");
                    assert_eq!(choice["draws"], estimate.draws);
                    assert_eq!(
                        choice["standard_error"].as_f64(),
                        Some(estimate.standard_error)
                    );
                }
            }
        }
        let estimated = slate.slots.iter().any(|slot| slot.estimate.is_some());
        assert_eq!(estimated, i >= exact_kinds().len(), "{explore}");
        // A record from before support was noted replays, and one with another support does not.
        let old = forge(&record, |r| {
            for choice in r["choices"].as_array_mut().unwrap() {
                choice.as_object_mut().unwrap().remove("support");
            }
        });
        assert_eq!(replay(&old, &source, None).unwrap().slots, slate.slots);
        let wrong = forge(&record, |r| r["choices"][0]["support"] = json!(99));
        assert!(replay(&wrong, &source, None).is_err());
    }
}

#[test]
fn signals_that_only_exploration_reads_are_recorded() {
    let source = straight(12);
    let explore = thompson(
        json!({"kind": "gaussian", "mean": "mine", "std": "std", "prior": [0.2, 0.1]}),
        None,
    );
    let plan = policy(plan_of(&explore, 0.4));
    let mut signals = Signals::new();
    let mine = (0..12).map(|i| (i % 3 > 0).then_some(i as f64 / 12.0));
    signals.insert_rows("mine", 12, mine).unwrap();
    let ask = Request {
        signals: signals.into(),
        ..request(&source, None, 5)
    };
    let slate = ranked(&source, &plan, &ask);
    let text = record_json(&slate, &source, UserVectors::Included).unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["signals"]["mine"][0], json!(null));
    assert_eq!(replay(&text, &source, None).unwrap().slots, slate.slots);
    let id: Id = slate.greedy_id(0);
    assert!(matches!(id, Id::Int(_)));
}
