"""A capsule ranked from C and from Python: `python -m bench.capsule`.

200 candidates of 64 components in int8; a blend of three signals, MMR, a cap and epsilon-greedy; a slate of 20. The C program
(`capsule.c`) is linked with the static library of the embedded build (`make test-embedded` leaves it in `target/embedded`; or
`--library`), and reads the request's JSON in each call. Printed are the fastest and the median call in microseconds. That both sides give the same
bytes is held by `tests/test_capi.py`.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import perso_core as pc

ROOT = Path(__file__).resolve().parent.parent
AT = 1_795_000_000_000_000
LIBRARIES = ("-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl")


def capsule(rows: int, dim: int, key: bytes) -> pc.Capsule:
    random = np.random.default_rng(0)
    catalog = pc.Catalog({"v": pc.Space(dim, "cosine", "i8")})
    attributes: dict[str, Any] = {
        "popularity": random.integers(0, 1000, rows) / 8,
        "published_at": (AT - random.integers(0, 10**12, rows)).astype("datetime64[us]"),
        "genre": [f"genre {i:05}" for i in random.integers(0, 12, rows)],
    }
    catalog.upsert(np.arange(rows), {"v": random.standard_normal((rows, dim), dtype=np.float32)}, attributes)
    policy = pc.Policy(
        candidates=rows,
        score=pc.Blend(
            similarity=1.0, popularity=0.2, freshness=pc.Decay("published_at", half_life="3d", weight=0.3)
        ),
        diversity=pc.MMR(0.3),
        caps={"genre": 3},
        explore=pc.EpsilonGreedy(0.1),
    )
    return pc.capsule(np.arange(rows), catalog, policy, ttl="1d", key=key, at=np.datetime64(AT, "us"))


def main() -> None:
    parse = argparse.ArgumentParser("python -m bench.capsule", description=__doc__)
    parse.add_argument("--rows", type=int, default=200)
    parse.add_argument("--dim", type=int, default=64)
    parse.add_argument("--rounds", type=int, default=5000)
    parse.add_argument("--library", type=Path, default=ROOT / "target/embedded/libperso_core_capi.a")
    parse.add_argument("--cc", default="cc")
    options = parse.parse_args()
    key = pc.generate_key()
    packed = capsule(options.rows, options.dim, key.private)
    at = np.datetime64(AT, "us")
    user = np.array([(d * 37 % 19) * 0.1 - 0.9 for d in range(options.dim)], np.float32)
    opened = pc.Capsule.open(bytes(packed), key.public, at=at)
    times = []
    for seed in range(options.rounds):
        start = time.perf_counter()
        pc.rank(opened, user, k=20, at=at, seed=seed, request_id="r")
        times.append(1e6 * (time.perf_counter() - start))
    print(f"{options.rows} x {options.dim}: {packed.size_bytes:,} bytes\n")
    print("| microseconds | fastest | median |\n|---|--:|--:|")
    print(f"| Python, rank | {min(times):.1f} | {np.median(times):.1f} |")
    with tempfile.TemporaryDirectory() as folder:
        file, program = Path(folder) / "capsule", Path(folder) / "program"
        packed.save(file)
        source = ROOT / "bench/capsule.c"
        compile_ = [
            options.cc,
            "-std=c99",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-I",
            ROOT / "rust/capi/include",
        ]
        subprocess.run([*compile_, source, "-o", program, options.library, *LIBRARIES], check=True)
        arguments: list[str | Path] = [
            program,
            file,
            key.public.hex(),
            str(AT),
            str(options.dim),
            str(options.rounds),
        ]
        said = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    for line in said.splitlines():
        name, fastest, median = line.split()
        print(f"| C, {name.replace('_', ' ')} | {fastest} | {median} |")


if __name__ == "__main__":
    main()
