"""A capsule: candidates and a policy in one small signed file, which a device ranks again by itself."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from numpy.typing import NDArray

from . import _convert, _core
from ._types import Id, Ids, Moment, Signals
from .blend import duration
from .candidates import Candidates
from .catalog import Catalog
from .policy import Policy
from .profile import ProfilePlan
from .results import Slate

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Capsule", "KeyPair", "Provenance", "capsule", "generate_key"]

_DTYPES = ("i8", "f16")
_FROM_SLATE = 200


class KeyPair(NamedTuple):
    """An Ed25519 key: 32 secret bytes that sign, 32 that anybody may have and that signatures are checked with."""

    private: bytes
    public: bytes

    def __repr__(self) -> str:
        return f"KeyPair(private=<{len(self.private)} bytes>, public={self.public!r})"


def generate_key() -> KeyPair:
    """A new key, from the randomness of the operating system.

    The private half belongs to whoever makes capsules, and nowhere else; the public half goes into the app.
    """
    private = os.urandom(32)
    return KeyPair(private, _core.public_key(private)[0])


@dataclass(frozen=True)
class Provenance:
    """Where a capsule comes from.

    Attributes:
        library: the version of perso_core that made it.
        generation: the generation of the catalog it was made from.
        content_hash: the hash of that catalog's content, in hex.
        made_at: when.
        expires_at: from this moment on it is refused.
        key_id: which key signed it: the first 8 bytes of the SHA-256 of the public key, in hex.
        hash: SHA-256 of the capsule without the signature, in hex: what a record names it by.
    """

    library: str
    generation: int
    content_hash: str
    made_at: datetime
    expires_at: datetime
    key_id: str
    hash: str


class Capsule:
    """Candidates and a policy, signed. `rank` takes it in place of a catalog, and takes no policy then.

    `pc.capsule` makes one, `Capsule.open` reads one. It never changes; any number of threads may use it.
    """

    def __init__(self, core: _core.Capsule) -> None:
        self._core = core

    @classmethod
    def open(
        cls,
        source: bytes | bytearray | memoryview | str | os.PathLike[str],
        public_key: bytes | Iterable[bytes],
        at: Moment | None = None,
    ) -> Capsule:
        """Open a capsule: its signature is checked, its moments, and every number in it.

        Args:
            source: its bytes, or the path of a file.
            public_key: the 32 bytes of the key that must have signed it, or several such keys while keys change.
            at: the moment of use, as for `rank`; None for now. To replay an old record give its moment.

        Raises:
            CapsuleError: it is refused; `error.reason` says why: "tampered", "truncated", "trailing", "expired", "future"
                (made more than five minutes after `at`), "key", "version", "foreign" (something else than a capsule), or
                "damaged" (its content does not fit together although it was signed so).
            OSError: the file cannot be read.
        """
        keys = _keys(public_key)
        at_us = _moment(at)
        if isinstance(source, bytes | bytearray | memoryview):
            return cls(_core.Capsule.open(bytes(source), keys, at_us))
        return cls(_core.Capsule.load(_convert.file_path("source", source), keys, at_us))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file. It is there whole, or as it was before."""
        self._core.save(_convert.file_path("path", path))

    def __bytes__(self) -> bytes:
        return self._core.data()

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        return self._core.size

    @cached_property
    def ids(self) -> NDArray[Any]:
        """(n,) ids, int64 or str, in the order that the server gave them."""
        return _convert.ids_out(self._core.ids)

    @cached_property
    def policy(self) -> Policy:
        """The policy it is ranked by."""
        return Policy.from_json(self._core.policy.json)

    @cached_property
    def profile_plan(self) -> ProfilePlan | None:
        """What profiles on the device are to learn from; None where the server did not say."""
        plan = self._core.plan
        return None if plan is None else ProfilePlan.from_json(plan.json)

    @cached_property
    def provenance(self) -> Provenance:
        """Where it comes from."""
        library, generation, content_hash, made_at, expires_at, key_id = self._core.provenance
        moments = _convert.moment_out(made_at), _convert.moment_out(expires_at)
        return Provenance(library, generation, content_hash, *moments, key_id, self._core.hash)

    @property
    def expires_at(self) -> datetime:
        """From this moment on it is refused."""
        return self.provenance.expires_at

    @cached_property
    def spaces(self) -> dict[str, dict[str, Any]]:
        """{name: {"dim", "metric", "dtype"}} of its spaces."""
        return {
            name: {"dim": dim, "metric": metric, "dtype": dtype}
            for name, dim, metric, dtype in self._core.spaces()
        }

    @cached_property
    def attributes(self) -> dict[str, str]:
        """{name: type} of its attributes, which `where=` may ask for."""
        return dict(self._core.attributes())

    @property
    def _kinds(self) -> tuple[tuple[str, str], ...]:
        return tuple(self._core.attributes())

    def vector(self, id: Id, space: str) -> NDArray[np.float32]:
        """The (dim,) vector of a candidate as stored, which is what a profile observes. KeyError where there is none."""
        return self._core.vector(_convert.one_id("id", id), _convert.text("space", space))

    def __len__(self) -> int:
        return len(self._core)

    def __eq__(self, other: object) -> bool:
        return bytes(self) == bytes(other) if isinstance(other, Capsule) else NotImplemented

    def __hash__(self) -> int:
        return hash(bytes(self))

    def __repr__(self) -> str:
        spaces = ", ".join(f"{name}({one['dim']}, {one['dtype']})" for name, one in self.spaces.items())
        until = f"{self.expires_at:%Y-%m-%d %H:%M:%S}Z"
        return f"<Capsule: {len(self):,} candidates, {self.size_bytes:,} bytes, spaces {spaces or 'none'}, until {until}>"


