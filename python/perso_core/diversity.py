"""How variety is bought: what an item is worth for a slot, given the slots above it.

Each kind weighs relevance, the score on a scale from 0 for the lowest of the pool to 1 for the highest, against
something of its own by one number from 0 (relevance only) to 1. `docs/policies/` has a page for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from . import _convert
from .blend import MOST, Part, assign, expect_kind

__all__ = ["DPP", "MMR", "Calibrated", "Spread"]


def _space(value: object) -> None:
    if value is not None:
        _convert.text("space", value)


@dataclass(frozen=True)
class MMR(Part):
    """Maximal marginal relevance: each slot weighs the score against likeness to the slots above it.

    Args:
        diversity: 0 for relevance only, 1 for diversity only.
        space: where items are compared, by cosine; None for the first cosine space, else the first.
    """

    diversity: float
    space: str | None = None

    def __post_init__(self) -> None:
        assign(self, diversity=_convert.unit("diversity", self.diversity))
        _space(self.space)

    def _document(self) -> dict[str, Any]:
        return {"kind": "mmr", "diversity": self.diversity, "space": self.space}

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> MMR:
        expect_kind(document, "mmr")
        return cls(document["diversity"], document["space"])


@dataclass(frozen=True)
class DPP(Part):
    """Determinantal point process: the slate whose items are relevant and, taken together, unlike.

    Where `MMR` looks at the most alike of the items above, this looks at all of them at once: an item that
    is half like one and half like another adds little. The greedy inference of Chen, Zhang and Zhou (2018)
    on (1 - diversity) * sum of relevances + diversity * log det S, with S_ij = (1 + cosine) / 2.

    Args:
        diversity: 0 for relevance only, 1 for diversity only.
        space: where items are compared, by cosine; None for the first cosine space, else the first.
        window: an item is compared with this many slots just above it; None for all above it.
    """

    diversity: float
    space: str | None = None
    window: int | None = None

    def __post_init__(self) -> None:
        assign(self, diversity=_convert.unit("diversity", self.diversity))
        _space(self.space)
        if self.window is not None:
            assign(self, window=_convert.integer("window", self.window, 1, MOST))

    def _document(self) -> dict[str, Any]:
        return {"kind": "dpp", "diversity": self.diversity, "space": self.space, "window": self.window}

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> DPP:
        expect_kind(document, "dpp")
        return cls(document["diversity"], document["space"], document["window"])


@dataclass(frozen=True)
class Spread(Part):
    """Sliding spectrum decomposition: variety within every stretch of a feed.

    Each slot adds to the relevance how much of an item is left when what the `window` slots just above have
    in common with it is taken away (Huang et al., 2021): (1 - diversity) * relevance + diversity * length.

    Args:
        diversity: 0 for relevance only, 1 for diversity only.
        window: how many slots above an item is compared with: what a user sees or remembers at once.
        space: where items are compared, by cosine; None for the first cosine space, else the first.
    """

    diversity: float
    window: int
    space: str | None = None

    def __post_init__(self) -> None:
        assign(
            self,
            diversity=_convert.unit("diversity", self.diversity),
            window=_convert.integer("window", self.window, 1, MOST),
        )
        _space(self.space)

    def _document(self) -> dict[str, Any]:
        return {"kind": "spread", "diversity": self.diversity, "window": self.window, "space": self.space}

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Spread:
        expect_kind(document, "spread")
        return cls(document["diversity"], document["window"], document["space"])


@dataclass(frozen=True, repr=False)
class Calibrated(Part):
    """Calibrated slates: the values of an attribute in the shares of a target (Steck, 2018).

    Maximises (1 - strength) * sum of relevances - strength * KL(target || shares in the slate).

    Args:
        attribute: a bool, int, str or list[str] attribute; an item with n values counts 1/n for each.
        strength: 0 for relevance only, 1 for the target only.
        target: {value: share}; shares need not add up to 1. Kept by the values' text. None for the shares
            in the pool: what retrieval found for this user. `rank(..., target=)` goes before it: one per user.
    """

    attribute: str
    strength: float
    target: Mapping[Any, float] | None = None

    def __post_init__(self) -> None:
        _convert.text("attribute", self.attribute)
        assign(self, strength=_convert.unit("strength", self.strength))
        if self.target is None:
            return
        assign(self, target=MappingProxyType(shares("target", self.target)))

    def _document(self) -> dict[str, Any]:
        target = None if self.target is None else dict(self.target)
        return {
            "kind": "calibrated",
            "attribute": self.attribute,
            "strength": self.strength,
            "target": target,
        }

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Calibrated:
        expect_kind(document, "calibrated")
        return cls(document["attribute"], document["strength"], document["target"])

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __reduce__(self) -> tuple[Any, ...]:
        return Calibrated.from_json, (self.to_json(),)

    def __repr__(self) -> str:
        target = None if self.target is None else dict(self.target)
        return f"Calibrated(attribute={self.attribute!r}, strength={self.strength!r}, target={target!r})"


def shares(argument: str, target: object) -> dict[str, float]:
    """A target by the values' text, in one order, so that equal targets are equal texts."""
    if not isinstance(target, Mapping):
        raise _convert.wrong_type(
            argument, "a mapping of values to shares, or None", _convert.kind_of(target)
        )
    found: dict[str, float] = {}
    for value, share in target.items():
        name = _value(value)
        if name in found:
            raise _convert.invalid(argument, "each value once", f"{name!r} twice")
        found[name] = _convert.real(f"{argument}[{value!r}]", share)
        if found[name] < 0:
            raise _convert.invalid(f"{argument}[{value!r}]", "a finite number of at least 0", found[name])
    found = dict(sorted(found.items()))
    total = sum(found.values())
    if not np.finfo(float).tiny <= total <= np.finfo(float).max:
        raise _convert.invalid(argument, "shares with a sum that is finite and above 0", total)
    return found


def _value(value: object) -> str:
    """The text of an attribute's value, as the core writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | np.integer):
        return str(int(value))
    raise _convert.wrong_type("target", "bool, int or str values", _convert.kind_of(value))


Diversity: TypeAlias = MMR | DPP | Spread | Calibrated
KINDS: dict[str, type[Diversity]] = {"mmr": MMR, "dpp": DPP, "spread": Spread, "calibrated": Calibrated}
