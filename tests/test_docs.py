"""The pages in docs/ work as printed: their Python blocks run in order and print what the text blocks say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("policies/*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.S | re.M)


def test_there_are_pages() -> None:
    assert PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_and_prints_what_is_printed(page: Path, tmp_path: Path) -> None:
    script, printed = "\n".join(blocks(page, "python")), "".join(blocks(page, "text"))
    # Such a page says that it runs in the root of a checkout.
    for name in re.findall(r'"(tests/files/[^"]+)"', script):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DOCS.parent / name, tmp_path / name)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stderr
    # A blank line between two blocks is theirs to have or not.
    assert re.sub(r"\n+", "\n", run.stdout).strip() == re.sub(r"\n+", "\n", printed).strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_names_that_a_page_uses_exist(page: Path) -> None:
    import perso_core as pc

    for module, name in re.findall(
        r"pc\.(ope|interleave|drift|exposure|agreement|counterfactual|records)\.(\w+)",
        page.read_text("utf-8"),
    ):
        assert hasattr(getattr(pc, module), name), f"pc.{module}.{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_files_that_a_page_links_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
