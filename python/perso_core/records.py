"""Decision records as an Arrow table, for logs at volume: one row a decision, and the same records back.

Typed columns hold what an analysis reads: pools, choices, propensities. What repeats from row to row, such as the
policy, is dictionary-encoded. Nothing is lost: `from_arrow` gives records that are equal to those that went in and
replay, also after a way through a Parquet file. Fields of a later version that have no column yet are kept as JSON in
a field `extra`. Needs pyarrow; `docs/audit.md` has figures.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import _convert, _records
from ._core import FormatError
from .results import Slate

if TYPE_CHECKING:
    import pyarrow

__all__ = ["from_arrow", "to_arrow"]

# Fields that are never null: where a column has a null, the record has no such field.
_OPTIONAL = frozenset({"allow", "lists", "pins", "prices", "source", "target", "unmet", "user_key_hmac"})
_ELIGIBILITY_OPTIONAL = frozenset({"hidden"})
_CHOICE_OPTIONAL = frozenset({"score", "terms", "support", "propensity_kind", "draws", "standard_error"})
_AS_JSON = ("policy", "source")
_MAPS = ("user", "user_sha256", "signals", "target", "prices")


def to_arrow(records: Iterable[Any], *, user: bool | None = None) -> pyarrow.Table:
    """Records as a table, one row a decision.

    Args:
        records: `Slate`s, records or their JSON texts, of items whose ids are of one kind.
        user: of `Slate`s, whether the records hold the user's vectors, as for `Slate.record`; None for its default.

    Returns:
        A table with a column for each field of a record: `at` as timestamp[us, UTC], `seed` as uint64, `pool` as a
        list of {ids, scores} with one entry a retrieval, `choices` as a list of structs, `signals`, `user` and `target`
        as maps, `policy` and `source` as dictionary-encoded JSON; ids int64 or string. A user of `Interests`
        is JSON in `extra`.

    Raises:
        FormatError: what is no decision record, or has a field of another type.
        ValueError: ids of both kinds.
    """
    pa = _pyarrow()
    if user is not None:
        user = _convert.flag("user", user)
    documents = [_document(i, one, user) for i, one in enumerate(_records.several("records", records))]
    try:
        types = _types(pa, _id_type(pa, documents))
        columns: dict[str, list[Any]] = {name: [] for name in types}
        texts: dict[str, tuple[Any, str]] = {}
        for document in documents:
            row = _row(document, texts)
            for name, values in columns.items():
                values.append(row.get(name))
        return pa.table({name: _column(pa, values, types[name]) for name, values in columns.items()})
    except (pa.ArrowException, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise FormatError(f"records: expected decision records, got one of another form ({error})") from None


def from_arrow(table: Any) -> list[dict[str, Any]]:
    """The records that `to_arrow` took: equal dicts, which `replay` and `pc.ope` read.

    Args:
        table: what `to_arrow` returned, whole or some of its rows: a pyarrow Table or RecordBatch, or whatever hands
            one over through the Arrow PyCapsule interface.

    Raises:
        FormatError: a table of another form.
    """
    pa = _pyarrow()
    if not isinstance(table, pa.Table):
        if not hasattr(table, "__arrow_c_stream__") and not isinstance(table, pa.RecordBatch):
            raise _convert.wrong_type("table", "an Arrow table", _convert.kind_of(table))
        table = pa.table(table) if hasattr(table, "__arrow_c_stream__") else pa.Table.from_batches([table])
    names = set(_types(pa, pa.int64()))
    if set(table.column_names) != names:
        wrong = sorted(names.symmetric_difference(table.column_names))
        raise FormatError(f"table: expected the columns that to_arrow writes, got others: {wrong[0]!r}")
    try:
        # Not every moment has a datetime.
        columns = {
            name: (table[name].cast(pa.int64()) if name == "at" else table[name]).to_pylist()
            for name in table.column_names
        }
        return [_record({name: columns[name][i] for name in columns}) for i in range(table.num_rows)]
    except (pa.ArrowException, KeyError, TypeError, AttributeError, ValueError) as error:
        raise FormatError(f"table: expected what to_arrow writes, got another form ({error})") from None


# --- a record and a row -----------------------------------------------------------------------------


def _document(i: int, one: object, user: bool | None) -> dict[str, Any]:
    return one.record(user=user) if isinstance(one, Slate) else _records.document(f"records[{i}]", one)


def _split(fields: Mapping[str, Any], known: Iterable[str], optional: frozenset[str]) -> dict[str, Any]:
    """The fields that have a column; the others, and nulls that a column would not bring back, as JSON."""
    known = frozenset(known)
    rest = {
        name: value
        for name, value in fields.items()
        if name not in known or name == "extra" or (value is None and name in optional)
    }
    lacking = known - fields.keys() - optional - {"extra"}
    if lacking:
        raise KeyError(min(lacking))
    return {**fields, "extra": json.dumps(rest, allow_nan=False, sort_keys=True) if rest else None}


def _row(document: Mapping[str, Any], texts: dict[str, tuple[Any, str]]) -> dict[str, Any]:
    user = document.get("user")
    if isinstance(user, Mapping) and not all(isinstance(one, list) for one in user.values()):
        # Interests have no column of their own.
        document = {**document, "user": None}
        row = _split(document, _FIELDS, _OPTIONAL)
        row["extra"] = json.dumps(
            {**json.loads(row["extra"] or "{}"), "user": user}, allow_nan=False, sort_keys=True
        )
    else:
        row = _split(document, _FIELDS, _OPTIONAL)
    for name in _AS_JSON:
        if row.get(name) is not None:
            row[name] = _text(name, row[name], texts)
    for name in _MAPS:
        if row.get(name) is not None:
            row[name] = list(row[name].items())
    if row.get("lists") is not None:
        row["lists"] = [(name, _split(one, _LISTED, frozenset())) for name, one in row["lists"].items()]
    row["eligibility"] = _split(row["eligibility"], _ELIGIBILITY, _ELIGIBILITY_OPTIONAL)
    if row.get("pins") is not None:
        row["pins"] = [_split(pin, _PIN, frozenset()) for pin in row["pins"]]
    row["pool"] = [_split(step, _STEP, frozenset()) for step in row["pool"]]
    row["choices"] = [_split(choice, _CHOICE, _CHOICE_OPTIONAL) for choice in row["choices"]]
    if row.get("allow") is not None:
        row["allow"] = _split(row["allow"], _ALLOW, frozenset())
    return row


def _text(name: str, value: Any, texts: dict[str, tuple[Any, str]]) -> str:
    """Its JSON; that of the record before, where it is the same."""
    before = texts.get(name)
    if before is None or before[0] != value:
        before = texts[name] = (value, json.dumps(value, allow_nan=False, sort_keys=True))
    return before[1]


def _joined(fields: dict[str, Any], optional: frozenset[str]) -> dict[str, Any]:
    extra = fields.pop("extra")
    out = {name: value for name, value in fields.items() if value is not None or name not in optional}
    return {**out, **json.loads(extra)} if extra is not None else out


def _record(row: dict[str, Any]) -> dict[str, Any]:
    for name in _AS_JSON:
        row[name] = None if row[name] is None else json.loads(row[name])
    for name in _MAPS:
        row[name] = None if row[name] is None else dict(row[name])
    if row["lists"] is not None:
        row["lists"] = {name: _joined(one, frozenset()) for name, one in row["lists"]}
    row["eligibility"] = _joined(row["eligibility"], _ELIGIBILITY_OPTIONAL)
    if row["pins"] is not None:
        row["pins"] = [_joined(pin, frozenset()) for pin in row["pins"]]
    row["pool"] = [_joined(step, frozenset()) for step in row["pool"]]
    row["choices"] = [_joined(choice, _CHOICE_OPTIONAL) for choice in row["choices"]]
    row["allow"] = None if row["allow"] is None else _joined(row["allow"], frozenset())
    return _joined(row, _OPTIONAL)


# --- types ------------------------------------------------------------------------------------------

_ELIGIBILITY = ("live", "filtered", "excluded", "hidden", "eligible")
_PIN = ("slot", "id")
_LISTED = ("given", "eligible")
_STEP = ("ids", "scores")
_ALLOW = ("history", "profile", "signals")
_CHOICE = (
    "id",
    "score",
    "terms",
    "propensity",
    "explored",
    "greedy",
    "eligible",
    "support",
    "propensity_kind",
    "draws",
    "standard_error",
)


def _types(pa: Any, ids: Any) -> dict[str, Any]:
    """Columns of the table, in its order."""
    text, number, count = pa.string(), pa.float64(), pa.uint64()
    repeated = pa.dictionary(pa.int32(), text)
    extra = pa.field("extra", text)
    kinds = {
        "id": ids,
        "greedy": ids,
        "terms": pa.list_(number),
        "explored": pa.bool_(),
        "propensity_kind": text,
    }
    counts = {"eligible", "support", "draws"}
    choice = [pa.field(name, kinds.get(name, count if name in counts else number)) for name in _CHOICE]
    step = [pa.field("ids", pa.list_(ids)), pa.field("scores", pa.list_(number))]
    return {
        "request_id": text,
        "at": pa.timestamp("us", tz="UTC"),
        "seed": count,
        "k": count,
        "policy_hash": repeated,
        "policy": repeated,
        "path": repeated,
        "choices": pa.list_(pa.struct([*choice, extra])),
        "terms": pa.list_(text),
        "pool": pa.list_(pa.struct([*step, extra])),
        "signals": pa.map_(text, pa.list_(number)),
        "target": pa.map_(text, number),
        "pins": pa.list_(pa.struct([pa.field("slot", count), pa.field("id", ids), extra])),
        "lists": pa.map_(text, pa.struct([*(pa.field(name, count) for name in _LISTED), extra])),
        "user": pa.map_(text, pa.list_(number)),
        "user_sha256": pa.map_(text, text),
        "user_key_hmac": text,
        "allow": pa.struct([*(pa.field(name, pa.bool_()) for name in _ALLOW), extra]),
        "eligibility": pa.struct([*(pa.field(name, count) for name in _ELIGIBILITY), extra]),
        "short_reason": text,
        "unmet": pa.list_(text),
        "prices": pa.map_(text, number),
        "source": repeated,
        "generation": count,
        "content_hash": repeated,
        "schema": repeated,
        "library": repeated,
        "digest": text,
        "extra": text,
    }


_FIELDS = frozenset(
    [
        "request_id",
        "at",
        "seed",
        "k",
        "policy_hash",
        "policy",
        "path",
        "choices",
        "terms",
        "pool",
        "signals",
        "target",
        "pins",
        "lists",
        "user",
        "user_sha256",
        "user_key_hmac",
        "allow",
        "eligibility",
        "short_reason",
        "unmet",
        "prices",
        "source",
        "generation",
        "content_hash",
        "schema",
        "library",
        "digest",
    ]
)


def _id_type(pa: Any, documents: list[dict[str, Any]]) -> Any:
    # Pins tell it as well, of a slate that has no items.
    kinds = {type(i) for one in documents for step in one["pool"] for i in step["ids"][:1]}
    kinds |= {type(choice["id"]) for one in documents for choice in one["choices"][:1]}
    kinds |= {type(pin["id"]) for one in documents for pin in one.get("pins") or []}
    if kinds <= {int}:
        return pa.int64()
    if kinds == {str}:
        return pa.string()
    raise _convert.invalid("records", "ids of one kind, int or str", "both: write a table for each")


def _column(pa: Any, values: list[Any], kind: Any) -> Any:
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array(values, kind)


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise ImportError("records as a table need pyarrow:  pip install 'perso_core[arrow]'") from None
    return pyarrow
