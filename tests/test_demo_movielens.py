"""The demo on MovieLens-100K itself, where it can be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo_world import Steps, printed, without_timings
from perso_core.demo import cli, download, metrics, story
from perso_core.demo.errors import DemoError, require_extras


@pytest.fixture(scope="module")
def movielens() -> Path:
    try:
        require_extras()
        return download.find(None)
    except DemoError as error:
        pytest.skip(f"MovieLens-100K cannot be had here: {error}")


@pytest.mark.slow
def test_movielens_end_to_end(movielens, tmp_path):
    page = tmp_path / "report.html"
    command = [sys.executable, "-m", "perso_core", "demo", "--data", str(movielens), "--html", str(page)]
    run = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env={**os.environ, "COLUMNS": "200"}
    )
    assert run.returncode == 0, run.stderr

    outcome = story.tell(story.Options(None, cli.DEFAULT_USER, cli.DEFAULT_K, cli.DEFAULT_SEED), Steps())
    # Another process, the same bits.
    assert without_timings(run.stdout) == without_timings(printed(outcome))
    assert outcome.catalog_hash in page.read_text(encoding="utf-8")

    popular, factors, hybrid, mmr, explored, capped = (row.quality for row in outcome.table)
    for better, worse in ((hybrid, popular), (factors, popular), (mmr, popular), (explored, popular)):
        for one, other in ((better.recall_of, worse.recall_of), (better.ndcg_of, worse.ndcg_of)):
            mean, margin = metrics.paired_difference(one, other)
            assert mean > margin
    assert hybrid.recall > 0.24 and hybrid.ndcg > 0.21
    assert hybrid.ndcg >= factors.ndcg
    assert mmr.diversity > hybrid.diversity + 0.03
    assert explored.coverage > mmr.coverage + 0.1
    assert capped.genre_diversity > explored.genre_diversity
    assert all(row.quality.length == metrics.K for row in outcome.table)


@pytest.mark.slow
def test_movielens_live(movielens, tmp_path):
    command = [
        sys.executable,
        "-m",
        "perso_core",
        "demo",
        "--data",
        str(movielens),
        "--live",
        "--seconds",
        "3",
    ]
    run = subprocess.run(
        [*command, "--durable", str(tmp_path / "kept")], capture_output=True, text=True, encoding="utf-8"
    )
    assert run.returncode == 0, run.stderr
    # No terminal, so 80 columns of plain text.
    assert "\x1b" not in run.stdout
    assert "Checked:" in run.stdout and "to the same generation and content hash" in " ".join(
        run.stdout.split()
    )
