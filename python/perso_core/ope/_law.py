"""What another policy would have done with a logged slate: probabilities that records tell exactly.

Epsilon-greedy over n eligible candidates takes the greedy one with probability 1 - eps + eps / n and any
other with eps / n; with one coin a slate eps is the probability that it fell for exploration given the slots above. So the probability of a logged item is known as soon as the greedy choice and the eligible
set *given the logged items above* are. A record states both along its own slate, and its pool with scores
states them for any slate when nothing but the score decides: no diversity, no caps. The rest needs vectors
and attributes, and is refused.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _convert
from ..policy import Policy
from ._told import Told, told

__all__ = ["epsilon_greedy_marginals", "propensities"]


def propensities(record: Any, other: Any) -> NDArray[np.float64]:
    """The probability with which another policy would put a logged slate's items into its slots.

    For each slot given the logged items above it, as `slate.propensities` is.

    Args:
        record: of the slate: a `Slate`, `slate.record()`, or its JSON text.
        other: a `Policy` that differs from the record's own in `explore` alone; or the record that another
            policy left for the same request, the same user and the same data.

    Returns:
        (n,) float64. After a slot with probability 0 the other policy cannot have got there; where its law is
        not known from then on, the rest is 0 too, which changes no product of probabilities.

    Raises:
        ValueError: the record cannot tell. It tells everything of a policy without diversity and caps; and of
            any policy as long as both slates agree, which is all there is to know when it does not explore.
        FormatError: a record that is none.
    """
    log = told("record", record)
    if isinstance(other, Policy):
        return along(log, explorer("other", same_but_explore("other", log, other), log.at))
    return across(log, told("other", other))


def epsilon_greedy_marginals(ranks: ArrayLike, pool: int, slots: int, epsilon: float) -> NDArray[np.float64]:
    """The probability of an item at each position, whatever stands above: for `iips` and `pbm`.

    Of epsilon-greedy by score over a pool, without diversity and caps. Exact: an item's fate depends only on
    how many better ones are left, which is a Markov chain.

    Args:
        ranks: (m,) int, each item's place in the pool by score, 0 for the best; negative for an item outside
            it.
        pool: how many candidates there are, at least `slots`.
        slots: how many positions.
        epsilon: of the policy; 0 for one that does not explore.

    Returns:
        (m, slots) float64; a row adds up to the probability that the item is shown at all.
    """
    found = _convert.array("ranks", ranks)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise _convert.wrong_type("ranks", "integers of one dimension", _convert.kind_of(found))
    n = _convert.integer("pool", pool, 1)
    count = _convert.integer("slots", slots, 1, n)
    eps = _convert.real("epsilon", epsilon)
    if not 0 <= eps <= 1:
        raise _convert.invalid("epsilon", "a number from 0 to 1", eps)
    if len(found) and found.max() >= n:
        raise _convert.invalid("ranks", f"less than the pool's {n}", f"{found.max()}")
    inside = np.flatnonzero(found >= 0)
    out = np.zeros((len(found), count))
    if not len(inside):
        return out
    # state[i, d]: item i is still there, and d of those better than it are gone.
    state = np.zeros((len(inside), count + 1))
    state[:, 0] = 1.0
    better = found[inside, np.newaxis] - np.arange(count + 1)
    first = better == 0
    for slot in range(count):
        left = n - slot
        share = eps / left
        out[inside, slot] = share * state.sum(axis=1) + (1 - eps) * (state * first).sum(axis=1)
        moved = state * share * np.maximum(left - 1 - better, 0)
        moved[:, 1:] += (state * np.where(better > 0, 1 - eps + share * better, 0.0))[:, :-1]
        state = moved
    return np.minimum(out, 1.0)


# --- parts -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Law:
    """What tells the probabilities of an epsilon-greedy policy.

    Attributes:
        epsilon: of the coin; 0 without exploration.
        per_slate: whether one coin decides a slate, and not each slot.
        slots: those that are explored; None for all.
    """

    epsilon: float
    per_slate: bool = False
    slots: frozenset[int] | None = None

    def explores(self, slot: int) -> bool:
        return self.epsilon > 0 and (self.slots is None or slot in self.slots)


class _Coins:
    """The probability of each slot's item given those above, from the first slot on."""

    def __init__(self, law: Law) -> None:
        self._law = law
        # Whether each slot above holds its greedy choice, and how likely they are if the slate's coin fell for exploration.
        self._greedy_above = True
        self._random_above = 1.0

    def share(self, slot: int, n: int, greedy: bool) -> float:
        """Of an item among n eligible ones, which is the greedy choice or not."""
        if not self._law.explores(slot):
            return _share(0.0, n, greedy)
        if not self._law.per_slate:
            return _share(self._law.epsilon, n, greedy)
        found = _share(self._exploring(), n, greedy)
        self._greedy_above &= greedy
        self._random_above = max(self._random_above / n, sys.float_info.min)
        return found

    def _exploring(self) -> float:
        """The probability that the slate's coin fell for exploration, as in the core."""
        if not self._greedy_above:
            return 1.0
        random = self._law.epsilon * self._random_above
        return random / (1.0 - self._law.epsilon + random)


def along(log: Told, law: Law) -> NDArray[np.float64]:
    """Of the record's own policy with another exploration: greedy choice and eligible set stand in the record."""
    coins = _Coins(law)
    slots = zip(log.ids, log.greedy, log.eligible, strict=True)
    shares = [coins.share(slot, n, one == greedy) for slot, (one, greedy, n) in enumerate(slots)]
    return np.array(shares, dtype=np.float64)


