"""One run: builds, sweeps, bisection, interleaved rounds. Results are written after every step, so what
was measured before something broke is not lost.

Each index lives in its own process, and only one of them works at a time. Recalls come first: a curve of
settings for each index, then, by bisection between them, the least setting that reaches each target. Then the
rounds: pass after pass, each library in turn, so that all of them meet the same moods of the machine. The best
pass of a setting counts.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import install, machine
from .client import Client, Failed
from .libs import BY_KEY, Curve, label_of
from .sets import Set

SCHEMA = 1
Json = dict[str, Any]


@dataclass(frozen=True)
class Options:
    ks: tuple[int, ...] = (10,)
    targets: tuple[float, ...] = (0.90, 0.95, 0.99)
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    rounds: int = 5
    # A pass over the queries takes about so long, or fewer of them are asked.
    pass_seconds: float = 0.4
    # CPU seconds after which a curve goes no further: it is slower than a scan by then.
    sweep_seconds: float = 30.0
    build_timeout: float = 900.0
    pass_timeout: float = 120.0

    @property
    def enough(self) -> float:
        """The recall at which a curve has shown what is asked."""
        return min(0.9995, max(self.targets) + 0.003)


class Run:
    def __init__(self, options: Options, out: Path, command: str) -> None:
        self.options, self.out = options, out
        self.path = out / "results.json"
        self.document: Json = {
            "schema": SCHEMA,
            "command": command,
            "options": asdict(options),
            "machine": machine.describe(),
            "sets": [],
            "complete": False,
        }
        out.mkdir(parents=True, exist_ok=True)
        self.save()

    def save(self) -> None:
        """Written to the side and renamed: a reader finds all of it or the last one."""
        aside = self.path.with_suffix(".tmp")
        aside.write_text(json.dumps(self.document, indent=1) + "\n", encoding="utf-8")
        aside.replace(self.path)

    def finish(self) -> None:
        self.document["machine"]["load_at_end"] = machine.load()
        self.document["complete"] = True
        self.save()

    def measure(self, given: Set, keys: list[str]) -> None:
        """All of one data set."""
        vectors = given.vectors
        entry: Json = {
            "name": given.name,
            "source": given.source,
            "queries_from": given.queries_from,
            "metric": vectors.metric,
            "n": len(vectors),
            "dim": vectors.dim,
            "queries": len(vectors.queries),
            "engines": [],
        }
        self.document["sets"].append(entry)
        say(f"{given.name}: {len(vectors):,} x {vectors.dim}, {vectors.metric}; exact answers")
        for k in self.options.ks:
            vectors.kth(k)
        if given.neighbours is not None:
            k = min(10, given.neighbours.shape[1])
            entry["file_neighbours_recall"] = round(vectors.recall(given.neighbours[:, :k]), 5)
        folder = Path(tempfile.mkdtemp(prefix="bench-peers-"))
        one = OneSet(self, given, entry, folder)
        try:
            one.build_all(keys)
            one.rounds()
        finally:
            one.stop()
            shutil.rmtree(folder, ignore_errors=True)
            self.save()


class OneSet:
    """The workers of a data set."""

    def __init__(self, run: Run, given: Set, entry: Json, folder: Path) -> None:
        self.run, self.options, self.entry, self.folder = run, run.options, entry, folder
        self.vectors = given.vectors
        items, queries = given.prepared()
        self.bytes = items.nbytes
        np.save(folder / "items.npy", items)
        np.save(folder / "queries.npy", queries)
        self.clients: dict[str, Client] = {}
        self.engines: dict[str, Json] = {}

    def build_all(self, keys: list[str]) -> None:
        refused = install.failures()
        for key in keys:
            engine, config = BY_KEY[key]
            self.engines[key] = {
                "key": key,
                "label": config.label,
                "library": engine.library,
                "family": engine.family,
                "ours": engine.family == "ours",
                "options": config.options,
                "status": "failed",
                "settings": [],
            }
            self.entry["engines"].append(self.engines[key])
            if engine.library in refused:
                self._fail(key, f"could not be installed: {refused[engine.library]}")
                continue
            try:
                self._build(key)
                for k in self.options.ks:
                    for curve in engine.curves(config.options, len(self.vectors), k):
                        self._sweep(key, curve, k)
            except Failed as error:
                self._fail(key, str(error))
            self.run.save()

    def _fail(self, key: str, reason: str) -> None:
        self.engines[key].update(status="failed", reason=reason)
        client = self.clients.pop(key, None)
        if client is not None:
            client.stop()
        say(f"  {self.engines[key]['label']}: FAILED: {reason}")
        self.run.save()

    def _build(self, key: str) -> None:
        free = machine.available_bytes()
        need = 3 * self.bytes + (256 << 20)
        if free is not None and free < need:
            raise Failed(f"not tried: {free / 2**30:.1f} GiB of memory left, {need / 2**30:.1f} GiB wanted")
        logs = self.run.out / "logs"
        logs.mkdir(exist_ok=True)
        client = Client(logs / f"{self.entry['name']}-{key}.log", self.options.threads)
        self.clients[key] = client
        built = client.ask(
            "build",
            self.options.build_timeout,
            key=key,
            metric=self.vectors.metric,
            items=str(self.folder / "items.npy"),
            queries=str(self.folder / "queries.npy"),
            threads=self.options.threads,
        )
        self.engines[key].update(status="ok", version=built.pop("version"), build=built)
        mb = "?" if built["mb"] is None else f"{max(0.0, built['mb']):.0f}"
        say(f"  {self.engines[key]['label']}: built in {built['wall_s']:.1f} s, {mb} MiB")

    # Recalls.

    def _sweep(self, key: str, curve: Curve, k: int) -> None:
        flat, last, spent = 0, 0.0, 0.0
        found: dict[int, float] = {}
        for value in curve.values or (None,):
            recall = self._recall(key, curve, value, k)
            if value is None:
                return
            found[value] = recall
            # A curve that has stopped rising will not reach what it has not.
            flat = flat + 1 if recall < last + 0.0005 else 0
            last = max(last, recall)
            spent += self.engines[key]["settings"][-1]["recall_cpu_s"]
            if recall >= self.options.enough or flat == 3 or spent > self.options.sweep_seconds:
                break
        for target in self.options.targets:
            self._bisect(key, curve, k, target, found)

    def _bisect(self, key: str, curve: Curve, k: int, target: float, found: dict[int, float]) -> None:
        reach = [value for value in found if found[value] >= target]
        if not reach:
            return
        high = min(reach)
        below = [value for value in found if value < high]
        if not below:
            return
        low = max(below)
        while high - low > max(1, low // 25):
            middle = (low + high) // 2
            found[middle] = self._recall(key, curve, middle, k)
            if found[middle] >= target:
                high = middle
            else:
                low = middle

    def _recall(self, key: str, curve: Curve, value: int | None, k: int) -> float:
        setting = curve.setting(value)
        known = self.engines[key]["settings"]
        same = [s for s in known if (s["setting"], s["k"]) == (setting, k)]
        if same:  # in one call for all queries
            known.append(
                same[0] | {"label": label_of(setting, curve.batch), "batch": curve.batch, "passes": []}
            )
            known[-1]["curve"] = label_of(curve.fixed, curve.batch)
            return float(same[0]["recall"])
        out = self.folder / "ids.npy"
        done = self.clients[key].ask(
            "answer",
            self.options.pass_timeout,
            setting=setting,
            k=k,
            seconds=10 * self.options.pass_seconds,
            least=20,
            out=str(out),
        )
        ids = np.load(out)
        # A number that is no row is a wrong answer, not an error of ours.
        ids[(ids < 0) | (ids >= len(self.vectors))] = -1
        recall = self.vectors.recall(ids)
        known.append(
            {
                "label": label_of(setting, curve.batch),
                "setting": setting,
                "curve": label_of(curve.fixed, curve.batch),
                "value": value,
                "batch": curve.batch,
                "k": k,
                "recall": recall,
                "recall_queries": done["count"],
                "recall_cpu_s": round(done["cpu_s"], 4),
                "s_a_query": done["wall_s"] / done["count"],
                "passes": [],
            }
        )
        return recall

    # Times.

    def rounds(self) -> None:
        for number in range(self.options.rounds):
            begin = time.monotonic()
            for key, setting in self._turns(number):
                if key in self.clients:
                    try:
                        self._pass(key, setting)
                    except Failed as error:
                        self._fail(key, str(error))
            self.run.save()
            say(f"  round {number + 1} of {self.options.rounds}: {time.monotonic() - begin:.0f} s")

    def _turns(self, number: int) -> Iterator[tuple[str, Json]]:
        """The passes of a round: one of each library, then the next. Settings that a table names come in every
        round, those that only draw the curve in the first."""
        lanes: dict[str, list[Json]] = {}
        for key, engine in self.engines.items():
            named = [id(s) for s in self._named(engine["settings"])]
            lanes[key] = [s for s in engine["settings"] if number == 0 or id(s) in named]
        keys = list(lanes)
        for step in range(max(map(len, lanes.values()), default=0)):
            # Somebody else begins each time.
            turn = (step + number) % max(1, len(keys))
            for key in keys[turn:] + keys[:turn]:
                if step < len(lanes[key]):
                    yield key, lanes[key][step]

    def _named(self, settings: list[Json]) -> Iterator[Json]:
        curves = {(s["curve"], s["k"]) for s in settings}
        for curve in sorted(curves):
            own = [s for s in settings if (s["curve"], s["k"]) == curve]
            if own[0]["value"] is None:
                yield own[0]
                continue
            for target in self.options.targets:
                reach = [s for s in own if s["recall"] >= target]
                if reach:
                    yield min(reach, key=lambda s: s["value"])

    def _pass(self, key: str, setting: Json) -> None:
        all_of_them = len(self.vectors.queries)
        seconds = self.options.pass_seconds / setting["s_a_query"]
        few = int(0.1 / setting["s_a_query"])
        # As many as fit, all of them at best; over again where that is too soon over to be timed.
        count = all_of_them if setting["batch"] else max(20, few, min(all_of_them, int(seconds)))
        done = self.clients[key].ask(
            "batch" if setting["batch"] else "time",
            self.options.pass_timeout,
            setting=setting["setting"],
            k=setting["k"],
            count=count,
        )
        setting["passes"].append({name: float(f"{value:.6g}") for name, value in done.items()})

    def stop(self) -> None:
        for client in self.clients.values():
            client.stop()
        self.clients.clear()


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
