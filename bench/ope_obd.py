"""Off-policy estimates beside what the estimated policy really earned, on the Open Bandit Dataset.

    PERSO_BENCH_DATA=DIR python -m bench.ope_obd        # or: python -m bench.ope_obd DIR

Two policies, uniformly random and Bernoulli Thompson sampling (bts), served the same fashion shop in the same
week, and both logged their propensities. So each log estimates the other policy's click rate, and that
policy's own log says what it was. `DIR/obd` holds `{random,bts}_{men,women}.csv.gz` of the dataset's small
version: 10,000 impressions each.

Data: Saito, Aihara, Matsutani, Narita 2020, *Open Bandit Dataset and Pipeline*, arXiv 2008.07146; ZOZO, CC BY
4.0.

What the evaluated policy does is known as follows. Random: one in as many as there are items. bts: its
propensities change within the week and are logged for chosen items alone, so its choices' frequencies by
position in its own log stand for the mean of it; no click of that log is used. Items do not depend on the
reader under either. The model of `dm` and `dr` is a click rate by item, shrunk to the mean and cross-fitted
over ten folds by time. An impression is one slot here: the data do not say which were shown together, so
estimators of slates have nothing to run on.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perso_core import ope

POLICIES = ("random", "bts")
CAMPAIGNS = ("men", "women")
FOLDS = 10
# A click rate by item counts as if it had this many more impressions at the mean rate.
SHRINK = 200.0
# Standard errors of the difference between an estimate and what it estimates, beyond which the run fails.
# Sixteen independent comparisons would fail by chance once in a thousand runs.
FAR = 4.0
CLIP = 10.0


@dataclass(frozen=True)
class Log:
    """One policy's impressions."""

    item: np.ndarray
    position: np.ndarray
    click: np.ndarray
    propensity: np.ndarray


def load(folder: Path, policy: str, campaign: str) -> Log:
    with gzip.open(folder / f"{policy}_{campaign}.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return Log(
        item=np.array([int(row["item_id"]) for row in rows]),
        position=np.array([int(row["position"]) for row in rows]) - 1,
        click=np.array([float(row["click"]) for row in rows]),
        propensity=np.array([float(row["propensity_score"]) for row in rows]),
    )


def law(policy: str, own: Log, items: int) -> np.ndarray:
    """(positions, items) what a policy does."""
    positions = int(own.position.max()) + 1
    if policy == "random":
        return np.full((positions, items), 1 / items)
    counts = np.zeros((positions, items))
    np.add.at(counts, (own.position, own.item), 1)
    return counts / counts.sum(axis=1, keepdims=True)


def rates(log: Log, items: int) -> np.ndarray:
    """(n, items) each row's click rates by item, from the other folds."""
    n = len(log.click)
    fold = np.arange(n) * FOLDS // n
    out = np.empty((n, items))
    for one in range(FOLDS):
        rest = fold != one
        shown = np.bincount(log.item[rest], minlength=items)
        clicked = np.bincount(log.item[rest], log.click[rest], minlength=items)
        mean = log.click[rest].mean()
        out[~rest] = (clicked + SHRINK * mean) / (shown + SHRINK)
    return out


def bandit_log(log: Log, target: np.ndarray) -> ope.BanditLog:
    """The log with what the evaluated policy does and what the model says."""
    items = target.shape[1]
    return ope.BanditLog.from_laws(
        log.click, log.item, log.propensity, target[log.position], predicted=rates(log, items)
    )


def compare(folder: Path) -> tuple[list[list[str]], list[str], list[str]]:
    """Rows of the table, the estimates' own warnings, and what is farther off than chance explains."""
    rows: list[list[str]] = []
    notes: list[str] = []
    failures: list[str] = []
    for campaign in CAMPAIGNS:
        logs = {policy: load(folder, policy, campaign) for policy in POLICIES}
        items = 1 + max(int(log.item.max()) for log in logs.values())
        for source, evaluated in (("random", "bts"), ("bts", "random")):
            own = logs[evaluated]
            once = np.ones(len(own.click))
            truth = ope.mean_reward(ope.BanditLog(own.click, once, once))
            found = ope.evaluate(bandit_log(logs[source], law(evaluated, own, items)), clip=CLIP)
            name = f"{evaluated} from {source}, {campaign}"
            rows.append([name, "on policy", *_numbers(truth), "", "", ""])
            for one in found[1:]:
                off = (one.value - truth.value) / math.hypot(one.standard_error, truth.standard_error)
                rows.append(
                    [
                        "",
                        one.estimator,
                        *_numbers(one),
                        f"{off:+.2f}",
                        f"{one.ess:.0f}",
                        f"{one.max_weight:.1f}",
                    ]
                )
                notes += [f"{name}, {one.estimator}: {text}" for text in one.warnings]
                # The direct method and clipping are biased by design.
                if one.estimator in ("ips", "snips", "dr", "sndr") and abs(off) > FAR:
                    failures.append(f"{name}: {one.estimator} is {off:+.2f} standard errors off")
    return rows, notes, failures


def _numbers(one: ope.Estimate) -> list[str]:
    return [f"{one.value:.5f}", f"{one.standard_error:.5f}", f"{one.low:.5f} .. {one.high:.5f}"]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.ope_obd", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "data",
        nargs="?",
        default=os.environ.get("PERSO_BENCH_DATA"),
        help="folder (default: $PERSO_BENCH_DATA)",
    )
    data = parser.parse_args(arguments).data
    if data is None or not (Path(data) / "obd").is_dir():
        parser.error(f"expected a folder with obd/ in it, got {data}")
    rows, notes, failures = compare(Path(data) / "obd")
    print(
        "| evaluated from log | estimator | click rate | s.e. | 95% interval | off by s.e. | ess | max weight |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print("\nOff by s.e.: from the on-policy mean, in standard errors of the difference.")
    print("The estimates' own warnings:\n")
    for text in notes:
        print("-", text)
    for text in failures:
        print("FAILED:", text, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
