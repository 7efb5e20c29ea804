"""What `progress=` may be: nothing, True for a bar on standard error, or a function of (done, total)."""

from __future__ import annotations

import sys
from collections.abc import Callable

from . import _convert
from ._types import Progress

_WIDTH = 30


class Bar:
    """A bar that a terminal redraws in place. Where nobody watches, it prints a line when it is done."""

    def __init__(self, label: str, unit: str = "") -> None:
        self._label = label
        self._unit = unit and " " + unit
        self._drawn = ""
        self._live = sys.stderr is not None and sys.stderr.isatty()
        self._ended = False

    def __call__(self, done: int, total: int) -> None:
        """Tell how far it is."""
        if self._ended or total <= 0 or sys.stderr is None:
            return
        share = min(done / total, 1.0)
        full = int(share * _WIDTH)
        line = f"{self._label} [{'#' * full}{'.' * (_WIDTH - full)}] {share:4.0%} of {total:,}{self._unit}"
        self._ended = done >= total
        if self._live:
            if line != self._drawn or self._ended:
                sys.stderr.write("\r" + line + ("\n" if self._ended else ""))
                sys.stderr.flush()
                self._drawn = line
        elif self._ended:
            sys.stderr.write(f"{self._label}: {total:,}{self._unit} done\n")


def hook(progress: Progress, label: str, unit: str = "") -> Callable[[int, int], object] | None:
    """The function to call, if any."""
    if progress is None or callable(progress):
        return progress
    if progress is True:
        return Bar(label, unit)
    raise _convert.wrong_type(
        "progress", "None, True or a function of (done, total)", _convert.kind_of(progress)
    )
