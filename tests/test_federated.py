"""Federated averaging: what one client can do, to the bit; what comes out, against NumPy; the noise, by its moments."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import perso_core as pc
from perso_core.federated import _deltas, _noise

fed = pc.federated
NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)
WILD = st.floats(allow_nan=False, allow_infinity=False)


def plain(deltas, weights, clip, denominator=None):
    """FedAvg in float64: the oracle, without grid, noise or exact sums."""
    total, mass = 0.0, 0.0
    for client, delta in deltas.items():
        x, w = np.asarray(delta, dtype=np.float64), weights[client]
        length = np.linalg.norm(x)
        total = total + w * x * min(1.0, clip / length if length else 1.0)
        mass += w
    return total / (mass if denominator is None else denominator)


# --- the mean --------------------------------------------------------------------------------------


@given(
    deltas=st.dictionaries(st.integers(0, 99), hnp.arrays(np.float64, (3, 2), elements=NUMBERS), min_size=1),
    clip=st.floats(0.1, 1e4),
    data=st.data(),
)
def test_without_noise_it_is_federated_averaging(deltas, clip, data):
    weights = {client: data.draw(st.floats(0, 3)) for client in deltas}
    assume(sum(weights.values()) > 0.01)
    mechanism = fed.Mechanism(clip, 0, max_weight=2.0)
    update = mechanism.aggregate(np.zeros((3, 2)), deltas, weights)
    bounded = {client: min(w, 2.0) for client, w in weights.items()}
    step = _noise.step(clip * 2.0, 0.0)
    # Each client loses less than a step in each component.
    tolerance = len(deltas) * step / sum(bounded.values()) + 1e-9 * clip
    np.testing.assert_allclose(update.delta, plain(deltas, bounded, clip), rtol=0, atol=tolerance)
    assert update.clients == len(deltas) and update.deviation == 0 and update.seed is None
    assert update.weight == pytest.approx(sum(bounded.values()))


def test_a_fixed_denominator_does_not_follow_who_came():
    mechanism = fed.Mechanism(10.0, 0, denominator=4.0)
    assert mechanism.aggregate([0.0], {1: [2.0], 2: [6.0]}).delta == pytest.approx([2.0])
    assert mechanism.aggregate([0.0], {1: [2.0]}).delta == pytest.approx([0.5])
    assert mechanism.aggregate([0.0], {}).delta.tolist() == [0.0]


def test_several_arrays_are_clipped_together():
    update = fed.Mechanism(1.0, 0, denominator=1.0).aggregate(
        {"b": np.zeros(2), "a": np.zeros((1, 1))}, {"one": {"a": [[3.0]], "b": [4.0, 0.0]}}
    )
    assert update.clipped == 1 and list(update.delta) == ["a", "b"]
    np.testing.assert_allclose(update.delta["a"], [[0.6]], atol=1e-9)
    np.testing.assert_allclose(update.delta["b"], [0.8, 0.0], atol=1e-9)


@given(
    rows=st.lists(st.integers(0, 5), unique=True),
    data=st.data(),
)
def test_sparse_rows_count_as_the_matrix_they_stand_for(rows, data):
    values = data.draw(hnp.arrays(np.float64, (len(rows), 2), elements=NUMBERS))
    sparse = fed.SparseRows(rows, values, (6, 2))
    mechanism = fed.Mechanism(100.0, 0.5, denominator=2.0)
    like, other = np.zeros((6, 2)), np.ones((6, 2))
    one = mechanism.aggregate(like, {1: sparse, 2: other}, seed=3)
    two = mechanism.aggregate(like, {1: sparse.to_dense(), 2: other}, seed=3)
    assert one.delta.tobytes() == two.delta.tobytes()
    # All rows have noise, not those that somebody touched.
    assert np.all(fed.Mechanism(1.0, 1.0, 1.0).aggregate(like, {1: sparse}).delta != 0)


@given(
    deltas=st.lists(hnp.arrays(np.float64, 4, elements=NUMBERS), min_size=2, max_size=8),
    order=st.randoms(use_true_random=False),
    noise=st.sampled_from([0.0, 0.7]),
)
def test_neither_the_order_nor_the_names_of_clients_move_a_bit(deltas, order, noise):
    mechanism = fed.Mechanism(1e3, noise, denominator=3.0)
    weights = [0.1 + i / 7 for i in range(len(deltas))]
    places = list(range(len(deltas)))
    first = mechanism.aggregate(np.zeros(4), dict(enumerate(deltas)), dict(enumerate(weights)), seed=1)
    order.shuffle(places)
    second = mechanism.aggregate(
        np.zeros(4), {f"c{i}": deltas[i] for i in places}, {f"c{i}": weights[i] for i in places}, seed=1
    )
    assert first.delta.tobytes() == second.delta.tobytes()
    assert first.weight == second.weight


# --- what one client can do ------------------------------------------------------------------------


@given(
    delta=hnp.arrays(np.float64, hnp.array_shapes(max_dims=2, max_side=6), elements=WILD),
    clip=st.floats(1e-3, 1e3),
    weight=st.floats(0, 5),
    noise=st.sampled_from([0.0, 0.001, 1.0, 30.0]),
)
def test_what_a_client_adds_is_within_the_bound_exactly(delta, clip, weight, noise):
    """In integers, so that no rounding of the check hides one of the code."""
    step = _noise.step(clip * 5.0, noise * clip * 5.0)
    shapes = {"": delta.shape}
    read = _deltas.parts("delta", delta, shapes)
    [(_, steps)], _ = _deltas.on_grid(read, clip, weight, step, shapes)
    squares = sum(int(n) ** 2 for n in steps.ravel())
    assert squares <= (Fraction(clip) * Fraction(weight) / Fraction(step)) ** 2


@given(
    others=st.lists(hnp.arrays(np.float64, 3, elements=NUMBERS), min_size=1, max_size=5),
    hostile=hnp.arrays(np.float64, 3, elements=WILD),
    replaced=hnp.arrays(np.float64, 3, elements=WILD),
    weight=st.floats(0, 1e300),
)
def test_one_client_moves_the_sum_by_no_more_than_the_sensitivity(others, hostile, replaced, weight):
    deltas = dict(enumerate(others))
    weights = dict.fromkeys(deltas, 1.0)
    for adjacency, without in (("add_or_remove", deltas), ("replace_one", {**deltas, "x": replaced})):
        # With a denominator of 1 the mean is the sum.
        mechanism = fed.Mechanism(2.0, 0, denominator=1.0, max_weight=1.5, adjacency=adjacency)
        before = mechanism.aggregate(np.zeros(3), without, {**weights, **dict.fromkeys(without, 1.0)})
        after = mechanism.aggregate(np.zeros(3), {**deltas, "x": hostile}, {**weights, "x": weight})
        exact = [Fraction(float(a)) - Fraction(float(b)) for a, b in zip(after.delta, before.delta)]
        assert sum(d * d for d in exact) <= Fraction(mechanism.sensitivity) ** 2
    assert mechanism.sensitivity == 2 * 2.0 * 1.5


def test_the_sensitivity_is_reached():
    """The bound is no larger than it has to be, so that noise is not added for nothing."""
    mechanism = fed.Mechanism(2.0, 0, denominator=1.0, max_weight=1.5, adjacency="replace_one")
    at = [mechanism.aggregate([0.0], {1: [x]}, {1: 9.0}).delta[0] for x in (-1e9, 1e9)]
    assert at[1] - at[0] == pytest.approx(mechanism.sensitivity, rel=1e-9)


@given(delta=hnp.arrays(np.float64, 5, elements=WILD), bound=st.floats(1e-3, 1e3))
def test_clip_bounds_the_norm_and_keeps_the_direction(delta, bound):
    clipped = fed.clip(delta, bound)
    assert sum(Fraction(x) ** 2 for x in clipped.tolist()) <= Fraction(bound) ** 2
    largest = np.abs(delta).max()
    if largest:
        # Both scaled to 1, the larger of them without overflow.
        np.testing.assert_allclose(
            clipped / np.abs(clipped).max() if np.abs(clipped).max() else clipped,
            delta / largest if np.abs(clipped).max() else clipped,
            atol=1e-9,
        )
    if fed.norm(delta) < bound * (1 - 1e-6):
        assert clipped.tobytes() == delta.tobytes()


def test_clip_gives_back_the_form_it_got():
    sparse = fed.clip(fed.SparseRows([1], [[3.0, 4.0]], (3, 2)), 1.0)
    assert isinstance(sparse, fed.SparseRows) and sparse.rows.tolist() == [1]
    assert fed.norm(sparse) == pytest.approx(1.0)
    named = fed.clip({"a": [3.0], "b": sparse}, 1.0)
    assert isinstance(named["b"], fed.SparseRows) and fed.norm(named) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("delta", "message"),
    [
        ([1.0, math.nan], r"deltas\['c7'\]: expected finite numbers, got nan at position \(1,\)"),
        ([1.0, -math.inf], r"deltas\['c7'\]: expected finite numbers, got -inf at position \(1,\)"),
        ([1.0], r"deltas\['c7'\]: expected shape \(2,\), got shape \(1,\)"),
        ([[1.0, 2.0]], r"deltas\['c7'\]: expected shape \(2,\)"),
        (["a", "b"], r"deltas\['c7'\]: expected an array of numbers"),
        ([True, False], r"deltas\['c7'\]: expected an array of numbers"),
        ([1j, 2.0], r"deltas\['c7'\]: expected an array of numbers"),
        ({"w": [1.0, 2.0]}, r"deltas\['c7'\]: expected an array, got names \['w'\]"),
        ([[1.0], [1.0, 2.0]], r"deltas\['c7'\]: expected a rectangular array"),
        (None, r"deltas\['c7'\]: expected an array of numbers"),
    ],
)
def test_a_hostile_delta_is_refused_and_its_client_named(delta, message):
    mechanism = fed.Mechanism(1.0, 0, denominator=1.0)
    deltas = {"c1": [0.5, 0.0], "c7": delta}
    with pytest.raises((TypeError, ValueError), match=message):
        mechanism.aggregate([0.0, 0.0], deltas)
    update = mechanism.aggregate([0.0, 0.0], deltas, bad="drop")
    assert update.delta == pytest.approx([0.5, 0.0]) and update.clients == 1
    assert list(update.refused) == ["c7"] and "c7" in update.refused["c7"]


def test_names_of_arrays_are_checked_too():
    mechanism, like = fed.Mechanism(1.0, 0, denominator=1.0), {"a": np.zeros(2)}
    for delta in ({"b": [1.0, 1.0]}, {"a": [1.0, 1.0], "b": [1.0]}, {}, [1.0, 1.0], {1: [1.0, 1.0]}):
        with pytest.raises((TypeError, ValueError), match=r"deltas\[3\]"):
            mechanism.aggregate(like, {3: delta})
    with pytest.raises(ValueError, match=r"deltas\[3\]\['a'\]: expected shape \(2,\), got shape \(2, 1\)"):
        mechanism.aggregate(like, {3: {"a": fed.SparseRows([0], [[1.0]], (2, 1))}})


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf, "1", True, None])
def test_a_hostile_weight_is_refused_and_its_client_named(weight):
    mechanism = fed.Mechanism(1.0, 0, denominator=1.0)
    with pytest.raises((TypeError, ValueError), match=r"weights\['c7'\]: expected a"):
        mechanism.aggregate([0.0], {"c1": [1.0], "c7": [1.0]}, {"c1": 1.0, "c7": weight})
    update = mechanism.aggregate([0.0], {"c1": [1.0], "c7": [1.0]}, {"c1": 1.0, "c7": weight}, bad="drop")
    assert list(update.refused) == ["c7"] and update.weight == 1.0


def test_too_few_clients_are_no_round():
    mechanism = fed.Mechanism(1.0, 0, min_clients=2)
    with pytest.raises(fed.TooFewClients, match="deltas: expected at least 2 clients, got 1, with 1 refused"):
        mechanism.aggregate([0.0], {1: [1.0], 2: [math.nan]}, bad="drop")
    assert mechanism.aggregate([0.0], {1: [1.0], 2: [0.0]}).clients == 2
    assert issubclass(fed.TooFewClients, ValueError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clip": 0.0, "noise_multiplier": 0}, "clip: expected a number from"),
        ({"clip": math.nan, "noise_multiplier": 0}, "clip: expected a finite number"),
        ({"clip": 1.0, "noise_multiplier": -1}, "noise_multiplier: expected 0, or"),
        ({"clip": 1.0, "noise_multiplier": 1e-9}, "noise_multiplier: expected 0, or"),
        ({"clip": 1.0, "noise_multiplier": 1.0}, "denominator: expected a number that does not depend"),
        ({"clip": 1.0, "noise_multiplier": 0, "denominator": -1.0}, "denominator: expected"),
        ({"clip": 1.0, "noise_multiplier": 0, "max_weight": 0}, "max_weight: expected"),
        ({"clip": 1.0, "noise_multiplier": 0, "min_clients": -1}, "min_clients: expected"),
        ({"clip": 1.0, "noise_multiplier": 0, "adjacency": "swap"}, "adjacency: expected one of"),
    ],
)
def test_a_mechanism_checks_itself(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fed.Mechanism(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0], [[1.0]]), "deltas: expected a mapping"),
        (([0.0], {1: [1.0]}, [1.0]), "weights: expected a mapping"),
        (([0.0], {1: [1.0]}, {}), "weights: expected a weight for each client, got none for 1"),
        (([0.0], {1: [1.0]}, {1: 1.0, 2: 1.0}), "weights: expected weights of clients that sent"),
        (([0.0], {1: [1.0]}, {1: 0.0}), "weights: expected one above 0"),
        (({}, {1: [1.0]}), "like: expected at least one array"),
    ],
)
def test_a_round_checks_its_arguments(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fed.Mechanism(1.0, 0).aggregate(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 0], [[1.0], [1.0]], (2, 1)), "rows: expected each row once, got row 0 twice"),
        (([2], [[1.0]], (2, 1)), "rows: expected rows from 0 to 1, got 2"),
        (([-1], [[1.0]], (2, 1)), "rows: expected rows from 0 to 1, got -1"),
        (([0.0], [[1.0]], (2, 1)), "rows: expected .* whole numbers"),
        (([0], [[1.0, 2.0]], (2, 1)), r"values: expected shape \(1, 1\)"),
        (([0], [[math.nan]], (2, 1)), "values: expected finite numbers"),
        (([0], [[1.0]], 2), r"shape: expected \(n, dim\)"),
        (([0], [[1.0]], (0, 1)), "shape: expected an integer of at least 1"),
    ],
)
def test_sparse_rows_check_themselves(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fed.SparseRows(*arguments)


# --- the noise -------------------------------------------------------------------------------------


def test_deviates_are_the_inverse_of_the_distribution_function():
    """Against the standard library's, over the body and far into both tails."""
    tails = np.concatenate([np.linspace(1e-4, 0.5, 5001), np.logspace(-38, -4, 500)])
    ours = _noise._distance(tails)
    theirs = np.array([-statistics.NormalDist().inv_cdf(t) for t in tails.tolist()])
    np.testing.assert_allclose(ours, theirs, rtol=2e-15, atol=1e-16)
    np.testing.assert_allclose(_noise._log(tails), [math.log(t) for t in tails.tolist()], rtol=4e-16)


