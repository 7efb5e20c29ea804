"""The few distribution functions that tests of significance need, without SciPy."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact p-value of a fair coin; 1 without any throw."""
    n, few = wins + losses, min(wins, losses)
    if n == 0:
        return 1.0
    # log C(n, i) up to the smaller count, by the ratio of neighbours.
    i = np.arange(1, few + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log((n - i + 1) / i))]) - n * math.log(2)
    return float(min(1.0, 2 * np.exp(logs).sum()))


def student_t(t: float, freedom: float) -> float:
    """Two-sided p-value of Student's t: I_x(freedom / 2, 1 / 2) at x = freedom / (freedom + t^2)."""
    if math.isinf(t):
        return 0.0
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def student_quantile(confidence: float, freedom: float) -> float:
    """The t within which Student's law lies, from -t to t, with this probability: `student_t` turned round."""
    low, high = 0.0, 1.0
    while student_t(high, freedom) > 1 - confidence:
        low, high = high, 2 * high
    # 60 halvings leave no digit of a double.
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_t(middle, freedom) > 1 - confidence else (low, middle)
    return high


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function by its continued fraction (DLMF 8.17.22), after Lentz."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    tiny = 1e-300
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1), tiny)
    value = d
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away(1 + term * d, tiny)
            c = _away(1 + term / c, tiny)
            step = c * d
            value *= step
        if abs(step - 1) < 1e-15:
            break
    return front * value / a


def _away(x: float, tiny: float) -> float:
    return x if abs(x) > tiny else tiny


def kolmogorov(x: float) -> float:
    """P(K > x) of Kolmogorov's law, 2 sum (-1)^(j-1) exp(-2 j^2 x^2), or its dual where that is slow."""
    if x <= 0:
        return 1.0
    if x < 1:
        odd = np.arange(1, 40, 2)
        return float(1 - math.sqrt(2 * math.pi) / x * np.exp(-(odd**2) * math.pi**2 / (8 * x * x)).sum())
    j = np.arange(1, 30)
    return float(np.clip(2 * ((-1.0) ** (j - 1) * np.exp(-2 * (j * x) ** 2)).sum(), 0, 1))


def smirnov_exact(statistic: float, n: int, m: int) -> float:
    """P(D >= statistic) of two samples of n and m from one continuous law, by counting lattice paths (Hodges
    1957).

    A path's step right or up is the next value of the first or second sample; those that stay strictly within
    the band |i / n - j / m| < statistic are counted row by row, as a share of all so that nothing overflows.
    """
    if statistic <= 0:
        return 1.0
    # In whole numbers, because the band's edge decides: |i m - j n| < bound.
    bound = math.ceil(statistic * n * m - 1e-6)
    j = np.arange(m + 1)
    # share[j]: of the paths to (i, j), those that never left the band.
    share: NDArray[np.float64] = np.cumprod(j * n < bound, dtype=np.float64)
    for i in range(1, n + 1):
        inside = np.flatnonzero(np.abs(i * m - j * n) < bound)
        row = np.zeros_like(share)
        last = 0.0
        for k in inside.tolist():
            last = (i * float(share[k]) + k * last) / (i + k)
            row[k] = last
        share = row
    return float(np.clip(1 - share[m], 0, 1))
