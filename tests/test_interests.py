"""Users of several interests: against NumPy, and replayed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perso_core as pc
from world import AT, world


def similarity(metric: str, items: np.ndarray, query: np.ndarray) -> np.ndarray:
    items, query = items.astype(np.float64), query.astype(np.float64)
    if metric == "ip":
        return items @ query
    if metric == "l2":
        return -((items - query) ** 2).sum(axis=1)
    norms = np.linalg.norm(items, axis=1) * np.linalg.norm(query)
    return np.divide(items @ query, norms, out=np.zeros(len(items)), where=norms > 0)


def combined(
    metric: str, items: np.ndarray, vectors: Any, weights: Any, negative: Any, by: float, combine: str
) -> np.ndarray:
    scores = np.array([w * similarity(metric, items, v) for w, v in zip(weights, vectors, strict=True)])
    wanted = scores.max(axis=0) if combine == "max" else scores.sum(axis=0) / np.sum(weights)
    if len(negative) == 0:
        return wanted
    unwanted = np.array([similarity(metric, items, v) for v in negative]).max(axis=0)
    return wanted - by * np.maximum(unwanted, 0)


def draw(seed: int, dim: int, metric: str, combine: str) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    m = int(rng.integers(1, 5))
    plain = metric == "l2" and combine == "max"
    return {
        "vectors": rng.integers(-8, 9, (m, dim)).astype(np.float32),
        "weights": np.ones(m) if plain else rng.choice([0.25, 0.5, 1.0], m),
        "negative": rng.integers(-8, 9, (0 if metric == "l2" else int(rng.integers(0, 3)), dim)).astype(
            np.float32
        ),
        "negative_weight": float(rng.choice([0.0, 0.5, 2.0])),
        "combine": combine,
    }


@given(
    seed=st.integers(0, 10**6),
    metric=st.sampled_from(["ip", "cosine", "l2"]),
    combine=st.sampled_from(["max", "mean"]),
)
def test_similarity_is_that_of_numpy_and_replays(seed: int, metric: str, combine: str) -> None:
    rng = np.random.default_rng(seed + 1)
    items = rng.integers(-8, 9, (50, 6)).astype(np.float32)
    cat = pc.Catalog({"a": pc.Space(6, metric)})
    cat.upsert(np.arange(50), {"a": items})
    made = draw(seed, 6, metric, combine)
    user = pc.Interests(**made)
    policy = pc.Policy(candidates=50, score=pc.Blend(pc.Signal(1.0, "none")), diversity=pc.MMR(0.2))
    slate = pc.rank(cat, user, policy, k=20, at=AT, seed=1)
    expected = combined(
        metric, items, made["vectors"], made["weights"], made["negative"], made["negative_weight"], combine
    )
    np.testing.assert_allclose(slate.scores, expected[slate.ids], rtol=2e-6, atol=2e-6)
    record = json.loads(json.dumps(slate.record()))
    again = pc.replay(record, cat)
    assert again == slate and again.record() == record
    # With the hash alone the same user is needed, in every part.
    hashed = slate.record(user=False)
    assert pc.replay(hashed, cat, user) == slate
    other = pc.Interests(**{**made, "negative_weight": made["negative_weight"] + 1})
    with pytest.raises(pc.ReplayError, match="not the recorded one"):
        pc.replay(hashed, cat, other)


def test_every_interest_brings_its_neighbours() -> None:
    cat, _, _ = world(3)
    vectors = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    policy = pc.Policy(candidates=12, score=pc.Blend({"a": 1.0}))
    slate = pc.rank(cat, pc.Interests(vectors), policy, k=12, seed=1)
    pooled = set(slate.record()["pool"][0]["ids"])
    for vector in vectors:
        assert set(cat.search(vector, 4, space="a").ids.tolist()) <= pooled
    # The mean of directions is one query.
    mean = pc.rank(cat, pc.Interests(vectors, combine="mean"), policy, k=12, seed=1)
    direction = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).mean(axis=0)
    near = cat.search(direction.astype(np.float32), 12, space="a").ids.tolist()
    assert sorted(mean.record()["pool"][0]["ids"]) == sorted(near)
    assert set(near) != pooled


@pytest.mark.parametrize("space", [None, "a"])
def test_one_interest_is_a_vector(space: str | None) -> None:
    cat, _, vectors = world(4)
    policy = pc.Policy(candidates=20, score=pc.Blend({"a": 1.0}, pop=0.5), explore=pc.EpsilonGreedy(0.2))
    one = pc.Interests(vectors["a"][np.newaxis])
    user: Any = one if space is None else {space: one}
    slate = pc.rank(cat, user, policy, k=9, at=AT, seed=1, request_id="r")
    plain = pc.rank(cat, vectors["a"], policy, k=9, at=AT, seed=1, request_id="r")
    assert slate.ids.tolist() == plain.ids.tolist()
    assert slate.scores.tobytes() == plain.scores.tobytes()


def test_a_space_of_interests_beside_one_of_a_vector_and_a_batch() -> None:
    cat, _, _ = world(5)
    rng = np.random.default_rng(1)
    policy = pc.Policy(candidates=20, score=pc.Blend({"a": 1.0, "b": 0.5}))
    several = [pc.Interests(rng.normal(size=(m, 6)), negative=rng.normal(size=(1, 6))) for m in (1, 2, 3)]
    b = rng.normal(size=(3, 5)).astype(np.float32)
    batch = pc.rank(cat, {"b": b, "a": several}, policy, k=6, at=AT, seed=2, request_id="r")
    for i, slate in enumerate(batch):
        alone = pc.rank(cat, {"a": several[i], "b": b[i]}, policy, k=6, at=AT, seed=2, request_id=f"r-{i}")
        assert slate.record() == alone.record()
        assert pc.replay(slate.record(), cat) == slate
    only = pc.Policy(candidates=20, score=pc.Blend({"a": 1.0}))
    assert len(pc.rank(cat, several, only, k=2)) == 3


def test_diversity_caps_and_deepening_work_with_interests() -> None:
    cat, _, _ = world(6)
    user = pc.Interests(np.random.default_rng(2).normal(size=(3, 6)))
    policy = pc.Policy(candidates=12, score=pc.Blend({"a": 1.0}), caps={"genre": 2}, diversity=pc.DPP(0.3))
    slate = pc.rank(cat, user, policy, k=12, at=AT, seed=3)
    assert len(slate.record()["pool"]) > 1
    assert pc.replay(slate.record(), cat) == slate


A = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"vectors": np.ones(3, np.float32)}, ValueError, "vectors: expected a matrix"),
        ({"vectors": np.ones((0, 3), np.float32)}, ValueError, "vectors: expected at least one vector"),
        ({"vectors": A, "weights": [1.0]}, ValueError, "weights: expected 2, one per vector, got 1"),
        ({"vectors": A, "weights": [1.0, 0.0]}, ValueError, "weights: expected numbers above 0"),
        ({"vectors": A, "weights": [1.0, 1.5]}, ValueError, "weights: expected numbers above 0"),
        ({"vectors": A, "negative": np.ones((1, 2))}, ValueError, "negative: expected vectors of 3"),
        ({"vectors": A, "negative_weight": -1}, ValueError, "negative_weight: expected a finite number"),
        ({"vectors": A, "combine": "sum"}, ValueError, "combine"),
        ({"vectors": "ab"}, TypeError, "vectors"),
        ({"vectors": [[1.0, np.nan]]}, ValueError, "vectors: expected finite numbers, got nan"),
        (
            {"vectors": A, "negative": [[np.inf] * 3]},
            ValueError,
            "negative: expected finite numbers, got inf",
        ),
    ],
)
def test_bad_interests_are_refused(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pc.Interests(**arguments)


def test_what_a_request_cannot_do_with_interests() -> None:
    cat = pc.Catalog({"a": pc.Space(3, "l2")})
    cat.upsert([1, 2], {"a": A})
    policy = pc.Policy(score=pc.Blend())
    with pytest.raises(ValueError, match=r'user\["a"\].weights: expected weights of 1'):
        pc.rank(cat, pc.Interests(A, [1.0, 0.5]), policy, k=1)
    with pytest.raises(ValueError, match=r'user\["a"\].negative: expected none'):
        pc.rank(cat, pc.Interests(A, negative=A), policy, k=1)
    with pytest.raises(ValueError, match=r'user\["a"\]: expected 3 components, got 2'):
        pc.rank(cat, pc.Interests(np.ones((1, 2))), policy, k=1)
    with pytest.raises(ValueError, match=r'user\["a"\]: expected finite numbers'):
        pc.rank(cat, pc.Interests([[1.0, 2.0, 1e30]]), policy, k=1)
    with pytest.raises(TypeError, match=r"user\[1\]: expected Interests"):
        pc.rank(cat, [pc.Interests(A), A], policy, k=1)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="as many users in every space"):
        pc.rank(cat, {"a": [pc.Interests(A)], "b": np.ones((2, 3), np.float32)}, policy, k=1)
