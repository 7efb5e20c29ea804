"""Records as documents and as tables: the schema, the keyed hash, what is said of the source, the Arrow form."""

import copy
import hashlib
import hmac
import json
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perso_core as pc
from canonical import sealed
from files import make_records
from world import AT, world

SECRET = b"0123456789abcdef"
SCHEMA = pc.record_schema()
CHECK = jsonschema.Draft202012Validator(SCHEMA)
OLD = [
    json.loads(line)
    for line in (Path(__file__).parent / "files" / "records" / "records.jsonl")
    .read_text("utf-8")
    .splitlines()
]


@pytest.fixture(scope="module")
def held():
    return make_records.sources()


@pytest.fixture(scope="module")
def made(held):
    """(name of the source, the slate, its record) for every kind of policy and request, and for what is new."""
    found = [
        (source, slate, slate.record(user=not hashed))
        for _, source, slate, hashed in make_records.slates(held)
    ]
    likes = make_records.vectors(11, 6, 3)
    user = {"a": pc.Interests(likes[:2], negative=likes[2:])}
    target = {"war": 0.5, "noir": 0.25, "drama": 0.25}
    policy = pc.Policy(
        20,
        pc.Blend({"a": 1.0}, ctr=pc.Model(["similarity", "pop"]), bm25=pc.Listed(0.5)),
        pc.Calibrated("genre", 0.9, target),
        explore=pc.ThompsonSampling(alpha="clicks", beta="skips", draws=64),
        rules=[pc.Hide(ids=[1]), pc.AtLeast(3, {"shelf": "y"})],
    )
    slate = pc.rank(
        held["int"],
        user,
        policy,
        10,
        models={"ctr": lambda x: x[:, 0]},
        lists={"bm25": [1, 8, 15, 4242]},
        target=target,
        pins={2: held["int"].ids[-1], 5: 1},
        allow={"history": False},
        at="0001-01-01T00:00:00Z",
        seed=2**64 - 1,
        budget_us=1e9,
        route=pc.route(battery=0.5, network="wifi", capsule_age_s=60, capsule_ttl_s=3600),
    )
    found.append(("int", slate, slate.record(user_key="u-42", hash_key=SECRET)))
    return found


def whole(made):
    """The record that has every field."""
    return made[-1][2]


# --- the digest and the schema ----------------------------------------------------------------------


def test_the_digest_is_what_it_is_said_to_be(made):
    for record in [*(record for _, _, record in made), *(line["record"] for line in OLD)]:
        assert sealed(record) == record


def test_every_record_follows_the_schema(made):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for record in [*(record for _, _, record in made), *(line["record"] for line in OLD)]:
        CHECK.validate(record)
    assert pc.record_schema() == SCHEMA and pc.record_schema() is not SCHEMA


def objects(schema, record, at=()):
    """Yields (path, schema) of every object of the record whose fields the schema lists."""
    kind = {dict: "object", list: "array"}.get(type(record))
    while "$ref" in schema or "anyOf" in schema:
        if "$ref" in schema:
            schema = SCHEMA["$defs"][schema["$ref"].split("/")[-1]]
            continue
        fitting = [one for one in schema["anyOf"] if "$ref" in one or one.get("type") == kind]
        if not fitting:
            return
        schema = fitting[0]
    if isinstance(record, list):
        for i, one in enumerate(record[:1]):
            yield from objects(schema["items"], one, (*at, i))
    elif isinstance(record, dict):
        if schema.get("additionalProperties") is False:
            yield at, schema
        inner = schema.get("properties", {})
        for name, one in record.items():
            beyond = schema.get("additionalProperties")
            inside = inner.get(name) or (beyond if isinstance(beyond, dict) else {})
            if (
                inside.get("items")
                or inside.get("properties")
                or inside.get("anyOf")
                or inside.get("additionalProperties")
            ):
                yield from objects(inside, one, (*at, name))


def at(record, path):
    for step in path:
        record = record[step]
    return record


def replays(record, catalog):
    try:
        pc.replay(sealed(record) if "digest" in record else record, catalog)
    except pc.ReplayError:
        return False
    return True


