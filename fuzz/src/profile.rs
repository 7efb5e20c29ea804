//! The checks of the profile target: bytes are refused with [`Error::Format`], or what they hold answers, learns, and is
//! written and read again.

use std::sync::{Arc, OnceLock};

use perso_core::error::Error;
use perso_core::profile::{Plan, Prior, Profile};
use serde_json::json;

use crate::memory;

/// Where the hash of the plan begins; it has 32 bytes.
const PLAN: usize = 16;
const CHECKSUM: usize = 4;

/// Plans with one kind of events and with three, with and without a long half-life.
pub fn plans() -> &'static [Arc<Plan>; 2] {
    static PLANS: OnceLock<[Arc<Plan>; 2]> = OnceLock::new();
    PLANS.get_or_init(|| {
        let plan = |kinds, long, short_weight| {
            let spec = json!({
                "schema": "perso_core.profile/1", "space": "a", "kinds": kinds,
                "half_life_us": 1_800_000_000, "long_half_life_us": long, "prior_strength": 10.0,
                "short_weight": short_weight,
            });
            Arc::new(Plan::parse(&spec.to_string()).expect("a plan"))
        };
        [
            plan(json!({"click": 1.0}), json!(null), 0.5),
            plan(
                json!({"buy": 1e6, "skip": -0.5, "view": 1e-6}),
                json!(7_776_000_000_000i64),
                1.0,
            ),
        ]
    })
}

/// What the target starts from: users of whom nothing is known, with either prior, and with events.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for plan in plans() {
        let base = Prior::Base(vec![2.0, 0.0, -1.0]);
        for prior in [None, Some(base), Some(Prior::Population(vec![0.0; 3]))] {
            let mut profile = Profile::new(Arc::clone(plan), 3, prior).expect("a profile");
            out.push(profile.to_bytes());
            let kinds = plan.spec().kinds.keys();
            for (i, kind) in kinds.enumerate() {
                let at = 1_700_000_000_000_000 - 1_000_000_000 * i as i64;
                profile
                    .observe(&[1.0, i as f32, -3.0], kind, at)
                    .expect("an event");
            }
            out.push(profile.to_bytes());
        }
    }
    out
}

/// The bytes as they are, and with the hash of a plan and the checksum that they need to get further. True when they
/// were accepted.
pub fn profile(input: &[u8]) -> bool {
    let mut accepted = false;
    for plan in plans() {
        accepted |= reads(input, plan);
        if let Some(sealed) = seal(input, plan) {
            accepted |= reads(&sealed, plan);
        }
    }
    accepted
}

fn seal(input: &[u8], plan: &Plan) -> Option<Vec<u8>> {
    let covered = input.len().checked_sub(CHECKSUM)?;
    let mut out = input[..covered].to_vec();
    for (i, byte) in out.get_mut(PLAN..PLAN + 32)?.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&plan.hash()[2 * i..2 * i + 2], 16).expect("hex");
    }
    out.extend(crc32fast::hash(&out).to_le_bytes());
    Some(out)
}

fn reads(input: &[u8], plan: &Arc<Plan>) -> bool {
    let bound = memory::bound_of_file(input.len());
    let read = memory::bounded("reading", bound, || {
        Profile::from_bytes(input, Arc::clone(plan))
    });
    match read {
        Ok(profile) => {
            assert_eq!(profile.to_bytes(), input, "one form for each state");
            answers(profile);
            true
        }
        Err(error) => {
            assert!(matches!(error, Error::Format(_)), "{error:?}");
            false
        }
    }
}

/// Everything a profile can be asked, before and after more events than it had.
fn answers(mut profile: Profile) {
    let plan = Arc::clone(profile.plan());
    let item: Vec<f32> = (0..profile.dim())
        .map(|i| (i % 7) as f32 - 2.0 + f32::EPSILON)
        .collect();
    says(&profile);
    let latest = profile.latest().unwrap_or(0);
    let before = profile.to_bytes();
    assert!(profile.observe(&item, "no such kind", latest).is_err());
    assert!(profile.observe(&item[1..], "click", latest).is_err());
    assert_eq!(
        profile.to_bytes(),
        before,
        "what is refused changes nothing"
    );
    let moments = [
        latest,
        i64::MIN,
        latest.saturating_add(3_600_000_000),
        i64::MAX,
    ];
    for at in moments {
        for kind in plan.spec().kinds.keys() {
            profile.observe(&item, kind, at).expect("an event");
        }
        says(&profile);
        let again = Profile::from_bytes(&profile.to_bytes(), Arc::clone(&plan));
        again.expect("what was written is good");
    }
}

fn says(profile: &Profile) {
    let latest = profile.latest().unwrap_or(0);
    for at in [i64::MIN, latest, latest.saturating_add(1 << 40), i64::MAX] {
        if let Some(vector) = profile.vector(at) {
            assert_eq!(vector.len(), profile.dim());
            // Never longer than the prior, or than 1 without, up to rounding: a ranking takes it.
            let most = profile.prior().map_or(0.0, |p| length(p.vector()));
            let most = if most > 0.0 { most } else { 1.0 };
            assert!(length(&vector) <= 1.01 * most);
        }
        let evidence = profile.evidence(at);
        for number in [evidence.short, evidence.long, evidence.negative] {
            assert!(number.is_finite() && number >= 0.0);
        }
    }
    if let Some(negative) = profile.negative() {
        // 1, but for what is left of it among the smallest numbers.
        assert!(length(&negative) <= 2.01);
    }
    assert_eq!(profile.counts().count(), profile.plan().spec().kinds.len());
}

fn length(vector: &[f32]) -> f64 {
    let squares = vector.iter().map(|&x| f64::from(x) * f64::from(x));
    squares.sum::<f64>().sqrt()
}
