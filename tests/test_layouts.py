"""Layouts, the finer copy, and what is measured of a graph's recall.

An int8 index with a float16 copy has to report, bit for bit, what a float16 index reports: that is the oracle here.
"""

import numpy as np
import pytest

import oracle
import perso_core as pc

METRICS = ["ip", "cosine", "l2"]
N, DIM = 4000, 24


def clustered(rng, n=N, dim=DIM, clusters=60):
    centres = rng.standard_normal((clusters, dim))
    return (centres[rng.integers(clusters, size=n)] + 0.5 * rng.standard_normal((n, dim))).astype(np.float32)


def pair(x, metric, layout, ids=None, **more):
    """The index under test, and a float16 one that scans."""
    tested = pc.Index(x.shape[1], metric, "i8", 8, 60, layout=layout, rescore="f16", **more)
    plain = pc.Index(x.shape[1], metric, "f16", layout="exact")
    for index in (tested, plain):
        index.add(x, ids)
    return tested, plain


def same(a, b):
    return np.array_equal(a.ids, b.ids) and np.array_equal(a.scores, b.scores, equal_nan=True)


# --- layouts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
def test_a_named_layout_is_honoured(rng, metric):
    x = clustered(rng)
    for layout, rows, used in [
        ("exact", N, "exact"),
        ("auto", N, "exact"),  # 4,000 x 24 is less than a walk is worth
        ("compact", 1023, "exact"),
        ("compact", 1024, "compact"),
        ("local", N, "local"),
    ]:
        index = pc.Index(DIM, metric, "i8", 8, 60, layout=layout)
        index.add(x[:rows])
        stats = index.stats()
        assert (index.layout, stats["layout"]) == (layout, used)
        assert (stats["links"] > 0) == (stats["ef"] > 0) == (used != "exact")
        # A walk of the default width would see most of the rows where they are few.
        walks = used != "exact" and stats["ef"] * 8 < rows
        assert stats["path"] == ("graph" if walks else "exact")


def test_an_exact_layout_is_never_a_graph(rng):
    x = rng.standard_normal((9000, 64)).astype(np.float32)
    index, auto = pc.Index(64, "cosine", "f32", layout="exact"), pc.Index(64, "cosine", "f32", 4, 20)
    for one in (index, auto):
        one.add(x)
    assert auto.search(x[:3]).path == "graph"
    hits = index.search(x[:3], k=12)
    assert hits.path == "exact" and same(hits, auto.search(x[:3], k=12, exact=True))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("layout", ["compact", "local"])
def test_a_small_graph_finds_neighbours(rng, metric, layout):
    x = clustered(rng)
    index = pc.Index(DIM, metric, "i8", layout=layout)
    index.add(x)
    queries = clustered(rng, 100)
    hits = index.search(queries, ef=200)
    if metric != "ip":  # rows in order of norm may answer before any walk
        assert hits.path == "graph"
    # 1,000 answers; the share missed is below .01 in repeated builds, so .9 is ten standard errors away.
    assert index.recall(queries, ef=200) > 0.9
    assert np.array_equal(hits.ids, index.search(queries, ef=200, num_threads=2).ids)


def test_bytes_by_part_add_up(rng):
    x = clustered(rng)
    plain, _ = pair(x, "ip", "compact")
    stats = plain.stats()
    parts = stats["bytes_by_part"]
    assert sum(parts.values()) == stats["bytes"]
    assert parts["vectors"] >= N * (DIM + 8) and parts["rescore"] >= N * (2 * DIM + 4)
    assert parts["graph"] >= N * 2 * 8 * 4 and parts["norm_order"] >= N * 4
    bare = pc.Index(DIM, "l2", "i8", layout="exact")
    bare.add(x)
    parts = bare.stats()["bytes_by_part"]
    assert {name for name, count in parts.items() if count} == {"vectors"}


# --- the finer copy --------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("layout", ["exact", "compact", "local"])
def test_what_is_reported_comes_from_the_finer_copy(rng, metric, layout):
    x = clustered(rng)
    x[7] = 0
    x[8] = x[9]
    tested, plain = pair(x, metric, layout)
    queries = clustered(rng, 30)
    assert np.array_equal(tested.get([0, 7, 8]), oracle.stored(x[[0, 7, 8]], "f16"))
    assert same(tested.search(queries, k=20, exact=True), plain.search(queries, k=20))
    mask = rng.random(N) < 0.05
    assert same(tested.search(queries, filter=mask), plain.search(queries, filter=mask))
    found = tested.search(queries, k=20, ef=300)
    for ids, scores, query in zip(found.ids, found.scores, queries, strict=True):
        expected = plain.search(query, k=20, filter=ids)
        assert np.array_equal(ids, expected.ids) and np.array_equal(scores, expected.scores)


