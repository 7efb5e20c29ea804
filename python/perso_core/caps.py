"""Caps: how many items of a slate may share a value of an attribute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from . import _convert
from .blend import MOST, Part, assign

__all__ = ["Soft"]


@dataclass(frozen=True)
class Soft(Part):
    """A soft cap: more than `limit` items of a slate may share a value, at a price.

    With n items above that share a value, one more of it costs penalty x (n + 1 - limit) where that is more than 0:
    the first beyond the limit costs one penalty, the next one two. The costs of all values of a list add up. They
    are taken from the value that the greedy choice, `Softmax` and the like go by, which is the diversified one, or
    the score without diversity; scores and terms stay as they are, and nothing becomes ineligible.

    Args:
        limit: so many cost nothing; at least 1.
        penalty: more than 0, in units of that value.
    """

    limit: int
    penalty: float

    def __post_init__(self) -> None:
        penalty = _convert.real("penalty", self.penalty)
        if not penalty > 0.0:
            raise _convert.invalid("penalty", "a number of more than 0", penalty)
        assign(self, limit=_convert.integer("limit", self.limit, 1, MOST), penalty=penalty)

    def _document(self) -> dict[str, Any]:
        return {"limit": self.limit, "penalty": self.penalty}

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Soft:
        return cls(document["limit"], document["penalty"])


Cap: TypeAlias = int | Soft


def caps(value: Mapping[str, Cap]) -> Mapping[str, Cap]:
    """Caps as a policy keeps them: attributes in order."""
    settled: dict[str, Cap] = {}
    for name, cap in value.items():
        argument = f"caps[{_convert.text('caps', name)!r}]"
        settled[name] = cap if isinstance(cap, Soft) else _convert.integer(argument, cap, 1, MOST)
    return MappingProxyType(dict(sorted(settled.items())))


def document(settled: Mapping[str, Cap]) -> dict[str, Any]:
    """Their JSON form."""
    return {name: cap._document() if isinstance(cap, Soft) else cap for name, cap in settled.items()}


def from_document(found: Mapping[str, Any]) -> dict[str, Cap]:
    """What has that form, which the core has validated."""
    return {
        name: Soft._from_document(dict(cap)) if isinstance(cap, Mapping) else cap
        for name, cap in found.items()
    }
