"""The Markdown report, and the sentences that both reports share."""

from __future__ import annotations

from . import results
from .results import Json, Point


def render(document: Json) -> str:
    parts = ["# This library and its peers", *machine(document), "`" + document["command"] + "`"]
    if not document["complete"]:
        parts.append("**The run did not come to its end.** What follows was measured until then.")
    for one in document["sets"]:
        parts.append(f"## {title(one)}")
        parts.append(source(one))
        for k in document["options"]["ks"]:
            head, body = table(one, document["options"], k)
            parts.append(f"### One query a call, k = {k}\n\n" + markdown(head, body))
            head, body = beside(one, document["options"], k)
            if body:
                parts.append(f"### Ours beside the fastest peer, k = {k}\n\n" + markdown(head, body))
                parts.append("\n".join(f"- {line}" for line in leaders(one, document["options"], k)))
            head, body = batches(one, k)
            if body:
                parts.append(f"### All queries in one call, k = {k}\n\n" + markdown(head, body))
    missing = results.failed(document)
    if missing:
        parts.append(
            "## Did not run\n\n" + "\n".join(f"- {s}: **{name}**: {why}" for s, name, why in missing)
        )
    parts.append("## How it was measured\n\n" + "\n".join(f"- {line}" for line in method(document)))
    return "\n\n".join(parts) + "\n"


