"""Drift: against SciPy and plain Python, and how often it cries wolf."""

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import perso_core as pc
from perso_core import drift

SAMPLE = st.lists(st.floats(-100, 100), min_size=1, max_size=40)


def plain_psi(reference, current, bins, epsilon):
    edges = sorted({float(np.quantile(reference, i / bins)) for i in range(1, bins)})
    if edges[0] == min(reference):
        edges = [math.nextafter(edges[0], -math.inf), *edges]
    bounds = [-math.inf, *edges, math.inf]
    total = 0.0
    for low, high in itertools.pairwise(bounds):
        r, c = (max(sum(low < x <= high for x in s) / len(s), epsilon) for s in (reference, current))
        total += (c - r) * math.log(c / r)
    return total


@given(SAMPLE, SAMPLE, st.integers(2, 12), st.floats(1e-6, 0.01))
def test_psi_is_that_of_plain_python(reference, current, bins, epsilon):
    found = drift.psi(reference, current, bins=bins, epsilon=epsilon)
    assert found.value == pytest.approx(plain_psi(reference, current, bins, epsilon), abs=1e-9)
    assert found.value >= 0 and found.reference.sum() == pytest.approx(1) == found.current.sum()
    assert len(found.edges) + 1 == len(found.reference) == len(found.current) <= bins + 1
    assert drift.psi(reference, reference, bins=bins).value == 0


@given(SAMPLE, SAMPLE)
def test_the_statistic_is_that_of_scipy(reference, current):
    found = drift.ks(reference, current)
    with warnings.catch_warnings():
        # SciPy warns where values repeat and it has no exact p-value.
        warnings.simplefilter("ignore", RuntimeWarning)
        theirs = stats.ks_2samp(reference, current)
    assert found.statistic == pytest.approx(theirs.statistic, abs=1e-12)
    distance = abs(np.mean(np.array(reference) <= found.at) - np.mean(np.array(current) <= found.at))
    assert found.statistic == pytest.approx(distance, abs=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40))
def test_exact_p_values_are_those_of_scipy(seed, n, m):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal(n), rng.standard_normal(m) + rng.choice([0, 0.5, 2])
    found, theirs = drift.ks(x, y), stats.ks_2samp(x, y, method="exact")
    assert found.method == "exact" and found.p_value == pytest.approx(theirs.pvalue, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.05, 0.1, 0.5])
def test_asymptotic_p_values_are_those_of_kolmogorovs_law(shift):
    rng = np.random.default_rng(1)
    x, y = rng.random(3000), rng.random(2000) + shift
    found = drift.ks(x, y)
    law = stats.kstwobign.sf(found.statistic * math.sqrt(3000 * 2000 / 5000))
    assert found.method == "asymptotic" and found.p_value == pytest.approx(law, rel=1e-9, abs=1e-15)
    # SciPy's own asymptotic p-value has a correction for size: they differ by little.
    assert found.p_value == pytest.approx(stats.ks_2samp(x, y, method="asymp").pvalue, rel=0.1, abs=1e-12)


@pytest.mark.parametrize("x", [0.0, 0.1, 0.3, 0.8, 0.999, 1.0, 1.001, 1.5, 3.0, 8.0])
def test_kolmogorovs_law(x):
    assert pc._stats.kolmogorov(x) == pytest.approx(stats.kstwobign.sf(x), rel=1e-10, abs=1e-15)


@pytest.mark.parametrize("method", ["exact", "asymptotic"])
def test_p_values_of_equal_laws_are_no_smaller_than_chance(method):
    """400 tests at 10%: more than 40 + 5 standard errors (30) has probability 1e-6."""
    rng = np.random.default_rng(2)
    low = sum(drift.ks(rng.random(40), rng.random(30), method=method).p_value < 0.1 for _ in range(400))
    assert 5 < low < 70


def test_the_noise_of_psi_is_its_mean_when_nothing_moves():
    """Mean of 300 chi-squares with 9 degrees: relative error sqrt(2 / 9 / 300) = 2.7%; 5 of them, and bias."""
    rng = np.random.default_rng(3)
    found = [drift.psi(rng.random(2000), rng.random(1000)) for _ in range(300)]
    assert np.mean([one.value for one in found]) == pytest.approx(found[0].noise, rel=0.16)
    assert found[0].noise == pytest.approx(9 * (1 / 2000 + 1 / 1000))


