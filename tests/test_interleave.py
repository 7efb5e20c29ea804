"""Interleaving: against the definitions run by hand, SciPy's solver and tests, and simulated readers.

Draws are seeded. A test that counts draws rejects a right implementation with probability 1e-6.
"""

import hashlib
import itertools
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

import perso_core as pc
from perso_core import interleave
from perso_core.interleave import _optimized, _team_draft

ALPHA = 1e-6
RANKINGS = st.tuples(
    st.permutations(range(8)), st.permutations(range(8)), st.integers(4, 8), st.integers(4, 8)
).map(lambda p: (list(p[0])[: p[2]], list(p[1])[: p[3]]))


def outcomes_of(a, b, k):
    """Every list that team draft may give, with its probability and teams, by following every coin."""
    found = []

    def go(shown, teams, chance):
        if len(shown) == k:
            found.append((tuple(shown), tuple(teams), chance))
            return
        picks = teams.count("a"), teams.count("b")
        turns = ["a", "b"] if picks[0] == picks[1] else ["a" if picks[0] < picks[1] else "b"]
        for turn in turns:
            best = next(x for x in (a if turn == "a" else b) if x not in shown)
            go([*shown, best], [*teams, turn], chance / len(turns))

    go([], [], 1.0)
    return found


# --- team draft ------------------------------------------------------------------------------------


@given(RANKINGS, st.integers(0, 2**64 - 1), st.text(st.characters(codec="utf-8"), min_size=1, max_size=8))
def test_a_team_draft_is_one_of_those_of_the_definition(rankings, seed, request_id):
    a, b = rankings
    shown = interleave.team_draft(a, b, seed=seed, request_id=request_id)
    k = min(len(a), len(b))
    assert len(shown) == k and len(set(shown.ids.tolist())) == k
    law = outcomes_of(a, b, k)
    teams = tuple("a" if credit else "b" for credit in shown.credit_a)
    assert (tuple(shown.ids.tolist()), teams) in {(one, team) for one, team, _ in law}
    chance = sum(p for one, _, p in law if one == tuple(shown.ids.tolist()))
    assert shown.probability == pytest.approx(chance, rel=1e-12)
    assert (shown.credit_a + shown.credit_b == 1).all()
    assert abs(shown.credit_a.sum() - shown.credit_b.sum()) <= 1
    again = interleave.team_draft(a, b, seed=seed, request_id=request_id)
    assert again.ids.tolist() == shown.ids.tolist() and (again.credit_a == shown.credit_a).all()


def test_team_drafts_follow_their_probabilities():
    a, b = [0, 1, 2, 3], [3, 1, 4, 0]
    law = {}
    for one, teams, p in outcomes_of(a, b, 4):
        law[one, teams] = law.get((one, teams), 0) + p
    counts = dict.fromkeys(law, 0)
    n = 4000
    for i in range(n):
        shown = interleave.team_draft(a, b, seed=5, request_id=f"r{i}")
        counts[tuple(shown.ids.tolist()), tuple("ab"[int(x)] for x in shown.credit_b)] += 1
    assert stats.chisquare(list(counts.values()), [n * p for p in law.values()]).pvalue > ALPHA


def coins(method, seed, request_id):
    """The numbers of a request: SHA-256 over purpose, seed, request and a counter, 64 bits at a time."""
    for counter in itertools.count():
        text = f"perso_core.interleave.{method}/1".encode() + b"\0" + struct.pack("<Q", seed)
        text += request_id.encode() + b"\0" + struct.pack("<Q", counter)
        yield from struct.unpack("<4Q", hashlib.sha256(text).digest())


