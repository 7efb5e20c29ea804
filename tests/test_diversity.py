"""DPP, Spread and Calibrated: choices against a naive oracle, and what holds whatever the data."""

import dataclasses
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import oracle
import oracle_diversity as naive
import perso_core as pc
from oracle import Term
from world import AT, blend_of, similarities, world

FEW = settings(max_examples=20)  # each example is a world of its own
TERMS = [*similarities({"b": 1.0}, "minmax"), Term("pop", "value", "pop", 0.37, "minmax")]
CAPS = st.sampled_from([None, {"genre": 2}, {"shelf": 3, "count": 2}])
TARGET = {"drama": 3, "war": 1, "nobody's": 0.5}

# Each kind at a strength, in space "a" of the world, with its oracle.
KINDS = {
    "dpp": (lambda d: pc.DPP(d, "a"), lambda items, d: naive.dpp(items.spaces["a"][1], d)),
    "dpp window": (
        lambda d: pc.DPP(d, "a", window=2),
        lambda items, d: naive.dpp(items.spaces["a"][1], d, window=2),
    ),
    "spread": (
        lambda d: pc.Spread(d, 4, "a"),
        lambda items, d: naive.spread(items.spaces["a"][1], d, window=4),
    ),
    "calibrated to a target": (
        lambda d: pc.Calibrated("genre", d, TARGET),
        lambda items, d: naive.calibrated([g or [] for g in items.attributes["genre"]], d, TARGET),
    ),
    "calibrated to the pool": (
        lambda d: pc.Calibrated("shelf", d),
        lambda items, d: naive.calibrated([[s] if s else [] for s in items.attributes["shelf"]], d),
    ),
}


def policy(diversity, caps=None, candidates=15, explore=None):
    return pc.Policy(candidates, blend_of(TERMS), diversity, caps or {}, explore)


# --- choices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(
    seed=st.integers(0, 10**6),
    d=st.sampled_from([0.1, 0.37, 0.5, 0.9, 1.0]),
    caps=CAPS,
    epsilon=st.sampled_from([0.0, 0.3]),
)
def test_every_slot_is_the_oracles(kind, seed, d, caps, epsilon):
    make, definition = KINDS[kind]
    cat, items, user = world(seed)
    # Space "a" has 6 dimensions: after 7 slots nothing is new, and rounding decides.
    k = 6 if kind == "dpp" else 12
    slate = pc.rank(
        cat,
        user["b"],
        policy(make(d), caps, explore=pc.EpsilonGreedy(epsilon)),
        k=k,
        seed=seed,
        request_id="r",
    )
    answer = oracle.rank(
        items,
        TERMS,
        user={"b": user["b"]},
        k=k,
        candidates=15,
        variety=definition(items, d),
        caps=caps,
        chosen=slate.ids.tolist(),
    )
    # Equal values are ordered by score; values that differ by rounding alone are anyone's.
    assume(answer.margin > 1e-5)
    assert len(slate) == len(answer.ids)
    assert slate.scores.tolist() == answer.scores
    assert slate.eligible_counts.tolist() == [len(e) for e in answer.eligible]
    for t, (eligible, greedy) in enumerate(zip(answer.eligible, answer.greedy, strict=True)):
        law = oracle.epsilon_greedy(epsilon, eligible, greedy)
        assert slate.propensities[t] == pytest.approx(law[int(slate.ids[t])], rel=1e-14)
        assert slate.explored[t] == (int(slate.ids[t]) != greedy)


# --- what holds always -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(seed=st.integers(0, 10**6), caps=CAPS)
def test_at_zero_it_is_the_order_of_scores(kind, seed, caps):
    cat, _, user = world(seed)
    plain = pc.rank(cat, user["b"], policy(None, caps), k=15, seed=1, request_id="r", at=AT)
    make = KINDS[kind][0]
    slate = pc.rank(cat, user["b"], policy(make(0.0), caps), k=15, seed=1, request_id="r", at=AT)
    assert slate == plain
    if caps is None:
        # Towards 0 only equal scores are told apart.
        slate = pc.rank(cat, user["b"], policy(make(1e-12)), k=15)
        assert slate.scores.tolist() == plain.scores.tolist()


