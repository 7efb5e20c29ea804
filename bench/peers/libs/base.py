"""What an adapter of a library provides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

# Widths of a graph search, each about a third above the last: what the curves are drawn through. The
# settings that reach a recall are then found between them.
EFS = (10, 14, 20, 28, 40, 54, 72, 96, 128, 170, 230, 300, 400, 540, 720, 960, 1300, 1800, 2600)


@dataclass(frozen=True)
class Config:
    """An index to build: a library with its build parameters.

    `named` configurations only run when `--peers` or `--ours` names them; `tuned` ones also under
    `--tune-peers`.
    """

    key: str
    label: str
    options: dict[str, Any] = field(default_factory=dict)
    tuned: bool = False
    named: bool = False


@dataclass(frozen=True)
class Curve:
    """Search settings that differ in one number: `fixed` and, for each value, {knob: value}.

    Recall grows with the knob. Without a knob there is the one setting; with `batch` it is one call
    for all queries.
    """

    fixed: dict[str, Any] = field(default_factory=dict)
    knob: str | None = None
    values: tuple[int, ...] = ()
    batch: bool = False

    def setting(self, value: int | None) -> dict[str, Any]:
        return self.fixed if self.knob is None else self.fixed | {self.knob: value}


def label_of(setting: dict[str, Any], batch: bool = False) -> str:
    parts = [f"{name}={value}" for name, value in setting.items()]
    return " ".join([*parts, "batch"] if batch else parts) or "default"


class Unsupported(Exception):
    """This configuration cannot run here; the message says why."""


class Engine:
    """An index of one library. Vectors come as float32 rows, of unit length under the cosine."""

    library: ClassVar[str]
    # What pip installs for it, and the distribution whose version is reported.
    requirement: ClassVar[str | None] = None
    distribution: ClassVar[str | None] = None
    configs: ClassVar[tuple[Config, ...]] = ()
    # Graphs of HNSW's kind: what the compact layout is measured against.
    family: ClassVar[str] = "other"

    def __init__(self, metric: str, dim: int, options: dict[str, Any]) -> None:
        """Imports the library: what that costs is not the index's."""
        self.metric, self.dim, self.options = metric, dim, options

    def stage(self, items: np.ndarray) -> Any:
        """The items in a form that `build` takes, outside its time."""
        return items

    def build(self, staged: Any, threads: int) -> None:
        raise NotImplementedError

    @classmethod
    def curves(cls, options: dict[str, Any], n: int, k: int) -> list[Curve]:
        efs = tuple(ef for ef in EFS if ef > k)
        return [Curve(knob="ef", values=(k, *efs))]

    def use(self, setting: dict[str, Any], k: int) -> None:
        """Searches that follow are of this setting."""
        raise NotImplementedError

    def queries(self, queries: np.ndarray) -> list[Any]:
        """Each query in the form that `one` takes, so that no slicing is in its time."""
        return list(queries)

    def one(self, query: Any) -> Any:
        """One search, on one thread: what is timed."""
        raise NotImplementedError

    def many(self, queries: np.ndarray) -> Any:
        """One call for all queries, on one thread; for those with a curve of batches."""
        raise NotImplementedError

    def ids(self, found: Any) -> np.ndarray:
        """Row numbers, one row a query, out of what a search returned."""
        return np.atleast_2d(np.asarray(found[0]))
