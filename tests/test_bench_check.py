"""The gate's arithmetic: what fails, what is only said, how often chance alone would raise it. No time is taken."""

import json
import math
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bench import callgrind, check, compare, machine, pairs

RUST = {"rustc": "1.95.0", "flags": ""}
PYTHON = {"python": "3.11", "numpy": "2.4.6"} | RUST
HERE = {"rust": RUST, "python": PYTHON}


def record(**counts):
    return {
        "schema": compare.SCHEMA,
        "toolchain": HERE,
        "instructions": {name.replace("_", "-"): count for name, count in counts.items()},
    }


def rows_of(now, before, toolchain=HERE, quick=False, scenarios=None):
    rows = compare.compare(now, before, scenarios or now, toolchain, quick)
    return {row.name: row for row in rows}


@pytest.mark.parametrize(
    ("now", "verdict", "fails"),
    [
        (1050, "ok", False),
        (1051, "WORSE", True),
        (950, "ok", False),
        (949, "better: record it", False),
        (1000, "ok", False),
    ],
)
def test_five_percent_is_the_limit(now, verdict, fails):
    row = rows_of({"scan": now}, record(scan=1000))["scan"]
    assert (row.verdict, row.fails) == (verdict, fails)


def test_a_failure_names_the_scenario_and_the_command():
    rows = compare.compare({"scan": 1100, "dot": 10}, record(scan=1000, dot=10), ["scan", "dot"], HERE)
    text = compare.advice(rows)
    assert "scan (+10.0%)" in text and "dot" not in text
    assert "make bench-check ARGS=--update" in text
    line = next(line for line in compare.table(rows).splitlines() if line.startswith("scan"))
    assert line.split() == ["scan", "1,000", "1,100", "+10.0%", "WORSE"]


def test_the_command_that_is_named_is_one():
    root = machine.ROOT
    assert re.search(r"^bench-check:.*##", (root / "Makefile").read_text(), re.MULTILINE)
    assert "ARGS" in (root / "Makefile").read_text()
    shown = subprocess.run(
        [sys.executable, "-m", "bench.check", "--help"], cwd=root, capture_output=True, text=True, check=True
    )
    assert "--update" in shown.stdout


def test_a_scenario_that_is_gone_fails():
    rows = rows_of({"scan": 1000}, record(scan=1000, dot=10))
    assert rows["dot"].fails and rows["dot"].verdict == "GONE"
    assert "dot" in compare.advice(rows.values())


def test_a_scenario_that_was_left_out_is_not_gone():
    rows = rows_of({"scan": 1000}, record(scan=1000, dot=10), scenarios=["scan", "dot"])
    assert list(rows) == ["scan"]


def test_a_new_scenario_asks_to_be_recorded():
    for before in (record(dot=10), None):
        row = rows_of({"scan": 1000}, before, scenarios=["scan", "dot"])["scan"]
        assert not row.fails and row.verdict == "new: record it"
        assert compare.RECORD_COMMAND in compare.advice([row])


def test_another_compiler_widens_the_limit():
    other = HERE | {"rust": RUST | {"rustc": "1.99.0"}}
    before = record(scan=1000, python_search=1000)
    now = {"scan": 1200, "python-search": 1200}
    rows = rows_of(now, before, other)
    assert not rows["scan"].fails and rows["scan"].verdict == "other toolchain"
    assert rows["python-search"].fails  # its own toolchain is the record's
    assert rows_of({"scan": 1251}, before, other, scenarios=now)["scan"].fails
    assert not rows_of({"scan": 1251}, before, other, quick=True, scenarios=now)["scan"].fails
    (sentence,) = compare.toolchains(before, other)
    assert "1.95.0" in sentence and "1.99.0" in sentence
    assert compare.toolchains(before, HERE) == []


def test_a_record_of_another_schema_is_refused():
    with pytest.raises(ValueError, match=r"expected 'perso_core.instructions/1', got 'x/1'"):
        compare.compare({"scan": 1}, {"schema": "x/1"}, ["scan"], HERE)


