"""Server or device: where the next slate is made, from what the device knows; and how fast this machine makes one.

The rules are the core's, the same behind the C ABI; `docs/routing.md` has the table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, cast

from . import _convert, _core
from .blend import assign

__all__ = ["Route", "RoutePlan", "calibrate", "route"]

Place: TypeAlias = Literal["server", "device"]
Network: TypeAlias = Literal["offline", "cellular", "wifi", "wired"]

_NETWORKS: tuple[str, ...] = ("offline", "cellular", "wifi", "wired")
_PLACES: tuple[str, ...] = ("server", "device")
_SCHEMA = "perso_core.route_plan/1"
_REALS = (
    "battery_low",
    "battery_critical",
    "light_ms",
    "server_ms",
    "cellular_ms",
    "wifi_ms",
    "wired_ms",
    "slow_ms",
    "fresh_share",
)


@dataclass(frozen=True, eq=False)
class RoutePlan:
    """The thresholds of `route`: declared once, with a hash, as a policy is.

    Args:
        battery_low: charge, from 0 to 1, below which the device does light work only, unless it is charging.
        battery_critical: charge below which it does none; at most `battery_low`.
        light_ms: milliseconds of ranking that count as light work.
        server_ms: milliseconds that the server takes beside the round trip.
        cellular_ms: milliseconds of a round trip that was not measured, over a mobile network or an unknown one.
        wifi_ms: the same over a wireless network; at most `cellular_ms`.
        wired_ms: the same over a cable; at most `wifi_ms`.
        slow_ms: a measured round trip of more milliseconds than these is not worth its wait.
        spare_metered: whether a metered connection is spared.
        fresh_share: of a capsule's life, the share (from 0 to 1) after which it counts as old, where the catalog may
            have changed since it was made.
        prefer: "device" or "server": where a slate is made when nothing else decides.

    >>> import perso_core as pc
    >>> pc.RoutePlan(battery_low=0.3) == pc.RoutePlan.from_json(pc.RoutePlan(battery_low=0.3).to_json())
    True
    """

    battery_low: float = 0.2
    battery_critical: float = 0.05
    light_ms: float = 1.0
    server_ms: float = 10.0
    cellular_ms: float = 150.0
    wifi_ms: float = 50.0
    wired_ms: float = 30.0
    slow_ms: float = 500.0
    spare_metered: bool = True
    fresh_share: float = 0.5
    prefer: Place = "device"

    def __post_init__(self) -> None:
        assign(self, **{name: _convert.real(name, getattr(self, name)) for name in _REALS})
        assign(self, spare_metered=_convert.flag("spare_metered", self.spare_metered))
        _convert.choice("prefer", self.prefer, _PLACES)
        document = {name: getattr(self, name) for name in (*_REALS, "spare_metered", "prefer")}
        # The core has the last word, and the canonical form.
        assign(self, _core=_core.route_plan(json.dumps({"schema": _SCHEMA, **document})))

    @property
    def _checked(self) -> tuple[str, str]:
        return cast(tuple[str, str], object.__getattribute__(self, "_core"))

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return self._checked[1]

    def to_json(self) -> str:
        """The plan as canonical JSON (RFC 8785)."""
        return self._checked[0]

    @classmethod
    def from_json(cls, text: str) -> RoutePlan:
        """The plan that `to_json` wrote; ValueError where the text is something else."""
        if not isinstance(text, str):
            raise _convert.wrong_type("text", "a JSON document as str", _convert.kind_of(text))
        document = json.loads(_core.route_plan(text)[0])
        del document["schema"]
        return cls(**document)

    def __eq__(self, other: object) -> bool:
        return self.to_json() == other.to_json() if isinstance(other, RoutePlan) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __reduce__(self) -> tuple[Any, ...]:
        return RoutePlan.from_json, (self.to_json(),)


@dataclass(frozen=True, eq=False)
class Route:
    """A decision of `route`, with everything that it follows from; made by `route` or read by `from_json`.

    Attributes:
        where: "server" or "device".
        rule: which rule decided: "reach", "late", "battery", "metered", "slow", "stale" or "preference".
        reasons: what every rule said that spoke, in their order; the first decided.
        inputs: what was known, by the names of `route`'s arguments.
        plan: the thresholds.
    """

    where: Place
    rule: str
    reasons: tuple[str, ...]
    inputs: Mapping[str, Any]
    plan: RoutePlan

    @classmethod
    def from_json(cls, text: str) -> Route:
        """The decision that `to_json` wrote; ValueError where the text is something else, or does not follow from its
        inputs.
        """
        if not isinstance(text, str):
            raise _convert.wrong_type("text", "a JSON document as str", _convert.kind_of(text))
        return cls._of(_core.route_checked(text))

    @classmethod
    def _of(cls, canonical: str) -> Route:
        document = json.loads(canonical)
        made = cls(
            document["where"],
            document["rule"],
            tuple(document["reasons"]),
            MappingProxyType(document["inputs"]),
            RoutePlan.from_json(json.dumps(document["plan"])),
        )
        assign(made, _canonical=canonical)
        return made

    def to_json(self) -> str:
        """The decision as canonical JSON (RFC 8785)."""
        try:
            return cast(str, object.__getattribute__(self, "_canonical"))
        except AttributeError:
            # Put together by hand: the core says whether it follows from its inputs.
            return _core.route_checked(json.dumps(self._document()))

    def _document(self) -> dict[str, Any]:
        return {
            "schema": "perso_core.route/1",
            "where": self.where,
            "rule": self.rule,
            "reasons": list(self.reasons),
            "inputs": dict(self.inputs),
            "plan": json.loads(self.plan.to_json()),
        }

    def to_dict(self) -> dict[str, Any]:
        """The same as a dict of the caller's own: what a decision record has as "route"."""
        document: dict[str, Any] = json.loads(self.to_json())
        return document

    def __eq__(self, other: object) -> bool:
        return self.to_json() == other.to_json() if isinstance(other, Route) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __reduce__(self) -> tuple[Any, ...]:
        return Route.from_json, (self.to_json(),)

    def __repr__(self) -> str:
        return "\n  ".join([f"Route {self.where!r} by {self.rule!r}", *self.reasons])


