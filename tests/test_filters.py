"""Filters over attributes, against an oracle that looks at one value at a time."""

import datetime as dt
import json
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle_filters as oracle
import perso_core as pc

UTC = dt.timezone.utc
DAY = dt.datetime(2024, 1, 1, tzinfo=UTC)
WORDS = ["a", "b", "c", "d'\"", "é", ""]
COUNTS = [-(2**63), -3, 0, 1, 2, 7, 2**53 + 1, 2**63 - 1]
NUMBERS = [-1.5, -0.0, 0.0, 0.1, 2.0, 7.0, 1e300]

bools = st.booleans()
ints = st.sampled_from(COUNTS)
floats = st.sampled_from(NUMBERS)
moments = st.integers(0, 5).map(lambda days: DAY + dt.timedelta(days=days, microseconds=days))
texts = st.sampled_from(WORDS)
lists = st.lists(texts, max_size=3)
numbers = st.one_of(
    st.sampled_from([-3, 0, 1, 2, 7, 2**53 + 1]), st.sampled_from([-1.5, 0.0, 0.1, 1.5, 2.0, 1e300])
)

VALUES = {"new": bools, "count": ints, "price": floats, "at": moments, "shelf": texts, "tags": lists}
COMPARED = {"new": bools, "count": numbers, "price": numbers, "at": moments, "shelf": texts}


@st.composite
def leaves(draw):
    name = draw(st.sampled_from(sorted(VALUES)))
    if draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(["is_null", "is_valid"])), name, None
    if name == "tags":
        return draw(st.sampled_from(["contains_any", "contains_all"])), name, draw(lists)
    value = COMPARED[name]
    what = draw(st.sampled_from(["==", "!=", "isin", "between", "<", "<=", ">", ">="]))
    if name == "new":
        what = draw(st.sampled_from(["==", "!=", "isin"]))
    if what == "isin":
        return what, name, draw(st.lists(st.one_of(st.none(), value), max_size=4))
    return what, name, (draw(value), draw(value)) if what == "between" else draw(value)


trees = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), inner, inner), st.tuples(st.just("not"), inner)
    ),
    max_leaves=6,
)


@st.composite
def tables(draw):
    """Items as mappings; every attribute has a value somewhere, which tells its type."""
    n = draw(st.integers(1, 30))
    columns = {}
    for name, values in VALUES.items():
        columns[name] = draw(st.lists(st.one_of(st.none(), values), min_size=n, max_size=n))
        if all(value is None for value in columns[name]):
            columns[name][0] = draw(values)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def columns_of(items):
    return {name: [item[name] for item in items] for name in VALUES}


def catalog_of(items):
    catalog = pc.Catalog({"v": pc.Space(2)})
    catalog.upsert(range(len(items)), np.ones((len(items), 2)), columns_of(items))
    return catalog


@given(tables(), trees)
def test_the_items_that_a_filter_keeps(items, tree):
    catalog, wanted, filter = catalog_of(items), oracle.kept(tree, items), oracle.made(tree)
    compiled = catalog.filter(filter)
    assert compiled.ids.tolist() == wanted
    assert len(compiled) == len(wanted)
    assert compiled.selectivity == len(wanted) / len(items)
    assert [i for i in range(-1, len(items) + 1) if i in compiled] == wanted
    assert (~compiled).ids.tolist() == oracle.kept(("not", tree), items)
    slate = pc.rank(catalog, None, pc.Policy(score=pc.Blend(None, price=1.0)), k=40, where=filter)
    assert sorted(slate.ids) == wanted
    own = pc.Candidates(range(len(items)), None, [1.0] * len(items), columns_of(items))
    slate = pc.rank(own, None, pc.Policy(score=pc.Blend(1.0)), k=40, where=filter)
    assert sorted(slate.ids) == wanted
    hits = catalog.search([1.0, 0.0], k=40, where=compiled)
    assert sorted(hits.ids[: len(wanted)].tolist()) == wanted
    assert (hits.ids[len(wanted) :] == -1).all()


@given(trees)
def test_a_filter_round_trips(tree):
    filter = oracle.made(tree)
    again = pc.Filter.from_json(filter.to_json())
    assert again == filter
    assert hash(again) == hash(filter)
    assert pickle.loads(pickle.dumps(filter)) == filter
    assert json.loads(filter.to_json()) == json.loads(again.to_json())
    assert eval(repr(filter), {"field": pc.field, "datetime": dt}) == filter


