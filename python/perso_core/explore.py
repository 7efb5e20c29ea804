"""How a policy tries the unknown: each part says which candidate of a slot is shown with what probability.

All of them take `slots` and `only`, which keep exploration to some slots or some items; elsewhere the choice
is greedy: the best by score and diversity. The probabilities stay exact.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Literal, TypeAlias, cast

from . import _convert
from . import conditions as _conditions
from ._types import Moment
from .blend import MOST, Part, assign, duration, expect_kind, in_words
from .conditions import Conditions

__all__ = ["UCB", "EpsilonGreedy", "Explorer", "PlackettLuce", "Softmax", "ThompsonSampling"]

_MOST_DRAWS = 2**20
_DECAY = {"half_life_us", "since", "floor"}


class _Explorer(Part):
    """What explorers share: a scope, and equality by their documents."""

    _kind: ClassVar[str]
    slots: Iterable[int] | None
    only: Conditions | None

    def _settle_scope(self) -> None:
        if self.slots is not None:
            if isinstance(self.slots, str | bytes | Mapping) or not isinstance(self.slots, Iterable):
                raise _convert.wrong_type("slots", "integers, or None", _convert.kind_of(self.slots))
            slots = tuple(sorted(_convert.integer("slots", slot, 0, MOST - 1) for slot in self.slots))
            if not slots or len(set(slots)) != len(slots):
                raise _convert.invalid("slots", "one or more slots, each once", list(slots))
            assign(self, slots=slots)
        if self.only is not None:
            assign(self, only=_conditions.conditions("only", self.only))

    def _parameters(self) -> dict[str, Any]:
        raise NotImplementedError

    def _document(self) -> dict[str, Any]:
        document = {"kind": self._kind, **self._parameters()}
        if self.slots is not None or self.only is not None:
            document["scope"] = {
                "slots": None if self.slots is None else list(self.slots),
                "only": None if self.only is None else _conditions.document(self.only),
            }
        return document

    def __repr__(self) -> str:
        shown = []
        for one in dataclasses.fields(cast(Any, self)):
            value = getattr(self, one.name)
            if value != one.default:
                plain = _conditions.shown(value) if isinstance(value, Mapping) else value
                shown.append(f"{one.name}={plain!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        return self.to_json() == other.to_json() if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_json, (self.to_json(),)


def _scope(document: dict[str, Any]) -> dict[str, Any]:
    scope = document.get("scope")
    if scope is None:
        return {}
    if not isinstance(scope, Mapping) or scope.keys() != {"slots", "only"}:
        raise _convert.invalid("scope", "an object with the keys 'only' and 'slots'", scope)
    only = scope["only"]
    return {
        "slots": scope["slots"],
        "only": None if only is None else _conditions.from_document("only", only),
    }


def _positive(argument: str, value: object) -> float:
    number = _convert.real(argument, value)
    if not number > 0.0:
        raise _convert.invalid(argument, "a number of more than 0", number)
    return number


def _draws(value: object) -> int:
    draws = _convert.integer("draws", value, 64, _MOST_DRAWS)
    if draws % 8:
        raise _convert.invalid("draws", "a multiple of 8", draws)
    return draws


@dataclass(frozen=True, eq=False, repr=False)
class EpsilonGreedy(_Explorer):
    """Any candidate open to exploration with probability `epsilon`, spread evenly; else the best.

    With n open candidates and a coin for each slot the best has propensity 1 - epsilon + epsilon / n, any
    other epsilon / n. With a coin for the slate, epsilon is replaced by the probability that the coin fell
    for exploration given the slots above: 1 below a slot that does not hold its greedy choice, else
    epsilon R / (1 - epsilon + epsilon R), with R the product of 1 / n over the slots above.

    With a half-life, epsilon falls: at a request's moment `at` it is
    floor + (epsilon - floor) 2^(-(at - since) / half_life), and `epsilon` until `since`. The record holds `at`.

    Args:
        epsilon: from 0 to 1.
        per: what a coin decides: "slot" or "slate".
        slots: the slots that are explored, counted from 0; None for all.
        only: {attribute: condition}: candidates that exploration may show beside the best; a condition is a bool,
            int or str, a list of them for any of these, or a `Between`. None for all.
        half_life: after which half of what lies above the floor is left, as for `Decay`: "7d", a
            `datetime.timedelta`, or seconds. Kept as text. None where epsilon stays; else with `since`.
        since: the moment from which it falls: a datetime (without a zone: UTC), ISO 8601 text, or seconds since the
            epoch. Kept as text.
        floor: what it falls to, from 0 to epsilon; only with a half-life.
    """

    epsilon: float
    per: Literal["slot", "slate"] = "slot"
    slots: Iterable[int] | None = field(default=None, kw_only=True)
    only: Conditions | None = field(default=None, kw_only=True)
    half_life: str | timedelta | float | None = field(default=None, kw_only=True)
    since: Moment | None = field(default=None, kw_only=True)
    floor: float = field(default=0.0, kw_only=True)

    _kind: ClassVar[str] = "epsilon_greedy"

    def __post_init__(self) -> None:
        assign(self, epsilon=_convert.unit("epsilon", self.epsilon))
        _convert.choice("per", self.per, ("slot", "slate"))
        self._settle_decay()
        self._settle_scope()

    def _settle_decay(self) -> None:
        floor = _convert.unit("floor", self.floor)
        if self.half_life is None and self.since is None:
            if floor != 0:
                raise _convert.invalid("floor", "0 without a half_life, which would fall to it", floor)
            assign(self, floor=floor)
            return
        if self.half_life is None or self.since is None:
            lacking = "half_life" if self.half_life is None else "since"
            raise _convert.invalid(lacking, "half_life and since, or neither", "None")
        if floor > self.epsilon:
            raise _convert.invalid("floor", f"a number from 0 to epsilon = {self.epsilon}", floor)
        since = _convert.microseconds("since", self.since)
        if abs(since) > MOST:
            raise _convert.invalid(
                "since", "a moment within 2^53 microseconds of the epoch", repr(self.since)
            )
        assign(
            self,
            half_life=in_words(duration(self.half_life)),
            since=_convert.moment_out(since).isoformat(),
            floor=floor,
        )

    def _parameters(self) -> dict[str, Any]:
        # As documents always were where there is a coin for each slot, and where epsilon stays.
        document: dict[str, Any] = {"epsilon": self.epsilon}
        if self.per != "slot":
            document["per"] = self.per
        if self.half_life is not None:
            document["decay"] = {
                "half_life_us": duration(self.half_life),
                "since": _convert.microseconds("since", self.since),
                "floor": self.floor,
            }
        return document

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> EpsilonGreedy:
        expect_kind(document, cls._kind)
        return cls(document["epsilon"], document.get("per", "slot"), **_falling(document), **_scope(document))


def _falling(document: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an epsilon that falls, of its document; none where it stays."""
    decay = document.get("decay")
    if decay is None:
        return {}
    if not isinstance(decay, Mapping) or not {"half_life_us", "since"} <= decay.keys() <= _DECAY:
        raise _convert.invalid("decay", f"an object with the keys {sorted(_DECAY)}", decay)
    half_life = timedelta(microseconds=_convert.integer("half_life_us", decay["half_life_us"], 1, MOST))
    since = _convert.moment_out(_convert.integer("since", decay["since"], -MOST, MOST))
    return {"half_life": half_life, "since": since, "floor": decay.get("floor", 0.0)}


