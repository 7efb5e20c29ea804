"""Logged slates with rewards, and what the evaluated policy would have done: arrays, or Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _arrow, _convert
from .._types import ArrowStream, Path
from ._bandit import cluster_codes, same

__all__ = ["SlateLog"]


class SlateLog:
    """Logged slates, the rewards of their slots, and the evaluated policy's probabilities of the same slates.

    Args:
        rewards: (n, slots) float, finite; higher is better. What stands beyond a slate's length must be 0.
        logged: (n, slots) the probability with which the logging policy put this item into this slot, given
            the slots above it: `slate.propensities`.
        target: (n, slots) the same under the evaluated policy, for the items that were logged.
        lengths: (n,) int, how many slots each slate has; None where all are full. What stands beyond in the
            other arguments is not looked at.
        logged_marginals, target_marginals: for `iips` (n, slots), the probability of this item at this
            position whatever stands above; for `pbm` (n, slots, slots), of the item of slot k at position j.
        predicted: (n, slots) for `cascade_dr`: a model's sum of (discounted) rewards of this slot and those
            below under the evaluated policy, given the items down to this slot.
        expected: (n, slots) the expectation of `predicted` over the evaluated policy's choice for the slot,
            given the items above it.
        request_ids: (n,) str, kept for you; None for none.
        clusters: (n,) int or str: slates of one user or day, which are not independent. None where slates
            are.

    Raises:
        ValueError, TypeError: an argument of the wrong shape or type, not finite, or no probability.
    """

    def __init__(
        self,
        rewards: ArrayLike,
        logged: ArrayLike,
        target: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        logged_marginals: ArrayLike | None = None,
        target_marginals: ArrayLike | None = None,
        predicted: ArrayLike | None = None,
        expected: ArrayLike | None = None,
        request_ids: Iterable[str] | None = None,
        clusters: Any = None,
    ) -> None:
        self.rewards = _convert.reals("rewards", rewards, 2)
        n, k = self.rewards.shape
        if n == 0 or k == 0:
            raise _convert.invalid("rewards", "at least one slate of one slot", f"shape {(n, k)}")
        self.lengths = np.full(n, k, np.int64) if lengths is None else _lengths(lengths, n, k)
        self.filled = np.arange(k) < self.lengths[:, np.newaxis]
        if self.rewards[~self.filled].any():
            raise _convert.invalid("rewards", "0 beyond the length of a slate", "another number")
        self.logged = self._probabilities("logged", logged)
        self.target = self._probabilities("target", target)
        if (logged_marginals is None) != (target_marginals is None):
            raise _convert.invalid("logged_marginals", "both marginals, or neither", "one of them")
        self.logged_marginals = self._marginals("logged_marginals", logged_marginals)
        self.target_marginals = self._marginals("target_marginals", target_marginals)
        if self.logged_marginals is not None and self.target_marginals is not None:
            shapes = self.logged_marginals.shape, self.target_marginals.shape
            if shapes[0] != shapes[1]:
                raise _convert.invalid("target_marginals", f"shape {shapes[0]}", f"shape {shapes[1]}")
        self.predicted = self._numbers("predicted", predicted)
        self.expected = self._numbers("expected", expected)
        self.request_ids = None if request_ids is None else list(request_ids)
        if self.request_ids is not None and len(self.request_ids) != n:
            raise _convert.invalid("request_ids", f"{n}, one a slate", f"{len(self.request_ids)}")
        self.clusters = cluster_codes(clusters, n)

    @property
    def k(self) -> int:
        """The slots of the longest slate."""
        return int(self.rewards.shape[1])

    @classmethod
    def from_arrow(
        cls,
        table: ArrowStream | Path,
        *,
        request_id: str = "request_id",
        position: str = "position",
        rewards: str = "reward",
        logged: str = "propensity",
        target: str = "target",
        clusters: str | None = None,
    ) -> SlateLog:
        """The log out of an Arrow table with one row a slot, such as `SlateBatch.to_arrow` with columns for
        the reward and the evaluated policy's probability. Needs pyarrow.

        Args:
            table: anything with `__arrow_c_stream__`, or the path of a Parquet or Arrow file. Rows may be in
                any order.
            request_id: the column that says which rows are one slate.
            position: the column of positions, from 0 without gaps in each slate.
            rewards: a column of numbers.
            logged: a column of probabilities.
            target: another.
            clusters: a column with the same int or str in all rows of a slate; None for none.
        """
        found = _arrow.as_table("table", table)
        names = _arrow.labels("table", found, request_id)
        if not names:
            raise _convert.invalid("table", "at least one row", "none")
        positions = _arrow.numbers("table", found, position)
        order: dict[Any, int] = {}
        rows = np.array([order.setdefault(name, len(order)) for name in names], dtype=np.int64)
        places = positions.astype(np.int64)
        lengths = np.bincount(rows)
        if (places != positions).any() or (places < 0).any() or (places >= lengths[rows]).any():
            raise _convert.invalid(
                f"table[{position!r}]", "positions from 0 without gaps in each slate", "others"
            )
        shape = (len(order), int(lengths.max()))
        if len(np.unique(rows * shape[1] + places)) != len(rows):
            raise _convert.invalid(f"table[{position!r}]", "each position once a slate", "one twice")

        def grid(name: str, empty: float) -> NDArray[np.float64]:
            out = np.full(shape, empty)
            out[rows, places] = _arrow.numbers("table", found, name)
            return out

        of_slates = None
        if clusters is not None:
            of_rows = _arrow.labels("table", found, clusters)
            first: dict[int, Any] = {}
            for row, label in zip(rows.tolist(), of_rows, strict=True):
                if first.setdefault(row, label) != label:
                    raise _convert.invalid(
                        f"table[{clusters!r}]", "one value a slate", f"{first[row]!r} and {label!r}"
                    )
            of_slates = [first[row] for row in range(len(order))]
        return cls(
            grid(rewards, 0.0),
            grid(logged, 1.0),
            grid(target, 1.0),
            lengths=lengths,
            request_ids=list(order),
            clusters=of_slates,
        )

    @classmethod
    def from_records(
        cls,
        records: Iterable[Any],
        rewards: Mapping[str, Any] | ArrowStream | Path,
        target: Any,
        *,
        missing: float | None = None,
        clusters: Mapping[str, int | str] | None = None,
        marginals: Literal["own", "all"] | None = "own",
    ) -> SlateLog:
        """The log straight from decision records.

        Args:
            records: of the logging policy: `Slate`s, `slate.record()` mappings, or lines of JSON text. Each
                request once.
            rewards: {request_id: rewards}, the rewards in the order of the slots or as {item id: reward}; or
                an Arrow table (or a path of one) with the columns request_id, reward, and position or id.
            target: the evaluated policy: a `Policy` that differs from the records' own in `explore` alone; or
                records of another policy for the same requests (see `propensities` for what can be told of
                them); or {request_id: probabilities}, one a slot, that you computed; or the same as an Arrow
                table with the columns request_id, position and propensity.
            missing: the reward of a slot that `rewards` does not name; None to raise instead.
            clusters: {request_id: int or str}, such as the user; None for independent slates.
            marginals: where both policies are epsilon-greedy without diversity and caps, marginal
                probabilities are computed exactly (`epsilon_greedy_marginals`): "own" of each item at its own
                position, for `iips`; "all" at every position, for `pbm`, which takes slots times the memory.
                None computes none, and where another policy is in play they are None.

        Raises:
            ValueError: a request without reward or target, a reward for a request or item that was not
                logged, or a probability that cannot be told from records.
            FormatError: a record that is none.
        """
        from ._from_records import slate_log

        return slate_log(cls, records, rewards, target, missing, clusters, marginals)

    def __len__(self) -> int:
        return len(self.rewards)

    def __repr__(self) -> str:
        known = ["marginals"] * (self.logged_marginals is not None) + ["a model"] * (
            self.expected is not None
        )
        return ", ".join([f"SlateLog of {len(self)} slates, {self.k} slots", *known])

    def _fit(self, argument: str, found: NDArray[np.float64]) -> NDArray[np.float64]:
        if found.shape[:2] != self.rewards.shape or (found.ndim == 3 and found.shape[2] != self.k):
            raise _convert.invalid(
                argument, f"shape {self.rewards.shape}, as in rewards", f"shape {found.shape}"
            )
        return found

    def _probabilities(self, argument: str, value: ArrayLike) -> NDArray[np.float64]:
        found = self._fit(argument, _convert.reals(argument, value, 2))
        return _convert.probabilities(argument, np.where(self.filled, found, 1.0), 2)

    def _marginals(self, argument: str, value: ArrayLike | None) -> NDArray[np.float64] | None:
        if value is None:
            return None
        ndim = 3 if _convert.array(argument, value).ndim == 3 else 2
        return self._fit(argument, _convert.probabilities(argument, value, ndim))

    def _numbers(self, argument: str, value: ArrayLike | None) -> NDArray[np.float64] | None:
        return None if value is None else self._fit(argument, _convert.reals(argument, value, 2))


def _lengths(value: ArrayLike, n: int, k: int) -> NDArray[np.int64]:
    found = _convert.array("lengths", value)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise _convert.wrong_type("lengths", "integers of one dimension", _convert.kind_of(found))
    same("lengths", found, n)
    if found.min() < 0 or found.max() > k:
        raise _convert.invalid("lengths", f"integers from 0 to {k}", f"{found.min()} to {found.max()}")
    return found.astype(np.int64)
