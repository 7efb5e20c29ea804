"""Decision records as other modules read them: a checked view of the JSON document, no replay."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from . import _convert
from ._core import FormatError
from .results import Slate, SlateBatch

SCHEMA = "perso_core.record/1"
_FIELDS = ("request_id", "at", "policy", "policy_hash", "pool", "terms", "choices", "k")
# What a record without personal input has not.
_WITHHELD = ("score", "terms")
_CHOICE = ("id", "score", "terms", "propensity", "greedy", "eligible")


def document(argument: str, record: object) -> dict[str, Any]:
    """The document of a `Slate`, of a mapping, or of a line of JSON text."""
    if isinstance(record, Slate):
        return record.record(user=False)
    if isinstance(record, str):
        try:
            record = json.loads(record)
        except ValueError as error:
            raise FormatError(f"{argument}: expected a decision record as JSON, got {error}") from None
        if not isinstance(record, Mapping):
            raise FormatError(f"{argument}: expected a decision record, got JSON of another form")
    if not isinstance(record, Mapping):
        raise _convert.wrong_type(argument, "a Slate, a record, or its JSON text", _convert.kind_of(record))
    if record.get("schema") != SCHEMA:
        raise FormatError(f"{argument}: expected the schema {SCHEMA!r}, got {record.get('schema')!r}")
    lacking = [name for name in _FIELDS if name not in record]
    if not lacking:
        withheld = _WITHHELD if record.get("personal") is not None else ()
        wanted = [name for name in _CHOICE if name not in withheld]
        lacking = [name for choice in record["choices"] for name in wanted if name not in choice]
    if lacking:
        raise FormatError(f"{argument}: expected a whole record, got one without {lacking[0]!r}")
    return dict(record)


def several(argument: str, records: object) -> Iterable[Any]:
    """Several records, which a single one is not."""
    if isinstance(records, str | Mapping | Slate) or not isinstance(records, Iterable):
        raise _convert.wrong_type(
            argument, "an iterable of Slates, records or JSON texts", _convert.kind_of(records)
        )
    return records


def shown(argument: str, slates: object) -> Iterator[tuple[list[Any], list[float], dict[str, list[float]]]]:
    """Ids, propensities, and score with terms of each slate: of `Slate`s without the detour over JSON."""
    if isinstance(slates, Slate):
        slates = [slates]
    if not isinstance(slates, SlateBatch | list | tuple):
        if isinstance(slates, str | Mapping) or not isinstance(slates, Iterable):
            raise _convert.wrong_type(
                argument, "Slates, records or their JSON texts", _convert.kind_of(slates)
            )
        slates = list(slates)
    for i, one in enumerate(slates):
        if isinstance(one, Slate):
            numbers = {"score": one.scores.tolist()}
            numbers.update({name: values.tolist() for name, values in one.terms.items()})
            yield one.ids.tolist(), one.propensities.tolist(), numbers
            continue
        record = document(f"{argument}[{i}]", one)
        choices = record["choices"]
        numbers = {}
        if record.get("personal") is None:
            numbers["score"] = [choice["score"] for choice in choices]
        for j, name in enumerate(record["terms"]):
            numbers[name] = [choice["terms"][j] for choice in choices]
        yield [choice["id"] for choice in choices], [choice["propensity"] for choice in choices], numbers
