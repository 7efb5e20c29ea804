"""An index: what it stores, what it finds, ids, filters, changes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
import perso_core as pc

METRICS = ["ip", "cosine", "l2"]
DTYPES = ["f32", "f16", "i8"]


def vectors(rng, n, dim):
    return rng.standard_normal((n, dim)).astype(np.float32)


def clustered(rng, n, dim, clusters=200, spread=0.35):
    """Points around cluster centres, as embeddings lie."""
    centres = rng.standard_normal((clusters, dim))
    points = centres[rng.integers(clusters, size=n)] + spread * rng.standard_normal((n, dim))
    return points.astype(np.float32)


def factors(rng, n, dim):
    """Points and queries as factor models make them: few strong dimensions, norms that differ."""
    points = rng.standard_normal((n, dim)) / np.sqrt(1 + np.arange(dim))
    return points * rng.lognormal(0, 0.5, (n, 1))


def same(a, b):
    return np.array_equal(a.ids, b.ids) and np.array_equal(a.scores, b.scores, equal_nan=True)


# --- storage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@given(seed=st.integers(0, 2**32 - 1), dim=st.integers(1, 70), magnitude=st.integers(-3, 3))
def test_get_is_the_input_within_the_documented_error(dtype, seed, dim, magnitude):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((5, dim)) * 10.0**magnitude).astype(np.float32)
    x[3] = 0
    index = pc.Index(dim, dtype=dtype)
    got = index.get(index.add(x))
    assert got.dtype == np.float32 and got.shape == x.shape
    assert np.array_equal(got, oracle.stored(x, dtype))
    error = np.abs(got.astype(np.float64) - x)
    if dtype == "f32":
        assert not error.any()
    elif dtype == "f16":  # half an ulp: 2**-11 relative, 2**-25 where subnormal
        assert (error <= np.maximum(np.abs(x) * 2.0**-11, 2.0**-25)).all()
    else:  # half a step, and two float32 roundings
        largest = np.abs(x).max(axis=1, keepdims=True)
        assert (error <= largest / 254 * (1 + 1e-4)).all()


def test_i8_keeps_the_largest_component_and_drops_what_is_too_small_for_a_scale():
    index = pc.Index(3, dtype="i8")
    index.add(np.array([[5.0, -5.0, 0.0], [1e-42, 0, 0]], np.float32))
    assert np.allclose(index.get([0]), [[5, -5, 0]], rtol=1e-6)
    assert np.array_equal(index.get([1]), [[0, 0, 0]])


@pytest.mark.parametrize("value", [65_520.0, -1e6])
def test_f16_refuses_what_would_become_infinite(value):
    index = pc.Index(2, dtype="f16")
    with pytest.raises(ValueError, match=r"vectors: .*infinite as float16"):
        index.add(np.array([[0, value]], np.float32))
    index.add(np.array([[0, 65_504.0]], np.float32))
    assert index.get([0])[0, 1] == 65_504


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.longdouble, list])
def test_any_float_type_goes_in(rng, kind):
    x = rng.standard_normal((4, 3)).astype(np.float16)
    index = pc.Index(3)
    index.add(x.tolist() if kind is list else x.astype(kind))
    assert np.array_equal(index.get([0, 1, 2, 3]), x)


class Tensor:
    """What a tensor library offers besides its own methods."""

    def __init__(self, values):
        self._values = values

    def __dlpack__(self, **keywords):
        return self._values.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self._values.__dlpack_device__()


def test_tensors_of_other_libraries_go_in_by_dlpack(rng):
    x = rng.standard_normal((40, 6)).astype(np.float32)
    index = pc.Index(6)
    index.add(Tensor(x))
    assert same(index.search(Tensor(x[:3])), index.search(x[:3]))
    assert np.array_equal(pc.dot(Tensor(x), Tensor(x)), pc.dot(x, x))


# --- exact search ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 40, 3000])
def test_exact_search_agrees_with_float64_over_what_is_stored(rng, dtype, metric, n):
    dim, k = 45, min(20, n)
    index = pc.Index(dim, metric, dtype)
    index.add(vectors(rng, n, dim))
    queries = vectors(rng, 6, dim)
    kept = index.get(range(n))
    exact, bound = oracle.scores(metric, queries, kept), oracle.error_bound(metric, queries, kept)
    hits = index.search(queries, k=k, exact=True)
    assert hits.path == "exact"
    for row, (ids, found) in enumerate(zip(hits.ids, hits.scores, strict=True)):
        assert len(set(ids.tolist())) == k
        assert (np.abs(found - exact[row, ids]) <= bound[row, ids]).all()
        assert (np.abs(found - np.sort(exact[row])[::-1][:k]) <= bound[row].max()).all()
        assert (np.diff(found) <= 0).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["f32", "f16"])
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 50), k=st.integers(1, 60))
def test_ties_go_to_the_smaller_id_whatever_the_order_of_insertion(metric, dtype, seed, n, k):
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, (n, 3)).astype(np.float32)
    ids = rng.permutation(n) * 7 - 50
    index = pc.Index(3, metric, dtype)
    index.add(x, ids)
    query = rng.integers(-2, 3, 3).astype(np.float32)
    hits = index.search(query, k=k)
    expected = oracle.similarity32(metric, query, x)
    order = oracle.best(expected, k, ids.tolist())
    assert hits.ids[: len(order)].tolist() == ids[order].tolist()
    assert np.array_equal(hits.scores[: len(order)], expected[order])
    assert (hits.ids[n:] == -1).all() and np.isnan(hits.scores[n:]).all()


def test_text_ids_tie_by_text_and_pad_with_none():
    index = pc.Index(2, "ip")
    names = ["b", "a", "é", "aa", "B"]
    given_ids = index.add(np.ones((5, 2), np.float32), names)
    assert given_ids.tolist() == names and index.ids.tolist() == names
    hits = index.search(np.ones(2, np.float32), k=7)
    assert hits.ids.tolist() == ["B", "a", "aa", "b", "é", None, None]
    assert np.isnan(hits.scores[5:]).all() and not np.isnan(hits.scores[:5]).any()


def test_equal_vectors_are_all_found(rng):
    index = pc.Index(8, dtype="i8")
    x = vectors(rng, 1, 8)
    index.add(np.repeat(x, 12, axis=0))
    hits = index.search(x[0], k=12)
    assert hits.ids.tolist() == list(range(12)) and len(set(hits.scores.tolist())) == 1


# --- graph search ----------------------------------------------------------------------------------

# Enough rows that nine tenths of them are more than the 2 MiB (inner product: 8) where a scan ends.
DIM, QUERIES = 96, 300
ROWS = {("cosine", "i8"): 24_000, ("l2", "f16"): 13_000, ("ip", "f32"): 26_000}


@pytest.fixture(scope="module", params=ROWS, ids="-".join)
def graph(request):
    """An index at default settings with a graph, and queries from where its vectors are from."""
    metric, dtype = request.param
    data = clustered(np.random.default_rng(96), ROWS[metric, dtype] + QUERIES, DIM)
    if metric == "ip":
        # Norms within a tenth of each other: in order of norm, nothing could be left out.
        lengths = np.random.default_rng(97).uniform(0.95, 1.05, (len(data), 1))
        data *= (lengths / np.linalg.norm(data, axis=1, keepdims=True)).astype(data.dtype)
    # Left to itself, inner product would read all of them in order of norm.
    index = pc.Index(DIM, metric, dtype, layout="compact" if metric == "ip" else "auto")
    index.add(data[QUERIES:])
    return index, data[:QUERIES]


@pytest.mark.parametrize("dtype", ["f32", "i8"])
def test_inner_product_of_factors_is_answered_in_order_of_norm(dtype, rng):
    # Norms that vary as those of factor models do: for many queries most rows need no look.
    data = factors(rng, 26_200, DIM)
    index = pc.Index(DIM, "ip", dtype, M=4, ef_construction=20)
    index.add(data[200:])
    assert index.stats()["path"] == "graph"
    hits = [index.search(query, k=20) for query in data[:200]]
    ideal = [index.search(query, k=20, exact=True) for query in data[:200]]
    assert {one.path for one in hits} == {"exact"}
    assert all(same(a, b) for a, b in zip(hits, ideal, strict=True))
    # Scores that know nothing of norms.
    for query, hit in zip(data[:20], hits, strict=False):
        scores = index.get(np.arange(len(index))).astype(np.float64) @ query.astype(np.float64)
        assert np.allclose(np.sort(scores)[::-1][:20], hit.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["f32", "f16", "i8"])
def test_inner_product_does_not_depend_on_the_order_of_insertion(dtype, rng):
    x = factors(rng, 6000, 33)
    x[1::9] = x[::9][: len(x[1::9])]  # copies: ties
    x[5::50] = 0
    x[17] *= 1e3
    ids = rng.permutation(len(x)) + 1000
    order = rng.permutation(len(x))
    one, two = (pc.Index(33, "ip", dtype) for _ in range(2))
    one.add(x, ids)
    for part in np.array_split(order, 7):
        two.add(x[part], ids[part])
    queries = np.concatenate([factors(rng, 30, 33), rng.standard_normal((30, 33), np.float32), x[17:18] * -1])
    mask = set(ids[::3].tolist())
    for k, filtered in ((10, None), (10, mask), (3000, mask)):
        a, b = (index.search(queries, k=k, filter=filtered) for index in (one, two))
        assert same(a, b)
    assert (a.ids[:, 2000:] == -1).all() and np.isnan(a.scores[:, 2000:]).all()


def recall(found, ideal):
    shared = [len(set(a) & set(b)) for a, b in zip(found.ids.tolist(), ideal.ids.tolist(), strict=True)]
    return sum(shared) / ideal.ids.size


def test_recall_at_default_settings(graph):
    graph, queries = graph
    hits = graph.search(queries, num_threads=-1)
    assert hits.path == "graph" and graph.stats()["path"] == "graph"
    ideal = graph.search(queries, exact=True, num_threads=-1)
    assert ideal.path == "exact"
    assert recall(hits, ideal) >= 0.95


def test_graph_scores_are_the_exact_ones(graph):
    graph, queries = graph
    queries = queries[:40]
    hits = graph.search(queries)
    for query, ids, found in zip(queries, hits.ids, hits.scores, strict=True):
        one = graph.search(query, filter=ids, exact=True)
        assert np.array_equal(one.ids, ids) and np.array_equal(one.scores, found)


def test_a_broader_search_finds_no_less(graph):
    graph, queries = graph
    ideal = graph.search(queries, exact=True, num_threads=-1)
    quality = [recall(graph.search(queries, ef=ef, num_threads=-1), ideal) for ef in (10, 60, 400)]
    assert quality[0] < quality[1] <= quality[2] and quality[2] > 0.98


def test_answers_do_not_depend_on_how_queries_are_batched(graph):
    graph, queries = graph
    queries = queries[:64]
    one = graph.search(queries, k=7, num_threads=1)
    assert same(one, graph.search(queries, k=7, num_threads=3))
    for row, query in enumerate(queries[:10]):
        single = graph.search(query, k=7)
        assert single.ids.shape == (7,) and np.array_equal(single.ids, one.ids[row])


def test_a_filter_is_obeyed_and_the_path_follows_its_size(graph, rng):
    graph, queries = graph
    queries = queries[:60]
    # A scan of so few vectors may be the better way with most of them eligible too: it is for two of the three.
    for share, paths in ((0.9, ("graph", "exact")), (0.02, ("exact",))):
        mask = rng.random(len(graph)) < share
        hits = graph.search(queries, filter=mask)
        assert hits.path in paths and mask[hits.ids].all()
        ideal = graph.search(queries, filter=np.flatnonzero(mask), exact=True)
        assert recall(hits, ideal) >= (0.93 if hits.path == "graph" else 1.0)


def test_all_that_is_eligible_comes_even_from_a_graph(graph):
    graph, queries = graph
    keep = np.arange(0, len(graph), 500)
    hits = graph.search(queries[0], k=100, filter=keep)
    assert sorted(hits.ids[: len(keep)].tolist()) == keep.tolist()
    assert (hits.ids[len(keep) :] == -1).all()


def test_exclusion_takes_out_the_best(graph):
    graph, queries = graph
    query = queries[0]
    before = graph.search(query, k=30)
    after = graph.search(query, k=10, exclude=[*before.ids[:10].tolist(), 10**9])
    assert not set(after.ids.tolist()) & set(before.ids[:10].tolist())
    assert after.scores[0] <= before.scores[9] and not np.isnan(after.scores).any()


# --- filters, small --------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40), text=st.booleans())
def test_filter_and_exclusion_are_set_operations(seed, n, text):
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (n, 4)).astype(np.float32)
    ids = [f"i{i:02}" for i in range(n)] if text else list(range(n))
    index = pc.Index(4, "ip")
    index.add(x, ids)
    query = rng.integers(-3, 4, 4).astype(np.float32)
    mask, seen = rng.random(n) < 0.5, [i for i in ids if rng.random() < 0.3]
    allowed = [i for i, keep in enumerate(mask) if keep and ids[i] not in seen]
    expected = [ids[i] for i in oracle.best(oracle.similarity32("ip", query, x), n, ids, allowed)]
    listed = [i for i, keep in zip(ids, mask, strict=True) if keep]
    for where in (mask, mask.tolist(), listed, set(listed)):
        hits = index.search(query, k=n, filter=where, exclude=seen)
        assert [hit.id for hit in hits] == expected


def test_a_filter_with_an_unknown_id_is_an_error_and_an_exclusion_is_not(rng):
    index = pc.Index(4)
    index.add(vectors(rng, 3, 4))
    with pytest.raises(KeyError, match="99"):
        index.search(vectors(rng, 1, 4), filter=[1, 99])
    assert len(index.search(vectors(rng, 1, 4)[0], exclude=[1, 99])) == 2
    assert len(index.search(vectors(rng, 1, 4)[0], filter=[])) == 0


# --- ids and changes -------------------------------------------------------------------------------


def test_ids_are_counted_up_from_the_largest(rng):
    index = pc.Index(3)
    assert index.add(vectors(rng, 2, 3)).tolist() == [0, 1]
    assert index.add(vectors(rng, 1, 3), [10]).tolist() == [10]
    assert index.add(vectors(rng, 2, 3)).tolist() == [11, 12]
    index.remove([12])
    assert index.add(vectors(rng, 1, 3)).tolist() == [13]
    assert index.ids.tolist() == [0, 1, 10, 11, 13] and len(index) == 5


@pytest.mark.parametrize("ids", [[2**63 - 1, -(2**63)], np.array([3, 5], np.uint16), range(2), ["x", ""]])
def test_ids_of_many_kinds(rng, ids):
    index = pc.Index(3)
    x = vectors(rng, 2, 3)
    assert index.add(x, ids).tolist() == list(ids)
    assert np.array_equal(index.get(list(ids)[::-1]), x[::-1])


def test_several_calls_are_one_index(rng):
    x, queries = vectors(rng, 900, 20), vectors(rng, 5, 20)
    whole, parts = pc.Index(20, "l2", "i8"), pc.Index(20, "l2", "i8")
    whole.add(x)
    for part in np.array_split(x, 7):
        parts.add(part)
    assert same(whole.search(queries), parts.search(queries))


def test_removed_vectors_are_not_found(rng):
    x = vectors(rng, 500, 10)
    index, rest = pc.Index(10, "ip"), pc.Index(10, "ip")
    index.add(x)
    gone = rng.permutation(500)[:450]  # more than half: rows are compacted on the way
    for part in np.array_split(gone, 6):
        index.remove(part)
    kept = np.setdiff1d(np.arange(500), gone)
    rest.add(x[kept], kept)
    assert len(index) == 50 and index.ids.tolist() == kept.tolist()
    assert index.stats()["rows"] < 500
    assert same(index.search(x[:9], k=60), rest.search(x[:9], k=60))
    with pytest.raises(KeyError, match=str(gone[0])):
        index.get([gone[0]])


def test_a_removed_id_may_come_again(rng):
    x = vectors(rng, 3, 4)
    index = pc.Index(4)
    index.add(x[:2], [5, 6])
    index.remove([5])
    index.add(x[2:], [5])
    assert np.array_equal(index.get([5]), x[2:]) and len(index) == 2


def test_removal_is_all_or_nothing(rng):
    index = pc.Index(4)
    index.add(vectors(rng, 3, 4))
    with pytest.raises(KeyError, match="7"):
        index.remove([0, 7])
    assert index.ids.tolist() == [0, 1, 2]


def test_a_graph_survives_removal_of_most_of_it(rng):
    x = clustered(rng, 6000, DIM, clusters=40)
    index = pc.Index(DIM, M=8, ef_construction=60)
    index.add(x)
    keep = np.arange(0, 6000, 3)
    index.remove(np.setdiff1d(np.arange(6000), keep))
    hits = index.search(x[keep[:50]], k=1)
    assert hits.ids[:, 0].tolist() == keep[:50].tolist()


@pytest.mark.parametrize("bad", ["nan", "twice", "there", "shape", "kind"])
def test_a_refused_add_changes_nothing(rng, bad):
    index = pc.Index(4)
    index.add(vectors(rng, 5, 4))
    x, ids = vectors(rng, 2, 4), [10, 11]
    if bad == "nan":
        x[1, 3] = np.nan
    elif bad == "shape":
        x = x[:, :3]
    else:
        ids = {"twice": [10, 10], "there": [10, 3], "kind": ["a", "b"]}[bad]
    with pytest.raises((ValueError, TypeError)):
        index.add(x, ids)
    assert len(index) == 5 and index.ids.tolist() == [0, 1, 2, 3, 4]
    assert index.add(vectors(rng, 1, 4)).tolist() == [5]


def test_nothing_in_nothing_out(rng):
    index = pc.Index(4)
    hits = index.search(vectors(rng, 2, 4), k=3)
    assert (hits.ids == -1).all() and np.isnan(hits.scores).all()
    assert index.add(np.empty((0, 4), np.float32)).shape == (0,)
    assert index.get([]).shape == (0, 4)
    assert index.search(np.empty((0, 4), np.float32), k=3).ids.shape == (0, 3)
    index.remove([])
    assert len(index) == 0


def test_properties_and_stats(rng):
    index = pc.Index(dim=6, metric="l2", dtype="f16", M=5, ef_construction=50, seed=9)
    index.add(vectors(rng, 10, 6))
    assert (index.dim, index.metric, index.dtype, len(index)) == (6, "l2", "f16", 10)
    stats = index.stats()
    assert stats["items"] == stats["rows"] == 10 and stats["path"] == "exact"
    assert stats["bytes"] >= 10 * (6 * 2 + 4) and stats["links"] == 0
    for part in ("10", "dim=6", "l2", "f16"):
        assert part in repr(index)


def test_scores_are_never_negative_zero():
    index = pc.Index(2, "ip")
    index.add(np.array([[-0.0, 0.0]], np.float32))
    distance = pc.Index(2, "l2")
    distance.add(np.array([[1, -1]], np.float32))
    query = np.array([1, -1], np.float32)
    for one in (index.search(query, k=1), distance.search(query, k=1), pc.topk(query, [[1.0, -1]], 1, "l2")):
        assert one.scores[0] == 0 and math.copysign(1, one.scores[0]) == 1


@pytest.mark.parametrize("dtype", ["f32", "f16", "i8"])
@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_an_exact_batch_is_its_queries_one_by_one(rng, metric, dtype):
    x, q = rng.standard_normal((900, 37)).astype(np.float32), rng.standard_normal((20, 37))
    index = pc.Index(37, metric, dtype)
    index.add(x)
    index.remove(np.arange(0, 900, 7))
    for filter in (None, rng.random(len(index)) < 0.3):
        one_by_one = [index.search(query, 11, filter=filter, exact=True) for query in q]
        for threads in (1, 3):
            found = index.search(q, 11, filter=filter, exact=True, num_threads=threads)
            assert np.array_equal(found.ids, [hits.ids for hits in one_by_one])
            assert np.array_equal(found.scores, [hits.scores for hits in one_by_one])
