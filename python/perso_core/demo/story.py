"""The order of events, and everything that the demo found out; printing is left to `show` and `report`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

import numpy as np

import perso_core as pc

from . import data, download, features, metrics, pipeline, policies, simulate
from .errors import DemoError
from .split import newest_first, split

HISTORY_SHOWN = 10
WORLD = simulate.World()


class Bars(Protocol):
    """Where progress is reported."""

    def part(self, title: str, total: int | None) -> AbstractContextManager[Callable[[], None]]:
        """A stretch of work in `total` steps (None: unknown); yields what is to be called after each step."""
        ...


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    data: Path | None
    user: int
    k: int
    seed: int


@dataclass(frozen=True)
class Film:
    """A film as it is printed."""

    title: str
    year: int | None
    genres: list[str]

    @property
    def label(self) -> str:
        """Title and year."""
        return self.title if self.year is None else f"{self.title} ({self.year})"


@dataclass(frozen=True)
class Seen:
    """A line of the user's history."""

    film: Film
    stars: int
    day: str


@dataclass(frozen=True)
class Shown:
    """A line of the slate; `held_out_stars` is the user's later rating, which the ranking did not know."""

    film: Film
    score: float
    terms: dict[str, float]
    reason: str
    propensity: float
    explored: bool
    held_out_stars: int | None


@dataclass(frozen=True)
class OneUser:
    """One user's story: what they rated last, what they were shown, and how that came about."""

    user: int
    ratings: int
    history: list[Seen]
    slate: list[Shown]
    k: int
    held_out: int
    short_reason: str | None
    pool_size: int
    path: str
    policy_hash: str
    policy_json: str
    record_bytes: int
    timings_us: dict[str, float]


@dataclass(frozen=True)
class Row:
    """A policy over all users; `micros` is the wall time per slate."""

    name: str
    adds: str
    quality: metrics.Quality
    micros: float


@dataclass(frozen=True)
class Step:
    """A point of the trade-off: the hybrid at one diversity."""

    diversity: float
    quality: metrics.Quality


@dataclass(frozen=True)
class Varied:
    """A kind of diversity over all users; `miscalibration` is from the genres of what each has seen, in nats."""

    name: str
    quality: metrics.Quality
    miscalibration: float


@dataclass(frozen=True)
class Outcome:
    """All that was found out."""

    version: str
    isa: str
    seed: int
    users: int
    films: int
    kept: int
    held_out: int
    at: datetime
    catalog_bytes: int
    catalog_hash: str
    one: OneUser
    table: list[Row]
    sweep: list[Step]
    varied: list[Varied]
    world: simulate.World
    learnt: list[simulate.Learnt]
    seconds: dict[str, float] = field(default_factory=dict)

    def row(self, name: str) -> Row:
        """The row of the table with this name."""
        return next(row for row in self.table if row.name == name)


def tell(options: Options, bars: Bars) -> Outcome:
    """Run the whole demo."""
    clock = _Clock()
    with bars.part("Data set", None):
        movielens = data.load(download.find(options.data), data.ML_100K)
        place = _place(options.user, movielens)
        kept, held_out = split(movielens.ratings)
    clock.lap("data")
    with bars.part("Factors and text vectors", features.CfSettings().iterations + 1) as step:
        made = features.build(movielens, kept, options.seed, step=step)
    clock.lap("training")
    with bars.part("Catalog: build, save, open", None):
        opened = pipeline.through_disk(pipeline.build_catalog(movielens, made, options.seed))
    people = pipeline.audience(movielens, made, kept)
    judge = metrics.Judge(movielens.user_ids, held_out, movielens.films, made.items["content"])
    clock.lap("catalog")
    compared = policies.compared()
    with bars.part(f"{len(compared)} policies for {len(movielens.user_ids)} users", len(compared)) as step:
        table = [_row(opened.catalog, people, named, judge, options.seed, step) for named in compared]
    clock.lap("table")
    swept = policies.sweep()
    with bars.part("Diversity against accuracy", len(swept)) as step:
        sweep = []
        for diversity, policy in swept:
            named = policies.Named(f"MMR({diversity})", "", policy)
            sweep.append(
                Step(diversity, _row(opened.catalog, people, named, judge, options.seed, step).quality)
            )
    clock.lap("trade-off")
    kinds = policies.varied()
    with bars.part("Kinds of diversity", len(kinds)) as step:
        varied = [_varied(opened.catalog, people, named, judge, options.seed, step) for named in kinds]
    clock.lap("diversity")
    explorers = simulate.explorers()
    with bars.part(f"{len(explorers)} explorers in a simulated world", len(explorers)) as step:
        learnt = simulate.compare(explorers, WORLD, options.seed, step)
    clock.lap("exploration")
    return Outcome(
        version=pc.__version__,
        isa=str(pc.cpu_features()["isa"]),
        seed=options.seed,
        users=len(movielens.user_ids),
        films=len(movielens.films),
        kept=len(kept),
        held_out=len(held_out),
        at=people.at,
        catalog_bytes=opened.file_bytes,
        catalog_hash=str(opened.catalog.content_hash),
        one=_one(options, opened.catalog, people, place, movielens, kept, held_out),
        table=table,
        sweep=sweep,
        varied=varied,
        world=WORLD,
        learnt=learnt,
        seconds=clock.laps,
    )


