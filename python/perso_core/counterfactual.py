"""What a slate would have been without some signals or attributes, and who would have been shown then.

    found = pc.counterfactual(record, catalog, mask=["popularity"])
    found.slate.ids, found.overlap, found.came, found.went
    print(pc.counterfactual.exposure(records, catalog, mask=["popularity"], groups=genre_of_item))

See docs/counterfactual.md for what that can say and what it cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import _convert, _core
from ._types import User
from .beside import Beside
from .candidates import Candidates
from .catalog import Catalog
from .ranking import recorded, source_of
from .results import Slate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._counterfactual_exposure import ExposureChanges

__all__ = ["Counterfactual", "Counterfactuals", "counterfactual"]


class Counterfactual(Beside):
    """The slate of a record without what reads some names, beside the one that was shown.

    Its `slate` has the terms that are left, and the propensities and the hash of the policy that is left.

    Attributes:
        mask: the masked names.
    """

    _title = "Counterfactual of"

    def __init__(self, served: Slate, slate: Slate, mask: tuple[str, ...]) -> None:
        super().__init__(served, slate)
        self.mask = mask


class Counterfactuals:
    """`pc.counterfactual`: call it for one slate; `exposure` is over a log."""

    def __call__(
        self,
        record: Slate | Mapping[str, Any] | str,
        cat: Catalog | Candidates,
        mask: Iterable[str],
        user: User = None,
    ) -> Counterfactual:
        """The slate that would have been made from the recorded pool, had some names been masked.

        A part of the policy that reads a masked name drops out: signals of that name, or that read an attribute of
        that name ("similarity" stands for all of them; a `Model` reads its features), caps and `Calibrated` by it,
        the condition on it of an explorer's `only`, an explorer whose posterior reads it, and rules with a condition
        on it or boosts of that name (what a rule hid is not in the pool, and stays out). What is left ranks the same pool with the same moment, seed and request id. Where no signal is left, scores are 0 and the order is
        that of the ids.

        Args:
            record: a `Slate`, a decision record, or its JSON text. It is replayed first.
            cat: the catalog, or the candidates, that the slate was made from.
            mask: names that the policy reads: `Policy.reads`.
            user: the user's vectors, where the record was written without them.

        Raises:
            ValueError: a mask with a name that no part of the policy reads, or without any.
            ReplayError: the record does not replay; see `replay`.
        """
        text, vectors = recorded("record", text_of(record), user)
        names = masks(mask)
        served, other = _core.counterfactual(text, source_of(cat), vectors, list(names))
        return Counterfactual(Slate(served), Slate(other), names)

    def exposure(
        self,
        records: Iterable[Slate | Mapping[str, Any] | str],
        cat: Catalog | Candidates | Mapping[str, Catalog | Candidates],
        mask: Iterable[str],
        groups: Mapping[Any, Any],
        *,
        users: Mapping[str, User] | None = None,
        weights: str | ArrayLike = "log2",
        missing: str | None = None,
        level: float = 0.95,
    ) -> ExposureChanges:
        """Exposure of each group of items as served and with names masked, over a log.

        For each request and group, the difference of the weights of the group's positions in the two slates; its
        mean over the requests has the interval of a paired t-test. Requests count as independent.

        Args:
            records: `Slate`s, decision records or their JSON texts. Each is replayed.
            cat: the catalog or candidates that they were made from, or {request id: candidates}.
            mask: names that the policies read. A record whose policy reads none of them stays as it was served; a
                name that no policy of the log reads is refused.
            groups: {item id: group}, or lists of groups, as for `exposure.by_group`.
            users: {request id: the user's vectors}, for records that were written without them.
            weights: of positions, as for `exposure.by_group`: "log2", "uniform" or numbers.
            missing: the group of items that `groups` does not name; None to raise instead.
            level: of the confidence intervals, between 0 and 1.

        Raises:
            ValueError: a name that no policy reads, no record, an item without a group, or a position without a
                weight.
            ReplayError: a record that does not replay; the message says which.
        """
        from . import _counterfactual_exposure as of

        return of.exposure(
            records, cat, masks(mask), groups, users=users, weights=weights, missing=missing, level=level
        )


counterfactual = Counterfactuals()


def text_of(record: object) -> object:
    """The record of a `Slate`; anything else as it is."""
    return record.record_json() if isinstance(record, Slate) else record


def masks(mask: object) -> tuple[str, ...]:
    """The names of a mask, each once."""
    if isinstance(mask, str | Mapping) or not isinstance(mask, Iterable):
        raise _convert.wrong_type("mask", "a list of names", _convert.kind_of(mask))
    return tuple(dict.fromkeys(_convert.text("mask", name) for name in mask))
