//! Short pools, short slates, and slates without a user.

mod rank_support;

use std::sync::Mutex;

use perso_core::column::Column;
use perso_core::eligible::RowSet;
use perso_core::error::Result;
use perso_core::ids::{IdMap, Ids};
use perso_core::metric::Metric;
use perso_core::rank::{
    record_json, replay, Candidates, Path, Request, Retrieved, Source, SpaceInfo, UserVectors,
    Where,
};
use rank_support::*;
use serde_json::json;

/// Notes what is asked of a source.
struct Watched {
    inner: Candidates,
    retrievals: Mutex<Vec<(usize, usize)>>,
}

impl Source for Watched {
    fn ids(&self) -> &IdMap {
        self.inner.ids()
    }
    fn spaces(&self) -> &[SpaceInfo] {
        self.inner.spaces()
    }
    fn retrieve(&self, s: usize, q: &[f32], n: usize, eligible: &RowSet) -> Result<Retrieved> {
        self.retrievals.lock().unwrap().push((n, eligible.len()));
        let mut found = self.inner.retrieve(s, q, n, eligible)?;
        found.path = Path::Graph;
        Ok(found)
    }
    fn similarity(&self, s: usize, q: &[f32], rows: &[u32], out: &mut [f32]) -> Result<()> {
        self.inner.similarity(s, q, rows, out)
    }
    fn cosine(&self, s: usize, row: u32, rows: &[u32], out: &mut [f32]) {
        self.inner.cosine(s, row, rows, out);
    }
    fn round(
        &self,
        space: usize,
        row: u32,
        codes: &mut [i8],
    ) -> Option<perso_core::store::Rounded> {
        self.inner.round(space, row, codes)
    }

    fn unit(&self, space: usize, row: u32, out: &mut [f32]) {
        self.inner.unit(space, row, out);
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.inner.column(name)
    }
    fn generation(&self) -> u64 {
        self.inner.generation()
    }
    fn content_hash(&self) -> String {
        self.inner.content_hash()
    }
}

/// Item `i` of `n` has similarity `n - i` to the user: the best come first.
fn line(n: usize, genre: impl Fn(usize) -> Vec<&'static str>) -> Watched {
    let inner = Candidates::new(
        Ids::Int((0..n as i64).collect()),
        vec![
            (
                space("line", 1, Metric::Ip),
                (0..n).map(|i| (n - i) as f32).collect(),
            ),
            (space("around", 2, Metric::Cosine), Noise(4).vector(2 * n)),
        ],
        None,
        vec![
            (
                "genre".into(),
                lists(&(0..n).map(genre).collect::<Vec<_>>()),
            ),
            (
                "popularity".into(),
                floats(&(0..n).map(|i| Some(i as f64)).collect::<Vec<_>>()),
            ),
        ],
    )
    .unwrap();
    Watched {
        inner,
        retrievals: Mutex::default(),
    }
}

fn by_line(source: &dyn Source, k: usize) -> Request {
    request(source, Some(vec![("line", vec![1.0])]), k)
}

fn similarity() -> serde_json::Value {
    json!({"name": "similarity", "kind": "similarity", "space": "line", "weight": 1.0, "normalize": "minmax"})
}

#[test]
fn caps_that_starve_the_pool_deepen_it() {
    // The first 200 items are all of one genre; a pool of 10 holds nothing else.
    let source = line(400, |i| {
        vec![if i < 200 {
            "drama"
        } else if i < 300 {
            "comedy"
        } else {
            "noir"
        }]
    });
    let plan = policy(
        json!({"score": {"signals": [similarity()]}, "candidates": 10,
        "caps": {"genre": 2}}),
    );
    let slate = ranked(&source, &plan, &by_line(&source, 6));
    assert_eq!(int_ids(&slate), [0, 1, 200, 201, 300, 301]);
    assert_eq!(slate.short_reason, None);
    assert_eq!(
        slate.pool.steps,
        [10, 20, 40],
        "each deepening doubles the pool"
    );
    // Only rows that a cap lets through are worth a deepening.
    assert_eq!(
        *source.retrievals.lock().unwrap(),
        [(10, 400), (10, 200), (20, 100)]
    );
    assert_eq!(slate.path, Path::Graph);
    // Newcomers are normalised like the first pool, in which 10 items spanned [0, 1].
    assert_eq!(slate.scores[0], 1.0);
    assert_eq!(slate.scores[2], (200.0 - 391.0) / 9.0);
    assert_eq!(
        slate
            .slots
            .iter()
            .map(|slot| slot.eligible)
            .collect::<Vec<_>>(),
        [10, 9, 10, 9, 20, 19]
    );
    assert_eq!(slate.propensities(), [1.0; 6]);
}

