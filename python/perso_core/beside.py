"""A slate beside the one that was shown: how alike they are, and which items came and went."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from .results import Slate, SlateItem, _table

__all__ = ["Beside", "Shadow"]


class Beside:
    """A slate that nobody was shown, beside the one that somebody was.

    Attributes:
        served: the slate that was shown.
        slate: the other one.
    """

    _title = "Slate beside a served one"

    def __init__(self, served: Slate, slate: Slate) -> None:
        self.served = served
        self.slate = slate

    @cached_property
    def overlap(self) -> float:
        """The items in common, as a share of the longer slate, from 0 to 1; 1 where both are empty."""
        longer = max(len(self.served), len(self.slate))
        return len(self._ids(self.served) & self._ids(self.slate)) / longer if longer else 1.0

    @cached_property
    def rbo(self) -> float:
        """Rank-biased overlap at persistence 0.9, from 0 to 1: `agreement.rbo`."""
        from . import agreement

        return agreement.rbo(self.served, self.slate)

    @cached_property
    def rank_correlation(self) -> float:
        """Kendall's tau over the items in common, from -1 to 1; NaN with fewer than two: `agreement.kendall`."""
        from . import agreement

        return agreement.kendall(self.served, self.slate)

    @cached_property
    def came(self) -> list[SlateItem]:
        """The items that only the other slate has, in its order, with their terms there."""
        shown = self._ids(self.served)
        return [item for item in self.slate if item.id not in shown]

    @cached_property
    def went(self) -> list[SlateItem]:
        """The items that only the served slate has, in its order, with their terms there."""
        other = self._ids(self.slate)
        return [item for item in self.served if item.id not in other]

    @staticmethod
    def _ids(slate: Slate) -> set[Any]:
        return set(slate.ids.tolist())

    def __repr__(self) -> str:
        head = (
            f"{self._title} {self.served.request_id!r}: overlap {self.overlap:.2f}, rbo {self.rbo:.3f}, "
            f"tau {self.rank_correlation:+.2f}"
        )
        places = {one: str(i) for i, one in enumerate(self.served.ids.tolist())}
        rows = [
            [str(item.position), str(item.id), f"{item.score:.4f}", places.get(item.id, "-"), item.reason]
            for item in self.slate
        ]
        names = ["", "id", "score", "served at", "reason"]
        return _table(head, names, rows[:30], len(rows))


class Shadow(Beside):
    """What the policy given as `rank(..., shadow=)` would have shown.

    Its slate is a whole one: it has terms, propensities, timings of its own (but for "filter", which is 0, because
    both policies choose from the same items) and a record that replays.
    """

    _title = "Shadow of"
