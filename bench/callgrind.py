"""Instructions per call under callgrind: builds the workloads, runs one process a scenario.

What is pinned, so that counts agree between machines (they repeat to a few parts in a thousand, most exactly):

- the kernels: AVX2, since valgrind knows no AVX-512. Valgrind also shows the program a made-up processor, so the C
  library picks the same copying routines on every machine that has AVX2;
- the environment: nothing of the caller's but what is needed, one thread, Python's hash seed;
- the data: made from integer hashes (rust/bench/src/data.rs), no function of a platform's mathematics library.

What is not: the compiler, the C library, Python and NumPy. The record names them; `compare` says what follows.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import python_calls

ROOT = Path(__file__).resolve().parent.parent


class CannotRun(Exception):
    """The counts cannot be taken here; says why."""


def why_not() -> str | None:
    """Why counts cannot be taken on this machine; None when they can."""
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "AMD64"):
        return f"counts are recorded for Linux on x86-64; this is {platform.system()} on {platform.machine()}"
    flags = Path("/proc/cpuinfo").read_text().split()
    if not {"avx2", "fma", "f16c"} <= set(flags):
        return "this processor has no AVX2, which the counted kernels need"
    if shutil.which("valgrind") is None:
        return "valgrind is not installed (Debian and Ubuntu: apt install valgrind)"
    return None


def build() -> Path:
    """The release build of rust/bench; returns the program."""
    command = ["cargo", "build", "--locked", "--release", "--package", "perso-bench"]
    subprocess.run(command, cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return ROOT / target / "release" / "perso-bench"


def scenarios(program: Path, python: bool) -> dict[str, bool]:
    """Every scenario, and whether the quick form has it."""
    done = subprocess.run([program, "list"], capture_output=True, text=True, check=True)
    found = {entry["name"]: entry["quick"] for entry in json.loads(done.stdout)}
    return found | (dict.fromkeys(python_calls.SCENARIOS, False) if python else {})


def toolchain(python: bool) -> dict[str, Any]:
    """What counts depend on besides the code, by the groups of `compare.group_of`."""
    lines = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout.splitlines()
    fields = dict(line.split(": ", 1) for line in lines if ": " in line)
    rust = {
        "rustc": fields.get("release"),
        "commit": fields.get("commit-hash"),
        "llvm": fields.get("LLVM version"),
        "host": fields.get("host"),
        "flags": os.environ.get("RUSTFLAGS", "") or os.environ.get("CARGO_ENCODED_RUSTFLAGS", ""),
    }
    found: dict[str, Any] = {"rust": rust}
    if python:
        import numpy as np

        minor = ".".join(platform.python_version_tuple()[:2])
        found["python"] = {"python": minor, "numpy": np.__version__} | rust
    return found


def count(program: Path, folder: Path, names: Iterable[str], jobs: int | None = None) -> dict[str, int]:
    """Instructions per call of each scenario. Several run at a time, since load does not matter.

    The folder keeps the indexes; it has to be empty or of the same build.
    """
    names = list(names)
    # Once at full speed: answers are checked, and indexes are left in the folder.
    rust = [name for name in names if name not in python_calls.SCENARIOS]
    if rust:
        _run([program, "run", folder, *rust], _environment(), "the scenarios, without valgrind")

    def one(name: str) -> int:
        return _count(folder, name, _command(program, folder, name))

    # The longest go first, so that none of them is left over at the end.
    order = sorted(names, key=lambda name: not name.startswith(("build", "rank", "python")))
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        counts = dict(zip(order, pool.map(one, order), strict=True))
    return {name: counts[name] for name in names}


def _command(program: Path, folder: Path, name: str) -> list[str | Path]:
    if name in python_calls.SCENARIOS:
        return [sys.executable, "-m", "bench.python_calls", name]
    return [program, "run", folder, name]


def _environment() -> dict[str, str]:
    """Nothing of the caller's that could choose other code."""
    keep = {
        name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "VIRTUAL_ENV") if name in os.environ
    }
    fixed = {
        "PERSO_CORE_ISA": "avx2",
        "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "LC_ALL": "C",
    }
    return keep | fixed


def _run(command: Sequence[str | Path], environment: dict[str, str], what: str) -> str:
    run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode:
        raise CannotRun(f"{what} failed with status {run.returncode}:\n{run.stdout}{run.stderr}".rstrip())
    return run.stdout


def _count(folder: Path, name: str, command: Sequence[str | Path]) -> int:
    out = folder / f"{name}.out"
    valgrind = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no"]
    # One file a thread would be written if the workload had threads; it has one.
    printed = _run(
        [*valgrind, f"--callgrind-out-file={out}", *command], _environment(), f"{name} under callgrind"
    )
    report = json.loads(printed.strip().splitlines()[-1])
    if report["isa"] != "avx2":
        raise CannotRun(f"{name} must run on the avx2 kernels, and ran on {report['isa']}")
    total = parse_total(out.read_text(errors="replace"))
    if not total:
        raise CannotRun(f"callgrind counted nothing of {name}")
    return round(total / report["calls"])


def parse_total(text: str) -> int:
    """The instructions in a file of callgrind's."""
    found = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0
