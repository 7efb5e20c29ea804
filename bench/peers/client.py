"""The side that asks a worker: starts it, waits no longer than it may take, says how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

# Transparent huge pages for what malloc gives, where the machine grants them on request: the same for all.
TUNABLES = "glibc.malloc.hugetlb=1:glibc.malloc.trim_threshold=131072"


WORKER = (sys.executable, "-m", "bench.peers.worker")


class Failed(Exception):
    """A worker that cannot go on: what it said, or how it ended."""


def environment(threads: int) -> dict[str, str]:
    """The same for every library: one thread for BLAS, as many as may build for what asks OpenMP."""
    return os.environ | {
        "GLIBC_TUNABLES": TUNABLES,
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }


class Client:
    def __init__(self, log: Path, threads: int, command: tuple[str, ...] = WORKER) -> None:
        self.log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env=environment(threads),
            )
        assert self.process.stdout is not None
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        self.buffer = b""

    def ask(self, do: str, timeout: float, **request: Any) -> dict[str, Any]:
        """Raises Failed, and ends the worker, where it errs, dies or takes longer than `timeout` seconds."""
        try:
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise self._failed(self._ended()) from None
        reply = json.loads(self._line(do, timeout))
        if "error" in reply:
            raise self._failed(reply["error"])
        return reply

    def _line(self, do: str, timeout: float) -> bytes:
        assert self.process.stdout is not None
        until = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            left = until - time.monotonic()
            if left <= 0 or not self.selector.select(left):
                raise self._failed(f"{do} took longer than {timeout:g} s")
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            if not more:
                raise self._failed(self._ended())
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def _ended(self) -> str:
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            return "closed its answers"
        how = f"exit status {code}"
        if code < 0:
            how = f"killed by {signal.Signals(-code).name}"
        said = self.log.read_text(errors="replace").strip().splitlines()
        return f"{how}: {said[-1][:300]}" if said else how

    def _failed(self, reason: str) -> Failed:
        self.stop()
        return Failed(reason)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.selector.close()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                # It may hold a request that the worker did not live to read.
                with contextlib.suppress(OSError):
                    pipe.close()
