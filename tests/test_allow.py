"""Consent: what a request does not allow has no influence at all, and the record says what was withheld."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perso_core as pc
from world import AT, world

GARBAGE = st.sampled_from(
    [
        None,
        3,
        "x",
        object(),
        [float("nan")],
        {"nowhere": [1.0]},
        np.ones((2, 3, 4)),
        {"a": "text"},
        [[]],
        {1: 2},
    ]
)
VECTORS = st.lists(st.floats(-8, 8, width=32), min_size=6, max_size=6).map(np.float32)
CATEGORIES = ("profile", "history", "signals")

POLICY = pc.Policy(
    candidates=20,
    score=pc.Blend({"a": 0.7}, "zscore", pop=0.2, mine=0.4, fresh=pc.Decay("at", "3d", weight=0.3)),
    diversity=pc.Calibrated("shelf", 0.5),
    caps={"genre": 2},
    explore=pc.EpsilonGreedy(0.4),
)
FIXED = {"k": 8, "seed": 5, "request_id": "r", "at": AT}


def personal(items, user):
    return {
        "user": {"a": user["a"]},
        "target": {"x": 1, "y": 3},
        "exclude": items.ids[:9],
        "signals": {"mine": {i: 0.1 * j for j, i in enumerate(items.ids)}},
    }


def ranked(cat, given, policy=POLICY, **more):
    given = dict(given)
    return pc.rank(cat, given.pop("user"), policy, **FIXED, **given, **more)


OF = {"profile": ("user", "target"), "history": ("exclude",), "signals": ("signals",)}


@given(
    category=st.sampled_from(CATEGORIES),
    others=st.sets(st.sampled_from(CATEGORIES)),
    garbage=st.tuples(GARBAGE, GARBAGE),
    vector=VECTORS,
    seed=st.integers(0, 50),
)
def test_what_is_masked_has_no_influence(category, others, garbage, vector, seed):
    cat, items, user = world(seed)
    allow = {name: False for name in others} | {category: False}
    full = personal(items, user)
    slates = [ranked(cat, full, allow=allow)]
    changes = [
        dict(zip(OF[category], garbage)),
        dict.fromkeys(OF[category]),
        dict(zip(OF[category], ({"a": vector}, {"z": 1.0}) if category == "profile" else ([7], None))),
    ]
    slates += [ranked(cat, full | change, allow=allow) for change in changes]
    first = slates[0]
    for slate in slates[1:]:
        assert (
            slate == first and slate.record_json() == first.record_json() and slate.reasons == first.reasons
        )
    assert first.masked == sorted(allow)
    again = pc.replay(first.record_json(), cat)
    assert again == first and again.record() == first.record() and again.reasons == first.reasons


def bare(slate):
    return {k: v for k, v in slate.record().items() if k not in ("allow", "digest")}


def test_masked_is_as_if_not_given():
    cat, items, user = world(3)
    full = personal(items, user)
    for category in ("profile", "history"):
        without = ranked(cat, full | dict.fromkeys(OF[category]))
        masked = ranked(cat, full, allow={category: False})
        assert masked == without and bare(masked) == bare(without) != bare(ranked(cat, full))


def test_a_masked_signal_is_the_attribute_of_its_name_or_nothing():
    cat, items, user = world(4)
    signals = {"pop": dict.fromkeys(items.ids, 2.0), "mine": dict.fromkeys(items.ids, 1.0)}
    policy = pc.Policy(
        score=pc.Blend({"a": 1.0}, "none", pop=pc.Signal(0.5, "none"), mine=pc.Signal(2.0, "none"))
    )
    slate = pc.rank(cat, {"a": user["a"]}, policy, **FIXED, signals=signals, allow={"signals": False})
    column = dict(zip(items.ids, items.attributes["pop"]))
    expected = [0.5 * (column[i] or 0.0) for i in slate.ids.tolist()]
    assert np.allclose(slate.terms["pop"], expected, rtol=1e-12) and any(expected)
    assert slate.terms["mine"].tolist() == [0.0] * 8
    assert slate.record()["signals"] == {}
    # The order is that of a policy which knows nothing of the signal.
    plain = pc.Policy(score=pc.Blend({"a": 1.0}, "none", pop=pc.Signal(0.5, "none")))
    assert pc.rank(cat, {"a": user["a"]}, plain, **FIXED).ids.tolist() == slate.ids.tolist()
    with pytest.raises(KeyError, match="mine"):
        pc.rank(cat, {"a": user["a"]}, policy, **FIXED)
    # An attribute of a type that is no number stands for nothing.
    odd = pc.Policy(score=pc.Blend({"a": 1.0}, shelf=1.0))
    slate = pc.rank(cat, {"a": user["a"]}, odd, **FIXED, allow={"signals": False})
    assert slate.terms["shelf"].tolist() == [0.0] * 8


@pytest.mark.parametrize(
    "explore",
    [
        pc.ThompsonSampling(alpha="a+", beta="a-", draws=64),
        pc.ThompsonSampling(mean="m", std="s", draws=64),
        pc.UCB(mean="m", std="s", prior=(1.0, 2.0)),
        pc.UCB(mean="m", std="s"),
    ],
    ids=repr,
)
def test_masked_signals_of_a_posterior_do_not_break_a_feed(explore):
    cat, _, user = world(5)
    policy = pc.Policy(score=pc.Blend({"a": 1.0}), explore=explore)
    slate = pc.rank(cat, {"a": user["a"]}, policy, **FIXED, allow={"signals": False})
    assert len(slate) == 8 and pc.replay(slate.record(), cat) == slate
    greedy = pc.rank(cat, {"a": user["a"]}, pc.Policy(score=pc.Blend({"a": 1.0})), **FIXED)
    if not isinstance(explore, pc.ThompsonSampling) or explore.mean:
        assert slate.ids.tolist() == greedy.ids.tolist(), "every item has the same bound, or a sample of 0"


def test_a_model_sees_a_masked_feature_as_missing():
    cat, _, user = world(6)
    seen = []
    policy = pc.Policy(score=pc.Blend({"a": 1.0}, m=pc.Model(["similarity", "mine", "pop"])))

    def model(x):
        seen.append(x)
        return np.arange(len(x), dtype=float)

    slate = pc.rank(
        cat, {"a": user["a"]}, policy, **FIXED, models={"m": model}, signals=7, allow={"signals": False}
    )
    assert np.isnan(seen[0][:, 1]).all() and not np.isnan(seen[0][:, [0]]).any()
    assert list(slate.record()["signals"]) == ["m"]
    assert pc.replay(slate.record(), cat) == slate


def test_the_record_and_the_reasons_say_so():
    cat, items, user = world(7)
    full = personal(items, user)
    assert "allow" not in ranked(cat, full).record() and ranked(cat, full).masked == []
    slate = ranked(cat, full, allow={})
    assert slate.record()["allow"] == {"profile": True, "history": True, "signals": True}
    assert slate.masked == [] and bare(slate) == bare(ranked(cat, full))
    slate = ranked(cat, full, allow={"profile": False, "signals": False, "history": True})
    assert slate.masked == ["profile", "signals"]
    assert slate.record()["user"] is slate.record()["user_sha256"] is None
    assert "target" not in slate.record()
    for reason in slate.reasons:
        assert "not personalised: the request does not allow the profile" in reason
        assert reason.endswith("not allowed: profile, signals")


def test_a_batch_keeps_its_users_where_only_other_input_is_masked():
    cat, items, user = world(8)
    batch = {"a": np.stack([user["a"], -user["a"]])}
    slates = ranked(
        cat, personal(items, user) | {"user": batch, "exclude": 5}, allow={"history": False, "signals": False}
    )
    assert [one.masked for one in slates] == [["history", "signals"]] * 2
    assert slates[0].record()["eligibility"]["excluded"] == 0
    assert pc.replay(slates[1].record(), cat) == slates[1]


@pytest.mark.parametrize(
    ("allow", "error", "match"),
    [
        (
            {"cookies": True},
            ValueError,
            "allow: expected keys among 'profile', 'history', 'signals', got 'cookies'",
        ),
        ({"profile": 1}, TypeError, r"allow\['profile'\]: expected a bool, got int 1"),
        ({"signals": None}, TypeError, r"allow\['signals'\]: expected a bool, got NoneType"),
        (["profile"], TypeError, "allow: expected a mapping of categories to bools, or None"),
        (False, TypeError, "allow: expected a mapping"),
        ({1: True}, ValueError, "allow: expected keys among"),
    ],
)
def test_bad_consents_are_refused(allow, error, match):
    cat, items, user = world(9)
    with pytest.raises(error, match=match):
        ranked(cat, personal(items, user), allow=allow)


def test_a_record_that_holds_what_it_does_not_allow_is_refused():
    from canonical import sealed

    cat, items, user = world(10)
    record = ranked(cat, personal(items, user), allow={}).record()
    assert sealed(record) == record
    for category, what in (("profile", "a profile"), ("history", "excluded items"), ("signals", "signals")):
        forged = sealed({**record, "allow": {**record["allow"], category: False}})
        with pytest.raises(pc.ReplayError, match=f"it holds {what}, which its request did not allow"):
            pc.replay(forged, cat)


def test_a_shadow_has_the_same_consent():
    cat, items, user = world(11)
    full = personal(items, user)
    shadow = pc.Policy(score=pc.Blend({"b": 1.0}, "zscore", other=0.5), explore=pc.Softmax(0.3))
    full["user"] = user
    full["signals"] = {**full["signals"], "other": dict.fromkeys(items.ids, 1.0)}
    allow = dict.fromkeys(CATEGORIES, False)
    slate = ranked(cat, full, shadow=shadow, allow=allow)
    nobody = ranked(cat, dict.fromkeys(full), shadow=shadow, allow=allow)
    for one, other in ((slate, nobody), (slate.shadow.slate, nobody.shadow.slate)):
        assert one.record_json() == other.record_json() and one.masked == sorted(CATEGORIES)
        assert pc.replay(one.record(), cat) == one
    without = pc.counterfactual(slate.record(), cat, mask=["pop"])
    assert without.slate.masked == sorted(CATEGORIES)
