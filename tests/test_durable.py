"""Durable catalogs: what was acknowledged is there, whatever happened to the writer. Faults at every operation
are injected in the core's own tests (rust/core/src/durable/tests)."""

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perso_core as pc

SPACES = {"a": pc.Space(4, "cosine", "i8"), "b": pc.Space(3, "ip", "f32")}
FILES = Path(__file__).parent / "files"


def both(rng, n):
    return {"a": rng.standard_normal((n, 4)), "b": rng.standard_normal((n, 3))}


def opened(path, **options):
    return pc.Catalog.open(path, durable=True, spaces=SPACES, **options)


def content(cat):
    """All that can be seen of a catalog, in a form that compares."""
    items = [
        (item["id"], {k: v.tobytes() for k, v in item["vectors"].items()}, item["attributes"])
        for item in cat.get(cat.ids)
    ]
    hits = cat.search([1.0, -1.0, 0.5, 2.0], k=7, space="a")
    return (
        cat.generation,
        cat.content_hash,
        dict(cat.attributes),
        items,
        hits.ids.tolist(),
        hits.scores.tobytes(),
    )


def settled(cat, holds):
    """Whether something comes to hold of the log within a minute."""
    for _ in range(6000):
        if holds(cat.stats()["log"]):
            return True
        time.sleep(0.01)
    return False


def some_changes(cat, rng, n=30):
    for i in range(n):
        ids = [f"käse {j}" for j in rng.choice(40, int(rng.integers(1, 6)), replace=False)]
        k = len(ids)
        if i % 7 == 6:
            cat.remove([id for id in ids if id in cat] or list(cat.ids[:1]))
        elif i % 7 == 5:
            known = [id for id in ids if id in cat] or list(cat.ids[:1])
            cat.upsert(known, attributes={"plays": rng.integers(0, 99, len(known)).tolist()})
        else:
            cat.upsert(
                ids,
                both(rng, k),
                {
                    "flag": [True, None, False, True, None][:k],
                    "price": [1.5, None, 3, 4.25, 1e300][:k],
                    "at": [np.datetime64("2024-05-06T07:08:09.123456"), *[None] * 4][:k],
                    "genre": ["x", "", None, "y", "x"][:k],
                    "tags": [["x", "z"], [], None, ["ü"], ["x"]][:k],
                },
            )


# --- what is written is read -----------------------------------------------------------------------


@pytest.mark.parametrize("sync", ["always", "never"])
@pytest.mark.parametrize("closed", [True, False])
def test_what_was_changed_is_there_when_it_is_opened_again(rng, tmp_path, sync, closed):
    path = tmp_path / "items.perso"
    plain = pc.Catalog(SPACES)
    cat = opened(path, sync=sync)
    seed = int(rng.integers(1 << 30))
    some_changes(plain, np.random.default_rng(seed))
    some_changes(cat, np.random.default_rng(seed))
    if closed:
        cat.close()
    expected = content(plain)
    assert content(cat) == expected
    assert content(pc.Catalog.open(path)) == expected
    assert content(pc.Catalog.open(path, mmap=True)) == expected
    del cat  # without close, it lets go of the lock all the same
    with opened(path, sync=sync, mmap=closed) as again:
        assert content(again) == expected
        some_changes(again, np.random.default_rng(seed + 1))
    some_changes(plain, np.random.default_rng(seed + 1))
    assert content(pc.Catalog.open(path)) == content(plain)


