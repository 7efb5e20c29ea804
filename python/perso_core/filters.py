"""Filters over attributes: which items may be shown.

A filter is a tree of predicates, made with `field` and combined with &, | and ~. It belongs to no catalog;
compiled for one it is the set of the items that it keeps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from . import _convert, _core
from .blend import Part

if TYPE_CHECKING:
    from .candidates import Candidates
    from .catalog import Catalog
    from .index import Index

__all__ = ["CompiledFilter", "Field", "Filter", "field"]

_VALUES = "a bool, int, float, datetime or str"
_SIGNS = {"from": ">=", "above": ">", "to": "<=", "below": "<"}


class Filter(Part):
    """Predicates over attributes, as `field` makes them: frozen, hashable, and JSON both ways.

    Nulls follow Arrow's rules, which are Kleene's: a comparison with a null is null, `~` of null is null, `&` is false
    and `|` true where one side decides, and an item is kept where the whole is true. `isin` and `is_null` are never
    null.

    Where `where=` takes one it is looked up once for each generation of the catalog: give the same filter, or an
    equal one, with each request.

    >>> import perso_core as pc
    >>> new_jazz = (pc.field("genre") == "jazz") & (pc.field("year") >= 2020)
    >>> new_jazz & ~pc.field("tags").contains_any(["live"])
    (field('genre') == 'jazz') & (field('year') >= 2020) & ~field('tags').contains_any(['live'])
    >>> pc.Filter.from_json(new_jazz.to_json()) == new_jazz
    True
    """

    __slots__ = ("_handle", "_json")

    _handle: _core.Filter
    _json: str

    def __init__(self) -> None:
        raise _convert.wrong_type("Filter", "pc.field(name) and a comparison", "Filter()")

    @classmethod
    def _of(cls, text: str) -> Filter:
        handle = _core.Filter(text)
        made = cls.__new__(cls)
        object.__setattr__(made, "_handle", handle)
        object.__setattr__(made, "_json", handle.json)
        return made

    def to_json(self) -> str:
        """The filter as JSON."""
        return self._json

    @classmethod
    def from_json(cls, text: str) -> Filter:
        """The filter that `to_json` wrote; ValueError where the text is something else."""
        if not isinstance(text, str):
            raise _convert.wrong_type("text", "a JSON document as str", _convert.kind_of(text))
        return cls._of(text)

    def compile(self, catalog: Catalog | Candidates) -> CompiledFilter:
        """What it keeps of a catalog; the same as `catalog.filter(self)`."""
        return compiled(catalog, self)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Filter is frozen: {name!r} cannot be set")

    def __and__(self, other: Filter | Field) -> Filter:
        return _joined("and", self, other)

    def __or__(self, other: Filter | Field) -> Filter:
        return _joined("or", self, other)

    def __rand__(self, other: Filter | Field) -> Filter:
        return _joined("and", other, self)

    def __ror__(self, other: Filter | Field) -> Filter:
        return _joined("or", other, self)

    def __invert__(self) -> Filter:
        return Filter._of(f'{{"not":{self._json}}}')

    def __bool__(self) -> NoReturn:
        raise TypeError(_NO_BOOL)

    def __eq__(self, other: object) -> bool:
        return self._json == other._json if isinstance(other, Filter) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._json)

    def __reduce__(self) -> tuple[Any, ...]:
        return Filter.from_json, (self._json,)

    def __repr__(self) -> str:
        return _shown(json.loads(self._json))


_NO_BOOL = (
    "a filter has no truth value: write & for and, | for or, ~ for not, with each comparison in parentheses; "
    "for a < field < b write field.between(a, b) or (field > a) & (field < b), for `in` .isin or .contains_any"
)


class Field:
    """An attribute, to be compared with values. Comparisons are filters; a bool attribute is one itself.

    Values are of the attribute's type: a bool, a number for int and float attributes (compared exactly, without
    rounding), a datetime, date or np.datetime64 (without a zone: UTC) for a timestamp, a str. Texts are ordered by
    their UTF-8 bytes. What does not fit the attribute is found when the filter meets a catalog.
    """

    __slots__ = ("_name",)
    __hash__ = None  # type: ignore[assignment]
    # Arrays would compare with each of their items.
    __array_ufunc__ = None
    __iter__ = None

    def __init__(self, name: str) -> None:
        self._name = _convert.text("name", name)

    def __eq__(self, other: object) -> Filter:  # type: ignore[override]
        return _leaf("is", self._name, _value(self._name, other))

    def __ne__(self, other: object) -> Filter:  # type: ignore[override]
        return ~(self == other)

    def __lt__(self, other: object) -> Filter:
        return self._range(below=other)

    def __le__(self, other: object) -> Filter:
        return self._range(to=other)

    def __gt__(self, other: object) -> Filter:
        return self._range(above=other)

    def __ge__(self, other: object) -> Filter:
        return self._range(**{"from": other})

    def between(self, low: object, high: object) -> Filter:
        """From `low` to `high`, both included."""
        return self._range(**{"from": low, "to": high})

    def isin(self, values: Iterable[object]) -> Filter:
        """One of some values. None stands for a null; otherwise a null is not in, and ~ of it is kept."""
        if isinstance(values, str | bytes | Mapping | Field) or not isinstance(values, Iterable):
            expected = f"a list of values, each {_VALUES} or None"
            raise _convert.wrong_type(_about(self._name), expected, _convert.kind_of(values))
        listed = ["null" if value is None else _value(self._name, value) for value in _plain(values)]
        # A set has no order, and an equal filter is to have equal text.
        return _leaf("in", self._name, f"[{','.join(sorted(set(listed)))}]")

    def is_null(self) -> Filter:
        """Without a value."""
        return Filter._of(f'{{"null":{_text(self._name)}}}')

    def is_valid(self) -> Filter:
        """With a value."""
        return ~self.is_null()

    def contains_any(self, texts: Iterable[str]) -> Filter:
        """Of a list[str] attribute: one of some texts or more. Without texts, none."""
        return _leaf("contains_any", self._name, self._texts(texts))

    def contains_all(self, texts: Iterable[str]) -> Filter:
        """Of a list[str] attribute: all of some texts. Without texts, every list."""
        return _leaf("contains_all", self._name, self._texts(texts))

    def _texts(self, texts: Iterable[str]) -> str:
        about = _about(self._name)
        if isinstance(texts, str | bytes | Mapping | Field) or not isinstance(texts, Iterable):
            raise _convert.wrong_type(about, "a list of str", _convert.kind_of(texts))
        listed = list(_plain(texts))
        for text in listed:
            if not isinstance(text, str):
                raise _convert.wrong_type(about, "a list of str", _convert.kind_of(text))
        return f"[{','.join(sorted({_value(self._name, text) for text in listed}))}]"

    def _range(self, **ends: object) -> Filter:
        texts = [f'"{key}":{_value(self._name, end)}' for key, end in ends.items()]
        return _leaf("range", self._name, f"{{{','.join(texts)}}}")

    def __and__(self, other: Filter | Field) -> Filter:
        return _joined("and", self, other)

    def __or__(self, other: Filter | Field) -> Filter:
        return _joined("or", self, other)

    def __rand__(self, other: Filter | Field) -> Filter:
        return _joined("and", other, self)

    def __ror__(self, other: Filter | Field) -> Filter:
        return _joined("or", other, self)

    def __invert__(self) -> Filter:
        return ~(self == True)  # noqa: E712

    def __bool__(self) -> NoReturn:
        raise TypeError(_NO_BOOL)

    def __contains__(self, value: object) -> NoReturn:
        raise TypeError(_NO_BOOL)

    def __repr__(self) -> str:
        return f"field({self._name!r})"


def field(name: str) -> Field:
    """An attribute, to make a `Filter` of.

    >>> import perso_core as pc
    >>> pc.field("price").between(5, 20) | pc.field("on_sale")
    field('price').between(5, 20) | (field('on_sale') == True)
    """
    return Field(name)


class CompiledFilter:
    """The items of a catalog that a filter keeps, as `catalog.filter` finds them; or those of an index, as `index.filter` does.

    A set of bits, an item a bit. When the catalog has changed, it is found anew by the next who asks: what it says is
    of the catalog as it is then. &, | and ~ combine those of one catalog or index; ~ has Arrow's nulls, as `Filter` has, so an
    item for which the filter is null is in neither.
    """

    __slots__ = ("_handle", "_source")

    _handle: _core.Compiled
    _source: Catalog | Candidates | Index

    def __init__(self) -> None:
        raise _convert.wrong_type("CompiledFilter", "catalog.filter(...)", "CompiledFilter()")

    @classmethod
    def _of(cls, core: _core.Compiled, source: Catalog | Candidates | Index) -> CompiledFilter:
        made = cls.__new__(cls)
        made._handle, made._source = core, source
        return made

    def __len__(self) -> int:
        return self._handle.sizes()[0]

    @property
    def selectivity(self) -> float:
        """The share of the items that is kept; 0 where there is no item."""
        kept, items, *_ = self._handle.sizes()
        return kept / max(items, 1)

    @property
    def generation(self) -> int:
        """The catalog's generation that it tells of; 0 for candidates and an index."""
        return self._handle.sizes()[2]

    @property
    def size_bytes(self) -> int:
        """Bytes of its bits."""
        return self._handle.sizes()[3]

    @property
    def ids(self) -> NDArray[Any]:
        """The ids of the items that are kept, in the order of the catalog's."""
        return _convert.ids_out(self._handle.ids())

    def __contains__(self, id: object) -> bool:
        return id in self._handle

    def __and__(self, other: CompiledFilter) -> CompiledFilter:
        return self._of(self._handle.both(_core_of(other)), self._source)

    def __or__(self, other: CompiledFilter) -> CompiledFilter:
        return self._of(self._handle.either(_core_of(other)), self._source)

    def __invert__(self) -> CompiledFilter:
        return self._of(self._handle.negated(), self._source)

    def __bool__(self) -> NoReturn:
        raise TypeError(_NO_BOOL + "; for how many items it keeps, len")

    def __repr__(self) -> str:
        kept, items, generation, size = self._handle.sizes()
        return (
            f"<CompiledFilter: {kept:,} of {items:,} items ({kept / max(items, 1):.2%}), "
            f"generation {generation}, {size:,} bytes>"
        )


