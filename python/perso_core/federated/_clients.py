"""Who takes part in a round, and what a profile on a device has learned."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import _convert
from .._random import Draws
from .._types import Id, Moment, Vectors
from ..profile import Profile

I = TypeVar("I", bound=Id)  # noqa: E741


def sample(clients: Iterable[I], rate: float, *, seed: int | None = None, round: int = 0) -> list[I]:
    """The clients of a round, in their order: each by its own coin (Poisson sampling), as the accounting takes it.

    A fixed number drawn without replacement, which most frameworks do, is another mechanism with another epsilon.

    Args:
        clients: ids, each once.
        rate: the probability of each, from 0 to 1.
        seed: for tests and simulations: each client's coin is then a function of seed, round and id; None for the
            operating system. Who knows who took part gets no amplification.
        round: which round it is, from 0.

    Raises:
        ValueError, TypeError: a rate out of its range, ids that are none or come twice.

    >>> import perso_core as pc
    >>> pc.federated.sample(range(10), 0.3, seed=1)
    [5]
    """
    chance = _convert.unit("rate", rate)
    seed = None if seed is None else _convert.seed(seed)
    round = _convert.integer("round", round, 0)
    ids = list(clients)
    for client in ids:
        _convert.one_id("clients", client)
    if len(set(ids)) < len(ids):
        seen: set[I] = set()
        twice = next(client for client in ids if client in seen or seen.add(client))  # type: ignore[func-returns-value]
        raise _convert.invalid("clients", "each client once", f"{twice!r} twice")
    if seed is None:
        raw = np.frombuffer(os.urandom(8 * len(ids)), "<u8")
        coins = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return [client for client, coin in zip(ids, coins, strict=True) if coin < chance]
    return [
        client for client in ids if Draws("federated.sample", seed, f"{round}/{client!r}").uniform() < chance
    ]


def profile_delta(profile: Profile, reference: Vectors, at: Moment | None = None) -> NDArray[np.float64]:
    """What a profile has learned beyond a vector that everybody starts from, such as the `prior` of the population.

    Averaged over devices with a `Mechanism` and added to the reference, it moves the prior to where users are, and the
    events that a profile is made of stay on its device.

    Args:
        profile: of one user.
        reference: (dim,) floats: what all clients of the round compare with.
        at: as for `Profile.vector`.

    Returns:
        (dim,) float64, `profile.vector(at) - reference`; zeros where the profile knows nothing.

    Raises:
        ValueError, TypeError: a reference of another shape or with a NaN or infinity, something else than a profile.
    """
    if not isinstance(profile, Profile):
        raise _convert.wrong_type("profile", "a Profile", _convert.kind_of(profile))
    start = _convert.reals("reference", reference, 1)
    if len(start) != profile.dim:
        raise _convert.invalid("reference", f"shape ({profile.dim},)", f"shape {start.shape}")
    vector = profile.vector(at)
    return np.zeros(len(start)) if vector is None else vector.astype(np.float64) - start
