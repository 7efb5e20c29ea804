"""Streams: tables of other libraries, batch by batch, changes of so many rows, and a catalog as a table."""

import datetime as dt
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perso_core as pc

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

N = 12
UTC = dt.timezone.utc
SPACES = {"v": "v"}


@pytest.fixture
def x(rng):
    return rng.standard_normal((N, 4)).astype(np.float32)


def lists(x):
    return pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])


def table(x, first=0, **columns):
    return pa.table({"id": np.arange(first, first + len(x)), "v": lists(x), **columns})


def plain(x):
    """The same catalog out of arrays."""
    cat = pc.Catalog({"v": pc.Space(4)})
    cat.upsert(range(N), x, {"genre": ["a", None, "b"] * 4, "n": [1, None, 3] * 4})
    return cat


def whole(x):
    return table(x, genre=["a", None, "b"] * 4, n=pa.array([1, None, 3] * 4, pa.int32()))


# --- whose tables ----------------------------------------------------------------------------------


def of_polars(x, how):
    pl = pytest.importorskip("polars")
    columns = {"id": range(N), "v": x, "genre": ["a", None, "b"] * 4, "n": [1, None, 3] * 4}
    frame = pl.DataFrame(columns)
    if how == "lists and categories":
        return frame.with_columns(pl.col("v").arr.to_list(), pl.col("genre").cast(pl.Categorical))
    if how == "an enum, in chunks":
        enum = frame.with_columns(pl.col("genre").cast(pl.Enum(["a", "b"])))
        return pl.concat([enum[:5], enum[5:]], rechunk=False)
    return frame


def of_duckdb(x, how):
    duckdb = pytest.importorskip("duckdb")
    there = whole(x)  # DuckDB finds it by its name
    assert there.num_rows == N
    if how == "lists":
        return duckdb.sql("select id, v::float[] v, genre, n from there")
    return duckdb.sql("select id, v::float[4] v, genre::enum('a', 'b') genre, n from there")


def of_pandas(x, how):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pandas", "2.2")
    frame = pd.DataFrame({"id": range(N), "v": list(x)})
    frame["genre"] = pd.Series(["a", None, "b"] * 4, dtype="category" if how == "categories" else "string")
    frame["n"] = pd.array([1, None, 3] * 4, dtype="Int16")
    return frame


def of_nanoarrow(x, how):
    na = pytest.importorskip("nanoarrow")
    batches = whole(x).to_batches(max_chunksize=5)
    if how == "one array":
        return na.c_array(whole(x).to_batches()[0])
    if how == "an array in chunks":
        return na.Array(pa.Table.from_batches(batches))
    return na.ArrayStream(pa.Table.from_batches(batches))


THEIRS = [
    *((of_polars, how) for how in ("arrays", "lists and categories", "an enum, in chunks")),
    *((of_duckdb, how) for how in ("arrays", "lists")),
    *((of_pandas, how) for how in ("text", "categories")),
    *((of_nanoarrow, how) for how in ("one array", "an array in chunks", "a stream")),
]


@pytest.mark.parametrize(
    ("make", "how"), THEIRS, ids=lambda part: part if isinstance(part, str) else part.__name__[3:]
)
def test_a_table_of_another_library_is_the_same_catalog(x, make, how):
    expected = plain(x).content_hash
    assert pc.Catalog.from_arrow(make(x, how), "id", SPACES).content_hash == expected
    cat = pc.Catalog({"v": pc.Space(4)})
    cat.upsert(make(x, how), id="id", spaces=SPACES)
    assert cat.content_hash == expected


