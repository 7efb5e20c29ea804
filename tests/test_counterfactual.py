"""A recorded slate without some names: that of a policy written without them, from the same pool."""

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import oracle
import perso_core as pc
from oracle import Term
from perso_core import _stats
from world import AT, AT_US, DAY, blend_of, similarities, world

DECAY = Term("fresh", "decay", "at", 0.4, "none", half_life_us=3 * DAY)
TERMS = [
    *similarities({"a": 1.0, "b": 0.7}, "minmax"),
    Term("pop", "value", "pop", 0.37, "zscore"),
    Term("count", "value", "count", -0.2, "minmax"),
    DECAY,
]
OF = {
    "similarity": {"similarity.a", "similarity.b"},
    "similarity.a": {"similarity.a"},
    "pop": {"pop"},
    "count": {"count"},
    "fresh": {"fresh"},
    "at": {"fresh"},
    "genre": set(),
    "shelf": set(),
}


def left_of(mask):
    """What a mask leaves of TERMS, by hand."""
    gone = set().union(*(OF[name] for name in mask))
    return [term for term in TERMS if term.name not in gone]


masks = st.lists(st.sampled_from(sorted(OF)), min_size=1, max_size=4, unique=True)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), mask=masks, k=st.integers(1, 10), mmr=st.sampled_from([0.0, 0.4]))
def test_the_slate_is_that_of_the_oracle_on_the_recorded_pool(seed, mask, k, mmr):
    cat, items, user = world(seed, n=60)
    caps = {"genre": 3, "shelf": 4}
    slate = pc.rank(cat, user, pc.Policy(20, blend_of(TERMS), pc.MMR(mmr, "b"), caps), k=k, seed=seed, at=AT)
    record = slate.record()
    # Deepened pools are in another test: the oracle would go beyond what is recorded.
    assume(len(record["pool"]) == 1)
    found = pc.counterfactual(record, cat, mask=mask)
    assert found.served == slate and found.mask == tuple(mask)
    pool = [items.position(one) for one in record["pool"][0]["ids"]]
    left = left_of(mask)
    answer = oracle.rank(
        items,
        left,
        user=user,
        candidates=len(pool),
        k=k,
        eligible=pool,
        mmr=(mmr, "b"),
        caps={name: cap for name, cap in caps.items() if name not in mask},
        at=AT_US,
    )
    assume(answer.margin > 1e-5)
    assert len(answer.pool) == len(pool), "the oracle had no other items"
    assert found.slate.ids.tolist() == answer.ids
    assert list(found.slate.terms) == [term.name for term in left]
    for position, term in enumerate(left):
        want = [row[position] for row in answer.terms]
        assert found.slate.terms[term.name] == pytest.approx(want, abs=1e-6)
    assert found.slate.scores.tolist() == [
        sum(item.terms.values()) for item in found.slate
    ]  # exactly, as of any slate


EXPLORERS = {
    None: None,
    "epsilon": pc.EpsilonGreedy(0.5, only={"shelf": "x", "new": True}),
    "one": pc.EpsilonGreedy(0.5, only={"shelf": "x"}, slots=[0, 2, 3]),
    "softmax": pc.Softmax(0.3),
    "plackett": pc.PlackettLuce(0.3),
    "thompson": pc.ThompsonSampling(alpha="count", beta="pop", draws=64),
}


def unmasked(kind, mask):
    """What a mask leaves of an explorer, by hand."""
    if kind == "epsilon":
        only = {n: v for n, v in {"shelf": "x", "new": True}.items() if n not in mask}
        return pc.EpsilonGreedy(0.5, only=only or None)
    if kind == "one":
        return pc.EpsilonGreedy(0.5, only=None if "shelf" in mask else {"shelf": "x"}, slots=[0, 2, 3])
    if kind == "thompson" and {"count", "pop"} & set(mask):
        return None
    return EXPLORERS[kind]


