"""Wrong calls: the exception's type, and a message that names the argument, what was expected, what came."""

import datetime as dt

import numpy as np
import pytest

import perso_core as pc

U = np.ones(3, np.float32)
X = np.ones((2, 3), np.float32)
NAN = np.array([1, np.nan, 1], np.float32)
HUGE = np.full(3, 1e30, np.float32)


@pytest.fixture(scope="module")
def cat():
    rng = np.random.default_rng(0)
    cat = pc.Catalog({"v": pc.Space(3), "w": pc.Space(2, "ip")})
    attributes = {
        "n": range(50),
        "f": rng.random(50),
        "s": ["x"] * 50,
        "at": [dt.datetime(2024, 1, 1)] * 50,
        "tags": [["a"]] * 50,
    }
    cat.upsert(range(50), {"v": rng.standard_normal((50, 3)), "w": rng.standard_normal((50, 2))}, attributes)
    return cat


@pytest.fixture(scope="module")
def index():
    index = pc.Index(3)
    index.add(np.random.default_rng(1).standard_normal((20, 3)))
    return index


def check(call, kind, *parts):
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    for part in parts:
        assert part in str(caught.value), str(caught.value)


# --- rank ------------------------------------------------------------------------------------------

V = pc.Blend({"v": 1.0})


def blend(**signals):
    return pc.Policy(score=pc.Blend({"v": 1.0}, **signals))


