"""From decision records, rewards and an evaluated policy to the arrays of a `SlateLog`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _arrow, _convert
from ..policy import Policy
from ..results import Slate
from ._law import across, along, explorer, marginals, same_but_explore
from ._slate_log import SlateLog
from ._told import Told, by_request

_Grid = NDArray[np.float64]


def slate_log(
    make: Callable[..., SlateLog],
    records: Any,
    rewards: Any,
    target: Any,
    missing: float | None,
    clusters: Mapping[str, int | str] | None,
    positions: str | None,
) -> SlateLog:
    """`SlateLog.from_records`."""
    kind = _convert.optional_choice("marginals", positions, ("own", "all"))
    logs = by_request("records", records)
    if not logs:
        raise _convert.invalid("records", "at least one record", "none")
    otherwise = None if missing is None else _convert.real("missing", missing)
    k = max(len(log) for log in logs.values())
    if k == 0:
        raise _convert.invalid("records", "a slate with at least one item", "empty slates only")
    shape = (len(logs), k)
    given = _rewards(rewards, logs)
    laws = _Target(target, logs)
    out = {"rewards": np.zeros(shape), "logged": np.ones(shape), "target": np.ones(shape)}
    size = shape if kind == "own" else (*shape, k)
    known = kind is not None
    tables = {name: np.zeros(size if known else 0) for name in ("logged", "target")}
    for row, (name, log) in enumerate(logs.items()):
        n = len(log)
        out["rewards"][row, :n] = _row(name, log, given.get(name), otherwise)
        out["logged"][row, :n] = log.propensities
        out["target"][row, :n] = laws.propensities(name, log)
        before, after = (_own(log), laws.marginals(name, log)) if known else (None, None)
        if before is None or after is None:
            known = False
            continue
        for table, found in (("logged", before), ("target", after)):
            if kind == "own":
                tables[table][row, :n] = np.diagonal(found)
            else:
                tables[table][row, :n, :n] = found
    groups = None
    if clusters is not None:
        if not isinstance(clusters, Mapping):
            raise _convert.wrong_type("clusters", "a mapping of request ids", _convert.kind_of(clusters))
        groups = [_of("clusters", clusters, name) for name in logs]
    return make(
        **out,
        lengths=np.array([len(log) for log in logs.values()], dtype=np.int64),
        logged_marginals=tables["logged"] if known else None,
        target_marginals=tables["target"] if known else None,
        request_ids=list(logs),
        clusters=groups,
    )


def _own(log: Told) -> _Grid | None:
    """Marginals of the logging policy, whose propensities are known whatever it explores by."""
    explore = log.policy["explore"]
    if explore is not None and explore["kind"] != "epsilon_greedy":
        return None
    if explore is not None and (explore.get("scope") or {}).get("only") is not None:
        return None
    return marginals(log, log, explorer("records", log.policy, log.at))


def _of(argument: str, values: Mapping[str, Any], name: str) -> Any:
    if name not in values:
        raise _convert.invalid(argument, f"a value for request {name!r}", "none")
    return values[name]


# --- rewards ---------------------------------------------------------------------------------------


def _rewards(rewards: Any, logs: dict[str, Told]) -> Mapping[str, Any]:
    """By request id: a sequence, or a mapping of slots (as ("slot", i)) or item ids to numbers."""
    given: Mapping[str, Any] = (
        rewards if isinstance(rewards, Mapping) else _from_table("rewards", rewards, "reward")
    )
    strange = [name for name in given if name not in logs]
    if strange:
        raise _convert.invalid("rewards", "requests of the records", f"{strange[0]!r}, which is none")
    return given


def _from_table(argument: str, table: Any, value: str) -> dict[str, dict[Any, float]]:
    if not _arrow.is_table(table) and isinstance(table, list | tuple | np.ndarray):
        raise _convert.wrong_type(
            argument, "a mapping of request ids, or an Arrow table", _convert.kind_of(table)
        )
    found = _arrow.as_table(argument, table)
    names = _arrow.labels(argument, found, "request_id")
    numbers = _arrow.numbers(argument, found, value).tolist()
    by_position = "position" in found.column_names
    keys = _arrow.labels(argument, found, "position" if by_position else "id")
    out: dict[str, dict[Any, float]] = {}
    for name, key, number in zip(names, keys, numbers, strict=True):
        slots = out.setdefault(name, {})
        at = ("slot", key) if by_position else key
        if at in slots:
            raise _convert.invalid(
                argument, "one row a slot; add them up before", f"two of request {name!r} for {key!r}"
            )
        slots[at] = number
    return out


def _row(name: str, log: Told, given: Any, missing: float | None) -> list[float]:
    argument = f"rewards[{name!r}]"
    ids = log.ids
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        found = _convert.reals(argument, given, 1)
        if len(found) != len(ids):
            raise _convert.invalid(argument, f"{len(ids)} numbers, one a slot", f"{len(found)}")
        return [float(number) for number in found]
    left = dict(given)
    out = []
    for slot, one in enumerate(ids):
        number = left.pop(("slot", slot), left.pop(one, missing))
        if number is None:
            raise _convert.invalid(
                argument,
                f"a reward for slot {slot} (item {one!r})",
                "none; missing= says what counts instead",
            )
        out.append(_convert.real(argument, number))
    if left:
        raise _convert.invalid(
            argument, "slots and items that were shown", f"{next(iter(left))!r}, which was not"
        )
    return out


# --- the evaluated policy --------------------------------------------------------------------------


class _Target:
    """The evaluated policy, in whichever form it came."""

    def __init__(self, target: Any, logs: dict[str, Told]) -> None:
        self._policy = target if isinstance(target, Policy) else None
        self._records: dict[str, Told] = {}
        self._numbers: Mapping[str, Any] = {}
        if self._policy is not None:
            return
        if isinstance(target, Mapping):
            if "schema" in target:
                raise _convert.wrong_type("target", "an iterable of records", "one record")
            self._numbers = target
        elif _arrow.is_table(target) or _arrow.is_path(target):
            self._numbers = _from_table("target", target, "propensity")
        elif isinstance(target, Slate):
            raise _convert.wrong_type("target", "an iterable of Slates", "one Slate")
        else:
            self._records = by_request("target", target)
        known = self._records or self._numbers
        lacking = [name for name in logs if name not in known]
        strange = [name for name in known if name not in logs]
        if lacking:
            raise _convert.invalid("target", f"something for request {lacking[0]!r}", "nothing")
        if strange:
            raise _convert.invalid("target", "requests of the records", f"{strange[0]!r}, which is none")

    def propensities(self, name: str, log: Told) -> _Grid:
        if self._policy is not None:
            return along(log, explorer("target", same_but_explore("target", log, self._policy), log.at))
        if self._records:
            return across(log, self._records[name])
        argument = f"target[{name!r}]"
        given = self._numbers[name]
        n = len(log)
        if isinstance(given, Mapping):
            slots = [("slot", slot) for slot in range(n)]
            if set(given) != set(slots):
                raise _convert.invalid(argument, f"a row for each position from 0 to {n - 1}", "others")
            given = [given[slot] for slot in slots]
        found = _convert.probabilities(argument, given, 1)
        if len(found) != n:
            raise _convert.invalid(argument, f"{n} probabilities, one a slot", f"{len(found)}")
        return found

    def marginals(self, name: str, log: Told) -> _Grid | None:
        if self._policy is not None:
            return marginals(
                log, log, explorer("target", same_but_explore("target", log, self._policy), log.at)
            )
        if self._records:
            other = self._records[name]
            return marginals(log, other, explorer("target", other.policy, other.at))
        return None
