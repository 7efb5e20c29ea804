//! The checks of the capsule target: bytes are refused with a reason, or what they hold ranks and is packed again.
//!
//! An input is a buffer without the size in front and what comes after it. Bytes flipped at random would never get past a
//! signature, so the target signs what it is given; it is opened as it is, too.

use std::sync::{Arc, OnceLock};

use perso_core::capsule::{pack, seal, Capsule, Packing, PrivateKey, PublicKey, MOST_ITEMS};
use perso_core::error::{Error, Refusal};
use perso_core::ids::Ids;
use perso_core::metric::Dtype;
use perso_core::profile::Plan;
use perso_core::rank::{Personal, Policy, Source, UserVectors};

use crate::{answers, memory, profile, world};

const MADE_AT: i64 = 1_000_000_000_000;
const PREFIX: usize = 4;
const TRAILER: usize = 72;

fn key() -> &'static (PrivateKey, [PublicKey; 1]) {
    static KEY: OnceLock<(PrivateKey, [PublicKey; 1])> = OnceLock::new();
    KEY.get_or_init(|| {
        let key = PrivateKey::new(&[1; 32]).expect("a key");
        let public = [key.public()];
        (key, public)
    })
}

/// What the target starts from: every policy that a device can follow, over integers and texts, codes and halves, with
/// scores, a plan and signals.
pub fn seeds() -> Vec<Vec<u8>> {
    let (catalog, text) = (world::catalog(), world::text_catalog());
    let (plain, scored) = (world::candidates(false), world::candidates(true));
    let sources: [&dyn Source; 4] = [&catalog, &text, &plain, &scored];
    let mut out = Vec::new();
    for policy in world::policies() {
        let Ok(policy) = Policy::parse(&policy.to_string()) else {
            continue;
        };
        let policy = Arc::new(policy);
        for source in sources {
            let all = source.ids().live_ids();
            let ids = match all {
                Ids::Int(ids) => Ids::Int(ids.into_iter().take(6).collect()),
                Ids::Str(ids) => Ids::Str(ids.into_iter().take(6).collect()),
            };
            let boost = [(
                "boost".to_string(),
                vec![1.0, f64::NAN, 0.5, 2.0, -1.0, 0.0],
            )];
            for (dtype, plan, signals) in [
                (Dtype::I8, None, &[][..]),
                (Dtype::F16, None, &boost[..]),
                (Dtype::I8, Some(plan()), &[][..]),
            ] {
                let packing = Packing {
                    ids: &ids,
                    spaces: None,
                    dtype,
                    attributes: &[],
                    signals,
                    plan: plan.as_deref(),
                    made_at: MADE_AT,
                    expires_at: MADE_AT + 1_000_000,
                };
                if let Ok(bytes) = pack(source, &policy, &packing, &key().0) {
                    out.push(bytes[PREFIX..bytes.len() - TRAILER].to_vec());
                }
            }
        }
    }
    out
}

/// A plan over a space that the catalogs have.
fn plan() -> Arc<Plan> {
    let json = profile::plans()[0].canonical_json();
    let json = json.replace("\"space\":\"a\"", "\"space\":\"cf\"");
    Arc::new(Plan::parse(&json).expect("a plan"))
}

/// The bytes as they are, and signed. True when they were accepted.
pub fn capsule(input: &[u8]) -> bool {
    let mut body = (input.len() as u32).to_le_bytes().to_vec();
    body.extend_from_slice(input);
    let sealed = seal(body, &key().0);
    opens(input) | opens(&sealed)
}

fn opens(bytes: &[u8]) -> bool {
    // A policy is a tree of JSON values for a while.
    let bound = 1024 * bytes.len() + (1 << 20);
    let opened = memory::bounded("opening", bound, || Capsule::open(bytes, &key().1, MADE_AT));
    match opened {
        Ok(capsule) => {
            assert_eq!(capsule.bytes(), bytes);
            assert!((1..=MOST_ITEMS).contains(&capsule.len()));
            ranks(&capsule);
            true
        }
        Err(Error::Capsule { reason, .. }) => {
            assert_ne!(
                reason,
                Refusal::Tampered,
                "what is signed is refused for what it is"
            );
            false
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn ranks(capsule: &Capsule) {
    for i in 0..capsule.len().min(4) {
        for space in capsule.spaces() {
            let vector = capsule.vector(&capsule.ids().get(i), &space.name);
            assert!(vector.expect("a vector").iter().all(|x| x.is_finite()));
        }
    }
    for (k, user) in [(4, true), (100, false)] {
        let mut request = world::request(capsule, capsule.policy(), k, user);
        request.at = MADE_AT;
        let Ok(slate) = capsule.rank(&request) else {
            continue;
        };
        answers::slate_and_record(capsule, &slate, k.min(capsule.len()));
        let record = capsule
            .record(&slate, UserVectors::Withheld)
            .expect("a record");
        let personal = Personal {
            user: request.user.clone(),
            eligible: Some(request.eligible.clone()),
            signals: Arc::clone(&request.signals),
            target: None,
        };
        let again = capsule.replay(&record, personal).expect("its own record");
        assert_eq!(again.rows, slate.rows);
        assert_eq!(again.terms, slate.terms);
    }
}
