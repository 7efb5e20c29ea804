"""Every kind of exploration from Python: stated laws, draws, estimates, scopes, replay, documents, errors.

Statistical tests reject a right implementation with probability 1e-6 each; their draws are seeded, so one
that passes once passes always.
"""

import itertools
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

import perso_core as pc
from test_explore import ALPHA, chi_square

GAUSSIAN = dict(mean="mean", std="std")
BETA = dict(alpha="clicks", beta="skips")
SCOPES = [{}, {"slots": [0, 2]}, {"only": {"fresh": True}}, {"slots": range(1, 3), "only": {"shelf": "x"}}]
PARTS = [
    *(pc.EpsilonGreedy(0.5, per, **scope) for per in ("slot", "slate") for scope in SCOPES),
    *(pc.Softmax(0.3, **scope) for scope in SCOPES),
    *(pc.PlackettLuce(2, **scope) for scope in SCOPES),
    *(pc.ThompsonSampling(**BETA, draws=64, **scope) for scope in SCOPES),
    pc.ThompsonSampling(**GAUSSIAN, weight=0.5, prior=(0, 1)),
    pc.ThompsonSampling(**BETA, replace=True, prior=(0.5, 2)),
    *(pc.UCB(**GAUSSIAN, c=2, **scope) for scope in SCOPES),
    pc.UCB(**BETA, replace=True),
]


def shop(n, seed=0, order=None):
    rng = np.random.default_rng(seed)
    columns = {
        "quality": rng.random(n),
        "fresh": rng.random(n) < 0.5,
        "shelf": rng.choice(["x", "y", "z"], n),
        "clicks": rng.integers(0, 9, n),
        "skips": rng.integers(1, 9, n),
        "mean": rng.random(n),
        "std": rng.random(n) * 0.5,
    }
    vectors = rng.standard_normal((n, 4)).astype(np.float32)
    order = np.arange(n) if order is None else order
    attributes = {name: values[order].tolist() for name, values in columns.items()}
    return pc.Candidates(order, vectors[order], attributes=attributes), columns


def policy(explore, *, diversity=None, caps=None, normalize="none"):
    score = pc.Blend(None, quality=pc.Signal(1.0, normalize))
    return pc.Policy(score=score, diversity=diversity, caps=caps or {}, explore=explore)


# --- laws ------------------------------------------------------------------------------------------


def softmax(scores, temperature, among):
    top = max(scores[i] for i in among)
    weights = {i: math.exp((scores[i] - top) / temperature) for i in among}
    total = math.fsum(weights.values())
    return {i: w / total for i, w in weights.items()}


@given(n=st.integers(1, 40), seed=st.integers(0, 10**6), temperature=st.sampled_from([1e-3, 0.1, 1.0, 1e6]))
def test_plackett_luce_propensities(n, seed, temperature):
    cat, columns = shop(n, seed)
    slate = pc.rank(cat, None, policy(pc.PlackettLuce(temperature)), k=min(n, 6), seed=seed, request_id="r")
    assert len(slate) == min(n, 6)
    left = list(range(n))
    total = 0.0
    for t, item in enumerate(slate.ids.tolist()):
        law = softmax(columns["quality"], temperature, left)
        assert slate.propensities[t] == pytest.approx(law[item], rel=1e-12)
        assert slate.explored[t] == (item != max(left, key=lambda i: columns["quality"][i]))
        total += math.log(law[item])
        left.remove(item)
    assert slate.log_propensity == pytest.approx(total, rel=1e-12, abs=1e-12)
    assert slate.propensity_kind == "exact" and not slate.propensity_errors.any()


