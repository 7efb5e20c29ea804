"""Options, the data and the indexes that benchmarks share, and the report at the end."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perso_core as pc

from . import beside, data, report

LAST = data.CACHE / "last.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("perso_core")
    group.addoption(
        "--data", metavar="DIR", help="folder of real data (default: $PERSO_BENCH_DATA, else none)"
    )
    group.addoption(
        "--peer-m",
        metavar="M,M",
        default="16",
        help="hnswlib's M to choose from, such as 8,16,32,48 (default: 16)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    folder = _folder(config)
    if folder is not None and not folder.is_dir():
        raise pytest.UsageError(f"--data: expected a folder, got {folder}")
    # A benchmark that skips for want of a peer has nothing to time, and one that fails before timing has
    # said enough: neither needs this warning, which the project's settings would turn into an error.
    config.addinivalue_line(
        "filterwarnings",
        "ignore:Benchmark fixture was not used at all:pytest_benchmark.logger.PytestBenchmarkWarning",
    )
    # pytest-benchmark's own table repeats what the report says.
    config.option.benchmark_quiet = True


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    versions = {"perso_core": pc.__version__, "numpy": np.__version__, "python": platform.python_version()}
    if beside.hnswlib_installed():
        versions["hnswlib"] = metadata.version("hnswlib")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    machine_info["perso_core"] = {
        "isa": pc.cpu_features()["isa"],
        "versions": versions,
        "cores": os.cpu_count(),
        "load_at_start": round(load, 2),
        "blas_threads": os.environ["OPENBLAS_NUM_THREADS"],
        "huge_pages": _huge_pages(),
    }


def _huge_pages() -> str:
    try:
        text = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return "unknown"
    return text[text.find("[") + 1 : text.find("]")]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)
    found = [b for b in session.benchmarks if b and not b.has_error and b.stats.data] if session else []
    if not found:
        return
    # The document that --benchmark-json writes, without the times of single rounds.
    document = config.hook.pytest_benchmark_generate_json(
        config=config,
        benchmarks=found,
        include_data=False,
        machine_info=session.get_machine_info(),
        commit_info=config.hook.pytest_benchmark_generate_commit_info(config=config),
    )
    data.CACHE.mkdir(exist_ok=True)
    LAST.write_text(json.dumps(document, indent=1, default=str))
    terminalreporter.section("report")
    terminalreporter.write_line(report.render(document))
    terminalreporter.write_line(f"from {os.path.relpath(LAST)}; --benchmark-json=FILE keeps another copy")


def _folder(config: pytest.Config) -> Path | None:
    given = config.getoption("--data") or os.environ.get("PERSO_BENCH_DATA")
    return Path(given) if given else None


@pytest.fixture(scope="session")
def load(request: pytest.FixtureRequest) -> Callable[[str], data.Vectors]:
    """The set of a role."""
    known: dict[str, data.Vectors] = {}

    def get(role: str) -> data.Vectors:
        if role not in known:
            known[role] = data.load(role, _folder(request.config))
        return known[role]

    return get


@pytest.fixture(scope="session")
def ours(load: Callable[[str], data.Vectors]) -> Callable[..., beside.Built]:
    """An index of ours, built once a session."""
    known: dict[tuple[str, str], beside.Built] = {}

    def get(role: str, dtype: str) -> beside.Built:
        if (role, dtype) not in known:
            known[role, dtype] = beside.build_ours(load(role), dtype)
        return known[role, dtype]

    return get


@pytest.fixture(scope="session")
def hnswlib_of(load: Callable[[str], data.Vectors]) -> Callable[..., beside.Built]:
    """An index of hnswlib's, built once a session; skips, saying so, where it is not installed."""
    if not beside.hnswlib_installed():
        pytest.skip("hnswlib is not installed, so there is no peer to stand beside: pip install hnswlib")
    known: dict[tuple[str, int], beside.Built] = {}

    def get(role: str, m: int = 16) -> beside.Built:
        if (role, m) not in known:
            known[role, m] = beside.build_hnswlib(load(role), m)
        return known[role, m]

    return get


@pytest.fixture(scope="session")
def peer_ms(request: pytest.FixtureRequest) -> list[int]:
    return [int(m) for m in request.config.getoption("--peer-m").split(",")]
