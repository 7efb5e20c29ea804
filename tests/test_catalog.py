"""A catalog: what an upsert does, attribute types, generation and content hash."""

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
import perso_core as pc

UTC = dt.timezone.utc


def two_spaces(dtype="f32"):
    return pc.Catalog({"a": pc.Space(4, "cosine", dtype), "b": pc.Space(3, "ip", dtype)})


def both(rng, n):
    return {"a": rng.standard_normal((n, 4)), "b": rng.standard_normal((n, 3))}


def attribute(cat, name):
    return [item["attributes"][name] for item in cat.get(cat.ids)]


# --- upsert ----------------------------------------------------------------------------------------


def test_an_upsert_inserts_and_changes(rng):
    cat = two_spaces()
    first, second = both(rng, 3), both(rng, 2)
    cat.upsert(["x", "y", "z"], first, {"n": [1, 2, 3]})
    cat.upsert(["w", "y"], second, {"m": [True, None]})
    assert sorted(cat.ids) == ["w", "x", "y", "z"] and len(cat) == 4
    w, x, y = cat.get(["w", "x", "y"])
    assert w["id"] == "w" and set(w) == {"id", "vectors", "attributes"}
    assert np.array_equal(y["vectors"]["a"], second["a"][1].astype(np.float32))
    assert np.array_equal(x["vectors"]["b"], first["b"][0].astype(np.float32))
    # What an upsert does not name stays; what a new item does not have is null.
    assert y["attributes"] == {"n": 2, "m": None} and w["attributes"] == {"n": None, "m": True}
    assert x["attributes"] == {"n": 1, "m": None}


@pytest.mark.parametrize("dtype", ["f32", "f16", "i8"])
def test_one_space_may_change_alone(rng, dtype):
    cat = two_spaces(dtype)
    vectors = both(rng, 3)
    cat.upsert([1, 2, 3], vectors, {"n": [1, 2, 3]})
    before = cat.get([2])[0]
    other = rng.standard_normal((2, 4))
    cat.upsert([3, 2], {"a": other})
    after = cat.get([2])[0]
    assert np.array_equal(after["vectors"]["a"], oracle.stored(other, dtype)[1])
    # The untouched space is the same bits: quantising twice would not be.
    assert np.array_equal(after["vectors"]["b"], before["vectors"]["b"])
    assert after["attributes"] == {"n": 2}
    assert cat.search(other[1], k=1, space="a", exact=True).ids[0] == 2


def test_attributes_may_change_alone_and_null_is_a_value(rng):
    cat = two_spaces()
    cat.upsert([1, 2], both(rng, 2), {"n": [1, 2], "tags": [["a", "b"], ["c"]]})
    rows = cat.stats()["rows"]
    cat.upsert([2], attributes={"n": [None], "tags": [[]]})
    assert cat.get([2])[0]["attributes"] == {"n": None, "tags": []}
    assert cat.stats()["rows"] == rows, "vectors were written anew"


def test_a_bare_array_is_for_the_only_space(rng):
    cat = pc.Catalog({"only": pc.Space(2)})
    cat.upsert([1], [[1.0, 2.0]])
    assert np.array_equal(cat.get([1])[0]["vectors"]["only"], [1, 2])
    with pytest.raises(ValueError, match=r"vectors: .*'a', 'b'"):
        two_spaces().upsert([1], [[1.0, 2.0]])


