"""`bench/ope_obd.py` on made-up logs of the same form: it finds the value of the other policy, and fails when it does not."""

from __future__ import annotations

import csv
import gzip
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
ITEMS = 6


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT)
    yield importlib.import_module("bench.ope_obd")
    sys.modules.pop("bench.ope_obd")


def made(folder: Path, wrong: float = 1.0) -> None:
    """Logs of a uniform and an uneven policy; `wrong` is a factor on the propensities that the latter states."""
    (folder / "obd").mkdir()
    rng = np.random.default_rng(0)
    uneven = np.array([[0.3, 0.3, 0.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1, 0.3, 0.3], [1 / ITEMS] * ITEMS])
    rate = np.linspace(0.05, 0.4, ITEMS)
    for campaign in ("men", "women"):
        for policy, law, factor in (("random", np.full((3, ITEMS), 1 / ITEMS), 1), ("bts", uneven, wrong)):
            position = rng.integers(0, 3, 4000)
            item = (rng.random((4000, 1)) > law[position].cumsum(axis=1)).sum(axis=1).clip(max=ITEMS - 1)
            click = (rng.random(4000) < rate[item]).astype(int)
            with gzip.open(folder / "obd" / f"{policy}_{campaign}.csv.gz", "wt", newline="") as file:
                out = csv.writer(file)
                out.writerow(["item_id", "position", "click", "propensity_score"])
                out.writerows(zip(item, position + 1, click, law[position, item] * factor, strict=True))


def test_the_table_is_right(bench, tmp_path, capsys):
    # Sixteen comparisons within 4 standard errors: by chance one fails once in a thousand seeds.
    made(tmp_path)
    assert bench.main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.count("on policy") == 4 and out.count("| snips |") == 4 and out.count("| dr |") == 4


def test_wrong_propensities_fail(bench, tmp_path, capsys):
    made(tmp_path, wrong=0.5)
    assert bench.main([str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "FAILED: random from bts, men: ips" in printed.err
    assert "no support, or propensities that are wrong: the mean weight is 2" in printed.out


def test_a_folder_without_the_data_is_refused(bench, tmp_path, capsys, monkeypatch):
    with pytest.raises(SystemExit):
        bench.main([str(tmp_path)])
    assert "expected a folder with obd/ in it" in capsys.readouterr().err
    monkeypatch.delenv("PERSO_BENCH_DATA", raising=False)
    with pytest.raises(SystemExit):
        bench.main([])
