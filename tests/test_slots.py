"""Pins, minima and caps together: never an item too few, never one that may not be there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perso_core as pc
from oracle_masks import Walk, group

GENRES = ["news", "sport", "ads"]
DIM = 3

wheres = st.one_of(
    st.sampled_from(GENRES).map(lambda one: {"genre": one}),
    st.just({"genre": ["news", "sport"]}),
    st.booleans().map(lambda fresh: {"fresh": fresh}),
    st.just({"tags": "a"}),
)
diversities = st.sampled_from(
    [None, pc.MMR(0.4), pc.DPP(0.5), pc.DPP(0.5, window=2), pc.Spread(0.4, 2), pc.Calibrated("genre", 0.5)]
)
explorers = st.sampled_from(
    [
        None,
        pc.EpsilonGreedy(0.3),
        pc.EpsilonGreedy(0.3, per="slate"),
        pc.EpsilonGreedy(0.5, only={"genre": "news"}),
        pc.Softmax(0.3),
        pc.PlackettLuce(0.3),
        pc.ThompsonSampling(alpha="clicks", beta="skips", draws=64),
        pc.ThompsonSampling(mean="worth", std="doubt", prior=(0.5, 1.0), draws=64, only={"fresh": True}),
        pc.UCB(alpha="clicks", beta="skips", c=2.0),
        pc.UCB(mean="worth", std="doubt", prior=(0.5, 1.0), slots=[0, 2]),
    ]
)


@st.composite
def worlds(draw):
    n = draw(st.integers(1, 14))
    noise = np.random.default_rng(draw(st.integers(0, 999)))
    items = {
        int(i): {
            "genre": draw(st.sampled_from(GENRES)),
            "fresh": draw(st.booleans()),
            "tags": draw(st.lists(st.sampled_from("abc"), max_size=2, unique=True)),
            "pop": float(draw(st.integers(0, 3))),
            # What is known of it; a null where nothing is, and certainty now and then.
            "clicks": draw(st.none() | st.integers(0, 4)),
            "skips": draw(st.integers(0, 4)),
            "worth": draw(st.none() | st.sampled_from([0.0, 0.5])),
            "doubt": float(draw(st.integers(0, 2))),
        }
        for i in noise.permutation(50)[:n]
    }
    # Few values, so that scores and similarities tie.
    vectors = {i: noise.integers(-1, 2, DIM).astype(np.float32) for i in items}
    ids = sorted(items)
    some = st.lists(st.sampled_from(ids), max_size=4, unique=True)
    slots = st.integers(0, 7)
    pinned = draw(st.dictionaries(slots, st.sampled_from(ids), max_size=2))
    pinned = {slot: one for slot, one in pinned.items() if list(pinned.values()).count(one) == 1}
    request = draw(st.dictionaries(slots, st.sampled_from(ids), max_size=3))
    request = {slot: one for slot, one in request.items() if list(request.values()).count(one) == 1}
    within = draw(st.dictionaries(slots, wheres, max_size=2))
    within = {slot: where for slot, where in within.items() if slot not in pinned}
    minima = []
    for _ in range(draw(st.integers(0, 2))):
        count = draw(st.integers(1, 3))
        minima.append((count, draw(wheres), draw(st.none() | st.integers(count, 6))))
    return {
        "items": items,
        "vectors": vectors,
        "k": draw(st.integers(1, 8)),
        "caps": draw(st.dictionaries(st.sampled_from(["genre", "tags", "fresh"]), st.integers(1, 3))),
        "soft": draw(st.none() | st.sampled_from(["genre", "tags"])),
        "where": draw(st.none() | st.lists(st.sampled_from(ids), min_size=1, max_size=n, unique=True)),
        "exclude": draw(some),
        "hide": draw(st.none() | wheres),
        "pinned": pinned,
        "request": request,
        "within": within,
        "minima": minima,
        "user": draw(st.booleans()),
        "diversity": draw(diversities),
        "explore": draw(explorers),
        "seed": draw(st.integers(0, 99)),
    }


def catalog(world, order):
    items = world["items"]
    cat = pc.Catalog({"content": pc.Space(DIM, "cosine", "f32")})
    attributes = {name: [items[i][name] for i in order] for name in items[order[0]]}
    for name in ("clicks", "worth"):
        if not any(value is not None for value in attributes[name]):
            attributes[name] = [0.0] * len(order)
    cat.upsert(order, np.array([world["vectors"][i] for i in order]), attributes)
    return cat


def ranked(world, cat, candidates):
    rules = [pc.Pin(slot, id=one) for slot, one in world["pinned"].items()]
    rules += [pc.Pin(slot, where=where) for slot, where in world["within"].items()]
    rules += [pc.AtLeast(count, where, top) for count, where, top in world["minima"]]
    rules += [] if world["hide"] is None else [pc.Hide(world["hide"])]
    soft = {} if world["soft"] is None else {world["soft"]: pc.Soft(1, penalty=0.3)}
    policy = pc.Policy(
        candidates=candidates,
        score=pc.Blend(similarity=1.0, pop=0.25),
        diversity=world["diversity"],
        caps={**soft, **world["caps"]},
        explore=world["explore"],
        rules=rules,
    )
    return pc.rank(
        cat,
        np.ones(DIM, np.float32) if world["user"] else None,
        policy,
        world["k"],
        where=world["where"],
        exclude=world["exclude"],
        pins=world["request"],
        seed=world["seed"],
        request_id="r",
    )


def eligible(world):
    found = set(world["items"]) if world["where"] is None else set(world["where"])
    found -= set(world["exclude"])
    return found if world["hide"] is None else found - group(world["items"], world["hide"])


def walk(world):
    request = world["request"]
    fixed = {**world["pinned"], **request}
    within = {slot: where for slot, where in world["within"].items() if slot not in request}
    return Walk(
        world["items"],
        eligible(world),
        world["k"],
        world["caps"],
        fixed,
        within,
        world["minima"],
        first=request,
    )


@settings(max_examples=400)
@given(worlds())
def test_each_slot_has_the_eligible_set_of_the_oracle(world):
    """With every item a candidate: the size of each slot's set, what is in it, and where the slate ends."""
    cat = catalog(world, sorted(world["items"]))
    slate = ranked(world, cat, candidates=50)
    oracle = walk(world)
    for one, size, p in zip(slate.ids.tolist(), slate.eligible_counts, slate.propensities, strict=True):
        allowed = oracle.allowed()
        assert one in allowed
        assert size == len(allowed)
        assert 0 < p <= 1
        if size == 1:
            assert p == 1
        oracle.show(one)
    assert not oracle.allowed()
    assert pc.replay(slate.record(), cat) == slate


