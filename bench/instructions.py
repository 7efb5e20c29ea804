"""Instructions per operation under callgrind, against a committed baseline.

    python -m bench.instructions            # counts, compares with bench/instructions.json; exit 1 if worse
    python -m bench.instructions --update   # writes the baseline: when a change is meant

Wall-clock time depends on the machine's mood, instruction counts hardly do: two runs agree to a few
parts in a thousand, so a tolerance of 10% catches what a timing on a busy machine would hide. They do
not see caches or stalls: a benchmark that counts the same and runs slower is for `make bench`.

Valgrind knows no AVX-512, so the AVX2 kernels are chosen by PERSO_CORE_ISA=avx2 on every machine, and
counts can be compared between machines. The baseline names the versions it was made with: another
NumPy or Python moves the counts of small operations a little.

The workload runs as this same file with --workload, under valgrind. Its data and indexes are built and
saved beforehand, outside. Counts are taken by callgrind's client requests, around the calls alone, so
neither the interpreter's start nor the loading of files is in the figures.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import mmap
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

BASELINE = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.10
ROWS, DIM, CALLS = 20_000, 128, 20


class Counter:
    """Callgrind's client requests START_INSTRUMENTATION and DUMP_STATS_AT.

    A request is a sequence of rotations that does nothing on a processor and that valgrind recognises
    (valgrind.h, amd64): rax points to six words, the request and its arguments. Here it is a function
    of one argument, the pointer, written into an executable page.
    """

    CODE = bytes.fromhex(
        "4889f8"  # mov rax, rdi
        "31d2"  # xor edx, edx: the answer where there is no valgrind
        "57"  # push rdi
        "48c1c703 48c1c70d 48c1c73d 48c1c733"  # rol rdi by 3, 13, 61, 51: together by 128
        "4887db"  # xchg rbx, rbx
        "5f"  # pop rdi
        "4889d0"  # mov rax, rdx
        "c3"  # ret
    )
    BASE = ord("C") << 24 | ord("T") << 16
    DUMP_AT, START = BASE + 3, BASE + 4

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(self.CODE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._call = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)
        self.request(self.START)

    def request(self, code: int, label: bytes = b"") -> None:
        text = ctypes.create_string_buffer(label)
        words = (ctypes.c_uint64 * 6)(code, ctypes.addressof(text), 0, 0, 0, 0)
        self._call(ctypes.addressof(words))

    def count(self, name: str, operation: Callable[[int], object]) -> None:
        """Counts CALLS calls; the first call is left out, because it fills caches and sizes buffers."""
        operation(0)
        # A dump holds what was counted since the dump before. (Stopping in between would zero the counts
        # and not that mark, and the next difference would be wrong.)
        self.request(self.DUMP_AT, b"between")
        for i in range(CALLS):
            operation(i)
        self.request(self.DUMP_AT, name.encode())


def prepare(folder: Path) -> None:
    """What the workload loads."""
    import numpy as np

    import perso_core as pc

    from .data import Vectors, attributes, clustered

    vectors: Vectors = clustered(ROWS, DIM)
    np.save(folder / "queries.npy", vectors.queries[:CALLS])
    np.save(folder / "items.npy", vectors.items)
    for dtype in ("f32", "i8"):
        index = pc.Index(DIM, "cosine", dtype)
        index.add(vectors.items)
        index.save(folder / f"{dtype}.index")
    items = attributes(ROWS)
    catalog = pc.Catalog({"content": pc.Space(DIM, "cosine", "i8")})
    named = {"popularity": items.popularity, "published": items.published, "genre": items.genre}
    catalog.upsert(np.arange(ROWS), vectors.items, named)
    catalog.save(folder / "catalog")


def workload(folder: Path) -> None:
    """Runs under valgrind."""
    import numpy as np

    import perso_core as pc

    from .data import NOW

    isa = pc.cpu_features()["isa"]
    if isa != "avx2":
        sys.exit(f"the workload must run on the avx2 kernels, and runs on {isa}")
    counter = Counter()
    queries, items = np.load(folder / "queries.npy"), np.load(folder / "items.npy")
    halves = items.astype(np.float16)
    codes = np.clip(np.rint(items * 254), -127, 127).astype(np.int8)
    counter.count("dot f32", lambda i: pc.dot(queries[i], items))
    counter.count("dot f16", lambda i: pc.dot(queries[i], halves))
    counter.count("dot i8", lambda i: pc.dot(codes[i], codes))
    for dtype in ("f32", "i8"):
        index = pc.Index.load(folder / f"{dtype}.index")
        assert index.search(queries[0]).path == "graph"
        counter.count(f"search graph {dtype}", lambda i, index=index: index.search(queries[i]))
        counter.count(f"search exact {dtype}", lambda i, index=index: index.search(queries[i], exact=True))
    catalog = pc.Catalog.open(folder / "catalog")
    policy = pc.Policy(
        candidates=500,
        score=pc.Blend(popularity=0.2, freshness=pc.Decay("published", half_life="30d", weight=0.3)),
        diversity=pc.MMR(0.3),
        caps={"genre": 3},
        explore=pc.EpsilonGreedy(0.1),
    )
    at, seen = NOW.item(), np.arange(0, ROWS, ROWS // 200)

    def rank(i: int) -> pc.Slate:
        return pc.rank(catalog, queries[i], policy, 20, exclude=seen, at=at, seed=7, request_id=f"r-{i}")

    assert len(rank(0)) == 20
    counter.count("rank", lambda i: rank(i).ids)
    counter.count("rank and record", lambda i: rank(i).record())


def count() -> dict[str, int]:
    """Instructions per operation."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        sys.exit(
            "valgrind is not installed, so nothing can be counted. Debian and Ubuntu: apt install valgrind"
        )
    if platform.machine() not in ("x86_64", "AMD64"):
        sys.exit(f"the client requests here are those of x86-64; this is {platform.machine()}")
    # One thread, the same hashes, the same kernels: nothing may vary but the code.
    fixed = {
        "PERSO_CORE_ISA": "avx2",
        "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    root = Path(__file__).resolve().parent.parent
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | fixed | {"PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryDirectory(prefix="instructions-") as name:
        folder = Path(name)
        this = [sys.executable, "-m", "bench.instructions"]
        subprocess.run([*this, "--prepare", name], env=environment, check=True, cwd=root)
        out = folder / "out"
        tool = [valgrind, "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}", "-q"]
        run = subprocess.run(
            [*tool, *this, "--workload", name],
            env=environment,
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            sys.exit(f"the workload failed under valgrind:\n{run.stdout}{run.stderr}")
        found: dict[str, int] = {}
        for dump in sorted(folder.glob("out*"), key=lambda path: path.stat().st_mtime_ns):
            text = dump.read_text(errors="replace")
            label = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.MULTILINE)
            total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
            if label and total and label[1].strip() != "between":
                found[label[1].strip()] = int(total[1]) // CALLS
        if not found:
            sys.exit(f"callgrind wrote no counts:\n{run.stdout}{run.stderr}")
        return found


def compare(found: dict[str, int], baseline: dict[str, Any] | None) -> tuple[str, bool]:
    """A table, and whether everything is within the tolerance."""
    before = (baseline or {}).get("instructions", {})
    lines, fine = [f"{'instructions per operation':28}{'now':>14}{'baseline':>14}{'change':>9}"], True
    for name, now in found.items():
        if name not in before:
            lines.append(f"{name:28}{now:14,}{'none':>14}")
            continue
        change = now / before[name] - 1
        verdict = "  WORSE" if change > TOLERANCE else "  better: record it" if change < -TOLERANCE else ""
        fine &= change <= TOLERANCE
        lines.append(f"{name:28}{now:14,}{before[name]:14,}{change:+9.1%}{verdict}")
    gone = [name for name in before if name not in found]
    if gone:
        fine = False
        lines.append(f"in the baseline and not counted: {', '.join(gone)}")
    return "\n".join(lines), fine


def versions() -> dict[str, str]:
    import numpy as np

    import perso_core as pc

    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "perso_core": pc.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "valgrind": valgrind.strip(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--update", action="store_true", help=f"write {BASELINE.name}: the change is meant")
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--workload", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare:
        return prepare(options.prepare)
    if options.workload:
        return workload(options.workload)
    found = count()
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else None
    table, fine = compare(found, baseline)
    print(table)
    if baseline is not None and baseline["made_with"] != versions():
        print(f"the baseline was made with {baseline['made_with']}, this run with {versions()}")
    if options.update:
        document = {"isa": "avx2", "made_with": versions(), "instructions": found}
        BASELINE.write_text(json.dumps(document, indent=2) + "\n")
        print(f"written: {BASELINE.name}")
    elif not fine:
        print(
            f"more than {TOLERANCE:.0%} above the baseline. Find the cause; if the change is meant, run "
            "`python -m bench.instructions --update` and commit the file with the reason."
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