def route(
    *,
    battery: float | None = None,
    charging: bool = False,
    network: Network | None = None,
    round_trip_ms: float | None = None,
    metered: bool = False,
    capsule_age_s: float | None = None,
    capsule_ttl_s: float | None = None,
    catalog_age_s: float | None = None,
    budget_ms: float | None = None,
    device_ms: float | None = None,
    plan: RoutePlan | None = None,
) -> Route:
    """Decide where the next slate is made: by the server, or by the device from the capsule that it holds.

    A pure function: the same arguments give the same decision, with its reasons, everywhere. Every valid combination has
    an answer. Less battery, more work or an older capsule never move it to the device; a slower, worse or metered
    connection never moves it to the server.

    Args:
        battery: charge, from 0 to 1; None for unknown or for no battery, which then decides nothing.
        charging: whether it is being charged.
        network: "offline", "cellular", "wifi" or "wired"; None for something unknown, which counts as "cellular".
        round_trip_ms: estimate of a round trip to the server, in milliseconds; None for what the plan assumes of the
            network. Offline it says nothing.
        metered: whether the connection is paid for by the byte.
        capsule_age_s: seconds since the capsule was made; None without a capsule.
        capsule_ttl_s: seconds that it lives; goes with its age. From that age on it has expired.
        catalog_age_s: seconds since the server's catalog last changed; None for unknown. A capsule that was made later
            has what the server has, however old it is.
        budget_ms: milliseconds that the slate may take; None for no limit.
        device_ms: milliseconds that ranking on the device is estimated to take; None for unknown, which is never too
            late, and never light work.
        plan: the thresholds; None for those of `RoutePlan()`.

    Returns:
        A `Route`; `rank(..., route=)` puts it into the decision record.

    Raises:
        ValueError, TypeError: an argument that is wrong, named with what was expected and what came.

    >>> import perso_core as pc
    >>> pc.route(battery=0.6, network="wifi", capsule_age_s=60, capsule_ttl_s=3600).where
    'device'
    """
    if plan is not None and not isinstance(plan, RoutePlan):
        raise _convert.wrong_type("plan", "a RoutePlan, or None", _convert.kind_of(plan))
    numbers = {
        "battery": battery,
        "round_trip_ms": round_trip_ms,
        "capsule_age_s": capsule_age_s,
        "capsule_ttl_s": capsule_ttl_s,
        "catalog_age_s": catalog_age_s,
        "budget_ms": budget_ms,
        "device_ms": device_ms,
    }
    inputs: dict[str, Any] = {
        name: None if value is None else _convert.real(name, value) for name, value in numbers.items()
    }
    inputs["charging"] = _convert.flag("charging", charging)
    inputs["metered"] = _convert.flag("metered", metered)
    inputs["network"] = _convert.optional_choice("network", network, _NETWORKS)
    question: dict[str, Any] = {"inputs": inputs}
    if plan is not None:
        question["plan"] = json.loads(plan.to_json())
    return Route._of(_core.route(json.dumps(question)))


def given_route(argument: str, value: object) -> str | None:
    """The document of a decision, or None."""
    if value is None:
        return None
    if not isinstance(value, Route):
        raise _convert.wrong_type(argument, "a Route, or None", _convert.kind_of(value))
    return value.to_json()


def given_budget(argument: str, value: object) -> float | None:
    """Microseconds, or None."""
    if value is None:
        return None
    number = _convert.real(argument, value)
    if number <= 0:
        raise _convert.invalid(argument, "a finite number of more than 0, or None", number)
    return number


def calibrate(rounds: int = 51) -> float:
    """How fast this machine ranks beside the core that `rank(..., budget_us=)` counts in: the median of some rankings.

    1.0 is as fast, 0.5 half as fast. A machine that has `t` microseconds to spend gives `budget_us=t * calibrate()`.
    Takes some hundredths of a second. What else the machine does at that time makes the number smaller, so call it once,
    and keep the number: what is shown must not depend on the load of the moment.

    Args:
        rounds: rankings that are timed, from 1 to 1,000,000.
    """
    return _core.calibrate(_convert.integer("rounds", rounds, 1, 1_000_000))
