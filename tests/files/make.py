"""Writes the files of this folder: run it with the release whose format they are to have.

    python tests/files/make.py v1

The content is a function of nothing but this script, so that a test can make it again and compare it with what a
later release reads. Format version 1 is that of commit 7b61bc8.
"""

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


def main(version):
    folder = FOLDER / version
    folder.mkdir(exist_ok=True)
    for name, index in indexes():
        index.save(folder / name)
    catalog().save(folder / "items.catalog")


if __name__ == "__main__":
    main(*sys.argv[1:])
