"""Files: what was saved is what is read; what is damaged is refused and never believed."""

import contextlib
import json
import os
import pickle
import stat
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import perso_core as pc

HEADER = ENTRY = 64


def small_index(rng, dtype="i8", ids="int"):
    index = pc.Index(5, "ip", dtype)
    names = [f"käse {i}" for i in range(12)] if ids == "str" else range(100, 112)
    index.add(rng.standard_normal((12, 5)), list(names))
    index.remove([names[3], names[7]])
    return index


def small_catalog(rng):
    cat = pc.Catalog({"a": pc.Space(4, "cosine", "i8"), "b": pc.Space(3, "l2", "f16")})
    ids = [f"item-{i}" for i in range(9)]
    cat.upsert(
        ids,
        {"a": rng.standard_normal((9, 4)), "b": rng.standard_normal((9, 3))},
        {
            "flag": [True, False, None] * 3,
            "count": [*range(8), None],
            "price": [1.5, None, *range(7)],
            "at": [np.datetime64("2024-05-06T07:08:09.123456"), *[None] * 8],
            "genre": ["x", "y", None] * 3,
            "tags": [["x", "z"], [], None] * 3,
        },
    )
    cat.remove(ids[2:4])
    return cat


def graph_index(rng):
    index = pc.Index(64, "l2", "f32", M=4, ef_construction=20)
    index.add(rng.standard_normal((8200, 64)))
    assert index.stats()["links"] > 0 and index.stats()["path"] == "graph"
    return index


def content(thing):
    """All that a user can see of an index or a catalog."""
    rng = np.random.default_rng(1)
    if isinstance(thing, pc.Index):
        hits = thing.search(rng.standard_normal((4, thing.dim)), k=15)
        return [
            (thing.dim, thing.metric, thing.dtype, len(thing)),
            thing.ids.tolist(),
            thing.get(thing.ids).tobytes(),
            hits.ids.tolist(),
            hits.scores.tobytes(),
            hits.path,
        ]
    found = [thing.generation, thing.content_hash, repr(thing.spaces), repr(thing.attributes)]
    for item in thing.get(thing.ids):
        found += [item["id"], item["attributes"], *(v.tobytes() for v in item["vectors"].values())]
    for name, space in thing.spaces.items():
        hits = thing.search(rng.standard_normal((3, space.dim)), k=8, space=name)
        found += [hits.ids.tolist(), hits.scores.tobytes()]
    return found


def read(thing, path, mmap):
    return (
        type(thing).load(path, mmap=mmap) if isinstance(thing, pc.Index) else pc.Catalog.open(path, mmap=mmap)
    )


MAKERS = {
    "index f32": lambda rng: small_index(rng, "f32"),
    "index f16": lambda rng: small_index(rng, "f16"),
    "index i8 str": lambda rng: small_index(rng, "i8", "str"),
    "empty index": lambda rng: pc.Index(3),
    "graph": graph_index,
    "catalog": small_catalog,
    "empty catalog": lambda rng: pc.Catalog({"a": pc.Space(2)}),
}


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_what_was_saved_is_what_is_read(rng, tmp_path, make, mmap):
    thing = make(rng)
    thing.save(tmp_path / "file")
    again = read(thing, tmp_path / "file", mmap)
    assert content(again) == content(thing)
    # The copy is written as the original was, and lives on alone.
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "file").read_bytes()


@pytest.mark.parametrize("mmap", [False, True])
def test_an_index_grows_on_as_if_it_had_never_been_saved(rng, tmp_path, mmap):
    index = graph_index(rng)
    index.save(tmp_path / "file")
    again = pc.Index.load(str(tmp_path / "file"), mmap=mmap)
    more = rng.standard_normal((50, 64))
    assert index.add(more).tolist() == again.add(more).tolist()
    index.remove([3]), again.remove([3])
    assert content(again) == content(index)


def test_a_catalog_changes_on_after_it_was_mapped(rng, tmp_path):
    cat = small_catalog(rng)
    cat.save(tmp_path / "file")
    again = pc.Catalog.open(tmp_path / "file", mmap=True)
    for one in (cat, again):
        one.upsert(["new"], {"a": np.ones((1, 4)), "b": np.ones((1, 3))}, {"tags": [["q"]]})
        one.upsert(["item-0"], attributes={"genre": ["w"]})
    assert content(again) == content(cat)
    os.remove(tmp_path / "file")
    assert content(again) == content(cat)


