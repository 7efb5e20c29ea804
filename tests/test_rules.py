"""Boost and Hide from Python, and the conditions that they and exploration share, against the oracle."""

import datetime as dt
import hashlib
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
import perso_core as pc
from oracle import Term
from world import AT, AT_US, DAY, blend_of, similarities, world

DAYS = dt.timedelta(days=1)
TERMS = [*similarities({"b": 1.0}, "minmax"), Term("pop", "value", "pop", 0.37, "minmax")]
WHERES = [
    {"shelf": "y"},
    {"shelf": ["z", "x"]},
    {"shelf": "nobody's"},
    {"genre": "war"},
    {"genre": ("noir", "drama", "nobody's")},
    {"new": True},
    {"new": [True, False]},
    {"count": 3},
    {"count": [5, 0]},
    {"count": pc.Between(2)},
    {"count": pc.Between(0.5, 3.5)},
    {"pop": pc.Between(high=1.0)},
    {"pop": pc.Between(0.5, 1.5)},
    {"at": pc.Between(AT - 9 * DAYS, AT)},
    {"at": pc.Between(low="2024-05-01T00:00:00Z")},
    {"shelf": ["x", "y"], "count": pc.Between(1), "new": True},
]
wheres = st.sampled_from(WHERES)


def meets(condition, value):
    """Whether a value meets a condition, by the words of the documentation."""
    if value is None:
        return False
    if isinstance(condition, pc.Between):
        ends = [-math.inf, math.inf]
        for side, end in enumerate((condition.low, condition.high)):
            if isinstance(end, str):
                ends[side] = (dt.datetime.fromisoformat(end) - AT) // dt.timedelta(microseconds=1) + AT_US
            elif end is not None:
                ends[side] = end
        return ends[0] <= value <= ends[1]
    wanted = list(condition) if isinstance(condition, list | tuple) else [condition]
    return any(w in value if isinstance(value, list) else w == value for w in wanted)


def matching(items, where):
    return {
        i
        for i in range(len(items.ids))
        if all(meets(condition, items.attributes[name][i]) for name, condition in where.items())
    }


def boosts(items, rules):
    """The oracle's terms of some boosts."""
    return [
        Term(
            rule.name or ("boost" if n == 0 else f"boost_{n + 1}"),
            "boost",
            lambda items, i, where=rule.where: i in matching(items, where),
            rule.by,
            "none",
        )
        for n, rule in enumerate(rules)
    ]


# --- boost -----------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    chosen=st.lists(st.tuples(wheres, st.sampled_from([0.3, -0.7, 1e-9, 2.0, 0.0])), min_size=1, max_size=3),
    personal=st.booleans(),
    diversity=st.sampled_from([0.0, 0.4]),
)
def test_a_boost_is_a_term_of_the_score(seed, chosen, personal, diversity):
    cat, items, user = world(seed)
    rules = [pc.Boost(where, by) for where, by in chosen]
    terms = [*TERMS, *boosts(items, rules)]
    space = "b"
    policy = pc.Policy(25, blend_of(TERMS), pc.MMR(diversity, space), rules=rules)
    slate = pc.rank(cat, user["b"] if personal else None, policy, k=12, seed=seed, at=AT)
    answer = oracle.rank(
        items,
        terms,
        user={"b": user["b"]} if personal else None,
        k=12,
        candidates=25,
        mmr=(diversity, space),
        at=AT_US,
    )
    record = slate.record()
    assert sorted(i for step in record["pool"] for i in step["ids"]) == answer.pool
    # The very bits: the oracle's arithmetic is the documented one.
    by_id = dict(zip(answer.ids, zip(answer.scores, answer.terms, strict=True), strict=True))
    if answer.margin > 1e-9:
        assert slate.ids.tolist() == answer.ids
        assert slate.scores.tolist() == answer.scores
    names = [t.name for t in terms if personal or t.kind != "similarity"]
    assert list(slate.terms) == names
    table = np.array([slate.terms[name] for name in names]).T
    for item, row, score in zip(slate.ids.tolist(), table.tolist(), slate.scores.tolist(), strict=True):
        assert math.fsum(row) == score
        if item in by_id:
            assert row == by_id[item][1]
    assert pc.replay(record, cat) == slate


