"""What another policy would have done with a logged slate: probabilities that records tell exactly.

Epsilon-greedy over n eligible candidates takes the greedy one with probability 1 - eps + eps / n and any other with
eps / n. So the probability of a logged item is known as soon as the greedy choice and the eligible set *given the
logged items above* are. A record states both along its own slate, and its pool with scores states them for any slate
when nothing but the score decides: no diversity, no caps. The rest needs vectors and attributes, and is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _convert, _records
from ..policy import Policy

__all__ = ["epsilon_greedy_marginals", "propensities"]


def propensities(record: Any, other: Any) -> NDArray[np.float64]:
    """The probability with which another policy would put a logged slate's items into its slots.

    For each slot given the logged items above it, as `slate.propensities` is.

    Args:
        record: of the slate: a `Slate`, `slate.record()`, or its JSON text.
        other: a `Policy` that differs from the record's own in `explore` alone; or the record that another policy
            left for the same request, the same user and the same data.

    Returns:
        (n,) float64. After a slot with probability 0 the other policy cannot have got there; where its law is not
        known from then on, the rest is 0 too, which changes no product of probabilities.

    Raises:
        ValueError: the record cannot tell. It tells everything of a policy without diversity and caps; and of any
            policy as long as both slates agree, which is all there is to know when it does not explore.
        FormatError: a record that is none.
    """
    log = _records.document("record", record)
    if isinstance(other, Policy):
        return along(log, explorer("other", same_but_explore("other", log, other)))
    return across(log, _records.document("other", other))


def epsilon_greedy_marginals(ranks: ArrayLike, pool: int, slots: int, epsilon: float) -> NDArray[np.float64]:
    """The probability of an item at each position, whatever stands above: for `iips` and `pbm`.

    Of epsilon-greedy by score over a pool, without diversity and caps. Exact: an item's fate depends only on how many
    better ones are left, which is a Markov chain.

    Args:
        ranks: (m,) int, each item's place in the pool by score, 0 for the best; negative for an item outside it.
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
    width = int(found.max()) + 1
    better = np.arange(width)
    # state[i, b]: item i is still there, with b better ones.
    state = np.zeros((len(inside), width))
    state[np.arange(len(inside)), found[inside]] = 1.0
    for slot in range(count):
        left = n - slot
        share = eps / left
        out[inside, slot] = share * state.sum(axis=1) + (1 - eps) * state[:, 0]
        moved = state * share * np.maximum(left - 1 - better, 0)
        moved[:, :-1] += state[:, 1:] * (1 - eps + share * better[1:])
        state = moved
    return np.minimum(out, 1.0)


# --- parts -----------------------------------------------------------------------------------------


def along(log: dict[str, Any], epsilon: float) -> NDArray[np.float64]:
    """Of the record's own policy with another epsilon: greedy choice and eligible set stand in the record."""
    choices = log["choices"]
    return np.array([_share(epsilon, one["eligible"], one["id"] == one["greedy"]) for one in choices])


def across(log: dict[str, Any], other: dict[str, Any]) -> NDArray[np.float64]:
    """Of the policy that left another record for the same request."""
    if log["request_id"] != other["request_id"]:
        raise _convert.invalid(
            "other", f"a record of request {log['request_id']!r}", f"{other['request_id']!r}"
        )
    if log["k"] != other["k"]:
        raise _convert.invalid("other", f"a slate of k={log['k']}, as the logged one", f"k={other['k']}")
    policy = other["policy"]
    epsilon = explorer("other", policy)
    if len(other["pool"]) > 1 and not policy["caps"]:
        raise _convert.invalid("other", "one retrieval where there are no caps", f"{len(other['pool'])}")
    order = by_score(other)
    place = {one: i for i, one in enumerate(order)}
    # What was there before caps deepened the pool.
    at_first = set(other["pool"][0]["ids"]) if other["pool"] else set()
    free = not policy["caps"] and policy["diversity"] is None
    out = np.zeros(len(log["choices"]))
    taken: set[Any] = set()
    together = True
    top = 0
    for slot, choice in enumerate(log["choices"]):
        item = choice["id"]
        if free:
            while top < len(order) and order[top] in taken:
                top += 1
            left = len(order) - sum(one in place for one in taken)
            if item in place:
                out[slot] = _share(epsilon, left, item == order[top])
        elif together:
            if slot >= len(other["choices"]):
                # It had nothing left to show.
                break
            theirs = other["choices"][slot]
            if item == theirs["greedy"]:
                out[slot] = _share(epsilon, theirs["eligible"], True)
            elif epsilon > 0 and item in (place if slot else at_first):
                if policy["caps"] and slot > 0:
                    raise _unknown(slot, "whether a cap masks the item")
                out[slot] = _share(epsilon, theirs["eligible"], False)
        elif slot and out[slot - 1] > 0:
            raise _unknown(slot, "its greedy choice after items that it has not put there itself")
        if not free and out[slot] == 0:
            break
        taken.add(item)
        together = together and slot < len(other["choices"]) and item == other["choices"][slot]["id"]
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


def explorer(argument: str, policy: Mapping[str, Any]) -> float:
    """The epsilon of a policy's document; 0 without exploration."""
    explore = policy["explore"]
    if explore is None:
        return 0.0
    if explore["kind"] != "epsilon_greedy":
        raise _convert.invalid(
            argument, "a policy with EpsilonGreedy, or without exploration", f"{explore['kind']!r}"
        )
    return float(explore["epsilon"])


def same_but_explore(argument: str, log: dict[str, Any], policy: Policy) -> dict[str, Any]:
    """The document of a policy that is the record's but for its exploration."""
    document: dict[str, Any] = json.loads(policy.to_json())
    differ = [name for name in document if name != "explore" and document[name] != log["policy"].get(name)]
    if differ:
        raise _convert.invalid(
            argument,
            "a policy that differs from the record's in explore alone, or records of the other policy",
            f"one that differs in {' and '.join(differ)}",
        )
    return document


def by_score(record: dict[str, Any]) -> list[Any]:
    """The pool's ids, best first: by score, then by id. Of two zeros the positive one is the larger, as in the core."""
    ids = [one for step in record["pool"] for one in step["ids"]]
    scores = [float(score) for step in record["pool"] for score in step["scores"]]
    order = sorted(range(len(ids)), key=lambda i: (-scores[i], math.copysign(1.0, scores[i]) < 0, ids[i]))
    return [ids[i] for i in order]


def marginals(log: dict[str, Any], record: dict[str, Any], epsilon: float) -> NDArray[np.float64] | None:
    """Of the log's items at each position, under the policy of `record` with this epsilon; None where unknown."""
    policy = record["policy"]
    slots = len(log["choices"])
    if policy["caps"] or policy["diversity"] is not None or len(record["pool"]) != 1:
        return None
    order = by_score(record)
    if len(order) < slots:
        return None
    place = {one: i for i, one in enumerate(order)}
    ranks = np.array([place.get(choice["id"], -1) for choice in log["choices"]], dtype=np.int64)
    return epsilon_greedy_marginals(ranks, len(order), max(slots, 1), epsilon)[:, :slots]
