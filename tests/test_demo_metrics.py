"""The demo's numbers against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from perso_core.demo import metrics
from perso_core.demo.data import Films, Ratings

FILMS = Films(
    ids=np.array([10, 20, 30, 40, 50]),
    titles=list("abcde"),
    years=[1990] * 5,
    genres=[["Drama"], ["Drama", "War"], ["Comedy"], ["War"], ["Comedy"]],
)
# Unit vectors in the plane, so that every cosine is easy to see.
VECTORS = np.array([[1, 0], [0, 1], [-1, 0], [0.6, 0.8], [1, 0]], dtype=np.float32)


def _held_out(rows: list[tuple[int, int, int]]) -> Ratings:
    users, items, stars = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return Ratings(users, items, stars, np.zeros(len(rows), dtype=np.int64))


def _judge(users: list[int], held_out: list[tuple[int, int, int]], k: int = 3) -> metrics.Judge:
    return metrics.Judge(np.array(users), _held_out(held_out), FILMS, VECTORS, k)


def test_accuracy_by_hand():
    judge = _judge([1, 2, 3], [(1, 10, 5), (1, 20, 3), (2, 30, 4), (2, 40, 1), (3, 50, 2)])
    found = judge.quality([np.array([20, 30, 10]), np.array([50, 40]), np.array([], dtype=np.int64)])
    np.testing.assert_allclose(found.recall_of, [1.0, 0.5, 0.0])
    # The gain at place p (from 1) is stars / log2(p + 1); the ideal order has the most stars first.
    first = (3 + 5 / math.log2(4)) / (5 + 3 / math.log2(3))
    second = (1 / math.log2(3)) / (4 + 1 / math.log2(3))
    np.testing.assert_allclose(found.ndcg_of, [first, second, 0.0], rtol=1e-12)
    assert found.recall == pytest.approx(0.5)
    assert found.ndcg == pytest.approx((first + second) / 3)


def test_the_order_of_the_slate_counts_and_not_the_ids():
    judge = _judge([1], [(1, 10, 5)])
    places = [judge.quality([np.array(slate)]).ndcg for slate in ([10, 20, 30], [20, 10, 30], [30, 20, 10])]
    np.testing.assert_allclose(places, [1.0, 1 / math.log2(3), 0.5])


def test_coverage_and_length():
    judge = _judge([1, 2], [(1, 10, 5), (2, 10, 5)])
    found = judge.quality([np.array([10, 20]), np.array([20, 30, 10])])
    assert found.coverage == pytest.approx(3 / 5)
    assert found.length == pytest.approx(2.5)


def test_diversity_of_slates():
    judge = _judge([1, 2], [(1, 10, 5), (2, 10, 5)])
    found = judge.quality([np.array([10, 20]), np.array([10, 50])])
    assert found.diversity == pytest.approx((1.0 + 0.0) / 2)
    # {Drama} and {Drama, War} share one of two; {Drama} and {Comedy} nothing.
    assert found.genre_diversity == pytest.approx((0.5 + 1.0) / 2)


def test_one_slate_per_user_is_needed():
    with pytest.raises(ValueError, match="slates: expected one per user, 2, got 1"):
        _judge([1, 2], [(1, 10, 5), (2, 10, 5)]).quality([np.array([10])])


@pytest.mark.parametrize(
    ("rows", "expected"), [([0, 1], 1.0), ([0, 2], 2.0), ([0, 4], 0.0), ([0, 3], 0.4), ([0], 0.0), ([], 0.0)]
)
def test_distance_of_pairs(rows, expected):
    assert metrics.distance(VECTORS[rows].astype(float)) == pytest.approx(expected)


def test_distance_is_the_mean_over_pairs(rng):
    vectors = rng.standard_normal((12, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [1 - vectors[i] @ vectors[j] for i in range(12) for j in range(i)]
    assert metrics.distance(vectors) == pytest.approx(np.mean(pairs))


def test_genre_distances_by_hand():
    found = metrics.genre_distances([["a", "b"], ["b", "c"], ["d"], []])
    np.testing.assert_allclose(found[0], [0, 1 - 1 / 3, 1, 1])
    np.testing.assert_allclose(found, found.T)
    np.testing.assert_allclose(np.diag(found), 0)


@pytest.mark.parametrize(
    ("rows", "expected"), [([0, 1, 2], (2 / 3 + 1 + 1) / 3), ([0, 1], 2 / 3), ([2], 0.0), ([], 0.0)]
)
def test_mean_of_pairs(rows, expected):
    distances = metrics.genre_distances([["a", "b"], ["b", "c"], ["d"]])
    assert metrics.mean_of_pairs(distances[np.ix_(rows, rows)]) == pytest.approx(expected)


def test_paired_difference_by_hand():
    mean, margin = metrics.paired_difference(np.array([0.5, 0.7]), np.array([0.5, 0.5]))
    assert mean == pytest.approx(0.1)
    # The deviation of 0 and 0.2 is sqrt(0.02); over two users its error is 0.1.
    assert margin == pytest.approx(1.96 * 0.1)


def test_genre_shares_by_hand():
    found = metrics.genre_shares([["Drama"], ["War", "Drama"], [], ["Comedy"], ["Comedy"]])
    assert found == pytest.approx({"Comedy": 0.5, "Drama": 0.375, "War": 0.125})
    assert metrics.genre_shares([]) == metrics.genre_shares([[]]) == {}


def test_miscalibration_by_hand():
    wanted = {"a": 0.75, "b": 0.25}
    assert metrics.miscalibration(wanted, wanted) == pytest.approx(0.0)
    assert metrics.miscalibration(wanted, {"c": 1.0}) == pytest.approx(math.log(100))
    half = 0.75 * math.log(0.75 / (0.99 * 0.5 + 0.0075)) + 0.25 * math.log(0.25 / (0.99 * 0.5 + 0.0025))
    assert metrics.miscalibration(wanted, {"a": 0.5, "b": 0.5}) == pytest.approx(half)
    assert metrics.miscalibration({"a": 1.0, "b": 0.0}, {"a": 1.0}) == pytest.approx(0.0)


def test_miscalibration_is_the_mean_over_users():
    judge = _judge([1, 2], [(1, 10, 5), (2, 10, 5)])
    found = judge.miscalibration([np.array([10, 20]), np.array([30])], [{"Drama": 1.0}, {"Comedy": 1.0}])
    assert found == pytest.approx(math.log(1 / (0.99 * 0.75 + 0.01)) / 2)