@given(tables(), tables(), trees, trees)
def test_a_compiled_filter_is_of_the_catalog_as_it_is(items, others, one, two):
    catalog = catalog_of(items)
    a, b = catalog.filter(oracle.made(one)), catalog.filter(oracle.made(two))
    both, either = a & b, a | b
    n = min(len(items), len(others))
    for now in (items, others[:n] + items[n:]):
        catalog.upsert(range(n), attributes=columns_of(now[:n]))
        assert a.generation == catalog.generation
        assert a.ids.tolist() == oracle.kept(one, now)
        assert both.ids.tolist() == oracle.kept(("and", one, two), now)
        assert either.ids.tolist() == oracle.kept(("or", one, two), now)
        assert (~either).ids.tolist() == oracle.kept(("not", ("or", one, two)), now)
    catalog.remove([0])
    assert a.ids.tolist() == [i for i in oracle.kept(one, now) if i]


# --- what else it may be ---------------------------------------------------------------------------


@pytest.fixture
def shop():
    catalog = pc.Catalog({"v": pc.Space(2, "ip")})
    rng = np.random.default_rng(5)
    catalog.upsert(
        [f"i{i}" for i in range(40)],
        rng.standard_normal((40, 2)),
        {
            "genre": [["jazz", "folk", None][i % 3] for i in range(40)],
            "sale": [i % 2 == 0 for i in range(40)],
            "year": [2000 + i for i in range(40)],
            "at": [DAY + dt.timedelta(days=i) for i in range(40)],
        },
    )
    return catalog


def test_an_attribute_of_bools_is_a_filter(shop):
    sale = pc.field("sale")
    assert shop.filter(sale).ids.tolist() == [f"i{i}" for i in range(0, 40, 2)]
    assert (sale & (pc.field("year") < 2004)) == ((sale == True) & (pc.field("year") < 2004))  # noqa: E712
    assert shop.filter(~sale & (pc.field("year") < 2004)).ids.tolist() == ["i1", "i3"]
    assert len(shop.filter(sale | (pc.field("genre") == "jazz"))) == 20 + 7


def test_masks_and_ids_name_items(shop):
    mask = np.arange(40) % 5 == 0
    first, ids = shop.filter(mask), shop.filter(["i5", "i6", "i10"])
    assert first.ids.tolist() == shop.ids[mask].tolist()
    assert (first & ids).ids.tolist() == ["i5", "i10"]
    shop.remove(["i5"])
    shop.upsert(["i99", "i6"], np.ones((2, 2)))
    assert (first & ids).ids.tolist() == ["i10"]
    assert sorted(ids.ids) == ["i10", "i6"]
    assert len(~ids) == 40 - 2
    with pytest.raises(KeyError, match="i5"):
        shop.filter(["i5"])
    with pytest.raises(ValueError, match="where: expected 40 flags"):
        shop.filter(mask[:-1])


def test_an_equal_filter_ranks_the_same_as_its_ids(shop):
    policy = pc.Policy(explore=pc.Softmax(1.0), caps={"genre": 4})
    jazz = pc.field("genre") == "jazz"
    common = dict(k=6, seed=3, request_id="r", at=DAY)
    slates = [
        pc.rank(shop, [1.0, 2.0], policy, where=where, **common)
        for where in (jazz, shop.filter(jazz), shop.filter(jazz).ids, set(shop.filter(jazz).ids))
    ]
    assert all(len(slate) == 4 for slate in slates)
    assert len({json.dumps(slate.record()) for slate in slates}) == 1
    again = pc.replay(slates[0].record(), shop)
    assert again.ids.tolist() == slates[0].ids.tolist()
    assert again.propensities.tobytes() == slates[0].propensities.tobytes()


def test_one_filter_for_each_of_a_batch(shop):
    users = np.random.default_rng(0).standard_normal((5, 2))
    mask = np.arange(40) % 2 == 1
    wheres = [year < 2010, None, mask, ["i3", "i4"], shop.filter(year.between(2005, 2006))]
    policy = pc.Policy(candidates=40)
    batch = pc.rank(shop, users, policy, k=5, where=wheres, seed=1, request_id="b", at=DAY, num_threads=2)
    hits = shop.search(users, k=5, where=wheres, num_threads=2)
    exclude = [["i1"], [], ["i1", "i3"], ["i3"], []]
    without = pc.rank(shop, users, policy, k=5, where=wheres, exclude=exclude, seed=1, at=DAY)
    for i, where in enumerate(wheres):
        one = pc.rank(shop, users[i], policy, k=5, where=where, seed=1, request_id=f"b-{i}", at=DAY)
        assert batch[i].ids.tolist() == one.ids.tolist()
        assert batch[i].record() == one.record()
        found = shop.search(users[i], k=5, where=where)
        assert hits.ids[i].tolist() == found.ids.tolist()
        assert hits.scores[i].tobytes() == found.scores.tobytes()
        alone = pc.rank(shop, users[i], policy, k=5, where=where, exclude=exclude[i], seed=1, at=DAY)
        assert without[i].ids.tolist() == alone.ids.tolist()
    matrix = np.arange(200).reshape(5, 40) % 3 == 0
    hits = shop.search(users, k=40, where=matrix)
    for i in range(5):
        assert sorted(id for id in hits.ids[i] if id) == sorted(shop.ids[matrix[i]])


