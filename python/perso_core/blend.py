"""The score of a policy: weighted signals, each normalised over the pool.

Every part of a policy is frozen, validates itself when it is made, and round-trips through JSON.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias, TypeVar, cast

from . import _convert
from ._types import NORMALIZERS, SHAPES, Shape
from ._types import Normalize as _Normalize
from .calibration import RRF, Calibration, Linear, Percentiles, Sigmoid, from_document

__all__ = ["Blend", "Decay", "Listed", "Model", "Signal"]

MOST = 2**53
_UNITS = {"w": 604_800_000_000, "d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}
_HALF_LIFE = re.compile(r"(\d+(?:\.\d+)?)\s*([wdhms])")

_P = TypeVar("_P", bound="Part")

Normalize: TypeAlias = _Normalize | Calibration


class Part:
    """A part of a policy: it knows its JSON form."""

    __slots__ = ()

    def _document(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def _from_document(cls: type[_P], document: dict[str, Any]) -> _P:
        raise NotImplementedError

    def to_json(self) -> str:
        """This part as JSON."""
        return json.dumps(self._document(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls: type[_P], text: str) -> _P:
        """The part that `to_json` wrote; ValueError where the text is something else."""
        what = f"{cls.__name__}.from_json"
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise _convert.invalid(what, "a JSON object", f"text that is none ({error})") from None
        if not isinstance(document, dict):
            raise _convert.invalid(what, "a JSON object", _convert.kind_of(document))
        try:
            part = cls._from_document(dict(document))
        except KeyError as missing:
            raise _convert.invalid(what, f"the key {missing}", f"the keys {sorted(document)}") from None
        if part._document().keys() != document.keys():
            raise _convert.invalid(
                what, f"the keys {sorted(part._document())}", f"the keys {sorted(document)}"
            )
        return part


def assign(part: object, **values: object) -> None:
    for name, value in values.items():
        object.__setattr__(part, name, value)


def _normalize(argument: str, value: object) -> Normalize:
    if isinstance(value, Linear | Sigmoid | Percentiles | RRF):
        return value
    if isinstance(value, dict):
        return from_document(value)
    if not isinstance(value, str):
        expected = f"one of {', '.join(map(repr, NORMALIZERS))}, or a Linear, Sigmoid, Percentiles or RRF"
        raise _convert.wrong_type(argument, expected, _convert.kind_of(value))
    return cast(_Normalize, _convert.choice(argument, value, NORMALIZERS))


def _normalize_document(value: Normalize | None) -> str | dict[str, Any] | None:
    return value if value is None or isinstance(value, str) else value._document()


def expect_kind(document: dict[str, Any], kind: str) -> None:
    if document["kind"] != kind:
        raise _convert.invalid("kind", repr(kind), repr(document["kind"]))


# --- signals ---------------------------------------------------------------------------------------


_W = TypeVar("_W", bound="_Weighted")


@dataclass(frozen=True)
class _Weighted(Part):
    """A number per candidate whose name says where it comes from."""

    weight: float = 1.0
    normalize: Normalize | None = None

    _kind: ClassVar[str]

    def __post_init__(self) -> None:
        assign(self, weight=_convert.real("weight", self.weight))
        if self.normalize is not None:
            assign(self, normalize=_normalize("normalize", self.normalize))

    def _document(self) -> dict[str, Any]:
        return {"kind": self._kind, "weight": self.weight, "normalize": _normalize_document(self.normalize)}

    @classmethod
    def _from_document(cls: type[_W], document: dict[str, Any]) -> _W:
        expect_kind(document, cls._kind)
        return cls(document["weight"], document["normalize"])


@dataclass(frozen=True)
class Signal(_Weighted):
    """A weighted number per candidate, with a normaliser of its own.

    Args:
        weight: the factor of the normalised value; negative turns the signal round.
        normalize: "none", "minmax", "zscore" or "rank", or a fixed calibration: `Linear`, `Sigmoid` or
            `Percentiles`; or `RRF`; None for that of the `Blend` it is in.
    """

    _kind: ClassVar[str] = "signal"


@dataclass(frozen=True)
class Decay(Part):
    """Freshness: what is left after the age of a timestamp attribute, 1 for what is new or dated in the future.

    With the age counted in half-lives a, "exponential" is 2^-a, "linear" is 1 - a/2 down to 0, and "gauss" is
    2^(-a^2), which keeps what is young longer and drops it faster then. Each is a half after one half-life.

    Args:
        attribute: the timestamp attribute that ages are measured from.
        half_life: after which the value has halved: text such as "3d", "12h", "90m", "45s" or "2w", a
            `datetime.timedelta`, or seconds. Kept as text.
        weight: the factor of the normalised value.
        normalize: as for `Signal`. "none" keeps the value as the formula gives it.
        shape: "exponential", "linear" or "gauss".
    """

    attribute: str
    half_life: str | timedelta | float
    weight: float = 1.0
    normalize: Normalize | None = None
    shape: Shape = "exponential"

    def __post_init__(self) -> None:
        _convert.text("attribute", self.attribute)
        assign(
            self,
            weight=_convert.real("weight", self.weight),
            half_life=in_words(duration(self.half_life)),
            shape=_convert.choice("shape", self.shape, SHAPES),
        )
        if self.normalize is not None:
            assign(self, normalize=_normalize("normalize", self.normalize))

    @property
    def half_life_us(self) -> int:
        """The half-life in microseconds."""
        return duration(self.half_life)

    def _document(self) -> dict[str, Any]:
        return {
            "kind": "decay",
            "attribute": self.attribute,
            "half_life_us": self.half_life_us,
            "weight": self.weight,
            "normalize": _normalize_document(self.normalize),
            **self._shape_document(),
        }

    def _shape_document(self) -> dict[str, str]:
        # Documents from before there were several shapes name none, and keep their hash.
        return {} if self.shape == "exponential" else {"shape": self.shape}

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Decay:
        expect_kind(document, "decay")
        half_life = timedelta(
            microseconds=_convert.integer("half_life_us", document["half_life_us"], 1, MOST)
        )
        return cls(
            document["attribute"],
            half_life,
            document["weight"],
            document["normalize"],
            document.get("shape", "exponential"),
        )


@dataclass(frozen=True)
class Model(Part):
    """What an outside model makes of other numbers; the model itself comes with the request: `rank(..., models=)`.

    Args:
        features: what it is fed with, in this order, each once: names of signals of the same `Blend` (their values
            before normalisation; a weight of 0 makes a signal a mere feature), else of signals of the request, else
            of bool, int or float attributes. A missing value is NaN. No model feeds another.
        weight: the factor of the normalised value.
        normalize: as for `Signal`.
        version: which version of the model is meant: text for people and logs, part of the policy's hash.

    >>> import perso_core as pc
    >>> pc.Blend(similarity=0.0, ctr=pc.Model(["similarity", "price"], normalize="none", version="7"))
    Blend(similarity=Signal(0.0, normalize='minmax'), ctr=Model(['similarity', 'price'], normalize='none', version='7'))
    """

    features: Sequence[str]
    weight: float = 1.0
    normalize: Normalize | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        # A set has no order of its own: the policy's hash would depend on the process.
        if isinstance(self.features, str | Mapping | AbstractSet) or not isinstance(self.features, Iterable):
            raise _convert.wrong_type("features", "a list of names", _convert.kind_of(self.features))
        features = tuple(_convert.text("features", name) for name in self.features)
        if not features:
            raise _convert.invalid("features", "at least one name", "none")
        for i, name in enumerate(features):
            if name in features[:i]:
                raise _convert.invalid("features", "each name once", f"{name!r} twice")
        assign(self, features=features, weight=_convert.real("weight", self.weight))
        if self.normalize is not None:
            assign(self, normalize=_normalize("normalize", self.normalize))
        if self.version is not None:
            _convert.text("version", self.version)

    def _document(self) -> dict[str, Any]:
        return {
            "kind": "model",
            "weight": self.weight,
            "normalize": _normalize_document(self.normalize),
            **self._own_document(),
        }

    def _own_document(self) -> dict[str, Any]:
        version = {} if self.version is None else {"version": self.version}
        return {"features": list(self.features), **version}

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Model:
        expect_kind(document, "model")
        return cls(document["features"], document["weight"], document["normalize"], document.get("version"))


@dataclass(frozen=True)
class Listed(_Weighted):
    """A list from outside, such as a search engine's; the list itself comes with the request: `rank(..., lists=)`.

    With a positive weight its items join the pool, as what a space retrieves does. Its value is the list's score,
    larger for better, or, of a list without scores, 0, -1, -2, ... along it; an item that is not in the list has none,
    which contributes 0.

    Args:
        weight: the factor of the normalised value; a list of weight 0 or less retrieves nothing.
        normalize: as for `Signal`; `RRF` for reciprocal rank fusion.

    >>> import perso_core as pc
    >>> pc.Blend({"cf": 1.0}, bm25=pc.Listed(0.5), normalize=pc.RRF())
    Blend(similarity={'cf': 1.0}, bm25=Listed(0.5), normalize=RRF(k=60.0))
    """

    _kind: ClassVar[str] = "list"


def duration(value: object) -> int:
    """A half-life in microseconds."""
    expected = "a duration such as '3d', '12h', '90m', '45s' or '2w', a timedelta, or seconds"
    if isinstance(value, timedelta):
        count = value // _convert.MICROSECOND
    elif isinstance(value, str):
        match = _HALF_LIFE.fullmatch(value.strip())
        if match is None:
            raise _convert.invalid("half_life", expected, repr(value))
        number, unit = match.groups()
        # In integers: a float has too few digits for microseconds in centuries.
        whole, _, decimals = number.partition(".")
        count = round(Fraction(int(whole + decimals) * _UNITS[unit], 10 ** len(decimals)))
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise _convert.wrong_type("half_life", expected, _convert.kind_of(value))
    else:
        count = round(_convert.real("half_life", value) * _UNITS["s"])
    if not 1 <= count <= MOST:
        raise _convert.invalid("half_life", "more than 0 and at most 2^53 microseconds", repr(value))
    return count


def in_words(count: int) -> str:
    """The shortest text for so many microseconds: one for each duration, so that equal decays are equal."""
    for unit in ("d", "h", "m"):
        if count % _UNITS[unit] == 0:
            return f"{count // _UNITS[unit]}{unit}"
    whole, rest = divmod(count, _UNITS["s"])
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".") + "s"


_AnySignal: TypeAlias = Signal | Decay | Model | Listed
_Similarity: TypeAlias = float | Signal | Mapping[str, float | Signal] | None


class Blend(Part):
    """The score: a sum of weighted signals, each normalised over the pool.

    Args:
        similarity: the weight of the similarity between user and item; `{space: weight}` where there are
            several spaces; None for none. A `Signal` in place of a weight has its own normaliser.
        normalize: for every signal that names no other. With x the value and the pool's minimum, maximum,
            mean and standard deviation: "minmax" is (x - min) / (max - min), "zscore" is
            (x - mean) / sd, "rank" the average rank from 0 to 1, "none" is x. A `Linear`, `Sigmoid` or
            `Percentiles` does not depend on the pool.
        **signals: a weight, `Signal`, `Decay`, `Model` or `Listed` under a name. The name of a weight or a `Signal` is that of a
            signal given to `rank(..., signals=)`, else of a bool, int or float attribute; the name of a
            `Decay` is free, that of a `Model` or
            `Listed` names it in `rank(..., models=)` or `lists=`. A missing value contributes 0.

    The terms of a slate have the signals' names: "similarity" for one space, "similarity.cf" and so on for
    several, then the keywords in the order they are written in.

    >>> import perso_core as pc
    >>> pc.Blend(1, popularity=0.2, freshness=pc.Decay("published_at", half_life="72h", weight=0.3))
    Blend(similarity=1.0, popularity=0.2, freshness=Decay('published_at', half_life='3d', weight=0.3))
    """

    __slots__ = ("_signals", "_similarity")

    _similarity: Signal | Mapping[str, Signal] | None
    _signals: Mapping[str, _AnySignal]

    def __init__(
        self,
        similarity: _Similarity = 1.0,
        normalize: Normalize = "minmax",
        **signals: float | Signal | Decay | Model | Listed,
    ) -> None:
        default = _normalize("normalize", normalize)
        kept: Signal | Mapping[str, Signal] | None
        if isinstance(similarity, Mapping):
            if not similarity:
                raise _convert.invalid("similarity", "at least one space, or None", "{}")
            kept = MappingProxyType(
                {
                    _convert.text("similarity", space): _weighted(f"similarity[{space!r}]", weight, default)
                    for space, weight in similarity.items()
                }
            )
        else:
            kept = None if similarity is None else _weighted("similarity", similarity, default)
        named: dict[str, _AnySignal] = {}
        for name, value in signals.items():
            if isinstance(value, Decay):
                named[name] = Decay(
                    value.attribute, value.half_life, value.weight, value.normalize or default, value.shape
                )
            elif isinstance(value, Model | Listed):
                named[name] = replace(value, normalize=value.normalize or default)
            else:
                named[name] = _weighted(name, value, default)
        if kept is None and not named:
            raise _convert.invalid("score", "a Blend of at least one signal", "none")
        assign(self, _similarity=kept, _signals=MappingProxyType(named))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Blend is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Blend is frozen: {name} cannot be deleted")

    @property
    def similarity(self) -> Signal | Mapping[str, Signal] | None:
        """The similarity's weight and normaliser, by space where spaces were named."""
        return self._similarity

    @property
    def signals(self) -> Mapping[str, Signal | Decay | Model | Listed]:
        """The other signals by name, each with its normaliser."""
        return self._signals

    def _document(self) -> dict[str, Any]:
        out: list[dict[str, Any]] = []
        similarity = self._similarity
        if isinstance(similarity, Signal):
            out.append(_named(similarity, "similarity", "similarity", space=None))
        elif similarity is not None:
            for space, signal in similarity.items():
                name = "similarity" if len(similarity) == 1 else f"similarity.{space}"
                out.append(_named(signal, "similarity", name, space=space))
        for name, value in self._signals.items():
            if isinstance(value, Decay):
                out.append(
                    _named(
                        value,
                        "decay",
                        name,
                        attribute=value.attribute,
                        half_life_us=value.half_life_us,
                        **value._shape_document(),
                    )
                )
            elif isinstance(value, Model):
                out.append(_named(value, "model", name, **value._own_document()))
            elif isinstance(value, Listed):
                out.append(_named(value, "list", name))
            else:
                out.append(_named(value, "value", name))
        return {"signals": out}

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Blend:
        bare: Signal | None = None
        spaces: dict[str, float | Signal] = {}
        signals: dict[str, float | Signal | Decay | Model | Listed] = {}
        for one in document["signals"]:
            weight, normalize = one["weight"], one["normalize"]
            if one["kind"] == "similarity":
                if one["space"] is None:
                    bare = Signal(weight, normalize)
                else:
                    spaces[one["space"]] = Signal(weight, normalize)
            elif one["kind"] == "decay":
                half_life = timedelta(microseconds=one["half_life_us"])
                signals[one["name"]] = Decay(
                    one["attribute"], half_life, weight, normalize, one.get("shape", "exponential")
                )
            elif one["kind"] == "model":
                signals[one["name"]] = Model(one["features"], weight, normalize, one.get("version"))
            elif one["kind"] == "list":
                signals[one["name"]] = Listed(weight, normalize)
            elif one["kind"] == "value":
                signals[one["name"]] = Signal(weight, normalize)
            else:
                raise _convert.invalid(
                    "kind", "'similarity', 'value', 'decay', 'model' or 'list'", repr(one["kind"])
                )
        similarity: _Similarity = spaces or bare
        blend = cls(similarity, "minmax", **signals)
        # Names and order are part of a policy's hash, so what a Blend would write otherwise it cannot be.
        if blend._document()["signals"] != document["signals"]:
            raise _convert.invalid(
                "signals",
                "similarities first, with the names and keys that a Blend gives them",
                document["signals"],
            )
        return blend

    def __eq__(self, other: object) -> bool:
        return self._document() == other._document() if isinstance(other, Blend) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __reduce__(self) -> tuple[Any, ...]:
        return Blend.from_json, (self.to_json(),)

    def __repr__(self) -> str:
        everything: list[_AnySignal] = [*self._signals.values()]
        if isinstance(self._similarity, Signal):
            everything.append(self._similarity)
        elif self._similarity is not None:
            everything.extend(self._similarity.values())
        kinds = {signal.normalize for signal in everything}
        common: Normalize = cast(Normalize, kinds.pop()) if len(kinds) == 1 else "minmax"
        if isinstance(self._similarity, Signal) or self._similarity is None:
            parts = [f"similarity={_short(self._similarity, common)}"]
        else:
            inner = ", ".join(f"{space!r}: {_short(s, common)}" for space, s in self._similarity.items())
            parts = [f"similarity={{{inner}}}"]
        if common != "minmax":
            parts.append(f"normalize={common!r}")
        for name, signal in self._signals.items():
            value = _short(signal, common)
            parts.append(f"{name}={value}" if _is_keyword(name) else f"**{{{name!r}: {value}}}")
        return f"Blend({', '.join(parts)})"