RANK = {
    "k=0": (dict(k=0), ValueError, "k:", "at least 1", "0"),
    "k=True": (dict(k=True), TypeError, "k:", "integer", "True"),
    "k=2.0": (dict(k=2.0), TypeError, "k:", "integer", "2.0"),
    "candidates < k": (dict(policy=pc.Policy(3, V), k=5), ValueError, "candidates:", "at least k = 5", "3"),
    "a dict for a policy": (dict(policy={}), TypeError, "policy:", "a Policy", "dict"),
    "an index for a catalog": (
        dict(cat=pc.Index(2)),
        TypeError,
        "cat:",
        "Catalog, Candidates or a Capsule",
        "Index",
    ),
    "user of another dim": (dict(user=np.ones(4)), ValueError, 'user["v"]:', "3 components", "4"),
    "user NaN": (dict(user=NAN), ValueError, 'user["v"]:', "finite", "NaN"),
    "user overflow": (dict(user=HUGE), ValueError, 'user["v"]:', "finite", "overflows"),
    "user of 3 dimensions": (dict(user=np.ones((1, 1, 3))), ValueError, "user:", "(dim,)", "(1, 1, 3)"),
    "a number for a user": (dict(user=1.0), ValueError, "user:", "(dim,)", "()"),
    "text for a user": (dict(user="abc"), TypeError, "user:", "floats", "<U3"),
    "no vector": (dict(user={}), ValueError, "user:", "None", "no vector"),
    "user of an unknown space": (dict(user={"x": U}), KeyError, "no such space", "x"),
    "user of an unused space": (
        dict(user={"v": U, "w": U[:2]}),
        ValueError,
        "user:",
        "similarity uses",
        '"w"',
    ),
    "user without a used space": (dict(user={"w": U[:2]}), ValueError, "user:", 'space "v"', '"w" only'),
    "a batch of two sizes": (
        dict(user={"v": X, "w": np.ones((3, 2))}),
        ValueError,
        "user:",
        "rows",
        "(3, 2)",
    ),
    "a batch and a vector": (dict(user={"v": X, "w": U[:2]}), ValueError, "user:", "batches", "(2,)"),
    "a NaN in a batch": (
        dict(user=np.array([U, NAN])),
        ValueError,
        "request 1",
        'user["v"]:',
        "finite",
        "NaN",
    ),
    "no space named for a bare vector": (
        dict(policy=pc.Policy()),
        ValueError,
        "user:",
        '"v", "w"',
        "without a space",
    ),
    "similarity without a space": (
        dict(policy=pc.Policy(), user={"v": U, "w": U[:2]}),
        ValueError,
        "similarity:",
        "{space: weight}",
        '"v", "w"',
    ),
    "a Blend's unknown space": (
        dict(policy=pc.Policy(score=pc.Blend({"x": 1.0}))),
        KeyError,
        "no such space",
        "x",
    ),
    "an MMR's unknown space": (
        dict(policy=pc.Policy(score=V, diversity=pc.MMR(0.3, "x"))),
        KeyError,
        "space",
        "x",
    ),
    "where of another length": (dict(where=[True] * 3), ValueError, "where:", "50 items", "3"),
    "where of two dimensions": (
        dict(where=np.ones((2, 2), bool)),
        ValueError,
        "where:",
        "one dimension",
        "(2, 2)",
    ),
    "text for where": (dict(where="abc"), TypeError, "where:", "ids", "'abc'"),
    "where unknown": (dict(where=[777]), KeyError, "no such id: 777"),
    "where of another kind": (dict(where=["a"]), TypeError, "where:", "int ids", "str ids"),
    "exclude of another kind": (dict(exclude=["a"]), TypeError, "exclude:", "int ids", "str ids"),
    "a number for exclude": (dict(exclude=3), TypeError, "exclude:", "sequence", "int 3"),
    "lists for one user's exclude": (
        dict(exclude=[[1], [2]]),
        ValueError,
        "exclude:",
        "one dimension",
        "(2, 1)",
    ),
    "one list for a batch's exclude": (
        dict(user=X, exclude=[1, 2]),
        ValueError,
        "exclude:",
        "2 lists",
        "2 ids",
    ),
    "too many lists": (dict(user=X, exclude=[[1]] * 3), ValueError, "exclude:", "2 lists", "3 lists"),
    "a signal that nobody asked for": (
        dict(signals={"q": [1] * 50}),
        ValueError,
        "signals:",
        "no signal",
        '"q"',
    ),
    "a signal too short": (
        dict(policy=blend(q=1), signals={"q": [1] * 49}),
        ValueError,
        'signals["q"]:',
        "50",
        "49",
    ),
    "a NaN signal": (
        dict(policy=blend(q=1), signals={"q": [np.nan] * 50}),
        ValueError,
        "signals['q']:",
        "finite",
        "nan",
    ),
    "a signal of text": (
        dict(policy=blend(q=1), signals={"q": ["a"]}),
        TypeError,
        "signals['q']:",
        "numbers",
        "<U1",
    ),
    "a signal for nobody": (dict(policy=blend(q=1), signals={"q": {99: 1.0}}), KeyError, "no such id: 99"),
    "a signal for text ids": (
        dict(policy=blend(q=1), signals={"q": {"a": 1}}),
        TypeError,
        'signals["q"]:',
        "int ids",
        "str",
    ),
    "a list for signals": (dict(signals=[1]), TypeError, "signals:", "mapping", "list"),
    "a missing signal": (dict(policy=blend(q=1)), KeyError, "no such signal or attribute", "q"),
    "a signal of a text attribute": (dict(policy=blend(s=1)), TypeError, "s:", "bool, int or float", "str"),
    "a signal of a timestamp": (dict(policy=blend(at=1)), TypeError, "at:", "timestamp", "Decay"),
    "a decay of a number": (
        dict(policy=blend(x=pc.Decay("f", "1d"))),
        TypeError,
        "x.attribute:",
        "timestamp",
        '"f"',
    ),
    "a decay of nothing": (dict(policy=blend(x=pc.Decay("g", "1d"))), KeyError, "no such attribute", "g"),
    "a cap on nothing": (dict(policy=pc.Policy(score=V, caps={"g": 1})), KeyError, "no such attribute", "g"),
    "a cap on floats": (
        dict(policy=pc.Policy(score=V, caps={"f": 1})),
        TypeError,
        'caps["f"]:',
        "list[str]",
        "float",
    ),
    "a cap on moments": (
        dict(policy=pc.Policy(score=V, caps={"at": 1})),
        TypeError,
        'caps["at"]:',
        "timestamp",
    ),
    "weights that overflow": (
        dict(policy=pc.Policy(score=pc.Blend({"v": 1e308}, "none", n=1e308))),
        ValueError,
        "finite in float64",
        "overflow for item",
    ),
    "at=NaT": (dict(at=np.datetime64("NaT")), ValueError, "at:", "moment", "NaT"),
    "at=yesterday": (dict(at="yesterday"), ValueError, "at:", "ISO 8601", "'yesterday'"),
    "at=nan": (dict(at=float("nan")), ValueError, "at:", "finite", "nan"),
    "at=1e300": (dict(at=1e300), ValueError, "at:", "seconds", "1e+300"),
    "a list for at": (dict(at=[1]), TypeError, "at:", "datetime", "list"),
    "seed=-1": (dict(seed=-1), ValueError, "seed:", "0 to", "-1"),
    "seed=2**64": (dict(seed=2**64), ValueError, "seed:", "18446744073709551615"),
    "seed=1.5": (dict(seed=1.5), TypeError, "seed:", "integer", "1.5"),
    "a number for request_id": (dict(request_id=3), TypeError, "request_id:", "str", "3"),
    "one request id twice": (dict(user=X, request_id=["a", "a"]), ValueError, "request_id:", "once", "'a'"),
    "too few request ids": (dict(user=X, request_id=["a"]), ValueError, "request_id:", "2", "1"),
    "num_threads=0": (dict(num_threads=0), ValueError, "num_threads:", "at least 1, or -1", "0"),
    "num_threads=-2": (dict(num_threads=-2), ValueError, "num_threads:", "-1", "-2"),
    "num_threads=None": (dict(num_threads=None), TypeError, "num_threads:", "integer", "None"),
    "an unknown keyword": (dict(exlude=[1]), TypeError, "exlude"),
}