def test_schema_and_core_know_the_same_fields(made, held):
    """Each field is taken away and a foreign one put in, everywhere: the schema refuses what the core refuses."""
    record, catalog = whole(made), held["int"]
    assert replays(record, catalog) and CHECK.is_valid(record)
    found = list(objects(SCHEMA, record))
    assert {path for path, _ in found} == {
        (),
        ("allow",),
        ("budget",),
        ("choices", 0),
        ("eligibility",),
        ("lists", "bm25"),
        ("pins", 0),
        ("pool", 0),
        ("route",),
        ("route", "inputs"),
        ("route", "plan"),
        ("source",),
        ("source", "spaces", "a"),
        ("source", "spaces", "b"),
        ("user", "a"),
    }
    optional = set()
    for path, schema in found:
        fields = at(record, path)
        assert set(schema["properties"]) == set(fields), f"all fields of {path} are there"
        foreign = copy.deepcopy(record)
        at(foreign, path)["foreign"] = None
        assert not replays(foreign, catalog) and not CHECK.is_valid(foreign), path
        for name in fields:
            without = copy.deepcopy(record)
            del at(without, path)[name]
            accepted = replays(without, catalog)
            # Without these the form is good, and what the record says untrue.
            untrue = path == () and name in ("pins", "prices", "unmet")
            assert not (untrue and accepted)
            assert (accepted or untrue) == CHECK.is_valid(without), (*path, name)
            if accepted:
                optional.add((*path, name))
            spoilt = copy.deepcopy(record)
            at(spoilt, path)[name] = {"of another": ["type", 1]}
            assert not CHECK.is_valid(spoilt), (*path, name)
            assert name == "digest" or not replays(spoilt, catalog), (*path, name)
    assert optional == {
        ("allow",),
        ("budget",),
        ("choices", 0, "support"),
        ("eligibility", "hidden"),
        ("lists",),
        ("route",),
        ("source",),
        ("source", "spaces", "a", "layout"),
        ("source", "spaces", "b", "layout"),
        ("target",),
        ("user_key_hmac",),
    }


# --- what is said of the source ---------------------------------------------------------------------


def test_the_source_is_described(made, held):
    by_name = {name: record["source"] for name, _, record in made}
    spaces = {
        "a": {"dim": 6, "metric": "cosine", "dtype": "f32", "layout": "exact"},
        "b": {"dim": 5, "metric": "ip", "dtype": "i8", "layout": "exact"},
    }
    assert by_name["int"] == {"kind": "catalog", "items": 60, "spaces": spaces}
    assert by_name["str"]["spaces"] == {"v": {"dim": 4, "metric": "l2", "dtype": "f16", "layout": "exact"}}
    vectors = {"dim": 6, "metric": "cosine", "dtype": "f32"}
    assert by_name["vectors"] == {"kind": "candidates", "items": 60, "spaces": {"vectors": vectors}}
    assert by_name["scores"] == {"kind": "candidates", "items": 60, "spaces": {}}


@pytest.mark.parametrize("change", ["kind", "items", "spaces", "dim", "metric", "dtype"])
def test_a_false_description_is_refused_and_another_layout_is_not(made, held, change):
    record = copy.deepcopy(whole(made))
    source = record["source"]
    false = {"kind": "candidates", "items": 61, "spaces": {}, "dim": 7, "metric": "ip", "dtype": "f16"}
    (source if change in source else source["spaces"]["a"])[change] = false[change]
    with pytest.raises(pc.ReplayError, match=r"record\.source"):
        pc.replay(sealed(record), held["int"])
    record = copy.deepcopy(whole(made))
    record["source"]["spaces"]["a"]["layout"] = "local"
    again = pc.replay(sealed(record), held["int"])
    assert again.record()["source"] == record["source"]


# --- the keyed hash ---------------------------------------------------------------------------------


