"""The same arrays as Open Bandit Pipeline (obp) gets, and the same answers.

`ANSWERS` are those of obp 0.5.7, to its last digits, and each is worked out again here with fractions. Where
obp is installed it is asked again. It brings much that has nothing to do with its estimators, so it is not
among the test requirements.
"""

import importlib
import warnings
from fractions import Fraction

import numpy as np
import pytest

from perso_core import ope

N, M, K = 40, 4, 3


def numbers(count, step, modulus):
    """Whole numbers that look mixed up, the same with every version of everything."""
    return np.arange(1, count + 1) * step % modulus


def choices():
    """(rewards, actions, logging law, evaluated law, model) as whole numbers over a denominator a row."""
    before = 1 + numbers(N * M, 37, 11).reshape(N, M)
    after = 1 + numbers(N * M, 53, 13).reshape(N, M)
    return numbers(N, 29, 7), numbers(N, 17, 31) % M, before, after, numbers(N * M, 41, 17).reshape(N, M)


def slates():
    """Rewards; numerators over 20 of probabilities given the slots above, and of marginals; actions."""
    grids = [1 + numbers(N * K, step, 19).reshape(N, K) for step in (23, 29, 31, 37)]
    return numbers(N * K, 13, 5).reshape(N, K), *grids, numbers(N * K, 19, 23).reshape(N, K) % M


def models():
    """For cascade DR: a model of every action in every slot, and the evaluated law over a denominator."""
    q = numbers(N * K * M, 43, 17).reshape(N, K, M)
    return q, 1 + numbers(N * K * M, 47, 13).reshape(N, K, M)


def exact():
    """All estimates by their definitions, in fractions."""
    reward, action, before, after, model = (one.tolist() for one in choices())
    logged = [Fraction(row[a], sum(row)) for row, a in zip(before, action)]
    target = [Fraction(row[a], sum(row)) for row, a in zip(after, action)]
    w = [t / p for t, p in zip(target, logged)]
    q = [row[a] for row, a in zip(model, action)]
    v = [sum(Fraction(p, sum(law)) * one for p, one in zip(law, row)) for law, row in zip(after, model)]
    correction = [a * (r - b) for a, r, b in zip(w, reward, q)]
    out = {
        "ips": sum(a * r for a, r in zip(w, reward)) / N,
        "clipped ips": sum(min(a, Fraction(3, 2)) * r for a, r in zip(w, reward)) / N,
        "snips": sum(a * r for a, r in zip(w, reward)) / sum(w),
        "dm": sum(v) / N,
        "dr": (sum(v) + sum(correction)) / N,
        "sndr": sum(v) / N + sum(correction) / sum(w),
    }
    reward, a, b, c, d, action = (one.tolist() for one in slates())
    ratios = [[Fraction(y, x) for x, y in zip(*rows)] for rows in zip(a, b)]
    down = [[row[0], row[0] * row[1], row[0] * row[1] * row[2]] for row in ratios]
    weights = {
        "slate ips": [[row[2]] * K for row in down],
        "rips": down,
        "iips": [[Fraction(y, x) for x, y in zip(*rows)] for rows in zip(c, d)],
    }
    for name, w in weights.items():
        by_slot = [sum(w[i][k] * reward[i][k] for i in range(N)) for k in range(K)]
        out[name] = sum(by_slot) / N
        out[f"sn {name}"] = sum(top / sum(row[k] for row in w) for k, top in enumerate(by_slot))
    q, law = (one.tolist() for one in models())
    total = Fraction(0)
    for i in range(N):
        for k in range(K):
            expected = sum(Fraction(p, sum(law[i][k])) * one for p, one in zip(law[i][k], q[i][k]))
            above = down[i][k - 1] if k else 1
            total += down[i][k] * (reward[i][k] - q[i][k][action[i][k]]) + above * expected
    out["cascade dr"] = total / N
    return {name: float(value) for name, value in out.items()}


