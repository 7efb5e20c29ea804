"""What the parity test has every build of the library do: catalogs, requests, policies, and Python's records of them.

    python tests/parity_cases.py FOLDER

writes them for rust/capi/ctest/parity.c: a file of cases, and for each its request, policy and record.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import perso_core as pc
from files import make_records

ROWS = 3000
GONE = slice(7, None, 97)
US = np.datetime64("1970-01-01T00:00:00", "us")

# Arguments of `rank` that the JSON request of the C ABI has; a case with another is replayed there and not ranked.
IN_REQUEST = {
    "k",
    "at",
    "seed",
    "request_id",
    "user",
    "exclude",
    "where",
    "signals",
    "pins",
    "allow",
    "target",
}


class Case(NamedTuple):
    """One slate that Python made."""

    name: str
    catalog: str
    arguments: dict[str, Any]
    policy: pc.Policy
    slate: pc.Slate

    @property
    def request(self) -> str | None:
        """The request as the C ABI reads it, or None where it has no words for it."""
        if not self.arguments.keys() <= IN_REQUEST:
            return None
        document = dict(self.arguments)
        moment = np.datetime64(str(document["at"]).removesuffix("Z"), "us")
        document["at"] = int((moment - US) // np.timedelta64(1, "us"))
        document["user"] = None if (user := document["user"]) is None else plain(user)
        if isinstance(document.get("where"), pc.Filter):
            document["where"] = json.loads(document["where"].to_json())
        if "pins" in document:
            document["pins"] = [{"slot": slot, "id": id} for slot, id in document["pins"].items()]
        if "signals" in document:
            document["signals"] = {name: numbers(given) for name, given in document["signals"].items()}
        return json.dumps(document)


def plain(user: dict[str, Any]) -> dict[str, list[float]]:
    """Vectors as numbers: every float32 is a double, and a double's shortest decimal reads as the same one."""
    return {space: [float(x) for x in np.asarray(vector, np.float32)] for space, vector in user.items()}


def numbers(given: Any) -> Any:
    """The numbers of a signal: a list as it is, {id: number} as two lists."""
    return {"ids": [*given], "values": [*given.values()]} if isinstance(given, dict) else given


