"""Conditions on attributes: which items a part of a policy is for.

A mapping of attributes to what their value must be, all of which must hold: a bool, int or str (a list[str]
attribute must contain it), a list of them for any of these, or a `Between`. A null meets no condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from . import _convert
from ._types import Moment
from .blend import MOST, Part, assign

__all__ = ["Between", "Condition", "Conditions"]

_SCALAR = "a bool, int or str"
_RANGE = {"from", "to", "time"}


@dataclass(frozen=True)
class Between(Part):
    """A range of an int, float or timestamp attribute, both ends included.

    Args:
        low: the least: a number; for a timestamp a datetime (without a zone: UTC) or ISO 8601 text, kept as text.
            None for no bound.
        high: the most, likewise. At least one of them is given.

    >>> import perso_core as pc
    >>> pc.Between(5, 20), pc.Between(high="2026-12-01")
    (Between(low=5, high=20), Between(low=None, high='2026-12-01T00:00:00+00:00'))
    """

    low: float | Moment | None = None
    high: float | Moment | None = None

    def __post_init__(self) -> None:
        ends = {name: end for name, end in (("low", self.low), ("high", self.high)) if end is not None}
        if not ends:
            raise _convert.invalid("low", "low, high or both", "neither")
        moments = [isinstance(end, str | date | np.datetime64) for end in ends.values()]
        if any(moments) and not all(moments):
            raise _convert.wrong_type("high", "two numbers, or two moments", "one of each")
        if any(moments):
            counts = {name: _moment(name, end) for name, end in ends.items()}
            assign(self, **{name: _convert.moment_out(count).isoformat() for name, count in counts.items()})
            self._refuse_reversed(counts)
        else:
            numbers = {name: _number(name, end) for name, end in ends.items()}
            assign(self, **numbers)
            self._refuse_reversed(numbers)

    def _refuse_reversed(self, ends: Mapping[str, float]) -> None:
        if len(ends) == 2 and ends["low"] > ends["high"]:
            raise _convert.invalid("high", f"at least low = {self.low!r}", repr(self.high))

    def _document(self) -> dict[str, Any]:
        document: dict[str, Any] = {}
        for key, end in (("from", self.low), ("to", self.high)):
            if isinstance(end, str):
                document["time"] = True
            if end is not None:
                document[key] = _convert.microseconds(key, end) if isinstance(end, str) else end
        return document

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Between:
        if document.get("time", False):
            ends = [document.get(key) for key in ("from", "to")]
            moments = [None if end is None else _convert.integer("from", end, -MOST, MOST) for end in ends]
            return cls(*(None if end is None else _convert.moment_out(end) for end in moments))
        return cls(document.get("from"), document.get("to"))


Scalar: TypeAlias = bool | int | str
Condition: TypeAlias = Scalar | Sequence[Scalar] | Between
Conditions: TypeAlias = Mapping[str, Condition]


def conditions(argument: str, value: object) -> Mapping[str, Condition]:
    """Conditions as parts keep them: attributes in order, lists as ascending tuples of more than one."""
    if not isinstance(value, Mapping):
        raise _convert.wrong_type(argument, "{attribute: condition}", _convert.kind_of(value))
    settled = {
        _convert.text(argument, name): _condition(f"{argument}[{name!r}]", one) for name, one in value.items()
    }
    if not settled:
        raise _convert.invalid(argument, "one or more attributes with a condition each", "none")
    return MappingProxyType(dict(sorted(settled.items())))


def document(settled: Mapping[str, Condition]) -> dict[str, Any]:
    """Their JSON form."""
    return {name: _condition_document(condition) for name, condition in settled.items()}


def from_document(argument: str, document: object) -> dict[str, Condition]:
    """What has that form."""
    if not isinstance(document, Mapping):
        raise _convert.invalid(argument, "an object", _convert.kind_of(document))
    found: dict[str, Condition] = {}
    for name, one in document.items():
        if isinstance(one, Mapping):
            if not one.keys() <= _RANGE:
                raise _convert.invalid(f"{argument}[{name!r}]", f"the keys {sorted(_RANGE)}", sorted(one))
            one = Between._from_document(dict(one))
        found[name] = one
    return found


def shown(settled: Mapping[str, Condition]) -> dict[str, Condition]:
    """As a user writes them."""
    return {name: list(one) if isinstance(one, tuple) else one for name, one in settled.items()}


def _condition_document(condition: Condition) -> Any:
    if isinstance(condition, Between):
        return condition._document()
    return list(condition) if isinstance(condition, tuple) else condition


def _condition(argument: str, value: object) -> Condition:
    if isinstance(value, Between):
        return value
    if isinstance(value, str) or not isinstance(value, list | tuple | AbstractSet | np.ndarray):
        return _scalar(argument, value)
    listed = [_scalar(argument, one) for one in _flat(argument, value)]
    kinds = {type(one) for one in listed}
    if len(kinds) > 1:
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise _convert.wrong_type(argument, "values of one type", names)
    if not listed:
        raise _convert.invalid(argument, "one or more values", "none")
    ascending = tuple(sorted(set(listed)))
    return ascending if len(ascending) > 1 else ascending[0]


def _flat(argument: str, value: Iterable[object]) -> Iterable[object]:
    if isinstance(value, np.ndarray) and value.ndim != 1:
        raise _convert.invalid(argument, "one dimension", f"an array of shape {value.shape}")
    return value


def _scalar(argument: str, value: object) -> Scalar:
    if isinstance(value, str):
        return str(value)
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool):
        return plain
    if not isinstance(plain, int):
        raise _convert.wrong_type(
            argument, f"{_SCALAR}, a list of them, or a Between", _convert.kind_of(value)
        )
    return _convert.integer(argument, plain, -MOST, MOST)


def _number(argument: str, value: object) -> float:
    number = _convert.real(argument, value)
    return int(number) if number.is_integer() and abs(number) <= MOST else number


def _moment(argument: str, value: object) -> int:
    count = _convert.microseconds(argument, value)
    if abs(count) > MOST:
        raise _convert.invalid(argument, "a moment within 2^53 microseconds of the epoch", repr(value))
    return count
