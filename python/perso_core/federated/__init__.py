"""Federated averaging: what many devices learned, added up so that no single one can be told from the sum.

    mechanism = pc.federated.Mechanism(clip=1.0, noise_multiplier=1.2, denominator=50.0)
    chosen = pc.federated.sample(device_ids, 0.05)                     # each by its own coin
    update = mechanism.aggregate(factors, {id: delta_of(id) for id in chosen})
    factors = factors + update.delta
    pc.federated.epsilon(1.2, rounds=200, sampling_rate=0.05, delta=1e-5)

Deltas are arrays, mappings of names to arrays, or `SparseRows` of a matrix; `profile_delta` makes one of a `Profile`.
Each is clipped to an L2 bound and weighted with a bounded weight, the sum gets Gaussian noise and is divided by a fixed
number: FedAvg (McMahan et al. 2017) with the Gaussian mechanism (McMahan et al. 2018). The server that adds up sees every
delta; what it publishes is differentially private. `docs/federated.md` has formulas, assumptions and an example on Flower.
"""

from __future__ import annotations

from ._accounting import Accountant, epsilon, noise_multiplier
from ._clients import profile_delta, sample
from ._deltas import SparseRows, clip, norm
from ._mechanism import Mechanism, TooFewClients, Update

__all__ = [
    "Accountant",
    "Mechanism",
    "SparseRows",
    "TooFewClients",
    "Update",
    "clip",
    "epsilon",
    "noise_multiplier",
    "norm",
    "profile_delta",
    "sample",
]