@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(
    seed=st.integers(0, 10**6),
    d=st.floats(0, 1),
    caps=CAPS,
    epsilon=st.sampled_from([0.0, 0.3]),
    k=st.integers(1, 60),
)
def test_slates_are_full_capped_repeatable_and_replay(kind, seed, d, caps, epsilon, k):
    cat, items, user = world(seed, text=seed % 2 == 1)
    plan = policy(KINDS[kind][0](d), caps, 60 if k > 15 else 15, pc.EpsilonGreedy(epsilon))
    slate = pc.rank(cat, user["b"], plan, k=k, seed=seed, request_id="r")
    ids = slate.ids.tolist()
    assert len(set(ids)) == len(ids)
    free = pc.rank(cat, user["b"], policy(None, caps, 60), k=k)
    if caps is None:
        assert len(slate) == k == len(free)
    elif len(slate) < k:
        assert "caps" in slate.short_reason
    for name, cap in (caps or {}).items():
        counts = {}
        for i in ids:
            value = items.attributes[name][items.position(i)]
            for one in value if isinstance(value, list) else [] if value is None else [value]:
                counts[one] = counts.get(one, 0) + 1
        assert max(counts.values(), default=0) <= cap
    assert pc.rank(cat, user["b"], plan, k=k, seed=seed, request_id="r") == slate
    record = json.loads(json.dumps(slate.record()))
    assert pc.replay(record, cat) == slate and record["policy_hash"] == plan.hash


@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(seed=st.integers(0, 10**6), d=st.floats(0.01, 1))
def test_the_order_of_items_does_not_matter(kind, seed, d):
    rng = np.random.default_rng(seed)
    n, plan = 40, pc.Policy(diversity=KINDS[kind][0](d))
    x = rng.integers(-3, 4, (n, 4)).astype(np.float32)
    scores = rng.integers(0, 5, n).astype(float)
    genre = [list(rng.choice(["drama", "war", "noir"], rng.integers(0, 4), replace=False)) for _ in range(n)]
    shelf = [str(s) for s in rng.choice(["x", "y", "z"], n)]

    def slate(order):
        some = {"genre": [genre[i] for i in order], "shelf": [shelf[i] for i in order]}
        given = pc.Candidates(order.tolist(), {"a": x[order]}, scores[order], some)
        return pc.rank(given, None, plan, k=30, seed=1, request_id="r")

    first = slate(np.arange(n))
    assert slate(rng.permutation(n)) == first and slate(np.arange(n)[::-1]) == first


def test_a_pool_that_deepens_replays_on_another_history():
    cat, _, user = world(5)
    for make, _ in KINDS.values():
        plan = policy(make(0.5), {"shelf": 4, "genre": 3}, candidates=6, explore=pc.EpsilonGreedy(0.3))
        slate = pc.rank(cat, user["b"], plan, k=6, seed=3, request_id="r")
        longer = pc.rank(cat, user["b"], dataclasses.replace(plan, candidates=12), k=12, seed=3)
        assert len(longer.record()["pool"]) > 1
        other = pc.Catalog(cat.spaces, seed=9)
        for item in reversed(cat.get(cat.ids)):
            values = {name: [v] for name, v in item["attributes"].items() if v is not None}
            other.upsert([item["id"]], {s: [v] for s, v in item["vectors"].items()}, values)
        assert other.content_hash == cat.content_hash
        for one in (slate, longer):
            assert pc.replay(one.record(), other) == one


@pytest.mark.parametrize("dtype", ["f32", "f16", "i8"])
@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_items_are_compared_by_cosine_in_every_space(dtype, metric, rng):
    x = rng.standard_normal((300, 24)).astype(np.float32)
    cat = pc.Catalog({"v": pc.Space(24, metric, dtype)})
    cat.upsert(range(300), x)
    for kind in (pc.DPP(0.6), pc.Spread(0.6, 5)):
        slate = pc.rank(cat, x[0], pc.Policy(100, diversity=kind), k=20, seed=1)
        stored = oracle.stored(x, dtype)
        first = slate.record()["pool"][0]
        low, span = min(first["scores"]), np.ptp(first["scores"])
        positions = first["ids"]
        scores = dict(zip(positions, first["scores"], strict=True))
        value = naive.dpp(stored, 0.6) if isinstance(kind, pc.DPP) else naive.spread(stored, 0.6, 5)
        picked = []
        for chosen in slate.ids.tolist():
            left = [i for i in positions if i not in picked]
            values = {i: value((scores[i] - low) / span, i, picked, positions) for i in left}
            assert values[chosen] > max(values.values()) - 1e-5
            picked.append(chosen)


# --- behaviour -------------------------------------------------------------------------------------


def test_a_dpp_sees_what_two_items_cover_together():
    # Item 3 lies between 1 and 2: like neither as much as 4 is like 1, but made of both.
    x = [[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0.9]]
    given = pc.Candidates([1, 2, 3, 4], x, scores=[1.0, 0.99, 0.6, 0.55])
    by = {
        kind: pc.rank(given, None, pc.Policy(diversity=kind), k=3).ids.tolist()
        for kind in (pc.DPP(0.5), None)
    }
    assert by[None] == [1, 2, 3] and by[pc.DPP(0.5)] == [1, 2, 4]


