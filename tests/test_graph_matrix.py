"""Every layout with every metric and storage type, at dimensions from 1 to 2,048.

The oracle is exact arithmetic over the stored vectors in float64, so what is tested is the way the rows are found.
"""

import numpy as np
import pytest

import perso_core as pc

ROWS, QUERIES, K = 1500, 20, 10
DIMS = [1, 2, 7, 33, 64, 100, 385, 1001, 2048]


def vectors(rng, n, dim):
    """Clustered, of lengths that vary; both ends of a walk are among them: copies and a zero vector."""
    centres = np.random.default_rng(5).standard_normal((12, dim))
    x = centres[rng.integers(12, size=n)] + rng.standard_normal((n, dim))
    return (x * rng.uniform(0.5, 2.0, (n, 1))).astype(np.float32)


def truth(stored, queries, metric):
    stored, queries = stored.astype(np.float64), queries.astype(np.float64)
    dots = queries @ stored.T
    if metric == "ip":
        return dots
    norms = (stored**2).sum(1)
    if metric == "l2":
        return 2 * dots - norms - (queries**2).sum(1)[:, None]
    lengths = np.sqrt(norms)[None] * np.linalg.norm(queries, axis=1)[:, None]
    return np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
@pytest.mark.parametrize("dtype", ["f32", "f16", "i8"])
def test_both_graphs_find_what_is_there(dim, metric, dtype, tmp_path):
    rng = np.random.default_rng([dim, len(metric), len(dtype)])
    x, queries = vectors(rng, ROWS, dim), vectors(rng, QUERIES, dim)
    x[:40] = x[40]
    x[50] = 0
    for layout in ("compact", "local"):
        one, two = (pc.Index(dim, metric, dtype, 16, 80, layout=layout) for _ in range(2))
        ids = one.add(x, num_threads=1)
        two.add(x, num_threads=2)
        assert one.stats()["layout"] == layout
        exact = truth(one.get(ids), queries, metric)
        kth = -np.sort(-exact, axis=1)[:, K - 1]
        hits = one.search(queries, K, ef=250)
        got = np.take_along_axis(exact, hits.ids, axis=1)
        slack = 1e-5 * (1 + np.abs(exact).max(axis=1))[:, None]
        recall = (got >= kth[:, None] - slack).mean()
        # 200 answers. At one dimension half of the vectors are the same under the cosine, and the walk stays
        # on the side it came to.
        assert recall >= (0.5 if dim == 1 and metric == "cosine" else 0.95), (layout, recall)
        np.testing.assert_allclose(hits.scores, got, atol=slack.max(), rtol=1e-4)

        again = two.search(queries, K, ef=250)
        assert np.array_equal(hits.ids, again.ids) and np.array_equal(hits.scores, again.scores)
        one.save(tmp_path / "one")
        two.save(tmp_path / "two")
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
        for mmap in (False, True):
            loaded = pc.Index.load(tmp_path / "one", mmap=mmap)
            assert loaded.stats()["layout"] == layout
            again = loaded.search(queries, K, ef=250)
            assert np.array_equal(hits.ids, again.ids) and np.array_equal(hits.scores, again.scores)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_local_codes_follow_every_change(metric):
    rng = np.random.default_rng(8)
    x, queries = vectors(rng, 4000, 48), vectors(rng, 30, 48)
    index = pc.Index(48, metric, "i8", 16, 80, layout="local")
    for part in np.array_split(np.arange(3000), 7):
        index.add(x[part], part)
    index.remove(np.arange(0, 3000, 5))
    index.add(x[3000:], np.arange(3000, 4000))
    live = np.setdiff1d(np.arange(4000), np.arange(0, 3000, 5))
    exact = truth(index.get(live), queries, metric)
    want = live[np.argsort(-exact, axis=1)[:, :K]]
    found = index.search(queries, K, ef=200)
    assert found.path == "graph"
    recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(found.ids, want, strict=True)])
    assert recall >= 0.95, recall
    assert np.isin(found.ids, live).all()


def test_a_layout_left_open_has_codes_where_they_weigh_little():
    x = np.random.default_rng(1).standard_normal((5000, 256)).astype(np.float32)
    for dtype, rescore, used in [("f32", None, "local"), ("i8", None, "compact"), ("i8", "f16", "local")]:
        index = pc.Index(256, "cosine", dtype, 16, 40, rescore=rescore)
        index.add(np.tile(x, (2, 1)) if dtype == "i8" else x)
        stats = index.stats()
        assert stats["layout"] == used
        codes, vectors_ = stats["bytes_by_part"]["local"], stats["bytes_by_part"]["vectors"]
        assert codes <= 1.6 * (vectors_ + stats["bytes_by_part"]["rescore"])


def test_many_answers_of_a_local_graph_are_a_walk():
    """A pool in which rows stand several times must not be too small for what is asked."""
    x = vectors(np.random.default_rng(2), 12_000, 96)
    index = pc.Index(96, "cosine", "i8", 16, 60, layout="local")
    index.add(x)
    hits = index.search(x[:5], 400)
    assert hits.path == "graph" and (hits.ids >= 0).all()
    exact = index.search(x[:5], 400, exact=True)
    recall = np.mean([len(set(a) & set(b)) / 400 for a, b in zip(hits.ids, exact.ids, strict=True)])
    assert recall >= 0.85, recall
