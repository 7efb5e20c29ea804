"""Python threads that search, rank, read and change one catalog at once: with the GIL, and without where there is none.

PERSO_CORE_STRESS_SECONDS says for how long; half a second by default. What must hold at every moment is said at each thread.
"""

import os
import sys
import threading
import time

import numpy as np
import pytest

import perso_core as pc

DIM = 16
FIXED = 600
CHURN = 400
SECONDS = float(os.environ.get("PERSO_CORE_STRESS_SECONDS", "0.5"))


def vector(id, version):
    """What item `id` has in its version-th state; the last component tells which."""
    x = np.random.default_rng([id, version]).standard_normal(DIM).astype(np.float32)
    x[-1] = version % 1000
    return x


def test_threads_that_do_everything_at_once():
    catalog = pc.Catalog({"v": pc.Space(DIM, "l2", M=6, ef_construction=30, layout="compact")})
    everything = range(FIXED + CHURN)
    catalog.upsert(
        everything,
        np.array([vector(id, 0) for id in everything]),
        {"version": [0] * len(everything), "genre": ["abc"[id % 3] for id in everything]},
    )
    policy = pc.Policy(
        candidates=60,
        score=pc.Blend(similarity=1.0, version=pc.Signal(0.1, "minmax")),
        diversity=pc.MMR(0.3),
        caps={"genre": 4},
        explore=pc.EpsilonGreedy(0.2),
    )
    index = pc.Index(DIM, "l2", M=6, ef_construction=30)
    index.add(np.array([vector(id, 0) for id in range(300)]))
    profile = pc.Profile(pc.ProfilePlan("v", {"click": 1.0}), catalog)
    until, stop, failures = time.monotonic() + SECONDS, threading.Event(), []
    counts = dict.fromkeys(("rank", "search", "read", "upsert", "churn", "index", "export", "profile"), 0)

    def thread(name, work):
        def run():
            rng = np.random.default_rng(list(name.encode()))
            try:
                while not stop.is_set() and (time.monotonic() < until or counts[name] < 2):
                    work(rng)
                    counts[name] += 1
            except BaseException as error:
                failures.append((name, error))
                stop.set()

        return threading.Thread(target=run, name=name)

    def rank(rng):
        # A whole slate, each item once, replayable from its own record alone.
        slate = pc.rank(
            catalog, vector(int(rng.integers(99)), 1), policy, k=10, seed=int(rng.integers(2**32))
        )
        assert len(slate) == 10 == len(set(slate.ids.tolist()))
        assert np.array_equal(sum(slate.terms.values()), slate.scores) and np.all(slate.propensities > 0)

    def search(rng):
        # Items that always stay: each finds itself, whatever else comes and goes.
        id = int(rng.integers(FIXED))
        hits = catalog.search(catalog.get([id])[0]["vectors"]["v"], k=1, exact=True, where=range(FIXED))
        assert hits.ids.shape == (1,) and 0 <= hits.ids[0] < FIXED

    def read(rng):
        # An item's vector and attribute are of one change: none is half there.
        for item in catalog.get(rng.choice(FIXED, 8, replace=False)):
            version = item["attributes"]["version"]
            assert np.array_equal(item["vectors"]["v"], vector(item["id"], version)), item["id"]

    def upsert(rng):
        ids = rng.choice(FIXED, 20, replace=False)
        version = counts["upsert"] + 1
        x = np.array([vector(int(id), version) for id in ids])
        catalog.upsert(ids, x, {"version": [version] * len(ids)}, num_threads=1)

    def churn(rng):
        # Comes and goes as a whole.
        ids = np.arange(FIXED, FIXED + CHURN)
        catalog.remove(ids)
        assert FIXED not in catalog
        x = np.array([vector(int(id), 0) for id in ids])
        catalog.upsert(ids, x, {"version": [0] * CHURN, "genre": ["a"] * CHURN}, num_threads=2)

    def grow(rng):
        ids = index.add(np.array([vector(int(n), 5) for n in rng.integers(10_000, size=10)]))
        index.search(np.zeros((3, DIM)), k=5, num_threads=2)
        index.remove(ids[:5])

    def export(rng):
        # A table of one moment: all or none of what churn brings.
        again = pc.Catalog.from_arrow(catalog, "id", {"v": ("v", pc.Space(DIM, "l2", layout="exact"))})
        assert len(again) in (FIXED, FIXED + CHURN)

    def observe(rng):
        # Looked up in the catalog that changes; what it comes to is finite.
        profile.observe(int(rng.integers(FIXED)), "click", at=counts["profile"])
        assert np.isfinite(profile.vector(counts["profile"])).all()

    works = {
        "rank": rank,
        "search": search,
        "read": read,
        "upsert": upsert,
        "churn": churn,
        "index": grow,
        "export": export,
        "profile": observe,
    }
    threads = [thread(name, work) for name, work in works.items()]
    for one in threads:
        one.start()
    for one in threads:
        one.join(SECONDS + 120)
    assert not [one.name for one in threads if one.is_alive()], "somebody waits for ever"
    assert not failures, failures
    assert min(counts.values()) >= 2, counts
    assert len(catalog) == FIXED + CHURN


@pytest.mark.skipif(
    getattr(sys, "_is_gil_enabled", lambda: True)(), reason="needs a CPython that runs without the GIL"
)
def test_the_module_leaves_the_gil_off():
    assert not sys._is_gil_enabled()
