"""The peers that search benchmarks stand beside, where they are installed."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

import perso_core as pc

from .data import Vectors

EFS = (10, 16, 24, 32, 40, 50, 64, 80, 100, 130, 160, 200, 250, 320, 400, 500, 640, 800, 1000)


def hnswlib_installed() -> bool:
    return importlib.util.find_spec("hnswlib") is not None


@dataclass
class Built:
    """An index, and what it cost to build."""

    index: Any
    wall_s: float
    cpu_s: float
    mib: float

    def info(self) -> dict[str, float]:
        return {
            "build_wall_s": round(self.wall_s, 2),
            "build_cpu_s": round(self.cpu_s, 2),
            "mib": round(self.mib, 1),
        }


def build_ours(vectors: Vectors, dtype: Any) -> Built:
    wall, cpu = time.perf_counter(), time.process_time()
    index = pc.Index(vectors.dim, vectors.metric, dtype)  # type: ignore[arg-type]
    index.add(vectors.items)
    return Built(index, time.perf_counter() - wall, time.process_time() - cpu, index.stats()["bytes"] / 2**20)


def build_hnswlib(vectors: Vectors, m: int) -> Built:
    import hnswlib

    wall, cpu = time.perf_counter(), time.process_time()
    index = hnswlib.Index(vectors.metric, vectors.dim)
    index.init_index(len(vectors), M=m, ef_construction=200, random_seed=100)
    # Shuffled: items of one cluster in a row cost it search speed. All cores, as ours.
    order = np.random.default_rng(0).permutation(len(vectors))
    index.add_items(vectors.items[order], order, num_threads=os.cpu_count() or 1)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    # What it says of itself is what a file of it takes: vectors and links, without allocator overhead.
    return Built(index, wall, cpu, index.index_file_size() / 2**20)


@dataclass(frozen=True)
class Setting:
    """The first width of a search that reaches a recall; `ef` None for a scan."""

    name: str
    index: Any
    ef: int | None
    recall: float

    @property
    def how(self) -> str:
        return "exact" if self.ef is None else f"ef={self.ef}"


def first_reaching(
    name: str, index: Any, vectors: Vectors, recall: float, answers: Any, k: int = 10
) -> Setting | None:
    for ef in EFS:
        found = vectors.recall(answers(index, vectors.queries, ef, k))
        if found >= recall:
            return Setting(name, index, ef, found)
    return None


def scan_reaching(name: str, index: pc.Index, vectors: Vectors, recall: float, k: int) -> Setting | None:
    found = vectors.recall(index.search(vectors.queries, k, exact=True, num_threads=-1).ids)
    return Setting(name, index, None, found) if found >= recall else None


def our_answers(index: pc.Index, queries: np.ndarray, ef: int, k: int) -> np.ndarray:
    return index.search(queries, k, ef=max(ef, k), num_threads=-1).ids


def hnswlib_answers(index: Any, queries: np.ndarray, ef: int, k: int) -> np.ndarray:
    index.set_ef(max(ef, k))
    return index.knn_query(queries, k=k)[0].astype(np.int64)


def fastest(settings: Iterable[Setting], probe: Any, queries: np.ndarray) -> Setting | None:
    """The setting that answers a few hundred queries soonest."""
    best, best_time = None, float("inf")
    for setting in settings:
        call = probe(setting)
        for query in queries[:50]:
            call(query)
        start = time.perf_counter()
        for query in queries[:200]:
            call(query)
        spent = time.perf_counter() - start
        if spent < best_time:
            best, best_time = setting, spent
    return best