def markdown(head: list[str], body: list[list[str]]) -> str:
    body = [[cell.replace("|", "\\|") for cell in row] for row in body]
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]

    def line(cells: list[str]) -> str:
        # Names to the left, numbers to the right.
        first, *rest = (
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *rest]) + " |"

    rule = (
        "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    )
    return "\n".join([line(head), rule, *map(line, body)])


def title(one: Json) -> str:
    return f"{one['name']}: {one['n']:,} x {one['dim']}, {one['metric']}"


def source(one: Json) -> str:
    text = f"Items: {one['source']}. Queries: {one['queries']:,} ({one['queries_from']})."
    if "file_neighbours_recall" in one:
        share = one["file_neighbours_recall"]
        text += (
            f" The neighbours that the file names reach recall {share:.4f} against the answers computed here."
        )
    return text


def machine(document: Json) -> list[str]:
    m = document["machine"]
    loads = f"load {m['load_at_start']} at the start"
    if "load_at_end" in m:
        loads += f", {m['load_at_end']} at the end"
    known = ", ".join(f"{name} {version}" for name, version in results.versions(document).items())
    return [
        f"{m['date']}. {m['cpu']}, {m['cores']} cores, {m['memory_gib']} GiB; {m['system']}; "
        f"transparent huge pages: {m['huge_pages']}; {loads}.",
        f"CPU flags: {' '.join(m['flags']) or 'none of note'}; our kernels on {m['isa']}.",
        f"{known}; commit {m['commit']}.",
    ]


def rate(p: Point | None, best: float | None) -> str:
    """QPS, or how far it got."""
    if p is not None:
        return f"{p.qps:,.0f}"
    return "" if best is None else f"never (best {down(best)})"


def down(recall: float) -> str:
    """Three places, never rounded up: .9896 has not reached .990."""
    text = f"{int(recall * 1000 + 1e-9) / 1000:.3f}"
    return text if recall >= 1 else text.lstrip("0")


def short(target: float) -> str:
    return f"{target:.4f}".rstrip("0").lstrip("0").ljust(3, "0") if target < 1 else "1"


def latency(p: Point | None) -> str:
    return "" if p is None or p.p50_us is None or p.p99_us is None else f"{p.p50_us:,.0f} / {p.p99_us:,.0f}"


def number(value: float | None, places: int = 0) -> str:
    return "" if value is None else f"{max(0.0, value):,.{places}f}"


def table(one: Json, options: Json, k: int) -> tuple[list[str], list[list[str]]]:
    targets = options["targets"]
    head = ["index", "build s", "CPU s", "MB", "peak MB", *(f"QPS @{short(t)}" for t in targets)]
    head += [f"p50 / p99 µs @{short(t)}" for t in targets]
    body = []
    for engine in one["engines"]:
        built = engine.get("build")
        if built is None:
            continue
        best = results.best_recall(engine, k)
        found = [results.at(engine, k, t) for t in targets]
        name = f"**{engine['label']}**" if engine["ours"] else engine["label"]
        body.append(
            [
                name + ("" if engine["status"] == "ok" else " (broke off)"),
                number(built["wall_s"], 1),
                number(built["cpu_s"], 1),
                number(built["mb"]),
                number(built["peak_mb"]),
                *(rate(p, best) for p in found),
                *(latency(p) for p in found),
            ]
        )
    return head, body


def batches(one: Json, k: int) -> tuple[list[str], list[list[str]]]:
    body = []
    for engine in one["engines"]:
        body += [
            [engine["label"], down(p.recall), number(p.qps)] for p in results.points(engine, k, batch=True)
        ]
    return ["index", "recall", "queries a second, one thread"], body


# Whom ours are set beside: the library's family, what a column calls it, and who that is.
FAMILIES = (
    ("hnsw", "HNSW kind", "hnswlib, faiss HNSW and usearch"),
    ("local codes", "rabitqlib", "rabitqlib"),
    (None, "any peer", "all peers"),
)


def beside(one: Json, options: Json, k: int) -> tuple[list[str], list[list[str]]]:
    """Our rates over the fastest peer's at the same recall, our memory and build over the peers'."""
    engines, targets = one["engines"], options["targets"]
    peers = [p for p in (_built(engines, "hnswlib-16"), _built(engines, "rabitqlib-200")) if p]
    head = ["ours / peer", *(f"{name} @{short(t)}" for _, name, _ in FAMILIES for t in targets)]
    head += [f"{what}, {p['library']}" for p in peers for what in ("MB", "build")]
    body = []
    for engine in engines:
        if not engine["ours"] or not engine.get("build"):
            continue
        row = [engine["label"]]
        for family, _, _ in FAMILIES:
            for target in targets:
                mine = [r for r in results.ratios(engines, k, target, family) if r.ours == engine["label"]]
                ratio = mine[0].ratio if mine else None
                alone = mine and results.timed(engines, k, family)
                row.append(times(ratio) if ratio is not None else "alone" if alone else "")
        own = engine["build"]
        for peer in peers:
            for what in ("mb", "wall_s"):
                known = own[what] is not None and peer["build"][what]
                row.append(times(own[what] / peer["build"][what]) if known else "")
        body.append(row)
    return (head, body) if any(not e["ours"] and e.get("build") for e in engines) else (head, [])


def leaders(one: Json, options: Json, k: int) -> list[str]:
    """Who the fastest peer is at each recall."""
    lines = []
    for family, name, who in FAMILIES:
        if not results.timed(one["engines"], k, family):
            lines.append(f"**{name}**: {who} did not run.")
            continue
        said = []
        for target in options["targets"]:
            best = results.fastest(one["engines"], k, target, family)
            said.append(
                f"at {short(target)} " + (f"{best[1]} ({best[0]:,.0f})" if best else "none reaches it")
            )
        lines.append(f"**{name}**: the fastest of {who}: {', '.join(said)}.")
    return lines


def times(ratio: float) -> str:
    return f"{max(0.0, ratio):.2f}x"


def _built(engines: list[Json], key: str) -> Json | None:
    return next((e for e in engines if e["key"] == key and e.get("build")), None)


def method(document: Json) -> list[str]:
    o = document["options"]
    lines = [
        "QPS: one Python call per query, one query at a time, one thread, on every side. Where it says @.95: of the "
        "fastest measured setting whose recall is .95 or more. Settings are swept, then bisected, so each library "
        "stands at the least effort that reaches the recall.",
        "Recall is tie-aware, against exact answers in float64 from the data as given (float16 cast to float32): an "
        "answer counts when its true score is that of the k-th best or better.",
        f"Passes alternate between the libraries, {o['rounds']} rounds, of which the best counts; p50 and p99 are of "
        "that pass. A pass takes about "
        f"{o['pass_seconds']:g} s or all queries, and is warmed up by a tenth of it.",
        f"Each index lives in a process of its own and is built with {o['threads']} threads. CPU s are summed over "
        "them.",
        "Items come shuffled, and of unit length under the cosine, to every library.",
        "MB (MiB): what the process holds more than before it read the data, once the input array is let go and the "
        "allocator has given back what is free; good to a few MiB. Peak: the most it held while building, beyond the input array.",
        "Every process asks for transparent huge pages, and its allocator gives back what is free at the end of each "
        "thread's memory, of which it may keep up to 64 MiB otherwise "
        "(GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.trim_threshold=131072).",
    ]
    busy = sorted({e["label"] for s in document["sets"] for e in s["engines"] if results.busiest(e) > 1.2})
    if busy:
        lines.append(f"**More than one thread** worked in searches of: {', '.join(busy)}.")
    short_of, timed = results.disturbed(document)
    if short_of:
        lines.append(
            f"**The machine was busy**: in {short_of} of {timed} settings even the best pass had less than nine "
            "tenths of a core. Do not believe these rates."
        )
    return lines
