"""ScaNN: a tree of partitions, anisotropic 4-bit codes, and float32 for the last step."""

from __future__ import annotations

from typing import Any

from .base import Config, Curve, Engine

# Of the leaves, that a search looks into.
SHARES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.3, 0.6, 1.0)


class Scann(Engine):
    library = "scann"
    requirement = "scann>=1.4"
    distribution = "scann"
    family = "partitions"
    configs = (
        Config("scann", "ScaNN", {"leaves_a_root": 1.0}),
        Config("scann-fine", "ScaNN, 3x the leaves", {"leaves_a_root": 3.0}, tuned=True),
    )

    def __init__(self, metric: str, dim: int, options: dict[str, Any]) -> None:
        super().__init__(metric, dim, options)
        from scann import scann_ops_pybind

        self.builder = scann_ops_pybind.builder

    @staticmethod
    def _leaves(options: dict[str, Any], n: int) -> int:
        return max(1, round(options["leaves_a_root"] * n**0.5))

    def build(self, staged: Any, threads: int) -> None:
        n = len(staged)
        measure = "squared_l2" if self.metric == "l2" else "dot_product"
        # The loss that bends codes towards parallel errors is for inner products.
        threshold = float("nan") if self.metric == "l2" else 0.2
        self.index = (
            self.builder(staged, 10, measure)
            .set_n_training_threads(threads)
            .tree(self._leaves(self.options, n), 10, training_sample_size=min(n, 250_000))
            .score_ah(2, anisotropic_quantization_threshold=threshold)
            .reorder(100)
            .build()
        )

    @classmethod
    def curves(cls, options: dict[str, Any], n: int, k: int) -> list[Curve]:
        leaves = cls._leaves(options, n)
        steps = sorted({min(leaves, max(1, round(leaves * s))) for s in SHARES})
        return [
            Curve({"reorder": reorder}, "leaves", tuple(steps))
            for reorder in sorted({max(k, r * k // 10) for r in (30, 100, 400)})
        ]

    def use(self, setting: dict[str, Any], k: int) -> None:
        self.k, self.reorder, self.to_search = k, setting["reorder"], setting["leaves"]

    def one(self, query: Any) -> Any:
        return self.index.search(query, self.k, self.reorder, self.to_search)