def test_extreme_words_give_finite_deviates_of_both_signs():
    top = 2**64 - 1
    words = np.array([0, 0, 1, 0, top, top, top - 1, top], np.uint64)
    found = _noise._standard(words)
    assert np.isfinite(found).all() and abs(found[2:]).max() == 0.0
    assert 13 < found[0] < 13.5 and found[1] == -found[0]


def test_noise_has_the_stated_law():
    """Mean, variance, kurtosis and the Kolmogorov distance of 200,000 components, with deviation 0.6 each.

    Each of the four is off by chance with probability 1e-6 at most, so the test with 4e-6; a seed makes it repeat.
    A noise of z instead of z * sensitivity, or one divided twice, is off by half or more.
    """
    n, limit = 200_000, 4.892  # the two-sided normal quantile of 1e-6
    mechanism = fed.Mechanism(2.0, 0.5, denominator=5.0, max_weight=1.5, adjacency="replace_one")
    update = mechanism.aggregate(np.zeros(n), {1: np.zeros(n)}, seed=11, round=4)
    assert update.deviation == 0.5 * (2 * 2.0 * 1.5) / 5.0 and update.seed == 11
    x = update.delta / update.deviation
    assert abs(x.mean()) < limit / math.sqrt(n)
    assert abs((x**2).mean() - 1) < limit * math.sqrt(2 / n)
    assert abs((x**4).mean() - 3) < limit * math.sqrt(96 / n)
    below = np.sort([0.5 * math.erfc(-v / math.sqrt(2)) for v in x.tolist()])
    grid = np.arange(n + 1) / n
    distance = max(np.max(grid[1:] - below), np.max(below - grid[:-1]))
    # Massart's bound: P(distance > t) <= 2 exp(-2 n t^2).
    assert distance < math.sqrt(math.log(2 / 1e-6) / (2 * n))