def test_the_finer_copy_mends_what_codes_miss(rng):
    """One large component takes the codes' range, so that they cannot tell neighbours apart."""
    x = clustered(rng, clusters=5)
    x[:, 0] = 30 + 0.01 * x[:, 0]
    queries = x[:50] + np.float32(0.05)
    recalls = {}
    for rescore in (None, "f16"):
        index = pc.Index(DIM, "l2", "i8", 16, 100, layout="compact", rescore=rescore)
        index.add(x)
        truth = pc.topk(queries, x, 10, metric="l2")
        found = index.search(queries, ef=200).ids
        recalls[rescore] = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth.ids, found, strict=True)])
    assert recalls["f16"] > 0.97 > 0.9 > recalls[None]


@pytest.mark.parametrize("layout", ["exact", "compact"])
def test_the_copy_goes_along_with_every_change(rng, tmp_path, layout):
    x = clustered(rng, 4000)
    names = [f"n{i}" for i in range(4000)]
    tested, plain = pair(x[:2000], "l2", layout, names[:2000])
    queries = clustered(rng, 10)
    for step, change in enumerate(
        [
            lambda index: index.add(x[2000:], names[2000:]),
            lambda index: index.remove(names[100:200]),
            lambda index: index.add(-x[100:150], names[100:150]),
            # More dead than live: what is left moves together.
            lambda index: index.remove(names[1000:3500]),
        ]
    ):
        change(tested), change(plain)
        assert np.array_equal(tested.get(tested.ids[:50]), plain.get(plain.ids[:50]))
        assert same(tested.search(queries, exact=True), plain.search(queries))
        for mmap in (False, True):
            tested.save(tmp_path / f"{step}")
            again = pc.Index.load(tmp_path / f"{step}", mmap=mmap)
            assert (again.layout, again.rescore) == (layout, "f16")
            assert same(again.search(queries), tested.search(queries))
            assert same(again.search(queries, exact=True), plain.search(queries))
            again.add(x[:3], ["x", "y", "z"])
            assert np.array_equal(again.get(["y"]), oracle.stored(x[1:2], "f16"))


def test_an_interrupted_add_takes_the_copy_back(rng):
    x = rng.standard_normal((40_000, 64)).astype(np.float32)
    index, _ = pair(x[:2000], "cosine", "compact")
    before = index.search(x[:5], exact=True)

    def stop(done, total):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        index.add(x[2000:], progress=stop)
    if len(index) == 2000:
        assert same(index.search(x[:5], exact=True), before)
    index.add(x[2000:2010])
    assert np.array_equal(index.get(index.ids[-1:]), oracle.stored(x[2009:2010], "f16"))


def test_what_float16_cannot_hold_is_refused():
    index = pc.Index(2, "l2", "i8", rescore="f16")
    with pytest.raises(ValueError, match=r"vectors: .*70000, which is infinite as float16"):
        index.add([[1.0, 70_000.0]])
    assert len(index) == 0
    catalog = pc.Catalog({"a": pc.Space(2, "l2", "i8", rescore="f16")})
    with pytest.raises(ValueError, match=r"vectors\[\"a\"\]: .*infinite as float16"):
        catalog.upsert([1], [[1.0, 70_000.0]])


# --- wrong input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda **kw: pc.Index(4, **kw), lambda **kw: pc.Space(4, **kw)])
@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (
            {"layout": "hnsw"},
            ValueError,
            "layout: expected one of 'auto', 'exact', 'compact', 'local', got 'hnsw'",
        ),
        ({"layout": None}, TypeError, "layout: expected one of .*, got NoneType None"),
        (
            {"rescore": "f32", "dtype": "i8"},
            ValueError,
            "rescore: expected None or 'f16', got 'f32'",
        ),
        ({"rescore": True, "dtype": "i8"}, TypeError, "rescore: expected None or 'f16', got bool True"),
    ],
)
def test_a_wrong_description_is_named(make, wrong, error, message):
    with pytest.raises(error, match=message):
        make(**wrong)


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_a_finer_copy_needs_codes(dtype):
    message = f'rescore: expected None, or dtype "i8" beside it, got "f16" with dtype "{dtype}"'
    with pytest.raises(ValueError, match=message):
        pc.Index(4, "cosine", dtype, rescore="f16")
    with pytest.raises(ValueError, match=message):
        pc.Catalog({"a": pc.Space(4, "cosine", dtype, rescore="f16")})


