"""What all test files share: one Hypothesis profile and a source of random numbers per test."""

import hashlib

import numpy as np
import pytest
from hypothesis import settings

# Derandomised: a run that fails on one machine fails on each.
settings.register_profile("perso_core", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("perso_core")


@pytest.fixture
def rng(request):
    """A generator seeded by the test's own name, so that no test depends on another."""
    seed = int.from_bytes(hashlib.sha256(request.node.name.encode()).digest()[:8], "little")
    return np.random.default_rng(seed)
