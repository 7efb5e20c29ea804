"""hnswlib: HNSW over float32."""

from __future__ import annotations

from typing import Any

from .base import Config, Engine


class Hnswlib(Engine):
    library = "hnswlib"
    requirement = "hnswlib>=0.8"
    distribution = "hnswlib"
    family = "hnsw"
    configs = (
        Config("hnswlib-16", "hnswlib M=16", {"M": 16, "ef_construction": 200}),
        *(
            Config(f"hnswlib-{m}", f"hnswlib M={m}", {"M": m, "ef_construction": 200}, tuned=True)
            for m in (8, 24, 32, 48)
        ),
    )

    def __init__(self, metric: str, dim: int, options: dict[str, Any]) -> None:
        super().__init__(metric, dim, options)
        import hnswlib

        # Unit vectors need no "cosine", which would normalise each query again.
        self.index = hnswlib.Index("l2" if metric == "l2" else "ip", dim)

    def build(self, staged: Any, threads: int) -> None:
        self.index.init_index(len(staged), random_seed=100, **self.options)
        self.index.add_items(staged, num_threads=threads)
        self.index.set_num_threads(1)

    def use(self, setting: dict[str, Any], k: int) -> None:
        self.k = k
        self.index.set_ef(setting["ef"])

    def one(self, query: Any) -> Any:
        return self.index.knn_query(query, self.k, 1)