REFUSED = {
    "an id twice": ([1, 1], None, None, ValueError, "ids: .*once.*positions 0 and 1"),
    "ids of another kind": (["a", "b"], None, None, TypeError, "ids: .*int"),
    "a new item without a space": ([8, 9], ["a"], None, ValueError, r'vectors: .*"b".*8'),
    "too few rows": ([1, 2, 3], ["a", "b"], None, ValueError, r'vectors\["a"\]: .*3 rows'),
    "an unknown space": ([1, 2], ["a", "b", "c"], None, ValueError, "vectors: .*spaces.*c"),
    "too few values": ([1, 2], None, {"n": [1]}, ValueError, r'attributes\["n"\]: .*2 values.*1'),
    "a value of another type": ([1, 2], None, {"n": ["x", "y"]}, TypeError, r"n\W+.*int.*x"),
    "values of two types": ([1, 2], None, {"q": ["x", 1]}, TypeError, "q.*one type.*int and str"),
    "a list of numbers": ([1, 2], None, {"q": [[1], [2]]}, TypeError, r"q.*list\[str\]"),
    "a NaN": ([1, 2], None, {"f": [1.0, math.nan]}, ValueError, "f.*NaN"),
    "an infinity": ([1, 2], None, {"new": [1.0, math.inf]}, ValueError, "new.*inf"),
    "a type that nothing tells": ([1, 2], None, {"new": [None, None]}, ValueError, "new.*None only"),
    "text for values": ([1, 2], None, {"s": "ab"}, TypeError, "s.*sequence"),
    "a dict for a value": ([1, 2], None, {"s": [{}, {}]}, TypeError, "s.*dict"),
    "an integer beyond int64": ([1, 2], None, {"n": [1, 2**63]}, (ValueError, TypeError), "n"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_refused_upsert_changes_nothing(rng, case):
    ids, spaces, attributes, kind, message = case
    cat = two_spaces()
    cat.upsert([1, 2], both(rng, 2), {"n": [1, 2], "f": [0.5, 1.5], "s": ["a", "b"]})
    before = cat.generation, cat.content_hash, dict(cat.attributes), len(cat)
    vectors = None
    if spaces is not None:
        vectors = {name: rng.standard_normal((2, 4 if name == "a" else 3)) for name in spaces}
    elif attributes is None:
        vectors = both(rng, 2)
    with pytest.raises(kind, match=message):
        cat.upsert(ids, vectors, attributes)
    assert (cat.generation, cat.content_hash, dict(cat.attributes), len(cat)) == before


def test_without_vectors_an_unknown_id_is_missing(rng):
    cat = two_spaces()
    cat.upsert([1], both(rng, 1), {"n": [1]})
    with pytest.raises(KeyError, match="9"):
        cat.upsert([1, 9], attributes={"n": [5, 5]})
    assert cat.get([1])[0]["attributes"]["n"] == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_must_be_finite(rng, bad):
    cat = two_spaces()
    vectors = both(rng, 3)
    vectors["b"][1, 2] = bad
    with pytest.raises(ValueError, match=r'vectors\["b"\]: expected finite numbers, got .* in row 1'):
        cat.upsert([1, 2, 3], vectors)
    assert len(cat) == 0


def test_removal(rng):
    cat = two_spaces()
    cat.upsert(range(10), both(rng, 10), {"n": range(10)})
    cat.remove([3, 4])
    assert 3 not in cat and 5 in cat and len(cat) == 8
    with pytest.raises(KeyError, match="4"):
        cat.remove([5, 4])
    assert 5 in cat
    with pytest.raises(KeyError, match="3"):
        cat.get([3])
    cat.remove({0, 1, 2, 5, 6, 7})
    assert cat.ids.tolist() == [8, 9] and attribute(cat, "n") == [8, 9]
    cat.upsert([3], both(rng, 1))
    assert cat.get([3])[0]["attributes"] == {"n": None}, "a removed item's attributes came back"


def test_membership_takes_anything():
    cat = pc.Catalog({"a": pc.Space(1)})
    cat.upsert([1, 2], [[1.0], [2.0]])
    assert 1 in cat and np.int32(2) in cat
    for other in (3, "1", None, 2.5, (1,), 2**70):
        assert other not in cat


# --- a model ---------------------------------------------------------------------------------------

_IDS = st.lists(st.integers(0, 12), min_size=1, max_size=6, unique=True)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), _IDS, st.booleans()),
        st.tuples(st.just("set"), _IDS, st.booleans()),
        st.tuples(st.just("remove"), _IDS, st.booleans()),
    ),
    max_size=25,
)


