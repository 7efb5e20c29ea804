"""What the commands of `perso-core` do; `cli` declares them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, NoReturn

import numpy as np

import perso_core as pc

from . import _arrow

# --- commands --------------------------------------------------------------------------------------


def build(args: argparse.Namespace) -> int:
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
    layouts = _per_space(args.layout, spaces, "auto", "--layout")
    rescores = _per_space(args.rescore, spaces, "none", "--rescore")

    def space(name: str, dim: int) -> pc.Space:
        metric: Any = metrics[name]
        dtype: Any = dtypes[name]
        layout: Any = layouts[name]
        rescore: Any = None if rescores[name] == "none" else rescores[name]
        return pc.Space(dim, metric, dtype, args.M, args.ef_construction, layout, rescore)

    if from_array:
        vectors = _load(args.input)
        _refuse(vectors.ndim != 2, f"{args.input}: expected a matrix (n, dim), got shape {vectors.shape}")
        (name,) = spaces
        catalog = pc.Catalog({name: space(name, vectors.shape[1])}, seed=args.seed)
        ids = range(len(vectors)) if args.ids is None else _ids_of_file(args.ids)
        catalog.upsert(ids, {name: vectors}, num_threads=args.threads, progress=progress)
    else:
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


def info(args: argparse.Namespace) -> int:
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
            name: {**asdict(space), "layout_asked": space.layout, **stats["spaces"][name]}
            for name, space in catalog.spaces.items()
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
        parts = {f"{part} bytes": count for part, count in space.pop("bytes_by_part").items() if count}
        print(f"  {name:20} " + ", ".join(f"{key} {value}" for key, value in {**space, **parts}.items()))
    print("attributes" if facts["attributes"] else "attributes    none")
    for name, kind in facts["attributes"].items():
        print(f"  {name:20} {kind}")
    return 0


def search(args: argparse.Namespace) -> int:
    catalog = _open(args.catalog)
    exclude = _id_list(args.exclude, catalog)
    if args.item is not None:
        item = catalog.get(_as_ids([args.item], catalog))[0]
        space = args.space or (next(iter(catalog.spaces)) if len(catalog.spaces) == 1 else None)
        if space not in item["vectors"]:
            raise ValueError(f"--space: expected one of {list(catalog.spaces)}, got {space!r}")
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


def rank(args: argparse.Namespace) -> int:
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
    print(json.dumps(value, ensure_ascii=False, allow_nan=False), file=file or sys.stdout)


def _open(path: str, *, mmap: bool = False) -> pc.Catalog:
    try:
        return pc.Catalog.open(path, mmap=mmap)
    except (OSError, pc.FormatError) as error:
        raise ValueError(f"{path}: {error}") from None


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _load(path: str) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path}: expected a .npy file of numbers ({error})") from None


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
        raise ValueError(f"ids: expected integers, as the catalog has, got {given!r}") from None


def _user(options: list[str]) -> tuple[Any, int | None]:
    """The user argument of `rank`, and for how many users it is."""
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


def _requests(path: str) -> Iterator[dict[str, Any]]:
    lines = sys.stdin if path == "-" else _text(path).splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            request = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: expected a JSON object ({error})") from None
        unknown = (
            set(request) - {"request_id", "user", "exclude"} if isinstance(request, dict) else {"no object"}
        )
        if unknown:
            raise ValueError(
                f"{path}, line {number}: expected request_id, user and exclude, got {sorted(unknown)}"
            )
        yield request