def test_reasons_tell_of_it():
    items = pc.Candidates([1, 2, 3], scores=[1.0, 0.5, 0.2], attributes={"shelf": ["x", "y", None]})
    rules = [pc.Boost({"shelf": "y"}, 0.2, "sale"), pc.Boost({"shelf": ["x", "y"]}, -0.1)]
    slate = pc.rank(items, None, pc.Policy(score=pc.Blend(normalize="none"), rules=rules), k=3)
    assert slate.ids.tolist() == [1, 2, 3]
    assert slate.reasons[0].startswith("similarity +1.000; demoted -0.100 (boost_2)")
    assert slate.reasons[1].startswith("similarity +0.500; boosted +0.200 (sale); demoted -0.100 (boost_2)")
    assert "boost" not in slate.reasons[2] and "demoted" not in slate.reasons[2]


def test_without_a_user_it_is_part_of_what_chooses_the_pool():
    n = 300
    items = pc.Catalog({"v": pc.Space(2, "ip")})
    items.upsert(
        range(n),
        np.ones((n, 2), np.float32),
        {"pop": [float(n - i) for i in range(n)], "tail": [i >= 290 for i in range(n)]},
    )
    policy = pc.Policy(10, pc.Blend(pop=1.0), rules=[pc.Boost({"tail": True}, 5.0)])
    assert pc.rank(items, None, policy, k=10).ids.tolist() == list(range(290, 300))


def test_an_overflow_names_the_boost():
    items = pc.Candidates([1], scores=[1e308], attributes={"shelf": ["x"]})
    rules = [pc.Boost({"shelf": "x"}, 1.7e308)]
    with pytest.raises(ValueError, match="score"):
        pc.rank(items, None, pc.Policy(score=pc.Blend(normalize="none"), rules=rules), k=1)


# --- hide ------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    chosen=st.lists(
        st.tuples(
            st.none() | wheres, st.none() | st.sets(st.integers(-21, 160), min_size=1, max_size=20)
        ).filter(lambda pair: pair != (None, None)),
        min_size=1,
        max_size=2,
    ),
    personal=st.booleans(),
    text=st.booleans(),
)
def test_what_is_hidden_is_not_eligible(seed, chosen, personal, text):
    cat, items, user = world(seed, text=text)
    rng = np.random.default_rng(seed)
    name = (lambda number: f"i{number % 60:04}") if text else (lambda number: number)
    rules = [pc.Hide(w, None if ids is None else [name(i) for i in ids]) for w, ids in chosen]
    where = rng.random(len(items.ids)) < 0.8
    gone = rng.choice(items.ids, 5, replace=False).tolist()
    # In the order of the catalog's ids, as a mask is.
    position = {item: i for i, item in enumerate(items.ids)}
    within = {position[item] for item, kept in zip(cat.ids.tolist(), where, strict=True) if kept}
    left = within - {position[item] for item in gone}
    hidden = set()
    for where_, ids in chosen:
        hidden |= set() if where_ is None else matching(items, where_)
        hidden |= {position[name(i)] for i in ids or () if name(i) in position}
    policy = pc.Policy(60, blend_of(TERMS), rules=rules)
    ask = dict(k=60, seed=seed, at=AT, where=where, exclude=gone)
    slate = pc.rank(cat, user["b"] if personal else None, policy, **ask)
    assert {position[i] for i in slate.ids.tolist()} == left - hidden
    record = slate.record()
    assert record["eligibility"].get("hidden", 0) == len(left & hidden)
    assert ("hidden" in record["eligibility"]) == bool(left & hidden)
    counts = {"live": 60, "filtered": 60 - len(within), "excluded": len(within - left)}
    assert record["eligibility"].items() >= {**counts, "eligible": len(left - hidden)}.items()
    if left & hidden:
        assert f"{len(left & hidden)} hidden" in slate.short_reason
    assert pc.replay(record, cat) == slate
    if personal:
        batch = pc.rank(
            cat, user["b"][None], policy, **{**ask, "exclude": [gone]}, request_id=[slate.request_id]
        )
        assert batch[0] == slate


