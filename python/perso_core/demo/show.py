"""The demo on a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from . import metrics, policies
from .story import OneUser, Outcome, Row

# The term names of the score, as column heads short enough for 80 columns.
_HEADS = {"similarity.cf": "cf", "similarity.content": "text", "popularity": "pop", "freshness": "fresh"}


def show(outcome: Outcome, console: Console | None = None) -> None:
    """Print everything."""
    console = console or Console(highlight=False)
    console.print(
        f"\n[bold]perso_core {outcome.version}[/] ({outcome.isa}) on MovieLens-100K: {outcome.users} users, "
        f"{outcome.films:,} films, {outcome.kept:,} ratings to learn from, {outcome.held_out:,} held out. "
        f"Seed {outcome.seed}."
    )
    console.print(
        f"[dim]Catalog: {outcome.catalog_bytes:,} bytes on disk, content hash {outcome.catalog_hash}. "
        f"The clock of the decay stands at {outcome.at:%Y-%m-%d}.[/]"
    )
    _history(outcome.one, console)
    _slate(outcome.one, console)
    _summary(outcome, console)
    _trade_off(outcome, console)
    spent = ", ".join(f"{name} {seconds:.1f}" for name, seconds in outcome.seconds.items())
    console.print(f"\n[dim]Seconds: {spent}; {sum(outcome.seconds.values()):.1f} in all.[/]")


def head(term: str) -> str:
    """The short name of a score term."""
    return _HEADS.get(term, term)


def lead(outcome: Outcome, better: str, worse: str) -> str:
    """By how much one row of the table leads another, with what chance may account for."""
    first, second = outcome.row(better).quality, outcome.row(worse).quality
    recall = metrics.paired_difference(first.recall_of, second.recall_of)
    ndcg = metrics.paired_difference(first.ndcg_of, second.ndcg_of)
    return f"{better} - {worse}: recall@{metrics.K} {_interval(recall)}, nDCG@{metrics.K} {_interval(ndcg)}"


def _interval(difference: tuple[float, float, float]) -> str:
    mean, low, high = difference
    return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"


def _history(one: OneUser, console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), title_justify="left", title=f"User {one.user}: the latest of {one.ratings} ratings")
    table.add_column("rated", style="dim")
    table.add_column("stars", style="yellow")
    table.add_column("film")
    table.add_column("genres", style="dim")
    for seen in one.history:
        table.add_row(seen.day, "*" * seen.stars, seen.film.label, ", ".join(seen.film.genres))
    console.print()
    console.print(table)


def _slate(one: OneUser, console: Console) -> None:
    terms = list(one.slate[0].terms) if one.slate else []
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), title_justify="left", title=f"The slate for user {one.user}")
    table.add_column("#", justify="right", style="dim")
    table.add_column("film, genres, reason", ratio=1)
    table.add_column("score", justify="right", style="bold")
    for name in terms:
        table.add_column(head(name), justify="right")
    table.add_column("prob", justify="right", style="cyan")
    for place, shown in enumerate(one.slate, start=1):
        film = Text(shown.film.label, style="bold")
        if shown.held_out_stars is not None:
            film.append(f"  rated {shown.held_out_stars} later", style="green")
        film.append("\n" + ", ".join(shown.film.genres), style="not bold dim")
        film.append("\n" + shown.reason, style="not bold magenta" if shown.explored else "not bold italic")
        values = [f"{shown.terms[name]:.3f}" for name in terms]
        table.add_row(str(place), film, f"{shown.score:.3f}", *values, f"{shown.propensity:.4f}")
    console.print(table)
    notes = [
        f"score = {' + '.join(head(name) for name in terms)}, each already weighted; prob: the chance that this policy "
        "puts this film into this slot, given the slots above.",
        f"{len(one.slate)} of {one.k} slots filled, from {one.pool_size} candidates ({one.path} search), at most "
        f"{policies.GENRE_CAP} films of a genre.",
    ]
    if one.short_reason is not None:
        notes.append(f"Shorter than asked: {one.short_reason}")
    hits = sum(shown.held_out_stars is not None for shown in one.slate)
    notes.append(f"{hits} of the {one.held_out} films that the user went on to rate are in the slate.")
    notes.append(f"Decision record: {one.record_bytes:,} bytes of JSON; replayed from it, bit for bit. Policy {one.policy_hash}.")
    stages = ", ".join(f"{name} {micros:.0f}" for name, micros in one.timings_us.items())
    notes.append(f"Microseconds: {stages}.")
    for note in notes:
        console.print(Padding(Text(note, style="dim"), (0, 1)))


def _summary(outcome: Outcome, console: Console) -> None:
    k = metrics.K
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), title_justify="left", title=f"All {outcome.users} users, slates of {k}, against their last ten ratings")
    table.add_column("policy", no_wrap=True)
    for name in (f"recall@{k}", f"nDCG@{k}", "diversity", "genres", "coverage", "length", "us each"):
        table.add_column(name, justify="right")
    for row in outcome.table:
        table.add_row(*cells(row))
    console.print()
    console.print(table)
    notes = (
        "diversity: mean 1 - cosine over the pairs of a slate, in the text space; genres: mean Jaccard distance of "
        "their genre sets; coverage: share of all films that some user is shown; length: films per slate.",
        lead(outcome, "hybrid", "popularity alone") + "; 95 % intervals over users.",
        lead(outcome, "hybrid", "cf alone") + ".",
        lead(outcome, "hybrid + MMR", "hybrid") + ".",
    )
    for note in notes:
        console.print(Padding(Text(note, style="dim"), (0, 1)))


def cells(row: Row) -> list[str]:
    """One row of the table, formatted."""
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


def _trade_off(outcome: Outcome, console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), title_justify="left", title="Diversity against accuracy: the hybrid under MMR(d)")
    table.add_column("d", justify="right")
    for name in (f"recall@{metrics.K}", f"nDCG@{metrics.K}", "diversity", "genres", "coverage"):
        table.add_column(name, justify="right")
    for step in outcome.sweep:
        values = cells(Row("", step.quality, 0.0))[1:6]
        table.add_row(f"{step.diversity:.1f}", *values)
    console.print()
    console.print(table)
