"""Inline SVG: curves of recall and rate, and bars. Colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from .results import Point

DASHES = ("", "7 3", "2 3", "9 3 2 3")
MARKS = ("circle", "square", "triangle", "diamond")

WIDTH, HEIGHT = 980, 500
LEFT, RIGHT, TOP, BOTTOM = 64, 282, 16, 46
LINE = 15  # between labels


@dataclass(frozen=True)
class Series:
    """A curve: the `number`-th of its library, which gives it its dash and its marker."""

    key: str
    label: str
    library: str
    ours: bool
    number: int
    points: Sequence[Point]


def curves(series: Sequence[Series], targets: Sequence[float]) -> str:
    """Recall to the right on a scale of 1 - recall, rate upwards, both logarithmic."""
    shown = {s.key: [p for p in s.points if p.recall >= 0.6] for s in series}
    series = [s for s in series if shown[s.key]]
    if not series:
        return "<p>Nothing was timed at a recall of .60 or more.</p>"
    recalls = [p.recall for s in series for p in shown[s.key]]
    rates = [p.qps for s in series for p in shown[s.key]]
    left, right = min(0.85, *recalls), 0.9995
    low, high = math.log10(min(rates) / 1.25), math.log10(max(rates) * 1.25)

    def x(recall: float) -> float:
        share = (_steep(min(recall, right)) - _steep(left)) / (_steep(right) - _steep(left))
        # Answers without a fault have a column of their own at the end.
        inner = WIDTH - LEFT - RIGHT - 40
        return LEFT + share * inner + (24 if recall > right else 0)

    def y(qps: float) -> float:
        return TOP + (high - math.log10(qps)) / (high - low) * (HEIGHT - TOP - BOTTOM)

    out = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="recall and queries a second">'
    ]
    out += _grid(left, right, low, high, targets, x, y)
    ends = []
    for s in series:
        places = [(x(p.recall), y(p.qps)) for p in shown[s.key]]
        ends.append((places[-1], s))
        out.append(_curve(s, shown[s.key], places))
    out += _labels(ends)
    out.append("</svg>")
    return "\n".join(out)


def _steep(recall: float) -> float:
    return -math.log10(1 - recall)


def _grid(
    left: float,
    right: float,
    low: float,
    high: float,
    targets: Sequence[float],
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> list[str]:
    out = []
    bottom, end = HEIGHT - BOTTOM, WIDTH - RIGHT
    ticks = [r for r in (0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999) if left <= r <= right]
    for recall in ticks:
        kind = "target" if any(abs(recall - t) < 1e-9 for t in targets) else "grid"
        out.append(
            f'<line class="{kind}" x1="{x(recall):.1f}" y1="{TOP}" x2="{x(recall):.1f}" y2="{bottom}"/>'
        )
        text = f"{recall:g}".lstrip("0")
        out.append(
            f'<text class="tick" x="{x(recall):.1f}" y="{bottom + 17}" text-anchor="middle">{text}</text>'
        )
    out.append(f'<text class="tick" x="{x(1.0):.1f}" y="{bottom + 17}" text-anchor="middle">1</text>')
    for power in range(math.floor(low), math.ceil(high) + 1):
        for step in (1, 2, 5):
            qps = step * 10.0**power
            if low <= math.log10(qps) <= high:
                out.append(f'<line class="grid" x1="{LEFT}" y1="{y(qps):.1f}" x2="{end}" y2="{y(qps):.1f}"/>')
                out.append(
                    f'<text class="tick" x="{LEFT - 8}" y="{y(qps) + 4:.1f}" text-anchor="end">{qps:,.0f}</text>'
                )
    middle = (LEFT + end) / 2
    out.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">recall@k</text>')
    out.append(
        f'<text class="axis" transform="rotate(-90 13 {HEIGHT / 2 - 20:.0f})" x="13" y="{HEIGHT / 2 - 20:.0f}"'
        ' text-anchor="middle">queries a second</text>'
    )
    return out


def _curve(s: Series, points: Sequence[Point], places: Sequence[tuple[float, float]]) -> str:
    kind = f"series lib-{s.library}" + (" ours" if s.ours else "")
    line = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
    out = [f'<g class="{kind}" data-key="{escape(s.key)}">', f'<polyline points="{line}"{_dash(s)}/>']
    for p, (px, py) in zip(points, places, strict=True):
        told = f"{s.label}, {p.label}: recall {p.recall:.4f}, {p.qps:,.0f} queries a second"
        out.append(f"<g>{mark(s.number, px, py)}<title>{escape(told)}</title></g>")
    return "".join([*out, "</g>"])


def _dash(s: Series) -> str:
    # The fifth of a library has the first one's marker, and another dash.
    dash = DASHES[(s.number + s.number // len(MARKS)) % len(DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def mark(number: int, x: float, y: float, size: float = 4.0) -> str:
    kind = MARKS[number % len(MARKS)]
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>'
    corners = {
        "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        "triangle": ((0, -1.25), (1.2, 0.95), (-1.2, 0.95)),
        "diamond": ((0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)),
    }[kind]
    path = " ".join(f"{x + size * 0.9 * dx:.1f},{y + size * 0.9 * dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{path}"/>'


def _labels(ends: Sequence[tuple[tuple[float, float], Series]]) -> list[str]:
    """Names in the margin, level with the ends of their curves as far as they do not meet; a click on one
    hides its curve."""
    order = sorted(ends, key=lambda pair: pair[0][1])
    heights: list[float] = []
    for (_, ey), _s in order:
        heights.append(max(ey, heights[-1] + LINE) if heights else max(ey, TOP + 6))
    # What was pushed over the edge pushes back.
    limit = float(HEIGHT - BOTTOM)
    for i in range(len(heights) - 1, -1, -1):
        heights[i] = min(heights[i], limit)
        limit = heights[i] - LINE
    out = []
    at = WIDTH - RIGHT + 10
    for ((ex, ey), s), hy in zip(order, heights, strict=True):
        kind = f"label lib-{s.library}" + (" ours" if s.ours else "")
        out.append(
            f'<g class="{kind}" data-key="{escape(s.key)}" tabindex="0" role="button">'
            f'<path class="leader" d="M{ex + 6:.1f} {ey:.1f} L{at - 4} {hy:.1f}"/>'
            f'<line class="swatch" x1="{at}" y1="{hy:.1f}" x2="{at + 24}" y2="{hy:.1f}"{_dash(s)}/>'
            f'{mark(s.number, at + 12, hy)}<text x="{at + 29}" y="{hy + 4:.1f}">{escape(s.label)}</text></g>'
        )
    return out


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    told: str
    ours: bool


def bars(found: Sequence[Bar], name: str) -> str:
    """The shortest first."""
    if not found:
        return f"<p>No figures for {escape(name)}.</p>"
    found = sorted(found, key=lambda b: b.value)
    row, left, width = 22, 232, 640
    most = max(b.value for b in found) or 1.0
    height = row * len(found) + 4
    out = [f'<svg class="bars" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(name)}">']
    for i, b in enumerate(found):
        top = i * row + 3
        long = max(1.0, max(0.0, b.value) / most * (width - left - 130))
        kind = "ours" if b.ours else "peer"
        out.append(
            f'<text class="{kind}" x="{left - 8}" y="{top + 12}" text-anchor="end">{escape(b.label)}</text>'
            f'<rect class="{kind}" x="{left}" y="{top}" width="{long:.1f}" height="{row - 7}" rx="2"/>'
            f'<text class="value" x="{left + long + 6:.1f}" y="{top + 12}">{escape(b.told)}</text>'
        )
    out.append("</svg>")
    return "\n".join(out)
