"""An index in a process of its own: builds it, keeps it, and runs a timed pass whenever it is told to.

It is asked in JSON, one line a request on standard input, and answers in kind. What a library prints on
standard output goes to standard error, so it cannot mix with the answers.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

from .libs import BY_KEY, Engine

Reply = dict[str, Any]


def status_mb(*names: str) -> float | None:
    """The sum of some lines of /proc/self/status, where there is one."""
    try:
        with open("/proc/self/status", encoding="ascii") as lines:
            found = dict(line.split(":", 1) for line in lines)
        return sum(int(found[name].split()[0]) for name in names) / 1024
    except (OSError, KeyError):
        return None


def own_mb() -> float | None:
    """Memory that is this process's alone, huge pages included and code of libraries left out."""
    return status_mb("RssAnon", "RssShmem", "HugetlbPages")


def restart_peak() -> bool:
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        return False
    return True


def give_back() -> None:
    """What the allocator keeps for later is not the index's."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def end_with_parent() -> None:
    """A build that nobody waits for any more would slow whatever is measured next."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG


class Worker:
    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.queries = np.empty((0, 0), np.float32)
        self.calls: list[Any] = []

    def build(self, key: str, metric: str, items: str, queries: str, threads: int) -> Reply:
        kind, config = BY_KEY[key]
        shape = np.load(items, mmap_mode="r").shape
        engine = kind(metric, shape[1], config.options)
        give_back()
        empty = own_mb()
        # Read as a caller would hold it; it is let go before the index is weighed.
        given = np.load(items)
        staged = engine.stage(given)
        counted, loaded = restart_peak(), status_mb("VmRSS")
        wall, cpu = time.perf_counter(), time.process_time()
        engine.build(staged, threads)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = status_mb("VmHWM") if counted else None
        del given, staged
        self.engine, self.queries = engine, np.load(queries)
        self.calls = engine.queries(self.queries)
        engine.use(kind.curves(config.options, shape[0], 10)[0].setting(10), min(10, shape[0]))
        engine.one(self.calls[0])
        give_back()
        full = own_mb()
        distribution = kind.distribution
        return {
            "version": metadata.version(distribution) if distribution else None,
            "wall_s": wall,
            "cpu_s": cpu,
            "threads": threads,
            "mb": None if full is None or empty is None else full - empty - self.queries.nbytes / 2**20,
            "peak_mb": None if peak is None or loaded is None else peak - loaded,
        }

    def answer(self, setting: dict[str, Any], k: int, seconds: float, least: int, out: str) -> Reply:
        """Answers in a file, of as many queries as fit into the CPU seconds, and how long they took."""
        engine = self._use(setting, k)
        found: list[Any] = []
        wall, cpu = time.perf_counter(), time.process_time()
        for call in self.calls:
            found.append(engine.one(call))
            if len(found) >= least and time.process_time() - cpu > seconds:
                break
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        ids = np.full((len(found), k), -1, np.int64)
        for row, one in zip(ids, found, strict=True):
            got = engine.ids(one)[0][:k]
            row[: len(got)] = got
        np.save(out, ids)
        return {"wall_s": wall, "cpu_s": cpu, "count": len(found)}

    def time(self, setting: dict[str, Any], k: int, count: int) -> Reply:
        """One pass, one call a query; over again from the first where `count` is above their number."""
        engine = self._use(setting, k)
        calls = (self.calls * -(-count // len(self.calls)))[:count]
        one, now = engine.one, time.perf_counter
        # Another worker has had the caches since the last pass.
        for call in calls[: max(1, len(calls) // 10)]:
            one(call)
        each = np.empty(len(calls))
        cpu = time.process_time()
        for i, call in enumerate(calls):
            start = now()
            one(call)
            each[i] = now() - start
        cpu = time.process_time() - cpu
        return {
            "wall_s": float(each.sum()),
            "cpu_s": cpu,
            "count": len(calls),
            "p50_us": float(np.median(each)) * 1e6,
            "p99_us": float(np.quantile(each, 0.99)) * 1e6,
        }

    def batch(self, setting: dict[str, Any], k: int, count: int) -> Reply:
        """One pass, one call for all queries."""
        engine = self._use(setting, k)
        queries = self.queries[:count]
        wall, cpu = time.perf_counter(), time.process_time()
        engine.many(queries)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return {"wall_s": wall, "cpu_s": cpu, "count": len(queries)}

    def _use(self, setting: dict[str, Any], k: int) -> Engine:
        if self.engine is None:
            raise RuntimeError("asked before the index was built")
        self.engine.use(setting, k)
        return self.engine


def serve() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    end_with_parent()
    worker = Worker()
    known: dict[str, Callable[..., Reply]] = {
        "build": worker.build,
        "answer": worker.answer,
        "time": worker.time,
        "batch": worker.batch,
    }
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = known[request.pop("do")](**request)
        except Exception as error:  # whatever a library throws is the answer
            reply = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
