"""Soft caps from Python: slates against the oracle with every diversity, softmax, documents, errors."""

import json
import math

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
KINDS = ["none", "mmr", "dpp", "window", "spread", "calibrated"]
caps = st.tuples(st.integers(1, 3), st.sampled_from([0.05, 0.2, 1.0, 40.0]))


def variety(kind, items):
    """A diversity and what the oracle takes for it."""
    vectors = items.spaces["b"][1]
    genres = [genre or [] for genre in items.attributes["genre"]]
    return {
        "none": (None, {}),
        "mmr": (pc.MMR(0.4, "b"), {"mmr": (0.4, "b")}),
        "dpp": (pc.DPP(0.3, "b"), {"variety": naive.dpp(vectors, 0.3)}),
        "window": (pc.DPP(0.3, "b", window=2), {"variety": naive.dpp(vectors, 0.3, 2)}),
        "spread": (pc.Spread(0.3, window=3, space="b"), {"variety": naive.spread(vectors, 0.3, 3)}),
        "calibrated": (pc.Calibrated("genre", 0.6), {"variety": naive.calibrated(genres, 0.6)}),
    }[kind]


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(KINDS),
    soft=st.dictionaries(st.sampled_from(["genre", "shelf", "count", "new"]), caps, min_size=1, max_size=3),
    hard=st.none() | st.integers(1, 3),
)
def test_the_slate_is_that_of_the_oracle(seed, kind, soft, hard):
    cat, items, user = world(seed)
    if kind == "spread" and not (items.spaces["b"][1] ** 2).sum(1).all():
        return
    diversity, asked = variety(kind, items)
    both = {name: pc.Soft(*cap) for name, cap in soft.items()}
    if hard is not None:
        both["shelf"] = hard
        soft = {name: cap for name, cap in soft.items() if name != "shelf"}
    policy = pc.Policy(30, blend_of(TERMS), diversity, both)
    slate = pc.rank(cat, user["b"], policy, k=25, seed=seed)
    answer = oracle.rank(
        items,
        TERMS,
        user={"b": user["b"]},
        k=25,
        candidates=30,
        caps={} if hard is None else {"shelf": hard},
        soft=soft,
        **asked,
    )
    # Soft caps leave nothing out.
    assert len(slate) == len(answer.ids)
    if hard is None:
        assert len(slate) == 25 and slate.short_reason is None
    if answer.margin > 1e-6:
        assert slate.ids.tolist() == answer.ids
        assert slate.scores.tolist() == answer.scores
    assert pc.replay(slate.record(), cat) == slate


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 40), order=st.randoms(use_true_random=False))
def test_ties_go_to_the_higher_score_and_then_to_the_smaller_id(seed, n, order):
    """Scores and penalties on one coarse grid, so that most choices are ties, and every number is exact."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, n) / 4
    genres = [[str(g) for g in rng.choice(4, size=rng.integers(0, 3), replace=False)] for _ in range(n)]
    items = oracle.Items(list(range(n)), {}, {"score": scores.tolist(), "genre": genres})
    terms = [Term("score", "value", "score", 1.0, "none")]
    answer = oracle.rank(items, terms, user=None, k=n, candidates=100, soft={"genre": (1, 0.25)})
    shuffled = list(range(n))
    order.shuffle(shuffled)
    attributes = {"score": scores[shuffled].tolist(), "genre": [genres[i] for i in shuffled]}
    source = pc.Candidates(shuffled, np.ones((n, 2), np.float32), attributes=attributes)
    policy = pc.Policy(100, pc.Blend(None, score=pc.Signal(1.0, "none")), caps={"genre": pc.Soft(1, 0.25)})
    slate = pc.rank(source, None, policy, k=n)
    assert slate.ids.tolist() == answer.ids


def test_softmax_reads_the_value_less_the_cost():
    scores = [1.0, 0.9, 0.8, 0.3]
    shelf = ["x", "x", "x", None]
    items = pc.Candidates([0, 1, 2, 3], scores=scores, attributes={"shelf": shelf})
    policy = pc.Policy(
        score=pc.Blend(normalize="none"),
        caps={"shelf": pc.Soft(1, 0.5)},
        explore=pc.Softmax(0.4),
    )
    for seed in range(30):
        slate = pc.rank(items, None, policy, k=4, seed=seed, request_id="r")
        left, count = [0, 1, 2, 3], 0
        for item, propensity in zip(slate.ids.tolist(), slate.propensities.tolist(), strict=True):
            weights = {
                i: math.exp((scores[i] - (0.5 * max(count + 1 - 1, 0) if shelf[i] else 0.0)) / 0.4)
                for i in left
            }
            assert propensity == pytest.approx(weights[item] / sum(weights.values()), rel=1e-12)
            count += shelf[item] is not None
            left.remove(item)
        assert pc.replay(slate.record(), items) == slate


def test_documents():
    policy = pc.Policy(caps={"genre": pc.Soft(3, 0.2), "artist": 1})
    assert json.loads(policy.to_json())["caps"] == {"artist": 1, "genre": {"limit": 3, "penalty": 0.2}}
    again = pc.Policy.from_json(policy.to_json())
    assert again == policy and dict(again.caps) == {"artist": 1, "genre": pc.Soft(3, 0.2)}
    assert eval(repr(policy).replace("Policy", "pc.Policy"), {"pc": pc, **vars(pc)}) == policy
    assert pc.Soft.from_json(pc.Soft(3, 0.2).to_json()) == pc.Soft(3, 0.2)
    assert pc.Policy(caps={"genre": 3}).hash != pc.Policy(caps={"genre": pc.Soft(3, 1)}).hash


@pytest.mark.parametrize(
    ("make", "error", "argument"),
    [
        (lambda: pc.Soft(0, 1), ValueError, "limit"),
        (lambda: pc.Soft(1.5, 1), TypeError, "limit"),
        (lambda: pc.Soft(1, 0), ValueError, "penalty"),
        (lambda: pc.Soft(1, -1), ValueError, "penalty"),
        (lambda: pc.Soft(1, math.inf), ValueError, "penalty"),
        (lambda: pc.Soft(1, "1"), TypeError, "penalty"),
        (lambda: pc.Policy(caps={"genre": (3, 0.2)}), TypeError, "caps['genre']"),
        (
            lambda: pc.Policy.from_json(
                pc.Policy(caps={"genre": pc.Soft(3, 0.5)}).to_json().replace("0.5", "-1")
            ),
            ValueError,
            'caps["genre"].penalty',
        ),
        (
            lambda: pc.Policy(
                caps={"genre": pc.Soft(3, 0.5)}, explore=pc.UCB(mean="m", std="s", replace=True)
            ),
            ValueError,
            "replace",
        ),
        (lambda: pc.rank(world(0)[0], None, pc.Policy(caps={"no": pc.Soft(1, 1)})), KeyError, "no"),
        (
            lambda: pc.rank(world(0)[0], None, pc.Policy(caps={"pop": pc.Soft(1, 1)})),
            TypeError,
            'caps["pop"]',
        ),
    ],
)
def test_what_is_refused(make, error, argument):
    with pytest.raises(error) as caught:
        make()
    assert argument in str(caught.value)