# --- catalogs --------------------------------------------------------------------------------------


def catalogs(x, layout="compact"):
    """One whose space has a finer copy, and one in float16."""
    fine = pc.Space(DIM, "cosine", "i8", 8, 60, layout, "f16")
    made = []
    for space in (fine, pc.Space(DIM, "cosine", "f16", layout="exact")):
        catalog = pc.Catalog({"a": space})
        catalog.upsert(np.arange(len(x)), x, {"group": [str(i % 5) for i in range(len(x))]})
        made.append(catalog)
    return made


@pytest.mark.parametrize("mmap", [False, True])
def test_a_space_keeps_its_layout_and_copy(rng, tmp_path, mmap):
    x = clustered(rng, 3000)
    tested, plain = catalogs(x)
    tested.save(tmp_path / "file")
    again = pc.Catalog.open(tmp_path / "file", mmap=mmap)
    assert again.spaces["a"] == pc.Space(DIM, "cosine", "i8", 8, 60, "compact", "f16")
    stats = again.stats()["spaces"]["a"]
    assert stats["layout"] == "compact" and sum(stats["bytes_by_part"].values()) == stats["bytes"]
    for catalog in (tested, again):
        assert same(catalog.search(x[:9], exact=True), plain.search(x[:9]))
        assert np.array_equal(catalog.get([5])[0]["vectors"]["a"], plain.get([5])[0]["vectors"]["a"])
        catalog.remove(np.arange(2000))
        catalog.upsert(np.arange(7), -x[:7])
        catalog.upsert(np.arange(2), attributes={"group": ["z", "z"]})
    plain.remove(np.arange(2000)), plain.upsert(np.arange(7), -x[:7])
    assert same(again.search(x[:9], exact=True), plain.search(x[:9]))
    assert again.content_hash == tested.content_hash


def test_rank_scores_with_the_finer_copy(rng):
    x = clustered(rng, 3000)
    tested, plain = catalogs(x)
    policy = pc.Policy(candidates=100, score=pc.Blend(similarity=1.0, normalize="none"))
    for user in clustered(rng, 5):
        slate = pc.rank(tested, user, policy, 20, seed=1, request_id="r")
        expected = dict(
            zip(*_ids_and_scores(pc.rank(plain, user, policy, 20, seed=1, request_id="r")), strict=True)
        )
        assert slate.path == "graph"
        shared = [
            (expected[id], score) for id, score in zip(*_ids_and_scores(slate), strict=True) if id in expected
        ]
        assert len(shared) >= 18 and all(a == b for a, b in shared)
        assert pc.replay(slate.record(), tested) == slate


def _ids_and_scores(slate):
    return slate.ids.tolist(), slate.scores.tolist()


def test_the_content_hash_names_what_scores_are_made_of(rng):
    x = clustered(rng, 50)
    hashes = []
    for space in (
        pc.Space(DIM, "l2", "i8"),
        pc.Space(DIM, "l2", "i8", rescore="f16"),
        pc.Space(DIM, "l2", "i8", layout="compact"),
    ):
        catalog = pc.Catalog({"a": space})
        catalog.upsert(np.arange(50), x)
        hashes.append(catalog.content_hash)
        # The code of this vector stays the same, its half does not.
        nearly = x[:1].copy()
        nearly[0, 0] += np.float32(np.abs(x[0]).max() / 2000)
        before = pc.Index(DIM, "l2", "i8")
        before.add(np.concatenate([x[:1], nearly]))
        assert np.array_equal(*before.get([0, 1]))
        catalog.upsert([0], nearly)
        hashes.append(catalog.content_hash)
    plain, plain_again, fine, fine_again, compact, _ = hashes
    assert plain == plain_again == compact
    assert len({plain, fine, fine_again}) == 3


# --- recall and tuning -----------------------------------------------------------------------------


def test_recall_is_the_share_of_exact_answers(rng):
    x = clustered(rng)
    index = pc.Index(DIM, "l2", "i8", 4, 20, layout="compact")
    index.add(x)
    index.remove(np.arange(0, N, 7))
    queries = clustered(rng, 80)
    for ef in (None, 10, 30):
        truth = index.search(queries, exact=True).ids
        found = index.search(queries, ef=ef).ids
        share = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth, found, strict=True)])
        assert index.recall(queries, ef=ef) == pytest.approx(share, abs=1e-12)
    assert index.recall(queries, ef=10) < index.recall(queries, ef=400)
    assert index.recall(queries[0], k=3) <= 1.0


