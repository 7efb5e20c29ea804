"""The whole call against a naive ranking: retrieve, filter, score, diversify, cap."""

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import oracle
import perso_core as pc
from oracle import Term
from world import AT, AT_US, DAY, blend_of, similarities, world

FEW = settings(max_examples=20)  # each example is a world of its own


def agree(slate, answer, terms):
    assert slate.ids.tolist() == answer.ids
    names = [t.name for t in terms]
    assert list(slate.terms) == [n for n in names if n in slate.terms]
    found = np.array([slate.terms[name] for name in slate.terms]).T.reshape(len(slate), -1)
    expected = np.array(answer.terms).reshape(len(answer.ids), -1)
    if any(t.kind == "decay" for t in terms):
        # Two libraries' powers of two may differ by an ulp, and so by a step of the grid.
        largest = np.abs(expected).max(axis=1, keepdims=True, initial=0)
        assert (np.abs(found - expected) <= largest * 2.0**-48).all()
        assert (np.abs(slate.scores - answer.scores) <= largest[:, 0] * 2.0**-46).all()
    else:
        assert np.array_equal(found, expected) and slate.scores.tolist() == answer.scores
    assert slate.eligible_counts.tolist() == [len(e) for e in answer.eligible]


def add_up(slate):
    """Terms add up to the scores exactly, in whatever way they are added."""
    columns = [slate.terms[name] for name in slate.terms]
    for slot, score in enumerate(slate.scores):
        terms = [float(column[slot]) for column in columns]
        assert score == sum(terms) == sum(reversed(terms)) == math.fsum(terms) == np.sum(terms)
    if columns:
        assert np.array_equal(np.sum(columns, axis=0), slate.scores)


# --- blend -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalize", ["none", "minmax", "zscore", "rank"])
@FEW
@given(seed=st.integers(0, 10**6), candidates=st.sampled_from([10, 25, 60, 200]))
def test_a_blend_of_everything(normalize, seed, candidates):
    cat, items, user = world(seed, text=seed % 2 == 0)
    signal = {
        i: float(v) for i, v in zip(items.ids, np.random.default_rng(seed).normal(size=60), strict=True)
    }
    terms = [
        *similarities({"a": 0.7, "b": 0.3}, normalize),
        Term("pop", "value", "pop", 0.2, normalize),
        Term("count", "value", "count", -0.1, "rank"),
        Term("new", "value", "new", 0.05, normalize),
        Term("mine", "signal", signal, 0.15, normalize),
        Term("fresh", "decay", "at", 0.3, normalize, 3 * DAY),
    ]
    answer = oracle.rank(items, terms, user=user, k=10, candidates=candidates, at=AT_US)
    policy = pc.Policy(candidates=candidates, score=blend_of(terms))
    slate = pc.rank(cat, user, policy, k=10, signals={"mine": signal}, at=AT)
    agree(slate, answer, terms)
    add_up(slate)
    assert slate.pool_size == len(answer.pool) == min(candidates, 60) and slate.path == "exact"
    assert sorted(i for step in slate.record()["pool"] for i in step["ids"]) == answer.pool


@pytest.mark.parametrize("space", ["a", "b"])
@pytest.mark.parametrize("weight", [1.0, -2.5])
def test_one_space_alone(space, weight):
    cat, items, user = world(3)
    terms = similarities({space: weight}, "none")
    policy = pc.Policy(candidates=20, score=blend_of(terms))
    answer = oracle.rank(items, terms, user={space: user[space]}, k=20, candidates=20)
    slate = pc.rank(cat, user[space], policy, k=20)
    agree(slate, answer, terms)
    assert slate.terms["similarity"].tolist() == [
        weight * float(oracle.similarity32(*_space(items, space, user, i))[0]) for i in slate.ids
    ]
    assert np.array_equal(pc.rank(cat, {space: user[space]}, policy, k=20).scores, slate.scores)


def _space(items, space, user, item):
    metric, vectors = items.spaces[space]
    at = items.position(item)
    return metric, user[space], vectors[at : at + 1]