def test_diversity_lowers_likeness_and_scores(rng):
    centres = rng.standard_normal((8, 32))
    x = (centres[rng.integers(0, 8, 400)] + 0.3 * rng.standard_normal((400, 32))).astype(np.float32)
    given = pc.Candidates(range(400), x, scores=x @ centres[0])
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    for make in (pc.MMR, pc.DPP, lambda d: pc.Spread(d, 10)):
        likeness, scores = [], []
        for d in (0.0, 0.2, 0.5, 1.0):
            slate = pc.rank(given, None, pc.Policy(400, diversity=make(d)), k=10)
            likeness.append(float(np.triu(unit[slate.ids] @ unit[slate.ids].T, 1).sum() / 45))
            scores.append(float(slate.scores.sum()))
        assert likeness[0] > likeness[-1] + 0.3 and scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("attribute", ["text", "flag", "number", "lists"])
def test_shares_follow_the_target(attribute):
    n = 200
    values = {
        "text": (["x", "y"], ["x"] * 150 + ["y"] * 50),
        "flag": ([True, False], [True] * 150 + [False] * 50),
        "number": ([7, -7], [7] * 150 + [-7] * 50),
        "lists": (["x", "y"], [["x"]] * 150 + [["y", "y"]] * 50),
    }
    (major, minor), column = values[attribute]
    given = pc.Candidates(range(n), scores=np.linspace(1, 0, n), attributes={attribute: column})

    def minors(strength, target):
        kind = pc.Calibrated(attribute, strength, target)
        return int((pc.rank(given, None, pc.Policy(n, diversity=kind), k=20).ids >= 150).sum())

    assert minors(0.0, {minor: 1}) == 0
    assert minors(1.0, {minor: 1}) == 20
    assert minors(0.999, {major: 3, minor: 2}) == 8
    assert minors(1.0, None) == 5
    assert 0 < minors(0.5, {major: 1, minor: 1}) < minors(0.99, {major: 1, minor: 1}) <= 10


def test_an_item_without_a_value_fills_no_share():
    given = pc.Candidates([1, 2, 3], scores=[1.0, 0.5, 0.0], attributes={"genre": [None, ["a"], ["b"]]})
    plan = pc.Policy(diversity=pc.Calibrated("genre", 0.9, {"a": 1, "b": 1}))
    assert pc.rank(given, None, plan, k=3).ids.tolist() == [2, 3, 1]


# --- documents -------------------------------------------------------------------------------------

PARTS = [
    pc.DPP(0.3),
    pc.DPP(0, "cf", 7),
    pc.Spread(0.5, 8),
    pc.Spread(1, 2**53, "cf"),
    pc.Calibrated("genre", 0.5),
    pc.Calibrated("genre", 1, {"drama": 2, "b": 0.5}),
    pc.Calibrated("year", 0.1, {1999: 1, -3: 2, "": 0}),
    pc.Calibrated("new", 0.1, {True: 0.25, False: 0.75}),
]


@pytest.mark.parametrize("part", PARTS, ids=repr)
def test_parts_round_trip(part):
    for whole in (part, pc.Policy(diversity=part)):
        again = type(whole).from_json(whole.to_json())
        assert again == whole and hash(again) == hash(whole) and again.to_json() == whole.to_json()
        assert pickle.loads(pickle.dumps(whole)) == whole
        assert eval(repr(whole), vars(pc)) == whole
    assert pc.Policy(diversity=part).hash == pc.Policy.from_json(pc.Policy(diversity=part).to_json()).hash


def test_documents_of_new_kinds_have_these_texts():
    def text(part):
        return json.loads(pc.Policy(diversity=part).to_json())["diversity"]

    assert text(pc.DPP(0.3)) == {"kind": "dpp", "diversity": 0.3, "space": None, "window": None}
    assert text(pc.Spread(0.3, 5)) == {"kind": "spread", "diversity": 0.3, "space": None, "window": 5}
    assert text(pc.Calibrated("g", 1, {2: 3})) == {
        "kind": "calibrated",
        "attribute": "g",
        "strength": 1,
        "target": {"2": 3},
    }


def test_documents_of_old_kinds_keep_their_hashes():
    # SHA-256 of the document as it was before these kinds: records hold such hashes.
    assert pc.Policy().hash == "99398aadce6799da7e18f8654085e9b7172ecfde688f46b06787d095c9984827"
    assert pc.Policy(diversity=pc.MMR(0.3)).hash == (
        "0a08da50ccdc23c48cf5c4a180fac00c1cbcb415fb02384d006dc26e35b3c6c2"
    )


def test_a_target_is_a_copy_by_text():
    target = {"b": 1, "a": 2}
    part = pc.Calibrated("genre", 0.5, target)
    target["a"] = 9
    assert dict(part.target) == {"a": 2.0, "b": 1.0} and list(part.target) == ["a", "b"]
    with pytest.raises(TypeError):
        part.target["a"] = 3
    assert pc.Calibrated("year", 0.5, {3: 1}) == pc.Calibrated("year", 0.5, {"3": 1.0})
    with pytest.raises(dataclasses.FrozenInstanceError):
        part.strength = 1.0


