"""Expressions of pyarrow's as filters: what pyarrow itself keeps, whichever way they are answered."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perso_core as pc
from perso_core import _core, _expressions

pa = pytest.importorskip("pyarrow")
compute = pytest.importorskip("pyarrow.compute")

UTC = dt.timezone.utc
DAY = dt.datetime(2024, 1, 1, tzinfo=UTC)
F = compute.field
SCHEMA = {
    "new": pa.bool_(),
    "count": pa.int64(),
    "price": pa.float64(),
    "at": pa.timestamp("us", "UTC"),
    "shelf": pa.string(),
    "tags": pa.list_(pa.string()),
}
KINDS = {
    "new": "bool",
    "count": "int",
    "price": "float",
    "at": "timestamp",
    "shelf": "str",
    "tags": "list[str]",
}
VALUES = {
    "new": st.booleans(),
    "count": st.sampled_from([-(2**63), -3, 0, 1, 2**53 + 1, 2**63 - 1]),
    "price": st.sampled_from([-1.5, -0.0, 0.0, 0.1, 2.0, 1e300]),
    "at": st.integers(0, 4).map(lambda days: DAY + dt.timedelta(days=days)),
    "shelf": st.sampled_from(["a", "b'", 'c"', "é\n", ""]),
    "tags": st.lists(st.sampled_from(["x", "y"]), max_size=2),
}
LITERALS = {
    "new": st.booleans().map(pa.scalar),
    "count": st.one_of(
        st.sampled_from([-3, 0, 1, 2**53 + 1]).map(pa.scalar),
        st.sampled_from([0, 1]).map(lambda value: pa.scalar(value, pa.int8())),
        st.sampled_from([0.0, 0.5]).map(pa.scalar),
        st.just(pa.scalar(None, pa.int64())),
    ),
    "price": st.one_of(
        st.sampled_from([-1.5, 0.0, 0.1, float("inf"), float("nan")]).map(pa.scalar),
        st.sampled_from([0, 2]).map(pa.scalar),
        st.just(pa.scalar(0.1, pa.float32())),
    ),
    "at": st.integers(0, 4).map(
        lambda days: pa.scalar(DAY + dt.timedelta(days=days), pa.timestamp("ms", "UTC"))
    ),
    "shelf": st.one_of(VALUES["shelf"].map(pa.scalar), st.just(pa.scalar("a", pa.large_string()))),
}
SETS = {
    "count": st.lists(st.one_of(st.none(), VALUES["count"]), max_size=3).map(
        lambda v: pa.array(v, pa.int64())
    ),
    "price": st.lists(st.one_of(st.none(), VALUES["price"]), max_size=3).map(
        lambda v: pa.array(v, pa.float64())
    ),
    "shelf": st.lists(st.one_of(st.none(), VALUES["shelf"]), max_size=3).map(
        lambda v: pa.array(v, pa.string())
    ),
    "new": st.lists(st.one_of(st.none(), VALUES["new"]), max_size=2).map(lambda v: pa.array(v, pa.bool_())),
}
COMPARISONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]


def compared(how, left, right):
    return {
        "equal": lambda: left == right,
        "not_equal": lambda: left != right,
        "less": lambda: left < right,
        "less_equal": lambda: left <= right,
        "greater": lambda: left > right,
        "greater_equal": lambda: left >= right,
    }[how]()


@st.composite
def leaves(draw):
    what = draw(st.sampled_from(["compared", "compared", "compared", "flipped", "in", "null", "bare", "odd"]))
    name = draw(st.sampled_from(sorted(LITERALS)))
    if what == "bare":
        return F("new")
    if what == "null":
        field = F(draw(st.sampled_from(sorted(VALUES))))
        return draw(st.sampled_from([field.is_null(), field.is_valid(), field.is_null(nan_is_null=True)]))
    if what == "in":
        name = draw(st.sampled_from(sorted(SETS)))
        return F(name).isin(draw(SETS[name]))
    if what == "odd":
        return draw(
            st.sampled_from(
                [
                    compute.utf8_upper(F("shelf")) == "A",
                    F("count") == F("count"),
                    F("price") * 2.0 > 1.0,
                    compute.list_value_length(F("tags")) > 1,
                    F("count").cast(pa.float64()) > 0.5,
                    compute.scalar(True),
                ]
            )
        )
    value = draw(LITERALS[name])
    how = draw(st.sampled_from(COMPARISONS))
    if what == "flipped":
        return compared(how, compute.scalar(value), F(name))
    return compared(how, F(name), compute.scalar(value))


expressions = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        inner.map(lambda one: ~one),
    ),
    max_leaves=5,
)


@st.composite
def tables(draw):
    n = draw(st.integers(1, 25))
    columns = {"id": pa.array(range(n))}
    for name, values in VALUES.items():
        listed = draw(st.lists(st.one_of(st.none(), values), min_size=n, max_size=n))
        columns[name] = pa.array(listed, SCHEMA[name])
    columns["v"] = pa.array([[1.0, 2.0]] * n)
    return pa.table(columns)


def catalog_of(table):
    return pc.Catalog.from_arrow(table, "id", {"v": "v"})


@given(tables(), expressions)
def test_what_pyarrow_keeps(table, expression):
    catalog = catalog_of(table)
    try:
        wanted = table.filter(expression)["id"].to_pylist()
    except pa.ArrowInvalid:  # an int that a cast to double would round
        with pytest.raises(ValueError, match="where: expected an expression"):
            catalog.filter(expression)
        return
    assert catalog.filter(expression).ids.tolist() == wanted
    assert (~catalog.filter(expression)).ids.tolist() == table.filter(~expression)["id"].to_pylist()
    hits = catalog.search([1.0, 0.0], k=30, where=expression)
    assert sorted(hits.ids[hits.ids >= 0].tolist()) == wanted


@given(tables(), expressions)
def test_both_ways_keep_the_same(table, expression):
    text = _expressions.translated(expression, KINDS)
    catalog = catalog_of(table)
    outside = _expressions._outside("where", expression, tuple(KINDS.items()))
    try:
        wanted = table.filter(expression)["id"].to_pylist()
    except pa.ArrowInvalid:
        assert text is None
        return
    found = _core.compile(catalog._core, outside, "where").ids().tolist()
    assert found == wanted
    if text is not None:
        assert catalog.filter(pc.Filter.from_json(text)).ids.tolist() == found


AT = pa.scalar(DAY)
COMMON = {
    "equals": (F("shelf") == "a", pc.field("shelf") == "a"),
    "flipped": (compute.scalar(3) < F("count"), pc.field("count") > 3),
    "not equals": (F("count") != 3, pc.field("count") != 3),
    "a range": (
        (F("price") >= 1.0) & (F("price") < 2.0),
        (pc.field("price") >= 1.0) & (pc.field("price") < 2.0),
    ),
    "in": (F("shelf").isin(["b", "a"]), pc.field("shelf").isin(["a", "b"])),
    "in with a null": (F("count").isin([1, None]), pc.field("count").isin([None, 1])),
    "null": (~F("tags").is_null(), pc.field("tags").is_valid()),
    "valid": (F("tags").is_valid(), pc.field("tags").is_valid()),
    "a bool": (F("new") | ~F("new"), pc.field("new") | ~pc.field("new")),
    "a moment": (F("at") > AT, pc.field("at") > DAY),
    "a moment without a zone": (F("at") > pa.scalar(DAY.replace(tzinfo=None)), pc.field("at") > DAY),
    "a date": (F("at") <= pa.scalar(DAY.date()), pc.field("at") <= DAY),
    "nanoseconds": (F("at") == pa.scalar(DAY, pa.timestamp("ns", "UTC")), pc.field("at") == DAY),
    "quotes": (F("shelf") == "end: 'equal'\n'", pc.field("shelf") == "end: 'equal'\n'"),
}


@pytest.mark.parametrize("name", COMMON)
def test_common_shapes_are_translated(name):
    expression, filter = COMMON[name]
    assert pc.Filter.from_json(_expressions.translated(expression, KINDS)) == filter


OTHER = {
    "a call": compute.utf8_upper(F("shelf")) == "A",
    "two attributes": F("count") == F("price"),
    "a null": F("count") == pa.scalar(None, pa.int64()),
    "another type": F("count") == 1.5,
    "infinity": F("price") < float("inf"),
    "beyond doubles": F("price") < 2**53 + 1,
    "another rule for nulls": compute.is_in(
        F("count"), value_set=pa.array([1]), options=None, skip_nulls=True
    ),
    "a rounded moment": F("at")
    == pa.scalar(DAY.timestamp().__int__() * 10**9 + 1, pa.int64()).cast(pa.timestamp("ns", "UTC")),
    "an unknown attribute": F("none") == 1,
    "a name that looks like a token": F("a'\nend: 'equal") == 1,
    "a nested attribute": F(("count", "x")) == 1,
}


@pytest.mark.parametrize("name", OTHER)
def test_what_is_not_translated(name):
    assert _expressions.translated(OTHER[name], KINDS) is None


@pytest.fixture
def catalog():
    table = pa.table(
        {
            "id": [1, 2, 3],
            "v": [[1.0]] * 3,
            "genre": ["Jazz", "folk", None],
            "year": [1, 2, 3],
            "odd": [0.5] * 3,
        }
    )
    return pc.Catalog.from_arrow(table, "id", {"v": "v"})


def test_pyarrow_sees_the_attributes_that_are_named(catalog, monkeypatch):
    seen = []
    make = _expressions._core.Filter.outside

    def outside(key, names, evaluate):
        def watched(batch):
            seen.append(pa.table(batch).schema)
            return evaluate(batch)

        return make(key, names, watched)

    class Core:
        Filter = type("Filter", (), {"outside": staticmethod(outside)})

    monkeypatch.setattr(_expressions, "_core", Core)
    lower = compute.utf8_lower(F("genre")) == "jazz"
    assert catalog.search([1.0], k=3, where=lower).ids.tolist() == [1, -1, -1]
    assert [schema.names for schema in seen] == [["genre"]]
    # Once for each generation.
    catalog.search([1.0], k=3, where=lower)
    assert len(seen) == 1
    catalog.upsert([2], attributes={"genre": ["JAZZ"]})
    assert sorted(catalog.search([1.0], k=2, where=lower).ids.tolist()) == [1, 2]
    assert len(seen) == 2


def test_expressions_in_rank_and_batches(catalog):
    policy = pc.Policy(score=pc.Blend(1.0))
    lower = compute.utf8_lower(F("genre")) == "jazz"
    wheres = [lower, F("year") > 1, catalog.filter(lower) | catalog.filter(pc.field("year") == 3), None]
    wanted = [[1], [2, 3], [1, 3], [1, 2, 3]]
    batch = pc.rank(catalog, np.ones((4, 1)), policy, k=3, where=wheres)
    assert [sorted(slate.ids) for slate in batch] == wanted
    for where, ids in zip(wheres, wanted, strict=True):
        assert sorted(pc.rank(catalog, [1.0], policy, k=3, where=where).ids) == ids
    own = pc.Candidates(
        [1, 2, 3], np.ones((3, 1)), None, {"genre": ["Jazz", "folk", None], "year": [1, 2, 3]}
    )
    for where, ids in zip(wheres[:2], wanted, strict=False):
        assert sorted(pc.rank(own, [1.0], policy, k=3, where=where).ids) == ids


def test_expressions_that_are_wrong(catalog):
    for expression, kind, parts in [
        (F("nope") == 1, KeyError, ["no such attribute", "nope"]),
        (compute.utf8_lower(F("year")) == "x", ValueError, ["where:", "an expression over the attributes"]),
        (F("year") + 1, TypeError, ["where:", "true or false", "int64"]),
    ]:
        with pytest.raises(kind) as caught:
            catalog.filter(expression)
        for part in parts:
            assert part in str(caught.value), str(caught.value)
    index = pc.Index(1)
    index.add([[1.0]])
    with pytest.raises(TypeError, match="filter: expected a bool mask, ids, or what index.filter"):
        index.search([1.0], filter=F("year") == 1)
    with pytest.raises(TypeError, match="two filters"):
        (pc.field("year") == 1) & (F("year") == 1)
