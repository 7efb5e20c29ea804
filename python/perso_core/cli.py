"""The `perso-core` command: what it takes and what its help says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

_EPILOG = """\
commands:
  demo      the whole path on MovieLens-100K, measured; needs the [demo] extra
  build     embeddings and attributes (Parquet, Arrow, .npy) -> a catalog file
  info      what is in a catalog file
  search    the nearest items to vectors or to an item
  rank      slates for users, with reasons and propensities

examples:
  perso-core demo
  perso-core demo --live
  perso-core build items.parquet --id item_id --space content=embedding -o items.pcat
  perso-core info items.pcat
  perso-core search items.pcat --item 42 -k 10
  perso-core rank items.pcat --user user.npy --exclude 42,43 -k 20
  perso-core rank items.pcat --requests requests.jsonl --policy policy.json --format jsonl > slates.jsonl

`perso-core COMMAND --help` is the page of a command. Results go to standard output, progress and errors
to standard error. Exit status: 0 done, 1 it failed, 2 wrong usage, 130 interrupted.
"""

_BUILD = """\
Write a catalog file out of embeddings and attributes.

INPUT is a Parquet or Arrow file (needs pyarrow: pip install 'perso_core[arrow]') with a column of
ids and one or more columns of vectors (lists of floats of one length), or a .npy file with a matrix
(n, dim). Columns that are neither ids nor vectors become attributes: bool, integers, floats,
timestamps, dates, text, lists of text.
"""
_BUILD_EPILOG = """\
examples:
  perso-core build items.parquet --id item_id --space content=embedding -o items.pcat
  perso-core build items.parquet --id sku --space content=text_vec --space cf=als_vec \\
      --metric cf=ip --dtype content=i8 --attributes genre,price,published_at -o items.pcat
  perso-core build vectors.npy --ids ids.npy --metric ip -o items.pcat
"""
_INFO = "Print what a catalog file holds: items, spaces, attributes, sizes, generation and content hash."
_SEARCH = """\
Search one space of a catalog: retrieval alone, without a policy.

Queries are the rows of a .npy file, or the stored vector of an item (which is then left out of the answer).
"""
_SEARCH_EPILOG = """\
examples:
  perso-core search items.pcat --item 42
  perso-core search items.pcat --queries queries.npy --space content -k 100 --format jsonl > hits.jsonl
"""
_RANK = """\
Rank the items of a catalog for users.

Users come as vectors in .npy files ((dim,) for one, (n, dim) for many), as the stored vector of an
item, or as JSON lines, one request a line, each key optional:
  {"request_id": "r-1", "user": [0.1, ...] or {"cf": [0.1, ...]} or null, "exclude": [1, 2]}