def test_one_filter_for_each_query_of_an_index(rng):
    index = pc.Index(3)
    index.add(rng.standard_normal((30, 3)))
    queries = rng.standard_normal((3, 3))
    wheres = [np.arange(30) < 9, None, [4, 5]]
    hits = index.search(queries, k=10, filter=wheres)
    for i, where in enumerate(wheres):
        one = index.search(queries[i], k=10, filter=where)
        assert hits.ids[i].tolist() == one.ids.tolist()
    both = index.search(queries, k=40, filter=np.stack([np.arange(30) < 9] * 3))
    assert [set(row.ids) - {-1} for row in both] == [set(range(9))] * 3


def test_ids_stay_ids(shop):
    users = np.ones((2, 2))
    for where in (["i1", "i2"], ("i1", "i2"), {"i1", "i2"}, np.array(["i1", "i2"])):
        hits = shop.search(users, k=3, where=where)
        assert [set(row) for row in hits.ids.tolist()] == [{"i1", "i2", None}] * 2
    assert shop.search(users, k=3, where=[]).ids.tolist() == [[None] * 3] * 2


def test_indexes_follow_what_changes(rng):
    """More rows than are scanned, with changes in place, moved rows and removals in between."""
    n = 5000
    catalog = pc.Catalog({"v": pc.Space(2, layout="exact")})
    shelves = rng.integers(0, 60, n)
    prices = rng.integers(0, 1000, n) / 8
    catalog.upsert(range(n), np.ones((n, 2)), {"shelf": [f"s{s}" for s in shelves], "price": prices})
    gone = np.zeros(n, bool)
    for round in range(6):
        for _ in range(3):
            found = catalog.filter((pc.field("shelf") == "s7") | (pc.field("price") < 3.0))
            wanted = np.flatnonzero(((shelves == 7) | (prices < 3.0)) & ~gone)
            assert sorted(found.ids) == wanted.tolist()
            found = catalog.filter(pc.field("shelf").isin(["s1", "s2", "none"]) & (pc.field("price") >= 60))
            wanted = np.flatnonzero(np.isin(shelves, [1, 2]) & (prices >= 60) & ~gone)
            assert sorted(found.ids) == wanted.tolist()
        some = np.flatnonzero(~gone & (rng.random(n) < 0.03))
        shelves[some] = rng.integers(0, 12, len(some))
        prices[some] = rng.integers(0, 100, len(some)) / 8
        attributes = {"shelf": [f"s{s}" for s in shelves[some]], "price": prices[some]}
        vectors = np.ones((len(some), 2)) if round % 2 else None
        catalog.upsert(some, vectors, attributes)
        out = np.flatnonzero(~gone & (rng.random(n) < 0.02))
        gone[out] = True
        catalog.remove(out)


def test_a_filter_and_its_search_see_one_state():
    """Two attributes that are always written together are never seen apart."""
    n = 3000
    catalog = pc.Catalog({"v": pc.Space(2, layout="exact")})
    catalog.upsert(range(n), np.ones((n, 2)), {"a": [0] * n, "b": [0] * n})
    apart = [(pc.field("a") == i) & (pc.field("b") != i) for i in range(2)]
    compiled = [catalog.filter(one) for one in apart]
    stop, seen = threading.Event(), []

    def read():
        while not stop.is_set():
            for one in (*apart, *compiled):
                seen.append(len(catalog.filter(one)))
                seen.append(int((catalog.search([1.0, 1.0], k=3, where=one).ids >= 0).sum()))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for i in range(200):
        some = np.arange(i, n, 40)
        catalog.upsert(some, attributes={"a": [i % 2] * len(some), "b": [i % 2] * len(some)})
    stop.set()
    for reader in readers:
        reader.join()
    assert seen
    assert set(seen) == {0}


# --- what is wrong ---------------------------------------------------------------------------------

year = pc.field("year")

