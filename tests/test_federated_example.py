"""examples/federated.py on made-up ratings: it runs, repeats itself, and Flower gives the plain loop's figures."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rich", reason="the made-up ratings come from the demo's: pip install 'perso_core[demo]'")
pytest.importorskip("dp_accounting", reason="needs dp-accounting: pip install 'perso_core[federated]'")
import demo_world

SCRIPT = Path(__file__).parents[1] / "examples" / "federated.py"


@pytest.fixture(scope="module")
def ratings(tmp_path_factory) -> Path:
    return demo_world.tasteful(tmp_path_factory.mktemp("ratings"))


def printed(*arguments: str | Path) -> str:
    run = subprocess.run(
        [sys.executable, SCRIPT, "--small", *arguments], capture_output=True, text=True, encoding="utf-8"
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def figures(text: str) -> list[tuple[str, list[float]]]:
    """The lines of the table: what was trained, and noise, RMSE, recall and nDCG, without the seconds."""
    rows = re.findall(r"^(by popularity|central|federated, .*?) {2,}(.*) +\S+$", text, re.M)
    return [(name, [float(number) for number in rest.split()]) for name, rest in rows]


@pytest.fixture(scope="module")
def plain(ratings) -> str:
    return printed("--plain", "--data", ratings)


def test_it_prints_a_table_and_a_slate(plain):
    table = dict(figures(plain))
    assert list(table) == ["by popularity", "central", "federated, no noise", "federated, epsilon 8"]
    assert "Slate 'phone': 5 of k=5" in plain
    # Everybody likes one genre and rates mostly that, so whoever learns anything beats popularity.
    for trained in ("central", "federated, no noise"):
        assert table[trained][-2] > table["by popularity"][-2]
    assert table["federated, epsilon 8"][0] > 0.5


def test_it_repeats_itself(plain, ratings):
    assert figures(printed("--plain", "--data", ratings)) == figures(plain)


@pytest.mark.skipif(
    importlib.util.find_spec("flwr") is None,
    reason="Flower is not installed: pip install 'perso_core[examples]'",
)
def test_through_flower_it_is_the_same(plain, ratings):
    through = printed("--data", ratings)
    assert "Flower" in through.partition("\n")[0]
    assert figures(through) == figures(plain)
    # The factors too, as far as a slate shows them.
    assert through[through.index("Slate") :] == plain[plain.index("Slate") :]
