"""A small catalog with everything in it, beside the oracle's view of the same items."""

import datetime as dt

import numpy as np

import oracle
import perso_core as pc
from oracle import Term

DAY = 86_400_000_000
AT = dt.datetime(2024, 5, 6, tzinfo=dt.timezone.utc)
AT_US = int(AT.timestamp()) * 1_000_000
GENRES = ["drama", "comedy", "noir", "western", "war"]


def world(seed, n=60, text=False):
    """A catalog and the oracle's view of it. Vectors are whole numbers, so float32 scores are exact."""
    rng = np.random.default_rng(seed)
    a = rng.integers(-8, 9, (n, 6)).astype(np.float32)
    b = rng.integers(-8, 9, (n, 5)).astype(np.float32)
    numbers = (rng.permutation(n) * 3 - 20).tolist()
    ids = [f"i{i:04}" for i in rng.permutation(n)] if text else numbers

    def some(values, missing=0.15):
        return [None if rng.random() < missing else v for v in values]

    genres = [list(rng.choice(GENRES, size=rng.integers(0, 4), replace=False)) for _ in range(n)]
    attributes = {
        "pop": some(rng.lognormal(size=n).tolist()),
        "count": some(rng.integers(0, 6, n).tolist()),
        "new": some((rng.random(n) < 0.5).tolist()),
        "at": some([AT_US - int(t) for t in rng.integers(-2 * DAY, 30 * DAY, n)]),
        "genre": some([[str(g) for g in one] for one in genres]),
        "shelf": some([str(s) for s in rng.choice(["x", "y", "z"], n)]),
    }
    cat = pc.Catalog({"a": pc.Space(6, "cosine"), "b": pc.Space(5, "ip")})
    moments = [None if t is None else AT + dt.timedelta(microseconds=t - AT_US) for t in attributes["at"]]
    cat.upsert(ids, {"a": a, "b": b}, {**attributes, "at": moments})
    items = oracle.Items(ids, {"a": ("cosine", a), "b": ("ip", b)}, attributes)
    user = {"a": rng.integers(-8, 9, 6).astype(np.float32), "b": rng.integers(-8, 9, 5).astype(np.float32)}
    return cat, items, user


def blend_of(terms):
    """The Blend that the oracle's terms describe."""
    spaces = {t.of: pc.Signal(t.weight, t.normalize) for t in terms if t.kind == "similarity"}
    others = {}
    for t in terms:
        if t.kind == "decay":
            half_life = dt.timedelta(microseconds=t.half_life_us)
            others[t.name] = pc.Decay(t.of, half_life, t.weight, t.normalize)
        elif t.kind != "similarity":
            others[t.name] = pc.Signal(t.weight, t.normalize)
    return pc.Blend(spaces or None, **others)


def similarities(weights, normalize):
    name = "similarity" if len(weights) == 1 else "similarity.{}"
    return [Term(name.format(s), "similarity", s, w, normalize) for s, w in weights.items()]
