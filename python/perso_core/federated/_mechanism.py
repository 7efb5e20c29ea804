"""The mechanism: clip, weight, add up, add noise, divide.

With clients c of a round, deltas x_c, weights w_c from 0 to W, a clip S, and a fixed denominator D,

    mean = ( sum_c  w_c min(1, S / |x_c|) x_c  +  N(0, sigma^2 I) ) / D        sigma = z sensitivity

McMahan, Ramage, Talwar and Zhang 2018, *Learning differentially private recurrent language models*, Algorithm 1 with the
fixed-denominator estimator. D must not depend on who came: dividing by the weights that came would make what one client
can change depend on everybody else. What one client can change of the sum, in L2, is its sensitivity:

    S W     where it is there or not        ("add_or_remove")
    2 S W   where its data are replaced     ("replace_one")

`noise_multiplier` is z, the noise as a multiple of that; `_accounting` says which epsilon it buys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _convert
from .._types import Id, Vectors
from ..blend import assign
from . import _deltas, _noise
from ._deltas import Delta

Adjacency: TypeAlias = Literal["add_or_remove", "replace_one"]
ADJACENCIES = ("add_or_remove", "replace_one")
_Floats = NDArray[np.float64]


class TooFewClients(ValueError):
    """Fewer deltas than `Mechanism.min_clients`, after those that were dropped: wait, or leave the round out."""


@dataclass(frozen=True)
class Update:
    """What came of a round.

    `delta` is what the mechanism releases. The counts beside it are for whoever runs the server: no epsilon covers them,
    so they should not be published.

    Attributes:
        delta: what to add to the model: a float64 array of its shape, or a mapping of names to arrays.
        deviation: the standard deviation of the noise in each component of `delta`; 0.0 without noise.
        seed: of the noise; None where the operating system gave it. Noise of a known seed protects nothing.
        clients: how many deltas were added up.
        weight: the sum of their weights, as bounded.
        clipped: how many of them were longer than the bound.
        refused: {id: why} of those that were dropped.
    """

    delta: Any
    deviation: float
    seed: int | None
    clients: int
    weight: float
    clipped: int
    refused: Mapping[Id, str]

    def __repr__(self) -> str:
        return (
            f"<Update of {self.clients} clients, {self.clipped} clipped, {len(self.refused)} refused, "
            f"noise {self.deviation:.4g} a component>"
        )


@dataclass(frozen=True)
class Mechanism:
    """How deltas are added up, and how much of any one of them may show.

    Args:
        clip: S, the largest L2 norm of a delta, all its arrays together; longer ones are scaled down to it.
        noise_multiplier: z, the noise's standard deviation as a multiple of the sensitivity, from 0.001 to 1e6, or 0 for
            none. `pc.federated.noise_multiplier` finds it for an epsilon.
        denominator: D, what the sum is divided by: the weight expected in a round, such as sampling rate times number
            of clients times mean weight. None for the sum of the weights that come, which needs `noise_multiplier=0`.
        max_weight: W, the largest weight of a client; larger ones count as this.
        min_clients: how many deltas a round needs; 0 by default, because a round that was refused says that few
            came, which no epsilon covers.
        adjacency: what shall not show: "add_or_remove", whether a client took part at all; or "replace_one", what a
            client had, where taking part is no secret. The second has twice the sensitivity.

    Raises:
        ValueError, TypeError: an argument out of its range.

    >>> import perso_core as pc
    >>> mechanism = pc.federated.Mechanism(clip=5.0, noise_multiplier=0, denominator=2.0)
    >>> update = mechanism.aggregate([0.0, 0.0], {"a": [3.0, 4.0], "b": [60.0, 80.0]})
    >>> update.delta.round(6)
    array([3., 4.])
    >>> update
    <Update of 2 clients, 2 clipped, 0 refused, noise 0 a component>
    """

    clip: float
    noise_multiplier: float
    denominator: float | None = None
    max_weight: float = 1.0
    min_clients: int = 0
    adjacency: Adjacency = "add_or_remove"
    sensitivity: float = field(init=False)
    """What one client can change of the sum, in L2: `clip * max_weight`, twice that for "replace_one"."""

    def __post_init__(self) -> None:
        noise = _convert.real("noise_multiplier", self.noise_multiplier)
        if noise != 0 and not 1e-3 <= noise <= 1e6:
            raise _convert.invalid("noise_multiplier", "0, or a number from 0.001 to 1e6", noise)
        if self.denominator is None and noise != 0:
            expected = "a number that does not depend on who comes, because there is noise"
            raise _convert.invalid("denominator", expected, None)
        adjacency = _convert.choice("adjacency", self.adjacency, ADJACENCIES)
        clip = _deltas.positive("clip", self.clip)
        max_weight = _deltas.positive("max_weight", self.max_weight)
        assign(
            self,
            clip=clip,
            noise_multiplier=noise,
            denominator=None
            if self.denominator is None
            else _deltas.positive("denominator", self.denominator),
            max_weight=max_weight,
            min_clients=_convert.integer("min_clients", self.min_clients, 0),
            sensitivity=clip * max_weight * (2.0 if adjacency == "replace_one" else 1.0),
        )

    def aggregate(
        self,
        like: Vectors | Mapping[str, Vectors],
        deltas: Mapping[Id, Delta],
        weights: Mapping[Id, float] | None = None,
        *,
        bad: Literal["raise", "drop"] = "raise",
        seed: int | None = None,
        round: int = 0,
    ) -> Update:
        """The noised mean of a round's deltas, in O(clients x components) time.

        The result does not depend on the order of the clients, to the bit, nor on what they are called. Whoever dropped out
        is simply not there: the denominator and the noise stay.

        Args:
            like: the model, an array or a mapping of names to arrays; only its shapes are read.
            deltas: {id of a client: its delta}: an array of the model's shape, or `SparseRows` of it, or a mapping of
                the model's names to these.
            weights: {id: a number from 0}, for all clients; None for 1 each. Above `max_weight` counts as that.
            bad: what to do with a delta or weight of a wrong shape or type, with a NaN, an infinity, or a negative
                weight: "raise" an error that names the client, or "drop" it and say so in `Update.refused`.
            seed: for tests and simulations; None for noise from the operating system, which nobody can repeat.
            round: which round it is, from 0: with a seed, each has noise of its own.

        Raises:
            TooFewClients: fewer than `min_clients`.
            ValueError, TypeError: another wrong argument, named with what was expected and what came.
        """
        wanted = _deltas.shapes("like", like)
        if not isinstance(deltas, Mapping):
            expected = "a mapping of ids of clients to deltas"
            raise _convert.wrong_type("deltas", expected, _convert.kind_of(deltas))
        _check_weights(weights, deltas)
        _convert.choice("bad", bad, ("raise", "drop"))
        seed = None if seed is None else _convert.seed(seed)
        round = _convert.integer("round", round, 0)

        deviation = self.noise_multiplier * self.sensitivity
        one = self.clip * self.max_weight
        step = _noise.step(one, deviation)
        if len(deltas) * (one / step) >= 2.0**62:
            raise _convert.invalid("deltas", f"fewer than {int(2.0**62 * step / one):,}", f"{len(deltas):,}")

        sums = [np.zeros(shape, np.int64) for shape in wanted.values()]
        clipped, clients, weight, refused = 0, 0, [], {}
        for client, delta in deltas.items():
            called = f"deltas[{client!r}]"
            try:
                w = 1.0 if weights is None else _weight(client, weights[client])
                w = min(w, self.max_weight)
                read = _deltas.parts(called, delta, wanted)
            except (TypeError, ValueError) as error:
                if bad == "raise":
                    raise
                refused[client] = str(error)
                continue
            places, was_clipped = _deltas.on_grid(read, self.clip, w, step, wanted)
            for total, (where, steps) in zip(sums, places, strict=True):
                # Rows of one client are distinct, so none is lost here.
                total[where] += steps
            clipped += was_clipped
            clients += 1
            weight.append(w)
        if clients < self.min_clients:
            got = f"{clients}" + (f", with {len(refused)} refused" if refused else "")
            raise TooFewClients(str(_convert.invalid("deltas", f"at least {self.min_clients} clients", got)))

        total_weight = float(np.sum(np.sort(weight)))
        denominator = self.denominator if self.denominator is not None else total_weight
        if denominator == 0.0:
            raise _convert.invalid("weights", "one above 0, because the sum is divided by theirs", "none")
        mean = self._noised(sums, deviation / step, seed, round)
        shaped = {
            name: part * (step / denominator)
            for (name, part) in zip(wanted, np.split(mean, _ends(wanted)), strict=True)
        }
        shaped = {name: shaped[name].reshape(shape) for name, shape in wanted.items()}
        return Update(
            delta=shaped if isinstance(like, Mapping) else shaped[""],
            deviation=deviation / denominator,
            seed=seed if deviation else None,
            clients=clients,
            weight=total_weight,
            clipped=clipped,
            refused=MappingProxyType(refused),
        )

    def _noised(
        self, sums: list[NDArray[np.int64]], deviation: float, seed: int | None, round: int
    ) -> _Floats:
        flat = np.concatenate([part.ravel() for part in sums])
        if deviation:
            flat = flat + _noise.gaussian(flat.size, deviation, seed, round)
        return flat.astype(np.float64)


def _ends(shapes: _deltas.Shapes) -> list[int]:
    """Where each array but the last ends in the flat sum."""
    return list(accumulate(math.prod(shape) for shape in shapes.values()))[:-1]


def _check_weights(weights: object, deltas: Mapping[Id, Delta]) -> None:
    if weights is None:
        return
    if not isinstance(weights, Mapping):
        expected = "a mapping of ids of clients to numbers, or None"
        raise _convert.wrong_type("weights", expected, _convert.kind_of(weights))
    missing = [client for client in deltas if client not in weights]
    if missing:
        raise _convert.invalid("weights", "a weight for each client", f"none for {missing[0]!r}")
    unknown = [client for client in weights if client not in deltas]
    if unknown:
        raise _convert.invalid("weights", "weights of clients that sent a delta", repr(unknown[0]))


def _weight(client: Id, value: object) -> float:
    argument = f"weights[{client!r}]"
    number = _convert.real(argument, value)
    if number < 0:
        raise _convert.invalid(argument, "a number from 0", number)
    return number
