"""The policies that the demo compares, from one signal to every stage."""

from __future__ import annotations

from dataclasses import dataclass

import perso_core as pc

# How many candidates retrieval hands to ranking: less than a third of the catalog.
POOL = 500
# Weights by validation (`python -m perso_core.demo.tune`). @TUNED@
CONTENT_WEIGHT = 0.05
POPULARITY_WEIGHT = 0.1
FRESHNESS_WEIGHT = 0.05
HALF_LIFE = "2922d"  # eight years
DIVERSITY = 0.3
EPSILON = 0.1
GENRE_CAP = 3


@dataclass(frozen=True)
class Named:
    """A policy and what the table calls it; `personal` says whether it is given the user's vectors."""

    name: str
    policy: pc.Policy
    personal: bool = True


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


def diversified(diversity: float) -> pc.Policy:
    """The hybrid with MMR over the content space."""
    return pc.Policy(candidates=POOL, score=hybrid_score(), diversity=pc.MMR(diversity, space="content"))


def full() -> pc.Policy:
    """Every stage."""
    return pc.Policy(
        candidates=POOL,
        score=hybrid_score(),
        diversity=pc.MMR(DIVERSITY, space="content"),
        caps={"genres": GENRE_CAP},
        explore=pc.EpsilonGreedy(EPSILON),
    )


def compared() -> list[Named]:
    """One row of the table each; every policy adds one stage to the one above it."""
    explored = pc.Policy(
        candidates=POOL,
        score=hybrid_score(),
        diversity=pc.MMR(DIVERSITY, space="content"),
        explore=pc.EpsilonGreedy(EPSILON),
    )
    return [
        Named("popularity alone", pc.Policy(candidates=POOL, score=pc.Blend(similarity=0.0, popularity=1.0)), personal=False),
        Named("cf alone", pc.Policy(candidates=POOL, score=pc.Blend(similarity={"cf": 1.0}))),
        Named("hybrid", pc.Policy(candidates=POOL, score=hybrid_score())),
        Named("hybrid + MMR", diversified(DIVERSITY)),
        Named("hybrid + MMR + epsilon", explored),
        Named(f"... + at most {GENRE_CAP} of a genre", full()),
    ]


def sweep() -> list[tuple[float, pc.Policy]]:
    """The hybrid from relevance only to almost diversity only."""
    return [(step / 10, diversified(step / 10)) for step in range(10)]