@pytest.mark.parametrize("case", RANK.values(), ids=RANK)
def test_rank(cat, case):
    changed, kind, *parts = case
    arguments = {"cat": cat, "user": U, "policy": pc.Policy(score=V), "k": 5, **changed}
    check(lambda: pc.rank(**arguments), kind, *parts)


# --- index -----------------------------------------------------------------------------------------

INDEX = {
    "dim=0": (dict(dim=0), ValueError, "dim:", "at least 1", "0"),
    "dim=65536": (dict(dim=65_536), ValueError, "dim:", "65535", "65536"),
    "dim=2.5": (dict(dim=2.5), TypeError, "dim:", "integer", "2.5"),
    "metric=dot": (dict(metric="dot"), ValueError, "metric:", "'ip', 'cosine', 'l2'", "'dot'"),
    "metric=None": (dict(metric=None), TypeError, "metric:", "'ip'", "None"),
    "dtype=f64": (dict(dtype="f64"), ValueError, "dtype:", "'f32', 'f16', 'i8'", "'f64'"),
    "M=1": (dict(M=1), ValueError, "M:", "2 to 512", "1"),
    "M=1000": (dict(M=1000), ValueError, "M:", "2 to 512", "1000"),
    "ef_construction=0": (dict(ef_construction=0), ValueError, "ef_construction:", "1 to", "0"),
    "seed=-1": (dict(seed=-1), ValueError, "seed:", "-1"),
    "an unknown keyword": (dict(capacity=9), TypeError, "capacity"),
}


@pytest.mark.parametrize("case", INDEX.values(), ids=INDEX)
def test_making_an_index(case):
    arguments, kind, *parts = case
    check(lambda: pc.Index(**{"dim": 3, **arguments}), kind, *parts)


ADD = {
    "one vector": ((U,), ValueError, "vectors:", "(n, dim)", "(3,)"),
    "another dim": ((np.ones((2, 4)),), ValueError, "vectors:", "3 components", "4"),
    "integers": ((np.ones((2, 3), int),), TypeError, "vectors:", "floats", "int64"),
    "complex": ((np.ones((2, 3), complex),), TypeError, "vectors:", "floats", "complex128"),
    "text": ((np.array([["a", "b", "c"]]),), TypeError, "vectors:", "floats", "<U1"),
    "ragged": (([[1.0, 2.0, 3.0], [1.0]],), TypeError, "vectors:", "rectangular"),
    "NaN": ((np.array([U, NAN]),), ValueError, "vectors:", "finite", "NaN in row 1"),
    "too long for float32": ((np.array([HUGE]),), ValueError, "vectors:", "overflows a float32"),
    "beyond float32": ((np.full((1, 3), 1e300),), ValueError, "vectors:", "range of float32", "1e+300"),
    "too few ids": ((X, [100]), ValueError, "ids:", "2 ids", "1"),
    "an id twice": ((X, [100, 100]), ValueError, "ids:", "once", "100 at positions 0 and 1"),
    "an id that is there": ((X, [100, 5]), ValueError, "ids:", "not in the index", "5"),
    "float ids": ((X, [1.5, 2.5]), TypeError, "ids:", "int or str", "float64"),
    "bool ids": ((X, [True, False]), TypeError, "ids:", "int or str", "bool"),
    "ids of None": ((X, [None, None]), TypeError, "ids:", "int or str", "None"),
    "ids of bytes": ((X, [b"a", b"b"]), TypeError, "ids:", "int or str", "S1"),
    "ids beyond int64": ((X, [2**63, 2**63 + 1]), ValueError, "ids:", "within int64"),
    "ids far beyond int64": ((X, [2**70, 1]), ValueError, "ids:", "within int64"),
    "ids of two kinds": ((X, [1, "a"]), TypeError, "ids:", "one kind", "int 1 at position 0"),
    "ids of the other kind": ((X, ["a", "b"]), TypeError, "ids:", "int ids", "str"),
    "text for ids": ((X, "ab"), TypeError, "ids:", "sequence", "'ab'"),
    "a set for ids": ((X, {100, 101}), TypeError, "ids:", "sequence", "set"),
    "ids of two dimensions": ((X, [[1], [2]]), ValueError, "ids:", "one dimension", "(2, 1)"),
    "num_threads": ((X, None, 0), ValueError, "num_threads:", "0"),
    "progress": ((X, None, 1, 3), TypeError, "progress:", "function of (done, total)", "3"),
}


