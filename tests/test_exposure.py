"""Exposure by group and agreement of rankings, against plain Python and SciPy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import perso_core as pc
from perso_core import agreement, exposure


def slates(n=6, k=5):
    candidates = pc.Candidates([f"i{i}" for i in range(12)], scores=np.arange(12.0))
    policy = pc.Policy(explore=pc.EpsilonGreedy(0.6))
    return pc.SlateBatch(
        [pc.rank(candidates, None, policy, k=k, seed=1, request_id=f"{i}") for i in range(n)]
    )


GROUPS = {f"i{i}": ["a", "b", "c"][i % 3] for i in range(12)}


@pytest.mark.parametrize("weights", ["log2", "uniform", [1.0, 0.5, 0.25, 0.0, 0.0]])
def test_exposure_is_that_of_plain_python(weights):
    batch = slates()
    weigh = {"log2": lambda j: 1 / math.log2(j + 2), "uniform": lambda j: 1.0}.get(str(weights))
    found = exposure.by_group(batch, GROUPS, weights=weights)
    rows = [
        (GROUPS[item.id], item.id, weigh(item.position) if weigh else weights[item.position], item.propensity)
        for slate in batch
        for item in slate
    ]
    everything = sum(w for _, _, w, _ in rows)
    assert {row.group for row in found} == {group for group, *_ in rows}
    for row in found:
        mine = [one for one in rows if one[0] == row.group]
        assert row.slots == len(mine) and row.items == len({one[1] for one in mine})
        assert row.slot_share == pytest.approx(len(mine) / len(rows))
        assert row.exposure == pytest.approx(sum(one[2] for one in mine))
        assert row.exposure_share == pytest.approx(row.exposure / everything)
        assert row.mean_propensity == pytest.approx(sum(one[3] for one in mine) / len(mine))
    assert [row.exposure for row in found] == sorted((row.exposure for row in found), reverse=True)
    assert sum(row.exposure_share for row in found) == pytest.approx(1)


def test_logs_in_every_form_say_the_same():
    batch = slates()
    found = exposure.by_group(batch, GROUPS)
    forms = [list(batch), [s.record() for s in batch], (s.record_json() for s in batch)]
    for one in forms:
        assert list(exposure.by_group(one, GROUPS)) == list(found)
    assert exposure.by_group(batch[0], GROUPS).slates == 1 and found.slates == 6
    text = repr(found)
    assert "6 slates" in text and all(row.group in text for row in found)
    assert found.of("a") in list(found) and len(found[:2]) == 2
    with pytest.raises(KeyError, match="no group 'z'"):
        found.of("z")


def test_exposure_of_arrow_tables():
    pytest.importorskip("pyarrow")
    batch = slates()
    found = exposure.by_group(batch, GROUPS)
    assert list(exposure.by_group(batch.to_arrow(), GROUPS)) == list(found)
    assert found.to_arrow().to_pylist() == [vars(row) for row in found]
    with pytest.raises(ValueError, match=r"slates: expected positions from 0 without gaps"):
        exposure.by_group(batch.to_arrow().slice(1), GROUPS)


def test_items_of_several_groups_and_of_none():
    batch = slates(1, 3)
    first, second, third = batch[0].ids
    found = exposure.by_group(
        batch, {first: ["x", "y", "x"], second: "x"}, weights="uniform", missing="other"
    )
    assert {row.group: row.slots for row in found} == {"x": 2, "y": 1, "other": 1}
    with pytest.raises(ValueError, match=rf"groups: expected a group for item '{third}'"):
        exposure.by_group(batch, {first: "x", second: "x"})
    with pytest.raises(TypeError, match="groups: expected a mapping"):
        exposure.by_group(batch, ["x"])
    with pytest.raises(ValueError, match="weights: expected one for each of 3 positions, got 2"):
        exposure.by_group(batch, GROUPS, weights=[1, 2])
    with pytest.raises(ValueError, match="weights: expected one of 'log2'"):
        exposure.by_group(batch, GROUPS, weights="dcg")
    with pytest.raises(ValueError, match="weights: expected numbers of at least 0"):
        exposure.by_group(batch, GROUPS, weights=[1, -2, 1])
    assert len(exposure.by_group([], GROUPS)) == 0


# --- agreement -------------------------------------------------------------------------------------

RANKING = st.permutations(range(9)).flatmap(lambda p: st.integers(0, 9).map(lambda n: list(p)[:n]))


def rbo_by_hand(a, b, p):
    """Equation (32), term by term."""
    s, length = sorted((len(a), len(b)))

    def common(d):
        return len(set(a[:d]) & set(b[:d]))

    x_s, x_l = common(s), common(length)
    total = sum(common(d) / d * p**d for d in range(1, length + 1))
    total += sum(x_s * (d - s) / (s * d) * p**d for d in range(s + 1, length + 1))
    return (1 - p) / p * total + ((x_l - x_s) / length + x_s / s) * p**length


@given(RANKING, RANKING, st.floats(0.05, 0.98), st.integers(1, 12))
def test_agreement_is_that_of_plain_python(a, b, p, k):
    assert agreement.overlap(a, b, k) == len(set(a[:k]) & set(b[:k])) / k
    if a and b:
        assert agreement.rbo(a, b, p) == pytest.approx(min(1, rbo_by_hand(a, b, p)), abs=1e-12)
    assert agreement.rbo(a, b, p) == pytest.approx(agreement.rbo(b, a, p), abs=1e-15)
    both = [one for one in a if one in b]
    tau = agreement.kendall(a, b)
    if len(both) < 2:
        assert math.isnan(tau)
    else:
        assert tau == pytest.approx(
            stats.kendalltau(range(len(both)), [b.index(one) for one in both]).statistic
        )


@given(RANKING, st.floats(0.05, 0.98))
def test_a_ranking_agrees_with_itself(a, p):
    assert agreement.overlap(a, a) == 1 and agreement.rbo(a, a, p) == pytest.approx(1)
    if len(a) > 1:
        assert agreement.kendall(a, a) == 1 and agreement.kendall(a, a[::-1]) == -1
    assert agreement.rbo([20, 21], a, p) == 0 and agreement.overlap([20], a) == 0


def test_agreement_of_slates():
    one, other = slates(2)
    assert agreement.overlap(one, other) == agreement.overlap(one.ids.tolist(), other.ids)
    assert agreement.rbo(one, one) == pytest.approx(1) and agreement.kendall(one, one) == 1
    assert agreement.overlap([], []) == 1 == agreement.rbo([], []) and agreement.rbo([1], []) == 0


def test_wrong_rankings_name_the_argument():
    with pytest.raises(ValueError, match="a: expected each item once, got 1 twice"):
        agreement.overlap([1, 2, 1], [1])
    with pytest.raises(TypeError, match="b: expected a sequence"):
        agreement.kendall([1], {1, 2})
    with pytest.raises(ValueError, match="p: expected a number between 0 and 1"):
        agreement.rbo([1], [1], 1.0)
    with pytest.raises(ValueError, match="k: expected an integer of at least 1"):
        agreement.overlap([1], [1], 0)
