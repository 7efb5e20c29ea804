"""The same request from C and from Python: the same slate, the same record, byte for byte."""

import dataclasses
import datetime as dt
import hashlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest

import c_library
import perso_core as pc
from world import AT, AT_US, world

PLAN = pc.ProfilePlan("b", {"click": 1.0, "skip": -0.5}, prior_strength=2.0)


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    return c_library.compiled(c_library.PROGRAMS / "device.c", tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="module", params=[False, True], ids=["int ids", "text ids"])
def shop(request, tmp_path_factory):
    """A catalog, its file, the oracle's items, a user."""
    cat, items, user = world(11, n=80, text=request.param)
    path = tmp_path_factory.mktemp("shop") / "shop.pc"
    cat.save(path)
    return cat, path, items, user


def plain(value):
    """As JSON has it: a float32 as the double that it is, of which C reads the float again."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, pc.Interests):
        return {
            "vectors": value.vectors.tolist(),
            "weights": value.weights.tolist(),
            "negative": value.negative.tolist(),
            "negative_weight": value.negative_weight,
            "combine": value.combine,
        }
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return value


def document(k, request_id, seed, **brought):
    """The request of `rank(..., k, at=AT, seed=seed, request_id=request_id, **brought)` as C takes it."""
    out = {"k": k, "at": AT_US, "seed": seed, "request_id": request_id}
    user = brought.pop("user", None)
    if user is not None and not isinstance(user, pc.Interests):
        out["user"] = plain(user)
    where = brought.pop("where", None)
    if isinstance(where, pc.Filter):
        out["where"] = json.loads(where.to_json())
    elif where is not None:
        out["where"] = list(where)
    for name, key in (("signals", "values"), ("lists", "scores")):
        given = brought.pop(name, None)
        if given is not None:
            out[name] = {
                one: {"ids": list(numbers), key: list(numbers.values())}
                if isinstance(numbers, dict)
                else numbers
                for one, numbers in given.items()
            }
    pins = brought.pop("pins", None)
    if pins is not None:
        out["pins"] = [{"slot": slot, "id": one} for slot, one in pins.items()]
    return {**out, **{name: value for name, value in brought.items() if value is not None}}


def bits(numbers):
    return [f"{x:016x}" for x in np.asarray(numbers, np.float64).view(np.uint64)]


def described(slate):
    """What a C program prints of it."""
    lines = [f"{one}: {reason}" for one, reason in zip(slate.ids, slate.reasons, strict=True)]
    numbers = {**slate.terms, "scores": slate.scores, "propensities": slate.propensities}
    lines += [" ".join([name, *bits(values)]) for name, values in numbers.items()]
    lines.append(" ".join(["explored", *(str(int(x)) for x in slate.explored)]))
    given_up = [f"given up {what}" for what in slate.given_up]
    return [*lines, f"path {slate.path}", f"short {slate.short_reason or ''}", *given_up]


def ran(device, folder, kind, source, second, request, *more):
    """What the program printed; what it wrote lies in the folder."""
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    command = [device, kind, source, second, folder / "request.json", folder, *map(str, more)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def read(path):
    return path.read_text(encoding="utf-8")


def events_of(ids):
    """Some events, one of them late."""
    return [("click", ids[4], -60), ("skip", ids[9], -50), ("click", ids[7], -90), ("click", ids[30], -2)]


def tell(events, path):
    lines = [
        f"{kind} {AT_US + s * 1_000_000} {'text' if isinstance(one, str) else 'int'} {one}\n"
        for kind, one, s in events
    ]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def learned(cat, events, plan=PLAN):
    profile = pc.Profile(plan, cat)
    for kind, one, s in events:
        profile.observe(one, kind, AT + dt.timedelta(seconds=s))
    return profile


BOTH = pc.Blend({"a": 0.7, "b": 0.3}, pop=0.2, normalize="minmax")
ONE = pc.Blend({"b": 1.0}, normalize="zscore")
POLICIES = {
    "mmr": pc.Policy(40, BOTH, pc.MMR(0.3, "a"), caps={"genre": 3}, explore=pc.EpsilonGreedy(0.2)),
    "dpp": pc.Policy(30, BOTH, pc.DPP(0.4, "b"), explore=pc.Softmax(0.3)),
    "spread": pc.Policy(30, BOTH, pc.Spread(0.4, 5, "a"), explore=pc.PlackettLuce(0.5)),
    "decay": pc.Policy(
        50,
        pc.Blend({"a": 1.0}, fresh=pc.Decay("at", "3d", 0.4), normalize="rank"),
        rules=[pc.Boost({"shelf": "x"}, by=0.2), pc.Hide({"genre": "war"})],
        explore=pc.EpsilonGreedy(0.3, per="slate"),
    ),
    "single": pc.Policy(40, ONE, explore=pc.EpsilonGreedy(0.1)),
    "signal": pc.Policy(60, pc.Blend({"b": 0.5}, ctr=1.0, normalize="none")),
    "list": pc.Policy(60, pc.Blend({"b": 1.0}, bm25=pc.Listed(0.5), normalize=pc.RRF())),
    "calibrated": pc.Policy(60, ONE, pc.Calibrated("shelf", 0.6, {"x": 2, "y": 1})),
    "popular": pc.Policy(60, pc.Blend(pop=1.0, similarity=0.0), explore=pc.EpsilonGreedy(0.2)),
}


def cases(ids, user):
    """What a request may bring, by name: a policy and the arguments of rank."""
    some = [ids[i] for i in range(0, len(ids), 3)]
    rng = np.random.default_rng(3)
    interests = pc.Interests(
        rng.normal(size=(3, 5)).astype(np.float32),
        weights=[1.0, 0.5, 0.25],
        negative=rng.normal(size=(1, 5)).astype(np.float32),
        negative_weight=0.5,
    )
    numbers = [None if i % 7 == 0 else float(x) for i, x in enumerate(rng.normal(size=len(ids)))]
    mean = dataclasses.replace(interests, combine="mean", negative=None)
    fields = pc.field("pop") > 0.5
    for name in ("mmr", "dpp", "spread", "decay"):
        wanted = {"a": user["a"]} if name == "decay" else user
        yield name, POLICIES[name], {"user": wanted}
    yield "bare vector", POLICIES["single"], {"user": rng.normal(size=5).astype(np.float32)}
    yield "interests", POLICIES["single"], {"user": {"b": interests}}
    yield "mean of interests", POLICIES["mmr"], {"user": {**user, "b": mean}}
    yield "nobody", POLICIES["popular"], {}
    yield "exclude", POLICIES["mmr"], {"user": user, "exclude": some[:9]}
    yield "where ids", POLICIES["mmr"], {"user": user, "where": some}
    yield "where nothing", POLICIES["mmr"], {"user": user, "where": []}
    yield "filter", POLICIES["mmr"], {"user": user, "where": fields & ~pc.field("shelf").isin(["z"])}
    yield "signal for all", POLICIES["signal"], {"user": {"b": user["b"]}, "signals": {"ctr": numbers}}
    few = dict(zip(some, map(float, range(len(some))), strict=True))
    yield "signal for some", POLICIES["signal"], {"user": {"b": user["b"]}, "signals": {"ctr": few}}
    yield "list", POLICIES["list"], {"user": {"b": user["b"]}, "lists": {"bm25": some[::-1]}}
    yield "list with scores", POLICIES["list"], {"user": {"b": user["b"]}, "lists": {"bm25": few}}
    yield "target", POLICIES["calibrated"], {"user": {"b": user["b"]}, "target": {"z": 3.0, "x": 1.0}}
    yield "pins", POLICIES["mmr"], {"user": user, "pins": {0: ids[2], 4: ids[5]}}
    yield "budget", POLICIES["mmr"], {"user": user, "budget_us": 5.0}
    for withheld in ("profile", "history", "signals"):
        allow = {withheld: False}
        brought = {"user": {"b": user["b"]}, "exclude": some[:5], "signals": {"ctr": few}, "allow": allow}
        yield f"no {withheld}", POLICIES["signal"], brought


def names():
    ids = list(range(80))
    return [name for name, _, _ in cases(ids, {"a": np.zeros(6), "b": np.zeros(5)})]


@pytest.mark.parametrize("name", names())
def test_a_catalog(device, shop, tmp_path, name):
    cat, path, _, user = shop
    policy, brought = {n: (p, b) for n, p, b in cases(list(cat.ids.tolist()), user)}[name]
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    brought = dict(brought)
    slate = pc.rank(
        cat,
        brought.get("user"),
        policy,
        9,
        at=AT,
        seed=seed,
        request_id="küche",
        **{n: value for n, value in brought.items() if n != "user"},
    )
    (tmp_path / "policy.json").write_text(policy.to_json(), encoding="utf-8")
    request = document(9, "küche", seed, **brought)
    printed = ran(device, tmp_path, "catalog", path, tmp_path / "policy.json", request)
    assert printed == described(slate)
    assert read(tmp_path / "record.json") == slate.record_json()
    assert read(tmp_path / "hashes.json") == slate.record_json(user=False)
    assert slate.record_json() == pc.replay(read(tmp_path / "record.json"), cat).record_json()


@pytest.mark.parametrize(
    "beside", ["nobody else", "another space", "no events", "no events, another space", "not allowed"]
)
def test_a_profile(device, shop, tmp_path, beside):
    cat, path, _, user = shop
    policy = POLICIES["popular" if beside == "not allowed" else "mmr" if "another" in beside else "single"]
    events = [] if beside.startswith("no events") else events_of(cat.ids.tolist())
    profile = learned(cat, events)
    given = {"b": profile, "a": user["a"]} if "another" in beside else profile
    if beside == "no events":
        policy = POLICIES["popular"]
    allow = {"profile": False} if beside == "not allowed" else None
    slate = pc.rank(cat, given, policy, 9, at=AT, seed=5, request_id="r", allow=allow)
    (tmp_path / "policy.json").write_text(policy.to_json(), encoding="utf-8")
    (tmp_path / "plan.json").write_text(PLAN.to_json(), encoding="utf-8")
    request = document(9, "r", 5, user={"a": user["a"]} if "another" in beside else None, allow=allow)
    told = tell(events, tmp_path / "events")
    printed = ran(
        device, tmp_path, "catalog", path, tmp_path / "policy.json", request, tmp_path / "plan.json", told
    )
    assert printed == described(slate)
    assert read(tmp_path / "record.json") == slate.record_json()
    assert (tmp_path / "profile.bin").read_bytes() == profile.to_bytes()


@pytest.mark.parametrize("dtype", ["i8", "f16"])
@pytest.mark.parametrize("name", ["mmr", "dpp", "decay", "popular"])
def test_a_capsule(device, shop, tmp_path, name, dtype):
    cat, _, _, user = shop
    policy, key = POLICIES[name], pc.generate_key()
    ids = cat.ids.tolist()[5:70]
    capsule = pc.capsule(ids, cat, policy, ttl="6h", key=key, at=AT, dtype=dtype, profile=PLAN)
    capsule.save(tmp_path / "feed.capsule")
    (tmp_path / "key").write_bytes(key.public)
    events = events_of(ids)
    profile = learned(capsule, events)
    if name == "popular":
        # A blend without similarity is for anybody.
        events, given, user = [], None, {}
        profile = learned(capsule, events)
    elif name == "decay":
        events, given, user = [], {"a": user["a"]}, {"a": user["a"]}
        profile = None
    else:
        user = {"a": user["a"]}
        given = {**user, "b": profile}
    seen = ids[3:6]
    slate = pc.rank(capsule, given, k=9, at=AT, seed=9, request_id="r", exclude=seen)
    request = document(9, "r", 9, user=user or None, exclude=seen)
    more = [] if profile is None else [tell(events, tmp_path / "events")]
    printed = ran(
        device, tmp_path, "capsule", tmp_path / "feed.capsule", tmp_path / "key", request, AT_US, *more
    )
    assert printed == described(slate)
    assert read(tmp_path / "record.json") == slate.record_json(user=True)
    assert read(tmp_path / "withheld.json") == slate.record_json()
    if profile is not None:
        assert (tmp_path / "profile.bin").read_bytes() == profile.to_bytes()
    vectors = {**user, "b": profile.vector(AT)} if events else user or None
    again = pc.replay(read(tmp_path / "withheld.json"), capsule, vectors, exclude=seen)
    assert again.record_json(user=True) == slate.record_json(user=True)


def test_a_phone(tmp_path):
    source = c_library.ROOT / "examples" / "phone" / "phone.c"
    # It names the header as it is installed.
    phone = c_library.compiled(source, tmp_path)
    cat, _, _ = world(4, n=120)
    key = pc.generate_key()
    policy = pc.Policy(60, pc.Blend({"b": 1.0}, pop=0.3), pc.MMR(0.3, "b"), explore=pc.EpsilonGreedy(0.1))
    capsule = pc.capsule(cat.ids.tolist()[:100], cat, policy, ttl="1h", key=key, at=AT, profile=PLAN)
    capsule.save(tmp_path / "feed.capsule")
    (tmp_path / "key").write_bytes(key.public)
    command = [phone, tmp_path / "feed.capsule", tmp_path / "key", str(int(AT.timestamp())), "2", "5"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr

    profile = pc.Profile(PLAN, capsule)
    expected = [f"100 candidates of catalog {cat.content_hash[:12]}, good for 3600 more seconds"]
    slate = None
    for turn, tap in enumerate([None, 2, 5]):
        now = AT + dt.timedelta(seconds=turn)
        if tap is not None:
            profile.observe(slate.ids[tap - 1].item(), "click", now)
            expected += ["", f"tap on {slate.ids[tap - 1]}"]
        slate = pc.rank(capsule, profile, k=8, at=now, seed=7, request_id=f"feed-{turn}")
        for i, item in enumerate(slate):
            expected.append(f"{i + 1:2}. {item.id:<6} p={item.propensity:.3f}  {item.reason}")
    assert done.stdout.splitlines() == [*expected, "", slate.record_json()]
    assert json.loads(done.stdout.splitlines()[-1])["personal"] == "withheld"

    late = [*command[:3], str(int(AT.timestamp()) + 3600)]
    done = subprocess.run(late, capture_output=True, encoding="utf-8")
    assert done.returncode == 1 and done.stderr.startswith("expired: ")


def test_the_page_compiles_and_prints_what_is_printed(tmp_path):
    page = read(c_library.ROOT / "docs" / "capi.md")
    python, program, printed = (
        "".join(re.findall(rf"^```{language}\n(.*?)^```$", page, re.S | re.M))
        for language in ("python", "c", "console")
    )
    subprocess.run([sys.executable, "-c", python], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    (tmp_path / "page.c").write_text(program, encoding="utf-8")
    page_program = c_library.compiled(tmp_path / "page.c", tmp_path)
    done = subprocess.run([page_program], cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert (done.stdout, done.stderr, done.returncode) == (printed, "", 0)
