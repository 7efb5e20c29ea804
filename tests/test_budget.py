"""`rank(budget_us=)`: what is given up, in which order, and that what is left is the ranking it is said to be."""

import json

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perso_core as pc
from canonical import sealed
from world import AT, world

ROWS, DIM = 5000, 16
ASK = dict(k=10, seed=7, request_id="r", at=AT)
DIVERSITIES = {
    "none": None,
    "mmr": pc.MMR(0.4),
    "dpp": pc.DPP(0.3),
    "spread": pc.Spread(0.3, window=4),
    "calibrated": pc.Calibrated("genre", 0.5),
}


def catalog(layout):
    rng = np.random.default_rng(5)
    cat = pc.Catalog({"v": pc.Space(DIM, "cosine", M=8, layout=layout)})
    cat.upsert(
        np.arange(ROWS),
        rng.normal(size=(ROWS, DIM)),
        attributes={
            "pop": rng.gamma(2.0, size=ROWS),
            "genre": [str(g) for g in rng.choice(["a", "b", "c", "d", "e"], ROWS)],
        },
    )
    return cat


@pytest.fixture(scope="module")
def walked():
    """A catalog whose retrieval is a walk."""
    return catalog("compact")


@pytest.fixture(scope="module")
def scanned():
    """The same items, found by a scan: what a smaller pool holds is known."""
    return catalog("exact")


def user(i=0):
    return np.random.default_rng(100 + i).normal(size=DIM)


def policy(diversity="mmr", candidates=400, **more):
    return pc.Policy(candidates, pc.Blend(similarity=1.0, pop=0.3), DIVERSITIES[diversity], **more)


def lowered(slate):
    """What was lowered, by name, with what it became."""
    return {one["what"]: one.get("to", 0) for one in slate.record()["budget"]["lowered"]}


def sweep(cat, plan, **more):
    """Slates for budgets from more than enough down to far too little."""
    enough = pc.rank(cat, user(), plan, **ASK, budget_us=1e9, **more).budget_us["whole"]
    return [pc.rank(cat, user(), plan, **ASK, budget_us=enough * share, **more) for share in SHARES]


SHARES = np.concatenate([np.linspace(1.0, 0.9, 26), np.geomspace(0.89, 0.01, 50)])


