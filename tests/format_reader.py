"""A reader of index and catalog files, in NumPy, written from docs/format.md alone: the oracle of test_format.py."""

import hashlib
import json
import struct
import zlib
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

NONE = 0xFFFFFFFF
DTYPES = {"f32": "<f4", "f16": "<f2", "i8": "i1"}


def sections(file):
    """Version, kind and the sections by name."""
    magic, version, kind, count, table_crc, size = struct.unpack_from("<8sIIIIQ", file)
    assert magic == b"PERSOCOR" and version in (1, 2, 3) and count <= 65536
    assert size == len(file) and len(file) % 64 == 0 and not any(file[32:60])
    assert zlib.crc32(file[:60]) == struct.unpack_from("<I", file, 60)[0]
    assert zlib.crc32(file[64 : 64 + 64 * count]) == table_crc
    found, free = {}, 64 + 64 * count
    for i in range(count):
        name, start, length, crc, zero = struct.unpack_from("<40sQQII", file, 64 + 64 * i)
        assert start % 64 == 0 and start - 64 < free <= start and start + length <= size and zero == 0
        assert not any(file[free:start])
        free = start + length
        assert zlib.crc32(file[start:free]) == crc
        name = name.rstrip(b"\0").decode()
        assert name not in found
        found[name] = file[start:free]
    assert not any(file[free:]) and len(file) - free < 64
    return version, kind, found


@dataclass
class Space:
    described: dict
    vectors: np.ndarray  # as search scores them: decoded, of the finer copy where there is one
    norms: np.ndarray
    row_bytes: list  # of the content hash
    links: dict | None  # (row, layer) to rows
    levels: np.ndarray | None = None
    entry: int | None = None
    taught: dict = field(default_factory=dict)
    local: np.ndarray | None = None


@dataclass
class File:
    version: int
    kind: int
    meta: dict
    live: np.ndarray
    ids: list
    spaces: dict
    columns: dict

    def content_hash(self):
        """As the version of the file states it."""
        facts = self.version >= 3
        hasher = hashlib.sha256(b"perso_core.content/2" if facts else b"perso_core.content/1")
        for name, space in self.spaces.items():
            of = space.described
            hasher.update(text(name) + struct.pack("<Q", of["dim"]))
            hasher.update(of["metric"].encode() + b"\0" + of["dtype"].encode() + b"\0")
            if of.get("rescore"):
                hasher.update(of["rescore"].encode() + b"\xff")
        total = 0
        for row in np.flatnonzero(self.live):
            for summed in self.facts(row) if facts else [self.row_bytes(row)]:
                total += int.from_bytes(hashlib.sha256(summed).digest(), "little")
        if facts and "facts" in self.meta:
            stated = b"".join(struct.pack("<Q", word) for word in self.meta["facts"])
            assert stated == (total % 2**256).to_bytes(32, "little")
        hasher.update(struct.pack("<Q", int(self.live.sum())))
        hasher.update((total % 2**256).to_bytes(32, "little"))
        return hasher.hexdigest()

    def id_bytes(self, row):
        id = self.ids[row]
        return b"\x01" + text(id) if isinstance(id, str) else b"\0" + struct.pack("<q", id)

    def values(self, row):
        for name, (kind, values) in self.columns.items():
            if values[row] is not None:
                yield text(name) + value_bytes(kind, values[row])

    def facts(self, row):
        id = self.id_bytes(row)
        return [
            b"\0" + id + b"".join(space.row_bytes[row] for space in self.spaces.values()),
            *(b"\x01" + id + value for value in self.values(row)),
        ]

    def row_bytes(self, row):
        return (
            self.id_bytes(row)
            + b"".join(space.row_bytes[row] for space in self.spaces.values())
            + b"".join(self.values(row))
        )


