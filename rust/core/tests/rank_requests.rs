//! What a request may ask, and how it is told when it asks for what cannot be.

mod rank_support;

use std::sync::Arc;

use perso_core::column::{ColumnType, Value};
use perso_core::error::Error;
use perso_core::ids::Ids;
use perso_core::metric::Metric;
use perso_core::rank::{
    rank, rank_many, space_of_bare_vector, Candidates, Eligibility, Request, Signals, Source, User,
    Where,
};
use rank_support::*;
use serde_json::json;

fn two_spaces() -> Candidates {
    let mut noise = Noise(5);
    Candidates::new(
        Ids::Int(vec![10, 20, 30, 40]),
        vec![
            (space("cf", 2, Metric::Ip), noise.vector(8)),
            (space("content", 3, Metric::Cosine), noise.vector(12)),
        ],
        None,
        vec![
            (
                "popularity".into(),
                floats(&[Some(1.0), Some(3.0), None, Some(2.0)]),
            ),
            (
                "genre".into(),
                lists(&[vec!["a"], vec!["b"], vec![], vec!["a", "b"]]),
            ),
            ("at".into(), times(&[Some(0), Some(1), None, Some(2)])),
        ],
    )
    .unwrap()
}

fn similarity(space: Option<&str>) -> serde_json::Value {
    json!({"name": "similarity", "kind": "similarity", "space": space, "weight": 1.0, "normalize": "none"})
}

fn error(source: &Candidates, spec: serde_json::Value, edit: impl Fn(&mut Request)) -> Error {
    let mut asked = request(source, None, 2);
    edit(&mut asked);
    rank(source, &policy(spec), &asked).expect_err("the request should be refused")
}

#[test]
fn users_must_fit_the_spaces() {
    let source = two_spaces();
    let cf = json!({"score": {"signals": [similarity(Some("cf"))]}});
    let any = json!({"score": {"signals": [similarity(None)]}});
    let with = |user: Vec<(&str, Vec<f32>)>| {
        let user: User = user
            .into_iter()
            .map(|(s, v)| (s.to_string(), v.into()))
            .collect();
        move |asked: &mut Request| asked.user = Some(user.clone())
    };
    let cases = [
        (&cf, vec![], "user: expected a vector per space, or None, got no vector"),
        (&cf, vec![("cf", vec![1.0; 3])], "user[\"cf\"]: expected 2 components, got 3"),
        (&cf, vec![("cf", vec![1.0, f32::NAN])], "user[\"cf\"]: expected finite numbers, got NaN"),
        (&cf, vec![("cf", vec![f32::INFINITY, 1.0])], "user[\"cf\"]: expected finite numbers, got inf"),
        (&cf, vec![("cf", vec![1e30, 1.0])], "user[\"cf\"]: expected finite numbers, got a vector whose"),
        (&cf, vec![("nope", vec![1.0])], "no such space: \"nope\""),
        (&cf, vec![("content", vec![1.0; 3])], "user: expected a vector for space \"cf\""),
        (
            &cf,
            vec![("cf", vec![1.0; 2]), ("cf", vec![1.0; 2])],
            "user: expected each space once, got \"cf\" twice",
        ),
        (
            &cf,
            vec![("cf", vec![1.0; 2]), ("content", vec![1.0; 3])],
            "user: expected vectors for spaces that the policy's similarity uses, got a vector for \"content\"",
        ),
        (
            &any,
            vec![("cf", vec![1.0; 2]), ("content", vec![1.0; 3])],
            "similarity: expected {space: weight} naming one or more of \"cf\", \"content\"",
        ),
    ];
    for (spec, user, expected) in cases {
        let message = error(&source, spec.clone(), with(user)).to_string();
        assert!(
            message.starts_with(expected),
            "expected {expected:?}…, got {message:?}"
        );
    }
    let unknown = json!({"score": {"signals": [similarity(Some("nope"))]}});
    assert!(matches!(
        error(&source, unknown, |_| ()),
        Error::Missing { .. }
    ));
}

#[test]
fn a_similarity_without_a_space_takes_the_only_one() {
    let source = two_spaces();
    let any = policy(json!({"score": {"signals": [similarity(None)]}}));
    for (name, dim) in [("cf", 2), ("content", 3)] {
        let user = vec![0.5f32; dim];
        let slate = ranked(
            &source,
            &any,
            &request(&source, Some(vec![(name, user.clone())]), 4),
        );
        let mut expected = [0.0f32; 4];
        let index = source.spaces().iter().position(|s| s.name == name).unwrap();
        source
            .similarity(index, &user, &slate.rows, &mut expected)
            .unwrap();
        let expected: Vec<f64> = expected.iter().map(|&x| f64::from(x)).collect();
        assert_eq!(slate.scores, expected);
    }
}