#[test]
fn a_deepened_slate_replays() {
    let source = line(400, |i| vec![if i < 200 { "drama" } else { "noir" }]);
    let plan = policy(
        json!({"score": {"signals": [similarity()]}, "candidates": 10,
        "caps": {"genre": 3}, "diversity": {"kind": "mmr", "diversity": 0.5},
        "explore": {"kind": "epsilon_greedy", "epsilon": 0.5}}),
    );
    for seed in 0..20 {
        let request = Request {
            seed,
            ..by_line(&source, 6)
        };
        let slate = ranked(&source, &plan, &request);
        assert_eq!(slate.pool.steps, [10, 20]);
        let record = record_json(&slate, &source, UserVectors::Included).unwrap();
        let again = replay(&record, &source, None).unwrap();
        assert_eq!(again.ids, slate.ids);
        assert_eq!(again.slots, slate.slots);
        assert_eq!(again.scores, slate.scores);
        // Without its deepening the record is refused.
        let mut cut: serde_json::Value = serde_json::from_str(&record).unwrap();
        cut["pool"].as_array_mut().unwrap().pop();
        assert!(replay(&cut.to_string(), &source, None).is_err());
    }
}

#[test]
fn mmr_compares_newcomers_with_everything_chosen() {
    // Two genres; the second genre's items are copies of the first's vectors or their opposites.
    let n = 8;
    let mut vectors = Vec::new();
    for i in 0..n {
        vectors.extend(match i {
            0 => [1.0f32, 0.0],
            1..=3 => [1.0, 0.01],
            4 => [1.0, 0.02],
            _ => [0.0, 1.0],
        });
    }
    let inner = Candidates::new(
        Ids::Int((0..n as i64).collect()),
        vec![
            (
                space("line", 1, Metric::Ip),
                (0..n).map(|i| (n - i) as f32).collect(),
            ),
            (space("around", 2, Metric::Cosine), vectors),
        ],
        None,
        vec![(
            "genre".into(),
            lists(
                &(0..n)
                    .map(|i| vec![if i < 4 { "a" } else { "b" }])
                    .collect::<Vec<_>>(),
            ),
        )],
    )
    .unwrap();
    let plan = policy(
        json!({"score": {"signals": [similarity()]}, "candidates": 4,
        "caps": {"genre": 1}, "diversity": {"kind": "mmr", "diversity": 1.0}}),
    );
    let slate = ranked(&inner, &plan, &by_line(&inner, 2));
    // Item 4 scores best of the newcomers, but it looks like item 0; item 5 is orthogonal to it.
    assert_eq!(slate.pool.steps, [4, 8]);
    assert_eq!(int_ids(&slate), [0, 5]);
    assert!(
        slate.reasons()[1].contains("chosen for variety"),
        "{:?}",
        slate.reasons()
    );
}

#[test]
fn slates_are_short_only_when_nothing_is_left_and_say_why() {
    let source = line(20, |i| if i < 18 { vec!["a"] } else { vec![] });
    let plain = policy(json!({"score": {"signals": [similarity()]}}));
    let capped = policy(json!({"score": {"signals": [similarity()]}, "caps": {"genre": 3}}));
    let reason = |plan: &_, edit: &dyn Fn(&mut Request)| {
        let mut request = by_line(&source, 15);
        edit(&mut request);
        let slate = ranked(&source, plan, &request);
        (slate.len(), slate.short_reason)
    };
    let text = |s: &str| Some(s.to_string());
    assert_eq!(reason(&plain, &|_| ()), (15, None));
    assert_eq!(reason(&plain, &|r| r.k = 20), (20, None));
    assert_eq!(
        reason(&plain, &|r| r.k = 21),
        (20, text("only 20 items are eligible"))
    );
    let seen = Ids::Int((0..12).chain([99]).collect());
    let mask: Vec<bool> = (0..20).map(|i| i != 15 && i != 2).collect();
    assert_eq!(
        reason(&plain, &|r| r.eligible =
            eligible(&source, Where::All, Some(&seen))),
        (8, text("only 8 items are eligible (12 excluded)"))
    );
    assert_eq!(
        reason(&plain, &|r| r.eligible =
            eligible(&source, Where::Mask(&mask), Some(&seen))),
        (
            7,
            text("only 7 items are eligible (11 excluded, 2 filtered)")
        )
    );
    assert_eq!(
        reason(&plain, &|r| r.eligible =
            eligible(&source, Where::Mask(&[false; 20]), None)),
        (0, text("no item is eligible (20 filtered)"))
    );
    let one = Ids::Int(vec![5]);
    assert_eq!(
        reason(&plain, &|r| r.eligible =
            eligible(&source, Where::Ids(&one), None)),
        (1, text("only 1 item is eligible (19 filtered)"))
    );
    assert_eq!(
        reason(&capped, &|_| ()),
        (5, text("caps leave no further item: genre=3"))
    );
    // Two items without a genre and two of the capped one: the caps forbid nothing.
    let four = Ids::Int(vec![16, 17, 18, 19]);
    assert_eq!(
        reason(&capped, &|r| r.eligible =
            eligible(&source, Where::Ids(&four), None)),
        (4, text("only 4 items are eligible (16 filtered)"))
    );
    let empty = Candidates::new(
        Ids::Int(vec![]),
        vec![(space("line", 1, Metric::Ip), vec![])],
        None,
        vec![],
    )
    .unwrap();
    let slate = ranked(&empty, &plain, &by_line(&empty, 3));
    assert_eq!(
        (slate.len(), slate.short_reason),
        (0, text("there are no items"))
    );
}

