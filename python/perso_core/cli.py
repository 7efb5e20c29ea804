"""The `perso-core` command. Light to import: each command loads what it needs when it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import perso_core as pc

_EPILOG = """\
commands:
  demo      the whole path on MovieLens-100K, measured; needs the [demo] extra
  build     embeddings and attributes (Parquet, Arrow, .npy) -> a catalog file
  info      what is in a catalog file
  search    the nearest items to vectors or to an item
  rank      slates for users, with reasons and propensities

examples:
  perso-core demo
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


class _Failure(Exception):
    """Printed as one line."""


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
    except (_Failure, ImportError, KeyError, OSError, TypeError, ValueError) as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"perso-core {args.command}: {text}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    from . import __version__

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
    build.set_defaults(run=_build)

    info = command("info", _INFO, "example:\n  perso-core info items.pcat --json\n")
    info.add_argument("catalog", metavar="CATALOG", help="a catalog file")
    info.add_argument("--json", action="store_true", help="as one JSON object")
    info.set_defaults(run=_info)

    search = command("search", _SEARCH, _SEARCH_EPILOG)
    search.add_argument("catalog", metavar="CATALOG", help="a catalog file")
    asked = search.add_mutually_exclusive_group(required=True)
    asked.add_argument("--queries", metavar="FILE", help="a .npy file: (dim,) or (q, dim)")
    asked.add_argument("--item", metavar="ID", help="search with this item's vector")
    search.add_argument("--space", metavar="NAME", help="which space (default: the only one)")
    search.add_argument("--ef", type=int, metavar="N", help="width of the graph search")
    search.add_argument("--exact", action="store_true", help="score every item")
    _shared(search, 10)
    search.set_defaults(run=_search)

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
    rank.set_defaults(run=_rank)
    return top


def _shared(parser: argparse.ArgumentParser, k: int) -> None:
    parser.add_argument("-k", type=int, default=k, metavar="N", help="how many items (default: %(default)s)")
    parser.add_argument("--where", metavar="IDS", help="only these items: 1,2,3 or @FILE with one id a line")
    parser.add_argument("--exclude", metavar="IDS", help="not these items: 1,2,3 or @FILE with one id a line")
    parser.add_argument("--threads", type=int, default=-1, metavar="N", help="-1 for every core (default)")
    parser.add_argument(
        "--format", choices=("table", "jsonl"), default="table", help="what to print (default: %(default)s)"
    )


# --- commands --------------------------------------------------------------------------------------


def _build(args: argparse.Namespace) -> int:
    import perso_core as pc

    progress: Any = None if args.no_progress else True
    from_array = args.input.endswith(".npy")
    spaces = dict(_pair(text, "=") for text in args.space)
    if from_array:
        _refuse(args.id is not None, "--id is for tables; a .npy input takes --ids FILE")
        _refuse(args.attributes is not None, "--attributes is for tables; a .npy input has none")
        _refuse(len(spaces) > 1 or any(spaces.values()), "a .npy input is one space: --space NAME")
        spaces = spaces or {"vectors": None}
    else:
        _refuse(args.ids is not None, "--ids is for a .npy input; a table takes --id COLUMN")
        _refuse(args.id is None, "--id COLUMN is needed: which column holds the ids")
        _refuse(
            not spaces or not all(spaces.values()),
            "--space NAME=COLUMN is needed: which column holds the vectors",
        )
    metrics = _per_space(args.metric, spaces, "cosine", "--metric")
    dtypes = _per_space(args.dtype, spaces, "f32", "--dtype")

    def space(name: str, dim: int) -> pc.Space:
        metric: Any = metrics[name]
        dtype: Any = dtypes[name]
        return pc.Space(dim, metric, dtype, args.M, args.ef_construction)

    if from_array:
        vectors = _load(args.input)
        _refuse(vectors.ndim != 2, f"{args.input}: expected a matrix (n, dim), got shape {vectors.shape}")
        (name,) = spaces
        catalog = pc.Catalog({name: space(name, vectors.shape[1])}, seed=args.seed)
        ids = range(len(vectors)) if args.ids is None else _ids_of_file(args.ids)
        catalog.upsert(ids, {name: vectors}, num_threads=args.threads, progress=progress)
    else:
        from . import _arrow

        dims = _arrow.dims(args.input, [str(column) for column in spaces.values()])
        described = {name: (str(column), space(name, dims[str(column)])) for name, column in spaces.items()}
        attributes = (
            None if args.attributes is None else [part for part in args.attributes.split(",") if part]
        )
        catalog = pc.Catalog.from_arrow(
            args.input,
            args.id,
            described,
            attributes,
            seed=args.seed,
            num_threads=args.threads,
            progress=progress,
        )
    catalog.save(args.output, progress=progress)
    print(f"{args.output}: {catalog!r}")
    return 0