def ours():
    reward, action, before, after, model = choices()
    one = ope.BanditLog.from_laws(reward, action, shares(before), shares(after), predicted=model)
    found = [*ope.evaluate(one, clip=1.5)]
    reward, a, b, c, d, action = slates()
    q, law = models()
    many = ope.SlateLog(
        reward,
        a / 20,
        b / 20,
        logged_marginals=c / 20,
        target_marginals=d / 20,
        predicted=np.take_along_axis(q, action[..., None], axis=2)[..., 0],
        expected=(shares(law) * q).sum(axis=2),
    )
    found += [*ope.evaluate(many)]
    return {one.estimator: one.value for one in found if one.estimator != "mean reward"}


def shares(whole):
    return whole / whole.sum(axis=-1, keepdims=True)


def theirs(their):
    reward, action, before, after, model = choices()
    rows = np.arange(N)
    once = dict(
        reward=reward.astype(float),
        action=action,
        pscore=shares(before)[rows, action],
        action_dist=shares(after)[..., None],
        position=np.zeros(N, int),
        estimated_rewards_by_reg_model=model[..., None].astype(float),
    )
    out = {
        "ips": their.InverseProbabilityWeighting(),
        "clipped ips": their.InverseProbabilityWeighting(lambda_=1.5),
        "snips": their.SelfNormalizedInverseProbabilityWeighting(),
        "dm": their.DirectMethod(),
        "dr": their.DoublyRobust(),
        "sndr": their.SelfNormalizedDoublyRobust(),
    }
    values = {name: float(one.estimate_policy_value(**once)) for name, one in out.items()}
    reward, a, b, c, d, action = slates()
    q, law = models()
    common = dict(
        slate_id=np.repeat(rows, K),
        reward=reward.reshape(-1).astype(float),
        position=np.tile(np.arange(K), N),
    )
    down = [np.cumprod(one / 20, axis=1) for one in (a, b)]
    names = ("pscore", "evaluation_policy_pscore")
    whole = {name: np.repeat(one[:, -1], K) for name, one in zip(names, down)}
    cascade = {f"{name}_cascade": one.reshape(-1) for name, one in zip(names, down)}
    own = {f"{name}_item_position": one.reshape(-1) / 20 for name, one in zip(names, (c, d))}
    for name, kind, given in (
        ("slate ips", "SlateStandardIPS", whole),
        ("rips", "SlateRewardInteractionIPS", cascade),
        ("iips", "SlateIndependentIPS", own),
    ):
        values[name] = float(getattr(their, kind)(len_list=K).estimate_policy_value(**common, **given))
        normal = getattr(their, f"SelfNormalized{kind}")(len_list=K)
        values[f"sn {name}"] = float(normal.estimate_policy_value(**common, **given))
    robust = their.SlateCascadeDoublyRobust(len_list=K, n_unique_action=M)
    values["cascade dr"] = float(
        robust.estimate_policy_value(
            **common,
            **cascade,
            action=action.reshape(-1),
            q_hat=q.reshape(-1).astype(float),
            evaluation_policy_action_dist=shares(law).reshape(-1),
        )
    )
    return values


ANSWERS = {
    "ips": 4.940372895154927,
    "clipped ips": 3.096490248509459,
    "snips": 3.4801471538413424,
    "dm": 7.764359454775392,
    "dr": 2.86688081035112,
    "sndr": 4.314428300366571,
    "slate ips": 10.244569771030806,
    "sn slate ips": 5.810378534003651,
    "rips": 9.279121405931098,
    "sn rips": 5.840531419160537,
    "iips": 8.89443560159311,
    "sn iips": 6.100729907306414,
    "cascade dr": 2.6161738193660518,
}


def test_answers_are_those_of_fractions():
    assert exact() == pytest.approx(ANSWERS, rel=1e-12)


def test_answers_are_ours():
    assert ours() == pytest.approx(ANSWERS, rel=1e-12)


def test_answers_are_those_of_obp():
    with warnings.catch_warnings():
        # What it imports on the way warns.
        warnings.simplefilter("ignore")
        try:
            their = importlib.import_module("obp.ope")
        except ImportError as missing:
            pytest.skip(f"obp is not there: {missing}")
    assert theirs(their) == pytest.approx(ANSWERS, rel=1e-12)
