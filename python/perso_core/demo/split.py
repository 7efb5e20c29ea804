"""Hold out each user's latest ratings: the recommender is asked what comes next, as in production."""

from __future__ import annotations

import numpy as np

from .data import Ratings

HELD_OUT = 10


def split(ratings: Ratings, held_out: int = HELD_OUT, at_most: float = 1.0) -> tuple[Ratings, Ratings]:
    """(kept, held out): per user, the last `held_out` ratings by time, but no more than the share `at_most`.

    MovieLens stamps whole sessions with one second, so ties are common; the item id breaks them, and the
    split does not depend on the order of the rows. Both parts come back sorted by user, time, item.
    """
    if held_out < 1:
        raise ValueError(f"held_out: expected at least 1, got {held_out}")
    ordered = ratings.take(np.lexsort((ratings.items, ratings.times, ratings.users)))
    _, start, count = np.unique(ordered.users, return_index=True, return_counts=True)
    out = np.zeros(len(ordered), dtype=bool)
    for first, size in zip(start, count, strict=True):
        last = first + size
        out[last - min(held_out, int(size * at_most)) : last] = True
    return ordered.take(~out), ordered.take(out)


def in_time(ratings: Ratings, share: float) -> tuple[Ratings, Ratings]:
    """(the first part, the rest): all ratings in order of time, cut after so large a share of them.

    Ratings of one second are ordered by user and film, so the cut does not depend on the order of the rows.
    """
    ordered = ratings.take(np.lexsort((ratings.items, ratings.users, ratings.times)))
    first = np.arange(len(ordered)) < int(share * len(ordered))
    return ordered.take(first), ordered.take(~first)


def newest_first(ratings: Ratings) -> dict[int, Ratings]:
    """Each user's ratings, the latest one first; ties are broken as in `split`."""
    ordered = ratings.take(np.lexsort((ratings.items, ratings.times, ratings.users)))
    users, start, count = np.unique(ordered.users, return_index=True, return_counts=True)
    return {
        int(user): ordered.take(np.arange(first, first + size)[::-1])
        for user, first, size in zip(users, start, count, strict=True)
    }
