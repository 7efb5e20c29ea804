"""`Index.search` on two cores: a batch, and Python threads that share one index; and what one call costs in
Python.

The ratios mean something on two free cores only. The answers are those of one thread.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import perso_core as pc

K = 10
THREADS = 2


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def paired(benchmark, one, two) -> None:
    """Times `two` under the benchmark with `one` before each round; the ratio is the median of the rounds'."""
    pairs: list[tuple[float, float]] = []

    def run() -> None:
        pairs.append((seconds(one), seconds(two)))

    benchmark.pedantic(run, rounds=5, iterations=1, warmup_rounds=1)
    ratio = float(np.median([alone / shared for alone, shared in pairs[1:] or pairs]))
    benchmark.extra_info.update(ratio=round(ratio, 2))


@pytest.mark.benchmark(group="search: two threads")
@pytest.mark.parametrize("exact", [False, True], ids=["graph", "exact"])
def test_a_batch(benchmark, load, ours, exact: bool) -> None:
    vectors, index = load("cosine"), ours("cosine", "i8").index
    queries = np.asarray(vectors.queries[: 60 if exact else None])
    alone = index.search(queries, K, exact=exact, num_threads=1)
    shared = index.search(queries, K, exact=exact, num_threads=THREADS)
    assert np.array_equal(alone.ids, shared.ids) and np.array_equal(alone.scores, shared.scores)
    paired(
        benchmark,
        lambda: index.search(queries, K, exact=exact, num_threads=1),
        lambda: index.search(queries, K, exact=exact, num_threads=THREADS),
    )
    benchmark.extra_info.update(
        data=vectors.name, engine="perso_core i8", what="batch", answer="equal to one thread"
    )


@pytest.mark.benchmark(group="search: two threads")
def test_python_threads(benchmark, load, ours) -> None:
    vectors, index = load("cosine"), ours("cosine", "i8").index
    queries = np.asarray(vectors.queries)
    expected = index.search(queries, K).ids

    def work(_: int) -> list[np.ndarray]:
        return [index.search(query, K).ids for query in queries]

    def alone() -> None:
        for i in range(THREADS):
            work(i)

    with ThreadPoolExecutor(THREADS) as pool:
        for found in pool.map(work, range(THREADS)):
            assert np.array_equal(np.vstack(found), expected)
        paired(benchmark, alone, lambda: list(pool.map(work, range(THREADS))))
    benchmark.extra_info.update(
        data=vectors.name, engine="perso_core i8", what="Python threads", answer="equal to one thread"
    )


@pytest.mark.benchmark(group="search: what a call costs in Python")
def test_a_call(benchmark) -> None:
    """16 vectors of 8 components: finding the answer takes a fraction of a microsecond."""
    rng = np.random.default_rng(0)
    index = pc.Index(8)
    index.add(rng.standard_normal((16, 8)))
    query = rng.standard_normal(8).astype(np.float32)
    assert np.array_equal(index.search(query).ids, index.search(query.tolist(), exact=True).ids)
    times = []

    def run() -> None:
        start = time.thread_time()
        for _ in range(2000):
            index.search(query)
        times.append((time.thread_time() - start) / 2000)

    benchmark.pedantic(run, rounds=10, iterations=1, warmup_rounds=1)
    benchmark.extra_info.update(
        data="16 x 8", engine="perso_core f32", answer="equal to the long way", us=round(min(times) * 1e6, 2)
    )
