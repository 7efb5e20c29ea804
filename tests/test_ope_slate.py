"""Off-policy evaluation of slates: every slate of a small world, so expectations are sums and not
simulations.

An estimator without self-normalisation is a mean over rows, and row i adds `influence[i] + value`. Its
expectation under the logging policy is therefore the sum of what each possible slate adds, times that slate's
probability.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perso_core import ope

ITEMS, K = 5, 3
SLATES = list(itertools.permutations(range(ITEMS), K))
OWN = np.arange(K)


class Policy:
    """Draws without replacement; what a slot prefers depends on the slots above."""

    def __init__(self, rng):
        self.weights = np.exp(rng.standard_normal(ITEMS))
        self.bend = np.exp(0.8 * rng.standard_normal((ITEMS, ITEMS)))

    def given_above(self, slate):
        out = []
        for k, item in enumerate(slate):
            left = [i for i in range(ITEMS) if i not in slate[:k]]
            appeal = {i: self.weights[i] * math.prod(self.bend[j, i] for j in slate[:k]) for i in left}
            out.append(appeal[item] / sum(appeal.values()))
        return out

    @property
    def table(self):
        return np.array([self.given_above(slate) for slate in SLATES])

    def marginals(self):
        """(slates, K, K): the item of slot k at position j."""
        at = np.zeros((ITEMS, K))
        for slate, p in zip(SLATES, self.table.prod(axis=1), strict=True):
            for j, item in enumerate(slate):
                at[item, j] += p
        return at[np.array(SLATES)]


def rewards(rng, kind):
    """(slates, K) mean rewards under an assumption."""
    own = rng.random((ITEMS, K))
    pairs = rng.random((ITEMS, ITEMS))
    looked = np.array([1.0, 0.6, 0.3])
    out = np.zeros((len(SLATES), K))
    for row, slate in enumerate(SLATES):
        for k, item in enumerate(slate):
            if kind == "pbm":
                out[row, k] = looked[k] * own[item, 0]
            else:
                out[row, k] = own[item, k]
            if kind in ("cascade", "any"):
                out[row, k] += sum(pairs[other, item] for other in slate[:k])
            if kind == "any":
                out[row, k] += sum(2 * pairs[item, other] for other in slate[k + 1 :])
    return out


def both(seed, kind):
    rng = np.random.default_rng(seed)
    logging, target = Policy(rng), Policy(rng)
    mean = rewards(rng, kind)
    model = {name: rng.random((len(SLATES), K)) for name in ("predicted", "expected")}
    log = ope.SlateLog(
        mean,
        logging.table,
        target.table,
        logged_marginals=logging.marginals(),
        target_marginals=target.marginals(),
        **model,
    )
    return rng, logging, target, mean, log


def expectation(estimate, logging):
    return float(((estimate.influence + estimate.value) * logging.table.prod(axis=1)).sum())


LOOKED = [1.0, 0.6, 0.3]
ESTIMATORS = {
    "slate": lambda log: ope.slate_ips(log),
    "rips": lambda log: ope.rips(log),
    "iips": lambda log: ope.iips(log),
    "pbm": lambda log: ope.pbm(log, LOOKED),
}
# Which estimator is unbiased under which assumption.
HOLDS = {
    "any": {"slate"},
    "cascade": {"slate", "rips"},
    "own": {"slate", "rips", "iips"},
    "pbm": {"slate", "rips", "iips", "pbm"},
}


@pytest.mark.parametrize("kind", HOLDS)
@pytest.mark.parametrize("seed", range(5))
def test_expectations_are_exact_where_the_assumption_holds(kind, seed):
    _, logging, target, mean, log = both(seed, kind)
    value = float((mean.sum(axis=1) * target.table.prod(axis=1)).sum())
    for name, of in ESTIMATORS.items():
        found = expectation(of(log), logging)
        if name in HOLDS[kind]:
            assert found == pytest.approx(value, rel=1e-12), name
        else:
            # Elsewhere it is not, so the line above can fail.
            assert abs(found - value) > 1e-4, name


@pytest.mark.parametrize("seed", range(3))
def test_discounts_weigh_slots(seed):
    _, logging, target, mean, log = both(seed, "own")
    discount = 1 / np.log2(np.arange(K) + 2)
    value = float(((mean * discount).sum(axis=1) * target.table.prod(axis=1)).sum())
    for of in (ope.slate_ips, ope.rips, ope.iips):
        assert expectation(of(log, discount=discount), logging) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_cascade_dr_is_unbiased_with_any_model(seed):
    """`expected` has to be the expectation of `predicted` over the evaluated policy's choice; `predicted` may
    be anything.
    """
    rng, logging, target, mean, log = both(seed, "cascade")
    table = target.table
    predicted = rng.random((ITEMS, ITEMS, ITEMS, K))

    def of(prefix):
        padded = (*prefix, *[0] * (ITEMS - len(prefix)))[:3]
        return predicted[padded][len(prefix) - 1]

    log.predicted = np.array([[of(slate[: k + 1]) for k in range(K)] for slate in SLATES])
    log.expected = np.zeros_like(log.predicted)
    for row, slate in enumerate(SLATES):
        for k in range(K):
            for item in set(range(ITEMS)) - set(slate[:k]):
                chance = target.given_above((*slate[:k], item))[k]
                log.expected[row, k] += chance * of((*slate[:k], item))
    value = float((mean.sum(axis=1) * table.prod(axis=1)).sum())
    assert expectation(ope.cascade_dr(log), logging) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_a_true_model_leaves_cascade_dr_no_variance_below_the_first_slot(seed):
    _, _, target, mean, log = both(seed, "cascade")
    index = {slate: row for row, slate in enumerate(SLATES)}

    def to_come(prefix):
        """The rewards from the last item of a prefix on, under the evaluated policy."""
        k = len(prefix) - 1
        now = next(mean[index[slate], k] for slate in SLATES if slate[: k + 1] == prefix)
        if k == K - 1:
            return now
        return now + expected(prefix)

    def expected(prefix):
        k = len(prefix)
        left = set(range(ITEMS)) - set(prefix)
        return sum(target.given_above((*prefix, i))[k] * to_come((*prefix, i)) for i in left)

    log.predicted = np.array([[to_come(slate[: k + 1]) for k in range(K)] for slate in SLATES])
    log.expected = np.array([[expected(slate[:k]) for k in range(K)] for slate in SLATES])
    found = ope.cascade_dr(log)
    # w_k (r_k - q_k) + w_k v_{k+1} = w_k (r_k + v_{k+1} - q_k) = 0, and v_0 is the value.
    value = float((mean.sum(axis=1) * target.table.prod(axis=1)).sum())
    assert found.value == pytest.approx(value) and found.standard_error < 1e-12


# --- against plain Python --------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 5), st.none() | st.floats(0.2, 3))
def test_estimates_are_those_of_plain_python(seed, n, k, clip):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, k + 1, n)
    lengths[0] = k
    reward, logged, target = rng.random((n, k)), rng.uniform(0.1, 1, (n, k)), rng.random((n, k))
    reward[np.arange(k) >= lengths[:, None]] = 0
    before, after = rng.uniform(0.1, 1, (n, k)), rng.random((n, k))
    log = ope.SlateLog(
        reward, logged, target, lengths=lengths, logged_marginals=before, target_marginals=after
    )

    def cut(w):
        return w if clip is None else min(w, clip)

    weights = {"slate": [], "rips": [], "iips": []}
    for i in range(n):
        ratios = [target[i, j] / logged[i, j] if j < lengths[i] else 1.0 for j in range(k)]
        weights["slate"].append([cut(math.prod(ratios))] * k)
        weights["rips"].append([cut(math.prod(ratios[: j + 1])) for j in range(k)])
        own = [after[i, j] / before[i, j] if j < lengths[i] else 1.0 for j in range(k)]
        weights["iips"].append([cut(w) for w in own])
    for name, of in (("slate", ope.slate_ips), ("rips", ope.rips), ("iips", ope.iips)):
        w = weights[name]
        plain = math.fsum(w[i][j] * reward[i, j] for i in range(n) for j in range(k)) / n
        assert of(log, clip=clip).value == pytest.approx(plain, rel=1e-10)
        tops = [math.fsum(w[i][j] * reward[i, j] for i in range(n)) for j in range(k)]
        bottoms = [math.fsum(w[i][j] for i in range(n)) for j in range(k)]
        found = of(log, clip=clip, self_normalized=True)
        assert found.value == pytest.approx(
            math.fsum(t / b for t, b in zip(tops, bottoms, strict=True)), rel=1e-10
        )
        ess = min(b * b / math.fsum(w[i][j] ** 2 for i in range(n)) for j, b in enumerate(bottoms))
        assert found.ess == pytest.approx(ess) and found.max_weight == max(map(max, w))


@given(st.integers(0, 10**6))
def test_slates_of_one_slot_are_choices(seed):
    rng = np.random.default_rng(seed)
    reward, logged, target = rng.random(20), rng.uniform(0.1, 1, 20), rng.random(20)
    one = ope.BanditLog(reward, logged, target)
    many = ope.SlateLog(
        reward[:, None],
        logged[:, None],
        target[:, None],
        logged_marginals=logged[:, None],
        target_marginals=target[:, None],
    )
    for of in (ope.slate_ips, ope.rips, ope.iips):
        for normal, single in ((False, ope.ips(one)), (True, ope.snips(one))):
            found = of(many, self_normalized=normal)
            assert found.value == pytest.approx(single.value, rel=1e-12)
            assert found.standard_error == pytest.approx(single.standard_error, rel=1e-9)
            assert (found.ess, found.mean_weight) == pytest.approx((single.ess, single.mean_weight))


# --- drawn logs ------------------------------------------------------------------------------------


def test_intervals_of_drawn_logs_cover():
    """300 logs of 400 slates each. 95% of them within 5 standard errors (19) is 6e-7; skew is allowed 2%."""
    rng, logging, target, mean, _ = both(3, "cascade")
    # Closer to each other, so that 400 slates are enough for the normal interval.
    near = 0.5 * logging.table + 0.5 * target.table
    value = float((mean.sum(axis=1) * near.prod(axis=1)).sum())
    chances = logging.table.prod(axis=1)
    covered = {False: 0, True: 0}
    for _ in range(300):
        rows = rng.choice(len(SLATES), 400, p=chances)
        noise = rng.standard_normal((400, K))
        drawn = ope.SlateLog(mean[rows] + noise, logging.table[rows], near[rows])
        for normal in covered:
            one = ope.rips(drawn, self_normalized=normal)
            covered[normal] += one.low <= value <= one.high
    for normal, count in covered.items():
        assert 0.93 * 300 - 19 <= count <= 0.95 * 300 + 15, (normal, count)


def test_warnings_of_slates():
    _, _, _, mean, log = both(1, "own")
    rng = np.random.default_rng(2)
    rows = rng.integers(0, len(SLATES), 500)
    never = np.full((500, K), 0.2)
    found = ope.slate_ips(ope.SlateLog(mean[rows], np.full((500, K), 0.5), never))
    assert any("mean weight is 0.064" in text for text in found.warnings)
    zero = np.full((500, K), 0.5)
    zero[:3, 1] = 0
    found = ope.rips(ope.SlateLog(mean[rows], zero, np.full((500, K), 0.5)))
    assert any("3 logged choices have propensity 0" in text for text in found.warnings)
    same = ope.SlateLog(mean[rows], log.logged[rows], log.logged[rows])
    assert all(one.warnings == () for one in ope.evaluate(same))


# --- marginals of epsilon-greedy -------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("pool", "slots"), [(5, 3), (4, 4), (1, 1), (6, 2)])
def test_marginals_are_those_of_every_slate(epsilon, pool, slots):
    at = np.zeros((pool, slots))
    for slate in itertools.permutations(range(pool), slots):
        chance = 1.0
        for k, item in enumerate(slate):
            left = [i for i in range(pool) if i not in slate[:k]]
            chance *= (1 - epsilon) * (item == left[0]) + epsilon / len(left)
        for k, item in enumerate(slate):
            at[item, k] += chance
    found = ope.epsilon_greedy_marginals([*range(pool), -1], pool, slots, epsilon)
    assert np.allclose(found[:-1], at, rtol=1e-12, atol=1e-15) and not found[-1].any()
    some = ope.epsilon_greedy_marginals([pool - 1, 0], pool, slots, epsilon)
    assert np.allclose(some, at[[pool - 1, 0]], rtol=1e-12, atol=1e-15)


# --- forms -----------------------------------------------------------------------------------------


def test_a_slate_log_from_arrow():
    pa = pytest.importorskip("pyarrow")
    rng = np.random.default_rng(5)
    lengths = [3, 1, 2]
    names = [f"r{i}" for i, n in enumerate(lengths) for _ in range(n)]
    places = [j for n in lengths for j in range(n)]
    columns = {name: rng.uniform(0.1, 1, 6) for name in ("reward", "propensity", "target")}
    user = ["a", "a", "a", "b", "a", "a"]
    table = pa.table({"request_id": names, "position": places, "user": user, **columns})
    shuffled = table.take(pa.array(rng.permutation(6)))
    for one in (table, shuffled):
        log = ope.SlateLog.from_arrow(one, clusters="user")
        row = {name: i for i, name in enumerate(log.request_ids)}
        assert log.lengths[[row["r0"], row["r1"], row["r2"]]].tolist() == lengths
        for i in range(6):
            assert log.rewards[row[names[i]], places[i]] == columns["reward"][i]
            assert log.target[row[names[i]], places[i]] == columns["target"][i]
        assert ope.rips(log).clusters == 2 and len(log) == 3 and log.k == 3
    with pytest.raises(ValueError, match=r"table\['position'\]: expected positions from 0 without gaps"):
        ope.SlateLog.from_arrow(table.set_column(1, "position", pa.array([1, 2, 3, 0, 0, 1])))
    with pytest.raises(ValueError, match=r"table\['position'\]: expected each position once a slate"):
        ope.SlateLog.from_arrow(table.set_column(1, "position", pa.array([0, 1, 1, 0, 0, 1])))
    with pytest.raises(ValueError, match=r"table\['user'\]: expected one value a slate"):
        ope.SlateLog.from_arrow(table.set_column(2, "user", pa.array(list("abcdef"))), clusters="user")
    found = ope.evaluate(log).to_arrow()
    assert found.column("estimator").to_pylist() == [
        "mean reward", "slate ips", "sn slate ips", "rips", "sn rips"
    ]  # fmt: skip


R = np.full((2, 3), 0.5)
WRONG = {
    "one dimension": (lambda: ope.SlateLog([0.5], R, R), ValueError, "rewards:", "2 dimensions", "(1,)"),
    "empty": (lambda: ope.SlateLog(np.empty((0, 3)), R, R), ValueError, "rewards:", "at least one slate"),
    "shape": (lambda: ope.SlateLog(R, R[:1], R), ValueError, "logged:", "(2, 3)", "(1, 3)"),
    "probability": (lambda: ope.SlateLog(R, R, R * 3), ValueError, "target:", "from 0 to 1", "1.5"),
    "lengths": (lambda: ope.SlateLog(R, R, R, lengths=[1, 4]), ValueError, "lengths:", "0 to 3"),
    "float lengths": (lambda: ope.SlateLog(R, R, R, lengths=[1.0, 3]), TypeError, "lengths:"),
    "beyond": (lambda: ope.SlateLog(R, R, R, lengths=[1, 3]), ValueError, "rewards:", "0 beyond"),
    "one marginal": (lambda: ope.SlateLog(R, R, R, logged_marginals=R), ValueError, "both marginals"),
    "marginals differ": (
        lambda: ope.SlateLog(R, R, R, logged_marginals=R, target_marginals=np.full((2, 3, 3), 0.1)),
        ValueError,
        "target_marginals:",
    ),
    "request ids": (lambda: ope.SlateLog(R, R, R, request_ids=["a"]), ValueError, "request_ids:", "2"),
    "no marginals": (lambda: ope.iips(ope.SlateLog(R, R, R)), ValueError, "log:", "logged_marginals", "iips"),
    "pbm marginals": (
        lambda: ope.pbm(ope.SlateLog(R, R, R, logged_marginals=R, target_marginals=R), [1, 1, 1]),
        ValueError,
        "log:",
        "(n, slots, slots)",
    ),
    "discount": (
        lambda: ope.rips(ope.SlateLog(R, R, R), discount=[1.0]),
        ValueError,
        "discount:",
        "3 numbers",
    ),
    "no model": (lambda: ope.cascade_dr(ope.SlateLog(R, R, R)), ValueError, "log:", "predicted"),
    "choices": (lambda: ope.rips(ope.BanditLog([1], [1], [1])), TypeError, "log:", "a SlateLog", "BanditLog"),
    "slates": (lambda: ope.ips(ope.SlateLog(R, R, R)), TypeError, "log:", "a BanditLog", "SlateLog"),
    "ranks": (lambda: ope.epsilon_greedy_marginals([5], 5, 1, 0.1), ValueError, "ranks:", "less than", "5"),
    "slots": (lambda: ope.epsilon_greedy_marginals([0], 5, 6, 0.1), ValueError, "slots:", "from 1 to 5"),
    "epsilon": (lambda: ope.epsilon_greedy_marginals([0], 5, 1, 2), ValueError, "epsilon:", "0 to 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls_name_the_argument(case):
    call, kind, *parts = WRONG[case]
    with pytest.raises(kind) as caught:
        call()
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def test_a_log_reads():
    assert repr(ope.SlateLog(R, R, R)) == "SlateLog of 2 slates, 3 slots"
    assert "marginals" in repr(both(1, "own")[4])