@settings(max_examples=100)
@given(
    seed=st.integers(0, 10**6),
    mask=masks,
    kind=st.sampled_from(list(EXPLORERS)),
    calibrated=st.booleans(),
    target=st.booleans(),
)
def test_with_everything_in_the_pool_it_is_a_call_of_the_masked_policy(seed, mask, kind, calibrated, target):
    cat, _, user = world(seed, n=40)
    diversity = pc.Calibrated("genre", 0.6) if calibrated else pc.DPP(0.3, "a")
    caps = {"genre": 4, "shelf": 6}
    wanted = {"war": 2.0, "noir": 1.0} if calibrated and target else None
    ask = dict(k=8, seed=seed, request_id="r", at=AT)
    slate = pc.rank(
        cat, user, pc.Policy(40, blend_of(TERMS), diversity, caps, EXPLORERS[kind]), target=wanted, **ask
    )
    found = pc.counterfactual(slate, cat, mask=mask)
    assert found.served == slate
    left = left_of(mask)
    if not left:
        assert (found.slate.scores == 0).all() and found.slate.terms == {}
        return
    gone = "genre" in mask and calibrated
    policy = pc.Policy(
        40,
        blend_of(left) if len(left) != len(TERMS) else blend_of(TERMS),
        None if gone else diversity,
        {name: cap for name, cap in caps.items() if name not in mask},
        unmasked(kind, mask),
    )
    spaces = {term.of for term in left if term.kind == "similarity"}
    own = {space: user[space] for space in spaces} or None
    again = pc.rank(cat, own, policy, target=None if gone else wanted, **ask)
    if "similarity.a" in mask and "similarity" not in mask:
        # A Blend would now call it "similarity": the same numbers under another name.
        assert next(iter(found.slate.terms.values())).tolist() == again.terms["similarity"].tolist()
        assert found.slate.ids.tolist() == again.ids.tolist()
        assert found.slate.propensities.tolist() == again.propensities.tolist()
    else:
        assert found.slate == again
        assert found.slate.policy_hash == policy.hash
    assert pc.replay(found.slate.record(), cat) == found.slate
    assert pc.counterfactual(slate.record_json(), cat, mask=mask).slate == found.slate


def test_without_any_signal_the_order_is_that_of_the_ids():
    cat, _, user = world(3)
    policy = pc.Policy(15, pc.Blend({"a": 1.0}, pop=1.0))
    slate = pc.rank(cat, user["a"], policy, k=6)
    found = pc.counterfactual(slate, cat, mask=["similarity", "pop"])
    assert found.slate.ids.tolist() == sorted(slate.record()["pool"][0]["ids"])[:6]
    assert found.slate.scores.tolist() == [0.0] * 6 and found.slate.propensities.tolist() == [1.0] * 6
    assert found.slate[0].reason.startswith("no signal speaks for or against it")


def test_caps_that_deepened_the_pool():
    rng = np.random.default_rng(0)
    shelf = ["x"] * 30 + ["y"] * 30
    found = pc.Candidates(
        np.arange(60), scores=1 - np.arange(60) / 60, attributes={"shelf": shelf, "pop": rng.random(60)}
    )
    slate = pc.rank(found, None, pc.Policy(10, pc.Blend(1.0, pop=0.1), caps={"shelf": 3}), k=6)
    record = slate.record()
    assert len(record["pool"]) > 1 and {one >= 30 for one in slate.ids.tolist()} == {True, False}
    free = pc.counterfactual(slate, found, mask=["shelf"])
    assert (free.slate.ids < 30).all() and free.slate.pool_size == 10, "the first retrieval is enough"
    assert [item.id for item in free.went] == [one for one in slate.ids.tolist() if one >= 30]
    # With the cap it deepens as far as is recorded, and no further.
    without = pc.counterfactual(slate, found, mask=["pop"])
    assert without.slate.pool_size == slate.pool_size and len(without.slate) == 6


def test_where_the_recorded_pool_has_no_more_the_slate_is_short():
    # The best by similarity takes both shelves of the pool; there is an item of a third beyond it.
    found = pc.Candidates(
        [1, 2, 3, 4],
        scores=[9.0, 8.0, 7.0, 6.0],
        attributes={"shelf": [["x", "y"], ["x"], ["y"], ["z"]], "pop": [0.0, 1.0, 0.0, 0.0]},
    )
    slate = pc.rank(found, None, pc.Policy(3, pc.Blend(1.0, pop=9.0), caps={"shelf": 1}), k=2)
    assert slate.ids.tolist() == [2, 3] and slate.pool_size == 3
    masked = pc.counterfactual(slate, found, mask=["pop"])
    assert masked.slate.ids.tolist() == [1]
    assert masked.slate.short_reason == "caps leave no further item: shelf=1"
    assert masked.overlap == 0.0 and np.isnan(masked.rank_correlation)
    assert [item.id for item in masked.came] == [1] and [item.id for item in masked.went] == [2, 3]
    assert pc.replay(masked.slate.record(), found) == masked.slate


