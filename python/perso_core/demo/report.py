"""The demo as one HTML page: no script, no font, no image, nothing that is fetched."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_uppercase

from . import metrics, policies
from .errors import DemoError
from .show import (
    CAPS_NOTE,
    EXPLORED_NOTE,
    GAINS_TITLE,
    VARIED_NOTE,
    cells,
    click_model,
    gains,
    head,
    learnt_cells,
    varied_cells,
)
from .story import OneUser, Outcome

# The plot, in its own units; the page scales it.
WIDTH, HEIGHT = 720.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 20.0, 16.0, 52.0


@dataclass(frozen=True)
class Axis:
    """A linear scale from data to the plot, with round ticks."""

    low: float
    high: float
    start: float
    end: float
    ticks: list[float]

    def place(self, value: float) -> float:
        """Where a value lies in the plot."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(frozen=True)
class Mark:
    """A point with a short label, above it or to its left; `name` is what the legend says."""

    x: float
    y: float
    label: str
    name: str = ""
    left: bool = False


@dataclass(frozen=True)
class Plot:
    """Everything that the template draws."""

    width: float
    height: float
    x: Axis
    y: Axis
    curve: str
    steps: list[Mark]
    named: list[Mark]


def write(outcome: Outcome, path: Path) -> None:
    """Render the page and write it to `path`, whole or not at all."""
    page = render(outcome)
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(page, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DemoError(f"--html {path}: cannot write the report: {error}.") from error


def render(outcome: Outcome) -> str:
    """The page as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("perso_core.demo"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page: str = environment.get_template("report.html.j2").render(
        outcome=outcome,
        one=outcome.one,
        terms=[(name, head(name)) for name in _terms(outcome.one)],
        widest=_widest(outcome.one),
        rows=[cells(row) for row in outcome.table],
        steps=[(f"{step.diversity:.1f}", step.quality) for step in outcome.sweep],
        gains=gains(outcome),
        varied=[varied_cells(one) for one in outcome.varied],
        varied_note=VARIED_NOTE,
        learnt=[learnt_cells(one, outcome.learnt[0]) for one in outcome.learnt],
        learnt_note=EXPLORED_NOTE,
        click_model=click_model(outcome.world),
        gains_title=GAINS_TITLE,
        caps_note=CAPS_NOTE,
        k=metrics.K,
        genre_cap=policies.GENRE_CAP,
        plot=trade_off(outcome),
        number=_number,
    )
    return page


def trade_off(outcome: Outcome) -> Plot:
    """Diversity of a slate (x) against its nDCG (y): the sweep as a curve, the policies as points."""
    swept = [(step.quality.diversity, step.quality.ndcg, f"{step.diversity:.1f}") for step in outcome.sweep]
    named = [(row.quality.diversity, row.quality.ndcg, row.name.strip()) for row in outcome.table]
    x = axis([point[0] for point in swept + named], LEFT, WIDTH - RIGHT)
    y = axis([0.0] + [point[1] for point in swept + named], HEIGHT - BOTTOM, TOP)
    curve = " ".join(f"{x.place(a):.1f},{y.place(b):.1f}" for a, b, _ in swept)
    steps: list[Mark] = []
    for a, b, label in swept:
        here = Mark(x.place(a), y.place(b), label)
        # Where the curve is steep, a label above a point would lie on the way to the last one.
        steep = bool(steps) and abs(here.y - steps[-1].y) > abs(here.x - steps[-1].x)
        steps.append(replace(here, left=steep))
    # Names would lie over the curve and each other, so a policy is a letter and the legend tells which.
    letters = [
        Mark(x.place(a), y.place(b), letter, name)
        for (a, b, name), letter in zip(named, ascii_uppercase, strict=False)
    ]
    return Plot(WIDTH, HEIGHT, x, y, curve, steps, letters)


def axis(values: Sequence[float], start: float, end: float) -> Axis:
    """A scale over all `values`, widened to round ticks."""
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(first * step, last * step, start, end, [round(i * step, 10) for i in range(first, last + 1)])


def _terms(one: OneUser) -> list[str]:
    return list(one.slate[0].terms) if one.slate else []


def _widest(one: OneUser) -> float:
    """What a full bar stands for: the largest sum of positive terms in the slate."""
    sums = [sum(max(value, 0.0) for value in shown.terms.values()) for shown in one.slate]
    return max(sums, default=0.0) or 1.0


def _number(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}"
