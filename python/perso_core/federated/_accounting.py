"""Which epsilon a number of rounds costs, by Google's dp-accounting (the extra `federated`).

A round adds Gaussian noise of `noise_multiplier` times the sensitivity to a sum over clients, each of whom took part with
probability `sampling_rate`, by its own coin (Poisson sampling): the sampled Gaussian mechanism of Abadi et al. 2016, *Deep
learning with differential privacy*. What rounds cost together is an upper bound from the distribution of the privacy loss
(dp-accounting's `PLDAccountant`), or, where epsilon is above 50 and means little, from Renyi divergences (its
`RdpAccountant`), which are looser and need no memory. Rounds in which everybody takes part compose exactly, to one Gaussian
mechanism, and their epsilon is that of Balle and Wang 2018, *Improving the Gaussian mechanism for differential privacy*.

Amplification by sampling is accounted for under "add_or_remove" alone: under "replace_one" the rate has to be 1. A client
that was sampled and dropped out took part as far as the bound is concerned, so dropouts cost nothing and save nothing, as
long as they do not depend on what other clients have.
"""

from __future__ import annotations

import math
from typing import Any

from .. import _convert
from ._mechanism import ADJACENCIES, Adjacency

_LARGE = 50.0

# Renyi orders: whole ones, whose divergences are finite sums; the others are series that may not converge.
_ORDERS = (*range(2, 65), 80, 96, 128, 192, 256, 512)


class Accountant:
    """A running total of what rounds have cost, each with its own noise and sampling.

    Needs dp-accounting: `pip install 'perso_core[federated]'`.

    Args:
        adjacency: as of the `Mechanism`.

    Raises:
        ImportError: dp-accounting is not installed.

    >>> import perso_core as pc
    >>> spent = pc.federated.Accountant()
    >>> spent.add(1.0, rounds=10, sampling_rate=0.1)
    >>> round(spent.epsilon(1e-5), 2), spent.rounds
    (2.85, 10)
    """

    def __init__(self, adjacency: Adjacency = "add_or_remove") -> None:
        self._adjacency = _convert.choice("adjacency", adjacency, ADJACENCIES)
        self._library = _library()
        # Rounds by (noise multiplier, sampling rate), so that equal ones are composed at once.
        self._rounds: dict[tuple[float, float], int] = {}

    @property
    def rounds(self) -> int:
        """How many rounds have been added."""
        return sum(self._rounds.values())

    def add(self, noise_multiplier: float, *, rounds: int = 1, sampling_rate: float = 1.0) -> None:
        """Count some rounds.

        Args:
            noise_multiplier: as of the `Mechanism`; 0 makes epsilon infinite.
            rounds: how many, at least 1.
            sampling_rate: the probability with which each client takes part in one, above 0, at most 1.

        Raises:
            ValueError, TypeError: a number out of its range; a rate below 1 under "replace_one".
        """
        noise = _convert.real("noise_multiplier", noise_multiplier)
        if noise < 0:
            raise _convert.invalid("noise_multiplier", "a number from 0", noise)
        rate = _convert.unit("sampling_rate", sampling_rate)
        if rate == 0:
            raise _convert.invalid("sampling_rate", "above 0", rate)
        if rate < 1 and self._adjacency == "replace_one":
            raise _convert.invalid(
                "sampling_rate", "1 under adjacency 'replace_one', which has no amplification here", rate
            )
        rounds = _convert.integer("rounds", rounds, 1, 10**9)
        self._rounds[noise, rate] = self._rounds.get((noise, rate), 0) + rounds

    def epsilon(self, delta: float) -> float:
        """An upper bound of epsilon at a delta, above 0 and below 1; 0.0 before any round."""
        target = _delta(delta)
        if any(noise == 0 for noise, _ in self._rounds):
            return math.inf
        if not self._rounds:
            return 0.0
        # Of those that everybody takes part in, the inverse squares of the noise add up.
        full = math.fsum(n / noise**2 for (noise, rate), n in self._rounds.items() if rate == 1)
        sampled = {pair: n for pair, n in self._rounds.items() if pair[1] < 1}
        if not sampled:
            return float(self._library.get_epsilon_gaussian(full**-0.5, target))
        rough = self._compose(self._library.rdp.RdpAccountant(_ORDERS), full, sampled, target)
        if rough > _LARGE:
            return rough
        # How finely losses are told apart: what that rounds up adds up over rounds.
        interval = 1e-3 if self.rounds <= 1000 else 1e-4
        accountant = self._library.pld.PLDAccountant(value_discretization_interval=interval)
        return min(rough, self._compose(accountant, full, sampled, target))

    def _compose(
        self, accountant: Any, full: float, sampled: dict[tuple[float, float], int], delta: float
    ) -> float:
        event = self._library.dp_event
        if full:
            accountant.compose(event.GaussianDpEvent(full**-0.5))
        for (noise, rate), rounds in sorted(sampled.items()):
            accountant.compose(event.PoissonSampledDpEvent(rate, event.GaussianDpEvent(noise)), rounds)
        return float(accountant.get_epsilon(delta))

    def __repr__(self) -> str:
        return f"<Accountant of {self.rounds:,} rounds, {self._adjacency}>"


