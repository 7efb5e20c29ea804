"""Gaussian noise on a grid of integers, for sums that are integers on the same grid.

What is added up is rounded to multiples of a step first (`_deltas.on_grid`), so the sum is exact, whatever the order. A
normal deviate, rounded to the same step, is added as an integer: round(sum + X) = sum + round(X) for a sum on the grid, so
what comes out is the Gaussian mechanism with something done to it afterwards, which costs no privacy. A sum in floating
point would be another matter: which floats it can reach depends on the sum, and gives it away (Mironov 2012, *On
significance of the least significant bits for differential privacy*). Here every sum reaches every grid point.

What is left of that is how well X is a normal deviate. It is the inverse distribution function (Wichura 1988, Algorithm
AS241, PPND16, relative error about 1e-16) of a uniform number with 53 significant bits down to 2^-64, from 128 random bits:
where the density is low the uniform number is as fine as elsewhere, so that the tails have no gaps up to 9 standard
deviations, and end at 13. The step is 2^-25 .. 2^-24 of the standard deviation, some 2^27 times as coarse as the error
of X, so the probability of each grid point is right to about 1e-8 of itself. A bound on the whole is not proven; a sampler that is
exact, for the discrete Gaussian (Canonne, Kamath and Steinke 2020), would need its own accounting under sampling.

Bits come from the operating system unless a seed is given. NumPy's generators will not do: their state can be worked out
from what they gave, and with it the noise be taken away again. With a seed they are SHA-256 in counter mode, a function of
seed and round, and the arithmetic is IEEE's four operations and the square root, with a logarithm of its own: the same
bits on every machine. That is for tests and simulations: who knows the seed knows the noise.
"""

from __future__ import annotations

import math
import os

import numpy as np
from numpy.typing import NDArray

from .._random import Draws

_Floats = NDArray[np.float64]

# Coefficients of AS241, the highest power first: the middle, the tail, the far tail.
_MIDDLE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
_TAIL = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
)  # fmt: skip
_FAR = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0),
)  # fmt: skip

# ln 2 in two parts, the first with 32 bits, so that its product with an exponent is exact.
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10


def step(bound: float, deviation: float) -> float:
    """The grid's step, a power of two: 2^-25 .. 2^-24 of the deviation, or 2^-41 .. 2^-40 of what one client adds."""
    _, exponent = math.frexp(max(deviation * 2.0**-24, bound * 2.0**-40))
    return math.ldexp(1.0, exponent - 1)


def gaussian(size: int, deviation: float, seed: int | None, round: int) -> NDArray[np.int64]:
    """(size,) whole numbers: normal deviates of this deviation, in steps of the grid, rounded."""
    return np.rint(_standard(_words(2 * size, seed, round)) * deviation).astype(np.int64)


def _words(count: int, seed: int | None, round: int) -> NDArray[np.uint64]:
    """Uniform 64-bit numbers: of the operating system, or of a seed and a round."""
    raw = os.urandom(8 * count) if seed is None else Draws("federated.noise", seed, str(round)).raw(8 * count)
    return np.frombuffer(raw, "<u8").astype(np.uint64)


def _standard(words: NDArray[np.uint64]) -> _Floats:
    """Standard normal deviates, one for two words: a sign, and the distance at which so much of a tail is left."""
    high, low = words[0::2], words[1::2]
    negative = (high & np.uint64(1)).astype(bool)
    # 63 bits before the point and 64 behind it, in units of 2^-64: from 2^-129 to 1/2.
    tail = ((high >> np.uint64(1)).astype(np.float64) + (low.astype(np.float64) + 0.5) * 2.0**-64) * 2.0**-64
    distance = _distance(tail)
    return np.where(negative, -distance, distance)


def _distance(tail: _Floats) -> _Floats:
    """The x >= 0 beyond which a normal deviate lies with probability `tail`, up to 1/2."""
    out = np.empty_like(tail)
    middle = tail >= 0.075
    q = 0.5 - tail[middle]
    out[middle] = q * _ratio(_MIDDLE, 0.180625 - q * q)
    r = np.sqrt(-_log(tail[~middle]))
    out[~middle] = np.where(r <= 5.0, _ratio(_TAIL, r - 1.6), _ratio(_FAR, r - 5.0))
    return out


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: _Floats) -> _Floats:
    top, bottom = (np.full_like(x, part[0]) for part in coefficients)
    for above, below in zip(coefficients[0][1:], coefficients[1][1:], strict=True):
        top, bottom = top * x + above, bottom * x + below
    return top / bottom


def _log(x: _Floats) -> _Floats:
    """The natural logarithm of positive normal numbers: 2 artanh((m - 1) / (m + 1)) of the mantissa, as a series."""
    m, exponent = np.frexp(x)
    low = m < math.sqrt(0.5)
    m, exponent = np.where(low, 2.0 * m, m), (exponent - low).astype(np.float64)
    s = (m - 1.0) / (m + 1.0)
    square, total = s * s, np.zeros_like(s)
    # |s| <= 0.172: the first power left out is below 2^-54 of the first.
    for odd in range(21, 1, -2):
        total = (total + 1.0 / odd) * square
    return exponent * _LN2_HIGH + (2.0 * s * (1.0 + total) + exponent * _LN2_LOW)
