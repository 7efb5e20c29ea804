"""`perso-core demo --live` on a small data set: the stream beside the ratings, short runs, and what each check catches."""

from __future__ import annotations

import argparse
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import demo_world
import perso_core as pc
from demo_world import Steps
from perso_core.demo import cli, data, features, live, show_live
from perso_core.demo.errors import DemoError
from perso_core.demo.split import in_time
from perso_core.demo.stream import Stream, Tally, Writer

SMALL = data.Counts(demo_world.USERS, demo_world.FILMS, demo_world.USERS * demo_world.RATED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_world.tasteful(tmp_path_factory.mktemp("movielens"))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(data, "ML_100K", SMALL)
    monkeypatch.setattr(live, "ALONE_SECONDS", 0.1)
    monkeypatch.setattr(live, "COPY_SECONDS", 0.05)


@pytest.fixture
def prepared(folder):
    return live.prepare(live.Options(folder, 5, 7, 1.0), Steps())


@pytest.fixture(scope="module")
def parts(folder):
    movielens = data.load(folder, SMALL)
    kept, rest = in_time(movielens.ratings, 0.5)
    made = features.build(movielens, kept, 7, features.CfSettings(iterations=3))
    return movielens, made, kept, rest


def held(catalog: pc.Catalog) -> dict[int, tuple[int, float, int]]:
    """Of each film its counters, as they are read back."""
    values = {item["id"]: item["attributes"] for item in catalog.get(catalog.ids)}
    return {
        film: (of["popularity"], of["stars"], int(of["last_rated"].timestamp()))
        for film, of in values.items()
    }


def test_ratings_are_cut_in_order_of_time(parts):
    movielens, _, kept, rest = parts
    assert len(kept) == len(rest) == SMALL.ratings // 2
    assert kept.times.max() <= rest.times.min()
    assert (np.diff(rest.times) >= 0).all()
    order = np.random.default_rng(1).permutation(SMALL.ratings)
    again = in_time(movielens.ratings.take(order), 0.5)[1]
    assert again.items.tolist() == rest.items.tolist() and again.users.tolist() == rest.users.tolist()


def test_at_every_point_of_the_stream_the_catalog_has_the_numbers_of_the_ratings(parts):
    movielens, made, kept, rest = parts
    stream, tally = Stream(movielens, made, kept, rest, features.CfSettings()), Tally(kept, rest)
    catalog = pc.Catalog({"cf": pc.Space(64, "ip"), "content": pc.Space(64)})
    stream.first().apply(catalog)
    first, kinds = catalog.content_hash, []
    for change in stream.changes():
        change.apply(catalog)
        kinds.append(change.kind)
        # Straight from the rows, one film at a time.
        events, expected = change.events, {}
        for film in movielens.films.ids.tolist():
            mine = [ratings.take(ratings.items == film) for ratings in (kept, rest.take(np.arange(events)))]
            stars = np.concatenate([one.stars for one in mine])
            count, mean = tally.after(film, events)
            assert count == len(stars)
            if count:
                assert mean == stars.mean()
                expected[film] = count, mean, int(np.concatenate([one.times for one in mine]).max())
        found = held(catalog)
        if change.kind == "back" and events:
            # On the way back the films that appeared are gone first.
            assert found.items() <= expected.items()
        else:
            assert found == expected
    assert set(kinds) == {"rated", "appeared", "renewed", "back"}
    assert catalog.content_hash == first


def test_factors_are_folded_in_as_least_squares_has_it(parts):
    """Against the normal equations with the whole diagonal of confidences, over all users."""
    movielens, made, kept, rest = parts
    settings = features.CfSettings()
    users = made.users["cf"].astype(np.float64)
    for change in Stream(movielens, made, kept, rest, settings).changes():
        if change.kind not in ("renewed", "appeared"):
            continue
        (film,), ((found,)) = change.ids, change.vectors["cf"]
        stars = np.zeros(len(users))
        for ratings in (kept, rest.take(np.arange(change.events))):
            mine = ratings.take(ratings.items == film)
            stars[np.searchsorted(movielens.user_ids, mine.users)] = mine.stars
        confidence = np.where(stars > 0, settings.confidence * stars, 1.0)
        system = users.T @ np.diag(confidence) @ users + settings.regularization * np.eye(users.shape[1])
        expected = np.linalg.solve(system, users.T @ (confidence * (stars > 0)))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_run_reads_writes_and_checks(prepared):
    lines = []
    outcome = live.run(prepared, lines.append)
    assert lines and lines[-1].generation <= outcome.generations[1]
    assert outcome.reads > 0 and outcome.events > 0
    assert outcome.checked.generations == outcome.reads
    assert outcome.checked.compared == -(-outcome.reads // live.COMPARED_EVERY)
    assert outcome.checked.replayed >= 1
    assert outcome.generations[1] - outcome.generations[0] == sum(outcome.changes.values())
    assert outcome.log is None
    out = io.StringIO()
    show = show_live.Show(Console(file=out, width=80, highlight=False))
    show.begins(outcome.beginning)
    for line in lines:
        show.tell(line)
    show.ends(outcome)
    text = out.getvalue()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert f"{outcome.events:,}" in text and outcome.content_hash in text
    assert f"{outcome.checked.compared:,} slates" in " ".join(text.split())


def test_whole_passes_come_back_to_the_beginning(prepared):
    writer = Writer(prepared.catalog, prepared.stream)
    before = prepared.catalog.content_hash
    writer._one_pass()
    writer._one_pass()
    assert writer.passes == 2 and writer.events == 2 * len(prepared.stream)
    assert writer.beginnings == {before} and len(writer.ends) == 1 and before not in writer.ends
    assert writer.events_of(prepared.catalog.generation) == 0
    with pytest.raises(KeyError):
        writer.events_of(prepared.catalog.generation + 1)


@pytest.mark.parametrize("damage", ["popularity", "stars", "generation", "copy", "passes"])
def test_what_does_not_fit_is_found(prepared, damage):
    """Each check, given what a catalog that tore, went back or lost something would have given it."""
    writer, reads = Writer(prepared.catalog, prepared.stream), live._Reads()
    writer.start()
    live._read(prepared, 0.3, writer, reads, lambda _: None)
    writer.stop()
    live._check(prepared.catalog, writer, reads, prepared.tally)
    shown = reads.shown[-1]
    if damage in ("popularity", "stars"):
        values = list(getattr(shown, damage))
        values[-1] += 1e-7
        reads.shown[-1] = dataclasses.replace(shown, **{damage: values})
    elif damage == "generation":
        reads.shown[-1] = dataclasses.replace(shown, generation=10**9)
    elif damage == "copy":
        reads.copies[0][1].upsert(reads.copies[0][2].ids[:1], attributes={"popularity": [10**6]})
    else:
        writer.beginnings.add("another")
    with pytest.raises((RuntimeError, KeyError, pc.ReplayError)):
        live._check(prepared.catalog, writer, reads, prepared.tally)


def test_a_writer_that_fails_ends_the_run_with_its_error(prepared, monkeypatch):
    def broken(*_):
        raise LookupError("no more events")
        yield

    monkeypatch.setattr(prepared.stream, "changes", broken)
    with pytest.raises(LookupError, match="no more events"):
        live.run(prepared, lambda _: None)


def _parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="perso-core demo")
    cli.add_arguments(parser)
    return parser.parse_args(arguments)


def test_the_command_ends_with_zero_and_its_durable_catalog_can_be_opened(folder, tmp_path, capsys):
    kept = tmp_path / "kept"
    arguments = ("--live", "--seconds", "1", "--data", str(folder), "--durable", str(kept))
    assert cli.run(_parse(*arguments)) == 0
    out, err = capsys.readouterr()
    assert "Checked:" in out and "generation" in out and "the catalog opened again" in " ".join(out.split())
    assert "Catalog and stream" in err
    again = pc.Catalog.open(kept / live.FILE)
    assert again.content_hash in out
    # What a run left behind is not written over.
    assert cli.run(_parse(*arguments)) == 1
    assert f"expected a folder without a {live.FILE}" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_an_error_in_plain_words(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoError, match="--durable"):
        live.prepare(live.Options(folder, 5, 7, 1.0, tmp_path / "file" / "below"), Steps())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", "3"], "--seconds is for --live"),
        (["--durable", "x"], "--durable is for --live"),
        (["--live", "--user", "3"], "--user is for the tables"),
        (["--live", "--html", "x.html"], "--html is for the tables"),
    ],
)
def test_options_that_would_not_be_used_are_refused(arguments, message, capsys):
    assert cli.run(_parse(*arguments)) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "601", "1.5"])
def test_seconds_have_a_range(seconds, capsys):
    with pytest.raises(SystemExit):
        _parse("--live", "--seconds", seconds)
    assert "--seconds" in capsys.readouterr().err


def test_without_the_data_it_says_what_the_plain_demo_says(tmp_path, capsys):
    errors = []
    for arguments in ((), ("--live",)):
        assert cli.run(_parse(*arguments, "--data", str(tmp_path), "--no-progress")) == 1
        errors.append(capsys.readouterr().err)
    assert errors[0] == errors[1] and errors[0].startswith("perso-core demo: --data")
