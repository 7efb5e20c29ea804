"""Rules of merchandising: what holds beside the score. A policy applies them in the order it lists them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias, cast

from . import _convert
from . import conditions as _conditions
from ._types import Id, Ids
from .blend import MOST, Part, assign, expect_kind
from .conditions import Conditions

__all__ = ["AtLeast", "Boost", "Hide", "Pin", "Rule"]


class _Rule(Part):
    """What rules share: equality by their documents."""

    _kind: ClassVar[str]

    def __repr__(self) -> str:
        parts = []
        for one in dataclasses.fields(cast(Any, self)):
            value = getattr(self, one.name)
            if value is None or value == one.default:
                continue
            if isinstance(value, MappingProxyType):
                value = _conditions.shown(value)
            parts.append(f"{one.name}={list(value) if isinstance(value, tuple) else value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def __eq__(self, other: object) -> bool:
        return self.to_json() == other.to_json() if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_json, (self.to_json(),)


@dataclass(frozen=True, eq=False, repr=False)
class Boost(_Rule):
    """Adds to the score of matching candidates: a term of its own, 0 for the others.

    It applies to candidates, so it moves what retrieval has found and finds nothing itself; without a user, when
    eligible items are ranked by the blend, it is part of what ranks them.

    Args:
        where: {attribute: condition}, all of which must hold: a bool, int or str, a list of them for any of these,
            or a `Between`. A null meets none.
        by: how much, in units of the score; less than 0 demotes.
        name: of the term; no signal and no other boost may have it. None for "boost", of a policy's second boost
            "boost_2", and so on.
    """

    where: Conditions
    by: float
    name: str | None = None

    _kind: ClassVar[str] = "boost"

    def __post_init__(self) -> None:
        assign(self, where=_conditions.conditions("where", self.where), by=_convert.real("by", self.by))
        if self.name is not None:
            _convert.text("name", self.name)

    def _document(self) -> dict[str, Any]:
        where = _conditions.document(self.where)
        return {"kind": self._kind, "where": where, "by": self.by, "name": self.name}

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Boost:
        expect_kind(document, cls._kind)
        where = _conditions.from_document("where", document["where"])
        return cls(where, document["by"], document["name"])


@dataclass(frozen=True, eq=False, repr=False)
class Hide(_Rule):
    """Items that are not shown: those that match, and those that are listed.

    They are taken from what is eligible before anything is retrieved.

    Args:
        where: {attribute: condition}, as for `Boost`.
        ids: ids of items; one that is not there is fine. At least one of the two is given.
    """

    where: Conditions | None = None
    ids: Ids | None = None

    _kind: ClassVar[str] = "hide"

    def __post_init__(self) -> None:
        if self.where is None and self.ids is None:
            raise _convert.invalid("where", "where, ids or both", "neither")
        if self.where is not None:
            assign(self, where=_conditions.conditions("where", self.where))
        if self.ids is not None:
            found = _convert.ids("ids", self.ids, ordered=False)
            listed = found if isinstance(found, list) else found.tolist()
            if not listed:
                raise _convert.invalid("ids", "one or more ids", "none")
            assign(self, ids=tuple(sorted(set(listed))))

    def _document(self) -> dict[str, Any]:
        ids = None if self.ids is None else [id_document(one) for one in cast(Any, self.ids)]
        where = None if self.where is None else _conditions.document(self.where)
        return {"kind": self._kind, "where": where, "ids": ids}

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Hide:
        expect_kind(document, cls._kind)
        where, ids = document["where"], document["ids"]
        return cls(
            None if where is None else _conditions.from_document("where", where),
            None if ids is None else cast(Ids, [id_from_document("ids", one) for one in ids]),
        )


@dataclass(frozen=True, eq=False, repr=False)
class Pin(_Rule):
    """A slot for one item, or for the best of those that match.

    The item need not be among the candidates. It is kept out of other slots, and what it counts in caps is reserved,
    so that no cap is broken; its propensity is 1. Within a slot for matching items diversity and exploration choose as
    ever, and propensities are those among these items. What cannot be, such as an item that is hidden or excluded,
    leaves the slot to the ordinary choice and is told in the slate's `unmet`.

    Args:
        slot: counted from 0; no other pin of the policy is for it.
        id: the item.
        where: {attribute: condition}, as for `Boost`, in place of an id.
    """

    slot: int
    id: Id | None = None
    where: Conditions | None = None

    _kind: ClassVar[str] = "pin"

    def __post_init__(self) -> None:
        assign(self, slot=_convert.integer("slot", self.slot, 0, MOST))
        if (self.id is None) == (self.where is None):
            got = "neither" if self.id is None else "both"
            raise _convert.invalid("id", "either id or where", got)
        if self.id is not None:
            assign(self, id=_convert.one_id("id", self.id))
        if self.where is not None:
            assign(self, where=_conditions.conditions("where", self.where))

    def _document(self) -> dict[str, Any]:
        return {
            "kind": self._kind,
            "slot": self.slot,
            "id": None if self.id is None else id_document(self.id),
            "where": None if self.where is None else _conditions.document(self.where),
        }

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Pin:
        expect_kind(document, cls._kind)
        one, where = document["id"], document["where"]
        return cls(
            document["slot"],
            None if one is None else id_from_document("id", one),
            None if where is None else _conditions.from_document("where", where),
        )


@dataclass(frozen=True, eq=False, repr=False)
class AtLeast(_Rule):
    """Minimum exposure: at least so many matching items among the first slots.

    A slot is narrowed to matching items when the slots that are left are no more than the items that are missing;
    propensities are those among them. What it cost is in the slate's `prices`; where there are too few matching items,
    or caps or pins forbid them, `unmet` says so.

    Minimum representation in prefixes, as in FA*IR (Zehlike et al., CIKM 2017) and DetGreedy (Geyik, Ambler and
    Kenthapadi, KDD 2019).

    Args:
        count: how many, at least 1.
        where: {attribute: condition}, as for `Boost`.
        top: among the first so many slots, at least `count`; None for the whole slate.
        name: of the price; no other minimum may have it. None for "at_least", of a policy's second minimum
            "at_least_2", and so on.
    """

    count: int
    where: Conditions
    top: int | None = None
    name: str | None = None

    _kind: ClassVar[str] = "at_least"

    def __post_init__(self) -> None:
        assign(self, count=_convert.integer("count", self.count, 1, MOST))
        assign(self, where=_conditions.conditions("where", self.where))
        if self.top is not None:
            assign(self, top=_convert.integer("top", self.top, self.count, MOST))
        if self.name is not None:
            _convert.text("name", self.name)

    def _document(self) -> dict[str, Any]:
        where = _conditions.document(self.where)
        return {
            "kind": self._kind,
            "count": self.count,
            "where": where,
            "top": self.top,
            "name": self.name,
        }

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> AtLeast:
        expect_kind(document, cls._kind)
        where = _conditions.from_document("where", document["where"])
        return cls(document["count"], where, document["top"], document["name"])


Rule: TypeAlias = Boost | Hide | Pin | AtLeast

RULES = (Boost, Hide, Pin, AtLeast)


def from_document(document: dict[str, Any]) -> Rule:
    """The rule of a policy's document, which the core has validated."""
    for kind in RULES:
        if kind._kind == document["kind"]:
            return kind._from_document(document)
    raise _convert.invalid("rules", "a kind that this version knows", repr(document["kind"]))


def id_document(value: int | str) -> Any:
    """An id in a document; the numbers of canonical JSON end at 2^53."""
    return {"int": str(value)} if isinstance(value, int) and abs(value) > MOST else value


def id_from_document(argument: str, value: object) -> int | str:
    """What has that form."""
    if isinstance(value, Mapping) and value.keys() == {"int"}:
        return int(value["int"])
    return _convert.one_id(argument, value)


def given_pins(argument: str, pins: object) -> tuple[list[int], Any]:
    """The pins of a request as slots and ids."""
    if not isinstance(pins, Mapping):
        raise _convert.wrong_type(argument, "a mapping of slots to ids", _convert.kind_of(pins))
    slots = [_convert.integer(f"{argument}: slot", slot, 0) for slot in pins]
    if len(set(slots)) < len(slots):
        raise _convert.invalid(argument, "each slot once", slots)
    return slots, _convert.ids(argument, list(pins.values()))