def compiled(source: Catalog | Candidates | Index, value: object, argument: str = "where") -> CompiledFilter:
    """What a filter of any kind keeps."""
    from ._where import where

    taken = where(argument, value, source)
    if taken is None:
        expected = "a Filter, a bool mask, ids, or a pyarrow.compute expression"
        if argument == "filter":
            expected = "a bool mask or ids"
        raise _convert.wrong_type(argument, expected, "None")
    return CompiledFilter._of(_core.compile(source._core, taken, argument), source)


def _core_of(other: object) -> _core.Compiled:
    if not isinstance(other, CompiledFilter):
        raise _convert.wrong_type(
            "other", "a CompiledFilter: compile the other one too", _convert.kind_of(other)
        )
    return other._handle


# --- JSON ------------------------------------------------------------------------------------------


def _about(name: str) -> str:
    return f"field({name!r})"


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _leaf(kind: str, name: str, value: str) -> Filter:
    return Filter._of(f'{{"{kind}":[{_text(name)},{value}]}}')


def _plain(values: Iterable[object]) -> Iterable[object]:
    return values.tolist() if isinstance(values, np.ndarray) and values.dtype.kind in "biufUT" else values


def _value(name: str, value: object) -> str:
    """A value as JSON."""
    about = _about(name)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _convert.invalid(about, "Unicode text", f"a lone surrogate in {value!r}") from None
        return _text(str(value))
    if isinstance(value, date | np.datetime64):
        return f'{{"us":{_convert.microseconds(about, value)}}}'
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, int):
        return str(_convert.integer(about, plain, -(2**63)))
    if isinstance(plain, float):
        if not math.isfinite(plain):
            raise _convert.invalid(about, "a finite number", plain)
        return repr(plain)
    hint = ""
    if value is None:
        hint = " (for a null: .is_null())"
    elif isinstance(value, list | tuple | AbstractSet | np.ndarray):
        hint = " (for one of several: .isin)"
    raise _convert.wrong_type(about, _VALUES + hint, _convert.kind_of(value))