def test_the_record_in_the_repository_is_whole():
    document = json.loads(check.RECORD.read_text())
    assert document["schema"] == compare.SCHEMA and document["isa"] == "avx2"
    assert {"rust", "python"} <= set(document["toolchain"])
    counts = document["instructions"]
    assert counts and all(isinstance(count, int) and count > 0 for count in counts.values())
    # Every scenario that the sources name is recorded, and nothing else is.
    source = (machine.ROOT / "rust/bench/src/scenarios/mod.rs").read_text()
    named = set(re.findall(r'^    (?:quick|full)\("([^"]+)"', source, re.MULTILINE))
    assert len(named) > 15
    assert set(counts) == named | set(callgrind.python_calls.SCENARIOS)


def test_totals_of_callgrind_are_read():
    assert callgrind.parse_total("events: Ir\nfn=(1) x\n5 7\ntotals: 1234\n") == 1234
    assert callgrind.parse_total("summary: 99\ntotals: 99\n") == 99
    assert callgrind.parse_total("events: Ir\n") == 0


def test_what_cannot_be_counted_is_said(monkeypatch, capsys):
    monkeypatch.setattr(callgrind.shutil, "which", lambda name: None)
    monkeypatch.setattr(callgrind.platform, "system", lambda: "Linux")
    monkeypatch.setattr(callgrind.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(callgrind.Path, "read_text", lambda self: "flags : avx2 fma f16c\n")
    assert check.counts(Path("nowhere"), Path("nowhere"), None) == 3
    assert "NOT TAKEN: valgrind is not installed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("p", "freedom", "expected"),
    # Tables of Student's t; the last is close to the normal quantile.
    [(0.999, 6, 5.208), (0.999, 12, 3.930), (0.95, 10, 1.812), (0.999, 1e6, 3.090)],
)
def test_quantiles_of_t(p, freedom, expected):
    assert pairs.t_quantile(p, freedom) == pytest.approx(expected, abs=6e-4)


def test_a_fall_is_flagged_and_a_rise_is_not():
    before = {"a": [0.5, 0.51, 0.49, 0.5, 0.5, 0.51, 0.49]}
    shifted = lambda by: {"a": [x + math.log(by) for x in before["a"]]}  # noqa: E731
    flagged = lambda by: pairs.judge(shifted(by), before)[0].flagged  # noqa: E731
    assert flagged(0.85) and not flagged(0.95) and not flagged(1.5)
    (row,) = pairs.judge(shifted(0.85), before)
    assert row.recorded == pytest.approx(math.exp(0.5), rel=1e-3) and row.verdict == "SLOWER"
    (new,) = pairs.judge({"b": [0.1, 0.2]}, before)
    assert not new.flagged and new.verdict == "new: record it"


def test_noisy_ratios_need_a_larger_fall():
    before = {"a": [0.0, 0.3, -0.3, 0.25, -0.25, 0.1, -0.1]}
    now = {"a": [x - 0.2 for x in before["a"]]}
    assert not pairs.judge(now, before)[0].flagged
    assert pairs.noise([0.1], [0.1, 0.2]) == math.inf


def test_the_false_alarm_rate_is_the_one_stated(monkeypatch):
    # Without the floor, so that the noise decides. 4000 draws at a rate of 1/1000 give 4 on average; 17 or more
    # have probability below 1e-5 at the stated rate (Poisson), and the seed is fixed.
    monkeypatch.setattr(pairs, "FLOOR", 0.0)
    rng = random.Random(11)

    def draw():
        return {"a": [rng.gauss(0.4, 0.03) for _ in range(pairs.PROCESSES)]}

    alarms = sum(pairs.judge(draw(), draw())[0].flagged for _ in range(4000))
    assert alarms < 17


def test_the_machine_is_described():
    found = machine.describe()
    json.dumps(found)
    assert {"cpu", "system", "versions", "commit", "command"} <= set(found)
    assert found["cpu"]["cores"] >= 1 and found["versions"]["packages"]["numpy"]
    assert "/" not in found["command"].split(" ")[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-[a-z0-9_-]+", machine.record_folder().name)


def test_a_folder_keeps_the_commands_of_earlier_calls(tmp_path):
    machine.write(tmp_path / "run", commands=["make bench-peers"])
    path = machine.write(tmp_path / "run", commands=["make bench", "make bench-peers"])
    assert json.loads(path.read_text())["commands"] == ["make bench-peers", "make bench"]
