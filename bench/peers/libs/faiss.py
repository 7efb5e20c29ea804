"""faiss: HNSW over float32 and over 8-bit codes, and exact scans."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Config, Curve, Engine


class Faiss(Engine):
    library = "faiss"
    requirement = "faiss-cpu>=1.9"
    distribution = "faiss-cpu"
    index: Any
    k: int

    def __init__(self, metric: str, dim: int, options: dict[str, Any]) -> None:
        super().__init__(metric, dim, options)
        import faiss

        self.faiss = faiss
        self.measure = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT

    def queries(self, queries: np.ndarray) -> list[Any]:
        return [query[None] for query in queries]

    def one(self, query: Any) -> Any:
        return self.index.search(query, self.k)

    def ids(self, found: Any) -> np.ndarray:
        return np.asarray(found[1])


class FaissHnsw(Faiss):
    family = "hnsw"
    configs = (
        Config("faiss-hnsw-16", "faiss HNSW-Flat M=16", {"M": 16, "ef_construction": 200}),
        Config("faiss-sq8-16", "faiss HNSW-SQ8 M=16", {"M": 16, "ef_construction": 200, "sq8": True}),
        Config("faiss-hnsw-32", "faiss HNSW-Flat M=32", {"M": 32, "ef_construction": 200}, tuned=True),
        Config(
            "faiss-sq8-32", "faiss HNSW-SQ8 M=32", {"M": 32, "ef_construction": 200, "sq8": True}, tuned=True
        ),
    )

    def build(self, staged: Any, threads: int) -> None:
        faiss, m = self.faiss, self.options["M"]
        if self.options.get("sq8"):
            self.index = faiss.IndexHNSWSQ(self.dim, faiss.ScalarQuantizer.QT_8bit, m, self.measure)
        else:
            self.index = faiss.IndexHNSWFlat(self.dim, m, self.measure)
        self.index.hnsw.efConstruction = self.options["ef_construction"]
        faiss.omp_set_num_threads(threads)
        self.index.train(staged)
        self.index.add(staged)
        faiss.omp_set_num_threads(1)

    def use(self, setting: dict[str, Any], k: int) -> None:
        self.k = k
        self.index.hnsw.efSearch = setting["ef"]


class FaissFlat(Faiss):
    family = "exact"
    configs = (Config("faiss-flat", "faiss Flat (exact)"),)

    def build(self, staged: Any, threads: int) -> None:
        self.index = self.faiss.IndexFlat(self.dim, self.measure)
        self.index.add(staged)
        self.faiss.omp_set_num_threads(1)

    @classmethod
    def curves(cls, options: dict[str, Any], n: int, k: int) -> list[Curve]:
        return [Curve(), Curve(batch=True)]

    def use(self, setting: dict[str, Any], k: int) -> None:
        self.k = k

    def many(self, queries: np.ndarray) -> Any:
        return self.one(queries)