def as_filter(value: Filter | Field) -> Filter:
    """A filter, or a bool attribute that is one."""
    return (value == True) if isinstance(value, Field) else value  # noqa: E712


def _joined(kind: str, a: object, b: object) -> Filter:
    parts: list[str] = []
    for one in (a, b):
        if not isinstance(one, Filter | Field):
            sign = "&" if kind == "and" else "|"
            got = _convert.kind_of(one)
            if isinstance(one, CompiledFilter):
                got = "a CompiledFilter: compile this one too"
            elif isinstance(one, bool):
                got += " (is each comparison in parentheses?)"
            raise _convert.wrong_type(sign, "two filters", got)
        text = as_filter(one)._json
        # One list for a & b & c: a chain of any length is two levels deep.
        start = f'{{"{kind}":['
        parts.append(text[len(start) : -2] if text.startswith(start) else text)
    return Filter._of(f'{{"{kind}":[{",".join(parts)}]}}')


def _shown(document: dict[str, Any]) -> str:
    """As a user writes it."""
    [(kind, body)] = document.items()
    if kind in ("and", "or"):
        sign = " & " if kind == "and" else " | "
        return sign.join(_grouped(part) for part in body)
    if kind == "not":
        return _negated(body)
    if kind == "null":
        return f"field({body!r}).is_null()"
    name, value = body
    if kind == "is":
        return f"field({name!r}) == {_literal(value)}"
    if kind == "range":
        if value.keys() == {"from", "to"}:
            return f"field({name!r}).between({_literal(value['from'])}, {_literal(value['to'])})"
        ends = [f"(field({name!r}) {_SIGNS[key]} {_literal(end)})" for key, end in value.items()]
        return " & ".join(ends) if len(ends) > 1 else ends[0][1:-1]
    method = "isin" if kind == "in" else kind
    return f"field({name!r}).{method}([{', '.join(map(_literal, value))}])"


def _negated(document: dict[str, Any]) -> str:
    [(kind, body)] = document.items()
    if kind == "is":
        return f"field({body[0]!r}) != {_literal(body[1])}"
    if kind == "null":
        return f"field({body!r}).is_valid()"
    return f"~{_grouped(document)}"


def _grouped(document: dict[str, Any]) -> str:
    """The same in parentheses, where an operator beside it would take a part of it."""
    [(kind, body)] = document.items()
    if kind == "not":
        bare = "is" not in body
    elif kind == "range":
        bare = body[1].keys() == {"from", "to"}
    else:
        bare = kind not in ("is", "and", "or")
    return _shown(document) if bare else f"({_shown(document)})"


def _literal(value: object) -> str:
    if isinstance(value, dict):
        return repr(_convert.stored_moment_out(value["us"]))
    return repr(value)
