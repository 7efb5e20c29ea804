"""Writes the records of this folder's `records/`: run it with the release whose records they are to be.

    python tests/files/make_records.py

One record a line, a case for each kind of policy and of request; beside them the catalogs that they were made from.
The content is a function of nothing but this script, so that a test can ask for the same slates again. Those here
were written by commit 6ea653d, before records had `source` or `allow`.
"""

import json
from pathlib import Path

import numpy as np

import perso_core as pc

FOLDER = Path(__file__).parent / "records"
ROWS = 60
AT = "2026-05-06T07:08:09.123456Z"
START = np.datetime64("2026-05-01T00:00:00", "us")


def vectors(seed, dim, rows=ROWS):
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


def attributes():
    """A column of each kind, with values missing in some; the counts and moments are what explorers read."""
    rng = np.random.default_rng(5)
    return {
        "pop": [None if i % 7 == 3 else float(x) for i, x in enumerate(rng.lognormal(size=ROWS))],
        "count": [None if i % 9 == 4 else int(x) for i, x in enumerate(rng.integers(0, 6, ROWS))],
        "new": [bool(x) for x in rng.random(ROWS) < 0.5],
        "at": [START - np.timedelta64(int(x), "s") for x in rng.integers(-86400, 30 * 86400, ROWS)],
        "genre": [["drama", "noir"][: 1 + i % 2] if i % 5 else ["war"] for i in range(ROWS)],
        "shelf": ["xyz"[i % 3] for i in range(ROWS)],
        "clicks": [int(x) for x in rng.integers(0, 20, ROWS)],
        "skips": [int(x) for x in rng.integers(0, 60, ROWS)],
        "worth": [float(x) for x in rng.normal(size=ROWS)],
        "doubt": [float(x) for x in rng.uniform(0.1, 1, ROWS)],
    }


def catalogs():
    """By name: int ids with float32 and int8 spaces, str ids with a float16 space under l2."""
    spaces = {"a": pc.Space(6, "cosine"), "b": pc.Space(5, "ip", "i8")}
    numbers = pc.Catalog(spaces, seed=1)
    numbers.upsert([7 * i - 20 for i in range(ROWS)], {"a": vectors(1, 6), "b": vectors(2, 5)}, attributes())
    texts = pc.Catalog({"v": pc.Space(4, "l2", "f16")}, seed=2)
    texts.upsert([f"käse {i:02}" for i in range(ROWS)], {"v": vectors(3, 4)}, attributes())
    return {"int": numbers, "str": texts}


def candidates(scored):
    """Items that the caller brings: with vectors, or with scores and nothing else but attributes."""
    ids = [f"c-{i}" for i in range(ROWS)]
    if scored:
        return pc.Candidates(ids, scores=np.random.default_rng(8).normal(size=ROWS), attributes=attributes())
    return pc.Candidates(ids, vectors(4, 6), attributes=attributes())


BLEND = pc.Blend({"a": 0.7, "b": 0.3}, "zscore", pop=0.2, fresh=pc.Decay("at", "3d", weight=0.3))

DIVERSITY = {
    "no diversity": None,
    "mmr": pc.MMR(0.4, "a"),
    "dpp": pc.DPP(0.5, "a"),
    "windowed dpp": pc.DPP(0.5, "b", window=3),
    "spread": pc.Spread(0.4, 4, "a"),
    "calibrated": pc.Calibrated("genre", 0.9, {"war": 0.5, "noir": 0.25, "drama": 0.25}),
    "calibrated by the pool": pc.Calibrated("shelf", 0.9),
}

EXPLORE = {
    "epsilon": pc.EpsilonGreedy(0.4),
    "epsilon a slate": pc.EpsilonGreedy(0.4, per="slate"),
    "epsilon in a scope": pc.EpsilonGreedy(0.6, slots=[1, 3, 4], only={"new": True}),
    "softmax": pc.Softmax(0.2),
    "plackett-luce": pc.PlackettLuce(0.3),
    "thompson beta": pc.ThompsonSampling(alpha="clicks", beta="skips", draws=64),
    "thompson gaussian": pc.ThompsonSampling(mean="worth", std="doubt", weight=0.3, draws=128, replace=True),
    "ucb beta": pc.UCB(alpha="clicks", beta="skips", c=1.5),
    "ucb gaussian": pc.UCB(mean="worth", std="doubt", weight=0.3, replace=True),
}

BLENDS = {
    "minmax": pc.Blend({"a": 1.0}, "minmax", pop=pc.Signal(0.2, "minmax"), count=-0.1),
    "rank": pc.Blend({"a": 1.0}, "rank", pop=pc.Signal(0.5, "rank")),
    "raw": pc.Blend({"b": 0.5}, "none", worth=pc.Signal(0.25, "none"), new=pc.Signal(0.1, "none")),
    "linear": pc.Blend({"a": 1.0}, pop=pc.Signal(0.3, pc.Linear(0.0, 4.0))),
    "sigmoid": pc.Blend({"a": 1.0}, pop=pc.Signal(0.3, pc.Sigmoid(1.0, 2.0))),
    "percentiles": pc.Blend({"a": 1.0}, pop=pc.Signal(0.3, pc.Percentiles([0.1, 0.5, 1.0, 3.0]))),
    "linear decay": pc.Blend({"a": 1.0}, fresh=pc.Decay("at", "3d", 0.5, shape="linear")),
    "gauss decay": pc.Blend({"a": 1.0}, fresh=pc.Decay("at", "36h", 0.5, shape="gauss")),
}


