"""How large capsules are, and what one costs a device: `python -m bench.capsule`.

Sizes over candidates and components, in int8, in halves, and in int8 with text ids. Then, for 200 candidates of 64
components, the best and the median of many rounds: opening, ranking (k 20, MMR, cap, epsilon-greedy; in the core, and as a
call) and the record. Asserted, that what is opened is what was made, and that the record replays. At last the same from C, through
`capsule.c`, where there is a static library of the embedded build (`--library`; `make test-embedded` leaves one in
`target/embedded`). That both give the same bytes is held by `tests/test_capi.py`.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

import perso_core as pc

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl")
NOW = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)
SHAPES = [(50, 32), (50, 64), (200, 32), (200, 64), (200, 128), (500, 64), (200, 384)]
POLICY = pc.Policy(
    candidates=500,
    score=pc.Blend(similarity=1.0, popularity=0.2, fresh=pc.Decay("published", "3d", 0.3)),
    diversity=pc.MMR(0.3),
    caps={"genre": 3},
    explore=pc.EpsilonGreedy(0.1),
)


def made(n: int, dim: int, key: pc.KeyPair, *, dtype: Any = "i8", text: bool = False) -> pc.Capsule:
    rng = np.random.default_rng(1)
    ids: Any = np.sort(rng.choice(10**7, n, replace=False))
    if text:
        ids = [f"{i:012x}" for i in ids.tolist()]
    catalog = pc.Catalog({"cf": pc.Space(dim, "ip", "i8")})
    catalog.upsert(
        ids,
        {"cf": rng.normal(size=(n, dim))},
        {
            "popularity": rng.random(n).astype(np.float32),
            "published": [NOW - timedelta(seconds=int(s)) for s in rng.integers(0, 10**6, n)],
            "genre": [f"g{i % 11}" for i in range(n)],
        },
    )
    return pc.capsule(ids, catalog, POLICY, ttl="6h", key=key, at=NOW, dtype=dtype)


def timed(call: Callable[[], object], rounds: int) -> str:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(1e6 * (time.perf_counter() - start))
    return shown(times)


def shown(times: list[float]) -> str:
    return f"{min(times):.0f} us best, {sorted(times)[len(times) // 2]:.0f} us median"


def from_c(one: pc.Capsule, key: pc.KeyPair, library: Path, cc: str) -> None:
    """The request's JSON is read in each call."""
    with tempfile.TemporaryDirectory() as folder:
        file, program = Path(folder) / "capsule", Path(folder) / "program"
        one.save(file)
        flags: tuple[str | Path, ...] = (
            "-std=c99",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-I",
            ROOT / "rust/capi/include",
        )
        subprocess.run([cc, *flags, ROOT / "bench/capsule.c", "-o", program, library, *LIBRARIES], check=True)
        at = int(NOW.timestamp()) * 1_000_000
        arguments: list[str | Path] = [program, file, key.public.hex(), str(at), "64", "2000"]
        said = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    for line in said.splitlines():
        name, fastest, median = line.split()
        print(f"C, {name.replace('_', ' ')}: {fastest} us best, {median} us median")


def main() -> None:
    parse = argparse.ArgumentParser("python -m bench.capsule", description=__doc__)
    parse.add_argument("--library", type=Path, default=ROOT / "target/embedded/libperso_core_capi.a")
    parse.add_argument("--cc", default="cc")
    options = parse.parse_args()
    key = pc.generate_key()
    print("candidates  dim      int8  each    halves  each  text ids  each")
    for n, dim in SHAPES:
        forms: list[dict[str, Any]] = [{}, {"dtype": "f16"}, {"text": True}]
        sizes = [made(n, dim, key, **form).size_bytes for form in forms]
        print(f"{n:10} {dim:4}" + "".join(f"  {size:8,}  {size / n:4.0f}" for size in sizes))
    one = made(200, 64, key)
    data = bytes(one)
    user = np.random.default_rng(2).normal(size=64).astype(np.float32)
    slate = pc.rank(one, user, k=20, at=NOW, seed=1, request_id="r")
    assert pc.Capsule.open(data, key.public, NOW) == one
    assert pc.replay(slate.record(), one, user) == slate
    core = [
        pc.rank(one, user, k=20, at=NOW, seed=seed, request_id="r").timings_us["total"]
        for seed in range(4000)
    ]
    print(f"open: {timed(lambda: pc.Capsule.open(data, key.public, NOW), 500)}")
    print(f"rank, in the core: {shown(core)}")
    print(f"rank, as a call: {timed(lambda: pc.rank(one, user, k=20, at=NOW, seed=1, request_id='r'), 2000)}")
    print(f"record: {timed(slate.record_json, 500)}, {len(slate.record_json()):,} bytes")
    print(f"record with what is personal: {len(slate.record_json(user=True)):,} bytes")
    if options.library.exists():
        from_c(one, key, options.library, options.cc)
    else:
        print(f"C: left out, there is no {options.library}")


if __name__ == "__main__":
    main()