def epsilon(
    noise_multiplier: float,
    *,
    rounds: int,
    delta: float,
    sampling_rate: float = 1.0,
    adjacency: Adjacency = "add_or_remove",
) -> float:
    """An upper bound of the epsilon that equal rounds cost; the arguments and errors of `Accountant`.

    >>> import perso_core as pc
    >>> round(pc.federated.epsilon(2.0, rounds=1, delta=1e-5), 3)
    1.993
    """
    spent = Accountant(adjacency)
    spent.add(noise_multiplier, rounds=rounds, sampling_rate=sampling_rate)
    return spent.epsilon(delta)


def noise_multiplier(
    epsilon: float,
    *,
    rounds: int,
    delta: float,
    sampling_rate: float = 1.0,
    adjacency: Adjacency = "add_or_remove",
) -> float:
    """The least noise multiplier, to about one part in a thousand and never too small, whose equal rounds cost at most
    this epsilon, from 0.01 to 50; the other arguments and the errors of `Accountant`.

    >>> import perso_core as pc
    >>> z = pc.federated.noise_multiplier(2.0, rounds=1, delta=1e-5)
    >>> 1.99 < z < 2.0 and pc.federated.epsilon(z, rounds=1, delta=1e-5) <= 2.0
    True
    """
    target = _convert.real("epsilon", epsilon)
    if not 0.01 <= target <= _LARGE:
        raise _convert.invalid("epsilon", f"a number from 0.01 to {_LARGE:g}", target)

    def cost(noise: float) -> float:
        return _cost(noise, rounds, delta, sampling_rate, adjacency)

    high, above = 1.0, cost(1.0)
    while above > target:
        high, above = 2 * high, cost(2 * high)
    low, below = high / 2, cost(high / 2)
    while below <= target:
        high, above, low, below = low, below, low / 2, cost(low / 2)
    # Epsilon is nearly a power of the noise: a line in logarithms, tried a little above where it meets the target, then
    # a little below. The middle is what a step falls back to.
    steps = 0
    while high > 1.001 * low:
        slope = math.log(max(above, 1e-12) / below) / math.log(high / low)
        guess = low * (target / below) ** (1 / slope) * (0.9996 if steps % 2 else 1.0004)
        if steps >= 6 or not 1.0001 * low < guess < high / 1.0001:
            guess = math.sqrt(low * high)
        found = cost(guess)
        if found > target:
            low, below = guess, found
        else:
            high, above = guess, found
        steps += 1
    return high


def _cost(noise: float, rounds: int, delta: float, sampling_rate: float, adjacency: Adjacency) -> float:
    return epsilon(noise, rounds=rounds, delta=delta, sampling_rate=sampling_rate, adjacency=adjacency)


def _delta(value: object) -> float:
    number = _convert.real("delta", value)
    if not 0 < number < 1:
        raise _convert.invalid("delta", "a number above 0 and below 1", number)
    return number


def _library() -> Any:
    try:
        import dp_accounting
    except ImportError:
        raise ImportError(
            "accounting for epsilon needs dp-accounting:  pip install 'perso_core[federated]'"
        ) from None
    return dp_accounting
