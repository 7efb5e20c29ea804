"""What a figure was measured on: machine, versions, commit.

    from bench.machine import describe, record_folder, write
    write(record_folder())        # bench/record/<date>-<cpu>/machine.json

    python -m bench.machine       # prints it

A figure without these says little: the same code runs twice as fast on the next machine, and a governor or a
second tenant moves it again. Only the standard library is needed, and what a system does not tell is None.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RECORDS = Path(__file__).resolve().parent / "record"

# Instruction sets that kernels of ours or of a peer choose by.
FLAGS = (
    *("sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni"),
    *(
        "avx512f",
        "avx512bw",
        "avx512dq",
        "avx512vl",
        "avx512_vnni",
        "avx512vbmi",
        "avx512_bf16",
        "avx512_fp16",
    ),
    *("amx_int8", "amx_bf16", "asimd", "asimdhp", "asimddp", "i8mm", "sve", "sve2"),
)

# Packages that take part in a run, ours and its peers'; what is not installed is left out.
PACKAGES = (
    *("perso_core", "numpy", "scipy", "pyarrow", "pytest", "pytest-benchmark", "h5py", "matplotlib"),
    *("hnswlib", "faiss-cpu", "usearch", "rabitqlib", "scalable-vs", "scann"),
)


def describe(packages: Iterable[str] = PACKAGES) -> dict[str, Any]:
    """Everything that a record of a run says of where it ran; JSON as it is."""
    return {
        "when": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu(),
        "memory_gib": _memory_gib(),
        "system": {
            "kernel": f"{platform.system()} {platform.release()}",
            "architecture": platform.machine(),
            "libc": " ".join(platform.libc_ver()).strip() or None,
            "transparent_huge_pages": _chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
            "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        },
        "versions": {
            "python": platform.python_version(),
            "rustc": _first_line("rustc", "--version"),
            "valgrind": _first_line("valgrind", "--version"),
            "packages": _packages(packages),
        },
        "perso_core": _features(),
        "commit": _commit(),
        # What steers kernels and threads; the rest of the environment is nobody's business.
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name == "PERSO_CORE_ISA" or name.endswith("_NUM_THREADS") or name == "RUSTFLAGS"
        },
        "command": _command(),
    }


def cpu() -> dict[str, Any]:
    """Model, flags, cores and caches of the processor."""
    text = _read("/proc/cpuinfo") or ""
    fields: dict[str, str] = {}
    for line in text.split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    return {
        "model": fields.get("model name") or _first_line("sysctl", "-n", "machdep.cpu.brand_string"),
        "family_model_stepping": "/".join(fields.get(n, "?") for n in ("cpu family", "model", "stepping"))
        if "cpu family" in fields
        else None,
        "mhz": float(fields["cpu MHz"]) if "cpu MHz" in fields else None,
        "governor": (_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "").strip() or None,
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "hypervisor": "hypervisor" in flags if flags else None,
        "flags": [flag for flag in FLAGS if flag in flags],
        "caches": _caches(),
    }


def short_name() -> str:
    """The processor in a few characters fit for a file name: `xeon-6-143` or `apple-m2`."""
    found = cpu()
    model = re.sub(r"\((r|tm)\)|\bcpu\b|\bprocessor\b|@.*|\d+-core", " ", (found["model"] or "").lower())
    words = [word for word in re.findall(r"[a-z0-9]+", model) if word not in ("intel", "amd", "ghz")]
    # Virtual machines often hide the number; family and model tell generations apart.
    if found["family_model_stepping"] and not any(any(c.isdigit() for c in word) for word in words):
        words += found["family_model_stepping"].split("/")[:2]
    return "-".join(words[:5]) or platform.machine()


def record_folder(when: datetime.date | None = None) -> Path:
    """bench/record/<date>-<cpu>, where a run that a document quotes is kept. Not made here."""
    day = when or datetime.datetime.now(datetime.timezone.utc).date()
    return RECORDS / f"{day.isoformat()}-{short_name()}"


def write(folder: Path, packages: Iterable[str] = PACKAGES, commands: Iterable[str] = ()) -> Path:
    """Writes machine.json into the folder, which is made; returns its path.

    Commands are added to those that an earlier call left there, since a folder holds what several of them printed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "machine.json"
    before = json.loads(path.read_text()).get("commands", []) if path.exists() else []
    document = describe(packages)
    document["commands"] = list(dict.fromkeys([*before, *commands]))
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except OSError:
        return None


def _chosen(path: str) -> str | None:
    """The word in brackets of a kernel setting: `always [madvise] never`."""
    found = re.search(r"\[(\w+)\]", _read(path) or "")
    return found[1] if found else None


def _first_line(*command: str) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True, cwd=ROOT)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().split("\n")[0] or None


def _memory_gib() -> float | None:
    found = re.search(r"^MemTotal:\s+(\d+) kB", _read("/proc/meminfo") or "", re.MULTILINE)
    return round(int(found[1]) / 2**20, 1) if found else None


def _caches() -> dict[str, str]:
    """What one core sees: {"L1d": "48K", "L2": "2048K", ...}."""
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((_read(str(folder / name)) or "").strip() for name in ("level", "type", "size"))
        if level and size:
            found[f"L{level}{ {'Data': 'd', 'Instruction': 'i'}.get(kind, '') }"] = size
    return found


def _packages(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _features() -> dict[str, Any] | None:
    """What the installed wheel runs on; None where there is none."""
    try:
        import perso_core as pc
    except ImportError:
        return None
    return dict(pc.cpu_features())


def _commit() -> dict[str, Any] | None:
    found = _first_line("git", "rev-parse", "HEAD")
    if found is None:
        return None
    return {"id": found, "with_changes": _first_line("git", "status", "--porcelain", "-uno") is not None}


def _command() -> str:
    """The command line, without the folders of this machine."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv and sys.argv[0] else ["python"]
    return " ".join(word if not word.startswith("/") else Path(word).name for word in words)


def main() -> None:
    print(json.dumps(describe() | {"record_folder": record_folder().name}, indent=2))


if __name__ == "__main__":
    main()