WITHOUT = """
    import sys
    sys.modules["pyarrow"] = None  # an import of it fails now
    import numpy as np
    import perso_core as pc

    x = np.arange(48, dtype=np.float32).reshape(12, 4) - 20
    by_hand = pc.Catalog({"v": pc.Space(4)})
    by_hand.upsert(range(12), x, {"genre": ["a", None, "b"] * 4})
    again = pc.Catalog.from_arrow(by_hand, "id", {"v": "v"})
    assert again.content_hash == by_hand.content_hash
    seen = ["itself"]
    try:
        import polars as pl
        frame = pl.DataFrame({"id": range(12), "v": x, "genre": ["a", None, "b"] * 4})
        cat = pc.Catalog.from_arrow(frame, "id", {"v": "v"})
        assert cat.content_hash == by_hand.content_hash
        assert pl.DataFrame(cat).equals(frame)
        seen.append("polars")
    except ImportError:
        pass
    try:
        import nanoarrow as na
        stream = na.ArrayStream(by_hand)
        assert pc.Catalog.from_arrow(stream, "id", {"v": "v"}).content_hash == by_hand.content_hash
        seen.append("nanoarrow")
    except ImportError:
        pass
    try:
        pc.Catalog.from_arrow(sys.argv[1], "id", {"v": "v"})
    except ImportError as error:
        assert "pip install 'perso_core[arrow]'" in str(error)
        seen.append("files say what they need")
    print(*seen)
"""


def test_tables_need_no_pyarrow(tmp_path):
    pq.write_table(pa.table({"id": [1]}), tmp_path / "t")
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WITHOUT), str(tmp_path / "t")], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("itself") and run.stdout.endswith("files say what they need\n")


# --- columns ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f32", "f16", "i8"])
@pytest.mark.parametrize("make", ["fixed", "list"])
def test_whole_numbers_are_kept_as_they_are(rng, dtype, make):
    codes = rng.integers(-127, 128, (N, 4)).astype(np.int8)
    codes[3] = 0
    kind = pa.list_(pa.int8(), 4) if make == "fixed" else pa.list_(pa.int8())
    t = pa.table({"id": range(N), "v": pa.array(codes.tolist(), kind)})
    cat = pc.Catalog.from_arrow(t.slice(2), "id", {"v": ("v", pc.Space(4, "l2", dtype))})
    found = np.array([item["vectors"]["v"] for item in cat.get(range(2, N))])
    assert np.array_equal(found, codes[2:].astype(np.float32))


def test_a_number_without_a_code_is_rounded_as_floats_are(tmp_path):
    codes = np.array([[-128, 64, 1, 0], [-127, 64, 1, 0]], np.int8)
    t = pa.table({"id": [0, 1], "v": pa.array(codes.tolist(), pa.list_(pa.int8(), 4))})
    cat = pc.Catalog.from_arrow(t, "id", {"v": ("v", pc.Space(4, "l2", "i8"))})
    first, second = (item["vectors"]["v"] for item in cat.get([0, 1]))
    assert np.abs(first - codes[0]).max() <= 128 / 254 * 1.001 and np.array_equal(second, codes[1])
    cat.save(tmp_path / "c")
    assert pc.Catalog.open(tmp_path / "c").content_hash == cat.content_hash


def test_attributes_that_dictionaries_hold(x):
    moments = pa.array([0, None, 1_000], pa.timestamp("ms", "Europe/Berlin"))
    keys = pa.array([0, 1, None, 2] * 3, pa.int8())
    columns = {
        "n": pa.DictionaryArray.from_arrays(keys, pa.array([7, None, 9], pa.int16())),
        "f": pa.DictionaryArray.from_arrays(keys, pa.array([0.5, None, 2.5])),
        "at": pa.DictionaryArray.from_arrays(keys, moments),
    }
    cat = pc.Catalog.from_arrow(table(x, **columns).slice(1, 7), "id", SPACES)
    assert dict(cat.attributes) == {"n": "int", "f": "float", "at": "timestamp"}
    epoch = dt.datetime(1970, 1, 1, tzinfo=UTC)
    values = [(7, 0.5, epoch), (None,) * 3, (None,) * 3, (9, 2.5, epoch + dt.timedelta(seconds=1))] * 3
    found = [tuple(item["attributes"][name] for name in ("n", "f", "at")) for item in cat.get(range(1, 8))]
    assert found == values[1:8]


def test_lists_of_text_of_a_fixed_length(x):
    column = pa.array([["a", "b"], None, ["c", "c"]] * 4, pa.list_(pa.string(), 2))
    cat = pc.Catalog.from_arrow(table(x, it=column), "id", SPACES)
    assert [item["attributes"]["it"] for item in cat.get(range(3))] == [["a", "b"], None, ["c", "c"]]


