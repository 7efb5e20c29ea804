"""Capsules: what is in them against NumPy, slates against those of a catalog, what is refused, and what records keep."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perso_core as pc
from canonical import sealed

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=timezone.utc)
KEY = pc.KeyPair(bytes(range(32)), pc._core.public_key(bytes(range(32)))[0])
OTHER = pc.generate_key()


def catalog(n: int = 60, dim: int = 16, *, text: bool = False, dtype: str = "i8") -> pc.Catalog:
    rng = np.random.default_rng(7)
    cat = pc.Catalog({"cf": pc.Space(dim, "ip", dtype), "content": pc.Space(dim, "cosine", dtype)})
    cat.upsert(
        [f"item-{i}" for i in range(n)] if text else np.arange(n) * 3 - 20,
        {"cf": rng.normal(size=(n, dim)), "content": rng.normal(size=(n, dim))},
        {
            "popularity": rng.random(n),
            "published": [NOW - timedelta(hours=int(h)) for h in rng.integers(0, 200, n)],
            "genre": [[f"g{i % 5}", f"h{i % 3}"] if i % 7 else None for i in range(n)],
            "shop": [f"shop {i % 11}" for i in range(n)],
            "stock": [bool(i % 13) for i in range(n)],
            "price": list(range(n)),
        },
    )
    return cat


POLICY = pc.Policy(
    candidates=500,
    score=pc.Blend(similarity={"cf": 1.0}, popularity=0.2, fresh=pc.Decay("published", "3d", 0.3)),
    diversity=pc.MMR(0.3),
    caps={"genre": 4},
    explore=pc.EpsilonGreedy(0.2),
    rules=[pc.Hide({"stock": False})],
)


def made(cat: pc.Catalog | None = None, policy: pc.Policy = POLICY, **more: Any) -> pc.Capsule:
    cat = catalog() if cat is None else cat
    return pc.capsule(cat.ids, cat, policy, **{"ttl": "6h", "key": KEY, "at": NOW, **more})


def user(seed: int = 3, dim: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=dim).astype(np.float32)


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    for text in (False, True):
        cat = catalog(text=text)
        plan = pc.ProfilePlan("cf", {"click": 1.0})
        one = pc.capsule(
            cat.ids[::-1], cat, POLICY, ttl="6h", key=KEY, at=NOW, attributes=["shop"], profile=plan
        )
        one.save(tmp_path / "a.capsule")
        for again in (
            pc.Capsule.open(tmp_path / "a.capsule", KEY.public, NOW),
            pc.Capsule.open(bytes(one), [OTHER.public, KEY.public], NOW),
        ):
            assert again == one and hash(again) == hash(one)
            assert again.ids.tolist() == cat.ids[::-1].tolist()
            assert again.policy == POLICY and again.profile_plan == plan
            assert len(again) == 60 and again.size_bytes == len(bytes(one))
            assert again.spaces["cf"] == {"dim": 16, "metric": "ip", "dtype": "i8"}
            assert sorted(again.attributes) == ["genre", "popularity", "published", "shop", "stock"]
            assert again.expires_at == NOW + timedelta(hours=6)
            where = again.provenance
            assert (where.generation, where.content_hash) == (cat.generation, cat.content_hash)
            assert (where.made_at, where.library) == (NOW, pc.__version__)
            for item in again.ids[:3].tolist():
                stored = cat.get([item])[0]["vectors"]["content"]
                assert again.vector(item, "content").tobytes() == stored.tobytes()
        assert "60 candidates" in repr(one)
        # Made again it is the same, byte for byte.
        assert (
            pc.capsule(
                cat.ids[::-1], cat, POLICY, ttl=6 * 3600, key=KEY, at=NOW, attributes=["shop"], profile=plan
            )
            == one
        )


@given(
    n=st.integers(1, 20),
    dim=st.integers(1, 9),
    dtype=st.sampled_from(["i8", "f16"]),
    text=st.booleans(),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
@settings(max_examples=80)
def test_round_trip(n: int, dim: int, dtype: Any, text: bool, seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.integers(-3, 4)
    vectors = (rng.normal(size=(n, dim)) * scale).astype(np.float32)
    vectors[rng.random(n) < 0.1] = 0
    ids: Any = (
        data.draw(st.lists(st.text(max_size=5), min_size=n, max_size=n, unique=True))
        if text
        else data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=n, max_size=n, unique=True))
    )
    columns = {
        "a": st.integers(-(2**63), 2**63 - 1),
        "b": st.floats(allow_nan=False, allow_infinity=False),
        "c": st.text(max_size=3),
        "d": st.lists(st.text(max_size=2), max_size=3),
        "e": st.booleans(),
        "f": st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1)),
    }
    attributes = {
        name: data.draw(st.lists(st.none() | kind, min_size=n, max_size=n)) for name, kind in columns.items()
    }
    attributes = {name: values for name, values in attributes.items() if any(v is not None for v in values)}
    cat = pc.Catalog({"v": pc.Space(dim, "l2", "f32")})
    cat.upsert(ids, vectors, attributes)
    policy = pc.Policy(score=pc.Blend(similarity=1.0))
    one = pc.capsule(ids, cat, policy, ttl="1h", key=KEY, at=NOW, dtype=dtype, attributes=list(attributes))
    again = pc.Capsule.open(bytes(one), KEY.public, NOW)
    assert again.ids.tolist() == list(ids)
    assert again.attributes == {name: kind for name, kind in cat._kinds}
    step = np.abs(vectors).max(axis=1) / 254 if dtype == "i8" else np.abs(vectors).max(axis=1) / 2048
    for i, item in enumerate(ids):
        kept = again.vector(item, "v")
        assert (np.abs(kept - vectors[i]) <= step[i] * 1.001 + 1e-7).all()
    # Attributes as a filter sees them.
    for name, values in attributes.items():
        if name in "ace":
            value = next(v for v in values if v is not None)
            wanted = [item for item, v in zip(ids, values, strict=True) if v == value]
            slate = pc.rank(again, None, k=n, where=pc.field(name) == value, at=NOW)
            assert sorted(slate.ids.tolist()) == sorted(wanted)


@pytest.mark.parametrize("dtype", ["i8", "f16"])
def test_scores_are_those_of_the_stored_vectors(dtype: Any) -> None:
    """An oracle in NumPy: similarity, popularity and decay over what the capsule keeps."""
    cat = catalog(dtype="f32")
    one = made(cat, dtype=dtype)
    vector = user()
    slate = pc.rank(one, vector, k=30, at=NOW, seed=1, request_id="r")
    kept = np.array([one.vector(item, "cf") for item in one.ids.tolist()], np.float64)
    items = cat.get(one.ids.tolist())
    shown = np.array([item["attributes"]["stock"] for item in items])
    similarity = kept @ vector
    popularity = np.array([item["attributes"]["popularity"] for item in items])
    age = np.array([(NOW - item["attributes"]["published"]).total_seconds() for item in items])

    def minmax(x: np.ndarray) -> np.ndarray:
        low, high = x[shown].min(), x[shown].max()
        return (x - low) / (high - low)

    decay = 0.5 ** (age / (3 * 86400))
    signals = POLICY.score.signals
    fresh = decay if signals["fresh"].normalize == "none" else minmax(decay)
    expected = {
        "similarity": minmax(similarity),
        "popularity": 0.2 * minmax(popularity),
        "fresh": 0.3 * fresh,
    }
    place = {item: i for i, item in enumerate(one.ids.tolist())}
    rows = [place[item] for item in slate.ids.tolist()]
    for name, values in slate.terms.items():
        assert np.allclose(values, expected[name][rows], rtol=1e-5, atol=1e-6), name
    # Candidates of the dequantised vectors, in float32: the same ranking.
    plain = pc.Candidates(
        one.ids,
        {space: np.array([one.vector(i, space) for i in one.ids.tolist()]) for space in ("cf", "content")},
        attributes={
            name: [item["attributes"][name] for item in items]
            for name in ("popularity", "published", "genre", "stock")
        },
        metric={"cf": "ip", "content": "cosine"},
    )
    other = pc.rank(plain, vector, POLICY, k=30, at=NOW, seed=1, request_id="r")
    assert other.ids.tolist() == slate.ids.tolist()
    assert np.allclose(other.scores, slate.scores, rtol=1e-5)
    assert other.propensities.tobytes() == slate.propensities.tobytes()


def test_a_capsule_of_a_whole_int8_catalog_gives_the_slate_of_the_catalog() -> None:
    """Codes are copied, so scores, terms, draws and propensities are the same bits."""
    cat = catalog(dtype="i8")
    one = made(cat)
    for seed in range(20):
        want = pc.rank(
            cat, {"cf": user(seed)}, POLICY, k=15, at=NOW, seed=seed, request_id="r", exclude=cat.ids[:seed]
        )
        got = pc.rank(one, user(seed), k=15, at=NOW, seed=seed, request_id="r", exclude=cat.ids[:seed])
        assert got == want


def test_propensities_are_frequencies() -> None:
    """First slots of 4,000 seeds: a chi-square test at 1e-6."""
    cat = catalog(12)
    policy = pc.Policy(score=pc.Blend(similarity={"cf": 1.0}), explore=pc.EpsilonGreedy(0.5))
    one = made(cat, policy)
    stated: dict[int, float] = {}
    counts: dict[int, int] = {}
    for seed in range(4000):
        slate = pc.rank(one, user(), k=1, at=NOW, seed=seed, request_id="r")
        item = int(slate.ids[0])
        stated[item] = float(slate.propensities[0])
        counts[item] = counts.get(item, 0) + 1
    assert len(stated) == 12 and abs(sum(stated.values()) - 1) < 1e-12
    chi2 = sum((counts[i] - 4000 * p) ** 2 / (4000 * p) for i, p in stated.items())
    assert chi2 < 51.0  # the 1 - 1e-6 quantile at 11 degrees of freedom is 50.6


def test_a_slate_brings_its_pool_its_signals_and_its_answers() -> None:
    cat = catalog()
    policy = pc.Policy(
        candidates=40,
        score=pc.Blend(
            similarity={"cf": 1.0},
            mood=0.5,
            ctr=pc.Model(["popularity", "price"], 0.7),
            search=pc.Listed(0.4),
        ),
    )
    slate = pc.rank(
        cat,
        {"cf": user()},
        policy,
        k=10,
        at=NOW,
        signals={"mood": np.linspace(0, 1, 60)},
        models={"ctr": lambda x: x[:, 0] * 2 - x[:, 1] / 60},
        lists={"search": cat.ids[5:25].tolist()},
    )
    with pytest.raises(ValueError, match="policy: expected one whose models and lists"):
        pc.capsule(cat.ids, cat, policy, ttl="6h", key=KEY, at=NOW)
    one = pc.capsule(slate, cat, policy, ttl="6h", key=KEY, at=NOW)
    assert len(one) == slate.pool_size == 40
    assert one.ids[:10].tolist() == slate.ids.tolist()
    # The same user on the device: the same scores, model and list included.
    there = pc.rank(one, user(), k=10, at=NOW)
    assert there.ids.tolist() == slate.ids.tolist()
    for name in slate.terms:
        assert np.allclose(there.terms[name], slate.terms[name], rtol=1e-12), name
    assert "price" not in one.attributes
    few = pc.capsule(slate, cat, policy, ttl="6h", key=KEY, at=NOW, n=12)
    assert few.ids.tolist() == one.ids[:12].tolist()
    named = pc.capsule(
        slate, cat, policy, ttl="6h", key=KEY, at=NOW, signals={"mood": dict.fromkeys(cat.ids.tolist(), 1.0)}
    )
    assert set(pc.rank(named, user(), k=5, at=NOW).terms["mood"]) == {0.0}  # all the same tells nothing apart
    with pytest.raises(ValueError, match="because a slate has an order of its own"):
        pc.capsule(slate, cat, policy, ttl="6h", key=KEY, signals={"mood": np.zeros(40)})


def test_scores_of_candidates_go_along() -> None:
    cat = pc.Candidates([1, 2, 3], scores=[0.1, 0.9, 0.5])
    policy = pc.Policy(score=pc.Blend(similarity=1.0))
    one = pc.capsule([3, 1, 2], cat, policy, ttl="6h", key=KEY, at=NOW)
    slate = pc.rank(one, None, k=3, at=NOW)
    assert slate.ids.tolist() == [2, 3, 1]
    assert one.spaces == {}
    with pytest.raises(KeyError, match="no such space"):
        pc.rank(one, {"vectors": [1.0]}, k=3, at=NOW)


def test_profiles_observe_candidates() -> None:
    plan = pc.ProfilePlan("cf", {"click": 1.0}, prior_strength=1.0)
    one = made(profile=plan)
    assert one.profile_plan is not None
    profile = pc.Profile(one.profile_plan, one)
    before = pc.rank(one, profile, k=5, at=NOW, seed=0, request_id="r")
    assert "similarity" not in before.terms
    liked = int(one.ids[7])
    for _ in range(5):
        profile.observe(liked, "click", NOW)
    after = pc.rank(one, profile, k=5, at=NOW, seed=0, request_id="r")
    assert "similarity" in after.terms
    with_vector = pc.rank(one, profile.vector(NOW), k=5, at=NOW, seed=0, request_id="r")
    assert after == with_vector
    restored = pc.Profile.from_bytes(profile.to_bytes(), plan, catalog=one)
    assert restored == profile == copy.copy(profile) == pickle.loads(pickle.dumps(profile))
    with pytest.raises(KeyError, match="no such space: 'cf'; the capsule has"):
        pc.Profile(plan, made(policy=pc.Policy(score=pc.Blend(None, popularity=1.0))))


def test_every_changed_byte_and_every_other_length_is_refused() -> None:
    cat = catalog(4, 3)
    data = bytes(made(cat, pc.Policy(score=pc.Blend(similarity={"cf": 1.0}))))

    def reason(data: bytes) -> str:
        with pytest.raises(pc.CapsuleError) as refused:
            pc.Capsule.open(data, KEY.public, NOW)
        return str(refused.value.reason)

    reasons = set()
    for i in range(len(data)):
        changed = bytearray(data)
        changed[i] ^= 1 << (i % 8)
        reasons.add(reason(bytes(changed)))
        assert reason(data[:i]) == "truncated"
    assert reasons == {"truncated", "trailing", "foreign", "version", "key", "tampered"}
    assert reason(data + b"\0") == "trailing"


def test_moments_and_keys_decide(tmp_path: Path) -> None:
    one = made()
    data = bytes(one)

    def reason(at: datetime, keys: Any = KEY.public) -> str:
        with pytest.raises(pc.CapsuleError) as refused:
            pc.Capsule.open(data, keys, at)
        assert isinstance(refused.value, pc.FormatError)
        return str(refused.value.reason)

    assert reason(NOW + timedelta(hours=6)) == "expired"
    assert reason(NOW - timedelta(minutes=5, microseconds=1)) == "future"
    pc.Capsule.open(data, KEY.public, NOW - timedelta(minutes=5))
    assert reason(NOW, OTHER.public) == "key"
    assert reason(NOW, [OTHER.public]) == "key"
    with pytest.raises(pc.CapsuleError, match="has expired"):
        pc.rank(one, user(), at=NOW + timedelta(hours=6))
    with pytest.raises(FileNotFoundError):
        pc.Capsule.open(tmp_path / "none", KEY.public)
    # The clock, where no moment is given: it was made long ago, or is good now.
    now = pc.capsule(
        [1], pc.Candidates([1], [[1.0]]), pc.Policy(score=pc.Blend(similarity=1.0)), ttl="1h", key=OTHER
    )
    assert len(pc.Capsule.open(bytes(now), OTHER.public)) == 1
    assert len(pc.rank(now, [1.0])) == 1


def test_arguments_are_checked() -> None:
    cat = catalog()
    for error, message, more in [
        (TypeError, "key: expected 32 bytes", {"key": "secret"}),
        (ValueError, "key: expected 32 bytes, got 31 bytes", {"key": bytes(31)}),
        (TypeError, "ttl: expected a duration", {"ttl": None}),
        (ValueError, "ttl: expected more than 0", {"ttl": 0}),
        (ValueError, "dtype: expected", {"dtype": "f32"}),
        (TypeError, "profile: expected a ProfilePlan", {"profile": {}}),
        (TypeError, "spaces: expected a list of names", {"spaces": "cf"}),
        (KeyError, 'no such space: "cf"', {"spaces": ["content"]}),
        (KeyError, 'no such attribute: "colour"', {"attributes": ["colour"]}),
        (ValueError, "n: expected an integer of at least 1", {"n": 0}),
        (ValueError, "signals: expected names that the policy reads", {"signals": {"x": np.zeros(60)}}),
        (ValueError, "expected 60 numbers, one a candidate", {"signals": {"popularity": np.zeros(3)}}),
        (TypeError, "int ids", {"signals": {"popularity": {"a": 1.0}}}),
    ]:
        with pytest.raises(error, match=message):
            made(cat, **more)
    with pytest.raises(KeyError, match="no such id: 5"):
        pc.capsule([5], cat, POLICY, ttl="1h", key=KEY)
    with pytest.raises(ValueError, match="each id once"):
        pc.capsule([4, 4], cat, POLICY, ttl="1h", key=KEY)
    with pytest.raises(TypeError, match="catalog: expected a Catalog"):
        pc.capsule([4], None, POLICY, ttl="1h", key=KEY)  # type: ignore[arg-type]
    with pytest.raises(KeyError, match='no such signal or attribute: "mood"'):
        pc.capsule(cat.ids, cat, pc.Policy(score=pc.Blend(None, mood=1.0)), ttl="1h", key=KEY)
    one = made(cat)
    with pytest.raises(ValueError, match="policy: expected None, because a capsule has its own"):
        pc.rank(one, None, POLICY)
    with pytest.raises(TypeError, match="policy: expected a Policy"):
        pc.rank(cat, None)
    for keys, error in [
        ("x", TypeError),
        (KEY, TypeError),
        ([], ValueError),
        (bytes(31), ValueError),
        (bytes(32), ValueError),
    ]:
        with pytest.raises(error, match="public_key"):
            pc.Capsule.open(bytes(one), keys)  # type: ignore[arg-type]
    assert repr(KEY.private) not in repr(KEY)


SCHEMA = jsonschema.Draft202012Validator(pc.record_schema())


def test_a_record_withholds_what_is_personal_unless_asked() -> None:
    cat = catalog(text=True)
    one = made(cat)
    seen = cat.ids[:7].tolist()
    request: dict[str, Any] = {"k": 8, "at": NOW, "seed": 11, "request_id": "r"}
    slate = pc.rank(one, user(), exclude=seen, where=pc.field("popularity") > 0.2, **request)
    record = slate.record()
    SCHEMA.validate(record)
    assert record["personal"] == "withheld"
    assert record["user"] is None and record["user_sha256"] is None
    assert record["pool"] == [] and record["terms"] == [] and record["signals"] == {}
    assert all(choice.keys().isdisjoint({"score", "terms"}) for choice in record["choices"])
    assert [choice["propensity"] for choice in record["choices"]] == slate.propensities.tolist()
    assert record["content_hash"] == one.provenance.hash
    assert record["source"]["kind"] == "capsule"
    assert record["source"]["packed"]["content_hash"] == cat.content_hash
    assert record["generation"] == cat.generation == slate.generation
    assert not any(f'"{item}"' in json.dumps(record) for item in seen if item not in slate.ids)

    where = pc.field("popularity") > 0.2
    assert pc.replay(record, one, user(), exclude=seen, where=where) == slate
    assert pc.replay(json.dumps(record), one, {"cf": user()}, exclude=seen, where=where) == slate
    for wrong in [{"exclude": seen[:-1]}, {"exclude": None}, {"where": None}]:
        with pytest.raises(pc.ReplayError, match="give what it withholds"):
            pc.replay(record, one, user(), **{"exclude": seen, "where": where, **wrong})
    for somebody in (None, user(4)):
        with pytest.raises(pc.ReplayError, match="what was given may be other"):
            pc.replay(record, one, somebody, exclude=seen, where=where)
    with pytest.raises(pc.ReplayError, match="content has changed"):
        pc.replay(record, made(catalog(59, text=True)), user(), exclude=seen, where=where)

    # Asked for, it is as any other.
    whole = slate.record(user=True)
    SCHEMA.validate(whole)
    assert "personal" not in whole and whole["user"]["cf"] == pytest.approx(user().tolist())
    assert pc.replay(whole, one) == slate
    with pytest.raises(ValueError, match="exclude: expected None"):
        pc.replay(whole, one, exclude=seen)
    # A record of a catalog's slate is what it was.
    assert "personal" not in pc.rank(cat, {"cf": user()}, POLICY, **request).record(user=False)


def test_records_that_withhold_are_read_by_everything_that_does_not_need_more() -> None:
    pa = pytest.importorskip("pyarrow")
    one = made(catalog(text=True))
    slates = [pc.rank(one, user(i), k=6, at=NOW, seed=i, request_id=f"r{i}") for i in range(20)]
    records = [slate.record() for slate in slates]
    table = pc.records.to_arrow(records)
    assert isinstance(table, pa.Table)
    assert pc.records.from_arrow(table) == records
    assert pc.records.from_arrow(pc.records.to_arrow(slates)) == records
    rewards = [{slate.ids[0]: 1.0} for slate in slates]
    assert rewards and pc.exposure is not None


def test_schema_and_core_refuse_the_same() -> None:
    """Each field of a record that withholds is taken away, spoilt, and put in where it is not."""
    one = made()
    record = pc.rank(one, user(), k=4, at=NOW, seed=1, request_id="r").record()

    def replays(changed: dict[str, Any]) -> bool:
        try:
            pc.replay(sealed(changed), one, user())
        except pc.ReplayError:
            return False
        return True

    assert replays(record) and SCHEMA.is_valid(record)
    places: list[tuple[Any, ...]] = [(), ("choices", 0), ("source",), ("source", "packed"), ("eligibility",)]
    for path in places:
        for name in [*_at(record, path), "foreign", "score", "terms", "target", "prices", "user"]:
            spoilt = copy.deepcopy(record)
            _at(spoilt, path)[name] = {"of another": ["type", 1]}
            assert not SCHEMA.is_valid(spoilt), (*path, name)
            assert name == "digest" or not replays(spoilt), (*path, name)
            if name in _at(record, path) and name != "digest":
                without = copy.deepcopy(record)
                del _at(without, path)[name]
                accepted = replays(without)
                # The form of one that withholds nothing lacks the scores; a capsule without its origin replays as others do.
                assert accepted == ((*path, name) in {("source",), ("choices", 0, "support")}), (*path, name)
                # The form is good without these, and what the record says untrue.
                if not accepted and (*path, name) not in {("source", "packed"), ("eligibility", "hidden")}:
                    assert not SCHEMA.is_valid(without), (*path, name)


def _at(record: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        record = record[step]
    return record


def test_records_that_were_changed_are_refused() -> None:
    one = made()
    record = pc.rank(one, user(), k=4, at=NOW, seed=1, request_id="r").record()
    for name, value in [("user_sha256", {"cf": "0" * 64}), ("terms", ["x"]), ("personal", "x"), ("seed", 2)]:
        with pytest.raises(pc.ReplayError):
            pc.replay({**record, name: value}, one, user())


def test_two_hundred_candidates_of_64_components_fit_20_kilobytes() -> None:
    cat = catalog(200, 64)
    policy = pc.Policy(
        score=pc.Blend(similarity={"cf": 1.0}, popularity=0.2, fresh=pc.Decay("published", "3d", 0.3)),
        diversity=pc.MMR(0.3, space="cf"),
        caps={"shop": 3},
        explore=pc.EpsilonGreedy(0.1),
    )
    assert made(cat, policy).size_bytes < 20_000
    assert made(catalog(200, 64, text=True), policy).size_bytes < 20_000