#[test]
fn bare_vectors_find_their_space() {
    let two = two_spaces();
    let one = items(2, vec![1.0, 0.0, 0.0, 1.0], vec![]);
    let any = policy(json!({"score": {"signals": [similarity(None)]}}));
    let content = policy(json!({"score": {"signals": [similarity(Some("content"))]}}));
    assert_eq!(space_of_bare_vector(&one, &any).unwrap(), 0);
    assert_eq!(space_of_bare_vector(&two, &content).unwrap(), 1);
    assert!(space_of_bare_vector(&two, &any)
        .unwrap_err()
        .to_string()
        .starts_with("user: expected"));
}

#[test]
fn nothing_is_ignored() {
    let source = two_spaces();
    let blend = json!({"score": {"signals": [
        {"name": "ctr", "kind": "value", "weight": 1.0, "normalize": "none"}]}});
    let signals = |name: &str, values: Vec<Option<f64>>| {
        let mut signals = Signals::new();
        signals.insert_rows(name, 4, values).unwrap();
        Arc::new(signals)
    };
    let message = error(&source, blend.clone(), |_| ()).to_string();
    assert_eq!(message, "no such signal or attribute: \"ctr\"");
    let message = error(&source, blend.clone(), |asked| {
        let mut both = Signals::new();
        both.insert_rows("ctr", 4, vec![Some(1.0); 4]).unwrap();
        both.insert_rows("surprise", 4, vec![Some(1.0); 4]).unwrap();
        asked.signals = Arc::new(both);
    })
    .to_string();
    assert_eq!(
        message,
        "signals: expected signals that the policy's Blend names (\"ctr\"), got \"surprise\""
    );
    let message = error(&source, blend, |asked| {
        let mut long = Signals::new();
        long.insert_rows("ctr", 5, vec![Some(1.0); 5]).unwrap();
        asked.signals = Arc::new(long);
    })
    .to_string();
    assert_eq!(
        message,
        "signals[\"ctr\"]: expected 4 numbers, one per item, got 5"
    );

    // A signal of the request stands in front of the attribute of its name.
    let popularity = policy(json!({"score": {"signals": [
        {"name": "popularity", "kind": "value", "weight": 2.0, "normalize": "none"}]}}));
    let mut asked = request(&source, None, 4);
    assert_eq!(
        int_ids(&ranked(&source, &popularity, &asked)),
        [20, 40, 10, 30]
    );
    asked.signals = signals("popularity", vec![Some(1.0), None, Some(9.0), Some(-1.0)]);
    let slate = ranked(&source, &popularity, &asked);
    assert_eq!(int_ids(&slate), [30, 10, 20, 40]);
    assert_eq!(slate.scores, [18.0, 2.0, 0.0, -2.0]);
}

#[test]
fn signals_are_checked_when_they_are_given() {
    let source = two_spaces();
    let ids = source.ids();
    let mut signals = Signals::new();
    for (values, expected) in [
        (
            vec![Some(1.0); 3],
            "signals[\"x\"]: expected 4 numbers, one per item, got 3",
        ),
        (
            vec![Some(f64::NAN); 4],
            "signals[\"x\"]: expected finite numbers",
        ),
    ] {
        for message in [
            signals
                .insert_rows("x", 4, values.clone())
                .unwrap_err()
                .to_string(),
            signals
                .insert_live("x", ids, values.clone())
                .unwrap_err()
                .to_string(),
        ] {
            assert!(message.starts_with(expected), "{message}");
        }
    }
    let missing = signals.insert_ids("x", ids, &Ids::Int(vec![10, 11]), &[1.0, 2.0]);
    assert!(matches!(missing, Err(Error::Missing { .. })));
    let kind = signals.insert_ids("x", ids, &Ids::Str(vec!["10".into()]), &[1.0]);
    assert!(matches!(kind, Err(Error::Type { .. })));
    signals
        .insert_ids("x", ids, &Ids::Int(vec![40, 20]), &[1.0, 2.0])
        .unwrap();
    assert!(
        signals
            .insert_ids("x", ids, &Ids::Int(vec![10]), &[1.0])
            .is_err(),
        "twice"
    );
    let by_x = policy(json!({"score": {"signals": [
        {"name": "x", "kind": "value", "weight": 1.0, "normalize": "none"}]}}));
    let mut asked = request(&source, None, 4);
    asked.signals = Arc::new(signals);
    assert_eq!(int_ids(&ranked(&source, &by_x, &asked)), [20, 40, 10, 30]);
}

