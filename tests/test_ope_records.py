"""From decision records to estimates: probabilities against the oracle's laws, rewards in every form."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import oracle
import perso_core as pc
from oracle import Term
from perso_core import ope
from world import blend_of, similarities, world

TERMS_A = [*similarities({"b": 1.0}, "minmax"), Term("pop", "value", "pop", 0.37, "minmax")]
TERMS_B = [*similarities({"b": 0.2}, "minmax"), Term("pop", "value", "pop", 0.9, "rank")]
EPSILONS = st.sampled_from([None, 0.0, 0.1, 0.7, 1.0])


def policy(terms, epsilon, *, candidates=60, mmr=None, caps=None):
    explore = None if epsilon is None else pc.EpsilonGreedy(epsilon)
    diversity = None if mmr is None else pc.MMR(mmr, "a")
    return pc.Policy(candidates, blend_of(terms), diversity, caps or {}, explore)


def made(cat, user, one, seed, k=6):
    return pc.rank(cat, {"b": user["b"]}, one, k=k, seed=seed, request_id=f"r-{seed}")


def law(items, user, terms, chosen, epsilon, **arguments):
    """The oracle's probability of each chosen item, given those above."""
    mmr = arguments.pop("mmr", None)
    answer = oracle.rank(
        items,
        terms,
        user={"b": user["b"]},
        k=len(chosen),
        chosen=chosen,
        mmr=None if mmr is None else (mmr, "a"),
        **arguments,
    )
    assume(answer.margin > 1e-9)
    return [
        oracle.epsilon_greedy(epsilon or 0.0, eligible, greedy).get(one, 0.0)
        for one, eligible, greedy in zip(chosen, answer.eligible, answer.greedy, strict=True)
    ]


# --- probabilities ---------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 10**6),
    epsilon=EPSILONS,
    other=EPSILONS,
    mmr=st.sampled_from([None, 0.3]),
    caps=st.sampled_from([None, {"genre": 2}]),
)
def test_another_epsilon_is_known_for_every_policy(seed, epsilon, other, mmr, caps):
    cat, items, user = world(seed)
    a = policy(TERMS_A, epsilon, candidates=15, mmr=mmr, caps=caps)
    b = policy(TERMS_A, other, candidates=15, mmr=mmr, caps=caps)
    slate = made(cat, user, a, seed)
    expected = law(items, user, TERMS_A, slate.ids.tolist(), other, candidates=15, mmr=mmr, caps=caps)
    found = ope.propensities(slate, b)
    assert found == pytest.approx(expected, rel=1e-14)
    # The arithmetic is the core's, bit for bit.
    assert ope.propensities(slate.record_json(), a).tolist() == slate.propensities.tolist()


@given(seed=st.integers(0, 10**6), epsilon=EPSILONS, other=EPSILONS)
def test_another_policy_by_score_is_known_for_every_slate(seed, epsilon, other):
    cat, items, user = world(seed)
    slate = made(cat, user, policy(TERMS_A, epsilon, mmr=0.3, caps={"genre": 2}), seed)
    theirs = made(cat, user, policy(TERMS_B, other), seed)
    expected = law(items, user, TERMS_B, slate.ids.tolist(), other, candidates=60)
    assert ope.propensities(slate, theirs) == pytest.approx(expected, rel=1e-14)


@given(seed=st.integers(0, 10**6), other=EPSILONS, n=st.integers(6, 20))
def test_an_item_outside_the_other_pool_cannot_be_shown(seed, other, n):
    cat, _, user = world(seed)
    slate = made(cat, user, policy(TERMS_A, 0.9), seed)
    theirs = made(cat, user, policy(TERMS_B, other, candidates=n), seed)
    (step,) = theirs.record()["pool"]
    left = [one for _, one in sorted(zip([-s for s in step["scores"]], step["ids"], strict=True))]
    expected = []
    for one in slate.ids.tolist():
        expected.append(oracle.epsilon_greedy(other or 0.0, left, left[0]).get(one, 0.0))
        left = [i for i in left if i != one]
    assert ope.propensities(slate, theirs) == pytest.approx(expected, rel=1e-14)


