"""An interleaved list, and what clicks on it are worth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _arrow, _convert
from ..agreement import ranking
from ..results import _arrow_ids, _table

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Credit", "Interleaved"]


class Credit(NamedTuple):
    """What one request's clicks gave each ranking; the larger one wins it."""

    request_id: str
    a: float
    b: float


class Interleaved:
    """A list made of two rankings.

    Attributes:
        ids: (k,) what to show, best first: int64, or an object array of str.
        credit_a, credit_b: (k,) float64, what a click on each slot gives each ranking.
        probability: with which this list was drawn among all that it could have been.
        method: "team_draft" or "optimized".
        seed, request_id: what the draw is a function of.
        bias: of "optimized": the credit that clicks at random give one ranking in expectation, summed over
            the slots; 0 unless there is no fair way to draw.
    """

    def __init__(
        self,
        method: str,
        ids: list[Any],
        credit_a: NDArray[np.float64],
        credit_b: NDArray[np.float64],
        probability: float,
        seed: int,
        request_id: str,
        bias: float = 0.0,
    ) -> None:
        self.bias = bias
        self.method = method
        self.ids: NDArray[Any] = np.array(
            ids, dtype=object if any(isinstance(one, str) for one in ids) else np.int64
        )
        self.credit_a = credit_a
        self.credit_b = credit_b
        self.probability = probability
        self.seed = seed
        self.request_id = request_id

    def credit(self, clicked: Iterable[int] | Iterable[str]) -> Credit:
        """What clicks are worth.

        Args:
            clicked: ids of items of this list; each counts once, however often it comes.

        Raises:
            ValueError: an id that this list does not show.
        """
        place = {one: slot for slot, one in enumerate(self.ids.tolist())}
        slots = set()
        for one in _convert.ids("clicked", clicked, ordered=False):
            plain = one.item() if isinstance(one, np.generic) else one
            if plain not in place:
                raise _convert.invalid("clicked", "ids of this list", f"{plain!r}, which it does not show")
            slots.add(place[plain])
        return self._sum(sorted(slots))

    def credit_at(self, positions: Iterable[int]) -> Credit:
        """The same for clicks by position, from 0."""
        slots = {_convert.integer("positions", one, 0, len(self) - 1) for one in positions}
        return self._sum(sorted(slots))

    def _sum(self, slots: list[int]) -> Credit:
        return Credit(self.request_id, float(self.credit_a[slots].sum()), float(self.credit_b[slots].sum()))

    def to_arrow(self) -> pyarrow.Table:
        """A table, one row a slot, with request_id, position, id, credits and probability. Needs pyarrow."""
        pa = _arrow.pyarrow("to_arrow")
        n = len(self)
        return pa.table(
            {
                "request_id": pa.array([self.request_id] * n, pa.string()),
                "position": np.arange(n),
                "id": _arrow_ids(pa, self.ids),
                "credit_a": self.credit_a,
                "credit_b": self.credit_b,
                "probability": np.full(n, self.probability),
            }
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        rows = [
            [str(i), str(one), f"{a:.4g}", f"{b:.4g}"]
            for i, (one, a, b) in enumerate(zip(self.ids.tolist(), self.credit_a, self.credit_b, strict=True))
        ]
        head = f"Interleaved {self.request_id!r}: {self.method}, probability {self.probability:.4g}"
        return _table(head, ["", "id", "credit a", "credit b"], rows, len(rows))


class Asked(NamedTuple):
    """The arguments that every method has, checked."""

    a: list[Any]
    b: list[Any]
    k: int
    seed: int
    request_id: str


def asked(a: object, b: object, k: object, seed: object, request_id: object) -> Asked:
    """Two rankings and how much of them."""
    first, second = ranking("a", a), ranking("b", b)
    least = min(len(first), len(second))
    if least == 0:
        raise _convert.invalid("a" if not first else "b", "at least one item", "none")
    kinds = {type(one) for one in first} | {type(one) for one in second}
    if len(kinds) > 1:
        raise _convert.wrong_type("b", "ids of the kind that a has", "ints beside texts")
    count = least if k is None else _convert.integer("k", k, 1)
    if count > least:
        raise _convert.invalid("k", f"at most the {least} items of the shorter ranking", count)
    name = _convert.text("request_id", request_id)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise _convert.invalid("request_id", "Unicode text", f"a lone surrogate in {name!r}") from None
    return Asked(first, second, count, _convert.seed(seed), name)
