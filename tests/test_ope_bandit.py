"""Off-policy evaluation of single choices: against loops in plain Python, and against simulations of known
value.

Simulations are seeded, so one that passes once passes always. Each states how often a right implementation
would fail with another seed: 5 standard errors are 6e-7 two-sided.
"""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perso_core as pc
from perso_core import ope


def world(seed, n, m=5, contexts=4):
    """A log of a softmax policy over m actions, another policy, mean rewards, and the other's true value."""
    rng = np.random.default_rng(seed)
    means = rng.random((contexts, m))
    logging, target = (law(rng, contexts, m) for _ in range(2))
    x = rng.integers(0, contexts, n)
    actions = np.array([rng.choice(m, p=logging[c]) for c in x])
    rewards = (rng.random(n) < means[x, actions]).astype(float)
    value = float((target * means).sum(axis=1).mean())
    return rewards, actions, logging[x], target[x], means[x], value


def law(rng, contexts, m):
    # So that weights stay below 10: heavier tails need more rows than a test can have.
    weights = np.exp(0.6 * rng.standard_normal((contexts, m)))
    return weights / weights.sum(axis=1, keepdims=True)


# --- against plain Python --------------------------------------------------------------------------


def plain(rewards, logged, target, predicted, expected, clip=None):
    """All estimators and the standard errors of the plain means, one row after the other."""
    n = len(rewards)
    w = [t / p if p > 0 else 0.0 for p, t in zip(logged, target, strict=True)]
    if clip is not None:
        w = [min(one, clip) for one in w]
    terms = [a * r for a, r in zip(w, rewards, strict=True)]
    doubly = [v + a * (r - q) for v, a, r, q in zip(expected, w, rewards, predicted, strict=True)]
    rest = math.fsum(a * (r - q) for a, r, q in zip(w, rewards, predicted, strict=True))
    out = {
        "ips": (math.fsum(terms) / n, statistics.stdev(terms) / math.sqrt(n)),
        "dm": (math.fsum(expected) / n, statistics.stdev(expected) / math.sqrt(n)),
        "dr": (math.fsum(doubly) / n, statistics.stdev(doubly) / math.sqrt(n)),
    }
    if sum(w) > 0:
        value = math.fsum(terms) / math.fsum(w)
        squares = math.fsum((a * (r - value)) ** 2 for a, r in zip(w, rewards, strict=True))
        out["snips"] = (value, math.sqrt(squares * n / (n - 1)) / math.fsum(w))
        out["sndr"] = (math.fsum(expected) / n + rest / math.fsum(w), None)
    return out, w


NUMBERS = st.floats(-10, 10)
ROW = st.tuples(NUMBERS, st.floats(0.01, 1), st.floats(0, 1), NUMBERS, NUMBERS)


@given(rows=st.lists(ROW, min_size=2, max_size=30), clip=st.none() | st.floats(0.1, 5))
def test_estimates_are_those_of_plain_python(rows, clip):
    rewards, logged, target, predicted, expected = (list(one) for one in zip(*rows, strict=True))
    log = ope.BanditLog(rewards, logged, target, predicted=predicted, expected=expected)
    expected_values, w = plain(rewards, logged, target, predicted, expected, clip)
    found = {
        "ips": ope.ips(log, clip=clip),
        "snips": ope.snips(log, clip=clip),
        "dr": ope.dr(log, clip=clip),
        "sndr": ope.dr(log, clip=clip, self_normalized=True),
        "dm": ope.dm(log),
    }
    for name, (value, error) in expected_values.items():
        assert found[name].value == pytest.approx(value, rel=1e-9, abs=1e-9), name
        if error is not None:
            assert found[name].standard_error == pytest.approx(error, rel=1e-6, abs=1e-7), name
            half = 1.959963984540054 * found[name].standard_error
            assert found[name].high - found[name].value == pytest.approx(half, rel=1e-9, abs=1e-12)
    one = found["ips"]
    assert one.max_weight == max(w) and one.n == one.clusters == len(rows)
    if sum(w) > 0:
        assert one.ess == pytest.approx(sum(w) ** 2 / math.fsum(a * a for a in w))
    assert one.clipped == pytest.approx(
        0 if clip is None else sum(t / p > clip for p, t in zip(logged, target, strict=True)) / len(rows)
    )