def test_the_graph_and_the_slates_are_those_of_a_catalog_that_never_stopped(rng, tmp_path):
    x = rng.standard_normal((9000, 64)).astype(np.float32)
    spaces = {"v": pc.Space(64, "l2", M=4, ef_construction=20)}
    plain = pc.Catalog(spaces, seed=5)
    writer = pc.Catalog.open(tmp_path / "items", durable=True, spaces=spaces, seed=5)
    for cat in (plain, writer):
        for start in (0, 4500):
            cat.upsert(range(start, start + 4500), x[start : start + 4500])
        for i in range(5):
            cat.upsert([i], x[i : i + 1] + 1, num_threads=1)
        cat.remove(range(100, 200))
    del writer
    read = pc.Catalog.open(tmp_path / "items")
    assert plain.stats()["spaces"]["v"]["path"] == "graph"
    assert read.stats() == plain.stats()
    queries = rng.standard_normal((50, 64)).astype(np.float32)
    ours, theirs = read.search(queries, k=10, ef=20), plain.search(queries, k=10, ef=20)
    assert np.array_equal(ours.ids, theirs.ids) and np.array_equal(ours.scores, theirs.scores)
    policy = pc.Policy(candidates=50, diversity=pc.MMR(0.3), explore=pc.EpsilonGreedy(0.2))
    ask = {"k": 10, "seed": 1, "request_id": "r", "at": "2026-11-26"}
    record = pc.rank(plain, queries[0], policy, **ask).record()
    assert pc.rank(read, queries[0], policy, **ask).record() == record
    assert np.array_equal(pc.replay(record, read).ids, pc.replay(record, plain).ids)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
            st.one_of(st.none(), st.text(max_size=8)),
            st.one_of(st.none(), st.lists(st.text(max_size=4), max_size=3)),
            st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_every_value_survives_the_log(tmp_path_factory, changes):
    path = tmp_path_factory.mktemp("log") / "items"
    plain = pc.Catalog({"b": pc.Space(1, "ip")})
    with pc.Catalog.open(
        path, durable=True, spaces={"b": pc.Space(1, "ip")}, sync="never", log_limit=1500
    ) as cat:
        for both_of_them in (cat, plain):
            # What tells the types.
            first = {"number": [1], "text": ["t"], "texts": [["t"]], "share": [0.5]}
            both_of_them.upsert([9], [[1.0]], first)
            for id, number, text, texts, share in changes:
                both_of_them.upsert(
                    [id],
                    [[float(id) + 1]],
                    {"number": [number], "text": [text], "texts": [texts], "share": [share]},
                )
    read = pc.Catalog.open(path)
    assert read.content_hash == plain.content_hash and read.generation == plain.generation
    assert [i["attributes"] for i in read.get(plain.ids)] == [i["attributes"] for i in plain.get(plain.ids)]


def test_arrow_goes_into_the_log(tmp_path):
    pa = pytest.importorskip("pyarrow")
    vectors = pa.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], pa.list_(pa.float32()))
    table = pa.table({"id": ["a", "b"], "v": vectors, "n": [1, None]})
    with pc.Catalog.open(tmp_path / "c", durable=True, spaces={"b": pc.Space(3)}) as cat:
        cat.upsert_arrow(table, "id", {"b": "v"})
    assert pc.Catalog.open(tmp_path / "c").content_hash == cat.content_hash
    assert len(pc.Catalog.open(tmp_path / "c")) == 2


def test_files_of_the_first_version_of_the_log_are_read():
    read = pc.Catalog.open(FILES / "log1" / "items.perso")
    expected = json.loads((FILES / "log1" / "expected.json").read_text())
    assert (read.generation, read.content_hash) == (expected["generation"], expected["content_hash"])
    assert [str(id) for id in sorted(read.ids)] == expected["ids"]


# --- checkpoints -----------------------------------------------------------------------------------


def test_checkpoints_make_the_log_short(rng, tmp_path):
    path = tmp_path / "items"
    with opened(path, log_limit=5000) as cat:
        some_changes(cat, rng, 80)
        # They are made aside, and a writer that is four times over the limit waits for one.
        assert settled(cat, lambda log: log["segments"] == 1 and log["bytes"] <= 5000)
        log = cat.stats()["log"]
        assert log["checkpoints"] > 0
        assert log["checkpoint_error"] is None and log["changes"] == log["appends"] == cat.generation
        assert log["path"] == str(path)
        before = path.read_bytes()
        some_changes(cat, rng, 1)  # too little for one
        cat.checkpoint()
        assert path.read_bytes() != before and cat.stats()["log"]["bytes"] == 64
        cat.checkpoint()  # nothing to do
        expected = content(cat)
    assert sorted(p.suffix for p in tmp_path.iterdir() if p.name != "items")[-1] == ".lock"
    assert content(pc.Catalog.open(path)) == expected