def text(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def value_bytes(kind, value):
    match kind:
        case "bool":
            return bytes([1, value])
        case "int":
            return struct.pack("<Bq", 2, value)
        case "float":
            return struct.pack("<Bd", 3, value)
        case "timestamp":
            return struct.pack("<Bq", 4, value)
        case "str":
            return b"\x05" + text(value)
        case "list[str]":
            return struct.pack("<BQ", 6, len(value)) + b"".join(map(text, value))


def read(path):
    """An index or a catalog."""
    version, kind, found = sections(path.read_bytes())

    def numbers(name, dtype):
        return np.frombuffer(found[name], dtype)

    meta = json.loads(found["meta"])
    live = numbers("live", "u1").astype(bool)
    rows = len(live)
    if "ids.int" in found:
        ids = numbers("ids.int", "<i8").tolist()
    else:
        ends = numbers("ids.ends", "<u8").tolist()
        ids = [found["ids.text"][a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]
    assert len(ids) == rows
    described = [("", meta["spec"])] if kind == 1 else meta["spaces"]
    spaces = {}
    for i, (name, spec) in enumerate(described):
        spaces[name] = read_space(found, numbers, "" if kind == 1 else f"s{i}.", spec, rows)
    columns = {}
    for i, (name, column_kind) in enumerate(meta.get("columns", [])):
        columns[name] = column_kind, read_column(found, numbers, f"c{i}.", column_kind, rows)
    return File(version, kind, meta, live, ids, spaces, columns)


def read_space(found, numbers, prefix, spec, rows):
    dim, m = spec["dim"], spec["m"]
    stored = numbers(prefix + "vectors", DTYPES[spec["dtype"]]).reshape(rows, dim)
    row_bytes = [row.tobytes() for row in stored]
    vectors = stored.astype(np.float32)
    if spec["dtype"] == "i8":
        scales = numbers(prefix + "scales", "<f4")
        assert np.abs(stored.astype(int)).max(initial=0) <= 127
        vectors = vectors * scales[:, None]
        row_bytes = [scale.tobytes() + row for scale, row in zip(scales, row_bytes, strict=True)]
    norms = numbers(prefix + "norms", "<f4")
    assert len(norms) == rows
    np.testing.assert_allclose(norms, np.linalg.norm(vectors.astype(float), axis=1), rtol=1e-5)
    if spec.get("rescore"):
        fine = numbers(prefix + "fine_vectors", "<f2").reshape(rows, dim)
        assert len(numbers(prefix + "fine_norms", "<f4")) == rows
        vectors = fine.astype(np.float32)
        row_bytes = [row + more.tobytes() for row, more in zip(row_bytes, fine, strict=True)]
    space = Space(spec, vectors, norms, row_bytes, None)
    if prefix + "links" not in found:
        return space

    base = numbers(prefix + "links", "<u4").reshape(rows, 2 * m)
    space.levels = numbers(prefix + "levels", "u1")
    assert len(space.levels) == rows and space.levels.max(initial=0) <= 32
    upper = numbers(prefix + "upper", "<u4").reshape(int(space.levels.sum()), m)
    (space.entry,) = numbers(prefix + "entry", "<u4").tolist()
    space.links, at = {}, 0
    for row, level in enumerate(space.levels.tolist()):
        lists = [base[row], *upper[at : at + level]]
        at += level
        for layer, slots in enumerate(lists):
            own = slots.tolist()
            degree = own.index(NONE) if NONE in own else len(own)
            assert set(own[degree:]) <= {NONE}
            assert all(space.levels[link] >= layer and link != row for link in own[:degree])
            space.links[row, layer] = own[:degree]
    assert rows == 0 or space.levels[space.entry] == space.levels.max()
    if prefix + "due" in found:
        assert len(numbers(prefix + "due", "<u4")) == 2
    if prefix + "taught" in found:
        starts, taught = numbers(prefix + "taught_starts", "<u4"), numbers(prefix + "taught", "<u4")
        for row, (begin, end) in enumerate(pairwise(starts.tolist())):
            space.taught[row] = taught[begin:end].tolist()
    if prefix + "local" in found:
        code = max(128, -(-dim // 16) * 16)
        space.local = numbers(prefix + "local", "<u2").reshape(rows, -(-2 * m // 32), 2 * code + 64)
        assert len(numbers(prefix + "local_mean", "<f4")) == (dim if spec["metric"] == "l2" else 0)
    return space


def read_column(found, numbers, prefix, kind, rows):
    parts = {
        name: numbers(prefix + name, dtype)
        for name, dtype in (
            ("validity", "u1"),
            ("bools", "u1"),
            ("ints", "<i8"),
            ("floats", "<f8"),
            ("codes", "<u4"),
            ("offsets", "<u8"),
            ("dict_offsets", "<u8"),
        )
    }
    used = {
        "bool": {"bools"},
        "int": {"ints"},
        "timestamp": {"ints"},
        "float": {"floats"},
        "str": {"codes", "dict_offsets"},
        "list[str]": {"codes", "offsets", "dict_offsets"},
    }[kind]
    assert all(name in used or len(of) == 0 for name, of in parts.items() if name != "validity")
    entries = []
    if "dict_offsets" in used:
        ends = parts["dict_offsets"].tolist()
        entries = [found[prefix + "dict_bytes"][a:b].decode() for a, b in pairwise(ends)]
    match kind:
        case "str":
            valid = parts["validity"]
            values = [entries[c] if ok else None for c, ok in zip(parts["codes"], valid, strict=True)]
        case "list[str]":
            ends = parts["offsets"].tolist()
            values = [[entries[code] for code in parts["codes"][a:b]] for a, b in pairwise(ends)]
        case _:
            (name,) = used
            values = parts[name].tolist()
    assert len(values) == rows == len(parts["validity"])
    return [value if ok else None for value, ok in zip(values, parts["validity"], strict=True)]
