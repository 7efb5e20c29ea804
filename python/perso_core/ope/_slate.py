"""A list a row: estimators that differ in what they assume about how slots act on each other.

With the logging policy's probability l_k and the evaluated one's e_k of the item in slot k given the slots
above it, rewards r_k and weights of slots d_k:

    SIPS       w = prod_j e_j / l_j, over the whole slate        mean(w sum_k d_k r_k)
    RIPS       w_k = prod_{j <= k} e_j / l_j                     mean(sum_k d_k w_k r_k)
    IIPS       w_k = E_k / L_k, of marginal probabilities        mean(sum_k d_k w_k r_k)
    PBM        w_k = sum_j p_j E_kj / sum_j p_j L_kj             mean(sum_k d_k w_k r_k)
    cascade DR                                                   mean(sum_k w_k (d_k r_k - q_k) + w_{k-1} v_k)

SIPS, IIPS and RIPS are equations (1), (2) and (3)-(4) of McInerney et al. 2020, *Counterfactual evaluation of
slate recommendations with sequential reward interactions* (KDD, arXiv 2007.12986). IIPS is the item-position
estimator and PBM the position-based one of Li et al. 2018, *Offline evaluation of ranking policies with click
models* (KDD, arXiv 1804.10488). Cascade DR is that of Kiyohara et al. 2022 (WSDM, arXiv 2202.01562), section
3.1. Self-normalised forms divide by the mean weight of each slot.

A slate shorter than the longest has no reward in its missing slots, and they change no weight.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import _convert
from ._bandit import check_clip
from ._estimate import Estimate, Weights, estimate, ratio, weights
from ._interval import NORMAL, Interval
from ._slate_log import SlateLog

__all__ = ["cascade_dr", "iips", "mean_slate_reward", "pbm", "rips", "slate_ips"]


def mean_slate_reward(
    log: SlateLog,
    *,
    discount: object = None,
    interval: Interval = NORMAL,
) -> Estimate:
    """What the logging policy earned a slate: the mean of sum_k d_k r_k, for comparison."""
    log = _check(log)
    total = (_discounted(log, discount)).sum(axis=1)
    return estimate("mean reward", total, None, interval, log.clusters)


def slate_ips(
    log: SlateLog,
    *,
    clip: float | None = None,
    self_normalized: bool = False,
    discount: object = None,
    interval: Interval = NORMAL,
) -> Estimate:
    """Standard slate IPS: each slate's reward weighted by the product of its slots' ratios.

    Assumes nothing about slots. Its weights grow exponentially with the length: for a handful of slots, or
    policies that are close to each other.

    Args:
        log: the log.
        clip: the most that a slate's weight may be, above 0; None for no limit.
        self_normalized: divide by the mean weight.
        discount: (slots,) weights of slots, finite; None for 1 each.
        interval: `Normal` or `Bootstrap`.
    """
    log = _check(log)
    whole = _cumulative(log)[:, -1]
    weighting = weights(log.logged, log.target, check_clip(clip), log.clusters, raw=whole)
    top = weighting.used * _discounted(log, discount).sum(axis=1)
    bottom = weighting.used if self_normalized else None
    return estimate(_name("slate ips", clip, self_normalized), top, bottom, interval, log.clusters, weighting)


def rips(
    log: SlateLog,
    *,
    clip: float | None = None,
    self_normalized: bool = False,
    discount: object = None,
    interval: Interval = NORMAL,
) -> Estimate:
    """Reward-interaction IPS: each slot's reward weighted by the product of the ratios down to that slot.

    Assumes that a reward depends on its item and the slots above, not on those below: a reader goes from the
    top down. What a decision record states, the probability given the slots above, is exactly what it needs.

    Args:
        log: the log.
        clip: the most that a weight may be, above 0; None for no limit.
        self_normalized: divide by the mean weight of each slot.
        discount: (slots,) weights of slots, finite; None for 1 each.
        interval: `Normal` or `Bootstrap`.
    """
    log = _check(log)
    weighting = weights(log.logged, log.target, check_clip(clip), log.clusters, raw=_cumulative(log))
    return _slotwise("rips", log, weighting, clip, self_normalized, discount, interval)


def iips(
    log: SlateLog,
    *,
    clip: float | None = None,
    self_normalized: bool = False,
    discount: object = None,
    interval: Interval = NORMAL,
) -> Estimate:
    """Independent (item-position) IPS: each slot's reward weighted by that slot's own ratio.

    Assumes that a reward depends on the item and its position alone. Needs marginal probabilities: of the
    item at that position whatever stands above it, which are not those given the slots above
    (`log.logged_marginals`).

    Args:
        log: the log, with marginals.
        clip: the most that a weight may be, above 0; None for no limit.
        self_normalized: divide by the mean weight of each slot.
        discount: (slots,) weights of slots, finite; None for 1 each.
        interval: `Normal` or `Bootstrap`.
    """
    log = _check(log)
    before, after = _marginals(log, "iips")
    if before.ndim == 3:
        own = np.arange(log.k)
        before, after = before[:, own, own], after[:, own, own]
    found = np.where(log.filled, ratio(before, after), 1.0)
    # A choice that is possible given the slots above is possible at all, so only marginals tell of support
    # here.
    masked = np.where(log.filled, before, 1.0)
    weighting = weights(masked, np.where(log.filled, after, 1.0), check_clip(clip), log.clusters, raw=found)
    return _slotwise("iips", log, weighting, clip, self_normalized, discount, interval)


def pbm(
    log: SlateLog,
    examination: object,
    *,
    clip: float | None = None,
    discount: object = None,
    interval: Interval = NORMAL,
) -> Estimate:
    """The estimator of the position-based model: an item's reward counts for it at every position.

    Assumes r = examination of the position x appeal of the item, the former known. A click on an item at
    position 3 then tells of the same item at position 1, so less support is needed than by `iips`.

    Args:
        log: the log, with marginals of shape (n, slots, slots).
        examination: (slots,) the probability that a position is looked at, above 0 somewhere, up to a factor.
        clip: the most that a weight may be, above 0; None for no limit.
        discount: (slots,) weights of slots, finite; None for 1 each.
        interval: `Normal` or `Bootstrap`.
    """
    log = _check(log)
    before, after = _marginals(log, "pbm")
    if before.ndim != 3:
        raise _convert.invalid(
            "log", "marginals of shape (n, slots, slots), of each item at each position", f"{before.shape}"
        )
    looked = _convert.reals("examination", examination, 1)
    if len(looked) != log.k or (looked < 0).any() or not looked.any():
        raise _convert.invalid(
            "examination", f"{log.k} numbers of at least 0, not all of them 0", f"{looked.tolist()}"
        )
    under = np.where(log.filled, before @ looked, 1.0)
    over = np.where(log.filled, after @ looked, 1.0)
    weighting = weights(under, over, check_clip(clip), log.clusters, mean_is_one=False)
    return _slotwise("pbm", log, weighting, clip, False, discount, interval)


def cascade_dr(
    log: SlateLog,
    *,
    clip: float | None = None,
    discount: object = None,
    interval: Interval = NORMAL,
) -> Estimate:
    """Cascade doubly robust: `rips` with a model's expectation of what is still to come as a control variate.

    Unbiased when `rips` is, or when the model is right; of less variance the better the model.

    Args:
        log: the log, with `predicted` and `expected`.
        clip: the most that a weight may be, above 0; None for no limit.
        discount: (slots,) weights of slots, which the model's values hold already; None for 1 each.
        interval: `Normal` or `Bootstrap`.
    """
    log = _check(log)
    if log.predicted is None or log.expected is None:
        raise _convert.invalid(
            "log", "a log with predicted and expected, which cascade_dr needs", "one without"
        )
    weighting = weights(log.logged, log.target, check_clip(clip), log.clusters, raw=_cumulative(log))
    above = np.concatenate([np.ones((len(log), 1)), weighting.used[:, :-1]], axis=1)
    terms = weighting.used * (_discounted(log, discount) - log.predicted) + above * log.expected
    total = np.where(log.filled, terms, 0.0).sum(axis=1)
    return estimate(_name("cascade dr", clip, False), total, None, interval, log.clusters, weighting)


# --- parts -----------------------------------------------------------------------------------------


def _slotwise(
    name: str,
    log: SlateLog,
    weighting: Weights,
    clip: float | None,
    normalized: bool,
    discount: object,
    interval: Interval,
) -> Estimate:
    top = weighting.used * _discounted(log, discount)
    if normalized:
        return estimate(_name(name, clip, True), top, weighting.used, interval, log.clusters, weighting)
    return estimate(_name(name, clip, False), top.sum(axis=1), None, interval, log.clusters, weighting)


def _name(name: str, clip: float | None, normalized: bool) -> str:
    return ("" if clip is None else "clipped ") + ("sn " if normalized else "") + name


def _cumulative(log: SlateLog) -> NDArray[np.float64]:
    """(n, slots) products of the ratios down to each slot; missing slots change nothing."""
    return np.cumprod(np.where(log.filled, ratio(log.logged, log.target), 1.0), axis=1, dtype=np.float64)


def _discounted(log: SlateLog, discount: object) -> NDArray[np.float64]:
    if discount is None:
        return log.rewards
    found = _convert.reals("discount", discount, 1)
    if len(found) != log.k:
        raise _convert.invalid("discount", f"{log.k} numbers, one a slot", f"{len(found)}")
    return log.rewards * found


def _marginals(log: SlateLog, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if log.logged_marginals is None or log.target_marginals is None:
        raise _convert.invalid(
            "log",
            f"a log with logged_marginals and target_marginals, which {name} needs (where a slot's draw does not "
            "depend on the slots above, they are logged and target themselves)",
            "one without",
        )
    return log.logged_marginals, log.target_marginals


def _check(log: object) -> SlateLog:
    if not isinstance(log, SlateLog):
        raise _convert.wrong_type("log", "a SlateLog", _convert.kind_of(log))
    return log