def digest(record):
    """The digest of a record whose numbers are all whole and small: then canonical JSON is this."""
    whole = lambda text: int(float(text))  # noqa: E731
    rest = json.loads(json.dumps({k: v for k, v in record.items() if k != "digest"}), parse_float=whole)
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def test_a_record_of_a_hidden_item_is_refused():
    """Not for its digest, which is made good again, but because no slate of its policy has such an item."""
    items = pc.Candidates(range(5), np.ones((5, 2), np.float32), attributes={"pop": range(5)})
    blend = pc.Blend(None, pop=pc.Signal(1.0, "none"))
    record = pc.rank(items, None, pc.Policy(5, blend), k=3, at=AT, seed=1, request_id="r").record()
    assert digest(record) == record["digest"]
    for hide, told in ((pc.Hide(ids=[1]), "item 1 of its pool"), (pc.Hide(ids=[9]), None)):
        policy = pc.Policy(5, blend, rules=[hide])
        other = {**record, "policy": json.loads(policy.to_json()), "policy_hash": policy.hash}
        other["digest"] = digest(other)
        if told is None:
            assert pc.replay(other, items).ids.tolist() == [4, 3, 2]
        else:
            with pytest.raises(pc.ReplayError, match=told):
                pc.replay(other, items)


def test_removed_items_and_later_ones():
    cat, items, _ = world(2)
    policy = pc.Policy(60, pc.Blend(pop=1.0), rules=[pc.Hide({"shelf": ["x", "new"]})])
    first = pc.rank(cat, None, policy, k=60).record()["eligibility"]
    on_x = [item for item, shelf in zip(items.ids, items.attributes["shelf"], strict=True) if shelf == "x"]
    cat.remove(on_x[:3])
    cat.upsert(
        [1000],
        {"a": np.ones((1, 6), np.float32), "b": np.ones((1, 5), np.float32)},
        {"shelf": ["new"]},
    )
    second = pc.rank(cat, None, policy, k=60).record()["eligibility"]
    assert (first["hidden"], second["hidden"]) == (len(on_x), len(on_x) - 2)
    assert second["eligible"] == first["eligible"]


# --- beside other policies -------------------------------------------------------------------------


def test_each_policy_of_a_request_has_its_own_rules():
    cat, _, _ = world(4)
    blend = pc.Blend(pop=1.0)
    served = pc.Policy(30, blend, rules=[pc.Hide({"shelf": "x"}), pc.Boost({"new": True}, 0.5, "new_ones")])
    shadow = pc.Policy(30, blend, rules=[pc.Hide({"shelf": "y"})])
    ask = dict(k=10, at=AT, seed=1, request_id="r")
    slate = pc.rank(cat, None, served, shadow=shadow, **ask)
    assert slate == pc.rank(cat, None, served, **ask)
    assert slate.shadow.slate == pc.rank(cat, None, shadow, **ask)
    assert slate.ids.tolist() != slate.shadow.slate.ids.tolist()


def test_a_masked_condition_takes_its_boost_away():
    cat, _, _ = world(4)
    boosts = [pc.Boost({"new": True}, 0.5, "new_ones"), pc.Boost({"shelf": "x"}, 0.25)]
    policy = pc.Policy(60, pc.Blend(pop=1.0), rules=[*boosts, pc.Hide({"shelf": "y"})])
    slate = pc.rank(cat, None, policy, k=10, at=AT, seed=1)
    for mask, left in (
        ("new", ["pop", "boost_2"]),
        ("new_ones", ["pop", "boost_2"]),
        ("shelf", ["pop", "new_ones"]),
    ):
        other = pc.counterfactual(slate.record(), cat, mask=[mask]).slate
        assert list(other.terms) == left
        assert other.ids.tolist() != slate.ids.tolist()