WRONG = {
    "and": (lambda: year > 1 and year < 2, TypeError, "no truth value", "&"),
    "not": (lambda: not (year > 1), TypeError, "no truth value", "~"),
    "a chain": (lambda: 1 < year < 2, TypeError, "between"),
    "in": (lambda: "a" in pc.field("tags"), TypeError, "contains_any"),
    "no parentheses": (lambda: (year > 1) & True, TypeError, "&: expected two filters", "parentheses"),
    "or a number": (lambda: (year > 1) | 3, TypeError, "|: expected two filters", "int 3"),
    "equals None": (lambda: year == None, TypeError, "field('year')", "is_null"),  # noqa: E711
    "equals a list": (lambda: year == [1], TypeError, "field('year')", "isin"),
    "equals an array": (lambda: year == np.arange(3), TypeError, "field('year')", "isin"),
    "an array equals": (lambda: np.arange(3) == year, TypeError, "field('year')", "isin"),
    "NaN": (lambda: year < float("nan"), ValueError, "field('year')", "finite", "nan"),
    "beyond int64": (lambda: year < 2**63, ValueError, "field('year')", str(2**63)),
    "in a text": (lambda: year.isin("abc"), TypeError, "field('year')", "list of values", "'abc'"),
    "contains numbers": (lambda: year.contains_any([1]), TypeError, "field('year')", "list of str", "int 1"),
    "contains a text": (lambda: year.contains_all("ab"), TypeError, "field('year')", "list of str"),
    "a surrogate": (lambda: year == "\ud800", ValueError, "field('year')", "surrogate"),
    "no name": (lambda: pc.field(""), ValueError, "name:"),
    "a number for a name": (lambda: pc.field(3), TypeError, "name:", "a str"),
    "Filter()": (lambda: pc.Filter(), TypeError, "pc.field"),
    "CompiledFilter()": (lambda: pc.CompiledFilter(), TypeError, "catalog.filter"),
    "JSON of something else": (lambda: pc.Filter.from_json("{}"), ValueError, "filter as JSON"),
    "JSON of nothing": (lambda: pc.Filter.from_json('{"and":[]}'), ValueError, "one or more filters"),
    "frozen": (lambda: setattr(year == 1, "x", 1), AttributeError, "frozen"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_filters(name):
    call, kind, *parts = WRONG[name]
    with pytest.raises(kind) as caught:
        call()
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def other():
    catalog = pc.Catalog({"v": pc.Space(2)})
    catalog.upsert([1], [[1.0, 2.0]], {"year": [1]})
    return catalog.filter(year == 1)


MEETS = {
    "an unknown attribute": (pc.field("gener") == "x", KeyError, "no such attribute", "gener"),
    "text for a number": (year == "2001", TypeError, 'where["year"]', "a number", "int attribute", '"2001"'),
    "a number for a text": (pc.field("genre") == 3, TypeError, 'where["genre"]', "a str", "3 (int)"),
    "a number for a moment": (pc.field("at") > 3, TypeError, 'where["at"]', "a datetime", "timestamp"),
    "a range of bools": (pc.field("sale") > True, TypeError, 'where["sale"]', "equality"),
    "contains of a text": (pc.field("genre").contains_any(["x"]), TypeError, 'where["genre"]', "list[str]"),
    "a bool that is none": (year, TypeError, 'where["year"]', "a number", "true"),
    "of another catalog": (other(), ValueError, "where:", "this catalog", "another"),
    "a number": (3, TypeError, "where:", "ids"),
}


@pytest.mark.parametrize("call", ["filter", "search", "rank", "batch", "candidates"])
@pytest.mark.parametrize("name", MEETS)
def test_what_does_not_fit_the_catalog(shop, name, call):
    where, kind, *parts = MEETS[name]
    user, policy = np.ones(2), pc.Policy()
    attributes = {
        "year": [1, 2],
        "genre": ["x", "y"],
        "at": [DAY, DAY],
        "sale": [True, False],
    }
    own = pc.Candidates([1, 2], np.ones((2, 2)), None, attributes)
    calls = {
        "filter": lambda: shop.filter(where),
        "search": lambda: shop.search(user, where=where),
        "rank": lambda: pc.rank(shop, user, policy, where=where),
        "batch": lambda: pc.rank(shop, np.ones((2, 2)), policy, where=[where, None]),
        "candidates": lambda: pc.rank(own, user, policy, where=where),
    }
    with pytest.raises(kind) as caught:
        calls[call]()
    if (name, call) == ("a number", "batch"):
        parts = ["where: expected a sequence of int or str ids"]
    if call == "batch":
        parts = [part.replace("where", "where[0]", 1) if part.startswith("where") else part for part in parts]
    if (name, call) == ("a number", "batch"):
        parts = ["where"]
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def test_lists_of_filters_are_for_batches(shop):
    users, filters = np.ones((2, 2)), [year > 1, None, year > 2]
    for call in (
        lambda: pc.rank(shop, users, pc.Policy(), where=filters),
        lambda: shop.search(users, where=filters),
    ):
        with pytest.raises(
            ValueError, match=r"where: expected one filter for all, or a list of 2.*list of 3"
        ):
            call()
    for call in (lambda: pc.rank(shop, users[0], pc.Policy(), where=filters), lambda: shop.filter(filters)):
        with pytest.raises(ValueError, match="where: expected one filter"):
            call()


def test_an_index_has_no_attributes(shop):
    index = pc.Index(2)
    index.add(np.ones((3, 2)))
    for filter in (year > 1, year):
        with pytest.raises(TypeError, match="filter: expected a bool mask, ids, or what index.filter"):
            index.search([1.0, 1.0], filter=filter)
        with pytest.raises(TypeError, match="filter: expected a bool mask, ids, or what index.filter"):
            index.filter(filter)


@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(["add", "remove", "compact"]), max_size=4))
def test_a_compiled_filter_of_an_index_is_its_ids(seed, changes):
    random = np.random.default_rng(seed)
    index = pc.Index(3, "l2", "f32")
    ids = index.add(random.standard_normal((40, 3)).astype(np.float32))
    one, two = (random.random(40) < share for share in (0.3, 0.6))
    first, second = index.filter(one), index.filter(ids[two])
    parts = {"first": (first, one), "both": (first & second, one & two)}
    parts |= {"either": (first | second, one | two)}
    not_first = ~first
    for change in ["none", *changes]:
        if change == "add":
            index.add(random.standard_normal((random.integers(1, 9), 3)).astype(np.float32))
        elif change == "remove":
            here = index.ids
            index.remove(random.choice(here, len(here) // 3, replace=False))
        elif change == "compact":
            index.compact()
        here = index.ids
        query = random.standard_normal(3)
        for name, (compiled, mask) in parts.items():
            named = np.isin(here, ids[mask])
            assert compiled.ids.tolist() == here[named].tolist(), (name, change)
            assert len(compiled) == named.sum()
            assert compiled.selectivity == named.sum() / max(len(here), 1)
            assert all((id in compiled) == kept for id, kept in zip(here.tolist(), named, strict=True))
            found = index.search(query, k=7, filter=compiled)
            wanted = index.search(query, k=7, filter=named)
            assert found.ids.tolist() == wanted.ids.tolist(), (name, change)
        # What came later is not among the ids, and so in the complement.
        assert sorted(not_first.ids.tolist() + first.ids.tolist()) == sorted(here.tolist())
    each = index.search(np.ones((2, 3)), k=7, filter=[first, None])
    assert each.ids[0].tolist() == index.search(np.ones(3), k=7, filter=first).ids.tolist()
    assert each.ids[1].tolist() == index.search(np.ones(3), k=7).ids.tolist()


def test_a_compiled_filter_belongs_to_one_index(shop):
    index, other_index = pc.Index(2), pc.Index(2)
    for some in (index, other_index):
        some.add(np.ones((3, 2)))
    mine = index.filter([0, 2])
    for foreign in (shop.filter(year > 1), other_index.filter([1]), index.copy().filter([1])):
        with pytest.raises(
            ValueError, match="filter: expected a filter that was compiled for this catalog or index"
        ):
            index.search([1.0, 1.0], filter=foreign)
        with pytest.raises(ValueError, match="compiled for one catalog or index"):
            mine & foreign
    with pytest.raises(
        ValueError, match="where: expected a filter that was compiled for this catalog or index"
    ):
        shop.filter(mine)
    with pytest.raises(TypeError, match="filter: expected a bool mask or ids, got None"):
        index.filter(None)
    with pytest.raises(ValueError, match="filter: expected"):
        index.filter(np.array([True, False]))
    with pytest.raises(KeyError, match="7"):
        index.filter([7])
    assert index.filter(mine).ids.tolist() == [0, 2]


def test_compiled_filters_of_two_catalogs(shop):
    with pytest.raises(ValueError, match="compiled for one catalog or index"):
        shop.filter(year > 1) & other()
    with pytest.raises(TypeError, match="other: expected a CompiledFilter"):
        shop.filter(year > 1) & (year > 1)
    with pytest.raises(TypeError, match="compile this one too"):
        (year > 1) & shop.filter(year > 1)
    with pytest.raises(TypeError, match="no truth value.*len"):
        bool(shop.filter(year > 1))
    with pytest.raises(TypeError, match="where: expected a Filter"):
        shop.filter(None)
