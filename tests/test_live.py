"""Many threads add, change, remove, search and rank at once: what each of them sees is one state of the catalog.

The tests run for a second each; PERSO_CORE_STRESS_SECONDS makes them run longer.
"""

import os
import threading
import time

import numpy as np
import pytest

import perso_core as pc

SECONDS = float(os.environ.get("PERSO_CORE_STRESS_SECONDS", "1"))
DIM = 16


def together(*work, seconds=SECONDS):
    """Each function in a thread of its own, again and again until time is up and each ran, or one fails; how often
    each ran.
    """
    stop, failures, counts = threading.Event(), [], [0] * len(work)

    def run(i, one):
        try:
            while not stop.is_set():
                one(counts[i])
                counts[i] += 1
        except BaseException as failure:
            failures.append(failure)
            stop.set()

    threads = [threading.Thread(target=run, args=job) for job in enumerate(work)]
    for thread in threads:
        thread.start()
    # On a machine that is busy with other things a thread may have to wait for its turn.
    start = time.monotonic()
    while not stop.wait(0.05) and time.monotonic() - start < (seconds if all(counts) else seconds + 120):
        pass
    stop.set()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    assert all(counts), f"every thread got a turn: {counts}"
    return counts


@pytest.mark.parametrize("layout", ["exact", "compact", "local"])
def test_a_ranking_sees_one_state_of_vectors_and_attributes(layout):
    # Every change writes the same number into all of 40 items, so a mixture would show in the scores.
    rng = np.random.default_rng(1)
    cat = pc.Catalog({"a": pc.Space(DIM, "ip", "f32", layout=layout)})
    others = 2000
    cat.upsert(np.arange(others) + 1000, rng.standard_normal((others, DIM)), {"round": np.zeros(others)})
    marked = np.arange(40)

    def vectors(n):
        # Longer than every other vector, so the best for this query.
        return np.full((40, DIM), 100.0 + n, np.float32)

    cat.upsert(marked, vectors(0), {"round": np.zeros(40)})
    query = np.full(DIM, 1.0, np.float32)
    policy = pc.Policy(candidates=60, score=pc.Blend(similarity=1.0, round=1.0, normalize="none"))
    last = [0.0, 0.0]

    def rank(reader, ranks):
        slate = pc.rank(cat, query, policy, 40, where=marked)
        similarity, rounds = slate.terms["similarity"], slate.terms["round"]
        assert len(slate) == 40
        assert len(set(similarity.tolist())) == 1 and len(set(rounds.tolist())) == 1
        assert similarity[0] == DIM * (100.0 + rounds[0])
        # Later calls never see earlier states.
        assert rounds[0] >= last[reader]
        last[reader] = rounds[0]

    def write(n):
        cat.upsert(marked, vectors(n + 1), {"round": np.full(40, n + 1.0)}, num_threads=1)
        assert cat.get([7])[0]["attributes"]["round"] == n + 1.0

    def churn(n):
        some = 1000 + rng.choice(others, 20, replace=False)
        cat.upsert(some, rng.standard_normal((20, DIM)), num_threads=1)

    together(lambda n: rank(0, n), lambda n: rank(1, n), write, churn)


@pytest.mark.parametrize("layout", ["exact", "compact", "local"])
def test_an_index_under_all_that_can_be_done_to_it(layout, tmp_path):
    """Each writer owns the ids of one remainder, so it knows which of them are there, at every moment."""
    writers = 2
    index = pc.Index(DIM, "cosine", "i8", layout=layout)
    base = np.random.default_rng(2).standard_normal((3000, DIM)).astype(np.float32)
    index.add(base, np.arange(3000) * 10)
    here = [{int(n): base[n] for n in range(w, 0)} for w in range(writers)]
    rngs = [np.random.default_rng(w) for w in range(writers)]

    def write(w, n):
        rng, mine = rngs[w], here[w]
        ids = np.array([10 * (100_000 * (w + 1) + 20 * n + i) + 1 + w for i in range(20)])
        vectors = rng.standard_normal((20, DIM)).astype(np.float32)
        index.add(vectors, ids, num_threads=1)
        mine.update(zip(ids.tolist(), vectors, strict=True))
        found = index.search(vectors, 1, exact=True).ids[:, 0]
        assert found.tolist() == ids.tolist()
        if len(mine) > 200:
            gone = rng.choice(list(mine), 50, replace=False)
            index.remove(gone)
            for id in gone.tolist():
                del mine[id]
            with pytest.raises(KeyError):
                index.get(gone[:1])
        if n % 10 == 9:
            index.compact()

    def search(n):
        hits = index.search(base[n % 2990 : n % 2990 + 4], 10)
        assert hits.ids.shape == (4, 10) and (hits.ids >= 0).all()
        assert (np.diff(hits.scores, axis=1) <= 0).all()
        # What was there before and is never removed is always found by a scan.
        assert index.search(base[n % 3000], 1, exact=True).ids[0] == 10 * (n % 3000)

    def copy(n):
        # A copy is one state: it does not change while the index does, and it survives a file.
        kept = index.copy()
        ids = kept.ids
        kept.save(tmp_path / "copy")
        again = pc.Index.load(tmp_path / "copy", mmap=bool(n % 2))
        assert again.ids.tolist() == ids.tolist() == kept.ids.tolist()
        assert again.get(ids[-5:]).tolist() == kept.get(ids[-5:]).tolist()

    together(lambda n: write(0, n), lambda n: write(1, n), search, search, copy)
    left = {**here[0], **here[1]}
    assert sorted(index.ids.tolist()) == sorted([*left, *(np.arange(3000) * 10).tolist()])
    if left:
        model = pc.Index(DIM, "cosine", "i8", layout="exact")
        model.add(np.array(list(left.values())), np.array(list(left)))
        assert np.array_equal(index.get(list(left)), model.get(list(left)))


