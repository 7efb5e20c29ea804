"""A short Markdown report from pytest-benchmark's JSON.

    python -m bench.report FILE.json

`make bench` prints the same at its end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Cell = Callable[[dict[str, Any]], object]

STAGES = ("filter", "retrieve", "score", "diversify", "explore", "total")


def render(document: dict[str, Any]) -> str:
    """The whole report."""
    parts = [_machine(document)]
    for group, title, columns in TABLES:
        rows = [b["extra_info"] | {"_s": b["stats"]} for b in document["benchmarks"] if b["group"] == group]
        rows = [row for row in rows if "recall" in row or "answer" in row]  # not those that failed
        if rows:
            parts.append(f"### {title}\n\n" + _table(columns, rows))
    for row in (b["extra_info"] for b in document["benchmarks"]):
        if "retrieve_us" in row and "peer_retrieve_us" in row:
            parts.append(_stages(row))
    if "hnswlib" not in document["machine_info"].get("perso_core", {}).get("versions", {}):
        parts.append("hnswlib is not installed: there is no peer for search, and the glue scans in NumPy.")
    return "\n\n".join(parts) + "\n"


def _machine(document: dict[str, Any]) -> str:
    info = document["machine_info"]
    own = info.get("perso_core", {})
    cpu = info.get("cpu", {})
    versions = ", ".join(f"{name} {version}" for name, version in own.get("versions", {}).items())
    commit = document.get("commit_info") or {}
    changed = " with changes" if commit.get("dirty") else ""
    return (
        f"## Benchmarks, {document['datetime'][:16]} UTC\n\n"
        f"{cpu.get('brand_raw') or info.get('machine')}, {own.get('cores')} cores, "
        f"kernels on {own.get('isa')}, transparent huge pages: {own.get('huge_pages')}, "
        f"load at start {own.get('load_at_start')}.\n"
        f"{versions}; commit {str(commit.get('id'))[:10]}{changed}. One thread for searches and for BLAS."
    )


def _table(columns: dict[str, Cell], rows: Iterable[dict[str, Any]]) -> str:
    filled = [[_text(cell(row)) for cell in columns.values()] for row in rows]
    # A column that no row fills says nothing.
    keep = [i for i in range(len(columns)) if any(row[i] for row in filled)]
    head = [list(columns)[i] for i in keep]
    body = [[row[i] for i in keep] for row in filled]
    widths = [max(len(head[i]), *(len(row[i]) for row in body)) for i in range(len(head))]

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(head), rule, *map(line, body)])


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _get(name: str) -> Cell:
    return lambda row: row.get(name)


def _against(unit: str) -> Cell:
    return lambda row: row.get(f"peer_{unit}")


def _ratio(row: dict[str, Any]) -> object:
    return f"{row['ratio']:.2f}x" if "ratio" in row else None


def _stages(row: dict[str, Any]) -> str:
    columns: dict[str, Cell] = {"median µs": _get("name")}
    columns |= {stage: _get(stage) for stage in STAGES}

    def of(prefix: str, name: str) -> dict[str, Any]:
        return {"name": name} | {stage: row.get(f"{prefix}{stage}_us") for stage in STAGES}

    rows = [of("", row["engine"]), of("peer_", row["peer"])]
    pools = f"Recall of the pool: {row['pool_recall']:.3f}, the glue's {row['peer_pool_recall']:.3f}."
    return "### rank: stages, and recall of the pool\n\n" + _table(columns, rows) + "\n\n" + pools


_COMMON: dict[str, Cell] = {"data": _get("data"), "engine": _get("engine")}

TABLES: list[tuple[str, str, dict[str, Cell]]] = [
    (
        group,
        group + " (NumPy in the same rounds)",
        {
            "items": _get("shape"),
            "answer": _get("answer"),
            "µs": _get("p50_us"),
            "GB/s": _get("gb_per_s"),
            "NumPy GB/s": _get("peer_gb_per_s"),
            "plain read GB/s": _get("memory_gb_per_s"),
            "NumPy µs": _against("p50_us"),
            "NumPy / ours": _ratio,
        },
    )
    for group in ("kernels: dot, one query", "kernels: topk, k=10")
]
TABLES += [
    (
        "kernels: exact scan of an index, one query, k=10",
        "kernels: exact scan of an index, one query, k=10, beside a plain read of as many bytes",
        {
            "items": _get("shape"),
            "answer": _get("answer"),
            "µs": _get("p50_us"),
            "GB/s": _get("gb_per_s"),
            "plain read GB/s": _get("memory_gb_per_s"),
            "fraction of read bandwidth": _get("fraction_of_read_bandwidth"),
        },
    ),
    (
        "search: build",
        "search: build, all cores",
        {
            **_COMMON,
            "answer": _get("answer"),
            "wall s": _get("build_wall_s"),
            "CPU s": _get("build_cpu_s"),
            "MiB": _get("mib"),
        },
    ),
    (
        "search: one query, k=10",
        "search: one query, k=10, one thread",
        {
            **_COMMON,
            "what": _get("what"),
            "recall@10": _get("recall"),
            "QPS": _get("qps"),
            "p50 µs": _get("p50_us"),
            "p99 µs": _get("p99_us"),
        },
    ),
    (
        "search: at equal recall, k=10",
        "search: the first setting that reaches a recall, k=10, one thread, alternating rounds",
        {
            "data": _get("data"),
            "at": _get("what"),
            "engine": _get("engine"),
            "recall@10": _get("recall"),
            "QPS": _get("qps"),
            "peer": _get("peer"),
            "its recall@10": _get("peer_recall"),
            "its QPS": _against("qps"),
            "ours / peer": _ratio,
        },
    ),
    (
        "search: two threads",
        "search: two threads beside one, alternating rounds (of two free cores)",
        {**_COMMON, "what": _get("what"), "answer": _get("answer"), "one / two": _ratio},
    ),
    (
        "search: what a call costs in Python",
        "search: what a call costs in Python, CPU time of the thread",
        {**_COMMON, "answer": _get("answer"), "µs": _get("us")},
    ),
    (
        "rank: one request",
        "rank: one request (the glue in alternating rounds)",
        {
            **_COMMON,
            "what": _get("what"),
            "answer": _get("answer"),
            "p50 µs": _get("p50_us"),
            "p99 µs": _get("p99_us"),
            "peer": _get("peer"),
            "its p50 µs": _against("p50_us"),
            "its p99 µs": _against("p99_us"),
            "its time / ours": _ratio,
        },
    ),
    (
        "rank: batches",
        "rank: batches",
        {**_COMMON, "what": _get("what"), "answer": _get("answer"), "users/s": _get("users_per_s")},
    ),
    (
        "diversity: candidates in hand",
        "diversity: candidates in hand, one thread, alternating rounds",
        {
            "data": _get("data"),
            "what": _get("what"),
            "answer": _get("answer"),
            "p50 µs": _get("p50_us"),
            "of it diversity µs": _get("diversify_us"),
            "peer": _get("peer"),
            "equal slots": _get("same"),
            "its p50 µs": _against("p50_us"),
            "its time / ours": _ratio,
        },
    ),
]


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    print(render(json.loads(Path(sys.argv[1]).read_text())))


if __name__ == "__main__":
    main()
