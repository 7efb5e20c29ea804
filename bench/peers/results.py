"""What follows from the passes of a run: rates, curves, the setting for a recall, ratios."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """A search setting that was timed."""

    label: str
    recall: float
    qps: float
    p50_us: float | None
    p99_us: float | None
    # CPU seconds a second: more than one means more than one thread.
    busy: float


def point(setting: Json) -> Point | None:
    """Of the best pass: the others waited for somebody else."""
    passes = setting["passes"]
    if not passes:
        return None
    best = min(passes, key=lambda p: p["wall_s"] / p["count"])
    return Point(
        setting["label"],
        setting["recall"],
        best["count"] / best["wall_s"],
        best.get("p50_us"),
        best.get("p99_us"),
        best["cpu_s"] / best["wall_s"] if best["wall_s"] > 0 else 0.0,
    )


def points(engine: Json, k: int, batch: bool = False) -> list[Point]:
    """The timed settings, those of one call a query or those of one call for all."""
    found = [point(s) for s in engine["settings"] if s["k"] == k and s["batch"] == batch]
    return [p for p in found if p is not None]


def pareto(found: Iterable[Point]) -> list[Point]:
    """Those that no other beats in both recall and rate, by rising recall."""
    out: list[Point] = []
    for p in sorted(found, key=lambda p: (-p.recall, -p.qps)):
        if not out or p.qps > out[-1].qps:
            out.append(p)
    return out[::-1]


def at(engine: Json, k: int, target: float) -> Point | None:
    """The fastest setting that reaches a recall."""
    return max((p for p in points(engine, k) if p.recall >= target), key=lambda p: p.qps, default=None)


def best_recall(engine: Json, k: int) -> float | None:
    return max((s["recall"] for s in engine["settings"] if s["k"] == k), default=None)


@dataclass(frozen=True)
class Ratio:
    """A rate of ours beside the fastest of some peers at the same recall."""

    ours: str
    target: float
    qps: float
    peer: str | None
    peer_qps: float | None

    @property
    def ratio(self) -> float | None:
        return None if self.peer_qps is None else self.qps / self.peer_qps


def timed(engines: list[Json], k: int, family: str | None) -> bool:
    """Whether any peer (of one family, or of all) was timed."""
    return any(points(e, k) for e in engines if not e["ours"] and family in (None, e["family"]))


def fastest(engines: list[Json], k: int, target: float, family: str | None) -> tuple[float, str] | None:
    """The fastest peer (of one family, or of all) at a recall: its rate and its name."""
    peers = [e for e in engines if not e["ours"] and family in (None, e["family"])]
    return max(((p.qps, e["label"]) for e in peers if (p := at(e, k, target)) is not None), default=None)


def ratios(engines: list[Json], k: int, target: float, family: str | None = None) -> list[Ratio]:
    """Each of ours that reaches the recall, beside the fastest peer (of one family, or of all)."""
    qps, label = fastest(engines, k, target, family) or (None, None)
    mine = [(e["label"], at(e, k, target)) for e in engines if e["ours"]]
    return [Ratio(name, target, p.qps, label, qps) for name, p in mine if p is not None]


def busiest(engine: Json) -> float:
    """The most CPU seconds a second of any setting."""
    found = [point(s) for s in engine["settings"]]
    return max((p.busy for p in found if p is not None), default=0.0)


def disturbed(document: Json) -> tuple[int, int]:
    """How many settings of how many never had a core to themselves for a pass."""
    found = [point(s) for one in document["sets"] for e in one["engines"] for s in e["settings"]]
    timed = [p for p in found if p is not None]
    return sum(p.busy < 0.9 for p in timed), len(timed)


def versions(document: Json) -> dict[str, str]:
    out = dict(document["machine"]["versions"])
    for one in document["sets"]:
        for engine in one["engines"]:
            if engine.get("version"):
                out[engine["library"]] = engine["version"]
    return {name: version for name, version in out.items() if version}


def failed(document: Json) -> list[tuple[str, str, str]]:
    """(data set, index, reason) of what did not run, or not to its end."""
    return [
        (one["name"], engine["label"], engine.get("reason", "the run ended before it was built"))
        for one in document["sets"]
        for engine in one["engines"]
        if engine["status"] != "ok"
    ]
