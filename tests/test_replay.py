"""Decision records: JSON documents from which the same slate comes again, or a reason why not."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perso_core as pc
from world import AT, world

POLICY = pc.Policy(
    candidates=20,
    score=pc.Blend({"a": 0.7, "b": 0.3}, "zscore", pop=0.2, mine=0.1, fresh=pc.Decay("at", "3d", weight=0.3)),
    diversity=pc.MMR(0.3),
    caps={"genre": 2},
    explore=pc.EpsilonGreedy(0.4),
)


def make(seed, k=12, text=False, user=True, **arguments):
    cat, items, vectors = world(seed, text=text)
    signals = {"mine": {i: 0.1 * j for j, i in enumerate(items.ids) if j % 4}}
    arguments = {"seed": seed, "request_id": f"r-{seed}", "at": AT, "signals": signals, **arguments}
    return cat, vectors, pc.rank(cat, vectors if user else None, POLICY, k=k, **arguments)


def test_a_record_is_a_document_that_json_holds():
    cat, user, slate = make(1)
    record = slate.record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record == json.loads(slate.record_json())
    assert json.loads(slate.record_json(user=False)) == slate.record(user=False) != record
    assert record["schema"] == "perso_core.record/1"
    assert record["library"] == pc.__version__
    assert record["policy_hash"] == POLICY.hash == slate.policy_hash
    assert pc.Policy.from_json(json.dumps(record["policy"])) == POLICY
    assert (record["seed"], record["request_id"], record["k"]) == (1, "r-1", 12)
    assert record["at"] == int(AT.timestamp() * 1e6)
    assert (record["generation"], record["content_hash"]) == (cat.generation, cat.content_hash)
    assert record["terms"] == list(slate.terms) and record["short_reason"] is None
    assert record["eligibility"] == {"live": 60, "filtered": 0, "excluded": 0, "eligible": 60}
    assert sum(len(step["ids"]) for step in record["pool"]) == slate.pool_size
    assert len(record["pool"]) > 1, "the caps of this slate deepen its pool"
    for t, choice in enumerate(record["choices"]):
        assert choice["id"] == slate.ids[t] and choice["score"] == slate.scores[t]
        assert choice["terms"] == [slate.terms[name][t] for name in slate.terms]
        assert choice["propensity"] == slate.propensities[t] and choice["explored"] == slate.explored[t]
    for space, vector in user.items():
        assert np.array_equal(np.float32(record["user"][space]), vector)


@given(seed=st.integers(0, 10**6), how=st.sampled_from(["dict", "text", "pretty"]), user=st.booleans())
def test_a_replay_is_the_slate_bit_for_bit(seed, how, user):
    rng = np.random.default_rng(seed)
    seen = rng.integers(-20, 160, 30).tolist()
    text = seed % 2 == 1
    cat, vectors, slate = make(
        seed,
        text=text,
        user=user,
        exclude=[f"i{i:04}" for i in seen] if text else seen,
        where=rng.random(60) < 0.8,
    )
    record = slate.record()
    handed = {
        "dict": record,
        "text": json.dumps(record),
        "pretty": json.dumps(record, indent=2, sort_keys=True),
    }
    again = pc.replay(handed[how], cat)
    assert again == slate  # ids, scores, terms, propensities
    for name in slate.terms:
        assert slate.terms[name].tobytes() == again.terms[name].tobytes()
    for part in ("reasons", "short_reason", "pool_size", "path", "request_id", "seed", "at", "k"):
        assert getattr(again, part) == getattr(slate, part)
    assert again.record() == record
    assert pc.replay(record, cat, user=vectors if user else None) == slate


@given(floats=st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=3, max_size=3))
def test_user_vectors_survive_the_record_whatever_their_digits(floats):
    cat = pc.Catalog({"v": pc.Space(3)})
    cat.upsert([1, 2], [[1, 2, 3], [-1, 0.5, 7]])
    slate = pc.rank(cat, np.float32(floats), pc.Policy(), k=2)
    assert pc.replay(json.dumps(slate.record()), cat) == slate


@pytest.mark.parametrize("seed", [0, 2**53 + 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("item", [2**53 + 1, -(2**63), 2**63 - 1])
def test_large_integers_survive(seed, item):
    cat = pc.Catalog({"v": pc.Space(1)})
    cat.upsert([item, 5], [[1.0], [1.0]])
    slate = pc.rank(cat, [1.0], pc.Policy(explore=pc.EpsilonGreedy(0.5)), k=2, seed=seed, request_id='é\n"')
    again = pc.replay(json.dumps(slate.record()), cat)
    assert again == slate and again.seed == seed and item in again.ids.tolist()


@pytest.mark.parametrize("mmap", [False, True])
def test_a_replay_works_on_a_saved_catalog(tmp_path, mmap):
    cat, _, slate = make(2)
    cat.save(tmp_path / "cat")
    assert pc.replay(slate.record(), pc.Catalog.open(tmp_path / "cat", mmap=mmap)) == slate


def test_a_replay_works_on_the_same_content_with_another_history():
    cat, _, slate = make(3)
    other = pc.Catalog(cat.spaces, seed=9)
    for item in reversed(cat.get(cat.ids)):
        values = {name: [v] for name, v in item["attributes"].items() if v is not None}
        other.upsert([item["id"]], {s: [v] for s, v in item["vectors"].items()}, values)
    assert other.content_hash == cat.content_hash and other.generation != cat.generation
    assert pc.replay(slate.record(), other) == slate


def test_a_replay_from_a_graph(rng):
    x = rng.standard_normal((9000, 64)).astype(np.float32)
    cat = pc.Catalog({"v": pc.Space(64, "l2", M=6, ef_construction=30)})
    cat.upsert(range(9000), x)
    policy = pc.Policy(candidates=40, diversity=pc.MMR(0.3), explore=pc.EpsilonGreedy(0.2))
    slate = pc.rank(cat, x[0], policy, k=20, seed=4)
    assert slate.path == "graph"
    other = pc.Catalog({"v": pc.Space(64, "l2", M=4, ef_construction=10)}, seed=3)  # another graph
    other.upsert(range(9000), x)
    for one in (cat, other):
        again = pc.replay(slate.record(), one)
        assert again == slate and again.path == "graph"


def test_decays_are_measured_from_the_recorded_moment():
    cat, _, slate = make(4, at=None)
    again = pc.replay(slate.record(), cat)
    assert again.at == slate.at and again == slate


# --- refusals --------------------------------------------------------------------------------------

CHANGES = {
    "an attribute": lambda cat: cat.upsert([cat.ids[0]], attributes={"pop": [123.0]}),
    "a vector": lambda cat: cat.upsert([cat.ids[0]], {"a": np.ones((1, 6))}),
    "a removal": lambda cat: cat.remove([cat.ids[5]]),
    "a new item": lambda cat: cat.upsert([10**6], {"a": np.ones((1, 6)), "b": np.ones((1, 5))}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_catalog_is_refused_with_the_reason(change):
    cat, _, slate = make(5)
    record = slate.record()
    before = cat.content_hash
    change(cat)
    with pytest.raises(pc.ReplayError, match="content has changed") as caught:
        pc.replay(record, cat)
    assert before in str(caught.value) and cat.content_hash in str(caught.value)
    assert "generation 1" in str(caught.value) and "generation 2" in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_change_that_is_taken_back_is_none():
    cat, _, slate = make(5)
    item = cat.get([cat.ids[0]])[0]
    cat.upsert([item["id"]], attributes={"pop": [99.0]})
    cat.upsert([item["id"]], attributes={"pop": [item["attributes"]["pop"]]})
    assert pc.replay(slate.record(), cat) == slate


def test_a_record_names_the_catalog_that_the_slate_saw():
    cat, _, slate = make(5)
    before = cat.content_hash
    cat.upsert([cat.ids[0]], attributes={"pop": [123.0]})
    assert slate.record()["content_hash"] == before


def leaves(value, path=()):
    if isinstance(value, dict) and value:
        return [leaf for key, one in value.items() for leaf in leaves(one, (*path, key))]
    if isinstance(value, list) and value:
        return [leaf for i, one in enumerate(value) for leaf in leaves(one, (*path, i))]
    return [path]


def other_value(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return float(np.nextafter(value, 9e99))
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    return 1


def test_any_change_to_a_record_is_refused():
    cat, _, slate = make(6)
    record = slate.record()
    paths = leaves(record)
    assert len(paths) > 150
    for path in paths:
        tampered = copy.deepcopy(record)
        at = tampered
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = other_value(at[path[-1]])
        with pytest.raises((pc.ReplayError, pc.FormatError)):
            pc.replay(tampered, cat)
    for key in record:
        with pytest.raises((pc.ReplayError, pc.FormatError)):
            pc.replay({k: v for k, v in record.items() if k != key}, cat)
    with pytest.raises((pc.ReplayError, pc.FormatError)):
        pc.replay({**record, "extra": 1}, cat)
    with pytest.raises((pc.ReplayError, pc.FormatError)):
        shorter = copy.deepcopy(record)
        shorter["choices"].pop()
        pc.replay(shorter, cat)


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '{"schema": "other/1"}', "null"])
def test_what_is_no_record_is_refused(text):
    cat, _, _ = world(1)
    with pytest.raises((pc.ReplayError, pc.FormatError)):
        pc.replay(text, cat)


def test_a_record_for_another_catalog_is_refused():
    _, _, slate = make(7)
    with pytest.raises(pc.ReplayError):
        pc.replay(slate.record(), world(8)[0])


# --- without the user's vectors --------------------------------------------------------------------


def test_a_record_may_leave_out_the_user():
    cat, user, slate = make(9)
    record = slate.record(user=False)
    assert record["user"] is None and set(record["user_sha256"]) == {"a", "b"}
    assert json.dumps(slate.record()["user"]["a"]) not in json.dumps(record)
    assert pc.replay(record, cat, user=user) == slate
    with pytest.raises(pc.ReplayError, match="hashes of the user's vectors"):
        pc.replay(record, cat)
    wrong = {**user, "a": user["a"] + 1}
    for one in (record, slate.record()):
        with pytest.raises(pc.ReplayError, match='space "a" is not the recorded one'):
            pc.replay(one, cat, user=wrong)
    with pytest.raises(pc.ReplayError):
        pc.replay(record, cat, user={"a": user["a"]})


def test_a_record_of_nobody_takes_no_user():
    cat, user, slate = make(10, user=False)
    record = slate.record()
    assert record["user"] is None and record["user_sha256"] is None
    assert pc.replay(record, cat) == slate
    with pytest.raises(pc.ReplayError, match="without a user"):
        pc.replay(record, cat, user=user)


@pytest.mark.parametrize("hashed", [False, True])
def test_a_bare_vector_is_enough_where_one_space_is_used(hashed):
    cat, _, user = world(11)
    slate = pc.rank(cat, user["a"], pc.Policy(score=pc.Blend({"a": 1.0})), k=5)
    assert pc.replay(slate.record(user=not hashed), cat, user={"a": user["a"]}) == slate
    assert pc.replay(slate.record(user=not hashed), cat, user=user["a"]) == slate


# --- candidates ------------------------------------------------------------------------------------


@pytest.mark.parametrize("given_scores", [False, True])
def test_candidates_replay(rng, given_scores):
    x = rng.standard_normal((30, 8))

    def candidates(order, pop):
        scores = np.arange(30.0)[order] ** 0.5 if given_scores else None
        return pc.Candidates(np.arange(30)[order], x[order], scores, {"pop": np.asarray(pop)[order]})

    pop = rng.random(30)
    policy = pc.Policy(score=pc.Blend(pop=0.5), diversity=pc.MMR(0.4), explore=pc.EpsilonGreedy(0.3))
    user = None if given_scores else rng.standard_normal(8)
    slate = pc.rank(candidates(np.arange(30), pop), user, policy, k=10, seed=3)
    record = slate.record()
    shuffled = rng.permutation(30)
    assert pc.replay(record, candidates(shuffled, pop)) == slate
    with pytest.raises(pc.ReplayError, match="content has changed"):
        pc.replay(record, candidates(shuffled, pop + 1e-9))
