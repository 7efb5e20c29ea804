"""Diversity alone, on candidates that are there: MMR, DPP and Spread beside pyversity.

One request: the items nearest to a query of generated sentence-like embeddings, with their cosines as scores, and a
slate of 50. Nothing is retrieved, nothing else is ranked. Every slate is followed slot by slot in NumPy and
float64 first. pyversity (NumPy) gets the same vectors and its own parameters set
so that it maximises the same thing, which the share of equal slots shows; its arrays are contiguous and of the type
it works in. Both sides are timed as they are called: ours with all that `rank` does besides.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

import perso_core as pc

from . import data
from .clock import measure

K = 50
DIM = 384
REQUESTS = 10
DIVERSITY = 0.5
WINDOW = 10
GENRES = 20

MISSING = "pyversity is not installed, so there is no peer to stand beside: pip install pyversity"


@dataclass
class Pool:
    """A request's candidates, and the same in NumPy."""

    candidates: pc.Candidates
    vectors: np.ndarray
    scores: np.ndarray
    genres: np.ndarray

    @property
    def relevance(self) -> np.ndarray:
        return (self.scores - self.scores.min()) / np.ptp(self.scores)

    @property
    def biased(self) -> np.ndarray:
        """Vectors of which S is the cosine: [x / |x|, 1]."""
        return np.concatenate([self.vectors, np.ones((len(self.vectors), 1), np.float32)], axis=1)


@cache
def pools(size: int) -> list[Pool]:
    vectors = data.clustered(20_000, DIM, seed=3)
    out = []
    # Following a slate in NumPy takes its time where there are many candidates.
    for query in vectors.queries[: REQUESTS if size < 10_000 else 2]:
        scores = vectors.items @ query
        rows = np.argsort(-scores, kind="stable")[:size]
        x, s = vectors.items[rows], scores[rows].astype(np.float64)
        genres = np.random.default_rng(5).zipf(1.5, size) % GENRES
        given = pc.Candidates(np.arange(size), x, s, {"genre": genres.tolist()})
        out.append(Pool(given, x, s, genres))
    return out


def policy_of(size: int, kind: Any) -> pc.Policy:
    return pc.Policy(size, diversity=kind)


def rank(pool: Pool, policy: pc.Policy) -> pc.Slate:
    return pc.rank(pool.candidates, None, policy, K, seed=1, request_id="r")


# --- what each kind says an item is worth, in float64 -------------------------------------------------


def follow(pool: Pool, ids: np.ndarray, values: Callable[[list[int]], np.ndarray]) -> float:
    """How far below the best of its slot the worst choice of a slate is."""
    worst, shown = 0.0, []
    for chosen in ids.tolist():
        now = values(shown)
        now[shown] = -np.inf
        worst = max(worst, float(now.max() - now[chosen]))
        shown.append(chosen)
    return worst


def mmr_values(pool: Pool) -> Callable[[list[int]], np.ndarray]:
    x, rel = pool.vectors.astype(np.float64), pool.relevance
    likeness = np.full(len(x), -np.inf)

    def values(shown: list[int]) -> np.ndarray:
        if not shown:
            return (1 - DIVERSITY) * rel
        np.maximum(likeness, x @ x[shown[-1]], out=likeness)
        return (1 - DIVERSITY) * rel - DIVERSITY * likeness

    return values


def dpp_values(pool: Pool) -> Callable[[list[int]], np.ndarray]:
    x, rel = pool.vectors.astype(np.float64), pool.relevance

    def values(shown: list[int]) -> np.ndarray:
        new = np.ones(len(x))
        if shown:
            to = (1 + x @ x[shown].T) / 2
            among = (1 + x[shown] @ x[shown].T) / 2
            np.fill_diagonal(among, 1)
            new = 1 - np.einsum("ij,ij->i", to, np.linalg.solve(among, to.T).T)
        return (1 - DIVERSITY) * rel + DIVERSITY * np.log(np.maximum(new, 1e-6))

    return values


def spread_values(pool: Pool) -> Callable[[list[int]], np.ndarray]:
    left, rel = pool.biased.astype(np.float64) / math.sqrt(2), pool.relevance
    queue: list[tuple[np.ndarray, np.ndarray]] = []

    def values(shown: list[int]) -> np.ndarray:
        if shown:
            basis = left[shown[-1]].copy()
            if len(queue) == WINDOW:
                old, shares = queue.pop(0)
                np.add(left, shares[:, None] * old, out=left)
            shares = left @ basis / (basis @ basis)
            np.subtract(left, shares[:, None] * basis, out=left)
            queue.append((basis, shares))
        return (1 - DIVERSITY) * rel + DIVERSITY * np.sqrt((left**2).sum(1))

    return values


KINDS: dict[str, tuple[Any, Callable[[Pool], Callable[[list[int]], np.ndarray]]]] = {
    "MMR": (pc.MMR(DIVERSITY), mmr_values),
    "DPP": (pc.DPP(DIVERSITY), dpp_values),
    "Spread": (pc.Spread(DIVERSITY, WINDOW), spread_values),
}


# --- the peer, with the same objective ------------------------------------------------------------------


