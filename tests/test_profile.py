"""Profiles: the vector against the whole history in NumPy, the bytes, what `rank` makes of one, what is refused."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perso_core as pc
from world import AT, world

sys.path.insert(0, str(Path(__file__).parent / "data"))
import make_profile

KINDS = {"view": 0.2, "click": 1.0, "buy": 5.0, "skip": -0.5}
HOUR = 3600
NOW = 1_700_000_000


def plan(**more: Any) -> pc.ProfilePlan:
    return pc.ProfilePlan(**{"space": "a", "kinds": KINDS, "long_half_life": "30d", **more})


def from_history(plan: pc.ProfilePlan, events: list[Any], at: int, prior: Any, dim: int) -> np.ndarray:
    """The vector, from every event there was; `at` no earlier than any of them."""
    p = np.zeros(dim) if prior is None else np.asarray(prior, np.float64)
    r = np.linalg.norm(p) or 1.0

    def sums(half_life: float | None) -> tuple[Any, float]:
        s, n = np.zeros(dim), 0.0
        for item, kind, when in events:
            left = 1.0 if half_life is None else 0.5 ** ((at - when) / half_life)
            x = np.asarray(item, np.float64)
            s += plan.kinds[kind] * left * x / np.linalg.norm(x)
            n += abs(plan.kinds[kind]) * left
        return s, n

    (s, n), k, c = sums(0.5 * HOUR), plan.prior_strength, plan.short_weight
    long_s, long_n = sums(None if plan.long_half_life is None else 30 * 24 * HOUR)
    a, b = long_n / (long_n + k), c * n / (n + k)
    long = (1 - a) * p + (a * r * long_s / long_n if long_n else 0)
    return (1 - b) * long + (b * r * s / n if n else 0)


vectors = st.lists(st.integers(-9, 9), min_size=4, max_size=4).filter(any)
histories = st.lists(
    st.tuples(vectors, st.sampled_from(sorted(KINDS)), st.integers(NOW - 40 * HOUR, NOW)), max_size=25
)


@given(
    events=histories,
    prior=st.none() | vectors,
    later=st.integers(0, 9 * HOUR),
    long=st.sampled_from([None, "30d"]),
    strength=st.floats(0.1, 100),
    short=st.floats(0, 1),
)
def test_the_vector_is_that_of_the_history(
    events: Any, prior: Any, later: int, long: Any, strength: float, short: float
) -> None:
    p = plan(long_half_life=long, prior_strength=strength, short_weight=short)
    profile = pc.Profile(p, 4, base=prior)
    for item, kind, when in events:
        profile.observe(item, kind, at=when)
    wanted = from_history(p, events, NOW + later, prior, 4)
    got = profile.vector(NOW + later)
    np.testing.assert_allclose(np.zeros(4) if got is None else got, wanted, rtol=1e-6, atol=1e-9)
    assert sum(profile.stats()["events"].values()) == len(events)


def test_a_base_comes_before_a_prior_and_counts_alone_without_events() -> None:
    assert pc.Profile(plan(), 2).vector() is None
    np.testing.assert_array_equal(pc.Profile(plan(), 2, prior=[1.0, 2.0]).vector(), [1, 2])
    np.testing.assert_array_equal(pc.Profile(plan(), 2, base=[3.0, 4.0], prior=[1.0, 2.0]).vector(), [3, 4])


def test_negative_events_push_away_and_are_kept_apart() -> None:
    profile = pc.Profile(plan(short_weight=0.0, prior_strength=1.0), 2)
    profile.observe([1.0, 0.0], "click", at=NOW)
    assert profile.negative() is None
    profile.observe([0.0, 3.0], "skip", at=NOW)
    np.testing.assert_allclose(profile.vector(NOW), [1 / 2.5, -0.5 / 2.5], rtol=1e-6)
    np.testing.assert_array_equal(profile.negative(), [0, 1])
    stats = profile.stats(NOW)
    assert (stats["short"], stats["long"], stats["negative"]) == (1.5, 1.5, 0.5)
    assert stats["events"] == {"buy": 0, "click": 1, "skip": 1, "view": 0}
    assert stats["latest"] == dt.datetime.fromtimestamp(NOW, dt.timezone.utc)


def test_rank_reads_a_profile_as_of_its_moment() -> None:
    cat, items, user = world(3)
    policy = pc.Policy(candidates=30, score=pc.Blend({"a": 1.0}))
    profile = pc.Profile(plan(), cat)
    assert pc.rank(cat, profile, policy, 5, at=AT, seed=1).ids.tolist() == (
        pc.rank(cat, None, policy, 5, at=AT, seed=1).ids.tolist()
    )
    for i, when in ((3, 5), (8, 50), (11, 500)):
        profile.observe(items.ids[i], "click", at=AT - dt.timedelta(minutes=when))
    np.testing.assert_array_equal(
        profile.vector(AT), _by_vectors(plan(), items, ((3, 5), (8, 50), (11, 500))).vector(AT)
    )
    for at in (AT, AT + dt.timedelta(hours=3)):
        alone = pc.rank(cat, profile, policy, 5, at=at, seed=1, request_id="r")
        named = pc.rank(cat, {"a": profile}, policy, 5, at=at, seed=1, request_id="r")
        plain = pc.rank(cat, {"a": profile.vector(at)}, policy, 5, at=at, seed=1, request_id="r")
        assert alone == named == plain
        np.testing.assert_array_equal(np.float32(alone.record()["user"]["a"]), profile.vector(at))
        assert pc.replay(alone.record(), cat) == alone
        hashed = alone.record(user=False)
        assert pc.replay(hashed, cat, {"a": profile.vector(at)}) == alone
        with pytest.raises(TypeError, match="user: expected the user's vectors at the record's moment"):
            pc.replay(hashed, cat, profile)
    both = pc.Policy(candidates=30, score=pc.Blend({"a": 1.0, "b": 1.0}))
    cold = pc.rank(cat, {"a": pc.Profile(plan(), cat), "b": user["b"]}, both, 5, at=AT)
    assert cold.record()["user"]["a"] == [0.0] * 6


def _by_vectors(plan: pc.ProfilePlan, items: Any, events: Any) -> pc.Profile:
    profile = pc.Profile(plan, 6)
    for i, minutes in events:
        profile.observe(items.spaces["a"][1][i], "click", at=AT - dt.timedelta(minutes=minutes))
    return profile


def test_the_bytes_are_those_of_the_fixture() -> None:
    written = make_profile.FILE.read_bytes()
    assert make_profile.profile().to_bytes() == written
    read = pc.Profile.from_bytes(written, make_profile.plan())
    assert read == make_profile.profile()
    assert read.to_bytes() == written


def test_copies_are_equal_and_go_their_own_way() -> None:
    cat, items, _ = world(3)
    profile = pc.Profile(plan(), cat, prior=np.ones(6))
    profile.observe(items.ids[0], "buy", at=NOW)
    for other in (copy.copy(profile), copy.deepcopy(profile), pickle.loads(pickle.dumps(profile))):
        assert other == profile
        other.observe(items.ids[1], "click", at=NOW, catalog=cat)
        assert other != profile
    assert pickle.loads(pickle.dumps(plan())) == plan()


@given(at=st.integers(0, 10_000), flip=st.integers(1, 255), sealed=st.booleans())
def test_damaged_bytes_are_refused_or_give_a_vector(at: int, flip: int, sealed: bool) -> None:
    data = bytearray(make_profile.FILE.read_bytes())
    data[at % len(data)] ^= flip
    if sealed:
        data[-4:] = zlib.crc32(data[:-4]).to_bytes(4, "little")
    try:
        profile = pc.Profile.from_bytes(bytes(data), make_profile.plan())
    except pc.FormatError:
        return
    assert sealed
    vector = profile.vector(NOW)
    assert vector is None or np.isfinite(vector).all()


def test_a_plan_is_a_document() -> None:
    p = plan(half_life=dt.timedelta(minutes=90))
    assert p.half_life == "90m"
    assert pc.ProfilePlan.from_json(p.to_json()) == p
    assert p.hash == plan(half_life="1.5h").hash != plan().hash
    with pytest.raises(pc.FormatError, match="another plan"):
        pc.Profile.from_bytes(pc.Profile(p, 3).to_bytes(), plan())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plan(kinds={}), ValueError, "kinds: expected 1 to 1000 kinds, got 0"),
        (lambda: plan(kinds=["a"]), TypeError, "kinds: expected a mapping"),
        (lambda: plan(kinds={"a": 0.0}), ValueError, r'kinds\["a"\]: expected a weight'),
        (lambda: plan(kinds={"a": True}), TypeError, r"kinds\['a'\]: expected a number"),
        (lambda: plan(half_life="x"), ValueError, "^half_life: expected a duration"),
        (lambda: plan(long_half_life="x"), ValueError, "^long_half_life: expected a duration"),
        (lambda: plan(long_half_life="5m"), ValueError, "^long_half_life: expected at least half_life"),
        (lambda: plan(prior_strength=0), ValueError, "prior_strength: expected a number from 1e-6"),
        (lambda: plan(short_weight=2), ValueError, "short_weight: expected a number from 0 to 1"),
        (lambda: plan(space=""), ValueError, "space: expected at least one character"),
        (lambda: pc.Profile("plan", 3), TypeError, "plan: expected a ProfilePlan"),
        (lambda: pc.Profile(plan(), 0), ValueError, "items: expected an integer from 1"),
        (lambda: pc.Profile(plan(), 3.0), TypeError, "items: expected a Catalog"),
        (lambda: pc.Profile(plan(space="zz"), world(1)[0]), KeyError, "no such space: 'zz'"),
        (lambda: pc.Profile(plan(), 3, base=[1.0]), ValueError, "base: expected 3 components, got 1"),
        (lambda: pc.Profile(plan(), 1, [1.0], [np.nan]), ValueError, "prior: expected finite numbers"),
        (
            lambda: pc.Profile(plan(), 2).observe([1.0, 2.0], "x"),
            ValueError,
            r'kind: expected one of .*"buy"',
        ),
        (lambda: pc.Profile(plan(), 2).observe([1.0, 2.0], 1), TypeError, "kind: expected a str"),
        (
            lambda: pc.Profile(plan(), 2).observe([0.0, 0.0], "buy"),
            ValueError,
            "item: expected a vector with",
        ),
        (lambda: pc.Profile(plan(), 2).observe([1.0], "buy"), ValueError, "item: expected 2 components"),
        (lambda: pc.Profile(plan(), 2).observe(7, "buy"), TypeError, "catalog: expected a Catalog"),
        (lambda: pc.Profile(plan(), world(1)[0]).observe(10**6, "buy"), KeyError, "1000000"),
        (
            lambda: pc.Profile(plan(), 2).observe([1.0, 2.0], "buy", catalog=world(1)[0]),
            ValueError,
            "catalog: expected None",
        ),
        (lambda: pc.Profile.from_bytes(b"", plan()), pc.FormatError, "damaged profile"),
        (lambda: pc.Profile.from_bytes("x", plan()), TypeError, "data: expected bytes"),
        (lambda: _rank([pc.Profile(plan(), 6)]), TypeError, "user: expected one Profile"),
        (
            lambda: _rank({"b": pc.Profile(plan(), 6)}),
            ValueError,
            r"user\['b'\]: expected a Profile of space",
        ),
    ],
)
def test_what_is_wrong_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def _rank(user: Any) -> pc.Slate:
    return pc.rank(world(1)[0], user, pc.Policy(score=pc.Blend({"a": 1.0})), 5)
