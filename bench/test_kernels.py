"""`dot`, `topk` and the exact scan of an index, beside NumPy in the same rounds.

Two sizes: rows that stay in the second-level cache, where arithmetic counts, and rows that do not,
where the memory does. `gb_per_s` is bytes of items read per second; `memory_gb_per_s` is what NumPy's
plainest reduction reads from the same array, as a measure of what there is to be had. For a scan by one
query that reading is the peer, pass by pass, so `ratio` is the fraction of the read bandwidth.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

import perso_core as pc

from .clock import measure

DIM = 384
BYTES = {"cache": 512 << 10, "memory": 96 << 20}
NUMPY = {"f32": np.float32, "f16": np.float16, "i8": np.int8}


def operands(dtype: str, size: str) -> tuple[np.ndarray, np.ndarray]:
    kind = np.dtype(NUMPY[dtype])
    rows = BYTES[size] // (DIM * kind.itemsize)
    rng = np.random.default_rng(5)
    if dtype == "i8":
        codes = rng.integers(-127, 128, (rows + 1, DIM), dtype=np.int8)
        return codes[0].copy(), codes[1:].copy()
    # Drawn once and repeated with other signs: drawing 25 million normals would take longer than the test.
    some = rng.standard_normal((min(rows, 4096), DIM), dtype=np.float32)
    floats = np.resize(some, (rows, DIM)) * rng.choice(np.array([-1, 1], np.float32), (rows, 1))
    return rng.standard_normal(DIM, dtype=np.float32), floats.astype(kind)


def check_dot(dtype: str, query: np.ndarray, items: np.ndarray, found: np.ndarray) -> float:
    """Against integers or float64; the largest error, in parts of the sum of the products' sizes."""
    rows = np.linspace(0, len(items) - 1, 500).astype(int)
    some, found = items[rows], found[rows]
    if dtype == "i8":
        assert np.array_equal(found, some.astype(np.int64) @ query.astype(np.int64))
        return 0.0
    exact = some.astype(np.float64) @ query.astype(np.float64)
    size = np.abs(some.astype(np.float64)) @ np.abs(query.astype(np.float64))
    worst = float((np.abs(found - exact) / size).max())
    # Any order of summation of n products stays within n u sum |q_i x_i|, to first order in u = 2^-24.
    assert worst <= DIM * 2.0**-24
    return worst


def read_bandwidth(items: np.ndarray) -> float:
    words = items.reshape(-1).view(np.int64)
    spent = []
    for _ in range(5):
        start = time.perf_counter()
        words.max()
        spent.append(time.perf_counter() - start)
    return items.nbytes / min(spent) / 1e9


@pytest.mark.benchmark(group="kernels: dot, one query")
@pytest.mark.parametrize("size", ["cache", "memory"])
@pytest.mark.parametrize("dtype", ["f32", "f16", "i8"])
def test_dot(benchmark, dtype: str, size: str) -> None:
    query, items = operands(dtype, size)
    # NumPy has no float16 or int8 product worth the name: people widen the items and call BLAS. The
    # widened copy is made for each call, because keeping it would give up what the small type saves.
    wide = query.astype(np.float32)

    def numpy_dot(_: object) -> np.ndarray:
        return items @ wide if dtype == "f32" else items.astype(np.float32) @ wide

    worst = check_dot(dtype, query, items, pc.dot(query, items))
    calls = range(200 if size == "cache" else 1)
    latency, peer = measure(benchmark, lambda _: pc.dot(query, items), calls, rounds=6, peer=numpy_dot)
    benchmark.extra_info.update(
        peer="NumPy",
        shape=f"{len(items)} x {DIM} {dtype}",
        answer="exact" if dtype == "i8" else f"error {worst:.0e}",
        gb_per_s=round(items.nbytes / latency.p50_us / 1e3, 2),
        peer_gb_per_s=round(items.nbytes / peer.p50_us / 1e3, 2),
        memory_gb_per_s=round(read_bandwidth(items), 2),
    )


