"""What exploring costs and what it teaches: every explorer against readers whose clicks follow a known model.

The world is made up, and this is all there is to it:

- Each of `items` items has a click rate, drawn once per seed from Beta(1, 9): a tenth on average. Rates stay as
  they are, and all readers are alike.
- A reader looks at the first slot, and having looked at a slot, at the next one with probability `look_on`,
  clicks or not. An item that is looked at is clicked with its rate, whatever stands around it.
- The log knows how far each reader looked, as an app knows what was on the screen. So what is not looked at
  teaches nothing, and an item that was looked at without a click is a skip.

After each round of `requests` the counts of clicks and skips, and the mean of the Beta posterior that they make, are
written into the catalog in place: within a round nobody learns, as where a log is read once an hour. Every policy ranks by
that mean. The prior that they start from is the Beta(1, 9) of the world, which is as good as a prior can be: a wrong
one costs all of them something.

Regret is counted in clicks that a slate of the best rates could expect and the shown one could not:
the sum over slots t of look_on^t (rate of the t-th best - rate of the one shown). It comes from the rates, not from
the clicks that happened, so it has no noise but that of what was shown. Each policy meets the same readers (the same
rates, the same depths, the same luck with each item), so differences between policies are paired.

The size was chosen after a look at four, by what it takes to run and because explorers stand out from greedy in it: with 20
items and 40 rounds, or with 40 items and 8 worlds, no difference stood out from its error. `docs/policies/README.md`
has the figures of worlds that were not looked at before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

import perso_core as pc
from perso_core.explore import Explorer

Numbers = NDArray[np.float64]

# The distribution of the rates, and what every posterior starts from.
PRIOR = (1.0, 9.0)
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
ROUND = timedelta(hours=1)


@dataclass(frozen=True)
class World:
    """How much there is of everything; `seeds` worlds are simulated."""

    items: int = 30
    k: int = 3
    rounds: int = 50
    requests: int = 20
    look_on: float = 0.85
    seeds: int = 12


@dataclass(frozen=True)
class Named:
    """An explorer, and what the table calls it; None shows the best by what is known."""

    name: str
    explore: Explorer | None


@dataclass(frozen=True)
class Learnt:
    """How one explorer fared; per seed, then summed up.

    Attributes:
        regret: (seeds, rounds) cumulative regret after each round, in expected clicks.
        log_propensity: mean over slates of the log-probability of the whole slate; estimated for Thompson.
        support: mean over slots of the share of the eligible items that could have been shown.
    """

    name: str
    regret: Numbers
    log_propensity: float
    support: float
    world: World = field(repr=False)

    @property
    def final(self) -> tuple[float, float]:
        """Mean over seeds of the whole regret, and its standard error."""
        return _mean(self.regret[:, -1])

    @property
    def late(self) -> tuple[float, float]:
        """The same of the last fifth of the rounds, per 100 requests: what is still lost after learning."""
        rounds = self.regret.shape[1]
        last = max(rounds // 5, 1)
        before = self.regret[:, -last - 1] if rounds > last else 0.0
        return _mean((self.regret[:, -1] - before) * 100 / (last * self.world.requests))

    def beside(self, other: Learnt) -> tuple[float, float]:
        """Mean regret minus that of another in the same worlds, and the standard error of the difference."""
        return _mean(self.regret[:, -1] - other.regret[:, -1])


def explorers() -> list[Named]:
    """One of each kind. Their parameters are plain guesses at the scale of the rates, and are not tuned."""
    posterior: dict[str, Any] = {"alpha": "clicks", "beta": "skips", "prior": PRIOR, "replace": True}
    falling = pc.EpsilonGreedy(0.3, half_life=6 * ROUND, since=START, floor=0.02)
    return [
        Named("greedy", None),
        Named("EpsilonGreedy(0.1)", pc.EpsilonGreedy(0.1)),
        Named("EpsilonGreedy(0.3 to 0.02)", falling),
        Named("Softmax(0.02)", pc.Softmax(0.02)),
        Named("PlackettLuce(0.02)", pc.PlackettLuce(0.02)),
        Named("ThompsonSampling", pc.ThompsonSampling(draws=64, **posterior)),
        Named("UCB(c=1)", pc.UCB(c=1.0, **posterior)),
    ]


def compare(
    named: Sequence[Named], world: World, seed: int, step: Callable[[], None] = lambda: None
) -> list[Learnt]:
    """Let each explorer learn in every world; `step` is called after each of the `len(named)` parts."""
    found = []
    # The ranking itself runs without the GIL; each seed is a world of its own, so threads change nothing.
    with ThreadPoolExecutor() as threads:
        for one in named:
            runs = list(threads.map(lambda i, one=one: simulate(one, world, seed, i), range(world.seeds)))
            found.append(
                Learnt(
                    one.name,
                    np.array([regret for regret, _, _ in runs]),
                    float(np.mean([log_propensity for _, log_propensity, _ in runs])),
                    float(np.mean([support for _, _, support in runs])),
                    world,
                )
            )
            step()
    return found


def simulate(named: Named, world: World, seed: int, number: int) -> tuple[Numbers, float, float]:
    """One explorer in the `number`-th world: cumulative regret by round, mean log-propensity, mean support."""
    rates = np.random.default_rng([seed, number]).beta(*PRIOR, world.items)
    looked = world.look_on ** np.arange(world.k)
    best = np.sort(rates)[::-1][: world.k] @ looked
    policy = pc.Policy(
        candidates=world.items,
        score=pc.Blend(None, rate=pc.Signal(1.0, normalize="none")),
        explore=named.explore,
    )
    catalog = pc.Catalog({"none": pc.Space(1)})
    ids = np.arange(world.items)
    clicks, skips = np.zeros(world.items), np.zeros(world.items)
    learn(catalog, ids, clicks, skips, vectors=np.ones((world.items, 1)))
    eligible = world.items - np.arange(world.k)

    regret, log_propensities, supports = np.zeros(world.rounds), [], []
    for now in range(world.rounds):
        depths, luck = readers(world, seed, number, now)
        for i in range(world.requests):
            slate = pc.rank(
                catalog,
                None,
                policy,
                world.k,
                at=START + now * ROUND,
                seed=seed,
                request_id=f"{number}-{now}-{i}",
            )
            regret[now] += best - rates[slate.ids] @ looked
            log_propensities.append(slate.log_propensity)
            supports.append(float(np.mean(slate.support / eligible)))
            seen = slate.ids[: depths[i]]
            clicked = luck[i, seen] < rates[seen]
            clicks[seen] += clicked
            skips[seen] += ~clicked
        learn(catalog, ids, clicks, skips)
    return np.cumsum(regret), float(np.mean(log_propensities)), float(np.mean(supports))


def learn(
    catalog: pc.Catalog,
    ids: NDArray[np.int64],
    clicks: Numbers,
    skips: Numbers,
    vectors: Numbers | None = None,
) -> None:
    """Write the counts, and the mean of their posterior, into the catalog."""
    rate = (PRIOR[0] + clicks) / (sum(PRIOR) + clicks + skips)
    catalog.upsert(ids, vectors, {"clicks": clicks, "skips": skips, "rate": rate})


def readers(world: World, seed: int, number: int, now: int) -> tuple[NDArray[np.int64], Numbers]:
    """The readers of a round, the same for every policy.

    Returns:
        (requests,) how many slots each looks at, 1 to k; (requests, items) uniform numbers: an item that is looked at is
        clicked where its number is below its rate.
    """
    rng = np.random.default_rng([seed, number, 1 + now])
    depths = np.minimum(rng.geometric(1.0 - world.look_on, world.requests), world.k)
    return depths, rng.random((world.requests, world.items))


def _mean(values: Numbers) -> tuple[float, float]:
    error = float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return float(values.mean()), error
