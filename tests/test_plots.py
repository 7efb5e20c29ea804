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
        for name in ("make", "made_up"):
            sys.modules.pop(name, None)


def test_every_figure_has_a_function_and_a_page(make):
    assert [figure.stem for figure in FIGURES] == sorted(make.PAGES)
    for name in make.PAGES:
        page = (DOCS / "policies" / f"{name}.md").read_text(encoding="utf-8")
        assert re.findall(r"!\[[^\]]+\]\(\.\./plots/([^)]+)\)", page) == [f"{name}.svg"]


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
