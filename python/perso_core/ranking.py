"""The call: retrieve, filter, score, diversify, explore, explain; and its replay."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from . import _convert, _core, _where
from . import models as _models
from ._lists import given_lists
from ._types import Allow, Ids, Lists, Models, Moment, Pins, Signals, Target, User, Where, WhereEach
from .beside import Shadow
from .candidates import Candidates
from .capsule import Capsule
from .catalog import Catalog
from .diversity import shares
from .interests import Interests
from .policy import Policy
from .profile import Profile
from .results import Slate, SlateBatch
from .routing import Route, given_budget, given_route
from .rules import given_pins

__all__ = ["rank", "replay"]


@overload
def rank(
    cat: Catalog | Candidates | Capsule,
    user: None,
    policy: Policy | None = ...,
    k: int = ...,
    *,
    where: Where | None = ...,
    exclude: Ids | None = ...,
    signals: Signals | None = ...,
    models: Models | None = ...,
    lists: Lists | None = ...,
    at: Moment | None = ...,
    seed: int | None = ...,
    request_id: str | None = ...,
    num_threads: int = ...,
    target: Target | None = ...,
    pins: Pins | None = ...,
    shadow: Policy | None = ...,
    allow: Allow | None = ...,
    budget_us: float | None = ...,
    route: Route | None = ...,
) -> Slate: ...
@overload
def rank(
    cat: Catalog | Candidates | Capsule,
    user: User,
    policy: Policy | None = ...,
    k: int = ...,
    *,
    where: WhereEach | None = ...,
    exclude: Ids | Sequence[Ids] | None = ...,
    signals: Signals | None = ...,
    models: Models | None = ...,
    lists: Lists | Sequence[Lists] | None = ...,
    at: Moment | None = ...,
    seed: int | None = ...,
    request_id: str | Sequence[str] | None = ...,
    num_threads: int = ...,
    target: Target | Sequence[Target] | None = ...,
    pins: Pins | Sequence[Pins] | None = ...,
    shadow: Policy | None = ...,
    allow: Allow | None = ...,
    budget_us: float | None = ...,
    route: Route | None = ...,
) -> Any: ...
def rank(
    cat: Catalog | Candidates | Capsule,
    user: User,
    policy: Policy | None = None,
    k: int = 20,
    *,
    where: WhereEach | None = None,
    exclude: Ids | Sequence[Ids] | None = None,
    signals: Signals | None = None,
    models: Models | None = None,
    lists: Lists | Sequence[Lists] | None = None,
    at: Moment | None = None,
    seed: int | None = None,
    request_id: str | Sequence[str] | None = None,
    num_threads: int = 1,
    target: Target | Sequence[Target] | None = None,
    pins: Pins | Sequence[Pins] | None = None,
    shadow: Policy | None = None,
    allow: Allow | None = None,
    budget_us: float | None = None,
    route: Route | None = None,
) -> Slate | SlateBatch:
    """Rank items for a user, or for many users at once.

    Args:
        cat: a `Catalog`, `Candidates` of your own, or a `Capsule`.
        user: a (dim,) vector, for the space that the policy's similarity names or the only one there is;
            {space: vector}; `Interests` in place of a vector; a (users, dim) batch or {space: (users, dim)}, or a list
            of `Interests`, which gives a `SlateBatch`; or None for nobody: no personal input is used, and the reasons say so.
        policy: what to do. A capsule has its own and takes none.
        k: how many items, at least 1. Where fewer are eligible, the slate is shorter and has a
            `short_reason`.
        where: what may be shown: a `Filter` over attributes, what `Catalog.filter` made of one, a bool mask aligned with
            `cat.ids`, the ids, or a `pyarrow.compute` expression over attributes. For a batch also a list with one of
            these, or None, for each user; or a (users, items) mask.
        exclude: ids that may not, such as what the user has seen; one that is not there is fine. For a batch
            a list with one list of ids a user.
        signals: {name: numbers} for signals that the policy's `Blend` or `explore` names: a number for each item in
            the order of `cat.ids` (None for a missing one), or {id: number}. They come before attributes of the
            same name.
        models: {name: model} for each `Model` of the policy's `Blend`: an object with predict, such as a LightGBM
            Booster or a fitted estimator of scikit-learn, an `OnnxModel`, or a callable. It gets a (rows, features)
            float32 matrix, NaN where a value is missing, rows in the order of ids, and answers with (rows,) finite
            numbers; names of features that it states must be the policy's. It is asked once for a request's pool,
            and again for each deepening of it, with the GIL held and the catalog locked against change: it must not
            use the catalog. What it raises surfaces as it is.
        lists: {name: list} for each `Listed` of the policy's `Blend`: ids, best first, or {id: score}, larger for
            better; each id once. Ids that are not in the catalog are passed over: `Slate.lists` counts. For a batch
            one for all, or a list with one a user.
        at: the moment that decays are measured from: a datetime (without a zone: UTC), ISO 8601 text, or
            seconds since the epoch. None for now; it is always recorded. A capsule is refused outside the moments that
            it is good for.
        seed: of the random numbers, together with the request's id; None for a random one.
        request_id: your name for the request; None for a random one. For a batch a list with one a user, each once,
            or one text, to which "-0", "-1", ... are appended.
        num_threads: for a batch, over its users; -1 for every core. The slates do not depend on it.
        target: {value: share} for a policy with `Calibrated`, in place of the policy's own target: the shares
            that this user has. For a batch one for all, or a list with one a user. None for the policy's.
        pins: {slot: id}: slots, counted from 0, that show these items, in place of the policy's own pins of the
            same slots. For a batch one for all, or a list with one a user. What cannot be, such as an item that is
            excluded, is told in the slate's `unmet`.
        shadow: another policy that ranks the same request in the same call: the same state of the catalog, seed,
            request id and inputs. Nobody is shown its slate: that is `slate.shadow.slate`, with how alike the two
            are. The slate and its record are what they are without. What the request brings has to be of use to one
            of the two; an error of the shadow's is raised too, and begins with "shadow".
        allow: {category: bool}: the personal input that may be used: "profile" (`user` and `target`), "history"
            (`exclude`) and "signals" (`signals`). A category that is not named may be. What may not is treated as if
            it had not been given, before anything looks at it: without the profile there is no user, nor a batch. A
            signal that is withheld is read from the attribute of its name; where there is none, its term is 0.
            None where nothing is said; else the record has it.
        budget_us: microseconds that ranking may take, of the core that `calibrate` compares this one with; for a batch each
            user's. Where the policy is predicted to take longer, the breadth of walks, then the pool, then diversity are
            lowered as little as it takes; `Slate.given_up` says how far. Predicted from counts, never from a clock: the
            same everywhere. Filters, `exclude` and models are not counted. None for the whole policy.
        route: what `pc.route` decided, for the record; for a batch that of all.

    Returns:
        A `Slate`; for a batch a `SlateBatch`. The GIL is released meanwhile.

    Raises:
        ValueError, TypeError: an argument that is wrong, or that would be ignored, named with what was
            expected and what came.
        KeyError: an attribute or space of the policy, or an id of `where` or `pins`, that is not there.
        CapsuleError: a capsule that has expired.
    """
    source = source_of(cat)
    handle = _policy(cat, policy)
    k = _convert.integer("k", k, 1)
    allowed_input = None if allow is None else _convert.allowed("allow", allow)
    if allowed_input is not None:
        profile, history, brought = allowed_input
        user, target = (user, target) if profile else (None, None)
        exclude = exclude if history else None
        signals = signals if brought else None
    numbers = _convert.signals(signals)
    if shadow is not None and not isinstance(shadow, Policy):
        raise _convert.wrong_type("shadow", "a Policy, or None", _convert.kind_of(shadow))
    second = None if shadow is None else shadow._handle
    asked = _bind_models(cat, policy, shadow, models)
    at_us = time.time_ns() // 1000 if at is None else _convert.microseconds("at", at)
    drawn = secrets.randbits(63) if seed is None else _convert.seed(seed)
    threads = _convert.threads(num_threads)
    budget = given_budget("budget_us", budget_us)
    decided = given_route("route", route)
    vectors, count = _users(_read(user, at_us))
    if count is None:
        if request_id is None:
            request_id = uuid.uuid4().hex
        if not isinstance(request_id, str):
            raise _convert.wrong_type("request_id", "a str, or None", _convert.kind_of(request_id))
        allowed = _where.where("where", where, cat)
        without = _convert.optional_ids("exclude", exclude)
        return _shown(
            _core.rank(
                source,
                vectors,
                handle,
                k,
                allowed,
                without,
                numbers,
                asked,
                given_lists("lists", lists),
                at_us,
                drawn,
                request_id,
                None if target is None else shares("target", target),
                None if pins is None else given_pins("pins", pins),
                second,
                allowed_input,
                budget,
                decided,
            )
        )
    names = _request_ids(request_id, count)
    allowed_each = _where.where_each("where", where, cat, count)
    without_each = _exclusions(exclude, count)
    pairs = _core.rank_many(
        source,
        vectors,
        count,
        handle,
        k,
        allowed_each,
        without_each,
        numbers,
        asked,
        _one_a_user("lists", lists, count, "a mapping of names to lists of ids", given_lists) or [],
        at_us,
        drawn,
        names,
        threads,
        _one_a_user("target", target, count, "a mapping of values to shares", shares),
        _one_a_user("pins", pins, count, "a mapping of slots to ids", given_pins),
        second,
        allowed_input,
        budget,
        decided,
    )
    return SlateBatch([_shown(pair) for pair in pairs])


def _shown(pair: tuple[_core.Slate, _core.Slate | None]) -> Slate:
    """The slate to show, with the shadow's beside it."""
    core, other = pair
    slate = Slate(core)
    if other is not None:
        # A view of its own of the served slate: no cycle that would wait for the garbage collector.
        slate.shadow = Shadow(Slate(core), Slate(other))
    return slate