def test_a_model_goes_with_what_it_reads_and_is_not_asked():
    cat, _, user = world(5)
    score = pc.Blend(
        {"a": 1.0}, fresh=pc.Decay("at", "3d", 0.0), ctr=pc.Model(["fresh", "pop"], normalize="none")
    )
    policy = pc.Policy(60, score)
    slate = pc.rank(
        cat,
        user["a"],
        policy,
        k=6,
        at=AT,
        seed=1,
        request_id="r",
        models={"ctr": lambda x: np.nan_to_num(x).sum(1).astype(float)},
    )
    assert policy.reads == ["at", "ctr", "fresh", "pop", "similarity"]
    for name in ("pop", "fresh", "at", "ctr"):
        found = pc.counterfactual(slate, cat, mask=[name])
        assert "ctr" not in found.slate.terms, name
        assert ("fresh" in found.slate.terms) == (name in ("pop", "ctr"))
    found = pc.counterfactual(slate, cat, mask=["similarity"])
    assert list(found.slate.terms) == ["fresh", "ctr"]
    answers = dict(zip(slate.record()["pool"][0]["ids"], slate.record()["signals"]["ctr"], strict=True))
    assert found.slate.terms["ctr"].tolist() == [answers[one] for one in found.slate.ids.tolist()]


def test_signals_of_the_request_go_with_their_names():
    cat, _, user = world(5)
    rng = np.random.default_rng(0)
    signals = {name: rng.random(len(cat)) for name in ("mine", "wins", "losses")}
    explore = pc.UCB(alpha="wins", beta="losses", weight=0.2)
    policy = pc.Policy(60, pc.Blend({"a": 1.0}, mine=1.0), explore=explore)
    ask = dict(k=6, at=AT, seed=1, request_id="r")
    slate = pc.rank(cat, user["a"], policy, signals=signals, **ask)
    assert policy.reads == ["losses", "mine", "similarity", "wins"]
    found = pc.counterfactual(slate, cat, mask=["mine"])
    rest = {name: signals[name] for name in ("wins", "losses")}
    plain = pc.Policy(60, pc.Blend({"a": 1.0}), explore=explore)
    assert found.slate == pc.rank(cat, user["a"], plain, signals=rest, **ask)
    assert found.slate.record()["signals"].keys() == {"wins", "losses"}
    found = pc.counterfactual(slate, cat, mask=["wins"])
    plain = pc.Policy(60, pc.Blend({"a": 1.0}, mine=1.0))
    assert found.slate == pc.rank(cat, user["a"], plain, signals={"mine": signals["mine"]}, **ask)


def test_scores_of_candidates_are_the_similarity():
    found = pc.Candidates([1, 2, 3], scores=[3.0, 2.0, 1.0], attributes={"pop": [1.0, 2.0, 3.0]})
    slate = pc.rank(found, None, pc.Policy(score=pc.Blend(1.0, pop=0.1)), k=3)
    assert slate.ids.tolist() == [1, 2, 3]
    masked = pc.counterfactual(slate, found, mask=["similarity"])
    assert masked.slate.ids.tolist() == [3, 2, 1] and masked.rank_correlation == -1.0


def test_vectors_that_were_only_hashed_are_given():
    cat, _, user = world(5)
    slate = pc.rank(cat, user["a"], pc.Policy(score=pc.Blend({"a": 1.0}, pop=1.0)), k=5)
    record = slate.record(user=False)
    with pytest.raises(pc.ReplayError, match="give them as user"):
        pc.counterfactual(record, cat, mask=["pop"])
    found = pc.counterfactual(record, cat, mask=["similarity"], user=user["a"])
    assert found.served == slate
    assert found.slate.record()["user"] is None and found.slate.record()["user_sha256"] is None
    with pytest.raises(pc.ReplayError, match="is not the recorded one"):
        pc.counterfactual(record, cat, mask=["pop"], user=-user["a"])


def test_it_says_how_alike_they_are():
    cat, _, user = world(6)
    slate = pc.rank(cat, user["a"], pc.Policy(score=pc.Blend({"a": 1.0}, pop=0.6)), k=8)
    found = pc.counterfactual(slate, cat, mask=["pop"])
    first, second = slate.ids.tolist(), found.slate.ids.tolist()
    assert 0 < found.overlap < 1 and found.overlap == len(set(first) & set(second)) / 8
    assert found.rbo == pc.agreement.rbo(first, second)
    assert found.rank_correlation == pc.agreement.kendall(first, second)
    assert [item.id for item in found.came] == [one for one in second if one not in first]
    assert [item.id for item in found.went] == [one for one in first if one not in second]
    assert all(item.terms.keys() == {"similarity"} for item in found.came)
    assert all(item.terms.keys() == {"similarity", "pop"} for item in found.went)
    assert repr(found).startswith(f"Counterfactual of {slate.request_id!r}: overlap {found.overlap:.2f}")


