"""How long a catalog takes to open, mapped and read into memory: `python -m bench.opening --rows 200000`.

A catalog of `--rows` x `--dim` in int8 with its graph (none with `--layout exact`), an int, a float and a text of 20
values, saved once. Each way of opening it runs in a process of its own, the two in turns, and the file is in the page
cache, as it is for the second worker of a pre-fork server. Reported is the best of the rounds, and the memory that belongs
to the process alone (RssAnon), before and after a search in the opened catalog; asserted, that the answers and the content
hash are those of the catalog that was saved.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import perso_core as pc

MIB = 2**20


def own_memory() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def answers(catalog: pc.Catalog, dim: int) -> list[int]:
    query = np.random.default_rng(1).standard_normal(dim, dtype=np.float32)
    found: list[int] = catalog.search(query, k=10).ids.tolist()
    return found


def one(path: str, mapped: bool, dim: int) -> None:
    before = own_memory()
    start = time.perf_counter()
    catalog = pc.Catalog.open(path, mmap=mapped)
    seconds = time.perf_counter() - start
    opened = own_memory() - before
    found = answers(catalog, dim)
    print(
        json.dumps(
            {
                "seconds": seconds,
                "opened": opened,
                "searched": own_memory() - before,
                "ids": found,
                "hash": catalog.content_hash,
            }
        )
    )


def build(rows: int, dim: int, layout: Any) -> pc.Catalog:
    random = np.random.default_rng(0)
    catalog = pc.Catalog({"v": pc.Space(dim, "cosine", "i8", layout=layout)})
    vectors = random.standard_normal((rows, dim), dtype=np.float32)
    attributes: dict[str, Any] = {
        "age": random.integers(0, 1000, rows),
        "price": random.random(rows),
        "genre": [f"genre {i}" for i in random.integers(0, 20, rows)],
    }
    catalog.upsert(np.arange(rows), {"v": vectors}, attributes)
    return catalog


def main() -> None:
    parse = argparse.ArgumentParser("python -m bench.opening", description=__doc__)
    parse.add_argument("--rows", type=int, default=200_000)
    parse.add_argument("--dim", type=int, default=256)
    parse.add_argument("--layout", default="compact", choices=("compact", "local", "exact"))
    parse.add_argument("--rounds", type=int, default=5)
    parse.add_argument("--folder", type=Path, help="where the file goes (default: a temporary folder)")
    parse.add_argument("--one", nargs=2, metavar=("PATH", "MAPPED"), help=argparse.SUPPRESS)
    options = parse.parse_args()
    if options.one:
        one(options.one[0], options.one[1] == "mapped", options.dim)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "catalog.pc"
        catalog = build(options.rows, options.dim, options.layout)
        catalog.save(path)
        wanted, content = answers(catalog, options.dim), catalog.content_hash
        del catalog
        results: dict[str, list[dict[str, float]]] = {"mapped": [], "read": []}
        for _ in range(options.rounds):
            for way, of in results.items():
                command = [sys.executable, "-m", "bench.opening", "--dim", str(options.dim)]
                command += ["--one", str(path), way]
                got = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                assert got["ids"] == wanted and got["hash"] == content, way
                of.append(got)
        size = path.stat().st_size / MIB
        print(f"{options.rows:,} x {options.dim} i8, {options.layout}, {size:,.0f} MiB on disk\n")
        print("| | seconds | own memory, MiB | after a search |\n|---|--:|--:|--:|")
        for way, of in results.items():
            best = [min(each[name] for each in of) for name in ("seconds", "opened", "searched")]
            print(f"| {way} | {best[0]:.3f} | {best[1] / MIB:,.1f} | {best[2] / MIB:,.1f} |")


if __name__ == "__main__":
    main()