def capsule(
    items: Slate | Ids,
    catalog: Catalog | Candidates | Capsule,
    policy: Policy,
    *,
    ttl: str | timedelta | float,
    key: bytes | KeyPair,
    at: Moment | None = None,
    n: int | None = None,
    spaces: Sequence[str] | None = None,
    dtype: Literal["i8", "f16"] = "i8",
    attributes: Sequence[str] = (),
    signals: Signals | None = None,
    profile: ProfilePlan | None = None,
) -> Capsule:
    """Pack candidates for a device, with all that the policy needs of them, and sign it.

    The policy is tried on the capsule before it is returned, so one that a device could not follow is refused here. What
    a device has of its own, which is the user, comes when it ranks. What only a server can say has to come along: the
    answers of a policy's `Model`s and `Listed`s. A slate brings those of its own request.

    Args:
        items: ids, each once, in the order that the capsule keeps; or a slate, whose items are taken, and then the best of
            the rest of its pool, with the signals, answers and lists that it was made with.
        catalog: where they are: a `Catalog`, `Candidates` (whose scores go along where the policy uses them), or another
            capsule.
        policy: what the device is to do.
        ttl: how long it is good for: '6h', a timedelta, or seconds.
        key: 32 bytes: the private key, or a `KeyPair`.
        at: now, as for `rank`; None for what the clock says.
        n: at most so many candidates, the first ones; None for 200 of a slate, and for all ids.
        spaces: the spaces that go along; None for those that the policy compares by, and the profile's.
        dtype: how vectors are kept: "i8", one byte a component and a scale, or "f16", two bytes. Vectors that the catalog
            keeps as "i8" are copied bit for bit.
        attributes: names of attributes beside those that the policy reads, for filters on the device.
        signals: {name: {id: number}}, or for ids {name: numbers in their order}: what stands on the device for signals,
            models and lists of the policy, before attributes of the same name. Ids of other items are passed over. What a
            device gives under the name of a signal goes before it; for a number that only the device has, give None for
            each.
        profile: the plan that profiles on the device learn by.

    Raises:
        ValueError, TypeError: an argument that is wrong, a policy that a device cannot follow, or more than 65,535
            candidates.
        KeyError: an id, a space or an attribute that is not there.
    """
    if not isinstance(catalog, Catalog | Candidates | Capsule):
        expected = "a Catalog, Candidates or a Capsule"
        raise _convert.wrong_type("catalog", expected, _convert.kind_of(catalog))
    if not isinstance(policy, Policy):
        raise _convert.wrong_type("policy", "a Policy", _convert.kind_of(policy))
    if profile is not None and not isinstance(profile, ProfilePlan):
        raise _convert.wrong_type("profile", "a ProfilePlan, or None", _convert.kind_of(profile))
    private = _private(key)
    made_at = _moment(at)
    lives = _ttl(ttl)
    most = None if n is None else _convert.integer("n", n, 1)
    numbers = _convert.signals(signals)
    if isinstance(items, Slate):
        aligned = [name for name, given in numbers.items() if not isinstance(given, tuple)]
        if aligned:
            argument = f"signals[{aligned[0]!r}]"
            raise _convert.invalid(
                argument, "{id: number}, because a slate has an order of its own", "numbers"
            )
        ids, own = items._core.candidates(policy._handle, _FROM_SLATE if most is None else most)
        numbers = {**own, **numbers}
    else:
        ids = _convert.ids("items", items)
        if most is not None and most < len(ids):
            numbers = {name: one if isinstance(one, tuple) else one[:most] for name, one in numbers.items()}
            ids = ids[:most]
    data = _core.pack(
        catalog._core,
        policy._handle,
        ids,
        None if spaces is None else _names("spaces", spaces),
        _convert.choice("dtype", dtype, _DTYPES),
        _names("attributes", attributes),
        numbers,
        None if profile is None else profile._handle,
        made_at,
        made_at + lives,
        private,
    )
    return Capsule(_core.Capsule.open(data, [_core.public_key(private)[0]], made_at))


def _private(key: object) -> bytes:
    found = key.private if isinstance(key, KeyPair) else key
    if not isinstance(found, bytes | bytearray):
        raise _convert.wrong_type("key", "32 bytes, or a KeyPair", type(found).__name__)
    return bytes(found)


def _keys(public_key: object) -> list[bytes]:
    expected = "32 bytes, or several keys of 32 bytes"
    if isinstance(public_key, bytes | bytearray):
        return [bytes(public_key)]
    if isinstance(public_key, KeyPair | str | Mapping) or not isinstance(public_key, Iterable):
        raise _convert.wrong_type("public_key", expected, type(public_key).__name__)
    keys = list(public_key)
    for key in keys:
        if not isinstance(key, bytes | bytearray):
            raise _convert.wrong_type("public_key", expected, type(key).__name__)
    if not keys:
        raise _convert.invalid("public_key", expected, "none")
    return [bytes(key) for key in keys]


def _moment(at: Moment | None) -> int:
    return time.time_ns() // 1000 if at is None else _convert.microseconds("at", at)


def _ttl(value: object) -> int:
    try:
        return duration(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"ttl{str(error).removeprefix('half_life')}") from None


def _names(argument: str, value: object) -> list[str]:
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise _convert.wrong_type(argument, "a list of names", _convert.kind_of(value))
    return [_convert.text(argument, name) for name in value]
