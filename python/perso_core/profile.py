"""A user's state that learns from events: a vector for `rank` that follows what the user does, without any history.

`docs/profile.md` has the formulas; the arithmetic is the core's, in float64, the same bytes on every platform.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from . import _convert, _core
from ._types import Id, Ids, Moment, Vectors
from .blend import assign, duration, in_words
from .catalog import Catalog

if TYPE_CHECKING:
    from .capsule import Capsule

__all__ = ["Profile", "ProfilePlan"]

_SCHEMA = "perso_core.profile/1"
_ITEMS = "a Catalog or a Capsule, or the number of components"


@dataclass(frozen=True, eq=False)
class ProfilePlan:
    """What profiles learn from and how fast they forget; declared once, for all users.

    Args:
        space: the space of the vectors. Events count by the direction of an item's vector, so it should be one with
            metric "cosine" or "ip", or "l2" over vectors of length 1.
        kinds: {kind of event: weight}: how much it says, from 1e-6 to 1e6; negative for what turns away.
        half_life: of the short term, as for `Decay`: "30m", a timedelta, or seconds. Kept as text.
        long_half_life: of the long term, at least `half_life`; None for one that never forgets.
        prior_strength: the evidence (sum of decayed weights without their sign) at which half of the long term's
            vector is learned and half still the prior, from 1e-6 to 1e12.
        short_weight: the most that the short term has of the vector, from 0 to 1.

    >>> import perso_core as pc
    >>> plan = pc.ProfilePlan("cf", {"click": 1.0, "skip": -0.5}, long_half_life="90d")
    >>> plan
    ProfilePlan(space='cf', kinds={'click': 1.0, 'skip': -0.5}, half_life='30m', long_half_life='90d', prior_strength=10.0, short_weight=0.5)
    >>> pc.ProfilePlan.from_json(plan.to_json()) == plan
    True
    """

    space: str
    kinds: Mapping[str, float]
    half_life: str | timedelta | float = "30m"
    long_half_life: str | timedelta | float | None = None
    prior_strength: float = 10.0
    short_weight: float = 0.5

    def __post_init__(self) -> None:
        _convert.text("space", self.space)
        if not isinstance(self.kinds, Mapping):
            expected = "a mapping of kinds of events to weights"
            raise _convert.wrong_type("kinds", expected, _convert.kind_of(self.kinds))
        kinds = {
            _convert.text("kinds", kind): _convert.real(f"kinds[{kind!r}]", weight)
            for kind, weight in self.kinds.items()
        }
        half_life = _duration("half_life", self.half_life)
        long = None if self.long_half_life is None else _duration("long_half_life", self.long_half_life)
        assign(
            self,
            kinds=MappingProxyType(dict(sorted(kinds.items()))),
            half_life=in_words(half_life),
            long_half_life=None if long is None else in_words(long),
            prior_strength=_convert.real("prior_strength", self.prior_strength),
            short_weight=_convert.unit("short_weight", self.short_weight),
        )
        document = {
            "schema": _SCHEMA,
            "space": self.space,
            "kinds": kinds,
            "half_life_us": half_life,
            "long_half_life_us": long,
            "prior_strength": self.prior_strength,
            "short_weight": self.short_weight,
        }
        # The core has the last word, and the canonical form.
        assign(self, _core=_core.ProfilePlan(json.dumps(document)))

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, in hex; the bytes of a profile carry it."""
        return self._handle.hash

    @property
    def _handle(self) -> _core.ProfilePlan:
        return cast(_core.ProfilePlan, object.__getattribute__(self, "_core"))

    def to_json(self) -> str:
        """The plan as canonical JSON (RFC 8785)."""
        return self._handle.json

    @classmethod
    def from_json(cls, text: str) -> ProfilePlan:
        """The plan that `to_json` wrote; ValueError where the text is something else."""
        if not isinstance(text, str):
            raise _convert.wrong_type("text", "a JSON document as str", _convert.kind_of(text))
        document = json.loads(_core.ProfilePlan(text).json)
        long = document["long_half_life_us"]
        return cls(
            document["space"],
            document["kinds"],
            timedelta(microseconds=document["half_life_us"]),
            None if long is None else timedelta(microseconds=long),
            document["prior_strength"],
            document["short_weight"],
        )

    def __eq__(self, other: object) -> bool:
        return self.to_json() == other.to_json() if isinstance(other, ProfilePlan) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __reduce__(self) -> tuple[Any, ...]:
        return ProfilePlan.from_json, (self.to_json(),)

    def __repr__(self) -> str:
        return (
            f"ProfilePlan(space={self.space!r}, kinds={dict(self.kinds)!r}, half_life={self.half_life!r}, "
            f"long_half_life={self.long_half_life!r}, prior_strength={self.prior_strength!r}, "
            f"short_weight={self.short_weight!r})"
        )


