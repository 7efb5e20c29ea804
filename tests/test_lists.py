"""Outside lists: what they retrieve, what they are worth, and a replay without them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perso_core as pc
from world import AT, world

FUSED = pc.Policy(
    candidates=200, score=pc.Blend(None, a=pc.Listed(1.0), b=pc.Listed(0.5), normalize=pc.RRF(60))
)


def fused(lists: list[tuple[float, list[Any]]], k: float) -> dict[Any, float]:
    """Reciprocal rank fusion as the paper has it."""
    out: dict[Any, float] = {}
    for weight, ids in lists:
        for rank, item in enumerate(ids, start=1):
            out[item] = out.get(item, 0.0) + weight / (k + rank)
    return out


@given(seed=st.integers(0, 10**6), text=st.booleans(), scored=st.booleans())
def test_lists_alone_are_reciprocal_rank_fusion(seed: int, text: bool, scored: bool) -> None:
    cat, items, _ = world(seed % 5, text=text)
    rng = np.random.default_rng(seed)
    given_ids = [list(rng.permutation(np.array(items.ids, object))[: rng.integers(1, 40)]) for _ in "ab"]
    shown = [i for i in items.ids if rng.random() < 0.7]
    unknown = ["?"] if text else [10**9]
    lists: dict[str, Any] = dict(zip("ab", given_ids, strict=True))
    lists["b"] = unknown + lists["b"]
    if scored:
        scores = np.sort(rng.normal(size=len(given_ids[0])))[::-1]
        pairs = list(zip(given_ids[0], scores.tolist(), strict=True))
        lists["a"] = {pairs[i][0]: pairs[i][1] for i in rng.permutation(len(pairs))}
    slate = pc.rank(cat, None, FUSED, k=60, where=shown, lists=lists, seed=1)
    eligible = [[i for i in ids if i in set(shown)] for ids in given_ids]
    expected = fused([(1.0, eligible[0]), (0.5, eligible[1])], 60)
    assert slate.lists == {
        "a": {"given": len(given_ids[0]), "eligible": len(eligible[0])},
        "b": {"given": len(given_ids[1]) + 1, "eligible": len(eligible[1])},
    }
    # What no list has follows, by id, at 0: a slate is never shorter than it must be.
    assert len(slate) == len(shown)
    got = dict(zip(slate.ids.tolist(), slate.scores.tolist(), strict=True))
    for item in shown:
        assert got[item] == pytest.approx(expected.get(item, 0.0), rel=1e-12)
    assert slate.ids.tolist() == sorted(shown, key=lambda i: (-got[i], i))
    assert slate.path == ("given" if expected else "attributes")


@pytest.mark.parametrize("normalize", ["none", "minmax", "zscore", "rank", pc.RRF(60)])
def test_a_list_beside_spaces_brings_its_head_and_replays_without_it(normalize: Any) -> None:
    cat, items, vectors = world(2)
    listed = items.ids[40:] + items.ids[:5]
    policy = pc.Policy(
        candidates=16,
        score=pc.Blend({"a": 1.0}, bm25=pc.Listed(2.0), pop=0.5, normalize=normalize),
        diversity=pc.MMR(0.3), caps={"genre": 2}, explore=pc.EpsilonGreedy(0.3),
    )  # fmt: skip
    slate = pc.rank(cat, vectors["a"], policy, k=12, lists={"bm25": listed}, at=AT, seed=5)
    record = json.loads(json.dumps(slate.record()))
    pooled = record["pool"][0]["ids"]
    near = cat.search(vectors["a"], 16, space="a").ids.tolist()
    assert set(near[:8]) | set(listed[:7]) <= set(pooled) and len(pooled) == 16
    values = dict(
        zip([i for step in record["pool"] for i in step["ids"]], record["signals"]["bm25"], strict=True)
    )
    assert values == {i: -float(listed.index(i)) if i in listed else None for i in values}
    assert record["lists"] == {"bm25": {"given": len(listed), "eligible": len(listed)}}
    again = pc.replay(record, cat)
    assert again == slate and again.record() == record and again.lists == slate.lists
    if normalize == "none":
        in_slate = [0.0 if values[i] is None else 2.0 * values[i] for i in slate.ids.tolist()]
        np.testing.assert_allclose(slate.terms["bm25"], in_slate, rtol=1e-12)


def test_a_list_of_weight_0_retrieves_nothing_and_feeds_a_model() -> None:
    cat, items, vectors = world(3)
    policy = pc.Policy(
        candidates=10,
        score=pc.Blend({"a": 1.0}, bm25=pc.Listed(0.0), ctr=pc.Model(["bm25"], normalize="none")),
    )
    near = cat.search(vectors["a"], 10, space="a").ids.tolist()
    far = [i for i in items.ids if i not in near]
    slate = pc.rank(
        cat, vectors["a"], policy, k=10, lists={"bm25": {near[3]: 4.0, far[0]: 9.0}},
        models={"ctr": lambda x: np.nan_to_num(x[:, 0])}, seed=1,
    )  # fmt: skip
    assert set(slate.ids.tolist()) == set(near)
    assert slate.ids[0] == near[3] and slate.terms["ctr"][0] == 4.0


def test_the_order_of_rows_does_not_matter() -> None:
    _, items, vectors = world(4)
    lists = {"bm25": items.ids[10:30]}
    policy = pc.Policy(candidates=12, score=pc.Blend({"a": 1.0}, bm25=pc.Listed(1.0, pc.RRF(10))))
    slates = []
    for order in (np.arange(60), np.random.default_rng(0).permutation(60)):
        cat = pc.Catalog({"a": pc.Space(6, "cosine")})
        cat.upsert([items.ids[i] for i in order], {"a": items.spaces["a"][1][order]})
        slates.append(pc.rank(cat, vectors["a"], policy, k=12, lists=lists, at=AT, seed=1, request_id="r"))
    assert slates[0].ids.tolist() == slates[1].ids.tolist()
    assert slates[0].scores.tobytes() == slates[1].scores.tobytes()


def test_lists_that_have_no_more_are_followed_by_the_rest() -> None:
    cat, items, _ = world(5)
    lists = {"a": items.ids[:4], "b": []}
    blend = pc.Blend(None, a=pc.Listed(), b=pc.Listed(), pop=pc.Signal(1e-3, "none"))
    policy = pc.Policy(candidates=30, score=blend)
    slate = pc.rank(cat, None, policy, k=30, lists=lists, seed=1)
    assert set(items.ids[:4]) < set(slate.ids.tolist()) and len(slate) == 30
    # The first step is the lists' alone; what joined later is the best of the rest by what else the blend has.
    assert sorted(slate.record()["pool"][0]["ids"]) == sorted(items.ids[:4])
    popular = {i: p or 0.0 for i, p in zip(items.ids, items.attributes["pop"], strict=True)}
    rest = sorted(set(items.ids) - set(items.ids[:4]), key=lambda i: (-popular[i], i))
    assert set(slate.ids.tolist()) == set(items.ids[:4]) | set(rest[:26])
    nothing = pc.rank(cat, None, policy, k=5, lists={"a": [], "b": []}, seed=1)
    assert len(nothing) == 5 and nothing.path == "attributes"
    assert pc.replay(nothing.record(), cat) == nothing and pc.replay(slate.record(), cat) == slate


def test_a_batch_takes_one_mapping_or_one_a_user() -> None:
    cat, items, _ = world(6)
    rng = np.random.default_rng(0)
    users = {"a": rng.normal(size=(3, 6)).astype(np.float32)}
    policy = pc.Policy(candidates=12, score=pc.Blend({"a": 1.0}, bm25=pc.Listed(1.0)))
    each = [{"bm25": list(rng.permutation(items.ids)[:9])} for _ in range(3)]
    for lists in (each, each[0]):
        batch = pc.rank(cat, users, policy, k=6, lists=lists, at=AT, seed=2, request_id="r")
        for i, slate in enumerate(batch):
            one = lists[i] if isinstance(lists, list) else lists
            alone = pc.rank(
                cat, {"a": users["a"][i]}, policy, k=6, lists=one, at=AT, seed=2, request_id=f"r-{i}"
            )
            assert slate == alone


@pytest.mark.parametrize(
    ("lists", "error", "message"),
    [
        (None, ValueError, r"lists.*a list named 'a'.*may be empty"),
        ({"a": [1], "b": [], "c": []}, ValueError, r"lists.*Blend names.*\"c\"|lists.*'c'"),
        ({"a": [1, 1], "b": []}, ValueError, r"lists\['a'\].*each id once.*1 twice"),
        ({"a": {1: float("nan")}, "b": []}, ValueError, r"lists\['a'\].*finite"),
        ({"a": ["x"], "b": []}, TypeError, r"lists\['a'\].*int ids"),
        ({"a": {1, 2}, "b": []}, TypeError, r"lists\['a'\]"),
        ({"a": "xy", "b": []}, TypeError, r"lists\['a'\]"),
        ([1], TypeError, r"lists.*a mapping"),
        ({1: []}, TypeError, r"lists.*names as keys"),
    ],
)
def test_bad_lists_are_refused(lists: Any, error: type[Exception], message: str) -> None:
    cat = pc.Catalog({"a": pc.Space(2)})
    cat.upsert([1, 2], {"a": np.eye(2)})
    with pytest.raises(error, match=message.replace("'", "['\"]")):
        pc.rank(cat, None, FUSED, k=2, lists=lists)


def test_a_batch_of_another_length_is_refused() -> None:
    cat, _, _ = world(6)
    users = {"a": np.ones((3, 6), np.float32)}
    policy = pc.Policy(score=pc.Blend({"a": 1.0}, bm25=pc.Listed(1.0)))
    with pytest.raises(ValueError, match="lists.*a list of 3.*a list of 2"):
        pc.rank(cat, users, policy, lists=[{"bm25": []}] * 2)


def test_the_document_says_list() -> None:
    policy = pc.Policy(score=pc.Blend(None, bm25=pc.Listed(0.5, normalize=pc.RRF(20))))
    document = json.loads(policy.to_json())
    assert document["score"]["signals"] == [
        {"kind": "list", "name": "bm25", "normalize": {"rrf": {"k": 20.0}}, "weight": 0.5}
    ]
    assert pc.Policy.from_json(policy.to_json()) == policy
    assert pc.Policy.from_json(policy.to_json()).hash == policy.hash