def test_counters_and_removals_end_where_one_thread_would_end():
    """Three threads change a catalog by turns; the content hash at the end is that of the same items written once."""
    cat = pc.Catalog({"a": pc.Space(DIM)})
    vectors = np.random.default_rng(3).standard_normal((600, DIM)).astype(np.float32)
    cat.upsert(np.arange(600), vectors, {"n": np.zeros(600, int), "tag": ["old"] * 600})
    counted = [0, 0]

    def count(w, n):
        ids = np.arange(200 * w, 200 * w + 200)
        cat.upsert(ids, attributes={"n": np.full(200, n + 1)}, num_threads=1)
        counted[w] = n + 1

    def come_and_go(n):
        ids = np.arange(400, 600)
        cat.remove(ids[n % 7 :: 7])
        cat.upsert(
            ids[n % 7 :: 7], vectors[400:][n % 7 :: 7], {"n": [-1] * len(ids[n % 7 :: 7])}, num_threads=1
        )

    def look(n):
        version = cat.copy()
        assert version.content_hash == version.copy().content_hash
        assert len(version) in range(600 - 29, 601)

    turns = together(lambda n: count(0, n), lambda n: count(1, n), come_and_go, look)
    once = pc.Catalog({"a": pc.Space(DIM)})
    gone = {400 + i for i in range(200) if i % 7 < turns[2]}
    numbers = [counted[0]] * 200 + [counted[1]] * 200 + [-1 if i in gone else 0 for i in range(400, 600)]
    tags = [None if i in gone else "old" for i in range(600)]
    once.upsert(np.arange(600), vectors, {"n": numbers, "tag": tags})
    assert cat.content_hash == once.content_hash
    assert cat.generation > turns[0] + turns[1]


def test_a_batch_of_users_sees_one_state():
    cat = pc.Catalog({"a": pc.Space(4)})
    cat.upsert(np.arange(50), np.eye(4, dtype=np.float32)[np.arange(50) % 4], {"round": np.zeros(50)})
    users = np.eye(4, dtype=np.float32)[np.arange(40) % 4]
    policy = pc.Policy(candidates=50, score=pc.Blend(round=1.0, normalize="none"))

    def rank(n):
        slates = pc.rank(cat, users, policy, 5, num_threads=2)
        seen = {score for slate in slates for score in slate.scores.tolist()}
        assert len(seen) == 1
        assert len({slate.record()["generation"] for slate in slates}) == 1

    def write(n):
        cat.upsert(np.arange(50), attributes={"round": np.full(50, n + 1.0)}, num_threads=1)

    together(rank, write)


def test_a_copy_and_its_original_go_their_own_ways():
    cat = pc.Catalog({"a": pc.Space(2)})
    cat.upsert(["x", "y"], [[1, 0], [0, 1]], {"n": [1, 2]})
    other = cat.copy()
    before = (cat.content_hash, cat.generation)
    other.upsert(["z"], [[1, 1]], {"n": [3]})
    other.remove(["x"])
    other.upsert(["y"], attributes={"n": [5]})
    assert (cat.content_hash, cat.generation) == before
    assert cat.ids.tolist() == ["x", "y"] and other.ids.tolist() == ["y", "z"]
    assert cat.get(["y"])[0]["attributes"] == {"n": 2}
    cat.upsert(["w"], [[0.5, 0.5]], {"n": [9]})
    assert other.get(["z"])[0]["vectors"]["a"].tolist() == [1, 1]
    assert pc.Index(2).copy().add([[1, 2]]).tolist() == [0]


def test_a_change_made_from_a_progress_function_waits_for_the_change_it_watches():
    cat = pc.Catalog({"a": pc.Space(DIM)})
    vectors = np.random.default_rng(5).standard_normal((3000, DIM)).astype(np.float32)
    sizes = []

    def progress(done, total):
        sizes.append(len(cat))
        if done == total:
            cat.upsert(["later"], vectors[:1])

    cat.upsert([str(i) for i in range(3000)], vectors, progress=progress)
    assert "later" in cat and len(cat) == 3001
    # Until the change is whole nobody sees a part of it.
    assert set(sizes) <= {0, 3000}


def test_readers_go_on_while_a_long_change_is_made():
    # Far more time than a search takes, in one call.
    vectors = np.random.default_rng(6).standard_normal((20_000, DIM)).astype(np.float32)
    index = pc.Index(DIM, layout="compact")
    index.add(vectors[:2000])
    searches, done = 0, threading.Event()

    def change():
        index.add(vectors[2000:], num_threads=1)
        done.set()

    writer = threading.Thread(target=change)
    writer.start()
    while not done.is_set():
        assert len(index) in (2000, 20_000)
        index.search(vectors[searches % 100], 5)
        searches += 1
        time.sleep(0)
    writer.join()
    assert searches > 20 and len(index) == 20_000
