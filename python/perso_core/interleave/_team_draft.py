"""Team-draft interleaving (Radlinski, Kurup and Joachims 2008, *How does clickthrough data reflect retrieval
quality?*, CIKM, algorithm 2): two captains pick their best item that is left, the one with fewer picks first,
a coin when even.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._random import Draws
from ..results import Slate
from ._lists import Interleaved, asked

__all__ = ["team_draft"]


def team_draft(
    a: Slate | Any, b: Slate | Any, k: int | None = None, *, seed: int, request_id: str
) -> Interleaved:
    """Two rankings as one list in which each item is on the team of the ranking that picked it.

    A click gives 1 to the item's team. O(k^2); any length.

    Args:
        a: a `Slate` or a sequence of ids, best first.
        b: the other one, likewise.
        k: how many items, at most the length of the shorter ranking, which is also the default.
        seed: of the coins, together with `request_id`: the same two give the same list, everywhere.
        request_id: the request's name, at least one character.

    Raises:
        ValueError, TypeError: an argument that is wrong, named with what was expected and what came.
    """
    first, second, count, seed, request_id = asked(a, b, k, seed, request_id)
    coins = Draws("interleave.team_draft", seed, request_id)
    shown: list[Any] = []
    teams: list[int] = []
    while len(shown) < count:
        ahead = 2 * sum(teams) - len(teams)  # picks of b beyond those of a
        team = int(ahead < 0) if ahead else int(coins.bit())
        shown.append(_best((first, second)[team], set(shown)))
        teams.append(team)
    of_b = np.array(teams, dtype=np.float64)
    return Interleaved(
        "team_draft", shown, 1.0 - of_b, of_b, probability(first, second, shown), seed, request_id
    )


def _best(ranked: list[Any], taken: set[Any]) -> Any:
    # There is one: a ranking of at least k items cannot run out before k are shown.
    return next(one for one in ranked if one not in taken)


def probability(first: list[Any], second: list[Any], shown: list[Any]) -> float:
    """Of the list, over all coins: several ways of picking may give it."""
    # Weight by how many picks b is ahead, which is all that the next pick depends on.
    ways = {0: 1.0}
    taken: set[Any] = set()
    for one in shown:
        right = (_best(first, taken) == one, _best(second, taken) == one)
        following: dict[int, float] = {}
        for ahead, weight in ways.items():
            for team, share in ((0, 0.5), (1, 0.5)) if ahead == 0 else ((int(ahead < 0), 1.0),):
                if right[team]:
                    moved = ahead + (1 if team else -1)
                    following[moved] = following.get(moved, 0.0) + weight * share
        ways = following
        taken.add(one)
    return sum(ways.values())