def test_the_default_limit_is_not_reached_by_a_few_changes(rng, tmp_path):
    with opened(tmp_path / "items") as cat:
        some_changes(cat, rng)
        assert cat.stats()["log"]["checkpoints"] == 0
    assert "log" not in pc.Catalog(SPACES).stats()


def test_save_elsewhere_is_a_copy_and_over_a_log_is_refused(rng, tmp_path):
    with opened(tmp_path / "items") as cat:
        some_changes(cat, rng)
        cat.save(tmp_path / "copy")
        for other in (cat, pc.Catalog(SPACES)):
            with pytest.raises(ValueError, match=r"path: expected a file without a log .*items\.log\.1"):
                other.save(tmp_path / "items")
        assert pc.Catalog.open(tmp_path / "copy").content_hash == cat.content_hash


def test_what_was_removed_is_in_no_file_after_compact(rng, tmp_path):
    marked = np.array([[1.234567, 7.654321, 2.5, 0.125]], np.float32)
    with pc.Catalog.open(tmp_path / "items", durable=True, spaces={"v": pc.Space(4, "ip")}) as cat:
        cat.upsert(range(50), rng.standard_normal((50, 4)))
        cat.upsert([99], marked, {"name": ["somebody"], "tags": [["a-secret"]]})
        cat.checkpoint()
        cat.remove([99])

        def found():
            files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
            needles = (marked.tobytes(), b"somebody", b"a-secret")
            return {name for name, data in files.items() if any(needle in data for needle in needles)}

        assert found() == {"items"}
        cat.compact()
        assert found() == set()
        cat.upsert([100], marked * 2)
        expected = (cat.generation, cat.content_hash, cat.stats()["rows"])
    read = pc.Catalog.open(tmp_path / "items")
    assert (read.generation, read.content_hash, read.stats()["rows"]) == expected


# --- readers ---------------------------------------------------------------------------------------


def test_readers_refresh(rng, tmp_path):
    path = tmp_path / "items"
    with opened(path, log_limit=4000) as writer:
        some_changes(writer, rng, 5)
        reader, seldom = pc.Catalog.open(path), pc.Catalog.open(path, mmap=True)
        assert reader.refresh() == 0
        for _ in range(20):
            before = writer.generation
            some_changes(writer, rng, 5)
            assert reader.refresh() == writer.generation - before
            assert content(reader) == content(writer)
        before = seldom.generation
        writer.checkpoint()
        assert writer.stats()["log"]["checkpoints"] > 1
        assert seldom.refresh() == writer.generation - before
        assert content(seldom) == content(writer)
        assert writer.refresh() == 0
    assert reader.refresh() == 0


def test_a_reader_that_was_changed_is_not_refreshed(rng, tmp_path):
    with opened(tmp_path / "items") as writer:
        some_changes(writer, rng, 5)
        reader = pc.Catalog.open(tmp_path / "items")
        reader.remove(reader.ids[:1])
        with pytest.raises(ValueError, match="catalog: expected one that was not changed since it was read"):
            reader.refresh()
        reader.close()  # nothing
        reader.remove(reader.ids[:1])
    with pytest.raises(ValueError, match="expected one that was opened from a file"):
        pc.Catalog(SPACES).refresh()
    with pytest.raises(ValueError, match="expected one that was opened with durable=True"):
        reader.checkpoint()


def test_a_plain_file_is_followed_as_well(rng, tmp_path):
    cat = pc.Catalog(SPACES)
    some_changes(cat, rng, 10)
    cat.save(tmp_path / "items")
    reader = pc.Catalog.open(tmp_path / "items")
    assert reader.refresh() == 0
    with opened(tmp_path / "items") as writer:
        some_changes(writer, rng, 5)
        assert reader.refresh() == 5
        assert content(reader) == content(writer)


# --- one writer ------------------------------------------------------------------------------------


