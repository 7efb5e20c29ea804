use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::plan::{PlanSpec, SCHEMA};
use super::*;
use crate::error::Error;

const HOUR: i64 = 3_600_000_000;
const KINDS: [(&str, f64); 4] = [("buy", 5.0), ("click", 1.0), ("skip", -0.5), ("view", 0.2)];

fn spec(long: Option<i64>) -> PlanSpec {
    PlanSpec {
        schema: SCHEMA.into(),
        space: "cf".into(),
        kinds: KINDS.iter().map(|&(k, w)| (k.to_owned(), w)).collect(),
        half_life_us: HOUR,
        long_half_life_us: long,
        prior_strength: 10.0,
        short_weight: 0.5,
    }
}

fn plan(long: Option<i64>) -> Arc<Plan> {
    Arc::new(Plan::new(spec(long)).unwrap())
}

#[derive(Clone, Debug)]
struct Event {
    item: Vec<f32>,
    kind: usize,
    at: i64,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let item = prop::collection::vec(-100i32..=100, 3)
        .prop_filter("a direction", |x| x.iter().any(|&x| x != 0))
        .prop_map(|x| x.into_iter().map(|x| x as f32 / 7.0).collect());
    let event = (item, 0..KINDS.len(), -50 * HOUR..50 * HOUR).prop_map(|(item, kind, at)| Event {
        item,
        kind,
        at,
    });
    prop::collection::vec(event, 0..30)
}

fn after(plan: &Arc<Plan>, prior: Option<Prior>, events: &[Event]) -> Profile {
    let mut profile = Profile::new(Arc::clone(plan), 3, prior).unwrap();
    for event in events {
        profile
            .observe(&event.item, KINDS[event.kind].0, event.at)
            .unwrap();
    }
    profile
}

/// The vector from the whole history, at a moment no earlier than any of it.
fn from_history(long: Option<i64>, prior: &[f64; 3], events: &[Event], at: i64) -> [f64; 3] {
    let sums = |half_life: Option<i64>| {
        let (mut sum, mut evidence) = ([0.0; 3], 0.0);
        for event in events {
            let age = half_life.map_or(0.0, |h| (at - event.at) as f64 / h as f64);
            let left = 0.5f64.powf(age);
            let length: f64 = event.item.iter().map(|&x| f64::from(x).powi(2)).sum();
            let weight = KINDS[event.kind].1;
            evidence += weight.abs() * left;
            for (sum, &x) in sum.iter_mut().zip(&event.item) {
                *sum += weight * left * f64::from(x) / length.sqrt();
            }
        }
        (sum, evidence)
    };
    let (short, n_short) = sums(Some(HOUR));
    let (of_long, n_long) = sums(long);
    let length = prior.iter().map(|x| x * x).sum::<f64>().sqrt();
    let scale = if length > 0.0 { length } else { 1.0 };
    let b = 0.5 * n_short / (n_short + 10.0);
    std::array::from_fn(|i| {
        let long = (10.0 * prior[i] + scale * of_long[i]) / (n_long + 10.0);
        (1.0 - b) * long + 0.5 * scale * short[i] / (n_short + 10.0)
    })
}

proptest! {
    #[test]
    fn the_vector_is_that_of_the_history(
        events in events(),
        long in prop::option::of(HOUR..500 * HOUR),
        prior in prop::option::of(prop::array::uniform3(-5i32..=5)),
        later in 0..20 * HOUR,
    ) {
        let at = events.iter().map(|event| event.at).max().unwrap_or(0) + later;
        let given = prior.map(|p| Prior::Base(p.iter().map(|&x| x as f32).collect()));
        let profile = after(&plan(long), given, &events);
        let wanted = from_history(long, &prior.unwrap_or_default().map(f64::from), &events, at);
        let got = profile.vector(at).unwrap_or_else(|| vec![0.0; 3]);
        for (got, wanted) in got.iter().zip(wanted) {
            prop_assert!((f64::from(*got) - wanted).abs() <= 1e-6 * wanted.abs() + 1e-9, "{got} {wanted}");
        }
    }

    #[test]
    fn the_order_of_arrival_changes_only_the_rounding(events in events(), long in prop::option::of(HOUR..500 * HOUR)) {
        let plan = plan(long);
        let mut sorted = events.clone();
        sorted.sort_by_key(|event| event.at);
        let (a, b) = (after(&plan, None, &events), after(&plan, None, &sorted));
        prop_assert_eq!(a.latest(), b.latest());
        prop_assert!(a.counts().eq(b.counts()));
        for (a, b) in [(&a.short, &b.short), (&a.long, &b.long), (&a.negative, &b.negative)] {
            prop_assert!((a.evidence - b.evidence).abs() <= 1e-12 * a.evidence);
            for (x, y) in a.of.iter().zip(&b.of) {
                prop_assert!((x - y).abs() <= 1e-12 * a.evidence);
            }
        }
    }

    #[test]
    fn bytes_come_back(events in events(), prior in prop::option::of(Just(vec![1.0, 2.0, 3.0]))) {
        let plan = plan(Some(90 * HOUR));
        let profile = after(&plan, prior.map(Prior::Population), &events);
        let bytes = profile.to_bytes();
        let again = Profile::from_bytes(&bytes, Arc::clone(&plan)).unwrap();
        prop_assert_eq!(again.to_bytes(), bytes);
        prop_assert_eq!(again.vector(HOUR), profile.vector(HOUR));
    }

    #[test]
    fn damaged_bytes_are_refused(events in events(), at in any::<prop::sample::Index>(), flip in 1u8.., sealed: bool) {
        let plan = plan(None);
        let mut bytes = after(&plan, Some(Prior::Base(vec![1.0, 0.0, 2.0])), &events).to_bytes();
        let place = at.index(bytes.len());
        bytes[place] ^= flip;
        if sealed {
            let end = bytes.len() - 4;
            let checksum = crc32fast::hash(&bytes[..end]);
            bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        }
        match Profile::from_bytes(&bytes, plan) {
            // With a checksum that holds, it may be another good profile.
            Ok(profile) => {
                prop_assert!(sealed);
                for at in [i64::MIN, 0, i64::MAX] {
                    let vector = profile.vector(at).unwrap_or_default();
                    prop_assert!(vector.iter().all(|x| x.is_finite()));
                }
            }
            Err(error) => prop_assert!(matches!(error, Error::Format(_)), "{error:?}"),
        }
    }
}