@settings(max_examples=400)
@given(worlds(), st.randoms())
def test_no_slate_is_short_or_breaks_a_rule(world, random):
    """With a pool that has to be deepened."""
    ids = sorted(world["items"])
    cat = catalog(world, ids)
    slate = ranked(world, cat, candidates=world["k"])
    shown = slate.ids.tolist()
    oracle = walk(world)
    assert set(shown) <= oracle.eligible
    assert len(set(shown)) == len(shown)
    for name, cap in world["caps"].items():
        values = [value for one in shown for value in oracle.values(name, one)]
        assert all(values.count(value) <= cap for value in values)
    unmet = " ".join(slate.unmet)
    kept = {slot: one for slot, one in oracle.fixed.items()}
    for slot, one in kept.items():
        assert shown[slot : slot + 1] == [one] or f"pin of slot {slot}:" in unmet
        assert one in shown, "a pinned item that can be shown is shown"
    for slot, where in oracle.within.items():
        good = slot < len(shown) and shown[slot] in group(world["items"], where)
        assert good or f"pin of slot {slot}:" in unmet
    for count, where, top in world["minima"]:
        found = len(group(world["items"], where) & set(shown[:top]))
        # A text for each minimum that is not met, and for no other.
        assert (found >= count) == (told(slate, count, where, top) == 0)
    for one in shown:
        oracle.show(one)
    assert not oracle.allowed() or len(shown) == world["k"]
    assert np.all((slate.propensities > 0) & (slate.propensities <= 1))
    assert pc.replay(slate.record(), cat) == slate
    random.shuffle(ids)
    assert ranked(world, catalog(world, ids), candidates=world["k"]) == slate


def told(slate, count, where, top):
    (name, wanted), *_ = where.items()
    shown = [wanted] if not isinstance(wanted, list) else wanted
    texts = [f"{one}".lower() if isinstance(one, bool) else f'"{one}"' for one in shown]
    group = f"{name} = {texts[0]}" if not isinstance(wanted, list) else f"{name} in [{', '.join(texts)}]"
    end = "" if top is None else f" in the first {top} slot{'s' * (top > 1)}"
    return sum(text.startswith(f"at least {count} of {group}{end}: ") for text in slate.unmet)


def _items():
    return pc.Candidates(
        [1, 2, 3, 4, 5, 6],
        scores=[0.9, 0.8, 0.7, 0.6, 0.2, 0.1],
        attributes={"kind": ["a", "a", "a", "b", "c", "c"]},
    )


def test_minima_without_a_common_item_are_both_met():
    rules = [pc.AtLeast(1, {"kind": "b"}, top=2), pc.AtLeast(1, {"kind": "c"}, top=2)]
    slate = pc.rank(_items(), None, pc.Policy(score=pc.Blend(normalize="none"), rules=rules), 3)
    assert slate.ids.tolist() == [4, 5, 1]
    assert slate.unmet == []
    # 0.9 - 0.6 for the first; then item 1 gives way to item 5.
    assert slate.prices == pytest.approx({"at_least": 0.3, "at_least_2": 0.7})
    assert slate.record()["prices"] == slate.prices


def test_the_policy_of_another_version_is_as_it_was():
    """Neither documents nor records without pins and minima name them."""
    slate = pc.rank(_items(), None, pc.Policy(), 3)
    assert not {"pins", "unmet", "prices"} & slate.record().keys()
    assert "rules" not in slate.record()["policy"]


