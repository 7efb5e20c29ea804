"""The demo on a terminal; fits 80 columns, uses more where there are more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from . import metrics, policies
from .simulate import PRIOR, Learnt, World
from .story import OneUser, Outcome, Row, Shown, Varied

# Widths of the slate's columns.
_PLACE, _NUMBER, _LEAST_FILM = 4, 7, 16
# The term names of the score, as column heads of less than _NUMBER characters.
_HEADS = {"similarity.cf": "cf", "similarity.content": "text", "popularity": "pop", "freshness": "fresh"}

CAPS_NOTE = (
    f"At most {policies.GENRE_CAP} of a genre is a rule for one screen of about ten films. Over {metrics.K} "
    "slots it leaves little but rare genres, hence its price."
)
GAINS_TITLE = "What each step changes, with the 95 % interval over users"


def show(outcome: Outcome, console: Console | None = None) -> None:
    """Print everything."""
    console = console or Console(highlight=False)
    console.print(
        f"\n[bold]perso_core {outcome.version}[/] ({outcome.isa}) on MovieLens-100K: {outcome.users} users, "
        f"{outcome.films:,} films, {outcome.kept:,} ratings to learn from, {outcome.held_out:,} held out. "
        f"Seed {outcome.seed}."
    )
    put_notes(
        console,
        f"Catalog of {outcome.catalog_bytes:,} bytes, saved and opened. Content hash {outcome.catalog_hash}. "
        f"The clock stands at {outcome.at:%Y-%m-%d}.",
    )
    _history(outcome.one, console)
    _slate(outcome.one, console)
    _summary(outcome, console)
    _trade_off(outcome, console)
    _diversity(outcome, console)
    _exploration(outcome, console)
    spent = ", ".join(f"{name} {seconds:.1f}" for name, seconds in outcome.seconds.items())
    put_notes(console, f"Seconds: {spent}; {sum(outcome.seconds.values()):.1f} in all.")


def head(term: str) -> str:
    """The short name of a score term."""
    return _HEADS.get(term, term)


def cells(row: Row) -> list[str]:
    """One row of the summary, formatted."""
    q = row.quality
    return [
        row.name,
        f"{q.recall:.4f}",
        f"{q.ndcg:.4f}",
        f"{q.diversity:.3f}",
        f"{q.genre_diversity:.3f}",
        f"{q.coverage:.1%}",
        f"{q.length:.2f}",
        f"{row.micros:.0f}",
    ]


def gains(outcome: Outcome) -> list[tuple[str, str, str]]:
    """Per step: what it is, and how it changes recall and nDCG."""
    rows = outcome.table
    hybrid = [row.name for row in rows].index("hybrid")
    # The hybrid stands on its own next to each simpler policy; from there on every row adds to the last one.
    steps = [(f"hybrid, next to {row.name}", rows[hybrid], row) for row in rows[:hybrid]]
    steps += [(f"adding {rows[i].adds}", rows[i], rows[i - 1]) for i in range(hybrid + 1, len(rows))]
    return [
        (
            title,
            _change(one.quality.recall_of, other.quality.recall_of),
            _change(one.quality.ndcg_of, other.quality.ndcg_of),
        )
        for title, one, other in steps
    ]


def varied_cells(one: Varied) -> list[str]:
    """One row of the kinds of diversity, formatted."""
    return [one.name, *cells(Row("", "", one.quality, 0.0))[1:6], f"{one.miscalibration:.3f}"]


def learnt_cells(one: Learnt, first: Learnt) -> list[str]:
    """One row of the explorers, formatted; `first` is what the others stand beside."""
    beside = "" if one is first else "{:+.0f} ±{:.0f}".format(*one.beside(first))
    return [
        one.name,
        "{:.0f} ±{:.0f}".format(*one.final),
        beside,
        "{:.1f} ±{:.1f}".format(*one.late),
        f"{one.log_propensity:.2f}",
        f"{one.support:.0%}",
    ]


def click_model(world: World) -> str:
    """The made-up world, in words."""
    return (
        f"Simulated, not MovieLens: {world.seeds} worlds of {world.items} items, whose click rates are drawn from "
        f"Beta({PRIOR[0]:g}, {PRIOR[1]:g}). A reader looks at the first of {world.k} slots and from each slot on to "
        f"the next with probability {world.look_on}; an item that is looked at is clicked at its rate, whatever stands "
        f"around it, and the log knows what was looked at. {world.rounds} rounds of {world.requests} requests; between "
        "rounds the counts of clicks and skips go into the catalog, and the policies rank by the posterior mean. "
        "Parameters are not tuned to this world."
    )


EXPLORED_NOTE = (
    "regret: expected clicks lost beside a slate of the best rates, ± standard error over worlds; - greedy: paired "
    "difference from greedy; late: regret of 100 requests in the last fifth of the rounds; log p: mean "
    "log-probability of a slate (for Thompson sampling estimated); support: share of the eligible items that a slot could "
    "have shown, without which the log cannot evaluate another policy. Without diversity, softmax and Plackett-Luce "
    "are one."
)
VARIED_NOTE = (
    "KL: divergence of a slate's genres from those of what the user has seen, in nats, 0 for the same shares. Each kind at "
    "the last strength tried that cost at most 3 % of nDCG on a validation split. Calibrated pays in nDCG and hardly in "
    "recall, for it fills shares in the first slots, where nDCG looks. MMR, DPP and Spread compare by a text space that is "
    "mostly genres, so they mend shares on the way."
)


def _diversity(outcome: Outcome, console: Console) -> None:
    table = new_table("The hybrid under every kind of diversity", console)
    table.add_column("diversity", no_wrap=True)
    for name in ("recall", "nDCG", "divers.", "genres", "cover.", "KL"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in outcome.varied:
        table.add_row(*varied_cells(one))
    console.print(table)
    put_notes(console, VARIED_NOTE)


def _exploration(outcome: Outcome, console: Console) -> None:
    table = new_table("What exploring costs, and what it teaches", console)
    table.add_column("explorer", no_wrap=True)
    for name in ("regret", "- greedy", "late", "log p", "support"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in outcome.learnt:
        table.add_row(*learnt_cells(one, outcome.learnt[0]))
    console.print(table)
    put_notes(console, click_model(outcome.world), EXPLORED_NOTE)


def _change(one: NDArray[np.float64], other: NDArray[np.float64]) -> str:
    mean, margin = metrics.paired_difference(one, other)
    return f"{mean:+.4f} ±{margin:.4f}"


def _history(one: OneUser, console: Console) -> None:
    table = new_table(f"User {one.user}: the latest of {one.ratings} ratings", console)
    table.add_column("rated", style="dim", no_wrap=True)
    table.add_column("stars", style="yellow", no_wrap=True)
    table.add_column("film")
    table.add_column("genres", style="dim")
    for seen in one.history:
        table.add_row(seen.day, "*" * seen.stars, Text(seen.film.label), Text(", ".join(seen.film.genres)))
    console.print(table)


def _slate(one: OneUser, console: Console) -> None:
    terms = list(one.slate[0].terms) if one.slate else []
    heads = ["score", *(head(name) for name in terms), "prob"]
    # Not a rich table, because genres and reason run below the numbers over the whole width.
    room = max(console.width - _PLACE - _NUMBER * len(heads), _LEAST_FILM)
    console.print(f"\n[italic]The slate for user {one.user}[/]\n")
    titles = " " * _PLACE + "film".ljust(room) + "".join(name.rjust(_NUMBER) for name in heads)
    _uncut(console, Text(titles, style="bold"))
    _uncut(console, Text("─" * len(titles), style="dim"))
    for place, shown in enumerate(one.slate, start=1):
        _slot(place, shown, room, console)
    console.print()
    notes = [
        f"score = {' + '.join(head(name) for name in terms)}, all weighted. prob: the chance that this "
        "policy puts this film into this slot, given the slots above.",
        f"{len(one.slate)} of {one.k} slots filled from {one.pool_size} candidates ({one.path} search), "
        f"at most {policies.GENRE_CAP} films of a genre.",
    ]
    if one.short_reason is not None:
        notes.append(f"Shorter than asked: {one.short_reason}.")
    hits = sum(shown.held_out_stars is not None for shown in one.slate)
    notes += [
        f"{hits} of the {one.held_out} films that the user went on to rate are in the slate.",
        f"Decision record: {one.record_bytes:,} bytes of JSON; replayed from it, bit for bit.",
        f"Policy {one.policy_hash}",
        "Stages, in µs: " + ", ".join(f"{name} {micros:.0f}" for name, micros in one.timings_us.items()),
    ]
    put_notes(console, *notes)


def _slot(place: int, shown: Shown, room: int, console: Console) -> None:
    film = Text(shown.film.label, style="bold")
    film.truncate(room, overflow="ellipsis", pad=True)
    line = Text(f"{place:>{_PLACE - 2}}  ")
    line.append_text(film)
    line.append(f"{shown.score:{_NUMBER}.3f}", style="bold")
    line.append("".join(f"{value:{_NUMBER}.3f}" for value in shown.terms.values()))
    line.append(f"{shown.propensity:{_NUMBER}.4f}", style="cyan")
    _uncut(console, line)
    genres = Text(", ".join(shown.film.genres), style="dim")
    if shown.held_out_stars is not None:
        genres = Text.assemble(genres, ("  rated " + "*" * shown.held_out_stars + " later", "green"))
    reason = Text(shown.reason, style="magenta" if shown.explored else "italic")
    for text in (genres, reason):
        console.print(Padding(text, (0, 0, 0, _PLACE)))


def _summary(outcome: Outcome, console: Console) -> None:
    k = metrics.K
    table = new_table(f"All {outcome.users} users: slates of {k} against their last ten ratings", console)
    table.add_column("policy", no_wrap=True)
    for name in ("recall", "nDCG", "divers.", "genres", "cover.", "length", "µs"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in outcome.table:
        table.add_row(*cells(row))
    console.print(table)
    put_notes(
        console,
        f"recall@{k} counts every held-out film, nDCG@{k} takes its stars as gain. divers.: mean 1 - cosine "
        "over the pairs of a slate, in the text space; genres: mean Jaccard distance of their genres; "
        "cover.: share of the films that anyone is shown; length: films per slate; µs: wall time per slate.",
        CAPS_NOTE,
    )
    table = new_table(GAINS_TITLE, console)
    table.add_column("", no_wrap=True)
    table.add_column("recall", justify="right", no_wrap=True)
    table.add_column("nDCG", justify="right", no_wrap=True)
    for gain in gains(outcome):
        table.add_row(*gain)
    console.print(table)


def _trade_off(outcome: Outcome, console: Console) -> None:
    table = new_table("Diversity against accuracy: the hybrid under MMR(d)", console)
    for name in ("d", "recall", "nDCG", "divers.", "genres", "cover."):
        table.add_column(name, justify="right", no_wrap=True)
    for step in outcome.sweep:
        table.add_row(f"{step.diversity:.1f}", *cells(Row("", "", step.quality, 0.0))[1:6])
    console.print(table)


def new_table(title: str, console: Console) -> Table:
    """A table whose title is printed already."""
    # A title of the table itself would be wrapped to the width of the table.
    console.print(f"\n[italic]{title}[/]")
    # Sides as narrow as they go: the widest table has to fit.
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False)


def put_notes(console: Console, *notes: str) -> None:
    """Dim lines under what they are about."""
    for note in notes:
        console.print(Padding(Text(note, style="dim"), (0, 1)))


def _uncut(console: Console, line: Text) -> None:
    console.print(line, no_wrap=True, overflow="crop")