def test_psi_sees_what_is_new_beyond_a_constant():
    for new in (3.0, 5.5):
        found = drift.psi([5.0] * 50, [5.0] * 25 + [new] * 25)
        assert found.value > 1 and found.noise == 0
    assert drift.psi([5.0] * 50, [5.0] * 20).value == 0


def test_psi_of_a_known_shift():
    """Two normals a standard deviation apart: the symmetric KL divergence is 1, and ten bins see most of it."""
    rng = np.random.default_rng(4)
    value = drift.psi(rng.standard_normal(50_000), rng.standard_normal(50_000) + 1).value
    assert 0.85 < value < 1


# --- windows ---------------------------------------------------------------------------------------


def slates(seed, weight, n=12):
    rng = np.random.default_rng(seed)
    candidates = pc.Candidates(np.arange(40), scores=rng.random(40), attributes={"pop": rng.random(40)})
    policy = pc.Policy(
        score=pc.Blend(pc.Signal(1.0, "none"), pop=pc.Signal(weight, "none")), explore=pc.EpsilonGreedy(0.5)
    )
    return pc.SlateBatch(
        [pc.rank(candidates, None, policy, k=10, seed=seed, request_id=f"{i}") for i in range(n)]
    )


def test_windows_in_every_form_say_the_same():
    before, after = slates(1, 0.5), slates(2, 0.9)
    report = drift.compare(before, after)
    assert [row.term for row in report] == ["score", "similarity", "pop"]
    assert report["pop"].reference_mean < report["pop"].current_mean and report["pop"].ks > 0.3
    forms = [
        (list(before), list(after)),
        ([s.record() for s in before], (s.record_json() for s in after)),
        (
            {"score": np.concatenate([s.scores for s in before]), **terms(before)},
            {"score": np.concatenate([s.scores for s in after]), **terms(after)},
        ),
    ]
    for one, other in forms:
        assert list(drift.compare(one, other)) == list(report)
    x, y = (np.concatenate([s.scores for s in batch]) for batch in (before, after))
    (alone,) = drift.compare(x, y)
    assert alone == report["score"] == report[0]
    assert (alone.psi, alone.ks) == (drift.psi(x, y).value, drift.ks(x, y).statistic)
    text = repr(report)
    assert all(row.term in text for row in report) and len(report[1:]) == 2
    with pytest.raises(KeyError, match="no term 'x'"):
        report["x"]


def terms(batch):
    return {name: np.concatenate([s.terms[name] for s in batch]) for name in batch[0].terms}


def test_windows_of_arrow(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    before, after = slates(1, 0.5), slates(2, 0.9)
    report = drift.compare(before, after)
    pq.write_table(after.to_arrow(), tmp_path / "after.parquet")
    assert list(drift.compare(before.to_arrow(), tmp_path / "after.parquet")) == list(report)
    assert report.to_arrow().to_pylist() == [vars(row) for row in report]
    other = drift.compare(pa.table({"age": [1.0, 2]}), pa.table({"age": [3.0]}))
    assert [row.term for row in other] == ["age"] and other[0].ks == 1


WRONG = {
    "empty": (lambda: drift.psi([], [1.0]), ValueError, "reference:", "at least one value"),
    "NaN": (lambda: drift.ks([1.0], [np.nan]), ValueError, "current:", "finite"),
    "bins": (lambda: drift.psi([1.0], [1.0], bins=1), ValueError, "bins:", "at least 2"),
    "epsilon": (lambda: drift.psi([1.0], [1.0], epsilon=0), ValueError, "epsilon:", "between 0 and 1"),
    "method": (lambda: drift.ks([1.0], [1.0], method="fast"), ValueError, "method:", "'exact'"),
    "terms": (lambda: drift.compare({"a": [1.0]}, {"b": [1.0]}), ValueError, "current:", "['a', 'b']"),
    "no slates": (lambda: drift.compare([], [1.0]), ValueError, "reference:", "at least one slate"),
    "number": (lambda: drift.compare(3, 3), TypeError, "reference:", "Slates"),
    "not slates": (lambda: drift.compare([3], [3]), TypeError, "reference[0]:", "a Slate"),
    "column": (lambda: drift.compare({"a": ["x"]}, {"a": [1.0]}), TypeError, "reference['a']:", "numbers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls_name_the_argument(case):
    call, kind, *parts = WRONG[case]
    with pytest.raises(kind) as caught:
        call()
    for part in parts:
        assert part in str(caught.value), str(caught.value)