# --- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "argument"),
    [
        (lambda: pc.DPP(1.5), ValueError, "diversity"),
        (lambda: pc.DPP(math.nan), ValueError, "diversity"),
        (lambda: pc.DPP("0.3"), TypeError, "diversity"),
        (lambda: pc.DPP(0.3, space=""), ValueError, "space"),
        (lambda: pc.DPP(0.3, window=0), ValueError, "window"),
        (lambda: pc.DPP(0.3, window=2.0), TypeError, "window"),
        (lambda: pc.Spread(-0.1, 5), ValueError, "diversity"),
        (lambda: pc.Spread(0.1, 0), ValueError, "window"),
        (lambda: pc.Spread(0.1, None), TypeError, "window"),
        (lambda: pc.Spread(0.1, 2**53 + 1), ValueError, "window"),
        (lambda: pc.Calibrated("", 0.5), ValueError, "attribute"),
        (lambda: pc.Calibrated(3, 0.5), TypeError, "attribute"),
        (lambda: pc.Calibrated("g", 2), ValueError, "strength"),
        (lambda: pc.Calibrated("g", 0.5, ["a"]), TypeError, "target"),
        (lambda: pc.Calibrated("g", 0.5, {}), ValueError, "target"),
        (lambda: pc.Calibrated("g", 0.5, {"a": 0}), ValueError, "target"),
        (lambda: pc.Calibrated("g", 0.5, {"a": 1e308, "b": 1e308}), ValueError, "target"),
        (lambda: pc.Calibrated("g", 0.5, {"a": -1, "b": 3}), ValueError, "target['a']"),
        (lambda: pc.Calibrated("g", 0.5, {"a": math.inf}), ValueError, "target['a']"),
        (lambda: pc.Calibrated("g", 0.5, {"a": "1"}), TypeError, "target['a']"),
        (lambda: pc.Calibrated("g", 0.5, {1.5: 1}), TypeError, "target"),
        (lambda: pc.Calibrated("g", 0.5, {"1": 1, 1: 1}), ValueError, "target"),
    ],
)
def test_a_wrong_part_is_refused_by_name(make, error, argument):
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value).startswith(argument + ": expected "), str(caught.value)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        (pc.DPP(0.3), {"diversity": 2}),
        (pc.DPP(0.3), {"window": 0}),
        (pc.DPP(0.3), {"target": None}),
        (pc.Spread(0.3, 5), {"window": None}),
        (pc.Spread(0.3, 5), {"window": -1}),
        (pc.Calibrated("g", 0.3), {"strength": -1}),
        (pc.Calibrated("g", 0.3), {"attribute": ""}),
        (pc.Calibrated("g", 0.3), {"target": {}}),
        (pc.Calibrated("g", 0.3), {"target": {"a": -1}}),
        (pc.Calibrated("g", 0.3), {"kind": "calibrate"}),
    ],
)
def test_a_changed_document_is_refused(part, change):
    document = json.loads(pc.Policy(diversity=part).to_json())
    document["diversity"].update(change)
    with pytest.raises(ValueError, match="expected"):
        pc.Policy.from_json(json.dumps(document))


def test_what_the_data_lacks_is_refused():
    cat, _, user = world(1)
    for make in (lambda s: pc.DPP(0.3, s), lambda s: pc.Spread(0.3, 5, s), lambda s: pc.DPP(0, s)):
        with pytest.raises(KeyError, match="nowhere"):
            pc.rank(cat, user["b"], policy(make("nowhere")), k=5)
    for strength in (0.0, 0.5):
        with pytest.raises(KeyError, match="nothing"):
            pc.rank(cat, user["b"], policy(pc.Calibrated("nothing", strength)), k=5)
        with pytest.raises(TypeError, match="attribute: .*float"):
            pc.rank(cat, user["b"], policy(pc.Calibrated("pop", strength)), k=5)
    with pytest.raises(ValueError, match='target\\["high"\\]: .*int'):
        pc.rank(cat, user["b"], policy(pc.Calibrated("count", 0.5, {"high": 1})), k=5)
    bare = pc.Candidates([1, 2], scores=[0.1, 0.2])
    for kind in (pc.DPP(0.3), pc.DPP(0.3, window=3), pc.Spread(0.3, 5)):
        with pytest.raises(ValueError, match="diversity: .*vectors"):
            pc.rank(bare, None, pc.Policy(diversity=kind), k=2)
    assert pc.rank(bare, None, pc.Policy(diversity=pc.Spread(0, 5)), k=2).ids.tolist() == [2, 1]