def test_recall_counts_equals_as_equal(rng):
    """Thousands of copies of one vector: which of them are found is of no interest."""
    x = np.repeat(clustered(rng, 3), 1000, axis=0)
    index = pc.Index(DIM, "l2", "f32", 8, 60, layout="compact")
    index.add(x)
    assert index.search(x[0]).path == "graph"
    assert index.recall(x[[0, 1500, 2500]]) == 1.0


def test_recall_of_fewer_than_k(rng):
    index = pc.Index(DIM)
    index.add(clustered(rng, 4))
    assert index.recall(clustered(rng, 5), k=10) == 1.0


@pytest.fixture(scope="module")
def hard_file(tmp_path_factory):
    """Without structure and with few links: a graph that needs width."""
    index = pc.Index(48, "cosine", "i8", 6, 40, layout="compact", rescore="f16")
    index.add(np.random.default_rng(5).standard_normal((4000, 48)))
    path = tmp_path_factory.mktemp("hard") / "index"
    index.save(path)
    return path


@pytest.fixture
def hard(hard_file, rng):
    """That index, untuned, and queries."""
    return pc.Index.load(hard_file), rng.standard_normal((150, 48)).astype(np.float32)


def test_tuning_finds_the_least_width(hard, tmp_path):
    index, queries = hard
    assert index.recall(queries, ef=10) < 0.9
    found = index.tune(queries, recall=0.95)
    assert isinstance(found, pc.Tuning) and found.reached and found.advice is None
    assert (found.target, found.k, found.queries, found.path) == (0.95, 10, 150, "graph")
    assert found.recall == index.recall(queries) == index.recall(queries, ef=found.ef) >= 0.95
    assert index.recall(queries, ef=found.ef - 1) < 0.95
    assert 0 < found.standard_error < 0.02
    assert index.stats()["ef"] == found.ef
    assert same(index.search(queries), index.search(queries, ef=found.ef))
    assert same(index.search(queries, k=40), index.search(queries, k=40, ef=found.ef + 15))
    assert index.tune(queries, recall=0.95, num_threads=1) == found
    index.save(tmp_path / "file")
    again = pc.Index.load(tmp_path / "file")
    assert again.stats()["ef"] == found.ef and same(again.search(queries), index.search(queries))
    # A removal that drops dead rows builds another graph; the width stays.
    again.remove(np.arange(2050))
    assert again.stats()["ef"] == found.ef


def test_tuning_says_when_the_target_is_out_of_reach(hard):
    index, queries = hard
    # So few links that 6 x the width is all rows before every answer is found.
    found = index.tune(queries, recall=1.0)
    assert not found.reached and found.recall < 1.0
    assert found.advice.startswith("build the graph with a larger M")
    assert index.stats()["ef"] == found.ef
    # As far as any: no tried width goes beyond, and one less falls behind.
    assert index.recall(queries, ef=found.ef - 1) < found.recall
    bare = pc.Index(48, "cosine", "i8", 6, 40, layout="compact")
    bare.add(index.get(index.ids))
    assert 'rescore="f16"' in bare.tune(queries, recall=1.0).advice


def test_what_a_sample_told_is_kept_in_a_file(rng, tmp_path):
    index = pc.Index(24, "l2", "i8", 12, 60, layout="compact")
    index.add(rng.standard_normal((6000, 5)) @ rng.standard_normal((5, 24)))
    queries = (rng.standard_normal((60, 5)) @ rng.standard_normal((5, 24))).astype(np.float32)
    index.save(tmp_path / "file")
    for mmap in (False, True):
        again = pc.Index.load(tmp_path / "file", mmap=mmap)
        assert again.stats()["ef"] == index.stats()["ef"] >= 64
        assert same(again.search(queries, ef=20), index.search(queries, ef=20))


def test_a_search_that_would_walk_over_most_vectors_is_exact_and_says_so(rng):
    # Without structure, and with few links: no breadth below most of them finds enough.
    index = pc.Index(96, "cosine", "i8", 8, 40, layout="compact")
    index.add(rng.standard_normal((3000, 96)))
    queries = rng.standard_normal((20, 96)).astype(np.float32)
    assert index.stats()["layout"] == "compact" and index.stats()["path"] == "exact"
    assert index.search(queries).path == "exact" and index.recall(queries) == 1.0
    assert index.search(queries, ef=20).path == "graph"


