"""What a log of decisions teaches: another exploration rate, another policy in the shadow, who is shown.

Run it with `python examples/learn_from_log.py`. The data and the readers are made up here.
"""

import dataclasses

import numpy as np

import perso_core as pc

rng = np.random.default_rng(0)
films = 3_000
genres = np.array(["drama", "comedy", "noir", "war"])
genre = rng.integers(0, len(genres), films)
centres = rng.normal(size=(len(genres), 32))
catalog = pc.Catalog(spaces={"content": pc.Space(32, metric="cosine")})
catalog.upsert(np.arange(films), centres[genre] + rng.normal(size=(films, 32)))

policy = pc.Policy(candidates=30, diversity=pc.MMR(0.2), explore=pc.EpsilonGreedy(0.3))

# A day: readers like a film the more the nearer it is to them, and go down the list. The log keeps a line a
# request, and the clicks that came.
readers = centres[rng.integers(0, len(genres), 1500)] + 0.5 * rng.normal(size=(1500, 32))
slates = pc.rank(catalog, readers, policy, k=4, seed=1, request_id="day-1", num_threads=-1)
log = [slate.record_json(user=False) for slate in slates]
clicks: dict[str, dict[int, float]] = {}
for slate in slates:
    liked = rng.random(4) < 0.5 * slate.terms["similarity"] ** 2
    clicks[slate.request_id] = {film: 1.0 for film in slate.ids[liked].tolist()}
print(slates[0], "\n")

# Less exploration would have earned more today. The records hold all that it takes, MMR or not.
for epsilon in (0.2, 0.1, 0.0):
    tamer = dataclasses.replace(policy, explore=pc.EpsilonGreedy(epsilon))
    evaluated = pc.ope.SlateLog.from_records(log, clicks, tamer, missing=0.0)
    lift = pc.ope.difference(pc.ope.rips(evaluated), pc.ope.mean_slate_reward(evaluated))
    print(
        f"epsilon {epsilon}: {lift.value:+.3f} clicks a slate, {lift.low:+.3f} .. {lift.high:+.3f}, ess {lift.ess:.0f}"
    )

# A shadow policy: how different is what it would show?
bolder = dataclasses.replace(policy, diversity=pc.MMR(0.6))
shadow = pc.rank(catalog, readers[:200], bolder, k=4, seed=1, request_id="day-1", num_threads=-1)
pairs = list(zip(slates[:200], shadow, strict=True))
print(f"\noverlap with MMR(0.6): {np.mean([pc.agreement.overlap(a, b) for a, b in pairs]):.2f}")

# Who is shown, and has it changed since the morning?
print("\n", pc.exposure.by_group(slates, dict(enumerate(genres[genre].tolist()))), sep="")
print("\n", pc.drift.compare(slates[:750], slates[750:]), sep="")
