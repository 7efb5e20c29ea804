"""One choice a row: inverse propensities, their clipped and self-normalised forms, models, and both at once.

With w_i = target_i / logged_i, rewards r_i, a model's q(x_i, a_i) and its expectation under the evaluated
policy v(x_i) = sum_a target(a | x_i) q(x_i, a):

    IPS    mean(w r)                     Horvitz and Thompson 1952; Strehl et al. 2010
    SNIPS  sum(w r) / sum(w)             Swaminathan and Joachims 2015 (NeurIPS)
    DM     mean(v)
    DR     mean(v + w (r - q))           Dudik, Langford and Li 2011 (ICML), equation (1)
    SNDR   mean(v) + sum(w (r - q)) / sum(w)

`clip` replaces w by min(w, clip) (Ionides 2008): less variance, and a value that is too low for rewards of 0
or more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _arrow, _convert
from .._types import ArrowStream, Path
from ._estimate import Estimate, estimate, weights
from ._interval import NORMAL, Interval

__all__ = ["BanditLog", "dm", "dr", "ips", "mean_reward", "snips"]

# How far the probabilities of a row may add up from 1.
_SUM = 1e-6


class BanditLog:
    """Logged choices, their rewards, and what the evaluated policy would have done.

    Args:
        rewards: (n,) float, finite; higher is better.
        logged: (n,) the probability with which the logging policy made the choice that it made.
        target: (n,) the probability with which the evaluated policy makes that same choice.
        predicted: (n,) a model's reward of the choice that was made; for `dr`. Fit the model on other rows
            than these, or cross-fit it: one that has seen these rewards makes intervals too narrow.
        expected: (n,) the model's reward under the evaluated policy, summed over its choices; for `dm` and
            `dr`.
        clusters: (n,) int or str: rows of one user, request or day, which are not independent. None where
            rows are.

    Raises:
        ValueError, TypeError: an argument of the wrong shape or type, not finite, or no probability.
    """

    def __init__(
        self,
        rewards: ArrayLike,
        logged: ArrayLike,
        target: ArrayLike,
        *,
        predicted: ArrayLike | None = None,
        expected: ArrayLike | None = None,
        clusters: Any = None,
    ) -> None:
        self.rewards = _convert.reals("rewards", rewards, 1)
        n = len(self.rewards)
        if n == 0:
            raise _convert.invalid("rewards", "at least one row", "none")
        self.logged = same("logged", _convert.probabilities("logged", logged, 1), n)
        self.target = same("target", _convert.probabilities("target", target, 1), n)
        self.predicted = optional("predicted", predicted, n)
        self.expected = optional("expected", expected, n)
        self.clusters = cluster_codes(clusters, n)
        self.unsupported: float | None = None

    @classmethod
    def from_laws(
        cls,
        rewards: ArrayLike,
        actions: ArrayLike,
        logged: ArrayLike,
        target: ArrayLike,
        *,
        predicted: ArrayLike | None = None,
        clusters: Any = None,
    ) -> BanditLog:
        """The log out of whole distributions over m actions.

        Args:
            rewards: (n,) float.
            actions: (n,) int, the action that was logged, from 0 to m - 1.
            logged: (n, m) the logging policy's distribution, or (n,) its probability of the logged action.
                With the whole of it, the mass that the evaluated policy puts where nothing is ever logged is
                known, and estimates warn of it.
            target: (n, m) the evaluated policy's distribution; (m,) where it is the same in every row.
            predicted: (n, m) a model's reward of every action, (m,) where it is the same in every row; None
                for none.
            clusters: as in `BanditLog`.
        """
        reward = _convert.reals("rewards", rewards, 1)
        n = len(reward)
        chosen = _convert.array("actions", actions)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise _convert.wrong_type("actions", "integers of one dimension", _convert.kind_of(chosen))
        same("actions", chosen, n)
        law = _law("target", target, n)
        m = law.shape[1]
        if n and not (chosen.min() >= 0 and chosen.max() < m):
            raise _convert.invalid(
                "actions", f"integers from 0 to {m - 1}", f"{chosen.min()} to {chosen.max()}"
            )
        rows = np.arange(n)
        unsupported = None
        if _convert.array("logged", logged).ndim == 1:
            propensities = _convert.probabilities("logged", logged, 1)
        else:
            before = _law("logged", logged, n)
            if before.shape[1] != m:
                raise _convert.invalid("logged", f"{m} actions, as in target", f"shape {before.shape}")
            propensities = before[rows, chosen]
            unsupported = float((law * (before <= 0)).sum(axis=1).mean())
        model: NDArray[np.float64] | None = None
        if predicted is not None:
            found = _convert.array("predicted", predicted)
            if found.shape not in ((m,), (n, m)):
                raise _convert.invalid("predicted", f"shape {(n, m)} or {(m,)}", f"shape {found.shape}")
            model = np.broadcast_to(_convert.reals("predicted", found, found.ndim), (n, m))
        log = cls(
            reward,
            propensities,
            np.clip(law[rows, chosen], 0, 1),
            predicted=None if model is None else model[rows, chosen],
            expected=None if model is None else (law * model).sum(axis=1),
            clusters=clusters,
        )
        log.unsupported = unsupported
        return log

    @classmethod
    def from_arrow(
        cls,
        table: ArrowStream | Path,
        *,
        rewards: str = "reward",
        logged: str = "propensity",
        target: str = "target",
        predicted: str | None = None,
        expected: str | None = None,
        clusters: str | None = None,
    ) -> BanditLog:
        """The log out of the columns of an Arrow table, or of a Parquet or Arrow file. Needs pyarrow.

        Args:
            table: anything with `__arrow_c_stream__`, or a path.
            rewards: the name of a column of numbers without nulls.
            logged: another.
            target: another.
            predicted: another; None for no model.
            expected: another; None for no model.
            clusters: the name of a column of int or str; None for none.
        """
        found = _arrow.as_table("table", table)

        def column(name: str | None) -> NDArray[np.float64] | None:
            return None if name is None else _arrow.numbers("table", found, name)

        return cls(
            _arrow.numbers("table", found, rewards),
            _arrow.numbers("table", found, logged),
            _arrow.numbers("table", found, target),
            predicted=column(predicted),
            expected=column(expected),
            clusters=None if clusters is None else _arrow.labels("table", found, clusters),
        )

    def __len__(self) -> int:
        return len(self.rewards)

    def __repr__(self) -> str:
        model = "no model" if self.expected is None else "a model"
        return f"BanditLog of {len(self)} rows, {model}"

    def _estimate(
        self,
        name: str,
        clip: object,
        interval: Interval,
        residual: NDArray[np.float64],
        offset: NDArray[np.float64] | None,
        normalized: bool,
    ) -> Estimate:
        weighting = weights(self.logged, self.target, check_clip(clip), self.clusters)
        if self.unsupported:
            note = (
                f"no support: the evaluated policy puts {self.unsupported:.4g} of its choices where the logging "
                "policy puts none"
            )
            weighting = type(weighting)(
                weighting.used, weighting.clipped, weighting.mean, (note, *weighting.warnings)
            )
        top = weighting.used * residual
        ones = np.ones_like(top)
        if not normalized:
            whole = top if offset is None else top + offset
            return estimate(name, whole, None, interval, self.clusters, weighting)
        if offset is None:
            return estimate(name, top, weighting.used, interval, self.clusters, weighting)
        tops, bottoms = np.stack([offset, top], axis=1), np.stack([ones, weighting.used], axis=1)
        return estimate(name, tops, bottoms, interval, self.clusters, weighting)


def mean_reward(log: BanditLog, *, interval: Interval = NORMAL) -> Estimate:
    """What the logging policy earned: the mean reward of the log, for comparison."""
    log = _check(log)
    return estimate("mean reward", log.rewards, None, interval, log.clusters)


def ips(log: BanditLog, *, clip: float | None = None, interval: Interval = NORMAL) -> Estimate:
    """Inverse propensity scoring: mean(w r).

    Unbiased when the propensities are right and the logging policy could have made every choice that the
    evaluated one makes. Its variance grows with the weights.

    Args:
        log: the log.
        clip: the most that a weight may be, above 0; None for no limit.
        interval: `Normal` or `Bootstrap`.
    """
    log = _check(log)
    return log._estimate("ips" if clip is None else "clipped ips", clip, interval, log.rewards, None, False)


def snips(log: BanditLog, *, clip: float | None = None, interval: Interval = NORMAL) -> Estimate:
    """Self-normalised IPS: sum(w r) / sum(w).

    Biased by O(1 / n), within the range of the rewards, moves with a constant added to them, and usually of
    less variance than `ips`.

    Args:
        log: the log.
        clip: the most that a weight may be, above 0; None for no limit.
        interval: `Normal` or `Bootstrap`.
    """
    log = _check(log)
    return log._estimate(
        "snips" if clip is None else "clipped snips", clip, interval, log.rewards, None, True
    )


def dm(log: BanditLog, *, interval: Interval = NORMAL) -> Estimate:
    """The direct method: the mean of what a model expects under the evaluated policy.

    As biased as the model; its interval knows nothing of that.
    """
    log = _check(log)
    if log.expected is None:
        raise _convert.invalid("log", "a log with expected, which the direct method averages", "one without")
    return estimate("dm", log.expected, None, interval, log.clusters)


def dr(
    log: BanditLog,
    *,
    clip: float | None = None,
    self_normalized: bool = False,
    interval: Interval = NORMAL,
) -> Estimate:
    """Doubly robust: mean(v + w (r - q)).

    Unbiased when the propensities or the model are right (and, for the propensities, support is there); of
    less variance than `ips` the better the model is.

    Args:
        log: with `predicted` and `expected`.
        clip: the most that a weight may be, above 0; None for no limit.
        self_normalized: divide the correction by sum(w) in place of n.
        interval: `Normal` or `Bootstrap`.
    """
    log = _check(log)
    if log.predicted is None or log.expected is None:
        raise _convert.invalid("log", "a log with predicted and expected, which dr needs", "one without")
    name = ("" if clip is None else "clipped ") + ("sndr" if self_normalized else "dr")
    return log._estimate(
        name, clip, interval, log.rewards - log.predicted, log.expected, bool(self_normalized)
    )


# --- what slates need too --------------------------------------------------------------------------


def same(argument: str, found: NDArray[Any], n: int) -> NDArray[Any]:
    """As many rows as there are rewards."""
    if len(found) != n:
        raise _convert.invalid(argument, f"{n} rows, as in rewards", f"{len(found)}")
    return found


def optional(argument: str, value: ArrayLike | None, n: int) -> NDArray[np.float64] | None:
    """(n,) numbers, or None."""
    return None if value is None else same(argument, _convert.reals(argument, value, 1), n)


def check_clip(clip: object) -> float | None:
    """A limit of weights."""
    if clip is None:
        return None
    found = _convert.real("clip", clip)
    if found <= 0:
        raise _convert.invalid("clip", "a number above 0, or None", found)
    return found


def cluster_codes(clusters: Any, n: int) -> NDArray[np.int64] | None:
    """Clusters as numbers from 0 without gaps."""
    if clusters is None:
        return None
    found = same("clusters", np.asarray(_convert.ids("clusters", clusters)), n)
    return np.unique(found, return_inverse=True)[1].astype(np.int64).reshape(-1)


def _law(argument: str, value: ArrayLike, n: int) -> NDArray[np.float64]:
    """(n, m) distributions; one for all rows is repeated."""
    found = _convert.array(argument, value)
    if found.ndim == 1:
        found = np.broadcast_to(found, (n, len(found)))
    law = same(argument, _convert.probabilities(argument, found, 2), n)
    sums = law.sum(axis=1)
    if n and np.abs(sums - 1).max() > _SUM:
        row = int(np.abs(sums - 1).argmax())
        raise _convert.invalid(argument, "rows that add up to 1", f"{sums[row]:.6g} in row {row}")
    return law


def _check(log: object) -> BanditLog:
    if not isinstance(log, BanditLog):
        raise _convert.wrong_type("log", "a BanditLog", _convert.kind_of(log))
    return log
