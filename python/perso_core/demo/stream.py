"""Ratings as a stream of changes to a catalog, and what the catalog holds at every point of the stream.

A film has three attributes that every rating changes, `popularity` (how many ratings), `stars` (their mean) and
`last_rated`, and a factor vector that its raters make. So the stream is cut into changes, each of which is one
call of the catalog:

- `rated`     the attributes of the films that the next few ratings are of; no vector is touched
- `appeared`  a film that nobody had rated: its vectors come with its first rating
- `renewed`   the factors of a film that has half as many ratings again as when they were made

A film's factors are folded in from its raters (Hu, Koren, Volinsky 2008, the half step of ALS that solves for
items): with the raters' vectors as the rows of X, confidences c and every preference 1,
(U'U + X'(C - I)X + lambda I)^-1 X'c, where U are the vectors of all users.

When the stream is through, three more changes set everything back (`back`), and it starts again. What a pass does to the
catalog does not depend on when it happens, so every pass has to end in the same content, and begin with it.

`Tally` says the same numbers another way, straight from the ratings, for `live` to hold slates against.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

import perso_core as pc

from .data import MovieLens, Ratings
from .features import CfSettings, Features, Vectors

# Ratings in one change, as a service that writes several times a second gathers them.
BATCH = 25
# A film's factors are made anew when its ratings have grown by this factor since they were made.
RENEWED_AT = 1.5
KINDS = ("rated", "appeared", "renewed", "back")


@dataclass(frozen=True)
class Change:
    """One call of the catalog. `events` counts the ratings of this pass that are in it or went before."""

    kind: str
    ids: NDArray[np.int64]
    events: int
    vectors: dict[str, Vectors] | None = None
    attributes: dict[str, Any] | None = None

    def apply(self, catalog: pc.Catalog) -> None:
        """Make the change; without anything to write, it takes the films out."""
        if self.vectors is None and self.attributes is None:
            catalog.remove(self.ids)
        else:
            catalog.upsert(self.ids, self.vectors, self.attributes, num_threads=1)


class Stream:
    """The changes that `rest` brings to a catalog that knows the ratings of `kept`."""

    def __init__(
        self, movielens: MovieLens, features: Features, kept: Ratings, rest: Ratings, settings: CfSettings
    ) -> None:
        films = movielens.films
        self._ids = films.ids
        self._items = features.items
        self._users = features.users["cf"].astype(np.float64)
        self._settings = settings
        self._gram = self._users.T @ self._users + settings.regularization * np.eye(self._users.shape[1])
        self._rest = rest
        self._rows = films.rows(rest.items)
        self._raters = np.searchsorted(movielens.user_ids, rest.users)
        rows = films.rows(kept.items)
        self._count = np.bincount(rows, minlength=len(films)).astype(np.int64)
        self._total = np.bincount(rows, kept.stars, minlength=len(films)).astype(np.float64)
        self._last = np.zeros(len(films), dtype=np.int64)
        np.maximum.at(self._last, rows, kept.times)
        # Of each film, who rated it and with how many stars, before the stream.
        self._known: list[list[tuple[int, int]]] = [[] for _ in range(len(films))]
        raters = np.searchsorted(movielens.user_ids, kept.users)
        for row, user, stars in zip(rows.tolist(), raters.tolist(), kept.stars.tolist(), strict=True):
            self._known[row].append((user, stars))
        self._titles, self._genres, self._released = films.titles, films.genres, features.released

    def __len__(self) -> int:
        return len(self._rest)

    def moment(self, events: int) -> datetime:
        """When the last of the first so many ratings was made."""
        at = self._rest.times[max(events, 1) - 1]
        return datetime.fromtimestamp(int(at), tz=timezone.utc)

    def first(self) -> Change:
        """The films that are rated before the stream begins."""
        rows = np.flatnonzero(self._count)
        vectors = {space: items[rows] for space, items in self._items.items()}
        return self._whole("back", rows, 0, vectors, (self._count, self._total, self._last))

    def changes(self) -> Iterator[Change]:
        """One pass."""
        count, total, last = self._count.copy(), self._total.copy(), self._last.copy()
        sums = (count, total, last)
        raters = [list(known) for known in self._known]
        made_at = count.copy()
        renewed: set[int] = set()
        start = 0
        while start < len(self):
            end = self._batch_end(count, start)
            rows = self._rows[start:end]
            new = count[rows[0]] == 0
            np.add.at(count, rows, 1)
            np.add.at(total, rows, self._rest.stars[start:end])
            np.maximum.at(last, rows, self._rest.times[start:end])
            for i in range(start, end):
                raters[self._rows[i]].append((int(self._raters[i]), int(self._rest.stars[i])))
            touched = np.unique(rows)
            if new:
                factors = self._fold_in(raters[touched[0]])[None]
                vectors = {**{space: items[touched] for space, items in self._items.items()}, "cf": factors}
                yield self._whole("appeared", touched, end, vectors, sums)
                made_at[touched] = 1
            else:
                yield Change("rated", self._ids[touched], end, attributes=_counted(touched, sums))
            grown = touched[count[touched] >= RENEWED_AT * made_at[touched]]
            for row in grown.tolist():
                factors = self._fold_in(raters[row])[None]
                yield Change("renewed", self._ids[[row]], end, {"cf": factors})
                renewed.add(row)
            made_at[grown] = count[grown]
            start = end
        yield from self._back(count, renewed)

    def _batch_end(self, count: NDArray[np.int64], start: int) -> int:
        """Where the change that begins at `start` ends: the first rating of a film is one by itself."""
        new = np.flatnonzero(count[self._rows[start : start + BATCH]] == 0)
        if len(new) == 0:
            return min(start + BATCH, len(self))
        return start + max(int(new[0]), 1)

    def _back(self, count: NDArray[np.int64], renewed: set[int]) -> Iterator[Change]:
        """Everything as it was before the stream; until the last of these, what is there has the counts of its end."""
        appeared = np.flatnonzero((self._count == 0) & (count > 0))
        if len(appeared):
            yield Change("back", self._ids[appeared], len(self))
        old = np.array(sorted(renewed - set(appeared.tolist())), dtype=np.int64)
        if len(old):
            yield Change("back", self._ids[old], len(self), {"cf": self._items["cf"][old]})
        rows = np.flatnonzero(self._count)
        sums = (self._count, self._total, self._last)
        yield Change("back", self._ids[rows], 0, attributes=_counted(rows, sums))

    def _whole(
        self, kind: str, rows: NDArray[np.int64], events: int, vectors: dict[str, Vectors], sums: _Sums
    ) -> Change:
        attributes = {
            "title": [self._titles[row] for row in rows],
            "genres": [self._genres[row] for row in rows],
            "released": [self._released[row] for row in rows],
            **_counted(rows, sums),
        }
        return Change(kind, self._ids[rows], events, vectors, attributes)

    def _fold_in(self, raters: list[tuple[int, int]]) -> Vectors:
        users, stars = (np.array(column) for column in zip(*raters, strict=True))
        vectors = self._users[users]
        confidence = self._settings.confidence * stars.astype(np.float64)
        system = self._gram + vectors.T @ ((confidence - 1.0)[:, None] * vectors)
        return np.asarray(np.linalg.solve(system, vectors.T @ confidence), dtype=np.float32)


_Sums = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]


def _counted(rows: NDArray[np.int64], sums: _Sums) -> dict[str, Any]:
    count, total, last = sums
    return {
        "popularity": count[rows],
        "stars": total[rows] / count[rows],
        "last_rated": last[rows].astype("datetime64[s]"),
    }


class Tally:
    """How many ratings a film has after so many events, and their mean: from the ratings, film by film."""

    def __init__(self, kept: Ratings, rest: Ratings) -> None:
        self._of: dict[int, tuple[int, NDArray[np.int64], NDArray[np.int64]]] = {}
        for film in np.union1d(kept.items, rest.items).tolist():
            before = kept.stars[kept.items == film]
            places = np.flatnonzero(rest.items == film)
            stars = np.concatenate([[int(before.sum())], rest.stars[places]]).cumsum()
            self._of[film] = len(before), places, stars

    def after(self, film: int, events: int) -> tuple[int, float]:
        """(ratings, mean stars); (0, nan) for a film that is not there yet."""
        before, places, stars = self._of[film]
        some = int(np.searchsorted(places, events))
        count = before + some
        return count, float(stars[some] / count) if count else float("nan")


class Writer(threading.Thread):
    """Streams into a catalog, pass after pass, until told to stop. Its counters may be read at any time.

    Attributes:
        events: ratings that have gone in, over all passes; `events_here` of this pass, `passes` that were whole.
        changes: calls of each of `KINDS`; `films` counts the films that they wrote.
        beginnings, ends: content hashes found when a pass had been set back, and when it was through.
    """

    def __init__(self, catalog: pc.Catalog, stream: Stream) -> None:
        super().__init__(name="rating events", daemon=True)
        self._catalog, self._stream = catalog, stream
        self._stopped = threading.Event()
        self._failure: BaseException | None = None
        self.events = self.events_here = self.passes = self.films = 0
        self.changes = dict.fromkeys(KINDS, 0)
        self.beginnings = {catalog.content_hash}
        self.ends: set[str] = set()
        # After which generation how many events of the pass were in: what `events_of` looks up.
        self._generations, self._events = array("q", [catalog.generation]), array("q", [0])

    def run(self) -> None:
        """The thread's work."""
        try:
            while not self._stopped.is_set():
                self._one_pass()
        except BaseException as failure:
            self._failure = failure

    def stop(self) -> None:
        """End the thread after the change that it is at, if it was started; raises what went wrong in it."""
        self._stopped.set()
        if self.ident is not None:
            self.join()
        if self._failure is not None:
            raise self._failure

    @property
    def failed(self) -> bool:
        """Whether the thread ended with an exception, which `stop` raises."""
        return self._failure is not None

    @property
    def moment(self) -> datetime:
        """When the last rating that is in was made."""
        return self._stream.moment(self.events_here)

    @property
    def through(self) -> float:
        """The share of this pass that is in."""
        return self.events_here / len(self._stream)

    def events_of(self, generation: int) -> int:
        """How many events of its pass the catalog held in a generation; KeyError if it never had it."""
        at = int(np.searchsorted(np.asarray(self._generations), generation))
        if at == len(self._generations) or self._generations[at] != generation:
            raise KeyError(generation)
        return self._events[at]

    def _one_pass(self) -> None:
        through = False
        for change in self._stream.changes():
            if self._stopped.is_set():
                return
            if change.kind == "back" and not through:
                self.ends.add(self._catalog.content_hash)
                through = True
            change.apply(self._catalog)
            self._generations.append(self._catalog.generation)
            self._events.append(change.events)
            self.changes[change.kind] += 1
            self.films += len(change.ids)
            self.events += max(change.events - self.events_here, 0)
            self.events_here = change.events
            # A thread that never waits would have the interpreter whenever it is free.
            time.sleep(0)
        self.passes += 1
        self.beginnings.add(self._catalog.content_hash)