def test_one_process_writes(tmp_path):
    path = tmp_path / "items"
    script = f"import perso_core as pc; pc.Catalog.open({str(path)!r}, durable=True)"
    with opened(path):
        with pytest.raises(BlockingIOError, match=f"process {os.getpid()}"):
            opened(path)
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert run.returncode == 1
        assert "BlockingIOError" in run.stderr and f"process {os.getpid()}" in run.stderr
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
    opened(path).close()


def test_a_forked_child_cannot_write_and_leaves_the_lock_alone(tmp_path):
    script = textwrap.dedent(f"""
        import os
        import perso_core as pc
        cat = pc.Catalog.open({str(tmp_path / "items")!r}, durable=True, spaces={{"a": pc.Space(2)}})
        cat.upsert([1], [[1.0, 0.0]])
        child = os.fork()
        if child == 0:
            try:
                cat.upsert([2], [[1.0, 0.0]])
            except ValueError as error:
                ok = "which opened it for writing" in str(error)
            cat.close()
            del cat
            os._exit(0 if ok else 1)
        assert os.waitpid(child, 0)[1] == 0
        try:
            pc.Catalog.open({str(tmp_path / "items")!r}, durable=True)
        except BlockingIOError:
            cat.upsert([3], [[0.0, 1.0]])
            print(sorted(pc.Catalog.open({str(tmp_path / "items")!r}).ids))
    """)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.stdout.strip().replace("np.int64(", "").replace(")", "") == "[1, 3]", run.stderr


def test_after_close_it_is_read_and_not_written(rng, tmp_path):
    cat = opened(tmp_path / "items")
    some_changes(cat, rng, 5)
    before = content(cat)
    cat.close()
    cat.close()
    for change in (
        lambda: cat.remove(cat.ids[:1]),
        lambda: cat.upsert(["n"], both(rng, 1)),
        lambda: cat.upsert([str(i) for i in range(2000)], both(rng, 2000)),
        cat.checkpoint,
    ):
        with pytest.raises(
            ValueError, match="catalog: expected one that is open for writing, got one that was closed"
        ):
            change()
    assert content(cat) == before and cat.stats()["log"]["bytes"] == 0