@given(seed=st.integers(0, 10**6), caps=st.sampled_from([None, {"genre": 1}]))
def test_a_policy_that_does_not_explore_is_known_up_to_where_it_parts(seed, caps):
    cat, _, user = world(seed)
    b = policy(TERMS_A, None, mmr=0.4, caps=caps)
    slate = made(cat, user, policy(TERMS_A, 0.2, mmr=0.4, caps=caps), seed)
    theirs = made(cat, user, b, seed)
    found = ope.propensities(slate, theirs)
    same = slate.ids == theirs.ids
    upto = len(same) if same.all() else int(same.argmin())
    assert found[:upto].tolist() == [1.0] * upto and not found[upto:].any()
    # A product of probabilities is all that estimators look at: it is that of the same policy by its name.
    assert np.cumprod(found).tolist() == np.cumprod(ope.propensities(slate, b)).tolist()


def slates_by_enumeration(epsilon, per, slots, n=5, k=3):
    """The probability of each ordered choice of k out of n items, the best first, by definition."""
    open_in = [slots is None or slot in slots for slot in range(k)]
    out = {}
    for slate in itertools.permutations(range(n), k):
        coins = []
        for e in (0.0, 1.0) if per == "slate" else (epsilon,):
            p = 1.0
            for slot, one in enumerate(slate):
                left = [i for i in range(n) if i not in slate[:slot]]
                e_slot = e if open_in[slot] else 0.0
                p *= (1 - e_slot) * (one == left[0]) + e_slot / len(left)
            coins.append(p)
        out[slate] = (1 - epsilon) * coins[0] + epsilon * coins[1] if per == "slate" else coins[0]
    return out


@pytest.mark.parametrize("per", ["slot", "slate"])
@pytest.mark.parametrize("slots", [None, [0], [1, 2], [7]])
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_a_coin_a_slate_and_slots_that_are_kept(per, slots, epsilon):
    items = pc.Candidates(range(5), scores=[5.0, 4.0, 3.0, 2.0, 1.0])
    target = pc.Policy(explore=pc.EpsilonGreedy(epsilon, per=per, slots=slots))
    expected = slates_by_enumeration(epsilon, per, slots)
    assert sum(expected.values()) == pytest.approx(1)

    def of(prefix):
        return sum(p for slate, p in expected.items() if slate[: len(prefix)] == prefix)

    logged = pc.Policy(explore=pc.EpsilonGreedy(0.6))
    slates = [pc.rank(items, None, logged, 3, seed=2, request_id=str(i)) for i in range(60)]
    assert len({tuple(slate.ids) for slate in slates}) > 20
    others = [pc.rank(items, None, target, 3, seed=2, request_id=str(i)) for i in range(60)]
    for slate, other in zip(slates, others, strict=True):
        ids = tuple(slate.ids.tolist())
        for found in (ope.propensities(slate, target), ope.propensities(slate, other)):
            assert np.prod(found) == pytest.approx(of(ids))
            for slot in range(3):
                if of(ids[:slot]) > 0:
                    assert found[slot] == pytest.approx(of(ids[: slot + 1]) / of(ids[:slot]))
        # The arithmetic is the core's, bit for bit.
        assert ope.propensities(other, target).tolist() == other.propensities.tolist()
    rewards = {slate.request_id: [1, 0, 0] for slate in slates}
    log = ope.SlateLog.from_records(slates, rewards, others, marginals="all")
    if slots is not None:
        assert log.target_marginals is None
        return
    for row, slate in enumerate(slates):
        for i, one in enumerate(slate.ids.tolist()):
            at = [sum(p for s, p in expected.items() if s[slot] == one) for slot in range(3)]
            assert log.target_marginals[row, i].tolist() == pytest.approx(at)


def test_exploration_of_some_items_is_not_told():
    items = pc.Candidates([1, 2, 3], scores=[3.0, 2.0, 1.0], attributes={"new": [True, False, True]})
    some = pc.Policy(explore=pc.EpsilonGreedy(0.3, only={"new": True}))
    every = pc.Policy(explore=pc.EpsilonGreedy(0.3))
    kept, free = (pc.rank(items, None, p, 2, seed=1, request_id="r") for p in (some, every))
    with pytest.raises(ValueError, match="other: expected a policy that explores all items"):
        ope.propensities(free, some)
    with pytest.raises(ValueError, match="other: expected a policy that explores all items"):
        ope.propensities(free, kept)
    # As a log it is as good as any: what it has shown has its propensity.
    log = ope.SlateLog.from_records([kept], {"r": [1, 0]}, every)
    assert log.logged.tolist() == [kept.propensities.tolist()] and log.logged_marginals is None


