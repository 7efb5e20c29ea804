"""What a run ran on."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

# Those of a CPU's flags that decide which kernels a library takes.
FLAGS = ("avx2", "f16c", "fma", "avx_vnni", "avx512", "amx", "asimd", "sve", "i8mm")


def describe() -> dict[str, Any]:
    model, flags = _cpu()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": model,
        "flags": [f for f in flags if f.startswith(FLAGS)],
        "cores": os.cpu_count(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}".strip(", "),
        "huge_pages": _first("/sys/kernel/mm/transparent_hugepage/enabled"),
        "load_at_start": load(),
        "isa": _isa(),
        "commit": _commit(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "perso_core": _version()},
    }


def load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def available_bytes() -> int | None:
    for line in _first("/proc/meminfo", "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _first(path: str, otherwise: str = "unknown") -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return otherwise


def _cpu() -> tuple[str, list[str]]:
    model, flags = platform.processor() or platform.machine(), []
    for line in _first("/proc/cpuinfo", "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            model = value.strip()
        elif name.strip() in ("flags", "Features"):
            flags = value.split()
    return model, sorted(flags)


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def _isa() -> str | None:
    try:
        import perso_core as pc
    except ImportError:
        return None
    return str(pc.cpu_features()["isa"])


def _version() -> str | None:
    try:
        return metadata.version("perso_core")
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
