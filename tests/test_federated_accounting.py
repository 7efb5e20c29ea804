"""Epsilon against Balle and Wang's formula, numerical integration, and figures of the literature."""

from __future__ import annotations

import doctest
import importlib
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

import perso_core as pc

fed = pc.federated


@pytest.fixture(scope="module", autouse=True)
def _library():
    pytest.importorskip(
        "dp_accounting", reason="dp-accounting is not installed: pip install 'perso_core[federated]'"
    )


def gaussian_epsilon(z, delta):
    """Balle and Wang 2018, Theorem 8: delta(eps) = Phi(1/2z - eps z) - e^eps Phi(-1/2z - eps z), turned round."""

    def log_gap(eps):
        a = stats.norm.logcdf(0.5 / z - eps * z)
        b = eps + stats.norm.logcdf(-0.5 / z - eps * z)
        # Far out the two agree to the last bit: delta is 0 there as far as doubles go.
        return (a + math.log1p(-math.exp(b - a)) if b < a else -1e6) - math.log(delta)

    if log_gap(1e-9) < 0:
        return 0.0
    high = 1.0
    while log_gap(high) > 0:
        high *= 2
    return optimize.brentq(log_gap, 1e-9, high, xtol=1e-13)


@given(z=st.floats(0.3, 30), rounds=st.integers(1, 500), exponent=st.floats(-9, -2))
@settings(max_examples=40)
def test_rounds_of_everybody_cost_what_the_analytic_formula_says(z, rounds, exponent):
    delta = 10**exponent
    expected = gaussian_epsilon(z / math.sqrt(rounds), delta)
    for adjacency in ("add_or_remove", "replace_one"):
        found = fed.epsilon(z, rounds=rounds, delta=delta, adjacency=adjacency)
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


def sampled_delta(z, q, eps):
    """delta(eps) of one round of the sampled Gaussian, the worse direction, by quadrature."""

    def p(x):
        return (1 - q) * stats.norm.pdf(x, 0, z) + q * stats.norm.pdf(x, 1, z)

    def base(x):
        return stats.norm.pdf(x, 0, z)

    grid = np.linspace(-12 * z, 12 * z + 1, 400_001)
    return max(
        integrate.trapezoid(np.maximum(f(grid) - math.exp(eps) * g(grid), 0), grid)
        for f, g in ((p, base), (base, p))
    )


@pytest.mark.parametrize(("z", "q"), [(0.8, 0.1), (1.0, 0.01), (2.0, 0.5), (1.2, 0.999)])
def test_one_sampled_round_against_an_integral(z, q):
    eps = fed.epsilon(z, rounds=1, delta=1e-5, sampling_rate=q)
    # The bound is on the safe side, and not by much.
    assert sampled_delta(z, q, eps) <= 1e-5 * (1 + 1e-3)
    assert sampled_delta(z, q, eps - 0.01) > 1e-5


def test_many_sampled_rounds_against_a_figure_of_the_literature():
    """Abadi et al. 2016, section 3.2 (Figure 2): q = 0.01, sigma = 4, delta = 1e-5, 10,000 steps: the moments accountant has
    epsilon 1.26, and later accountants only less.
    """
    found = fed.epsilon(4.0, rounds=10_000, delta=1e-5, sampling_rate=0.01)
    assert 0.9 < found < 1.26


def test_sampling_helps_and_rounds_cost():
    def cost(z=1.0, rounds=20, q=0.1):
        return fed.epsilon(z, rounds=rounds, delta=1e-5, sampling_rate=q)

    assert cost() < cost(q=0.5) < cost(q=1.0)
    assert cost(rounds=5) < cost() < cost(rounds=40)
    assert cost(z=2.0) < cost() < cost(z=0.8)
    # Nearly everybody is nearly everybody.
    assert cost(q=0.999) == pytest.approx(cost(q=1.0), rel=0.02)


def test_rounds_of_several_kinds_add_up():
    spent = fed.Accountant()
    assert spent.epsilon(1e-5) == 0.0
    spent.add(1.0, rounds=3, sampling_rate=0.1)
    spent.add(3.0)
    spent.add(1.0, rounds=4, sampling_rate=0.1)
    both = spent.epsilon(1e-5)
    assert spent.rounds == 8 and repr(spent) == "<Accountant of 8 rounds, add_or_remove>"
    alone = [
        fed.epsilon(1.0, rounds=7, delta=1e-5, sampling_rate=0.1),
        fed.epsilon(3.0, rounds=1, delta=1e-5),
    ]
    assert max(alone) < both < sum(alone)
    spent.add(0.0)
    assert spent.epsilon(1e-5) == math.inf


def test_hopeless_noise_has_a_finite_bound_all_the_same():
    found = fed.epsilon(0.05, rounds=50, delta=1e-5, sampling_rate=0.5)
    assert 50 < found < math.inf


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("rate", [0.2, 1.0])
def test_noise_for_an_epsilon_is_enough_and_not_too_much(epsilon, rate):
    z = fed.noise_multiplier(epsilon, rounds=30, delta=1e-5, sampling_rate=rate)
    how = {"rounds": 30, "delta": 1e-5, "sampling_rate": rate}
    assert fed.epsilon(z, **how) <= epsilon < fed.epsilon(z * 0.995, **how)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise_multiplier": -1.0}, "noise_multiplier: expected a number from 0"),
        ({"rounds": 0}, "rounds: expected an integer"),
        ({"delta": 0.0}, "delta: expected a number above 0 and below 1"),
        ({"delta": 1.0}, "delta: expected a number above 0 and below 1"),
        ({"sampling_rate": 0.0}, "sampling_rate: expected above 0"),
        ({"sampling_rate": 1.5}, "sampling_rate: expected a number from 0 to 1"),
        ({"sampling_rate": 0.5, "adjacency": "replace_one"}, "sampling_rate: expected 1 under adjacency"),
        ({"adjacency": "other"}, "adjacency: expected one of"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    call = {"noise_multiplier": 1.0, "rounds": 1, "delta": 1e-5, **arguments}
    with pytest.raises((TypeError, ValueError), match=message):
        fed.epsilon(**call)


def test_an_epsilon_out_of_reach_is_refused():
    for epsilon in (0.0, -1.0, 51.0):
        with pytest.raises(ValueError, match="epsilon: expected a number from 0.01 to 50"):
            fed.noise_multiplier(epsilon, rounds=1, delta=1e-5)


def test_without_the_library_the_error_says_what_to_install():
    script = (
        "import sys; sys.modules['dp_accounting'] = None\n"
        "import numpy as np, perso_core as pc\n"
        "pc.federated.Mechanism(1.0, 1.0, 1.0).aggregate(np.zeros(2), {})\n"
        "try: pc.federated.epsilon(1.0, rounds=1, delta=1e-5)\n"
        "except ImportError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "accounting for epsilon needs dp-accounting:  pip install 'perso_core[federated]'\n"


@pytest.mark.parametrize("name", ["_accounting", "_clients", "_deltas", "_mechanism"])
def test_the_examples_of_the_docstrings_print_what_they_say(name):
    failed, tried = doctest.testmod(importlib.import_module(f"perso_core.federated.{name}"))
    assert failed == 0 and tried > 0
