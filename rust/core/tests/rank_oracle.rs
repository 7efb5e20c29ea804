//! The whole ranking against an auditor that is written from the definitions alone, in float64 and
//! without any of the library's own parts: pool, normalisers, blend, MMR, caps, epsilon-greedy.

mod rank_support;

use std::collections::{BTreeMap, BTreeSet};

use perso_core::column::{ColumnType, Value};
use perso_core::ids::{Id, Ids};
use perso_core::metric::Metric;
use perso_core::rank::explore::{EpsilonGreedy, Explore, SlotView};
use perso_core::rank::{
    record_json, replay, Candidates, Request, Slate, Source, UserVectors, Where,
};
use proptest::prelude::*;
use rank_support::*;
use serde_json::{json, Value as Json};

const HOUR: i64 = 3_600_000_000;
const GENRES: [&str; 4] = ["a", "b", "c", "d"];

/// Items as plain data: what the auditor reads.
#[derive(Clone, Debug)]
struct Item {
    id: i64,
    cf: Vec<f32>,
    l2: Vec<f32>,
    content: Vec<f32>,
    popularity: Option<f64>,
    published: Option<i64>,
    genres: Vec<&'static str>,
    brand: Option<i64>,
}

#[derive(Clone, Debug)]
struct World {
    items: Vec<Item>,
    user_cf: Vec<f32>,
    user_l2: Vec<f32>,
    personal: bool,
    excluded: Vec<i64>,
    masked: Vec<bool>,
    k: usize,
    at: i64,
    seed: u64,
    spec: Spec,
}

#[derive(Clone, Debug)]
struct Spec {
    candidates: Option<usize>,
    weights: [f64; 4],
    normalize: [&'static str; 4],
    diversity: Option<f64>,
    genre_cap: Option<usize>,
    brand_cap: Option<usize>,
    epsilon: Option<f64>,
}

impl Spec {
    fn json(&self) -> Json {
        let [cf, l2, popularity, freshness] = self.weights;
        let n = self.normalize;
        let mut caps = serde_json::Map::new();
        if let Some(cap) = self.genre_cap {
            caps.insert("genre".into(), json!(cap));
        }
        if let Some(cap) = self.brand_cap {
            caps.insert("brand".into(), json!(cap));
        }
        json!({
            "candidates": self.candidates,
            "score": {"signals": [
                {"name": "similarity.cf", "kind": "similarity", "space": "cf", "weight": cf, "normalize": n[0]},
                {"name": "similarity.l2", "kind": "similarity", "space": "l2", "weight": l2, "normalize": n[1]},
                {"name": "popularity", "kind": "value", "weight": popularity, "normalize": n[2]},
                {"name": "freshness", "kind": "decay", "attribute": "published", "half_life_us": 24 * HOUR,
                 "weight": freshness, "normalize": n[3]},
            ]},
            "diversity": self.diversity.map(|d| json!({"kind": "mmr", "diversity": d})),
            "caps": caps,
            "explore": self.epsilon.map(|e| json!({"kind": "epsilon_greedy", "epsilon": e})),
        })
    }
}

impl World {
    fn source(&self) -> Candidates {
        let items = &self.items;
        let flat = |f: fn(&Item) -> &Vec<f32>| items.iter().flat_map(|i| f(i).clone()).collect();
        Candidates::new(
            Ids::Int(items.iter().map(|i| i.id).collect()),
            vec![
                (space("cf", 3, Metric::Ip), flat(|i| &i.cf)),
                (space("l2", 2, Metric::L2), flat(|i| &i.l2)),
                (space("content", 4, Metric::Cosine), flat(|i| &i.content)),
            ],
            None,
            vec![
                (
                    "popularity".into(),
                    floats(&items.iter().map(|i| i.popularity).collect::<Vec<_>>()),
                ),
                (
                    "published".into(),
                    times(&items.iter().map(|i| i.published).collect::<Vec<_>>()),
                ),
                (
                    "genre".into(),
                    lists(&items.iter().map(|i| i.genres.clone()).collect::<Vec<_>>()),
                ),
                (
                    "brand".into(),
                    column(
                        ColumnType::Int,
                        items
                            .iter()
                            .map(|i| i.brand.map_or(Value::Null, Value::Int)),
                    ),
                ),
            ],
        )
        .unwrap()
    }

