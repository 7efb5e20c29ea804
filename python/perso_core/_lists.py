"""Outside lists of a request, as the core takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _convert

__all__ = ["of_batch", "of_one"]

_Given: TypeAlias = dict[str, tuple[NDArray[np.int64] | list[str], NDArray[np.float64] | None]]


def of_one(lists: object, argument: str = "lists") -> _Given:
    """The lists of one request by name: ids with scores, or with None where there is only an order."""
    if lists is None:
        return {}
    if not isinstance(lists, Mapping):
        raise _convert.wrong_type(argument, "a mapping of names to lists of ids", _convert.kind_of(lists))
    out: _Given = {}
    for name, given in lists.items():
        if not isinstance(name, str):
            raise _convert.wrong_type(argument, "names as keys", _convert.kind_of(name))
        at = f"{argument}[{name!r}]"
        if isinstance(given, Mapping):
            scores = np.array([_convert.real(at, score) for score in given.values()], np.float64)
            out[name] = (_convert.ids(at, list(given)), scores)
        else:
            out[name] = (_convert.ids(at, given), None)
    return out


def of_batch(lists: object, count: int) -> list[_Given]:
    """The lists of each user; none at all where none were given."""
    if lists is None:
        return []
    if isinstance(lists, Mapping):
        return [of_one(lists)] * count
    expected = f"a mapping of names to lists of ids, or a list of {count} of them, one a user"
    if isinstance(lists, str) or not isinstance(lists, Iterable):
        raise _convert.wrong_type("lists", expected, _convert.kind_of(lists))
    each: list[Any] = list(lists)
    if len(each) != count:
        raise _convert.invalid("lists", expected, f"a list of {len(each)}")
    return [of_one(one, f"lists[{i}]") for i, one in enumerate(each)]