@given(RANKINGS, st.integers(0, 2**64 - 1), st.text(st.characters(codec="utf-8"), min_size=1, max_size=8))
def test_draws_are_a_function_of_seed_and_request(rankings, seed, request_id):
    a, b = rankings
    k = min(len(a), len(b))
    numbers = coins("team_draft", seed, request_id)
    shown, picks = [], [0, 0]
    while len(shown) < k:
        team = next(numbers) >> 63 if picks[0] == picks[1] else int(picks[1] < picks[0])
        shown.append(next(x for x in (a, b)[team] if x not in shown))
        picks[team] += 1
    assert interleave.team_draft(a, b, seed=seed, request_id=request_id).ids.tolist() == shown
    law = _optimized._law(tuple(a), tuple(b), 3, "linear")
    at = (next(coins("optimized", seed, request_id)) >> 11) / 2**53
    row = next(i for i, below in enumerate(np.cumsum(law.p)) if at < below)
    found = interleave.optimized(a, b, 3, seed=seed, request_id=request_id, credit="linear")
    assert tuple(found.ids.tolist()) == law.lists[row]


def test_draws_are_the_same_in_another_process():
    a, b = list("abcdef"), list("fdbaec")
    here = interleave.team_draft(a, b, seed=7, request_id="r-1").ids.tolist()
    assert "".join(here) == "afdbec"
    script = (
        "import perso_core as pc; shown = pc.interleave.team_draft(list('abcdef'), list('fdbaec'), seed=7, "
        "request_id='r-1'); print(''.join(shown.ids))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "".join(here)


# --- optimized -------------------------------------------------------------------------------------


def best_by_scipy(credits, sensitivity):
    equal = np.vstack([np.ones(len(credits)), credits.T])
    return optimize.linprog(-sensitivity, A_eq=equal, b_eq=[1.0, *[0.0] * credits.shape[1]])


@given(RANKINGS, st.integers(1, 4), st.sampled_from(["linear", "inverse", "binary"]))
def test_the_law_is_the_best_fair_one(rankings, k, kind):
    a, b = map(tuple, rankings)
    law = _optimized._law(a, b, k, kind)
    assert law.p.min() >= 0 and law.p.sum() == pytest.approx(1)
    gains = _optimized.sensitivity(law.credits)
    theirs = best_by_scipy(law.credits, gains)
    if theirs.success:
        assert law.bias == 0
        assert np.abs(law.p @ law.credits).max() < 1e-8
        assert law.p @ gains == pytest.approx(-theirs.fun, abs=1e-7)
    else:
        least = optimize.linprog(
            [0.0] * len(law.p) + [1.0] * 2 * k,
            A_eq=np.block([[np.ones(len(law.p)), np.zeros(2 * k)], [law.credits.T, np.eye(k), -np.eye(k)]]),
            b_eq=[1.0, *[0.0] * k],
        )
        assert law.bias == pytest.approx(least.fun, abs=1e-7) and law.bias > 1e-9


@given(RANKINGS, st.integers(1, 4))
def test_allowed_lists_are_those_of_the_definition(rankings, k):
    a, b = rankings
    found = set(_optimized.allowed(tuple(a), tuple(b), k))

    def prefixes(shown):
        return all(
            any(set(shown[:m]) == set(a[:i]) | set(b[:j]) for i in range(m + 1) for j in range(m + 1))
            for m in range(k + 1)
        )

    everything = itertools.permutations(sorted(set(a) | set(b)), k)
    assert found == {one for one in everything if prefixes(one)}


def test_optimized_draws_follow_their_probabilities():
    a, b = (0, 1, 2, 3), (2, 0, 3, 1)
    law = _optimized._law(a, b, 3, "inverse")
    n = 3000
    drawn = [interleave.optimized(a, b, 3, seed=1, request_id=f"r{i}") for i in range(n)]
    counts = [sum(one.ids.tolist() == list(shown) for one in drawn) for shown in law.lists]
    kept = law.p > 0
    assert np.array(counts)[~kept].sum() == 0
    assert stats.chisquare(np.array(counts)[kept], n * law.p[kept]).pvalue > ALPHA
    one = drawn[0]
    row = law.lists.index(tuple(one.ids.tolist()))
    assert one.probability == law.p[row] and one.bias == 0
    assert (one.credit_a - one.credit_b == law.credits[row]).all()
    assert (np.minimum(one.credit_a, one.credit_b) == 0).all()


def test_credits_by_hand():
    a, b = (1, 2, 3), (3, 4, 1)
    by_kind = {kind: dict(zip(range(1, 5), (
        _optimized._credit(kind, a, b, one) for one in range(1, 5)), strict=True)) for kind in ("linear", "inverse", "binary")}  # fmt: skip
    assert by_kind["linear"] == {1: 2, 2: 2, 3: -2, 4: -2}
    assert by_kind["inverse"] == pytest.approx({1: 2 / 3, 2: 1 / 4, 3: -2 / 3, 4: -1 / 4})
    assert by_kind["binary"] == {1: 1, 2: 1, 3: -1, 4: -1}


def test_sensitivity_by_hand():
    # One click falls on the slots with probabilities 6/11, 3/11, 2/11.
    found = _optimized.sensitivity(np.array([[1.0, -1, 0], [1, 1, 1], [0, 0, 0]]))
    entropy = -(2 / 3) * np.log(2 / 3) - (1 / 3) * np.log(1 / 3)
    assert found == pytest.approx([9 / 11 * entropy, 0, 0])


# --- whom clicks prefer ----------------------------------------------------------------------------


def readers(method, appeal, n, seed):
    """Outcomes of readers who click each item with the probability of its appeal."""
    rng = np.random.default_rng(seed)
    a, b = [0, 1, 2, 3, 4], [4, 3, 0, 2, 1]
    out = []
    for i in range(n):
        shown = method(a, b, seed=seed, request_id=f"r{i}")
        out.append(shown.credit(shown.ids[rng.random(len(shown)) < appeal[shown.ids]]))
    return interleave.preference(out)


@pytest.mark.parametrize("method", [interleave.team_draft, interleave.optimized])
def test_readers_without_a_preference_show_none(method):
    found = readers(method, np.full(5, 0.3), 1500, 3)
    assert found.p_sign > ALPHA and found.p_t > ALPHA and abs(found.delta) < 0.1
    assert found.low < 0 < found.high


@pytest.mark.parametrize("method", [interleave.team_draft, interleave.optimized])
def test_readers_with_a_preference_show_it(method):
    for appeal, sign in (([0.5, 0.5, 0.1, 0.1, 0.1], 1), ([0.1, 0.1, 0.1, 0.4, 0.5], -1)):
        found = readers(method, np.array(appeal), 1500, 4)
        assert found.p_sign < 1e-4 and found.p_t < 1e-4
        assert np.sign(found.delta) == np.sign(found.mean) == sign
        assert (found.low > 0) if sign > 0 else (found.high < 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60))