class Profile:
    """What is known of one user: decayed sums of what events were about, and how much they say.

    It takes the place of a user's vector in `rank`, which reads it as of the request's `at`; the record holds the
    vector. Several threads may use one; events of a user should come from one of them where bytes have to agree,
    because the order of arrival decides the rounding.

    Args:
        plan: what it learns from.
        items: a `Catalog` or a `Capsule` with the plan's space, whose ids events may name; or the number of components.
        base: (dim,) floats: the user's own long-term vector, from a trained model.
        prior: (dim,) floats: where there is no `base`, a vector of the population.

    Raises:
        ValueError: a wrong shape, a NaN or infinity.
        KeyError: a catalog without the space.

    >>> import perso_core as pc
    >>> plan = pc.ProfilePlan("cf", {"click": 1.0}, prior_strength=1.0, short_weight=0.0)
    >>> profile = pc.Profile(plan, 2)
    >>> profile.vector() is None
    True
    >>> profile.observe([3.0, 4.0], "click", at="2026-11-26T12:00:00Z")
    >>> profile.vector()
    array([0.3, 0.4], dtype=float32)
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        plan: ProfilePlan,
        items: Catalog | Capsule | int,
        base: Vectors | None = None,
        prior: Vectors | None = None,
    ) -> None:
        self._plan = _plan(plan)
        self._catalog: Catalog | Capsule | None = None
        if isinstance(items, Catalog) or _is_capsule(items):
            self._catalog = items
            dim = _dim(items, plan.space)
        else:
            if not isinstance(items, int | np.integer) or isinstance(items, bool):
                raise _convert.wrong_type("items", _ITEMS, _convert.kind_of(items))
            dim = _convert.integer("items", items, 1, 65_536)
        self._core = _core.Profile(
            plan._handle,
            dim,
            None if base is None else _vector("base", base),
            None if prior is None else _vector("prior", prior),
        )

    @classmethod
    def _of(cls, core: _core.Profile, plan: ProfilePlan, catalog: Catalog | Capsule | None) -> Profile:
        profile = cls.__new__(cls)
        profile._core, profile._plan, profile._catalog = core, plan, catalog
        return profile

    @property
    def plan(self) -> ProfilePlan:
        """The plan."""
        return self._plan

    @property
    def dim(self) -> int:
        """Components of the vectors."""
        return self._core.dim

    def observe(
        self,
        item: Id | Vectors,
        kind: str,
        at: Moment | None = None,
        *,
        catalog: Catalog | Capsule | None = None,
    ) -> None:
        """Take in an event, in O(dim) time. What is refused changes nothing.

        Args:
            item: what it was about: an id of the catalog, whose vector as stored counts; or a (dim,) vector.
            kind: one of the plan's kinds.
            at: when it happened, as for `rank`; None for now. An event may come late: the state is what it would be
                in order, up to rounding.
            catalog: where the id is looked up, in place of the one the profile was made with.

        Raises:
            ValueError: an unknown kind; a vector of a wrong shape, of length 0, or with a NaN or infinity.
            KeyError: an id that is not there.
        """
        if not isinstance(kind, str):
            raise _convert.wrong_type("kind", "a str", _convert.kind_of(kind))
        at_us = _moment(at)
        if isinstance(item, str | int | np.integer):
            vector = self._look_up(_convert.one_id("item", item), catalog)
        elif catalog is not None:
            raise _convert.invalid("catalog", "None, because the item is a vector", "a Catalog")
        else:
            vector = _vector("item", item)
        self._core.observe(vector, kind, at_us)

    def _look_up(self, item: Id, catalog: Catalog | Capsule | None) -> NDArray[np.float32]:
        catalog = self._catalog if catalog is None else catalog
        if _is_capsule(catalog):
            return catalog.vector(item, self._plan.space)
        if not isinstance(catalog, Catalog):
            expected = "a Catalog or a Capsule to look up an id in, here or when the profile was made"
            raise _convert.wrong_type("catalog", expected, _convert.kind_of(catalog))
        vectors = catalog.get(cast("Ids", [item]))[0]["vectors"]
        if self._plan.space not in vectors:
            raise KeyError(f"no such space: {self._plan.space!r}; the catalog has {sorted(vectors)}")
        return cast("NDArray[np.float32]", vectors[self._plan.space])

    def vector(self, at: Moment | None = None) -> NDArray[np.float32] | None:
        """The (dim,) float32 vector as of a moment; None for a user nothing is known of (no prior, no evidence left).

        Args:
            at: as for `rank`; None for now. A moment before the latest event counts as that event's.
        """
        return self._core.vector(_moment(at))

    def negative(self) -> NDArray[np.float32] | None:
        """The (dim,) float32 mean direction of the events of negative weight, of length 1 at most, each counted by its
        weight and its age in the long term; None without such events. `vector` has them subtracted already.
        """
        return self._core.negative()

    def stats(self, at: Moment | None = None) -> dict[str, Any]:
        """{"short", "long", "negative": evidence as of a moment (None for now), the sum of decayed weights without their
        sign ("long" includes "negative"); "events": {kind: how many}; "latest": the latest event's moment, or None}.
        """
        short, long, negative = self._core.evidence(_moment(at))
        latest = self._core.latest_us()
        return {
            "short": short,
            "long": long,
            "negative": negative,
            "events": dict(self._core.counts()),
            "latest": None if latest is None else _convert.stored_moment_out(latest),
        }

    def to_bytes(self) -> bytes:
        """The state, with its prior and the plan's hash: the same events in the same order give the same bytes on every
        platform. About 24 bytes a component.
        """
        return self._core.to_bytes()

    @classmethod
    def from_bytes(
        cls, data: bytes, plan: ProfilePlan, *, catalog: Catalog | Capsule | None = None
    ) -> Profile:
        """The profile that `to_bytes` wrote.

        Args:
            data: the bytes.
            plan: the plan it had.
            catalog: where ids are looked up, as when a profile is made.

        Raises:
            FormatError: bytes that are damaged, foreign, of a later version or of another plan.
            ValueError, KeyError: a catalog whose space has other dimensions, or that has no such space.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise _convert.wrong_type("data", "bytes", _convert.kind_of(data))
        core = _core.Profile.from_bytes(bytes(data), _plan(plan)._handle)
        if catalog is not None:
            if not isinstance(catalog, Catalog) and not _is_capsule(catalog):
                raise _convert.wrong_type(
                    "catalog", "a Catalog or a Capsule, or None", _convert.kind_of(catalog)
                )
            fresh = cls(plan, catalog)
            if fresh.dim != core.dim:
                expected = f"one whose space {plan.space!r} has {core.dim} components"
                raise _convert.invalid("catalog", expected, f"one with {fresh.dim}")
        return cls._of(core, plan, catalog)

    def __copy__(self) -> Profile:
        return Profile.from_bytes(self.to_bytes(), self._plan, catalog=self._catalog)

    def __deepcopy__(self, memo: dict[int, Any]) -> Profile:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        # The catalog stays where it is.
        return Profile.from_bytes, (self.to_bytes(), self._plan)

    def __eq__(self, other: object) -> bool:
        return self.to_bytes() == other.to_bytes() if isinstance(other, Profile) else NotImplemented

    def __repr__(self) -> str:
        events = sum(n for _, n in self._core.counts())
        return f"<Profile of {events:,} events, space {self._plan.space}({self.dim})>"


def _is_capsule(items: object) -> TypeGuard[Capsule]:
    # A capsule has a plan, so its module imports this one.
    from .capsule import Capsule

    return isinstance(items, Capsule)


def _dim(items: Catalog | Capsule, space: str) -> int:
    if isinstance(items, Catalog):
        dims = {name: one.dim for name, one in items.spaces.items()}
    else:
        dims = {name: one["dim"] for name, one in items.spaces.items()}
    if space not in dims:
        what = "catalog" if isinstance(items, Catalog) else "capsule"
        raise KeyError(f"no such space: {space!r}; the {what} has {sorted(dims)}")
    return dims[space]


def _plan(value: object) -> ProfilePlan:
    if not isinstance(value, ProfilePlan):
        raise _convert.wrong_type("plan", "a ProfilePlan", _convert.kind_of(value))
    return value


def _vector(argument: str, value: object) -> NDArray[np.float32]:
    found = _convert.floats(argument, value)
    if found.ndim != 1:
        raise _convert.invalid(argument, "a vector (dim,)", f"an array of shape {found.shape}")
    return found


def _moment(at: Moment | None) -> int:
    return time.time_ns() // 1000 if at is None else _convert.microseconds("at", at)


def _duration(argument: str, value: object) -> int:
    """`blend.duration`, with the argument's own name in its errors."""
    try:
        return duration(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{argument}{str(error).removeprefix('half_life')}") from None
