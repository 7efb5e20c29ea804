"""Exploration: propensities are the probabilities that draws follow.

Statistical tests reject a right implementation with probability 1e-6 each; their draws are seeded, so one
that passes once passes always.
"""

import hashlib
import itertools
import math
import struct

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

import oracle
import perso_core as pc
from oracle import Term
from world import blend_of, similarities, world

ALPHA = 1e-6


def setting(seed, epsilon, *, n=60, candidates=30, mmr=0.3, caps=None):
    cat, items, user = world(seed, n=n)
    terms = [*similarities({"b": 1.0}, "minmax"), Term("pop", "value", "pop", 0.37, "minmax")]
    policy = pc.Policy(candidates, blend_of(terms), pc.MMR(mmr, "a"), caps or {}, pc.EpsilonGreedy(epsilon))
    arguments = dict(user={"b": user["b"]}, candidates=candidates, mmr=(mmr, "a"), caps=caps)
    return (
        cat,
        user["b"],
        policy,
        lambda k, chosen: oracle.rank(items, terms, k=k, chosen=chosen, **arguments),
    )


@given(
    seed=st.integers(0, 10**6),
    epsilon=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    caps=st.sampled_from([None, {"genre": 2}, {"shelf": 3, "count": 2}]),
)
def test_propensities_are_those_of_the_eligible_set(seed, epsilon, caps):
    cat, user, policy, follow = setting(seed, epsilon, caps=caps, candidates=15)
    slate = pc.rank(cat, user, policy, k=12, seed=seed, request_id="r")
    answer = follow(12, slate.ids.tolist())
    assume(answer.margin > 1e-9)
    assert len(answer.ids) == len(slate)
    assert slate.eligible_counts.tolist() == [len(e) for e in answer.eligible]
    for t, (eligible, greedy) in enumerate(zip(answer.eligible, answer.greedy, strict=True)):
        law = oracle.epsilon_greedy(epsilon, eligible, greedy)
        assert abs(math.fsum(law.values()) - 1) < 1e-12
        chosen = int(slate.ids[t])
        assert slate.propensities[t] == pytest.approx(law[chosen], rel=1e-14)
        assert slate.explored[t] == (chosen != greedy)
        assert ("explored" in slate.reasons[t]) == bool(slate.explored[t])
        assert 0 < slate.propensities[t] <= 1


@pytest.mark.parametrize("seed", [1, 2])
def test_a_large_pool_with_everything_at_once(seed):
    # Caps that fill up, a pool that deepens, variety over several batches of entries, exploration.
    cat, user, policy, follow = setting(
        seed, 0.3, n=260, candidates=70, mmr=0.6, caps={"shelf": 4, "genre": 9}
    )
    slate = pc.rank(cat, user, policy, k=30, seed=seed, request_id="r")
    answer = follow(30, slate.ids.tolist())
    assert answer.margin > 1e-9 and len(slate) == len(answer.ids) == 30
    assert slate.scores.tolist() == answer.scores
    assert slate.eligible_counts.tolist() == [len(e) for e in answer.eligible]
    for t, (eligible, greedy) in enumerate(zip(answer.eligible, answer.greedy, strict=True)):
        law = oracle.epsilon_greedy(0.3, eligible, greedy)
        assert slate.propensities[t] == pytest.approx(law[int(slate.ids[t])], rel=1e-14)
    assert 3 < slate.explored.sum() < 20 and len(slate.record()["pool"]) > 1


@pytest.mark.parametrize("explore", [None, pc.EpsilonGreedy(0.0)])
def test_without_exploration_everything_is_certain(explore):
    cat, _, user = world(4)
    policy = pc.Policy(score=pc.Blend({"a": 1.0}), explore=explore)
    slates = [pc.rank(cat, user["a"], policy, k=20, seed=s) for s in range(20)]
    assert all(s == slates[0] for s in slates)
    assert (slates[0].propensities == 1).all() and not slates[0].explored.any()


def test_the_last_item_left_is_certain():
    cat, _, user = world(4)
    policy = pc.Policy(candidates=3, score=pc.Blend({"a": 1.0}), explore=pc.EpsilonGreedy(1.0))
    slate = pc.rank(cat, user["a"], policy, k=3, seed=0, where=[1, 4, 7])
    assert slate.propensities.tolist() == [1 / 3, 1 / 2, 1]


def chi_square(observed, expected):
    """The p-value of counts against their expectations; cells are large enough for the approximation."""
    observed, expected = np.array(observed, float), np.array(expected, float)
    assert expected.min() >= 5 and math.isclose(observed.sum(), expected.sum(), rel_tol=1e-9)
    return stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), len(observed) - 1)


DRAWS = 20_000


