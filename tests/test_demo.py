"""The demo as a whole on a small data set: what it finds, prints, writes, and says when it cannot."""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import demo_world
from demo_world import Steps, printed, without_timings
from perso_core.demo import cli, data, features, policies, report, show, simulate, story, tune
from perso_core.demo.errors import DemoError
from perso_core.demo.split import split

SMALL = data.Counts(demo_world.USERS, demo_world.FILMS, demo_world.USERS * demo_world.RATED)


WORLD = simulate.World(items=10, k=2, rounds=4, requests=5, seeds=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_world.tasteful(tmp_path_factory.mktemp("movielens"))


@pytest.fixture(scope="module")
def small(folder: Path) -> Iterator[Callable[..., story.Outcome]]:
    """Runs the demo on the small data set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "ML_100K", SMALL)
        patch.setattr(story, "WORLD", WORLD)

        def run(user: int = 3, k: int = 8, seed: int = 7, bars: Steps | None = None) -> story.Outcome:
            return story.tell(story.Options(folder, user, k, seed), bars or Steps())

        yield run


@pytest.fixture(scope="module")
def outcome(small: Callable[..., story.Outcome]) -> story.Outcome:
    return small()


# --- on a small data set ---------------------------------------------------------------------------


def test_the_table_has_a_row_per_policy_and_personal_beats_popular(outcome):
    assert [row.name.strip() for row in outcome.table] == [
        "popularity alone",
        "cf alone",
        "hybrid",
        "hybrid + MMR",
        "hybrid + MMR + epsilon",
        "+ at most 3 of a genre",
    ]
    popular, hybrid = outcome.row("popularity alone").quality, outcome.row("hybrid").quality
    assert hybrid.recall > popular.recall
    assert hybrid.ndcg > popular.ndcg


def test_diversity_rises_with_the_sweep(outcome):
    diversity = [step.quality.diversity for step in outcome.sweep]
    assert [step.diversity for step in outcome.sweep] == [i / 10 for i in range(10)]
    assert diversity[-1] > diversity[0]
    # The same policy by two ways.
    chosen = next(step for step in outcome.sweep if step.diversity == policies.DIVERSITY)
    assert chosen.quality.ndcg == outcome.row("hybrid + MMR").quality.ndcg
    assert outcome.sweep[0].quality.ndcg == outcome.row("hybrid").quality.ndcg


def test_every_kind_of_diversity_buys_what_it_is_for(outcome):
    found = {one.name.split("(")[0]: one for one in outcome.varied}
    assert list(found) == ["none", "MMR", "DPP", "Spread", "Calibrated"]
    plain = found["none"]
    assert plain.quality.ndcg == outcome.row("hybrid").quality.ndcg
    assert found["MMR"].quality.ndcg == outcome.row("hybrid + MMR").quality.ndcg
    for kind in ("MMR", "DPP", "Spread"):
        assert found[kind].quality.diversity > plain.quality.diversity
    assert min(outcome.varied, key=lambda one: one.miscalibration) is found["Calibrated"]
    assert 0 < found["Calibrated"].miscalibration < plain.miscalibration < np.log(100)


def test_the_explorers_are_in_the_outcome(outcome):
    alone = simulate.compare(simulate.explorers()[:2], WORLD, outcome.seed)
    assert [one.name for one in outcome.learnt] == [one.name for one in simulate.explorers()]
    assert [one.regret.tolist() for one in outcome.learnt[:2]] == [one.regret.tolist() for one in alone]
    text = printed(outcome)
    for one in outcome.learnt:
        row = next(line for line in text.splitlines() if line.strip().startswith(one.name + " "))
        assert f"{one.regret[:, -1].mean():.0f} ±" in row
        assert f"{one.log_propensity:.2f}" in row


def test_the_slate_keeps_its_promises(outcome, folder):
    one = outcome.one
    assert len(one.slate) == one.k == 8
    assert one.short_reason is None
    genres = [genre for shown in one.slate for genre in shown.film.genres]
    assert max(genres.count(genre) for genre in genres) <= policies.GENRE_CAP
    kept, _ = split(data.load(folder, SMALL).ratings)
    films = data.load(folder, SMALL).films
    seen = {films.titles[row] for row in films.rows(kept.items[kept.users == one.user])}
    assert seen
    assert not seen & {shown.film.title for shown in one.slate}
    for shown in one.slate:
        assert list(shown.terms) == ["similarity.cf", "similarity.content", "popularity", "freshness"]
        assert sum(shown.terms.values()) == shown.score
        assert 0 < shown.propensity <= 1
        assert shown.reason


def test_the_history_is_the_latest_kept_ratings(outcome, folder):
    ratings = data.load(folder, SMALL).ratings
    mine = ratings.take(ratings.users == outcome.one.user)
    order = np.lexsort((mine.items, mine.times))[::-1]
    # The ten held-out ones come before them.
    expected = mine.stars[order][10:20].tolist()
    assert [seen.stars for seen in outcome.one.history] == expected
    assert outcome.one.ratings == demo_world.RATED - 10


def test_the_same_seed_prints_the_same_and_another_does_not(small, outcome):
    again = small()
    assert without_timings(printed(again)) == without_timings(printed(outcome))
    assert again.catalog_hash == outcome.catalog_hash
    other = small(seed=8)
    assert other.catalog_hash != outcome.catalog_hash
    assert without_timings(printed(other)) != without_timings(printed(outcome))


def test_every_step_of_the_progress_bars_is_taken(small):
    bars = Steps()
    small(bars=bars)
    counted = [(total, done) for total, done in bars.parts if total is not None]
    assert len(counted) == 5
    assert all(total == done for total, done in counted)


def test_everything_is_printed_within_80_columns(outcome):
    text = printed(outcome, width=80)
    assert max(len(line) for line in text.splitlines()) <= 80
    for shown in outcome.one.slate:
        assert f"{shown.score:.3f}" in text
        assert f"{shown.propensity:.4f}" in text
    for row in outcome.table:
        assert f"{row.quality.recall:.4f}" in text
        assert f"{row.quality.coverage:.1%}" in text


def test_markup_in_a_title_is_printed_as_it_is(outcome):
    film = story.Film("[red]Alert[/red] & <b>Co</b>", 1990, ["[dim]Drama"])
    shown = dataclasses.replace(outcome.one.slate[0], film=film)
    seen = dataclasses.replace(outcome.one.history[0], film=film)
    changed = dataclasses.replace(
        outcome, one=dataclasses.replace(outcome.one, slate=[shown], history=[seen])
    )
    assert printed(changed).count("[red]Alert[/red] & <b>Co</b> (1990)") == 2
    page = report.render(changed)
    assert "<b>Co</b>" not in page
    assert page.count("[red]Alert[/red] &amp; &lt;b&gt;Co&lt;/b&gt; (1990)") == 2


class _Page(HTMLParser):
    """Collects what would be fetched, and whether tags are balanced."""

    VOID = frozenset({"meta", "br", "line", "circle", "polyline", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [
            f"{tag} {name}" for name, _ in attrs if name in {"src", "href", "srcset", "xlink:href"}
        ]
        if tag in {"script", "link", "img", "iframe", "object"}:
            self.fetched.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_one_whole_page_that_fetches_nothing(outcome, tmp_path):
    path = tmp_path / "report.html"
    report.write(outcome, path)
    text = path.read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert page.fetched == []
    assert page.open == []
    assert "url(" not in text and "@import" not in text
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    for row in outcome.table:
        assert f"{row.quality.ndcg:.4f}" in text
    for one in outcome.varied:
        assert f"{one.miscalibration:.3f}" in text
    for one in outcome.learnt:
        assert show.learnt_cells(one, outcome.learnt[0])[1] in text
    # One circle per point of the curve, one per policy.
    assert text.count("<circle") == len(outcome.sweep) + len(outcome.table)


def test_the_plot_is_drawn_to_scale(outcome):
    plot = report.trade_off(outcome)
    assert plot.y.place(plot.y.low) == plot.y.start
    assert plot.x.place(plot.x.high) == plot.x.end
    for mark, step in zip(plot.steps, outcome.sweep, strict=True):
        share = (mark.y - plot.y.start) / (plot.y.end - plot.y.start)
        assert plot.y.low + share * (plot.y.high - plot.y.low) == pytest.approx(step.quality.ndcg)
    for mark in [*plot.steps, *plot.named]:
        assert plot.x.start <= mark.x <= plot.x.end
        assert plot.y.end <= mark.y <= plot.y.start


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 0.25], [0.0, 0.05, 0.1, 0.15, 0.2, 0.25]),
        ([0.74, 0.93], [0.7, 0.75, 0.8, 0.85, 0.9, 0.95]),
        ([3.0, 3.0], [2.94, 2.96, 2.98, 3.0, 3.02, 3.04, 3.06]),
    ],
)
def test_ticks_are_round(values, ticks):
    assert report.axis(values, 0.0, 1.0).ticks == pytest.approx(ticks)


def test_gains_are_differences_of_the_table(outcome):
    gains = show.gains(outcome)
    assert [title for title, _, _ in gains] == [
        "hybrid, next to popularity alone",
        "hybrid, next to cf alone",
        f"adding MMR({policies.DIVERSITY})",
        f"adding EpsilonGreedy({policies.EPSILON})",
        "adding at most 3 of a genre",
    ]
    for (_, recall, _), one, other in zip(gains, [2, 2, 3, 4, 5], [0, 1, 2, 3, 4], strict=True):
        difference = outcome.table[one].quality.recall - outcome.table[other].quality.recall
        assert float(recall.split()[0]) == pytest.approx(difference, abs=6e-5)


def test_features_are_reproducible_and_unit_length(folder):
    movielens = data.load(folder, SMALL)
    kept, _ = split(movielens.ratings)
    one, other = (features.build(movielens, kept, seed=3) for _ in range(2))
    for name in ("cf", "content"):
        assert one.items[name].tobytes() == other.items[name].tobytes()
        assert one.users[name].tobytes() == other.users[name].tobytes()
        assert one.items[name].shape == (demo_world.FILMS, features.DIM)
        assert one.users[name].shape == (demo_world.USERS, features.DIM)
    np.testing.assert_allclose(np.linalg.norm(one.items["content"], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(one.users["content"], axis=1), 1, rtol=1e-5)
    assert one.popularity.sum() == len(kept)
    assert one.released[6] is None
    assert one.released[0] is not None and one.released[0].isoformat() == "1961-01-01T00:00:00+00:00"


def test_films_since_counts_from_the_latest():
    order = [(1, 5, 30), (2, 1, 1), (1, 6, 10), (1, 7, 30)]
    users, items, times = (np.array(column, dtype=np.int64) for column in zip(*order, strict=True))
    ratings = data.Ratings(users, items, np.ones(4, dtype=np.int64), times)
    assert features.films_since(ratings).tolist() == [1, 0, 2, 0]


def test_tuning_never_sees_the_held_out_ratings(folder, monkeypatch):
    monkeypatch.setattr(data, "ML_100K", SMALL)
    bench = tune.Bench(folder)
    _, held_out = split(data.load(folder, SMALL).ratings)
    pairs = [
        set(zip(r.users.tolist(), r.items.tolist(), strict=True))
        for r in (bench.kept, bench.judged, held_out)
    ]
    assert not pairs[0] & pairs[1] and not pairs[0] & pairs[2] and not pairs[1] & pairs[2]
    assert sum(map(len, pairs)) == SMALL.ratings
    trial = bench.open(features.CfSettings(iterations=2), features.ContentSettings())
    assert 0 < trial.quality(policies.diversified(0.0)).ndcg < 1


# --- the command line ------------------------------------------------------------------------------


def _parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="perso-core demo")
    cli.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--k", "0"], "expected 1 to 100, got 0"),
        (["--k", "ten"], "expected a whole number, got 'ten'"),
        (["--seed", "-1"], "expected 0 to 4294967295, got -1"),
        (["--user", "x"], "--user"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        _parse(*arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_user_who_is_not_there(small):
    with pytest.raises(DemoError, match=r"--user 41: expected the id of a MovieLens user, 1 to 40"):
        small(user=41)


def test_run_prints_one_error_and_ends_with_one(tmp_path, capsys):
    assert cli.run(_parse("--data", str(tmp_path), "--no-progress")) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("perso-core demo: --data")
    assert "Traceback" not in err


@pytest.mark.parametrize(("name", "message"), [("", "got a folder"), ("no/report.html", "does not exist")])
def test_a_report_that_cannot_be_written_is_refused_first(tmp_path, capsys, name, message):
    start = time.monotonic()
    assert cli.run(_parse("--data", str(tmp_path / "nowhere"), "--html", str(tmp_path / name))) == 1
    assert message in capsys.readouterr().err
    assert time.monotonic() - start < 5


def test_run_writes_both(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(data, "ML_100K", SMALL)
    monkeypatch.setattr(story, "WORLD", WORLD)
    page = tmp_path / "out.html"
    assert cli.run(_parse("--data", str(folder), "--user", "5", "--k", "4", "--html", str(page))) == 0
    out, err = capsys.readouterr()
    assert "The slate for user 5" in out
    assert "4 of 4 slots filled" in out
    assert "policies for 40 users" in err
    assert "perso-core demo --user 5 --k 4 --seed 7 --html report.html" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("module", ["rich", "implicit", "ir_measures", "jinja2", "sklearn", "threadpoolctl"])
def test_a_missing_extra_is_named(monkeypatch, capsys, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert cli.run(_parse("--no-progress")) == 1
    err = capsys.readouterr().err
    assert "pip install 'perso_core[demo]'" in err
    assert {"sklearn": "scikit-learn", "ir_measures": "ir-measures"}.get(module, module) in err


def test_the_arguments_cost_no_heavy_import():
    heavy = "{'rich', 'scipy', 'sklearn', 'implicit'}"
    code = f"import sys, perso_core.demo.cli; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
