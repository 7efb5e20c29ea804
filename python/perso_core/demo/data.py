"""Parse MovieLens-100K as recbole lays it out: tab-separated text, one header line of `name:type` columns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import DemoError

_RATING_COLUMNS = ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
_FILM_COLUMNS = ["item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq"]
_YEAR = re.compile(r"(18|19|20)\d\d")
_ARTICLE = re.compile(
    r"^(?P<title>[^()]*), (?P<article>The|A|An|Il|La|Le|Les|Das|Der|Die|El|L')(?P<rest>( \(.*)?)$"
)


@dataclass(frozen=True)
class Films:
    """The items, sorted by id. A film whose year is unknown has `None`."""

    ids: NDArray[np.int64]
    titles: list[str]
    years: list[int | None]
    genres: list[list[str]]

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each id."""
        return np.searchsorted(self.ids, ids)


@dataclass(frozen=True)
class Ratings:
    """Who gave which film how many stars, and when (seconds since 1970); four columns of equal length."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    stars: NDArray[np.int64]
    times: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)

    def take(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> Ratings:
        """Some of the rows."""
        return Ratings(self.users[chosen], self.items[chosen], self.stars[chosen], self.times[chosen])


@dataclass(frozen=True)
class MovieLens:
    """The data set; `user_ids` is sorted."""

    films: Films
    ratings: Ratings
    user_ids: NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """How much there must be of everything."""

    users: int
    films: int
    ratings: int


ML_100K = Counts(users=943, films=1682, ratings=100_000)


def load(folder: Path, expected: Counts | None) -> MovieLens:
    """Read both tables from `folder` and check them against each other and against `expected`."""
    films = _films(folder / "ml-100k.item")
    ratings = _ratings(folder / "ml-100k.inter")
    user_ids = np.unique(ratings.users)
    found = Counts(users=len(user_ids), films=len(films), ratings=len(ratings))
    if expected is not None and found != expected:
        raise DemoError(
            f"{folder} does not hold the whole data set: expected {expected.users} users, "
            f"{expected.films} films and {expected.ratings} ratings; "
            f"found {found.users}, {found.films} and {found.ratings}."
        )
    unknown = np.setdiff1d(ratings.items, films.ids)
    if len(unknown):
        raise DemoError(
            f"{folder}: film {unknown[0]} is rated in ml-100k.inter but not described in ml-100k.item."
        )
    pairs = np.unique(np.stack([ratings.users, ratings.items]), axis=1)
    if pairs.shape[1] != len(ratings):
        raise DemoError(f"{folder / 'ml-100k.inter'}: some user has rated the same film twice.")
    return MovieLens(films=films, ratings=ratings, user_ids=user_ids)


def _films(path: Path) -> Films:
    rows: list[tuple[int, str, int | None, list[str]]] = []
    for number, (film, title, year, genres) in _lines(path, _FILM_COLUMNS):
        known = int(year) if _YEAR.fullmatch(year) else None
        rows.append((_whole(path, number, "item_id", film), _plain_title(title), known, genres.split()))
    rows.sort(key=lambda row: row[0])
    ids = np.array([row[0] for row in rows], dtype=np.int64)
    if len(np.unique(ids)) != len(ids):
        raise DemoError(f"{path}: the same item_id appears twice.")
    return Films(ids, [row[1] for row in rows], [row[2] for row in rows], [row[3] for row in rows])


def _ratings(path: Path) -> Ratings:
    users, items, stars, times = [], [], [], []
    for number, (user, film, star, time) in _lines(path, _RATING_COLUMNS):
        users.append(_whole(path, number, "user_id", user))
        items.append(_whole(path, number, "item_id", film))
        stars.append(_whole(path, number, "rating", star))
        times.append(_whole(path, number, "timestamp", time))
        if not 1 <= stars[-1] <= 5:
            raise DemoError(f"{path}, line {number}: rating: expected 1 to 5 stars, got {star}.")
    return Ratings(*(np.array(column, dtype=np.int64) for column in (users, items, stars, times)))


def _lines(path: Path, columns: list[str]) -> list[tuple[int, list[str]]]:
    try:
        # Only a newline ends a row: str.splitlines would also cut at characters that a title may hold.
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DemoError(f"cannot read {path}: {error}.") from error
    header = lines[0].split("\t")
    if header != columns:
        raise DemoError(
            f"{path}, line 1: expected the columns {', '.join(columns)}; got {', '.join(header)}."
        )
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split("\t")
        if len(fields) != len(columns):
            raise DemoError(f"{path}, line {number}: expected {len(columns)} columns, got {len(fields)}.")
        rows.append((number, fields))
    return rows


def _whole(path: Path, number: int, column: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise DemoError(f"{path}, line {number}: {column}: expected a whole number, got {text!r}.") from None


def _plain_title(title: str) -> str:
    """`Usual Suspects, The` reads `The Usual Suspects`."""
    moved = _ARTICLE.match(title)
    if moved is None:
        return title
    gap = "" if moved["article"].endswith("'") else " "
    return f"{moved['article']}{gap}{moved['title']}{moved['rest']}"
