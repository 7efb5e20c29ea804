"""Writes the files of this folder: run it with the release whose format they are to have.

    python tests/files/make.py v1
    python tests/files/make.py log1

The content is a function of nothing but this script, so that a test can make it again and compare it with what a
later release reads. Format version 1 is that of commit 7b61bc8; version 2, of which there is a file of each layout as
well, that of 1f27b52, which wrote `v2/`, and version 3 that of 71b675b, which wrote `v3/`. Those with a graph have a thousand rows and are kept packed.
"""

import json
import lzma
import sys
from pathlib import Path

import numpy as np

import perso_core as pc

FOLDER = Path(__file__).parent
ROWS = 40


def numbers(seed, dim):
    return np.random.default_rng(seed).standard_normal((ROWS, dim)).astype(np.float32)


def indexes():
    """By name: an index of each storage type, each with another metric, some ids removed."""
    for dtype, metric, dim in (("f32", "l2", 3), ("f16", "ip", 4), ("i8", "cosine", 5)):
        index = pc.Index(dim, metric, dtype, M=6, ef_construction=30, seed=3)
        names = [f"käse {i}" for i in range(ROWS)] if dtype == "f16" else [7 * i for i in range(ROWS)]
        index.add(numbers(dim, dim), names)
        index.remove([names[4], names[9]])
        yield f"{dtype}.index", index


def catalog():
    """Two spaces and an attribute of each kind."""
    made = pc.Catalog({"a": pc.Space(4, "cosine", "i8"), "b": pc.Space(3, "ip", "f32", 5, 20)}, seed=9)
    ids = [f"item-{i}" for i in range(ROWS)]
    attributes = {
        "flag": [True, None] * (ROWS // 2),
        "count": [*range(ROWS - 1), None],
        "price": [i / 8 for i in range(ROWS)],
        "at": [np.datetime64("2026-01-02T03:04:05"), None] * (ROWS // 2),
        "genre": ["x", "y"] * (ROWS // 2),
        "tags": [["p", "q"], []] * (ROWS // 2),
    }
    made.upsert(ids, {"a": numbers(1, 4), "b": numbers(2, 3)}, attributes)
    made.remove(ids[3:5])
    return made


GRAPH_ROWS = 1030


def layouts():
    """By name: an index of each layout, and a catalog of several; taught, tuned, finer, with text ids here and there."""
    rows = np.random.default_rng(20).standard_normal((GRAPH_ROWS, 6)).astype(np.float32)
    names = [f"käse {i}" for i in range(GRAPH_ROWS)]
    form = {"M": 2, "ef_construction": 20, "seed": 5}
    exact = pc.Index(6, "ip", "f32", layout="exact", **form)
    exact.add(rows[:ROWS], names[:ROWS])
    yield "exact.index", exact
    compact = pc.Index(6, "cosine", "i8", layout="compact", rescore="f16", **form)
    compact.add(rows, num_threads=1)
    compact.fit(rows[:40] + rows[100:140], num_threads=1)
    compact.tune(rows[:50], 0.9, num_threads=1)
    compact.remove([3, 500])
    yield "compact.index", compact
    local = pc.Index(6, "l2", "f16", layout="local", **form)
    local.add(rows, names, num_threads=1)
    local.remove(names[7:9])
    yield "local.index", local
    spaces = {
        "a": pc.Space(6, "cosine", "i8", layout="local", rescore="f16", **SMALL),
        "b": pc.Space(3, "ip", "f32", layout="compact", **SMALL),
        "c": pc.Space(2, "l2", "f16", layout="exact", **SMALL),
    }
    mixed = pc.Catalog(spaces, seed=9)
    attributes = {
        "flag": [None if i % 5 == 2 else i % 3 == 0 for i in range(GRAPH_ROWS)],
        "count": [None if i % 7 == 3 else i - 500 for i in range(GRAPH_ROWS)],
        "price": [None if i % 11 == 5 else i / 8 for i in range(GRAPH_ROWS)],
        "at": [np.datetime64("2026-01-02") + np.timedelta64(i, "h") for i in range(GRAPH_ROWS)],
        "genre": [None if i % 6 == 1 else "xyzß"[i % 4] for i in range(GRAPH_ROWS)],
        "tags": [None if i % 9 == 4 else ["p", "q", "r"][: i % 4] for i in range(GRAPH_ROWS)],
    }
    mixed.upsert(
        range(GRAPH_ROWS), {"a": rows, "b": rows[:, :3], "c": rows[:, 3:5]}, attributes, num_threads=1
    )
    mixed.remove([1, 2])
    yield "layouts.catalog", mixed


SMALL = {"M": 2, "ef_construction": 20}


def log(folder):
    """A durable catalog whose log has every kind of change, and what it must come to."""
    path = folder / "items.perso"
    spaces = {"a": pc.Space(4, "cosine", "i8"), "b": pc.Space(3, "ip", "f32")}
    with pc.Catalog.open(path, durable=True, spaces=spaces, seed=9) as made:
        whole = catalog()
        for item in whole.get(whole.ids):
            made.upsert(
                [item["id"]],
                {name: vector[None] for name, vector in item["vectors"].items()},
                {name: [value] for name, value in item["attributes"].items()},
            )
        made.upsert(["item-7", "item-1"], attributes={"count": [None, -5], "tags": [["ü"], None]})
        made.remove(["item-0", "item-39"])
    path.with_name("items.perso.lock").unlink()
    expected = {
        "generation": made.generation,
        "content_hash": made.content_hash,
        "ids": sorted(map(str, made.ids)),
    }
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


def main(version):
    folder = FOLDER / version
    folder.mkdir(exist_ok=True)
    if version.startswith("log"):
        log(folder)
        return
    for name, index in indexes():
        index.save(folder / name)
    catalog().save(folder / "items.catalog")
    for name, thing in layouts():
        thing.save(folder / name)
        if (folder / name).stat().st_size > 20_000:
            packed = lzma.compress((folder / name).read_bytes(), preset=9)
            (folder / f"{name}.xz").write_bytes(packed)
            (folder / name).unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