@pytest.mark.parametrize("diversity", DIVERSITIES)
def test_the_order_is_walks_then_pool_then_diversity(walked, diversity):
    """In the terms of the documentation: sizes fall step by step, and diversity goes when nothing else is left."""
    slates = sweep(walked, policy(diversity))
    assert slates[0].given_up == () and slates[0].path == "graph"
    seen = []
    for slate in slates:
        found, numbers = lowered(slate), slate.budget_us
        assert set(found) <= {"ef", "candidates", "diversity"}
        assert numbers["planned"] <= numbers["whole"]
        met = numbers["planned"] <= numbers["given"]
        assert met == (not any("not met" in text for text in slate.given_up))
        assert len(slate.given_up) == len(found) + (not met)
        assert found.get("candidates", 400) >= 40
        assert slate.pool_size == found.get("candidates", 400)
        if "candidates" in found:
            own, pool = lowered_from(slate, "ef"), found["candidates"]
            assert found["ef"] == max(32, -(-own // 2), -(-pool * 6 // 10)), "walks were narrowed first"
        if not met:
            assert found["candidates"] == 40 and ("diversity" in found) == (diversity != "none")
        seen.append(frozenset(found))
    order = [frozenset(), frozenset({"ef"}), frozenset({"ef", "candidates"})]
    with_diversity = [steps for steps in seen if "diversity" not in steps]
    assert with_diversity == sorted(with_diversity, key=order.index)
    assert seen == with_diversity + [steps for steps in seen if "diversity" in steps], "it goes once"
    assert set(with_diversity) == set(order)
    for name in ("candidates", "ef"):
        for kept in (True, False):
            sizes = [
                lowered(slate).get(name, 10**6)
                for slate in slates
                if ("diversity" not in lowered(slate)) == kept
            ]
            assert sizes == sorted(sizes, reverse=True), "a smaller budget never buys more"


def lowered_from(slate, name):
    return next(one["from"] for one in slate.record()["budget"]["lowered"] if one["what"] == name)


@settings(max_examples=40)
@given(
    share=st.floats(0.02, 1.2),
    diversity=st.sampled_from(list(DIVERSITIES)),
    explore=st.sampled_from([None, pc.EpsilonGreedy(0.3), pc.PlackettLuce(0.2)]),
    k=st.integers(1, 25),
    i=st.integers(0, 50),
)
def test_what_is_left_is_the_ranking_of_the_lowered_policy(scanned, share, diversity, explore, k, i):
    """An independent route to the same slate: a policy that says outright what the budget came to."""
    plan = policy(diversity, explore=explore, caps={"genre": 8})
    ask = {**ASK, "k": k}
    whole = pc.rank(scanned, user(i), plan, **ask, budget_us=1e9).budget_us["whole"]
    slate = pc.rank(scanned, user(i), plan, **ask, budget_us=whole * share)
    found = lowered(slate)
    assert "ef" not in found, "a scan has none"
    plain = policy(
        "none" if "diversity" in found else diversity,
        found.get("candidates", 400),
        explore=explore,
        caps={"genre": 8},
    )
    assert slate == pc.rank(scanned, user(i), plain, **ask)
    assert slate.policy_hash == plan.hash
    assert len(slate) == k
    assert slate.pool_size >= min(400, max(40, 2 * k))


def test_softmax_keeps_its_temperature_where_diversity_goes(scanned):
    """Propensities are those of the relevance at the size that the explorer knows: (1 - d) on a scale from 0 to 1."""
    plan = policy("mmr", explore=pc.Softmax(0.1))
    slate = pc.rank(scanned, user(), plan, **ASK, budget_us=1.0)
    assert "diversity" in lowered(slate)
    record = slate.record()
    (step,) = record["pool"]
    scores = dict(zip(step["ids"], step["scores"], strict=True))
    low, span = min(step["scores"]), max(step["scores"]) - min(step["scores"])
    for choice in record["choices"]:
        values = {one: 0.6 * (score - low) / span for one, score in scores.items()}
        weights = {one: np.exp((value - max(values.values())) / 0.1) for one, value in values.items()}
        expected = weights[choice["id"]] / sum(weights.values())
        assert choice["propensity"] == pytest.approx(expected, rel=1e-12)
        assert choice["greedy"] == max(scores, key=lambda one: (scores[one], -one))
        del scores[choice["id"]]


@pytest.mark.parametrize("diversity", DIVERSITIES)
def test_a_record_replays_whatever_was_given_up(walked, scanned, diversity):
    plan = policy(diversity, explore=pc.EpsilonGreedy(0.3), caps={"genre": 3})
    check = jsonschema.Draft202012Validator(pc.record_schema())
    for slate in sweep(walked, plan)[::5]:
        record = slate.record()
        check.validate(record)
        for i, one in enumerate(record["budget"]["lowered"]):
            for name in one:
                spoilt = json.loads(json.dumps(record))
                del spoilt["budget"]["lowered"][i][name]
                assert not check.is_valid(spoilt)
                with pytest.raises(pc.ReplayError):
                    pc.replay(sealed(spoilt), walked)
        assert pc.replay(record, walked) == slate
        again = pc.replay(record, scanned)
        assert again.given_up == slate.given_up and again.budget_us == slate.budget_us
        assert again.record() == record, "another layout has other walks, and the same content"


def test_a_record_says_what_it_was_made_with(scanned):
    slate = pc.rank(scanned, user(), policy(), **ASK)
    assert slate.given_up == () and slate.budget_us is None and "budget" not in slate.record()
    record = pc.rank(scanned, user(), policy(), **ASK, budget_us=1.0).record()
    assert record["budget"]["given_up"][-1].startswith("the budget is not met: ")
    untrue = json.loads(json.dumps(record))
    untrue["budget"]["given_up"].pop()
    with pytest.raises(pc.ReplayError, match="budget"):
        pc.replay(sealed(untrue), scanned)
    kept = json.loads(json.dumps(record))
    kept["budget"]["lowered"] = [one for one in kept["budget"]["lowered"] if one["what"] != "diversity"]
    with pytest.raises(pc.ReplayError):
        pc.replay(sealed(kept), scanned)


def test_promises_are_kept_whatever_the_budget():
    cat, items, vectors = world(3)
    plan = pc.Policy(
        50,
        pc.Blend({"a": 1.0}),
        pc.MMR(0.5, "a"),
        caps={"shelf": 4},
        rules=[pc.Hide({"genre": "war"}), pc.AtLeast(2, {"shelf": "y"}), pc.Pin(1, id=items.ids[7])],
    )
    ask = dict(k=8, at=AT, seed=1, exclude=items.ids[:5], where=pc.field("pop") > 0.3)
    free = pc.rank(cat, {"a": vectors["a"]}, plan, **ask)
    slate = pc.rank(cat, {"a": vectors["a"]}, plan, **ask, budget_us=0.1)
    assert len(slate) == len(free) and len(slate.given_up) > 0
    assert slate.ids[1] == free.ids[1] and not set(slate.ids.tolist()) & set(items.ids[:5])
    rows = [items.ids.index(one) for one in slate.ids.tolist()]
    shelves = [items.attributes["shelf"][row] for row in rows]
    assert max(shelves.count(one) for one in "xyz") <= 4 and shelves.count("y") >= 2
    assert not any("war" in (items.attributes["genre"][row] or []) for row in rows)
    assert pc.replay(slate.record(), cat) == slate


def test_a_target_goes_with_the_diversity_that_aims_at_it(scanned):
    target = {"a": 1.0}
    free = pc.rank(scanned, user(), policy("calibrated"), **ASK, target=target)
    slate = pc.rank(scanned, user(), policy("calibrated"), **ASK, target=target, budget_us=1.0)
    plain = pc.rank(scanned, user(), policy("none", 40), **ASK)
    assert slate == plain != free
    assert slate.record()["target"] == target, "it was asked for, and given_up says what became of it"


def test_a_batch_has_the_budget_for_each_and_a_shadow_its_own(walked):
    users = np.stack([user(i) for i in range(4)])
    ask = dict(k=10, seed=7, at=AT, budget_us=90.0)
    other = policy("none", 100)
    for threads in (1, 2):
        batch = pc.rank(
            walked, users, policy("dpp"), request_id=list("wxyz"), num_threads=threads, shadow=other, **ask
        )
        for i, name in enumerate("wxyz"):
            one = pc.rank(walked, users[i], policy("dpp"), request_id=name, **ask)
            assert batch[i].record_json() == one.record_json() and one.given_up
            two = pc.rank(walked, users[i], other, request_id=name, **ask)
            assert batch[i].shadow.slate.record_json() == two.record_json()
            assert two.given_up != one.given_up


def test_a_counterfactual_keeps_what_was_given_up(scanned):
    slate = pc.rank(scanned, user(), policy("mmr"), **ASK, budget_us=1.0)
    found = pc.counterfactual(slate.record(), scanned, mask=["pop"])
    assert found.slate.given_up == slate.given_up
    assert found.slate.pool_size == slate.pool_size == 40


def test_nobody_and_candidates_of_ones_own(scanned):
    rng = np.random.default_rng(1)
    own = pc.Candidates(np.arange(500), rng.normal(size=(500, DIM)), scores=rng.random(500))
    plan = pc.Policy(400, pc.Blend(similarity=1.0), pc.MMR(0.4))
    slate = pc.rank(own, None, plan, **ASK, budget_us=1.0)
    assert lowered(slate) == {"candidates": 40, "diversity": 0} and slate.path == "given"
    assert pc.replay(slate.record(), own) == slate
    nobody = pc.rank(scanned, None, policy(), **ASK, budget_us=1.0)
    assert lowered(nobody) == {"candidates": 40, "diversity": 0} and nobody.path == "attributes"
    few = pc.rank(scanned, user(), policy(), **ASK, where=np.arange(30), budget_us=1.0)
    assert lowered(few) == {"diversity": 0}, "there is no pool to lower"


@pytest.mark.parametrize(
    ("budget", "error", "words"),
    [
        (0, ValueError, "budget_us: expected a finite number of more than 0, or None, got 0"),
        (-1.5, ValueError, "budget_us: expected a finite number of more than 0, or None, got -1.5"),
        (float("nan"), ValueError, "budget_us: expected a finite number, got nan"),
        (float("inf"), ValueError, "budget_us: expected a finite number, got inf"),
        (True, TypeError, "budget_us: expected a number, got bool True"),
        ("1ms", TypeError, "budget_us: expected a number, got str '1ms'"),
        ([1.0], TypeError, "budget_us: expected a number, got list"),
    ],
)
def test_what_is_no_budget(scanned, budget, error, words):
    with pytest.raises(error) as raised:
        pc.rank(scanned, user(), policy(), **ASK, budget_us=budget)
    assert str(raised.value).startswith(words)


def test_calibrate_says_how_fast_this_machine_is():
    speed = pc.calibrate(rounds=3)
    assert isinstance(speed, float) and 0 < speed < float("inf")
    with pytest.raises(ValueError, match="rounds: expected an integer from 1"):
        pc.calibrate(rounds=0)
