"""What a policy is worth: accuracy on the held-out ratings, variety within a slate, reach over the catalog, and
whether a slate has the genres in the shares of the user's history.

Accuracy comes from ir-measures. recall@k counts every held-out film; in nDCG@k the gain of a film is the
number of stars its user gave it, so a slate of liked films beats a slate of merely seen ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .data import Films, Ratings

K = 20
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Quality:
    """Means over all users; `recall_of` and `ndcg_of` keep the value per user, in the order of the users."""

    recall: float
    ndcg: float
    diversity: float
    genre_diversity: float
    coverage: float
    length: float
    recall_of: NDArray[np.float64]
    ndcg_of: NDArray[np.float64]


class Judge:
    """Scores slates against the held-out ratings; made once, used for every policy."""

    def __init__(
        self, users: Ids, held_out: Ratings, films: Films, content: NDArray[np.float32], k: int = K
    ) -> None:
        import ir_measures
        from ir_measures import R, nDCG

        self._users = users
        self._films = films
        self._content = content.astype(np.float64)
        self._genres = genre_distances(films.genres)
        self._k = k
        self._recall, self._ndcg = R @ k, nDCG @ k
        truth = [
            ir_measures.Qrel(str(user), str(item), int(stars))
            for user, item, stars in zip(held_out.users, held_out.items, held_out.stars, strict=True)
        ]
        self._evaluator = ir_measures.evaluator([self._recall, self._ndcg], truth)

    def quality(self, slates: Sequence[Ids]) -> Quality:
        """`slates[i]` is what the i-th user was shown, best first, at most `k` films."""
        if len(slates) != len(self._users):
            raise ValueError(f"slates: expected one per user, {len(self._users)}, got {len(slates)}")
        recall, ndcg = self._accuracy(slates)
        rows = [self._films.rows(slate) for slate in slates]
        shown = np.unique(np.concatenate(rows)) if rows else np.empty(0)
        return Quality(
            recall=float(recall.mean()),
            ndcg=float(ndcg.mean()),
            diversity=_mean([distance(self._content[row]) for row in rows]),
            genre_diversity=_mean([mean_of_pairs(self._genres[np.ix_(row, row)]) for row in rows]),
            coverage=len(shown) / len(self._films),
            length=float(np.mean([len(slate) for slate in slates])),
            recall_of=recall,
            ndcg_of=ndcg,
        )

    def miscalibration(self, slates: Sequence[Ids], profiles: Sequence[Mapping[str, float]]) -> float:
        """Mean over users of how far the genres of a slate are from the shares that the user's profile has."""
        found = []
        for slate, profile in zip(slates, profiles, strict=True):
            genres = [self._films.genres[row] for row in self._films.rows(slate)]
            found.append(miscalibration(profile, genre_shares(genres)))
        return _mean(found)

    def _accuracy(self, slates: Sequence[Ids]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        import ir_measures

        # The evaluator sorts by score, and after diversity or exploration the order of a slate is not the
        # order of its scores: the position is what the user saw, so the position is the score.
        run = [
            ir_measures.ScoredDoc(str(user), str(item), float(self._k - place))
            for user, slate in zip(self._users, slates, strict=True)
            for place, item in enumerate(slate)
        ]
        place_of = {str(user): i for i, user in enumerate(self._users)}
        values = {self._recall: np.zeros(len(self._users)), self._ndcg: np.zeros(len(self._users))}
        for metric in self._evaluator.iter_calc(run):
            values[metric.measure][place_of[metric.query_id]] = metric.value
        return values[self._recall], values[self._ndcg]


def genre_shares(genres: Sequence[Sequence[str]]) -> dict[str, float]:
    """The share of each genre in some films; a film with n of them counts 1/n for each. They add up to 1."""
    shares: dict[str, float] = {}
    known = [one for one in genres if one]
    for one in known:
        for name in one:
            shares[name] = shares.get(name, 0.0) + 1.0 / (len(one) * len(known))
    return dict(sorted(shares.items()))


def miscalibration(wanted: Mapping[str, float], shown: Mapping[str, float]) -> float:
    """KL(wanted || 0.99 shown + 0.01 wanted) in nats: 0 where the shares agree, at most ln 100. Steck, RecSys 2018."""
    return sum(
        share * math.log(share / (0.99 * shown.get(name, 0.0) + 0.01 * share))
        for name, share in wanted.items()
        if share > 0
    )


def distance(vectors: NDArray[np.float64]) -> float:
    """Mean of 1 - cosine over all pairs of unit vectors; 0 for fewer than two."""
    n = len(vectors)
    if n < 2:
        return 0.0
    # The sum over pairs follows from the length of the sum of the vectors; no n x n matrix is needed.
    total = vectors.sum(axis=0)
    pairs = (total @ total - np.einsum("ij,ij->", vectors, vectors)) / (n * (n - 1))
    return float(1.0 - pairs)


def genre_distances(genres: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """(n, n) Jaccard distances between sets of genres: the share of their union that is not in both."""
    names = sorted({name for one in genres for name in one})
    has = np.array([[name in one for name in names] for one in genres], dtype=np.float64)
    both = has @ has.T
    size = has.sum(axis=1)
    either = size[:, None] + size[None, :] - both
    shared: NDArray[np.float64] = np.divide(both, either, out=np.ones_like(both), where=either > 0)
    return 1.0 - shared


def mean_of_pairs(distances: NDArray[np.float64]) -> float:
    """Mean over the pairs of a symmetric matrix with zeros on its diagonal; 0 for fewer than two."""
    n = len(distances)
    return float(distances.sum() / (n * (n - 1))) if n > 1 else 0.0


def paired_difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[float, float]:
    """Mean of `first - second` over users, and half of its 95 % interval (normal approximation)."""
    difference = first - second
    return float(difference.mean()), 1.96 * float(difference.std(ddof=1)) / len(difference) ** 0.5


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0