    fn request(&self, source: &Candidates) -> Request {
        let user = self
            .personal
            .then(|| vec![("cf", self.user_cf.clone()), ("l2", self.user_l2.clone())]);
        Request {
            eligible: eligible(
                source,
                Where::Mask(&self.masked),
                Some(&Ids::Int(self.excluded.clone())),
            ),
            at: self.at,
            seed: self.seed,
            ..request(source, user, self.k)
        }
    }

    fn slate(&self) -> Slate {
        let source = self.source();
        ranked(&source, &policy(self.spec.json()), &self.request(&source))
    }

    fn eligible(&self) -> BTreeSet<usize> {
        (0..self.items.len())
            .filter(|&i| self.masked[i] && !self.excluded.contains(&self.items[i].id))
            .collect()
    }

    /// Signal values before normalisation; `None` for a missing one. Without a user the similarities
    /// are not there at all.
    fn signals(&self, i: usize) -> Vec<(usize, Option<f64>)> {
        let item = &self.items[i];
        let pairs = |a: &[f32], b: &[f32]| -> Vec<(f64, f64)> {
            a.iter()
                .zip(b)
                .map(|(&x, &y)| (f64::from(x), f64::from(y)))
                .collect()
        };
        let mut out = Vec::new();
        if self.personal {
            let cf: f64 = pairs(&self.user_cf, &item.cf)
                .iter()
                .map(|(x, y)| x * y)
                .sum();
            let l2: f64 = pairs(&self.user_l2, &item.l2)
                .iter()
                .map(|(x, y)| (x - y).powi(2))
                .sum();
            // Sums of products with zero may be negative zeros, which sort below zero.
            out.push((0, Some(cf + 0.0)));
            out.push((1, Some(0.0 - l2)));
        }
        out.push((2, item.popularity));
        out.push((
            3,
            item.published
                .map(|t| 0.5f64.powf((self.at - t).max(0) as f64 / (24 * HOUR) as f64)),
        ));
        out
    }

    /// Terms of `rows`, normalised over `over`.
    fn terms(&self, rows: &[usize], over: &[usize]) -> Vec<Vec<f64>> {
        let columns = self.signals(0).len();
        let mut out = vec![Vec::new(); rows.len()];
        for c in 0..columns {
            let signal = self.signals(0)[c].0;
            let mut fit: Vec<f64> = over.iter().filter_map(|&i| self.signals(i)[c].1).collect();
            fit.sort_by(f64::total_cmp);
            for (&row, out) in rows.iter().zip(&mut out) {
                let term = self.signals(row)[c].1.map_or(0.0, |x| {
                    self.spec.weights[signal] * normalised(self.spec.normalize[signal], x, &fit)
                });
                out.push(term);
            }
        }
        out
    }