def _place(user: int, movielens: data.MovieLens) -> int:
    place = int(np.searchsorted(movielens.user_ids, user))
    if place == len(movielens.user_ids) or movielens.user_ids[place] != user:
        first, last = movielens.user_ids[0], movielens.user_ids[-1]
        raise DemoError(f"--user {user}: expected the id of a MovieLens user, {first} to {last}.")
    return place


def _row(
    catalog: pc.Catalog,
    people: pipeline.Audience,
    named: policies.Named,
    judge: metrics.Judge,
    seed: int,
    step: Callable[[], None],
) -> Row:
    start = time.perf_counter()
    slates = pipeline.rank_all(catalog, people, named, metrics.K, seed)
    spent = time.perf_counter() - start
    quality = judge.quality(slates)
    step()
    return Row(named.name, named.adds, quality, 1e6 * spent / len(slates))


def _varied(
    catalog: pc.Catalog,
    people: pipeline.Audience,
    named: policies.Named,
    judge: metrics.Judge,
    seed: int,
    step: Callable[[], None],
) -> Varied:
    slates = pipeline.rank_all(catalog, people, named, metrics.K, seed)
    step()
    return Varied(named.name, judge.quality(slates), judge.miscalibration(slates, people.profiles))


def _one(
    options: Options,
    catalog: pc.Catalog,
    people: pipeline.Audience,
    place: int,
    movielens: data.MovieLens,
    kept: data.Ratings,
    held_out: data.Ratings,
) -> OneUser:
    policy = policies.full()
    slate = pc.rank(
        catalog,
        people.one(place),
        policy,
        options.k,
        exclude=people.seen[place],
        at=people.at,
        seed=options.seed,
        request_id=f"user-{options.user}",
    )
    record = json.dumps(slate.record())
    again = pc.replay(record, catalog)
    if again != slate or again.reasons != slate.reasons:
        raise RuntimeError(f"replay of request user-{options.user} did not give the same slate")

    films = movielens.films
    later = held_out.take(held_out.users == options.user)
    stars = dict(zip(later.items.tolist(), later.stars.tolist(), strict=True))
    history = newest_first(kept)[options.user]
    return OneUser(
        user=options.user,
        ratings=len(history),
        history=[
            Seen(
                _film(films, int(item)),
                int(star),
                f"{datetime.fromtimestamp(int(moment), tz=timezone.utc):%Y-%m-%d}",
            )
            for item, star, moment in list(zip(history.items, history.stars, history.times, strict=True))[
                :HISTORY_SHOWN
            ]
        ],
        slate=[
            Shown(
                film=_film(films, int(item)),
                score=float(slate.scores[i]),
                terms={name: float(values[i]) for name, values in slate.terms.items()},
                reason=slate.reasons[i],
                propensity=float(slate.propensities[i]),
                explored=bool(slate.explored[i]),
                held_out_stars=stars.get(int(item)),
            )
            for i, item in enumerate(slate.ids)
        ],
        k=options.k,
        held_out=len(later),
        short_reason=slate.short_reason,
        pool_size=slate.pool_size,
        path=slate.path,
        policy_hash=policy.hash,
        policy_json=policy.to_json(),
        record_bytes=len(record.encode()),
        timings_us=dict(slate.timings_us),
    )


def _film(films: data.Films, item: int) -> Film:
    row = int(films.rows(np.array([item]))[0])
    return Film(films.titles[row], films.years[row], films.genres[row])


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._since
        self._since = now
