"""Timing of one call per query, and of a peer beside it.

The machine's speed drifts while a suite runs, so a ratio is only taken between passes that ran one
after the other: each round runs the peer over all queries, then ours, and the ratio reported is the
median over the rounds. Nothing here decides whether a benchmark passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Call = Callable[[Any], object]


@dataclass(frozen=True)
class Latency:
    """Seconds by round and query."""

    seconds: np.ndarray

    @property
    def qps(self) -> float:
        """Of the best round: the others waited for somebody else."""
        return self.seconds.shape[1] / float(self.seconds.sum(axis=1).min())

    @property
    def p50_us(self) -> float:
        return float(np.median(self.seconds)) * 1e6

    @property
    def p99_us(self) -> float:
        return float(np.quantile(self.seconds, 0.99)) * 1e6

    def summary(self, prefix: str = "") -> dict[str, float]:
        return {
            f"{prefix}qps": round(self.qps, 1),
            f"{prefix}p50_us": round(self.p50_us, 2),
            f"{prefix}p99_us": round(self.p99_us, 2),
        }


def one_pass(call: Call, queries: Sequence[Any]) -> np.ndarray:
    """Seconds of each call."""
    out = np.empty(len(queries))
    now = time.perf_counter
    for i, query in enumerate(queries):
        start = now()
        call(query)
        out[i] = now() - start
    return out


def measure(
    benchmark: Any, call: Call, queries: Sequence[Any], rounds: int = 5, peer: Call | None = None
) -> tuple[Latency, Latency | None]:
    """Times `call`, one call per query and pass, under pytest-benchmark; the peer's passes in between.

    Fills `benchmark.extra_info` with rates and percentiles, `peer_` ones and the `ratio` of the passes'
    times (above 1: ours is faster) where there is a peer.
    """
    ours: list[np.ndarray] = []
    theirs: list[np.ndarray] = []

    def before() -> None:
        if peer is not None:
            theirs.append(one_pass(peer, queries))

    def run() -> None:
        ours.append(one_pass(call, queries))

    benchmark.pedantic(run, setup=before, rounds=rounds, iterations=1, warmup_rounds=1)
    # The first round warmed up. With --benchmark-disable there is only one.
    skip = 1 if len(ours) > 1 else 0
    latency = Latency(np.array(ours[skip:]))
    benchmark.extra_info["calls_per_round"] = len(queries)
    benchmark.extra_info.update(latency.summary())
    if peer is None:
        return latency, None
    other = Latency(np.array(theirs[skip:]))
    pairs = other.seconds.sum(axis=1) / latency.seconds.sum(axis=1)
    benchmark.extra_info.update(other.summary("peer_"), ratio=round(float(np.median(pairs)), 2))
    return latency, other
