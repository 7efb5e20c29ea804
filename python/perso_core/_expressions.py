"""Expressions of `pyarrow.compute` as filters.

Comparisons, `isin`, `is_null`, `is_valid`, &, | and ~ become predicates that the core answers from its indexes.
Everything else pyarrow evaluates, over a table of just the attributes that the expression names.

An expression tells its structure only when it is pickled: as the metadata of a record batch whose columns
are its literals. What is read there is not believed: the expression is made again from it, and has to be equal.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _arrow, _convert, _core
from .filters import _value

if TYPE_CHECKING:
    from .candidates import Candidates
    from .capsule import Capsule
    from .catalog import Catalog

__all__ = ["expression"]

_Kinds = tuple[tuple[str, str], ...]

_FLIPPED = {"equal": "equal", "not_equal": "not_equal"} | {
    "less": "greater",
    "less_equal": "greater_equal",
    "greater": "less",
    "greater_equal": "less_equal",
}
_ENDS = {"less": "below", "less_equal": "to", "greater": "above", "greater_equal": "from"}
_EXACT = 2**53

# The expressions of the last requests, which most often are those of the next; each is held, so that no other gets
# its number.
_KNOWN: OrderedDict[tuple[int, _Kinds], tuple[Any, _core.Filter]] = OrderedDict()
_MOST = 64


class _Node(NamedTuple):
    """A part of an expression: "field" with its name, "literal" with its scalar, or a call."""

    name: str
    value: Any
    arguments: tuple[_Node, ...] = ()


class _Unknown(Exception):
    """What is not translated."""


def expression(argument: str, value: Any, source: Catalog | Candidates | Capsule) -> _core.Filter:
    """An expression as a filter of the core."""
    kinds: _Kinds = source._kinds
    key = (id(value), kinds)
    known = _KNOWN.get(key)
    if known is not None and known[0] is value:
        return known[1]
    text = translated(value, dict(kinds))
    made = _core.Filter(text) if text is not None else _outside(argument, value, kinds)
    _KNOWN[key] = (value, made)
    while len(_KNOWN) > _MOST:
        _KNOWN.popitem(last=False)
    return made


def translated(value: Any, kinds: dict[str, str]) -> str | None:
    """The JSON of the filter that an expression is, over attributes of these types; None where it is none."""
    try:
        text, again = _filter(_parsed(value), kinds)
        return text if again.equals(value) else None
    except _Unknown:
        return None


# --- what it says ----------------------------------------------------------------------------------


def _parsed(value: Any) -> _Node:
    """The tree of an expression."""
    import pyarrow as pa

    try:
        buffer = value.__reduce__()[1][0]
        with pa.ipc.open_file(buffer) as file:
            batch = file.get_batch(0)
        shown = batch.schema.to_string(truncate_metadata=False, show_field_metadata=False)
        lines = shown.split("-- schema metadata --\n", 1)[1].split("\n")
        tokens = [line.split(": ", 1) for line in lines]
        node, end = _node([(key, text[1:-1]) for key, text in tokens], 0, batch)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise _Unknown from None
    if end != len(tokens):
        raise _Unknown
    return node


def _node(tokens: list[tuple[str, str]], at: int, batch: Any) -> tuple[_Node, int]:
    key, text = tokens[at]
    if key == "field_ref":
        return _Node("field", text), at + 1
    if key == "literal":
        return _Node("literal", batch.column(int(text))[0]), at + 1
    if key != "call":
        raise _Unknown
    arguments: list[_Node] = []
    options = None
    at += 1
    while tokens[at][0] != "end":
        if tokens[at][0] == "options":
            options = batch.column(int(tokens[at][1]))[0].as_py()
            at += 1
        else:
            node, at = _node(tokens, at, batch)
            arguments.append(node)
    return _Node(text, options, tuple(arguments)), at + 1


# --- as predicates ---------------------------------------------------------------------------------


def _filter(node: _Node, kinds: dict[str, str]) -> tuple[str, Any]:
    """The JSON of a filter, and the expression that it was read from, made again."""
    import pyarrow.compute as pc

    name, arguments = node.name, node.arguments
    if name in ("and_kleene", "or_kleene") and len(arguments) == 2:
        (a, left), (b, right) = (_filter(one, kinds) for one in arguments)
        kind = "and" if name == "and_kleene" else "or"
        return f'{{"{kind}":[{a},{b}]}}', (left & right) if kind == "and" else (left | right)
    if name == "invert" and len(arguments) == 1:
        text, inner = _filter(arguments[0], kinds)
        return f'{{"not":{text}}}', ~inner
    if name == "field" and kinds.get(node.value) == "bool":
        return f'{{"is":[{_name(node)},true]}}', pc.field(node.value)
    if name in ("is_null", "is_valid") and len(arguments) == 1:
        field = _field(arguments[0], kinds)
        text = f'{{"null":{_name(arguments[0])}}}'
        if name == "is_valid":
            return f'{{"not":{text}}}', field.is_valid()
        return text, field.is_null(nan_is_null=node.value["nan_is_null"])
    if name == "is_in" and len(arguments) == 1:
        return _is_in(node, kinds)
    if name in _FLIPPED and len(arguments) == 2:
        left, right = arguments
        if left.name == "literal":
            text = _compared(_FLIPPED[name], right, left.value, kinds)
            again = _again(name, pc.scalar(left.value), _field(right, kinds))
        else:
            text = _compared(name, left, right.value, kinds) if right.name == "literal" else _fail()
            again = _again(name, _field(left, kinds), pc.scalar(right.value))
        return text, again
    raise _Unknown


def _fail() -> Any:
    raise _Unknown


def _again(name: str, left: Any, right: Any) -> Any:
    if name == "equal":
        return left == right
    if name == "not_equal":
        return left != right
    if name in ("less", "less_equal"):
        return left < right if name == "less" else left <= right
    return left > right if name == "greater" else left >= right


def _field(node: _Node, kinds: dict[str, str]) -> Any:
    import pyarrow.compute as pc

    if node.name != "field" or node.value not in kinds:
        raise _Unknown
    return pc.field(node.value)


def _name(node: _Node) -> str:
    return json.dumps(node.value, ensure_ascii=False)


def _compared(name: str, field: _Node, scalar: Any, kinds: dict[str, str]) -> str:
    kind = kinds.get(field.value) if field.name == "field" else None
    value = _scalar(scalar.type, scalar, kind)
    if name in _ENDS:
        if kind == "bool":
            raise _Unknown
        return f'{{"range":[{_name(field)},{{"{_ENDS[name]}":{value}}}]}}'
    text = f'{{"is":[{_name(field)},{value}]}}'
    return text if name == "equal" else f'{{"not":{text}}}'


def _is_in(node: _Node, kinds: dict[str, str]) -> tuple[str, Any]:
    import pyarrow as pa

    [argument] = node.arguments
    field = _field(argument, kinds)
    kind = kinds[argument.value]
    # 0 is that a null among the values matches, and that without one a null is not in.
    if node.value["null_matching_behavior"] != 0 or kind in ("float", "timestamp"):
        raise _Unknown
    values = node.value["value_set"]
    wanted = {"bool": pa.bool_(), "int": pa.int64(), "str": pa.string()}.get(kind) or _fail()
    array = pa.array(values, wanted)
    texts = {"null" if value is None else _value(argument.value, value) for value in array.to_pylist()}
    return f'{{"in":[{_name(argument)},[{",".join(sorted(texts))}]]}}', field.isin(array)


def _scalar(arrow: Any, scalar: Any, kind: str | None) -> str:
    """A literal as the core takes it, where pyarrow would compare it without a cast that could round."""
    import pyarrow as pa

    if not scalar.is_valid:
        raise _Unknown
    types = pa.types
    if kind == "timestamp":
        return _moment(arrow, scalar)
    value = scalar.as_py()
    fits = (
        (kind == "bool" and types.is_boolean(arrow))
        or (kind in ("int", "float") and types.is_integer(arrow))
        or (kind == "float" and types.is_floating(arrow))
        or (kind == "str" and (types.is_string(arrow) or types.is_large_string(arrow)))
    )
    if not fits or (types.is_uint64(arrow) and value >= 2**63):
        raise _Unknown
    if kind == "float" and (not np.isfinite(value) or (isinstance(value, int) and abs(value) > _EXACT)):
        raise _Unknown
    return _value("", value)


def _moment(arrow: Any, scalar: Any) -> str:
    import pyarrow as pa

    if pa.types.is_date32(arrow):
        count, per_second = scalar.value * 86_400, 1
    elif pa.types.is_timestamp(arrow):
        count, per_second = scalar.value, {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[arrow.unit]
    else:
        raise _Unknown
    us, rest = divmod(count * 10**6, per_second)
    if rest or not -(2**63) <= us < 2**63:
        raise _Unknown
    return f'{{"us":{us}}}'


# --- evaluated outside -----------------------------------------------------------------------------


def _outside(argument: str, value: Any, kinds: _Kinds) -> _core.Filter:
    """A filter that pyarrow evaluates."""
    names = [name for name, _ in kinds]
    try:
        named = _names(_parsed(value))
        names = [name for name in named if name in names] if named <= set(names) else _missing(named, names)
    except _Unknown:
        pass  # Every attribute, then.
    # Literals alone say nothing of how many items there are.
    names = sorted(names) or [name for name, _ in kinds][:1]
    pa = _arrow.pyarrow("an expression")
    pickled: Any = value.__reduce__()[1][0]
    key = "pyarrow " + hashlib.sha256(bytes(pickled)).hexdigest() + " " + json.dumps(names)

    def evaluate(batch: Any) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        from pyarrow import acero

        table = acero.TableSourceNodeOptions(pa.table(batch))
        steps = [
            acero.Declaration("table_source", table),
            acero.Declaration("project", acero.ProjectNodeOptions([value], ["kept"])),
        ]
        expected = f"an expression over the attributes {dict(kinds)}"
        try:
            # One thread keeps the order.
            kept = acero.Declaration.from_sequence(steps).to_table(use_threads=False).column(0)
        except pa.ArrowException as error:
            raise _convert.invalid(argument, expected, error) from None
        if pa.types.is_null(kept.type):
            kept = kept.cast(pa.bool_())
        if not pa.types.is_boolean(kept.type):
            raise _convert.wrong_type(argument, "an expression that is true or false", f"one of {kept.type}")
        yes, maybe = (kept.fill_null(null).to_numpy() for null in (False, True))
        return np.ascontiguousarray(yes), np.ascontiguousarray(maybe)

    return _core.Filter.outside(key, names, evaluate)


def _missing(named: set[str], names: list[str]) -> Any:
    unknown = sorted(named - set(names))[0]
    raise KeyError(f"no such attribute: {json.dumps(unknown)}")


def _names(node: _Node) -> set[str]:
    """The attributes that an expression names."""
    if node.name == "field":
        return {node.value}
    return set().union(*(_names(one) for one in node.arguments))
