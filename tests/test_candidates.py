"""Candidates that the caller brings are ranked as a catalog's items are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
import perso_core as pc
from oracle import Term
from world import AT, world


def as_candidates(items, cat, order, scores=None):
    picked = [items.ids[i] for i in order]
    found = cat.get(picked)
    attributes = {name: [f["attributes"][name] for f in found] for name in cat.attributes}
    vectors = {space: np.array([f["vectors"][space] for f in found]) for space in cat.spaces}
    metric = {name: space.metric for name, space in cat.spaces.items()}
    return pc.Candidates(picked, vectors, scores, attributes, metric=metric)


@given(seed=st.integers(0, 10**6))
def test_the_same_items_give_the_same_slate(seed):
    cat, items, user = world(seed, text=seed % 2 == 0)
    order = np.random.default_rng(seed).permutation(60)
    candidates = as_candidates(items, cat, order)
    policy = pc.Policy(
        candidates=30,
        score=pc.Blend({"a": 0.6, "b": 0.4}, "zscore", pop=0.3, fresh=pc.Decay("at", "2d", 0.2)),
        diversity=pc.MMR(0.3),
        caps={"genre": 3},
        explore=pc.EpsilonGreedy(0.2),
    )
    keywords = dict(k=12, at=AT, seed=seed, request_id="r", exclude=items.ids[:9])
    slate = pc.rank(candidates, user, policy, **keywords)
    assert slate == pc.rank(cat, user, policy, **keywords)
    assert slate.path == "given" and len(candidates) == 60 and "60" in repr(candidates)


@given(seed=st.integers(0, 10**6), normalize=st.sampled_from(["none", "minmax", "zscore", "rank"]))
def test_scores_stand_for_the_similarity(seed, normalize):
    cat, items, _ = world(seed)
    # One score in five is missing from the set of distinct ones, so there are ties.
    scores = np.random.default_rng(seed).integers(0, 48, 60) / 7
    candidates = as_candidates(items, cat, range(60), scores)
    policy = pc.Policy(candidates=25, score=pc.Blend(1.5, normalize, pop=0.2))
    slate = pc.rank(candidates, None, policy, k=10)
    pool = oracle.best(scores, 25, items.ids)
    by_id = dict(zip(items.ids, scores.tolist(), strict=True))
    terms = [Term("similarity", "signal", by_id, 1.5, normalize), Term("pop", "value", "pop", 0.2, normalize)]
    answer = oracle.rank(items, terms, user=None, k=10, candidates=60, eligible=pool)
    assert slate.ids.tolist() == answer.ids and slate.scores.tolist() == answer.scores
    assert list(slate.terms) == ["similarity", "pop"] and slate.pool_size == 25


def test_scores_alone_are_enough():
    candidates = pc.Candidates(["a", "b", "c"], scores=[0.1, 0.3, 0.2])
    slate = pc.rank(candidates, None, pc.Policy(score=pc.Blend(1.0, "none")), k=2)
    assert slate.ids.tolist() == ["b", "c"] and slate.scores.tolist() == [0.3, 0.2]
    assert not any("not personalised" in reason for reason in slate.reasons)


def test_scores_are_doubles():
    candidates = pc.Candidates([1, 2], scores=[1.0, 1.0 + 2**-50])
    assert pc.rank(candidates, None, pc.Policy(candidates=1), k=1).ids.tolist() == [2]


def test_vectors_alone_are_cosine_unless_told():
    x = np.array([[1.0, 0.0], [3.0, 3.0]])
    policy = pc.Policy(score=pc.Blend(1.0, "none"))
    assert pc.rank(pc.Candidates([1, 2], x), [1, 0], policy, k=2).ids.tolist() == [1, 2]
    inner = pc.rank(pc.Candidates([1, 2], x, metric="ip"), [1, 0], policy, k=2)
    assert inner.ids.tolist() == [2, 1] and inner.scores.tolist() == [3, 1]


def test_masks_and_signals_are_aligned_with_the_ids_given():
    candidates = pc.Candidates([5, 3, 4], scores=[1, 2, 3])
    policy = pc.Policy(score=pc.Blend(pc.Signal(1, "none"), mine=pc.Signal(1, "none")))
    slate = pc.rank(
        candidates, None, policy, k=3, where=[True, False, True], signals={"mine": [10, 20, None]}
    )
    assert slate.ids.tolist() == [5, 4] and slate.scores.tolist() == [11, 3]
    by_id = pc.rank(candidates, None, policy, k=3, where=[5, 4], signals={"mine": {5: 10}})
    assert by_id == slate


def test_a_batch_over_candidates(rng):
    x = rng.standard_normal((40, 6))
    candidates, users = pc.Candidates(range(40), x), rng.standard_normal((7, 6))
    batch = pc.rank(candidates, users, pc.Policy(), k=5, num_threads=2, seed=1, request_id="q")
    for i, slate in enumerate(batch):
        assert slate == pc.rank(candidates, users[i], pc.Policy(), k=5, seed=1, request_id=f"q-{i}")


REFUSED = {
    "an id twice": (([1, 1],), {}, ValueError, r"ids: .*once.*1 at positions 0 and 1"),
    "vectors of too few": (([1, 2], [[1.0]]), {}, ValueError, r"vectors.*2 rows"),
    "a NaN": (([1], [[np.nan]]), {}, ValueError, r"vectors.*finite.*NaN"),
    "one vector": (([1], [1.0]), {}, ValueError, r"vectors.*matrix.*\(1,\)"),
    "too few scores": (([1, 2], None, [1]), {}, ValueError, r"scores: .*2 numbers.*1"),
    "a NaN score": (([1], None, [np.nan]), {}, ValueError, r"scores: .*finite.*nan"),
    "no score": (([1], None, [None]), {}, ValueError, r"scores: .*finite"),
    "too few values": (([1, 2], None, None, {"a": [1]}), {}, ValueError, r'attributes\["a"\]: .*2 values.*1'),
    "an unknown metric": (([1], [[1.0]]), {"metric": "dot"}, ValueError, r"metric: .*'ip'.*'dot'"),
    "a metric for no space": (([1], [[1.0]]), {"metric": {"x": "ip"}}, ValueError, r"metric: .*vectors.*x"),
    "ids that are none": ((3,), {}, TypeError, r"ids: .*sequence.*3"),
    "an unknown keyword": (([1],), {"vector": 1}, TypeError, r"vector"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_wrong_candidates_are_refused(case):
    arguments, keywords, kind, message = case
    with pytest.raises(kind, match=message):
        pc.Candidates(*arguments, **keywords)


def test_what_would_be_ignored_is_refused(rng):
    x = rng.standard_normal((3, 2))
    scored = pc.Candidates([1, 2, 3], x, [1, 2, 3])
    with pytest.raises(ValueError, match=r"user: expected None, because the candidates bring scores"):
        pc.rank(scored, [1.0, 0.0], pc.Policy(), k=1)
    with pytest.raises(ValueError, match=r"scores: .*no signal of the policy uses"):
        pc.rank(scored, None, pc.Policy(score=pc.Blend(None, mine=1.0)), k=1, signals={"mine": [1, 2, 3]})
    with pytest.raises(ValueError, match=r"diversity: .*vectors"):
        pc.rank(pc.Candidates([1, 2], scores=[1, 2]), None, pc.Policy(diversity=pc.MMR(0.5)), k=1)
    with pytest.raises(ValueError, match=r"user: "):
        pc.rank(pc.Candidates([1, 2], scores=[1, 2]), [1.0], pc.Policy(), k=1)
