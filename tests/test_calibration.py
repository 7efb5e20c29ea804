"""Fixed calibrations and decays: against NumPy, through JSON, and independent of the pool."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perso_core as pc

finite = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))


def terms(values, signal):
    """The term of each item, by id."""
    ids = np.arange(len(values))
    catalog = pc.Catalog(spaces={"v": pc.Space(2)})
    catalog.upsert(ids, np.ones((len(values), 2)), attributes={"x": np.asarray(values, dtype=np.float64)})
    policy = pc.Policy(candidates=len(values), score=pc.Blend(similarity=None, x=signal))
    slate = pc.rank(catalog, None, policy, k=len(values))
    return dict(zip(slate.ids.tolist(), slate.terms["x"].tolist(), strict=True))


@given(st.lists(finite, min_size=1, max_size=12), finite, st.floats(0.01, 1e3), st.booleans())
def test_linear_and_sigmoid_are_their_formulas(values, origin, unit, turned):
    unit = -unit if turned else unit
    x = np.asarray(values)
    for calibration, expected in [
        (pc.Linear(origin, unit), (x - origin) / unit),
        (pc.Sigmoid(origin, unit), 1 / (1 + np.exp(np.clip(-(x - origin) / unit, -700, 700)))),
    ]:
        got = terms(values, pc.Signal(1.0, normalize=calibration))
        np.testing.assert_allclose([got[i] for i in range(len(x))], expected, rtol=1e-12, atol=1e-300)


@given(st.lists(finite, min_size=2, max_size=9, unique=True), st.lists(finite, min_size=1, max_size=12))
def test_percentiles_interpolate_as_numpy_does(table, values):
    table = sorted(table)
    got = terms(values, pc.Signal(1.0, normalize=pc.Percentiles(table)))
    expected = np.interp(values, table, np.linspace(0, 1, len(table)))
    np.testing.assert_allclose([got[i] for i in range(len(values))], expected, atol=1e-9)


def test_a_term_does_not_depend_on_who_else_is_there():
    for calibration in (pc.Linear(3, 2), pc.Sigmoid(3, 2), pc.Percentiles([0, 1, 1, 9])):
        signal = pc.Signal(0.7, normalize=calibration)
        alone, among = terms([4.0], signal), terms([4.0, -50.0, 8.0, 1e5], signal)
        assert alone[0] == among[0]
    assert terms([4.0], pc.Signal(0.7))[0] != terms([4.0, -50.0], pc.Signal(0.7))[0]


def test_a_table_of_a_sample():
    sample = np.random.default_rng(1).pareto(2.0, 5000)
    table = pc.Percentiles.of(np.append(sample, np.nan), count=11)
    np.testing.assert_allclose(table.values, np.quantile(sample, np.linspace(0, 1, 11)))
    got = terms(sample[:200], pc.Signal(1.0, normalize=pc.Percentiles.of(sample, count=1001)))
    below = [(sample < x).mean() for x in sample[:200]]
    np.testing.assert_allclose([got[i] for i in range(200)], below, atol=2e-3)


@pytest.mark.parametrize(
    "calibration", [pc.Linear(0.5, -3), pc.Sigmoid(1e-3, 7.25), pc.Percentiles((0.0, 0.1, 0.1, 4.5))]
)
def test_json_round_trip(calibration):
    blend = pc.Blend(
        pc.Signal(1, normalize=calibration),
        normalize=calibration,
        a=0.25,
        b=pc.Decay("t", "3d", normalize=calibration, shape="gauss"),
        c=pc.Signal(2, normalize="rank"),
    )
    policy = pc.Policy(score=blend)
    again = pc.Policy.from_json(policy.to_json())
    assert again == policy and again.hash == policy.hash and again.score == blend
    assert pc.Blend.from_json(blend.to_json()) == blend
    signal = pc.Signal(2, normalize=calibration)
    assert pc.Signal.from_json(signal.to_json()) == signal
    assert eval(repr(blend), vars(pc)) == blend


def test_what_was_there_before_keeps_its_document():
    assert "shape" not in pc.Policy(score=pc.Blend(a=pc.Decay("t", "3d"))).to_json()
    assert "shape" not in pc.Decay("t", "3d", shape="exponential").to_json()
    hashes = {pc.Policy(score=pc.Blend(a=pc.Decay("t", "3d", shape=s))).hash for s in ("linear", "gauss")}
    assert len(hashes) == 2


def test_decays_by_shape():
    day = np.timedelta64(1, "D")
    at = np.datetime64("2026-11-20T00:00")
    catalog = pc.Catalog(spaces={"v": pc.Space(2)})
    catalog.upsert(range(5), np.ones((5, 2)), attributes={"t": at - np.array([0, 2, 4, 6, -3]) * day})
    for shape, expected in [
        ("exponential", [1, 0.5, 0.25, 0.125, 1]),
        ("linear", [1, 0.5, 0, 0, 1]),
        ("gauss", [1, 0.5, 2.0**-4, 2.0**-9, 1]),
    ]:
        decay = pc.Decay("t", "2d", normalize="none", shape=shape)
        slate = pc.rank(catalog, None, pc.Policy(score=pc.Blend(None, fresh=decay)), k=5, at=at)
        assert dict(zip(slate.ids.tolist(), slate.terms["fresh"].tolist(), strict=True)) == dict(
            enumerate(expected)
        )
        assert pc.replay(slate.record(), catalog) == slate


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: pc.Linear(0, 0), ValueError, "Linear.unit: expected a finite number other than 0"),
        (lambda: pc.Linear(float("nan"), 1), ValueError, "Linear.origin"),
        (lambda: pc.Sigmoid("a", 1), TypeError, "Sigmoid.origin"),
        (lambda: pc.Sigmoid(0, float("inf")), ValueError, "Sigmoid.unit"),
        (lambda: pc.Percentiles([1]), ValueError, "Percentiles.values"),
        (lambda: pc.Percentiles([1, 1]), ValueError, "not all the same"),
        (lambda: pc.Percentiles([2, 1]), ValueError, "ascending"),
        (lambda: pc.Percentiles("12"), TypeError, "Percentiles.values"),
        (lambda: pc.Percentiles.of([1.0, np.inf]), ValueError, "sample"),
        (lambda: pc.Percentiles.of([1.0, 2.0], count=1), ValueError, "count"),
        (lambda: pc.Signal(1, normalize=3), TypeError, "normalize"),
        (lambda: pc.Signal(1, normalize="max"), ValueError, "normalize"),
        (lambda: pc.Decay("t", "3d", shape="cubic"), ValueError, "shape"),
        (
            lambda: pc.Policy.from_json(pc.Policy().to_json().replace('"minmax"', '{"cubic":{}}')),
            ValueError,
            "cubic",
        ),
        (
            lambda: pc.Policy.from_json(
                pc.Policy().to_json().replace('"minmax"', '{"linear":{"origin":0,"unit":0}}')
            ),
            ValueError,
            "unit",
        ),
    ],
)
def test_wrong_ones_are_refused_by_name(make, error, words):
    with pytest.raises(error, match=words):
        make()