def test_equal_values_tell_nothing_apart():
    cat = pc.Catalog({"v": pc.Space(2)})
    cat.upsert([1, 2, 3], [[1, 0], [0, 1], [1, 1]], {"n": [5, 5, 5], "gap": [2, None, None]})
    for normalize in ("minmax", "zscore", "rank"):
        policy = pc.Policy(score=pc.Blend(n=pc.Signal(3, normalize), gap=pc.Signal(3, normalize)))
        slate = pc.rank(cat, [1, 0], policy, k=3)
        assert not slate.terms["n"].any() and not slate.terms["gap"].any()
    policy = pc.Policy(score=pc.Blend(n=pc.Signal(3, "none"), gap=pc.Signal(3, "none")))
    slate = pc.rank(cat, [1, 0], policy, k=3)
    assert slate.terms["n"].tolist() == [15, 15, 15] and sorted(slate.terms["gap"]) == [0, 0, 6]


def test_decay_by_hand():
    cat = pc.Catalog({"v": pc.Space(1)})
    ages = [0, 3, 6, 1.5, -5, None]
    moments = [None if a is None else AT - dt.timedelta(days=a) for a in ages]
    cat.upsert(range(6), np.ones((6, 1)), {"at": moments})
    blend = pc.Blend(None, fresh=pc.Decay("at", "3d", weight=8, normalize="none"))
    slate = pc.rank(cat, None, pc.Policy(score=blend), k=6, at=AT)
    found = dict(zip(slate.ids.tolist(), slate.scores.tolist(), strict=True))
    assert found == {0: 8, 1: 4, 2: 2, 3: 8 * 2**-0.5, 4: 8, 5: 0}
    assert slate.ids.tolist() == [0, 4, 3, 1, 2, 5]


@pytest.mark.parametrize(
    "at",
    [
        AT,
        AT.replace(tzinfo=None),
        "2024-05-06T00:00:00Z",
        "2024-05-06T02:00:00+02:00",
        AT.timestamp(),
        AT.date(),
    ],
    ids=str,
)
def test_moments_are_the_same_however_they_are_written(at):
    cat, _, user = world(1)
    policy = pc.Policy(score=pc.Blend({"a": 1.0}, fresh=pc.Decay("at", "1d")))
    slate = pc.rank(cat, user["a"], policy, k=5, at=at)
    assert slate.at == AT and slate == pc.rank(cat, user["a"], policy, k=5, at=AT)


def test_without_a_moment_it_is_now():
    cat, _, user = world(1)
    policy = pc.Policy(score=pc.Blend({"a": 1.0}, fresh=pc.Decay("at", "1d")))
    before = dt.datetime.now(dt.timezone.utc)
    slate = pc.rank(cat, user["a"], policy, k=5)
    assert before - dt.timedelta(milliseconds=1) <= slate.at <= dt.datetime.now(dt.timezone.utc)


# --- signals ---------------------------------------------------------------------------------------


def test_signals_come_as_columns_or_by_id_and_before_attributes():
    cat, items, user = world(5)
    policy = pc.Policy(candidates=60, score=pc.Blend({"a": 1.0}, pop=pc.Signal(2.0, "none")))
    mine = {i: float(j) for j, i in enumerate(items.ids) if j % 3}
    column = [mine.get(i) for i in cat.ids.tolist()]
    by_id = pc.rank(cat, user["a"], policy, k=60, signals={"pop": mine})
    assert by_id == pc.rank(cat, user["a"], policy, k=60, signals={"pop": column})
    assert by_id.terms["pop"].tolist() == [2 * mine.get(i, 0) for i in by_id.ids.tolist()]
    whole = np.arange(60.0)
    found = pc.rank(cat, user["a"], policy, k=60, signals={"pop": whole})
    assert found.terms["pop"].tolist() == [2.0 * cat.ids.tolist().index(i) for i in found.ids]


def test_signals_are_aligned_with_ids_after_removals():
    cat, _, user = world(6)
    cat.remove(cat.ids[::4])
    values = np.arange(len(cat), dtype=float)
    policy = pc.Policy(candidates=60, score=pc.Blend({"a": 1.0}, mine=pc.Signal(1.0, "none")))
    slate = pc.rank(cat, user["a"], policy, k=45, signals={"mine": values})
    by_id = dict(zip(cat.ids.tolist(), values.tolist(), strict=True))
    assert slate.terms["mine"].tolist() == [by_id[i] for i in slate.ids.tolist()]


