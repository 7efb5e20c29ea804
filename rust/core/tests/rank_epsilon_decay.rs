//! The decaying epsilon against its formula, at the moments where it could go wrong.

use perso_core::rank::explore::EpsilonDecay;
use perso_core::rank::Policy;

const DAY: i64 = 86_400_000_000;

fn decay(floor: f64) -> EpsilonDecay {
    EpsilonDecay {
        half_life_us: 7 * DAY,
        since: 1_000 * DAY,
        floor,
    }
}

#[test]
fn what_lies_above_the_floor_halves_in_every_half_life() {
    for floor in [0.0, 0.02, 0.3] {
        let decay = decay(floor);
        assert_eq!(decay.epsilon(0.3, i64::MIN), 0.3);
        assert_eq!(decay.epsilon(0.3, 1_000 * DAY), 0.3);
        for halvings in 1..40 {
            let wanted = floor + (0.3 - floor) / f64::powi(2.0, halvings);
            let got = decay.epsilon(0.3, (1_000 + 7 * i64::from(halvings)) * DAY);
            assert!(
                (got - wanted).abs() <= 1e-16 * 2.0,
                "{halvings}: {got} {wanted}"
            );
        }
        // Long after nothing is left, and the sum does not wrap around.
        assert_eq!(decay.epsilon(0.3, i64::MAX), floor);
    }
}

#[test]
fn it_never_rises_and_stays_between_floor_and_epsilon() {
    let decay = decay(0.1);
    let mut last = 0.3;
    for step in 0..20_000 {
        let now = decay.epsilon(0.3, 1_000 * DAY + step * 1_234_567_891);
        assert!((0.1..=last).contains(&now), "{step}: {now} after {last}");
        last = now;
    }
    assert!(last < 0.11);
}

#[test]
fn documents_without_a_decay_are_as_they_were_and_wrong_ones_are_refused() {
    let policy = |explore: &str| {
        Policy::parse(&format!(
            r#"{{"schema": "perso_core.policy/1", "score": {{"signals": [{{"kind": "similarity",
                "name": "similarity", "weight": 1, "normalize": "minmax"}}]}}, "explore": {explore}}}"#
        ))
    };
    let plain = policy(r#"{"kind": "epsilon_greedy", "epsilon": 0.3}"#).unwrap();
    assert!(!plain.canonical_json().contains("decay"));
    let with = |decay: &str| {
        policy(&format!(
            r#"{{"kind": "epsilon_greedy", "epsilon": 0.3, "decay": {decay}}}"#
        ))
    };
    let falling = with(r#"{"half_life_us": 5, "since": -3}"#).unwrap();
    assert_ne!(falling.hash(), plain.hash());
    for (wrong, argument) in [
        (r#"{"half_life_us": 0, "since": 0}"#, "half_life"),
        (r#"{"half_life_us": 1, "since": 9007199254740993}"#, "since"),
        (r#"{"half_life_us": 1, "since": 0, "floor": 0.31}"#, "floor"),
        (r#"{"half_life_us": 1, "since": 0, "floor": -1}"#, "floor"),
        (r#"{"half_life_us": 1}"#, "since"),
        (r#"{"half_life_us": 1, "since": 0, "until": 3}"#, "until"),
    ] {
        let error = with(wrong).unwrap_err().to_string();
        assert!(error.contains(argument), "{error}");
    }
}
