"""What the plots are drawn from: a made-up catalog whose true relevance is known, and ten items by rank.

The catalog has 480 items in 12 topics: unit vectors around the topic's own, in 32 dimensions. Each of 60 users cares
for three topics in shares of 6, 3 and 1. How relevant an item is to a user is a number from 0 to 1: the share of its
topic, and a quality of its own. The score that is ranked by is this number with noise, as a model would know it. One
item in ten is new, whatever its score.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import perso_core as pc

ITEMS, TOPICS, DIM, USERS, K = 480, 12, 32, 60, 12
SHARES = np.array([0.6, 0.3, 0.1])
SCORES = np.linspace(0.9, 0.0, 10)
DRAWS = 3000


@dataclass(frozen=True)
class Quality:
    """Means over users of a slate's true relevance, its variety, and its topics' divergence from the user's."""

    relevance: float
    variety: float
    divergence: float


@dataclass(frozen=True)
class World:
    catalog: pc.Catalog
    vectors: NDArray[np.float64]
    topics: NDArray[np.int64]
    relevance: NDArray[np.float64]  # (users, items)
    scores: NDArray[np.float64]  # (users, items)
    wanted: NDArray[np.float64]  # (users, topics)
    users: NDArray[np.float64]  # (users, dim)
    new: NDArray[np.bool_]  # (items,)
    directions: NDArray[np.float64]  # (topics, dim), the topics' own


@cache
def world() -> World:
    """The catalog and its users, the same in each run."""
    rng = np.random.default_rng(11)
    topics = np.arange(ITEMS) % TOPICS
    middles = rng.normal(size=(TOPICS, DIM))
    directions = middles / np.linalg.norm(middles, axis=1, keepdims=True)
    vectors = middles[topics] + 0.6 * rng.normal(size=(ITEMS, DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    wanted = np.zeros((USERS, TOPICS))
    for user in range(USERS):
        wanted[user, rng.choice(TOPICS, 3, replace=False)] = SHARES
    relevance = 0.6 * wanted[:, topics] / SHARES.max() + 0.4 * rng.random((USERS, ITEMS))
    scores = relevance + 0.1 * rng.normal(size=relevance.shape)
    catalog = pc.Catalog({"content": pc.Space(DIM, metric="cosine", dtype="f32")})
    # A generator of its own: what was drawn before stays.
    new = np.zeros(ITEMS, bool)
    new[np.random.default_rng(12).choice(ITEMS, ITEMS // 10, replace=False)] = True
    attributes = {"topic": [f"t{topic}" for topic in topics], "new": new.tolist()}
    catalog.upsert(np.arange(ITEMS), vectors, attributes)
    return World(catalog, vectors, topics, relevance, scores, wanted, wanted @ directions, new, directions)


def quality(diversity: Any) -> Quality:
    """What a kind of diversity makes of every user's slate; a `Calibrated` one gets the user's own shares."""
    w = world()
    policy = pc.Policy(candidates=ITEMS, score=pc.Blend(None, relevance=1.0), diversity=diversity)
    rows = []
    for user in range(USERS):
        wanted = {f"t{topic}": float(share) for topic, share in enumerate(w.wanted[user]) if share}
        slate = pc.rank(
            w.catalog,
            None,
            policy,
            K,
            signals={"relevance": w.scores[user]},
            at=0,
            seed=7,
            request_id=f"user-{user}",
            target=wanted if isinstance(diversity, pc.Calibrated) else None,
        )
        rows.append(slate.ids)
    pairs = np.triu_indices(K, 1)
    return Quality(
        relevance=float(np.mean([w.relevance[user, row].mean() for user, row in enumerate(rows)])),
        variety=float(np.mean([(1 - w.vectors[row] @ w.vectors[row].T)[pairs].mean() for row in rows])),
        divergence=float(
            np.mean([_divergence(w.wanted[user], w.topics[row]) for user, row in enumerate(rows)])
        ),
    )


def _divergence(wanted: NDArray[np.float64], topics: NDArray[np.int64]) -> float:
    shown = 0.99 * np.bincount(topics, minlength=TOPICS) / len(topics) + 0.01 * wanted
    named = wanted > 0
    return float(np.sum(wanted[named] * np.log(wanted[named] / shown[named])))


def _ten() -> pc.Candidates:
    return pc.Candidates(np.arange(1, 11), scores=SCORES)


def first_slot(policy: pc.Policy) -> dict[int, float]:
    """{rank: the propensity that slates state for it in the first slot}, of ten items; what never came is not there."""
    ten, stated = _ten(), {}
    for i in range(DRAWS):
        slate = pc.rank(ten, None, policy, 1, at=0, seed=7, request_id=str(i))
        stated[int(slate.ids[0])] = float(slate.propensities[0])
    return dict(sorted(stated.items()))


def share_by_slot(policy: pc.Policy, k: int) -> NDArray[np.float64]:
    """(10, k): in how many of `DRAWS` slates the item of each rank stands in each slot."""
    ten, count = _ten(), np.zeros((10, k))
    for i in range(DRAWS):
        slate = pc.rank(ten, None, policy, k, at=0, seed=7, request_id=str(i))
        count[slate.ids - 1, np.arange(k)] += 1
    return count / DRAWS
