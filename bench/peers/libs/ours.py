"""This library."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from .base import EFS, Config, Curve, Engine, Unsupported


class Ours(Engine):
    library = "perso_core"
    distribution = "perso_core"
    family = "ours"
    configs = (
        Config("ours-compact", "perso_core i8 compact", {"dtype": "i8", "layout": "compact"}),
        Config(
            "ours-compact-f16",
            "perso_core i8 compact + f16",
            {"dtype": "i8", "layout": "compact", "rescore": "f16"},
        ),
        Config("ours-local", "perso_core i8 local", {"dtype": "i8", "layout": "local"}),
        Config(
            "ours-local-f16",
            "perso_core i8 local + f16",
            {"dtype": "i8", "layout": "local", "rescore": "f16"},
        ),
        Config("ours-f32", "perso_core f32 compact", {"dtype": "f32", "layout": "compact"}),
        # Nothing chosen: what somebody gets who reads no further than the first example.
        Config("ours-auto", "perso_core, no knob"),
        Config("ours-auto-i8", "perso_core i8, no knob", {"dtype": "i8"}, named=True),
        Config("ours-exact", "perso_core f32 exact", {"dtype": "f32", "layout": "exact"}),
        Config("ours-exact-i8", "perso_core i8 exact", {"dtype": "i8", "layout": "exact"}),
    )

    def __init__(self, metric: str, dim: int, options: dict[str, Any]) -> None:
        super().__init__(metric, dim, options)
        import perso_core as pc

        known = inspect.signature(pc.Index).parameters
        missing = [name for name in options if name not in known]
        if missing:
            raise Unsupported(f"perso_core {pc.__version__}: Index has no argument {missing[0]!r}")
        self.index = pc.Index(dim, metric, **options)  # type: ignore[arg-type]

    def build(self, staged: Any, threads: int) -> None:
        self.index.add(staged, num_threads=threads)

    @classmethod
    def curves(cls, options: dict[str, Any], n: int, k: int) -> list[Curve]:
        if "layout" not in options:
            return [Curve()]
        if options["layout"] == "exact":
            return [Curve({"exact": True}), Curve({"exact": True}, batch=True)]
        efs = tuple(ef for ef in EFS if ef > k)
        return [Curve(knob="ef", values=(k, *efs))]

    def use(self, setting: dict[str, Any], k: int) -> None:
        self.k, self.arguments = k, setting

    def one(self, query: Any) -> Any:
        return self.index.search(query, self.k, **self.arguments)

    def many(self, queries: np.ndarray) -> Any:
        return self.one(queries)

    def ids(self, found: Any) -> np.ndarray:
        return np.atleast_2d(found.ids)