# --- damage ----------------------------------------------------------------------------------------


def same_or_refused(path, thing, expected, damaged, mmap):
    path.write_bytes(damaged)
    try:
        again = read(thing, path, mmap)
    except pc.FormatError:
        return True
    assert content(again) == expected, "a damaged file was believed"
    return False


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", ["index i8 str", "catalog"])
def test_every_truncation_is_refused(rng, tmp_path, name, mmap):
    thing = MAKERS[name](rng)
    thing.save(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    for length in {*range(0, 400), *rng.integers(len(whole), size=150).tolist(), len(whole) - 1}:
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(pc.FormatError):
            read(thing, tmp_path / "cut", mmap)
    (tmp_path / "cut").write_bytes(whole + b"\0")
    with pytest.raises(pc.FormatError, match=r"bytes"):
        read(thing, tmp_path / "cut", mmap)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", ["index f16", "index i8 str", "catalog"])
def test_a_flipped_bit_is_noticed_or_harmless(rng, tmp_path, name, mmap):
    thing = MAKERS[name](rng)
    thing.save(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    expected = content(thing)
    covered = ranges(whole)
    for at in rng.permutation(len(whole))[:400]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        refused = same_or_refused(tmp_path / "damaged", thing, expected, damaged, mmap)
        if at < HEADER or any(at in section for section in covered.values()):
            assert refused, f"byte {at}"


@pytest.mark.parametrize("name", ["index i8 str", "catalog"])
def test_garbage_in_the_middle_is_noticed_or_harmless(rng, tmp_path, name):
    thing = MAKERS[name](rng)
    thing.save(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    expected = content(thing)
    for _ in range(200):
        damaged = bytearray(whole)
        start = int(rng.integers(len(whole)))
        stop = min(len(whole), start + int(rng.integers(1, 300)))
        damaged[start:stop] = rng.bytes(stop - start)
        same_or_refused(tmp_path / "damaged", thing, expected, damaged, mmap=False)


# --- hostile files: damage with checksums that fit -------------------------------------------------


def ranges(file):
    """Section name to the range of its bytes."""
    count = struct.unpack_from("<I", file, 16)[0]
    out = {}
    for i in range(count):
        entry = file[HEADER + ENTRY * i :][:ENTRY]
        offset, length = struct.unpack_from("<QQ", entry, 40)
        out[entry[:40].rstrip(b"\0").decode()] = range(offset, offset + length)
    return out


def resealed(file):
    """The file with every checksum that a reader looks at made right again, as far as that is possible."""
    file = bytearray(file)
    count = min(struct.unpack_from("<I", file, 16)[0], (len(file) - HEADER) // ENTRY)
    for i in range(count):
        at = HEADER + ENTRY * i
        offset, length = struct.unpack_from("<QQ", file, at + 40)
        struct.pack_into("<I", file, at + 56, zlib.crc32(file[offset : offset + length]))
    struct.pack_into("<I", file, 20, zlib.crc32(file[HEADER : HEADER + ENTRY * count]))
    struct.pack_into("<I", file, 60, zlib.crc32(file[:60]))
    return bytes(file)


def exercise(thing):
    """Uses every part of what was read; whatever comes, it must not crash, panic or hang."""
    content(thing)
    repr(thing), thing.stats()
    if isinstance(thing, pc.Index):
        thing.add(np.ones((2, thing.dim)), ["n1", "n2"] if thing.ids.dtype == object else None)
        return
    policy = pc.Policy(score=pc.Blend(similarity=None, count=1.0, price=0.5), caps={"tags": 1, "genre": 2})
    if {"count", "price", "tags", "genre"} <= set(thing.attributes):
        pc.rank(thing, None, policy, k=5)


def attack(thing, path, damaged):
    path.write_bytes(resealed(damaged))
    try:
        again = read(thing, path, mmap=False)
    except pc.FormatError:
        return 1
    # Such as an id that is there twice by now; anything else, a panic above all, fails the test.
    with contextlib.suppress(ValueError, TypeError, KeyError):
        exercise(again)
    return 0


@pytest.mark.parametrize("name", ["index f32", "index i8 str", "catalog"])
def test_a_hostile_small_file_does_no_harm(rng, tmp_path, name):
    thing = MAKERS[name](rng)
    thing.save(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    extremes = [0, 1, 0x7F, 0x80, 0xFF]
    words = [0, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
    refused = 0
    for at in rng.permutation(len(whole))[:1000]:
        damaged = bytearray(whole)
        damaged[at] = rng.choice([*extremes, int(rng.integers(256))])
        if at >= HEADER + 8 and rng.random() < 0.5:
            damaged[at - 7 : at + 1] = struct.pack("<Q", words[rng.integers(len(words))])
        refused += attack(thing, tmp_path / "hostile", damaged)
    assert refused > 100


def test_a_hostile_graph_does_no_harm(rng, tmp_path):
    thing = graph_index(rng)
    assert thing.fit(rng.standard_normal((50, 64))).links > 0
    thing.save(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    where = ranges(whole)
    refused = 0
    for name in ("links", "levels", "upper", "entry", "taught_starts", "taught", "meta"):
        for _ in range(25):
            section = where[name]
            damaged = bytearray(whole)
            at = section.start + int(rng.integers(len(section)))
            if name == "meta":
                damaged[at] = int(rng.choice(list(b'0123456789"}-e')))
            else:
                at -= at % 4
                struct.pack_into(
                    "<I", damaged, min(at, section.stop - 4), int(rng.choice([8200, 2**31, 2**32 - 1]))
                )
            refused += attack(thing, tmp_path / "hostile", damaged)
    assert refused > 90


@pytest.mark.parametrize("length", [2**64 - 1, 2**63, 2**40, 2**32])
def test_a_length_beyond_the_file_is_refused_before_memory_is_asked_for(rng, tmp_path, length):
    small_catalog(rng).save(tmp_path / "file")
    damaged = bytearray((tmp_path / "file").read_bytes())
    struct.pack_into("<Q", damaged, HEADER + 48, length)
    struct.pack_into(
        "<I",
        damaged,
        20,
        zlib.crc32(damaged[HEADER : HEADER + ENTRY * struct.unpack_from("<I", damaged, 16)[0]]),
    )
    struct.pack_into("<I", damaged, 60, zlib.crc32(damaged[:60]))
    (tmp_path / "file").write_bytes(damaged)
    with pytest.raises(pc.FormatError, match="lies outside the file"):
        pc.Catalog.open(tmp_path / "file")


def test_a_later_version_is_named(rng, tmp_path):
    small_index(rng).save(tmp_path / "file")
    file = bytearray((tmp_path / "file").read_bytes())
    struct.pack_into("<I", file, 8, 4)
    (tmp_path / "file").write_bytes(resealed(file))
    with pytest.raises(pc.FormatError, match=r"version 4.*version 1 to 3"):
        pc.Index.load(tmp_path / "file")


# --- what is no such file --------------------------------------------------------------------------

FOREIGN = {
    "empty": b"",
    "text": b"hello world\n" * 50,
    "npy": b"\x93NUMPY" + bytes(200),
    "zeros": bytes(4096),
}


@pytest.mark.parametrize("bytes_", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("opener", [pc.Index.load, pc.Catalog.open], ids=["index", "catalog"])
def test_a_foreign_file_is_refused(tmp_path, opener, bytes_):
    (tmp_path / "file").write_bytes(bytes_)
    for mmap in (False, True):
        with pytest.raises(pc.FormatError, match="not a perso_core file"):
            opener(tmp_path / "file", mmap=mmap)


def test_an_index_is_no_catalog(rng, tmp_path):
    small_index(rng).save(tmp_path / "index")
    small_catalog(rng).save(tmp_path / "catalog")
    with pytest.raises(pc.FormatError, match="holds an index, not a catalog"):
        pc.Catalog.open(tmp_path / "index")
    with pytest.raises(pc.FormatError, match="holds a catalog, not an index"):
        pc.Index.load(tmp_path / "catalog")
    assert issubclass(pc.FormatError, ValueError)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("opener", [pc.Index.load, pc.Catalog.open], ids=["index", "catalog"])
def test_what_the_system_refuses_is_an_oserror(tmp_path, opener, mmap):
    with pytest.raises(FileNotFoundError):
        opener(tmp_path / "nothing here", mmap=mmap)
    with pytest.raises(OSError):
        opener(tmp_path, mmap=mmap)


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs device files")
def test_a_device_is_no_file():
    with pytest.raises((OSError, pc.FormatError)):
        pc.Index.load("/dev/null")


# --- saving ----------------------------------------------------------------------------------------


def test_saving_over_a_file_replaces_it(rng, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"something else")
    index = small_index(rng)
    index.save(path)
    assert content(pc.Index.load(path)) == content(index)
    assert [p.name for p in tmp_path.iterdir()] == ["file"], "temporary files are left behind"
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) & 0o444, "others may read it like any file"


def test_a_mapped_index_outlives_the_file_that_replaces_its_own(rng, tmp_path):
    path = tmp_path / "file"
    old, new = small_index(rng), small_index(rng)
    old.save(path)
    mapped = pc.Index.load(path, mmap=True)
    new.save(path)
    assert content(mapped) == content(old)
    assert content(pc.Index.load(path, mmap=True)) == content(new)
    mapped.save(path)
    assert content(mapped) == content(old) == content(pc.Index.load(path))


def test_a_save_that_fails_leaves_the_old_file(rng, tmp_path):
    path = tmp_path / "file"
    index = graph_index(rng)
    index.save(path)
    before = path.read_bytes()
    index.remove([0])

    def stop(done, total):
        raise RuntimeError("no")

    for _ in range(30):  # a save may be done before anybody asks; then its progress is told at the end
        with pytest.raises(RuntimeError, match="no"):
            index.save(path, progress=stop)
        if path.read_bytes() == before:
            break
        path.write_bytes(before)
    assert {p.name for p in tmp_path.iterdir()} == {"file"}
    with pytest.raises(OSError):
        index.save(tmp_path / "no such folder" / "file")
    with pytest.raises(OSError):
        index.save(tmp_path)


@pytest.mark.parametrize("mmap", [False, True])
def test_progress_of_opening_and_saving(rng, tmp_path, mmap):
    told = []
    cat = small_catalog(rng)
    cat.save(tmp_path / "file", progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == (tmp_path / "file").stat().st_size
    pc.Catalog.open(tmp_path / "file", mmap=mmap, progress=lambda done, total: None)


@pytest.mark.parametrize("make", [small_index, small_catalog])
def test_pickle_is_refused(rng, make):
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(make(rng))


# --- files of earlier releases ---------------------------------------------------------------------


def old_files():
    from files import make

    return [*make.indexes(), ("items.catalog", make.catalog())]


@pytest.mark.parametrize("mmap", [False, True])
def test_files_of_version_1_are_read(tmp_path, mmap):
    folder = Path(__file__).parent / "files" / "v1"
    for name, made in old_files():
        assert struct.unpack_from("<I", (folder / name).read_bytes(), 8) == (1,)
        again = read(made, folder / name, mmap)
        assert content(again) == content(made), name
        again.save(tmp_path / name)
        assert struct.unpack_from("<I", (tmp_path / name).read_bytes(), 8) == (3,)
        assert content(read(made, tmp_path / name, mmap)) == content(made), name


def as_version_1(file):
    """The same file as the first release would have written it."""
    file = bytearray(file)
    meta = ranges(file)["meta"]
    described = json.loads(file[meta.start : meta.stop])
    del described["spec"]["layout"], described["spec"]["rescore"]
    described = json.dumps(described).encode().ljust(len(meta))
    file[meta.start : meta.stop] = described
    struct.pack_into("<I", file, 8, 1)
    return resealed(file)


def test_a_graph_of_version_1_is_read(rng, tmp_path):
    thing = graph_index(rng)
    thing.save(tmp_path / "new")
    (tmp_path / "old").write_bytes(as_version_1((tmp_path / "new").read_bytes()))
    again = pc.Index.load(tmp_path / "old")
    assert content(again) == content(thing)
    assert again.layout == "auto" and again.rescore is None
