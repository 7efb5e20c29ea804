"""What docs/consistency.md promises and no other file holds: memory that is given back, and forks over a mapped file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import perso_core as pc


@pytest.mark.parametrize("layout", ["exact", "compact", "local"])
def test_rows_are_given_back_at_a_sixteenth(layout):
    x = np.random.default_rng(1).standard_normal((1600, 16)).astype(np.float32)
    cat = pc.Catalog({"a": pc.Space(16, layout=layout)})
    cat.upsert(range(1600), x, {"n": range(1600)})
    # 90 dead rows are less than a sixteenth of 1,510 live ones, 100 more than a sixteenth of 1,500.
    cat.remove(range(90))
    assert (len(cat), cat.stats()["rows"]) == (1510, 1600)
    cat.remove(range(90, 100))
    assert (len(cat), cat.stats()["rows"]) == (1500, 1500)
    # Vectors that are replaced leave rows as well; attributes do not.
    cat.upsert(range(200, 250), x[:50])
    cat.upsert(range(100, 1600), attributes={"n": range(1500)})
    assert cat.stats()["rows"] == 1550
    cat.compact()
    assert (len(cat), cat.stats()["rows"]) == (1500, 1500)
    assert cat.search(x[700], 1, exact=True).ids[0] == 700
    assert cat.get([700])[0]["attributes"] == {"n": 600}


FORKED = """
    import os, sys
    import numpy as np
    import perso_core as pc

    catalog = pc.Catalog.open(sys.argv[1], mmap=True)
    policy = pc.Policy(candidates=50, score=pc.Blend(similarity=1.0, n=0.1))
    users = catalog.get(range(40))
    users = np.stack([item["vectors"]["a"] for item in users])

    def slates(cat):
        return [one.ids.tolist() for one in pc.rank(cat, users, policy, 10, seed=1, at="2026-01-01T00:00Z", num_threads=2)]

    expected = slates(catalog)
    children = []
    for worker in range(2):
        child = os.fork()
        if child == 0:
            same = slates(catalog) == expected
            catalog.remove(range(100 * (worker + 1)))
            catalog.upsert([9000 + worker], users[:1], {"n": [worker]}, num_threads=2)
            os._exit(0 if same and len(catalog) == 2001 - 100 * (worker + 1) else 3)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(codes, len(catalog), slates(catalog) == expected)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_children_read_a_mapped_catalog_and_change_their_own(tmp_path):
    x = np.random.default_rng(2).standard_normal((2000, 32)).astype(np.float32)
    cat = pc.Catalog({"a": pc.Space(32, layout="compact")})
    cat.upsert(range(2000), x, {"n": range(2000)})
    cat.save(tmp_path / "items")
    before = (tmp_path / "items").read_bytes()
    code = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORKED), str(tmp_path / "items")]
    done = subprocess.run(code, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[0, 0] 2000 True\n", done.stderr
    assert (tmp_path / "items").read_bytes() == before


def test_every_promise_names_tests_that_are_there():
    root = Path(__file__).parents[1]
    rows = [
        line.split("|")
        for line in (root / "docs" / "consistency.md").read_text("utf-8").splitlines()
        # The other tables on the page have more columns.
        if line.startswith("| ") and line.count("|") == 3 and not line.startswith("| promise")
    ]
    assert len(rows) >= 15
    for _, promise, where, _ in rows:
        names = [name for name in re.findall(r"`([^`]+)`", where) if not name.startswith("python -m bench.")]
        assert names, promise
        text = None
        for name in names:
            if name.endswith((".py", ".rs")):
                folder = root / ("tests" if name.endswith(".py") else "rust/core")
                text = (folder / name).read_text("utf-8")
            else:
                assert text is not None and re.search(rf"(def|fn) {name.removesuffix('...')}", text), (
                    promise,
                    name,
                )
