"""rabitqlib: SymphonyQG, a graph whose rows hold 1-bit codes of their neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Config, Engine


class Rabitqlib(Engine):
    library = "rabitqlib"
    requirement = "rabitqlib>=0.7.1"
    distribution = "rabitqlib"
    family = "local codes"
    configs = (
        Config("rabitqlib-200", "rabitqlib SymqgIndex 32", {"degree": 32, "ef_construction": 200}),
        Config("rabitqlib-400", "rabitqlib SymqgIndex 32, efC 400", {"degree": 32, "ef_construction": 400}),
        Config("rabitqlib-64", "rabitqlib SymqgIndex 64", {"degree": 64, "ef_construction": 200}, tuned=True),
    )

    def __init__(self, metric: str, dim: int, options: dict[str, Any]) -> None:
        super().__init__(metric, dim, options)
        import rabitqlib

        # It turns no fewer dimensions than these. Zeros change neither distances nor inner products.
        self.zeros = max(0, 64 - dim)
        dim += self.zeros
        self.index = rabitqlib.SymqgIndex(dim, options["degree"], "ip" if metric == "ip" else "l2")

    def _wide(self, rows: np.ndarray) -> np.ndarray:
        return np.pad(rows, ((0, 0), (0, self.zeros))) if self.zeros else rows

    def stage(self, items: np.ndarray) -> Any:
        return self._wide(items)

    def build(self, staged: Any, threads: int) -> None:
        self.index.build(staged, self.options["ef_construction"], threads)

    def use(self, setting: dict[str, Any], k: int) -> None:
        self.k, self.ef = k, setting["ef"]

    def queries(self, queries: np.ndarray) -> list[Any]:
        return [query[None] for query in self._wide(queries)]

    def one(self, query: Any) -> Any:
        return self.index.search(query, self.k, self.ef)