@given(rows=st.lists(ROW, min_size=2, max_size=20), shift=st.floats(-5, 5))
def test_snips_moves_with_the_rewards(rows, shift):
    rewards, logged, target, _, _ = (np.array(one) for one in zip(*rows, strict=True))
    if not target.any():
        target[0] = 0.5
    before = ope.snips(ope.BanditLog(rewards, logged, target))
    after = ope.snips(ope.BanditLog(rewards + shift, logged, target))
    assert after.value == pytest.approx(before.value + shift, rel=1e-9, abs=1e-8)
    assert after.standard_error == pytest.approx(before.standard_error, rel=1e-6, abs=1e-6)
    assert rewards.min() - 1e-9 <= before.value <= rewards.max() + 1e-9


@given(rows=st.lists(ROW, min_size=2, max_size=20))
def test_the_logging_policy_is_worth_what_it_earned(rows):
    rewards, logged, _, _, _ = (np.array(one) for one in zip(*rows, strict=True))
    log = ope.BanditLog(rewards, logged, logged)
    for one in (ope.ips(log), ope.snips(log), ope.mean_reward(log)):
        assert one.value == pytest.approx(rewards.mean(), abs=1e-12)
        assert one.ess == pytest.approx(len(rows)) and one.mean_weight == pytest.approx(1)


# --- simulations -----------------------------------------------------------------------------------

RUNS, ROWS = 400, 500


@pytest.fixture(scope="module")
def runs():
    """Estimates of one truth from many logs. The model is good, wrong, or right with wrong propensities."""
    rng = np.random.default_rng(1)
    m, contexts = 5, 4
    means = rng.random((contexts, m))
    logging, target = (law(rng, contexts, m) for _ in range(2))
    value = float((target * means).sum(axis=1).mean())
    bad = rng.random((contexts, m)) * 2 - 1
    wrong = law(rng, contexts, m)
    found = {name: [] for name in ("ips", "snips", "dr", "dr wrong model", "dr wrong law", "ips wrong law")}
    for _ in range(RUNS):
        x = rng.integers(0, contexts, ROWS)
        cumulative = logging[x].cumsum(axis=1)
        a = np.minimum((rng.random((ROWS, 1)) > cumulative).sum(axis=1), m - 1)
        r = (rng.random(ROWS) < means[x, a]).astype(float)

        def log(laws, model, x=x, a=a, r=r):
            return ope.BanditLog.from_laws(r, a, laws[x], target[x], predicted=model[x])

        found["ips"].append(ope.ips(log(logging, means)))
        found["snips"].append(ope.snips(log(logging, means)))
        found["dr"].append(ope.dr(log(logging, means)))
        found["dr wrong model"].append(ope.dr(log(logging, bad)))
        found["dr wrong law"].append(ope.dr(log(wrong, means)))
        found["ips wrong law"].append(ope.ips(log(wrong, means)))
    return value, found


def off_by(estimates, value):
    """How many standard errors the mean of many estimates lies from a value."""
    values = np.array([one.value for one in estimates])
    return abs(values.mean() - value) / (values.std(ddof=1) / math.sqrt(len(values)))


@pytest.mark.parametrize("name", ["ips", "dr", "dr wrong model", "dr wrong law"])
def test_unbiased(runs, name):
    value, found = runs
    assert off_by(found[name], value) < 5


def test_wrong_propensities_alone_are_no_use(runs):
    # The power of the test above: it does see a bias.
    value, found = runs
    assert off_by(found["ips wrong law"], value) > 8


def test_a_good_model_buys_precision(runs):
    _, found = runs
    spread = {name: np.std([one.value for one in found[name]]) for name in found}
    # The ratios of these logs are 0.88 and 0.94.
    assert spread["dr"] < 0.93 * spread["ips"] and spread["snips"] < 0.98 * spread["ips"]


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_intervals_cover(runs, name):
    value, found = runs
    covered = sum(one.low <= value <= one.high for one in found[name])
    # 95% of 400 within 5 standard errors (22) is 6e-7; a skewed mean of 500 rows is allowed 1% less.
    assert 0.94 * RUNS - 22 <= covered <= 0.95 * RUNS + 20
    errors = np.mean([one.standard_error for one in found[name]])
    # The stated error is the spread of the values, whose own relative error is 1 / sqrt(2 * 400) = 3.5%.
    assert errors == pytest.approx(np.std([one.value for one in found[name]]), rel=0.18)


