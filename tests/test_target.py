"""`rank(target=)`: a calibrated slate for one user's shares is that of a policy with this target, and replays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
import oracle_diversity as naive
import perso_core as pc
from oracle import Term
from world import blend_of, similarities, world

TERMS = [*similarities({"b": 1.0}, "minmax"), Term("pop", "value", "pop", 0.37, "minmax")]
TARGETS = [{"drama": 3, "war": 1, "nobody's": 0.5}, {"war": 1}, {"drama": 0.5, "comedy": 0.5}]


def policy(own=None, explore=None):
    return pc.Policy(30, blend_of(TERMS), pc.Calibrated("genre", 0.95, own), {}, explore)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 10**6),
    target=st.sampled_from(TARGETS),
    own=st.sampled_from([None, {"comedy": 1}]),
    epsilon=st.sampled_from([0.0, 0.3]),
)
def test_it_goes_before_the_policys_own(seed, target, own, epsilon):
    cat, _, user = world(seed, n=80)
    explore = pc.EpsilonGreedy(epsilon)
    ask = dict(k=10, seed=seed, request_id="r", at=0)
    slate = pc.rank(cat, user["b"], policy(own, explore), target=target, **ask)
    assert slate == pc.rank(cat, user["b"], policy(target, explore), **ask)
    assert slate.policy_hash == policy(own, explore).hash
    record = slate.record(user=False)
    assert record["target"] == target
    assert pc.replay(record, cat, user["b"]) == slate
    record["target"] = {"comedy": 1.0}
    with pytest.raises(pc.ReplayError):
        pc.replay(record, cat, user["b"])


def test_the_slate_is_that_of_the_oracle():
    cat, items, user = world(5, n=80)
    target = TARGETS[0]
    slate = pc.rank(cat, user["b"], policy(), k=10, seed=1, target=target)
    diversity = naive.calibrated([genres or [] for genres in items.attributes["genre"]], 0.95, target)
    answer = oracle.rank(
        items,
        TERMS,
        user={"b": user["b"]},
        candidates=30,
        k=10,
        variety=diversity,
    )
    assert answer.margin > 1e-5
    assert slate.ids.tolist() == answer.ids


def test_a_batch_takes_one_for_all_or_one_a_user():
    cat, _, user = world(3, n=80)
    users = np.stack([user["b"], -user["b"], user["b"]])
    ask = dict(k=8, seed=4, at=0)
    several = pc.rank(cat, users, policy(), request_id=["a", "b", "c"], target=TARGETS, **ask)
    same = pc.rank(cat, users, policy(), request_id=["a", "b", "c"], target=TARGETS[1], num_threads=2, **ask)
    for i, name in enumerate("abc"):
        one = dict(request_id=name, **ask)
        assert several[i] == pc.rank(cat, users[i], policy(), target=TARGETS[i], **one)
        assert same[i] == pc.rank(cat, users[i], policy(), target=TARGETS[1], **one)
    assert several[0].ids.tolist() != several[2].ids.tolist()


def test_a_record_without_a_target_is_as_it_was():
    cat, _, user = world(3)
    assert "target" not in pc.rank(cat, user["b"], policy({"war": 1}), k=5).record()


@pytest.mark.parametrize("diversity", [None, pc.MMR(0.3, "a")])
def test_a_policy_that_does_not_calibrate_refuses_it(diversity):
    cat, _, user = world(3)
    plain = pc.Policy(30, blend_of(TERMS), diversity)
    with pytest.raises(ValueError, match="^target: expected None, because the policy has no Calibrated"):
        pc.rank(cat, user["b"], plain, k=5, target={"war": 1})


@pytest.mark.parametrize(
    ("target", "error", "argument"),
    [
        ({}, ValueError, "target: "),
        ({"war": 0}, ValueError, "target: "),
        ({"war": -1}, ValueError, r"target\['war'\]: "),
        ({"war": "1"}, TypeError, r"target\['war'\]: "),
        ({1: 1, "1": 1}, ValueError, "target: "),
        ({1.5: 1}, TypeError, "target: "),
        (["war"], TypeError, "target: "),
        ("war", TypeError, "target: "),
    ],
)
def test_what_is_refused(target, error, argument):
    cat, _, user = world(3)
    with pytest.raises(error, match=f"^{argument}"):
        pc.rank(cat, user["b"], policy(), k=5, target=target)


@pytest.mark.parametrize(
    ("target", "error", "argument"),
    [
        ([{"war": 1}], ValueError, "target: "),
        ("ab", TypeError, "target: "),
        (3, TypeError, "target: "),
        ([{"war": 1}, {"war": -1}], ValueError, r"target\[1\]\['war'\]: "),
        ([{"war": 1}, None], TypeError, r"target\[1\]: "),
    ],
)
def test_what_a_batch_refuses(target, error, argument):
    cat, _, user = world(3)
    with pytest.raises(error, match=f"^{argument}"):
        pc.rank(cat, np.stack([user["b"]] * 2), policy(), k=5, target=target)
