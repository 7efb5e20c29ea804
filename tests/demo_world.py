"""A data set in the shape of MovieLens-100K, small enough to reason about and large enough to train on."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console

from perso_core.demo import show, story

RATINGS_HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
FILMS_HEADER = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"

GENRES = ["Action", "Comedy", "Drama", "Horror", "Western", "Sci-Fi", "Romance", "Film-Noir"]
# Real words in no order, so that titles share some and the text space has as many dimensions as it needs.
_WORDS = """
river stone winter garden silver mirror engine harbour candle forest copper window lantern meadow
thunder velvet anchor bridge castle desert ember falcon glacier hollow island jungle kettle ladder
marble needle orchard palace quarry ribbon saddle temple umbrella valley willow zephyr autumn beacon
canyon dragon eclipse feather gravel hammer ivory jacket kingdom lagoon magnet nectar oyster pepper
quiver raven signal timber urchin vessel whistle yonder blossom cinder dagger
"""
WORDS = _WORDS.split()

USERS, FILMS, RATED = 40, 150, 30


def write(folder: Path, films: list[str], ratings: list[str]) -> Path:
    """Both tables, from rows whose columns are parted by `|`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, header, rows in (
        ("ml-100k.item", FILMS_HEADER, films),
        ("ml-100k.inter", RATINGS_HEADER, ratings),
    ):
        lines = [header, *(row.replace("|", "\t") for row in rows)]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def tasteful(folder: Path) -> Path:
    """Users who like one genre each, and rate mostly films of it."""
    rng = np.random.default_rng(5)
    films, taste = [], []
    for film in range(1, FILMS + 1):
        genres = rng.choice(len(GENRES), size=int(rng.integers(1, 3)), replace=False)
        taste.append(set(genres.tolist()))
        title = " ".join(rng.choice(WORDS, size=3, replace=False)).title()
        year = "unkonwn" if film == 7 else str(1960 + film % 39)
        films.append(f"{film}|{title}|{year}|{' '.join(GENRES[g] for g in genres)}")
    ratings = []
    for user in range(1, USERS + 1):
        likes = user % len(GENRES)
        weight = np.array([8.0 if likes in genres else 1.0 for genres in taste])
        for place, row in enumerate(rng.choice(FILMS, size=RATED, replace=False, p=weight / weight.sum())):
            stars = 5 - int(rng.integers(0, 2)) if likes in taste[row] else 1 + int(rng.integers(0, 3))
            # Two films share a second, as a session in MovieLens does.
            ratings.append(f"{user}|{row + 1}|{stars}|{880_000_000 + 1000 * user + place // 2}")
    rng.shuffle(ratings)
    return write(folder, films, ratings)


class Steps:
    """Counts what the progress bars would have shown."""

    def __init__(self) -> None:
        self.parts: list[tuple[int | None, int]] = []

    @contextmanager
    def part(self, title: str, total: int | None) -> Iterator[Callable[[], None]]:
        done = 0

        def step() -> None:
            nonlocal done
            done += 1

        yield step
        self.parts.append((total, done))


def printed(outcome: story.Outcome, width: int = 200) -> str:
    out = io.StringIO()
    show.show(outcome, Console(file=out, width=width, highlight=False))
    return out.getvalue()


def without_timings(text: str) -> str:
    """A wide print without its microseconds and seconds, and without the line that names the report."""
    lines = [re.sub(r"(\d\.\d\d) +\d+ *$", r"\1", line).rstrip() for line in text.splitlines()]
    # The width of a column of times is that of the longest.
    lines = [
        re.sub(r" +µs$", " µs", re.sub(r"(\d\.\d\d) +$", r"\1", re.sub("─+", "─", line))) for line in lines
    ]
    timed = re.compile(r" (Stages, in µs|Seconds):|Report written")
    return "\n".join(line for line in lines if not timed.match(line)).strip()
