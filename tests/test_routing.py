"""`pc.route`: the decision table by a second implementation, and what becomes of a decision."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perso_core as pc
from canonical import sealed
from world import AT, world

ASSUMED = {"wired": "wired_ms", "wifi": "wifi_ms"}


def expected(s, plan):
    """The table of the documentation, written down once more."""
    live = s["capsule_age_s"] is not None and s["capsule_age_s"] < s["capsule_ttl_s"]
    if s["network"] == "offline":
        return "device", "reach"
    if not live:
        return "server", "reach"
    assumed = getattr(plan, ASSUMED.get(s["network"], "cellular_ms"))
    server = (assumed if s["round_trip_ms"] is None else s["round_trip_ms"]) + plan.server_ms
    device = s["device_ms"]
    if s["budget_ms"] is not None:
        late = server > s["budget_ms"], device is not None and device > s["budget_ms"]
        if any(late):
            quicker = "device" if device is None or device <= server else "server"
            return {(True, False): "device", (False, True): "server"}.get(late, quicker), "late"
    if s["battery"] is not None and not s["charging"]:
        light = device is not None and device <= plan.light_ms
        if s["battery"] < plan.battery_critical or (s["battery"] < plan.battery_low and not light):
            return "server", "battery"
    if s["metered"] and plan.spare_metered:
        return "device", "metered"
    if s["round_trip_ms"] is not None and s["round_trip_ms"] > plan.slow_ms:
        return "device", "slow"
    current = s["catalog_age_s"] is not None and s["capsule_age_s"] <= s["catalog_age_s"]
    if not current and s["capsule_age_s"] >= plan.fresh_share * s["capsule_ttl_s"]:
        return "server", "stale"
    return plan.prefer, "preference"


def maybe(numbers):
    return st.none() | numbers


MS = st.sampled_from([0.0, 0.5, 1.0, 20.0, 60.0, 160.0, 501.0]) | st.floats(0, 1000)
SITUATIONS = st.fixed_dictionaries(
    {
        "battery": maybe(st.sampled_from([0.0, 0.04, 0.05, 0.19, 0.2, 1.0]) | st.floats(0, 1)),
        "charging": st.booleans(),
        "network": st.sampled_from([None, "offline", "cellular", "wifi", "wired"]),
        "round_trip_ms": maybe(MS),
        "metered": st.booleans(),
        "capsule_age_s": maybe(st.sampled_from([0.0, 49.9, 50.0, 99.0, 100.0])),
        "capsule_ttl_s": st.just(100.0),
        "catalog_age_s": maybe(st.sampled_from([0.0, 49.9, 60.0, 1e6])),
        "budget_ms": maybe(MS),
        "device_ms": maybe(MS),
    }
).map(lambda s: {**s, "capsule_ttl_s": None if s["capsule_age_s"] is None else s["capsule_ttl_s"]})
PLANS = st.builds(
    pc.RoutePlan,
    battery_low=st.sampled_from([0.2, 0.5]),
    light_ms=st.sampled_from([0.0, 1.0, 60.0]),
    slow_ms=st.sampled_from([50.0, 500.0]),
    spare_metered=st.booleans(),
    fresh_share=st.sampled_from([0.0, 0.5, 1.0]),
    prefer=st.sampled_from(["server", "device"]),
)


@given(situation=SITUATIONS, plan=PLANS)
def test_every_situation_has_the_answer_of_the_table(situation, plan):
    found = pc.route(**situation, plan=plan)
    assert (found.where, found.rule) == expected(situation, plan)
    assert found == pc.route(**situation, plan=plan)
    assert dict(found.inputs) == situation and found.plan == plan
    assert found.reasons[0].startswith(f"{found.where} ({found.rule}): ")
    assert pc.Route.from_json(found.to_json()) == found == pickle.loads(pickle.dumps(found))
    assert found.to_dict() == json.loads(found.to_json()) and hash(found) == hash(found.to_json())
    assert dataclasses.replace(found).to_json() == found.to_json()


def test_it_says_what_decided_and_what_else_spoke():
    found = pc.route(
        battery=0.1, network="wifi", metered=True, capsule_age_s=90, capsule_ttl_s=100, device_ms=4
    )
    assert found.reasons == (
        "server (battery): the battery is at 0.1, below 0.2, and not charging; ranking takes 4 ms, more than 1",
        "device (metered): the connection is metered",
        "server (stale): the capsule is 90 s old, past 0.5 of 100 s, and whether the catalog has changed is unknown",
    )
    assert repr(found).startswith("Route 'server' by 'battery'\n  server (battery): ")
    assert pc.route().where == "server", "there is no capsule"


def test_a_plan_is_a_document_with_a_hash():
    plan = pc.RoutePlan(battery_low=0.3, prefer="server")
    assert pc.RoutePlan.from_json(plan.to_json()) == plan == pickle.loads(pickle.dumps(plan))
    assert plan.hash != pc.RoutePlan().hash == pc.RoutePlan(battery_low=0.2).hash
    assert len({plan, pc.RoutePlan(battery_low=0.3, prefer="server")}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.prefer = "device"


def test_a_record_has_the_decision_and_a_replay_keeps_it():
    cat, _, user = world(2)
    policy = pc.Policy(20, pc.Blend({"a": 1.0}))
    found = pc.route(battery=0.5, network="wifi", capsule_age_s=1, capsule_ttl_s=9)
    ask = dict(k=5, seed=1, request_id="r", at=AT)
    slate = pc.rank(cat, {"a": user["a"]}, policy, **ask, route=found)
    free = pc.rank(cat, {"a": user["a"]}, policy, **ask)
    assert slate == free and free.route is None and "route" not in free.record()
    assert slate.route == found and slate.record()["route"] == found.to_dict()
    again = pc.replay(slate.record(), cat)
    assert again.route == found and again.record_json() == slate.record_json()
    batch = pc.rank(cat, {"a": np.stack([user["a"]] * 2)}, policy, k=5, seed=1, route=found)
    assert [one.route for one in batch] == [found, found]
    broken = slate.record()
    del broken["route"]["inputs"]["battery"]
    with pytest.raises(pc.ReplayError, match="route"):
        pc.replay(sealed(broken), cat)


def test_a_decision_that_does_not_follow_is_refused():
    cat, _, user = world(2)
    found = pc.route(battery=0.5, network="wifi", capsule_age_s=1, capsule_ttl_s=9)
    forged = dataclasses.replace(found, where="server")
    with pytest.raises(ValueError, match="route: expected what follows from its inputs, device by rule"):
        pc.rank(cat, {"a": user["a"]}, pc.Policy(20, pc.Blend({"a": 1.0})), k=5, route=forged)
    with pytest.raises(TypeError, match="route: expected a Route, or None, got dict"):
        pc.rank(cat, {"a": user["a"]}, pc.Policy(20, pc.Blend({"a": 1.0})), k=5, route=found.to_dict())
    with pytest.raises(ValueError, match=r"route: expected a perso_core\.route/1 document"):
        pc.Route.from_json("{}")


@pytest.mark.parametrize(
    ("given_", "error", "words"),
    [
        ({"battery": 1.5}, ValueError, "battery: expected a number from 0 to 1, or None, got 1.5"),
        ({"battery": "full"}, TypeError, "battery: expected a number, got str 'full'"),
        ({"charging": 1}, TypeError, "charging: expected a bool, got int 1"),
        ({"network": "5g"}, ValueError, "network: expected None or 'offline' or "),
        ({"round_trip_ms": -1}, ValueError, "round_trip_ms: expected a finite number of at least 0"),
        ({"device_ms": float("nan")}, ValueError, "device_ms: expected a finite number, got nan"),
        ({"capsule_age_s": 3}, ValueError, "capsule_ttl_s: expected how long the capsule of age 3 lives"),
        ({"capsule_ttl_s": 3}, ValueError, "capsule_ttl_s: expected None without the age of a capsule"),
        ({"plan": {}}, TypeError, "plan: expected a RoutePlan, or None, got dict"),
    ],
)
def test_what_is_no_situation(given_, error, words):
    with pytest.raises(error) as raised:
        pc.route(**given_)
    assert str(raised.value).startswith(words)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"battery_low": 0.01}, "battery_critical: expected at most battery_low = 0.01, got 0.05"),
        ({"wifi_ms": 200}, "wifi_ms: expected at most cellular_ms = 150, got 200"),
        ({"slow_ms": -1}, "slow_ms: expected a finite number of at least 0, got -1"),
        ({"fresh_share": 2}, "fresh_share: expected a number from 0 to 1, got 2"),
        ({"prefer": "cloud"}, "prefer: expected one of "),
    ],
)
def test_what_is_no_plan(plan, words):
    with pytest.raises(ValueError) as raised:
        pc.RoutePlan(**plan)
    assert str(raised.value).startswith(words)
