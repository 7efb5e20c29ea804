"""What each kind of diversity says an item is worth, from the definitions in `docs/policies`, in float64.

Each function returns `value(relevance, i, picked, first)`: of item i for the next slot, with the positions of the
items above it and those of the first pool. Loops are naive: every determinant and every projection is made anew.
"""

from __future__ import annotations

import math

import numpy as np

FLOOR = 1e-6


def kernel(vectors):
    """S_ij = (1 + cosine) / 2 with cosines as float32 has them, and 1 on the diagonal."""
    x = np.asarray(vectors, np.float64)
    norms = np.sqrt((x**2).sum(1))
    x = np.divide(x, norms[:, None], out=np.zeros_like(x), where=norms[:, None] > 0)
    s = (1.0 + (x @ x.T).astype(np.float32).astype(np.float64)) / 2.0
    np.fill_diagonal(s, 1.0)
    return s


def new_share(s, shown, i):
    """det S_{shown + i} / det S_shown, where items that add nothing are left out of `shown`."""
    kept: list[int] = []

    def ratio(i):
        if not kept:
            return 1.0
        solved = np.linalg.solve(s[np.ix_(kept, kept)], s[kept, i])
        return float(s[i, i] - s[i, kept] @ solved)

    for j in shown:
        if ratio(j) >= FLOOR:
            kept.append(j)
    return ratio(i)


def dpp(vectors, diversity, window=None):
    s = kernel(vectors)

    def value(relevance, i, picked, first):
        near = picked if window is None else picked[max(len(picked) - window, 0) :]
        share = max(new_share(s, near, i), FLOOR)
        return (1.0 - diversity) * relevance + diversity * math.log(share)

    return value


def spread(vectors, diversity, window):
    """Huang et al.'s sliding Gram-Schmidt process, replayed from the first slot."""
    x = np.asarray(vectors, np.float64)
    norms = np.sqrt((x**2).sum(1))
    assert (norms > 0).all()
    unit = np.concatenate([x / norms[:, None], np.ones((len(x), 1))], axis=1) / math.sqrt(2)
    memo: dict[tuple[int, ...], np.ndarray] = {(): np.ones(len(x))}

    def lengths(picked):
        if tuple(picked) not in memo:
            left, queue = unit.copy(), []
            for j in picked:
                basis = left[j].copy()
                if len(queue) == window:
                    old, shares = queue.pop(0)
                    left += shares[:, None] * old
                square = basis @ basis
                shares = left @ basis / square if square >= FLOOR else np.zeros(len(x))
                left -= shares[:, None] * basis
                queue.append((basis, shares))
            memo[tuple(picked)] = np.sqrt((left**2).sum(1))
        return memo[tuple(picked)]

    return lambda relevance, i, picked, first: (
        (1.0 - diversity) * relevance + diversity * float(lengths(picked)[i])
    )


def calibrated(values, strength, target=None):
    """`values` are lists of values, one list an item."""

    def shares(positions):
        out: dict[object, float] = {}
        for i in positions:
            for v in set(values[i]):
                out[v] = out.get(v, 0.0) + 1.0 / len(set(values[i]))
        return out

    def value(relevance, i, picked, first):
        p = target or shares(first)
        total = math.fsum(p.values())
        slate = [*picked, i]
        q = shares(slate)
        divergence = math.fsum(
            share
            / total
            * math.log(share / total / (0.99 * q.get(v, 0.0) / len(slate) + 0.01 * share / total))
            for v, share in p.items()
            if share > 0
        )
        return (1.0 - strength) * relevance - strength * divergence

    return value