def across(log: Told, other: Told) -> NDArray[np.float64]:
    """Of the policy that left another record for the same request."""
    if log.request_id != other.request_id:
        raise _convert.invalid("other", f"a record of request {log.request_id!r}", f"{other.request_id!r}")
    if log.k != other.k:
        raise _convert.invalid("other", f"a slate of k={log.k}, as the logged one", f"k={other.k}")
    law = explorer("other", other.policy, other.at)
    if other.steps > 1 and not other.policy["caps"] and not other.masked:
        raise _convert.invalid("other", "one retrieval where there are no caps", f"{other.steps}")
    return _by_score_alone(log, other, law) if other.by_score_alone else _together(log, other, law)


def _by_score_alone(log: Told, other: Told, law: Law) -> NDArray[np.float64]:
    """The best of the pool that is left, whatever stands above."""
    order: list[Any] = other.pool.tolist()
    pool = set(order)
    coins = _Coins(law)
    out = np.zeros(len(log))
    taken: set[Any] = set()
    top, left = 0, len(order)
    for slot, item in enumerate(log.ids):
        while top < len(order) and order[top] in taken:
            top += 1
        if item in pool:
            out[slot] = coins.share(slot, left, item == order[top])
            left -= 1
        taken.add(item)
    return out


def _together(log: Told, other: Told, law: Law) -> NDArray[np.float64]:
    """What the other record tells as long as both slates agree, and nothing after a slot of probability 0."""
    coins = _Coins(law)
    out = np.zeros(len(log))
    for slot, item in enumerate(log.ids):
        if slot >= len(other):
            # It had nothing left to show.
            break
        if item == other.greedy[slot]:
            out[slot] = coins.share(slot, other.eligible[slot], True)
        elif law.explores(slot) and item in other.pool.tolist():
            if other.masked:
                raise _unknown(slot, "whether a pin or a minimum leaves the item out")
            if other.policy["caps"] and slot > 0:
                raise _unknown(slot, "whether a cap masks the item")
            # What caps brought in later was not there for the first slot.
            if item not in other.later:
                out[slot] = coins.share(slot, other.eligible[slot], False)
        if out[slot] == 0:
            break
        if item != other.ids[slot] and slot + 1 < len(log):
            raise _unknown(slot + 1, "its greedy choice after items that it has not put there itself")
    return out


def _unknown(slot: int, what: str) -> ValueError:
    return _convert.invalid(
        "other",
        "a policy without diversity and caps, or one that its own record tells enough of",
        f"a record that does not tell {what} (slot {slot}); compute the probabilities yourself and hand them over",
    )


def _share(epsilon: float, n: int, greedy: bool) -> float:
    """The core's arithmetic, bit for bit."""
    if n == 1:
        return 1.0
    share = epsilon / n
    return min(1.0 - epsilon + share, 1.0) if greedy else share


def explorer(argument: str, policy: Mapping[str, Any], at: int) -> Law:
    """The law of a policy's document at this moment."""
    explore = policy["explore"]
    if explore is None:
        return Law(0.0)
    if explore["kind"] != "epsilon_greedy":
        raise _convert.invalid(
            argument, "a policy with EpsilonGreedy, or without exploration", f"{explore['kind']!r}"
        )
    scope = explore.get("scope") or {"slots": None, "only": None}
    if scope["only"] is not None:
        raise _convert.invalid(
            argument,
            "a policy that explores all items, because a record tells no attributes",
            "one with only=; compute the probabilities yourself and hand them over",
        )
    slots = None if scope["slots"] is None else frozenset(scope["slots"])
    return Law(_epsilon(explore, at), explore.get("per", "slot") == "slate", slots)


def _epsilon(explore: Mapping[str, Any], at: int) -> float:
    epsilon, decay = float(explore["epsilon"]), explore.get("decay")
    if decay is None or at <= decay["since"]:
        return epsilon
    # As in the core, but for the last digit of a power.
    floor = float(decay.get("floor", 0.0))
    age: float = (at - decay["since"]) / decay["half_life_us"]
    return min(floor + (epsilon - floor) * math.pow(2.0, -age), epsilon)


def same_but_explore(argument: str, log: Told, policy: Policy) -> dict[str, Any]:
    """The document of a policy that is the record's but for its exploration."""
    document: dict[str, Any] = json.loads(policy.to_json())
    differ = [name for name in document if name != "explore" and document[name] != log.policy.get(name)]
    if differ:
        raise _convert.invalid(
            argument,
            "a policy that differs from the record's in explore alone, or records of the other policy",
            f"one that differs in {' and '.join(differ)}",
        )
    return document


def marginals(log: Told, other: Told, law: Law) -> NDArray[np.float64] | None:
    """(slots, slots) of the log's items at each position, under the policy of another record, or of the same,
    with this law; None where unknown.
    """
    slots = len(log)
    if (
        law.slots is not None
        or not other.by_score_alone
        or other.steps != 1
        or len(other.pool) < slots
        or slots == 0
    ):
        return np.zeros((0, 0)) if slots == 0 else None
    place = {one: i for i, one in enumerate(other.pool.tolist())}
    ranks = np.array([place.get(one, -1) for one in log.ids], dtype=np.int64)
    if not law.per_slate:
        return epsilon_greedy_marginals(ranks, len(other.pool), slots, law.epsilon)
    greedy, random = (epsilon_greedy_marginals(ranks, len(other.pool), slots, one) for one in (0.0, 1.0))
    return (1.0 - law.epsilon) * greedy + law.epsilon * random
