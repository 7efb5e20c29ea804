"""`--live`: ranks while a second thread streams ratings into the catalog, and what it held the slates against.

The first half of the ratings in time order trains the factors and fills the catalog; the other half comes as events
(`stream`). The main thread ranks for one user after another, as fast as it can, a second of it before the writer
begins, to compare with. The two have one interpreter lock between them, so waiting for that is in what is measured; a
shorter `sys.setswitchinterval` (0.2 ms) was tried, and over three pairs of runs changed nothing. What is checked, so that a catalog that tore or went back would show:

- The generation of a slate lies between those that the catalog had before and after the call, and never falls.
- Of every tenth slate, each film has the number of ratings and the mean that the stream had made in exactly the
  generation of that slate. The policy scales both by constants, so they are read off the terms of the score.
- Several times a second a copy of the catalog is taken and ranked. At the end, with the catalog long moved on, its
  record replays against the copy, bit for bit.
- Every whole pass of the stream ends in the same content hash, and begins with one.
- With `--durable`, what is opened again from the files has the generation and the content hash of what was closed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

import perso_core as pc

from . import data, download, features, policies
from .errors import DemoError
from .split import in_time, newest_first
from .story import Bars
from .stream import Stream, Tally, Writer

# The share of the ratings that is known at first.
LEARNT = 0.5
# How long the reads alone go on that those beside the writer are compared with.
ALONE_SECONDS = 1.0
# What is written into the folder of --durable.
FILE = "movielens.perso"
# One slate in so many is held against the ratings.
COMPARED_EVERY = 10
# Copies that are kept for a replay, at most, and how long the wait between two is.
MOST_COPIES = 40
COPY_SECONDS = 0.25


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    data: Path | None
    k: int
    seed: int
    seconds: float
    durable: Path | None = None


@dataclass(frozen=True)
class Beginning:
    """What there is before the first event."""

    version: str
    isa: str
    seed: int
    k: int
    seconds: float
    users: int
    films: int
    learnt: int
    streamed: int
    durable: Path | None


@dataclass(frozen=True)
class Second:
    """What went on since the line before: rates a second, and percentiles of a ranking in microseconds."""

    at: float
    reads: float
    p50: float
    p99: float
    events: float
    changes: float
    generation: int
    passes: int
    through: float


@dataclass(frozen=True)
class Checked:
    """How many of each were looked at; one that is not as it should be ends the demo with an error."""

    generations: int
    compared: int
    replayed: int
    moved_on: int
    passes: int


@dataclass(frozen=True)
class Logged:
    """What the log of a durable catalog did, in changes and bytes, and what opening it again took."""

    changes: int
    bytes: int
    checkpoints: int
    open_seconds: float


@dataclass(frozen=True)
class Outcome:
    """The whole run. Of a ranking in microseconds, the 50th, 90th, 99th and 99.9th percentile: `micros`.

    `alone` are the same of reads before the writer began.
    """

    beginning: Beginning
    seconds: float
    reads: int
    micros: list[float]
    alone: list[float]
    events: int
    changes: dict[str, int]
    films_written: int
    passes: int
    generations: tuple[int, int]
    films: int
    content_hash: str
    checked: Checked
    log: Logged | None


@dataclass(frozen=True)
class _Shown:
    """What of a slate is held against the ratings."""

    generation: int
    films: list[int]
    popularity: list[float]
    stars: list[float]


@dataclass
class _Reads:
    """What the reading thread keeps."""

    micros: list[float] = field(default_factory=list)
    shown: list[_Shown] = field(default_factory=list)
    copies: list[tuple[str, pc.Catalog, pc.Slate]] = field(default_factory=list)


@dataclass(frozen=True)
class Prepared:
    """A catalog that holds the first part of the ratings, the stream of the others, and who is ranked for."""

    beginning: Beginning
    catalog: pc.Catalog
    stream: Stream
    readers: _Readers
    tally: Tally


def prepare(options: Options, bars: Bars) -> Prepared:
    """Train and fill the catalog."""
    settings = features.CfSettings()
    with bars.part("Data set", None):
        movielens = data.load(download.find(options.data), data.ML_100K)
        kept, rest = in_time(movielens.ratings, LEARNT)
    with bars.part("Factors and text vectors", settings.iterations + 1) as step:
        made = features.build(movielens, kept, options.seed, settings, step=step)
    with bars.part("Catalog and stream", None):
        stream = Stream(movielens, made, kept, rest, settings)
        catalog = _empty_catalog(options)
        stream.first().apply(catalog)
        readers = _Readers(movielens, made, kept, options)
        tally = Tally(kept, rest)
    beginning = Beginning(
        version=pc.__version__,
        isa=str(pc.cpu_features()["isa"]),
        seed=options.seed,
        k=options.k,
        seconds=options.seconds,
        users=len(readers),
        films=len(catalog),
        learnt=len(kept),
        streamed=len(rest),
        durable=options.durable,
    )
    return Prepared(beginning, catalog, stream, readers, tally)


def run(prepared: Prepared, tell: Callable[[Second], None]) -> Outcome:
    """Stream and rank until time is up, and check what was kept. `tell` is called once a second."""
    from threadpoolctl import threadpool_limits

    catalog = prepared.catalog
    began, alone, reads = catalog.generation, _Reads(), _Reads()
    # The same sums in every pass: a fold-in does not depend on how many threads add up.
    with threadpool_limits(limits=1, user_api="blas"):
        writer = Writer(catalog, prepared.stream)
        try:
            _read(prepared, ALONE_SECONDS, writer, alone, lambda _: None)
            writer.start()
            seconds = _read(prepared, prepared.beginning.seconds, writer, reads, tell)
        finally:
            writer.stop()
    checked = _check(catalog, writer, reads, prepared.tally)
    return Outcome(
        beginning=prepared.beginning,
        seconds=seconds,
        reads=len(reads.micros),
        micros=np.percentile(reads.micros, [50, 90, 99, 99.9]).tolist(),
        alone=np.percentile(alone.micros, [50, 90, 99, 99.9]).tolist(),
        events=writer.events,
        changes=dict(writer.changes),
        films_written=writer.films,
        passes=writer.passes,
        generations=(began, catalog.generation),
        films=len(catalog),
        content_hash=catalog.content_hash,
        checked=checked,
        log=_closed(prepared),
    )


def _empty_catalog(options: Options) -> pc.Catalog:
    spaces = {
        "cf": pc.Space(features.DIM, metric="ip", dtype="f32"),
        "content": pc.Space(features.DIM, metric="cosine", dtype="f32"),
    }
    if options.durable is None:
        return pc.Catalog(spaces, seed=options.seed)
    path = options.durable / FILE
    try:
        options.durable.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise DemoError(
                f"--durable {options.durable}: expected a folder without a {FILE}, got one with it."
            )
        return pc.Catalog.open(path, durable=True, spaces=spaces, seed=options.seed)
    except OSError as error:
        raise DemoError(f"--durable {options.durable}: {error}") from None


def _closed(prepared: Prepared) -> Logged | None:
    """Close a durable catalog, open its files, and make sure that nothing is missing."""
    catalog, folder = prepared.catalog, prepared.beginning.durable
    if folder is None:
        return None
    log = catalog.stats()["log"]
    catalog.close()
    start = time.perf_counter()
    again = pc.Catalog.open(folder / FILE)
    spent = time.perf_counter() - start
    if (again.generation, again.content_hash) != (catalog.generation, catalog.content_hash):
        raise RuntimeError(
            f"{folder / FILE}: expected generation {catalog.generation} and content {catalog.content_hash}, "
            f"got {again.generation} and {again.content_hash}"
        )
    return Logged(log["changes"], log["bytes"], log["checkpoints"], spent)


class _Readers:
    """Everybody with a rating that is known at first, one after another."""

    def __init__(
        self, movielens: data.MovieLens, made: features.Features, kept: data.Ratings, options: Options
    ) -> None:
        histories = newest_first(kept)
        self._users = [int(user) for user in movielens.user_ids if int(user) in histories]
        places = np.searchsorted(movielens.user_ids, self._users)
        self._vectors = [
            {space: np.asarray(vectors[place]) for space, vectors in made.users.items()} for place in places
        ]
        self._seen = [histories[user].items for user in self._users]
        self._policy, self._k, self._seed = policies.live(), options.k, options.seed

    def __len__(self) -> int:
        return len(self._users)

    def rank(self, catalog: pc.Catalog, turn: int, at: datetime) -> pc.Slate:
        """The slate of whose turn it is."""
        place = turn % len(self._users)
        slate: pc.Slate = pc.rank(
            catalog,
            self._vectors[place],
            self._policy,
            self._k,
            exclude=self._seen[place],
            at=at,
            seed=self._seed,
            request_id=f"turn-{turn}",
        )
        return slate


def _read(
    prepared: Prepared, seconds: float, writer: Writer, reads: _Reads, tell: Callable[[Second], None]
) -> float:
    """Rank until time is up; how long that was."""
    catalog, readers = prepared.catalog, prepared.readers
    turn, last = 0, catalog.generation
    start = time.perf_counter()
    lines = _Lines(start, catalog, writer, reads)
    copied = start - COPY_SECONDS
    while (now := time.perf_counter()) < start + seconds and not writer.failed:
        if now - lines.since >= 1.0:
            tell(lines.line(now))
        at = writer.moment
        before, began = catalog.generation, time.perf_counter()
        slate = readers.rank(catalog, turn, at)
        ended, after = time.perf_counter(), catalog.generation
        reads.micros.append(1e6 * (ended - began))
        if not last <= before <= slate.generation <= after:
            raise RuntimeError(
                f"the generations around request {slate.request_id} do not follow each other: {last} seen last, "
                f"{before} before the call, {slate.generation} in it, {after} after it"
            )
        last = after
        if turn % COMPARED_EVERY == 0:
            reads.shown.append(_shown(slate))
        if now - copied >= COPY_SECONDS and len(reads.copies) < MOST_COPIES:
            copied, copy = now, catalog.copy()
            slate = readers.rank(copy, turn, at)
            reads.copies.append((json.dumps(slate.record()), copy, slate))
        turn += 1
    if len(reads.micros) > lines.reads:
        tell(lines.line(time.perf_counter()))
    return time.perf_counter() - start


class _Lines:
    """What happened since the line before."""

    def __init__(self, start: float, catalog: pc.Catalog, writer: Writer, reads: _Reads) -> None:
        self._start, self._catalog, self._writer, self._kept = start, catalog, writer, reads
        self.since, self.reads = start, 0
        self._events = self._changes = 0

    def line(self, now: float) -> Second:
        """The line that ends now."""
        new = self._kept.micros[self.reads :]
        events, changes = self._writer.events, sum(self._writer.changes.values())
        spent = now - self.since
        p50, p99 = np.percentile(new, [50, 99]).tolist()
        line = Second(
            at=now - self._start,
            reads=len(new) / spent,
            p50=p50,
            p99=p99,
            events=(events - self._events) / spent,
            changes=(changes - self._changes) / spent,
            generation=self._catalog.generation,
            passes=self._writer.passes,
            through=self._writer.through,
        )
        self.since, self.reads, self._events, self._changes = now, len(self._kept.micros), events, changes
        return line


def _shown(slate: pc.Slate) -> _Shown:
    terms = slate.terms
    return _Shown(slate.generation, slate.ids.tolist(), terms["popularity"].tolist(), terms["stars"].tolist())


def _check(catalog: pc.Catalog, writer: Writer, reads: _Reads, tally: Tally) -> Checked:
    """Hold what was kept against the ratings and the copies; RuntimeError where something does not fit."""
    for shown in reads.shown:
        events = writer.events_of(shown.generation)
        for film, popularity, stars in zip(shown.films, shown.popularity, shown.stars, strict=True):
            count, mean = tally.after(film, events)
            wanted = (
                policies.POPULARITY_WEIGHT * count / policies.LIVE_RATINGS,
                policies.LIVE_STARS_WEIGHT * (mean - 1.0) / policies.LIVE_STARS,
            )
            if not np.allclose((popularity, stars), wanted, rtol=1e-9, atol=0.0):
                raise RuntimeError(
                    f"film {film} in generation {shown.generation}: expected the terms {wanted} of {count} ratings "
                    f"with mean {mean}, got {(popularity, stars)}"
                )
    moved_on = 0
    for record, copy, slate in reads.copies:
        again = pc.replay(record, copy)
        if again != slate or again.reasons != slate.reasons:
            raise RuntimeError(f"the record of request {slate.request_id} did not give the same slate again")
        moved_on += copy.generation < catalog.generation
    for name, hashes in (("begin", writer.beginnings), ("end", writer.ends)):
        if len(hashes) > 1:
            raise RuntimeError(f"passes of the stream {name} with {len(hashes)} different contents")
    return Checked(
        generations=len(reads.micros),
        compared=len(reads.shown),
        replayed=len(reads.copies),
        moved_on=moved_on,
        passes=writer.passes,
    )
