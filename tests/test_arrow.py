"""Arrow tables and files into a catalog."""

import datetime as dt
import decimal

import numpy as np
import pytest

import perso_core as pc

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

N = 12
UTC = dt.timezone.utc


@pytest.fixture
def x(rng):
    return rng.standard_normal((N, 4)).astype(np.float32)


def fixed(x, kind=None):
    kind = kind or pa.float32()
    return pa.FixedSizeListArray.from_arrays(
        pa.array(x.ravel().astype(kind.to_pandas_dtype()), kind), x.shape[1]
    )


def table(x, **columns):
    return pa.table({"id": pa.array(range(len(x)), pa.int64()), "v": fixed(x), **columns})


def attribute(cat, name):
    return [item["attributes"][name] for item in cat.get(cat.ids)]


def vectors_of(cat, space):
    return np.array([item["vectors"][space] for item in cat.get(cat.ids)])


def test_a_table_is_the_same_as_an_upsert(x):
    tags = [["a"], [], None] * 4
    cat = pc.Catalog.from_arrow(table(x, n=list(range(N)), tags=tags), id="id", spaces={"content": "v"})
    by_hand = pc.Catalog({"content": pc.Space(4)})
    by_hand.upsert(range(N), x, {"n": range(N), "tags": tags})
    assert cat.content_hash == by_hand.content_hash
    assert cat.spaces == {"content": pc.Space(4)} and dict(cat.attributes) == {
        "n": "int",
        "tags": "list[str]",
    }


def test_a_space_may_be_described_and_there_may_be_several(x):
    described = pc.Space(4, "ip", "i8", M=5)
    t = table(x, w=fixed(x[:, :2]), n=list(range(N)))
    cat = pc.Catalog.from_arrow(t, "id", {"content": ("v", described), "w": "w"}, seed=4, num_threads=2)
    assert cat.spaces == {"content": described, "w": pc.Space(2)} and set(cat.attributes) == {"n"}


def test_a_description_of_other_dimensions_is_named(x):
    with pytest.raises(ValueError, match=r"spaces\W+content.*5 components.*4"):
        pc.Catalog.from_arrow(table(x), "id", {"content": ("v", pc.Space(5))})


def test_a_table_without_rows_is_a_catalog_without_items(x):
    cat = pc.Catalog.from_arrow(table(x, n=list(range(N))).slice(0, 0), "id", {"content": "v"})
    assert len(cat) == 0 and cat.spaces["content"].dim == 4


def chunked(t):
    return pa.Table.from_batches(t.to_batches(max_chunksize=5))


class Stream:
    """What any other library offers."""

    def __init__(self, t):
        self._table = t

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


SOURCES = {
    "table": lambda t, folder: t,
    "chunks": lambda t, folder: chunked(t),
    "reader": lambda t, folder: chunked(t).to_reader(),
    "record batch": lambda t, folder: t.to_batches()[0],
    "stream": lambda t, folder: Stream(chunked(t)),
    "parquet": lambda t, folder: _write(
        folder / "t.parquet", lambda p: pq.write_table(t, p, row_group_size=5)
    ),
    "parquet as text": lambda t, folder: str(SOURCES["parquet"](t, folder)),
    "arrow file": lambda t, folder: _write(folder / "t.arrow", lambda p: _ipc(pa.ipc.new_file, t, p)),
    "arrow stream": lambda t, folder: _write(folder / "t.arrows", lambda p: _ipc(pa.ipc.new_stream, t, p)),
}


def _write(path, how):
    how(path)
    return path


def _ipc(new, t, path):
    with new(path, t.schema) as writer:
        for batch in chunked(t).to_batches():
            writer.write_batch(batch)


@pytest.mark.parametrize("attributes", [None, ["genre"], []], ids=["all", "one", "none"])
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_kind_of_source_gives_the_same(x, tmp_path, source, attributes):
    t = table(x, genre=["a", None, "c"] * 4, n=list(range(N)))
    expected = pc.Catalog({"v": pc.Space(4)})
    values = {"genre": ["a", None, "c"] * 4, "n": list(range(N))}
    expected.upsert(range(N), x, {k: v for k, v in values.items() if attributes is None or k in attributes})
    cat = pc.Catalog.from_arrow(source(t, tmp_path), id="id", spaces={"v": "v"}, attributes=attributes)
    assert cat.content_hash == expected.content_hash


def test_polars_needs_no_pyarrow_in_between(x):
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"id": [f"i{i}" for i in range(N)], "v": x, "genre": ["a", "b", None] * 4})
    cat = pc.Catalog.from_arrow(frame, id="id", spaces={"v": "v"})
    assert cat.ids.tolist() == [f"i{i}" for i in range(N)] and np.array_equal(vectors_of(cat, "v"), x)
    assert attribute(cat, "genre") == ["a", "b", None] * 4