# --- conditions ------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), only=wheres)
def test_exploration_takes_the_same_conditions(seed, only):
    cat, items, _ = world(seed)
    policy = pc.Policy(60, pc.Blend(pop=1.0), explore=pc.EpsilonGreedy(1.0, only=only))
    slate = pc.rank(cat, None, policy, k=8, seed=seed, request_id="r")
    left = set(range(60))
    wanted = matching(items, only)
    for item, support in zip(slate.ids.tolist(), slate.support.tolist(), strict=True):
        best = max(left, key=lambda i: (items.attributes["pop"][i] or 0.0, -items.ids[i]))
        assert items.position(item) in (wanted & left) | {best}
        assert support == len((wanted & left) | {best})
        left.remove(items.position(item))
    assert pc.Policy.from_json(policy.to_json()) == policy


def test_documents():
    policy = pc.Policy(
        rules=[
            pc.Boost({"price": pc.Between(5, 20.0), "genre": ["sport", "news", "news"]}, 1),
            pc.Hide(ids=[2**60 + 1, 3]),
            pc.Boost({"genre": ["news"], "at": pc.Between(AT)}, -0.5, "old"),
            pc.Boost({"new": np.bool_(True), "count": np.int32(3)}, 0.25),
        ]
    )
    assert json.loads(policy.to_json())["rules"] == [
        {
            "kind": "boost",
            "name": "boost",
            "by": 1,
            "where": {"price": {"from": 5, "to": 20}, "genre": ["news", "sport"]},
        },
        {"kind": "hide", "where": None, "ids": [3, {"int": str(2**60 + 1)}]},
        {
            "kind": "boost",
            "name": "old",
            "by": -0.5,
            "where": {"genre": "news", "at": {"from": AT_US, "time": True}},
        },
        {"kind": "boost", "name": "boost_3", "by": 0.25, "where": {"new": True, "count": 3}},
    ]
    again = pc.Policy.from_json(policy.to_json())
    assert again == policy and again.hash == policy.hash
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert again.rules[1] == policy.rules[1] and again.rules[1].ids == (3, 2**60 + 1)
    for rule in policy.rules:
        assert type(rule).from_json(rule.to_json()) == rule
        assert hash(pickle.loads(pickle.dumps(rule))) == hash(rule)
        assert eval(repr(rule), {"Boost": pc.Boost, "Hide": pc.Hide, "Between": pc.Between}) == rule
    assert "rules" not in json.loads(pc.Policy().to_json())
    # The order of rules is the order of terms, so it is part of what a policy is.
    assert pc.Policy(rules=policy.rules[::-1]).hash != policy.hash


def test_a_range_of_moments_within_a_day():
    between = pc.Between("2024-05-01", AT)
    assert between.low == "2024-05-01T00:00:00+00:00"
    assert pc.Between.from_json(between.to_json()) == between
    assert json.loads(between.to_json()) == {"from": AT_US - 5 * DAY, "to": AT_US, "time": True}


def policy_of(*rules):
    return pc.Policy(score=pc.Blend(pop=1.0), rules=rules)


