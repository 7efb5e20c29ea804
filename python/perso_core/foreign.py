"""What `Index.from_hnswlib` and `Index.from_faiss` share."""

from __future__ import annotations

from dataclasses import dataclass

from . import _convert
from ._types import DTYPES, LAYOUTS, RESCORES

__all__ = ["Imported"]

GRAPHS = ("auto", "keep", "build")


@dataclass(frozen=True)
class Imported:
    """What became of the parts of another library's file; `Index.imported`.

    Attributes:
        format: "hnswlib" or "faiss".
        graph: "kept" when the index has the file's links, "built" when it has links of its own, "none" when it has none.
        reason: why the links are not the file's; None when they are.
        removed: elements of the file that were marked as removed. With links that were kept they stay in memory as rows
            that are walked through and never answered, as after a removal.
    """

    format: str
    graph: str
    reason: str | None
    removed: int


def form(
    dtype: object, layout: object, rescore: object, seed: object, graph: object, num_threads: object
) -> tuple[str, str, str | None, int, str, int]:
    """The arguments that both have, checked."""
    return (
        _convert.choice("dtype", dtype, DTYPES),
        _convert.choice("layout", layout, LAYOUTS),
        _convert.optional_choice("rescore", rescore, RESCORES),
        _convert.seed(seed),
        _convert.choice("graph", graph, GRAPHS),
        _convert.threads(num_threads),
    )