@dataclass(frozen=True, eq=False, repr=False)
class _Tempered(_Explorer):
    temperature: float
    slots: Iterable[int] | None = field(default=None, kw_only=True)
    only: Conditions | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        assign(self, temperature=_positive("temperature", self.temperature))
        self._settle_scope()

    def _parameters(self) -> dict[str, Any]:
        return {"temperature": self.temperature}

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Any:
        expect_kind(document, cls._kind)
        return cls(document["temperature"], **_scope(document))


@dataclass(frozen=True, eq=False, repr=False)
class Softmax(_Tempered):
    """Each slot: probability proportional to exp(value / temperature).

    The value is the one that diversity gives a candidate after the slots above: for `MMR` it lies between -1
    and 1; without diversity it is the score.

    Args:
        temperature: more than 0; small is close to greedy, large close to uniform.
        slots: the slots that are explored, counted from 0; None for all.
        only: {attribute: condition}: candidates that exploration may show beside the best; None for all.
    """

    _kind: ClassVar[str] = "softmax"


@dataclass(frozen=True, eq=False, repr=False)
class PlackettLuce(_Tempered):
    """Each slot: probability proportional to exp(score / temperature), among what is left.

    Scores do not depend on the slots above, so without caps whole slates follow the Plackett-Luce model.
    Diversity decides what is greedy, and nothing else.

    Args:
        temperature: more than 0; small is close to greedy, large close to uniform.
        slots: the slots that are explored, counted from 0; None for all.
        only: {attribute: condition}: candidates that exploration may show beside the best; None for all.
    """

    _kind: ClassVar[str] = "plackett_luce"