# --- diversity and caps ----------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["a", "b"])
@pytest.mark.parametrize("diversity", [0.0, 0.25, 0.6, 1.0])
@FEW
@given(seed=st.integers(0, 10**6))
def test_mmr(space, diversity, seed):
    cat, items, user = world(seed)
    # Popularity keeps apart what whole numbers would leave tied up to rounding.
    terms = [*similarities({"b": 1.0}, "zscore"), Term("pop", "value", "pop", 0.37, "minmax")]
    answer = oracle.rank(items, terms, user={"b": user["b"]}, k=12, candidates=30, mmr=(diversity, space))
    assume(answer.margin > 1e-9)  # a decision within rounding could fall either way
    policy = pc.Policy(candidates=30, score=blend_of(terms), diversity=pc.MMR(diversity, space))
    agree(pc.rank(cat, user["b"], policy, k=12), answer, terms)


def test_mmr_compares_in_the_first_cosine_space_unless_told():
    cat, _, user = world(8)
    score = pc.Blend({"b": 1.0})
    ids = {
        space: pc.rank(
            cat, user["b"], pc.Policy(score=score, diversity=pc.MMR(0.8, space)), k=20
        ).ids.tolist()
        for space in (None, "a", "b")
    }
    assert ids[None] == ids["a"] != ids["b"]


def spread(items, ids, space="a"):
    """Mean cosine distance of the pairs."""
    x = items.spaces[space][1][[items.position(i) for i in ids]].astype(float)
    cosines = oracle.scores("cosine", x, x)
    return 1 - cosines[np.triu_indices(len(ids), 1)].mean()


def test_more_diversity_is_more_diverse_and_costs_relevance():
    gains = []
    for seed in range(25):
        cat, items, user = world(seed)
        slates = [
            pc.rank(
                cat,
                user["a"],
                pc.Policy(candidates=60, score=pc.Blend({"a": 1.0}), diversity=pc.MMR(d)),
                k=10,
            )
            for d in (0.0, 0.5)
        ]
        gains.append([spread(items, s.ids.tolist()) for s in slates] + [s.scores.sum() for s in slates])
        assert slates[1].scores.sum() <= slates[0].scores.sum()
    gains = np.array(gains)
    assert (gains[:, 1] > gains[:, 0]).all()


CAPS = [{"genre": 1}, {"genre": 2, "shelf": 3}, {"count": 2}, {"new": 4}, {"genre": 3, "count": 1, "new": 6}]


@pytest.mark.parametrize("caps", CAPS, ids=str)
@pytest.mark.parametrize("diversity", [None, 0.4])
@FEW
@given(seed=st.integers(0, 10**6))
def test_caps(caps, diversity, seed):
    cat, items, user = world(seed)
    terms = [*similarities({"b": 1.0}, "minmax"), Term("pop", "value", "pop", 0.37, "zscore")]
    mmr = None if diversity is None else (diversity, "a")
    # A pool of 15 for 15 slots: caps force it to deepen.
    answer = oracle.rank(items, terms, user={"b": user["b"]}, k=15, candidates=15, mmr=mmr, caps=caps)
    assume(answer.margin > 1e-9)
    policy = pc.Policy(15, blend_of(terms), None if mmr is None else pc.MMR(*mmr), caps)
    slate = pc.rank(cat, user["b"], policy, k=15)
    agree(slate, answer, terms)
    add_up(slate)
    for name, cap in caps.items():
        counts = {}
        for i in slate.ids.tolist():
            value = items.attributes[name][items.position(i)]
            for key in () if value is None else value if isinstance(value, list) else [value]:
                counts[key] = counts.get(key, 0) + 1
        assert not counts or max(counts.values()) <= cap
    assert (slate.short_reason is None) == (len(slate) == 15)
    if len(slate) < 15:
        assert all(f"{name}={cap}" in slate.short_reason for name, cap in caps.items() if len(caps) == 1)


def test_an_item_may_have_a_value_twice_and_count_once():
    cat = pc.Catalog({"v": pc.Space(1, "ip")})
    cat.upsert([1, 2, 3], [[3.0], [2.0], [1.0]], {"tags": [["a", "a"], ["a"], ["a"]]})
    policy = pc.Policy(candidates=3, caps={"tags": 2})
    assert pc.rank(cat, [1.0], policy, k=3).ids.tolist() == [1, 2]


# --- who may be shown ------------------------------------------------------------------------------


