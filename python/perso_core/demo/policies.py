"""The policies that the demo compares, from one signal to every stage."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import perso_core as pc
from perso_core.diversity import Diversity

# How many candidates retrieval hands to ranking: less than a third of the catalog.
POOL = 500
# The weights, next to 1 for cf, are the best of `python -m perso_core.demo.tune`: validation nDCG@20 0.2383,
# against 0.2361 for cf alone. The decay is there because the demo uses every stage: without it, 0.2381.
CONTENT_WEIGHT = 0.05
POPULARITY_WEIGHT = 0.1
FRESHNESS_WEIGHT = 0.02
HALF_LIFE = "2922d"  # eight years
# The last step before accuracy falls off: on validation 0.2 costs under 3 % of nDCG, 0.3 costs 7 %.
DIVERSITY = 0.2
# Every kind at the last strength tried that costs at most 3 % of the validation nDCG@20 of the hybrid, so that the
# table shows what each buys for about the same: see `python -m perso_core.demo.tune`.
STRENGTHS = {"MMR": DIVERSITY, "DPP": 0.025, "Spread": 0.25, "Calibrated": 0.2}
WINDOW = 10  # the slots that Spread looks back at: half of a slate of the table
EPSILON = 0.1
GENRE_CAP = 3
# Under --live, untuned. What changes with every rating is scaled by constants, so that a film's terms depend on that
# film alone: this many ratings count as 1, and this many stars more than one do.
LIVE_RATINGS = 500.0
LIVE_STARS = 4.0
LIVE_STARS_WEIGHT = 0.05
LIVE_RATED_WEIGHT = 0.02
LIVE_HALF_LIFE = "7d"


@dataclass(frozen=True)
class Named:
    """A policy, what the table calls it, and what it adds to the policy before it.

    `spaces` are those whose user vectors it is given; with `profile`, so are the shares of genres in what each user
    has seen.
    """

    name: str
    adds: str
    policy: pc.Policy
    spaces: tuple[str, ...] = ("cf", "content")
    profile: bool = False


def hybrid_score(
    content: float = CONTENT_WEIGHT,
    popularity: float = POPULARITY_WEIGHT,
    freshness: float = FRESHNESS_WEIGHT,
    half_life: str = HALF_LIFE,
) -> pc.Blend:
    """Both spaces, popularity, and a decay on the age of the film."""
    return pc.Blend(
        similarity={"cf": 1.0, "content": content},
        popularity=popularity,
        freshness=pc.Decay("released", half_life=half_life, weight=freshness),
    )


def diversified(diversity: float | Diversity | None) -> pc.Policy:
    """The hybrid with a diversity; a number is MMR's, over the content space."""
    if isinstance(diversity, float):
        diversity = pc.MMR(diversity, space="content")
    return pc.Policy(candidates=POOL, score=hybrid_score(), diversity=diversity)


def full() -> pc.Policy:
    """Every stage."""
    return pc.Policy(
        candidates=POOL,
        score=hybrid_score(),
        diversity=pc.MMR(DIVERSITY, space="content"),
        caps={"genres": GENRE_CAP},
        explore=pc.EpsilonGreedy(EPSILON),
    )


def live() -> pc.Policy:
    """Every stage, over attributes that change while it ranks."""
    score = pc.Blend(
        similarity={"cf": 1.0, "content": CONTENT_WEIGHT},
        popularity=pc.Signal(POPULARITY_WEIGHT, normalize=pc.Linear(0, LIVE_RATINGS)),
        stars=pc.Signal(LIVE_STARS_WEIGHT, normalize=pc.Linear(1, LIVE_STARS)),
        rated=pc.Decay("last_rated", half_life=LIVE_HALF_LIFE, weight=LIVE_RATED_WEIGHT, normalize="none"),
    )
    return dataclasses.replace(full(), score=score)


def compared() -> list[Named]:
    """One row of the table each, from the simplest policy to the full one."""
    explored = pc.Policy(
        candidates=POOL,
        score=hybrid_score(),
        diversity=pc.MMR(DIVERSITY, space="content"),
        explore=pc.EpsilonGreedy(EPSILON),
    )
    popular = pc.Policy(candidates=POOL, score=pc.Blend(None, popularity=1.0))
    factors = pc.Policy(candidates=POOL, score=pc.Blend({"cf": 1.0}))
    hybrid = pc.Policy(candidates=POOL, score=hybrid_score())
    cap = f"at most {GENRE_CAP} of a genre"
    return [
        Named("popularity alone", "popularity", popular, spaces=()),
        Named("cf alone", "cf", factors, spaces=("cf",)),
        Named("hybrid", "all signals", hybrid),
        Named("hybrid + MMR", f"MMR({DIVERSITY})", diversified(DIVERSITY)),
        Named("hybrid + MMR + epsilon", f"EpsilonGreedy({EPSILON})", explored),
        Named(f"  + {cap}", cap, full()),
    ]


def varied() -> list[Named]:
    """The hybrid under every kind of diversity, each at the strength that `STRENGTHS` gives it."""
    return [Named("none", "", diversified(None)), *(at_strength(kind, s) for kind, s in STRENGTHS.items())]


def at_strength(kind: str, strength: float) -> Named:
    """The hybrid under one kind of diversity."""
    part: Diversity
    if kind == "MMR":
        part = pc.MMR(strength, space="content")
    elif kind == "DPP":
        part = pc.DPP(strength, space="content")
    elif kind == "Spread":
        part = pc.Spread(strength, window=WINDOW, space="content")
    else:
        part = pc.Calibrated("genres", strength)
    window = f", window={WINDOW}" if kind == "Spread" else ""
    return Named(f"{kind}({strength}{window})", kind, diversified(part), profile=kind == "Calibrated")


def sweep() -> list[tuple[float, pc.Policy]]:
    """The hybrid from relevance only to almost diversity only."""
    return [(step / 10, diversified(step / 10)) for step in range(10)]