@given(steps=_STEPS, seed=st.integers(0, 2**32 - 1))
def test_a_catalog_is_a_mapping_whatever_its_history(steps, seed):
    rng = np.random.default_rng(seed)
    cat, model = pc.Catalog({"v": pc.Space(3, "l2", "i8")}), {}
    for step, ids, flag in steps:
        before, generation = cat.content_hash, cat.generation
        if step == "put":
            x = rng.standard_normal((len(ids), 3)).astype(np.float32)
            tags = [None if rng.random() < 0.3 else [f"t{t}" for t in rng.integers(5, size=2)] for _ in ids]
            cat.upsert(ids, x, {"tags": tags, "n": ids} if flag and any(tags) else {"n": ids})
            for i, id_ in enumerate(ids):
                values = {"n": id_, "tags": model.get(id_, (0, {"tags": None}))[1]["tags"]}
                if flag and any(tags):
                    values["tags"] = tags[i]
                model[id_] = (x[i], values)
        else:
            ids = [i for i in ids if i in model]
            if step == "set":
                cat.upsert(ids, attributes={"n": [-1] * len(ids)} if "n" in cat.attributes else None)
                for i in ids:
                    model[i] = (model[i][0], {**model[i][1], "n": -1})
            else:
                cat.remove(ids)
                for i in ids:
                    del model[i]
        assert cat.generation == generation + (1 if ids else 0) or (step == "set" and not model)
        assert (cat.content_hash == before) or ids
    assert sorted(cat.ids.tolist()) == sorted(model) and len(cat) == len(model)
    kept = oracle.stored(np.array([model[i][0] for i in cat.ids], np.float32).reshape(-1, 3), "i8")
    for row, item in zip(kept, cat.get(cat.ids), strict=True):
        assert np.array_equal(item["vectors"]["v"], row)
        expected = {k: v for k, v in model[item["id"]][1].items() if k in cat.attributes}
        assert item["attributes"] == expected
    # The same content put in at once, in another order, is the same content.
    if model:
        other = pc.Catalog({"v": pc.Space(3, "l2", "i8", M=8)}, seed=5)
        order = [int(i) for i in rng.permutation(sorted(model))]
        tags = [model[i][1]["tags"] for i in order]
        attributes = {"n": [model[i][1]["n"] for i in order]} | ({"tags": tags} if any(tags) else {})
        other.upsert(order, np.array([model[i][0] for i in order]), attributes)
        assert other.content_hash == cat.content_hash
        query = rng.standard_normal(3)
        a, b = cat.search(query, k=20), other.search(query, k=20)
        assert np.array_equal(a.ids, b.ids) and np.array_equal(a.scores, b.scores, equal_nan=True)


# --- generation and hash ---------------------------------------------------------------------------


def test_the_generation_grows_with_changes_only(rng):
    cat = two_spaces()
    assert cat.generation == 0
    cat.upsert([1, 2], both(rng, 2))
    cat.upsert([1], attributes={"n": [1]})
    cat.remove([2])
    assert cat.generation == 3
    cat.search(rng.standard_normal(4), space="a"), cat.get([1]), cat.stats()
    cat.upsert([], {}), cat.remove([])
    assert cat.generation == 3


def test_the_content_hash_names_content_alone(rng):
    vectors = both(rng, 4)
    one = two_spaces()
    one.upsert([1, 2, 3, 4], vectors, {"n": [1, 2, 3, None], "s": ["a", "b", None, "d"]})
    other = two_spaces()
    for i in (3, 1, 2, 0):
        other.upsert([i + 1], {name: x[i : i + 1] for name, x in vectors.items()})
    other.upsert([4, 3, 2, 1], attributes={"s": ["d", None, "b", "a"], "n": [None, 3, 2, 1]})
    assert one.content_hash == other.content_hash and one.generation != other.generation
    assert len(one.content_hash) == 64


def test_the_content_hash_tells_every_difference(rng):
    vectors = both(rng, 2)

    def build(change):
        cat = two_spaces("f16" if change == "dtype" else "f32")
        x = {name: array.copy() for name, array in vectors.items()}
        if change == "vector":
            x["b"][1, 2] += 1e-3
        n = [1, 3] if change == "int" else [1, 2]
        tags = [["a", "b"], ["c"]]
        if change == "list":
            tags = [["a"], ["b", "c"]]
        cat.upsert([1, 5] if change == "id" else [1, 2], x, {"n": n, "tags": tags, "s": ["x", None]})
        if change == "null":
            cat.upsert([1], attributes={"s": [None]})
        if change == "text":
            cat.upsert([1], attributes={"s": ["xx"]})
        if change == "removed":
            cat.remove([2])
        return cat.content_hash

    changes = ["", "dtype", "vector", "int", "list", "id", "null", "text", "removed"]
    assert len({build(change) for change in changes}) == len(changes)


# --- attribute types -------------------------------------------------------------------------------