#[test]
fn attributes_must_have_a_fitting_type() {
    let source = two_spaces();
    let value = |name: &str| {
        json!({"score": {"signals": [
            {"name": name, "kind": "value", "weight": 1.0, "normalize": "none"}]}})
    };
    let decay = |attribute: &str| {
        json!({"score": {"signals": [{"name": "freshness", "kind": "decay", "attribute": attribute,
            "half_life_us": 1, "weight": 1.0, "normalize": "none"}]}})
    };
    let caps =
        |attribute: &str| json!({"score": {"signals": [similarity(None)]}, "caps": {attribute: 1}});
    let mmr = json!({"score": {"signals": [similarity(None)]},
        "diversity": {"kind": "mmr", "diversity": 0.5, "space": "nope"}});
    let cases = [
        (value("genre"), "genre: expected a signal, or a bool, int or float attribute, got a list[str]"),
        (value("at"), "at: expected a signal, or a bool, int or float attribute, got a timestamp attribute; Decay"),
        (decay("nope"), "no such attribute: \"nope\""),
        (decay("popularity"), "freshness.attribute: expected a timestamp attribute"),
        (caps("nope"), "no such attribute: \"nope\""),
        (caps("popularity"), "caps[\"popularity\"]: expected a bool, int, str or list[str] attribute, got float"),
        (caps("at"), "caps[\"at\"]: expected"),
        (mmr, "no such space: \"nope\""),
    ];
    for (spec, expected) in cases {
        let message = error(&source, spec, |_| ()).to_string();
        assert!(
            message.starts_with(expected),
            "expected {expected:?}…, got {message:?}"
        );
    }
    let message = error(
        &source,
        json!({"score": {"signals": [similarity(None)]}}),
        |a| a.k = 0,
    );
    assert_eq!(message.to_string(), "k: expected at least 1, got 0");
    let small = json!({"score": {"signals": [similarity(None)]}, "candidates": 1});
    assert!(error(&source, small, |_| ())
        .to_string()
        .starts_with("candidates: expected at least k"));
}

#[test]
fn diversity_needs_vectors() {
    let bare = Candidates::new(Ids::Int(vec![1, 2]), vec![], Some(vec![0.5, 0.7]), vec![]).unwrap();
    let spec = json!({"score": {"signals": [similarity(None)]},
        "diversity": {"kind": "mmr", "diversity": 0.5}});
    let message = error(&bare, spec, |_| ()).to_string();
    assert!(
        message.starts_with("diversity: expected a source with vectors"),
        "{message}"
    );
    let none = policy(json!({"score": {"signals": [similarity(None)]},
        "diversity": {"kind": "mmr", "diversity": 0.0}}));
    assert_eq!(
        int_ids(&ranked(&bare, &none, &request(&bare, None, 2))),
        [2, 1]
    );
}

#[test]
fn given_scores_are_the_similarity() {
    let scores = vec![0.25, 1.0 + 1e-12, 1.0, -3.0];
    let bring = |scores: Vec<f64>| {
        Candidates::new(
            Ids::Int(vec![1, 2, 3, 4]),
            vec![(space("v", 1, Metric::Cosine), vec![1.0, 2.0, 3.0, 4.0])],
            Some(scores),
            vec![],
        )
    };
    let source = bring(scores.clone()).unwrap();
    let plain = policy(json!({"score": {"signals": [similarity(None)]}, "candidates": 3}));
    let slate = ranked(&source, &plain, &request(&source, None, 3));
    assert_eq!(int_ids(&slate), [2, 3, 1], "doubles, not floats, decide");
    assert_eq!(slate.scores, [scores[1], scores[2], scores[0]]);
    assert_eq!(slate.path.as_str(), "given");
    assert!(!slate.reasons()[0].contains("not personalised"));

    let message = error(
        &source,
        json!({"score": {"signals": [similarity(None)]}}),
        |asked| {
            asked.user = Some(vec![("v".into(), vec![1.0].into())]);
        },
    );
    assert!(message
        .to_string()
        .starts_with("user: expected None, because the candidates bring scores"));
    let named = json!({"score": {"signals": [similarity(Some("v"))]}});
    assert!(error(&source, named, |_| ())
        .to_string()
        .starts_with("scores: expected a Blend"));
    assert!(bring(vec![1.0]).is_err());
    assert!(bring(vec![f64::NAN; 4]).is_err());
}