def vectors(seed: int, dim: int, rows: int = ROWS) -> Any:
    """Points around sixteen centres, as embeddings are: walks through a graph have somewhere to go."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((16, dim))
    return (centres[rng.integers(0, 16, rows)] + 0.6 * rng.standard_normal((rows, dim))).astype(np.float32)


SPACES = {
    "walk": pc.Space(48, "cosine", "i8", layout="compact"),
    "codes": pc.Space(96, "cosine", "i8", layout="local", rescore="f16"),
    "halves": pc.Space(33, "l2", "f16", layout="compact"),
    "factors": pc.Space(21, "ip", "f32"),
    "products": pc.Space(64, "ip", "i8", layout="compact"),
    "plain": pc.Space(50, "cosine", "f32", layout="exact"),
}


def large() -> pc.Catalog:
    """Every storage type, metric and layout, in more rows than are scanned where a graph is asked for."""
    rng = np.random.default_rng(71)
    catalog = pc.Catalog(SPACES, seed=5)
    catalog.upsert(
        rng.permutation(ROWS) * 977 - 1_000_000,
        {name: vectors(80 + i, space.dim) for i, (name, space) in enumerate(SPACES.items())},
        {
            "pop": [None if i % 11 == 3 else float(x) for i, x in enumerate(rng.lognormal(size=ROWS))],
            "count": [int(x) for x in rng.integers(0, 40, ROWS)],
            "new": [bool(x) for x in rng.random(ROWS) < 0.3],
            "at": [make_records.START - np.timedelta64(int(x), "s") for x in rng.integers(0, 9**7, ROWS)],
            "genre": [[f"g{int(x)}" for x in set(rng.integers(0, 7, 2))] for _ in range(ROWS)],
            "shelf": [f"s{int(x)}" for x in rng.integers(0, 5, ROWS)],
            "clicks": [int(x) for x in rng.integers(0, 20, ROWS)],
            "skips": [int(x) for x in rng.integers(0, 60, ROWS)],
        },
    )
    # Rows that are gone, so that rows and items are not the same thing.
    catalog.remove(catalog.ids[GONE])
    return catalog


RULES = [
    pc.Boost({"new": True}, 0.15, name="new"),
    pc.Hide({"shelf": "s4"}),
    pc.Pin(3, where={"genre": "g2"}),
    pc.AtLeast(2, {"genre": "g5"}, top=6),
]


def large_cases() -> Iterator[tuple[str, dict[str, Any], pc.Policy]]:
    """Yields (name, arguments of `rank`, policy)."""
    user = {name: vectors(90 + i, space.dim, 1)[0] for i, (name, space) in enumerate(SPACES.items())}

    def blend(*names: str, normalize: Any = "zscore", **others: Any) -> pc.Blend:
        return pc.Blend(dict.fromkeys(names, 1.0), normalize, **others)

    for name in SPACES:
        yield f"space {name}", {"user": {name: user[name]}}, pc.Policy(60, blend(name, normalize="none"))
    fresh = pc.Decay("at", "30d", weight=0.3)
    everything = blend(*SPACES, pop=0.4, fresh=fresh)
    diversities = {
        "no diversity": None,
        "mmr": pc.MMR(0.4, "walk"),
        "mmr over halves": pc.MMR(0.3, "halves"),
        "dpp": pc.DPP(0.5, "codes"),
        "dpp over factors": pc.DPP(0.4, "factors"),
        "windowed dpp": pc.DPP(0.5, "plain", window=4),
        "spread": pc.Spread(0.4, 5, "products"),
        "calibrated": pc.Calibrated("genre", 0.8),
    }
    for name, diversity in diversities.items():
        explore = pc.EpsilonGreedy(0.3)
        yield name, {"user": user}, pc.Policy(200, everything, diversity, {"genre": 4}, explore)
        yield f"{name}, deep", {"user": user, "k": 40}, pc.Policy(600, everything, diversity)
    explorers = {
        "epsilon": pc.EpsilonGreedy(0.5),
        "softmax": pc.Softmax(0.2),
        "plackett-luce": pc.PlackettLuce(0.3),
        "thompson": pc.ThompsonSampling(alpha="clicks", beta="skips", draws=64),
        "ucb": pc.UCB(alpha="clicks", beta="skips", c=1.5),
    }
    for name, explore in explorers.items():
        for diversity in (None, pc.MMR(0.3, "walk")):
            policy = pc.Policy(80, everything, diversity, {"shelf": pc.Soft(3, 0.2)}, explore)
            yield f"{name}, {'mmr' if diversity else 'plain'}", {"user": user}, policy
        policy = pc.Policy(80, blend("walk", pop=0.2), pc.DPP(0.4, "walk"), explore=explore, rules=RULES)
        yield f"{name}, rules", {"user": {"walk": user["walk"]}}, policy
    genre = pc.field("genre").contains_any(["g1"]) | (pc.field("count") >= 30)
    held = {
        "user": user,
        "where": genre & ~pc.field("new").isin([True]),
        "exclude": list(range(-999_046, 0, 977)),
    }
    yield (
        "filtered",
        held,
        pc.Policy(100, everything, pc.MMR(0.2, "codes"), {"genre": 3}, pc.EpsilonGreedy(0.2)),
    )
    yield "nobody", {"user": None}, pc.Policy(100, everything, explore=pc.Softmax(0.5), rules=RULES)
    pinned = {"user": {"walk": user["walk"]}, "pins": {2: -1_000_000}}
    yield "pins", pinned, pc.Policy(80, blend("walk"), explore=pc.EpsilonGreedy(0.2))
    mine = [None if i % 5 else i / 7 for i in range(ROWS - len(range(ROWS)[GONE]))]
    signals = {"user": {"walk": user["walk"]}, "signals": {"mine": mine}}
    yield "signals", signals, pc.Policy(80, blend("walk", mine=0.5))


def write_catalogs(folder: Path) -> dict[str, pc.Catalog]:
    """The catalogs by name, as they are read from the files in `folder` that the other builds read."""
    for name, catalog in {**make_records.catalogs(), "large": large()}.items():
        catalog.save(folder / name)
    return {name: pc.Catalog.open(folder / name) for name in ("int", "str", "large")}


def cases(catalogs: dict[str, pc.Catalog]) -> Iterator[Case]:
    """Every case, ranked by Python."""
    wanted = [
        (name, source, {"user": user, **arguments}, policy)
        for name, source, user, policy, arguments, hashed in make_records.cases()
        if source in catalogs and not hashed
    ]
    wanted += [(name, "large", arguments, policy) for name, arguments, policy in large_cases()]
    for number, (_, source, arguments, policy) in enumerate(wanted, start=1):
        arguments = {"k": 10, "seed": number, "request_id": f"r-{number}", "at": make_records.AT, **arguments}
        if arguments["user"] is not None and not isinstance(arguments["user"], dict):
            # A vector alone is that of the only space.
            arguments["user"] = {"v": arguments["user"]}
        slate = pc.rank(catalogs[source], policy=policy, **arguments)
        yield Case(f"{number:03}", source, arguments, policy, slate)


def write(folder: Path) -> list[Case]:
    """Writes catalogs and cases, and gives the cases."""
    made = list(cases(write_catalogs(folder)))
    lines = []
    for case in made:
        (folder / f"{case.name}.record").write_text(case.slate.record_json(), encoding="utf-8")
        (folder / f"{case.name}.policy").write_text(case.policy.to_json(), encoding="utf-8")
        if case.request is not None:
            (folder / f"{case.name}.request").write_text(case.request, encoding="utf-8")
            lines.append(f"rank {case.name} {case.catalog}\n")
        lines.append(f"replay {case.name} {case.catalog}\n")
    (folder / "cases").write_text("".join(lines), encoding="utf-8")
    return made


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    print(f"{len(write(out))} cases")
