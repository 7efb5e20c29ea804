"""What a call costs on its way through Python: operations so small that little else is counted.

    python -m bench.python_calls NAME        under callgrind; `bench.callgrind` starts it

A new scenario is a function here and its line in `SCENARIOS`. It returns the call to count.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import sys
from collections.abc import Callable
from typing import Any

CALLS = 50


class Callgrind:
    """Callgrind's client requests, as rust/bench/src/meter.rs makes them, from an executable page."""

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
    TOGGLE_COLLECT, START_INSTRUMENTATION = BASE + 2, BASE + 4

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(self.CODE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._call = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)

    def request(self, code: int) -> None:
        words = (ctypes.c_uint64 * 6)(code)
        self._call(ctypes.addressof(words))


def _vectors(rows: int, dim: int) -> Any:
    import numpy as np

    # Integers of a fixed pattern, so that no random generator's version matters.
    return ((np.arange(rows * dim).reshape(rows, dim) * 2654435761 % 1013) / 506.5 - 1).astype(np.float32)


def search() -> Callable[[int], object]:
    """One query to an index of 64 rows."""
    import perso_core as pc

    index, x = pc.Index(16, "cosine", "f32"), _vectors(64, 16)
    index.add(x)
    return lambda i: index.search(x[i], k=10)


def search_ids_and_scores() -> Callable[[int], object]:
    """The same, both arrays read."""
    call = search()

    def read(i: int) -> object:
        hits: Any = call(i)
        return hits.ids, hits.scores

    return read


def dot() -> Callable[[int], object]:
    """One query with 8 rows."""
    import perso_core as pc

    x = _vectors(64, 16)
    return lambda i: pc.dot(x[i], x[:8])


def rank() -> Callable[[int], object]:
    """A slate of 5 out of 64 items."""
    import numpy as np

    import perso_core as pc

    catalog, x = pc.Catalog({"content": pc.Space(16, "cosine", "f32")}), _vectors(64, 16)
    catalog.upsert(np.arange(64), x)
    policy = pc.Policy(candidates=10)
    return lambda i: pc.rank(catalog, x[i], policy, 5, at=0, seed=7, request_id="r").ids


SCENARIOS: dict[str, Callable[[], Callable[[int], object]]] = {
    "python-search": search,
    "python-search-arrays": search_ids_and_scores,
    "python-dot": dot,
    "python-rank": rank,
}


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in SCENARIOS:
        sys.exit(f"usage: python -m bench.python_calls {'|'.join(SCENARIOS)}")
    import perso_core as pc

    call = SCENARIOS[sys.argv[1]]()
    callgrind = Callgrind()
    # The interpreter specialises code and fills caches in the first calls.
    for i in range(20):
        call(i)
    callgrind.request(Callgrind.START_INSTRUMENTATION)
    # What the loop and the requests themselves take stays in: some hundred instructions a call.
    callgrind.request(Callgrind.TOGGLE_COLLECT)
    for i in range(CALLS):
        call(i)
    callgrind.request(Callgrind.TOGGLE_COLLECT)
    print(json.dumps({"scenario": sys.argv[1], "calls": CALLS, "isa": pc.cpu_features()["isa"]}))


if __name__ == "__main__":
    main()
