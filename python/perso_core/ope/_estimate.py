"""One form for all estimators, and what they return.

Every estimator here is a sum of ratios of sums over the rows of a log,

    value = sum_k  (sum_i top_ik) / (sum_i bottom_ik)

with `bottom` 1 for a plain mean and the weights for a self-normalised one. So one function computes the
value, its influence function

    psi_i = sum_k (top_ik - v_k bottom_ik) / mean(bottom_k)

and from that the standard error sqrt(sum psi^2 / ((n - 1) n)), which for a plain mean is the usual one and
for a ratio the delta method (Owen 2013, *Monte Carlo theory, methods and examples*, section 9.2). Rows that
are not independent are summed by cluster first, which makes the error robust to whatever binds them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from .. import _arrow, _convert
from ..results import _table
from ._interval import Interval, Normal, check_interval

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Estimate", "Estimates", "difference"]

FEW = 50
"""Fewer effective rows than this earn a warning."""
FAR = 4.0
"""A mean weight this many standard errors from 1 earns a warning: by chance 6 in 100,000 for each slot."""
UNSETTLED = 0.25
"""A mean weight this far from 1 earns one whatever its standard error, which is too small for heavy tails."""


@dataclass(frozen=True, repr=False)
class Estimate:
    """What a policy would have earned, and how far that can be trusted.

    Attributes:
        estimator: its name.
        value: the estimated reward a row, or a slate; higher is better.
        standard_error: of the value, from the influence function. NaN with fewer than two independent rows.
        low, high: the confidence interval.
        interval: how it was made: "normal" or "bootstrap".
        level: its confidence.
        n: rows of the log, or slates.
        clusters: how many of them are taken for independent.
        ess: effective sample size (sum w)^2 / sum w^2 (Kish 1965); of the slot where it is least when each
            slot has its own weight. `n` where nothing is weighted.
        max_weight: the largest weight, after clipping.
        mean_weight: before clipping; 1 in expectation where the logging policy could have shown all that
            the evaluated one shows. Of the slot where it is farthest from 1.
        clipped: the share of weights that were clipped.
        warnings: why not to trust it, in plain words; empty is good.
        influence: (clusters,) the influence function, for `difference` and for what you compute yourself.
    """

    estimator: str
    value: float
    standard_error: float
    low: float
    high: float
    interval: str
    level: float
    n: int
    clusters: int
    ess: float
    max_weight: float
    mean_weight: float
    clipped: float
    warnings: tuple[str, ...]
    influence: NDArray[np.float64] = field(compare=False)

    def to_arrow(self) -> pyarrow.Table:
        """A table of one row with all but the influence function. Needs pyarrow."""
        return Estimates([self]).to_arrow()

    def __repr__(self) -> str:
        return repr(Estimates([self]))


class Estimates(Sequence[Estimate]):
    """Several estimates, as a table."""

    def __init__(self, estimates: Iterable[Estimate]) -> None:
        self._estimates = list(estimates)
        for one in self._estimates:
            if not isinstance(one, Estimate):
                raise _convert.wrong_type("estimates", "Estimates", _convert.kind_of(one))

    @overload
    def __getitem__(self, i: int | str) -> Estimate: ...
    @overload
    def __getitem__(self, i: slice) -> Estimates: ...
    def __getitem__(self, i: int | str | slice) -> Estimate | Estimates:
        if isinstance(i, str):
            for one in self._estimates:
                if one.estimator == i:
                    return one
            raise KeyError(f"no estimate {i!r}; there are {[one.estimator for one in self._estimates]}")
        return Estimates(self._estimates[i]) if isinstance(i, slice) else self._estimates[i]

    def __len__(self) -> int:
        return len(self._estimates)

    def to_arrow(self) -> pyarrow.Table:
        """A table, one row an estimate, with all attributes but the influence. Needs pyarrow."""
        pa = _arrow.pyarrow("to_arrow")
        text, whole, real = pa.string(), pa.int64(), pa.float64()
        kinds = {
            "estimator": text,
            "interval": text,
            "n": whole,
            "clusters": whole,
            "warnings": pa.list_(text),
        }
        names = [name for name in Estimate.__dataclass_fields__ if name != "influence"]
        return pa.table(
            {
                name: pa.array([_plain(getattr(one, name)) for one in self], kinds.get(name, real))
                for name in names
            }
        )

    def __repr__(self) -> str:
        names = ["estimator", "value", "s.e.", "interval", "n", "ess", "max weight", "mean weight"]
        rows = [
            [
                one.estimator,
                f"{one.value:.6g}",
                f"{one.standard_error:.3g}",
                f"[{one.low:.6g}, {one.high:.6g}]",
                str(one.n),
                f"{one.ess:.1f}",
                f"{one.max_weight:.4g}",
                f"{one.mean_weight:.4g}",
            ]
            for one in self
        ]
        kinds = sorted({f"{one.level:.0%} {one.interval}" for one in self})
        lines = [_table(f"Estimates: {len(self)}, {', '.join(kinds)}", names, rows, len(self))]
        lines += [f"  {one.estimator}: {text}" for one in self for text in one.warnings]
        return "\n".join(lines)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Weights:
    """The weights of an estimator: (n,) or (n, slots), with what is wrong with them."""

    used: NDArray[np.float64]
    clipped: float
    mean: float
    warnings: tuple[str, ...]


def weights(
    logged: NDArray[np.float64],
    target: NDArray[np.float64],
    clip: float | None,
    clusters: NDArray[np.int64] | None,
    *,
    raw: NDArray[np.float64] | None = None,
    mean_is_one: bool = True,
) -> Weights:
    """The ratios target / logged, or `raw` where they are made otherwise, and the checks on them."""
    found = ratio(logged, target) if raw is None else raw
    notes = []
    impossible = int(np.count_nonzero((logged <= 0) & (target > 0)))
    if impossible:
        notes.append(
            f"no support: {impossible} logged choices have propensity 0 in the log and more under the evaluated "
            "policy; they weigh nothing here"
        )
    mean = float("nan")
    if mean_is_one:
        mean, far = _mean_weight(found if found.ndim == 2 else found[:, np.newaxis], clusters)
        if not far and abs(mean - 1) > UNSETTLED:
            notes.append(
                f"unsettled: the mean weight is {mean:.4g} in place of 1: rare large weights decide, or are missing"
            )
        if far:
            notes.append(
                f"no support, or propensities that are wrong: the mean weight is {mean:.4g}, more than {FAR} "
                "standard errors from 1"
            )
    if clip is None:
        return Weights(found, 0.0, mean, tuple(notes))
    over = found > clip
    return Weights(np.minimum(found, clip), float(over.mean()), mean, tuple(notes))


def ratio(logged: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ratios target / logged; 0 where nothing was logged."""
    return np.divide(target, logged, out=np.zeros_like(target), where=logged > 0)


