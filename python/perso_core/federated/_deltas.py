"""What a client sends: an array, several by name, or some rows of a matrix; checked, measured, clipped, put on a grid.

The norm is the L2 norm of everything a client sends taken as one vector. Clipping takes it from magnitudes in units of 2^-31 of
the largest, rounded up: their squares add up exactly, so neither the order of components nor a machine's vector width
moves a bit of it, it is never too small, and it takes a twenty-fifth of the time of an exact sum of doubles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from .. import _convert
from .._types import Vectors
from ..blend import assign

_Floats = NDArray[np.float64]

# Clipping aims this far below the bound, so that no rounding passes it.
_BELOW = 1.0 - 2.0**-40


@dataclass(frozen=True, eq=False, init=False, repr=False)
class SparseRows:
    """Some rows of a matrix, the others being 0: the item factors that one client's ratings touch.

    It saves the client's bandwidth, nothing else: the sum over clients is dense, and so is its noise. Noise on the rows
    somebody touched alone would say which these are.

    Args:
        rows: (m,) whole numbers from 0 to n - 1, each once: which rows. Row numbers, no ids.
        values: (m, dim) floats: what is in them.
        shape: (n, dim) of the whole matrix.

    Raises:
        ValueError, TypeError: a row out of range or twice, values that are no (m, dim) or not finite.

    >>> import perso_core as pc
    >>> pc.federated.SparseRows([2], [[3.0, 4.0]], (4, 2))
    <SparseRows 1 of (4, 2)>
    """

    rows: NDArray[np.int64]
    values: _Floats
    shape: tuple[int, int]

    def __init__(self, rows: Sequence[int] | NDArray[Any], values: Vectors, shape: tuple[int, int]) -> None:
        try:
            n, dim = shape
        except (TypeError, ValueError):
            raise _convert.wrong_type("shape", "(n, dim)", _convert.kind_of(shape)) from None
        whole = (_convert.integer("shape", n, 1), _convert.integer("shape", dim, 1))
        found = _convert.array("rows", rows)
        if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
            raise _convert.wrong_type("rows", "(m,) whole numbers", _convert.kind_of(found))
        if found.size and not 0 <= found.min() <= found.max() < whole[0]:
            bad = found[(found < 0) | (found >= whole[0])][0]
            raise _convert.invalid("rows", f"rows from 0 to {whole[0] - 1}", bad)
        once, counts = np.unique(found, return_counts=True)
        if len(once) < len(found):
            raise _convert.invalid("rows", "each row once", f"row {once[counts > 1][0]} twice")
        numbers = finite("values", values)
        if numbers.size == 0 and len(found) == 0:
            numbers = numbers.reshape(0, whole[1])
        if numbers.shape != (len(found), whole[1]):
            expected = f"shape ({len(found)}, {whole[1]})"
            raise _convert.invalid("values", expected, f"an array of shape {numbers.shape}")
        assign(self, rows=found.astype(np.int64), values=numbers, shape=whole)

    def to_dense(self) -> _Floats:
        """The (n, dim) float64 matrix."""
        out = np.zeros(self.shape)
        out[self.rows] = self.values
        return out

    def __repr__(self) -> str:
        return f"<SparseRows {len(self.rows)} of {self.shape}>"


Part: TypeAlias = Vectors | SparseRows
Delta: TypeAlias = Part | Mapping[str, Part]
Shapes: TypeAlias = dict[str, tuple[int, ...]]
Read: TypeAlias = dict[str, _Floats | SparseRows]


@overload
def clip(delta: SparseRows, bound: float) -> SparseRows: ...
@overload
def clip(delta: Mapping[str, Part], bound: float) -> Read: ...
@overload
def clip(delta: Vectors, bound: float) -> _Floats: ...
def clip(delta: Delta, bound: float) -> _Floats | SparseRows | Read:
    """A delta scaled down to an L2 norm of at most `bound`, as FedAvg with the Gaussian mechanism clips it.

    A client may do so before it sends anything; `Mechanism.aggregate` does it again and trusts nobody.

    Args:
        delta: floats of any shape, `SparseRows`, or a mapping of names to these, which are clipped together.
        bound: above 0.

    Returns:
        The same form, arrays as float64; a delta that is within the bound by a millionth has the values that it had.

    Raises:
        ValueError, TypeError: a NaN or infinity, something else than numbers, a bound that is not above 0.

    >>> import perso_core as pc
    >>> pc.federated.clip([3.0, 4.0], 1.0).round(6)
    array([0.6, 0.8])
    """
    limit = positive("bound", bound)
    read = parts("delta", delta, None)
    scale, root = _scale(read)
    out: Read = {}
    for name, part in read.items():
        values = part.values if isinstance(part, SparseRows) else part
        if _exceeds(scale, root, limit):
            values = (values / scale) * (limit * _BELOW / root)
        out[name] = SparseRows(part.rows, values, part.shape) if isinstance(part, SparseRows) else values
    return out if isinstance(delta, Mapping) else out[""]


def norm(delta: Delta) -> float:
    """The L2 norm of a delta, all its arrays together. Raises what `clip` raises.

    >>> import perso_core as pc
    >>> pc.federated.norm({"items": [[3.0, 0.0]], "bias": [4.0]})
    5.0
    """
    read = parts("delta", delta, None)
    scale = _largest(read)
    squares = (np.square(a / scale).ravel().tolist() for a in _arrays(read) if scale)
    return scale * math.sqrt(math.fsum(chain.from_iterable(squares)))


def positive(argument: str, value: object) -> float:
    """A number above 0 whose square is neither 0 nor infinite."""
    number = _convert.real(argument, value)
    if not 1e-100 <= number <= 1e100:
        raise _convert.invalid(argument, "a number from 1e-100 to 1e100", number)
    return number


def finite(argument: str, value: object) -> _Floats:
    """float64 of any shape, finite."""
    found = _convert.array(argument, value)
    if found.dtype.kind not in "fiu" and found.size:
        raise _convert.wrong_type(argument, "an array of numbers", _convert.kind_of(found))
    with np.errstate(over="ignore"):
        converted: _Floats = np.ascontiguousarray(found, dtype=np.float64).reshape(found.shape)
    bad = ~np.isfinite(converted)
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise _convert.invalid(argument, "finite numbers", f"{converted[place]} at position {place}")
    return converted


def shapes(argument: str, like: object) -> Shapes:
    """The shapes of a model's arrays by name, sorted; a bare array has the name ""."""
    named = _named(argument, like)
    return {name: _convert.array(_called(argument, name), named[name]).shape for name in sorted(named)}


