"""Counts against their record: what fails, what is only said. No process is started here.

The rules:

- more than 5% above the record fails;
- more than 5% below it passes, and asks to be recorded, so that the gain cannot be lost again unseen;
- a scenario that is recorded and gone fails: deleting a scenario must not be a way to pass;
- a scenario that is new passes, and asks to be recorded;
- counts belong to a toolchain: another compiler makes other code (another Python or NumPy other overhead). Under
  another one than the record's the tolerance is 25%, and the quick form does not fail at all, so that updating a
  compiler does not stop everybody; the table says that it was so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

TOLERANCE = 0.05
OTHER_TOOLCHAIN = 0.25

SCHEMA = "perso_core.instructions/1"
RECORD_COMMAND = "make bench-check ARGS=--update"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    recorded: int | None
    now: int | None
    verdict: str
    fails: bool = False
    record_it: bool = False

    @property
    def change(self) -> float | None:
        if not self.recorded or self.now is None:
            return None
        return self.now / self.recorded - 1


def group_of(name: str) -> str:
    """Which toolchain a scenario's count depends on."""
    return "python" if name.startswith("python-") else "rust"


def compare(
    now: Mapping[str, int],
    record: Mapping[str, Any] | None,
    scenarios: Iterable[str],
    toolchain: Mapping[str, Any],
    quick: bool = False,
) -> list[Row]:
    """A row for each scenario that was counted and each that is gone.

    `scenarios` are all there are: one that is recorded and not counted is only gone when it is not among them.
    """
    if record is not None and record.get("schema") != SCHEMA:
        raise ValueError(f"the record's schema: expected {SCHEMA!r}, got {record.get('schema')!r}")
    before: Mapping[str, int] = record["instructions"] if record else {}
    made_with = record["toolchain"] if record else {}
    rows = []
    for name, count in now.items():
        if name not in before:
            rows.append(Row(name, None, count, "new: record it", record_it=True))
            continue
        same = made_with.get(group_of(name)) == toolchain.get(group_of(name))
        rows.append(_judge(name, before[name], count, same, quick))
    known = set(scenarios)
    rows += [
        Row(name, count, None, "GONE", fails=True, record_it=True)
        for name, count in before.items()
        if name not in known
    ]
    return rows


def _judge(name: str, before: int, now: int, same: bool, quick: bool) -> Row:
    change = round(now / before - 1, 9)  # the limits themselves pass
    if same:
        if change > TOLERANCE:
            return Row(name, before, now, "WORSE", fails=True)
        if change < -TOLERANCE:
            return Row(name, before, now, "better: record it", record_it=True)
        return Row(name, before, now, "ok")
    if change > OTHER_TOOLCHAIN and not quick:
        return Row(name, before, now, "WORSE, other toolchain", fails=True)
    return Row(name, before, now, "other toolchain", record_it=True)


def table(rows: Iterable[Row]) -> str:
    """The rows as text."""
    lines = [f"{'instructions per call':26}{'recorded':>15}{'now':>15}{'change':>9}  verdict"]
    for row in rows:
        recorded = "-" if row.recorded is None else f"{row.recorded:,}"
        now = "-" if row.now is None else f"{row.now:,}"
        change = "" if row.change is None else f"{row.change:+.1%}"
        lines.append(f"{row.name:26}{recorded:>15}{now:>15}{change:>9}  {row.verdict}")
    return "\n".join(lines)


def toolchains(record: Mapping[str, Any] | None, here: Mapping[str, Any]) -> list[str]:
    """A sentence for each toolchain that is not the record's."""
    made_with = (record or {}).get("toolchain", {})
    return [
        f"other toolchain ({group}): recorded with {made_with.get(group)}, here {tools}. Its counts may differ by "
        f"{OTHER_TOOLCHAIN:.0%}; to compare at {TOLERANCE:.0%}, record them on the older commit first."
        for group, tools in here.items()
        if record is not None and made_with.get(group) != tools
    ]


def advice(rows: Iterable[Row]) -> str:
    """What to do now; empty when there is nothing to do."""
    rows = list(rows)
    lines = []
    worse = [row for row in rows if row.fails and row.now is not None]
    gone = [row for row in rows if row.fails and row.now is None]
    if worse:
        listed = ", ".join(f"{row.name} ({row.change:+.1%})" for row in worse)
        lines.append(f"More instructions than recorded: {listed}.")
        lines.append("Counts do not depend on load: the code changed, or the code that its callers chose.")
        lines.append(
            "Find what did it (git stash, run again), or, when the change is meant, say why in the commit and run"
        )
        lines.append(f"    {RECORD_COMMAND}")
    if gone:
        lines.append(
            f"Recorded and no longer a scenario: {', '.join(row.name for row in gone)}. If that is meant:"
        )
        lines.append(f"    {RECORD_COMMAND}")
    if not lines and any(row.record_it for row in rows):
        lines.append(f"To record what is new or better: {RECORD_COMMAND}")
    return "\n".join(lines)
