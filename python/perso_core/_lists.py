"""Outside lists of a request, as the core takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _convert

__all__ = ["given_lists"]

_Given: TypeAlias = dict[str, tuple[NDArray[np.int64] | list[str], NDArray[np.float64] | None]]


def given_lists(argument: str, lists: object) -> _Given:
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
