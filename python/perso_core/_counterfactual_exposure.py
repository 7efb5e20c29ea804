"""Exposure over a log, as served and with names masked: what `counterfactual.exposure` computes.

With e_ig the weights of the positions of group g in the slate of request i, as served and masked, the difference is
d_ig = masked - served. Slates of one request share pool, seed and moment, so they are paired: the mean of d_ig over n
requests has standard error s / sqrt(n), and the interval is that of Student's t with n - 1 degrees of freedom.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _arrow, _convert, _core, _records, _stats
from .exposure import _groups, _weights
from .ranking import recorded, source_of
from .results import Slate, _table

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class ExposureChange:
    """One row: what a mask changes for a group.

    Attributes:
        group: its name.
        served: the weights of its positions in a served slate, on average over the requests.
        masked: the same in the counterfactual slates.
        served_share: of the exposure of all slots, as served.
        masked_share: of the exposure of all slots of the counterfactual slates.
        difference: masked - served: what the group would gain.
        standard_error: of the difference, over the requests; NaN with a single one.
        low, high: its confidence interval.
    """

    group: Any
    served: float
    masked: float
    served_share: float
    masked_share: float
    difference: float
    standard_error: float
    low: float
    high: float


class ExposureChanges(Sequence[ExposureChange]):
    """A row a group, the largest difference first, whatever its sign; equal ones in order of their names.

    Attributes:
        mask: the masked names.
        requests: how many the log has.
        changed: for how many of them the two slates differ in their items or in the order of these.
        level: of the intervals.
    """

    def __init__(
        self,
        rows: Sequence[ExposureChange],
        mask: tuple[str, ...],
        requests: int,
        changed: int,
        level: float,
    ) -> None:
        self._rows = list(rows)
        self.mask = mask
        self.requests = requests
        self.changed = changed
        self.level = level

    def __getitem__(self, i: Any) -> Any:
        """The i-th row, or a list of rows."""
        return self._rows[i]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[ExposureChange]:
        return iter(self._rows)

    def of(self, group: Any) -> ExposureChange:
        """The row of a group; KeyError where neither slates show it."""
        for row in self._rows:
            if row.group == group:
                return row
        raise KeyError(f"no group {group!r}; there are {[row.group for row in self._rows]}")

    def to_arrow(self) -> pyarrow.Table:
        """A table, one row a group, with the attributes of `ExposureChange`; groups as text. Needs pyarrow."""
        pa = _arrow.pyarrow("to_arrow")
        columns: dict[str, Any] = {"group": pa.array([str(row.group) for row in self], pa.string())}
        for name in ExposureChange.__dataclass_fields__:
            if name != "group":
                columns[name] = pa.array([getattr(row, name) for row in self], pa.float64())
        return pa.table(columns)

    def __repr__(self) -> str:
        head = (
            f"Exposure of {len(self)} groups without {', '.join(self.mask)}: {self.requests} requests, "
            f"{self.changed} slates changed"
        )
        rows = [
            [
                str(row.group),
                f"{row.served:.4g}",
                f"{row.masked:.4g}",
                f"{row.served_share:.1%}",
                f"{row.masked_share:.1%}",
                f"{row.difference:+.4g}",
                f"{row.low:+.4g} .. {row.high:+.4g}",
            ]
            for row in self
        ]
        interval = f"{self.level:.4g} interval"
        names = ["group", "served", "masked", "of served", "of masked", "difference", interval]
        return _table(head, names, rows, len(self))


def exposure(
    records: object,
    cat: object,
    mask: tuple[str, ...],
    groups: Mapping[Any, Any],
    *,
    users: object,
    weights: Any,
    missing: str | None,
    level: float,
) -> ExposureChanges:
    """See `counterfactual.Counterfactuals.exposure`."""
    if not isinstance(groups, Mapping):
        raise _convert.wrong_type("groups", "a mapping of item ids to groups", _convert.kind_of(groups))
    if missing is not None:
        _convert.text("missing", missing)
    if not 0.0 < _convert.real("level", level) < 1.0:
        raise _convert.invalid("level", "a number between 0 and 1", level)
    pairs = list(_slates(records, cat, mask, users))
    n = len(pairs)
    if n == 0:
        raise _convert.invalid("records", "at least one", "none")
    weight = _weights(weights, max(len(ids) for pair in pairs for ids in pair))
    # Of each group, per request that shows it: its exposure as served, and masked.
    seen: dict[Any, dict[int, list[float]]] = {}
    totals = [0.0, 0.0]
    for i, pair in enumerate(pairs):
        for side, ids in enumerate(pair):
            totals[side] += float(weight[: len(ids)].sum())
            for position, one in enumerate(ids):
                for group in _groups(groups, one, missing):
                    seen.setdefault(group, {}).setdefault(i, [0.0, 0.0])[side] += float(weight[position])
    rows = [_row(group, np.array(list(by.values())), n, totals, level) for group, by in seen.items()]
    rows.sort(key=lambda row: (-abs(row.difference), str(row.group)))
    changed = sum(first != second for first, second in pairs)
    return ExposureChanges(rows, mask, n, changed, float(level))


def _row(group: Any, both: NDArray[np.float64], n: int, totals: list[float], level: float) -> ExposureChange:
    """The row of a group from its exposure in the requests that show it; it has none in the others."""
    sums = both.sum(axis=0)
    differences = both[:, 1] - both[:, 0]
    mean = float(differences.sum()) / n
    error, half = float("nan"), float("nan")
    if n > 1:
        squares = float(((differences - mean) ** 2).sum()) + (n - len(both)) * mean * mean
        error = math.sqrt(squares / (n - 1) / n)
        half = _stats.student_quantile(level, n - 1) * error
    served, masked = (float(one) / n for one in sums)
    first, second = (
        float(one) / total if total else float("nan") for one, total in zip(sums, totals, strict=True)
    )
    return ExposureChange(group, served, masked, first, second, mean, error, mean - half, mean + half)


def _slates(
    records: object, cat: object, mask: tuple[str, ...], users: object
) -> Iterator[tuple[list[Any], list[Any]]]:
    """The ids of each record's slate, as served and with the names masked."""
    if users is not None and not isinstance(users, Mapping):
        raise _convert.wrong_type(
            "users", "a mapping of request ids to users, or None", _convert.kind_of(users)
        )
    if isinstance(records, str | Mapping | Slate) or not isinstance(records, Iterable):
        raise _convert.wrong_type(
            "records", "an iterable of Slates, records or JSON texts", _convert.kind_of(records)
        )
    reads: dict[str, frozenset[str]] = {}
    unread = set(mask)
    count = 0
    for i, one in enumerate(records):
        count += 1
        argument = f"records[{i}]"
        text, _ = recorded(argument, one.record_json() if isinstance(one, Slate) else one, None)
        document = _records.document(argument, text)
        name = document["request_id"]
        user = None if users is None else users.get(name)
        try:
            text, vectors = recorded(argument, text, user)
            hash_ = document["policy_hash"]
            if hash_ not in reads:
                reads[hash_] = frozenset(_core.Policy(json.dumps(document["policy"])).reads)
            own = [masked for masked in mask if masked in reads[hash_]]
            unread.difference_update(own)
            source = source_of(_of_request(cat, name))
            if own:
                served, other = _core.counterfactual(text, source, vectors, own)
                yield _ids(served), _ids(other)
            else:
                ids = _ids(_core.replay(text, source, vectors, None))
                yield ids, ids
        except _core.ReplayError as error:
            raise _core.ReplayError(f"{argument}: {error}") from None
    if not mask or (count and unread):
        known = sorted(set().union(*reads.values()))
        expected = f"names that a policy of the log reads ({', '.join(map(repr, known))})"
        raise _convert.invalid("mask", expected, ", ".join(map(repr, sorted(unread))) or "none")


def _of_request(cat: object, name: str) -> object:
    if not isinstance(cat, Mapping):
        return cat
    if name not in cat:
        raise _convert.invalid("cat", f"candidates for the request {name!r}", "none")
    return cat[name]


def _ids(slate: _core.Slate) -> list[Any]:
    ids = slate.ids
    return ids if isinstance(ids, list) else ids.tolist()