def _policy(cat: object, policy: object) -> _core.Policy:
    if isinstance(cat, Capsule):
        if policy is not None:
            raise _convert.invalid("policy", "None, because a capsule has its own", _convert.kind_of(policy))
        return cat._core.policy
    if not isinstance(policy, Policy):
        raise _convert.wrong_type("policy", "a Policy", _convert.kind_of(policy))
    return policy._handle


def _bind_models(
    cat: object, policy: Policy | None, shadow: Policy | None, models: Models | None
) -> dict[str, _models.Predict]:
    if isinstance(cat, Capsule) and models is not None:
        policy = cat.policy
    return _models.bind([one for one in (policy, shadow) if one is not None], models)


def replay(
    record: Mapping[str, Any] | str,
    cat: Catalog | Candidates | Capsule,
    user: User = None,
    *,
    where: Where | None = None,
    exclude: Ids | None = None,
    signals: Signals | None = None,
    models: Models | None = None,
    lists: Lists | None = None,
    target: Target | None = None,
) -> Slate:
    """The slate of a decision record, made again from the same data, bit for bit.

    Args:
        record: what `Slate.record` returned, or its JSON text.
        cat: the catalog, the candidates or the capsule that the slate was made from.
        user: the user's vectors, where the record was written without them. A `Profile` may have learned since:
            give what its `vector` was at the record's moment.
        where: as the request had it, as all that follows is, for a record that withholds personal input, as that of a
            capsule's slate does. Any other record holds what came of it, and takes none.
        exclude: the same.
        signals: the same.
        models: the same.
        lists: the same.
        target: the same.

    Raises:
        ReplayError: the data has changed since, the record is damaged, altered or of a later version, or the
            user is not the one. The message says which.
    """
    text, vectors = recorded("record", record, user)
    source = source_of(cat)
    given = (where, exclude, signals, models, lists, target)
    withheld: _core._Withheld | None = None
    if any(one is not None for one in given) or _withholds(record):
        withheld = (
            _where.where("where", where, cat),
            _convert.optional_ids("exclude", exclude),
            _convert.signals(signals),
            _bind_models(cat, None, None, models) if models is not None else {},
            given_lists("lists", lists),
            None if target is None else shares("target", target),
        )
        if not _withholds(record):
            name = next(name for name, one in zip(_WITHHELD, given, strict=True) if one is not None)
            raise _convert.invalid(name, "None, because the record holds what came of it", "a value")
    return Slate(_core.replay(text, source, vectors, withheld))