def cases():
    """Yields (name, source, user, policy, keyword arguments of `rank`, whether the user is hashed)."""
    user = {"a": vectors(11, 6, 1)[0], "b": vectors(12, 5, 1)[0]}
    for name, diversity in DIVERSITY.items():
        explore = pc.EpsilonGreedy(0.2)
        yield name, "int", user, pc.Policy(20, BLEND, diversity, {"genre": 4}, explore), {}, False
        plain = pc.Policy(30, BLEND, diversity)
        yield f"{name}, greedy", "int", user, plain, {"k": 15}, False
    for name, explore in EXPLORE.items():
        # A policy whose samples alone decide may have no diversity.
        diversity = None if getattr(explore, "replace", False) else pc.MMR(0.3, "a")
        yield name, "int", user, pc.Policy(25, BLEND, diversity, explore=explore), {}, False
        capped = pc.Policy(15, BLEND, None, {"shelf": 2}, explore)
        yield f"{name}, capped", "int", user, capped, {}, False
    for name, blend in BLENDS.items():
        used = {space: user[space] for space in ("b" if name == "raw" else "a")}
        yield name, "int", used, pc.Policy(25, blend, explore=pc.EpsilonGreedy(0.1)), {}, False
    mine = pc.Policy(
        20, pc.Blend({"a": 1.0}, mine=0.5, théma=0.2), pc.DPP(0.3), {"genre": 3}, pc.Softmax(0.3)
    )
    signals = {
        "mine": {7 * i - 20: 0.1 * i for i in range(0, ROWS, 2)},
        "théma": [None if i % 4 == 0 else i / 7 for i in range(ROWS)],
    }
    yield "signals", "int", {"a": user["a"]}, mine, {"signals": signals}, False
    yield "signals, hashed user", "int", {"a": user["a"]}, mine, {"signals": signals}, True
    held = {"exclude": [-20, 1, 8, 999], "where": [7 * i - 20 for i in range(30)]}
    everything = pc.Policy(20, BLEND, pc.MMR(0.3), {"genre": 3, "shelf": 5}, pc.EpsilonGreedy(0.4))
    yield "filtered", "int", user, everything, held, True
    yield "nobody", "int", None, everything, held, False
    short = {"where": [1, 8, 15], "k": 6, "seed": 2**64 - 1}
    yield "short", "int", user, everything, short, False
    yield "nobody, short by caps", "int", None, everything, {"k": 20}, False
    text = pc.Policy(
        12, pc.Blend(similarity=1.0, pop=0.3), pc.Spread(0.3, 3), {"genre": 3}, pc.PlackettLuce(0.4)
    )
    tail = {"request_id": 'é\n" \U0001f600', "exclude": ["käse 03"], "seed": 2**53 + 1}
    yield "text ids", "str", vectors(13, 4, 1)[0], text, tail, False
    yield "text ids, hashed user", "str", vectors(13, 4, 1)[0], text, tail, True
    thompson = pc.Policy(20, pc.Blend(similarity=1.0), None, {}, EXPLORE["thompson beta"])
    yield "text ids, thompson", "str", vectors(13, 4, 1)[0], thompson, {}, False
    given = pc.Policy(20, pc.Blend(similarity=1.0, pop=0.3), pc.MMR(0.3), {"genre": 3}, pc.EpsilonGreedy(0.3))
    yield "candidates", "vectors", vectors(14, 6, 1)[0], given, {}, False
    shares = pc.Policy(
        20, pc.Blend(similarity=1.0, pop=0.3), pc.Calibrated("genre", 0.9), {}, pc.EpsilonGreedy(0.3)
    )
    yield "scored candidates", "scores", None, shares, {}, False


def sources():
    """Every source by name, made anew."""
    return {**catalogs(), "vectors": candidates(False), "scores": candidates(True)}


def slates(held):
    """Yields (name, name of the source, slate, whether its record leaves the user out)."""
    for i, (name, source, user, policy, arguments, hashed) in enumerate(cases()):
        arguments = {"k": 10, "seed": i, "request_id": f"r-{i}", "at": AT, **arguments}
        yield name, source, pc.rank(held[source], user, policy, **arguments), hashed


def main():
    FOLDER.mkdir(exist_ok=True)
    held = sources()
    for name in ("int", "str"):
        held[name].save(FOLDER / f"{name}.catalog")
    with open(FOLDER / "records.jsonl", "w", encoding="utf-8") as out:
        for name, source, slate, hashed in slates(held):
            record = json.loads(slate.record_json(user=not hashed))
            line = {"case": name, "source": source, "record": record}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
