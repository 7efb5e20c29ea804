"""What the calls return: NumPy arrays with names, a readable `repr`, and a way to Arrow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from . import _convert, _core
from ._audit import user_hash
from .routing import Route

if TYPE_CHECKING:
    import pyarrow

    from .beside import Shadow

__all__ = ["Hit", "Hits", "Slate", "SlateBatch", "SlateItem", "Tuning"]

_SHOWN = 30


class Hit(NamedTuple):
    """One answer of a search."""

    id: Any
    score: float


class Hits:
    """The answers of a search, best first.

    Attributes:
        ids: (k,) for one query, (q, k) for several; int64 with -1, or str with None, where fewer exist.
        scores: float32 of the same shape, higher is better, NaN where fewer exist.
        path: "exact" when every eligible item was scored, "graph" when a graph was searched, "filtered" when it was walked
            over the eligible items alone.

    For one query, iteration and `len` are over its hits; for several, over one `Hits` a query.
    """

    __slots__ = ("ids", "path", "scores")

    def __init__(self, ids: NDArray[Any], scores: NDArray[np.float32], path: str) -> None:
        self.ids = ids
        self.scores = scores
        self.path = path

    @property
    def _found(self) -> int:
        """How many answers one query has; the padding is at the end."""
        return int(np.count_nonzero(~np.isnan(self.scores)))

    def __len__(self) -> int:
        return self._found if self.scores.ndim == 1 else len(self.scores)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> Any:
        """The i-th `Hit` of one query, or the `Hits` of the i-th query of several."""
        if self.scores.ndim == 2:
            return Hits(self.ids[i], self.scores[i], self.path)
        i = range(self._found)[i]
        return Hit(_plain(self.ids[i]), float(self.scores[i]))

    def to_arrow(self) -> pyarrow.Table:
        """A table with query, position, id and score; one row an answer. Needs pyarrow."""
        pa = _pyarrow()
        scores = np.atleast_2d(self.scores)
        ids = self.ids.reshape(scores.shape)
        queries, positions = np.nonzero(~np.isnan(scores))
        return pa.table(
            {
                "query": queries,
                "position": positions,
                "id": _arrow_ids(pa, ids[queries, positions]),
                "score": scores[queries, positions],
            }
        )

    def __repr__(self) -> str:
        if self.scores.ndim == 2:
            head = f"Hits of {len(self)} queries, k={self.scores.shape[1]}, path={self.path}"
            rows = [
                [str(i), str(len(hits)), ", ".join(f"{hit.id!r}: {hit.score:.4g}" for hit in list(hits)[:5])]
                for i, hits in enumerate(list(self)[:_SHOWN])
            ]
            return _table(head, ["query", "hits", "best"], rows, len(self))
        rows = [[str(i), str(hit.id), f"{hit.score:.6g}"] for i, hit in enumerate(list(self)[:_SHOWN])]
        return _table(f"Hits: {len(self)}, path={self.path}", ["", "id", "score"], rows, len(self))


@dataclass(frozen=True)
class Tuning:
    """What `Index.tune` found.

    Attributes:
        ef: the width, now the index's default; None where searches are exact and have none.
        recall: measured with it, over `queries` queries; 1.0 where searches are exact.
        standard_error: of that mean, over the queries.
        path: "graph" when a query walked the graph, "filtered" when one walked it over the eligible items alone and none
            otherwise, or "exact" when no query walked.
        target: the recall asked for.
        k: answers a query.
        queries: how many were looked at.
        reached: whether recall is at least the target.
        advice: what to do where it is not, else None.
    """

    ef: int | None
    recall: float
    standard_error: float
    path: str
    target: float
    k: int
    queries: int
    reached: bool
    advice: str | None


@dataclass(frozen=True)
class Fitted:
    """What `Index.fit` did.

    Attributes:
        queries: how many taught; 0 where there is no graph.
        links: taught, all rows together.
        rows: how many have any.
        held_out: queries of the sample that recall was measured with; they taught nothing.
        recall_before: of the exact ten best for those, the share found at the default width before; None without
            any.
        recall_after: the same afterwards.
        path: how those were searched, or would be: "graph", or "exact" when no query walked the graph.
        advice: why nothing was taught, or why it does not show; else None.
    """

    queries: int
    links: int
    rows: int
    held_out: int
    recall_before: float | None
    recall_after: float | None
    path: str
    advice: str | None


class SlateItem(NamedTuple):
    """One slot of a slate."""

    position: int
    id: Any
    score: float
    propensity: float
    explored: bool
    reason: str
    terms: dict[str, float]


class Slate:
    """The items to show, in order, with everything that explains them.

    Iteration and `len` are over its items. Two slates are equal when they show the same items with the
    same scores, terms and propensities, bit for bit; timings do not count, nor does a shadow.

    Attributes:
        shadow: what the policy given as `rank(..., shadow=)` would have shown; None without one.
    """

    shadow: Shadow | None

    def __init__(self, core: _core.Slate) -> None:
        self._core = core
        self.shadow = None

    @cached_property
    def ids(self) -> NDArray[Any]:
        """(n,) ids, int64 or str."""
        return _convert.ids_out(self._core.ids)

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """(n,) scores before diversity and exploration: each the exact sum of its terms."""
        return self._core.scores

    @cached_property
    def propensities(self) -> NDArray[np.float64]:
        """(n,) probabilities with which the policy puts this item into this slot, given the slots above."""
        return self._core.propensities

    @property
    def log_propensity(self) -> float:
        """The natural logarithm of the slate's probability: the sum over its slots."""
        return self._core.log_propensity

    @property
    def propensity_kind(self) -> str:
        """How propensities are known: "exact", or "monte_carlo" when one is an estimate."""
        return "exact" if not self._core.propensity_draws.any() else "monte_carlo"

    @cached_property
    def propensity_errors(self) -> NDArray[np.float64]:
        """(n,) standard errors of the propensities: 0 where they are exact."""
        return self._core.propensity_errors

    @cached_property
    def propensity_draws(self) -> NDArray[np.int64]:
        """(n,) how many random points each propensity is estimated from: 0 where it is exact."""
        return self._core.propensity_draws

    @cached_property
    def support(self) -> NDArray[np.int64]:
        """(n,) how many of a slot's eligible candidates had a probability that is not 0."""
        return self._core.support

    @property
    def support_warning(self) -> str | None:
        """What a log of such slates cannot tell, because eligible candidates had no chance; None where all
        had one. Without exploration that is every slate with more candidates than one.
        """
        return self._core.support_warning

    @cached_property
    def explored(self) -> NDArray[np.bool_]:
        """(n,) whether the draw took another item than the best."""
        return self._core.explored

    @cached_property
    def eligible_counts(self) -> NDArray[np.int64]:
        """(n,) how many candidates could have filled each slot."""
        return np.array(self._core.eligible_counts, dtype=np.int64)

    @cached_property
    def reasons(self) -> list[str]:
        """One short text an item: why it is where it is."""
        return self._core.reasons

    @cached_property
    def terms(self) -> Mapping[str, NDArray[np.float64]]:
        """The summands of the score by name, (n,) each; they add up to `scores` exactly, in any order."""
        table = self._core.terms
        return MappingProxyType({name: table[:, i].copy() for i, name in enumerate(self._core.term_names)})

    @cached_property
    def timings_us(self) -> dict[str, float]:
        """Microseconds each stage took, and "total"."""
        return self._core.timings_us

    @property
    def short_reason(self) -> str | None:
        """Why there are fewer than k items; None where there are k."""
        return self._core.short_reason

    @property
    def unmet(self) -> list[str]:
        """What pins and minima asked for and could not be done, one short text each."""
        return self._core.unmet

    @property
    def given_up(self) -> tuple[str, ...]:
        """What was given up for `budget_us`, in the order of its steps, and whether the budget is not met: one short text
        each; empty where the whole policy fits, and without a budget.
        """
        return tuple(self._core.given_up)

    @property
    def budget_us(self) -> dict[str, float] | None:
        """Microseconds of the reference core: "given", and predicted for the "whole" policy and for what was "planned"; None
        without a budget.
        """
        found = self._core.budget_us
        return None if found is None else dict(zip(("given", "whole", "planned"), found, strict=True))

    @property
    def route(self) -> Route | None:
        """The decision that it is made here, as given to `rank(..., route=)`."""
        found = self._core.route
        return None if found is None else Route._of(found)

    @property
    def prices(self) -> dict[str, float]:
        """What each `AtLeast` of the policy cost, by its name, in units of the score: over the slots that it
        narrowed, the score of the best choice without it less that of the best choice with it.
        """
        return self._core.prices

    @property
    def pool_size(self) -> int:
        """How many candidates were ranked."""
        return self._core.pool_size

    @property
    def lists(self) -> dict[str, dict[str, int]]:
        """For each outside list how many items were given, and how many of them were there and eligible."""
        return self._core.lists

    @property
    def path(self) -> str:
        """Where candidates came from: "exact", "graph" or "filtered" (a walk over eligible items), "attributes" (no user),
        or "given" (scores or lists of yours).
        """
        return self._core.path

    @property
    def k(self) -> int:
        """How many items were asked for."""
        return self._core.k

    @property
    def at(self) -> datetime:
        """The moment that decays were measured from."""
        return _convert.moment_out(self._core.at_us)

    @property
    def seed(self) -> int:
        """The seed of its random numbers, given or drawn."""
        return self._core.seed

    @property
    def request_id(self) -> str:
        """The request's id, given or made."""
        return self._core.request_id

    @property
    def generation(self) -> int:
        """The catalog's generation when the slate was made."""
        return self._core.generation

    @property
    def policy_hash(self) -> str:
        """The hash of the policy that made it."""
        return self._core.policy_hash

    @property
    def masked(self) -> list[str]:
        """The categories of personal input that `allow` withheld, sorted."""
        return self._core.masked

    def record(
        self, *, user: bool | None = None, user_key: str | None = None, hash_key: bytes | None = None
    ) -> dict[str, Any]:
        """The decision record: a JSON document from which `replay` makes the slate again.

        Args:
            user: whether the record holds the user's vectors; None for yes, but of a capsule's slate for no. Without them
                it holds their hashes, and `replay` has to be given the vectors. Of a capsule's slate it then holds nothing
                personal at all, nor what that could be computed from: no hashes, scores, terms, signals, target or pool;
                and `replay` has to be given the whole request again.
            user_key: your name for the user. The record holds `user_hash(user_key, hash_key)` as
                `user_key_hmac`, and never the name.
            hash_key: the secret of that hash, at least 16 bytes; goes with `user_key`.
        """
        text = self.record_json(user=user, user_key=user_key, hash_key=hash_key)
        document: dict[str, Any] = json.loads(text)
        return document

    def record_json(
        self, *, user: bool | None = None, user_key: str | None = None, hash_key: bytes | None = None
    ) -> str:
        """The decision record as JSON text, for a log: what `record` parses, for less time."""
        keyed = None
        if user_key is not None:
            keyed = user_hash(user_key, hash_key)
        elif hash_key is not None:
            raise _convert.invalid("hash_key", "None without a user_key", _convert.kind_of_secret(hash_key))
        whole = _convert.flag("user", not self._core.of_capsule if user is None else user)
        kept = "included" if whole else "withheld" if self._core.of_capsule else "hashed"
        return self._core.record(kept, keyed)

    def to_arrow(self) -> pyarrow.Table:
        """A table, one row an item: what a log of slates needs. Needs pyarrow."""
        return SlateBatch([self]).to_arrow()

    def __len__(self) -> int:
        return len(self._core)

    def __getitem__(self, i: int) -> SlateItem:
        i = range(len(self))[i]
        return SlateItem(
            i,
            _plain(self.ids[i]),
            float(self.scores[i]),
            float(self.propensities[i]),
            bool(self.explored[i]),
            self.reasons[i],
            {name: float(values[i]) for name, values in self.terms.items()},
        )

    def __iter__(self) -> Iterator[SlateItem]:
        return (self[i] for i in range(len(self)))

    def _bits(self) -> tuple[Any, ...]:
        arrays = (self.scores, self.propensities, self.explored, self._core.terms)
        return self.ids.tolist(), self._core.term_names, [array.tobytes() for array in arrays]

    def __eq__(self, other: object) -> bool:
        return self._bits() == other._bits() if isinstance(other, Slate) else NotImplemented

    __hash__ = None  # type: ignore[assignment] # It holds arrays.

    def __repr__(self) -> str:
        head = (
            f"Slate {self.request_id!r}: {len(self)} of k={self.k}, pool {self.pool_size}, path={self.path}"
        )
        if self.short_reason is not None:
            head += f"\n  short: {self.short_reason}"
        for text in self.unmet:
            head += f"\n  unmet: {text}"
        for text in self.given_up:
            head += f"\n  given up: {text}"
        rows = [
            [str(item.position), str(item.id), f"{item.score:.4f}", f"{item.propensity:.4g}", item.reason]
            for item in list(self)[:_SHOWN]
        ]
        return _table(head, ["", "id", "score", "propensity", "reason"], rows, len(self))