@FEW
@given(seed=st.integers(0, 10**6), mode=st.sampled_from(["mask", "ids", "set", "none"]))
def test_where_and_exclude(seed, mode):
    cat, items, user = world(seed, text=seed % 2 == 1)
    rng = np.random.default_rng(seed)
    mask, seen = rng.random(60) < 0.4, [items.ids[i] for i in rng.choice(60, 8, replace=False)]
    if mode == "none":
        mask[:] = True
    wanted = [i for i, keep in zip(items.ids, mask, strict=True) if keep]
    assert cat.ids.tolist() == items.ids
    where = {"mask": mask, "ids": wanted, "set": set(wanted), "none": None}[mode]
    allowed = [i for i in range(60) if mask[i] and items.ids[i] not in seen]
    terms = [*similarities({"a": 0.5, "b": 0.5}, "minmax"), Term("pop", "value", "pop", 0.2, "rank")]
    answer = oracle.rank(items, terms, user=user, k=30, candidates=30, eligible=allowed)
    unknown = "nobody" if isinstance(seen[0], str) else 10**12
    slate = pc.rank(cat, user, pc.Policy(30, blend_of(terms)), k=30, where=where, exclude=[*seen, unknown])
    agree(slate, answer, terms)
    assert len(slate) == min(30, len(allowed))
    assert (slate.short_reason is None) == (len(slate) == 30)


SHORT = [
    (dict(exclude=range(50)), 10, "only 10 items are eligible (50 excluded)"),
    (dict(where=[1, 2, 3]), 3, "only 3 items are eligible (57 filtered)"),
    (dict(where=[1, 2], exclude=[1]), 1, "only 1 item is eligible (1 excluded, 58 filtered)"),
    (dict(where=[]), 0, "no item is eligible (60 filtered)"),
    (dict(where=[True] * 60, exclude=range(60)), 0, "no item is eligible (60 excluded)"),
]


@pytest.mark.parametrize("user", [True, False])
@pytest.mark.parametrize("case", SHORT, ids=lambda case: case[2])
def test_a_short_slate_says_why(case, user):
    arguments, n, reason = case
    cat = pc.Catalog({"v": pc.Space(2)})
    rng = np.random.default_rng(1)
    cat.upsert(range(60), rng.standard_normal((60, 2)), {"n": range(60)})
    slate = pc.rank(cat, [1, 0] if user else None, pc.Policy(score=pc.Blend(n=1)), k=20, **arguments)
    assert (len(slate), slate.short_reason) == (n, reason)
    assert (
        slate.ids.shape == slate.scores.shape == slate.propensities.shape == (n,) and len(slate.reasons) == n
    )
    full = pc.rank(cat, [1, 0] if user else None, pc.Policy(score=pc.Blend(n=1)), k=20)
    assert len(full) == 20 and full.short_reason is None


def test_an_empty_catalog_gives_an_empty_slate():
    cat = pc.Catalog({"v": pc.Space(2)})
    for user in (None, [1.0, 0.0]):
        slate = pc.rank(cat, user, pc.Policy(), k=5)
        assert (
            len(slate) == 0 and slate.short_reason == "there are no items" and slate.record()["choices"] == []
        )


# --- nobody ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalize", ["none", "minmax", "zscore", "rank"])
@FEW
@given(seed=st.integers(0, 10**6))
def test_cold_start_ranks_by_the_rest(normalize, seed):
    cat, items, _ = world(seed)
    terms = [
        *similarities({"a": 0.7, "b": 0.3}, normalize),
        Term("pop", "value", "pop", 0.4, normalize),
        Term("fresh", "decay", "at", 0.3, normalize, 3 * DAY),
    ]
    answer = oracle.rank(items, terms, user=None, k=12, candidates=20, at=AT_US, caps={"genre": 4})
    assume(answer.margin > 1e-12)
    slate = pc.rank(cat, None, pc.Policy(20, blend_of(terms), caps={"genre": 4}), k=12, at=AT)
    agree(slate, answer, terms)
    assert list(slate.terms) == ["pop", "fresh"] and slate.path == "attributes"
    assert all("no user vector" in reason for reason in slate.reasons)


def test_nobody_and_nothing_to_go_by_is_the_order_of_ids():
    cat, items, _ = world(2)
    slate = pc.rank(cat, None, pc.Policy(score=pc.Blend({"a": 1.0})), k=10)
    assert slate.ids.tolist() == sorted(items.ids)[:10] and not slate.scores.any() and not slate.terms