def test_a_user_is_named_by_a_keyed_hash_only():
    cat, _, user = world(1)
    slate = pc.rank(cat, {"a": user["a"]}, pc.Policy(score=pc.Blend({"a": 1.0})), 5, at=AT)
    record = slate.record(user_key="käthe", hash_key=SECRET)
    expected = hmac.new(SECRET, "käthe".encode(), hashlib.sha256).hexdigest()
    assert record["user_key_hmac"] == pc.user_hash("käthe", SECRET) == expected
    assert "käthe" not in json.dumps(record, ensure_ascii=False) and sealed(record) == record
    plain = slate.record()
    assert {**record, "digest": plain["digest"]} == {**plain, "user_key_hmac": expected}
    assert record["digest"] != plain["digest"]
    again = pc.replay(record, cat)
    assert again == slate and again.record() == plain
    other = {**record, "user_key_hmac": "0" * 64}
    with pytest.raises(pc.ReplayError, match="does not match its digest"):
        pc.replay(other, cat)
    assert pc.replay(sealed(other), cat) == slate, "its value has no part in a replay"


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"user_key": "u"}, TypeError, "hash_key: expected at least 16 bytes, got NoneType"),
        (
            {"user_key": "u", "hash_key": b"short"},
            ValueError,
            "hash_key: expected at least 16 bytes, got 5 bytes",
        ),
        ({"user_key": "u", "hash_key": "0123456789abcdef"}, TypeError, "hash_key: .* got str"),
        ({"user_key": "", "hash_key": SECRET}, ValueError, "user_key: expected at least one character"),
        ({"user_key": 42, "hash_key": SECRET}, TypeError, "user_key: expected a str"),
        ({"user_key": "\ud800", "hash_key": SECRET}, ValueError, "user_key: expected Unicode text"),
        ({"hash_key": SECRET}, ValueError, "hash_key: expected None without a user_key, got 16 bytes"),
        ({"user": "no"}, TypeError, "user: expected a bool, got str 'no'"),
        ({"user": np.ones(2)}, TypeError, "user: expected a bool, got an array"),
    ],
)
def test_bad_keys_are_refused_and_never_shown(arguments, error, match):
    cat, _, _ = world(1)
    with pytest.raises(error, match=match) as caught:
        pc.rank(cat, None, pc.Policy(score=pc.Blend(pop=1.0)), 5).record(**arguments)
    assert "0123456789abcdef" not in str(caught.value)


# --- as a table -------------------------------------------------------------------------------------


def by_kind(made):
    of = {"int": [], "str": []}
    for source, slate, record in made:
        of["int" if source == "int" else "str"].append((source, slate, record))
    return of.values()


def canonical_of(records):
    """Text that tells 1 from 1.0 and 0.0 from -0.0."""
    return [json.dumps(one, sort_keys=True) for one in records]


def test_a_table_gives_back_the_same_records(made, held, tmp_path):
    for some in by_kind(made):
        records = [record for _, _, record in some]
        table = pc.records.to_arrow(records)
        assert table.num_rows == len(records) and table.schema.field("at").type == pa.timestamp("us", "UTC")
        assert table.schema.field("seed").type == pa.uint64()
        assert pa.types.is_dictionary(table.schema.field("policy").type)
        back = pc.records.from_arrow(table)
        assert canonical_of(back) == canonical_of(records)
        assert pc.records.from_arrow(pc.records.to_arrow(json.dumps(one) for one in records)) == records
        pq.write_table(table, tmp_path / "log.parquet")
        read = pq.read_table(tmp_path / "log.parquet")
        assert canonical_of(pc.records.from_arrow(read)) == canonical_of(records)
        assert pc.records.from_arrow(table.slice(1, 2)) == records[1:3]
        assert pc.records.from_arrow(table.to_batches()[0]) == records
        for (source, slate, record), one in zip(some, pc.records.from_arrow(read)):
            if record["user"] is not None or record["user_sha256"] is None:
                assert pc.replay(one, held[source]) == slate
        slates = [slate for _, slate, _ in some[:3]]
        for user in (True, False):
            expected = [slate.record(user=user) for slate in slates]
            assert pc.records.from_arrow(pc.records.to_arrow(slates, user=user)) == expected


