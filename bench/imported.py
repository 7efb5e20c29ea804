"""Recall of imported graphs beside their origin's, at the same ef: `python -m bench.imported`.

20,000 Gaussian vectors around 200 centres in 32 dimensions, 500 queries from the same law, ten answers; hnswlib and faiss
with M = 16 and ef_construction = 100. It needs both installed: pip install hnswlib faiss-cpu. Nothing is timed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import perso_core as pc

ROWS, QUERIES, DIM, K = 20_000, 500, 32, 10
M, EF_CONSTRUCTION = 16, 100
EFS = (10, 20, 40, 80, 160)


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    centres = rng.standard_normal((200, DIM))
    both = centres[rng.integers(200, size=ROWS + QUERIES)] + 0.6 * rng.standard_normal((ROWS + QUERIES, DIM))
    return both[:ROWS].astype(np.float32), both[ROWS:].astype(np.float32)


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found, truth, strict=True)]))


def main() -> int:
    import faiss
    import hnswlib

    vectors, queries = data()
    folder = Path(tempfile.mkdtemp())
    rows: list[tuple[str, int, float, float]] = []

    def compare(
        name: str, index: pc.Index, origin: list[np.ndarray], stored: np.ndarray | None = None
    ) -> None:
        assert index.imported is not None and index.imported.graph == "kept", index.imported
        truth = pc.topk(queries, vectors if stored is None else stored, K, index.metric).ids
        for ef, found in zip(EFS, origin, strict=True):
            hits = index.search(queries, K, ef=ef)
            assert hits.path == "graph"
            rows.append((name, ef, recall(found, truth), recall(hits.ids, truth)))

    for space in ("l2", "cosine", "ip"):
        other = hnswlib.Index(space, DIM)
        other.init_index(ROWS, ef_construction=EF_CONSTRUCTION, M=M, random_seed=1)
        other.add_items(vectors, num_threads=1)
        path = str(folder / f"{space}.bin")
        other.save_index(path)
        answers = []
        for ef in EFS:
            other.set_ef(ef)
            answers.append(other.knn_query(queries, K)[0].astype(np.int64))
        index = pc.Index.from_hnswlib(path, DIM, space, graph="keep", layout="compact")
        compare(f"hnswlib, {space}", index, answers)

    for name in ("IndexHNSWFlat", "IndexHNSWSQ"):
        extra = (faiss.ScalarQuantizer.QT_8bit,) if name.endswith("SQ") else ()
        other = getattr(faiss, name)(DIM, *extra, M)
        other.hnsw.efConstruction = EF_CONSTRUCTION
        other.train(vectors)
        other.add(vectors)
        path = str(folder / f"{name}.bin")
        faiss.write_index(other, path)
        answers = []
        for ef in EFS:
            other.hnsw.efSearch = ef
            answers.append(other.search(queries, K)[1])
        index = pc.Index.from_faiss(path, layout="compact")
        compare(f"faiss, {name}", index, answers, other.storage.reconstruct_n(0, ROWS))

    worse = 0
    print(f"recall@{K} of {ROWS:,} x {DIM}, {QUERIES} queries\n")
    print(f"{'from':24} {'ef':>4}  {'origin':>6}  {'here':>6}")
    for name, ef, origin, here in rows:
        worse += here < origin
        print(f"{name:24} {ef:>4}  {origin:6.4f}  {here:6.4f}{'  less' if here < origin else ''}")
    return int(worse > 0)


if __name__ == "__main__":
    sys.exit(main())