def peer_of(kind: str) -> Callable[[Pool], Callable[[], np.ndarray]]:
    """For a pool, a call of pyversity's that maximises what ours does."""
    from pyversity import diversify

    def mmr(pool: Pool) -> Callable[[], np.ndarray]:
        x, rel = pool.vectors, pool.relevance.astype(np.float32)
        return lambda: diversify(x, rel, K, "mmr", diversity=DIVERSITY).indices

    # It weighs scores by their standard deviation, ours by their span.
    def ratio(pool: Pool) -> float:
        return float(pool.scores.std() / np.ptp(pool.scores)) * (1 - DIVERSITY) / DIVERSITY

    def dpp(pool: Pool) -> Callable[[], np.ndarray]:
        # It maximises 2 (1 - diversity) scale z + log det.
        x, s, scale = pool.biased, pool.scores.astype(np.float32), ratio(pool)
        return lambda: diversify(x, s, K, "dpp", diversity=0.5, scale=scale).indices

    def spread(pool: Pool) -> Callable[[], np.ndarray]:
        # It adds gamma times a length that the constant component makes sqrt 2 times ours to z.
        x, s, gamma = pool.vectors, pool.scores.astype(np.float32), 1 / ratio(pool) / math.sqrt(2)
        return lambda: diversify(x, s, K, "ssd", diversity=0.5, window=WINDOW, gamma=gamma).indices

    return {"MMR": mmr, "DPP": dpp, "Spread": spread}[kind]


@pytest.mark.benchmark(group="diversity: candidates in hand")
@pytest.mark.parametrize("size", [100, 1_000, 10_000])
@pytest.mark.parametrize("kind", KINDS)
def test_diversity(benchmark, kind: str, size: int) -> None:
    part, definition = KINDS[kind]
    policy = policy_of(size, part)
    slates = [rank(pool, policy) for pool in pools(size)]
    errors = [follow(p, s.ids, definition(p)) for p, s in zip(pools(size), slates, strict=True)]
    assert all(len(slate) == K for slate in slates)
    # Float32 cosines, and for the residual of an item that is nearly spent their accumulated rounding.
    assert max(errors) < 1e-4, f"a choice that is {max(errors):.1e} below the best"
    if importlib.util.find_spec("pyversity") is None:
        pytest.skip(MISSING)
    calls = [peer_of(kind)(pool) for pool in pools(size)]
    same = np.mean([np.mean(call() == s.ids) for call, s in zip(calls, slates, strict=True)])
    assert same > 0.9, f"pyversity chooses otherwise in {1 - same:.0%} of the slots: another objective"
    measure(
        benchmark,
        lambda i: rank(pools(size)[i], policy),
        range(len(pools(size))),
        rounds=5 if size < 10_000 else 2,
        peer=lambda i: calls[i](),
    )
    stage = np.median([rank(pool, policy).timings_us["diversify"] for pool in pools(size)])
    benchmark.extra_info.update(
        data=f"clustered_20k_{DIM}",
        what=f"{kind}: pool {size:,}, k {K}",
        peer="pyversity",
        diversify_us=round(float(stage), 1),
        same=round(float(same), 4),
        answer=f"{len(slates)} slates followed, {max(errors):.0e} off at most",
    )


@pytest.mark.benchmark(group="diversity: candidates in hand")
@pytest.mark.parametrize("size", [1_000, 10_000])
@pytest.mark.parametrize("kind", ["DPP, window", "Calibrated"])
def test_diversity_without_a_peer(benchmark, kind: str, size: int) -> None:
    part = pc.DPP(DIVERSITY, window=WINDOW) if kind == "DPP, window" else pc.Calibrated("genre", DIVERSITY)
    policy = policy_of(size, part)
    pool = pools(size)[0]

    def windowed(shown: list[int]) -> np.ndarray:
        return dpp_values(pool)(shown[-WINDOW:])

    def calibrated(shown: list[int]) -> np.ndarray:
        p = np.bincount(pool.genres, minlength=GENRES) / size
        given = np.bincount(pool.genres[shown], minlength=GENRES) if shown else np.zeros(GENRES)
        q = 0.99 * (given + np.eye(GENRES)) / (len(shown) + 1) + 0.01 * p
        divergence = np.where(p > 0, p * np.log(np.where(p > 0, p, 1) / np.where(p > 0, q, 1)), 0).sum(axis=1)
        return (1 - DIVERSITY) * pool.relevance - DIVERSITY * divergence[pool.genres]

    error = follow(pool, rank(pool, policy).ids, windowed if kind == "DPP, window" else calibrated)
    assert error < 1e-4, f"a choice that is {error:.1e} below the best"
    measure(benchmark, lambda i: rank(pools(size)[i], policy), range(len(pools(size))), rounds=3)
    stage = np.median([rank(one, policy).timings_us["diversify"] for one in pools(size)])
    benchmark.extra_info.update(
        data=f"clustered_20k_{DIM}",
        what=f"{kind}: pool {size:,}, k {K}",
        diversify_us=round(float(stage), 1),
        answer=f"followed, {error:.0e} off at most",
    )
