"""NumPy: an exact scan, the peer that is always there."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Config, Curve, Engine


class Numpy(Engine):
    library = "numpy"
    distribution = "numpy"
    family = "exact"
    configs = (Config("numpy-exact", "NumPy exact", named=True),)

    def build(self, staged: Any, threads: int) -> None:
        self.items = staged.copy()
        self.half = 0.5 * np.einsum("ij,ij->i", staged, staged) if self.metric == "l2" else np.float32(0)

    @classmethod
    def curves(cls, options: dict[str, Any], n: int, k: int) -> list[Curve]:
        return [Curve(), Curve(batch=True)]

    def use(self, setting: dict[str, Any], k: int) -> None:
        self.k = k

    def one(self, query: Any) -> Any:
        return self._best(self.items @ query - self.half)

    def many(self, queries: np.ndarray) -> Any:
        return self._best(queries @ self.items.T - self.half)

    def ids(self, found: Any) -> np.ndarray:
        return np.atleast_2d(found)

    def _best(self, scores: np.ndarray) -> np.ndarray:
        return np.argpartition(scores, -self.k, axis=-1)[..., -self.k :]
