"""Prints one hash over the bits of scores, graphs and slates; run once per PERSO_CORE_ISA by a test."""

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np

import perso_core as pc


def main():
    rng = np.random.default_rng(20)
    parts = {}

    def take(name, *values):
        digest = hashlib.sha256()
        for value in values:
            digest.update(value if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes())
        parts[name] = digest.hexdigest()[:16]

    # Every tail length of 32 lanes, and of the byte kernels' 64.
    for dim in [*range(1, 68), 96, 127, 200]:
        q = rng.standard_normal((3, dim)).astype(np.float32)
        x = rng.standard_normal((9, dim)).astype(np.float32) * 10.0 ** rng.integers(-6, 6, (9, 1))
        x = x.astype(np.float32)
        codes = rng.integers(-128, 128, (9, dim), dtype=np.int8)
        take(f"dot {dim}", pc.dot(q, x), pc.dot(q, x.astype(np.float16) / np.float16(64)))
        take(f"i8 {dim}", pc.dot(codes[:3], codes), pc.dot(codes[:3] // 2, codes // 2))
        for metric in ("ip", "cosine", "l2"):
            hits = pc.topk(q, x, 5, metric=metric)
            take(f"topk {metric} {dim}", hits.ids, hits.scores)

    with tempfile.TemporaryDirectory() as folder:
        x = rng.standard_normal((4300, 128)).astype(np.float32)
        queries = rng.standard_normal((20, 128)).astype(np.float32)
        for dtype, rows, metric in (("f32", 4300, "l2"), ("f16", 600, "cosine"), ("i8", 600, "ip")):
            index = pc.Index(128, metric, dtype, M=8, ef_construction=40)
            index.add(x[:rows], num_threads=1)
            hits = index.search(queries, ef=80 if rows == 4300 else None)
            assert hits.path == ("graph" if rows == 4300 else "exact")
            file = Path(folder, dtype)
            index.save(file)
            take(f"index {dtype}", hits.ids, hits.scores, file.read_bytes())

        for dim, metric, dtype in ((100, "cosine", "i8"), (385, "l2", "f32"), (64, "ip", "f16")):
            y = rng.standard_normal((1100, dim)).astype(np.float32)
            index = pc.Index(dim, metric, dtype, M=16, ef_construction=40, layout="local")
            index.add(y, num_threads=1)
            hits = index.search(y[:20], ef=60)
            file = Path(folder, metric)
            index.save(file)
            take(f"local {metric}", hits.ids, hits.scores, file.read_bytes())

    catalog = pc.Catalog({"a": pc.Space(128, "cosine", "i8"), "b": pc.Space(128, "ip", "f16")})
    catalog.upsert(
        np.arange(500),
        {"a": x[:500], "b": x[500:1000]},
        {"age": [np.datetime64(int(t), "s") for t in rng.integers(0, 10**9, 500)], "pop": rng.random(500)},
    )
    policy = pc.Policy(
        candidates=200,
        score=pc.Blend(
            similarity={"a": 1.0, "b": 0.5},
            normalize="zscore",
            pop=0.3,
            fresh=pc.Decay("age", half_life="1000d", weight=0.4),
        ),
        diversity=pc.MMR(0.4, space="a"),
        explore=pc.EpsilonGreedy(0.3),
    )
    at = np.datetime64("2020-01-01")
    users = {"a": queries, "b": queries[::-1]}
    ids = [f"r{i}" for i in range(len(queries))]
    for slate in pc.rank(catalog, users, policy, k=20, at=at, seed=3, request_id=ids):
        terms = [slate.terms[name] for name in slate.terms]
        take(f"rank {slate.request_id}", slate.ids, slate.scores, slate.propensities, *terms)
    print(json.dumps({"isa": pc.cpu_features()["isa"], "parts": parts}))


if __name__ == "__main__":
    main()