def test_softmax_reads_the_diversified_value():
    cat, columns = shop(12, 4)
    plain = pc.rank(cat, None, policy(pc.Softmax(0.2)), k=1, seed=1, request_id="r")
    ranked = pc.rank(cat, None, policy(pc.PlackettLuce(0.2)), k=1, seed=1, request_id="r")
    assert plain.ids.tolist() == ranked.ids.tolist(), "without diversity the value is the score"
    # Before the first item nothing is alike: the value of MMR(0.5) is half the score from 0 to 1.
    scaled = (columns["quality"] - columns["quality"].min()) / np.ptp(columns["quality"])
    for seed in range(20):
        varied = pc.rank(cat, None, policy(pc.Softmax(0.2), diversity=pc.MMR(0.5)), k=1, seed=seed)
        law = softmax(scaled * 0.5, 0.2, range(12))
        assert varied.propensities[0] == pytest.approx(law[int(varied.ids[0])], rel=1e-12)


@given(epsilon=st.sampled_from([0.0, 0.3, 1.0]), seed=st.integers(0, 10**6))
def test_one_coin_a_slate(epsilon, seed):
    n, k = 7, 4
    cat, columns = shop(n, seed)
    slate = pc.rank(cat, None, policy(pc.EpsilonGreedy(epsilon, per="slate")), k=k, seed=seed)
    best = np.argsort(-columns["quality"], kind="stable")[:k].tolist()
    random = math.prod(1 / (n - t) for t in range(k))
    expected = (1 - epsilon) * (slate.ids.tolist() == best) + epsilon * random
    assert math.exp(slate.log_propensity) == pytest.approx(expected, rel=1e-12)
    assert slate.propensities.prod() == pytest.approx(expected, rel=1e-12)


DRAWS = 8_000


@pytest.mark.parametrize(
    "explore",
    [pc.EpsilonGreedy(0.7, "slate"), pc.Softmax(0.4), pc.PlackettLuce(0.4)],
    ids=lambda e: type(e).__name__,
)
def test_whole_slates_come_as_often_as_stated(explore):
    n, k = 5, 2
    cat, _ = shop(n, 3)
    signals = {"quality": dict(enumerate(np.linspace(0, 1, n).tolist()))}
    counts, stated, how = {}, {}, policy(explore)
    for i in range(DRAWS):
        slate = pc.rank(cat, None, how, k=k, seed=1, request_id=f"{i}", signals=signals)
        shown = tuple(slate.ids.tolist())
        counts[shown] = counts.get(shown, 0) + 1
        p = math.exp(slate.log_propensity)
        assert stated.setdefault(shown, p) == p
    assert set(stated) == set(itertools.permutations(range(n), k))
    assert math.fsum(stated.values()) == pytest.approx(1, abs=1e-12)
    assert chi_square([counts[s] for s in stated], [DRAWS * p for p in stated.values()]) > ALPHA


# --- estimates -------------------------------------------------------------------------------------


def first_law(values, laws, weight=1.0):
    """P(item i comes first), by quadrature over its own sample."""
    out = []
    for i, (v, law) in enumerate(zip(values, laws, strict=True)):
        others = [(u, other) for j, (u, other) in enumerate(zip(values, laws, strict=True)) if j != i]

        def density(s, v=v, law=law, others=others):
            behind = math.prod(float(other.cdf(s + (v - u) / weight)) for u, other in others)
            return float(law.pdf(s)) * behind

        low, high = law.ppf(1e-12), law.ppf(1 - 1e-12)
        out.append(integrate.quad(density, low, high, limit=400, epsabs=1e-10)[0])
    return out


