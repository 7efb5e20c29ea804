"""Features in, slates out: build the catalog, save it, open it again, rank every user."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import perso_core as pc

from .data import MovieLens, Ratings
from .features import DIM, Features
from .metrics import genre_shares
from .policies import Named
from .split import newest_first


@dataclass(frozen=True)
class Opened:
    """A catalog as it came back from disk, and how large it was there."""

    catalog: pc.Catalog
    file_bytes: int


@dataclass(frozen=True)
class Audience:
    """All users in the order of `MovieLens.user_ids`, and the moment of ranking.

    Of each the vectors, what they have seen, and the shares of the genres in it.
    """

    vectors: dict[str, NDArray[np.float32]]
    seen: list[NDArray[np.int64]]
    profiles: list[dict[str, float]]
    at: datetime

    def one(self, place: int) -> dict[str, NDArray[np.float32]]:
        """The vectors of one user."""
        return {space: vectors[place] for space, vectors in self.vectors.items()}


def build_catalog(movielens: MovieLens, features: Features, seed: int) -> pc.Catalog:
    """Two spaces and three attributes per film."""
    catalog = pc.Catalog(
        spaces={
            "cf": pc.Space(DIM, metric="ip", dtype="f32"),
            "content": pc.Space(DIM, metric="cosine", dtype="f32"),
        },
        seed=seed,
    )
    catalog.upsert(
        movielens.films.ids,
        vectors=features.items,
        attributes={
            "title": movielens.films.titles,
            "genres": movielens.films.genres,
            "popularity": features.popularity,
            "released": features.released,
        },
    )
    return catalog


def through_disk(catalog: pc.Catalog) -> Opened:
    """Save the catalog, open the file, and make sure that nothing changed on the way."""
    with tempfile.TemporaryDirectory(prefix="perso_core-demo-") as folder:
        path = Path(folder) / "movielens.pcat"
        catalog.save(path)
        opened = pc.Catalog.open(path)
        if opened.content_hash != catalog.content_hash:
            raise RuntimeError("the catalog that was opened is not the one that was saved")
        return Opened(opened, path.stat().st_size)


def audience(movielens: MovieLens, features: Features, kept: Ratings) -> Audience:
    """Every user with what they have seen; the clock stands at the last rating that is known."""
    histories = newest_first(kept)
    films = movielens.films
    seen = [histories[int(user)].items for user in movielens.user_ids]
    return Audience(
        vectors=features.users,
        seen=seen,
        profiles=[genre_shares([films.genres[row] for row in films.rows(items)]) for items in seen],
        at=datetime.fromtimestamp(int(kept.times.max()), tz=timezone.utc),
    )


def rank_all(
    catalog: pc.Catalog, people: Audience, named: Named, k: int, seed: int, num_threads: int = -1
) -> list[NDArray[np.int64]]:
    """One slate per user, nothing that they have already seen in it."""
    if named.spaces:
        batch = pc.rank(
            catalog,
            {space: people.vectors[space] for space in named.spaces},
            named.policy,
            k,
            exclude=people.seen,
            at=people.at,
            seed=seed,
            request_id=named.name,
            num_threads=num_threads,
            target=people.profiles if named.profile else None,
        )
        return [slate.ids for slate in batch]
    # Without personal input there is no vector to batch over: one call per user.
    return [
        pc.rank(
            catalog, None, named.policy, k, exclude=seen, at=people.at, seed=seed, request_id=named.name
        ).ids
        for seen in people.seen
    ]
