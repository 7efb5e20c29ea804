"""Drift: whether scores, or their terms, come from another distribution than they did.

    report = pc.drift.compare(slates_of_last_week, slates_of_today)
    print(report)                                 # a row for the score and for each term

The population stability index says how much has moved, Kolmogorov and Smirnov's test whether it could be
chance. See docs/drift.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _arrow, _convert, _records, _stats
from .results import _table

if TYPE_CHECKING:
    import pyarrow

__all__ = ["KS", "PSI", "Drift", "DriftReport", "compare", "ks", "psi"]

EPSILON = 1e-4
"""The least share that a bin counts with."""
_EXACT = 10_000


@dataclass(frozen=True)
class PSI:
    """A population stability index.

    Attributes:
        value: sum (c_i - r_i) ln(c_i / r_i) over the bins, at least 0. The rule of thumb: below 0.1 little,
            above 0.25 much.
        noise: what two samples of this size from one distribution give on average, (b - 1) (1 / n + 1 / m)
            with b the bins that the reference fills; values near it mean nothing (Yurdakul 2018, *Statistical
            properties of population stability index*).
        edges: (bins - 1,) inner edges; bin i holds edges[i - 1] < x <= edges[i].
        reference, current: (bins,) shares, before the floor.
    """

    value: float
    noise: float
    edges: NDArray[np.float64]
    reference: NDArray[np.float64]
    current: NDArray[np.float64]


@dataclass(frozen=True)
class KS:
    """A two-sample Kolmogorov-Smirnov test.

    Attributes:
        statistic: the largest distance between the two empirical distribution functions, from 0 to 1.
        p_value: two-sided; too large where values repeat.
        method: "exact", by counting paths, or "asymptotic", of Kolmogorov's distribution.
        at: the value where the distance is reached first.
    """

    statistic: float
    p_value: float
    method: str
    at: float


def psi(reference: ArrayLike, current: ArrayLike, *, bins: int = 10, epsilon: float = EPSILON) -> PSI:
    """The population stability index of two samples.

    Args:
        reference: (n,) float, finite: what was. Its quantiles are the edges of the bins; equal ones are
            merged, so values that repeat give fewer bins. Beyond the smallest and the largest one that
            repeat, there is a bin for what is new.
        current: (m,) float, finite: what is.
        bins: how many, at least 2, before merging.
        epsilon: shares below it count as it, so that an empty bin has a logarithm; between 0 and 1.

    O((n + m) log n).
    """
    before, after = _sample("reference", reference), _sample("current", current)
    count = _convert.integer("bins", bins, 2)
    if not 0 < _convert.real("epsilon", epsilon) < 1:
        raise _convert.invalid("epsilon", "a number between 0 and 1", epsilon)
    edges = np.unique(np.quantile(before, np.arange(1, count) / count))
    least = before.min()
    if edges[0] == least:
        # So many values are the smallest that it is a bin of its own; what is new below is another.
        edges = np.concatenate([[np.nextafter(least, -np.inf)], edges])
    # Likewise an edge at the largest value has nothing above it in the reference, and stays.
    shares = [
        np.bincount(np.searchsorted(edges, sample, side="left"), minlength=len(edges) + 1) / len(sample)
        for sample in (before, after)
    ]
    r, c = (np.maximum(one, epsilon) for one in shares)
    value = float(((c - r) * np.log(c / r)).sum())
    noise = (np.count_nonzero(shares[0]) - 1) * (1 / len(before) + 1 / len(after))
    return PSI(value, noise, edges, shares[0], shares[1])


def ks(reference: ArrayLike, current: ArrayLike, *, method: str = "auto") -> KS:
    """The two-sample Kolmogorov-Smirnov test: are both samples from one continuous distribution?

    Args:
        reference: (n,) float, finite.
        current: (m,) float, finite.
        method: of the p-value: "exact" (O(n m); Hodges 1957), "asymptotic" (sqrt(n m / (n + m)) D against
            Kolmogorov's distribution), or "auto" for exact up to n m = 10,000.

    O((n + m) log(n + m)) beside the p-value.
    """
    before, after = np.sort(_sample("reference", reference)), np.sort(_sample("current", current))
    how = _convert.choice("method", method, ("auto", "exact", "asymptotic"))
    n, m = len(before), len(after)
    values = np.concatenate([before, after])
    values.sort()
    gaps = np.abs(
        np.searchsorted(before, values, side="right") / n - np.searchsorted(after, values, side="right") / m
    )
    at = int(gaps.argmax())
    statistic = float(gaps[at])
    if how == "auto":
        how = "exact" if n * m <= _EXACT else "asymptotic"
    if how == "exact":
        p = _stats.smirnov_exact(statistic, n, m)
    else:
        p = _stats.kolmogorov(float(np.sqrt(n * m / (n + m))) * statistic)
    return KS(statistic, p, how, float(values[at]))


@dataclass(frozen=True)
class Drift:
    """One row of a report.

    Attributes:
        term: "score", or the name of a term or column.
        psi, noise: as in `PSI`.
        ks, p_value: as in `KS`.
        reference_mean, current_mean: of the values.
        n_reference, n_current: how many there are.
    """

    term: str
    psi: float
    noise: float
    ks: float
    p_value: float
    reference_mean: float
    current_mean: float
    n_reference: int
    n_current: int


class DriftReport(Sequence[Drift]):
    """What moved, a row a term."""

    def __init__(self, rows: Sequence[Drift]) -> None:
        self._rows = list(rows)

    def __getitem__(self, i: Any) -> Any:
        """The i-th row; or the row of a term, by its name."""
        if isinstance(i, str):
            for row in self._rows:
                if row.term == i:
                    return row
            raise KeyError(f"no term {i!r}; there are {[row.term for row in self._rows]}")
        return DriftReport(self._rows[i]) if isinstance(i, slice) else self._rows[i]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Drift]:
        return iter(self._rows)

    def to_arrow(self) -> pyarrow.Table:
        """A table, one row a term, with the attributes of `Drift`. Needs pyarrow."""
        pa = _arrow.pyarrow("to_arrow")
        kinds = {"term": pa.string(), "n_reference": pa.int64(), "n_current": pa.int64()}
        names = Drift.__dataclass_fields__
        columns = {n: pa.array([getattr(row, n) for row in self], kinds.get(n, pa.float64())) for n in names}
        return pa.table(columns)

    def __repr__(self) -> str:
        rows = [
            [
                row.term,
                f"{row.psi:.4f}",
                f"{row.noise:.4f}",
                f"{row.ks:.4f}",
                f"{row.p_value:.3g}",
                f"{row.reference_mean:.4g} -> {row.current_mean:.4g}",
            ]
            for row in self
        ]
        names = ["term", "psi", "noise", "ks", "p", "mean"]
        return _table(f"DriftReport of {len(self)}", names, rows, len(self))


def compare(reference: Any, current: Any, *, bins: int = 10, epsilon: float = EPSILON) -> DriftReport:
    """PSI and KS of the score and of each term between two windows.

    Args:
        reference: a `SlateBatch`; an iterable of `Slate`s, decision records or their JSON texts; a mapping
            {name: (n,) numbers}; a (n,) array, for one column "score"; or an Arrow table (or a path of one),
            of which "score" and the columns "term.NAME" are taken, as `to_arrow` writes them, or all columns
            when it has none of these. Items of one slate depend on each other, which makes p-values too
            small: thin out, or read PSI.
        current: another window, in any of these forms, with the same terms.
        bins: as for `psi`.
        epsilon: as for `psi`.

    Raises:
        ValueError: the two do not have the same terms, or there is nothing in one of them.
    """
    before, after = _windows("reference", reference), _windows("current", current)
    if set(before) != set(after):
        odd = sorted(set(before) ^ set(after))
        raise _convert.invalid("current", f"the terms of reference, {sorted(before)}", f"{odd} in one alone")
    rows = []
    for name, values in before.items():
        x, y = _sample(f"reference[{name!r}]", values), _sample(f"current[{name!r}]", after[name])
        index, test = psi(x, y, bins=bins, epsilon=epsilon), ks(x, y)
        rows.append(
            Drift(
                name,
                index.value,
                index.noise,
                test.statistic,
                test.p_value,
                float(x.mean()),
                float(y.mean()),
                len(x),
                len(y),
            )
        )
    return DriftReport(rows)


def _sample(argument: str, value: ArrayLike) -> NDArray[np.float64]:
    found = _convert.reals(argument, value, 1)
    if not len(found):
        raise _convert.invalid(argument, "at least one value", "none")
    return found


def _windows(argument: str, window: Any) -> dict[str, Any]:
    """Values by term."""
    if _arrow.is_table(window) or _arrow.is_path(window):
        table = _arrow.as_table(argument, window)
        names = [name for name in table.column_names if name == "score" or name.startswith("term.")]
        columns = names or table.column_names
        return {name.removeprefix("term."): _arrow.numbers(argument, table, name) for name in columns}
    if isinstance(window, np.ndarray):
        return {"score": window}
    if isinstance(window, Mapping) and "schema" not in window:
        return dict(window)
    values: dict[str, list[float]] = {}
    count = 0
    for _, _, terms in _records.shown(argument, window):
        if count and set(terms) != set(values):
            raise _convert.invalid(
                argument, f"slates with the terms {sorted(values)}", f"one with {sorted(terms)}"
            )
        count += 1
        for name, numbers in terms.items():
            values.setdefault(name, []).extend(numbers)
    if not count:
        raise _convert.invalid(argument, "at least one slate", "none")
    return {name: np.array(numbers) for name, numbers in values.items()}