# --- ids -------------------------------------------------------------------------------------------

INTEGERS = [f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)]


@pytest.mark.parametrize("kind", INTEGERS)
def test_integer_ids_of_any_width(x, kind):
    ids = [3 * i for i in range(N)]
    t = table(x).set_column(0, "id", pa.array(ids, kind))
    cat = pc.Catalog.from_arrow(t, id="id", spaces={"v": "v"})
    assert cat.ids.tolist() == ids and cat.ids.dtype == np.int64


TEXTS = {
    "string": pa.string(),
    "large": pa.large_string(),
    "view": pa.string_view(),
    "dictionary": pa.dictionary(pa.int8(), pa.string()),
    "large dictionary": pa.dictionary(pa.uint32(), pa.large_string()),
}


def texts(values, kind):
    return pa.array(values, pa.string()).cast(kind)


@pytest.mark.parametrize("kind", TEXTS.values(), ids=TEXTS)
def test_text_ids_of_any_kind(x, kind):
    ids = [f"ö{i}" for i in range(N)]
    t = table(x).set_column(0, "id", texts(ids, kind))
    assert pc.Catalog.from_arrow(t, id="id", spaces={"v": "v"}).ids.tolist() == ids


# --- vectors ---------------------------------------------------------------------------------------

LISTS = {"list": pa.list_, "large list": pa.large_list, "fixed": lambda item: pa.list_(item, 4)}


@pytest.mark.parametrize("item", [pa.float16(), pa.float32(), pa.float64()], ids=str)
@pytest.mark.parametrize("make", LISTS.values(), ids=LISTS)
def test_vectors_of_any_float_and_any_list(x, make, item):
    wide = x.astype(np.float16) if item == pa.float16() else x
    column = pa.array([row.astype(item.to_pandas_dtype()) for row in wide], make(item))
    t = pa.table({"id": range(N), "v": column})
    cat = pc.Catalog.from_arrow(chunked(t), id="id", spaces={"v": "v"})
    assert np.array_equal(vectors_of(cat, "v"), wide.astype(np.float32))


def test_a_slice_of_a_table_is_what_it_shows(x):
    t = table(x, genre=texts(list("abcdefghijkl"), TEXTS["dictionary"]), tags=[[c] for c in "abcdefghijkl"])
    cat = pc.Catalog.from_arrow(t.slice(3, 5), id="id", spaces={"v": "v"})
    assert cat.ids.tolist() == [3, 4, 5, 6, 7] and np.array_equal(vectors_of(cat, "v"), x[3:8])
    assert attribute(cat, "genre") == list("defgh") and attribute(cat, "tags") == [[c] for c in "defgh"]


# --- attributes ------------------------------------------------------------------------------------

MOMENT = dt.datetime(1969, 12, 31, 23, 59, 59, 123456, tzinfo=UTC)


@pytest.mark.parametrize("kind", TEXTS.values(), ids=TEXTS)
def test_text_attributes(x, kind):
    values = ["a", None, "", "a"] * 3
    cat = pc.Catalog.from_arrow(table(x, it=texts(values, kind)), id="id", spaces={"v": "v"})
    assert attribute(cat, "it") == values and cat.attributes["it"] == "str"


def test_a_dictionary_without_entries_and_one_with_null_entries(x):
    empty = pa.DictionaryArray.from_arrays(pa.array([None] * N, pa.int8()), pa.array([], pa.string()))
    inner = pa.DictionaryArray.from_arrays(pa.array([0, 1, None] * 4, pa.int8()), pa.array([None, "b"]))
    cat = pc.Catalog.from_arrow(table(x, empty=empty, inner=inner), id="id", spaces={"v": "v"})
    assert attribute(cat, "empty") == [None] * N and attribute(cat, "inner") == [None, "b", None] * 4


@pytest.mark.parametrize("make", [pa.list_, pa.large_list], ids=["list", "large list"])
@pytest.mark.parametrize("kind", TEXTS.values(), ids=TEXTS)
def test_lists_of_text(x, make, kind):
    values = [["a", "b", "a"], [], None, ["é"]] * 3
    column = pa.array(values, pa.list_(pa.string()))
    flat, offsets = texts(column.values.to_pylist(), kind), [0]
    for value in values:
        offsets.append(offsets[-1] + len(value or []))
    listed = pa.ListArray if make is pa.list_ else pa.LargeListArray
    width = pa.int32() if make is pa.list_ else pa.int64()
    built = listed.from_arrays(
        pa.array(offsets, width), flat, mask=pa.array([v is None for v in values]), type=make(kind)
    )
    cat = pc.Catalog.from_arrow(table(x, it=built), id="id", spaces={"v": "v"})
    assert attribute(cat, "it") == values and cat.attributes["it"] == "list[str]"


