"""The items: ids, named embedding spaces, typed attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias, cast, overload

from numpy.typing import NDArray

from . import _arrow, _convert, _core, _progress
from ._types import (
    DTYPES,
    LAYOUTS,
    METRICS,
    RESCORES,
    SYNCS,
    ArrowTable,
    Dtype,
    Ids,
    Layout,
    Metric,
    Path,
    Progress,
    Rescore,
    Sync,
    Table,
    Vectors,
    Where,
    WhereEach,
)
from ._where import where_each
from .filters import CompiledFilter, compiled
from .index import hits
from .results import Hits

__all__ = ["Catalog", "Space"]


@dataclass(frozen=True)
class Space:
    """One embedding per item: its dimensions, how it is compared and how it is stored.

    Args:
        dim: components of a vector.
        metric: "cosine", "ip" (raw inner product, for factor models) or "l2".
        dtype: "f32", "f16" (half the memory) or "i8" (a quarter: codes with a scale a vector).
        M: links of a node of the graph.
        ef_construction: width of the search that finds those links.
        layout: "auto", "exact", "compact" or "local": what lies beside the vectors, as `Index` says.
        rescore: with dtype "i8", "f16" keeps a float16 copy beside the codes, which scores come from.
    """

    dim: int
    metric: Metric = "cosine"
    dtype: Dtype = "f32"
    M: int = 16
    ef_construction: int = 200
    layout: Layout = "auto"
    rescore: Rescore | None = None

    def __post_init__(self) -> None:
        for name, low in (("dim", 1), ("M", 0), ("ef_construction", 0)):
            object.__setattr__(self, name, _convert.integer(name, getattr(self, name), low))
        _convert.choice("metric", self.metric, METRICS)
        _convert.choice("dtype", self.dtype, DTYPES)
        _convert.choice("layout", self.layout, LAYOUTS)
        _convert.optional_choice("rescore", self.rescore, RESCORES)

    @property
    def _options(self) -> _core._Options:
        return self.metric, self.dtype, self.M, self.ef_construction, self.layout, self.rescore


_ArrowSpaces: TypeAlias = Mapping[str, str | tuple[str, Space]]
_Attributes: TypeAlias = Mapping[str, Sequence[Any] | NDArray[Any]]


class Catalog:
    """Items that can be ranked.

    Args:
        spaces: the embedding spaces by name.
        seed: of the graphs' random levels. The same changes with the same seed give the same catalog,
            whatever the number of threads.

    A search or a ranking, also one of many users, sees the catalog as it was when it began, waits for nobody,
    and is waited for by nobody. Changes take turns; what one wrote is seen by every call that begins after it
    returned.

    >>> import perso_core as pc
    >>> catalog = pc.Catalog({"content": pc.Space(2)})
    >>> catalog.upsert(["a", "b"], [[1.0, 0.0], [0.0, 1.0]], {"genre": ["jazz", None]})
    >>> catalog
    <Catalog of 2 items, spaces content(2, cosine, f32), attributes genre: str, generation 1>
    """

    def __init__(self, spaces: Mapping[str, Space], seed: int = 0) -> None:
        self._core = _core.Catalog(_described(spaces), _convert.seed(seed))

    @classmethod
    def _of(cls, core: _core.Catalog) -> Catalog:
        catalog = cls.__new__(cls)
        catalog._core = core
        return catalog

    @classmethod
    def from_arrow(
        cls,
        table: Table,
        id: str,
        spaces: _ArrowSpaces,
        attributes: Sequence[str] | None = None,
        *,
        seed: int = 0,
        num_threads: int = -1,
        progress: Progress = None,
    ) -> Catalog:
        """A catalog from an Arrow table, a stream or a file of any length.

        It is read batch by batch, and the graphs are built in one go at the end: what is in memory is the catalog, one
        batch of the source, and at the most 16 MiB of that in another form.

        Args:
            table: anything with `__arrow_c_stream__` or `__arrow_c_array__` (pyarrow, polars, DuckDB, pandas,
                nanoarrow, ...), which needs no pyarrow; or the path of a Parquet or Arrow file, which does.
            id: the column of integer or text ids, each once.
            spaces: {space: column} or {space: (column, Space(...))}; columns are lists of float16, float32, float64
                or int8, of one length. A column without a `Space` becomes a cosine space in f32. A space of dtype
                "i8" keeps int8 as it is, but for vectors with a -128, which are rounded as floats are.
            attributes: columns to keep as attributes; None for every column that is left. Of bool, integers (within
                int64), floats, timestamps of any unit and zone and dates (as instants in UTC, in microseconds), text,
                lists of text; dictionary-encoded or not; null where it is null.
            seed: as for `Catalog`.
            num_threads: -1 for every core.
            progress: True for a bar on standard error, or a function of (done, total). A row counts once as it is
                read and once for every space as it is linked (not with layout "exact"). Where the source does not say
                how many rows it has, `total` is that of the rows read so far, and grows.

        Raises:
            ValueError: a column that is not there, an id twice, a null id, a NaN or infinity.
            TypeError: a column of a type that is not taken, vectors of two lengths or with nulls.
            FormatError: a damaged file, or a source that breaks off.
            KeyboardInterrupt: on Ctrl-C, and any exception out of `progress`. No catalog comes of it, and nothing stays.
        """
        if not isinstance(spaces, Mapping) or not spaces:
            raise _convert.wrong_type("spaces", "{space: column}, at least one", _convert.kind_of(spaces))
        described: list[_core._ArrowSpace] = []
        for name, source in spaces.items():
            _convert.text("spaces", name)
            column, space = source if isinstance(source, tuple) and len(source) == 2 else (source, None)
            if not isinstance(column, str) or not (space is None or isinstance(space, Space)):
                expected = "a column, or (column, Space)"
                raise _convert.wrong_type(f"spaces[{name!r}]", expected, _convert.kind_of(source))
            dim = None if space is None else space.dim
            described.append((name, column, dim, (space or Space(1))._options))
        names = _names(attributes)
        wanted = None if names is None else [id, *(column for _, column, *_ in described), *names]
        seed, num_threads = _convert.seed(seed), _convert.threads(num_threads)
        hook = _progress.hook(progress, "building")
        stream, rows = _arrow.stream_and_rows(table, wanted)
        return cls._of(_core.Catalog.from_arrow(stream, id, described, names, seed, rows, num_threads, hook))

    @overload
    def upsert(
        self,
        ids: Ids,
        vectors: Mapping[str, Vectors] | Vectors | None = None,
        attributes: _Attributes | None = None,
        *,
        num_threads: int = -1,
        progress: Progress = None,
    ) -> None: ...

    @overload
    def upsert(
        self,
        ids: Table,
        /,
        *,
        id: str,
        spaces: Mapping[str, str] | None = None,
        attributes: Sequence[str] | None = None,
        rows_per_change: int | None = None,
        num_threads: int = -1,
        progress: Progress = None,
    ) -> None: ...

    def upsert(
        self,
        ids: Any,
        vectors: Mapping[str, Vectors] | Vectors | None = None,
        attributes: Any = None,
        *,
        id: str | None = None,
        spaces: Mapping[str, str] | None = None,
        rows_per_change: int | None = None,
        num_threads: int = -1,
        progress: Progress = None,
    ) -> None:
        """Add items, or change those that are there. All of it happens, or nothing.

        `upsert(ids, vectors, attributes)` takes arrays, `upsert(table, id=..., spaces=...)` an Arrow table, a stream
        or a file, as `upsert_arrow` does, which has its arguments.

        Args:
            ids: n ids of one kind, int (within int64) or str.
            vectors: {space: (n, dim)} of any float type; one array where there is one space. New items need
                every space; None, or a space left out, leaves vectors as they are.
            attributes: {name: n values} of bool, int, float, datetime or np.datetime64 (without a zone:
                UTC), str or lists of str. None is a null. An attribute left out stays as it is.
            id: the column of ids of a table, which then is the first argument.
            spaces: {space: column} of a table.
            rows_per_change: of a table, None for all in one change.
            num_threads: -1 for every core.
            progress: True for a bar on standard error, or a function of (done, total).

        Raises:
            ValueError: a wrong shape, a NaN or infinity, an id twice.
            TypeError: values of another type than the attribute has.
            KeyError: without vectors, an id that is not there.
            KeyboardInterrupt: on Ctrl-C. It stops the work, and so does an exception out of `progress`: the
                catalog is then what it was. Where the last item was in already, they stay, and it is raised
                all the same.
        """
        if id is not None:
            if vectors is not None:
                expected = "nothing beside a table, whose columns spaces={space: column} names"
                raise _convert.invalid("vectors", expected, _convert.kind_of(vectors))
            self.upsert_arrow(
                ids,
                id,
                spaces,
                attributes,
                rows_per_change=rows_per_change,
                num_threads=num_threads,
                progress=progress,
            )
            return
        for name, given in (("spaces", spaces), ("rows_per_change", rows_per_change)):
            if given is not None:
                expected = f"id= beside {name}=: the column of a table that has the ids"
                raise _convert.invalid("id", expected, "none")
        if _arrow.is_table(ids) and not hasattr(ids, "__array__"):
            raise _convert.invalid("id", "the name of the column of ids, where a table comes", "none")
        if vectors is None:
            arrays = {}
        elif isinstance(vectors, Mapping):
            arrays = _convert.by_space("vectors", vectors, "")
        else:
            arrays = {self._only_space("vectors"): _convert.matrix("vectors", vectors)}
        for name, array in arrays.items():
            _convert.matrix(f"vectors[{name!r}]", array)
        self._core.upsert(
            _convert.ids("ids", ids),
            arrays,
            _convert.attributes(attributes, dict(self._core.attributes())),
            _convert.threads(num_threads),
            _progress.hook(progress, "building"),
        )

    def upsert_arrow(
        self,
        table: Table,
        id: str,
        spaces: Mapping[str, str] | None = None,
        attributes: Sequence[str] | None = None,
        *,
        rows_per_change: int | None = None,
        num_threads: int = -1,
        progress: Progress = None,
    ) -> None:
        """`upsert` from an Arrow table, a stream or a file of any length.

        By default the whole of it is one change: all of it happens, or nothing, and readers see the catalog of before
        until all is there, and other changes wait. The source is read batch by batch into a copy of the catalog, which
        shares what stays, and takes its place at the end. With `rows_per_change` every so many rows are a change of their own, which readers see as it comes: what
        breaks off (an error, Ctrl-C, an exception out of `progress` or of the source) leaves the changes before it,
        whole, and nothing of the one that it was in. So after an error in row r, the rows before the last multiple of
        `rows_per_change` up to r are in. A change of 65,536 rows is a good one; a graph takes small ones at twice the
        cost of one large one.

        Args:
            table: as for `from_arrow`.
            id: the column of ids. Each comes once in a change.
            spaces: {space: column}. New items need every space; None, or a space left out, leaves vectors as they are,
                and without any space all ids have to be there.
            attributes: as for `from_arrow`; an attribute that is no column stays as it is.
            rows_per_change: None for all in one change.
            num_threads: -1 for every core.
            progress: as for `from_arrow`.

        Raises:
            ValueError, TypeError, FormatError, KeyboardInterrupt: as `from_arrow` does, and for values of another
                type than the attribute has. Rows are counted from the beginning of the source.
            KeyError: without spaces, an id that is not there.
        """
        if spaces is not None and not isinstance(spaces, Mapping):
            raise _convert.wrong_type("spaces", "{space: column}", _convert.kind_of(spaces))
        columns = [
            (_convert.text("spaces", name), _convert.text(f"spaces[{name!r}]", column))
            for name, column in ({} if spaces is None else spaces).items()
        ]
        names = _names(attributes)
        wanted = None if names is None else [id, *(column for _, column in columns), *names]
        size = None if rows_per_change is None else _convert.integer("rows_per_change", rows_per_change, 1)
        num_threads = _convert.threads(num_threads)
        hook = _progress.hook(progress, "building")
        stream, rows = _arrow.stream_and_rows(table, wanted)
        self._core.upsert_arrow(stream, id, columns, names, rows, size, num_threads, hook)

    def to_arrow(
        self,
        ids: Ids | None = None,
        *,
        spaces: Sequence[str] | Mapping[str, str] | None = None,
        attributes: Sequence[str] | None = None,
        id: str = "id",
    ) -> ArrowTable:
        """Items as an Arrow table that any Arrow library reads, in batches, without pyarrow.

        A catalog is such a table itself: `polars.DataFrame(catalog)`, `pyarrow.table(catalog)`. What comes back is of
        the moment of this call, whatever changes meanwhile, and may be read more than once.

        Args:
            ids: the items, in this order; None for all, in the order of `ids`. KeyError if one is not there.
            spaces: names, or {space: column} to name columns otherwise; None for all.
            attributes: names; None for all.
            id: the name of the column of ids.

        Returns:
            An object with `__arrow_c_stream__`, `len` and `columns`. Ids are int64 or string; vectors fixed-size lists
            of float16 where that is what is reported (dtype or rescore "f16"), else of float32, which for "i8" are the
            rounded numbers; attributes bool, int64, double, timestamp[us, UTC], string or list of string, with nulls.
        """
        if isinstance(spaces, Mapping):
            columns = [
                (_convert.text("spaces", name), _convert.text(f"spaces[{name!r}]", column))
                for name, column in spaces.items()
            ]
        elif spaces is None:
            columns = None
        elif isinstance(spaces, str) or not isinstance(spaces, Sequence):
            raise _convert.wrong_type("spaces", "names, or {space: column}", _convert.kind_of(spaces))
        else:
            columns = [(_convert.text("spaces", name), name) for name in spaces]
        wanted = None if ids is None else _convert.ids("ids", ids)
        return self._core.export(_convert.text("id", id), columns, _names(attributes), wanted)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """All items, as `to_arrow` gives them."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def remove(self, ids: Ids) -> None:
        """Remove items; KeyError, and nothing is removed, if one of the ids is not there."""
        self._core.remove(_convert.ids("ids", ids, ordered=False))

    def compact(self) -> None:
        """Give back what removed and replaced items still take, and overwrite it: their vectors and attributes are
        then nowhere in the catalog, nor in a file that is saved afterwards.

        This happens by itself whenever they are a sixteenth of the items that are left; nothing is built
        anew, and readers go on meanwhile.
        """
        self._core.compact()

    def copy(self) -> Catalog:
        """A catalog with the same items that changes by itself. It costs microseconds: what neither of the two
        changes is shared. For several calls that have to see the same state.
        """
        return self._of(self._core.copy())

    def get(self, ids: Ids) -> list[dict[str, Any]]:
        """Items as {"id": ..., "vectors": {space: array}, "attributes": {name: value}}.

        Vectors come as they are stored: f32 exactly (cosine spaces too), f16 and i8 rounded. Timestamps
        come as aware datetimes in UTC, nulls as None. KeyError if an id is not there.
        """
        wanted = _convert.ids("ids", ids)
        times = [name for name, kind in self._core.attributes() if kind == "timestamp"]
        items = self._core.get(wanted)
        plain = wanted if isinstance(wanted, list) else wanted.tolist()
        for item in items:
            values = item["attributes"]
            for name in times:
                if values.get(name) is not None:
                    values[name] = _convert.stored_moment_out(values[name])
        return [{"id": id, **item} for id, item in zip(plain, items, strict=True)]

    def search(
        self,
        queries: Vectors,
        k: int = 10,
        space: str | None = None,
        ef: int | None = None,
        where: WhereEach | None = None,
        exclude: Ids | None = None,
        exact: bool = False,
        num_threads: int = 1,
    ) -> Hits:
        """The k best items for each query in one space: retrieval alone.

        Args:
            queries: (dim,) or (q, dim) of any float type.
            k: how many, at least 1. Where fewer are eligible, the rest is -1 (None for str ids) and NaN.
            space: which space; None where there is one.
            ef: width of the graph search, for recall against time, as `Index.search` takes it; None for one that a
                sample of the vectors asked for.
            where: what may be answered: a `Filter` over attributes, what `filter` made of one, a bool mask aligned with
                `ids`, the ids, or a `pyarrow.compute` expression over attributes. For several queries also a list with
                one of these, or None, for each; or a (q, items) mask.
            exclude: ids that may not; one that is not there is fine.
            exact: score every eligible item.
            num_threads: over the queries; -1 for every core.
        """
        matrix, single = _convert.one_or_many("queries", queries)
        found, scores, path = self._core.search(
            self._only_space("space") if space is None else _convert.text("space", space),
            matrix,
            _convert.integer("k", k, 1),
            None if ef is None else _convert.integer("ef", ef, 1),
            where_each("where", where, self, len(matrix)),
            _convert.optional_ids("exclude", exclude),
            bool(exact),
            _convert.threads(num_threads),
        )
        return hits(found, scores, path, single)

    def filter(self, where: Where) -> CompiledFilter:
        """The items that a filter keeps, as a set that searches and rankings take.

        Args:
            where: a `Filter`, a `pyarrow.compute` expression over attributes, a bool mask aligned with `ids`, or ids,
                each of which is there. A mask and ids name items: one that is removed later is passed over.

        Raises:
            KeyError: an attribute or an id that is not there.
            TypeError: a value that does not fit its attribute, named with the attribute's type.

        >>> import perso_core as pc
        >>> catalog = pc.Catalog({"content": pc.Space(1)})
        >>> catalog.upsert(["a", "b", "c"], [[1.0], [2.0], [3.0]], {"genre": ["jazz", "folk", None]})
        >>> jazz = catalog.filter(pc.field("genre") == "jazz")
        >>> jazz
        <CompiledFilter: 1 of 3 items (33.33%), generation 1, 8 bytes>
        >>> (~jazz).ids
        array(['b'], dtype=object)
        """
        return compiled(self, where)

    @property
    def _kinds(self) -> tuple[tuple[str, str], ...]:
        return tuple(self._core.attributes())

    def _only_space(self, argument: str) -> str:
        names = [name for name, *_ in self._core.spaces()]
        if len(names) != 1:
            raise _convert.invalid(argument, f"a name out of {names}", "none")
        return names[0]

    @property
    def ids(self) -> NDArray[Any]:
        """The ids, in the order that a `where` mask has."""
        return _convert.ids_out(self._core.ids())

    @property
    def attributes(self) -> Mapping[str, str]:
        """The attributes' types by name: "bool", "int", "float", "timestamp", "str" or "list[str]"."""
        return MappingProxyType(dict(self._core.attributes()))

    @property
    def spaces(self) -> Mapping[str, Space]:
        """The spaces by name."""
        return MappingProxyType(
            {
                name: Space(
                    dim,
                    cast(Metric, metric),
                    cast(Dtype, dtype),
                    M,
                    ef_construction,
                    cast(Layout, layout),
                    cast("Rescore | None", rescore),
                )
                for name, dim, (metric, dtype, M, ef_construction, layout, rescore) in self._core.spaces()
            }
        )

    @property
    def generation(self) -> int:
        """Grows with every change."""
        return self._core.generation

    @property
    def content_hash(self) -> str:
        """Stands for the content alone: the same items, vectors and attributes, the same hash."""
        return self._core.content_hash

    def __len__(self) -> int:
        return len(self._core)

    def __contains__(self, id: object) -> bool:
        return id in self._core

    def stats(self) -> dict[str, Any]:
        """Sizes: items, rows (with replaced and removed ones), bytes of heap memory, and for each of the spaces
        its layout in use, bytes, bytes_by_part, path, links and layers, as `Index.stats` has them. With
        `durable=True` also log: path, sync, bytes, segments, and since it was opened: changes, appends (fewer
        where threads shared one), checkpoints, checkpoint_error (why the last one failed) and cut_bytes (of a
        write that was cut off).
        """
        return self._core.stats()

    def save(self, path: Path, progress: Progress = None) -> None:
        """Write to a file: complete or not at all, also when the machine stops half way.

        ValueError where `path` has a log beside it: that file is kept by a catalog opened with `durable=True`.
        """
        self._core.save(_convert.file_path("path", path), _progress.hook(progress, "saving", "bytes"))

    @classmethod
    def open(
        cls,
        path: Path,
        mmap: bool = False,
        progress: Progress = None,
        *,
        durable: bool = False,
        spaces: Mapping[str, Space] | None = None,
        seed: int = 0,
        sync: Sync = "always",
        log_limit: int | None = None,
    ) -> Catalog:
        """Read from a file; FormatError if it is damaged or something else.

        Without `durable` the file is read, and the log beside it if another process writes one: `refresh` takes
        in what comes later. Changes made here are then this process's own.

        With `durable=True` every change is in a log beside the file before the call that made it returns and
        before a reader sees it. What the process or the machine had acknowledged when it stopped is there when
        the catalog is opened again. `docs/durability.md` says what is promised.

        Args:
            path: what `save` wrote. Beside it lie `path.log.N`, `path.lock` and, for a moment, `path.checkpoint`.
            mmap: leave vectors in the file and map it. The file must then stay as it is.
            progress: True for a bar on standard error, or a function of (done, total).
            durable: open for writing, with a log. One process at a time may.
            spaces: with durable, make an empty catalog if the file is not there. If it is, it must have these.
            seed: of a catalog that is made.
            sync: "always": a change is acknowledged when it is on disk. "never": when the system has it, so that it
                survives the end of the process and may be lost in a power cut, the last changes first.
            log_limit: bytes of log after which a change makes a checkpoint; None for the larger of 64 MiB and half
                the file.

        Raises:
            FileNotFoundError: the file is not there, and no `spaces` were given.
            BlockingIOError: with durable, another process has it open for writing, or this one; the message names it.
            ValueError: an argument for `durable=True` without it; other spaces than those of the file.
        """
        file, hook = _convert.file_path("path", path), _progress.hook(progress, "opening")
        if not durable:
            if spaces is not None or log_limit is not None or sync != "always" or seed != 0:
                raise _convert.invalid("durable", "True, for spaces=, seed=, sync= and log_limit=", "False")
            return cls._of(_core.Catalog.open(file, bool(mmap), hook))
        return cls._of(
            _core.Catalog.open_durable(
                file,
                bool(mmap),
                None if spaces is None else _described(spaces),
                _convert.seed(seed),
                _convert.choice("sync", sync, SYNCS),
                None if log_limit is None else _convert.integer("log_limit", log_limit, 0),
                hook,
            )
        )

    def checkpoint(self, progress: Progress = None) -> None:
        """Bring the file of a durable catalog up to date and remove the log that it then has.

        Nobody has to call it: changes do when the log has grown to `log_limit`. Readers go on meanwhile.
        ValueError for a catalog that was not opened with `durable=True`, or that was closed.
        """
        self._core.checkpoint(_progress.hook(progress, "saving", "bytes"))

    def refresh(self, progress: Progress = None) -> int:
        """Take in what the process that writes this file has changed since it was opened or refreshed.

        Only the new part of the log is read, unless the file was written anew. Returns how many changes there
        were (0 for a catalog that is itself open for writing). ValueError for a catalog that was not opened from
        a file, or that was changed here.
        """
        return self._core.refresh(_progress.hook(progress, "opening"))

    def close(self) -> None:
        """End the log of a durable catalog and let another process write; changes then raise ValueError.

        It can still be read. A `with` statement closes as well. For other catalogs, and a second time, nothing.
        """
        self._core.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        spaces = ", ".join(f"{name}({s.dim}, {s.metric}, {s.dtype})" for name, s in self.spaces.items())
        attributes = ", ".join(f"{name}: {kind}" for name, kind in self.attributes.items()) or "none"
        return (
            f"<Catalog of {len(self):,} items, spaces {spaces}, attributes {attributes}, "
            f"generation {self.generation}>"
        )


def _described(spaces: Mapping[str, Space]) -> list[_core._Space]:
    if not isinstance(spaces, Mapping):
        raise _convert.wrong_type("spaces", "a mapping of names to Space", _convert.kind_of(spaces))
    described: list[_core._Space] = []
    for name, space in spaces.items():
        if not isinstance(space, Space):
            raise _convert.wrong_type(f"spaces[{name!r}]", "a Space", _convert.kind_of(space))
        _convert.text("spaces", name)
        described.append((name, space.dim, space._options))
    return described


def _names(attributes: Sequence[str] | None) -> list[str] | None:
    if attributes is None:
        return None
    if isinstance(attributes, str):
        raise _convert.wrong_type("attributes", "a sequence of columns", _convert.kind_of(attributes))
    return [_convert.text("attributes", name) for name in attributes]
