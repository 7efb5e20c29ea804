"""What `where=` and `filter=` may be, to what the extension takes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _convert, _core
from .filters import CompiledFilter, Field, Filter, as_filter

if TYPE_CHECKING:
    from .candidates import Candidates
    from .capsule import Capsule
    from .catalog import Catalog
    from .index import Index

__all__ = ["where", "where_each"]


def where(
    argument: str, value: object, source: Catalog | Candidates | Capsule | Index
) -> _core._Where | None:
    """One filter."""
    if value is None:
        return None
    if isinstance(value, CompiledFilter):
        return value._handle
    if isinstance(value, Filter | Field) or _is_expression(value):
        from .index import Index

        if isinstance(source, Index):
            expected = "a bool mask, ids, or what index.filter made of them, as an Index has no attributes"
            raise _convert.wrong_type(argument, expected, type(value).__name__)
        if isinstance(value, Filter | Field):
            return as_filter(value)._handle
        from ._expressions import expression

        return expression(argument, value, source)
    if _is_each(value):
        expected = "one filter: a list with one a user or query is for a batch"
        if isinstance(value, np.ndarray):
            expected = "a mask of one dimension: a matrix is for a batch"
        raise _convert.invalid(argument, expected, _convert.kind_of(value))
    return _convert.mask_or_ids(argument, value)


def where_each(
    argument: str, value: object, source: Catalog | Candidates | Capsule | Index, count: int
) -> _core._Where | tuple[_core._Where | None, ...] | None:
    """One filter for all of `count` queries, or a tuple with one for each."""
    if not _is_each(value):
        return where(argument, value, source)
    each = list(value)  # type: ignore[call-overload]
    if len(each) != count:
        expected = f"one filter for all, or a list of {count}, one for each"
        raise _convert.invalid(argument, expected, f"a list of {len(each)}")
    return tuple(where(f"{argument}[{i}]", one, source) for i, one in enumerate(each))


def _is_each(value: object) -> bool:
    """Whether it has a filter for each query: a list of what is no id and no flag, or a matrix of flags."""
    if isinstance(value, np.ndarray):
        return value.ndim == 2 and value.dtype == np.bool_
    if not isinstance(value, list | tuple) or not value:
        return False
    # Ids are of one kind, and so are flags: the first tells.
    first = value[0]
    if first is None or isinstance(first, Filter | Field | CompiledFilter) or _is_expression(first):
        return True
    if isinstance(first, np.ndarray):
        return first.ndim > 0
    return isinstance(first, Iterable) and not isinstance(first, str | bytes | Mapping)


def _is_expression(value: object) -> bool:
    """Whether it is an expression of pyarrow's, which nobody can have without having imported it."""
    compute: Any = sys.modules.get("pyarrow.compute")
    return compute is not None and isinstance(value, compute.Expression)