def _info(args: argparse.Namespace) -> int:
    import os
    from dataclasses import asdict

    catalog = _open(args.catalog, mmap=True)
    stats = catalog.stats()
    facts = {
        "file": args.catalog,
        "file_bytes": os.path.getsize(args.catalog),
        "items": len(catalog),
        "ids": "str" if catalog.ids.dtype == object else "int",
        "generation": catalog.generation,
        "content_hash": catalog.content_hash,
        "spaces": {
            name: {**asdict(space), **stats["spaces"][name]} for name, space in catalog.spaces.items()
        },
        "attributes": dict(catalog.attributes),
    }
    if args.json:
        _json(facts)
        return 0
    for name, fact in facts.items():
        if not isinstance(fact, dict):
            print(f"{name:13} {fact:,}" if isinstance(fact, int) else f"{name:13} {fact}")
    print("spaces")
    for name, space in facts["spaces"].items():
        print(f"  {name:20} " + ", ".join(f"{key} {value}" for key, value in space.items()))
    print("attributes" if facts["attributes"] else "attributes    none")
    for name, kind in facts["attributes"].items():
        print(f"  {name:20} {kind}")
    return 0


def _search(args: argparse.Namespace) -> int:
    catalog = _open(args.catalog)
    exclude = _id_list(args.exclude, catalog)
    if args.item is not None:
        item = catalog.get(_as_ids([args.item], catalog))[0]
        space = args.space or (next(iter(catalog.spaces)) if len(catalog.spaces) == 1 else None)
        if space not in item["vectors"]:
            raise _Failure(f"--space: expected one of {list(catalog.spaces)}, got {space!r}")
        queries = item["vectors"][space]
        exclude = [*(exclude or []), item["id"]]
    else:
        queries = _load(args.queries)
    hits = catalog.search(
        queries, args.k, args.space, args.ef, _id_list(args.where, catalog), exclude, args.exact, args.threads
    )
    if args.format == "table":
        print(hits if queries.ndim == 1 else "\n".join(repr(one) for one in hits))
        return 0
    for i, one in enumerate([hits] if queries.ndim == 1 else hits):
        found = list(one)
        _json(
            {"query": i, "ids": [h.id for h in found], "scores": [h.score for h in found], "path": hits.path}
        )
    return 0


def _rank(args: argparse.Namespace) -> int:
    import perso_core as pc

    catalog = _open(args.catalog)
    policy = pc.Policy.from_json(_text(args.policy)) if args.policy else pc.Policy()
    where, exclude = _id_list(args.where, catalog), _id_list(args.exclude, catalog)
    common: dict[str, Any] = {"where": where, "at": args.at, "seed": args.seed}
    slates: list[pc.Slate]
    if args.requests is not None:
        _refuse(args.request_id is not None, "--request-id: the requests of --requests have their own")
        slates = []
        for request in _requests(args.requests):
            without = [*(exclude or []), *_as_ids(request.get("exclude") or [], catalog)]
            name = request.get("request_id")
            slates.append(
                pc.rank(
                    catalog, request.get("user"), policy, args.k, exclude=without, request_id=name, **common
                )
            )
    else:
        user: Any = None
        many = None
        if args.item is not None:
            item = catalog.get(_as_ids([args.item], catalog))[0]
            named = policy.score.similarity
            if isinstance(named, Mapping):
                spaces = list(named)
            else:
                spaces = [] if named is None else list(catalog.spaces)[:1]
            user = {space: item["vectors"][space] for space in spaces if space in item["vectors"]} or None
            exclude = [*(exclude or []), item["id"]]
        elif args.user:
            user, many = _user(args.user)
        slate = pc.rank(
            catalog,
            user,
            policy,
            args.k,
            request_id=args.request_id,
            num_threads=args.threads,
            exclude=exclude if many is None or exclude is None else [exclude] * many,
            **common,
        )
        slates = [slate] if many is None else list(slate)
    if args.records is not None:
        with open(args.records, "w", encoding="utf-8") as file:
            for slate in slates:
                _json(slate.record(), file)
    for slate in slates:
        if args.format == "table":
            print(slate)
        else:
            _json(
                {
                    "request_id": slate.request_id,
                    "seed": slate.seed,
                    "at": slate.at.isoformat(),
                    "path": slate.path,
                    "short_reason": slate.short_reason,
                    "items": [item._asdict() for item in slate],
                    "timings_us": slate.timings_us,
                }
            )
    return 0