def test_the_bootstrap_agrees_with_the_normal_interval():
    rewards, actions, logged, target, _, _ = world(3, 2000)
    log = ope.BanditLog.from_laws(rewards, actions, logged, target)
    for of in (ope.ips, ope.snips):
        normal, boot = of(log), of(log, interval=ope.Bootstrap(resamples=1000, seed=4))
        assert (normal.value, normal.standard_error) == (boot.value, boot.standard_error)
        assert boot.interval == "bootstrap" and boot == of(
            log, interval=ope.Bootstrap(resamples=1000, seed=4)
        )
        assert boot != of(log, interval=ope.Bootstrap(resamples=2000, seed=5))
        # A quantile of 1,000 resamples has an error of 8% of the standard error: this is five of them.
        assert boot.low == pytest.approx(normal.low, abs=0.4 * normal.standard_error)
        assert boot.high == pytest.approx(normal.high, abs=0.4 * normal.standard_error)


def test_rows_that_repeat_are_no_news_to_clusters():
    rewards, actions, logged, target, _, _ = world(4, 500)
    once = ope.BanditLog.from_laws(rewards, actions, logged, target)
    four = [np.repeat(one, 4, axis=0) for one in (rewards, actions, logged, target)]
    users = np.repeat([f"u{i}" for i in range(500)], 4)
    for of in (ope.ips, ope.snips):
        single = of(once)
        fooled = of(ope.BanditLog.from_laws(*four))
        right = of(ope.BanditLog.from_laws(*four, clusters=users))
        assert fooled.standard_error == pytest.approx(single.standard_error / 2, rel=0.01)
        assert right.standard_error == pytest.approx(single.standard_error, rel=1e-12)
        assert right.value == pytest.approx(single.value, rel=1e-12)
        assert (right.n, right.clusters) == (2000, 500)
        boot = of(ope.BanditLog.from_laws(*four, clusters=users), interval=ope.Bootstrap(seed=1))
        assert boot.high - boot.low == pytest.approx(single.high - single.low, rel=0.2)


def test_a_difference_knows_that_both_share_the_log():
    rewards, actions, logged, target, _, _ = world(5, 1500)
    a = ope.ips(ope.BanditLog.from_laws(rewards, actions, logged, target))
    same = ope.difference(a, a)
    assert (same.value, same.standard_error, same.low, same.high) == (0, 0, 0, 0)
    near = ope.ips(ope.BanditLog.from_laws(rewards, actions, logged, 0.9 * target + 0.1 * logged))
    lift = ope.difference(a, near)
    assert lift.value == a.value - near.value
    assert lift.standard_error == pytest.approx(0.1 * ope.difference(
        a, ope.mean_reward(ope.BanditLog.from_laws(rewards, actions, logged, logged))
    ).standard_error)  # fmt: skip
    assert lift.standard_error < 0.2 * a.standard_error
    with pytest.raises(ValueError, match="same log"):
        ope.difference(a, ope.ips(ope.BanditLog([1.0, 2.0], [0.5, 0.5], [0.5, 0.5])))


# --- warnings --------------------------------------------------------------------------------------


def warned(one, text):
    return any(text in warning for warning in one.warnings)


def test_a_sound_log_has_no_warning():
    rewards, actions, logged, target, means, _ = world(6, 3000)
    log = ope.BanditLog.from_laws(rewards, actions, logged, target, predicted=means)
    for one in ope.evaluate(log, clip=3):
        assert one.warnings == (), one


def test_choices_that_are_never_logged_are_reported():
    rng = np.random.default_rng(7)
    logged = np.tile([0.5, 0.5, 0.0], (400, 1))
    target = np.tile([0.3, 0.3, 0.4], (400, 1))
    actions = rng.integers(0, 2, 400)
    exact = ope.ips(ope.BanditLog.from_laws(rng.random(400), actions, logged, target))
    assert warned(exact, "puts 0.4 of its choices where the logging policy puts none")
    # Without the whole law the mean weight tells it: 0.6.
    seen = ope.ips(
        ope.BanditLog(rng.random(400), np.full(400, 0.5), np.where(rng.random(400) < 0.5, 0.25, 0.35))
    )
    assert warned(seen, "mean weight") and seen.mean_weight == pytest.approx(0.6, abs=0.02)


