"""`rank` end to end, and the glue that it replaces beside it.

One request: a pool of 500, a blend of similarity, popularity and freshness, MMR, at most 3 of a genre,
epsilon-greedy, 200 items seen, k = 20. Every timed configuration has slates of its own checked first,
slot by slot, with the glue's arithmetic (`glue.check_slate`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import perso_core as pc

from . import beside
from .clock import measure
from .data import NOW, Items, Vectors, attributes, seen_by
from .glue import Answer, Given, Glue, Recipe, check_slate, exact_retrieval, hnswlib_retrieval

K = 20
USERS = 200
CHECKED = 40
SEEN = 200
RECIPE = Recipe()
AT = NOW.astype("datetime64[us]").item()
# hnswlib's width for 500 candidates, as it is commonly set: the number fetched.
GLUE_EF = 600

POLICY = pc.Policy(
    candidates=RECIPE.pool,
    score=pc.Blend(
        similarity=RECIPE.similarity,
        popularity=RECIPE.popularity,
        freshness=pc.Decay("published", half_life=f"{RECIPE.half_life_days:g}d", weight=RECIPE.freshness),
    ),
    diversity=pc.MMR(RECIPE.diversity),
    caps={"genre": RECIPE.genre_cap},
    explore=pc.EpsilonGreedy(RECIPE.epsilon),
)


@dataclass
class Shop:
    """A catalog, its users, and the same data in the glue's arrays."""

    vectors: Vectors
    catalog: pc.Catalog
    seen: list[np.ndarray]
    glue: Glue
    exact_pools: list[np.ndarray]

    @property
    def requests(self) -> range:
        return range(USERS)

    def rank(self, i: int) -> pc.Slate:
        return pc.rank(
            self.catalog,
            self.vectors.queries[i],
            POLICY,
            K,
            exclude=self.seen[i],
            at=AT,
            seed=7,
            request_id=f"r-{i}",
        )

    def pool(self, i: int) -> np.ndarray:
        """What `rank` retrieves: the same search, without the ranking."""
        return self.catalog.search(self.vectors.queries[i], RECIPE.pool, exclude=self.seen[i]).ids

    def check(self, i: int, slate: pc.Slate) -> dict[str, float]:
        rows = self.pool(i)
        items = self.catalog.get(rows)
        stored = np.array([item["vectors"]["content"] for item in items])
        return check_slate(self.glue, Given(slate, self.vectors.queries[i], rows, stored), K)

    def pool_recall(self, pool) -> float:
        """Share of the true pool that a pool has."""
        return float(np.mean([np.isin(self.exact_pools[i], pool(i)).mean() for i in range(CHECKED)]))


@pytest.fixture(scope="module")
def shop(load) -> Shop:
    vectors = load("cosine")
    items = attributes(len(vectors))
    catalog = pc.Catalog({"content": pc.Space(vectors.dim, "cosine", "i8")})
    catalog.upsert(
        np.arange(len(vectors)),
        vectors.items,
        {"popularity": items.popularity, "published": items.published, "genre": items.genre},
    )
    exact = exact_retrieval(vectors)
    seen = seen_by(vectors, SEEN)
    glue = Glue(vectors, items, RECIPE, exact)
    pools = [glue.pool(vectors.queries[i], seen[i], spare=SEEN) for i in range(CHECKED)]
    return Shop(vectors, catalog, seen, glue, pools)


def stages(timings: list[dict[str, float]], prefix: str = "") -> dict[str, float]:
    """Medians, by stage."""
    return {
        f"{prefix}{name}_us": round(float(np.median([t[name] for t in timings])), 1) for name in timings[0]
    }


