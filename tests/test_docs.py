"""The examples in docs/ run as they stand, and the files that pages link are there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs" / "policies").glob("*.md"))


def test_there_are_pages():
    assert {"mmr", "dpp", "spread", "calibrated"} <= {page.stem for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run_and_links_lead_somewhere(page, tmp_path):
    text = page.read_text(encoding="utf-8")
    examples = re.findall(r"^```python\n(.*?)^```$", text, re.S | re.M)
    assert examples or page.stem == "README"
    for example in examples:
        assert "assert " in example
        run = subprocess.run(
            [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8"
        )
        assert run.returncode == 0, run.stderr
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