def test_preferences_are_those_of_scipy(pairs):
    found = interleave.preference(pairs)
    difference = np.array([a - b for a, b in pairs], float)
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    assert (found.wins_a, found.wins_b, found.ties) == (wins, losses, len(pairs) - wins - losses)
    assert found.delta == pytest.approx((wins + found.ties / 2) / len(pairs) - 0.5)
    sign = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert found.p_sign == pytest.approx(sign, rel=1e-9)
    assert found.mean == pytest.approx(difference.mean())
    if difference.std() > 0:
        test = stats.ttest_1samp(difference, 0)
        assert found.p_t == pytest.approx(test.pvalue, rel=1e-8, abs=1e-300)
    else:
        assert found.p_t == (1.0 if difference[0] == 0 else 0.0)
    assert found.low <= found.mean + 1e-12 and found.mean - 1e-12 <= found.high


def test_the_sign_test_of_many():
    many = np.repeat([[1.0, 0.0], [0.0, 1.0]], [50_600, 49_400], axis=0)
    found = interleave.preference(many, interval=pc.ope.Bootstrap(resamples=100))
    assert found.p_sign == pytest.approx(stats.binomtest(50_600, 100_000).pvalue, rel=1e-6)


# --- forms -----------------------------------------------------------------------------------------