def test_what_a_record_does_not_tell_is_refused():
    cat, _, user = world(3)
    for seed in range(30):
        slate = made(cat, user, policy(TERMS_A, 0.9), seed)
        if not slate.explored[:3].any():
            continue
        with pytest.raises(ValueError, match="greedy choice after items that it has not put there"):
            ope.propensities(slate, made(cat, user, policy(TERMS_B, 0.5, mmr=0.3), seed))
        break
    first = made(cat, user, policy(TERMS_A, 0.5, caps={"genre": 1}), 1)
    # The same first item, then one that a cap may mask.
    record = first.record()
    pool = record["pool"][0]["ids"]
    record["choices"][0]["id"] = record["choices"][0]["greedy"]
    other = json.loads(json.dumps(record))
    theirs = other["choices"][1]
    record["choices"][1]["id"] = next(
        one for one in pool if one not in (theirs["greedy"], other["choices"][0]["id"])
    )
    with pytest.raises(ValueError, match="whether a cap masks the item"):
        ope.propensities(record, other)
    with pytest.raises(ValueError, match=r"other: expected a record of request 'r-1', got 'r-2'"):
        ope.propensities(first, made(cat, user, policy(TERMS_A, 0.5), 2))
    with pytest.raises(ValueError, match="k=6"):
        ope.propensities(first, made(cat, user, policy(TERMS_A, 0.5), 1, k=5))
    with pytest.raises(ValueError, match=r"other: .*explore alone.* differs in score"):
        ope.propensities(first, policy(TERMS_B, 0.1, caps={"genre": 1}))
    with pytest.raises(pc.FormatError, match=r"record: expected the schema"):
        ope.propensities({"schema": "other"}, first)
    with pytest.raises(pc.FormatError, match="as JSON"):
        ope.propensities("nonsense", first)
    with pytest.raises(pc.FormatError, match="without 'choices'"):
        ope.propensities({k: v for k, v in first.record().items() if k != "choices"}, first)
    with pytest.raises(TypeError, match="a Slate, a record"):
        ope.propensities(3, first)


# --- a whole evaluation ----------------------------------------------------------------------------


def logged(n, k=3, epsilon=0.5, items=6):
    """Slates of one request law with many seeds, over a handful of candidates."""
    candidates = pc.Candidates(
        np.arange(items), scores=np.linspace(1, 0, items), attributes={"pop": np.arange(items) % 3}
    )
    a = pc.Policy(score=pc.Blend(1.0), explore=pc.EpsilonGreedy(epsilon))
    b = pc.Policy(score=pc.Blend(1.0, pop=0.7), explore=pc.EpsilonGreedy(0.3))
    slates = [pc.rank(candidates, None, a, k=k, seed=1, request_id=f"r-{i}") for i in range(n)]
    others = [pc.rank(candidates, None, b, k=k, seed=1, request_id=f"r-{i}") for i in range(n)]
    return slates, others, b


def test_estimates_from_records_find_the_value():
    """Rewards that depend on item and position alone; 5 standard errors are 6e-7 for each of seven."""
    n, k, items = 3000, 3, 6
    slates, others, _ = logged(n, k)
    mean = np.random.default_rng(1).random((items, k))
    noise = 0.2 * np.random.default_rng(2).standard_normal((n, k))
    rewards = {s.request_id: mean[s.ids, np.arange(k)] + noise[i] for i, s in enumerate(slates)}
    log = ope.SlateLog.from_records(slates, rewards, others)
    order = [one for _, one in sorted(zip(
        [-x for x in others[0].record()["pool"][0]["scores"]], others[0].record()["pool"][0]["ids"], strict=True
    ))]  # fmt: skip
    value = 0.0
    for slate in itertools.permutations(range(items), k):
        left, chance = list(order), 1.0
        for one in slate:
            chance *= oracle.epsilon_greedy(0.3, left, left[0])[one]
            left.remove(one)
        value += chance * mean[list(slate), np.arange(k)].sum()
    found = ope.evaluate(log)
    assert len(found) == 7
    for one in found[1:]:
        assert abs(one.value - value) < 5 * one.standard_error, one
        assert one.warnings == ()
    # Further from the truth than the estimates: the log's own mean.
    assert abs(found[0].value - value) > 6 * found[0].standard_error
    # What is assumed more is more precise.
    errors = [found[name].standard_error for name in ("iips", "rips", "slate ips")]
    assert errors == sorted(errors)
    everywhere = ope.SlateLog.from_records(slates, rewards, others, marginals="all")
    assert ope.iips(everywhere) == found["iips"]
    pbm = ope.pbm(everywhere, mean.mean(axis=0))
    assert pbm.standard_error < found["iips"].standard_error


