"""What the benchmarks run on: made here by default, read from a folder when one is named.

Every set has the same form, so a benchmark does not know which one it got. Two roles are filled:

- `cosine`: sentence-like embeddings, unit norm, queries from the distribution of the items;
- `ip`: factors of a recommender, norms that vary widely, queries (users) from another distribution.

Nothing is downloaded. A role whose files are missing in the folder is filled by the made one, and the
set's name, which stands in every result, says so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

CACHE = Path(__file__).parent / ".cache"

FILES = {
    "cosine": ("minilm_100k_384_f16.npy", "minilm_queries_2k_384_f16.npy"),
    "ip": ("gowalla_als64_items_f32.npy", "gowalla_als64_users_f32.npy"),
}
ROLES = tuple(FILES)

# The moment that the ages of items are measured from: fixed, so that runs can be compared.
NOW = np.datetime64("2025-01-01T00:00:00", "us")

# Queries whose recall is measured.
QUERIES = 500


@dataclass(frozen=True)
class Vectors:
    """Items and queries under a metric, with their exact answers."""

    name: str
    metric: str
    items: np.ndarray[Any, np.dtype[np.float32]]
    queries: np.ndarray[Any, np.dtype[np.float32]]
    _known: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def dim(self) -> int:
        return self.items.shape[1]

    def __len__(self) -> int:
        return len(self.items)

    def fine(self, query: int, rows: np.ndarray) -> np.ndarray:
        """The true scores of some rows: float64, from the vectors as they were given."""
        x, q = self.items[rows].astype(np.float64), self.queries[query].astype(np.float64)
        if self.metric == "l2":
            return -np.einsum("ij,ij->i", x - q, x - q)
        scores = x @ q
        if self.metric == "cosine":
            # A zero vector is at a right angle to everything.
            norms = np.linalg.norm(x, axis=1) * np.linalg.norm(q)
            scores = np.divide(scores, norms, out=np.zeros_like(scores), where=norms > 0)
        return scores

    def kth(self, k: int, mask: np.ndarray | None = None) -> np.ndarray:
        """The k-th best true score of each query, among the rows of the mask. Kept on disk."""
        key = (k, None if mask is None else hashlib.sha256(mask.tobytes()).hexdigest())
        if key not in self._known:
            path = CACHE / f"truth-{self._digest()}-{k}-{(key[1] or 'all')[:16]}.npy"
            if path.exists():
                self._known[key] = np.load(path)
            else:
                self._known[key] = self._compute_kth(k, mask)
                CACHE.mkdir(exist_ok=True)
                np.save(path, self._known[key])
        return self._known[key]

    def _compute_kth(self, k: int, mask: np.ndarray | None) -> np.ndarray:
        rows = np.arange(len(self)) if mask is None else np.flatnonzero(mask)
        items, queries, half = self.items[rows], self.queries, np.float32(0)
        if self.metric == "cosine":
            norms = np.linalg.norm(items, axis=1, keepdims=True)
            items = items / np.where(norms > 0, norms, 1)
        elif self.metric == "l2":
            # From the middle, so that float32 does not lose small distances in large norms.
            middle = items.mean(axis=0)
            items, queries = items - middle, queries - middle
            half = 0.5 * np.einsum("ij,ij->i", items, items)
        # float32 picks a shortlist wide enough for its rounding, float64 decides.
        near = min(len(rows), 2 * k + 20)
        out = np.empty(len(self.queries))
        for start in range(0, len(self.queries), 100):
            coarse = queries[start : start + 100] @ items.T - half
            lists = np.argpartition(coarse, len(rows) - near, axis=1)[:, len(rows) - near :]
            for offset, shortlist in enumerate(lists):
                fine = np.sort(self.fine(start + offset, rows[shortlist]))
                out[start + offset] = fine[-min(k, len(fine))]
        return out

    def recall(self, ids: np.ndarray, mask: np.ndarray | None = None) -> float:
        """Share of right answers in `ids` (queries x k). Whatever ties with the k-th best is right:
        an index must not be blamed for which of two equal items it returned."""
        k = ids.shape[1]
        kth = self.kth(k, mask)
        right = 0
        for query, row in enumerate(ids):
            found = np.unique(row[row >= 0])
            if mask is not None:
                found = found[mask[found]]
            # Scores are of the order of 1 or of the k-th, and float64 sums good to far less than 1e-9 of it.
            slack = 1e-9 * max(1.0, abs(kth[query]))
            right += int(np.count_nonzero(self.fine(query, found) >= kth[query] - slack))
        return right / (k * len(ids))

    def _digest(self) -> str:
        if "digest" not in self._known:
            digest = hashlib.sha256(self.metric.encode())
            digest.update(np.ascontiguousarray(self.items).data)
            digest.update(np.ascontiguousarray(self.queries).data)
            self._known["digest"] = digest.hexdigest()[:16]
        return self._known["digest"]


def load(role: str, folder: Path | None) -> Vectors:
    """The set that fills a role."""
    if folder is not None:
        items, queries = (folder / name for name in FILES[role])
        if items.exists() and queries.exists():
            return Vectors(
                name=items.stem.removesuffix("_f16").removesuffix("_f32").removesuffix("_items"),
                metric=role,
                items=np.load(items).astype(np.float32),
                queries=np.load(queries)[:QUERIES].astype(np.float32),
            )
    return clustered() if role == "cosine" else factors()


def clustered(n: int = 100_000, dim: int = 128, seed: int = 1) -> Vectors:
    """Unit vectors in clusters of varying size, with a spectrum that falls as that of sentence embeddings."""
    rng = np.random.default_rng(seed)
    spectrum = (np.arange(dim) + 4.0) ** -0.5
    centres = rng.normal(size=(n // 1000, dim)) * spectrum
    share = rng.dirichlet(np.full(len(centres), 0.7))

    def draw(count: int) -> np.ndarray:
        cluster = rng.choice(len(centres), count, p=share)
        points = centres[cluster] + 1.6 * rng.normal(size=(count, dim)) * spectrum
        return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)

    return Vectors(f"clustered_{n // 1000}k_{dim}", "cosine", draw(n), draw(QUERIES))


def factors(n: int = 40_000, dim: int = 64, seed: int = 2) -> Vectors:
    """Item factors with log-normal norms, and users that point between the items they liked."""
    rng = np.random.default_rng(seed)
    spectrum = (np.arange(dim) + 2.0) ** -0.4
    directions = rng.normal(size=(n, dim)) * spectrum
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    norms = rng.lognormal(-1.0, 0.8, size=n)
    items = directions * norms[:, None]
    liked = rng.choice(n, size=(QUERIES, 12), p=norms / norms.sum())
    users = directions[liked].mean(axis=1) + rng.normal(size=(QUERIES, dim)) * 0.1 * spectrum
    return Vectors(f"factors_{n // 1000}k_{dim}", "ip", items.astype(np.float32), users.astype(np.float32))


@dataclass(frozen=True)
class Items:
    """Attributes of a catalog's items."""

    popularity: np.ndarray[Any, np.dtype[np.float64]]
    published: np.ndarray[Any, np.dtype[np.datetime64]]
    genre: list[str]


def attributes(n: int, seed: int = 3) -> Items:
    """Popularity with a heavy tail, ages with a mean of 30 days, 24 genres of unequal size."""
    rng = np.random.default_rng(seed)
    weights = 1.0 / (np.arange(24) + 2.0)
    genres = np.array([f"genre-{i:02d}" for i in range(24)])
    return Items(
        popularity=np.log1p(rng.pareto(1.1, n) * 10),
        published=NOW - (rng.exponential(30 * 86_400e6, n)).astype("timedelta64[us]"),
        genre=genres[rng.choice(24, n, p=weights / weights.sum())].tolist(),
    )


def seen_by(vectors: Vectors, count: int, seed: int = 4) -> list[np.ndarray]:
    """For each query, ids that its user has seen: half near the query, where recommendations come
    from, half anywhere."""
    rng = np.random.default_rng(seed)
    out = []
    for query in vectors.queries:
        near = np.argpartition(vectors.items @ query, -2 * count)[-2 * count :]
        some = rng.choice(near, count // 2, replace=False)
        out.append(
            np.unique(np.concatenate([some, rng.choice(len(vectors), count - len(some))])).astype(np.int64)
        )
    return out