@pytest.mark.benchmark(group="kernels: exact scan of an index, one query, k=10")
@pytest.mark.parametrize("dtype", ["i8", "f16", "f32"])
def test_scan(benchmark, dtype: str) -> None:
    k, dim, step = 10, 256, 50_000
    rows = (256 << 20) // (dim * np.dtype(NUMPY[dtype]).itemsize)
    rng = np.random.default_rng(8)
    some = rng.standard_normal((step, dim), dtype=np.float32)
    query = rng.standard_normal(dim, dtype=np.float32)
    # Under inner product rows are taken in order of norm, and most of them need no reading.
    index = pc.Index(dim, "cosine", dtype, layout="exact")
    best: list[tuple[float, int]] = []
    for start in range(0, rows, step):
        # Other rows each time, without drawing them all.
        part = np.roll(some[: rows - start], start // step, axis=1)
        index.add(part)
        scores = part @ query / (np.linalg.norm(part, axis=1) * np.linalg.norm(query))
        best += [(float(scores[i]), start + int(i)) for i in np.argpartition(-scores, k)[:k]]
    best = sorted(best, reverse=True)[:k]
    found = index.search(query, k, exact=True)
    assert found.path == "exact"
    # What is stored is rounded, so scores move a little and places may be swapped.
    assert np.allclose(
        found.scores, [score for score, _ in best], rtol=0, atol=0.01 if dtype == "i8" else 1e-3
    )
    assert len(set(found.ids.tolist()) & {row for _, row in best}) >= (k if dtype == "f32" else k - 2)
    stored = np.ones(rows * dim * np.dtype(NUMPY[dtype]).itemsize // 8, np.int64)
    latency, reading = measure(
        benchmark,
        lambda _: index.search(query, k, exact=True),
        range(1),
        rounds=12,
        peer=lambda _: stored.max(),
    )
    benchmark.extra_info.update(
        peer="reading as many bytes",
        shape=f"{rows} x {dim} {dtype}",
        answer="true best",
        gb_per_s=round(stored.nbytes / latency.seconds.min() / 1e9, 2),
        memory_gb_per_s=round(stored.nbytes / reading.seconds.min() / 1e9, 2),
        fraction_of_read_bandwidth=round(float(reading.seconds.min() / latency.seconds.min()), 2),
    )


@pytest.mark.benchmark(group="kernels: topk, k=10")
@pytest.mark.parametrize("queries", [1, 64, 256])
@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_topk(benchmark, dtype: str, queries: int) -> None:
    k = 10
    _, items = operands(dtype, "memory")
    items = items[: 20_000 if dtype == "f32" else 40_000]
    asked = np.random.default_rng(6).standard_normal((queries, DIM), dtype=np.float32)

    def numpy_topk(_: object) -> tuple[np.ndarray, np.ndarray]:
        scores = asked @ items.astype(np.float32, copy=False).T
        near = np.argpartition(scores, -k, axis=1)[:, -k:]
        near_scores = np.take_along_axis(scores, near, axis=1)
        order = np.argsort(-near_scores, axis=1)
        return np.take_along_axis(near, order, axis=1), np.take_along_axis(near_scores, order, axis=1)

    hits = pc.topk(asked, items, k)
    exact = asked.astype(np.float64) @ items.astype(np.float64).T
    best = -np.sort(-exact, axis=1)[:, :k]
    returned = np.take_along_axis(exact, hits.ids, axis=1)
    # float32 may order two items whose true scores differ by less than its rounding.
    assert np.allclose(returned, best, rtol=0, atol=1e-4)
    assert np.allclose(hits.scores, returned, rtol=0, atol=1e-4)
    measure(benchmark, lambda _: pc.topk(asked, items, k), range(2), rounds=5, peer=numpy_topk)
    benchmark.extra_info.update(
        peer="NumPy",
        shape=f"{queries} of {len(items)} x {DIM} {dtype}",
        answer=f"recall {np.mean(returned >= best[:, -1:] - 1e-4):.3f}",
    )
