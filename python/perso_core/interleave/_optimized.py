"""Optimized interleaving (Radlinski and Craswell 2013, *Optimized interleaving for online retrieval
evaluation*, WSDM).

1. The lists that may be shown: each item is the best left of one ranking or the other, so every prefix is
   made of prefixes of both. At most 2^k.
2. The credit of an item, by its rank in each ranking (length + 1 where it is missing):

       linear    rank_b - rank_a
       inverse   1 / rank_a - 1 / rank_b
       binary    the sign of either

   above 0 it is for a, below 0 for b.
3. The probabilities p of the lists: no preference from clicks that do not look. Whoever clicks one of the
   first m positions at random, whatever m, gives nothing to either in expectation: sum_L p_L credit(L, m) = 0
   for every m.
4. Among those, the p of most sensitivity: sum_L p_L s(L), where s(L) is the entropy of who wins one click at
   rank i with probability proportional to 1 / i, times the probability that it is no tie.

(3) and (4) are a linear programme with k + 1 rows and up to 2^k columns, which `_simplex` solves; hence the
limit on k. Where (3) has no solution, the p that violates it least is taken, and `Interleaved.bias` says by
how much.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _convert
from .._random import Draws
from .._simplex import maximise
from ..results import Slate
from ._lists import Interleaved, asked

__all__ = ["optimized"]

MOST = 10
"""The longest list: 1,024 columns."""
CREDITS = ("linear", "inverse", "binary")


def optimized(
    a: Slate | Any,
    b: Slate | Any,
    k: int | None = None,
    *,
    seed: int,
    request_id: str,
    credit: str = "inverse",
) -> Interleaved:
    """Two rankings as one list, drawn so that clicks tell the most and clicks at random tell nothing.

    Args:
        a: a `Slate` or a sequence of ids, best first.
        b: the other one, likewise.
        k: how many items, at most 10 and at most the length of the shorter ranking, which is also the
            default.
        seed: of the draw, together with `request_id`: the same two give the same list.
        request_id: the request's name, at least one character.
        credit: "inverse" (differences at the top count most), "linear" or "binary".

    Raises:
        ValueError, TypeError: an argument that is wrong, named with what was expected and what came.
    """
    first, second, count, seed, request_id = asked(a, b, k, seed, request_id)
    if count > MOST:
        raise _convert.invalid("k", f"at most {MOST}, beyond which team_draft is the way", count)
    kind = _convert.choice("credit", credit, CREDITS)
    law = _law(tuple(first), tuple(second), count, kind)
    at = Draws("interleave.optimized", seed, request_id).uniform()
    row = int(np.searchsorted(np.cumsum(law.p), at, side="right"))
    row = min(row, int(np.flatnonzero(law.p)[-1]))
    each = law.credits[row]
    return Interleaved(
        "optimized",
        list(law.lists[row]),
        np.maximum(each, 0.0),
        np.maximum(-each, 0.0),
        float(law.p[row]),
        seed,
        request_id,
        law.bias,
    )


class Law(NamedTuple):
    """The lists that may be shown, the credits of their slots, and how likely each is."""

    lists: list[tuple[Any, ...]]
    credits: NDArray[np.float64]
    p: NDArray[np.float64]
    bias: float


@lru_cache(maxsize=32)
def _law(first: tuple[Any, ...], second: tuple[Any, ...], k: int, kind: str) -> Law:
    lists = allowed(first, second, k)
    credits = np.array([[_credit(kind, first, second, one) for one in shown] for shown in lists])
    # Scaled, so that one tolerance fits all kinds.
    fair = credits.T / max(1.0, float(np.abs(credits).max()))
    m = len(lists)
    once = np.concatenate([[1.0], np.zeros(k)])
    p, violation = maximise(sensitivity(credits), np.concatenate([np.ones((1, m)), fair]), once)
    if violation:
        # Slack on both sides of each constraint, and as little of it as can be.
        slack = np.concatenate([np.zeros((1, 2 * k)), np.concatenate([np.eye(k), -np.eye(k)], axis=1)])
        whole = np.concatenate([np.concatenate([np.ones((1, m)), fair]), slack], axis=1)
        p = maximise(np.concatenate([np.zeros(m), -np.ones(2 * k)]), whole, once)[0][:m]
    p = np.maximum(p, 0.0)
    p /= p.sum()
    return Law(lists, credits, p, float(np.abs(p @ credits).sum()) if violation else 0.0)


def allowed(first: tuple[Any, ...], second: tuple[Any, ...], k: int) -> list[tuple[Any, ...]]:
    """Every list of k in which each item is the best left of one ranking or the other."""
    found: dict[tuple[Any, ...], None] = {(): None}
    for _ in range(k):
        longer: dict[tuple[Any, ...], None] = {}
        for shown in found:
            for ranked in (first, second):
                best = next(one for one in ranked if one not in shown)
                longer[shown + (best,)] = None  # noqa: RUF005 - no star in a subscript before 3.11
        found = longer
    return list(found)


def _credit(kind: str, first: tuple[Any, ...], second: tuple[Any, ...], one: Any) -> float:
    of_a = first.index(one) + 1 if one in first else len(first) + 1
    of_b = second.index(one) + 1 if one in second else len(second) + 1
    if kind == "linear":
        return float(of_b - of_a)
    if kind == "inverse":
        return 1 / of_a - 1 / of_b
    return float(np.sign(of_b - of_a))


def sensitivity(credits: NDArray[np.float64]) -> NDArray[np.float64]:
    """(lists,) the entropy of the winner of one click, times the probability of a winner."""
    clicks = 1 / np.arange(1, credits.shape[1] + 1)
    clicks /= clicks.sum()
    for_a, for_b = (credits > 0) @ clicks, (credits < 0) @ clicks
    decided = for_a + for_b
    out = np.zeros(len(credits))
    for wins in (for_a, for_b):
        share = np.divide(wins, decided, out=np.zeros_like(wins), where=decided > 0)
        out -= np.where(share > 0, share * np.log(np.where(share > 0, share, 1.0)), 0.0)
    return out * decided
