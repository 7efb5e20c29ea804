"""`--live` on a terminal: a line a second while it runs, then what it came to. Fits 80 columns."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from .live import Beginning, Outcome, Second
from .show import new_table, put_notes
from .stream import BATCH, RENEWED_AT

_COLUMNS = ("s", "reads/s", "p50 µs", "p99 µs", "events/s", "writes/s", "generation", "stream")
_WIDTHS = (4, 9, 8, 8, 10, 10, 12, 15)


class Show:
    """Prints each part as it comes."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    def begins(self, beginning: Beginning) -> None:
        """What there is before the first event, and the heads of the columns."""
        b = beginning
        self._console.print(
            f"\n[bold]perso_core {b.version}[/] ({b.isa}) on MovieLens-100K, live: {b.films:,} films that "
            f"{b.users} users gave the first {b.learnt:,} ratings to; a second thread streams the other "
            f"{b.streamed:,} into the catalog, again and again, while this one ranks {b.k} films for one user after "
            f"another for {b.seconds:g} seconds. Seed {b.seed}."
        )
        put_notes(
            self._console,
            f"A write is one change, seen whole or not at all: counters and mean stars of up to {BATCH} ratings, the "
            f"renewed factors of a film whose ratings have grown {RENEWED_AT:g}-fold, or a film that is new.",
        )
        if b.durable is not None:
            put_notes(
                self._console, f"Every write is in the log in {b.durable}, synced, before anyone sees it."
            )
        self._console.print()
        self._line(_COLUMNS, "bold")

    def tell(self, second: Second) -> None:
        """One line."""
        self._line(cells(second), "")

    def ends(self, outcome: Outcome) -> None:
        """What it came to, and what was checked."""
        o = outcome
        rows = [
            ("slates", f"{o.reads:,}", f"{o.reads / o.seconds:,.0f} /s"),
            ("  µs each", f"{o.micros[0]:,.0f}", spread(o.micros)),
            ("  before the stream", f"{o.alone[0]:,.0f}", spread(o.alone)),
            ("rating events", f"{o.events:,}", f"{o.events / o.seconds:,.0f} /s"),
            ("writes", f"{sum(o.changes.values()):,}", f"{sum(o.changes.values()) / o.seconds:,.0f} /s"),
            *(("  " + kind, f"{count:,}", _KINDS[kind]) for kind, count in o.changes.items()),
            ("films written", f"{o.films_written:,}", f"{o.films_written / o.seconds:,.0f} /s"),
            ("passes", f"{o.passes:,}", "of the stream, whole ones"),
            ("generations", f"{o.generations[0]:,}", f"to {o.generations[1]:,}"),
        ]
        if o.log is not None:
            rows.append(("log", f"{o.log.bytes:,}", f"bytes; {o.log.checkpoints} checkpoints"))
        out = new_table(f"{o.seconds:.1f} seconds", self._console)
        out.show_header = False
        out.add_column("", no_wrap=True)
        out.add_column("", justify="right", no_wrap=True)
        out.add_column("")
        for row in rows:
            out.add_row(*row)
        self._console.print(out)
        self._console.print(Padding(Text(checked(o)), (0, 1)))
        put_notes(self._console, f"{o.films:,} films at the end, content hash {o.content_hash}.")

    def _line(self, cells: tuple[str, ...], style: str) -> None:
        text = "".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
        self._console.print(Text(text, style=style), no_wrap=True, overflow="crop")


_KINDS = {
    "rated": "attributes alone",
    "appeared": "a film's first rating",
    "renewed": "a film's factors folded in from its raters",
    "back": "all as before the stream",
}


def cells(second: Second) -> tuple[str, ...]:
    """One line, formatted."""
    s = second
    return (
        f"{s.at:.0f}",
        f"{s.reads:,.0f}",
        f"{s.p50:,.0f}",
        f"{s.p99:,.0f}",
        f"{s.events:,.0f}",
        f"{s.changes:,.0f}",
        f"{s.generation:,}",
        f"pass {s.passes + 1} {s.through:4.0%}",
    )


def checked(outcome: Outcome) -> str:
    """What held, in one sentence."""
    c = outcome.checked
    text = (
        f"Checked: {c.generations:,} generations that never went back; {c.compared:,} slates that each had, of all "
        "their films, the numbers of exactly one generation, counted again from the ratings; "
        f"{c.replayed} records replayed bit for bit against copies of the catalog taken at the time "
        f"({c.moved_on} of which it had moved on from)"
    )
    if c.passes:
        times = "once" if c.passes == 1 else f"{c.passes} times, each time from the same one,"
        text += f"; the stream set back {times} to the content hash of the beginning"
    if outcome.log is not None:
        text += (
            f"; the catalog opened again from its files in {outcome.log.open_seconds:.2f} s, with {outcome.log.changes:,} "
            "logged changes, to the same generation and content hash"
        )
    return text + "."


def spread(micros: list[float]) -> str:
    """What stands beside a median."""
    return "median; p90 {:,.0f}, p99 {:,.0f}, p99.9 {:,.0f}".format(*micros[1:])
