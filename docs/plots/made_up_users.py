"""Users whose taste changes or is in two places, in the made-up catalog of made_up.py."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from made_up import ITEMS, TOPICS, USERS, world
from numpy.typing import NDArray

import perso_core as pc

MINUTE = 60
# Seconds since the start of the day at which the user clicks: two sessions of twenty clicks.
CLICKS = [start * 60 * MINUTE + 2 * MINUTE * n for start in (1, 5) for n in range(20)]
SHOWN = 20


def nearness(half_life: str, moments: NDArray[np.int64]) -> NDArray[np.float64]:
    """(moments, 2): cosines of a profile with the topic of its base and with the one that the clicks are about.

    Moments are in seconds and ascending; the profile is read at each after the clicks until then.
    """
    w = world()
    plan = pc.ProfilePlan("content", {"click": 1.0}, half_life=half_life, long_half_life="90d")
    profile = pc.Profile(plan, w.catalog, base=w.directions[0])
    clicked = np.random.default_rng(13).choice(np.flatnonzero(w.topics == 1), len(CLICKS))
    events = list(zip(CLICKS, clicked.tolist(), strict=True))
    found = np.empty((len(moments), 2))
    for row, moment in enumerate(moments.tolist()):
        while events and events[0][0] <= moment:
            at, item = events.pop(0)
            profile.observe(item, "click", at=_moment(at))
        vector = profile.vector(_moment(moment))
        found[row] = w.directions[:2] @ (vector / np.linalg.norm(vector))
    return found


def _moment(seconds: int) -> np.datetime64:
    return np.datetime64("2026-01-01T00:00:00", "us") + np.timedelta64(seconds, "s")


@dataclass(frozen=True)
class Reach:
    """Means over users: the first topic's share of a slate, the share of the four topics that a slate shows at all, and
    the cosine of its items with the nearest of the four."""

    first: float
    shown: float
    near: float


@cache
def fours() -> NDArray[np.int64]:
    """(users, 4): the topics of every user, the first one first."""
    rng = np.random.default_rng(17)
    return np.array([rng.choice(TOPICS, 4, replace=False) for _ in range(USERS)])


def reach(weight: float, apart: bool) -> Reach:
    """What users of four topics see whose others than the first have this weight: as interests, or as a summed vector."""
    w = world()
    policy = pc.Policy(candidates=ITEMS, score=pc.Blend(pc.Signal(1.0, "none")))
    weights = np.array([1.0, weight, weight, weight])
    first, shown, near = [], [], []
    for four in fours():
        vectors = w.directions[four]
        user = pc.Interests(vectors, weights=weights) if apart else weights @ vectors
        ids = pc.rank(w.catalog, user, policy, SHOWN, at=0, seed=7).ids
        first.append((w.topics[ids] == four[0]).mean())
        shown.append(np.isin(four, w.topics[ids]).mean())
        near.append((w.vectors[ids] @ vectors.T).max(axis=1).mean())
    return Reach(float(np.mean(first)), float(np.mean(shown)), float(np.mean(near)))