def test_wrong_arguments():
    cat, _, user = world(6)
    slate = pc.rank(cat, user["a"], pc.Policy(score=pc.Blend({"a": 1.0}, pop=1.0), caps={"genre": 2}), k=5)
    known = r"names that the policy reads \(.genre., .pop., .similarity.\), got "
    with pytest.raises(ValueError, match=rf"^mask: expected {known}.shelf.$"):
        pc.counterfactual(slate, cat, mask=["pop", "shelf"])
    with pytest.raises(ValueError, match=rf"^mask: expected {known}none$"):
        pc.counterfactual(slate, cat, mask=[])
    with pytest.raises(TypeError, match="^mask: expected a list of names, got "):
        pc.counterfactual(slate, cat, mask="pop")
    with pytest.raises(TypeError, match="^mask: expected "):
        pc.counterfactual(slate, cat, mask=[1])
    with pytest.raises(TypeError, match="^record: expected a mapping or JSON text, got "):
        pc.counterfactual(7, cat, mask=["pop"])
    with pytest.raises(TypeError, match="^cat: expected "):
        pc.counterfactual(slate, None, mask=["pop"])
    altered = slate.record()
    altered["choices"][0]["score"] += 1
    with pytest.raises(pc.ReplayError, match="digest"):
        pc.counterfactual(altered, cat, mask=["pop"])
    cat.remove([slate.ids[0]])
    with pytest.raises(pc.ReplayError, match="content has changed"):
        pc.counterfactual(slate, cat, mask=["pop"])


# --- exposure over a log ----------------------------------------------------------------------------


def log_of(n=12, k=6):
    cat, items, _ = world(11, n=80)
    rng = np.random.default_rng(4)
    policy = pc.Policy(30, pc.Blend({"a": 1.0}, pop=0.5), explore=pc.EpsilonGreedy(0.1))
    users = {f"r{i}": rng.normal(size=6).astype(np.float32) for i in range(n)}
    slates = [pc.rank(cat, u, policy, k=k, seed=2, request_id=name, at=AT) for name, u in users.items()]
    groups = {one: i % 4 for i, one in enumerate(items.ids)}
    return cat, slates, users, groups


@pytest.mark.parametrize("weights", ["log2", "uniform", [1.0, 0.5, 0.25, 0.0, 0.0, 0.0]])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_exposure_is_that_of_plain_numpy(weights, level):
    stats = pytest.importorskip("scipy.stats")
    cat, slates, _, groups = log_of()
    found = pc.counterfactual.exposure(slates, cat, ["pop"], groups, weights=weights, level=level)
    weight = {"log2": 1 / np.log2(np.arange(6) + 2), "uniform": np.ones(6)}.get(str(weights), weights)
    pairs = [(s.ids, pc.counterfactual(s, cat, ["pop"]).slate.ids) for s in slates]
    assert found.requests == 12 and found.mask == ("pop",) and found.level == level
    assert found.changed == sum(a.tolist() != b.tolist() for a, b in pairs) > 0
    totals = [sum(weight) * 12] * 2
    differences = {}
    for group in range(4):
        table = np.array(
            [
                [sum(w for w, one in zip(weight, ids, strict=True) if groups[one] == group) for ids in pair]
                for pair in pairs
            ]
        )
        row = found.of(group)
        d = table[:, 1] - table[:, 0]
        differences[group] = d.mean()
        error = d.std(ddof=1) / np.sqrt(12)
        half = stats.t.ppf(0.5 + level / 2, 11) * error
        assert [row.served, row.masked] == pytest.approx(table.mean(0))
        assert [row.served_share, row.masked_share] == pytest.approx(table.sum(0) / totals)
        assert row.difference == pytest.approx(d.mean()) and row.standard_error == pytest.approx(error)
        assert [row.low, row.high] == pytest.approx([d.mean() - half, d.mean() + half])
        assert row.standard_error > 0
    assert [row.group for row in found] == sorted(differences, key=lambda g: -abs(differences[g]))
    assert sum(row.served_share for row in found) == pytest.approx(1)


def test_the_quantile_of_student_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    for level in (0.5, 0.9, 0.95, 0.999):
        for freedom in (1, 2, 5, 30, 1000, 100_000):
            want = stats.t.ppf(0.5 + level / 2, freedom)
            assert _stats.student_quantile(level, freedom) == pytest.approx(want, rel=1e-9)


