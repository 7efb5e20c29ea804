"""What caps and rules do to the slates of the made-up users of made_up.py, where one item in ten is new.

A new item is as good as any other: its score is drawn in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from made_up import DRAWS, ITEMS, SCORES, TOPICS, USERS, K, world
from numpy.typing import NDArray

import perso_core as pc

NEW = {"new": True}


@dataclass(frozen=True)
class Shown:
    """Means over users: the commonest topic's share of a slate, the sum of its scores, and the prices it states."""

    commonest: float
    score: float
    price: float  # 0 without a minimum


def shown(caps: Mapping[str, Any] | None = None, rules: tuple[Any, ...] = ()) -> Shown:
    """What every user's slate shows under these caps and rules, by their scores as they are."""
    w = world()
    blend = pc.Blend(None, relevance=pc.Signal(1.0, "none"))
    policy = pc.Policy(candidates=ITEMS, score=blend, caps=caps or {}, rules=list(rules))
    slates = [
        pc.rank(w.catalog, None, policy, K, signals={"relevance": w.scores[user]}, at=0, seed=7)
        for user in range(USERS)
    ]
    return Shown(
        commonest=float(np.mean([np.bincount(w.topics[s.ids], minlength=TOPICS).max() / K for s in slates])),
        score=float(np.mean([s.scores.sum() for s in slates])),
        price=float(np.mean([sum(s.prices.values()) for s in slates])),
    )


def minimum(count: int, top: int) -> Shown:
    """Slates with at least `count` new items among the first `top`."""
    return shown(rules=(pc.AtLeast(count, NEW, top=top, name="new"),) if count else ())


def boosted(by: float, candidates: int) -> float:
    """The share of new items in slates for users with a vector, under a boost by so much, in units of the cosine."""
    w = world()
    policy = pc.Policy(
        candidates=candidates,
        score=pc.Blend(similarity=pc.Signal(1.0, "none")),
        rules=[pc.Boost(NEW, by, "new")],
    )
    slates = pc.rank(w.catalog, w.users, policy, K, at=0, seed=7)
    return float(np.mean([w.new[slate.ids] for slate in slates]))


def stated_by_slot(rules: tuple[Any, ...], pins: Mapping[int, int] | None, k: int) -> NDArray[np.float64]:
    """(k,): the mean propensity that slates under Softmax(0.1) state for a slot, of ten items; every third is an ad."""
    kinds = ["ad" if rank % 3 == 0 else "film" for rank in range(1, 11)]
    ten = pc.Candidates(np.arange(1, 11), scores=SCORES, attributes={"kind": kinds})
    policy = pc.Policy(
        candidates=10, score=pc.Blend(normalize="none"), explore=pc.Softmax(0.1), rules=list(rules)
    )
    total = np.zeros(k)
    for i in range(DRAWS):
        total += pc.rank(ten, None, policy, k, at=0, seed=7, request_id=str(i), pins=pins).propensities
    return total / DRAWS
