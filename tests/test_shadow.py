"""`rank(shadow=)`: both slates are those that either policy makes alone, from what it uses of the request."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perso_core as pc
from world import AT, world

SCORES = [
    pc.Blend({"a": 1.0}, pop=0.3),
    pc.Blend({"b": 1.0}, "zscore", clicks=0.4),
    pc.Blend({"a": 0.5, "b": 1.0}, fresh=pc.Decay("at", "3d", 0.3)),
    pc.Blend(None, pop=1.0, mine=0.2),
]
SPACES = [{"a"}, {"b"}, {"a", "b"}, set()]
NAMES = [set(), {"clicks"}, set(), {"mine"}]
DIVERSITIES = [None, pc.MMR(0.3, "a"), pc.Calibrated("genre", 0.5)]
EXPLORERS = [
    None,
    pc.EpsilonGreedy(0.4),
    pc.PlackettLuce(0.2),
    pc.UCB(alpha="count", beta="wins", weight=0.1),
]


def signals_of(cat, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 9, len(cat)).astype(float) for name in ("clicks", "mine", "wins")}


def alone(cat, user, signals, target, parts, policy, k, **ask):
    """The slate of one policy, with what it uses."""
    score, diversity, explore = parts
    wanted = NAMES[score] | ({"wins"} if explore == 3 else set())
    return pc.rank(
        cat,
        {name: vector for name, vector in user.items() if name in SPACES[score]} or None,
        policy,
        k,
        signals={name: signals[name] for name in wanted},
        target=target if diversity == 2 else None,
        at=AT,
        **ask,
    )


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    served=st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3)),
    shadow=st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3)),
    caps=st.sampled_from([{}, {"shelf": 3}]),
    k=st.integers(1, 12),
)
def test_both_slates_are_those_of_two_calls(seed, served, shadow, caps, k):
    cat, _, user = world(seed, n=50)
    policies = [
        pc.Policy(20, SCORES[score], DIVERSITIES[diversity], caps, EXPLORERS[explore])
        for score, diversity, explore in (served, shadow)
    ]
    signals, target = signals_of(cat, seed), {"war": 2.0, "noir": 1.0}
    spaces = SPACES[served[0]] | SPACES[shadow[0]]
    names = NAMES[served[0]] | NAMES[shadow[0]] | ({"wins"} if 3 in (served[2], shadow[2]) else set())
    calibrates = 2 in (served[1], shadow[1])
    ask = dict(seed=seed, request_id="r")
    slate = pc.rank(
        cat,
        {name: user[name] for name in spaces} or None,
        policies[0],
        k,
        signals={name: signals[name] for name in names},
        target=target if calibrates else None,
        at=AT,
        shadow=policies[1],
        **ask,
    )
    one = alone(cat, user, signals, target, served, policies[0], k, **ask)
    two = alone(cat, user, signals, target, shadow, policies[1], k, **ask)
    assert slate == one
    assert slate.record_json() == one.record_json()
    assert slate.record_json(user=False) == one.record_json(user=False)
    assert slate.shadow.slate == two
    assert slate.shadow.slate.record_json() == two.record_json()
    assert pc.replay(slate.shadow.slate.record(), cat) == two
    assert slate.shadow.served == slate and slate.shadow.served.shadow is None


def test_a_batch_is_its_requests_one_by_one():
    cat, _, user = world(4)
    users = {name: np.stack([user[name], -user[name], user[name][::-1]]) for name in ("a", "b")}
    serve, other = pc.Policy(20, SCORES[0], explore=EXPLORERS[1]), pc.Policy(20, SCORES[1])
    ask = dict(k=8, seed=3, at=AT, signals={"clicks": signals_of(cat, 4)["clicks"]}, shadow=other)
    for threads in (1, 3):
        batch = pc.rank(cat, users, serve, request_id=list("xyz"), num_threads=threads, **ask)
        for i, name in enumerate("xyz"):
            own = {space: matrix[i] for space, matrix in users.items()}
            one = pc.rank(cat, own, serve, request_id=name, **ask)
            assert batch[i].record_json() == one.record_json()
            assert batch[i].shadow.slate.record_json() == one.shadow.slate.record_json()
    assert batch[0].shadow.slate.ids.tolist() != batch[1].shadow.slate.ids.tolist()


def test_it_says_how_alike_they_are():
    cat, _, user = world(9)
    other = pc.Policy(40, pc.Blend({"a": 1.0, "b": 0.5}))
    slate = pc.rank(cat, user, pc.Policy(40, SCORES[0]), k=10, seed=1, at=AT, shadow=other)
    first, second = slate.ids.tolist(), slate.shadow.slate.ids.tolist()
    both = [one for one in first if one in second]
    assert 2 < len(both) < 10, "an example that tells something"
    shadow = slate.shadow
    assert shadow.overlap == len(both) / 10 == pc.agreement.overlap(first, second)
    assert shadow.rbo == pc.agreement.rbo(first, second)
    pairs = [(x, y) for i, x in enumerate(both) for y in both[i + 1 :]]
    signs = [1 if second.index(x) < second.index(y) else -1 for x, y in pairs]
    assert shadow.rank_correlation == pytest.approx(sum(signs) / len(pairs), abs=1e-15)
    assert [item.id for item in shadow.came] == [one for one in second if one not in first]
    assert [item.id for item in shadow.went] == [one for one in first if one not in second]
    assert shadow.came[0].terms.keys() == {"similarity.a", "similarity.b"}
    assert shadow.went[0].terms.keys() == {"similarity", "pop"}
    assert "Shadow of" in repr(shadow) and f"overlap {shadow.overlap:.2f}" in repr(shadow)


def test_slates_of_other_lengths():
    cat, _, user = world(9, n=30)
    slate = pc.rank(
        cat,
        user["a"],
        pc.Policy(30, pc.Blend({"a": 1.0})),
        k=20,
        shadow=pc.Policy(30, pc.Blend({"a": 1.0}), caps={"new": 2}),
    )
    few = len(slate.shadow.slate)
    assert few < 20 and slate.shadow.slate.short_reason is not None and slate.short_reason is None
    both = set(slate.ids.tolist()) & set(slate.shadow.slate.ids.tolist())
    assert slate.shadow.overlap == len(both) / 20
    nothing = pc.rank(
        cat, None, pc.Policy(score=pc.Blend(None, pop=1)), where=[], shadow=pc.Policy(score=SCORES[0])
    )
    assert nothing.shadow.overlap == 1.0 and nothing.shadow.rbo == 1.0


def test_without_a_shadow_there_is_none():
    cat, _, user = world(2)
    slate = pc.rank(cat, user["a"], pc.Policy(score=SCORES[0]))
    assert slate.shadow is None
    shadowed = pc.rank(cat, user["a"], pc.Policy(score=SCORES[0]), shadow=pc.Policy(score=SCORES[0]))
    assert pc.replay(shadowed.record(), cat).shadow is None


def test_timings_are_its_own():
    cat, _, user = world(2)
    slate = pc.rank(cat, user["a"], pc.Policy(score=SCORES[0]), shadow=pc.Policy(score=SCORES[0]))
    own = slate.shadow.slate.timings_us
    assert own is not slate.timings_us and own.keys() == slate.timings_us.keys()
    assert own["filter"] == 0 < own["total"]


def test_models_of_either():
    cat, _, _ = world(6)
    asked = []

    def model(name, sign):
        def predict(matrix):
            asked.append(name)
            return sign * np.nan_to_num(matrix[:, 0].astype(float))

        return predict

    blends = [pc.Blend(None, pop=0.0, **{name: pc.Model(["pop"])}) for name in ("first", "second")]
    both = {"first": model("first", 1), "second": model("second", -1)}
    serve, other = pc.Policy(60, blends[0]), pc.Policy(60, blends[1])
    slate = pc.rank(cat, None, serve, k=5, models=both, shadow=other, seed=1, request_id="r", at=AT)
    assert asked == ["first", "second"]
    alone = [
        pc.rank(cat, None, p, k=5, models={n: both[n]}, seed=1, request_id="r", at=AT)
        for p, n in [(serve, "first"), (other, "second")]
    ]
    assert slate.record_json() == alone[0].record_json()
    assert slate.shadow.slate.record_json() == alone[1].record_json()
    assert slate.ids.tolist() != slate.shadow.slate.ids.tolist()
    with pytest.raises(ValueError, match=r"models: expected .*'first', 'second'.*got 'third'"):
        pc.rank(cat, None, serve, k=5, models={**both, "third": both["first"]}, shadow=other)
    with pytest.raises(ValueError, match=r"^shadow: models: expected a model named .second"):
        pc.rank(cat, None, serve, k=5, models={"first": both["first"]}, shadow=other)

    class Named:
        feature_names_in_ = ("pop",)

        def predict(self, matrix):
            return np.zeros(len(matrix))

    # One model for both has to be of the features of both.
    same = pc.Policy(60, pc.Blend(None, first=pc.Model(["count"])))
    with pytest.raises(ValueError, match="feature 0 to be 'count'"):
        pc.rank(cat, None, serve, k=5, models={"first": Named()}, shadow=same)


@pytest.mark.parametrize("swapped", [False, True])
def test_scores_of_candidates_may_be_for_one_of_them(swapped):
    rng = np.random.default_rng(3)
    bare = dict(attributes={"pop": rng.random(30)}, vectors=rng.normal(size=(30, 4)).astype(np.float32))
    found = pc.Candidates(np.arange(30), scores=rng.random(30), **bare)
    policies = [pc.Policy(30, pc.Blend(1.0)), pc.Policy(30, pc.Blend(None, pop=1.0))]
    if swapped:
        policies.reverse()
    slate = pc.rank(found, None, policies[0], k=6, shadow=policies[1], seed=5)
    # The order by hand.
    orders = [np.argsort(-found_scores)[:6].tolist() for found_scores in (scores_of(found), bare_pop(bare))]
    if swapped:
        orders.reverse()
    assert slate.ids.tolist() == orders[0] and slate.shadow.slate.ids.tolist() == orders[1]
    assert pc.replay(slate.record(), found) == slate
    assert pc.replay(slate.shadow.slate.record(), found) == slate.shadow.slate
    with pytest.raises(ValueError, match="scores that no signal of the policy uses"):
        pc.rank(found, None, pc.Policy(30, pc.Blend(None, pop=1.0)), k=6)
    idle = pc.Policy(30, pc.Blend(None, pop=0.5))
    with pytest.raises(ValueError, match="scores that no signal of the policy uses"):
        pc.rank(found, None, pc.Policy(30, pc.Blend(None, pop=1.0)), k=6, shadow=idle)


def scores_of(found):
    slate = pc.rank(found, None, pc.Policy(30, pc.Blend(pc.Signal(1.0, "none"))), k=30)
    out = np.empty(30)
    out[slate.ids] = slate.scores
    return out


def bare_pop(bare):
    return bare["attributes"]["pop"]


def test_what_neither_uses_is_refused():
    cat, _, user = world(7)
    serve, other = pc.Policy(score=pc.Blend({"a": 1.0})), pc.Policy(score=pc.Blend({"a": 1.0}, clicks=1.0))
    numbers = signals_of(cat, 7)
    own = {"a": user["a"]}
    fine = dict(shadow=other, signals={"clicks": numbers["clicks"]})
    pc.rank(cat, own, serve, **fine)
    with pytest.raises(ValueError, match=r"^user: expected .* got a vector for .b"):
        pc.rank(cat, user, serve, **fine)
    with pytest.raises(ValueError, match=r"^signals: expected .* got .mine"):
        pc.rank(cat, own, serve, shadow=other, signals={n: numbers[n] for n in ("clicks", "mine")})
    with pytest.raises(ValueError, match=r"^target: expected None"):
        pc.rank(cat, own, serve, target={"war": 1.0}, **fine)
    with pytest.raises(ValueError, match=r"^request 0: user: "):
        pc.rank(cat, {name: user[name][None] for name in user}, serve, **fine)


def test_errors_of_the_shadow_say_so():
    cat, _, user = world(7)
    serve = pc.Policy(score=pc.Blend({"a": 1.0}))
    with pytest.raises(ValueError, match=r"^shadow: user: expected a vector for space .b"):
        pc.rank(cat, {"a": user["a"]}, serve, shadow=pc.Policy(score=pc.Blend({"b": 1.0})))
    with pytest.raises(ValueError, match=r"^request 0: shadow: candidates: "):
        pc.rank(cat, np.stack([user["a"]] * 2), serve, k=9, shadow=pc.Policy(5, pc.Blend({"a": 1.0})))
    with pytest.raises(TypeError, match=r"^shadow: expected a Policy, or None, got "):
        pc.rank(cat, user["a"], serve, shadow="other")
    with pytest.raises(TypeError, match=r"^shadow: genre: expected "):
        pc.rank(cat, user["a"], serve, shadow=pc.Policy(score=pc.Blend({"a": 1.0}, genre=1.0)))


def test_a_bare_vector_is_for_the_space_of_either():
    cat, _, user = world(8)
    a, b, none = pc.Blend({"a": 1.0}), pc.Blend({"b": 1.0}), pc.Blend(None, pop=1.0)
    pop = pc.rank(cat, None, pc.Policy(score=none), k=5, at=AT, seed=0, request_id="r")
    slate = pc.rank(
        cat, user["b"], pc.Policy(score=none), k=5, at=AT, seed=0, request_id="r", shadow=pc.Policy(score=b)
    )
    assert slate.record_json() == pop.record_json()
    assert slate.record()["user"] is None
    assert slate.shadow.slate == pc.rank(
        cat, user["b"], pc.Policy(score=b), k=5, at=AT, seed=0, request_id="r"
    )
    with pytest.raises(ValueError, match=r"^user: expected .*'?.a.* of the policy and .b. of its shadow"):
        pc.rank(cat, user["a"], pc.Policy(score=a), shadow=pc.Policy(score=b))


def test_the_record_has_nothing_of_it():
    cat, _, user = world(8)
    shadow = pc.Policy(score=pc.Blend({"b": 1.0}, mine=1.0))
    slate = pc.rank(
        cat,
        user,
        pc.Policy(score=pc.Blend({"a": 1.0})),
        k=5,
        signals={"mine": signals_of(cat, 8)["mine"]},
        shadow=shadow,
    )
    text = slate.record_json()
    assert shadow.hash not in text and "mine" not in text
    assert json.loads(text)["user"].keys() == {"a"}
    assert slate.shadow.slate.policy_hash == shadow.hash


def test_a_list_goes_to_the_policy_that_names_it() -> None:
    cat, items, vectors = world(3)
    plain = pc.Policy(candidates=20, score=pc.Blend({"a": 1.0}))
    listed = pc.Policy(candidates=20, score=pc.Blend({"a": 1.0}, bm25=pc.Listed(1.0)))
    given = {"bm25": items.ids[:9]}
    alone = pc.rank(cat, {"a": vectors["a"]}, plain, k=5, at=AT, seed=1, request_id="r")
    other = pc.rank(cat, {"a": vectors["a"]}, listed, k=5, lists=given, at=AT, seed=1, request_id="r")
    slate = pc.rank(
        cat, {"a": vectors["a"]}, plain, k=5, lists=given, at=AT, seed=1, request_id="r", shadow=listed
    )
    assert slate.record() == alone.record() and slate.shadow is not None
    assert slate.shadow.slate.record() == other.record()
    with pytest.raises(ValueError, match="lists"):
        pc.rank(cat, {"a": vectors["a"]}, plain, k=5, lists={"x": []}, shadow=listed)
    masked = pc.counterfactual(other, cat, mask=["bm25"])
    assert "bm25" not in masked.slate.terms