@pytest.mark.parametrize("kind", ["beta", "gaussian", "replaced"])
def test_thompson_draws_and_estimates_follow_the_law(kind):
    n = 5
    cat, c = shop(n, 8)
    values = c["quality"]
    if kind == "gaussian":
        explore = pc.ThompsonSampling(**GAUSSIAN, weight=2.0)
        law = first_law(values, [stats.norm(m, s) for m, s in zip(c["mean"], c["std"])], 2.0)
    else:
        replace = kind == "replaced"
        explore = pc.ThompsonSampling(**BETA, replace=replace)
        posteriors = [stats.beta(1 + a, 1 + b) for a, b in zip(c["clicks"], c["skips"])]
        law = first_law(np.zeros(n) if replace else values, posteriors)
    assert math.fsum(law) == pytest.approx(1, abs=1e-6)
    counts, errors, how = np.zeros(n), [], policy(explore)
    for i in range(4000):
        slate = pc.rank(cat, None, how, k=1, seed=2, request_id=f"{i}")
        item = int(slate.ids[0])
        counts[item] += 1
        assert slate.propensity_kind == "monte_carlo" and slate.propensity_draws.tolist() == [explore.draws]
        # A Student's t of 7 degrees of freedom is beyond 20 once in 3 million; quadrature is good to 1e-9.
        error = slate.propensities[0] - law[item]
        assert abs(error) < 20 * slate.propensity_errors[0] + 1e-8 and abs(error) < 0.1 * law[item]
        errors.append((item, error))
    # Unbiased: the mean error of an item over its requests is within 5.5 of its own standard errors.
    for i in range(5):
        own = np.array([error for item, error in errors if item == i])
        if len(own) > 50:
            assert abs(own.mean()) < 5.5 * own.std() / math.sqrt(len(own)) + 1e-8
    # The rarest cells are joined until the approximation holds.
    cells = sorted(zip(law, counts, strict=True))
    while cells[0][0] * 4000 < 10:
        (p, m), (q, n), *rest = cells
        cells = sorted([(p + q, m + n), *rest])
    expected = np.array([p for p, _ in cells]) / math.fsum(law)
    assert chi_square([n for _, n in cells], 4000 * expected) > ALPHA


def test_ucb_is_certain():
    cat, c = shop(20, 5)
    bound = c["quality"] + 0.5 * (c["mean"] + 2 * c["std"])
    slate = pc.rank(cat, None, policy(pc.UCB(**GAUSSIAN, c=2, weight=0.5)), k=6)
    assert slate.ids.tolist() == np.argsort(-bound)[:6].tolist()
    assert (slate.propensities == 1).all() and (slate.support == 1).all()
    assert slate.support_warning is not None and slate.log_propensity == 0


def test_support_is_told():
    cat, _ = shop(9, 6)
    greedy = pc.rank(cat, None, policy(None), k=3)
    assert greedy.support.tolist() == [1, 1, 1] and "3 of 3 slots" in greedy.support_warning
    full = pc.rank(cat, None, policy(pc.PlackettLuce(1.0)), k=3)
    assert full.support.tolist() == full.eligible_counts.tolist() and full.support_warning is None
    some = pc.rank(cat, None, policy(pc.EpsilonGreedy(0.5, slots=[1])), k=3)
    assert some.support.tolist() == [1, 8, 1] and "2 of 3 slots" in some.support_warning


# --- properties ------------------------------------------------------------------------------------


@settings(max_examples=120)
@given(
    explore=st.sampled_from(PARTS),
    n=st.integers(1, 30),
    seed=st.integers(0, 10**6),
    diversity=st.sampled_from([None, pc.MMR(0.5)]),
    caps=st.sampled_from([None, {"shelf": 2}]),
)
def test_what_every_kind_keeps_to(explore, n, seed, diversity, caps):
    if getattr(explore, "replace", False):
        diversity = None
    cat, c = shop(n, seed)
    how = policy(explore, diversity=diversity, caps=caps)
    arguments = dict(k=6, seed=seed, request_id="r", at=0)
    slate = pc.rank(cat, None, how, **arguments)
    shelves = c["shelf"][slate.ids.astype(int)].tolist()
    if caps is None:
        assert len(slate) == min(6, n)
    else:
        assert all(shelves.count(s) <= 2 for s in shelves)
        assert len(slate) == min(6, sum(min(2, (c["shelf"] == s).sum()) for s in "xyz"))
    assert len(set(slate.ids.tolist())) == len(slate)
    assert ((slate.propensities > 0) & (slate.propensities <= 1)).all()
    assert ((slate.support >= 1) & (slate.support <= slate.eligible_counts)).all()
    assert slate.log_propensity == pytest.approx(float(np.log(slate.propensities).sum()), abs=1e-9)
    for t in range(len(slate)):
        outside = explore.slots is not None and t not in explore.slots
        closed = explore.only is not None and not all(
            c[name][int(slate.ids[t])] == value for name, value in explore.only.items()
        )
        if outside or closed:
            assert not slate.explored[t]
        if outside:
            assert slate.propensities[t] == 1 and slate.support[t] == 1
    shuffled = shop(n, seed, np.random.default_rng(seed).permutation(n))[0]
    assert pc.rank(shuffled, None, how, **arguments) == slate
    record = slate.record()
    again = pc.replay(json.dumps(record), shuffled)
    assert again == slate and again.record() == record
    assert again.propensity_errors.tolist() == slate.propensity_errors.tolist()


