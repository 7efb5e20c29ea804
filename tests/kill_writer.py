"""Kills a writer of a durable catalog again and again, and looks at what it left. Run by test_durable.py:

    python tests/kill_writer.py FOLDER ROUNDS SEED

The writer is a forked child, so that a round costs milliseconds: it opens the catalog, makes one change after
another, each a function of the catalog alone, and writes the generation into a pipe when a change was
acknowledged. The parent kills it at a random moment, opens the file, and compares with a catalog of its own
that made the same changes and was never killed: every acknowledged change is there, at most one more, and the
content hash is the same. Prints what it has seen as JSON.
"""

import json
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

import numpy as np

import perso_core as pc

SPACES = {"a": pc.Space(4, "cosine", "i8"), "b": pc.Space(3, "ip", "f32")}
LOG_LIMIT = 20_000


def change(cat: pc.Catalog) -> None:
    """The next change; it always changes something."""
    rng = np.random.default_rng(cat.generation)
    kind = rng.integers(10)
    ids = np.sort(cat.ids)
    if kind < 2 and len(ids) > 50:
        cat.remove(rng.choice(ids, 4, replace=False))
    elif kind < 4 and len(ids) > 0:
        cat.upsert(rng.choice(ids, 1), attributes={"plays": [int(rng.integers(1000))]})
    else:
        n = int(rng.integers(1, 8))
        new = rng.choice(300, n, replace=False)
        vectors = {"a": rng.standard_normal((n, 4)), "b": rng.standard_normal((n, 3))}
        tags = [["x", "y"][: int(rng.integers(3))] for _ in range(n)]
        cat.upsert(new, vectors, {"price": rng.random(n), "tags": tags})


def write_until_killed(path: Path, out: int) -> None:
    cat = pc.Catalog.open(path, durable=True, spaces=SPACES, log_limit=LOG_LIMIT)
    while True:
        change(cat)
        os.write(out, struct.pack("<Q", cat.generation))


def main(folder: Path, rounds: int, seed: int) -> None:
    path = folder / "items.perso"
    rng = random.Random(seed)
    model = pc.Catalog(SPACES)
    seen = {"rounds": 0, "changes": 0, "in_flight": 0, "torn": 0, "segment": 0, "unopened": 0}
    for _ in range(rounds):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            try:
                write_until_killed(path, write)
            except BaseException as error:
                print(repr(error), file=sys.stderr)
            os._exit(1)
        os.close(write)
        time.sleep(rng.random() * 0.06)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the writer ended by itself"
        with os.fdopen(read, "rb") as pipe:
            acknowledged = [number for (number,) in struct.iter_unpack("<Q", pipe.read())]
        seen["rounds"] += 1
        if not path.exists():
            assert not acknowledged and model.generation == 0
            seen["unopened"] += 1
            continue
        last = acknowledged[-1] if acknowledged else model.generation
        assert acknowledged in ([], list(range(model.generation + 1, last + 1)))
        found = pc.Catalog.open(path)
        assert found.generation in (last, last + 1), (found.generation, last)
        while model.generation < found.generation:
            change(model)
        assert found.content_hash == model.content_hash
        assert np.array_equal(found.ids, model.ids)
        query = [1.0, -2.0, 0.5, 3.0]
        assert np.array_equal(found.search(query, space="a").ids, model.search(query, space="a").ids)
        seen["changes"] = found.generation
        seen["in_flight"] += found.generation - last
        seen["segment"] = max(int(log.name.split(".")[-1]) for log in folder.glob("*.log.*"))
    with pc.Catalog.open(path, durable=True, log_limit=LOG_LIMIT) as cat:
        change(cat)
        change(model)
        assert cat.content_hash == model.content_hash
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