_WITHHELD = ("where", "exclude", "signals", "models", "lists", "target")


def _withholds(record: Mapping[str, Any] | str) -> bool:
    """Whether personal input was left out of a record."""
    if isinstance(record, str):
        try:
            record = json.loads(record)
        except ValueError:
            # The core says what is wrong with it.
            return False
    return isinstance(record, Mapping) and record.get("personal") is not None


def recorded(argument: str, record: object, user: User) -> tuple[str, _core._User | None]:
    """The JSON text of a record, and the vectors of its user by space."""
    if isinstance(record, Mapping):
        try:
            record = json.dumps(dict(record), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise _convert.invalid(argument, "what JSON can hold", error) from None
    elif not isinstance(record, str):
        raise _convert.wrong_type(argument, "a mapping or JSON text", _convert.kind_of(record))
    if isinstance(user, Profile):
        raise _convert.wrong_type("user", "the user's vectors at the record's moment", "a Profile")
    vectors, count = _users(user)
    if count is not None:
        raise _convert.invalid("user", "the vectors of one user", f"a batch of {count}")
    if vectors is not None and "" in vectors:
        vectors = {_recorded_space(record): vectors[""]}
    return record, vectors


def _recorded_space(record: str) -> str:
    """The space that a bare vector is for, by the record; "" where that is not one."""
    try:
        document = json.loads(record)
        spaces = list(document["user"] or document["user_sha256"] or {})
    except (KeyError, TypeError, ValueError):
        # The core says what is wrong with the record.
        return ""
    return spaces[0] if len(spaces) == 1 else ""


def source_of(cat: object) -> _core.Catalog | _core.Candidates | _core.Capsule:
    if not isinstance(cat, Catalog | Candidates | Capsule):
        raise _convert.wrong_type("cat", "a Catalog, Candidates or a Capsule", _convert.kind_of(cat))
    return cat._core


def _read(user: User, at_us: int) -> User:
    """The same with the vectors that profiles have at a moment."""
    if isinstance(user, Profile):
        vector = user._core.vector(at_us)
        return None if vector is None else {user.plan.space: vector}
    if not isinstance(user, Mapping):
        if isinstance(user, list | tuple) and any(isinstance(one, Profile) for one in user):
            expected = "one Profile; for a batch a matrix of their vectors"
            raise _convert.wrong_type("user", expected, "a list of Profile")
        return user
    profiles = {space: one for space, one in user.items() if isinstance(one, Profile)}
    read: dict[str, Any] = {}
    for space, profile in profiles.items():
        if space != profile.plan.space:
            expected = f"a Profile of space {space!r}"
            raise _convert.invalid(f"user[{space!r}]", expected, f"one of space {profile.plan.space!r}")
        read[space] = profile._core.vector(at_us)
    if profiles and len(profiles) == len(user) and all(vector is None for vector in read.values()):
        return None
    # Beside what is known in other spaces: zeros tell no items apart.
    zeros = {space: np.zeros(profiles[space].dim, np.float32) for space, v in read.items() if v is None}
    return {**user, **read, **zeros}


def _users(user: User) -> tuple[_core._User | None, int | None]:
    """Vectors or interests by space, and how many users they are for; None for one user who is no batch."""
    if user is None:
        return None, None
    if any(map(_has_interests, user.values() if isinstance(user, Mapping) else [user])):
        return _with_interests(user if isinstance(user, Mapping) else {"": user})
    # The core knows which space a bare vector, here under "", is for.
    vectors = _convert.by_space("user", user, "")
    shapes = {name: array.shape for name, array in vectors.items()}
    dimensions = {array.ndim for array in vectors.values()}
    if dimensions <= {1}:
        return dict(vectors), None
    if dimensions != {2}:
        shown = shapes if isinstance(user, Mapping) else shapes[""]
        raise _convert.invalid("user", "(dim,) vectors, or (users, dim) batches", f"shape {shown}")
    counts = {shape[0] for shape in shapes.values()}
    if len(counts) != 1:
        raise _convert.invalid("user", "as many rows in every space", f"shapes {shapes}")
    return dict(vectors), counts.pop()


def _has_interests(given: object) -> bool:
    return isinstance(given, Interests) or (
        isinstance(given, list | tuple) and any(isinstance(one, Interests) for one in given)
    )


def _with_interests(user: Mapping[str, Any]) -> tuple[_core._User, int | None]:
    """The same where a space has `Interests`; others may have vectors."""
    found: _core._User = {}
    counts: dict[int | None, str] = {}
    for name, given in user.items():
        argument = f"user[{name!r}]" if name else "user"
        if isinstance(given, Interests):
            found[name] = given._given
            counts[None] = "one user"
        elif _has_interests(given):
            for i, one in enumerate(given):
                if not isinstance(one, Interests):
                    raise _convert.wrong_type(f"{argument}[{i}]", "Interests", _convert.kind_of(one))
            found[name] = [one._given for one in given]
            counts[len(given)] = f"{len(given)} users"
        else:
            vectors = next(iter(_convert.by_space("user", {name: given}, "").values()))
            if vectors.ndim not in (1, 2):
                expected = "a (dim,) vector, or a (users, dim) batch"
                raise _convert.invalid(argument, expected, f"shape {vectors.shape}")
            found[name] = vectors
            counts[None if vectors.ndim == 1 else len(vectors)] = f"shape {vectors.shape}"
    if len(counts) > 1:
        raise _convert.invalid("user", "as many users in every space", " and ".join(counts.values()))
    return found, next(iter(counts))


def _request_ids(request_id: str | Sequence[str] | None, count: int) -> list[str]:
    if request_id is None:
        request_id = uuid.uuid4().hex
    if isinstance(request_id, str):
        return [f"{request_id}-{i}" for i in range(count)]
    if not isinstance(request_id, Iterable):
        raise _convert.wrong_type("request_id", "a str, or one a user", _convert.kind_of(request_id))
    names = list(request_id)
    for name in names:
        if not isinstance(name, str):
            raise _convert.wrong_type("request_id", "a list of str", _convert.kind_of(name))
    # Draws are keyed by the id, and a log is searched by it.
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise _convert.invalid("request_id", "each id once", f"{name!r} twice")
        seen.add(name)
    return names


def _exclusions(
    exclude: Ids | Sequence[Ids] | None, count: int
) -> list[NDArray[np.int64] | list[str]] | None:
    if exclude is None:
        return None
    expected = f"a list of {count} lists of ids, one a user"
    if isinstance(exclude, str | Mapping) or not isinstance(exclude, Iterable):
        raise _convert.wrong_type("exclude", expected, _convert.kind_of(exclude))
    lists = list(exclude)
    if len(lists) != count or any(isinstance(one, int | str | np.generic) for one in lists):
        got = (
            f"{len(lists)} ids"
            if lists and isinstance(lists[0], int | str | np.generic)
            else f"{len(lists)} lists"
        )
        raise _convert.invalid("exclude", expected, got)
    return [_convert.ids(f"exclude[{i}]", one, ordered=False) for i, one in enumerate(lists)]


_One = TypeVar("_One")


def _one_a_user(
    argument: str, given: object, count: int, what: str, read: Callable[[str, Any], _One]
) -> list[_One] | None:
    """What a batch may say once for all, as a mapping, or in a list with one mapping a user."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        return [read(argument, given)] * count
    expected = f"{what}, or a list of {count}, one a user"
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise _convert.wrong_type(argument, expected, _convert.kind_of(given))
    each = list(given)
    if len(each) != count:
        raise _convert.invalid(argument, expected, f"a list of {len(each)}")
    return [read(f"{argument}[{i}]", one) for i, one in enumerate(each)]