Without any of them nobody is asked for: no personal input is used. The policy is a file that
Policy.to_json() wrote; without one the score is the similarity alone.
"""
_RANK_EPILOG = """\
examples:
  perso-core rank items.pcat --user user.npy -k 20 --exclude 42,43
  perso-core rank items.pcat --user cf=cf.npy --user content=content.npy --policy policy.json --seed 7
  perso-core rank items.pcat --requests requests.jsonl --policy policy.json --format jsonl
  perso-core rank items.pcat --item 42 --records decisions.jsonl
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    args = _parser().parse_args(argv)
    try:
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("perso-core: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would complain once more at its own flush.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ImportError, KeyError, OSError, TypeError, ValueError) as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"perso-core {args.command}: {text}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    from . import __version__, _commands

    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(
        prog="perso-core",
        description="Personalised ranking in one call: retrieve, filter, score, diversify, explore, explain.",
        epilog=_EPILOG,
        formatter_class=raw,
        usage="perso-core [-h] [--version] COMMAND ...",
    )
    top.add_argument("--version", action="version", version=f"perso-core {__version__}")
    # The epilog lists the commands, in an order of its own.
    commands = top.add_subparsers(
        dest="command", required=True, metavar="COMMAND", help=argparse.SUPPRESS, prog="perso-core"
    )

    def command(name: str, description: str | None, epilog: str | None = None) -> argparse.ArgumentParser:
        return commands.add_parser(name, description=description, epilog=epilog, formatter_class=raw)

    from .demo.cli import add_arguments, run

    demo = command("demo", None)
    add_arguments(demo)
    demo.set_defaults(run=run)

    build = command("build", _BUILD, _BUILD_EPILOG)
    build.add_argument("input", metavar="INPUT", help="a .parquet, .arrow, .feather or .npy file")
    build.add_argument("-o", "--output", required=True, metavar="FILE", help="the catalog file to write")
    build.add_argument("--id", metavar="COLUMN", help="the column of ids; needed for a table")
    build.add_argument(
        "--ids",
        metavar="FILE",
        help="ids for a .npy input: .npy, or text with one a line (default: 0, 1, ...)",
    )
    build.add_argument(
        "--space",
        action="append",
        default=[],
        metavar="NAME[=COLUMN]",
        help="a space and the column of its vectors, once for each (default for .npy: vectors)",
    )
    build.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="[SPACE=]NAME",
        help="cosine, ip or l2 (default: cosine)",
    )
    build.add_argument(
        "--dtype", action="append", default=[], metavar="[SPACE=]NAME", help="f32, f16 or i8 (default: f32)"
    )
    build.add_argument(
        "--layout",
        action="append",
        default=[],
        metavar="[SPACE=]NAME",
        help="auto, exact, compact or local (default: auto)",
    )
    build.add_argument(
        "--rescore",
        action="append",
        default=[],
        metavar="[SPACE=]NAME",
        help="f16 for a finer copy beside i8 codes, or none (default: none)",
    )
    build.add_argument(
        "--attributes", metavar="A,B,...", help="columns to keep; an empty text for none (default: all)"
    )
    build.add_argument(
        "--M", type=int, default=16, metavar="N", help="links of a graph node (default: %(default)s)"
    )
    build.add_argument(
        "--ef-construction",
        type=int,
        default=200,
        metavar="N",
        help="width of the build's search (default: %(default)s)",
    )
    build.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the graphs (default: %(default)s)"
    )
    build.add_argument("--threads", type=int, default=-1, metavar="N", help="-1 for every core (default)")
    build.add_argument("--no-progress", action="store_true", help="no progress bar")
    build.set_defaults(run=_commands.build)

    info = command("info", _INFO, "example:\n  perso-core info items.pcat --json\n")
    info.add_argument("catalog", metavar="CATALOG", help="a catalog file")
    info.add_argument("--json", action="store_true", help="as one JSON object")
    info.set_defaults(run=_commands.info)

    search = command("search", _SEARCH, _SEARCH_EPILOG)
    search.add_argument("catalog", metavar="CATALOG", help="a catalog file")
    asked = search.add_mutually_exclusive_group(required=True)
    asked.add_argument("--queries", metavar="FILE", help="a .npy file: (dim,) or (q, dim)")
    asked.add_argument("--item", metavar="ID", help="search with this item's vector")
    search.add_argument("--space", metavar="NAME", help="which space (default: the only one)")
    search.add_argument("--ef", type=int, metavar="N", help="width of the graph search")
    search.add_argument("--exact", action="store_true", help="score every item")
    _shared(search, 10)
    search.set_defaults(run=_commands.search)

    rank = command("rank", _RANK, _RANK_EPILOG)
    rank.add_argument("catalog", metavar="CATALOG", help="a catalog file")
    who = rank.add_mutually_exclusive_group()
    who.add_argument(
        "--user",
        action="append",
        metavar="[SPACE=]FILE",
        help="a .npy file: (dim,) or (n, dim); once for each space",
    )
    who.add_argument(
        "--item", metavar="ID", help="the vectors of this item stand for the user; it is not shown"
    )
    who.add_argument("--requests", metavar="FILE", help="JSON lines, one request each; - for standard input")
    rank.add_argument("--policy", metavar="FILE", help="a policy as JSON")
    rank.add_argument(
        "--at", metavar="TIME", help="the moment that decays are measured from, ISO 8601 (default: now)"
    )
    rank.add_argument("--seed", type=int, metavar="N", help="of the random numbers (default: a random one)")
    rank.add_argument(
        "--request-id", metavar="TEXT", help="the request's name; -0, -1, ... follow for many users"
    )
    rank.add_argument("--records", metavar="FILE", help="also write the decision records, as JSON lines")
    _shared(rank, 20)
    rank.set_defaults(run=_commands.rank)
    return top


def _shared(parser: argparse.ArgumentParser, k: int) -> None:
    parser.add_argument("-k", type=int, default=k, metavar="N", help="how many items (default: %(default)s)")
    parser.add_argument("--where", metavar="IDS", help="only these items: 1,2,3 or @FILE with one id a line")
    parser.add_argument("--exclude", metavar="IDS", help="not these items: 1,2,3 or @FILE with one id a line")
    parser.add_argument("--threads", type=int, default=-1, metavar="N", help="-1 for every core (default)")
    parser.add_argument(
        "--format", choices=("table", "jsonl"), default="table", help="what to print (default: %(default)s)"
    )
