"""What evaluation needs of a decision record, and no more: a log of a million has to fit in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _convert, _records

__all__ = ["Told", "by_request", "told"]


@dataclass(frozen=True)
class Told:
    """One slate and the pool that it was drawn from.

    Attributes:
        request_id, k, at, policy: as in the record.
        ids, propensities, greedy, eligible: one a slot.
        pool: the candidates, best first: by score, then by id; int64, or an object array of str.
        later: those that caps brought in while slots were filled.
        steps: retrievals.
        masked: whether pins or minima may narrow slots.
    """

    request_id: str
    k: int
    at: int
    policy: Mapping[str, Any]
    ids: list[Any]
    propensities: list[float]
    greedy: list[Any]
    eligible: list[int]
    pool: NDArray[Any]
    later: frozenset[Any]
    steps: int
    masked: bool

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def by_score_alone(self) -> bool:
        """Whether neither diversity nor caps nor pins nor minima decide."""
        return not self.policy["caps"] and self.policy["diversity"] is None and not self.masked


def told(argument: str, record: Any, policies: dict[str, Any] | None = None) -> Told:
    """Of a `Slate`, a record or its JSON text; `policies` holds one document a policy for all records."""
    document = _records.document(argument, record)
    policy = document["policy"]
    if policies is not None:
        same = policies.setdefault(document["policy_hash"], policy)
        policy = same if same == policy else policy
    choices, steps = document["choices"], document["pool"]
    return Told(
        request_id=document["request_id"],
        k=document["k"],
        at=document["at"],
        policy=policy,
        ids=[choice["id"] for choice in choices],
        propensities=[choice["propensity"] for choice in choices],
        greedy=[choice["greedy"] for choice in choices],
        eligible=[choice["eligible"] for choice in choices],
        pool=_by_score(
            [one for step in steps for one in step["ids"]], [one for step in steps for one in step["scores"]]
        ),
        later=frozenset(one for step in steps[1:] for one in step["ids"]),
        steps=len(steps),
        masked=bool(document.get("pins"))
        or any(rule["kind"] in ("pin", "at_least") for rule in policy.get("rules", ())),
    )


def by_request(argument: str, records: Any) -> dict[str, Told]:
    """Of several, each request once."""
    found: dict[str, Told] = {}
    policies: dict[str, Any] = {}
    for i, record in enumerate(_records.several(argument, records)):
        one = told(f"{argument}[{i}]", record, policies)
        if one.request_id in found:
            raise _convert.invalid(argument, "each request once", f"{one.request_id!r} twice")
        found[one.request_id] = one
    return found


def _by_score(ids: list[Any], scores: list[float]) -> NDArray[Any]:
    """Best first: by score, of two zeros the positive one, as in the core; then by id."""
    texts = bool(ids) and isinstance(ids[0], str)
    found = np.array(ids, dtype=object if texts else np.int64)
    values = np.array(scores, dtype=np.float64)
    if texts:
        # Text by code points, which is the order of UTF-8's bytes.
        inorder = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
        tie = np.empty(len(ids), dtype=np.int64)
        tie[inorder] = np.arange(len(ids))
    else:
        tie = found
    return found[np.lexsort((tie, np.signbit(values), -values))]