def _mean_weight(found: NDArray[np.float64], clusters: NDArray[np.int64] | None) -> tuple[float, bool]:
    """The slot's mean that is farthest from 1, and whether any is farther than chance explains."""
    ones = np.ones_like(found)
    top, bottom = by_cluster(found, clusters), by_cluster(ones, clusters)
    means = top.sum(axis=0) / bottom.sum(axis=0)
    units = len(top)
    worst = float(means[np.abs(means - 1).argmax()])
    if units < 2:
        return worst, False
    psi = (top - means * bottom) / bottom.mean(axis=0)
    errors = np.sqrt((psi**2).sum(axis=0) / ((units - 1) * units))
    # A mean of weights that hardly vary is 1 up to rounding.
    return worst, bool((np.abs(means - 1) > FAR * errors + 1e-9).any())


def by_cluster(values: NDArray[np.float64], clusters: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """Rows summed by cluster; clusters count from 0 without gaps."""
    if clusters is None:
        return values
    out = np.zeros((int(clusters.max()) + 1, values.shape[1]))
    np.add.at(out, clusters, values)
    return out


def estimate(
    name: str,
    top: NDArray[np.float64],
    bottom: NDArray[np.float64] | None,
    interval: object,
    clusters: NDArray[np.int64] | None,
    weighting: Weights | None = None,
) -> Estimate:
    """The estimate of sum_k (sum_i top_ik / sum_i bottom_ik); see the top of this file."""
    how = check_interval(interval)
    n = len(top)
    top = top if top.ndim == 2 else top[:, np.newaxis]
    if bottom is None:
        bottom = np.ones_like(top)
    bottom = bottom if bottom.ndim == 2 else bottom[:, np.newaxis]
    notes = list(weighting.warnings) if weighting is not None else []
    contributing = int(np.count_nonzero(top.any(axis=1)))
    top, bottom = by_cluster(top, clusters), by_cluster(bottom, clusters)
    units = len(top)
    sums, totals = top.sum(axis=0), bottom.sum(axis=0)
    ess, largest, mean, clipped = float(n), 1.0, 1.0, 0.0
    if weighting is not None:
        used = weighting.used if weighting.used.ndim == 2 else weighting.used[:, np.newaxis]
        squares = (used**2).sum(axis=0)
        each = np.divide(used.sum(axis=0) ** 2, squares, out=np.zeros_like(squares), where=squares > 0)
        ess, largest = float(each.min()), float(used.max())
        mean, clipped = weighting.mean, weighting.clipped
    if (totals == 0).any():
        notes.append("no row has any weight: there is nothing to estimate from")
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = sums / totals
        psi = ((top - parts * bottom) / bottom.mean(axis=0)).sum(axis=1)
    value = float(parts.sum())
    error = _error(psi)
    low, high = how.bounds(value, error, top, bottom)
    if weighting is not None and ess < FEW:
        notes.append(f"few effective rows: {ess:.1f} of {n}; intervals are too narrow below {FEW}")
    if contributing < FEW:
        notes.append(f"few rewards: {contributing} of {n} rows have weight and a reward other than 0")
    return Estimate(
        estimator=name,
        value=value,
        standard_error=error,
        low=low,
        high=high,
        interval=how.name,
        level=how.level,
        n=n,
        clusters=units,
        ess=ess,
        max_weight=largest,
        mean_weight=mean,
        clipped=clipped,
        warnings=tuple(notes),
        influence=psi,
    )


def _error(psi: NDArray[np.float64]) -> float:
    """The standard error of an estimate with this influence function."""
    units = len(psi)
    return float(np.sqrt((psi**2).sum() / ((units - 1) * units))) if units > 1 else float("nan")


def difference(a: Estimate, b: Estimate, *, level: float = 0.95) -> Estimate:
    """How much more `a` is worth than `b`, both estimated from the same log.

    The two share their rows, so the interval of the difference is not that of the two added up: it comes from
    the difference of their influence functions, row by row.

    Args:
        a: an estimate.
        b: another from the same log, with the same clusters.
        level: of confidence.

    Returns:
        An `Estimate` of a.value - b.value with a normal interval. Its `ess` and weights are the worse of the
        two.

    Raises:
        ValueError: they are not of logs of one length and one number of clusters.
    """
    for argument, one in (("a", a), ("b", b)):
        if not isinstance(one, Estimate):
            raise _convert.wrong_type(argument, "an Estimate", _convert.kind_of(one))
    if (a.n, a.clusters) != (b.n, b.clusters):
        raise _convert.invalid(
            "b",
            f"an estimate from the same log ({a.n} rows, {a.clusters} clusters)",
            f"{b.n} rows, {b.clusters} clusters",
        )
    psi = a.influence - b.influence
    error = _error(psi)
    value = a.value - b.value
    how: Interval = Normal(level)
    low, high = how.bounds(value, error, psi[:, np.newaxis], psi[:, np.newaxis])
    farther = max((a.mean_weight, b.mean_weight), key=lambda mean: abs(mean - 1))
    return Estimate(
        f"{a.estimator} - {b.estimator}",
        value,
        error,
        low,
        high,
        how.name,
        how.level,
        a.n,
        a.clusters,
        min(a.ess, b.ess),
        max(a.max_weight, b.max_weight),
        farther,
        max(a.clipped, b.clipped),
        tuple(dict.fromkeys(a.warnings + b.warnings)),
        psi,
    )
