"""Wall-clock ratios of a frozen baseline to ours, against those recorded for this processor.

Counts see no caches and no stalls, times see the neighbours as well: so ours and a frozen, plain implementation
(rust/bench/src/frozen.rs) are timed in turn within one process, and only their ratio is kept. Processes are the
unit, since rounds within one share the addresses that its memory came to lie at.

A pair is flagged when its mean log ratio over PROCESSES processes lies below the record's

- by more than 10% (FLOOR): a record is of one day, and ratios of the same code differ by some percent between days
  and between virtual machines of one kind; and
- by more than t standard errors of the difference (Welch), t at one-sided 0.001.

Flagged pairs are measured again from the start, and fail when they are flagged again. False alarms: below 0.001 a
pair for the second condition alone, so below 0.6% a run for six pairs, if processes' log ratios are about normal;
the floor and the repetition only lower it.
"""

from __future__ import annotations

import functools
import json
import math
import re
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import machine

SCHEMA = "perso_core.pairs/1"
PROCESSES, ROUNDS = 7, 15
FLOOR, LEVEL = 0.10, 0.001


@dataclass(frozen=True)
class Row:
    """One pair: the baseline's time over ours, recorded and now."""

    name: str
    recorded: float | None
    now: float
    limit: float | None
    flagged: bool

    @property
    def verdict(self) -> str:
        if self.recorded is None:
            return "new: record it"
        return "SLOWER" if self.flagged else "ok"


def measure(program: Path, folder: Path, processes: int = PROCESSES, rounds: int = ROUNDS) -> dict[str, Any]:
    """{"isa": ..., "pairs": {name: log ratios, one a process}}; the first process builds what they share."""
    found: dict[str, list[float]] = {}
    isa = ""
    for _ in range(processes):
        command = [program, "pairs", folder, str(rounds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        report = json.loads(done.stdout)
        isa = report["isa"]
        for name, pair in report["pairs"].items():
            found.setdefault(name, []).append(pair["log_ratio"])
    return {"isa": isa, "pairs": found}


def judge(now: Mapping[str, Sequence[float]], before: Mapping[str, Sequence[float]]) -> list[Row]:
    """Compares log ratios; those of a pair that is not recorded are only shown."""
    rows = []
    for name, ours in now.items():
        mean = statistics.fmean(ours)
        if name not in before:
            rows.append(Row(name, None, math.exp(mean), None, False))
            continue
        theirs = before[name]
        fall = max(-math.log1p(-FLOOR), noise(ours, theirs))
        limit = statistics.fmean(theirs) - fall
        recorded = math.exp(statistics.fmean(theirs))
        # One process has no noise to judge by, and so no limit.
        shown = math.exp(limit) if math.isfinite(limit) else None
        rows.append(Row(name, recorded, math.exp(mean), shown, mean < limit))
    return rows


def noise(a: Sequence[float], b: Sequence[float]) -> float:
    """How far two means may lie apart by chance: Welch's t at LEVEL, times the standard error."""
    if min(len(a), len(b)) < 2:
        return math.inf
    va, vb = statistics.variance(a) / len(a), statistics.variance(b) / len(b)
    if va + vb == 0:
        return 0.0
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return t_quantile(1 - LEVEL, round(freedom, 1)) * math.sqrt(va + vb)


@functools.cache
def t_quantile(p: float, freedom: float) -> float:
    """Student's t, for p above one half: bisection on the integrated density."""

    def density(x: float) -> float:
        return math.exp(
            math.lgamma((freedom + 1) / 2)
            - math.lgamma(freedom / 2)
            - 0.5 * math.log(freedom * math.pi)
            - (freedom + 1) / 2 * math.log1p(x * x / freedom)
        )

    def below(t: float, steps: int = 400) -> float:  # Simpson's rule from 0 to t
        width = t / steps
        inner = sum((4 if i % 2 else 2) * density(i * width) for i in range(1, steps))
        return 0.5 + width / 3 * (density(0) + inner + density(t))

    low, high = 0.0, 1.0
    while below(high) < p and high < 1e6:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < p else (low, middle)
    return high


def table(rows: Sequence[Row]) -> str:
    lines = [f"{'frozen baseline / ours':26}{'recorded':>10}{'now':>10}{'limit':>10}  verdict"]
    for row in rows:
        recorded, limit = ("-" if x is None else f"{x:.3f}" for x in (row.recorded, row.limit))
        lines.append(f"{row.name:26}{recorded:>10}{row.now:>10.3f}{limit:>10}  {row.verdict}")
    return "\n".join(lines)


def record_path(isa: str) -> Path:
    """Where this processor's ratios are kept: they are no use to another."""
    return machine.RECORDS / "pairs" / f"{re.sub('[^a-z0-9]', '', isa)}-{machine.short_name()}.json"


def load(isa: str) -> dict[str, list[float]]:
    """The log ratios recorded for this processor; empty when there are none."""
    path = record_path(isa)
    if not path.exists():
        return {}
    document = json.loads(path.read_text())
    if document.get("schema") != SCHEMA:
        raise ValueError(f"{path.name}, schema: expected {SCHEMA!r}, got {document.get('schema')!r}")
    return document["log_ratios"]


def save(isa: str, log_ratios: Mapping[str, Sequence[float]]) -> Path:
    path = record_path(isa)
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "schema": SCHEMA,
        "isa": isa,
        "machine": machine.describe(),
        "ratios": {name: round(math.exp(statistics.fmean(x)), 3) for name, x in log_ratios.items()},
        "log_ratios": {name: [round(value, 5) for value in x] for name, x in log_ratios.items()},
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path
