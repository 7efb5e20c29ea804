"""Users who want several things: vectors of several interests, and of what is not wanted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _convert
from ._types import Vectors

__all__ = ["Interests"]

Given: TypeAlias = tuple[NDArray[np.float32], list[float], NDArray[np.float32], float, str]


@dataclass(frozen=True, eq=False)
class Interests:
    """A user in one space, as several vectors: `rank(catalog, pc.Interests(vectors), ...)`, or by space.

    An item's similarity is max_i w_i s_i ("max": as near as the nearest interest), or sum_i w_i s_i / sum_i w_i
    ("mean"), with s_i the metric's score of the item and interest i (larger for better), less
    negative_weight * max(0, the largest score of a negative vector). Under "max" every interest retrieves
    candidates, turn by turn; under "mean" their weighted mean does (of directions, for cosine). Negative vectors
    retrieve nothing. In float64 from the float32 scores. Retrieving by each of several vectors is due to Pal et al.,
    PinnerSage (KDD 2020).

    Args:
        vectors: (interests, dim), at least one, finite; kept as float32.
        weights: (interests,), above 0 and at most 1; None for 1 each. Under "max" and metric l2, whose scores are
            distances, only 1.
        negative: (vectors, dim), or None; not for metric l2.
        negative_weight: a finite number of at least 0.
        combine: "max" or "mean".

    Raises:
        ValueError, TypeError: an argument that is wrong, named with what was expected and what came.
    """

    vectors: Vectors
    weights: Any = None
    negative: Vectors | None = None
    negative_weight: float = 1.0
    combine: Literal["max", "mean"] = "max"
    _given: Given = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Copies, because they are to stay as they are.
        vectors = _convert.matrix("vectors", self.vectors).copy()
        count, dim = vectors.shape
        if count == 0:
            raise _convert.invalid("vectors", "at least one vector", "none")
        weights = np.ones(count) if self.weights is None else _convert.doubles("weights", self.weights)
        if weights.shape != (count,):
            raise _convert.invalid("weights", f"{count}, one per vector", len(weights))
        if not ((weights > 0) & (weights <= 1)).all():
            raise _convert.invalid("weights", "numbers above 0 and at most 1", weights.tolist())
        negative = (
            np.empty((0, dim), np.float32)
            if self.negative is None
            else _convert.matrix("negative", self.negative).copy()
        )
        for argument, array in (("vectors", vectors), ("negative", negative)):
            bad = array[~np.isfinite(array)]
            if bad.size:
                raise _convert.invalid(argument, "finite numbers", bad[0])
        if negative.shape[1] != dim:
            raise _convert.invalid("negative", f"vectors of {dim} components", negative.shape[1])
        weight = _convert.real("negative_weight", self.negative_weight)
        if weight < 0:
            raise _convert.invalid("negative_weight", "a finite number of at least 0", weight)
        _convert.choice("combine", self.combine, ("max", "mean"))
        for array in (vectors, weights, negative):
            array.flags.writeable = False
        keep = {
            "vectors": vectors,
            "weights": weights,
            "negative": negative,
            "negative_weight": weight,
            "_given": (vectors, weights.tolist(), negative, weight, self.combine),
        }
        for name, value in keep.items():
            object.__setattr__(self, name, value)