def test_marginals_are_there_when_nothing_but_the_score_decides():
    slates, others, _ = logged(5)
    rewards = {s.request_id: [0, 0, 1] for s in slates}
    for kind, shape in (("own", (5, 3)), ("all", (5, 3, 3))):
        log = ope.SlateLog.from_records(slates, rewards, others, marginals=kind)
        assert log.logged_marginals.shape == log.target_marginals.shape == shape
    assert ope.SlateLog.from_records(slates, rewards, others, marginals=None).logged_marginals is None
    with pytest.raises(ValueError, match="marginals: expected None or 'own' or 'all'"):
        ope.SlateLog.from_records(slates, rewards, others, marginals="some")
    cat, _, user = world(1)
    a = policy(TERMS_A, 0.2, mmr=0.3)
    diverse = [made(cat, user, a, seed, k=3) for seed in range(4)]
    log = ope.SlateLog.from_records(
        diverse, {s.request_id: [1, 0, 0] for s in diverse}, policy(TERMS_A, 0.1, mmr=0.3)
    )
    assert log.logged_marginals is None and log.target_marginals is None
    assert log.logged.tolist() == [s.propensities.tolist() for s in diverse]


@pytest.fixture
def four():
    return logged(4)


def test_records_in_every_form_give_one_log(four):
    slates, others, _ = four
    rewards = {s.request_id: [float(i), 0.5, -1.0] for i, s in enumerate(slates)}
    by_item = {s.request_id: dict(zip(s.ids.tolist(), rewards[s.request_id], strict=True)) for s in slates}
    numbers = {s.request_id: ope.propensities(s, o) for s, o in zip(slates, others, strict=True)}
    logs = [
        ope.SlateLog.from_records(slates, rewards, others),
        ope.SlateLog.from_records([s.record() for s in slates], by_item, [o.record_json() for o in others]),
        ope.SlateLog.from_records((s.record_json(user=False) for s in slates), rewards, reversed(others)),
        ope.SlateLog.from_records(pc.SlateBatch(slates), rewards, numbers),
    ]
    for log in logs:
        assert log.request_ids == [s.request_id for s in slates]
        assert log.rewards.tolist() == list(rewards.values())
        assert log.logged.tolist() == [s.propensities.tolist() for s in slates]
        assert log.target.tolist() == [v.tolist() for v in numbers.values()]
    assert logs[3].logged_marginals is None
    users = {s.request_id: f"u{i % 2}" for i, s in enumerate(slates)}
    assert ope.rips(ope.SlateLog.from_records(slates, rewards, others, clusters=users)).clusters == 2


def test_rewards_and_probabilities_from_arrow(four):
    pa = pytest.importorskip("pyarrow")
    slates, others, _ = four
    plain = ope.SlateLog.from_records(
        slates, {s.request_id: [0.0, 1.0 if i == 2 else 0.0, 0.0] for i, s in enumerate(slates)}, others
    )
    clicks = {"request_id": ["r-2"], "reward": [1.0]}
    item = slates[2].ids[1]
    by_position, by_id = pa.table({**clicks, "position": [1]}), pa.table({**clicks, "id": [item]})
    numbers = pa.table(
        {
            "request_id": [s.request_id for s in slates for _ in range(3)],
            "position": list(range(3)) * 4,
            "propensity": plain.target.reshape(-1),
        }
    )
    for table, target in ((by_position, others), (by_id, others), (by_position, numbers)):
        log = ope.SlateLog.from_records(slates, table, target, missing=0)
        assert log.rewards.tolist() == plain.rewards.tolist() and log.target.tolist() == plain.target.tolist()
    with pytest.raises(ValueError, match=r"target\['r-0'\]: expected a row for each position from 0 to 2"):
        ope.SlateLog.from_records(
            slates, by_position, numbers.set_column(1, "position", pa.array([1, 2, 3] * 4)), missing=0
        )
    twice = pa.concat_tables([by_position, by_position])
    with pytest.raises(ValueError, match=r"rewards: expected one row a slot.*'r-2' for 1"):
        ope.SlateLog.from_records(slates, twice, others, missing=0)
    with pytest.raises(ValueError, match="a reward for slot 0"):
        ope.SlateLog.from_records(slates, by_position, others)


