"""How an estimate says what it is sure of."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from .. import _convert

__all__ = ["Bootstrap", "Interval", "Normal"]


@dataclass(frozen=True)
class Normal:
    """The value plus and minus normal quantiles times its standard error, from the influence function.

    Args:
        level: of confidence, between 0 and 1.
    """

    level: float = 0.95

    def __post_init__(self) -> None:
        _check_level(self.level)

    @property
    def name(self) -> str:
        """The kind, as estimates tell it."""
        return "normal"

    def bounds(
        self, value: float, error: float, top: NDArray[np.float64], bottom: NDArray[np.float64]
    ) -> tuple[float, float]:
        """The interval of sum_k (sum_i top_ik / sum_i bottom_ik), whose standard error is `error`."""
        half = NormalDist().inv_cdf(0.5 + self.level / 2) * error
        return value - half, value + half


@dataclass(frozen=True)
class Bootstrap:
    """The percentile bootstrap (Efron 1979): quantiles of the value over resampled rows, or clusters.

    The same numbers with the same seed on every machine that has the same NumPy.

    Args:
        level: of confidence, between 0 and 1.
        resamples: how many times the log is drawn again, at least 100.
        seed: of the draws, from 0 to 2**64 - 1.
    """

    level: float = 0.95
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        _check_level(self.level)
        _convert.integer("resamples", self.resamples, 100, 1_000_000)
        _convert.seed(self.seed)

    @property
    def name(self) -> str:
        """The kind, as estimates tell it."""
        return "bootstrap"

    def bounds(
        self, value: float, error: float, top: NDArray[np.float64], bottom: NDArray[np.float64]
    ) -> tuple[float, float]:
        """The interval of sum_k (sum_i top_ik / sum_i bottom_ik)."""
        if not np.isfinite(value):
            return float("nan"), float("nan")
        n = len(top)
        rng = np.random.Generator(np.random.Philox(self.seed))
        both = np.concatenate([top, bottom], axis=1)
        drawn = np.empty(self.resamples)
        split = top.shape[1]
        for i in range(self.resamples):
            # How often each row is drawn, and not the rows: a pass over memory in order.
            times = np.bincount(rng.integers(0, n, n), minlength=n)
            sums = times @ both
            with np.errstate(divide="ignore", invalid="ignore"):
                drawn[i] = (sums[:split] / sums[split:]).sum()
        # A resample without any weight has no value.
        drawn = drawn[np.isfinite(drawn)]
        if not len(drawn):
            return float("nan"), float("nan")
        low, high = np.quantile(drawn, [0.5 - self.level / 2, 0.5 + self.level / 2])
        return float(low), float(high)


Interval = Normal | Bootstrap


def check_interval(interval: object) -> Interval:
    """An interval, or an error."""
    if not isinstance(interval, Normal | Bootstrap):
        raise _convert.wrong_type("interval", "a Normal or a Bootstrap", _convert.kind_of(interval))
    return interval


def _check_level(level: object) -> None:
    if not 0.0 < _convert.real("level", level) < 1.0:
        raise _convert.invalid("level", "a number between 0 and 1", level)


NORMAL = Normal()
