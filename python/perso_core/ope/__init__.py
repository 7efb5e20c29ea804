"""Off-policy evaluation: what another policy would have earned, from the log of this one.

    bolder = dataclasses.replace(policy, explore=pc.EpsilonGreedy(0.2))
    log = pc.ope.SlateLog.from_records(lines, clicks, bolder, missing=0)
    print(pc.ope.evaluate(log))

A `BanditLog` has one choice a row, a `SlateLog` one slate a row. Each holds rewards, the probabilities with
which the logging policy did what it did, and those with which the evaluated policy does the same. Estimators
take a log and return an `Estimate`: value, standard error, confidence interval, effective sample size, and
warnings. See docs/ope.md for which to use and what each assumes.
"""

from __future__ import annotations

from .. import _convert
from ._bandit import BanditLog, dm, dr, ips, mean_reward, snips
from ._estimate import Estimate, Estimates, difference
from ._interval import NORMAL, Bootstrap, Interval, Normal
from ._law import epsilon_greedy_marginals, propensities
from ._slate import cascade_dr, iips, mean_slate_reward, pbm, rips, slate_ips
from ._slate_log import SlateLog

__all__ = [
    "BanditLog",
    "Bootstrap",
    "Estimate",
    "Estimates",
    "Interval",
    "Normal",
    "SlateLog",
    "cascade_dr",
    "difference",
    "dm",
    "dr",
    "epsilon_greedy_marginals",
    "evaluate",
    "iips",
    "ips",
    "mean_reward",
    "mean_slate_reward",
    "pbm",
    "propensities",
    "rips",
    "slate_ips",
    "snips",
]


def evaluate(
    log: BanditLog | SlateLog,
    *,
    clip: float | None = None,
    interval: Interval = NORMAL,
) -> Estimates:
    """Every estimator that the log has the numbers for, as one table, after the log's own mean reward.

    Args:
        log: a `BanditLog` or a `SlateLog`.
        clip: adds clipped forms with this limit; None for none.
        interval: `Normal` or `Bootstrap`.
    """
    if isinstance(log, BanditLog):
        found = [
            mean_reward(log, interval=interval),
            ips(log, interval=interval),
            snips(log, interval=interval),
        ]
        if clip is not None:
            found.append(ips(log, clip=clip, interval=interval))
        if log.expected is not None:
            found.append(dm(log, interval=interval))
        if log.expected is not None and log.predicted is not None:
            found += [dr(log, self_normalized=normal, interval=interval) for normal in (False, True)]
        return Estimates(found)
    if not isinstance(log, SlateLog):
        raise _convert.wrong_type("log", "a BanditLog or a SlateLog", _convert.kind_of(log))
    kinds = [slate_ips, rips] + [iips] * (log.logged_marginals is not None)
    found = [mean_slate_reward(log, interval=interval)]
    for kind in kinds:
        found += [kind(log, self_normalized=normal, interval=interval) for normal in (False, True)]
    if clip is not None:
        found += [kind(log, clip=clip, interval=interval) for kind in kinds]
    if log.expected is not None and log.predicted is not None:
        found.append(cascade_dr(log, interval=interval))
    return Estimates(found)