@pytest.mark.benchmark(group="rank: one request")
def test_rank_against_glue(benchmark, request, shop: Shop) -> None:
    if beside.hnswlib_installed():
        retrieve = hnswlib_retrieval(request.getfixturevalue("hnswlib_of")("cosine", 16).index, GLUE_EF)
        name = f"hnswlib ef={GLUE_EF} + NumPy"
    else:
        retrieve, name = exact_retrieval(shop.vectors), "exact NumPy (hnswlib is not installed)"
    glue = Glue(shop.vectors, _items_of(shop.glue), RECIPE, retrieve)
    rng = np.random.default_rng(8)
    ours: list[dict[str, float]] = []
    theirs: list[Answer] = []

    def call(i: int) -> pc.Slate:
        slate = shop.rank(i)
        _ = slate.ids, slate.propensities  # what a service reads
        return slate

    def peer(i: int) -> None:
        theirs.append(glue.rank(shop.vectors.queries[i], shop.seen[i], K, rng))

    def glue_pool(i: int) -> np.ndarray:
        return glue.pool(shop.vectors.queries[i], shop.seen[i])

    errors = [shop.check(i, shop.rank(i)) for i in range(CHECKED)]
    explored = np.concatenate([shop.rank(i).explored for i in range(CHECKED)])
    measure(benchmark, call, shop.requests, rounds=5, peer=peer)
    ours = [shop.rank(i).timings_us for i in shop.requests]
    # The baseline must do the same work, or the ratio says nothing.
    assert all(len(answer.ids) == K for answer in theirs)
    assert max(np.bincount(glue.genre[answer.ids]).max() for answer in theirs) <= RECIPE.genre_cap
    benchmark.extra_info.update(
        data=shop.vectors.name,
        engine="perso_core i8",
        what="rank: pool 500, k 20",
        peer=name,
        answer=f"{CHECKED} slates checked, {max(e['value_error'] for e in errors):.0e} off at most",
        explored=round(float(explored.mean()), 3),
        path=shop.rank(0).path,
        pool_recall=round(shop.pool_recall(shop.pool), 4),
        peer_pool_recall=round(
            shop.pool_recall(lambda i: glue.pool(shop.vectors.queries[i], shop.seen[i])), 4
        ),
        **stages(ours),
        **stages([answer.timings_us for answer in theirs], "peer_"),
    )


def _items_of(glue: Glue) -> Items:
    return Items(glue.popularity, glue.published, glue.genre)


@pytest.mark.benchmark(group="rank: one request")
def test_rank_with_record(benchmark, shop: Shop) -> None:
    def call(i: int) -> dict:
        return shop.rank(i).record()

    slate = shop.rank(0)
    assert pc.replay(slate.record(), shop.catalog) == slate, "the record does not replay"
    measure(benchmark, call, shop.requests, rounds=3)
    benchmark.extra_info.update(
        data=shop.vectors.name, engine="perso_core i8", what="rank and record", answer="replays bit for bit"
    )


@pytest.mark.benchmark(group="rank: one request")
def test_rank_for_nobody(benchmark, shop: Shop) -> None:
    """Cold start: every item is scored, and no personal input is used."""

    def call(i: int) -> pc.Slate:
        return pc.rank(shop.catalog, None, POLICY, K, at=AT, seed=7, request_id=f"r-{i}")

    slate = call(0)
    assert slate.path == "attributes"
    assert set(slate.terms) == {"popularity", "freshness"}
    glue = shop.glue
    fresh = np.exp2(-glue.age_days / RECIPE.half_life_days)
    popular = glue.popularity
    scores = RECIPE.popularity * (popular - popular.min()) / np.ptp(popular)
    scores += RECIPE.freshness * (fresh - fresh.min()) / np.ptp(fresh)
    best = np.argpartition(-scores, RECIPE.pool)[: RECIPE.pool]
    assert np.isin(slate.ids, best).all(), "an item that is not among the best 500 of the catalog"
    measure(benchmark, call, shop.requests[:50], rounds=3)
    benchmark.extra_info.update(
        data=shop.vectors.name,
        engine="perso_core i8",
        what="rank, user=None",
        answer="all from the true pool",
    )


@pytest.mark.benchmark(group="rank: batches")
@pytest.mark.parametrize("threads", [1, 2])
def test_rank_batch(benchmark, shop: Shop, threads: int) -> None:
    users, seen = shop.vectors.queries[:USERS], shop.seen[:USERS]
    names = [f"r-{i}" for i in range(USERS)]

    def call(_: object) -> pc.SlateBatch:
        return pc.rank(
            shop.catalog,
            users,
            POLICY,
            K,
            exclude=seen,
            at=AT,
            seed=7,
            request_id=names,
            num_threads=threads,
        )

    batch = call(None)
    for i in range(0, USERS, 10):
        assert batch[i] == shop.rank(i), f"slate {i} of the batch is not the one of a call for it alone"
    latency, _ = measure(benchmark, call, range(1), rounds=5)
    benchmark.extra_info.update(
        data=shop.vectors.name,
        engine="perso_core i8",
        what=f"{USERS} users, {threads} thread{'s' * (threads > 1)}",
        threads=threads,
        users_per_s=round(USERS * latency.qps, 1),
        answer="equal to single calls",
    )