#[test]
fn without_a_user_the_other_signals_decide() {
    let source = line(300, |_| vec![]);
    let plan = policy(json!({"score": {"signals": [similarity(),
        {"name": "popularity", "kind": "value", "weight": 0.5, "normalize": "minmax"}]},
        "candidates": 20}));
    let slate = ranked(&source, &plan, &request(&source, None, 5));
    assert_eq!(int_ids(&slate), [299, 298, 297, 296, 295]);
    assert_eq!(slate.path, Path::Attributes);
    assert_eq!(slate.pool.rows.len(), 20);
    assert_eq!(slate.term_names, ["popularity"]);
    assert_eq!(slate.term("similarity"), None);
    // Normalised over the pool, as always.
    assert_eq!(slate.scores[0], 0.5);
    assert!(source.retrievals.lock().unwrap().is_empty());
    assert!(slate
        .reasons()
        .iter()
        .all(|r| r.ends_with("not personalised: no user vector was given")));
    assert_eq!(
        slate.reasons()[0],
        "popularity +0.500; not personalised: no user vector was given"
    );

    // With a user the same policy is personal.
    let slate = ranked(&source, &plan, &by_line(&source, 5));
    assert_eq!(slate.term_names, ["similarity", "popularity"]);
    assert!(!slate.reasons()[0].contains("not personalised"));
}

#[test]
fn without_a_user_and_other_signals_ids_decide() {
    let source = line(300, |i| if i < 250 { vec!["a"] } else { vec!["b"] });
    let plan = policy(
        json!({"score": {"signals": [similarity()]}, "candidates": 4,
        "caps": {"genre": 2}}),
    );
    let slate = ranked(&source, &plan, &request(&source, None, 4));
    assert_eq!(
        int_ids(&slate),
        [0, 1, 250, 251],
        "deepening goes on in the same order"
    );
    assert_eq!(slate.scores, [0.0; 4]);
    assert!(slate.term_names.is_empty() && slate.terms.is_empty());
    assert_eq!(
        slate.reasons()[0],
        "no signal speaks for or against it; not personalised: no user vector was given"
    );
    let record = record_json(&slate, &source, UserVectors::Included).unwrap();
    assert_eq!(replay(&record, &source, None).unwrap().ids, slate.ids);
}

#[test]
fn a_disliked_similarity_does_not_retrieve() {
    let source = line(300, |_| vec![]);
    let mut spec = json!({"score": {"signals": [similarity()]}, "candidates": 10});
    spec["score"]["signals"][0]["weight"] = json!(-1.0);
    let slate = ranked(&source, &policy(spec), &by_line(&source, 3));
    assert_eq!(
        int_ids(&slate),
        [299, 298, 297],
        "the least similar of all items"
    );
}

#[test]
fn lists_are_merged_round_robin() {
    let n = 100;
    let source = Candidates::new(
        Ids::Int((0..n as i64).collect()),
        vec![
            (
                space("up", 1, Metric::Ip),
                (0..n).map(|i| i as f32).collect(),
            ),
            (
                space("down", 1, Metric::Ip),
                (0..n).map(|i| -(i as f32)).collect(),
            ),
        ],
        None,
        vec![],
    )
    .unwrap();
    let signal = |space: &str| {
        json!({"name": format!("similarity.{space}"), "kind": "similarity", "space": space,
            "weight": 1.0, "normalize": "none"})
    };
    let user = || Some(vec![("up", vec![1.0]), ("down", vec![1.0])]);
    for (size, expected) in [(4, vec![0, 1, 98, 99]), (5, vec![0, 1, 97, 98, 99])] {
        let plan = policy(json!({"score": {"signals": [signal("up"), signal("down")]},
            "candidates": size}));
        let slate = ranked(&source, &plan, &request(&source, user(), 1));
        assert_eq!(slate.pool.ids, Ids::Int(expected));
    }
}