def test_tuning_of_a_scan_has_nothing_to_find(rng):
    index = pc.Index(DIM)
    index.add(clustered(rng, 500))
    found = index.tune(clustered(rng, 20))
    assert (found.ef, found.recall, found.standard_error, found.path, found.reached) == (
        None,
        1,
        0,
        "exact",
        True,
    )
    assert index.stats()["ef"] == 0


def test_tuning_samples_many_queries(hard, rng):
    index, _ = hard
    queries = rng.standard_normal((2300, 48))
    found = index.tune(queries, recall=0.6)
    assert found.queries == 500
    assert found == index.tune(queries[np.arange(500) * 2300 // 500], recall=0.6)


def test_tuning_tells_its_progress_and_stops(hard):
    index, queries = hard
    before = index.stats()["ef"]

    def stop(done, total):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        for _ in range(20):  # one that ends within 50 ms is told at its end
            index.tune(np.repeat(queries, 6, axis=0), progress=stop)
    assert index.stats()["ef"] == before or index.stats()["ef"] > 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda ix: ix.tune([[1.0, 2.0]], recall=0),
            ValueError,
            "recall: expected more than 0, at most 1, got 0",
        ),
        (
            lambda ix: ix.tune([[1.0, 2.0]], recall=1.5),
            ValueError,
            "recall: expected more than 0, at most 1, got 1.5",
        ),
        (
            lambda ix: ix.tune([[1.0, 2.0]], recall="high"),
            TypeError,
            "recall: expected a number, got str 'high'",
        ),
        (lambda ix: ix.tune([[1.0, 2.0]], k=0), ValueError, "k: expected an integer of at least 1, got 0"),
        (lambda ix: ix.tune(np.empty((0, 2))), ValueError, "queries: expected at least one query, got none"),
        (
            lambda ix: ix.recall(np.empty((0, 2))),
            ValueError,
            "queries: expected at least one query, got none",
        ),
        (
            lambda ix: ix.recall([[1.0, 2.0, 3.0]]),
            ValueError,
            "queries: expected vectors of 2 components, got 3",
        ),
        (lambda ix: ix.recall([[1.0, np.nan]]), ValueError, "queries: expected finite numbers, got NaN"),
        (
            lambda ix: ix.recall([[1.0, 2.0]], ef=0),
            ValueError,
            "ef: expected an integer of at least 1, got 0",
        ),
        (lambda ix: pc.Index(2).recall([[1.0, 2.0]]), ValueError, "queries: expected .*, got an empty index"),
        (lambda ix: pc.Index(2).tune([[1.0, 2.0]]), ValueError, "queries: expected .*, got an empty index"),
    ],
)
def test_a_wrong_measurement_is_named(call, error, message):
    index = pc.Index(2)
    index.add([[1.0, 2.0]])
    with pytest.raises(error, match=message):
        call(index)


# --- one query -------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [None, "abcdefghijklmnopqrst"])
def test_one_plain_query_takes_the_short_way_to_the_same_answer(rng, names):
    x = rng.standard_normal((20, 6)).astype(np.float32)
    index = pc.Index(6)
    index.add(x, None if names is None else list(names))
    index.remove(index.ids[3:5])
    wide = rng.standard_normal((6, 2)).astype(np.float32)
    swapped = x[0].astype(">f4")
    for query in (x[0], wide[:, 0], x[0].astype(np.float64), x[0].tolist(), swapped, np.float16(x[0])):
        for k in (1, 7, 25):
            one = index.search(query, k)
            many = index.search(np.asarray(query, np.float32)[None], np.int64(k))
            assert one.ids.shape == one.scores.shape == (k,) and one.path == many.path
            assert one.ids.dtype == many.ids.dtype and one.ids.tolist() == many.ids[0].tolist()
            assert np.array_equal(one.scores, many.scores[0], equal_nan=True)
    for wrong, error in (({"k": 0}, ValueError), ({"k": True}, TypeError), ({"ef": 0}, ValueError)):
        with pytest.raises(error, match=next(iter(wrong))):
            index.search(x[0], **wrong)
    for query in (x[0][:5], np.full(6, np.nan, np.float32)):
        with pytest.raises(ValueError, match="queries: expected"):
            index.search(query)