# --- invariances -----------------------------------------------------------------------------------

FULL = pc.Policy(
    candidates=25,
    score=pc.Blend({"a": 0.7, "b": 0.3}, "zscore", pop=0.2, fresh=pc.Decay("at", "3d", weight=0.3)),
    diversity=pc.MMR(0.3),
    caps={"genre": 3},
    explore=pc.EpsilonGreedy(0.3),
)


@FEW
@given(seed=st.integers(0, 10**6))
def test_the_order_of_insertion_does_not_matter(seed):
    cat, items, user = world(seed)
    order = np.random.default_rng(seed).permutation(60)
    other = pc.Catalog(cat.spaces)
    for part in np.array_split(order, 3):
        found = cat.get([items.ids[i] for i in part])
        attributes = {name: [f["attributes"][name] for f in found] for name in cat.attributes}
        attributes = {name: v for name, v in attributes.items() if any(x is not None for x in v)}
        vectors = {s: np.array([f["vectors"][s] for f in found]) for s in cat.spaces}
        other.upsert([f["id"] for f in found], vectors, attributes)
    keywords = dict(k=12, at=AT, seed=seed, request_id="r")
    slate = pc.rank(cat, user, FULL, **keywords)
    assert slate == pc.rank(other, user, FULL, **keywords)
    assert slate.reasons == pc.rank(other, user, FULL, **keywords).reasons


@pytest.mark.parametrize("threads", [1, 2, 5, -1])
def test_a_batch_is_a_loop_bit_for_bit(threads):
    cat, items, _ = world(9)
    rng = np.random.default_rng(9)
    users = {"a": rng.standard_normal((23, 6)), "b": rng.standard_normal((23, 5))}
    seen = [rng.choice(items.ids, size=rng.integers(0, 9), replace=False).tolist() for _ in range(23)]
    keywords = dict(k=10, at=AT, seed=77, where=np.arange(60) % 7 > 0)
    names = [f"req-{i}" for i in range(23)]
    batch = pc.rank(cat, users, FULL, exclude=seen, request_id=names, num_threads=threads, **keywords)
    assert len(batch) == 23 and isinstance(batch, pc.SlateBatch)
    for i, slate in enumerate(batch):
        one = {space: x[i] for space, x in users.items()}
        alone = pc.rank(cat, one, FULL, exclude=seen[i], request_id=names[i], **keywords)
        assert slate == alone and slate.request_id == names[i] and slate.seed == 77
        assert slate.reasons == alone.reasons and slate.record() == alone.record()


def test_a_batch_of_bare_vectors_and_of_nobody():
    cat, _, user = world(10)
    policy = pc.Policy(score=pc.Blend({"a": 1.0}))
    users = np.array([user["a"], -user["a"]])
    batch = pc.rank(cat, users, policy, k=4, seed=1, request_id="x")
    assert [s.request_id for s in batch] == ["x-0", "x-1"]
    assert batch[1] == pc.rank(cat, -user["a"], policy, k=4, seed=1, request_id="x-1")
    empty = pc.rank(cat, np.empty((0, 6), np.float32), policy, k=4)
    assert len(empty) == 0 and list(empty) == []


def test_searches_and_rankings_from_many_threads_agree():
    from concurrent.futures import ThreadPoolExecutor

    cat, _, user = world(11)
    keywords = dict(k=10, at=AT, seed=3, request_id="r")
    expected = pc.rank(cat, user, FULL, **keywords)
    with ThreadPoolExecutor(6) as pool:
        for slate in pool.map(lambda _: pc.rank(cat, user, FULL, **keywords), range(200)):
            assert slate == expected


def test_scores_add_up_however_wild_the_weights():
    cat, items, user = world(12)
    rng = np.random.default_rng(12)
    for _ in range(60):
        extra = {
            f"s{i}": float(rng.normal() * 10.0 ** rng.integers(-12, 13)) for i in range(rng.integers(1, 9))
        }
        signals = {name: dict(zip(items.ids, rng.normal(size=60).tolist(), strict=True)) for name in extra}
        blend = pc.Blend({"a": 1.0, "b": -1e-3}, normalize="none", **extra)
        slate = pc.rank(cat, user, pc.Policy(score=blend, candidates=30), k=15, signals=signals)
        add_up(slate)


