"""What a log costs: changes a second with and without one, and how long it takes to recover.

    .venv/bin/python -m bench.durable [--folder FOLDER]

Prints the table of docs/durability.md. The folder decides what is measured: a sync costs what its disk takes. Each
number is the median of several runs that take turns; what was written is read back and compared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import perso_core as pc

DIM, ITEMS = 64, 10_000
SPACES = {"v": pc.Space(DIM, "cosine", "f32")}
KINDS: dict[str, dict[str, object] | None] = {
    "no log": None,
    'log, sync="never"': {"sync": "never"},
    'log, sync="always"': {"sync": "always"},
}


def filled(path: Path, options: dict[str, object] | None, vectors: np.ndarray) -> pc.Catalog:
    if options is None:
        cat = pc.Catalog(SPACES)
    else:
        cat = pc.Catalog.open(path, durable=True, spaces=SPACES, log_limit=1 << 40, **options)
    cat.upsert(range(ITEMS), vectors[:ITEMS], {"plays": [0] * ITEMS})
    if options is not None:
        cat.checkpoint()
    return cat


def calls(cat: pc.Catalog, vectors: np.ndarray, size: int, count: int, attributes: bool) -> float:
    """Seconds for some calls of some items each."""
    rng = np.random.default_rng(1)
    ids = [rng.choice(ITEMS, size, replace=False) for _ in range(count)]
    start = time.perf_counter()
    for i, chosen in enumerate(ids):
        if attributes:
            cat.upsert(chosen, attributes={"plays": [i] * size}, num_threads=1)
        else:
            cat.upsert(chosen, vectors[chosen], num_threads=1)
    return time.perf_counter() - start


def rates(folder: Path, size: int, count: int, attributes: bool, rounds: int) -> dict[str, float]:
    vectors = np.random.default_rng(0).standard_normal((ITEMS, DIM)).astype(np.float32)
    cats = {
        kind: filled(folder / f"{size}-{attributes}-{number}", options, vectors)
        for number, (kind, options) in enumerate(KINDS.items())
    }
    took: dict[str, list[float]] = {kind: [] for kind in cats}
    for _ in range(rounds):
        for kind, cat in cats.items():
            took[kind].append(calls(cat, vectors, size, count, attributes))
    assert len({cat.content_hash for cat in cats.values()}) == 1
    [cat.close() for cat in cats.values()]
    return {kind: size * count / statistics.median(seconds) for kind, seconds in took.items()}


def recovery(folder: Path, change: Callable[[pc.Catalog, int], None], changes: int) -> tuple[float, float]:
    """Seconds to open a catalog with a log of 100,000 changes, and bytes of it a change."""
    vectors = np.random.default_rng(0).standard_normal((ITEMS, DIM)).astype(np.float32)
    path = folder / f"recovery-{changes}-{time.monotonic_ns()}"
    with filled(path, {"sync": "never"}, vectors) as cat:
        for i in range(changes):
            change(cat, i)
        size = cat.stats()["log"]["bytes"]
        cat.save(folder / "plain")
        start = time.perf_counter()
        pc.Catalog.open(folder / "plain")
        plain = time.perf_counter() - start
    start = time.perf_counter()
    read = pc.Catalog.open(path)
    seconds = time.perf_counter() - start
    assert read.content_hash == cat.content_hash and read.generation == cat.generation
    return (seconds - plain) * 100_000 / changes, size / changes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        print("| items a second | " + " | ".join(KINDS) + " |")
        print("|---|" + "---:|" * len(KINDS))
        for title, size, count, attributes in (
            ("1 item a call, with its vector", 1, 300, False),
            ("1,000 items a call, with their vectors", 1000, 2, False),
            ("1 item a call, an attribute alone", 1, 500, True),
            ("1,000 items a call, an attribute alone", 1000, 20, True),
        ):
            found = rates(folder, size, count, attributes, rounds=5)
            print(f"| {title} | " + " | ".join(f"{rate:,.0f}" for rate in found.values()) + " |", flush=True)
        vectors = np.random.default_rng(2).standard_normal((ITEMS, DIM)).astype(np.float32)

        def one_vector(cat: pc.Catalog, i: int) -> None:
            cat.upsert([i % ITEMS], vectors[i % ITEMS : i % ITEMS + 1], num_threads=1)

        def one_attribute(cat: pc.Catalog, i: int) -> None:
            cat.upsert([i % ITEMS], attributes={"plays": [i]}, num_threads=1)

        print("\n| recovering 100,000 changes | seconds | bytes of log a change |\n|---|---:|---:|")
        for title, change, count in (
            ("one vector each", one_vector, 5_000),
            ("one attribute each", one_attribute, 20_000),
        ):
            seconds, size = recovery(folder, change, count)
            print(f"| {title} | {seconds:.1f} | {size:.0f} |", flush=True)


if __name__ == "__main__":
    main()
