"""An epsilon that falls: its value at a moment, propensities, draws, replay, documents, off-policy evaluation.

The statistical test rejects a right implementation with probability 1e-6; its draws are seeded.
"""

import json
import pickle
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import perso_core as pc
from test_explorers import shop

START = datetime(2026, 11, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)


def falling(epsilon=0.4, **more):
    arguments = {"half_life": "7d", "since": START, "floor": 0.05, **more}
    return pc.EpsilonGreedy(epsilon, **arguments)


def policy(explore):
    return pc.Policy(score=pc.Blend(None, quality=pc.Signal(1.0, "none")), explore=explore)


def epsilon_at(part, at):
    age = (at - START) / timedelta(days=7)
    return part.epsilon if age <= 0 else part.floor + (part.epsilon - part.floor) * 0.5**age


@given(
    days=st.floats(-100, 4000),
    epsilon=st.floats(0.05, 1),
    per=st.sampled_from(["slot", "slate"]),
    scope=st.sampled_from([{}, {"slots": [0, 2]}, {"only": {"fresh": True}}]),
    seed=st.integers(0, 1000),
)
def test_it_is_the_plain_one_with_the_epsilon_of_the_moment(days, epsilon, per, scope, seed):
    items, _ = shop(12, seed)
    at = START + days * DAY
    part = falling(epsilon, per=per, **scope)
    now = epsilon_at(part, at)
    ask = dict(k=6, at=at, seed=seed, request_id="r")
    slate = pc.rank(items, None, policy(part), **ask)
    plain = pc.rank(items, None, policy(pc.EpsilonGreedy(min(now, 1.0), per, **scope)), **ask)
    assert slate.ids.tolist() == plain.ids.tolist()
    np.testing.assert_allclose(slate.propensities, plain.propensities, rtol=1e-10)
    assert slate.support.tolist() == plain.support.tolist()
    assert pc.replay(slate.record_json(), items) == slate


def test_draws_follow_it():
    items, _ = shop(5, 3)
    at = START + 14 * DAY
    draws = [
        pc.rank(items, None, policy(falling()), k=1, at=at, seed=5, request_id=str(i)) for i in range(4000)
    ]
    explored = sum(bool(slate.explored[0]) for slate in draws)
    share = (0.05 + 0.35 / 4) * 4 / 5
    assert stats.binomtest(explored, len(draws), share).pvalue > 1e-6
    # With the epsilon that it began with, the same test would fail.
    assert stats.binomtest(explored, len(draws), 0.4 * 4 / 5).pvalue < 1e-6


def test_a_record_with_another_moment_is_refused():
    items, _ = shop(8)
    slate = pc.rank(items, None, policy(falling()), k=3, at=START + 9 * DAY, seed=1, request_id="r")
    record = slate.record()
    record["at"] += 86_400_000_000
    with pytest.raises(pc.ReplayError, match="digest"):
        pc.replay(record, items)


@pytest.mark.parametrize("half_life", ["7d", timedelta(days=7), 7 * 86400, "168h"])
@pytest.mark.parametrize("since", ["2026-11-01", START, START.replace(tzinfo=None), START.timestamp()])
def test_one_document_however_it_is_spelt(half_life, since):
    part = pc.EpsilonGreedy(0.4, half_life=half_life, since=since, floor=0.05)
    assert part == falling() and hash(part) == hash(falling())
    assert pc.EpsilonGreedy.from_json(part.to_json()) == part == pickle.loads(pickle.dumps(part))
    assert pc.Policy.from_json(policy(part).to_json()).hash == policy(falling()).hash
    assert json.loads(part.to_json())["decay"] == {
        "half_life_us": 604_800_000_000,
        "since": int(START.timestamp()) * 1_000_000,
        "floor": 0.05,
    }
    assert eval(repr(part), {"EpsilonGreedy": pc.EpsilonGreedy}) == part


def test_without_a_decay_the_document_is_as_it_was():
    assert json.loads(pc.EpsilonGreedy(0.1).to_json()) == {"kind": "epsilon_greedy", "epsilon": 0.1}
    assert policy(falling()).hash != policy(pc.EpsilonGreedy(0.4)).hash


@pytest.mark.parametrize(
    ("arguments", "error", "argument"),
    [
        (dict(half_life="7d"), ValueError, "since"),
        (dict(since=START), ValueError, "half_life"),
        (dict(floor=0.1), ValueError, "floor"),
        (dict(half_life="7d", since=START, floor=0.5), ValueError, "floor"),
        (dict(half_life="7d", since=START, floor=-0.1), ValueError, "floor"),
        (dict(half_life="0d", since=START), ValueError, "half_life"),
        (dict(half_life=True, since=START), TypeError, "half_life"),
        (dict(half_life="7d", since="yesterday"), ValueError, "since"),
        (dict(half_life="7d", since="9000-01-01"), ValueError, "since"),
    ],
)
def test_what_is_refused(arguments, error, argument):
    with pytest.raises(error, match=rf"^{argument}: "):
        pc.EpsilonGreedy(0.4, **arguments)


@pytest.mark.parametrize("decay", [3, {}, {"since": 0}, {"half_life_us": 1, "since": 0, "until": 1}])
def test_documents_with_a_decay_that_is_none_are_refused(decay):
    text = json.dumps({"kind": "epsilon_greedy", "epsilon": 0.4, "decay": decay})
    with pytest.raises(ValueError, match="decay"):
        pc.EpsilonGreedy.from_json(text)


def test_off_policy_evaluation_reads_the_epsilon_of_the_moment():
    items, _ = shop(9)
    for days in (-1, 0, 3, 30):
        ask = dict(k=4, at=START + days * DAY, seed=2, request_id=f"r{days}")
        logged = pc.rank(items, None, policy(pc.EpsilonGreedy(0.5)), **ask)
        own = pc.rank(items, None, policy(falling()), **ask)
        now = epsilon_at(falling(), START + days * DAY)
        wanted = pc.ope.propensities(logged, policy(pc.EpsilonGreedy(now)))
        np.testing.assert_allclose(pc.ope.propensities(logged, policy(falling())), wanted, rtol=1e-12)
        np.testing.assert_allclose(pc.ope.propensities(logged, own), wanted, rtol=1e-12)
        np.testing.assert_allclose(pc.ope.propensities(own, policy(falling())), own.propensities, rtol=1e-12)