# --- a graph ---------------------------------------------------------------------------------------


def test_a_pool_from_a_graph_is_ranked_like_any_other(rng):
    x = rng.standard_normal((8000, 96)).astype(np.float32)
    pop = rng.random(8000)
    cat = pc.Catalog({"v": pc.Space(96, "cosine", "f32", M=12, ef_construction=80)})
    cat.upsert(range(8000), x, {"pop": pop, "genre": [["g"]] * 7900 + [["h"]] * 100})
    policy = pc.Policy(candidates=50, score=pc.Blend(pop=0.5), diversity=pc.MMR(0.2))
    user = rng.standard_normal(96).astype(np.float32)
    slate = pc.rank(cat, user, policy, k=10)
    assert slate.path == "graph" and slate.pool_size == 50
    add_up(slate)
    # Given the pool, the rest is the oracle's.
    pool = slate.record()["pool"][0]["ids"]
    items = oracle.Items(list(range(8000)), {"v": ("cosine", x)}, {"pop": pop.tolist()})
    terms = [Term("similarity", "similarity", "v", 1.0, "minmax"), Term("pop", "value", "pop", 0.5, "minmax")]
    answer = oracle.rank(items, terms, user={"v": user}, k=10, candidates=50, eligible=pool, mmr=(0.2, "v"))
    assert slate.ids.tolist() == answer.ids and np.allclose(slate.scores, answer.scores, atol=1e-4)
    # A cap that the whole pool is under: the slate fills from beyond it.
    capped = pc.rank(cat, user, pc.Policy(candidates=50, caps={"genre": 3}), k=6)
    assert len(capped) == 6 and (capped.ids >= 7900).sum() == 3 and capped.short_reason is None


def test_a_pool_is_never_short_of_what_is_eligible(rng):
    x = rng.standard_normal((8000, 96)).astype(np.float32)
    cat = pc.Catalog({"v": pc.Space(96, "l2", M=6, ef_construction=30)})
    cat.upsert(range(8000), x)
    nearest = cat.search(x[0], k=3000, exact=True).ids
    slate = pc.rank(cat, x[0], pc.Policy(candidates=100), k=100, exclude=nearest)
    assert len(slate) == 100 and not set(slate.ids.tolist()) & set(nearest.tolist())
    few = pc.rank(cat, x[0], pc.Policy(candidates=100), k=100, where=nearest[-30:])
    assert sorted(few.ids.tolist()) == sorted(nearest[-30:].tolist())


# --- what a slate says -----------------------------------------------------------------------------


def test_timings_name_the_stages():
    cat, _, user = world(13)
    timings = pc.rank(cat, user, FULL, k=10).timings_us
    assert set(timings) == {"filter", "retrieve", "score", "diversify", "explore", "total"}
    assert all(us >= 0 for us in timings.values())
    stages = sum(us for name, us in timings.items() if name != "total")
    assert 0 < stages <= timings["total"] * 1.001


def test_reasons_name_the_largest_terms():
    cat, _, user = world(14)
    policy = pc.Policy(
        candidates=60,
        score=pc.Blend({"a": 1.0}, "none", pop=-2.0, count=1e-3, new=5.0),
        diversity=pc.MMR(0.9),
    )
    slate = pc.rank(cat, user["a"], policy, k=20)
    varied = 0
    for item in slate:
        shown = [part.rsplit(" ", 1) for part in item.reason.split(";")[0].split(", ")]
        largest = sorted(((abs(v), n) for n, v in item.terms.items() if v), reverse=True)[:3]
        assert [name for name, _ in shown] == [name for _, name in largest]
        for name, value in shown:
            assert float(value) == pytest.approx(item.terms[name], abs=5e-4) and value[0] in "+-"
        varied += "variety" in item.reason
    assert 0 < varied < 20


def test_unset_seed_and_request_id_are_drawn_and_told():
    cat, _, user = world(15)
    one, other = pc.rank(cat, user, FULL, k=5), pc.rank(cat, user, FULL, k=5)
    assert one.seed != other.seed and one.request_id != other.request_id
    again = pc.rank(cat, user, FULL, k=5, at=one.at, seed=one.seed, request_id=one.request_id)
    assert again == one