#[test]
fn candidates_are_checked() {
    let make = |ids: Vec<i64>, dim: usize, vectors: Vec<f32>| {
        Candidates::new(
            Ids::Int(ids),
            vec![(space("v", dim, Metric::L2), vectors)],
            None,
            vec![],
        )
        .map(|_| ())
        .map_err(|error| error.to_string())
    };
    assert_eq!(make(vec![1, 2], 2, vec![1.0; 4]), Ok(()));
    for (result, expected) in [
        (
            make(vec![1, 1], 2, vec![1.0; 4]),
            "ids: expected each id once",
        ),
        (
            make(vec![1, 2], 2, vec![1.0; 3]),
            "vectors[\"v\"]: expected 2 rows of 2 components",
        ),
        (
            make(vec![1, 2], 2, vec![f32::NAN; 4]),
            "vectors[\"v\"]: expected finite numbers",
        ),
        (make(vec![1, 2], 0, vec![]), "dim: expected"),
    ] {
        let message = result.unwrap_err();
        assert!(message.starts_with(expected), "{message}");
    }
    let short = column(ColumnType::Int, [Value::Int(1)]);
    let ids = Ids::Int(vec![1, 2]);
    assert!(Candidates::new(ids, vec![], None, vec![("n".into(), short)]).is_err());
}

#[test]
fn eligibility_counts_who_is_left_out() {
    let source = two_spaces();
    let ids = source.ids();
    let seen = Ids::Int(vec![20, 999, 10, 20]);
    let eligible =
        Eligibility::new(ids, Where::Mask(&[true, false, true, true]), Some(&seen)).unwrap();
    assert_eq!(eligible.rows.iter().collect::<Vec<_>>(), [2, 3]);
    let counts = eligible.counts;
    assert_eq!(
        (
            counts.live,
            counts.filtered,
            counts.excluded,
            counts.eligible
        ),
        (4, 1, 1, 2)
    );
    let wanted = Ids::Int(vec![40, 10]);
    let eligible = Eligibility::new(ids, Where::Ids(&wanted), None).unwrap();
    assert_eq!(eligible.rows.iter().collect::<Vec<_>>(), [0, 3]);

    let short = Eligibility::new(ids, Where::Mask(&[true]), None).unwrap_err();
    assert_eq!(
        short.to_string(),
        "where: expected 4 flags, one for each of the 4 items, got 1 flags"
    );
    let unknown = Ids::Int(vec![11]);
    let error = Eligibility::new(ids, Where::Ids(&unknown), None).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }));
    let text = Ids::Str(vec!["10".into()]);
    let error = Eligibility::new(ids, Where::All, Some(&text)).unwrap_err();
    assert!(matches!(error, Error::Type { .. }));
    let none = Ids::Str(vec![]);
    assert!(Eligibility::new(ids, Where::All, Some(&none)).is_ok());
}

#[test]
fn a_batch_is_its_requests() {
    let source = two_spaces();
    let plain = policy(json!({"score": {"signals": [similarity(Some("cf"))]},
        "explore": {"kind": "epsilon_greedy", "epsilon": 0.5}}));
    let mut noise = Noise(3);
    let requests: Vec<Request> = (0..40)
        .map(|i| Request {
            request_id: format!("r-{i}"),
            ..request(&source, Some(vec![("cf", noise.vector(2))]), 3)
        })
        .collect();
    let one = rank_many(&source, &plain, &requests, 1).unwrap();
    let many = rank_many(&source, &plain, &requests, 4).unwrap();
    for ((request, a), b) in requests.iter().zip(&one).zip(&many) {
        let alone = ranked(&source, &plain, request);
        for slate in [a, b] {
            assert_eq!(slate.rows, alone.rows);
            assert_eq!(slate.scores, alone.scores);
            assert_eq!(slate.slots, alone.slots);
        }
    }
    let mut requests = requests;
    requests[30].k = 0;
    requests[7].user = Some(vec![("cf".into(), vec![1.0].into())]);
    let error = rank_many(&source, &plain, &requests, 4)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "request 7: user[\"cf\"]: expected 2 components, got 1"
    );
}