def test_every_form_of_a_log_gives_the_same():
    cat, slates, users, groups = log_of()
    first = list(pc.counterfactual.exposure(slates, cat, ["pop"], groups))
    for one in (
        [s.record() for s in slates],
        [s.record_json() for s in slates],
        iter(slates),
        pc.SlateBatch(slates),
    ):
        assert list(pc.counterfactual.exposure(one, cat, ["pop"], groups)) == first
    hashed = [s.record(user=False) for s in slates]
    assert list(pc.counterfactual.exposure(hashed, cat, ["pop"], groups, users=users)) == first
    by_request = {s.request_id: cat for s in slates}
    assert list(pc.counterfactual.exposure(slates, by_request, ["pop"], groups)) == first
    with pytest.raises(pc.ReplayError, match=r"^records\[0\]: .*give them as user"):
        pc.counterfactual.exposure(hashed, cat, ["pop"], groups)
    table = pc.counterfactual.exposure(slates, cat, ["pop"], groups).to_arrow()
    assert table.column("difference").to_pylist() == [row.difference for row in first]
    assert table.column("group").to_pylist() == [str(row.group) for row in first]


def test_a_mask_without_effect_changes_nothing():
    cat, slates, _, groups = log_of()
    policy = pc.Policy(30, pc.Blend({"a": 1.0}), caps={"genre": 1000})
    slates = [pc.rank(cat, np.ones(6), policy, k=6, request_id=str(i), seed=i) for i in range(3)]
    found = pc.counterfactual.exposure(slates, cat, ["genre"], groups)
    assert found.changed == 0 and all(row.difference == row.low == row.high == 0 for row in found)
    assert [row.served for row in found] == [row.masked for row in found]


def test_records_whose_policy_reads_nothing_of_it_stay():
    cat, slates, _, groups = log_of(n=4)
    other = pc.Policy(30, pc.Blend({"a": 1.0}, count=0.5))
    more = [pc.rank(cat, np.ones(6), other, k=6, request_id=f"o{i}", seed=i) for i in range(4)]
    alone = pc.counterfactual.exposure(slates, cat, ["pop"], groups)
    mixed = pc.counterfactual.exposure([*slates, *more], cat, ["pop"], groups)
    assert mixed.changed == alone.changed and mixed.requests == 8
    for row in mixed:
        assert row.difference == pytest.approx(alone.of(row.group).difference / 2)
    with pytest.raises(
        ValueError, match=r"^mask: expected names that a policy of the log reads .*got 'shelf'"
    ):
        pc.counterfactual.exposure([*slates, *more], cat, ["pop", "shelf"], groups)


def test_groups_may_overlap_or_be_missing():
    cat, slates, _, groups = log_of(n=3)
    lists = {one: ["all", group] for one, group in groups.items()}
    found = pc.counterfactual.exposure(slates, cat, ["pop"], lists)
    assert found.of("all").difference == 0 and found.of("all").served_share == 1.0
    with pytest.raises(ValueError, match="a group for item"):
        pc.counterfactual.exposure(slates, cat, ["pop"], {})
    found = pc.counterfactual.exposure(slates, cat, ["pop"], {}, missing="none")
    assert [row.group for row in found] == ["none"]
    with pytest.raises(KeyError, match="no group 'x'"):
        found.of("x")


def test_one_request_has_no_interval():
    cat, slates, _, groups = log_of(n=1)
    row = pc.counterfactual.exposure(slates, cat, ["pop"], groups)[0]
    assert np.isfinite(row.difference) and np.isnan([row.standard_error, row.low, row.high]).all()


def test_wrong_arguments_of_exposure():
    cat, slates, _, groups = log_of(n=2)
    call = pc.counterfactual.exposure
    with pytest.raises(ValueError, match="^records: expected at least one, got none"):
        call([], cat, ["pop"], groups)
    with pytest.raises(TypeError, match="^records: expected an iterable"):
        call(slates[0], cat, ["pop"], groups)
    with pytest.raises(ValueError, match="^mask: expected .*got none"):
        call(slates, cat, [], groups)
    with pytest.raises(TypeError, match="^groups: expected a mapping"):
        call(slates, cat, ["pop"], [1])
    with pytest.raises(TypeError, match="^users: expected a mapping"):
        call(slates, cat, ["pop"], groups, users=[1])
    with pytest.raises(ValueError, match="^level: expected a number between 0 and 1, got 1"):
        call(slates, cat, ["pop"], groups, level=1.0)
    with pytest.raises(ValueError, match="^weights: expected one for each of 6 positions"):
        call(slates, cat, ["pop"], groups, weights=[1.0])
    with pytest.raises(ValueError, match="^cat: expected candidates for the request 'r0', got none"):
        call(slates, {}, ["pop"], groups)
    with pytest.raises(pc.FormatError, match=r"^records\[1\]: "):
        call([slates[0], json.dumps({"schema": "other"})], cat, ["pop"], groups)
