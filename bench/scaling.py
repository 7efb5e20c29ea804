"""`rank`, one user a call, from one Python thread and from two: with the GIL, or without where there is none.

    python -m bench.scaling                       # an ordinary CPython
    PYTHON_GIL=0 python3.14t -m bench.scaling     # one without the GIL; PYTHON_GIL=1 gives it one, for comparison

A call releases the GIL for its work in Rust, so with a GIL threads wait for each other in what is Python and in converting:
the smaller the ranking, the more. Two sizes of it are measured, in rounds that alternate; the figure is the median of the
rounds' ratios, and 2 would be perfect on two free cores. Asserts that two threads give the slates that one gives.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time

import numpy as np

import perso_core as pc

DIM = 64
ITEMS = 20_000
SIZES = {"small": (50, 10), "large": (500, 20)}


def run(calls: int, threads: int, call) -> float:
    """Calls a second of all threads together."""
    gate = threading.Barrier(threads + 1)

    def work(at: int) -> None:
        gate.wait()
        for i in range(at, calls, threads):
            call(i)

    team = [threading.Thread(target=work, args=(at,)) for at in range(threads)]
    for thread in team:
        thread.start()
    gate.wait()
    start = time.perf_counter()
    for thread in team:
        thread.join()
    return calls / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    catalog = pc.Catalog({"v": pc.Space(DIM, layout="exact")})
    x = (rng.standard_normal((ITEMS, 8)) @ rng.standard_normal((8, DIM))).astype(np.float32)
    catalog.upsert(range(ITEMS), x, {"popularity": rng.random(ITEMS)})
    users = x[rng.integers(ITEMS, size=args.calls)] + np.float32(0.1)
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"CPython {sys.version.split()[0]}, {'with the GIL' if gil else 'without a GIL'}")
    for name, (candidates, k) in SIZES.items():
        policy = pc.Policy(
            candidates=candidates, score=pc.Blend(similarity=1.0, popularity=0.2), diversity=pc.MMR(0.3)
        )
        where = np.arange(0, ITEMS, 40) if name == "small" else None

        def call(i: int, policy=policy, k=k, where=where) -> pc.Slate:
            return pc.rank(catalog, users[i], policy, k=k, where=where, seed=i)

        expected = [call(i).ids for i in range(args.calls)]
        pairs = []
        for _ in range(args.rounds):
            pairs.append((run(args.calls, 1, call), run(args.calls, 2, call)))
        found: list[np.ndarray] = [np.empty(0)] * args.calls

        def keep(i: int, found=found, call=call) -> None:
            found[i] = call(i).ids

        run(args.calls, 2, keep)
        assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))
        one, two = np.median(pairs, axis=0)
        ratio = np.median([two / one for one, two in pairs])
        print(
            f"  {name}, {candidates} candidates, k={k}: {one:,.0f} slates/s of one thread, {two:,.0f} of two, {ratio:.2f}x"
        )


if __name__ == "__main__":
    main()