# --- input and output ------------------------------------------------------------------------------


def _refuse(wrong: bool, message: str) -> None:
    """End with status 2: the command line makes no sense."""
    if wrong:
        _usage(message)


def _usage(message: str) -> NoReturn:
    print(f"perso-core: {message}\nSee perso-core COMMAND --help", file=sys.stderr)
    raise SystemExit(2)


def _json(value: Any, file: Any = None) -> None:
    import json

    print(json.dumps(value, ensure_ascii=False, allow_nan=False), file=file or sys.stdout)


def _open(path: str, *, mmap: bool = False) -> pc.Catalog:
    import perso_core as pc

    try:
        return pc.Catalog.open(path, mmap=mmap)
    except (OSError, pc.FormatError) as error:
        raise _Failure(f"{path}: {error}") from None


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _load(path: str) -> Any:
    import numpy as np

    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise _Failure(f"{path}: expected a .npy file of numbers ({error})") from None


def _pair(text: str, mark: str) -> tuple[str, str | None]:
    name, found, value = text.partition(mark)
    return (name, value) if found else (name, None)


def _per_space(options: list[str], spaces: dict[str, Any], default: str, flag: str) -> dict[str, str]:
    """`--metric ip --metric cf=l2` by space."""
    chosen: dict[str, str] = {}
    for option in options:
        name, value = _pair(option, "=")
        if value is None:
            default = name
        elif name in spaces:
            chosen[name] = value
        else:
            _usage(f"{flag} {option}: there is no --space {name}")
    return {name: chosen.get(name, default) for name in spaces}


def _ids_of_file(path: str) -> Any:
    if path.endswith(".npy"):
        return _load(path)
    lines = [line.strip() for line in _text(path).splitlines() if line.strip()]
    try:
        return [int(line) for line in lines]
    except ValueError:
        return lines


def _id_list(option: str | None, catalog: Any) -> Any:
    if option is None:
        return None
    if option.startswith("@"):
        parts = [line.strip() for line in _text(option[1:]).splitlines()]
    else:
        parts = [part.strip() for part in option.split(",")]
    return _as_ids([part for part in parts if part], catalog)


def _as_ids(given: list[Any], catalog: Any) -> list[Any]:
    """Ids as the catalog has them: a shell and JSON keys know text only."""
    if len(catalog) and catalog.ids.dtype == object:
        return [str(one) for one in given]
    try:
        return [int(one) for one in given]
    except ValueError:
        raise _Failure(f"ids: expected integers, as the catalog has, got {given!r}") from None


def _user(options: list[str]) -> tuple[Any, int | None]:
    """The user argument of `rank`, and for how many users it is."""
    import os

    arrays: dict[str, Any] = {}
    for option in options:
        name, path = _pair(option, "=")
        # A path may have an equals sign in it.
        if path is None or os.path.exists(option):
            name, path = "", option
        _refuse(name in arrays, f"--user {option}: its space was given before")
        arrays[name] = _load(path)
    _refuse(
        len(arrays) > 1 and "" in arrays, "--user: with several files each one names its space, SPACE=FILE"
    )
    first = next(iter(arrays.values()))
    return arrays.get("", arrays), (len(first) if first.ndim == 2 else None)


def _requests(path: str) -> Any:
    import json

    lines = sys.stdin if path == "-" else _text(path).splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            request = json.loads(line)
        except json.JSONDecodeError as error:
            raise _Failure(f"{path}, line {number}: expected a JSON object ({error})") from None
        unknown = (
            set(request) - {"request_id", "user", "exclude"} if isinstance(request, dict) else {"no object"}
        )
        if unknown:
            raise _Failure(
                f"{path}, line {number}: expected request_id, user and exclude, got {sorted(unknown)}"
            )
        yield request
