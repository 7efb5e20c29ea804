"""The README's example works as printed, and prints what it says it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(encoding="utf-8"), re.S | re.M)


def test_the_example_runs_and_prints_what_is_printed(tmp_path: Path) -> None:
    (example,), (printed,) = blocks("python"), blocks("text")
    run = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8"
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == printed


def test_the_make_targets_that_it_names_exist() -> None:
    named = set(re.findall(r"^    make (\w+)", README.read_text(encoding="utf-8"), re.M))
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    assert named == {"demo", "test"}
    assert named <= set(re.findall(r"^(\w+):", makefile, re.M))


def test_the_files_that_it_links_exist() -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []
