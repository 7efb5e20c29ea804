"""What is left of an index when everything in it has been replaced, and replaced again.

    python -m bench.churn --data DIR            100,000 sentence embeddings, if they lie there
    python -m bench.churn --rows 20000          generated vectors

Items are replaced a batch at a time: removed, and others added under new ids. Once in random order, once cluster by cluster
(rows sorted by their nearest of 100 centres, so that whole regions of the space go at once and come back as others),
and then in rounds of one per cent. After each the index stands beside one that was built anew of the same vectors: recall@10
at equal breadth, time a search in alternating rounds, memory, and the rows that no link leads to.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import perso_core as pc

from . import data

K = 10
EFS = (50, 100, 200)


def truth(vectors: np.ndarray, ids: np.ndarray, queries: np.ndarray) -> list[set[int]]:
    exact = pc.Index(dim=vectors.shape[1], dtype="f32", layout="exact")
    exact.add(vectors, ids)
    return [set(row) for row in exact.search(queries, K, num_threads=-1).ids.tolist()]


def recall(index: pc.Index, queries: np.ndarray, wanted: list[set[int]], ef: int) -> float:
    found = index.search(queries, K, ef=ef, num_threads=-1).ids.tolist()
    return float(np.mean([len(want.intersection(row)) / K for want, row in zip(wanted, found, strict=True)]))


def seconds(index: pc.Index, queries: np.ndarray, ef: int) -> float:
    start = time.perf_counter()
    for query in queries:
        index.search(query, K, ef=ef)
    return (time.perf_counter() - start) / len(queries)


def beside(name: str, churned: pc.Index, vectors: np.ndarray, ids: np.ndarray, queries: np.ndarray) -> None:
    """A line for the index and one for an index of the same vectors that is new."""
    order = np.random.default_rng(5).permutation(len(ids))
    new = pc.Index(dim=churned.dim, dtype="i8", layout=churned.layout)
    new.add(vectors[order], ids[order])
    wanted = truth(vectors, ids, queries)
    for ef in EFS:
        times = [(seconds(churned, queries, ef), seconds(new, queries, ef)) for _ in range(5)]
        old_time, new_time = (min(column) for column in zip(*times, strict=True))
        old_recall, new_recall = (recall(one, queries, wanted, ef) for one in (churned, new))
        print(
            f"{name:>22} ef {ef:>3}  recall {old_recall:.4f} beside {new_recall:.4f}  "
            f"{1e6 * old_time:6.1f} us beside {1e6 * new_time:6.1f} ({old_time / new_time:.2f}x)",
            flush=True,
        )
    bytes_of = [one.stats()["bytes"] for one in (churned, new)]
    print(
        f"{name:>22} memory {bytes_of[0] / 2**20:.1f} MiB beside {bytes_of[1] / 2**20:.1f} ({bytes_of[0] / bytes_of[1]:.3f}x)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", help="folder with minilm_100k_384_f16.npy and its queries")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--layout", default="compact")
    options = parser.parse_args()
    if options.data:
        sentences = data.load("cosine", Path(options.data))
        vectors, queries = sentences.items[: options.rows], sentences.queries[:500]
    else:
        vectors = data.clustered(options.rows + 500, 64, seed=3).items
        vectors, queries = vectors[:-500], vectors[-500:]
    count = len(vectors)
    rng = np.random.default_rng(0)
    centres = vectors[rng.choice(count, 100, replace=False)]
    cluster = np.argmax(pc.dot(vectors, centres), axis=1)
    orders = {
        "random order": rng.permutation(count),
        "cluster by cluster": np.argsort(cluster, kind="stable"),
    }
    for name, order in orders.items():
        # Half of the vectors are there at first; each is replaced by one of the other half.
        first, second = order[: count // 2], order[count // 2 :]
        if name != "random order":
            first, second = order[::2], np.roll(order[1::2], count // 4)
        index = pc.Index(dim=vectors.shape[1], dtype="i8", layout=options.layout)
        index.add(vectors[first], first)
        start = time.perf_counter()
        for at in range(0, len(first), options.batch):
            index.remove(first[at : at + options.batch])
            index.add(vectors[second[at : at + options.batch]], second[at : at + options.batch])
        spent = time.perf_counter() - start
        print(f"{name}: {len(first):,} items replaced, {1e6 * spent / len(first):.0f} us each")
        beside(name, index, vectors[second], second, queries)
    here, waiting = list(second), list(first)
    start = time.perf_counter()
    for round_ in range(options.rounds):
        some = len(here) // 100
        leaving = [here.pop(rng.integers(len(here))) for _ in range(some)]
        coming = [waiting.pop(rng.integers(len(waiting))) for _ in range(min(some, len(waiting)))]
        index.remove(np.array(leaving))
        index.add(vectors[coming], np.array(coming))
        here += coming
        waiting += leaving
        if round_ + 1 in (options.rounds // 10, options.rounds):
            ids = np.array(here)
            beside(f"{round_ + 1} rounds of 1%", index, vectors[ids], ids, queries)
    print(f"{options.rounds} rounds took {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