@pytest.mark.parametrize("case", ADD.values(), ids=ADD)
def test_adding(index, case):
    arguments, kind, *parts = case
    check(lambda: index.add(*arguments), kind, *parts)
    assert len(index) == 20


SEARCH = {
    "another dim": ((np.ones(4),), {}, ValueError, "queries:", "3 components", "4"),
    "NaN": ((NAN,), {}, ValueError, "queries:", "finite", "NaN"),
    "NaN in a batch": ((np.array([U, NAN]),), {}, ValueError, "queries:", "finite", "NaN in row 1"),
    "three dimensions": ((np.ones((1, 1, 3)),), {}, ValueError, "queries:", "(dim,)", "(1, 1, 3)"),
    "k=0": ((U, 0), {}, ValueError, "k:", "at least 1", "0"),
    "k=-1": ((U, -1), {}, ValueError, "k:", "at least 1", "-1"),
    "k of memory": ((U, 2**62), {}, ValueError, "k:", "at most", "4611686018427387904"),
    "ef=0": ((U,), {"ef": 0}, ValueError, "ef:", "at least 1", "0"),
    "ef with exact": ((U,), {"ef": 5, "exact": True}, ValueError, "ef:", "exact=True", "5"),
    "filter of another length": ((U,), {"filter": [True]}, ValueError, "filter:", "20 flags", "1 flags"),
    "filter of floats": ((U,), {"filter": [1.5]}, TypeError, "filter:", "ids", "float64"),
    "filter unknown": ((U,), {"filter": [3, 99]}, KeyError, "no such id: 99"),
    "filter of the other kind": ((U,), {"filter": ["a"]}, TypeError, "filter:", "int ids", "str"),
    "exclude of the other kind": ((U,), {"exclude": ["a"]}, TypeError, "exclude:", "int ids", "str"),
    "num_threads": ((U,), {"num_threads": 0}, ValueError, "num_threads:", "0"),
}


@pytest.mark.parametrize("case", SEARCH.values(), ids=SEARCH)
def test_searching(index, case):
    arguments, keywords, kind, *parts = case
    check(lambda: index.search(*arguments, **keywords), kind, *parts)


@pytest.mark.parametrize("method", ["get", "remove"])
def test_ids_that_are_not_there(index, cat, method):
    for one in (index, cat):
        check(lambda one=one: getattr(one, method)([0, 99]), KeyError, "no such id: 99")
        check(lambda one=one: getattr(one, method)(5), TypeError, "ids:", "sequence", "int 5")
    check(lambda: index.remove([1, 1]), ValueError, "ids:", "once", "1 at positions 0 and 1")
    assert len(index) == 20 and len(cat) == 50


@pytest.mark.parametrize("path", [None, 3, b"x"])
def test_paths(index, cat, path):
    for call in (index.save, cat.save, pc.Index.load, pc.Catalog.open):
        check(lambda call=call: call(path), TypeError, "path:", "str or os.PathLike", type(path).__name__)


# --- plain arrays ----------------------------------------------------------------------------------

ARRAYS = {
    "another dim": (lambda: pc.dot(X, np.ones((2, 4))), ValueError, "items:", "3 columns", "(2, 4)"),
    "bytes with floats": (
        lambda: pc.dot(X.astype(np.int8), X),
        TypeError,
        "items:",
        "int8 with int8",
        "float32",
    ),
    "one item": (lambda: pc.dot(U, U), ValueError, "items:", "(n, dim)", "(3,)"),
    "no dimension": (lambda: pc.dot(X[:, :0], X[:, :0]), ValueError, "items:", "at least 1"),
    "integers": (lambda: pc.dot(X.astype(int), X), TypeError, "queries:", "floats", "int64"),
    "k=0": (lambda: pc.topk(U, X, 0), ValueError, "k:", "at least 1", "0"),
    "no k": (lambda: pc.topk(U, X), TypeError, "k"),
    "metric": (lambda: pc.topk(U, X, 1, metric="euclid"), ValueError, "metric:", "'l2'", "'euclid'"),
    "overflow": (lambda: pc.topk(HUGE, np.array([HUGE]), 1), ValueError, "finite in float32", "overflow"),
    "num_threads": (lambda: pc.topk(U, X, 1, num_threads=0), ValueError, "num_threads:", "0"),
}


