"""A graph taught with a sample of queries: what it finds, what it says, what it keeps, what it refuses."""

import numpy as np
import pytest

import perso_core as pc

N, DIM = 6000, 32


@pytest.fixture(scope="module")
def world():
    """Items in clusters in all directions; queries that look along eight, so that their answers lie apart."""
    rng = np.random.default_rng(13)
    centres = rng.standard_normal((250, DIM))
    items = centres[rng.integers(250, size=N)] + 0.3 * rng.standard_normal((N, DIM))
    queries = rng.standard_normal((1500, 8)) @ rng.standard_normal((8, DIM))
    return items.astype(np.float32), queries[:1200].astype(np.float32), queries[1200:].astype(np.float32)


def built(items, metric="cosine", layout="compact", **more):
    index = pc.Index(DIM, metric, M=8, ef_construction=60, layout=layout)
    index.add(items, **more)
    return index


def same(a, b):
    return np.array_equal(a.ids, b.ids) and np.array_equal(a.scores, b.scores)


@pytest.mark.parametrize("layout", ["compact", "local"])
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_fitting_finds_more_of_the_answers_and_says_how_many(world, metric, layout):
    items, sample, others = world
    index = built(items, metric, layout)
    before = index.recall(others, ef=30)
    links = index.stats()["links"]
    fitted = index.fit(sample)
    assert isinstance(fitted, pc.Fitted) and fitted.advice is None and fitted.path == "graph"
    assert (fitted.queries, fitted.held_out) == (1080, 120)
    assert 0 < fitted.rows <= fitted.links
    assert fitted.recall_before < fitted.recall_after <= 1
    after = index.recall(others, ef=30)
    assert 1 - after < 0.75 * (1 - before), (before, after)
    stats = index.stats()
    assert (stats["taught_links"], stats["links"]) == (fitted.links, links)
    assert stats["bytes_by_part"]["taught"] >= 4 * fitted.links
    assert sum(stats["bytes_by_part"].values()) == stats["bytes"]


def test_threads_and_what_was_taught_before_do_not_show(world):
    items, sample, others = world
    one, two = built(items), built(items)
    two.fit(sample[:300])
    fitted, again = one.fit(sample, num_threads=1), two.fit(sample, num_threads=3)
    assert fitted.recall_before < again.recall_before
    assert (fitted.links, fitted.rows, fitted.recall_after) == (again.links, again.rows, again.recall_after)
    assert same(one.search(others, ef=20), two.search(others, ef=20))


def test_adding_with_a_sample_is_adding_and_fitting(world):
    items, sample, others = world
    reports = []
    at_once = built(items, fit_queries=sample[:50], progress=lambda *report: reports.append(report))
    assert reports[-1] == (N + 50, N + 50) and reports == sorted(reports)
    apart = built(items)
    fitted = apart.fit(sample[:50])  # too few to hold any out
    assert (fitted.queries, fitted.held_out) == (50, 0)
    assert fitted.recall_before is fitted.recall_after is None
    assert at_once.stats() == apart.stats() and at_once.stats()["taught_links"] == fitted.links > 0
    assert same(at_once.search(others, ef=20), apart.search(others, ef=20))


def test_without_a_graph_nothing_is_taught_and_it_says_so(world):
    items, sample, others = world
    for index in (built(items, layout="exact"), built(items[:500]), pc.Index(DIM)):
        fitted = index.fit(sample)
        assert (fitted.queries, fitted.links, fitted.rows, fitted.held_out) == (0, 0, 0, 0)
        assert fitted.path == "exact" and "no graph" in fitted.advice
        assert index.stats()["taught_links"] == index.stats()["bytes_by_part"]["taught"] == 0
    index = built(items, layout="exact", fit_queries=sample)
    assert same(index.search(others), built(items, layout="exact").search(others))


def test_a_file_keeps_what_was_taught(world, tmp_path):
    items, sample, others = world
    index = built(items, fit_queries=sample)
    index.save(tmp_path / "file")
    for mmap in (False, True):
        again = pc.Index.load(tmp_path / "file", mmap=mmap)
        assert again.stats()["taught_links"] == index.stats()["taught_links"] > 0
        assert same(again.search(others, ef=20), index.search(others, ef=20))


def test_links_follow_their_rows_through_changes(world):
    items, sample, others = world
    index = built(items, fit_queries=sample)
    taught = index.stats()["taught_links"]
    index.add(items[:100] + 1)
    assert index.stats()["taught_links"] == taught
    # Of the rows that are left after most are removed, the links among them.
    index.remove(range(100, 3200))
    stats = index.stats()
    assert stats["rows"] == len(index) and 0 < stats["taught_links"] < taught
    assert index.recall(others, ef=60) > 0.9


def test_an_exception_out_of_progress_leaves_the_index_as_it_was(world):
    items, sample, others = world
    index = built(items[:4000], fit_queries=sample[:200])
    before, stats = index.search(others, ef=20), index.stats()

    class Enough(Exception):
        pass

    def stop_at(limit):
        def stop(done, total):
            if done >= limit:
                raise Enough

        return stop

    for work in [
        lambda: index.fit(sample, num_threads=1, progress=stop_at(1)),
        lambda: index.add(items[4000:], num_threads=1, progress=stop_at(2100), fit_queries=sample),
    ]:
        with pytest.raises(Enough):
            work()
        assert index.stats() == stats and same(index.search(others, ef=20), before)


@pytest.mark.parametrize(
    "wrong, what",
    [
        (np.zeros((3, DIM + 1), np.float32), str(DIM)),
        (np.zeros(DIM, np.float32), "matrix"),
        (np.full((2, DIM), np.nan, np.float32), "NaN"),
        (np.full((2, DIM), np.inf, np.float32), "inf"),
        (np.zeros((0, DIM), np.float32), "at least one query"),
    ],
    ids=["dim", "one", "nan", "inf", "none"],
)
def test_a_wrong_sample_is_refused_by_name(world, wrong, what):
    items = world[0][:1500]
    index = built(items)
    with pytest.raises(ValueError, match=rf"^fit_queries: .*{what}"):
        index.add(items, fit_queries=wrong)
    assert len(index) == 1500
    with pytest.raises(ValueError, match=rf"^queries: .*{what}"):
        index.fit(wrong)
    with pytest.raises(TypeError):
        index.add(items, None, -1, None, items)  # by keyword only