@pytest.mark.parametrize("kind", INTEGERS)
def test_integer_attributes(x, kind):
    cat = pc.Catalog.from_arrow(table(x, it=pa.array([0, None, 100] * 4, kind)), id="id", spaces={"v": "v"})
    assert attribute(cat, "it") == [0, None, 100] * 4 and cat.attributes["it"] == "int"


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()], ids=str)
def test_float_attributes(x, kind):
    values = [0.1, None, -2.5]
    column = pa.array([None if v is None else kind.to_pandas_dtype()(v) for v in values] * 4, kind)
    cat = pc.Catalog.from_arrow(table(x, it=column), id="id", spaces={"v": "v"})
    expected = [None if v is None else float(kind.to_pandas_dtype()(v)) for v in values] * 4
    assert attribute(cat, "it") == expected


def test_bool_attributes(x):
    cat = pc.Catalog.from_arrow(table(x, it=[True, None, False] * 4), id="id", spaces={"v": "v"})
    assert attribute(cat, "it") == [True, None, False] * 4


@pytest.mark.parametrize("zone", [None, "UTC", "+05:30"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_every_unit(x, unit, zone):
    # 1.5 s before the epoch in the middle of a unit: rounding down and towards zero differ here.
    counts = {"s": -2, "ms": -1_501, "us": -1_500_001, "ns": -1_500_000_001}
    micros = {"s": -2_000_000, "ms": -1_501_000, "us": -1_500_001, "ns": -1_500_001}[unit]
    column = pa.array([counts[unit], None, 0] * 4, pa.timestamp(unit, zone))
    cat = pc.Catalog.from_arrow(table(x, it=column), id="id", spaces={"v": "v"})
    epoch = dt.datetime(1970, 1, 1, tzinfo=UTC)
    assert attribute(cat, "it") == [epoch + dt.timedelta(microseconds=micros), None, epoch] * 4


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()], ids=str)
def test_dates(x, kind):
    cat = pc.Catalog.from_arrow(
        table(x, it=pa.array([dt.date(1969, 12, 30), None, dt.date(2024, 2, 29)] * 4, kind)), "id", {"v": "v"}
    )
    expected = [dt.datetime(1969, 12, 30, tzinfo=UTC), None, dt.datetime(2024, 2, 29, tzinfo=UTC)] * 4
    assert attribute(cat, "it") == expected and cat.attributes["it"] == "timestamp"


# --- changes ---------------------------------------------------------------------------------------


def test_a_table_may_be_upserted(x, tmp_path):
    cat = pc.Catalog.from_arrow(table(x, n=list(range(N))), id="id", spaces={"v": "v"})
    cat.upsert_arrow(table(-x[:3], n=[7, 7, 7]), id="id", spaces={"v": "v"})
    pq.write_table(pa.table({"id": [5], "n": [9]}), tmp_path / "t")
    cat.upsert_arrow(tmp_path / "t", id="id")
    items = cat.get([1, 5])
    assert np.array_equal(items[0]["vectors"]["v"], -x[1]) and items[0]["attributes"] == {"n": 7}
    assert np.array_equal(items[1]["vectors"]["v"], x[5]) and items[1]["attributes"] == {"n": 9}
    assert len(cat) == N and cat.generation == 3


def test_a_refused_table_changes_nothing(x):
    cat = pc.Catalog.from_arrow(table(x, n=list(range(N))), id="id", spaces={"v": "v"})
    before = cat.content_hash, cat.generation
    for bad in (table(x[:2], n=["a", "b"]), table(x[:2, :3], n=[1, 2]), table(x[:2] * np.nan, n=[1, 2])):
        with pytest.raises((TypeError, ValueError)):
            cat.upsert_arrow(bad, id="id", spaces={"v": "v"})
    assert (cat.content_hash, cat.generation) == before


# --- errors ----------------------------------------------------------------------------------------


def with_null(x):
    rows = [row.tolist() for row in x]
    rows[3] = None
    return pa.array(rows, pa.list_(pa.float32(), 4))


def with_inner_null(x):
    rows = [row.tolist() for row in x]
    rows[3][1] = None
    return pa.array(rows, pa.list_(pa.float32()))


def ragged(x):
    return pa.array([row[: 4 - (i == 5)].tolist() for i, row in enumerate(x)], pa.list_(pa.float32()))


