"""The latency gate: instruction counts and paired ratios against bench/record/.

    python -m bench.check                 every scenario, and the ratios
    python -m bench.check --quick         some scenarios; the ratios for information: what `make test` runs
    python -m bench.check --update        writes the records: when a change is meant
    python -m bench.check --only NAME     one scenario, as often as given
    python -m bench.check --folder        makes bench/record/<date>-<cpu>/ for a run that the README quotes

Exit status: 0 all within their limits; 1 something is worse; 3 the counts could not be taken, and why is printed.
bench/record/README.md describes the files, CONTRIBUTING.md how to read a failure.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import callgrind, compare, machine, pairs

RECORD = machine.RECORDS / "instructions.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="some scenarios; ratios cannot fail")
    parser.add_argument("--update", action="store_true", help="write the records instead of comparing")
    parser.add_argument("--only", action="append", metavar="NAME", help="this scenario; no ratios")
    parser.add_argument("--no-pairs", action="store_true", help="counts alone")
    parser.add_argument(
        "--folder", action="store_true", help="make the folder of a quoted run, with machine.json"
    )
    options = parser.parse_args()
    if options.update and (options.quick or options.only):
        parser.error("--update records everything, so it takes neither --quick nor --only")
    start = time.monotonic()
    if options.folder:
        print(machine.write(machine.record_folder()).relative_to(machine.ROOT))
        return
    program = callgrind.build()
    with tempfile.TemporaryDirectory(prefix="perso-bench-") as name:
        status = counts(program, Path(name), options)
        # Half a record would be worse than the old one.
        if not options.no_pairs and not options.only and not (options.update and status):
            status = max(status, ratios(program, Path(name), options), key=lambda s: (s == 1, s))
    print(f"bench-check: {time.monotonic() - start:.0f} s after the build began, exit status {status}")
    sys.exit(status)


def counts(program: Path, folder: Path, options: argparse.Namespace) -> int:
    """Takes the counts; compares or records them."""
    if reason := callgrind.why_not():
        print(f"INSTRUCTION COUNTS NOT TAKEN: {reason}")
        return 3
    python = importlib.util.find_spec("perso_core") is not None
    if not python and not options.quick:
        print(
            "INSTRUCTION COUNTS NOT TAKEN: perso_core is not installed, and its calls are to be counted too"
        )
        return 3
    known = callgrind.scenarios(program, python)
    names = [name for name, quick in known.items() if quick or not options.quick]
    if options.only:
        names = options.only
        if unknown := [name for name in names if name not in known]:
            sys.exit(f"--only: expected scenarios out of {', '.join(known)}; got {', '.join(unknown)}")
    try:
        now = callgrind.count(program, folder, names)
    except callgrind.CannotRun as error:
        print(f"INSTRUCTION COUNTS NOT TAKEN: {error}")
        return 1  # the machine could: something is broken
    toolchain = callgrind.toolchain(python)
    if options.update:
        save(now, toolchain)
        return 0
    record = json.loads(RECORD.read_text()) if RECORD.exists() else None
    # Without the wheel its scenarios cannot be listed, but they are not gone.
    everything = [*known, *callgrind.python_calls.SCENARIOS]
    rows = compare.compare(now, record, everything, toolchain, options.quick)
    print(compare.table(rows))
    for sentence in compare.toolchains(record, toolchain):
        print(sentence)
    print(compare.advice(rows))
    return int(any(row.fails for row in rows))


def save(now: dict[str, int], toolchain: dict[str, Any]) -> None:
    """Writes the record of counts."""
    here = machine.describe()
    document = {
        "schema": compare.SCHEMA,
        "isa": "avx2",
        "toolchain": toolchain,
        # Named for whoever looks for a small difference; nothing is decided by them.
        "also": {
            "when": here["when"],
            "cpu": here["cpu"]["model"],
            "libc": here["system"]["libc"],
            "valgrind": here["versions"]["valgrind"],
            "commit": here["commit"],
        },
        "instructions": now,
    }
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(document, indent=1) + "\n")
    print(f"written: {RECORD.relative_to(machine.ROOT)}, {len(now)} scenarios")


def ratios(program: Path, folder: Path, options: argparse.Namespace) -> int:
    """Takes the ratios; compares or records them. In the quick form they only inform."""
    if options.quick:
        found = pairs.measure(program, folder, processes=1, rounds=7)
    else:
        found = pairs.measure(program, folder)
    if options.update:
        path = pairs.save(found["isa"], found["pairs"])
        print(f"written: {path.relative_to(machine.ROOT)}")
        return 0
    before = pairs.load(found["isa"])
    rows = pairs.judge(found["pairs"], before)
    if not options.quick and any(row.flagged for row in rows):
        print(pairs.table(rows) + "\nflagged: measuring again, with new processes")
        flagged = {row.name for row in rows if row.flagged}
        again = pairs.judge(pairs.measure(program, folder)["pairs"], before)
        rows = [dataclasses.replace(row, flagged=row.flagged and row.name in flagged) for row in again]
    print(pairs.table(rows))
    if not before:
        print(
            f"no ratios are recorded for this processor ({pairs.record_path(found['isa']).stem}): shown only."
        )
    if options.quick:
        print("ratios are for information here; make bench-check decides by them.")
        return 0
    slower = [row.name for row in rows if row.flagged]
    if slower:
        print(f"Slower against the frozen baseline, twice: {', '.join(slower)}. When that is meant, run")
        print(f"    {compare.RECORD_COMMAND}")
    return int(bool(slower))


if __name__ == "__main__":
    main()
