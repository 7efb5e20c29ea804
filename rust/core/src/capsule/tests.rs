//! Capsules there and back, and everything that is no capsule.

use std::sync::Arc;

use super::*;
use crate::column::{ColumnType, Value};
use crate::error::Refusal;
use crate::metric::{Dtype, Metric};
use crate::profile::PlanSpec;
use crate::rank::{self, Allow, Candidates, Eligibility, Signals, Source, Taste, User, Where};

const NOW: i64 = 1_790_000_000_000_000;
const HOUR: i64 = 3_600_000_000;
const POLICY: &str = r#"{"schema":"perso_core.policy/1","candidates":500,
    "score":{"signals":[
        {"kind":"similarity","name":"similarity","space":"cf","weight":1,"normalize":"minmax"},
        {"kind":"value","name":"popularity","weight":0.2,"normalize":"minmax"},
        {"kind":"decay","name":"fresh","attribute":"at","half_life_us":86400000000,"weight":0.1,"normalize":"none"}]},
    "diversity":{"kind":"mmr","diversity":0.3},
    "caps":{"genre":3},
    "explore":{"kind":"epsilon_greedy","epsilon":0.2},
    "rules":[{"kind":"hide","where":{"stock":false}}]}"#;

/// Numbers from -1 to 1 that look random and are the same everywhere.
fn noise(seed: u64, n: usize) -> Vec<f32> {
    (0..n as u64)
        .map(|i| {
            let bits = crate::hnsw::splitmix64(seed.wrapping_mul(1_000_003).wrapping_add(i));
            (bits >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn column(kind: ColumnType, values: impl IntoIterator<Item = Value>) -> Column {
    let mut column = Column::new(kind);
    values
        .into_iter()
        .for_each(|value| column.push("", value).unwrap());
    column
}

/// Items with two spaces and attributes of every kind.
fn items(n: usize, dim: usize, text: bool) -> Candidates {
    let ids = match text {
        true => Ids::Str((0..n).map(|i| format!("item-{i}").into()).collect()),
        false => Ids::Int((0..n as i64).map(|i| 7 * i - 3).collect()),
    };
    let info = |name: &str, dim: usize, metric: Metric| SpaceInfo {
        name: name.into(),
        dim,
        metric,
    };
    let spaces = vec![
        (info("other", 3, Metric::L2), noise(1, 3 * n)),
        (info("cf", dim, Metric::Ip), noise(2, dim * n)),
        (info("content", dim, Metric::Cosine), noise(3, dim * n)),
    ];
    let text = |s: String| -> Box<str> { s.into() };
    let columns = vec![
        (
            "popularity".into(),
            column(
                ColumnType::Float,
                noise(4, n).iter().map(|x| Value::Float(f64::from(*x))),
            ),
        ),
        (
            "at".into(),
            column(
                ColumnType::Time,
                (0..n as i64).map(|i| match i % 5 {
                    4 => Value::Null,
                    _ => Value::Time(NOW - i * HOUR),
                }),
            ),
        ),
        (
            "genre".into(),
            column(
                ColumnType::StrList,
                (0..n).map(|i| match i % 7 {
                    6 => Value::Null,
                    _ => Value::StrList(vec![
                        text(format!("g{}", i % 9)),
                        text(format!("h{}", i % 4)),
                    ]),
                }),
            ),
        ),
        (
            "shop".into(),
            column(
                ColumnType::Str,
                (0..n).map(|i| Value::Str(text(format!("shop {}", i % 11)))),
            ),
        ),
        (
            "price".into(),
            column(ColumnType::Int, (0..n as i64).map(Value::Int)),
        ),
        (
            "stock".into(),
            column(ColumnType::Bool, (0..n).map(|i| Value::Bool(i % 13 != 0))),
        ),
    ];
    Candidates::new(ids, spaces, None, columns).unwrap()
}

fn key() -> PrivateKey {
    PrivateKey::new(&[7; 32]).unwrap()
}

fn keys() -> Vec<PublicKey> {
    vec![key().public()]
}

fn policy(json: &str) -> Arc<Policy> {
    Arc::new(Policy::parse(json).unwrap())
}

fn packing(ids: &Ids) -> Packing<'_> {
    Packing {
        ids,
        spaces: None,
        dtype: Dtype::I8,
        attributes: &[],
        signals: &[],
        plan: None,
        made_at: NOW,
        expires_at: NOW + 6 * HOUR,
    }
}

fn packed(n: usize, dim: usize, text: bool) -> Vec<u8> {
    let source = items(n, dim, text);
    let ids = source.ids().live_ids();
    pack(&source, &policy(POLICY), &packing(&ids), &key()).unwrap()
}

fn request(capsule: &Capsule, dim: usize, exclude: Option<&Ids>) -> Request {
    let user: User = vec![("cf".into(), noise(9, dim).into())];
    Request {
        user: Some(user),
        k: 20,
        eligible: Eligibility::new(capsule.id_map(), Where::All, exclude).unwrap(),
        signals: Arc::default(),
        at: NOW + HOUR,
        seed: 5,
        request_id: "r".into(),
        target: None,
        pins: Default::default(),
        allow: None,
        budget_us: None,
        route: None,
    }
}

fn reason(result: Result<Capsule>) -> Refusal {
    match result {
        Err(Error::Capsule { reason, .. }) => reason,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn what_is_packed_is_what_is_opened() {
    for text in [false, true] {
        let source = items(50, 16, text);
        let mut order: Vec<u32> = (0..50).collect();
        order.reverse();
        let ids = source.ids().ids_of(order.iter().copied());
        let extra = ["price".to_string(), "shop".to_string()];
        let plan = Plan::new(PlanSpec {
            schema: "perso_core.profile/1".into(),
            space: "cf".into(),
            kinds: [("click".to_string(), 1.0)].into(),
            half_life_us: HOUR,
            long_half_life_us: None,
            prior_strength: 2.0,
            short_weight: 0.5,
        })
        .unwrap();
        let packing = Packing {
            attributes: &extra,
            plan: Some(&plan),
            ..packing(&ids)
        };
        let policy = policy(POLICY);
        let bytes = pack(&source, &policy, &packing, &key()).unwrap();
        assert_eq!(bytes, pack(&source, &policy, &packing, &key()).unwrap());
        let capsule = Capsule::open(&bytes, &keys(), NOW).unwrap();
        assert_eq!(capsule.bytes(), bytes);
        assert_eq!(capsule.ids(), ids);
        assert_eq!(capsule.policy().hash(), policy.hash());
        assert_eq!(capsule.plan().unwrap().hash(), plan.hash());
        let names: Vec<&str> = capsule.spaces().iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["cf", "content"]);
        let attributes: Vec<&str> = capsule.attributes().map(|(name, _)| name).collect();
        assert_eq!(
            attributes,
            ["at", "genre", "popularity", "price", "shop", "stock"]
        );
        assert_eq!(
            *capsule.provenance(),
            Provenance {
                library: env!("CARGO_PKG_VERSION").into(),
                generation: 0,
                content_hash: source.content_hash(),
                made_at: NOW,
                expires_at: NOW + 6 * HOUR,
                key_id: key().public().id(),
            }
        );
        for (to, &from) in order.iter().enumerate() {
            for (name, column) in capsule.attributes() {
                assert_eq!(
                    column.get(to as u32),
                    source.column(name).unwrap().get(from)
                );
            }
            let given = &noise(2, 16 * 50)[from as usize * 16..][..16];
            let kept = capsule.vector(&ids.get(to), "cf").unwrap();
            let largest = given.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            for (kept, given) in kept.iter().zip(given) {
                assert!((kept - given).abs() <= largest / 254.0 + 1e-6);
            }
        }
    }
}

#[test]
fn every_changed_byte_and_every_other_length_is_refused() {
    for text in [false, true] {
        let bytes = packed(5, 4, text);
        let open = |bytes: &[u8]| Capsule::open(bytes, &keys(), NOW);
        assert!(open(&bytes).is_ok());
        for at in 0..bytes.len() {
            for bit in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= bit;
                let reason = reason(open(&changed));
                let expected: &[Refusal] = match at {
                    0..4 => &[Refusal::Truncated, Refusal::Trailing],
                    8..11 => &[Refusal::Foreign],
                    11 => &[Refusal::Version],
                    at if (bytes.len() - 72..bytes.len() - 64).contains(&at) => &[Refusal::Key],
                    _ => &[Refusal::Tampered],
                };
                assert!(expected.contains(&reason), "byte {at}: {reason:?}");
            }
        }
        for len in 0..bytes.len() {
            assert_eq!(reason(open(&bytes[..len])), Refusal::Truncated, "{len}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(reason(open(&longer)), Refusal::Trailing);
    }
}

#[test]
fn keys_and_moments_decide() {
    let bytes = packed(5, 4, false);
    let other = PrivateKey::new(&[8; 32]).unwrap().public();
    assert_eq!(reason(Capsule::open(&bytes, &[], NOW)), Refusal::Key);
    assert_eq!(
        reason(Capsule::open(&bytes, std::slice::from_ref(&other), NOW)),
        Refusal::Key
    );
    let both = [other, key().public()];
    let at = |at: i64| Capsule::open(&bytes, &both, at);
    for good in [NOW, NOW - CLOCK_TOLERANCE_US, NOW + 6 * HOUR - 1] {
        assert!(at(good).is_ok());
    }
    for late in [NOW + 6 * HOUR, i64::MAX] {
        assert_eq!(reason(at(late)), Refusal::Expired);
    }
    for early in [NOW - CLOCK_TOLERANCE_US - 1, i64::MIN] {
        assert_eq!(reason(at(early)), Refusal::Future);
    }
    // One that was opened in time may be ranked too late.
    let capsule = at(NOW).unwrap();
    let mut request = request(&capsule, 4, None);
    request.at = NOW + 6 * HOUR;
    let error = capsule.rank(&request).unwrap_err().to_string();
    assert!(error.starts_with("the capsule has expired"), "{error}");
    // A key of small order signs anything.
    let mut weak = [0u8; 32];
    weak[0] = 1;
    assert!(PublicKey::new(&weak).is_err());
    assert!(PublicKey::new(&[0; 31]).is_err());
}

#[test]
fn memory_of_the_caller_is_read_in_place_where_it_is_aligned() {
    let bytes = packed(20, 8, false);
    let mut room = vec![0u64; bytes.len() / 8 + 2];
    let room: &'static mut [u8] =
        bytemuck::cast_slice_mut(Box::leak(room.as_mut_slice().to_vec().into_boxed_slice()));
    let slates: Vec<Slate> = [0usize, 3]
        .into_iter()
        .map(|shift| {
            let copy: &'static mut [u8] = Box::leak(vec![0u8; room.len()].into_boxed_slice());
            copy[shift..shift + bytes.len()].copy_from_slice(&bytes);
            let capsule =
                Capsule::open_static(&copy[shift..shift + bytes.len()], &keys(), NOW).unwrap();
            capsule.rank(&request(&capsule, 8, None)).unwrap()
        })
        .collect();
    assert_eq!(slates[0].ids, slates[1].ids);
    assert_eq!(slates[0].scores, slates[1].scores);
}

#[test]
fn a_capsule_of_stored_codes_ranks_as_its_source_bit_for_bit() {
    let first = Capsule::open(&packed(90, 16, false), &keys(), NOW).unwrap();
    // Packed again from what was packed: int8 codes are copied, not made anew.
    let ids = first.ids();
    let bytes = pack(&first, first.policy(), &packing(&ids), &key()).unwrap();
    let second = Capsule::open(&bytes, &keys(), NOW).unwrap();
    let exclude = Ids::Int(vec![-3, 18, 1_000_000]);
    let slates = [&first, &second].map(|capsule| {
        let request = request(capsule, 16, Some(&exclude));
        capsule.rank(&request).unwrap()
    });
    assert_eq!(slates[0].ids, slates[1].ids);
    assert_eq!(slates[0].terms, slates[1].terms);
    assert_eq!(slates[0].propensities(), slates[1].propensities());
    assert_eq!(slates[0].len(), 20);
    assert_eq!(slates[0].asked.counts.excluded, 2);
    assert_eq!(slates[0].asked.counts.hidden, 6);
}

#[test]
fn records_replay_with_what_they_withhold() {
    let capsule = Capsule::open(&packed(80, 16, true), &keys(), NOW).unwrap();
    let exclude = Ids::Str(vec!["item-3".into(), "item-40".into()]);
    let request = request(&capsule, 16, Some(&exclude));
    let slate = capsule.rank(&request).unwrap();

    let full = capsule.record(&slate, UserVectors::Included).unwrap();
    let again = capsule.replay(&full, Personal::default()).unwrap();
    assert_eq!((&again.ids, &again.terms), (&slate.ids, &slate.terms));

    let private = capsule.record(&slate, UserVectors::Withheld).unwrap();
    let value: serde_json::Value = serde_json::from_str(&private).unwrap();
    assert_eq!(value["personal"], "withheld");
    assert_eq!(value["content_hash"], capsule.hash());
    assert_eq!(value["source"]["kind"], "capsule");
    assert_eq!(
        value["source"]["packed"]["content_hash"],
        capsule.provenance().content_hash
    );
    assert!(value["choices"][0].get("score").is_none());
    assert_eq!(value["pool"], serde_json::json!([]));
    let personal = || Personal {
        user: request.user.clone(),
        eligible: Some(request.eligible.clone()),
        ..Personal::default()
    };
    let again = capsule.replay(&private, personal()).unwrap();
    assert_eq!(again.ids, slate.ids);
    assert_eq!(again.terms, slate.terms);
    assert_eq!(again.propensities(), slate.propensities());
    // A replayed slate has the same records.
    assert_eq!(
        capsule.record(&again, UserVectors::Withheld).unwrap(),
        private
    );
    assert_eq!(capsule.record(&again, UserVectors::Included).unwrap(), full);

    let refused = |json: &str, personal: Personal, why: &str| {
        let error = capsule.replay(json, personal).unwrap_err();
        assert!(matches!(error, Error::Replay(_)));
        assert!(error.to_string().contains(why), "{error}");
    };
    refused(&private, Personal::default(), "give what it withholds");
    let nobody = Personal {
        user: None,
        ..personal()
    };
    refused(&private, nobody, "what was given may be other");
    let somebody = Personal {
        user: Some(vec![("cf".into(), Taste::Vector(noise(10, 16)))]),
        ..personal()
    };
    refused(&private, somebody, "what was given may be other");
    refused(&full, personal(), "only the user can be given");
    let changed = private.replace("\"seed\":5", "\"seed\":6");
    refused(&changed, personal(), "digest");
    let error = rank::counterfactual(&private, &capsule, None, &["genre".into()]).unwrap_err();
    assert!(error.to_string().contains("withholds personal input"));
}

#[test]
fn nothing_of_a_person_is_in_a_record_that_withholds_it() {
    let capsule = Capsule::open(&packed(80, 16, false), &keys(), NOW).unwrap();
    let mut request = request(&capsule, 16, None);
    request.k = 3;
    let of = |user: Option<User>| {
        let request = Request {
            user,
            ..request.clone()
        };
        let slate = capsule.rank(&request).unwrap();
        let text = capsule.record(&slate, UserVectors::Withheld).unwrap();
        (slate, text)
    };
    let (slate, text) = of(request.user.clone());
    // Another user of whom the same is decided has the same record.
    let near = noise(9, 16)
        .iter()
        .zip(noise(11, 16))
        .map(|(x, y)| x + 1e-4 * y)
        .collect();
    let (other, same) = of(Some(vec![("cf".into(), Taste::Vector(near))]));
    assert_eq!(slate.ids, other.ids);
    assert_ne!(slate.pool.scores, other.pool.scores);
    assert_eq!(text, same);
}

#[test]
fn what_a_server_alone_can_say_comes_along_or_is_refused() {
    let source = items(30, 8, false);
    let ids = source.ids().live_ids();
    let with_model = policy(
        r#"{"schema":"perso_core.policy/1","score":{"signals":[
        {"kind":"similarity","name":"similarity","space":"cf","weight":1,"normalize":"minmax"},
        {"kind":"model","name":"ctr","features":["price"],"weight":2,"normalize":"none"},
        {"kind":"list","name":"search","weight":1,"normalize":{"rrf":{"k":60}}},
        {"kind":"value","name":"affinity","weight":1,"normalize":"none"}]}}"#,
    );
    let error = pack(&source, &with_model, &packing(&ids), &key()).unwrap_err();
    assert!(error
        .to_string()
        .starts_with("policy: expected one whose models and lists"));
    let numbers = |seed: u64| noise(seed, 30).iter().map(|x| f64::from(*x)).collect();
    let mut listed: Vec<f64> = vec![f64::NAN; 30];
    (0..10).for_each(|i| listed[3 * i] = -(i as f64));
    let signals = [
        ("ctr".to_string(), numbers(20)),
        ("search".to_string(), listed.clone()),
        ("affinity".to_string(), numbers(22)),
    ];
    let given = Packing {
        signals: &signals,
        ..packing(&ids)
    };
    let bytes = pack(&source, &with_model, &given, &key()).unwrap();
    let capsule = Capsule::open(&bytes, &keys(), NOW).unwrap();
    let slate = capsule.rank(&request(&capsule, 8, None)).unwrap();
    for i in 0..slate.len() {
        let row = slate.rows[i] as usize;
        let ctr = 2.0 * signals[0].1[row];
        assert!((slate.terms_of(i)[1] - ctr).abs() < 1e-12);
        let above = listed.iter().filter(|x| **x > listed[row]).count();
        let rrf = match listed[row].is_nan() {
            true => 0.0,
            false => 1.0 / (61.0 + above as f64),
        };
        assert!((slate.terms_of(i)[2] - rrf).abs() < 1e-12);
    }
    let text = capsule.record(&slate, UserVectors::Included).unwrap();
    assert!(capsule.replay(&text, Personal::default()).is_ok());
    // Numbers of the request go before those that came along, and consent takes them away again.
    let mut signals = Signals::new();
    signals
        .insert_rows("affinity", 30, (0..30).map(|i| Some(f64::from(i))))
        .unwrap();
    let mut request = request(&capsule, 8, None);
    request.signals = Arc::new(signals);
    let brought = capsule.rank(&request).unwrap();
    assert_ne!(brought.terms, slate.terms);
    request.allow = Some(Allow {
        history: true,
        profile: true,
        signals: false,
    });
    assert_eq!(capsule.rank(&request).unwrap().terms, slate.terms);
}

#[test]
fn what_cannot_be_packed_is_refused() {
    let source = items(30, 8, false);
    let ids = source.ids().live_ids();
    let policy = policy(POLICY);
    let error = |packing: Packing<'_>| {
        pack(&source, &policy, &packing, &key())
            .unwrap_err()
            .to_string()
    };
    let none = Ids::Int(vec![]);
    assert!(error(packing(&none)).starts_with("ids: expected 1 to 65535"));
    let twice = Ids::Int(vec![4, 4]);
    assert!(error(packing(&twice)).contains("each id once"));
    let absent = Ids::Int(vec![5]);
    assert_eq!(error(packing(&absent)), "no such id: 5");
    let text = Ids::Str(vec!["a".into()]);
    assert!(error(packing(&text)).contains("int ids"));
    let ok = packing(&ids);
    let f32 = Packing {
        dtype: Dtype::F32,
        ..ok
    };
    assert!(error(f32).starts_with("dtype: expected"));
    let past = Packing {
        expires_at: NOW,
        ..ok
    };
    assert!(error(past).starts_with("ttl: expected more than 0"));
    let other = ["other".to_string()];
    let lacking = Packing {
        spaces: Some(&other),
        ..ok
    };
    assert!(error(lacking).contains("no such space: \"cf\""));
    let signals = [("mood".to_string(), vec![0.0; 30])];
    let unused = Packing {
        signals: &signals,
        ..ok
    };
    assert!(error(unused).starts_with("signals: expected names that the policy reads"));
    let few = [("popularity".to_string(), vec![0.0; 29])];
    let short = Packing {
        signals: &few,
        ..ok
    };
    assert!(error(short).contains("expected 30 numbers"));
    let infinite = [("popularity".to_string(), vec![f64::INFINITY; 30])];
    let bad = Packing {
        signals: &infinite,
        ..ok
    };
    assert!(error(bad).contains("finite numbers"));
    let named = ["nothing".to_string()];
    let missing = Packing {
        attributes: &named,
        ..ok
    };
    assert_eq!(error(missing), "no such attribute: \"nothing\"");
}

#[test]
fn two_hundred_candidates_of_64_components_fit_20_kilobytes() {
    let source = items(200, 64, false);
    let ids = source.ids().live_ids();
    let one_space = POLICY.replace(
        r#""kind":"mmr","diversity":0.3"#,
        r#""kind":"mmr","diversity":0.3,"space":"cf""#,
    );
    let bytes = pack(&source, &policy(&one_space), &packing(&ids), &key()).unwrap();
    assert!(bytes.len() < 20_000, "{}", bytes.len());
}
