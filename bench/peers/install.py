"""Installs the peers, one by one: `python -m bench.peers.install`, in the environment that is to hold them.

One that cannot be installed does not keep the others out. Why it could not is written down, and stands in the
report in its place; the next run tries again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

NOTES = Path(sys.prefix) / "bench-peers.json"


def requirements() -> dict[str, str]:
    """What each library needs, by library."""
    from .libs import ENGINES

    return {e.library: e.requirement for e in ENGINES if e.requirement is not None}


def failures(notes: Path = NOTES) -> dict[str, str]:
    """Why libraries could not be installed, by library."""
    try:
        return dict(json.loads(notes.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def pip(requirement: str) -> str | None:
    """None, or why it could not be installed."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement],
        capture_output=True,
        text=True,
    )
    return None if done.returncode == 0 else reason(done.stderr + done.stdout)


def reason(said: str) -> str:
    """The line of pip's output that says most."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["pip said nothing"])[-1].removeprefix("ERROR: ")[:300]


def install(
    wanted: dict[str, str], attempt: Callable[[str], str | None] = pip, notes: Path = NOTES
) -> dict[str, str]:
    """Tries each and writes down which failed. Returns these, with the reasons."""
    failed = {}
    for library, requirement in wanted.items():
        why = attempt(requirement)
        print(f"  {requirement}: {'installed' if why is None else f'FAILED: {why}'}", flush=True)
        if why is not None:
            failed[library] = f"{requirement}: {why}"
    notes.write_text(json.dumps(failed, indent=1) + "\n", encoding="utf-8")
    return failed


if __name__ == "__main__":
    install(requirements())