MOMENT = dt.datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
EAST = dt.timezone(dt.timedelta(hours=5, minutes=30))
TYPES = {
    "bool": ("bool", [True, None, False], [True, None, False]),
    "np.bool_": ("bool", np.array([True, False, True]), [True, False, True]),
    "int": ("int", [-(2**63), None, 2**63 - 1], [-(2**63), None, 2**63 - 1]),
    "np.uint8": ("int", np.array([0, 5, 255], np.uint8), [0, 5, 255]),
    "np ints in a list": ("int", [np.int16(3), None, np.uint64(4)], [3, None, 4]),
    "float": ("float", [0.1, None, -1e308], [0.1, None, -1e308]),
    "np.float32": ("float", np.array([0.5, 1.5, -2], np.float32), [0.5, 1.5, -2.0]),
    "int and float": ("float", [1, 2.5, None], [1.0, 2.5, None]),
    "datetime": ("timestamp", [MOMENT, None, MOMENT.astimezone(EAST)], [MOMENT, None, MOMENT]),
    "naive datetime": ("timestamp", [MOMENT.replace(tzinfo=None), None, None], [MOMENT, None, None]),
    "date": (
        "timestamp",
        [dt.date(1969, 12, 31), None, None],
        [dt.datetime(1969, 12, 31, tzinfo=UTC), None, None],
    ),
    "np.datetime64": (
        "timestamp",
        np.array(["2024-05-06T07:08:09.123456789", "NaT", "1960-01-01"], "datetime64[ns]"),
        [MOMENT, None, dt.datetime(1960, 1, 1, tzinfo=UTC)],
    ),
    "np.datetime64 in a list": (
        "timestamp",
        [np.datetime64(MOMENT.replace(tzinfo=None)), None, None],
        [MOMENT, None, None],
    ),
    "str": ("str", ["", None, "zwölf \U0001f3b7"], ["", None, "zwölf \U0001f3b7"]),
    "np.str_": ("str", np.array(["a", "bb", "c"]), ["a", "bb", "c"]),
    "list[str]": ("list[str]", [["a", "b", "a"], [], None], [["a", "b", "a"], [], None]),
    "tuples": ("list[str]", [("a",), None, ()], [["a"], None, []]),
    "np object": ("str", np.array(["a", None, "c"], object), ["a", None, "c"]),
}


@pytest.mark.parametrize("case", TYPES.values(), ids=TYPES)
def test_attributes_come_back_as_they_went_in(case, tmp_path):
    kind, values, expected = case
    cat = pc.Catalog({"v": pc.Space(1)})
    cat.upsert([1, 2, 3], np.ones((3, 1)), {"it": values})
    assert dict(cat.attributes) == {"it": kind}
    for one in (cat, reopened(cat, tmp_path)):
        found = attribute(one, "it")
        assert found == expected
        assert [type(v) for v in found] == [type(v) for v in expected]


def reopened(cat, folder):
    cat.save(folder / "cat")
    return pc.Catalog.open(folder / "cat")


@given(st.datetimes(dt.datetime(1600, 1, 1), dt.datetime(2500, 1, 1), timezones=st.just(UTC)))
def test_moments_are_kept_to_the_microsecond(moment):
    cat = pc.Catalog({"v": pc.Space(1)})
    cat.upsert([1], [[1.0]], {"at": [moment]})
    assert attribute(cat, "at") == [moment]


def test_whole_numbers_go_into_a_float_column_and_not_the_other_way():
    cat = pc.Catalog({"v": pc.Space(1)})
    cat.upsert([1, 2], [[1.0], [2.0]], {"f": [0.5, 1.5], "n": [1, 2]})
    cat.upsert([1], attributes={"f": [3]})
    assert attribute(cat, "f") == [3.0, 1.5]
    for wrong in ({"n": [1.5]}, {"n": [True]}, {"f": [True]}, {"f": ["1"]}):
        with pytest.raises(TypeError):
            cat.upsert([1], attributes=wrong)


# --- search ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["mask", "ids"])
def test_search_in_a_named_space(rng, where):
    cat = two_spaces()
    cat.upsert(
        range(50),
        {"a": rng.integers(-3, 4, (50, 4)).astype(float), "b": rng.integers(-3, 4, (50, 3)).astype(float)},
    )
    cat.remove([0, 9])
    x = np.array([item["vectors"]["b"] for item in cat.get(cat.ids)])
    query, mask, seen = rng.integers(-3, 4, 3).astype(np.float32), rng.random(48) < 0.6, [1, 2, 3, 77]
    ids = cat.ids.tolist()
    allowed = [i for i in range(48) if mask[i] and ids[i] not in seen]
    expected = oracle.similarity32("ip", query, x)
    order = oracle.best(expected, 10, ids, allowed)
    given_where = mask if where == "mask" else cat.ids[mask]
    hits = cat.search(query, k=10, space="b", where=given_where, exclude=seen)
    assert hits.ids.tolist() == [ids[i] for i in order] and np.array_equal(hits.scores, expected[order])
    assert hits.path == "exact"