COLUMN_ERRORS = {
    "a null id": ("id", lambda x: pa.array([None, *range(N - 1)]), ValueError, "id: .*null"),
    "a null text id": ("id", lambda x: pa.array([None, *map(str, range(N - 1))]), ValueError, "id: .*null"),
    "an id twice": ("id", lambda x: pa.array([4] * N), ValueError, "id.*4 at positions 0 and 1"),
    "a float id": ("id", lambda x: pa.array(np.arange(N) + 0.5), TypeError, "id: .*integers or text.*id"),
    "an id beyond int64": (
        "id",
        lambda x: pa.array([2**64 - 1, *range(N - 1)], pa.uint64()),
        ValueError,
        "int64",
    ),
    "a null vector": ("v", with_null, TypeError, "spaces: .*'?v'?.*null"),
    "a null inside a vector": ("v", with_inner_null, TypeError, "spaces: .*v.*null.*row 3"),
    "vectors of two lengths": ("v", ragged, TypeError, "spaces: .*v.*4 and of 3"),
    "numbers for vectors": (
        "v",
        lambda x: pa.array(range(N)),
        TypeError,
        "spaces: .*v.*lists of floats.*Int64",
    ),
    "integer vectors": ("v", lambda x: pa.array([[1, 2]] * N), TypeError, "spaces: .*v.*floats"),
    "a NaN": ("v", lambda x: fixed(x * np.nan), ValueError, "v.*finite.*NaN"),
    "a double beyond float32": ("v", lambda x: fixed(x * 0 + 1e300, pa.float64()), ValueError, "v.*finite"),
    "a decimal": (
        "it",
        lambda x: pa.array([decimal.Decimal("1.5")] * N),
        TypeError,
        "attributes: .*it.*Decimal",
    ),
    "a struct": ("it", lambda x: pa.array([{"a": 1}] * N), TypeError, "attributes: .*it.*Struct"),
    "a list of numbers": ("it", lambda x: pa.array([[1]] * N), TypeError, "attributes: .*it.*List"),
    "a null inside a list": (
        "it",
        lambda x: pa.array([["a", None]] * N),
        ValueError,
        r"attributes\W+it.*null.*row 0",
    ),
    "a NaN attribute": ("it", lambda x: pa.array([np.nan] * N), ValueError, "it.*NaN"),
    "an integer beyond int64": ("it", lambda x: pa.array([2**64 - 1] * N, pa.uint64()), ValueError, "int64"),
    "a moment beyond int64": ("it", lambda x: pa.array([2**62] * N, pa.timestamp("s")), ValueError, "int64"),
}


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("case", COLUMN_ERRORS.values(), ids=COLUMN_ERRORS)
def test_a_column_that_cannot_be_read_is_named(x, case):
    name, make, kind, message = case
    t = table(x)
    column = make(x)
    at = t.schema.get_field_index(name)
    t = t.append_column(name, column) if at < 0 else t.set_column(at, name, column)
    with pytest.raises(kind, match=message):
        pc.Catalog.from_arrow(t, id="id", spaces={"v": "v"})


CALL_ERRORS = {
    "no such id column": (dict(id="nope", spaces={"v": "v"}), "id: .*nope"),
    "no such space column": (dict(id="id", spaces={"v": "nope"}), "spaces: .*nope"),
    "no such attribute": (dict(id="id", spaces={"v": "v"}, attributes=["nope"]), "attributes: .*nope"),
    "no space": (dict(id="id", spaces={}), "spaces: .*at least one"),
    "text for attributes": (dict(id="id", spaces={"v": "v"}, attributes="n"), "attributes: .*sequence"),
    "a number for a column": (dict(id="id", spaces={"v": 3}), r"spaces\['v'\]: .*column.*3"),
}


@pytest.mark.parametrize("source", ["table", "parquet"])
@pytest.mark.parametrize("case", CALL_ERRORS.values(), ids=CALL_ERRORS)
def test_a_wrong_call_is_named(x, tmp_path, case, source):
    arguments, message = case
    t = table(x, n=list(range(N)))
    if source == "parquet":
        pq.write_table(t, tmp_path / "t")
        t = tmp_path / "t"
        message = message if "nope" not in message else "nope"
    with pytest.raises((ValueError, TypeError, KeyError), match=message):
        pc.Catalog.from_arrow(t, **arguments)


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"table: .*Arrow table.*dict"):
        pc.Catalog.from_arrow({"id": [1]}, "id", {"v": "v"})
    with pytest.raises(FileNotFoundError):
        pc.Catalog.from_arrow(tmp_path / "nothing", "id", {"v": "v"})
    for name, content in {
        "text": b"hello",
        "parquet": b"PAR1 and no more",
        "arrow": b"ARROW1\0\0 and no more",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(pc.FormatError, match=name):
            pc.Catalog.from_arrow(tmp_path / name, "id", {"v": "v"})
