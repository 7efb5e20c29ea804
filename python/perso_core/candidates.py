"""Candidates that the caller brings, in place of a catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from . import _convert, _core
from ._types import METRICS, Ids, Metric, Vectors

__all__ = ["Candidates"]


class Candidates:
    """Items from a search engine or a vector database, to be ranked as a catalog's would be.

    Args:
        ids: n ids of one kind, int or str, each once.
        vectors: (n, dim), or {space: (n, dim)}; None where `scores` stand for them and nothing is
            diversified.
        scores: n finite numbers, higher is better. Where they are given they are the similarity, and `rank`
            takes no user.
        attributes: {name: n values}, as for `Catalog.upsert`.
        metric: how vectors are compared; {space: metric} for several spaces.
    """

    def __init__(
        self,
        ids: Ids,
        vectors: Mapping[str, Vectors] | Vectors | None = None,
        scores: Sequence[float] | NDArray[Any] | None = None,
        attributes: Mapping[str, Sequence[Any] | NDArray[Any]] | None = None,
        *,
        metric: Metric | Mapping[str, Metric] = "cosine",
    ) -> None:
        arrays = {} if vectors is None else _convert.by_space("vectors", vectors, "vectors")
        for name, array in arrays.items():
            _convert.matrix(f"vectors[{name!r}]", array)
        if isinstance(metric, Mapping):
            metrics = {
                name: _convert.choice(f"metric[{name!r}]", one, METRICS) for name, one in metric.items()
            }
            if metrics.keys() != arrays.keys():
                raise _convert.invalid("metric", f"the spaces {sorted(arrays)}", sorted(metrics))
        else:
            metrics = dict.fromkeys(arrays, _convert.choice("metric", metric, METRICS))
        numbers = None if scores is None else _convert.doubles("scores", scores)
        columns = _convert.attributes(attributes, {})
        self._spaces = list(arrays)
        self._kinds = tuple((name, kind) for name, (kind, _) in columns.items())
        self._core = _core.Candidates(_convert.ids("ids", ids), arrays, metrics, numbers, columns)

    def __len__(self) -> int:
        return len(self._core)

    def __repr__(self) -> str:
        return f"<Candidates: {len(self):,}, spaces {', '.join(self._spaces) or 'none'}>"