def test_which_space_must_be_said_where_there_are_two(rng):
    cat = two_spaces()
    cat.upsert([1], both(rng, 1))
    with pytest.raises(ValueError, match=r"space: .*'a', 'b'"):
        cat.search(np.ones(4))
    with pytest.raises(KeyError, match=r"no such space.*c"):
        cat.search(np.ones(4), space="c")
    with pytest.raises(ValueError, match=r"queries: expected vectors of 3 components, got 4"):
        cat.search(np.ones(4), space="b")


# --- the rest --------------------------------------------------------------------------------------


def test_stats_spaces_and_repr(rng):
    cat = pc.Catalog({"a": pc.Space(4, "l2", "i8", M=7, ef_construction=33), "b": pc.Space(3)})
    cat.upsert([1, 2, 3], both(rng, 3), {"genre": ["x", "y", None]})
    cat.remove([2])
    stats = cat.stats()
    assert stats["items"] == 2 and stats["rows"] == 3
    assert set(stats["spaces"]) == {"a", "b"} and stats["spaces"]["a"]["path"] == "exact"
    assert stats["bytes"] >= sum(space["bytes"] for space in stats["spaces"].values()) > 0
    assert cat.spaces["a"] == pc.Space(4, "l2", "i8", M=7, ef_construction=33)
    assert list(cat.spaces) == ["a", "b"]
    for part in ("2 items", "a(4, l2, i8)", "genre: str", "generation 2"):
        assert part in repr(cat)


def test_a_large_catalog_uses_a_graph_and_can_be_interrupted(rng):
    # On a plane of few dimensions: among vectors without structure a walk would have to see most of them.
    # As many as take much longer than the time between two calls of `progress`.
    x = (rng.standard_normal((30_000, 6)) @ rng.standard_normal((6, 96))).astype(np.float32)
    cat = pc.Catalog({"v": pc.Space(96, "l2", M=8, ef_construction=50), "w": pc.Space(2)})
    small = rng.standard_normal((30_000, 2))
    cat.upsert(range(7000), {"v": x[:7000], "w": small[:7000]})
    assert cat.stats()["spaces"]["v"]["path"] == "graph" and cat.search(x[0], 1, "v").path == "graph"
    before = cat.content_hash, cat.generation, cat.search(x[:9], 5, "v").ids.tolist()

    def stop(done, total):
        raise LookupError("stop")

    with pytest.raises(LookupError):
        cat.upsert(range(6000, 30_000), {"v": x[6000:], "w": small[6000:]}, progress=stop)
    assert (cat.content_hash, cat.generation, cat.search(x[:9], 5, "v").ids.tolist()) == before


@pytest.mark.parametrize(
    "dims",
    [
        (96, 96),
        (96, 2),
    ],
)
def test_progress_of_an_upsert_reaches_its_end(rng, dims):
    named = dict(zip("vw", dims, strict=True))
    cat = pc.Catalog({name: pc.Space(dim, "l2", M=4, ef_construction=20) for name, dim in named.items()})
    vectors = {name: rng.standard_normal((7000, dim)) for name, dim in named.items()}
    told = []
    cat.upsert(range(7000), vectors, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told) and len({total for _, total in told}) == 1
    assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize("share", [0.0, 0.5], ids=["first space", "second space"])
def test_an_upsert_interrupted_in_any_space_is_undone(rng, share):
    cat = pc.Catalog({name: pc.Space(96, "l2", M=8, ef_construction=50) for name in "vw"})
    x, ids = rng.standard_normal((2, 22_000, 96)).astype(np.float32), np.arange(22_000)
    cat.upsert(ids[:6000], {"v": x[0, :6000], "w": x[1, :6000]}, {"n": ids[:6000]})

    def state():
        found = [cat.search(x[0, :9], 5, name).scores.tobytes() for name in "vw"]
        return cat.content_hash, cat.generation, len(cat), cat.stats()["rows"], found

    before = state()

    def stop(done, total):
        if done > share * total:
            raise LookupError(done / total)

    with pytest.raises(LookupError) as caught:
        cat.upsert(ids[5000:], {"v": x[0, 5000:], "w": x[1, 5000:]}, {"n": -ids[5000:]}, progress=stop)
    assert share < caught.value.args[0] < 1
    assert state() == before
    cat.upsert(ids[6000:6010], {"v": x[0, 6000:6010], "w": x[1, 6000:6010]})
    for i, name in enumerate("vw"):
        hits = cat.search(x[i, [17, 6003]], 1, name, exact=True)
        assert hits.ids[:, 0].tolist() == [17, 6003] and not hits.scores.any()