@dataclass(frozen=True, eq=False, repr=False)
class _Believing(_Explorer):
    """An explorer that reads a posterior: Beta from `alpha` and `beta`, or Gaussian from `mean` and `std`."""

    alpha: str | None = field(default=None, kw_only=True)
    beta: str | None = field(default=None, kw_only=True)
    mean: str | None = field(default=None, kw_only=True)
    std: str | None = field(default=None, kw_only=True)
    prior: tuple[float, float] | None = field(default=None, kw_only=True)
    weight: float = field(default=1.0, kw_only=True)
    replace: bool = field(default=False, kw_only=True)

    def _settle_posterior(self) -> None:
        given = [name for name in ("alpha", "beta", "mean", "std") if getattr(self, name) is not None]
        if given not in (["alpha", "beta"], ["mean", "std"]):
            raise _convert.invalid(
                "posterior", "alpha and beta, or mean and std", " and ".join(given) or "none of them"
            )
        for name in given:
            _convert.text(name, getattr(self, name))
        prior = self.prior
        if prior is None and self.alpha is not None:
            prior = (1.0, 1.0)
        if prior is not None:
            if isinstance(prior, str) or not isinstance(prior, Iterable):
                raise _convert.wrong_type("prior", "two numbers, or None", _convert.kind_of(prior))
            numbers = [_convert.real("prior", number) for number in prior]
            if len(numbers) != 2:
                raise _convert.invalid("prior", "two numbers", f"{len(numbers)} numbers")
            if self.alpha is not None and not all(1e-3 <= number <= 1e9 for number in numbers):
                raise _convert.invalid("prior", "two counts from 0.001 to 1e9", numbers)
            if self.mean is not None and numbers[1] < 0:
                raise _convert.invalid("prior", "a standard deviation of at least 0", numbers[1])
            assign(self, prior=(numbers[0], numbers[1]))
        assign(self, weight=_positive("weight", self.weight))
        if not isinstance(self.replace, bool):
            raise _convert.wrong_type("replace", "a bool", _convert.kind_of(self.replace))

    def _parameters(self) -> dict[str, Any]:
        prior = None if self.prior is None else list(self.prior)
        if self.alpha is not None:
            posterior = {"kind": "beta", "alpha": self.alpha, "beta": self.beta, "prior": prior}
        else:
            posterior = {"kind": "gaussian", "mean": self.mean, "std": self.std, "prior": prior}
        return {"posterior": posterior, "weight": self.weight, "replace": self.replace}

    @staticmethod
    def _arguments(document: dict[str, Any]) -> dict[str, Any]:
        posterior = document["posterior"]
        if not isinstance(posterior, Mapping):
            raise _convert.invalid("posterior", "an object", _convert.kind_of(posterior))
        posterior = dict(posterior)
        _convert.choice("kind", posterior.pop("kind"), ("beta", "gaussian"))
        wrong = posterior.keys() - {"alpha", "beta", "mean", "std", "prior"}
        if wrong:
            raise _convert.invalid("posterior", "the keys of a posterior", sorted(wrong))
        return {**posterior, "weight": document["weight"], "replace": document["replace"], **_scope(document)}


