"""The baseline: what a backend engineer writes today around an ANN library.

hnswlib (an exact NumPy scan where it is not installed) for candidates, then NumPy: drop what was seen,
blend, maximal marginal relevance with a running maximum, a cap per genre, epsilon-greedy with
propensities. It is meant to be good: nothing is computed twice, no Python loop runs over candidates,
arrays are float32 where that is enough, and attributes lie in arrays by row.

It computes the same slate as `perso_core.rank` under the policy of `test_rank`, so its answers are
the oracle there: `check_slate` follows a slate slot by slot and says where it is not what the
policy asks for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .data import NOW, Items, Vectors


@dataclass(frozen=True)
class Recipe:
    """The policy, in the numbers that the glue needs."""

    pool: int = 500
    similarity: float = 1.0
    popularity: float = 0.2
    freshness: float = 0.3
    half_life_days: float = 30.0
    diversity: float = 0.3
    genre_cap: int = 3
    epsilon: float = 0.1


@dataclass
class Answer:
    """What the glue returns, and where its time went."""

    ids: np.ndarray
    scores: np.ndarray
    propensities: np.ndarray
    timings_us: dict[str, float]


Retrieve = Callable[[np.ndarray, int], np.ndarray]


def exact_retrieval(vectors: Vectors) -> Retrieve:
    """Row numbers of the best, by a scan: for want of an ANN library."""
    unit = vectors.items / np.linalg.norm(vectors.items, axis=1, keepdims=True)

    def retrieve(user: np.ndarray, n: int) -> np.ndarray:
        scores = unit @ user
        rows = np.argpartition(scores, -n)[-n:]
        return rows[np.argsort(-scores[rows])]

    return retrieve


def hnswlib_retrieval(index: Any, ef: int) -> Retrieve:
    """Row numbers of the best, by hnswlib on one thread."""

    def retrieve(user: np.ndarray, n: int) -> np.ndarray:
        index.set_ef(max(ef, n))
        labels, _ = index.knn_query(user, k=n, num_threads=1)
        return labels[0].astype(np.int64)

    return retrieve


def _minmax(x: np.ndarray) -> np.ndarray:
    low, high = x.min(), x.max()
    return (x - low) / (high - low) if high > low else np.zeros_like(x)


class Glue:
    """Everything in arrays by row; ids are row numbers."""

    def __init__(self, vectors: Vectors, items: Items, recipe: Recipe, retrieve: Retrieve) -> None:
        self.recipe = recipe
        self.retrieve = retrieve
        self.unit = vectors.items / np.linalg.norm(vectors.items, axis=1, keepdims=True)
        self.popularity = items.popularity
        self.published = items.published
        self.age_days = np.maximum((NOW - items.published) / np.timedelta64(86_400_000_000, "us"), 0.0)
        self.genre = np.unique(items.genre, return_inverse=True)[1]
        self.genres = int(self.genre.max()) + 1
        self._seen = np.zeros(len(vectors), dtype=bool)

    def pool(self, user: np.ndarray, seen: np.ndarray, spare: int = 100) -> np.ndarray:
        """Candidates without what was seen. Half of a seen list lies elsewhere, so some spare ones do."""
        rows = self.retrieve(user, self.recipe.pool + spare)
        self._seen[seen] = True
        rows = rows[~self._seen[rows]][: self.recipe.pool]
        self._seen[seen] = False
        return rows

    def blend(self, user: np.ndarray, rows: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        r = self.recipe
        similarity = vectors @ (user / np.linalg.norm(user))
        fresh = np.exp2(-self.age_days[rows] / r.half_life_days)
        return (
            r.similarity * _minmax(similarity)
            + r.popularity * _minmax(self.popularity[rows])
            + r.freshness * _minmax(fresh)
        )

    def rank(self, user: np.ndarray, seen: np.ndarray, k: int, rng: np.random.Generator) -> Answer:
        r, now = self.recipe, time.perf_counter
        t0 = now()
        rows = self.pool(user, seen)
        t1 = now()
        vectors = self.unit[rows]
        scores = self.blend(user, rows, vectors)
        t2 = now()
        relevance = (1.0 - r.diversity) * _minmax(scores)
        penalty = np.zeros(len(rows))
        genre = self.genre[rows]
        counts = np.zeros(self.genres, dtype=np.int64)
        open_ = np.ones(len(rows), dtype=bool)
        chosen: list[int] = []
        propensities: list[float] = []
        drawing = 0.0
        for slot in range(min(k, len(rows))):
            value = np.where(open_, relevance - penalty, -np.inf)
            pick = greedy = int(value.argmax())
            d0 = now()
            n = int(np.count_nonzero(open_))
            if n == 0:
                break
            if rng.random() < r.epsilon:
                pick = int(rng.choice(np.flatnonzero(open_)))
            propensities.append(r.epsilon / n + (1.0 - r.epsilon if pick == greedy else 0.0))
            drawing += now() - d0
            chosen.append(pick)
            open_[pick] = False
            counts[genre[pick]] += 1
            if counts[genre[pick]] == r.genre_cap:
                open_ &= genre != genre[pick]
            near = r.diversity * (vectors @ vectors[pick])
            penalty = near if slot == 0 else np.maximum(penalty, near)
        t3 = now()
        return Answer(
            ids=rows[chosen],
            scores=scores[chosen],
            propensities=np.array(propensities),
            timings_us={
                "retrieve": (t1 - t0) * 1e6,
                "score": (t2 - t1) * 1e6,
                "diversify": (t3 - t2 - drawing) * 1e6,
                "explore": drawing * 1e6,
                "total": (now() - t0) * 1e6,
            },
        )


@dataclass
class Given:
    """A slate to check, and the pool it was made from with the vectors that it was made with."""

    slate: Any
    user: np.ndarray
    pool: np.ndarray
    vectors: np.ndarray


def check_slate(glue: Glue, given: Given, k: int) -> dict[str, float]:
    """Follows a slate with the glue's arithmetic in float64; AssertionError where it departs.

    A slot that was not drawn by exploration must hold the best value given the slots above, within
    the rounding of float32 cosines; a propensity must follow from the size of the eligible set.
    Returns the largest errors.
    """
    r, slate, rows = glue.recipe, given.slate, given.pool
    unit = given.vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    scores = glue.blend(given.user.astype(np.float64), rows, unit)
    position = {int(row): i for i, row in enumerate(rows)}
    at = [position[int(id)] for id in slate.ids]
    assert len(at) == len(set(at)) == k, f"{len(at)} items of which {len(set(at))} differ, and not {k}"
    score_error = float(np.abs(scores[at] - slate.scores).max())
    assert score_error < 1e-4, f"scores are off by {score_error}"
    terms = sum(slate.terms.values())
    assert np.array_equal(terms, slate.scores), "the terms do not add up to the scores"

    relevance = (1.0 - r.diversity) * _minmax(scores)
    nearest = np.zeros(len(rows))
    genre = glue.genre[rows]
    open_ = np.ones(len(rows), dtype=bool)
    value_error = propensity_error = 0.0
    for slot, pick in enumerate(at):
        assert open_[pick], f"slot {slot} breaks the cap"
        value = np.where(open_, relevance - r.diversity * nearest, -np.inf)
        n, explored = np.count_nonzero(open_), bool(slate.explored[slot])
        if not explored:
            value_error = max(value_error, float(value.max() - value[pick]))
        expected = r.epsilon / n + (0.0 if explored else 1.0 - r.epsilon)
        propensity_error = max(propensity_error, abs(expected - float(slate.propensities[slot])))
        open_[pick] = False
        if np.count_nonzero(genre[at[: slot + 1]] == genre[pick]) == r.genre_cap:
            open_ &= genre != genre[pick]
        near = unit @ unit[pick]
        nearest = near if slot == 0 else np.maximum(nearest, near)
    assert value_error < 1e-4, f"a slot holds an item whose value is {value_error} below the best"
    assert propensity_error < 1e-12, f"propensities are off by {propensity_error}"
    return {"score_error": score_error, "value_error": value_error, "propensity_error": propensity_error}