def test_a_record_says_what_is_estimated():
    cat, _ = shop(12, 1)
    slate = pc.rank(cat, None, policy(pc.ThompsonSampling(**BETA, slots=[1])), k=3)
    choices = slate.record()["choices"]
    assert [c.get("propensity_kind", "exact") for c in choices] == ["exact", "monte_carlo", "exact"]
    assert choices[1]["draws"] == 256 and choices[1]["standard_error"] == slate.propensity_errors[1]
    assert [c["support"] for c in choices] == slate.support.tolist()


def test_posteriors_may_come_as_signals():
    cat, _ = shop(12, 1)
    explore = pc.ThompsonSampling(alpha="wins", beta="skips")
    slate = pc.rank(cat, None, policy(explore), k=4, signals={"wins": {3: 500.0}}, seed=0)
    assert slate.ids[0] == 3 or slate.propensities[0] < 0.5
    assert pc.replay(slate.record(), cat) == slate
    with pytest.raises(KeyError, match="wins"):
        pc.rank(cat, None, policy(explore), k=4)
    with pytest.raises(ValueError, match=r"alpha \(\"wins\"\): expected counts .* got -1 for item 3"):
        pc.rank(cat, None, policy(explore), k=4, signals={"wins": {3: -1.0}})
    gaussian = pc.ThompsonSampling(mean="guess", std="std")
    with pytest.raises(ValueError, match=r"mean \(\"guess\"\): expected a number for every candidate"):
        pc.rank(cat, None, policy(gaussian), k=4, signals={"guess": {3: 0.5}})


# --- documents -------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS, ids=repr)
def test_parts_round_trip(part):
    for again in (
        type(part).from_json(part.to_json()),
        pickle.loads(pickle.dumps(part)),
        eval(repr(part), vars(pc)),
    ):
        assert again == part and repr(again) == repr(part) and hash(again) == hash(part)
    how = policy(part)
    again = pc.Policy.from_json(how.to_json())
    assert again == how and again.hash == how.hash and again.explore == part
    assert eval(repr(how), vars(pc)) == how


def test_old_documents_keep_their_hash():
    part = pc.EpsilonGreedy(0.1)
    assert (
        part.to_json() == '{"epsilon":0.1,"kind":"epsilon_greedy"}'
        and repr(part) == "EpsilonGreedy(epsilon=0.1)"
    )
    assert part == pc.EpsilonGreedy(0.1, "slot") != pc.EpsilonGreedy(0.1, "slate")
    spelt = json.loads(policy(part).to_json())
    spelt["explore"]["per"] = "slot"
    assert pc.Policy.from_json(json.dumps(spelt)).hash == policy(part).hash
    assert pc.EpsilonGreedy(0.1, slots=[2, 1]) == pc.EpsilonGreedy(0.1, slots=(1, 2))


