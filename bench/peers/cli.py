"""The command line of `make bench-peers`."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import markdown, page, sets
from .libs import choose
from .run import Options, Run, say

OUT = Path("build/bench-peers")

EPILOG = """\
Data sets: each --items begins one; --queries, --metric, --name and --column are of the one begun last.
Without --items two generated sets are measured.

  --items x.npy --queries q.npy --metric cosine --name minilm
  --items glove-100-angular.hdf5 --items items.parquet --column vector --metric ip
"""


class OfSet(argparse.Action):
    """--items begins a data set, the others say more of it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        begun: list[dict[str, Any]] = getattr(namespace, "sets", None) or []
        namespace.sets = begun
        if self.dest == "items":
            begun.append({})
        elif not begun:
            parser.error(f"{option_string}: expected --items before it")
        if self.dest in begun[-1]:
            parser.error(f"{option_string}: given twice for {begun[-1]['items']}")
        begun[-1][self.dest] = values


def recall(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a recall above 0 and up to 1, got {text}")
    return value


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return value


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        "make bench-peers",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = out.add_argument
    add("--items", type=Path, action=OfSet, metavar="FILE", help=".npy, .parquet or ann-benchmarks .hdf5")
    add("--queries", type=Path, action=OfSet, metavar="FILE", help="default: some items, held out")
    add("--metric", action=OfSet, help="cosine, ip or l2; an .hdf5 file says it itself")
    add("--name", action=OfSet, help="what the report calls the set (default: the name of the file)")
    add("--column", action=OfSet, help="the Parquet column of vectors, where there are several")
    add("--peers", metavar="NAMES", help="libraries or indexes, comma between; none for none (default: all)")
    add("--ours", metavar="NAMES", help="the same for our indexes")
    add(
        "--tune-peers",
        action="store_true",
        help="more build parameters of each peer: M 8 to 48, degree 64, ...",
    )
    add("--k", type=positive, nargs="+", default=[10], help="answers a query (default: 10)")
    add(
        "--targets", type=recall, nargs="+", default=[0.90, 0.95, 0.99], help="recalls (default: .90 .95 .99)"
    )
    add("--threads", type=positive, default=os.cpu_count() or 1, help="of builds (default: every core)")
    add(
        "--rounds",
        type=positive,
        default=5,
        help="timed passes of each setting that a table names (default: 5)",
    )
    add("--max-queries", type=positive, default=1000, help="default: 1000")
    add("--max-items", type=positive, help="a sample of the items, for a quick look")
    add("--build-timeout", type=positive, default=900, help="seconds (default: 900)")
    add("--out", type=Path, metavar="DIR", help=f"where results go (default: {OUT})")
    add("--render", type=Path, metavar="JSON", help="only the reports, from the results of an earlier run")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    parse = parser()
    args = parse.parse_args(argv)
    if args.render is not None:
        return render(json.loads(args.render.read_text(encoding="utf-8")), args.out or args.render.parent)
    try:
        peers = choose("--peers", args.peers.split(",") if args.peers else None, False, args.tune_peers)
        ours = choose("--ours", args.ours.split(",") if args.ours else None, True)
        loaded = load(args)
    except ValueError as error:  # BadData is one
        parse.error(str(error))
    options = Options(
        ks=tuple(args.k),
        targets=tuple(sorted(args.targets)),
        threads=args.threads,
        rounds=args.rounds,
        build_timeout=args.build_timeout,
    )
    given = sys.argv[1:] if argv is None else list(argv)
    out = args.out or OUT
    run = Run(options, out, shlex.join(["python", "-m", "bench.peers", *given]))
    stopped = False
    # Told to end, it ends as on Ctrl-C: with reports, and without workers left behind.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for one in loaded:
            run.measure(one, ours + peers)
        run.finish()
    except KeyboardInterrupt:
        stopped = True
        say("stopped: the reports are of what was measured")
    finally:
        signal.signal(signal.SIGTERM, before)
    render(run.document, out)
    return 130 if stopped else 0


def load(args: argparse.Namespace) -> list[sets.Set]:
    sources = [sets.Source(**one) for one in getattr(args, "sets", None) or []]
    out = [sets.load(source, args.max_queries, args.max_items) for source in sources]
    out = out or sets.generated(args.max_queries, args.max_items)
    names = [one.name for one in out]
    if len(set(names)) < len(names):
        raise sets.BadData(f"--name: expected a name of its own for each set, got {', '.join(names)}")
    for one in out:
        if max(args.k) > len(one.vectors):
            raise sets.BadData(
                f"--k: expected at most {len(one.vectors)}, the items of {one.name}, got {max(args.k)}"
            )
    return out


def render(document: dict[str, Any], out: Path) -> int:
    out.mkdir(parents=True, exist_ok=True)
    text = markdown.render(document)
    (out / "report.md").write_text(text, encoding="utf-8")
    (out / "report.html").write_text(page.render(document), encoding="utf-8")
    print(text)
    print(f"results.json, report.md and report.html are in {out}")
    return 0
