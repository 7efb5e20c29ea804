"""What a type checker makes of the public API. mypy reads this file; nothing runs it."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_type

import perso_core as pc

vectors: NDArray[np.float64] = np.ones((3, 4))
user: NDArray[np.float32] = np.ones(4, dtype=np.float32)

# --- vectors only ----------------------------------------------------------------------------------

index = pc.Index(4, metric="cosine", dtype="i8", M=16, ef_construction=200, seed=0)
assert_type(index.add(vectors), NDArray[Any])
assert_type(index.add([[1.0, 0.0, 0.0, 0.0]], ids=["a"], num_threads=2, progress=True), NDArray[Any])
hits = index.search(user, 2, ef=50, filter=[True, False, True], exclude={1}, exact=True, num_threads=-1)
assert_type(hits, pc.Hits)
assert_type(hits.scores, NDArray[np.float32])
assert_type(hits.path, str)
assert_type(len(hits), int)
assert_type(index.get([1]), NDArray[np.float32])
assert_type(index.metric, Literal["ip", "cosine", "l2"])
assert_type(index.dtype, Literal["f32", "f16", "i8"])
fine = pc.Index(4, dtype="i8", layout="compact", rescore="f16")
assert_type(fine.layout, Literal["auto", "exact", "compact", "local"])
assert_type(fine.rescore, Literal["f16"] | None)
assert_type(pc.Space(4, "l2", "i8", layout="local", rescore="f16").rescore, Literal["f16"] | None)
assert_type(fine.recall(vectors, k=5, ef=20), float)
found = fine.tune(vectors, recall=0.95, k=5, progress=True)
assert_type(found, pc.Tuning)
assert_type(found.ef, int | None)
assert_type(found.advice, str | None)
fitted = fine.fit(vectors, num_threads=2, progress=True)
assert_type(fitted, pc.Fitted)
assert_type(fitted.recall_after, float | None)
assert_type(index.add(vectors, fit_queries=vectors), NDArray[Any])
assert_type(pc.Index.load(Path("x"), mmap=True), pc.Index)
assert_type(pc.dot(user, vectors), NDArray[np.float32])
assert_type(pc.topk(user, vectors, 2, metric="l2"), pc.Hits)
assert_type(pc.cpu_features()["isa"], Any)

# --- catalog ---------------------------------------------------------------------------------------

catalog = pc.Catalog(spaces={"content": pc.Space(4, "cosine", "i8"), "cf": pc.Space(4, "ip")}, seed=1)
catalog.upsert(
    np.arange(3),
    vectors={"content": vectors, "cf": vectors.astype(np.float16)},
    attributes={
        "popularity": vectors[:, 0],
        "genres": [["a", "b"], [], None],
        "published_at": [datetime.now(timezone.utc), None, np.datetime64("2026-01-01")],
    },
    progress=lambda done, total: print(done, total),
)
assert_type(catalog.get([1]), list[dict[str, Any]])
assert_type(catalog.ids, NDArray[Any])
assert_type(catalog.attributes, Mapping[str, str])
assert_type(catalog.spaces, Mapping[str, pc.Space])
assert_type(catalog.generation, int)
assert_type(catalog.content_hash, str)
assert_type(1 in catalog, bool)
assert_type(catalog.search(user, space="content", where=[1, 2]), pc.Hits)
cheap = (pc.field("price") < 5) & ~pc.field("genres").contains_any(["war"])
assert_type(cheap, pc.Filter)
assert_type(pc.field("price") == 5, pc.Filter)
assert_type(pc.field("new") | cheap, pc.Filter)
assert_type(pc.Filter.from_json(cheap.to_json()), pc.Filter)
kept = catalog.filter(cheap)
assert_type(kept, pc.CompiledFilter)
assert_type(cheap.compile(catalog), pc.CompiledFilter)
assert_type(~kept & kept, pc.CompiledFilter)
assert_type(kept.ids, NDArray[Any])
assert_type(kept.selectivity, float)
assert_type(catalog.search(user, space="content", where=cheap), pc.Hits)
assert_type(catalog.search(vectors, space="content", where=[cheap, None, [1, 2]]), pc.Hits)
assert_type(index.search(vectors, filter=[[0, 1], None, np.array([True, False, True])]), pc.Hits)
assert_type(pc.Catalog.open("x.pcat"), pc.Catalog)
assert_type(pc.Catalog.from_arrow("items.parquet", id="item_id", spaces={"content": "embedding"}), pc.Catalog)
assert_type(pc.Catalog.from_arrow("items.parquet", "id", {"content": ("e", pc.Space(4))}), pc.Catalog)

# --- policy ----------------------------------------------------------------------------------------

policy = pc.Policy(
    candidates=500,
    score=pc.Blend(
        similarity={"cf": 0.7, "content": pc.Signal(0.3, normalize="rank")},
        normalize="minmax",
        popularity=0.2,
        freshness=pc.Decay("published_at", half_life=timedelta(days=3), weight=0.3),
    ),
    diversity=pc.MMR(0.3, space="content"),
    caps={"genres": 3},
    explore=pc.EpsilonGreedy(0.1),
)
assert_type(policy.hash, str)
assert_type(policy.to_json(), str)
assert_type(pc.Policy.from_json(policy.to_json()), pc.Policy)
assert_type(pc.Blend.from_json("{}"), pc.Blend)
assert_type(policy.caps, Mapping[str, int | pc.Soft])
sale = pc.Boost({"genres": ["war", "noir"], "price": pc.Between(5, 20)}, 0.2, "sale")
gone = pc.Hide(ids=[1])
banner = pc.Pin(0, id=1)
owed = pc.AtLeast(2, {"genres": "war"}, top=5)
assert_type(
    pc.Policy(rules=[sale, gone, banner, owed], caps={"genres": pc.Soft(3, 0.2), "shelf": 1}).hash, str
)
assert_type(pc.Between(high="2026-12-01").to_json(), str)
assert_type(pc.EpsilonGreedy(0.1, only={"genres": ["war"], "new": True}).epsilon, float)
dpp = pc.DPP(0.3, space="content", window=10)
assert_type(dpp.window, int | None)
assert_type(pc.Policy(diversity=dpp).hash, str)
assert_type(pc.Spread(0.3, window=8).window, int)
assert_type(pc.Policy(diversity=pc.Spread(0.3, 8, "content")).hash, str)
calibrated = pc.Calibrated("genres", 0.5, {"a": 0.7, "b": 0.3})
assert_type(calibrated.target, Mapping[Any, float] | None)
assert_type(pc.Policy(diversity=calibrated).hash, str)
assert_type(pc.Calibrated.from_json("{}"), pc.Calibrated)
pc.Calibrated("year", 0.5, {1999: 1, 2001: 2})
per_slate = pc.EpsilonGreedy(0.1, per="slate", slots=range(3, 6), only={"fresh": True, "genres": "noir"})
assert_type(per_slate.per, Literal["slot", "slate"])
assert_type(pc.EpsilonGreedy.from_json(per_slate.to_json()), pc.EpsilonGreedy)
pc.Policy(explore=pc.Softmax(0.2, slots=[1]))
pc.Policy(explore=pc.PlackettLuce(temperature=1))
pc.Policy(explore=pc.ThompsonSampling(alpha="clicks", beta="skips", prior=(1, 9), draws=64))
pc.Policy(explore=pc.UCB(mean="ctr", std="ctr_std", c=2.0, weight=0.5, replace=True))

# --- the call --------------------------------------------------------------------------------------

nobody = pc.rank(catalog, None, policy)
assert_type(nobody, pc.Slate)
slate: pc.Slate = pc.rank(
    catalog,
    {"cf": user, "content": user.tolist()},
    policy,
    k=20,
    where=np.ones(3, dtype=bool),
    exclude=[1, 2],
    signals={"popularity": {1: 0.5}},
    at="2026-01-01T00:00:00Z",
    seed=7,
    request_id="r-1",
)
batch: pc.SlateBatch = pc.rank(catalog, {"cf": vectors}, policy, exclude=[[1], [2], []], num_threads=-1)
assert_type(slate.scores, NDArray[np.float64])
assert_type(slate.propensities, NDArray[np.float64])
assert_type(slate.explored, NDArray[np.bool_])
assert_type(slate.log_propensity, float)
assert_type(slate.propensity_kind, str)
assert_type(slate.propensity_errors, NDArray[np.float64])
assert_type(slate.propensity_draws, NDArray[np.int64])
assert_type(slate.support, NDArray[np.int64])
assert_type(slate.support_warning, str | None)
assert_type(slate.reasons, list[str])
assert_type(slate.terms, Mapping[str, NDArray[np.float64]])
assert_type(slate.timings_us, dict[str, float])
assert_type(slate.short_reason, str | None)
assert_type(slate.at, datetime)
assert_type(slate.record(), dict[str, Any])
assert_type(slate[0], pc.SlateItem)
assert_type([item.propensity for item in slate], list[float])
assert_type(batch[0], pc.Slate)
assert_type(batch[:2], pc.SlateBatch)
assert_type(pc.replay(slate.record(), catalog), pc.Slate)
assert_type(pc.replay("{}", catalog, user=user), pc.Slate)
candidates = pc.Candidates(["a", "b"], scores=[0.1, 0.2], attributes={"price": [1, None]}, metric="ip")
assert_type(pc.rank(candidates, None, policy), pc.Slate)

# --- what a log teaches ----------------------------------------------------------------------------

choices = pc.ope.BanditLog([1.0], [0.5], [0.5])
assert_type(pc.ope.ips(choices, clip=10, interval=pc.ope.Bootstrap(seed=1)), pc.ope.Estimate)
known = pc.ope.SlateLog.from_records([slate, slate.record(), "{}"], {"r-1": [1.0]}, policy, missing=0.0)
assert_type(known, pc.ope.SlateLog)
estimates = pc.ope.evaluate(known)
assert_type(estimates, pc.ope.Estimates)
assert_type(estimates[0], pc.ope.Estimate)
assert_type(estimates["rips"], pc.ope.Estimate)
assert_type(estimates[1:], pc.ope.Estimates)
assert_type(estimates["rips"].influence, NDArray[np.float64])
assert_type(pc.ope.propensities(slate, policy), NDArray[np.float64])
shown = pc.interleave.team_draft(slate, [1, 2], seed=1, request_id="r-1")
assert_type(shown, pc.interleave.Interleaved)
assert_type(shown.credit([1]), pc.interleave.Credit)
assert_type(pc.interleave.preference([shown.credit([1]), (1.0, 0.0)]).p_sign, float)
assert_type(pc.drift.psi([1.0], [2.0]).value, float)
assert_type(pc.drift.compare([slate], [slate]), pc.drift.DriftReport)
assert_type(pc.exposure.by_group([slate], {1: "a"}), pc.exposure.Exposure)
assert_type(pc.agreement.rbo(slate, [1, 2]), float)

planned = pc.rank(catalog, None, policy, budget_us=500 * pc.calibrate(), route=pc.route(plan=pc.RoutePlan()))
assert_type(planned.given_up, tuple[str, ...])
assert_type(planned.budget_us, dict[str, float] | None)
assert_type(planned.route, pc.Route | None)
assert_type(pc.route(battery=0.5, network="wifi").where, Literal["server", "device"])
assert_type(pc.RoutePlan.from_json("{}").hash, str)
beside = pc.rank(catalog, None, policy, shadow=policy).shadow
allowed = pc.rank(catalog, None, policy, allow={"profile": False, "history": True})
assert_type(allowed.masked, list[str])
assert_type(allowed.record(user_key="u", hash_key=b"0123456789abcdef"), dict[str, Any])
assert_type(pc.user_hash("u", b"0123456789abcdef"), str)
assert_type(pc.record_schema(), dict[str, Any])
assert_type(pc.records.from_arrow(pc.records.to_arrow([allowed])), list[dict[str, Any]])
assert_type(beside, pc.Shadow | None)
assert beside is not None
assert_type(beside.slate, pc.Slate)
assert_type(beside.overlap, float)
assert_type(beside.came, list[pc.SlateItem])
assert_type(policy.reads, list[str])
masked = pc.counterfactual(slate, catalog, mask=["popularity"])
assert_type(masked, pc.Counterfactual)
assert_type(masked.slate, pc.Slate)
assert_type(masked.rank_correlation, float)
change = pc.counterfactual.exposure([slate, "{}"], catalog, ["popularity"], {1: "a"}, level=0.9)
assert_type(change.of("a").difference, float)
assert_type(change.requests, int)

# --- what has to be refused: an ignore that is not needed is an error under strict -------------------

pc.Index(4, metric="dot")  # type: ignore[arg-type]
pc.Index(4, dtype="f64")  # type: ignore[arg-type]
pc.Index("4")  # type: ignore[arg-type]
pc.Space(4, ef=3)  # type: ignore[call-arg]
pc.Policy(diversity=0.3)  # type: ignore[arg-type]
pc.Policy(diversify=pc.MMR(0.3))  # type: ignore[call-arg]
pc.Spread(0.3)  # type: ignore[call-arg]
pc.DPP(0.3, window="all")  # type: ignore[arg-type]
pc.Calibrated("genres", 0.5, ["a"])  # type: ignore[arg-type]
pc.Blend(popularity="high")  # type: ignore[arg-type]
pc.EpsilonGreedy(0.1, per="request")  # type: ignore[arg-type]
pc.route(network="5g")  # type: ignore[arg-type]
pc.rank(catalog, None, policy, route={})  # type: ignore[call-overload]
pc.Softmax(0.1, only={"fresh": 0.5})  # type: ignore[dict-item]
pc.ThompsonSampling("clicks", "skips")  # type: ignore[call-arg]
pc.Policy(explore=0.1)  # type: ignore[arg-type]
pc.Signal(0.1, normalize="max")  # type: ignore[arg-type]
pc.rank(vectors, user, policy)  # type: ignore[call-overload]
pc.rank(catalog, user, policy, sede=7)  # type: ignore[call-overload]
policy.candidates = 3  # type: ignore[misc]
slate.seed = 3  # type: ignore[misc]
catalog.generation = 3  # type: ignore[misc]
pc.ope.ips(known)  # type: ignore[arg-type]
pc.interleave.team_draft([1], [2], seed=1)  # type: ignore[call-arg]

# Tables in and out.
assert_type(
    catalog.upsert("items.parquet", id="item_id", spaces={"content": "e"}, rows_per_change=1000), None
)
assert_type(catalog.upsert(catalog, id="id", attributes=["genre"]), None)
assert_type(len(catalog.to_arrow([1, 2], spaces=["content"])), int)
assert_type(catalog.to_arrow(spaces={"content": "e"}).columns, list[tuple[str, str]])
pc.Catalog.from_arrow(catalog.to_arrow(), "id", {"content": "content"})

# Capsules.
pair = pc.generate_key()
assert_type(pair.public, bytes)
packed = pc.capsule(catalog.ids, catalog, policy, ttl="6h", key=pair, n=200, dtype="f16", attributes=["genre"])
assert_type(packed, pc.Capsule)
assert_type(bytes(packed), bytes)
assert_type(packed.provenance, pc.Provenance)
assert_type(packed.expires_at, datetime)
assert_type(packed.profile_plan, pc.ProfilePlan | None)
assert_type(pc.Capsule.open(Path("a.capsule"), [pair.public], at="2026-11-26T12:00:00Z"), pc.Capsule)
assert_type(pc.rank(packed, None, k=5), pc.Slate)
assert_type(pc.replay({}, packed, user, exclude=[1], where=pc.field("genre") == "jazz"), pc.Slate)
pc.capsule([1], catalog, policy, key=pair)  # type: ignore[call-arg]
pc.capsule([1], catalog, policy, ttl="6h", key=pair, dtype="f32")  # type: ignore[arg-type]
