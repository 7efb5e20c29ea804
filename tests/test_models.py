"""Outside models: what they are fed with, what is made of their answers, and a replay without them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perso_core as pc
from world import AT, world

FEATURES = ["similarity.b", "pop", "mine", "new", "fresh"]


def policy(normalize: Any = "none", **more: Any) -> pc.Policy:
    blend = pc.Blend(
        {"a": 0.5, "b": pc.Signal(0.0)},
        fresh=pc.Decay("at", "3d", weight=0.25),
        ctr=pc.Model(FEATURES, weight=2.0, normalize=normalize),
    )
    return pc.Policy(**{"candidates": 25, "score": blend, **more})


@dataclass
class Linear:
    """A model that remembers what it was asked."""

    weights: Any = (0.5, -1.0, 2.0, 0.25, 1.0)
    asked: list[np.ndarray] = field(default_factory=list)

    def predict(self, x: np.ndarray) -> np.ndarray:
        assert x.dtype == np.float32 and x.flags.c_contiguous
        self.asked.append(x.copy())
        return np.nan_to_num(x) @ np.float32(self.weights)


def mine(items: Any) -> dict[Any, float]:
    return {i: 0.1 * j for j, i in enumerate(items.ids) if j % 4}


def features_of(slate: pc.Slate, cat: pc.Catalog, items: Any, user: Any) -> tuple[list[Any], np.ndarray]:
    """The matrix of the first pool, by NumPy alone."""
    pool = sorted(slate.record()["pool"][0]["ids"])
    at = [items.ids.index(i) for i in pool]
    a = {name: [values[i] for i in at] for name, values in items.attributes.items()}
    given_by = mine(items)
    now = int(AT.timestamp()) * 1_000_000
    half_life = 3 * 86_400_000_000

    def number(value: Any) -> float:
        return np.nan if value is None else float(value)

    b = dict(
        zip(
            items.ids,
            (items.spaces["b"][1] @ (0 if user is None else user["b"])).tolist()
            if user is not None
            else [np.nan] * len(items.ids),
            strict=True,
        )
    )
    columns = [
        [b[i] for i in pool],
        [number(v) for v in a["pop"]],
        [given_by.get(i, np.nan) for i in pool],
        [number(v) for v in a["new"]],
        [np.nan if t is None else 2.0 ** -(max(now - t, 0) / half_life) for t in a["at"]],
    ]
    return pool, np.array(columns, dtype=np.float64).T.astype(np.float32)


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("nobody", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_model_is_fed_with_the_pool_by_id_and_its_answers_are_the_term(
    seed: int, nobody: bool, text: bool
) -> None:
    cat, items, vectors = world(seed, text=text)
    user = None if nobody else vectors
    model = Linear()
    slate = pc.rank(
        cat, user, policy(), k=8, signals={"mine": mine(items)}, models={"ctr": model}, at=AT, seed=1
    )
    pool, expected = features_of(slate, cat, items, user)
    (matrix,) = model.asked
    np.testing.assert_allclose(matrix, expected, rtol=1e-6)
    if nobody:
        assert np.isnan(matrix[:, 0]).all()
    answers = dict(zip(pool, Linear().predict(matrix).astype(np.float64), strict=True))
    np.testing.assert_allclose(slate.terms["ctr"], [2.0 * answers[i] for i in slate.ids.tolist()], rtol=1e-12)
    total = np.sum([slate.terms[name] for name in slate.terms], axis=0)
    assert total.tolist() == slate.scores.tolist()
    # The answers are recorded as signals are.
    assert slate.record()["signals"]["ctr"] == [answers[i] for i in pool]


@given(
    seed=st.integers(0, 10**6),
    nobody=st.booleans(),
    normalize=st.sampled_from(["none", "minmax", "zscore", "rank", pc.RRF(60), pc.Sigmoid(0, 2)]),
)
def test_a_replay_needs_no_model(seed: int, nobody: bool, normalize: Any) -> None:
    cat, items, vectors = world(seed)
    made = policy(normalize, diversity=pc.MMR(0.3), caps={"genre": 2}, explore=pc.EpsilonGreedy(0.3))
    slate = pc.rank(
        cat, None if nobody else vectors, made, k=20,
        signals={"mine": mine(items)}, models={"ctr": Linear()}, at=AT, seed=seed,
    )  # fmt: skip
    record = json.loads(json.dumps(slate.record()))
    again = pc.replay(record, cat)
    assert again == slate and again.record() == record
    for name in slate.terms:
        assert slate.terms[name].tobytes() == again.terms[name].tobytes()


def test_a_deepening_asks_again_for_the_new_rows_only() -> None:
    cat, items, vectors = world(1)
    model = Linear()
    made = policy(candidates=12, caps={"genre": 2})
    slate = pc.rank(cat, vectors, made, k=12, signals={"mine": mine(items)}, models={"ctr": model}, at=AT)
    sizes = [len(step["ids"]) for step in slate.record()["pool"]]
    assert len(sizes) > 1 and [len(x) for x in model.asked] == sizes


@given(seed=st.integers(0, 10**6))
def test_the_order_of_the_items_does_not_matter(seed: int) -> None:
    cat, items, vectors = world(seed)
    other = pc.Catalog(cat.spaces)
    for item in reversed(cat.get(cat.ids)):
        values = {name: [v] for name, v in item["attributes"].items() if v is not None}
        other.upsert([item["id"]], {s: [v] for s, v in item["vectors"].items()}, values)
    arguments: dict[str, Any] = {"signals": {"mine": mine(items)}, "at": AT, "seed": 3, "request_id": "r"}
    first, second = Linear(), Linear()
    a = pc.rank(cat, vectors, policy(), k=8, models={"ctr": first}, **arguments)
    b = pc.rank(other, vectors, policy(), k=8, models={"ctr": second}, **arguments)
    assert a == b and first.asked[0].tobytes() == second.asked[0].tobytes()


@pytest.mark.parametrize("threads", [1, 4])
def test_in_a_batch_each_user_is_one_call(threads: int) -> None:
    cat, items, vectors = world(5)
    batch = {name: np.stack([v, -v, v + 1]) for name, v in vectors.items()}
    model = Linear()
    arguments: dict[str, Any] = {"signals": {"mine": mine(items)}, "at": AT, "seed": 3}
    slates = pc.rank(
        cat, batch, policy(), k=5, models={"ctr": model}, num_threads=threads, request_id="r", **arguments
    )
    assert len(model.asked) == 3
    for i, slate in enumerate(slates):
        user = {name: rows[i] for name, rows in batch.items()}
        alone = pc.rank(cat, user, policy(), k=5, models={"ctr": Linear()}, request_id=f"r-{i}", **arguments)
        assert slate == alone


# --- what is refused -------------------------------------------------------------------------------


def ask(model: Any, **arguments: Any) -> pc.Slate:
    cat, items, vectors = world(0)
    models = {} if model is None else {"ctr": model}
    arguments = {"signals": {"mine": mine(items)}, "models": models, "at": AT, **arguments}
    return pc.rank(cat, vectors, policy(), k=5, **arguments)


@pytest.mark.parametrize(
    ("model", "error", "text"),
    [
        (None, ValueError, r"models: expected a model named \"ctr\""),
        (3, TypeError, r"models\['ctr'\]: expected an object with predict"),
        (lambda x: np.zeros((len(x), 2)), ValueError, r"models\['ctr'\].*predict_proba.*shape \(25, 2\)"),
        (lambda x: np.zeros(3), ValueError, r"models\['ctr'\].*shape \(25,\).*shape \(3,\)"),
        (lambda x: np.full(len(x), np.nan), ValueError, r"models\['ctr'\]: expected finite numbers"),
        (lambda x: np.array(["a"] * len(x)), TypeError, r"models\['ctr'\]"),
    ],
)
def test_a_wrong_model_is_refused_by_name(model: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ask(model)


def test_a_model_or_signal_that_nobody_uses_is_refused() -> None:
    with pytest.raises(ValueError, match=r"models: expected models that the policy's Blend names \('ctr'\)"):
        ask(None, models={"ctr": Linear(), "cvr": Linear()})
    _, items, _ = world(0)
    with pytest.raises(ValueError, match=r"signals: .*got \"ctr\""):
        ask(Linear(), signals={"mine": mine(items), "ctr": {i: 1.0 for i in items.ids}})
    with pytest.raises(KeyError, match="mine"):
        ask(Linear(), signals=None)


@pytest.mark.parametrize("users", [1, 3])
@pytest.mark.parametrize(
    "use",
    [
        lambda cat, path: cat.upsert([1], np.ones((1, 2), np.float32)),
        lambda cat, path: cat.remove([]),
        lambda cat, path: cat.get([1]),
        lambda cat, path: len(cat),
        lambda cat, path: cat.save(path / "catalog"),
        lambda cat, path: pc.rank(cat, None, pc.Policy(), 1),
    ],
)
def test_a_model_may_use_and_change_the_catalog_it_is_asked_for(use: Any, users: int, tmp_path: Any) -> None:
    cat, other = (pc.Catalog({"a": pc.Space(2)}) for _ in range(2))
    for one in (cat, other):
        one.upsert(range(5), np.arange(10, dtype=np.float32).reshape(5, 2), {"pop": range(5)})
    policy = pc.Policy(score=pc.Blend(similarity=1.0, m=pc.Model(["pop"])))
    batch = np.ones((users, 2), np.float32)

    def ask(used: pc.Catalog) -> Any:
        def model(x: np.ndarray) -> np.ndarray:
            use(used, tmp_path)
            return x[:, 0]

        return pc.rank(cat, batch, policy, 2, models={"m": model}, num_threads=2, seed=3)

    before = cat.generation
    first = ask(other)
    # What the model does to the catalog is not seen by the ranking that asked it.
    again = ask(cat)
    slates = (first, again) if isinstance(first, pc.Slate) else (first[0], again[0])
    assert slates[0].ids.tolist() == slates[1].ids.tolist()
    assert slates[1].record()["generation"] == before


@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_model_raises_surfaces_as_it_is(threads: int) -> None:
    class OwnError(Exception):
        pass

    raised = OwnError("of the model")

    def broken(x: np.ndarray) -> np.ndarray:
        raise raised from ZeroDivisionError("first")

    with pytest.raises(OwnError) as caught:
        ask(broken)
    assert caught.value is raised and isinstance(raised.__cause__, ZeroDivisionError)
    cat, items, vectors = world(0)
    batch = {name: np.stack([v, v]) for name, v in vectors.items()}
    with pytest.raises(OwnError):
        pc.rank(
            cat,
            batch,
            policy(),
            k=5,
            signals={"mine": mine(items)},
            models={"ctr": broken},
            num_threads=threads,
        )


@pytest.mark.parametrize("how", ["feature_names_in_", "feature_name", "feature_names"])
def test_stated_feature_names_must_be_the_policys(how: str) -> None:
    def model(names: list[str] | None) -> Any:
        stated: Any = (lambda: names) if how == "feature_name" else names
        return SimpleNamespace(**{how: stated, "predict": Linear().predict})

    for fine in (FEATURES, None, [f"Column_{i}" for i in range(5)]):
        np.testing.assert_array_equal(ask(model(fine), seed=1).scores, ask(Linear(), seed=1).scores)
    swapped = [FEATURES[0], FEATURES[2], FEATURES[1], *FEATURES[3:]]
    with pytest.raises(ValueError, match=r"models\['ctr'\]: expected feature 1 to be 'pop'.*says 'mine'"):
        ask(model(swapped))
    with pytest.raises(ValueError, match="states 4"):
        ask(model(FEATURES[:4]))


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: pc.Model("price"), TypeError, "features"),
        (lambda: pc.Model([]), ValueError, "features"),
        (lambda: pc.Model({"a", "b"}), TypeError, "features: expected a list of names, got set"),
        (lambda: pc.Model({"a": 1.0}), TypeError, "features: expected a list of names, got dict"),
        (lambda: pc.Model(["a", "a"]), ValueError, "features: expected each name once"),
        (lambda: pc.Model(["a"], weight=float("nan")), ValueError, "weight"),
        (lambda: pc.Policy(score=pc.Blend(m=pc.Model(["n"]), n=pc.Model(["a"]))), ValueError, "m.features"),
        (lambda: pc.Policy(score=pc.Blend(m=pc.Model(["m"]))), ValueError, "m.features"),
        (lambda: pc.RRF(-1), ValueError, "RRF.k"),
        (lambda: pc.RRF(float("inf")), ValueError, "RRF.k"),
    ],
)
def test_a_wrong_part_is_refused(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


def test_parts_round_trip() -> None:
    model = pc.Model(["a", "b"], 2.0, pc.RRF(10), version="7")
    assert pc.Model.from_json(model.to_json()) == model
    made = pc.Policy(score=pc.Blend(ctr=model, other=pc.Model(["c"])))
    again = pc.Policy.from_json(made.to_json())
    assert again == made and again.hash == made.hash
    assert eval(repr(made.score), {**vars(pc)}) == made.score
    assert "version" not in json.loads(pc.Model(["c"]).to_json())


# --- reciprocal ranks ------------------------------------------------------------------------------


@given(
    values=st.lists(st.integers(-5, 5) | st.none(), min_size=1, max_size=30),
    k=st.sampled_from([0.0, 1.0, 60.0, 0.5]),
    weight=st.sampled_from([1.0, -2.0, 0.25]),
)
def test_reciprocal_ranks_are_those_of_numpy(values: list[int | None], k: float, weight: float) -> None:
    ids = np.arange(len(values))
    candidates = (
        pc.Candidates(ids, np.ones((len(values), 1)), attributes={"v": [*values]})
        if any(v is not None for v in values)
        else pc.Candidates(ids, np.ones((len(values), 1)), attributes={"v": np.zeros(len(values))})
    )
    present = [0 if all(w is None for w in values) else v for v in values]
    made = pc.Policy(candidates=100, score=pc.Blend(None, v=pc.Signal(weight, pc.RRF(k))))
    slate = pc.rank(candidates, None, made, k=len(values))
    expected = {}
    for i, v in enumerate(present):
        rank = 1 + sum(w is not None and v is not None and w > v for w in present)
        expected[i] = 0.0 if v is None else weight * (1.0 / (k + rank))
    assert slate.scores.tolist() == [expected[i] for i in slate.ids.tolist()]
    assert slate.scores.tolist() == sorted(expected.values(), reverse=True)


# --- other libraries -------------------------------------------------------------------------------


class Session:
    """The interface of an onnxruntime.InferenceSession, as far as it is used."""

    def __init__(self, shape: str, outputs: tuple[tuple[str, str], ...] = (("y", "tensor(float)"),)) -> None:
        self.shape, self.outputs = shape, outputs

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="x", type="tensor(float)")]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name=name, type=kind) for name, kind in self.outputs]

    def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert names == [self.outputs[-1][0]] and list(feed) == ["x"]
        y = Linear().predict(feed["x"])
        return [
            {"n": y, "n1": y[:, None], "n2": np.stack([-y, y], 1), "n3": np.stack([y] * 3, 1)}[self.shape]
        ]


@pytest.mark.parametrize("shape", ["n", "n1", "n2"])
def test_an_onnx_session_answers_in_each_shape(shape: str) -> None:
    labels = (("label", "tensor(int64)"), ("p", "tensor(float)"))
    for session in (Session(shape), Session(shape, labels)):
        slate = ask(pc.OnnxModel(session, features=FEATURES), seed=1)
        assert slate.scores.tolist() == ask(Linear(), seed=1).scores.tolist()


def test_an_onnx_model_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"output 'y'"):
        ask(pc.OnnxModel(Session("n3")))
    with pytest.raises(ValueError, match=r"input: expected one of \['x'\]"):
        pc.OnnxModel(Session("n"), input="z")
    with pytest.raises(ValueError, match=r"output: expected one of \['y'\]"):
        pc.OnnxModel(Session("n"), output="z")
    with pytest.raises(ValueError, match="output"):
        pc.OnnxModel(Session("n", (("y", "tensor(int64)"),)))
    with pytest.raises(TypeError, match="session"):
        pc.OnnxModel(3)
    with pytest.raises(ValueError, match="feature 0"):
        ask(pc.OnnxModel(Session("n"), features=["z", *FEATURES[1:]]))


def test_an_estimator_of_scikit_learn_as_it_is() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 5))
    estimator = ensemble.HistGradientBoostingRegressor(max_iter=5).fit(x, x[:, 0] - x[:, 1])
    slate = ask(estimator, seed=1)
    assert slate.scores.tolist() == ask(estimator.predict, seed=1).scores.tolist()


def test_a_booster_of_lightgbm_as_it_is() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    x = np.random.default_rng(0).standard_normal((200, 5))
    for names in ("auto", FEATURES):
        data = lightgbm.Dataset(x, x[:, 0] - x[:, 1], feature_name=names)
        booster = lightgbm.train({"verbose": -1, "num_threads": 1}, data, 5)
        slate = ask(booster, seed=1)
        assert slate.scores.tolist() == ask(booster.predict, seed=1).scores.tolist()