class SlateBatch(Sequence[Slate]):
    """One slate a user, in the order of the users."""

    def __init__(self, slates: Sequence[Slate]) -> None:
        self._slates = list(slates)

    @property
    def ids(self) -> list[NDArray[Any]]:
        """The ids of each slate."""
        return [slate.ids for slate in self._slates]

    @property
    def timings_us(self) -> dict[str, float]:
        """Microseconds each stage took, summed over the slates; with several threads, not wall time."""
        total: dict[str, float] = {}
        for slate in self._slates:
            for stage, us in slate.timings_us.items():
                total[stage] = total.get(stage, 0.0) + us
        return total

    @overload
    def __getitem__(self, i: int) -> Slate: ...
    @overload
    def __getitem__(self, i: slice) -> SlateBatch: ...
    def __getitem__(self, i: int | slice) -> Slate | SlateBatch:
        return SlateBatch(self._slates[i]) if isinstance(i, slice) else self._slates[i]

    def __len__(self) -> int:
        return len(self._slates)

    def __iter__(self) -> Iterator[Slate]:
        return iter(self._slates)

    def to_arrow(self) -> pyarrow.Table:
        """One table, one row an item: request_id, position, id, score, propensity, propensity_error, explored,
        reason, and a column term.NAME for each term. Needs pyarrow.
        """
        pa = _pyarrow()
        slates = self._slates
        columns: dict[str, Any] = {
            "request_id": pa.array([s.request_id for s in slates for _ in range(len(s))], pa.string()),
            "position": np.concatenate([np.arange(len(s)) for s in slates] or [np.empty(0, np.int64)]),
            "id": _arrow_ids(pa, np.concatenate([s.ids for s in slates] or [np.empty(0, np.int64)])),
            "score": np.concatenate([s.scores for s in slates] or [np.empty(0)]),
            "propensity": np.concatenate([s.propensities for s in slates] or [np.empty(0)]),
            "propensity_error": np.concatenate([s.propensity_errors for s in slates] or [np.empty(0)]),
            "explored": np.concatenate([s.explored for s in slates] or [np.empty(0, np.bool_)]),
            "reason": pa.array([reason for s in slates for reason in s.reasons], pa.string()),
        }
        for name in slates[0].terms if slates else ():
            columns[f"term.{name}"] = np.concatenate([s.terms[name] for s in slates])
        return pa.table(columns)

    def __repr__(self) -> str:
        rows = [
            [str(i), slate.request_id, str(len(slate)), ", ".join(str(one) for one in slate.ids[:6])]
            for i, slate in enumerate(self._slates[:_SHOWN])
        ]
        return _table(f"SlateBatch of {len(self)}", ["", "request_id", "items", "first"], rows, len(self))


def _plain(value: Any) -> Any:
    """An id as a plain int or str."""
    return value.item() if isinstance(value, np.generic) else value


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise ImportError("to_arrow needs pyarrow:  pip install 'perso_core[arrow]'") from None
    return pyarrow


def _arrow_ids(pa: Any, ids: NDArray[Any]) -> Any:
    return pa.array(ids.tolist(), pa.string()) if ids.dtype == object else pa.array(ids)


def _table(head: str, names: list[str], rows: list[list[str]], total: int) -> str:
    """Text in columns; the last one is not padded."""
    lines = [names, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    out = [head]
    for line in lines if rows else []:
        out.append(
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )
    if total > len(rows):
        out.append(f"  ... {total - len(rows)} more")
    return "\n".join(out)
