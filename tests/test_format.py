"""docs/format.md is true: what a reader written from it finds in a file is what the library says of it."""

import lzma
import struct
import zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

import format_reader
import perso_core as pc
from files import make

FOLDER = Path(__file__).parent / "files"
FILES = sorted(
    str(path.relative_to(FOLDER))
    for folder in ("v1", "v2", "v3", "records")
    for path in (FOLDER / folder).iterdir()
    if path.suffix in (".index", ".catalog", ".xz")
)


def unpacked(name, tmp_path):
    packed = (FOLDER / name).read_bytes()
    path = tmp_path / Path(name).name.removesuffix(".xz")
    path.write_bytes(lzma.decompress(packed) if name.endswith(".xz") else packed)
    return path


def opened(path):
    return (pc.Index.load if path.suffix == ".index" else pc.Catalog.open)(path)


def test_there_is_a_file_of_each_version_and_layout(tmp_path):
    seen = set()
    for name in FILES:
        file = format_reader.read(unpacked(name, tmp_path))
        for space in file.spaces.values():
            kind = "no graph" if space.links is None else "graph" if space.local is None else "local"
            seen.add((file.version, file.kind, space.described.get("layout"), kind))
    assert seen >= {
        (1, 1, None, "no graph"),
        (1, 2, None, "no graph"),
        *(
            (version, kind, *shape)
            for version in (2, 3)
            for kind in (1, 2)
            for shape in (
                ("exact", "no graph"),
                ("compact", "graph"),
                ("local", "local"),
                ("auto", "no graph"),
            )
        ),
    }


@pytest.mark.parametrize("name", FILES)
def test_a_reader_written_from_the_page_reads_what_the_library_reads(name, tmp_path):
    path = unpacked(name, tmp_path)
    file, thing = format_reader.read(path), opened(path)
    assert file.version == struct.unpack_from("<I", path.read_bytes(), 8)[0]
    live = np.flatnonzero(file.live)
    assert thing.ids.tolist() == [file.ids[row] for row in live]
    if isinstance(thing, pc.Index):
        (space,) = file.spaces.values()
        assert (thing.get(thing.ids) == space.vectors[live]).all()
        same_shape(thing.stats(), space, len(file.live))
        if thing.ids.dtype != object:
            assert thing.add(np.zeros((1, thing.dim))) == [file.meta["next_id"]]
        return
    assert file.meta["content_hash"] == file.content_hash()
    assert (thing.content_hash == file.content_hash()) == (file.version >= 3)
    file.version = 3
    assert thing.content_hash == file.content_hash()
    assert file.meta["generation"] == thing.generation
    assert list(file.spaces) == list(thing.spaces) and list(file.columns) == list(thing.attributes)
    assert {name: kind for name, (kind, _) in file.columns.items()} == thing.attributes
    for row, item in zip(live, thing.get(thing.ids), strict=True):
        for name, space in file.spaces.items():
            assert (item["vectors"][name] == space.vectors[row]).all()
        for name, (kind, values) in file.columns.items():
            value = values[row]
            if kind == "timestamp" and value is not None:
                value = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=value)
            assert item["attributes"][name] == value, name


def same_shape(stats, space, rows):
    assert stats["rows"] == rows
    if space.links is None:
        assert (stats["links"], stats["layers"], stats["layout"]) == (0, 0, "exact")
        return
    assert stats["links"] == sum(len(of) for (_, layer), of in space.links.items() if layer == 0) > 0
    assert stats["layers"] == space.levels.max() + 1
    assert stats["taught_links"] == sum(map(len, space.taught.values()))
    assert stats["layout"] == ("compact" if space.local is None else "local")


def same_answers(one, other):
    queries = np.random.default_rng(3).standard_normal((6, 6)).astype(np.float32)
    if isinstance(one, pc.Index):
        for index in (one, other):
            hits = index.search(queries, exact=True)
            yield index.ids.tolist(), index.get(index.ids).tobytes(), hits.ids.tolist(), hits.scores.tobytes()
        return
    for catalog in (one, other):
        yield catalog.content_hash, catalog.generation, catalog.ids.tolist()


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize(("name", "made"), list(make.layouts()), ids=[name for name, _ in make.layouts()])
def test_files_of_each_layout_are_read(version, name, made, tmp_path):
    stored = name if f"{version}/{name}" in FILES else f"{name}.xz"
    path = unpacked(f"{version}/{stored}", tmp_path)
    again = opened(path)
    one, other = same_answers(again, made)
    assert one == other
    # What it is saved as holds the same, links and codes included.
    again.save(tmp_path / "again")
    first, second = format_reader.read(path), format_reader.read(tmp_path / "again")
    for space, copy in zip(first.spaces.values(), second.spaces.values(), strict=True):
        assert (space.links, space.taught, space.entry) == (copy.links, copy.taught, copy.entry)
        assert (space.local is None) or (space.local == copy.local).all()
    if first.version >= 3:
        assert first.meta == second.meta


def test_the_reader_notices_what_is_wrong(tmp_path):
    """The oracle is none if it reads anything."""
    path = unpacked("v2/exact.index", tmp_path)
    good = path.read_bytes()
    for at in (9, 30, 70, len(good) - 100):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(AssertionError):
            format_reader.read(path)


def test_a_profile_is_the_bytes_of_the_page():
    catalog = pc.Catalog({"cf": pc.Space(2, "ip")})
    catalog.upsert(["x"], [[3.0, 4.0]])
    plan = pc.ProfilePlan("cf", kinds={"view": 1.0, "skip": -0.5}, half_life="30m")
    profile = pc.Profile(plan, catalog, base=[2.0, 0.0])
    profile.observe("x", "view", at="1970-01-01T00:00:01Z")
    stored = profile.to_bytes()
    head = struct.unpack_from("<8sII32sIIqddd", stored)
    assert head[:3] == (b"PERSOPRO", 1, 2) and head[4:7] == (2, 1, 1_000_000)
    assert head[3].hex() == plan.hash
    assert head[7:] == (1.0, 1.0, 0.0)
    rest = struct.unpack_from("<QQ6dffI", stored, 88)
    assert rest[:2] == (0, 1)  # "skip" comes before "view"
    np.testing.assert_allclose(rest[2:8], [0.6, 0.8, 0.6, 0.8, 0, 0], rtol=1e-7)
    assert rest[8:10] == (2.0, 0.0)
    assert rest[10] == zlib.crc32(stored[:-4]) and len(stored) == 88 + struct.calcsize("<QQ6dffI")
