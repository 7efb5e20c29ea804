"""Exposure: which groups of items get the slots, and the attention that comes with them.

print(pc.exposure.by_group(slates, genre_of_item))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _arrow, _convert, _records
from .results import _table

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Exposure", "GroupExposure", "by_group"]


@dataclass(frozen=True)
class GroupExposure:
    """One row of a table of exposure.

    Attributes:
        group: its name.
        items: how many different items of it were shown.
        slots: how many slots they filled.
        slot_share: of all slots that were filled.
        exposure: the weights of their positions, summed.
        exposure_share: of the exposure of all slots.
        mean_propensity: of those slots: how sure the policy was of them.
    """

    group: Any
    items: int
    slots: int
    slot_share: float
    exposure: float
    exposure_share: float
    mean_propensity: float


class Exposure(Sequence[GroupExposure]):
    """A row a group, the most exposed first; equal ones in order of their names."""

    def __init__(self, rows: Sequence[GroupExposure], slates: int) -> None:
        self._rows = list(rows)
        self.slates = slates

    def __getitem__(self, i: Any) -> Any:
        """The i-th row, or the slice of rows."""
        return Exposure(self._rows[i], self.slates) if isinstance(i, slice) else self._rows[i]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[GroupExposure]:
        return iter(self._rows)

    def of(self, group: Any) -> GroupExposure:
        """The row of a group; KeyError where it was not shown."""
        for row in self._rows:
            if row.group == group:
                return row
        raise KeyError(f"no group {group!r}; there are {[row.group for row in self._rows]}")

    def to_arrow(self) -> pyarrow.Table:
        """A table, one row a group, with the attributes of `GroupExposure`; groups as text. Needs pyarrow."""
        pa = _arrow.pyarrow("to_arrow")
        columns: dict[str, Any] = {"group": pa.array([str(row.group) for row in self], pa.string())}
        for name in GroupExposure.__dataclass_fields__:
            if name != "group":
                kind = pa.int64() if name in ("items", "slots") else pa.float64()
                columns[name] = pa.array([getattr(row, name) for row in self], kind)
        return pa.table(columns)

    def __repr__(self) -> str:
        rows = [
            [
                str(row.group),
                str(row.items),
                str(row.slots),
                f"{row.slot_share:.1%}",
                f"{row.exposure:.4g}",
                f"{row.exposure_share:.1%}",
                f"{row.mean_propensity:.4g}",
            ]
            for row in self
        ]
        names = ["group", "items", "slots", "of slots", "exposure", "of exposure", "mean propensity"]
        return _table(f"Exposure of {len(self)} groups in {self.slates} slates", names, rows, len(self))


def by_group(
    slates: Any,
    groups: Mapping[Any, Any],
    *,
    weights: str | ArrayLike = "log2",
    missing: str | None = None,
) -> Exposure:
    """Slots, exposure and mean propensity of each group over a log.

    Args:
        slates: a `Slate`, a `SlateBatch`; an iterable of `Slate`s, decision records or their JSON texts; or
            an Arrow table (or a path of one) as `to_arrow` writes it, with request_id, position, id and
            propensity.
        groups: {item id: group}; a list of groups for an item that is in several, each of which gets the
            whole slot, so that shares may add up to more than 1.
        weights: of positions: "log2" for 1 / log2(position + 2) from position 0, as in DCG (Jarvelin and
            Kekalainen 2002); "uniform" for 1; or numbers of at least 0, one for each position.
        missing: the group of items that `groups` does not name; None to raise instead.

    Raises:
        ValueError: an item without a group, or a position without a weight.
    """
    if not isinstance(groups, Mapping):
        raise _convert.wrong_type("groups", "a mapping of item ids to groups", _convert.kind_of(groups))
    if missing is not None:
        _convert.text("missing", missing)
    rows = list(_shown(slates))
    longest = max((len(ids) for ids, _ in rows), default=0)
    weight = _weights(weights, longest)
    items: dict[Any, set[Any]] = {}
    sums: dict[Any, list[float]] = {}
    slots, exposure = 0, 0.0
    for ids, propensities in rows:
        slots += len(ids)
        exposure += float(weight[: len(ids)].sum())
        for position, (one, propensity) in enumerate(zip(ids, propensities, strict=True)):
            for group in _groups(groups, one, missing):
                items.setdefault(group, set()).add(one)
                total = sums.setdefault(group, [0.0, 0.0, 0.0])
                total[0] += 1
                total[1] += float(weight[position])
                total[2] += propensity
    found = [
        GroupExposure(
            group,
            len(items[group]),
            int(count),
            count / slots,
            seen,
            seen / exposure if exposure else float("nan"),
            propensity / count,
        )
        for group, (count, seen, propensity) in sums.items()
    ]
    return Exposure(sorted(found, key=lambda row: (-row.exposure, str(row.group))), len(rows))


def _groups(groups: Mapping[Any, Any], one: Any, missing: str | None) -> list[Any]:
    if one not in groups:
        if missing is None:
            raise _convert.invalid("groups", f"a group for item {one!r}", "none; missing= names one")
        return [missing]
    found = groups[one]
    if isinstance(found, list | tuple | set | frozenset | np.ndarray):
        return list(dict.fromkeys(found))
    return [found]


def _weights(weights: Any, longest: int) -> NDArray[np.float64]:
    if isinstance(weights, str):
        kind = _convert.choice("weights", weights, ("log2", "uniform"))
        return 1 / np.log2(np.arange(longest) + 2) if kind == "log2" else np.ones(longest)
    found = _convert.reals("weights", weights, 1)
    if (found < 0).any():
        raise _convert.invalid("weights", "numbers of at least 0", f"{found.min()}")
    if len(found) < longest:
        raise _convert.invalid("weights", f"one for each of {longest} positions", f"{len(found)}")
    return found


def _shown(slates: Any) -> Iterator[tuple[list[Any], list[float]]]:
    if not _arrow.is_table(slates) and not _arrow.is_path(slates):
        for ids, propensities, _ in _records.shown("slates", slates):
            yield ids, propensities
        return
    table = _arrow.as_table("slates", slates)
    rows: dict[Any, dict[int, tuple[Any, float]]] = {}
    columns = (_arrow.labels("slates", table, name) for name in ("request_id", "position", "id"))
    for name, position, one, propensity in zip(
        *columns, _arrow.numbers("slates", table, "propensity").tolist(), strict=True
    ):
        slate = rows.setdefault(name, {})
        if position in slate:
            raise _convert.invalid("slates", "each position once a request", f"{position} twice in {name!r}")
        slate[position] = (one, propensity)
    for name, slate in rows.items():
        if sorted(slate) != list(range(len(slate))):
            raise _convert.invalid("slates", "positions from 0 without gaps", f"others in {name!r}")
        inorder = [slate[position] for position in range(len(slate))]
        yield [one for one, _ in inorder], [propensity for _, propensity in inorder]
