"""Candidates from a search engine or a vector database, re-ranked with the same policies.

Run it with `python examples/bring_your_own_candidates.py`. `search` stands for the engine's client.
"""

import numpy as np

import perso_core as pc

rng = np.random.default_rng(0)


def search(query: str, size: int) -> list[dict]:
    """What a search engine returns: ids, its own scores, the stored vector and fields of each hit."""
    return [
        {
            "id": f"sku-{i}",
            "score": 12.0 - 0.1 * i,
            "embedding": rng.normal(size=32),
            "brand": f"brand-{rng.integers(8)}",
            "margin": float(rng.uniform(0.05, 0.4)),
        }
        for i in range(size)
    ]


hits = search("rain jacket", size=100)
candidates = pc.Candidates(
    [hit["id"] for hit in hits],
    np.stack([hit["embedding"] for hit in hits]),
    scores=[hit["score"] for hit in hits],
    attributes={name: [hit[name] for hit in hits] for name in ("brand", "margin")},
)

# The engine's scores stand for the similarity; the vectors are for diversity.
policy = pc.Policy(
    candidates=100,
    score=pc.Blend(similarity=1.0, margin=0.3),
    diversity=pc.MMR(0.25),
    caps={"brand": 2},
    explore=pc.EpsilonGreedy(0.05),
)

slate = pc.rank(candidates, None, policy, k=12, seed=3, request_id="query-1")
print(slate)

# The same candidates make the slate again from its record.
assert pc.replay(slate.record(), candidates) == slate