@pytest.mark.parametrize(
    ("make", "error", "argument"),
    [
        (lambda: pc.EpsilonGreedy(1.5), ValueError, "epsilon"),
        (lambda: pc.EpsilonGreedy(0.1, per="request"), ValueError, "per"),
        (lambda: pc.EpsilonGreedy(0.1, per=1), TypeError, "per"),
        (lambda: pc.EpsilonGreedy(0.1, slots=[]), ValueError, "slots"),
        (lambda: pc.EpsilonGreedy(0.1, slots=[1, 1]), ValueError, "slots"),
        (lambda: pc.EpsilonGreedy(0.1, slots=[-1]), ValueError, "slots"),
        (lambda: pc.EpsilonGreedy(0.1, slots=[1.5]), TypeError, "slots"),
        (lambda: pc.EpsilonGreedy(0.1, slots=3), TypeError, "slots"),
        (lambda: pc.EpsilonGreedy(0.1, only={}), ValueError, "only"),
        (lambda: pc.EpsilonGreedy(0.1, only=["fresh"]), TypeError, "only"),
        (lambda: pc.EpsilonGreedy(0.1, only={"fresh": 0.5}), TypeError, "only['fresh']"),
        (lambda: pc.Softmax(0), ValueError, "temperature"),
        (lambda: pc.Softmax(-1), ValueError, "temperature"),
        (lambda: pc.Softmax(float("inf")), ValueError, "temperature"),
        (lambda: pc.PlackettLuce("1"), TypeError, "temperature"),
        (lambda: pc.ThompsonSampling(), ValueError, "posterior"),
        (lambda: pc.ThompsonSampling(alpha="a"), ValueError, "posterior"),
        (lambda: pc.ThompsonSampling(alpha="a", std="s"), ValueError, "posterior"),
        (lambda: pc.ThompsonSampling(alpha="", beta="b"), ValueError, "alpha"),
        (lambda: pc.ThompsonSampling(**BETA, prior=(0, 1)), ValueError, "prior"),
        (lambda: pc.ThompsonSampling(**BETA, prior=(1,)), ValueError, "prior"),
        (lambda: pc.ThompsonSampling(**GAUSSIAN, prior=(0, -1)), ValueError, "prior"),
        (lambda: pc.ThompsonSampling(**BETA, weight=0), ValueError, "weight"),
        (lambda: pc.ThompsonSampling(**BETA, draws=1), ValueError, "draws"),
        (lambda: pc.ThompsonSampling(**BETA, draws=65), ValueError, "draws"),
        (lambda: pc.ThompsonSampling(**BETA, replace=1), TypeError, "replace"),
        (lambda: policy(pc.UCB(**BETA, replace=True), diversity=pc.MMR(0.5)), ValueError, "replace"),
        (lambda: policy(pc.UCB(alpha="a", beta="a")), ValueError, "beta"),
        (lambda: pc.UCB(**BETA, c=-1), ValueError, "c"),
    ],
)
def test_a_wrong_part_is_refused_by_name(make, error, argument):
    with pytest.raises(error) as caught:
        make()
    message = str(caught.value)
    assert message.startswith(argument + ":") and "expected" in message and "got" in message


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0},
        {"temperature": "1"},
        {"kind": "boltzmann"},
        {"surprise": 1},
        {"scope": {"slots": [2, 1], "only": None}},
        {"scope": {"slots": [], "only": None}},
        {"scope": {"slots": None, "only": {}}},
        {"scope": {"slots": None, "only": {"a": 0.5}}},
        {"scope": 3},
    ],
)
def test_a_changed_document_is_refused(change):
    document = json.loads(policy(pc.Softmax(1)).to_json())
    document["explore"].update(change)
    with pytest.raises(ValueError, match="expected"):
        pc.Policy.from_json(json.dumps(document))


def test_a_scope_fits_its_attributes():
    cat, _ = shop(9)
    for only, error, message in [
        ({"nothing": True}, KeyError, "nothing"),
        ({"fresh": "yes"}, TypeError, "only"),
        ({"quality": 1}, TypeError, "only"),
        ({"shelf": True}, TypeError, "only"),
    ]:
        with pytest.raises(error, match=message):
            pc.rank(cat, None, policy(pc.Softmax(1, only=only)), k=2)
