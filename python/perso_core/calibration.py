"""Normalisers with parameters: fixed calibrations, and reciprocal ranks.

Fixed calibrations do not depend on who else is in the pool. Under "minmax", "zscore" and "rank" a term says how a candidate stands among the candidates of this request. Under
these it says the same in every slate, so terms and scores can be compared between requests, and a candidate's
score does not change because another one came or went. Reciprocal ranks, `RRF`, are of the pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from . import _convert

__all__ = ["RRF", "Linear", "Percentiles", "Sigmoid"]

_MOST = 10_001


def _scale(kind: str, origin: object, unit: object) -> tuple[float, float]:
    width = _convert.real(f"{kind}.unit", unit)
    if width == 0.0:
        raise _convert.invalid(f"{kind}.unit", "a finite number other than 0", width)
    return _convert.real(f"{kind}.origin", origin), width


@dataclass(frozen=True)
class Linear:
    """(x - origin) / unit.

    Args:
        origin: the value that becomes 0.
        unit: the difference that becomes 1; negative turns the signal round.

    >>> import perso_core as pc
    >>> pc.Blend(price=pc.Signal(0.1, normalize=pc.Linear(origin=50, unit=-50)))
    Blend(similarity=1.0, price=Signal(0.1, normalize=Linear(origin=50.0, unit=-50.0)))
    """

    KIND: ClassVar[str] = "linear"

    origin: float
    unit: float

    def __post_init__(self) -> None:
        origin, unit = _scale("Linear", self.origin, self.unit)
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "unit", unit)

    def _document(self) -> dict[str, Any]:
        return {self.KIND: {"origin": self.origin, "unit": self.unit}}


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 + exp(-(x - origin) / unit)): from 0 to 1, for what has no bounds of its own.

    The form of Platt's scaling (1999), with its parameters given.

    Args:
        origin: the value that becomes 1/2.
        unit: from there, over this difference it rises to 0.73, and over three of it to 0.95.
    """

    KIND: ClassVar[str] = "sigmoid"

    origin: float
    unit: float

    def __post_init__(self) -> None:
        origin, unit = _scale("Sigmoid", self.origin, self.unit)
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "unit", unit)

    def _document(self) -> dict[str, Any]:
        return {self.KIND: {"origin": self.origin, "unit": self.unit}}


@dataclass(frozen=True)
class Percentiles:
    """The share of a population that lies below x, from a table of its quantiles: 0 to 1, whatever its distribution.

    Between two quantiles it is interpolated, below the first it is 0, above the last 1; a value that several
    quantiles have gets the middle of their places.

    Args:
        values: 2 to 10,001 quantiles at even steps from 0 to 1, ascending, not all the same.

    >>> import numpy as np
    >>> import perso_core as pc
    >>> pc.Percentiles.of(np.arange(1000), count=5)
    Percentiles(values=(0.0, 249.75, 499.5, 749.25, 999.0))
    """

    KIND: ClassVar[str] = "percentiles"

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        what = f"2 to {_MOST} finite numbers in ascending order, not all the same"
        if isinstance(self.values, str | bytes) or not hasattr(self.values, "__iter__"):
            raise _convert.wrong_type("Percentiles.values", what, _convert.kind_of(self.values))
        values = tuple(_convert.real("Percentiles.values", value) for value in self.values)
        rising = all(a <= b for a, b in pairwise(values))
        if not 2 <= len(values) <= _MOST or not rising or values[0] == values[-1]:
            shown = repr(values) if len(values) <= 5 else f"{len(values)} numbers"
            raise _convert.invalid("Percentiles.values", what, shown)
        object.__setattr__(self, "values", values)

    @classmethod
    def of(cls, sample: ArrayLike, count: int = 101) -> Percentiles:
        """The table of a sample.

        Args:
            sample: (n,) numbers; NaN stands for a missing one and is left out.
            count: quantiles in the table.

        Raises:
            ValueError: no two different numbers in the sample, or an infinity.
        """
        numbers = np.asarray(sample, dtype=np.float64).ravel()
        numbers = numbers[~np.isnan(numbers)]
        if not np.isfinite(numbers).all() or numbers.size == 0 or numbers.min() == numbers.max():
            raise _convert.invalid("sample", "finite numbers, not all the same", f"{numbers.size} numbers")
        steps = np.linspace(0.0, 1.0, _convert.integer("count", count, 2, _MOST))
        # Interpolation may round a quantile below the one before it.
        return cls(tuple(np.maximum.accumulate(np.quantile(numbers, steps)).tolist()))

    def _document(self) -> dict[str, Any]:
        return {self.KIND: {"at": list(self.values)}}


@dataclass(frozen=True)
class RRF:
    """1 / (k + rank), rank 1 for the largest value of the pool: with weights of 1, reciprocal rank fusion.

    Equal values share their best rank; a missing value contributes 0. A candidate that joins the pool later ranks
    behind those of the first pool that are better than it. Cormack, Clarke and Buettcher, SIGIR 2009.

    Args:
        k: what softens the lead of the first, a finite number of at least 0; 60 in the paper.

    >>> import perso_core as pc
    >>> pc.Blend({"cf": 1, "content": 1}, normalize=pc.RRF(60))
    Blend(similarity={'cf': 1.0, 'content': 1.0}, normalize=RRF(k=60.0))
    """

    KIND: ClassVar[str] = "rrf"

    k: float = 60.0

    def __post_init__(self) -> None:
        k = _convert.real("RRF.k", self.k)
        if k < 0.0:
            raise _convert.invalid("RRF.k", "a finite number of at least 0", k)
        object.__setattr__(self, "k", k)

    def _document(self) -> dict[str, Any]:
        return {self.KIND: {"k": self.k}}


Calibration = Linear | Sigmoid | Percentiles | RRF


def from_document(document: dict[str, Any]) -> Calibration:
    """The calibration that a policy's JSON names."""
    expected = "one of 'linear', 'sigmoid', 'percentiles' and 'rrf'"
    if len(document) != 1:
        raise _convert.invalid("normalize", expected, f"the keys {sorted(document)}")
    ((kind, inner),) = document.items()
    if kind == Linear.KIND:
        return Linear(inner["origin"], inner["unit"])
    if kind == Sigmoid.KIND:
        return Sigmoid(inner["origin"], inner["unit"])
    if kind == Percentiles.KIND:
        return Percentiles(tuple(inner["at"]))
    if kind == RRF.KIND:
        return RRF(inner["k"])
    raise _convert.invalid("normalize", expected, repr(kind))