@dataclass(frozen=True, eq=False, repr=False)
class ThompsonSampling(_Believing):
    """Each slot: the best by value + weight x sample, one sample of each candidate's posterior.

    Its propensities have no closed form: they are Monte Carlo estimates, and the slate and its record say so,
    with their standard errors. Samples are drawn anew in each slot.

    Args:
        alpha: the signal or attribute with each item's count of what went well; with it `beta`, the count of
            what did not. The posterior is Beta(prior[0] + alpha, prior[1] + beta); a missing count is 0.
        mean: the signal or attribute with each item's expected worth; with it `std`, its standard deviation.
        prior: for Beta the two counts that are added, (1, 1) by default; for Gaussian the mean and standard
            deviation of items without, None to refuse them.
        weight: the factor of the sample.
        replace: whether the sample alone decides, without score and diversity.
        draws: how many points a propensity is estimated from: a multiple of 8 from 64 to 2**20.
        slots: the slots that are explored, counted from 0; None for all.
        only: {attribute: condition}: candidates that exploration may show beside the best; None for all.
    """

    draws: int = field(default=256, kw_only=True)
    slots: Iterable[int] | None = field(default=None, kw_only=True)
    only: Conditions | None = field(default=None, kw_only=True)

    _kind: ClassVar[str] = "thompson_sampling"

    def __post_init__(self) -> None:
        self._settle_posterior()
        assign(self, draws=_draws(self.draws))
        self._settle_scope()

    def _parameters(self) -> dict[str, Any]:
        return {**super()._parameters(), "draws": self.draws}

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> ThompsonSampling:
        expect_kind(document, cls._kind)
        return cls(draws=document["draws"], **cls._arguments(document))


@dataclass(frozen=True, eq=False, repr=False)
class UCB(_Believing):
    """Each slot: the best by value + weight x (mean + c x std) of each candidate's posterior, with certainty.

    Nothing is drawn: the propensity is 1, and no other candidate has support.

    Args:
        alpha, beta, mean, std, prior: the posterior, as for `ThompsonSampling`.
        weight: the factor of the bound.
        replace: whether the bound alone decides, without score and diversity.
        c: standard deviations above the mean, at least 0.
        slots: the slots that are explored, counted from 0; None for all.
        only: {attribute: condition}: candidates that exploration may show beside the best; None for all.
    """

    c: float = field(default=1.0, kw_only=True)
    slots: Iterable[int] | None = field(default=None, kw_only=True)
    only: Conditions | None = field(default=None, kw_only=True)

    _kind: ClassVar[str] = "ucb"

    def __post_init__(self) -> None:
        self._settle_posterior()
        c = _convert.real("c", self.c)
        if c < 0:
            raise _convert.invalid("c", "a number of at least 0", c)
        assign(self, c=c)
        self._settle_scope()

    def _parameters(self) -> dict[str, Any]:
        return {**super()._parameters(), "c": self.c}

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> UCB:
        expect_kind(document, cls._kind)
        return cls(c=document["c"], **cls._arguments(document))


Explorer: TypeAlias = EpsilonGreedy | Softmax | PlackettLuce | ThompsonSampling | UCB

EXPLORERS = (EpsilonGreedy, Softmax, PlackettLuce, ThompsonSampling, UCB)


def from_document(document: dict[str, Any]) -> Explorer:
    """The part of a policy's document, which the core has validated."""
    for kind in EXPLORERS:
        if kind._kind == document["kind"]:
            return cast(Explorer, kind._from_document(document))
    raise _convert.invalid("explore", "a kind that this version knows", repr(document["kind"]))
