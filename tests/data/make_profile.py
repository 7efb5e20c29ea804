"""Writes profile_v1.bin: the bytes of a profile in format version 1, from events that are a function of this script.

python tests/data/make_profile.py
"""

from pathlib import Path

import numpy as np

import perso_core as pc

FILE = Path(__file__).with_name("profile_v1.bin")


def plan():
    kinds = {"view": 0.2, "click": 1.0, "buy": 5.0, "skip": -0.5}
    return pc.ProfilePlan("cf", kinds, "30m", "90d", prior_strength=10.0, short_weight=0.5)


def profile():
    rng = np.random.default_rng(7)
    made = pc.Profile(plan(), 8, base=rng.integers(-8, 9, 8).astype(np.float32))
    kinds = sorted(plan().kinds)
    for i in range(200):
        item = rng.integers(-8, 9, 8).astype(np.float32)
        made.observe(item, kinds[i % 4], at=1_700_000_000 + int(rng.integers(0, 40_000)))
    return made


if __name__ == "__main__":
    FILE.write_bytes(profile().to_bytes())