def parts(argument: str, delta: object, wanted: Shapes | None) -> Read:
    """The arrays of a delta by name, sorted and checked; of the wanted names and shapes."""
    named = _named(argument, delta)
    if wanted is not None and set(named) != set(wanted):
        expected = "an array" if set(wanted) == {""} else f"arrays named {sorted(wanted)}"
        got = _convert.kind_of(delta) if set(named) == {""} else f"names {sorted(named)}"
        raise _convert.invalid(argument, expected, got)
    out: Read = {}
    for name in sorted(named):
        called = _called(argument, name)
        part = named[name] if isinstance(named[name], SparseRows) else finite(called, named[name])
        if wanted is not None and part.shape != wanted[name]:
            raise _convert.invalid(called, f"shape {wanted[name]}", f"shape {part.shape}")
        out[name] = part
    return out


def on_grid(part: Read, bound: float, weight: float, step: float, shape: Shapes) -> tuple[list[Any], bool]:
    """Where and how much a clipped, weighted delta adds, in whole steps of the grid; and whether it was clipped.

    Components are cut off towards 0, so that the norm in steps is at most `bound * weight / step`, to the bit.
    """
    scale, root = _scale(part)
    clipped = _exceeds(scale, root, bound)
    factor = bound * _BELOW / root if clipped else 1.0
    out: list[Any] = []
    for name in shape:
        found = part[name]
        values = found.values if isinstance(found, SparseRows) else found
        if clipped:
            values = values / scale
        steps = np.trunc(values * (factor * weight / step)).astype(np.int64)
        out.append((found.rows if isinstance(found, SparseRows) else ..., steps))
    return out, clipped


def _scale(read: Read) -> tuple[float, float]:
    """(m, r) with m r at least the norm, by less than a millionth: m the largest magnitude, so that no square overflows."""
    scale = _largest(read)
    if scale == 0.0:
        return 0.0, 1.0
    total = 0
    for values in _arrays(read):
        units = np.ceil(np.abs(values / scale) * 2.0**31).astype(np.uint64)
        squares = units * units
        # Halves of 32 bits: neither sum overflows below 2^31 components.
        low = squares & np.uint64(0xFFFFFFFF)
        total += (int((squares >> np.uint64(32)).sum()) << 32) + int(low.sum())
    return scale, math.sqrt(total) * 2.0**-31


def _largest(read: Read) -> float:
    return max((float(np.abs(values).max()) for values in _arrays(read) if values.size), default=0.0)


def _arrays(read: Read) -> list[_Floats]:
    return [part.values if isinstance(part, SparseRows) else part for part in read.values()]


def _exceeds(scale: float, root: float, bound: float) -> bool:
    return scale > bound * _BELOW / root


def _named(argument: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        return {"": value}
    for name in value:
        if not isinstance(name, str) or not name:
            raise _convert.wrong_type(argument, "names of arrays as keys", _convert.kind_of(name))
    if not value:
        raise _convert.invalid(argument, "at least one array", "an empty mapping")
    return value


def _called(argument: str, name: str) -> str:
    return f"{argument}[{name!r}]" if name else argument