def test_noise_is_on_the_grid_and_neighbours_are_independent():
    n = 100_000
    mechanism = fed.Mechanism(1.0, 1.0, denominator=1.0)
    x = mechanism.aggregate(np.zeros(n), {}, seed=5).delta
    steps = x / _noise.step(1.0, 1.0)
    assert (steps == np.rint(steps)).all() and np.abs(steps).max() < 2**53
    assert 2**24 <= 1.0 / _noise.step(1.0, 1.0) <= 2**25
    # Odd steps are as likely as even ones, and x as likely to follow y as -y: five standard errors, 6e-7 each.
    assert abs((steps % 2).mean() - 0.5) < 5 * 0.5 / math.sqrt(n)
    assert abs((x[1:] * x[:-1]).mean()) < 5 / math.sqrt(n)


def test_noise_follows_seed_and_round_and_nothing_else():
    mechanism, like = fed.Mechanism(1.0, 1.0, denominator=1.0), np.zeros((2, 3))

    def noise(**how):
        return mechanism.aggregate(like, {}, **how).delta.ravel().tolist()

    assert noise(seed=1) == noise(seed=1, round=0)
    different = [noise(seed=1), noise(seed=2), noise(seed=1, round=1), noise(), noise()]
    assert len({tuple(one) for one in different}) == 5
    # The bits are a promise: the same on every machine.
    assert [x.hex() for x in noise(seed=1)[:2]] == ["-0x1.87f31e0000000p+0", "-0x1.9dcd030000000p+0"]