def test_old_records_survive_a_table():
    for kind in ("int", "str"):
        records = [line["record"] for line in OLD if (line["source"] == "int") == (kind == "int")]
        assert canonical_of(pc.records.from_arrow(pc.records.to_arrow(records))) == canonical_of(records)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(extra=st.dictionaries(st.sampled_from(["later", "extra", "é"]), JSON, min_size=1))
def test_fields_of_a_later_version_survive_a_table(extra):
    record = copy.deepcopy(OLD[0]["record"])
    for fields in (
        record,
        record["choices"][0],
        record["choices"][2],
        record["eligibility"],
        record["pool"][0],
    ):
        fields.update(extra)
    record["choices"][1]["draws"] = None
    table = pc.records.to_arrow([record, OLD[1]["record"]])
    assert canonical_of(pc.records.from_arrow(table)) == canonical_of([record, OLD[1]["record"]])


def test_no_records_are_a_table_too():
    table = pc.records.to_arrow([])
    assert table.num_rows == 0 and pc.records.from_arrow(table) == []


def test_pins_tell_the_kind_of_ids_where_nothing_is_eligible():
    items = pc.Candidates(["a", "b"], scores=[1.0, 2.0])
    slate = pc.rank(items, None, pc.Policy(), 1, exclude=["a", "b"], pins={0: "a"})
    record = slate.record()
    assert len(slate) == 0 and record["pins"] == [{"slot": 0, "id": "a"}]
    assert pc.records.from_arrow(pc.records.to_arrow([record])) == [record]
    assert pc.replay(record, items) == slate


def test_what_is_no_log_is_refused(made):
    record = whole(made)
    for wrong, error, match in (
        ([{"schema": "x"}], pc.FormatError, r"records\[0\]: expected the schema"),
        ([record, 3], TypeError, r"records\[1\]: expected a Slate, a record"),
        (record, TypeError, "records: expected an iterable"),
        ([{**record, "seed": "7"}], pc.FormatError, "records: expected decision records"),
        ([{**record, "seed": -1}], pc.FormatError, "records: expected decision records"),
        ([{name: v for name, v in record.items() if name != "signals"}], pc.FormatError, "'signals'"),
        ([record, OLD[-1]["record"]], ValueError, "records: expected ids of one kind"),
    ):
        with pytest.raises(error, match=match):
            pc.records.to_arrow(wrong)
    table = pc.records.to_arrow([record])
    for wrong, error, match in (
        (3, TypeError, "table: expected an Arrow table"),
        (table.drop_columns(["seed"]), pc.FormatError, "'seed'"),
        (table.append_column("more", [[1]]), pc.FormatError, "'more'"),
        (
            table.set_column(table.schema.get_field_index("policy"), "policy", [["{"]]),
            pc.FormatError,
            "another form",
        ),
        (
            table.set_column(table.schema.get_field_index("pool"), "pool", [[7]]),
            pc.FormatError,
            "another form",
        ),
    ):
        with pytest.raises(error, match=match):
            pc.records.from_arrow(wrong)


def test_what_reads_records_reads_those_of_a_table():
    cat, _, user = world(2)
    policy = pc.Policy(score=pc.Blend({"a": 1.0}), explore=pc.EpsilonGreedy(0.5))
    batch = np.stack([user["a"], -user["a"], 2 * user["a"] + 1])
    slates = list(pc.rank(cat, {"a": batch}, policy, k=4, at=AT, seed=3, request_id="q"))
    records = pc.records.from_arrow(pc.records.to_arrow(slates))
    rewards = {one["request_id"]: [1.0, 0.0, 2.0, 0.5] for one in records}
    logs = [pc.ope.SlateLog.from_records(some, rewards, target=policy) for some in (slates, records)]
    assert np.array_equal(logs[0].logged, logs[1].logged) and np.array_equal(logs[0].target, logs[1].target)
    assert logs[0].logged.min() < 1.0
    groups = {i: "even" if i % 2 == 0 else "odd" for i in cat.ids.tolist()}
    assert repr(pc.exposure.by_group(records, groups)) == repr(pc.exposure.by_group(slates, groups))
    assert repr(pc.drift.compare(records[:1], records)) == repr(pc.drift.compare(slates[:1], slates))
