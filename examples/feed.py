"""A feed in one process: ranking, a log of decisions, and the audit of one of them.

Run it with `python examples/feed.py`. The data are made up here; everything else is what a service does.
"""

import tempfile
from pathlib import Path

import numpy as np

import perso_core as pc

rng = np.random.default_rng(0)

# At start: the catalog from wherever the items are kept, then its file for the next start.
articles = 5_000
topics = np.array(["politics", "sport", "science", "music", "food"])
topic = rng.integers(0, len(topics), articles)
centres = rng.normal(size=(len(topics), 64))
catalog = pc.Catalog(spaces={"content": pc.Space(64, metric="cosine", dtype="i8")})
catalog.upsert(
    [f"article-{i}" for i in range(articles)],
    centres[topic] + rng.normal(size=(articles, 64)),
    attributes={
        "topic": topics[topic].tolist(),
        "clicks": rng.poisson(20, articles),
        "published_at": np.datetime64("2026-11-20T00:00") - rng.integers(0, 40_000, articles).astype("m8[m]"),
    },
)

policy = pc.Policy(
    candidates=2000,
    score=pc.Blend(
        similarity=1.0,
        clicks=pc.Signal(0.2, normalize="rank"),
        fresh=pc.Decay("published_at", half_life="2d", weight=0.3),
    ),
    diversity=pc.MMR(0.3),
    caps={"topic": 4},
    explore=pc.EpsilonGreedy(0.1),
)

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "articles.pc"
    catalog.save(path)
    catalog = pc.Catalog.open(path)

# Per request: a user's vector, what they have seen, and a line for the log.
log: list[str] = []
seen: list[str] = []
reader = centres[2] + 0.3 * rng.normal(size=64)
for page in range(3):
    slate = pc.rank(
        catalog,
        reader,
        policy,
        k=10,
        exclude=seen,
        at="2026-11-20T12:00Z",
        seed=1,
        request_id=f"reader-7/{page}",
    )
    log.append(slate.record_json())
    seen.extend(slate.ids)
    print(slate, "\n")

# Nobody, or somebody who has not consented: no personal input, and the reasons say so.
print(pc.rank(catalog, None, policy, k=3, at="2026-11-20T12:00Z", seed=1, request_id="visitor"), "\n")

# The audit of a decision: the same slate from its line in the log, bit for bit ...
audited = pc.replay(log[0], catalog)
assert audited.ids.tolist() == seen[:10]
print("why", audited.ids[0], "came first:", audited.reasons[0])

# ... as long as the data are those it was made from. A click counter moves without touching any vector.
catalog.upsert(seen[:1], attributes={"clicks": [500]})
try:
    pc.replay(log[0], catalog)
except pc.ReplayError as reason:
    print("refused:", reason)