BAD = [
    (lambda cat: pc.Boost({}, 1), ValueError, "where"),
    (lambda cat: pc.Boost("shelf", 1), TypeError, "where"),
    (lambda cat: pc.Boost({1: 1}, 1), TypeError, "where"),
    (lambda cat: pc.Boost({"pop": 0.5}, 1), TypeError, "where['pop']"),
    (lambda cat: pc.Boost({"pop": None}, 1), TypeError, "where['pop']"),
    (lambda cat: pc.Boost({"shelf": []}, 1), ValueError, "where['shelf']"),
    (lambda cat: pc.Boost({"shelf": ["x", 1]}, 1), TypeError, "where['shelf']"),
    (lambda cat: pc.Boost({"count": 2**60}, 1), ValueError, "where['count']"),
    (lambda cat: pc.Boost({"shelf": "x"}, math.nan), ValueError, "by"),
    (lambda cat: pc.Boost({"shelf": "x"}, "1"), TypeError, "by"),
    (lambda cat: pc.Boost({"shelf": "x"}, 1, ""), ValueError, "name"),
    (lambda cat: pc.Between(), ValueError, "low"),
    (lambda cat: pc.Between(2, 1), ValueError, "high"),
    (lambda cat: pc.Between(1, "2024-01-01"), TypeError, "high"),
    (lambda cat: pc.Between(True), TypeError, "low"),
    (lambda cat: pc.Between(math.inf), ValueError, "low"),
    (lambda cat: pc.Between(high="soon"), ValueError, "high"),
    (lambda cat: pc.Hide(), ValueError, "where"),
    (lambda cat: pc.Hide(ids=[]), ValueError, "ids"),
    (lambda cat: pc.Hide(ids="abc"), TypeError, "ids"),
    (lambda cat: pc.Hide(ids=[1, "a"]), TypeError, "ids"),
    (lambda cat: pc.Policy(rules=pc.Hide(ids=[1])), TypeError, "rules"),
    (lambda cat: pc.Policy(rules={pc.Hide(ids=[1])}), TypeError, "rules"),
    (lambda cat: pc.Policy(rules=[pc.MMR(0.1)]), TypeError, "rules[0]"),
    (lambda cat: policy_of(pc.Boost({"new": True}, 1, "pop")), ValueError, "rules[0].name"),
    (
        lambda cat: policy_of(pc.Boost({"new": True}, 1, "boost_2"), pc.Boost({"new": True}, 1)),
        ValueError,
        "rules[1].name",
    ),
    (lambda cat: pc.rank(cat, None, policy_of(pc.Boost({"no": 1}, 1))), KeyError, "no"),
    (lambda cat: pc.rank(cat, None, policy_of(pc.Hide({"no": 1}))), KeyError, "no"),
    (
        lambda cat: pc.rank(cat, None, policy_of(pc.Boost({"shelf": 1}, 1))),
        TypeError,
        'rules[0].where["shelf"]',
    ),
    (lambda cat: pc.rank(cat, None, policy_of(pc.Boost({"new": 1}, 1))), TypeError, 'rules[0].where["new"]'),
    (lambda cat: pc.rank(cat, None, policy_of(pc.Boost({"pop": 1}, 1))), TypeError, 'rules[0].where["pop"]'),
    (
        lambda cat: pc.rank(cat, None, policy_of(pc.Hide({"shelf": "x"}), pc.Hide({"at": pc.Between(1)}))),
        TypeError,
        'rules[1].where["at"]',
    ),
    (
        lambda cat: pc.rank(cat, None, policy_of(pc.Hide({"pop": pc.Between(AT)}))),
        TypeError,
        'rules[0].where["pop"]',
    ),
    (
        lambda cat: pc.rank(cat, None, policy_of(pc.Hide({"shelf": pc.Between(1)}))),
        TypeError,
        "rules[0].where",
    ),
    (lambda cat: pc.rank(cat, None, policy_of(pc.Hide(ids=["a"]))), TypeError, "rules[0].ids"),
]


@pytest.mark.parametrize(("call", "error", "argument"), BAD)
def test_what_is_refused(call, error, argument):
    cat, _, _ = world(0)
    with pytest.raises(error) as caught:
        call(cat)
    assert argument in str(caught.value)
    if error is not KeyError:
        assert str(caught.value).startswith(argument)
