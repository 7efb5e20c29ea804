"""The scripts in examples/ run as they stand."""

import subprocess
import sys
from pathlib import Path

import pytest

# federated.py needs ratings: tests/test_federated_example.py gives it some.
EXAMPLES = sorted(
    path for path in (Path(__file__).parent.parent / "examples").glob("*.py") if path.stem != "federated"
)


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_an_example_runs_and_repeats_itself(script, tmp_path):
    runs = [
        subprocess.run(
            [sys.executable, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        for _ in range(2)
    ]
    assert all(run.returncode == 0 for run in runs), runs[0].stderr
    assert runs[0].stdout == runs[1].stdout and "Slate" in runs[0].stdout
