"""Plain arrays: dot, topk, and the same bits on each instruction set."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
import perso_core as pc

METRICS = ["ip", "cosine", "l2"]


def vectors(rng, n, dim):
    return rng.standard_normal((n, dim)).astype(np.float32)


# --- dot -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 7, 31, 32, 33, 64, 100, 384, 1000])
def test_dot_of_floats_is_within_the_derived_bound(rng, dim):
    q, x = vectors(rng, 5, dim), vectors(rng, 37, dim)
    found = pc.dot(q, x)
    assert found.dtype == np.float32 and found.shape == (5, 37)
    error = np.abs(found - oracle.scores("ip", q, x))
    assert (error <= oracle.error_bound("ip", q, x)).all()


@pytest.mark.parametrize("dim", [1, 7, 33, 100])
def test_dot_with_half_floats_scores_the_halves_as_they_are(rng, dim):
    q, x = vectors(rng, 3, dim), vectors(rng, 11, dim).astype(np.float16)
    error = np.abs(pc.dot(q, x) - oracle.scores("ip", q, x))
    assert (error <= oracle.error_bound("ip", q, x)).all()


@given(dim=st.integers(1, 300), extreme=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_dot_of_bytes_is_exact_on_the_whole_range(dim, extreme, seed):
    rng = np.random.default_rng(seed)
    values = [-128, 127] if extreme else np.arange(-128, 128)
    q = rng.choice(values, (3, dim)).astype(np.int8)
    x = rng.choice(values, (6, dim)).astype(np.int8)
    # |sum| <= 300 * 2**14 < 2**24, so float32 holds it.
    assert np.array_equal(pc.dot(q, x), q.astype(np.int64) @ x.T.astype(np.int64))


def test_dot_of_bytes_at_its_worst(rng):
    q = np.full((1, 1024), -128, np.int8)
    assert pc.dot(q, q)[0, 0] == 128 * 128 * 1024
    assert pc.dot(q, np.full((1, 1024), 127, np.int8))[0, 0] == -128 * 127 * 1024


def test_dot_of_one_query_is_a_vector(rng):
    q, x = vectors(rng, 1, 20), vectors(rng, 6, 20)
    assert pc.dot(q[0], x).shape == (6,)
    assert np.array_equal(pc.dot(q[0], x), pc.dot(q, x)[0])


def test_dot_takes_strided_and_double_arrays(rng):
    q, x = rng.standard_normal((4, 10)), rng.standard_normal((16, 20))[:, ::2]
    whole = pc.dot(q.astype(np.float32), np.ascontiguousarray(x.astype(np.float32)))
    assert np.array_equal(pc.dot(q, x), whole)
    fortran = np.asfortranarray(x.astype(np.float32))
    assert np.array_equal(pc.dot(q.astype(np.float32), fortran), whole)


def test_dot_without_rows_is_empty(rng):
    assert pc.dot(np.empty((0, 4), np.float32), vectors(rng, 3, 4)).shape == (0, 3)
    assert pc.dot(vectors(rng, 3, 4), np.empty((0, 4), np.float32)).shape == (3, 0)


# --- topk ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dim", [3, 32, 96])
def test_topk_agrees_with_float64(rng, metric, dim):
    q, x = vectors(rng, 8, dim), vectors(rng, 700, dim)
    hits = pc.topk(q, x, 25, metric=metric)
    assert hits.ids.shape == hits.scores.shape == (8, 25) and hits.scores.dtype == np.float32
    exact, bound = oracle.scores(metric, q, x), oracle.error_bound(metric, q, x)
    for row, ids in enumerate(hits.ids):
        assert len(set(ids)) == 25
        assert (np.abs(hits.scores[row] - exact[row, ids]) <= bound[row, ids]).all()
        # The i-th largest of numbers that moved by at most b moves by at most b.
        ideal = np.sort(exact[row])[::-1][:25]
        assert (np.abs(hits.scores[row] - ideal) <= bound[row].max()).all()
        assert (np.diff(hits.scores[row]) <= 0).all()


@pytest.mark.parametrize("metric", METRICS)
@given(n=st.integers(1, 60), dim=st.integers(1, 9), k=st.integers(1, 70), seed=st.integers(0, 2**32 - 1))
def test_topk_of_whole_numbers_is_exact_with_ties_by_index(metric, n, dim, k, seed):
    # Few distinct values, so that ties and zero vectors are common.
    rng = np.random.default_rng(seed)
    q, x = rng.integers(-2, 3, (2, dim)), rng.integers(-2, 3, (n, dim))
    hits = pc.topk(q.astype(np.float32), x.astype(np.float32), k, metric=metric)
    for row in range(2):
        if metric == "cosine":  # the documented formula leaves the order of roundings open
            expected = oracle.scores(metric, q, x)[row]
            found = hits.ids[row][: min(k, n)]
            assert np.allclose(hits.scores[row][: min(k, n)], expected[found], atol=1e-6)
            lines = list(zip(-hits.scores[row][: min(k, n)], found, strict=True))
            assert lines == sorted(lines)
        else:
            expected = oracle.similarity32(metric, q[row], x)
            order = oracle.best(expected, k)
            assert hits.ids[row].tolist() == order + [-1] * (k - len(order))
            assert np.array_equal(hits.scores[row][: len(order)], expected[order])
        assert np.isnan(hits.scores[row][n:]).all() and (hits.ids[row][n:] == -1).all()


def test_topk_scores_the_zero_vector_0_under_cosine(rng):
    x = vectors(rng, 4, 8)
    x[2] = 0
    hits = pc.topk(x[0], x, 4, metric="cosine")
    assert hits.scores[hits.ids == 2] == [0.0]
    assert np.array_equal(pc.topk(np.zeros(8, np.float32), x, 4, metric="cosine").scores, np.zeros(4))


def test_topk_does_not_depend_on_num_threads(rng):
    q, x = vectors(rng, 33, 40), vectors(rng, 3000, 40)
    one = pc.topk(q, x, 10, num_threads=1)
    for threads in (2, 5, -1):
        many = pc.topk(q, x, 10, num_threads=threads)
        assert np.array_equal(one.ids, many.ids) and np.array_equal(one.scores, many.scores)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("half", [False, True])
def test_topk_of_many_queries_is_that_of_each_alone(rng, metric, half):
    q, x = vectors(rng, 40, 67), vectors(rng, 1500, 67)
    x[::50] = x[1]  # ties
    x[7] = 0
    items = x.astype(np.float16) if half else x
    many = pc.topk(q, items, 9, metric=metric)
    for row, query in enumerate(q):
        one = pc.topk(query, items, 9, metric=metric)
        assert np.array_equal(many.ids[row], one.ids) and np.array_equal(many.scores[row], one.scores)


@pytest.mark.parametrize("metric", METRICS)
def test_topk_over_halves_scores_the_halves_as_they_are(rng, metric):
    q, x = vectors(rng, 14, 33), vectors(rng, 300, 33).astype(np.float16)
    halves, floats = pc.topk(q, x, 5, metric=metric), pc.topk(q, x.astype(np.float32), 5, metric=metric)
    assert np.array_equal(halves.ids, floats.ids) and np.array_equal(halves.scores, floats.scores)


@pytest.mark.parametrize("number", [2, 30])
@pytest.mark.parametrize("half", [False, True])
def test_topk_refuses_an_infinite_item_however_many_ask(rng, number, half):
    x = vectors(rng, 90, 5)
    x[77, 3] = np.inf
    with pytest.raises(ValueError, match=r"items: expected finite numbers, got inf at position 388"):
        pc.topk(vectors(rng, number, 5), x.astype(np.float16) if half else x, 3)


def test_topk_of_one_query_is_one_row(rng):
    x = vectors(rng, 30, 6)
    hits = pc.topk(x[4], x, 3, metric="l2")
    assert hits.ids.shape == hits.scores.shape == (3,) and hits.ids[0] == 4 and hits.path == "exact"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("argument", ["queries", "items"])
def test_topk_refuses_what_is_not_finite(rng, bad, argument):
    q, x = vectors(rng, 2, 5), vectors(rng, 9, 5)
    (q if argument == "queries" else x)[1, 2] = bad
    with pytest.raises(ValueError, match=rf"{argument}: expected finite numbers, got .*(NaN|nan|inf)"):
        pc.topk(q, x, 3)


# --- instruction sets ------------------------------------------------------------------------------


def test_cpu_features_names_what_runs():
    features = pc.cpu_features()
    assert features["isa"] in features["available"]
    assert features["available"][0] == "scalar"


def _python(arguments, isa):
    environment = {**os.environ, "PERSO_CORE_ISA": isa}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=300
    )


def test_every_instruction_set_gives_the_same_bits():
    results = {}
    for isa in pc.cpu_features()["available"]:
        done = _python([str(Path(__file__).with_name("isa_probe.py"))], isa)
        assert done.returncode == 0, done.stderr
        results[isa] = json.loads(done.stdout)
        assert results[isa]["isa"] == isa
    for isa, result in results.items():
        assert result["parts"] == results["scalar"]["parts"], isa


@pytest.mark.parametrize("isa", ["mmx", "AVX2", "neon " if sys.platform == "darwin" else "neon"])
def test_an_instruction_set_that_is_not_there_stops_the_import(isa):
    if isa in pc.cpu_features()["available"]:
        pytest.skip("this machine has it")
    done = _python(["-c", "import perso_core"], isa)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError") and "PERSO_CORE_ISA" in last and isa in last and "scalar" in last


def test_an_empty_choice_is_no_choice():
    code = "import perso_core; print(perso_core.cpu_features()['isa'])"
    done = _python(["-c", code], "")
    assert done.stdout.strip() == pc.cpu_features()["available"][-1]