def _is_keyword(name: str) -> bool:
    """Whether a call can have an argument of this name."""
    return name.isidentifier() and not keyword.iskeyword(name)


def _weighted(argument: str, value: object, default: Normalize) -> Signal:
    if isinstance(value, Signal):
        return Signal(value.weight, value.normalize or default)
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        kinds = (
            "a number or a Signal"
            if argument.startswith("similarity")
            else "a number, a Signal, a Decay, a Model or a Listed"
        )
        raise _convert.wrong_type(argument, kinds, _convert.kind_of(value))
    return Signal(_convert.real(argument, value), default)


def _named(signal: _AnySignal, kind: str, name: str, **more: object) -> dict[str, Any]:
    normalize = _normalize_document(signal.normalize)
    return {"kind": kind, "name": name, "weight": signal.weight, "normalize": normalize, **more}


def _short(signal: _AnySignal | None, common: Normalize) -> str:
    """A signal as somebody would write it inside a Blend with this normaliser."""
    if signal is None:
        return "None"
    own = "" if signal.normalize == common else f", normalize={signal.normalize!r}"
    if isinstance(signal, Decay):
        weight = "" if signal.weight == 1.0 else f", weight={signal.weight!r}"
        shape = "" if signal.shape == "exponential" else f", shape={signal.shape!r}"
        return f"Decay({signal.attribute!r}, half_life={signal.half_life!r}{weight}{own}{shape})"
    if isinstance(signal, Model):
        weight = "" if signal.weight == 1.0 else f", weight={signal.weight!r}"
        version = "" if signal.version is None else f", version={signal.version!r}"
        return f"Model({list(signal.features)!r}{weight}{own}{version})"
    if isinstance(signal, Listed):
        return f"Listed({signal.weight!r}{own})"
    return f"Signal({signal.weight!r}{own})" if own else repr(signal.weight)