@pytest.mark.parametrize("case", ARRAYS.values(), ids=ARRAYS)
def test_plain_arrays(case):
    check(*case)


# --- catalog ---------------------------------------------------------------------------------------

SPACES = {
    "none": ({}, ValueError, "spaces:", "at least one", "none"),
    "without a name": ({"": pc.Space(3)}, ValueError, "spaces:", "at least one character"),
    "a number": ({"a": 3}, TypeError, "spaces['a']:", "a Space", "int 3"),
    "pairs": ([("a", pc.Space(2))], TypeError, "spaces:", "mapping", "list"),
    "too many dimensions": ({"a": pc.Space(70_000)}, ValueError, "dim:", "65535", "70000"),
    "too few links": ({"a": pc.Space(3, M=1)}, ValueError, "M:", "2 to 512", "1"),
}


@pytest.mark.parametrize("case", SPACES.values(), ids=SPACES)
def test_making_a_catalog(case):
    spaces, kind, *parts = case
    check(lambda: pc.Catalog(spaces), kind, *parts)


def test_making_a_space():
    check(lambda: pc.Space(0), ValueError, "dim:", "at least 1", "0")
    check(lambda: pc.Space(3, "dot"), ValueError, "metric:", "'ip'", "'dot'")
    check(lambda: pc.Space(3, dtype="int8"), ValueError, "dtype:", "'i8'", "'int8'")
    with pytest.raises(AttributeError):
        pc.Space(3).dim = 4


# --- replay ----------------------------------------------------------------------------------------


def test_replay_of_what_is_no_record(cat):
    check(lambda: pc.replay(3, cat), TypeError, "record:", "mapping or JSON text", "int 3")
    check(lambda: pc.replay({}, pc.Index(3)), TypeError, "cat:", "Catalog, Candidates or a Capsule", "Index")
    check(lambda: pc.replay("{}", cat, user=X), ValueError, "user:", "one user", "2")


@pytest.mark.parametrize("value", [float("nan"), {1}])
def test_replay_of_what_json_cannot_hold(cat, value):
    with pytest.raises((ValueError, TypeError), match="record"):
        pc.replay({"schema": value}, cat)


# --- text that is no Unicode, moments that no datetime has -----------------------------------------


def test_a_lone_surrogate_is_named(cat):
    with pytest.raises(ValueError, match="request_id"):
        pc.rank(cat, U, pc.Policy(score=V), request_id="\ud800")


def test_a_lone_surrogate_among_ids_is_named():
    with pytest.raises(ValueError, match=r"ids: .*(Unicode|UTF-8|surrogate)"):
        pc.Index(3).add(X, ["a", "\ud800"])


@pytest.mark.parametrize(
    "ids", [[2**63, 1], [np.uint64(5), np.int64(3)]], ids=["too large", "unsigned and signed"]
)
def test_integers_that_have_no_common_type(ids):
    index = pc.Index(3)
    if max(ids) < 2**63:
        assert index.add(X, ids).tolist() == [5, 3]
    else:
        check(lambda: index.add(X, ids), ValueError, "ids:", "within int64")


def test_a_moment_beyond_the_year_9999_is_refused_or_comes_back():
    cat = pc.Catalog({"v": pc.Space(1)})
    try:
        cat.upsert([1], [[1.0]], {"at": [np.datetime64("20000-01-01")]})
    except ValueError as error:
        assert "at" in str(error)
        return
    assert cat.get([1])


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("user", lambda cat, one: pc.rank(cat, {"v": one(np.ones(3))}, pc.Policy(score=V), 2)),
        ("exclude", lambda cat, one: pc.rank(cat, None, pc.Policy(score=V), 2, exclude=one(np.arange(3)))),
        ("where", lambda cat, one: pc.rank(cat, None, pc.Policy(score=V), 2, where=one(np.ones(50, bool)))),
        ("scores", lambda cat, one: pc.Candidates([1, 2], scores=one(np.ones(2)))),
        ("vectors", lambda cat, one: pc.Interests(one(np.ones((2, 3))))),
    ],
)
def test_masked_values_are_no_values(cat, argument, call):
    call(cat, lambda array: np.ma.array(array))
    with pytest.raises(ValueError, match=rf"{argument}.*: expected an array without masked values"):
        call(cat, lambda array: np.ma.array(array, mask=np.arange(array.size).reshape(array.shape) == 1))
