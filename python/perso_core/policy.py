"""The configuration of a whole ranking. Its parts are in `blend.py`, `diversity.py`, `caps.py`, `explore.py` and `rules.py`.

A `Policy` has a `hash`: SHA-256 over its canonical JSON (RFC 8785), the same in every process and on every
machine; a decision record carries it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, cast

from . import _convert, _core
from . import caps as _caps
from . import explore as _explore
from . import rules as _rules
from .blend import MOST, Blend, assign
from .diversity import KINDS, Diversity

__all__ = ["Policy"]

_SCHEMA = "perso_core.policy/1"
_DIVERSITY = "an MMR, a DPP, a Spread or a Calibrated"
_RULES = "rules such as Boost or Pin"


# --- the whole -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Policy:
    """The configuration of a whole ranking.

    Args:
        candidates: how many candidates retrieval hands to ranking; at least the k that is asked for.
            None for max(100, 10 k).
        score: how candidates are scored.
        diversity: how variety is bought; None for none.
        caps: {attribute: n}: at most n items with the same value of a bool, int, str or list[str]
            attribute in a slate; an item counts for each of its values. {attribute: Soft(n, penalty)}: more than n
            cost a penalty.
        explore: how the unknown is tried; None for always the best, with propensity 1.
        rules: what holds beside the score: `Boost`, `Hide`, `Pin` and `AtLeast`, in the order in which they
            apply.
    """

    candidates: int | None = None
    score: Blend = field(default_factory=Blend)
    diversity: Diversity | None = None
    caps: Mapping[str, _caps.Cap] = field(default_factory=dict)
    explore: _explore.Explorer | None = None
    rules: Iterable[_rules.Rule] = ()

    def __post_init__(self) -> None:
        if self.candidates is not None:
            assign(self, candidates=_convert.integer("candidates", self.candidates, 1, MOST))
        _instance("score", self.score, Blend, "a Blend")
        if self.diversity is not None:
            _instance("diversity", self.diversity, tuple(KINDS.values()), f"{_DIVERSITY}, or None")
        if self.explore is not None:
            _instance(
                "explore", self.explore, _explore.EXPLORERS, "an explorer such as EpsilonGreedy, or None"
            )
        _instance("caps", self.caps, Mapping, "a mapping of attributes to integers or Soft")
        assign(self, caps=_caps.caps(self.caps))
        # A set has no order of its own, and the order is part of the policy.
        if isinstance(self.rules, str | Mapping | AbstractSet) or not isinstance(self.rules, Iterable):
            raise _convert.wrong_type("rules", f"a list of {_RULES}", _convert.kind_of(self.rules))
        assign(self, rules=tuple(self.rules))
        for i, rule in enumerate(self.rules):
            _instance(f"rules[{i}]", rule, _rules.RULES, _RULES)
        document: dict[str, Any] = {
            "schema": _SCHEMA,
            "candidates": self.candidates,
            "score": self.score._document(),
            "diversity": None if self.diversity is None else self.diversity._document(),
            "caps": _caps.document(self.caps),
            "explore": None if self.explore is None else self.explore._document(),
        }
        if self.rules:
            document["rules"] = [rule._document() for rule in self.rules]
        # The core has the last word, and the canonical form.
        assign(self, _core=_core.Policy(json.dumps(document)))

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return self._handle.hash

    @property
    def reads(self) -> list[str]:
        """The names that some part of it reads, sorted: signals, attributes, and features of models. Each can be
        masked by `pc.counterfactual`, and so can "similarity", for every space.
        """
        return self._handle.reads

    @property
    def _handle(self) -> _core.Policy:
        return cast(_core.Policy, object.__getattribute__(self, "_core"))

    def to_json(self) -> str:
        """The policy as canonical JSON (RFC 8785)."""
        return self._handle.json

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """The policy that `to_json` wrote; ValueError where the text is something else."""
        if not isinstance(text, str):
            raise _convert.wrong_type("text", "a JSON document as str", _convert.kind_of(text))
        document = json.loads(_core.Policy(text).json)
        diversity, explore = document["diversity"], document["explore"]
        return cls(
            candidates=document["candidates"],
            score=Blend._from_document(document["score"]),
            diversity=None if diversity is None else KINDS[diversity["kind"]]._from_document(diversity),
            caps=_caps.from_document(document["caps"]),
            explore=None if explore is None else _explore.from_document(explore),
            rules=[_rules.from_document(rule) for rule in document.get("rules", [])],
        )

    def __eq__(self, other: object) -> bool:
        return self.to_json() == other.to_json() if isinstance(other, Policy) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __reduce__(self) -> tuple[Any, ...]:
        return Policy.from_json, (self.to_json(),)

    def __repr__(self) -> str:
        parts = [] if self.candidates is None else [f"candidates={self.candidates}"]
        parts.append(f"score={self.score!r}")
        if self.diversity is not None:
            parts.append(f"diversity={self.diversity!r}")
        if self.caps:
            parts.append(f"caps={dict(self.caps)!r}")
        if self.explore is not None:
            parts.append(f"explore={self.explore!r}")
        if self.rules:
            parts.append(f"rules={list(self.rules)!r}")
        return f"Policy({', '.join(parts)})"


def _instance(argument: str, value: object, kind: type | tuple[type, ...], expected: str) -> None:
    if not isinstance(value, kind):
        raise _convert.wrong_type(argument, expected, _convert.kind_of(value))
