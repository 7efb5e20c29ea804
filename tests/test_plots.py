"""The figures of docs/: small, without a date, embedded in their pages, and drawn from what the library does."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import pytest

import perso_core as pc

DOCS = Path(__file__).parents[1] / "docs"
FIGURES = sorted((DOCS / "plots").glob("*.svg"))


@pytest.fixture(scope="module")
def make() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS / "plots"))
        import make

        yield make
        for name in ("make", "made_up", "made_up_rules", "made_up_users"):
            sys.modules.pop(name, None)


def test_every_figure_has_a_function_and_a_page(make):
    assert [figure.stem for figure in FIGURES] == sorted(make.PAGES)
    for name in make.PAGES:
        (page,) = [path for path in (DOCS / "policies" / f"{name}.md", DOCS / f"{name}.md") if path.exists()]
        plots = "../plots" if page.parent.name == "policies" else "plots"
        found = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
        assert found == [f"{plots}/{name}.svg"]


def test_every_page_of_a_policy_has_a_figure_and_a_place_in_the_tables(make):
    pages = {page.stem for page in (DOCS / "policies").glob("*.md")} - {"README"}
    assert pages - set(make.PAGES) == set()
    tables = (DOCS / "policies" / "README.md").read_text(encoding="utf-8")
    linked = {
        name
        for line in tables.splitlines()
        if line.startswith("|")
        for name in re.findall(r"\]\((\w+)\.md", line)
    }
    assert linked == pages


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.stem)
def test_a_figure_is_small_whole_and_undated(figure):
    text = figure.read_text(encoding="utf-8")
    assert len(text) < 60_000
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert "dc:date" not in text
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_an_unknown_name_is_refused(make):
    with pytest.raises(SystemExit, match="expected names out of mmr, .*; got mnr"):
        make.main(["mnr"])


def test_a_figure_is_the_same_to_the_byte_in_each_run(make, tmp_path):
    pytest.importorskip("matplotlib")
    drawn = []
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        drawn.append(make.draw("softmax", tmp_path / run).read_bytes())
    assert drawn[0] == drawn[1]


def test_the_law_that_is_drawn_is_softmax(make):
    made_up = sys.modules["made_up"]
    policy = pc.Policy(score=pc.Blend(normalize="none"), explore=pc.Softmax(0.1))
    weights = np.exp(made_up.SCORES / 0.1)
    for rank, stated in made_up.first_slot(policy).items():
        assert stated == pytest.approx(weights[rank - 1] / weights.sum())


def test_the_shares_that_are_drawn_are_plackett_luce(make):
    made_up = sys.modules["made_up"]
    policy = pc.Policy(candidates=10, score=pc.Blend(normalize="none"), explore=pc.PlackettLuce(0.1))
    shares = made_up.share_by_slot(policy, 10)
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    weights = np.exp(made_up.SCORES / 0.1)
    # Ten proportions at five standard errors.
    error = 5 * 0.5 / made_up.DRAWS**0.5
    np.testing.assert_allclose(shares[:, 0], weights / weights.sum(), atol=error)


def test_strength_trades_relevance_for_what_it_is_for(make):
    made_up = sys.modules["made_up"]
    plain, varied = made_up.quality(pc.MMR(0.0)), made_up.quality(pc.MMR(0.5))
    assert varied.variety > plain.variety and varied.relevance < plain.relevance
    calibrated = made_up.quality(pc.Calibrated("topic", 0.9))
    assert 0 <= calibrated.divergence < plain.divergence / 10


def capped(scores, topics, limit, penalty, k):
    """Greedy under a cap, by every item in every slot: hard without a penalty. The items shown."""
    shown: list[int] = []
    for _ in range(k):
        beyond = np.bincount(topics[shown], minlength=topics.max() + 1)[topics] + 1 - limit
        worth = scores.copy() if penalty is None else scores - penalty * np.maximum(beyond, 0)
        worth[shown] = -np.inf
        if penalty is None:
            worth[beyond > 0] = -np.inf
        shown.append(int(np.argmax(worth)))
    return shown


@pytest.mark.parametrize(("limit", "penalty"), [(3, None), (3, 0.1), (6, 0.04)])
def test_the_caps_that_are_drawn_are_greedy(make, limit, penalty):
    made_up, rules = sys.modules["made_up"], sys.modules["made_up_rules"]
    w = made_up.world()
    slates = [capped(scores, w.topics, limit, penalty, made_up.K) for scores in w.scores]
    found = rules.shown({"topic": limit if penalty is None else pc.Soft(limit, penalty)})
    assert found.commonest == pytest.approx(
        np.mean([np.bincount(w.topics[s]).max() for s in slates]) / made_up.K
    )
    total = np.mean([scores[s].sum() for scores, s in zip(w.scores, slates, strict=True)])
    assert found.score == pytest.approx(total)


@pytest.mark.parametrize(("by", "candidates"), [(-0.1, 60), (0.0, 480), (0.1, 24), (0.6, 60), (0.6, 480)])
def test_a_boost_moves_what_the_pool_holds(make, by, candidates):
    made_up, rules = sys.modules["made_up"], sys.modules["made_up_rules"]
    w = made_up.world()
    cosines = (w.users / np.linalg.norm(w.users, axis=1, keepdims=True)) @ w.vectors.T
    shares = []
    for row in cosines:
        pool = np.argsort(-row)[:candidates]
        shares.append(w.new[pool[np.argsort(-(row + by * w.new)[pool])[: made_up.K]]].mean())
    assert rules.boosted(by, candidates) == pytest.approx(np.mean(shares))


def test_a_pinned_slot_states_the_law_of_what_may_be_shown(make):
    made_up, rules = sys.modules["made_up"], sys.modules["made_up_rules"]
    assert rules.stated_by_slot((), {1: 7}, 3)[1] == 1
    # A mean of 3,000 numbers between 0 and 1, at five standard errors: off by chance in 6 of 10 million.
    error = 5 * 0.5 / made_up.DRAWS**0.5
    for pinned, ranks in (((), range(10)), ((pc.Pin(0, where={"kind": "ad"}),), (2, 5, 8))):
        law = np.exp(made_up.SCORES[list(ranks)] / 0.1)
        law /= law.sum()
        assert rules.stated_by_slot(pinned, None, 1)[0] == pytest.approx((law**2).sum(), abs=error)


@pytest.mark.parametrize("top", [3, 6, 12])
def test_a_price_is_what_the_narrowed_slots_lose_and_no_less_than_the_slate_does(make, top):
    made_up, rules = sys.modules["made_up"], sys.modules["made_up_rules"]
    w = made_up.world()
    plain = np.mean([np.sort(scores)[-made_up.K :].sum() for scores in w.scores])
    for count in (1, top // 2, top):
        prices, totals = [], []
        for scores in w.scores:
            shown, price = [], 0.0
            for slot in range(made_up.K):
                left = np.where(np.isin(np.arange(len(scores)), shown), -np.inf, scores)
                narrow = slot < top and top - slot <= count - w.new[shown].sum()
                shown.append(int(np.argmax(np.where(w.new, left, -np.inf) if narrow else left)))
                price += left.max() - scores[shown[-1]]
            prices.append(price)
            totals.append(scores[shown].sum())
        found = rules.minimum(count, top)
        assert found.price == pytest.approx(np.mean(prices))
        assert found.score == pytest.approx(np.mean(totals))
        assert found.price >= plain - found.score - 1e-9


def test_the_profile_that_is_drawn_follows_the_formula(make):
    made_up, users = sys.modules["made_up"], sys.modules["made_up_users"]
    w = made_up.world()
    old, new = w.directions[:2]
    clicked = np.random.default_rng(13).choice(np.flatnonzero(w.topics == 1), len(users.CLICKS))
    moments = np.array([0, 4000, 7200, 36_000])
    expected = []
    for moment in moments:
        past = np.array(users.CLICKS) <= moment
        age, about = moment - np.array(users.CLICKS)[past], w.vectors[clicked[past]]
        vector = old
        for half_life, weight in ((90 * 86_400, 1.0), (1800, 0.5)):
            decay = 0.5 ** (age / half_life)
            if past.any():
                learned = weight * decay.sum() / (decay.sum() + 10)
                vector = (1 - learned) * vector + learned * (decay @ about) / decay.sum()
        vector = vector / np.linalg.norm(vector)
        expected.append([vector @ old, vector @ new])
    np.testing.assert_allclose(users.nearness("30m", moments), expected, atol=1e-6)


@pytest.mark.parametrize("weight", [0.8, 0.95, 1.0])
@pytest.mark.parametrize("apart", [True, False])
def test_what_interests_reach_is_what_a_scan_finds(make, weight, apart):
    made_up, users = sys.modules["made_up"], sys.modules["made_up_users"]
    w = made_up.world()
    weights = np.array([1.0, weight, weight, weight])
    rows = []
    for four in users.fours():
        cosines = w.directions[four] @ w.vectors.T
        scores = (weights[:, None] * cosines).max(axis=0) if apart else weights @ cosines
        best = np.argsort(-scores)[: users.SHOWN]
        seen = set(w.topics[best])
        rows.append(
            [
                (w.topics[best] == four[0]).mean(),
                len(seen & set(four)) / 4,
                cosines[:, best].max(axis=0).mean(),
            ]
        )
    found = users.reach(weight, apart)
    np.testing.assert_allclose([found.first, found.shown, found.near], np.mean(rows, axis=0), atol=1e-6)
