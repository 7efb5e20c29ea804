"""Policies: what they refuse, how they read, and that JSON and hash are stable."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle
import subprocess
import sys
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perso_core as pc

FULL = pc.Policy(
    candidates=500,
    score=pc.Blend(
        similarity={"cf": 0.7, "content": pc.Signal(0.3, normalize="rank")},
        popularity=0.2,
        freshness=pc.Decay("published_at", half_life="3d", weight=0.3, normalize="none"),
    ),
    diversity=pc.MMR(0.3, space="content"),
    caps={"genre": 3, "artist": 1},
    explore=pc.EpsilonGreedy(0.1),
)

# --- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "argument"),
    [
        (lambda: pc.Policy(candidates=0), ValueError, "candidates"),
        (lambda: pc.Policy(candidates=2.0), TypeError, "candidates"),  # type: ignore[arg-type]
        (lambda: pc.Policy(candidates=True), TypeError, "candidates"),
        (lambda: pc.Policy(score=1.0), TypeError, "score"),  # type: ignore[arg-type]
        (lambda: pc.Policy(diversity=0.3), TypeError, "diversity"),  # type: ignore[arg-type]
        (lambda: pc.Policy(explore=0.1), TypeError, "explore"),  # type: ignore[arg-type]
        (lambda: pc.Policy(caps=["genre"]), TypeError, "caps"),  # type: ignore[arg-type]
        (lambda: pc.Policy(caps={"genre": 0}), ValueError, "caps['genre']"),
        (lambda: pc.Policy(caps={"genre": 1.5}), TypeError, "caps['genre']"),  # type: ignore[dict-item]
        (lambda: pc.Policy(caps={1: 1}), TypeError, "caps"),  # type: ignore[dict-item]
        (lambda: pc.MMR(-0.1), ValueError, "diversity"),
        (lambda: pc.MMR(1.1), ValueError, "diversity"),
        (lambda: pc.MMR(float("nan")), ValueError, "diversity"),
        (lambda: pc.MMR("0.3"), TypeError, "diversity"),  # type: ignore[arg-type]
        (lambda: pc.MMR(0.3, space=""), ValueError, "space"),
        (lambda: pc.EpsilonGreedy(2), ValueError, "epsilon"),
        (lambda: pc.EpsilonGreedy(True), TypeError, "epsilon"),
        (lambda: pc.Signal(float("inf")), ValueError, "weight"),
        (lambda: pc.Signal(1.0, normalize="max"), ValueError, "normalize"),  # type: ignore[arg-type]
        (lambda: pc.Decay("", "3d"), ValueError, "attribute"),
        (lambda: pc.Decay("t", "3 days"), ValueError, "half_life"),
        (lambda: pc.Decay("t", "-3d"), ValueError, "half_life"),
        (lambda: pc.Decay("t", 0), ValueError, "half_life"),
        (lambda: pc.Decay("t", timedelta(0)), ValueError, "half_life"),
        (lambda: pc.Decay("t", float("nan")), ValueError, "half_life"),
        (lambda: pc.Decay("t", None), TypeError, "half_life"),  # type: ignore[arg-type]
        (lambda: pc.Blend(normalize="l1"), ValueError, "normalize"),  # type: ignore[arg-type]
        (lambda: pc.Blend("1.0"), TypeError, "similarity"),  # type: ignore[arg-type]
        (lambda: pc.Blend({}), ValueError, "similarity"),
        (lambda: pc.Blend({"cf": float("nan")}), ValueError, "similarity['cf']"),
        (lambda: pc.Blend(None), ValueError, "score"),
        (lambda: pc.Blend(popularity="high"), TypeError, "popularity"),  # type: ignore[arg-type]
        (lambda: pc.Blend(popularity=pc.MMR(0.1)), TypeError, "popularity"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_part_is_refused_by_name(make: Any, error: type[Exception], argument: str) -> None:
    with pytest.raises(error) as caught:
        make()
    message = str(caught.value)
    assert message.startswith(argument + ":"), message
    assert "expected" in message
    assert "got" in message


def test_an_unknown_keyword_is_refused() -> None:
    with pytest.raises(TypeError, match="divesity"):
        pc.Policy(divesity=pc.MMR(0.3))  # type: ignore[call-arg]


def test_parts_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.candidates = 3  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.explore.epsilon = 1.0  # type: ignore[union-attr,misc]
    with pytest.raises(AttributeError, match="frozen"):
        FULL.score.similarity = 1.0  # type: ignore[misc,assignment]
    with pytest.raises(TypeError):
        FULL.caps["genre"] = 4  # type: ignore[index]
    with pytest.raises(TypeError):
        FULL.score.signals["new"] = pc.Signal()  # type: ignore[index]


def test_caps_are_a_copy() -> None:
    caps = {"genre": 3}
    policy = pc.Policy(caps=caps)
    caps["genre"] = 1
    assert policy.caps == {"genre": 3}


# --- half-lives ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("half_life", "microseconds", "kept"),
    [
        ("3d", 259_200_000_000, "3d"),
        ("72h", 259_200_000_000, "3d"),
        ("2w", 1_209_600_000_000, "14d"),
        ("90m", 5_400_000_000, "90m"),
        ("45s", 45_000_000, "45s"),
        ("1.5h", 5_400_000_000, "90m"),
        (timedelta(hours=12), 43_200_000_000, "12h"),
        (timedelta(microseconds=1), 1, "0.000001s"),
        (0.5, 500_000, "0.5s"),
        (60, 60_000_000, "1m"),
    ],
)
def test_a_half_life_in_every_spelling(half_life: Any, microseconds: int, kept: str) -> None:
    decay = pc.Decay("t", half_life)
    assert decay.half_life_us == microseconds
    assert decay.half_life == kept
    assert pc.Decay("t", kept) == decay


@given(st.integers(1, 2**53))
def test_the_text_of_a_half_life_is_exact(microseconds: int) -> None:
    decay = pc.Decay("t", timedelta(microseconds=microseconds))
    assert decay.half_life_us == microseconds
    assert pc.Decay("t", decay.half_life).half_life_us == microseconds


# --- equality, repr --------------------------------------------------------------------------------


def test_equal_however_it_is_spelt() -> None:
    a = pc.Blend(1, normalize="rank", x=2, d=pc.Decay("t", "24h"))
    b = pc.Blend(
        pc.Signal(1.0, "rank"), x=pc.Signal(2.0, "rank"), d=pc.Decay("t", timedelta(days=1), 1, "rank")
    )
    assert a == b
    assert hash(a) == hash(b)
    assert pc.Policy(score=a).hash == pc.Policy(score=b).hash
    assert pc.Policy(score=a) == pc.Policy(score=b)
    assert len({pc.Policy(score=a), pc.Policy(score=b)}) == 1


def test_unequal_where_it_matters() -> None:
    assert pc.Blend(1, a=1, b=1) != pc.Blend(1, b=1, a=1)  # The order of the term columns.
    assert pc.Policy(caps={"a": 1, "b": 2}) == pc.Policy(caps={"b": 2, "a": 1})
    assert pc.Policy() != pc.Policy(candidates=100)
    assert pc.Policy() != "policy"


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (pc.Signal(0.2), "Signal(weight=0.2, normalize=None)"),
        (pc.MMR(0.3), "MMR(diversity=0.3, space=None)"),
        (pc.EpsilonGreedy(0.1), "EpsilonGreedy(epsilon=0.1)"),
        (pc.Blend(), "Blend(similarity=1.0)"),
        (pc.Blend(None, price=-1), "Blend(similarity=None, price=-1.0)"),
        (pc.Blend(1, "rank", x=0.5), "Blend(similarity=1.0, normalize='rank', x=0.5)"),
        (pc.Blend(x=pc.Signal(0.5, "rank")), "Blend(similarity=1.0, x=Signal(0.5, normalize='rank'))"),
        (pc.Blend({"a": 1}, **{"is new": 1}), "Blend(similarity={'a': 1.0}, **{'is new': 1.0})"),
        (pc.Policy(), "Policy(score=Blend(similarity=1.0))"),
    ],
)
def test_repr_reads_like_the_call(part: Any, text: str) -> None:
    assert repr(part) == text
    assert eval(text, vars(pc)) == part


def test_repr_of_everything_evaluates_to_an_equal_policy() -> None:
    assert eval(repr(FULL), vars(pc)) == FULL


# --- JSON and hash ---------------------------------------------------------------------------------


def test_the_hash_is_that_of_the_canonical_json() -> None:
    assert FULL.hash == hashlib.sha256(FULL.to_json().encode()).hexdigest()


def test_the_default_policy_has_this_document_and_hash() -> None:
    # Stored records carry this hash: it changes with the schema's version, or not at all.
    document = {
        "schema": "perso_core.policy/1",
        "candidates": None,
        "caps": {},
        "diversity": None,
        "explore": None,
        "score": {
            "signals": [
                {
                    "kind": "similarity",
                    "name": "similarity",
                    "space": None,
                    "weight": 1,
                    "normalize": "minmax",
                }
            ]
        },
    }
    policy = pc.Policy()
    assert json.loads(policy.to_json()) == document
    assert policy.to_json() == json.dumps(document, sort_keys=True, separators=(",", ":"))
    assert policy.hash == "99398aadce6799da7e18f8654085e9b7172ecfde688f46b06787d095c9984827"


def test_the_hash_is_the_same_in_another_process() -> None:
    script = "import sys, perso_core as pc; print(pc.Policy.from_json(sys.argv[1]).hash)"
    run = subprocess.run(
        [sys.executable, "-c", script, FULL.to_json()], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == FULL.hash


@pytest.mark.parametrize(
    "part", [FULL, FULL.score, FULL.diversity, FULL.explore, pc.Signal(2, "rank"), pc.Decay("t", "2w", -1)]
)
def test_json_and_pickle_round_trips(part: Any) -> None:
    again = type(part).from_json(part.to_json())
    assert again == part
    assert repr(again) == repr(part)
    assert again.to_json() == part.to_json()
    assert pickle.loads(pickle.dumps(part)) == part


def test_replace_makes_another_policy() -> None:
    smaller = dataclasses.replace(FULL, candidates=100)
    assert smaller.candidates == 100
    assert dataclasses.replace(smaller, candidates=500) == FULL


WEIGHTS = st.floats(-1e6, 1e6, allow_nan=False)
NORMALIZERS = st.sampled_from(["none", "minmax", "zscore", "rank", pc.RRF(60), pc.RRF(0.5)])
NAMES = st.text("abcdefghij_", min_size=1, max_size=8).filter(lambda n: n not in ("similarity", "normalize"))
SIGNALS = st.one_of(
    WEIGHTS,
    st.builds(pc.Signal, WEIGHTS, st.none() | NORMALIZERS),
    st.builds(pc.Decay, NAMES, st.integers(1, 10**9), WEIGHTS, st.none() | NORMALIZERS),
    # Upper case, because no model may feed on another.
    st.builds(
        pc.Model,
        st.lists(NAMES.map(str.upper), min_size=1, max_size=3, unique=True),
        WEIGHTS,
        st.none() | NORMALIZERS,
        st.none() | NAMES,
    ),
)
WEIGHTED = st.one_of(WEIGHTS, st.builds(pc.Signal, WEIGHTS, st.none() | NORMALIZERS))
SIMILARITIES = st.one_of(WEIGHTED, st.dictionaries(NAMES, WEIGHTED, min_size=1, max_size=3))
POLICIES = st.builds(
    pc.Policy,
    candidates=st.none() | st.integers(1, 10**6),
    score=st.builds(
        lambda similarity, normalize, signals: pc.Blend(similarity, normalize, **signals),
        SIMILARITIES,
        NORMALIZERS,
        st.dictionaries(NAMES, SIGNALS, max_size=4),
    ),
    diversity=st.one_of(
        st.none(),
        st.builds(pc.MMR, st.floats(0, 1), st.none() | NAMES),
        st.builds(pc.DPP, st.floats(0, 1), st.none() | NAMES, st.none() | st.integers(1, 2**53)),
        st.builds(pc.Spread, st.floats(0, 1), st.integers(1, 2**53), st.none() | NAMES),
        st.builds(
            pc.Calibrated,
            NAMES,
            st.floats(0, 1),
            st.none() | st.dictionaries(st.text(), st.floats(1e-300, 1e300), min_size=1, max_size=4),
        ),
    ),
    caps=st.dictionaries(NAMES, st.integers(1, 100), max_size=3),
    explore=st.none() | st.builds(pc.EpsilonGreedy, st.floats(0, 1)),
)


@given(POLICIES)
def test_any_policy_round_trips(policy: pc.Policy) -> None:
    again = pc.Policy.from_json(policy.to_json())
    assert again == policy
    assert again.hash == policy.hash
    assert eval(repr(policy), vars(pc)) == policy


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(schema="perso_core.policy/2"),
        lambda d: d.update(explore={"kind": "boltzmann", "temperature": 1}),
        lambda d: d.update(surprise=1),
        lambda d: d.update(candidates=0),
        lambda d: d["score"]["signals"].clear(),
        lambda d: d["score"]["signals"][0].update(weight="1"),
        lambda d: d["score"]["signals"].append(d["score"]["signals"][0]),
        lambda d: d["score"]["signals"].reverse(),
        lambda d: d["score"]["signals"][0].update(name="other"),
        lambda d: d["diversity"].update(diversity=2),
    ],
)
def test_a_changed_document_is_refused(change: Any) -> None:
    document = json.loads(FULL.to_json())
    change(document)
    with pytest.raises(ValueError, match="expected"):
        pc.Policy.from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "{}"])
def test_no_document_is_refused(text: str) -> None:
    parts = (pc.MMR, pc.DPP, pc.Spread, pc.Calibrated, pc.Signal, pc.Decay, pc.EpsilonGreedy)
    for kind in (pc.Policy, pc.Blend, *parts):
        with pytest.raises(ValueError, match="expected"):
            kind.from_json(text)  # type: ignore[attr-defined]


def test_numpy_numbers_are_numbers() -> None:
    assert pc.Blend(np.float32(0.5), x=np.int64(2)) == pc.Blend(0.5, x=2)  # type: ignore[arg-type]
    assert pc.Policy(candidates=np.int64(7)).candidates == 7  # type: ignore[arg-type]