REFUSED = {
    "decimals": (lambda: pa.array([None] * N, pa.decimal128(5, 2)), "it.*Decimal128.*cast it to float64"),
    "durations": (lambda: pa.array([None] * N, pa.duration("s")), "it.*Duration"),
    "times": (lambda: pa.array([None] * N, pa.time64("us")), "it.*Time64"),
    "bytes": (lambda: pa.array([None] * N, pa.binary()), "it.*Binary"),
    "nothing at all": (lambda: pa.nulls(N), "it.*Null"),
    "lists of dates": (lambda: pa.array([None] * N, pa.list_(pa.date32())), "it.*List"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_columns_that_no_attribute_holds_are_refused_before_a_row_is_read(x, case):
    make, message = case
    t = table(x, it=make())
    read = []

    def batches():
        read.append(1)
        yield from t.to_batches()

    with pytest.raises(TypeError, match=f"attributes: .*{message}"):
        pc.Catalog.from_arrow(pa.RecordBatchReader.from_batches(t.schema, batches()), "id", SPACES)
    assert not read


# --- batch by batch --------------------------------------------------------------------------------


def parts(count, rows, dim, note):
    """So many batches, one after another; `note` is told what Arrow holds as each is asked for."""
    for i in range(count):
        note(pa.total_allocated_bytes())
        x = np.random.default_rng(i).standard_normal((rows, dim)).astype(np.float32)
        ids = pa.array(np.arange(i * rows, (i + 1) * rows))
        numbers = pa.concat_arrays(
            [pa.array(x.ravel()[:1]), pa.array(x.ravel()[1:])]
        )  # memory of Arrow's own
        yield pa.record_batch({"id": ids, "v": pa.FixedSizeListArray.from_arrays(numbers, dim)})


def stream_of(batches, dim):
    schema = pa.schema({"id": pa.int64(), "v": pa.list_(pa.float32(), dim)})
    return pa.RecordBatchReader.from_batches(schema, batches)


@pytest.mark.parametrize(("rows_per_change", "batches"), [(None, 1), (700, 3)])
def test_a_batch_is_held_at_a_time_or_the_rows_of_a_change(rows_per_change, batches):
    count, rows, dim, held = 20, 500, 64, []
    before = pa.total_allocated_bytes()
    reader = stream_of(parts(count, rows, dim, held.append), dim)
    cat = pc.Catalog({"v": pc.Space(dim)})
    cat.upsert(reader, id="id", spaces=SPACES, rows_per_change=rows_per_change)
    assert len(cat) == count * rows and len(held) == count
    # The batch that was read last may still be on its way out of the generator.
    assert max(held) - before < (batches + 1.5) * rows * (dim * 4 + 8)


MEMORY = """
    import sys
    import pyarrow as pa
    import perso_core as pc

    cat = pc.Catalog.from_arrow(sys.argv[1], "id", {"v": ("v", pc.Space(64, layout="exact"))})
    print(len(cat), pa.default_memory_pool().max_memory())
"""


@pytest.mark.parametrize("row_group_size", [10_000, 200_000])
def test_a_parquet_file_is_never_whole_in_memory(rng, tmp_path, row_group_size):
    x = rng.standard_normal((200_000, 64)).astype(np.float32)
    pq.write_table(table(x), tmp_path / "t", row_group_size=row_group_size, compression="none")
    command = [sys.executable, "-c", textwrap.dedent(MEMORY), str(tmp_path / "t")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    rows, held = map(int, run.stdout.split())
    # A batch is 4 MiB, and comes to several times that while its lists grow; the file is 49 MiB.
    assert rows == len(x) and held < 0.6 * x.nbytes, held / x.nbytes


def test_a_file_and_a_table_give_the_graph_of_one_upsert(rng, tmp_path):
    x = (rng.standard_normal((3000, 6)) @ rng.standard_normal((6, 24))).astype(np.float32)
    space = pc.Space(24, "l2", M=6, ef_construction=40, layout="local")
    by_hand = pc.Catalog({"v": space}, seed=3)
    by_hand.upsert(range(3000), x)
    pq.write_table(table(x), tmp_path / "t", row_group_size=170)
    spaces = {"v": ("v", space)}
    sources = {
        "parquet": tmp_path / "t",
        "table": table(x),
        "stream": pa.Table.from_batches(table(x).to_batches(max_chunksize=77)).to_reader(),
    }
    by_hand.save(tmp_path / "expected")
    for name, source in sources.items():
        cat = pc.Catalog.from_arrow(source, "id", spaces, seed=3)
        cat.save(tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == (tmp_path / "expected").read_bytes(), name


def test_progress_counts_rows(rng, tmp_path):
    x = rng.standard_normal((4000, 8)).astype(np.float32)
    t = table(x)
    pq.write_table(t, tmp_path / "t", row_group_size=500)
    for source, linked in ((tmp_path / "t", 1), (t, 1), (t.to_reader(500), 1), (t, 0)):
        told = []
        space = pc.Space(8, layout="compact" if linked else "exact", M=4, ef_construction=20)
        pc.Catalog.from_arrow(
            source, "id", {"v": ("v", space)}, progress=lambda *at, told=told: told.append(at)
        )
        steps = [done for done, _ in told]
        assert steps == sorted(steps) and all(done <= total for done, total in told)
        assert told[-1] == (4000 * (1 + linked),) * 2


def test_an_exception_in_progress_ends_it_and_leaves_nothing():
    dim = 256
    cat = pc.Catalog({"v": pc.Space(dim, layout="exact")})
    cat.upsert([-1], np.ones((1, dim)))
    before = cat.content_hash, cat.generation

    def refuse(done, total):
        raise RuntimeError("enough")

    def endless():
        yield from parts(10_000, 50, dim, lambda _: None)

    with pytest.raises(RuntimeError, match="enough"):
        cat.upsert(stream_of(endless(), dim), id="id", spaces=SPACES, progress=refuse)
    with pytest.raises(RuntimeError, match="enough"):
        pc.Catalog.from_arrow(stream_of(endless(), dim), "id", SPACES, progress=refuse)
    assert (cat.content_hash, cat.generation) == before


def broken(x, good, size=3):
    """A stream that breaks off after so many batches."""

    def batches():
        yield from whole(x).to_batches(max_chunksize=size)[:good]
        raise OSError("the network is gone")

    return pa.RecordBatchReader.from_batches(whole(x).schema, batches())


@pytest.mark.parametrize(("rows_per_change", "left"), [(None, 0), (2, 6), (4, 4), (100, 0)])
def test_what_a_stream_that_breaks_off_leaves(x, rows_per_change, left):
    cat = pc.Catalog({"v": pc.Space(4)})
    with pytest.raises(pc.FormatError, match="the network is gone"):
        cat.upsert(broken(x, good=2), id="id", spaces=SPACES, rows_per_change=rows_per_change)
    assert cat.ids.tolist() == list(range(left))
    assert cat.generation == (-(-left // rows_per_change) if rows_per_change else 0)
    with pytest.raises(pc.FormatError, match="the network is gone"):
        pc.Catalog.from_arrow(broken(x, good=2), "id", SPACES)


@pytest.mark.parametrize(("rows_per_change", "left"), [(None, 0), (3, 6)])
def test_what_an_error_leaves_and_where_it_says_it_was(x, rows_per_change, left):
    x[7, 2] = np.nan
    cat = pc.Catalog({"v": pc.Space(4)})
    with pytest.raises(ValueError, match=r"spaces\W+v.*finite.*NaN in row 7"):
        cat.upsert(whole(x), id="id", spaces=SPACES, rows_per_change=rows_per_change)
    assert cat.ids.tolist() == list(range(left))


def test_an_id_may_come_again_in_a_later_change_and_not_in_the_same(x):
    twice = pa.concat_tables([table(x[:6]), table(-x[:6])])
    cat = pc.Catalog({"v": pc.Space(4)})
    with pytest.raises(ValueError, match="id: .*0 at positions 0 and 6"):
        cat.upsert(twice, id="id", spaces=SPACES)
    assert len(cat) == 0
    cat.upsert(twice, id="id", spaces=SPACES, rows_per_change=6)
    assert np.array_equal([item["vectors"]["v"] for item in cat.get(range(6))], -x[:6])
    with pytest.raises(ValueError, match="id: .*2 at positions 12 and 13"):
        more = pa.concat_tables([twice, table(x[2:3], 2), table(x[2:3], 2)])
        cat.upsert(more, id="id", spaces=SPACES, rows_per_change=6)


def test_attributes_alone_come_by_the_piece(x):
    cat = plain(x)
    t = pa.table({"id": [3, 1, 2], "n": [30, 10, None]})
    cat.upsert(t, id="id", rows_per_change=2)
    assert [item["attributes"]["n"] for item in cat.get([1, 2, 3, 4])] == [10, None, 30, None]
    assert cat.generation == 3 and cat.stats()["rows"] == N
    with pytest.raises(KeyError, match="99"):
        cat.upsert(pa.table({"id": [3, 99], "n": [1, 2]}), id="id")
    with pytest.raises(ValueError, match="id: .*3 again at position 2"):
        cat.upsert(pa.table({"id": [3, 1, 3], "n": [1, 2, 3]}), id="id")
    assert cat.get([3])[0]["attributes"]["n"] == 30


def test_readers_see_a_change_when_it_is_whole(x):
    cat, seen = pc.Catalog({"v": pc.Space(4)}), []

    def batches():
        for batch in whole(x).to_batches(max_chunksize=3):
            seen.append(len(cat))
            yield batch

    def stream():
        return pa.RecordBatchReader.from_batches(whole(x).schema, batches())

    cat.upsert(stream(), id="id", spaces=SPACES)
    assert seen == [0, 0, 0, 0] and len(cat) == N
    cat.remove(range(N))
    seen.clear()
    cat.upsert(stream(), id="id", spaces=SPACES, rows_per_change=6)
    assert seen == [0, 0, 6, 6]


def test_a_stream_that_changes_its_own_catalog_is_refused(x):
    cat = plain(x)

    def batches():
        cat.remove([1])
        yield from whole(x).to_batches()

    with pytest.raises(pc.FormatError, match="does not change the catalog it goes into"):
        cat.upsert(pa.RecordBatchReader.from_batches(whole(x).schema, batches()), id="id", spaces=SPACES)
    assert len(cat) == N


CALLS = {
    "no id": (lambda c, t: c.upsert(t.to_reader()), "id: .*column of ids.*table"),
    "spaces without id": (lambda c, t: c.upsert(t, spaces=SPACES), "id: .*beside spaces"),
    "vectors beside a table": (
        lambda c, t: c.upsert(t, [[1.0]], id="id"),
        "vectors: .*nothing beside a table",
    ),
    "no rows in a change": (
        lambda c, t: c.upsert(t, id="id", rows_per_change=0),
        "rows_per_change: .*at least 1",
    ),
    "an unknown space": (lambda c, t: c.upsert(t, id="id", spaces={"w": "v"}), r"spaces: .*\"v\".*\"w\""),
    "a column that is none": (lambda c, t: c.upsert(t, id="id", spaces={"v": 3}), r"spaces\['v'\]: .*str.*3"),
    "columns without names": (lambda c, t: c.upsert(t, id="id", spaces=["v"]), "spaces: .*column"),
    "an unknown space out": (lambda c, t: c.to_arrow(spaces=["w"]), r"spaces: .*\"v\".*\"w\""),
    "an unknown attribute out": (lambda c, t: c.to_arrow(attributes=["w"]), r"attributes: .*genre.*\"w\""),
    "a name twice out": (lambda c, t: c.to_arrow(id="genre"), "genre.*twice"),
    "an id that is not there": (lambda c, t: c.to_arrow([99]), "99"),
    "one name out": (lambda c, t: c.to_arrow(spaces="v"), "spaces: .*names"),
}


@pytest.mark.parametrize("case", CALLS.values(), ids=CALLS)
def test_a_wrong_call_is_named(x, case):
    call, message = case
    cat = plain(x)
    with pytest.raises((TypeError, ValueError, KeyError), match=message):
        call(cat, whole(x))
    assert cat.generation == 1


# --- a catalog as a table --------------------------------------------------------------------------


def test_a_catalog_is_a_table(x):
    cat = plain(x)
    t = pa.table(cat)
    assert t.schema == pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("v", pa.list_(pa.field("item", pa.float32(), nullable=False), 4), nullable=False),
            pa.field("genre", pa.string()),
            pa.field("n", pa.int64()),
        ]
    )
    assert t.select(["id", "genre", "n"]).to_pydict() == {
        "id": list(range(N)),
        "genre": ["a", None, "b"] * 4,
        "n": [1, None, 3] * 4,
    }
    assert np.array_equal(np.stack(t["v"].to_numpy()), x)
    some = cat.to_arrow([5, 2], spaces={"v": "embedding"}, attributes=["n"], id="item")
    assert len(some) == 2 and [name for name, _ in some.columns] == ["item", "embedding", "n"]
    assert "2 items" in repr(some) and "embedding" in repr(some)
    assert pa.table(some).select(["item", "n"]).to_pydict() == {"item": [5, 2], "n": [3, 3]}
    assert pa.table(cat.to_arrow(spaces=[], attributes=[])).column_names == ["id"]


def test_an_export_is_of_one_moment_and_may_be_read_again(x):
    cat = plain(x)
    table_of_before = cat.to_arrow()
    cat.remove([0, 1])
    cat.upsert([5], -x[5:6])
    for _ in range(2):
        assert pc.Catalog.from_arrow(table_of_before, "id", SPACES).content_hash == plain(x).content_hash
    assert len(cat.to_arrow()) == N - 2


def test_large_catalogs_come_in_batches(rng):
    x = rng.standard_normal((9000, 1024)).astype(np.float32)
    cat = pc.Catalog({"v": pc.Space(1024, layout="exact")})
    cat.upsert(range(9000), x)
    batches = list(pa.RecordBatchReader.from_stream(cat))
    assert len(batches) == 3 and sum(batch.num_rows for batch in batches) == 9000
    assert pc.Catalog.from_arrow(cat, "id", {"v": ("v", cat.spaces["v"])}).content_hash == cat.content_hash


VALUES = {
    "bool": st.booleans(),
    "int": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "timestamp": st.datetimes(timezones=st.just(UTC)),
    "str": st.text(max_size=4),
    "list[str]": st.lists(st.text(max_size=3), max_size=3),
}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_goes_out_comes_in(data):
    rows = data.draw(st.integers(0, 8))
    texts = data.draw(st.booleans())
    ids = [f"é{i}" for i in range(rows)] if texts else list(range(-3, rows - 3))
    dtype, rescore = data.draw(st.sampled_from([("f32", None), ("f16", None)]))
    x = data.draw(
        st.lists(
            st.lists(st.floats(-1000, 1000, width=16), min_size=3, max_size=3), min_size=rows, max_size=rows
        )
    )
    attributes = {
        kind: data.draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
        for kind, values in VALUES.items()
    }
    # A column without any value has no type to say.
    attributes = {name: values for name, values in attributes.items() if any(v is not None for v in values)}
    space = pc.Space(3, "ip", dtype, rescore=rescore)
    cat = pc.Catalog({"v": space})
    cat.upsert(ids, np.array(x, np.float32).reshape(rows, 3), attributes)
    again = pc.Catalog.from_arrow(cat, "id", {"v": ("v", space)})
    assert again.content_hash == cat.content_hash
    through = pc.Catalog.from_arrow(pa.table(cat), "id", {"v": ("v", space)})
    assert through.content_hash == cat.content_hash and dict(through.attributes) == dict(cat.attributes)
    backwards = pc.Catalog.from_arrow(cat.to_arrow(ids[::-1]), "id", {"v": ("v", space)})
    assert backwards.content_hash == cat.content_hash and backwards.ids.tolist() == ids[::-1]