def test_slates_are_rankings_and_clicks_are_ids_or_positions():
    pa = pytest.importorskip("pyarrow")
    rows = [f"i{i}" for i in range(10)]
    candidates = pc.Candidates(rows, scores=np.arange(10.0), attributes={"new": np.arange(10.0)[::-1]})
    a = pc.rank(candidates, None, pc.Policy(), k=5, request_id="q")
    b = pc.rank(candidates, None, pc.Policy(score=pc.Blend(1.0, new=5.0)), k=4, request_id="q")
    shown = interleave.team_draft(a, b, seed=1, request_id=a.request_id)
    plain = interleave.team_draft(a.ids, b.ids.tolist(), seed=1, request_id="q")
    assert shown.ids.tolist() == plain.ids.tolist() and len(shown) == 4
    clicked = shown.ids[[0, 2]]
    one = shown.credit([*clicked, clicked[0]])
    assert one == shown.credit_at([2, 0, 0]) == shown.credit(set(clicked))
    assert one.a + one.b == 2 and one.request_id == "q"
    assert shown.credit([]) == ("q", 0.0, 0.0)
    table = shown.to_arrow()
    assert table.column("id").to_pylist() == shown.ids.tolist()
    assert table.column("credit_a").to_pylist() == shown.credit_a.tolist()
    text = repr(shown)
    assert "team_draft" in text and all(one in text for one in shown.ids)
    outcomes = [shown.credit([one]) for one in shown.ids]
    by_hand = interleave.preference([(one.a, one.b) for one in outcomes])
    arrow = pa.table({"credit_a": [one.a for one in outcomes], "credit_b": [one.b for one in outcomes]})
    assert interleave.preference(outcomes) == by_hand == interleave.preference(arrow)
    assert by_hand.to_arrow().to_pylist() == [vars(by_hand)]


def test_team_draft_has_no_limit():
    n = 300
    shown = interleave.team_draft(range(n), range(n)[::-1], seed=1, request_id="r")
    assert sorted(shown.ids.tolist()) == list(range(n)) and 0 < shown.probability < 1e-30
    assert _team_draft.probability([0], [0], [0]) == 1


ARGS = dict(seed=1, request_id="r")
WRONG = {
    "twice": (lambda: interleave.team_draft([1, 1], [1, 2], **ARGS), ValueError, "a:", "each item once", "1 twice"),
    "empty": (lambda: interleave.team_draft([1], [], **ARGS), ValueError, "b:", "at least one item"),
    "kinds": (lambda: interleave.team_draft([1], ["x"], **ARGS), TypeError, "b:", "kind"),
    "k": (lambda: interleave.team_draft([1, 2], [1], 2, **ARGS), ValueError, "k:", "at most the 1", "2"),
    "k = 0": (lambda: interleave.team_draft([1], [1], 0, **ARGS), ValueError, "k:", "at least 1"),
    "seed": (lambda: interleave.team_draft([1], [1], seed=-1, request_id="r"), ValueError, "seed:"),
    "request": (lambda: interleave.team_draft([1], [1], seed=1, request_id=""), ValueError, "request_id:"),
    "surrogate": (lambda: interleave.team_draft([1], [1], seed=1, request_id="\ud800"), ValueError, "request_id:", "Unicode"),
    "no request": (lambda: interleave.team_draft([1], [1], seed=1), TypeError, "request_id"),
    "too long": (lambda: interleave.optimized(range(11), range(11), **ARGS), ValueError, "k:", "at most 10"),
    "credit": (lambda: interleave.optimized([1], [1], credit="x", **ARGS), ValueError, "credit:", "'linear'"),
    "click": (lambda: interleave.team_draft([1], [1], **ARGS).credit([2]), ValueError, "clicked:", "2"),
    "position": (lambda: interleave.team_draft([1], [1], **ARGS).credit_at([1]), ValueError, "positions:", "0 to 0"),
    "nothing": (lambda: interleave.preference([]), ValueError, "outcomes:", "at least one"),
    "three": (lambda: interleave.preference([(1, 2, 3)]), ValueError, "outcomes:", "pairs"),
    "NaN": (lambda: interleave.preference([(1, float("nan"))]), ValueError, "outcomes:", "finite"),
    "number": (lambda: interleave.preference(3), TypeError, "outcomes:", "Credits"),
    "interval": (lambda: interleave.preference([(1, 0)], interval=pc.ope.Normal()), TypeError, "interval:", "Bootstrap"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls_name_the_argument(case):
    call, kind, *parts = WRONG[case]
    with pytest.raises(kind) as caught:
        call()
    for part in parts:
        assert part in str(caught.value), str(caught.value)