def test_noise_of_the_system_is_no_repeated_noise_and_has_the_size():
    mechanism = fed.Mechanism(1.0, 2.0, denominator=10.0)
    update = mechanism.aggregate(np.zeros(20_000), {})
    assert update.seed is None and update.deviation == 0.2
    # Six standard errors of a standard deviation: less than once in 1e8 runs.
    assert abs(update.delta.std() / 0.2 - 1) < 6 / math.sqrt(2 * 20_000)


# --- who takes part --------------------------------------------------------------------------------


def test_each_client_has_its_own_coin():
    ids = list(range(20_000))
    for seed in (None, 3):
        chosen = fed.sample(ids, 0.2, seed=seed)
        assert chosen == sorted(chosen)
        # Six standard errors: 2e-9.
        assert abs(len(chosen) - 4000) < 6 * math.sqrt(20_000 * 0.2 * 0.8)
    some = set(fed.sample(ids, 0.2, seed=3))
    assert some == set(fed.sample(ids[::-1], 0.2, seed=3)) != set(fed.sample(ids, 0.2, seed=3, round=1))
    # Who else could have come changes nobody's coin.
    assert set(fed.sample(ids[:100], 0.2, seed=3)) == some & set(ids[:100])
    assert fed.sample(ids, 1.0) == ids and fed.sample(ids, 0.0) == [] and fed.sample([], 0.5) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 1], 0.5), "clients: expected each client once, got 1 twice"),
        (([1.5], 0.5), "clients: expected"),
        (([1], 1.5), "rate: expected a number from 0 to 1"),
    ],
)
def test_sample_checks_its_arguments(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fed.sample(*arguments)


def test_the_prior_of_a_population_is_learned_from_profiles():
    plan = pc.ProfilePlan("cf", {"click": 1.0}, prior_strength=1.0, short_weight=0.0)
    at, prior = "2026-11-26T12:00:00Z", np.array([1.0, 0.0], np.float32)
    deltas = {}
    for user in range(3):
        profile = pc.Profile(plan, 2, prior=prior)
        profile.observe([0.0, 1.0], "click", at=at)
        deltas[user] = fed.profile_delta(profile, prior, at)
    assert deltas[0].dtype == np.float64 and deltas[0].tolist() == [-0.5, 0.5]
    learned = prior + fed.Mechanism(5.0, 0).aggregate(prior, deltas).delta
    np.testing.assert_allclose(learned, [0.5, 0.5], atol=1e-9)
    assert fed.profile_delta(pc.Profile(plan, 2), [1.0, 2.0], at).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match=r"reference: expected shape \(2,\), got shape \(3,\)"):
        fed.profile_delta(pc.Profile(plan, 2), [1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="profile: expected a Profile"):
        fed.profile_delta([1.0], [1.0])