def test_propensity_zero_in_a_log_is_reported():
    log = ope.BanditLog([1.0, 2.0, 3.0], [0.5, 0.0, 0.0], [0.5, 0.1, 0.0])
    one = ope.ips(log)
    assert warned(one, "1 logged choices have propensity 0") and one.value == pytest.approx(1 / 3)


def test_few_effective_rows_are_reported():
    target = np.zeros(1000)
    target[:10] = 1.0
    one = ope.ips(ope.BanditLog(np.ones(1000), np.full(1000, 0.01), target))
    assert one.ess == pytest.approx(10) and warned(one, "few effective rows: 10.0 of 1000")
    rare = np.zeros(1000)
    rare[:7] = 1
    assert warned(ope.mean_reward(ope.BanditLog(rare, np.ones(1000), np.ones(1000))), "7 of 1000")


def test_rare_large_weights_are_reported_whatever_the_standard_error():
    # 12 weights of 100 where 20 are due, and 1,988 of 0: far from 1, but only 2.3 of its own standard errors.
    target = np.zeros(2000)
    target[:12] = 1.0
    one = ope.ips(ope.BanditLog(np.ones(2000), np.full(2000, 0.01), target))
    assert one.mean_weight == pytest.approx(0.6) and warned(one, "unsettled: the mean weight is 0.6")


def test_no_weight_at_all_is_no_value():
    log = ope.BanditLog([1.0, 2.0], [0.5, 0.5], [0.0, 0.0])
    one = ope.snips(log, interval=ope.Bootstrap())
    assert math.isnan(one.value) and math.isnan(one.low) and warned(one, "no row has any weight")
    assert ope.ips(log).value == 0


def test_one_row_has_no_error():
    one = ope.ips(ope.BanditLog([1.0], [0.5], [1.0]))
    assert one.value == 2 and math.isnan(one.standard_error) and math.isnan(one.low)


# --- forms -----------------------------------------------------------------------------------------


def test_a_log_from_arrow_and_estimates_to_arrow():
    pa = pytest.importorskip("pyarrow")
    rewards, actions, logged, target, means, _ = world(8, 200)
    log = ope.BanditLog.from_laws(rewards, actions, logged, target, predicted=means)
    columns = {"reward": log.rewards, "propensity": log.logged, "target": log.target, "q": log.predicted}
    table = pa.table({**columns, "v": log.expected, "user": [f"u{i % 9}" for i in range(200)]})
    again = ope.BanditLog.from_arrow(table, predicted="q", expected="v")
    assert list(ope.evaluate(again)) == list(ope.evaluate(log))
    grouped = ope.BanditLog.from_arrow(Stream(table), clusters="user")
    assert ope.ips(grouped).clusters == 9
    found = ope.evaluate(log)
    rows = found.to_arrow().to_pylist()
    assert [row["estimator"] for row in rows] == ["mean reward", "ips", "snips", "dm", "dr", "sndr"]
    for row, one in zip(rows, found, strict=True):
        assert row == {k: list(v) if k == "warnings" else v for k, v in vars(one).items() if k != "influence"}
    assert found["ips"].to_arrow().num_rows == 1
    with pytest.raises(ValueError, match=r"table: expected a column 'reward', got a table with the columns"):
        ope.BanditLog.from_arrow(table.drop_columns(["reward"]))
    with pytest.raises(TypeError, match="column of numbers, got a column of string"):
        ope.BanditLog.from_arrow(table, rewards="user")
    with pytest.raises(ValueError, match=r"table\['reward'\]: expected no nulls, got 1 of 2"):
        ope.BanditLog.from_arrow(
            pa.table({"reward": [1.0, None], "propensity": [1.0, 1], "target": [1.0, 1]})
        )