def test_pins_of_a_batch():
    cat = pc.Catalog({"content": pc.Space(2, "cosine", "f32")})
    cat.upsert([1, 2, 3], np.array([[1, 0], [0, 1], [1, 1]], np.float32))
    users = np.eye(2, dtype=np.float32)
    policy = pc.Policy(rules=[pc.Pin(0, id=1)])
    assert [slate.ids[0] for slate in pc.rank(cat, users, policy, 2)] == [1, 1]
    assert [slate.ids[0] for slate in pc.rank(cat, users, policy, 2, pins={0: 3})] == [3, 3]
    both = pc.rank(cat, users, policy, 2, pins=[{}, {0: 2}])
    assert [slate.ids[0] for slate in both] == [1, 2]
    assert [len(slate.record().get("pins", [])) for slate in both] == [0, 1]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: pc.Pin(-1, id=1), ValueError, "slot: expected"),
        (lambda: pc.Pin(0), ValueError, "id: expected either id or where, got neither"),
        (lambda: pc.Pin(0, id=1, where={"kind": "a"}), ValueError, "got both"),
        (lambda: pc.Pin(0, id=1.5), TypeError, "id: expected"),
        (lambda: pc.AtLeast(0, {"kind": "a"}), ValueError, "count: expected"),
        (lambda: pc.AtLeast(3, {"kind": "a"}, top=2), ValueError, "top: expected"),
        (lambda: pc.Policy(rules=[pc.Pin(0, id=1), pc.Pin(0, id=2)]), ValueError, "no other pin is for"),
        (lambda: pc.Policy(rules=[pc.Pin(0, id=1), pc.Pin(1, id=1)]), ValueError, "pinned once"),
        (
            lambda: pc.Policy(rules=[pc.AtLeast(1, {"kind": "a"}, name="x")] * 2),
            ValueError,
            "no other minimum has",
        ),
    ],
)
def test_what_no_rule_can_be(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    ("pins", "error", "text"),
    [
        ({0: 99}, KeyError, "99"),
        ({0: 1, 1: 1}, ValueError, "pins: expected each item once"),
        ({-1: 1}, ValueError, "pins: slot: expected an integer of at least 0"),
        ({"0": 1}, TypeError, "pins: slot"),
        ([1], TypeError, "pins: expected a mapping of slots to ids"),
    ],
)
def test_what_no_request_can_pin(pins, error, text):
    with pytest.raises(error, match=text):
        pc.rank(_items(), None, pc.Policy(), 2, pins=pins)


def test_rules_that_do_not_fit_the_items():
    for rule, error in [
        (pc.Pin(0, where={"nope": 1}), KeyError),
        (pc.AtLeast(1, {"kind": 1}), TypeError),
        (pc.Pin(0, id="1"), TypeError),
    ]:
        with pytest.raises(error):
            pc.rank(_items(), None, pc.Policy(rules=[rule]), 2)


def test_caps_are_reserved_for_pinned_items():
    policy = pc.Policy(caps={"kind": 1}, rules=[pc.Pin(2, id=3)])
    slate = pc.rank(_items(), None, policy, 3)
    assert slate.ids.tolist() == [4, 5, 3]
    slate = pc.rank(_items(), None, policy, 3, pins={0: 2})
    assert slate.ids.tolist() == [2, 4, 5]
    assert slate.unmet == ["pin of slot 2: caps leave no room for item 3"]


def test_rules_of_slots_are_documents():
    rules = [
        pc.Pin(0, id=2**60),
        pc.Pin(1, where={"price": pc.Between(1, 2)}),
        pc.AtLeast(2, {"kind": ["a", "b"]}, top=5, name="n"),
    ]
    policy = pc.Policy(rules=rules)
    again = pc.Policy.from_json(policy.to_json())
    assert again == policy and again.rules == tuple(rules)
    for rule in rules:
        assert type(rule).from_json(rule.to_json()) == rule
        assert eval(repr(rule), {**vars(pc)}) == rule


def test_a_record_with_a_pin_does_not_pass_for_one_by_score():
    """What another policy's record tells of items that its pin may leave out: nothing, and that is said."""
    free = pc.Policy(explore=pc.EpsilonGreedy(0.3))
    bound = pc.Policy(explore=pc.EpsilonGreedy(0.3), rules=[pc.Pin(0, where={"kind": "c"})])
    one, other = (pc.rank(_items(), None, p, 3, seed=3, request_id="r") for p in (free, bound))
    assert one.ids[0] != other.ids[0]
    with pytest.raises(ValueError, match="whether a pin or a minimum leaves the item out"):
        pc.ope.propensities(one.record(), other.record())
    # Of the same policy with another epsilon everything stands in the record.
    less = pc.Policy(explore=pc.EpsilonGreedy(0.1), rules=bound.rules)
    found = pc.ope.propensities(other.record(), less)
    assert found[0] == pytest.approx(0.95 if other.ids[0] == 5 else 0.05)
