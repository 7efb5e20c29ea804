"""How alike two rankings are: overlap, rank-biased overlap, Kendall's tau.

Each takes two `Slate`s, or two sequences of ids, best first, and returns one number. For a shadow policy
beside the one that serves: how different is what it would have shown?
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import _convert
from .results import Slate

__all__ = ["kendall", "overlap", "rbo"]


def overlap(a: Slate | Any, b: Slate | Any, k: int | None = None) -> float:
    """The share of their first k items that two rankings have in common, from 0 to 1.

    Args:
        a: a `Slate` or a sequence of ids, best first.
        b: the other one, likewise.
        k: how many; None for the length of the shorter one. A ranking that is shorter than k has nothing
            there.
    """
    first, second = ranking("a", a), ranking("b", b)
    depth = min(len(first), len(second)) if k is None else _convert.integer("k", k, 1)
    if depth == 0:
        return 1.0 if len(first) == len(second) else 0.0
    return len(set(first[:depth]) & set(second[:depth])) / depth


def rbo(a: Slate | Any, b: Slate | Any, p: float = 0.9) -> float:
    """Rank-biased overlap, extrapolated, from 0 (disjoint) to 1 (the same).

    The overlap at every depth, weighted by (1 - p) p^(d - 1): what a reader sees who goes on with probability
    p. Equation (32) of Webber, Moffat and Zobel 2010, *A similarity measure for indefinite rankings* (ACM
    TOIS 28), which takes the agreement beyond what is there to be that of the last rank.

    Args:
        a: a `Slate` or a sequence of ids, best first, of any length.
        b: the other one, likewise.
        p: persistence, between 0 and 1; the first 10 items have 86% of the weight at 0.9.
    """
    first, second = ranking("a", a), ranking("b", b)
    if not 0 < _convert.real("p", p) < 1:
        raise _convert.invalid("p", "a number between 0 and 1", p)
    if len(first) > len(second):
        first, second = second, first
    s, length = len(first), len(second)
    if s == 0:
        return 1.0 if length == 0 else 0.0
    # Items in common by depth.
    seen: set[Any] = set()
    common = [0]
    for d in range(length):
        both = common[-1]
        for one in {*first[d : d + 1], second[d]}:
            both += one in seen
        if d < s and first[d] == second[d]:
            both += 1
        seen.update(first[d : d + 1], second[d : d + 1])
        common.append(both)
    total = math.fsum(common[d] / d * p**d for d in range(1, length + 1))
    total += math.fsum(common[s] * (d - s) / (s * d) * p**d for d in range(s + 1, length + 1))
    rest = ((common[length] - common[s]) / length + common[s] / s) * p**length
    return min(1.0, (1 - p) / p * total + rest)


def kendall(a: Slate | Any, b: Slate | Any) -> float:
    """Kendall's tau over the items that both rankings hold, from -1 (reversed) to 1 (the same order).

    (concordant - discordant) / pairs (Kendall 1938); NaN with fewer than two items in common. It says nothing
    of the items that one of them lacks: look at `overlap` beside it.

    Args:
        a: a `Slate` or a sequence of ids, best first.
        b: the other one, likewise.
    """
    first, second = ranking("a", a), ranking("b", b)
    place = {one: i for i, one in enumerate(second)}
    order = np.array([place[one] for one in first if one in place], dtype=np.int64)
    n = len(order)
    if n < 2:
        return float("nan")
    concordant = sum(int(np.count_nonzero(order[i + 1 :] > order[i])) for i in range(n - 1))
    pairs = n * (n - 1) // 2
    return (2 * concordant - pairs) / pairs


def ranking(argument: str, value: object) -> list[Any]:
    """The ids of a slate, or of a sequence, each once."""
    found = value.ids.tolist() if isinstance(value, Slate) else list(_convert.ids(argument, value))
    plain = [one.item() if isinstance(one, np.generic) else one for one in found]
    if len(set(plain)) != len(plain):
        twice = next(one for i, one in enumerate(plain) if one in plain[:i])
        raise _convert.invalid(argument, "each item once", f"{twice!r} twice")
    return plain
