"""SVS (Scalable Vector Search): Vamana graphs over float32 and over LVQ codes."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np

from .base import Config, Engine


class Svs(Engine):
    library = "svs"
    requirement = "scalable-vs>=0.3"
    distribution = "scalable-vs"
    family = "vamana"
    configs = (
        Config("svs-f32", "SVS Vamana f32", {"degree": 32, "window": 200}),
        Config("svs-lvq4x8", "SVS Vamana LVQ4x8", {"degree": 32, "window": 200, "lvq": [4, 8]}),
        Config("svs-f32-64", "SVS Vamana f32, degree 64", {"degree": 64, "window": 200}, tuned=True),
        Config("svs-lvq8", "SVS Vamana LVQ8", {"degree": 32, "window": 200, "lvq": [8, 0]}, tuned=True),
    )

    def __init__(self, metric: str, dim: int, options: dict[str, Any]) -> None:
        super().__init__(metric, dim, options)
        import svs

        self.svs = svs

    def stage(self, items: np.ndarray) -> Any:
        if "lvq" not in self.options:
            return items
        # Codes are made from a file alone.
        handle, path = tempfile.mkstemp(suffix=".fvecs")
        os.close(handle)
        self.svs.write_vecs(items, path)
        return path

    def build(self, staged: Any, threads: int) -> None:
        svs = self.svs
        ip = self.metric == "ip"
        parameters = svs.VamanaBuildParameters(
            alpha=0.95 if ip else 1.2,
            graph_max_degree=self.options["degree"],
            window_size=self.options["window"],
        )
        source = staged
        if isinstance(staged, str):
            primary, residual = self.options["lvq"]
            loader = svs.VectorDataLoader(staged, svs.float32, dims=self.dim)
            source = svs.LVQLoader(loader, primary=primary, residual=residual)
        measure = svs.DistanceType.MIP if ip else svs.DistanceType.L2
        self.index = svs.Vamana.build(parameters, source, measure, num_threads=threads)
        self.index.num_threads = 1
        if isinstance(staged, str):
            os.remove(staged)

    def use(self, setting: dict[str, Any], k: int) -> None:
        self.k = k
        self.index.search_window_size = setting["ef"]

    def one(self, query: Any) -> Any:
        return self.index.search(query, self.k)