@pytest.mark.parametrize("caps", [None, {"shelf": 1}], ids=["free", "capped"])
def test_draws_of_whole_slates_follow_the_propensities(caps):
    cat, user, policy, follow = setting(5, 0.6, n=12, candidates=12, caps=caps)
    batch = pc.rank(cat, np.tile(user, (DRAWS, 1)), policy, k=2, seed=1, num_threads=-1)
    counts = {}
    for slate in batch:
        counts[tuple(slate.ids.tolist())] = counts.get(tuple(slate.ids.tolist()), 0) + 1
    # The joint law of two slots: a first, then whatever its choice leaves.
    first = follow(1, None)
    law = oracle.epsilon_greedy(0.6, first.eligible[0], first.greedy[0])
    expected = {}
    for a in law:
        second = follow(2, [a])
        for b, p in oracle.epsilon_greedy(0.6, second.eligible[1], second.greedy[1]).items():
            expected[a, b] = DRAWS * law[a] * p
    assert set(counts) <= set(expected)
    assert chi_square([counts.get(pair, 0) for pair in expected], list(expected.values())) > ALPHA
    # And each slate states the probability of what it shows.
    for slate in batch[:500]:
        a, b = slate.ids.tolist()
        assert DRAWS * slate.propensities.prod() == pytest.approx(expected[a, b], rel=1e-12)


def test_draws_of_many_seeds_follow_the_propensities():
    cat, user, policy, follow = setting(6, 0.5, n=8, candidates=8)
    first = follow(1, None)
    law = oracle.epsilon_greedy(0.5, first.eligible[0], first.greedy[0])
    counts = dict.fromkeys(law, 0)
    for seed in range(4000):
        counts[int(pc.rank(cat, user, policy, k=1, seed=seed, request_id="same").ids[0])] += 1
    assert chi_square(list(counts.values()), [4000 * p for p in law.values()]) > ALPHA


def test_inverse_propensity_weights_are_unbiased():
    """What propensities are for: the mean of reward / propensity estimates another policy's reward."""
    cat, user, policy, follow = setting(7, 0.8, n=10, candidates=10)
    reward = {item: float(i % 4) for i, item in enumerate(follow(1, None).eligible[0])}
    batch = pc.rank(cat, np.tile(user, (DRAWS, 1)), policy, k=1, seed=2, num_threads=-1)
    for target in (3, 6):
        item = follow(1, None).eligible[0][target]
        values = np.array([reward[item] / s.propensities[0] if s.ids[0] == item else 0.0 for s in batch])
        error = values.std() / math.sqrt(DRAWS)
        # 4.9 standard errors: 1e-6 two-sided.
        assert abs(values.mean() - reward[item]) < 4.9 * error


# --- the draws themselves --------------------------------------------------------------------------


def chacha8(key, stream):
    """The 64-bit numbers of one stream of ChaCha8 (Bernstein 2008; 64-bit counter, 64-bit stream)."""

    def quarter(x, a, b, c, d):
        for first, second, third, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[first] = (x[first] + x[second]) & 0xFFFFFFFF
            mixed = x[third] ^ x[first]
            x[third] = (mixed << turn | mixed >> (32 - turn)) & 0xFFFFFFFF

    for counter in itertools.count():
        start = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key)]
        start += [
            *struct.unpack("<2I", struct.pack("<Q", counter)),
            *struct.unpack("<2I", struct.pack("<Q", stream)),
        ]
        x = list(start)
        for _ in range(4):
            for column in range(4):
                quarter(x, column, 4 + column, 8 + column, 12 + column)
            for d in range(4):
                quarter(x, d, 4 + (d + 1) % 4, 8 + (d + 2) % 4, 12 + (d + 3) % 4)
        words = [(a + b) & 0xFFFFFFFF for a, b in zip(x, start, strict=True)]
        yield from (low | high << 32 for low, high in zip(words[::2], words[1::2], strict=True))


def drawn(seed, request_id, slot, epsilon, eligible, greedy):
    """One slot of epsilon-greedy: a coin in [0, 1), then Lemire's uniform integer."""
    key = hashlib.sha256(b"perso_core.rng/1\0" + struct.pack("<Q", seed) + request_id.encode()).digest()
    numbers = chacha8(key, slot)
    if (next(numbers) >> 11) * 2.0**-53 >= epsilon:
        return greedy
    n = len(eligible)
    while True:
        product = next(numbers) * n
        if product % 2**64 >= 2**64 % n:
            return eligible[product >> 64]


@settings(max_examples=25)
@given(seed=st.integers(0, 2**64 - 1), request_id=st.text(max_size=20), which=st.integers(0, 200))
def test_draws_are_a_function_of_seed_and_request(seed, request_id, which):
    cat, user, policy, follow = setting(which, 0.5)
    slate = pc.rank(cat, user, policy, k=6, seed=seed, request_id=request_id)
    answer = follow(6, slate.ids.tolist())
    assume(answer.margin > 1e-9)
    for t, (eligible, greedy) in enumerate(zip(answer.eligible, answer.greedy, strict=True)):
        assert slate.ids[t] == drawn(seed, request_id, t, 0.5, eligible, greedy)
