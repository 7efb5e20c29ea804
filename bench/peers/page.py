"""The report as one HTML page: it fetches nothing, so it can be sent and kept as it is."""

from __future__ import annotations

import re
from html import escape

from . import markdown, plot, results
from .results import Json

# Okabe and Ito's colours, which all common kinds of colour vision tell apart, darker or lighter where the
# ground wants it; dashes and markers say the same without colour.
STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #1b1f24; --soft: #5b6570; --line: #d9dee3; --mark: #9aa4ae;
  --ours: #0060a8; --hnswlib: #b06f00; --faiss: #c44e00; --usearch: #b0508a; --scann: #00795a; --rabitqlib: #1b1f24;
  --svs: #7a6a00; --numpy: #78828c; --peer: #a9b3bd; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181c; --text: #e6eaee; --soft: #a3adb7; --line: #2e353c;
  --mark: #6b7680; --ours: #56b4e9; --hnswlib: #e69f00; --faiss: #ff8a4a; --usearch: #e39cc6; --scann: #2fc79b;
  --rabitqlib: #f4f6f8; --svs: #e5d93c; --numpy: #98a2ac; --peer: #5d6873; --bad: #ff8a80; } }
body { font: 15px/1.5 system-ui, sans-serif; background: var(--ground); color: var(--text); max-width: 1080px;
  margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 8px; } h2 { font-size: 21px; margin: 44px 0 4px; border-top: 1px solid var(--line);
  padding-top: 22px; } h3 { font-size: 16px; margin: 26px 0 8px; }
p, li { color: var(--soft); } p.said { color: var(--text); } strong { color: var(--text); } code { font-size: 13px;
  overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 9px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
tr.ours td { color: var(--ours); font-weight: 600; } .bad, .bad strong { color: var(--bad); }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; display: block; }
.grid { stroke: var(--line); } .target { stroke: var(--mark); stroke-dasharray: 4 3; }
.tick, .axis { fill: var(--soft); } .series polyline { fill: none; stroke: var(--c); stroke-width: 1.6; }
.series circle, .series polygon { fill: var(--c); stroke: var(--ground); stroke-width: .8; }
.series.ours polyline { stroke-width: 2.8; } .label { cursor: pointer; } .label text, .label circle, .label polygon {
  fill: var(--c); } .swatch { stroke: var(--c); stroke-width: 1.6; } .label.ours .swatch { stroke-width: 2.8; }
.label.ours text { font-weight: 700; } .leader { stroke: var(--c); opacity: .35; fill: none; }
.label.off { opacity: .35; } .series.off { display: none; } .label.off .leader { display: none; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(460px, 1fr)); gap: 8px 28px; }
.bars text { fill: var(--text); } .bars text.ours { fill: var(--ours); font-weight: 700; } .bars .value {
  fill: var(--soft); } rect.ours { fill: var(--ours); } rect.peer { fill: var(--peer); }
""" + "\n".join(
    f".lib-{name} {{ --c: var(--{variable}); }}"
    for name, variable in (
        ("perso_core", "ours"),
        *((n, n) for n in ("hnswlib", "faiss", "usearch", "scann", "rabitqlib", "svs", "numpy")),
    )
)

SCRIPT = """
for (const label of document.querySelectorAll(".label")) {
  const flip = () => {
    label.classList.toggle("off");
    for (const one of label.closest("svg").querySelectorAll(".series"))
      if (one.dataset.key === label.dataset.key) one.classList.toggle("off");
  };
  label.addEventListener("click", flip);
  label.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); flip(); } });
}
"""


def render(document: Json) -> str:
    body = ["<h1>This library and its peers</h1>"]
    body += [f"<p>{escape(line)}</p>" for line in markdown.machine(document)]
    body.append(f"<p><code>{escape(document['command'])}</code></p>")
    if not document["complete"]:
        body.append(
            '<p class="bad">The run did not come to its end. What follows was measured until then.</p>'
        )
    missing = results.failed(document)
    if missing:
        lines = "".join(
            f"<li>{escape(s)}: <strong>{escape(n)}</strong>: {escape(w)}</li>" for s, n, w in missing
        )
        body.append(f'<h3>Did not run</h3><ul class="bad">{lines}</ul>')
    for one in document["sets"]:
        body += _set(one, document["options"])
    lines = "".join(f"<li>{_rich(line)}</li>" for line in markdown.method(document))
    body.append(f"<h2>How it was measured</h2><ul>{lines}</ul>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>This library and its peers</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + f"\n<script>{SCRIPT}</script></body></html>\n"
    )


def _set(one: Json, options: Json) -> list[str]:
    out = [f"<h2>{escape(markdown.title(one))}</h2>", f"<p>{escape(markdown.source(one))}</p>"]
    for k in options["ks"]:
        out.append(f"<h3>Recall and rate, k = {k}</h3>")
        out.append(f'<div class="wide">{plot.curves(_series(one, k), options["targets"])}</div>')
        out.append(
            "<p>Up and to the right is better. A click on a name hides its curve; points tell their setting.</p>"
        )
        out.append(_table(*markdown.table(one, options, k)))
        head, rows = markdown.beside(one, options, k)
        if rows:
            out.append(f"<h3>Ours beside the fastest peer, k = {k}</h3>" + _table(head, rows, mark=False))
            lines = markdown.leaders(one, options, k)
            out.append("<ul>" + "".join(f"<li>{_rich(line)}</li>" for line in lines) + "</ul>")
        head, rows = markdown.batches(one, k)
        if rows:
            out.append(f"<h3>All queries in one call, k = {k}</h3>" + _table(head, rows))
    out.append('<div class="pair">')
    for name, unit, places in (("mb", "MiB", 0), ("wall_s", "s", 1)):
        told = "Memory of the index" if name == "mb" else f"Build, {options['threads']} threads"
        found = [
            plot.Bar(e["label"], e["build"][name], _told(e["build"], name, unit, places), e["ours"])
            for e in one["engines"]
            if e.get("build") and e["build"][name] is not None
        ]
        out.append(f"<section><h3>{told}</h3>{plot.bars(found, told)}</section>")
    out.append("</div>")
    return out


def _told(built: Json, name: str, unit: str, places: int) -> str:
    text = f"{max(0.0, built[name]):,.{places}f} {unit}"
    if name == "mb":
        return text if built["peak_mb"] is None else f"{text} (peak {built['peak_mb']:,.0f})"
    return f"{text} (CPU {built['cpu_s']:,.1f})"


def _series(one: Json, k: int) -> list[plot.Series]:
    counts: dict[str, int] = {}
    out = []
    for engine in one["engines"]:
        number = counts.get(engine["library"], 0)
        counts[engine["library"]] = number + 1
        found = results.pareto(results.points(engine, k))
        out.append(
            plot.Series(engine["key"], engine["label"], engine["library"], engine["ours"], number, found)
        )
    return out


def _table(head: list[str], rows: list[list[str]], mark: bool = True) -> str:
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = []
    for row in rows:
        kind = ' class="ours"' if mark and row[0].startswith(("**", "perso_core")) else ""
        lines.append(
            f"<tr{kind}>" + "".join(f"<td>{escape(c.replace('**', ''))}</td>" for c in row) + "</tr>"
        )
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _rich(line: str) -> str:
    """The one mark-up that sentences use."""
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escape(line))