def test_threads_write_together(rng, tmp_path):
    cat = opened(tmp_path / "items", log_limit=20_000)
    vectors = both(rng, 1)

    def work(first):
        for i in range(25):
            cat.upsert([f"{first}-{i}"], vectors, {"n": [i]})
            assert f"{first}-{i}" in cat
            with pytest.raises(KeyError):
                cat.remove(["nobody"])

    threads = [threading.Thread(target=work, args=(t,)) for t in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    log = cat.stats()["log"]
    assert len(cat) == cat.generation == log["changes"] == 200 and log["appends"] <= 200
    cat.close()
    assert set(pc.Catalog.open(tmp_path / "items").ids) == set(cat.ids)


# --- what goes wrong -------------------------------------------------------------------------------


def test_arguments(tmp_path):
    path = tmp_path / "items"
    with pytest.raises(FileNotFoundError, match="spaces="):
        pc.Catalog.open(path, durable=True)
    assert list(tmp_path.iterdir()) == []
    for option in ({"spaces": SPACES}, {"log_limit": 5}, {"sync": "never"}, {"seed": 1}):
        with pytest.raises(ValueError, match="durable: expected True"):
            pc.Catalog.open(path, **option)
    with pytest.raises(ValueError, match="sync: expected one of 'always', 'never', got 'sometimes'"):
        opened(path, sync="sometimes")
    with pytest.raises(TypeError, match="log_limit"):
        opened(path, log_limit=1.5)
    with pytest.raises(TypeError, match="spaces"):
        pc.Catalog.open(path, durable=True, spaces=[1])
    assert list(tmp_path.iterdir()) == []
    opened(path).close()
    with pytest.raises(ValueError, match="spaces: expected those of the file"):
        pc.Catalog.open(path, durable=True, spaces={"a": pc.Space(5)})
    pc.Catalog.open(path, durable=True).close()  # nothing was left locked
    with pytest.raises(FileNotFoundError):
        pc.Catalog.open(tmp_path / "no" / "items", durable=True, spaces=SPACES)


def test_what_is_refused_or_stopped_is_not_in_the_log(rng, tmp_path):
    cat = opened(tmp_path / "items")
    some_changes(cat, rng, 10)
    before, bytes = content(cat), cat.stats()["log"]["bytes"]
    with pytest.raises(ValueError, match="NaN"):
        cat.upsert(["n"], {"a": [[np.nan] * 4], "b": [[1.0] * 3]})
    with pytest.raises(KeyError):
        cat.remove(["nobody"])
    with pytest.raises(TypeError):
        cat.upsert(list(cat.ids[:1]), attributes={"genre": [5]})

    def stop(done, total):
        raise RuntimeError("enough")

    many = {"a": rng.standard_normal((60_000, 4)), "b": rng.standard_normal((60_000, 3))}
    with pytest.raises(RuntimeError, match="enough"):
        cat.upsert([str(i) for i in range(60_000)], many, progress=stop)
    if len(cat) < 60_000:  # stopped in time
        assert content(cat) == before and cat.stats()["log"]["bytes"] == bytes
    del cat
    assert len(pc.Catalog.open(tmp_path / "items")) < 60_000 or len(before[3]) < 60_000


def test_a_damaged_log_is_refused(rng, tmp_path):
    path = tmp_path / "items"
    with opened(path) as cat:
        some_changes(cat, rng, 6)
        expected = content(cat)
    log = tmp_path / "items.log.1"
    good = log.read_bytes()
    for at in range(0, len(good) - 72, 7):
        log.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        for durable in (False, True):
            with pytest.raises(pc.FormatError):
                pc.Catalog.open(path, durable=durable)
    # A write that was cut off is not damage.
    log.write_bytes(good + good[64:100])
    assert content(pc.Catalog.open(path)) == expected
    with pc.Catalog.open(path, durable=True) as cat:
        assert cat.stats()["log"]["cut_bytes"] == 36 and content(cat) == expected
    assert log.read_bytes() == good
    log.unlink()
    assert pc.Catalog.open(path).generation == 0  # the file alone is a catalog from before


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit to set")
def test_a_full_disk_costs_the_change_and_nothing_else(tmp_path):
    script = textwrap.dedent(f"""
        import errno, resource
        import numpy as np
        import perso_core as pc
        path = {str(tmp_path / "items")!r}
        rng = np.random.default_rng(0)
        cat = pc.Catalog.open(path, durable=True, spaces={{"a": pc.Space(8)}})
        plain = pc.Catalog({{"a": pc.Space(8)}})
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        failed = written = 0
        for i in range(400):
            # Room for a few more bytes, and in every tenth round for none.
            size = cat.stats()["log"]["bytes"]
            limit = size + int(rng.integers(0, 300)) if i % 3 == 0 else 1 << 30
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            vectors = rng.standard_normal((2, 8))
            try:
                cat.upsert([i, i + 1], vectors)
            except OSError as error:
                assert error.errno == errno.EFBIG and error.filename == path, error
                failed += 1
            else:
                plain.upsert([i, i + 1], vectors)
                written += 1
            assert (cat.generation, cat.content_hash) == (plain.generation, plain.content_hash)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            cat.checkpoint()
        except OSError as error:
            assert error.errno == errno.EFBIG
            assert "large" in cat.stats()["log"]["checkpoint_error"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, hard))
        cat.upsert([1000], rng.standard_normal((1, 8)))
        del cat
        found = pc.Catalog.open(path)
        assert found.generation == plain.generation + 1
        found.remove([1000])
        assert found.content_hash == plain.content_hash
        print(failed > 30, written > 200)
    """)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.stdout.strip() == "True True", run.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the writers are forked")
def test_a_writer_that_is_killed_at_any_moment_loses_nothing(tmp_path):
    # PERSO_CORE_KILLS=10000 for a longer run.
    kills = int(os.environ.get("PERSO_CORE_KILLS", "300"))
    script = Path(__file__).parent / "kill_writer.py"
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(kills), "1"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    # It has killed writers at work, across checkpoints.
    assert seen["rounds"] == kills and seen["changes"] > kills and seen["segment"] > 3
