"""What results look like: length, iteration, repr, Arrow."""

import numpy as np
import pytest

import perso_core as pc
from world import AT, world

POLICY = pc.Policy(candidates=30, score=pc.Blend({"a": 1.0}, pop=0.2), explore=pc.EpsilonGreedy(0.4))


@pytest.fixture(params=[False, True], ids=["int", "str"])
def slate(request):
    cat, _, user = world(21, text=request.param)
    return pc.rank(cat, user["a"], POLICY, k=7, at=AT, seed=5, request_id="r-5")


@pytest.fixture(params=[False, True], ids=["int", "str"])
def hits(request):
    index = pc.Index(2, "ip")
    names = ["x", "y", "z"] if request.param else [7, 8, 9]
    index.add([[3.0, 0.0], [2.0, 0.0], [1.0, 0.0]], names)
    return names, index.search([1, 0], k=5), index.search([[1, 0], [-1, 0]], k=2)


def test_hits_of_one_query(hits):
    names, one, _ = hits
    assert len(one) == 3 and one.ids.shape == one.scores.shape == (5,)
    assert [(hit.id, hit.score) for hit in one] == list(zip(names, [3.0, 2.0, 1.0], strict=True))
    assert type(one[0].id) in (int, str) and type(one[0].score) is float
    assert one[-1] == one[2] == (names[2], 1.0)
    with pytest.raises(IndexError):
        one[3]
    assert one.scores.dtype == np.float32 and one.ids.dtype == (np.int64 if names[0] == 7 else object)


def test_hits_of_several_queries(hits):
    names, _, many = hits
    assert len(many) == 2 and many.ids.shape == (2, 2)
    first, second = many
    assert [hit.id for hit in first] == names[:2] and [hit.id for hit in second] == names[:0:-1]
    assert second.path == many.path == "exact"


def test_hits_to_arrow(hits):
    pytest.importorskip("pyarrow")
    names, one, many = hits
    table = one.to_arrow()
    assert table.column_names == ["query", "position", "id", "score"]
    assert table.to_pylist()[1] == {"query": 0, "position": 1, "id": names[1], "score": 2.0}
    assert table.num_rows == 3, "padding is no answer"
    rows = [(row["query"], row["position"], row["id"]) for row in many.to_arrow().to_pylist()]
    assert rows == [(0, 0, names[0]), (0, 1, names[1]), (1, 0, names[2]), (1, 1, names[1])]


def test_hits_repr(hits):
    names, one, many = hits
    lines = repr(one).splitlines()
    assert "3" in lines[0] and "exact" in lines[0] and len(lines) == 5
    for name, line in zip(names, lines[2:], strict=True):
        assert str(name) in line
    assert "2 queries" in repr(many) and "k=2" in repr(many)
    assert "0" in repr(pc.Index(2).search([1.0, 0.0]))
    assert len(repr(pc.topk(np.eye(500, 2), np.ones((9, 2)), 3)).splitlines()) < 50


def test_a_slate_is_a_sequence_of_items(slate):
    assert len(slate) == 7 == len(list(slate))
    for t, item in enumerate(slate):
        assert item.position == t and item.id == slate.ids[t] and type(item.id) in (int, str)
        assert item.score == slate.scores[t] == sum(item.terms.values())
        assert item.propensity == slate.propensities[t] and item.explored is bool(slate.explored[t])
        assert item.reason == slate.reasons[t] and list(item.terms) == ["similarity", "pop"]
    assert slate[-1] == slate[6]
    with pytest.raises(IndexError):
        slate[7]


def test_a_slates_arrays(slate):
    assert slate.scores.dtype == slate.propensities.dtype == np.float64 and slate.explored.dtype == bool
    assert slate.ids.dtype in (np.int64, object)
    for values in slate.terms.values():
        assert values.dtype == np.float64 and values.shape == (7,)
    assert (slate.request_id, slate.seed, slate.k, slate.at, slate.generation) == ("r-5", 5, 7, AT, 1)
    assert slate.policy_hash == POLICY.hash and slate.pool_size == 30 and slate.path == "exact"
    with pytest.raises(TypeError):
        slate.terms["similarity"] = None


def test_a_slates_repr_shows_what_is_shown(slate):
    text = repr(slate)
    assert "r-5" in text and "7 of k=7" in text and "pool 30" in text
    for item in slate:
        assert any(str(item.id) in line and item.reason in line for line in text.splitlines())


def test_a_short_slates_repr_says_why():
    cat, _, user = world(22)
    slate = pc.rank(cat, user["a"], POLICY, k=9, where=cat.ids[:4].tolist())
    assert slate.short_reason in repr(slate) and "4 of k=9" in repr(slate)
    empty = pc.rank(cat, user["a"], POLICY, k=9, where=[])
    assert len(empty) == 0 and list(empty) == [] and "0 of k=9" in repr(empty)


def test_slates_are_equal_when_they_show_the_same(slate):
    cat, _, user = world(21, text=slate.ids.dtype == object)
    again = pc.rank(cat, user["a"], POLICY, k=7, at=AT, seed=5, request_id="r-5")
    other = pc.rank(cat, user["a"], POLICY, k=7, at=AT, seed=6, request_id="r-5")
    assert slate == again and slate != other and slate != 3
    with pytest.raises(TypeError):
        hash(slate)


def test_a_slate_to_arrow(slate):
    pytest.importorskip("pyarrow")
    table = slate.to_arrow()
    assert table.num_rows == 7
    for row, item in zip(table.to_pylist(), slate, strict=True):
        assert row["request_id"] == "r-5"
        for name in ("position", "id", "score", "propensity", "explored", "reason"):
            assert row[name] == getattr(item, name)
        assert {name: row[f"term.{name}"] for name in item.terms} == item.terms


def test_a_batch_is_a_sequence_of_slates():
    pytest.importorskip("pyarrow")
    cat, _, user = world(23)
    users = np.array([user["a"] * f for f in (1, -1, 2)])
    batch = pc.rank(cat, users, POLICY, k=4, seed=1, request_id=["x", "y", "z"])
    assert len(batch) == 3 and [s.request_id for s in batch] == ["x", "y", "z"]
    assert [a.tolist() for a in batch.ids] == [s.ids.tolist() for s in batch]
    assert batch[-1] == batch[2] and len(batch[1:]) == 2 and isinstance(batch[1:], pc.SlateBatch)
    assert batch.timings_us["total"] == pytest.approx(sum(s.timings_us["total"] for s in batch))
    text = repr(batch)
    assert "3" in text.splitlines()[0] and all(name in text for name in "xyz")
    table = batch.to_arrow()
    assert table.column("request_id").to_pylist() == [n for n in "xyz" for _ in range(4)]
    assert table.column("id").to_pylist() == [int(i) for s in batch for i in s.ids]
    assert batch[:0].to_arrow().num_rows == 0
