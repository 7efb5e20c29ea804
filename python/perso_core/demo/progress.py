"""Progress bars on standard error, so that standard output holds nothing but results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class ProgressBars:
    """One bar per part; parts that are done keep their line."""

    def __init__(self, enabled: bool) -> None:
        self._console = Console(stderr=True)
        self._live = enabled and self._console.is_terminal
        self._lines = enabled and not self._live
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._live,
        )

    def __enter__(self) -> ProgressBars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @contextmanager
    def part(self, title: str, total: int | None) -> Iterator[Callable[[], None]]:
        """See `story.Bars`. Where standard error is not a terminal, one line per part when it is done."""
        start = time.perf_counter()
        task = self._progress.add_task(title, total=total)
        yield lambda: self._progress.advance(task)
        # A part without countable steps has been pulsing; now it is one of one.
        done = total if total is not None else 1
        self._progress.update(task, total=done, completed=done)
        if self._lines:
            self._console.print(f"{title}: {time.perf_counter() - start:.1f} s", highlight=False)