#[test]
fn bytes_cut_short_or_with_more_behind_are_refused() {
    let plan = plan(None);
    let event = Event {
        item: vec![1.0, 2.0, 2.0],
        kind: 1,
        at: HOUR,
    };
    let bytes = after(&plan, None, &[event]).to_bytes();
    for end in 0..bytes.len() {
        let read = Profile::from_bytes(&bytes[..end], Arc::clone(&plan));
        assert!(matches!(read, Err(Error::Format(_))), "{end}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(Profile::from_bytes(&longer, Arc::clone(&plan)).is_err());
    let other = Plan::new(spec(Some(9 * HOUR))).unwrap();
    let refused = Profile::from_bytes(&bytes, Arc::new(other)).unwrap_err();
    assert!(refused.to_string().contains("another plan"), "{refused}");
}

#[test]
fn what_nothing_is_known_of_has_no_vector() {
    let profile = after(&plan(None), None, &[]);
    assert_eq!(profile.vector(0), None);
    assert_eq!(profile.negative(), None);
    assert_eq!(profile.latest(), None);
    let with = after(&plan(None), Some(Prior::Base(vec![0.5, 1.0, 2.0])), &[]);
    assert_eq!(with.vector(0), Some(vec![0.5, 1.0, 2.0]));
}

#[test]
fn evidence_that_is_gone_leaves_no_vector() {
    let event = Event {
        item: vec![1.0, 2.0, 2.0],
        kind: 1,
        at: 0,
    };
    let profile = after(&plan(Some(HOUR)), None, &[event]);
    assert!(profile.vector(100 * HOUR).is_some());
    assert_eq!(profile.vector(200 * HOUR), None);
    assert_eq!(profile.vector(i64::MAX), None);
}

#[test]
fn a_moment_before_the_latest_event_is_that_events() {
    let event = |at| Event {
        item: vec![1.0, 2.0, 2.0],
        kind: 2,
        at,
    };
    let profile = after(&plan(Some(9 * HOUR)), None, &[event(0), event(HOUR)]);
    assert_eq!(profile.vector(0), profile.vector(HOUR));
    assert_eq!(profile.vector(i64::MIN), profile.vector(HOUR));
    let negative = profile.negative().unwrap();
    for (x, wanted) in negative.iter().zip([1.0f32, 2.0, 2.0]) {
        assert!((x - wanted / 3.0).abs() < 1e-7);
    }
}

#[test]
fn what_is_refused_changes_nothing() {
    let mut profile = after(&plan(None), None, &[]);
    let before = profile.to_bytes();
    let large = f32::MAX / 2.0;
    let wrong: [(&[f32], &str, &str); 5] = [
        (&[1.0, 2.0], "click", "item: expected 3 components, got 2"),
        (&[1.0, f32::NAN, 2.0], "click", "item: expected finite numbers, got NaN"),
        (&[0.0; 3], "click", "item: expected a vector with a direction, got one of length 0"),
        (&[large; 3], "click", "item: expected finite numbers, got a vector whose squared length overflows a float32"),
        (
            &[1.0; 3],
            "klick",
            "kind: expected one of the plan's kinds (\"buy\", \"click\", \"skip\", \"view\"), got \"klick\"",
        ),
    ];
    for (item, kind, message) in wrong {
        let error = profile.observe(item, kind, 0).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    assert_eq!(profile.to_bytes(), before);
}

#[test]
fn plans_that_make_no_sense_are_refused() {
    let changed = |change: fn(&mut PlanSpec)| {
        let mut spec = spec(None);
        change(&mut spec);
        Plan::new(spec).unwrap_err().to_string()
    };
    assert!(changed(|s| s.schema = "x".into()).starts_with("plan: expected schema"));
    assert!(changed(|s| s.space.clear()).starts_with("space: "));
    assert!(changed(|s| s.kinds = BTreeMap::new()).starts_with("kinds: "));
    assert!(changed(|s| *s.kinds.get_mut("buy").unwrap() = 0.0).starts_with("kinds[\"buy\"]: "));
    assert!(changed(|s| *s.kinds.get_mut("buy").unwrap() = f64::NAN).starts_with("kinds"));
    assert!(changed(|s| s.half_life_us = 0).starts_with("half_life: "));
    assert!(changed(|s| s.long_half_life_us = Some(HOUR - 1)).starts_with("long_half_life: "));
    assert!(changed(|s| s.prior_strength = 0.0).starts_with("prior_strength: "));
    assert!(changed(|s| s.short_weight = 1.1).starts_with("short_weight: "));
    let plan = plan(None);
    let again = Plan::parse(plan.canonical_json()).unwrap();
    assert_eq!(again.hash(), plan.hash());
    assert!(Plan::parse("{\"schema\": \"perso_core.profile/1\", \"more\": 1}").is_err());
}