class Stream:
    """A table of another library: nothing but the PyCapsule interface."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


def test_a_table_of_estimates_reads():
    rewards, actions, logged, target, _, _ = world(9, 60)
    found = ope.evaluate(ope.BanditLog.from_laws(rewards, actions, logged, target), clip=1.5)
    text = repr(found)
    assert "95% normal" in text and all(one.estimator in text for one in found)
    assert all(warning in text for one in found for warning in one.warnings)
    assert found[1:3][0] == found["ips"] and repr(found["snips"]).count("snips") >= 1
    with pytest.raises(KeyError, match="no estimate 'dr'"):
        found["dr"]
    assert "60 rows" in repr(ope.BanditLog.from_laws(rewards, actions, logged, target))


OK = dict(rewards=[1.0, 0.0], logged=[0.5, 0.5], target=[0.5, 0.2])
LAWS = dict(rewards=[1.0, 0.0], actions=[0, 1], logged=[[0.5, 0.5]] * 2, target=[0.5, 0.5])
WRONG = {
    "no rows": (lambda: ope.BanditLog([], [], []), ValueError, "rewards:", "at least one row"),
    "two dimensions": (lambda: ope.BanditLog(**{**OK, "rewards": [[1.0]]}), ValueError, "rewards:", "(1, 1)"),
    "text": (lambda: ope.BanditLog(**{**OK, "rewards": ["a", "b"]}), TypeError, "rewards:", "numbers"),
    "NaN": (lambda: ope.BanditLog(**{**OK, "rewards": [1, np.nan]}), ValueError, "rewards:", "nan at position 1"),
    "above 1": (lambda: ope.BanditLog(**{**OK, "logged": [0.5, 1.5]}), ValueError, "logged:", "1.5 at position 1"),
    "below 0": (lambda: ope.BanditLog(**{**OK, "target": [-0.1, 0]}), ValueError, "target:", "-0.1"),
    "too few": (lambda: ope.BanditLog(**{**OK, "target": [0.1]}), ValueError, "target:", "2 rows", "got 1"),
    "clusters": (lambda: ope.BanditLog(**OK, clusters=[1]), ValueError, "clusters:", "2 rows"),
    "float clusters": (lambda: ope.BanditLog(**OK, clusters=[0.5, 1.5]), TypeError, "clusters:"),
    "model": (lambda: ope.BanditLog(**OK, predicted=[1.0]), ValueError, "predicted:", "2 rows"),
    "sum": (
        lambda: ope.BanditLog.from_laws(**{**LAWS, "target": [0.5, 0.6]}),
        ValueError,
        "target:",
        "add up to 1",
        "1.1",
    ),
    "action": (lambda: ope.BanditLog.from_laws(**{**LAWS, "actions": [0, 2]}), ValueError, "actions:", "0 to 1"),
    "float action": (lambda: ope.BanditLog.from_laws(**{**LAWS, "actions": [0.0, 1]}), TypeError, "actions:"),
    "model shape": (lambda: ope.BanditLog.from_laws(**LAWS, predicted=[1.0] * 3), ValueError, "predicted:", "(2, 2)"),
    "actions differ": (
        lambda: ope.BanditLog.from_laws(**{**LAWS, "logged": [[1.0]] * 2}),
        ValueError,
        "logged:",
        "2 actions",
    ),
    "clip": (lambda: ope.ips(ope.BanditLog(**OK), clip=0), ValueError, "clip:", "above 0"),
    "clip text": (lambda: ope.ips(ope.BanditLog(**OK), clip="1"), TypeError, "clip:", "number"),
    "no model": (lambda: ope.dr(ope.BanditLog(**OK)), ValueError, "log:", "predicted"),
    "no dm": (lambda: ope.dm(ope.BanditLog(**OK)), ValueError, "log:", "expected"),
    "no log": (lambda: ope.ips([1.0]), TypeError, "log:", "a BanditLog"),
    "nothing to evaluate": (lambda: ope.evaluate([1.0]), TypeError, "log:", "SlateLog"),
    "interval": (lambda: ope.ips(ope.BanditLog(**OK), interval=0.95), TypeError, "interval:", "Bootstrap"),
    "level": (lambda: ope.Normal(95), ValueError, "level:", "between 0 and 1", "95"),
    "resamples": (lambda: ope.Bootstrap(resamples=10), ValueError, "resamples:", "100"),
    "seed": (lambda: ope.Bootstrap(seed=-1), ValueError, "seed:"),
    "no estimate": (lambda: ope.difference(1, 2), TypeError, "a:", "an Estimate"),
    "no table": (lambda: ope.BanditLog.from_arrow([1]), TypeError, "table:", "__arrow_c_stream__"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls_name_the_argument(case):
    call, kind, *parts = WRONG[case]
    if case == "no table":
        pytest.importorskip("pyarrow")
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def test_modules_are_there_when_they_are_used():
    assert pc.ope is ope and "ope" in dir(pc)
    with pytest.raises(AttributeError, match="no attribute 'opera'"):
        pc.opera  # noqa: B018