def test_slates_of_unequal_lengths():
    cat, _, user = world(5)
    a = policy(TERMS_A, 0.3)
    slates = [
        pc.rank(cat, {"b": user["b"]}, a, k=4, where=cat.ids[:n], seed=n, request_id=f"r-{n}")
        for n in (9, 2, 5)
    ]
    log = ope.SlateLog.from_records(slates, {}, policy(TERMS_A, 0.1), missing=1.0)
    assert log.lengths.tolist() == [4, 2, 4]
    assert log.rewards.sum(axis=1).tolist() == [4, 2, 4]
    assert ope.rips(log).n == 3
    one = ope.SlateLog.from_records(slates[1:2], {}, policy(TERMS_A, 0.3), missing=1.0)
    for name in ("slate ips", "rips", "iips"):
        assert ope.evaluate(one)[name].value == 2


def test_wrong_records_rewards_and_targets_name_the_argument(four):
    slates, others, b = four
    rewards = {s.request_id: [0.0, 0.0, 1.0] for s in slates}
    make = ope.SlateLog.from_records
    cases = [
        (lambda: make([], {}, others), ValueError, "records: expected at least one record"),
        (lambda: make(slates[0], rewards, others), TypeError, "records: expected an iterable"),
        (
            lambda: make([*slates, slates[0]], rewards, others),
            ValueError,
            "records: expected each request once",
        ),
        (lambda: make([1], rewards, others), TypeError, r"records\[0\]: expected a Slate"),
        (
            lambda: make(slates, {**rewards, "x": [1]}, others),
            ValueError,
            "rewards: expected requests of the rec",
        ),
        (lambda: make(slates, {}, others), ValueError, r"rewards\['r-0'\]: expected a reward for slot 0"),
        (
            lambda: make(slates, {**rewards, "r-1": [1]}, others),
            ValueError,
            r"rewards\['r-1'\]: expected 3 num",
        ),
        (
            lambda: make(slates, {**rewards, "r-1": {99: 1}}, others, missing=0),
            ValueError,
            "99, which was not",
        ),
        (lambda: make(slates, [1, 2], others), TypeError, "rewards: expected a mapping"),
        (
            lambda: make(slates, rewards, others[1:]),
            ValueError,
            "target: expected something for request 'r-0'",
        ),
        (
            lambda: make(slates[1:], {}, others, missing=0),
            ValueError,
            "target: expected requests of the records",
        ),
        (lambda: make(slates, rewards, b), ValueError, "target: expected a policy that differs .* in score"),
        (
            lambda: make(slates, rewards, others[0].record()),
            TypeError,
            "target: expected an iterable of records",
        ),
        (
            lambda: make(slates, rewards, others[0]),
            TypeError,
            "target: expected an iterable of Slates, got one Slate",
        ),
        (
            lambda: make(slates, rewards, {s.request_id: [0.5] for s in slates}),
            ValueError,
            r"target\['r-0'\]: expected 3 probabilities",
        ),
        (
            lambda: make(slates, rewards, {s.request_id: [0.5, 2, 1] for s in slates}),
            ValueError,
            r"target\['r-0'\]: expected probabilities from 0 to 1",
        ),
        (lambda: make(slates, rewards, others, missing="0"), TypeError, "missing: expected a number"),
        (lambda: make(slates, rewards, others, clusters={}), ValueError, "clusters: expected a value for"),
    ]
    for call, kind, text in cases:
        with pytest.raises(kind, match=text):
            call()
