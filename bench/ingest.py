"""A Parquet file into a catalog: rows a second, and the memory that it takes beyond what stays.

    python -m bench.ingest                                  # 1,000,000 x 128
    python -m bench.ingest --rows 10000000 --dim 32
    python -m bench.ingest --rows 1000000 --dim 128 --from table
    python -m bench.ingest --rows 1000000 --dim 128 --upsert 65536

The file has an int64 id, a float32 vector, a float64 and a text of 20 values. It is written by the piece into
`--folder` and deleted afterwards; each way is then run in a process of its own, whose peak is that of the kernel
(VmHWM). `layout="exact"`, so that it is the reading that is measured and no graph. Asserts that every row is there and
that a sample of vectors is what was written.

- `--from file`: `from_arrow(path)`, through pyarrow, a row group at a time.
- `--from table`: the file read into a pyarrow table first, and `from_arrow(table)` of that: the peak beyond the table
  and the catalog is what is copied in between.
- `--upsert N`: `upsert` of the file into a catalog without items, in one change (0) or every N rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CHUNK = 100_000
MIB = 2**20


def block(first: int, rows: int, dim: int) -> np.ndarray:
    """The vectors of some rows, whatever pieces they are made in."""
    assert first % CHUNK == 0
    return np.random.default_rng(first).standard_normal((rows, dim), dtype=np.float32)


def write(path: Path, rows: int, dim: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    genres = pa.array([f"genre {i}" for i in range(20)])
    writer = None
    for first in range(0, rows, CHUNK):
        n = min(CHUNK, rows - first)
        ids = np.arange(first, first + n)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(block(first, n, dim).ravel()), dim)
        table = pa.table(
            {"id": ids, "vector": vectors, "popularity": ids * 0.5, "genre": genres.take(pa.array(ids % 20))}
        )
        writer = writer or pq.ParquetWriter(path, table.schema, compression="none", use_dictionary=["genre"])
        writer.write_table(table)
    assert writer is not None
    writer.close()


def peak() -> int:
    """Bytes resident at the most so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def resident() -> int:
    """Bytes resident now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def work(path: Path, rows: int, dim: int, source: str, upsert: int | None) -> dict[str, float]:
    """One way, in a process of its own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    import perso_core as pc

    space = pc.Space(dim, layout="exact")
    before = resident()
    table: object = path
    if source == "table":
        table = pq.read_table(path, pre_buffer=False)
        pa.default_memory_pool().release_unused()
    given = resident() - before
    told = []
    start, used = time.perf_counter(), time.process_time()
    if upsert is None:
        catalog = pc.Catalog.from_arrow(
            table, "id", {"v": ("vector", space)}, progress=lambda *at: told.append(at)
        )
    else:
        catalog = pc.Catalog({"v": space})
        catalog.upsert(
            table,
            id="id",
            spaces={"v": "vector"},
            rows_per_change=upsert or None,
            progress=lambda *at: told.append(at),
        )
    seconds, used = time.perf_counter() - start, time.process_time() - used
    highest = peak()
    assert len(catalog) == rows and told[-1] == (rows, rows), told[-1:]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    for first in (0, (rows - 1) // CHUNK * CHUNK):
        item = catalog.get([first])[0]
        assert np.array_equal(item["vectors"]["v"], block(first, min(CHUNK, rows - first), dim)[0])
        assert item["attributes"] == {"popularity": first * 0.5, "genre": f"genre {first % 20}"}
    del table
    # What Arrow keeps for next time is nobody's.
    pa.default_memory_pool().release_unused()
    return {
        "seconds": seconds,
        "cpu_seconds": used,
        "rows_per_s": rows / seconds,
        "vectors_mib": rows * dim * 4 / MIB,
        "input_mib": given / MIB,
        "catalog_mib": (resident() - before) / MIB,
        "peak_mib": (highest - before) / MIB,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--from", dest="source", choices=["file", "table"], default="file")
    parser.add_argument("--upsert", type=int, help="0 for one change")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.file:
        print(json.dumps(work(args.file, args.rows, args.dim, args.source, args.upsert)))
        return
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="perso-ingest-") as folder:
        path = Path(folder) / "items.parquet"
        write(path, args.rows, args.dim)
        command = [sys.executable, "-m", "bench.ingest", *sys.argv[1:], "--file", str(path)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(
        f"{args.rows:,} x {args.dim} from {args.source}: {found['seconds']:.1f} s ({found['cpu_seconds']:.1f} s of processors), {found['rows_per_s']:,.0f} rows/s; "
        f"vectors {found['vectors_mib']:,.0f} MiB, input held {found['input_mib']:,.0f} MiB, "
        f"catalog {found['catalog_mib']:,.0f} MiB, peak {found['peak_mib']:,.0f} MiB"
    )


if __name__ == "__main__":
    main()
