"""Reads while a catalog changes: `rank` alone, beside a process that only computes, and beside a writer at full speed.

    python -m bench.live [--data DIR] [--seconds 3] [--rounds 5]

One thread ranks (pool 200, k 20, MMR, a cap, 100 seen items) as fast as it can. Beside it runs, in alternating windows: nothing;
another process that multiplies small matrices and shares nothing but the machine, which is what any busy neighbour costs;
a thread that replaces items one a call (the graph changes); a thread that updates a counter of 1,000 items a call. Printed are
percentiles of the reads over all windows, and what the writers got done. The bar: the 99th percentile beside a
writer within 1.5 times that of reads alone.
"""

from __future__ import annotations

import argparse
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import perso_core as pc

from . import data


def spin(stop: object) -> None:
    matrix = np.ones((64, 64), np.float32)
    while not stop.is_set():  # type: ignore[attr-defined]
        for _ in range(100):
            matrix = matrix @ matrix / 64


@contextmanager
def process() -> Iterator[list[int]]:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    other = context.Process(target=spin, args=(stop,), daemon=True)
    other.start()
    time.sleep(1.0)
    yield [0]
    stop.set()
    other.join()


@contextmanager
def thread(change: Callable[[int], int]) -> Iterator[list[int]]:
    stop, done = threading.Event(), [0]

    def run() -> None:
        turn = 0
        while not stop.is_set():
            done[0] += change(turn)
            turn += 1

    writer = threading.Thread(target=run)
    writer.start()
    yield done
    stop.set()
    writer.join()


@contextmanager
def nothing() -> Iterator[list[int]]:
    yield [0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", help="folder with minilm_100k_384_f16.npy and its queries")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    vectors = data.load("cosine", Path(options.data) if options.data else None)
    count = len(vectors.items)
    rng = np.random.default_rng(0)
    catalog = pc.Catalog({"a": pc.Space(vectors.items.shape[1], "cosine", "i8")})
    genres = [f"g{n}" for n in rng.integers(0, 40, count)]
    catalog.upsert(np.arange(count), vectors.items, {"genre": genres, "popularity": rng.random(count)})
    policy = pc.Policy(
        candidates=200,
        score=pc.Blend(similarity=1.0, popularity=0.2),
        diversity=pc.MMR(0.3),
        caps={"genre": 3},
    )
    seen = [rng.choice(count, 100, replace=False) for _ in range(64)]

    def replace(turn: int) -> int:
        id = int(rng.integers(count))
        vector = vectors.items[rng.integers(count)] + rng.normal(0, 0.01, vectors.items.shape[1])
        catalog.upsert([id], vector[None].astype(np.float32), num_threads=1)
        return 1

    batches = [rng.choice(count, 1000, replace=False) for _ in range(64)]
    counters = rng.random(1000)

    def counter(turn: int) -> int:
        catalog.upsert(batches[turn % 64], attributes={"popularity": counters}, num_threads=1)
        return 1000

    beside = {
        "alone": nothing,
        "a busy process": process,
        "replacing items": lambda: thread(replace),
        "updating counters": lambda: thread(counter),
    }
    times: dict[str, list[float]] = {name: [] for name in beside}
    writes: dict[str, float] = dict.fromkeys(beside, 0.0)
    for _ in range(options.rounds):
        for name, other in beside.items():
            with other() as done:
                before, start = done[0], time.perf_counter()
                turn = 0
                while (now := time.perf_counter()) < start + options.seconds:
                    turn += 1
                    query = vectors.queries[turn % len(vectors.queries)]
                    pc.rank(catalog, query, policy, 20, exclude=seen[turn % 64], seed=turn)
                    times[name].append(time.perf_counter() - now)
                writes[name] += (done[0] - before) / (now - start) / options.rounds
    print(f"{count:,} x {vectors.items.shape[1]}, i8; {options.rounds} windows of {options.seconds:g} s each")
    p99_alone = np.percentile(times["alone"], 99)
    for name, all_times in times.items():
        p50, p90, p99, p999 = 1e6 * np.percentile(all_times, [50, 90, 99, 99.9])
        print(
            f"{name:>18}: p50 {p50:6.0f} us  p90 {p90:6.0f}  p99 {p99:6.0f} ({p99 / p99_alone / 1e6:.2f}x)  p99.9 {p999:6.0f}  "
            f"reads {len(all_times) / options.rounds / options.seconds:7,.0f}/s  writes {writes[name]:12,.0f}/s"
        )


if __name__ == "__main__":
    main()
