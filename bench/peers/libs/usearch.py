"""usearch: HNSW over 8-bit and half-precision vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Config, Engine


class Usearch(Engine):
    library = "usearch"
    requirement = "usearch>=2.16"
    distribution = "usearch"
    family = "hnsw"
    configs = (
        Config("usearch-i8", "usearch i8 M=16", {"dtype": "i8", "connectivity": 16, "expansion_add": 200}),
        Config("usearch-f16", "usearch f16 M=16", {"dtype": "f16", "connectivity": 16, "expansion_add": 200}),
    )

    def __init__(self, metric: str, dim: int, options: dict[str, Any]) -> None:
        super().__init__(metric, dim, options)
        from usearch.index import Index

        kind = {"cosine": "cos", "ip": "ip", "l2": "l2sq"}[metric]
        self.index = Index(ndim=dim, metric=kind, **options)

    def build(self, staged: Any, threads: int) -> None:
        self.index.add(np.arange(len(staged)), staged, threads=threads)

    def use(self, setting: dict[str, Any], k: int) -> None:
        self.k = k
        self.index.expansion_search = setting["ef"]

    def one(self, query: Any) -> Any:
        return self.index.search(query, self.k, threads=1)

    def ids(self, found: Any) -> np.ndarray:
        return np.atleast_2d(found.keys)
