"""Filtered searches beside peers: `python -m bench.filters --items x.npy --queries q.npy`, in an environment that holds them.

At each point, a kind of predicate and the share of the items that it lets through, every library searches with the
same queries, each with a predicate of its own:

- `independent`: items in a random order, the first of them;
- `near`: the items nearest to the query, the most that a predicate can agree with it;
- `far`: the items farthest from the query, the most that it can be opposed.

Peers are tuned at each point: of a row of widths the first whose recall@k is 0.95 or more, or, where none is, the best
there was ("never"). Ours are asked as they come. Passes take turns, and all times are processor time a search,
so that what else the machine does enters through the caches alone. What a filter is made of beforehand (a bitmap, an
indexed column, ours too) is made beforehand.

Beside ours stand the same index's scan of the eligible items (`exact=True`), and the time of its unfiltered search divided by
the share: a filtered search should cost little more than the better of these.

Indexes are kept in `--cache` and read from there the next time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import perso_core as pc

SHARES = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 0.9, 1.0)
KINDS = ("independent", "near", "far")
WIDTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
TARGET = 0.95


@dataclass
class Case:
    """One query at one point."""

    number: int
    query: np.ndarray
    mask: np.ndarray
    kind: str
    share: float


@dataclass
class Data:
    items: np.ndarray
    queries: np.ndarray
    k: int
    scores: np.ndarray = field(init=False)
    # By query: the place of each item in a random order, and in that of similarity.
    places: dict[str, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        self.scores = self.queries @ self.items.T
        random = np.random.default_rng(5)
        order = np.argsort(-self.scores, axis=1, kind="stable")
        near = np.empty_like(order)
        np.put_along_axis(near, order, np.arange(len(self.items))[None], axis=1)
        shuffled = np.stack([random.permutation(len(self.items)) for _ in self.queries])
        self.places = {"independent": shuffled, "near": near, "far": len(self.items) - 1 - near}

    def cases(self, kind: str, share: float) -> list[Case]:
        count = max(1, round(share * len(self.items)))
        places = self.places[kind]
        return [Case(i, q, places[i] < count, kind, share) for i, q in enumerate(self.queries)]

    def recall(self, cases: Sequence[Case], found: Sequence[np.ndarray]) -> float:
        """Against the vectors as given; an item with the score of the last true answer counts."""
        hits = answers = 0
        for case, ids in zip(cases, found, strict=True):
            scores = self.scores[case.number]
            k = min(self.k, int(case.mask.sum()))
            last = np.partition(scores[case.mask], -k)[-k]
            ids = ids[ids >= 0]
            assert case.mask[ids].all(), "an answer outside the filter"
            hits += min(k, int((scores[ids] >= last - 1e-6).sum()))
            answers += k
        return hits / answers


class Engine:
    """A library. `prepare` is not timed, `search` is."""

    name: str
    widths: tuple[int | None, ...] = WIDTHS
    file: str

    def __init__(self, data: Data, cache: Path) -> None:
        self.k = data.k
        path = cache / self.file
        start = time.perf_counter()
        if path.exists():
            self.load(path, data)
        else:
            self.build(data)
            self.save(path)
        print(f"  {self.name}: ready in {time.perf_counter() - start:.0f} s", flush=True)

    def build(self, data: Data) -> None:
        raise NotImplementedError

    def save(self, path: Path) -> None: ...

    def load(self, path: Path, data: Data) -> None:
        raise NotImplementedError

    def prepare(self, case: Case, width: int | None) -> Any:
        raise NotImplementedError

    def search(self, call: Any) -> np.ndarray:
        raise NotImplementedError


class Ours(Engine):
    widths = (None,)
    options: ClassVar[dict[str, Any]]

    def build(self, data: Data) -> None:
        self.index = pc.Index(data.items.shape[1], "cosine", **self.options)
        self.index.add(data.items)

    def save(self, path: Path) -> None:
        self.index.save(path)

    def load(self, path: Path, data: Data) -> None:
        self.index = pc.Index.load(path)

    def prepare(self, case: Case, width: int | None) -> Any:
        return case.query, {} if case.share == 1 else {"filter": self.index.filter(case.mask)}

    def search(self, call: Any) -> np.ndarray:
        self.hits = self.index.search(call[0], self.k, **call[1])
        return np.asarray(self.hits.ids)

    def scan(self, call: Any) -> np.ndarray:
        return np.asarray(self.index.search(call[0], self.k, exact=True, **call[1]).ids)


class Local(Ours):
    name, file, options = "i8", "ours-i8-local.pc", {"dtype": "i8", "layout": "local"}


class Compact(Ours):
    name, file, options = "i8 compact", "ours-i8-compact.pc", {"dtype": "i8", "layout": "compact"}


class Fine(Ours):
    name, file = "i8 + f16", "ours-i8-f16.pc"
    options: ClassVar[dict[str, Any]] = {"dtype": "i8", "layout": "local", "rescore": "f16"}


class F32(Ours):
    name, file, options = "f32", "ours-f32.pc", {"dtype": "f32"}


class Hnswlib(Engine):
    name, file = "hnswlib", "hnswlib.bin"

    def build(self, data: Data) -> None:
        self.new(data)
        self.index.init_index(len(data.items), M=16, ef_construction=200, random_seed=100)
        self.index.add_items(data.items)

    def new(self, data: Data) -> None:
        import hnswlib

        self.index = hnswlib.Index("ip", data.items.shape[1])

    def save(self, path: Path) -> None:
        self.index.save_index(str(path))

    def load(self, path: Path, data: Data) -> None:
        self.new(data)
        self.index.load_index(str(path))

    def prepare(self, case: Case, width: int | None) -> Any:
        allowed = None if case.share == 1 else case.mask.tolist().__getitem__
        return case.query, width, min(self.k, int(case.mask.sum())), allowed

    def search(self, call: Any) -> np.ndarray:
        query, width, k, allowed = call
        self.index.set_ef(width)
        try:
            found, _ = self.index.knn_query(query, k, num_threads=1, filter=allowed)
        except RuntimeError:  # it found fewer than k
            return np.empty(0, np.int64)
        return np.asarray(found[0].astype(np.int64))


class Faiss(Engine):
    def build(self, data: Data) -> None:
        self.index = self.made(data.items.shape[1])
        self.index.train(data.items)
        self.index.add(data.items)

    def made(self, dim: int) -> Any:
        raise NotImplementedError

    def save(self, path: Path) -> None:
        import faiss

        faiss.write_index(self.index, str(path))

    def load(self, path: Path, data: Data) -> None:
        import faiss

        self.index = faiss.read_index(str(path))

    def parameters(self, selector: Any, width: int | None) -> Any:
        import faiss

        return faiss.SearchParametersHNSW(sel=selector, efSearch=width)

    def prepare(self, case: Case, width: int | None) -> Any:
        import faiss

        faiss.omp_set_num_threads(1)
        bits = np.packbits(case.mask, bitorder="little")
        selector = None if case.share == 1 else faiss.IDSelectorBitmap(bits)
        return case.query[None], self.parameters(selector, width), selector, bits

    def search(self, call: Any) -> np.ndarray:
        return np.asarray(self.index.search(call[0], self.k, params=call[1])[1][0])


class FaissHnsw(Faiss):
    name, file = "faiss HNSW-Flat", "faiss-hnsw.bin"

    def made(self, dim: int) -> Any:
        import faiss

        index = faiss.IndexHNSWFlat(dim, 16, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 200
        return index


class FaissSq8(Faiss):
    name, file = "faiss HNSW-SQ8", "faiss-sq8.bin"

    def made(self, dim: int) -> Any:
        import faiss

        kind = faiss.ScalarQuantizer.QT_8bit
        index = faiss.IndexHNSWSQ(dim, kind, 16, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 200
        return index


class FaissFlat(Faiss):
    name, file, widths = "faiss Flat", "faiss-flat.bin", (None,)

    def made(self, dim: int) -> Any:
        import faiss

        return faiss.IndexFlatIP(dim)

    def parameters(self, selector: Any, width: int | None) -> Any:
        import faiss

        return faiss.SearchParameters(sel=selector)


class Qdrant(Engine):
    """Predicates are ranges over indexed integer columns, two a query. Its own links for columns (`payload_m`) are off: there
    would be forty times as many as in use. ACORN is on, with its own limit."""

    name, file, widths = "qdrant-edge", "qdrant", (*(-w for w in WIDTHS[2:8]), *WIDTHS[2:8])

    def build(self, data: Data) -> None:
        import qdrant_edge as q

        self.q = q
        hnsw = q.HnswIndexConfig(m=16, ef_construct=200, full_scan_threshold=10_000, payload_m=0)
        vectors = q.EdgeVectorParams(size=data.items.shape[1], distance=q.Distance.Dot, on_disk=False)
        config = q.EdgeConfig(vectors=vectors, hnsw_config=hnsw, on_disk_payload=False, max_search_threads=1)
        self.path.mkdir(parents=True, exist_ok=True)
        self.shard = q.EdgeShard.create(str(self.path), config)
        columns = {"u": data.places["independent"], "n": data.places["near"]}
        for first in range(0, len(data.items), 2000):
            points = [
                q.Point(
                    id=row,
                    vector=data.items[row].tolist(),
                    payload={f"{c}{i}": int(p[row]) for c, of in columns.items() for i, p in enumerate(of)},
                )
                for row in range(first, min(first + 2000, len(data.items)))
            ]
            self.shard.update(q.UpdateOperation.upsert_points(points))
        for column in columns:
            for i in range(len(data.queries)):
                name = f"{column}{i}"
                self.shard.update(q.UpdateOperation.create_field_index(name, q.PayloadSchemaType.Integer))
        self.shard.optimize()

    def __init__(self, data: Data, cache: Path) -> None:
        self.path = cache / self.file
        self.n = len(data.items)
        super().__init__(data, cache)

    def save(self, path: Path) -> None:
        self.shard.flush()

    def load(self, path: Path, data: Data) -> None:
        import qdrant_edge as q

        self.q = q
        self.shard = q.EdgeShard.load(str(path))

    def prepare(self, case: Case, width: int | None) -> Any:
        q, count = self.q, int(case.mask.sum())
        column = f"{'u' if case.kind == 'independent' else 'n'}{case.number}"
        span = q.RangeFloat(gte=self.n - count) if case.kind == "far" else q.RangeFloat(lt=count)
        # Widths below zero: with ACORN.
        acorn = q.AcornSearchParams(enable=True) if width is not None and width < 0 else None
        return q.SearchRequest(
            query=q.Query.Nearest(case.query.tolist()),
            limit=self.k,
            filter=None if case.share == 1 else q.Filter(must=[q.FieldCondition(column, range=span)]),
            params=q.SearchParams(hnsw_ef=abs(width or 0), acorn=acorn),
        )

    def search(self, call: Any) -> np.ndarray:
        return np.array([point.id for point in self.shard.search(call)], np.int64)


ENGINES: tuple[type[Engine], ...] = (
    Local,
    Compact,
    Fine,
    F32,
    Hnswlib,
    FaissHnsw,
    FaissSq8,
    FaissFlat,
    Qdrant,
)


def timed(search: Callable[[Any], Any], calls: Sequence[Any]) -> float:
    """Microseconds a search."""
    start = time.process_time()
    for call in calls:
        search(call)
    return (time.process_time() - start) / len(calls) * 1e6


def tune(engine: Engine, data: Data, cases: Sequence[Case], most: float) -> tuple[list[Any], float]:
    """The calls of the first width that is enough, or of the best, and their recall."""
    best: tuple[list[Any], float] = ([], -1.0)
    for width in engine.widths:
        calls = [engine.prepare(case, width) for case in cases]
        start = time.process_time()
        recall = data.recall(cases, [engine.search(call) for call in calls])
        if recall > best[1]:
            best = calls, recall
        if recall >= TARGET or (time.process_time() - start) / len(calls) * 1e6 > most:
            break
    return best


def measure(data: Data, engines: Sequence[Engine], kind: str, share: float, rounds: int, most: float) -> None:
    cases = data.cases(kind, share)
    passes: dict[str, Callable[[], float]] = {}
    notes: dict[str, str] = {}
    for engine in engines:
        calls, recall = tune(engine, data, cases, most)
        text = f"{recall:.3f}"
        if isinstance(engine, Ours):
            found = [engine.search(call) for call in calls]
            paths: list[str] = []
            hits = answers = 0
            for call, case in zip(calls, cases, strict=True):
                ids = engine.search(call)
                paths.append(engine.hits.path)
                truth = engine.index.search(call[0], data.k, exact=True, **call[1])
                last = truth.scores[: min(data.k, int(case.mask.sum()))][-1]
                hits += int((engine.hits.scores >= last).sum())
                answers += int((ids >= 0).sum())
                assert (ids >= 0).sum() == min(data.k, int(case.mask.sum())), "an answer is missing"
            del found
            text += f" {hits / answers:.3f} " + "/".join(
                f"{paths.count(p)} {p}" for p in dict.fromkeys(paths)
            )
            plain = [engine.prepare(Case(c.number, c.query, c.mask, kind, 1), None) for c in cases]
            passes[engine.name] = lambda e=engine, c=calls: timed(e.search, c)  # type: ignore[misc]
            passes[f"{engine.name}, scan"] = lambda e=engine, c=calls: timed(e.scan, c)  # type: ignore[misc]
            passes[f"{engine.name}, plain"] = lambda e=engine, c=plain: timed(e.search, c)  # type: ignore[misc]
        else:
            if recall < TARGET:
                text = f"never ({text})"
            passes[engine.name] = lambda e=engine, c=calls: timed(e.search, c)  # type: ignore[misc]
        notes[engine.name] = text
    times: dict[str, list[float]] = {name: [] for name in passes}
    names = list(passes)
    order = np.random.default_rng(3)
    for _ in range(rounds):
        for at in order.permutation(len(names)):
            times[names[at]].append(passes[names[at]]())

    def middle(name: str) -> float:
        return statistics.median(times[name])

    peers = [e.name for e in engines if not isinstance(e, Ours) and not notes[e.name].startswith("never")]
    for engine in engines:
        line = f"| {kind} | {share:g} | {engine.name} | {middle(engine.name):,.0f} | {notes[engine.name]} |"
        if isinstance(engine, Ours):
            own = times[engine.name]
            scan, plain = times[f"{engine.name}, scan"], times[f"{engine.name}, plain"]
            better = [min(s, p / share) for s, p in zip(scan, plain, strict=True)]
            ratio = statistics.median(o / b for o, b in zip(own, better, strict=True))
            line += (
                f" {statistics.median(scan):,.0f} | {statistics.median(plain) / share:,.0f} | {ratio:.2f} |"
            )
            if peers:
                beside = min(
                    statistics.median(t / o for t, o in zip(times[p], own, strict=True)) for p in peers
                )
                line += f" {beside:.1f} |"
        print(line, flush=True)


def main() -> None:
    parse = argparse.ArgumentParser("python -m bench.filters", description=__doc__)
    add = parse.add_argument
    add("--items", type=Path, required=True)
    add("--queries", type=Path, required=True)
    add("--count", type=int, default=20, help="queries at a point (default: 20)")
    add("--k", type=int, default=10)
    add("--rounds", type=int, default=3)
    add("--shares", type=float, nargs="+", default=SHARES)
    add("--kinds", nargs="+", default=KINDS, choices=KINDS)
    add("--engines", nargs="+", help="some of: " + ", ".join(repr(e.name) for e in ENGINES))
    add(
        "--most",
        type=float,
        default=20_000,
        help="µs a search beyond which a peer is not widened (default: 20,000)",
    )
    add("--cache", type=Path, default=Path("build/bench-filters"))
    args = parse.parse_args()
    items, queries = (np.load(path).astype(np.float32) for path in (args.items, args.queries))
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    queries = queries[:: max(1, len(queries) // args.count)][: args.count]
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    data = Data(items, np.ascontiguousarray(queries), args.k)
    args.cache.mkdir(parents=True, exist_ok=True)
    engines: list[Engine] = []
    for kind in ENGINES:
        if args.engines and kind.name not in args.engines:
            continue
        try:
            engines.append(kind(data, args.cache))
        except ImportError as error:
            print(f"  {kind.name}: left out, {error}", flush=True)
    print(
        f"\n{len(items):,} x {items.shape[1]}, {len(queries)} queries, k={args.k}, {args.rounds} rounds; pc {pc.__version__}\n"
    )
    print(
        "| predicate | share | index | µs | recall (of own scan), path | scan | plain / share | ours / better | peer / ours |"
    )
    print("|---|--:|---|--:|---|--:|--:|--:|--:|")
    for kind_of in args.kinds:
        for share in args.shares:
            measure(data, engines, kind_of, share, args.rounds, args.most)


if __name__ == "__main__":
    main()