    /// The pool by its definition.
    fn pool(&self, want: usize) -> BTreeSet<usize> {
        let eligible: Vec<usize> = self.eligible().into_iter().collect();
        let by = |key: &dyn Fn(usize) -> f64| {
            let mut order = eligible.clone();
            order.sort_by(|&a, &b| {
                key(b)
                    .total_cmp(&key(a))
                    .then(self.items[a].id.cmp(&self.items[b].id))
            });
            order
        };
        let retrieving: Vec<usize> = (0..2)
            .filter(|&s| self.personal && self.spec.weights[s] > 0.0)
            .collect();
        if retrieving.is_empty() {
            let terms = self.terms(&eligible, &eligible);
            let score: BTreeMap<usize, f64> = eligible
                .iter()
                .zip(&terms)
                // Scores that differ by rounding alone count as equal.
                .map(|(&i, terms)| (i, (terms.iter().sum::<f64>() * 1e9).round() + 0.0))
                .collect();
            return by(&|i| score[&i]).into_iter().take(want).collect();
        }
        let lists: Vec<Vec<usize>> = retrieving
            .iter()
            .map(|&s| {
                by(&|i| self.signals(i)[s].1.unwrap())
                    .into_iter()
                    .take(want)
                    .collect()
            })
            .collect();
        let mut pool = BTreeSet::new();
        for round in 0..eligible.len() {
            for list in &lists {
                if let Some(&i) = list.get(round) {
                    if pool.len() < want {
                        pool.insert(i);
                    }
                }
            }
        }
        pool
    }
}

fn normalised(kind: &str, x: f64, sorted: &[f64]) -> f64 {
    let n = sorted.len() as f64;
    if kind == "none" {
        return x;
    }
    if sorted.is_empty() || sorted[0] == sorted[sorted.len() - 1] {
        return 0.0;
    }
    let (min, max) = (sorted[0], sorted[sorted.len() - 1]);
    match kind {
        "minmax" => (x - min) / (max - min),
        "zscore" => {
            let mean = sorted.iter().sum::<f64>() / n;
            let var = sorted.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
            (x - mean) / var.sqrt()
        }
        "rank" => {
            let below = sorted.iter().filter(|&&v| v < x).count() as f64;
            let equal = sorted.iter().filter(|&&v| v == x).count() as f64;
            (below + (equal - 1.0) / 2.0).clamp(0.0, n - 1.0) / (n - 1.0)
        }
        other => panic!("{other}"),
    }
}

/// Follows a slate slot by slot and checks every number on it. The error says what is wrong.
fn audit(world: &World, slate: &Slate) -> Result<(), String> {
    let index: BTreeMap<i64, usize> = world
        .items
        .iter()
        .enumerate()
        .map(|(i, item)| (item.id, i))
        .collect();
    let at = |id: Id| match id {
        Id::Int(id) => index[&id],
        Id::Str(_) => unreachable!(),
    };
    let check = |ok: bool, what: String| if ok { Ok(()) } else { Err(what) };
    let pool: Vec<usize> = (0..slate.pool.rows.len())
        .map(|e| at(slate.pool_id(e as u32)))
        .collect();
    let eligible = world.eligible();
    check(
        pool.iter().all(|i| eligible.contains(i)),
        "the pool holds an ineligible item".into(),
    )?;
    let want = world.spec.candidates.unwrap_or(100.max(10 * world.k));
    let first: Vec<usize> = pool[..slate.pool.steps[0]].to_vec();
    check(
        first.len() == want.min(eligible.len()),
        format!("a pool of {}", first.len()),
    )?;
    check(
        first.iter().copied().collect::<BTreeSet<_>>() == world.pool(want),
        format!("the pool is {first:?}"),
    )?;

    // Scores, and relevance for MMR, by the first pool's parameters.
    let terms = world.terms(&pool, &first);
    let scores: Vec<f64> = terms.iter().map(|terms| terms.iter().sum()).collect();
    for (e, &score) in slate.pool.scores.iter().enumerate() {
        check(
            (score - scores[e]).abs() < 1e-9,
            format!("pool score {score}, not {}", scores[e]),
        )?;
    }
    let lowest = scores[..first.len()]
        .iter()
        .copied()
        .reduce(f64::min)
        .unwrap_or(0.0);
    let highest = scores[..first.len()]
        .iter()
        .copied()
        .reduce(f64::max)
        .unwrap_or(0.0);
    let relevance = |e: usize| {
        if highest - lowest < 1e-12 {
            0.0
        } else {
            (scores[e] - lowest) / (highest - lowest)
        }
    };
    let d = world.spec.diversity.unwrap_or(0.0);
    let violates = |chosen: &[usize], new: usize| {
        let genre = |genre: &str| {
            chosen
                .iter()
                .filter(|&&i| world.items[i].genres.contains(&genre))
                .count()
        };
        let brand = |brand: Option<i64>| {
            chosen
                .iter()
                .filter(|&&i| brand.is_some() && world.items[i].brand == brand)
                .count()
        };
        let item = &world.items[new];
        world
            .spec
            .genre_cap
            .is_some_and(|cap| item.genres.iter().any(|g| genre(g) >= cap))
            || world
                .spec
                .brand_cap
                .is_some_and(|cap| brand(item.brand) >= cap)
    };

    let mut chosen: Vec<usize> = Vec::new();
    let mut step = 0;
    for (t, slot) in slate.slots.iter().enumerate() {
        let open = |step: usize| -> Vec<usize> {
            (0..slate.pool.steps[step])
                .filter(|&e| !chosen.contains(&pool[e]) && !violates(&chosen, pool[e]))
                .collect()
        };
        let mut eligible_now = open(step);
        while eligible_now.is_empty() {
            step += 1;
            check(
                step < slate.pool.steps.len(),
                format!("slot {t} has no eligible set"),
            )?;
            eligible_now = open(step);
        }
        let n = eligible_now.len();
        check(
            slot.eligible as usize == n,
            format!("slot {t}: {} eligible, not {n}", slot.eligible),
        )?;
        let value = |e: usize| {
            let similar = chosen
                .iter()
                .map(|&c| cosine(&world.items[c].content, &world.items[pool[e]].content))
                .reduce(f64::max)
                .unwrap_or(0.0);
            (1.0 - d) * relevance(e) - d * similar
        };
        let (entry, greedy) = (slot.entry as usize, slot.greedy as usize);
        check(
            eligible_now.contains(&entry),
            format!("slot {t}: the choice is not eligible"),
        )?;
        check(
            eligible_now.contains(&greedy),
            format!("slot {t}: greedy is not eligible"),
        )?;
        let best = eligible_now
            .iter()
            .map(|&e| value(e))
            .reduce(f64::max)
            .unwrap();
        check(
            value(greedy) >= best - 2e-6,
            format!(
                "slot {t}: greedy has {}, the best has {best}",
                value(greedy)
            ),
        )?;
        if d == 0.0 {
            // Without float32 cosines the order is exact: score, then id.
            let first = eligible_now.iter().copied().min_by(|&a, &b| {
                slate.pool.scores[b]
                    .total_cmp(&slate.pool.scores[a])
                    .then(world.items[pool[a]].id.cmp(&world.items[pool[b]].id))
            });
            check(
                first == Some(greedy),
                format!("slot {t}: greedy is not the first by score"),
            )?;
        }
        check(
            slot.explored == (entry != greedy),
            format!("slot {t}: explored"),
        )?;
        let epsilon = world.spec.epsilon.unwrap_or(0.0);
        let expected = if entry == greedy {
            1.0 - epsilon + epsilon / n as f64
        } else {
            epsilon / n as f64
        };
        check(
            (slot.propensity - expected).abs() < 1e-15,
            format!("slot {t}: propensity {}, not {expected}", slot.propensity),
        )?;
        check(
            !slot.explored || epsilon > 0.0,
            format!("slot {t}: explored without exploration"),
        )?;

        // The distribution over the whole set.
        let order: Vec<u32> = eligible_now.iter().map(|&e| e as u32).collect();
        let view = SlotView {
            eligible: &order,
            scores: &slate.pool.scores,
            values: &[],
            slot: t as u64,
            greedy: order.iter().position(|&e| e == slot.greedy).unwrap(),
        };
        let distribution = EpsilonGreedy { epsilon }.probabilities(&view).unwrap();
        check(
            distribution.iter().all(|&p| p >= 0.0),
            format!("slot {t}: a negative probability"),
        )?;
        let sum: f64 = distribution.iter().sum();
        check(
            (sum - 1.0).abs() < 1e-12,
            format!("slot {t}: probabilities add up to {sum}"),
        )?;
        let stated = distribution[order.iter().position(|&e| e == slot.entry).unwrap()];
        check(
            stated == slot.propensity,
            format!("slot {t}: the draw states another probability"),
        )?;

        // Terms.
        let got = slate.terms_of(t);
        for (got, expected) in got.iter().zip(&terms[entry]) {
            check(
                (got - expected).abs() < 1e-9,
                format!("slot {t}: term {got}, not {expected}"),
            )?;
        }
        for sum in [
            got.iter().fold(0.0, |a, b| a + b),
            got.iter().rev().fold(0.0, |a, b| a + b),
        ] {
            check(
                sum.to_bits() == slate.scores[t].to_bits(),
                format!("slot {t}: terms add up to {sum}, not {}", slate.scores[t]),
            )?;
        }
        chosen.push(pool[entry]);
    }
    let full = slate.len() == world.k.min(eligible.len());
    let stuck = eligible
        .iter()
        .all(|&i| chosen.contains(&i) || violates(&chosen, i));
    check(
        full || stuck,
        format!("only {} of {} items", slate.len(), world.k),
    )?;
    check(
        slate.short_reason.is_some() == (slate.len() < world.k),
        format!("short reason {:?}", slate.short_reason),
    )?;
    let said = slate
        .reasons()
        .iter()
        .all(|r| r.contains("not personalised") != world.personal);
    check(
        said,
        "the reasons do not say whether the slate is personal".into(),
    )
}

/// Small whole numbers: exact in every precision, and they make ties.
fn whole(dim: usize, noise: &mut Noise) -> Vec<f32> {
    (0..dim)
        .map(|_| (noise.next() * 4.0).floor() as f32)
        .collect()
}

fn world() -> impl Strategy<Value = World> {
    let unit = prop_oneof![Just(0.0), Just(1.0), 0.0..1.0f64];
    let weight = prop_oneof![1 => Just(0.0), 4 => 0.1..2.0f64, 1 => -1.0..0.0f64];
    let normalize = prop::sample::select(vec!["none", "minmax", "zscore", "rank"]);
    let spec = (
        prop::option::of(0usize..40),
        prop::array::uniform4(weight),
        prop::array::uniform4(normalize),
        prop::option::of(unit.clone()),
        prop::option::of(1usize..4),
        prop::option::of(1usize..4),
        prop::option::of(unit),
    );
    (
        1usize..60,
        1usize..15,
        any::<u64>(),
        prop::bool::weighted(0.8),
        spec,
    )
        .prop_map(|(n, k, seed, personal, spec)| {
            let mut noise = Noise(seed);
            let mut items: Vec<Item> = (0..n)
                .map(|i| Item {
                    id: (i as i64 * 7919) % 1009 - 300,
                    cf: whole(3, &mut noise),
                    l2: whole(2, &mut noise),
                    content: noise.vector(4),
                    popularity: (noise.next() < 0.6).then(|| (noise.next() * 5.0).floor()),
                    published: (noise.next() < 0.6).then(|| (noise.next() * 9.0) as i64 * HOUR),
                    genres: GENRES
                        .iter()
                        .copied()
                        .filter(|_| noise.next() < -0.3)
                        .collect(),
                    brand: (noise.next() < 0.5).then(|| (noise.next() * 3.0) as i64),
                })
                .collect();
            items.sort_by_key(|item| (item.id * 31) % 101);
            let excluded = items
                .iter()
                .map(|i| i.id)
                .filter(|_| noise.next() < -0.7)
                .chain([5000])
                .collect();
            let masked = items.iter().map(|_| noise.next() < 0.8).collect();
            World {
                items,
                user_cf: whole(3, &mut noise),
                user_l2: whole(2, &mut noise),
                personal,
                excluded,
                masked,
                k,
                at: 5 * HOUR,
                seed,
                spec: Spec {
                    candidates: spec.0.map(|extra| k + extra),
                    weights: spec.1,
                    normalize: spec.2,
                    diversity: spec.3,
                    genre_cap: spec.4,
                    brand_cap: spec.5,
                    epsilon: spec.6,
                },
            }
        })
}

fn same(a: &Slate, b: &Slate) -> bool {
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let greedy = |s: &Slate| (0..s.len()).map(|t| s.greedy_id(t)).collect::<Vec<_>>();
    let shown = |s: &Slate| -> Vec<(bool, u32)> {
        s.slots
            .iter()
            .map(|slot| (slot.explored, slot.eligible))
            .collect()
    };
    a.ids == b.ids
        && bits(&a.scores) == bits(&b.scores)
        && bits(&a.terms) == bits(&b.terms)
        && bits(&a.propensities()) == bits(&b.propensities())
        && greedy(a) == greedy(b)
        && shown(a) == shown(b)
        && a.reasons() == b.reasons()
        && a.short_reason == b.short_reason
        && a.pool.steps == b.pool.steps
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_slate_follows_from_its_inputs(world in world()) {
        if let Err(wrong) = audit(&world, &world.slate()) {
            prop_assert!(false, "{wrong}");
        }
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(world in world(), turn in any::<prop::sample::Index>()) {
        let slate = world.slate();
        let mut turned = world.clone();
        let by = turn.index(world.items.len());
        turned.items.rotate_left(by);
        turned.masked.rotate_left(by);
        turned.items.reverse();
        turned.masked.reverse();
        turned.excluded.reverse();
        prop_assert!(same(&slate, &turned.slate()));
    }

    #[test]
    fn a_record_gives_the_same_slate(world in world(), hashed in any::<bool>()) {
        let source = world.source();
        let request = world.request(&source);
        let slate = ranked(&source, &policy(world.spec.json()), &request);
        let (vectors, user) = if hashed {
            (UserVectors::Hashed, request.user.clone())
        } else {
            (UserVectors::Included, None)
        };
        let record = record_json(&slate, &source, vectors).unwrap();
        let again = replay(&record, &source, user).unwrap();
        prop_assert!(same(&slate, &again));
        prop_assert_eq!(record_json(&again, &source, vectors).unwrap(), record.clone());

        // Through a program that writes JSON its own way, and rows in another order.
        let value: Json = serde_json::from_str(&record).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let mut turned = world.clone();
        turned.items.reverse();
        let again = replay(&pretty, &turned.source(), request.user).unwrap();
        prop_assert!(same(&slate, &again));
    }

    #[test]
    fn no_diversity_is_a_sort_by_score(mut world in world()) {
        world.spec.diversity = Some(0.0);
        world.spec.epsilon = None;
        let slate = world.slate();
        world.spec.diversity = None;
        prop_assert!(same(&slate, &world.slate()));
        if world.spec.genre_cap.is_none() && world.spec.brand_cap.is_none() {
            let mut order: Vec<u32> = (0..slate.pool.rows.len() as u32).collect();
            order.sort_by(|&a, &b| {
                slate.pool.scores[b as usize].total_cmp(&slate.pool.scores[a as usize])
                    .then(slate.pool_id(a).cmp(&slate.pool_id(b)))
            });
            order.truncate(world.k);
            prop_assert_eq!(slate.slots.iter().map(|s| s.entry).collect::<Vec<_>>(), order);
        }
    }
}

/// A world in which everything plays a part.
fn fixed() -> World {
    let mut noise = Noise(11);
    let items = (0..40)
        .map(|i| Item {
            id: i,
            cf: whole(3, &mut noise),
            l2: whole(2, &mut noise),
            content: noise.vector(4),
            popularity: Some(noise.next()),
            published: Some(-i * HOUR),
            genres: vec![GENRES[i as usize % 4]],
            brand: Some(i % 5),
        })
        .collect();
    World {
        items,
        user_cf: whole(3, &mut noise),
        user_l2: whole(2, &mut noise),
        personal: true,
        excluded: vec![3],
        masked: (0..40).map(|i| i != 4).collect(),
        k: 8,
        at: 0,
        seed: 1,
        spec: Spec {
            candidates: Some(20),
            weights: [1.0, 0.5, 0.3, 0.2],
            normalize: ["minmax", "zscore", "rank", "none"],
            diversity: Some(0.4),
            genre_cap: Some(2),
            brand_cap: None,
            epsilon: Some(0.5),
        },
    }
}

#[test]
fn the_auditor_finds_what_is_wrong() {
    let world = fixed();
    let slate = world.slate();
    assert_eq!(audit(&world, &slate), Ok(()));
    type Forgery = fn(&mut Slate);
    let forgeries: [(&str, Forgery); 9] = [
        ("propensity", |s| s.slots[2].propensity *= 1.0 + 1e-12),
        ("eligible", |s| s.slots[1].eligible += 1),
        ("explored", |s| s.slots[0].explored ^= true),
        ("greedy", |s| s.slots[3].greedy = s.slots[0].greedy),
        ("choice", |s| s.slots[3].entry = s.slots[0].entry),
        ("add up", |s| {
            s.scores[0] = f64::from_bits(s.scores[0].to_bits() + 1)
        }),
        ("term", |s| s.terms[0] += 1e-6),
        ("pool score", |s| s.pool.scores[5] += 1e-6),
        ("items", |s| {
            s.slots.pop();
            s.short_reason = Some("lazy".into());
        }),
    ];
    for (what, forge) in forgeries {
        let mut forged = slate.clone();
        forge(&mut forged);
        let wrong = audit(&world, &forged).expect_err(what);
        assert!(wrong.contains(what), "{what}: {wrong}");
    }
    // Another policy than the one that made it.
    for edit in [
        (|w: &mut World| w.spec.diversity = Some(0.9)) as fn(&mut World),
        |w| w.spec.genre_cap = Some(1),
        |w| w.spec.epsilon = Some(0.4),
        |w| w.spec.normalize[1] = "minmax",
        |w| w.masked = (0..40).map(|i| i % 9 > 0).collect(),
        |w| w.at += HOUR,
        |w| w.spec.candidates = Some(21),
    ] {
        let mut other = world.clone();
        edit(&mut other);
        assert!(audit(&other, &slate).is_err(), "{:?}", other.spec);
    }
}

#[test]
fn different_seeds_and_requests_draw_differently() {
    let world = fixed();
    let source = world.source();
    let plan = policy(world.spec.json());
    let base = world.request(&source);
    let ids = |edit: &dyn Fn(&mut Request)| {
        let mut request = base.clone();
        edit(&mut request);
        int_ids(&ranked(&source, &plan, &request))
    };
    let same = ids(&|_| ());
    assert_eq!(same, ids(&|_| ()));
    assert_ne!(same, ids(&|r| r.seed = 2));
    assert_ne!(same, ids(&|r| r.request_id = "r-2".into()));
    assert_eq!(source.generation(), 0);
}
