"""Decision records as Arrow: bytes a decision and records a second, beside JSON lines.

    python -m bench.records

1,000 slates of 20 items out of pools of 500, users of 64 components, epsilon-greedy: a log as a feed writes it.
"""

import gzip
import io
import json
import time

import numpy as np

import perso_core as pc

SLATES, ITEMS, DIM = 1000, 20_000, 64


def log():
    rng = np.random.default_rng(0)
    catalog = pc.Catalog({"content": pc.Space(DIM, "cosine", "i8")})
    attributes = {"popularity": rng.pareto(2, ITEMS), "genre": rng.choice(["a", "b", "c"], ITEMS)}
    catalog.upsert(np.arange(ITEMS), rng.normal(size=(ITEMS, DIM)), attributes)
    policy = pc.Policy(500, pc.Blend(similarity=1.0, popularity=0.2), explore=pc.EpsilonGreedy(0.1))
    users = rng.normal(size=(SLATES, DIM))
    return pc.rank(catalog, users, policy, k=20, seed=1, request_id="r", at=0, num_threads=-1)


def timed(work):
    """Its answer, and seconds: the best of three."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        answer = work()
        best = min(best, time.perf_counter() - start)
    return answer, best


def parquet(table, sink):
    import pyarrow.parquet as pq

    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def main():
    import pyarrow.parquet as pq

    slates = list(log())
    for user in (True, False):
        texts, written = timed(lambda user=user: [slate.record_json(user=user) for slate in slates])
        records, parsed = timed(lambda texts=texts: [json.loads(text) for text in texts])
        table, built = timed(lambda records=records: pc.records.to_arrow(records))
        file, stored = timed(lambda table=table: parquet(table, io.BytesIO()))
        back, read = timed(lambda file=file: pc.records.from_arrow(pq.read_table(io.BytesIO(file))))
        assert back == records
        lines = "\n".join(texts).encode()
        print(f"records {'with' if user else 'without'} the user's vectors")
        print(
            f"  JSON lines       {len(lines) / SLATES:8,.0f} bytes  {SLATES / written:8,.0f} records/s written"
        )
        print(f"  JSON lines, gzip {len(gzip.compress(lines, 6)) / SLATES:8,.0f} bytes")
        print(f"  json.loads       {'':8}        {SLATES / parsed:8,.0f} records/s")
        print(
            f"  Arrow in memory  {table.nbytes / SLATES:8,.0f} bytes  {SLATES / built:8,.0f} records/s from dicts"
        )
        print(
            f"  Parquet, zstd    {len(file) / SLATES:8,.0f} bytes  {SLATES / stored:8,.0f} records/s from Arrow"
        )
        print(f"  from_arrow       {'':8}        {SLATES / read:8,.0f} records/s from Parquet to dicts")


if __name__ == "__main__":
    main()
