"""Vectors only: an index, and scores over plain arrays."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from . import _convert, _core, _progress
from ._types import (
    DTYPES,
    LAYOUTS,
    METRICS,
    RESCORES,
    Dtype,
    GraphChoice,
    Ids,
    Layout,
    Metric,
    Path,
    Plain,
    PlainEach,
    Progress,
    Rescore,
    Vectors,
)
from ._where import where_each
from .filters import CompiledFilter, compiled
from .foreign import Imported, form
from .results import Fitted, Hits, Tuning

__all__ = ["Index", "cpu_features", "dot", "topk"]


class Index:
    """Vectors under ids, searched exactly or through an HNSW graph, whichever is the better path.

    Args:
        dim: components of a vector.
        metric: "cosine", "ip" (raw inner product) or "l2". Scores are higher-is-better: for "l2" they are
            the negative squared distance.
        dtype: how vectors are stored: "f32", "f16" or "i8" (codes with a scale a vector).
        M: links of a node of the graph; twice as many in its bottom layer.
        ef_construction: width of the search that finds those links.
        seed: of the graph's random levels. The same vectors in the same calls with the same seed give the
            same graph and the same answers, whatever the number of threads.
        layout: what lies beside the vectors. "exact": nothing, every search scores every vector; "compact": a
            graph of row numbers; "local": that graph with short codes of the neighbours in each row, more
            memory and faster; "auto" picks by size. A named graph is there from 1,024 vectors on, and a search
            that would walk over most of the vectors scores all of them instead.
        rescore: with dtype "i8", "f16" keeps a float16 copy beside the codes, two more bytes a component. Codes
            find the candidates; the copy gives the scores, so recall can pass what codes alone allow.

    It grows by itself. A search sees the index as it was when the search began, waits for nobody, and is waited
    for by nobody; changes take turns.

    Attributes:
        imported: what became of the parts of another library's file; None unless it was read from one. It is not saved.
    """

    imported: Imported | None = None

    def __init__(
        self,
        dim: int,
        metric: Metric = "cosine",
        dtype: Dtype = "f32",
        M: int = 16,
        ef_construction: int = 200,
        seed: int = 0,
        layout: Layout = "auto",
        rescore: Rescore | None = None,
    ) -> None:
        self._core = _core.Index(
            _convert.integer("dim", dim, 1),
            _convert.choice("metric", metric, METRICS),
            _convert.choice("dtype", dtype, DTYPES),
            _convert.integer("M", M, 0),
            _convert.integer("ef_construction", ef_construction, 0),
            _convert.seed(seed),
            _convert.choice("layout", layout, LAYOUTS),
            _convert.optional_choice("rescore", rescore, RESCORES),
        )

    @classmethod
    def _of(cls, core: _core.Index) -> Index:
        index = cls.__new__(cls)
        index._core = core
        return index

    def add(
        self,
        vectors: Vectors,
        ids: Ids | None = None,
        num_threads: int = -1,
        progress: Progress = None,
        *,
        fit_queries: Vectors | None = None,
    ) -> NDArray[Any]:
        """Add vectors.

        Args:
            vectors: (n, dim) of any float type, finite.
            ids: n ids of one kind, int or str, none of them there already; None for the next free integers.
            num_threads: -1 for every core.
            progress: True for a bar on standard error, or a function of (done, total); with `fit_queries`, of
                vectors and queries together.
            fit_queries: (m, dim) of any float type, finite: a sample of the queries to come, such as user
                vectors, which teach the graph as `fit` does but without measuring. They replace what it was
                taught before. Where there is no graph (`stats()["path"]` is "exact") they teach nothing.

        Returns:
            The (n,) ids.

        Raises:
            ValueError: a wrong shape, a NaN or infinity, an id that comes twice or is there already.
            KeyboardInterrupt: on Ctrl-C. It stops the work, and so does an exception out of `progress`: the
                index is then what it was. Where the last vector was in already, they stay, and it is raised all
                the same.
        """
        given = None if ids is None else _convert.ids("ids", ids)
        added = self._core.add(
            _convert.matrix("vectors", vectors),
            given,
            _convert.threads(num_threads),
            _progress.hook(progress, "adding vectors"),
            None if fit_queries is None else _convert.matrix("fit_queries", fit_queries),
        )
        return _convert.ids_out(added)

    def search(
        self,
        queries: Vectors,
        k: int = 10,
        ef: int | None = None,
        filter: PlainEach | None = None,
        exclude: Ids | None = None,
        exact: bool = False,
        num_threads: int = 1,
    ) -> Hits:
        """The k best vectors for each query.

        Args:
            queries: (dim,) or (q, dim) of any float type.
            k: how many, at least 1. Where fewer are eligible, the rest is -1 (None for str ids) and NaN.
            ef: width of the graph search, for recall against time: how many vectors a search follows for a typical
                query, more where many lie about as far off as the k-th best, fewer where few do. None for the width
                that `tune` found, else for one that a sample of the vectors asked for; it grows with k.
            filter: a bool mask aligned with `ids`, or the ids that may be answered, or what `filter` made of them, which need not
                be read again; for several queries also a list with one of these, or None, for each, or a (q, items) mask.
            exclude: ids that may not; one that is not there is fine.
            exact: score every eligible vector.
            num_threads: over the items; -1 for every core.
        """
        # The ways of saying nothing that need no conversion, before those that do: a small index answers in less
        # time than it takes to look at every argument.
        if (
            type(k) is int
            and k > 0
            and (ef is None or (type(ef) is int and ef > 0))
            and filter is None
            and exclude is None
            and exact is False
            and (num_threads == 1 and type(num_threads) is int)
        ):
            one = self._core.search_one(queries, k, ef)
            if one is not None:
                ids, scores, path = one
                return Hits(_convert.ids_out(ids), scores, path)
        matrix, single = _convert.one_or_many("queries", queries)
        found, scores, path = self._core.search(
            matrix,
            _convert.integer("k", k, 1),
            None if ef is None else _convert.integer("ef", ef, 1),
            where_each("filter", filter, self, len(matrix)),
            _convert.optional_ids("exclude", exclude),
            bool(exact),
            _convert.threads(num_threads),
        )
        return hits(found, scores, path, single)

    def filter(self, filter: Plain) -> CompiledFilter:
        """Some of the items, as a set that searches take: for a filter that many of them share.

        Args:
            filter: a bool mask aligned with `ids`, or ids, each of which is there. Both name items: one that is removed
                later is passed over, and one that is added later is not among them.

        Raises:
            KeyError: an id that is not there.
            ValueError: a mask of another length.

        >>> import perso_core as pc
        >>> index = pc.Index(1, "l2")
        >>> index.add([[1.0], [2.0], [3.0]], ids=["a", "b", "c"])
        array(['a', 'b', 'c'], dtype=object)
        >>> in_stock = index.filter(["a", "c"])
        >>> in_stock
        <CompiledFilter: 2 of 3 items (66.67%), generation 0, 8 bytes>
        >>> index.search([2.2], k=2, filter=in_stock).ids
        array(['c', 'a'], dtype=object)
        """
        return compiled(self, filter, "filter")

    def recall(
        self,
        queries: Vectors,
        k: int = 10,
        ef: int | None = None,
        num_threads: int = -1,
        progress: Progress = None,
    ) -> float:
        """The share of the exact answers that `search` finds, measured: each query is searched both ways.

        Args:
            queries: (q, dim) or (dim,) of any float type, such as the users of the last hour.
            k: how many answers a query.
            ef: width of the graph search, as `search` takes it.
            num_threads: over the queries; -1 for every core.
            progress: True for a bar on standard error, or a function of (done, total).

        Returns:
            The mean over the queries, 0 to 1. An answer counts when its score is at least that of the k-th
            exact answer, so of equals any will do.
        """
        matrix, _ = _convert.one_or_many("queries", queries)
        mean, _, _ = self._core.recall(
            matrix,
            _convert.integer("k", k, 1),
            None if ef is None else _convert.integer("ef", ef, 1),
            _convert.threads(num_threads),
            _progress.hook(progress, "measuring recall"),
        )
        return mean

    def tune(
        self,
        queries: Vectors,
        recall: float = 0.99,
        k: int = 10,
        num_threads: int = -1,
        progress: Progress = None,
    ) -> Tuning:
        """Find the least width of the graph search that reaches a recall, and search with it from now on.

        Args:
            queries: (q, dim) or (dim,) of any float type, from where real queries come: a few hundred. Of more
                than 500, that many at even distances are used.
            recall: the share of the exact answers to reach, as `recall` measures it; more than 0, at most 1.
            k: how many answers a query. For other k the width follows by half of the difference.
            num_threads: over the queries; -1 for every core.
            progress: True for a bar on standard error, or a function of (done, total).

        Returns:
            What was found. The width is the index's default `ef` from then on and is saved with it. Where no
            width reaches the recall, it is the least that comes as close as any, and `advice` says what to do.
            The same index and queries give the same width, whatever the number of threads.
        """
        matrix, _ = _convert.one_or_many("queries", queries)
        found = self._core.tune(
            matrix,
            _convert.real("recall", recall),
            _convert.integer("k", k, 1),
            _convert.threads(num_threads),
            _progress.hook(progress, "tuning"),
        )
        return Tuning(**found)

    def fit(self, queries: Vectors, num_threads: int = -1, progress: Progress = None) -> Fitted:
        """Teach the graph with a sample of queries: it gets links between rows that they have in common.

        For queries from elsewhere than the vectors, such as users beside items or text beside pictures: the
        graph's own links join vectors that are near each other, and the answers to such queries often are
        not. For each query the exact 64 best rows are found, and joined where the graph does not lead from the
        best of them to the others (after RoarGraph, PVLDB 2024). What was taught before is replaced. Vectors
        added later have no taught links until this is called again.

        Args:
            queries: (q, dim) of any float type, finite, from where real queries come: some thousands. Of 100 or
                more, every tenth, at most 200, teaches nothing and measures instead.
            num_threads: -1 for every core.
            progress: True for a bar on standard error, or a function of (done, total).

        Returns:
            What was done, and recall before and after. Without a graph (layout "exact", or few vectors)
            nothing is: `queries` is 0, `path` "exact", and `advice` says why. The same index and queries give
            the same links, whatever the number of threads. The time is that of q exact searches; memory is
            four bytes a row and a link (`stats()`: "taught" of bytes_by_part, taught_links).

        Raises:
            ValueError: a wrong shape, a NaN or infinity, no query.
            KeyboardInterrupt: on Ctrl-C. It stops the work, and so does an exception out of `progress`: the
                index is then what it was. Where the work was done already, it stays, and it is raised all the
                same.
        """
        found = self._core.fit(
            _convert.matrix("queries", queries),
            _convert.threads(num_threads),
            _progress.hook(progress, "fitting", "queries"),
        )
        return Fitted(**found)

    def remove(self, ids: Ids) -> None:
        """Remove vectors; KeyError, and nothing is removed, if one of the ids is not there."""
        self._core.remove(_convert.ids("ids", ids, ordered=False))

    def compact(self) -> None:
        """Give back what removed vectors still take, and overwrite it: their bytes are then nowhere in the index.

        This happens by itself whenever they are a sixteenth of the vectors that are left; nothing is built
        anew, and searches go on meanwhile.
        """
        self._core.compact()

    def copy(self) -> Index:
        """An index with the same content that changes by itself. It costs microseconds: what neither of the two
        changes is shared.
        """
        return self._of(self._core.copy())

    def get(self, ids: Ids) -> NDArray[np.float32]:
        """The (n, dim) vectors as finely as they are stored: f32 exactly, f16 and i8 rounded."""
        return self._core.get(_convert.ids("ids", ids))

    @property
    def ids(self) -> NDArray[Any]:
        """The ids, in the order that a `filter` mask has."""
        return _convert.ids_out(self._core.ids())

    def __len__(self) -> int:
        return len(self._core)

    @property
    def dim(self) -> int:
        """Components of a vector."""
        return self._core.dim

    @property
    def metric(self) -> Metric:
        """How vectors are compared."""
        return cast(Metric, self._core.metric)

    @property
    def dtype(self) -> Dtype:
        """How vectors are stored."""
        return cast(Dtype, self._core.dtype)

    @property
    def layout(self) -> Layout:
        """The layout asked for; `stats()` says which one is in use."""
        return cast(Layout, self._core.layout)

    @property
    def rescore(self) -> Rescore | None:
        """The finer copy that scores come from."""
        return cast("Rescore | None", self._core.rescore)

    def stats(self) -> dict[str, Any]:
        """Sizes and shape.

        Returns:
            items; rows, with removed ones; layout in use ("exact", "compact" or "local"); bytes of heap
            memory, and bytes_by_part (vectors, rescore, graph, taught, local, norm_order), which leave out what is
            mapped from a file; ef, the width of a search for 10 that names none; links and layers of the graph,
            and taught_links beside them; path of a plain search ("exact" or "graph").
        """
        return self._core.stats()

    def save(self, path: Path, progress: Progress = None) -> None:
        """Write to a file: complete or not at all, also when the machine stops half way."""
        self._core.save(_convert.file_path("path", path), _progress.hook(progress, "saving", "bytes"))

    @classmethod
    def load(cls, path: Path, mmap: bool = False) -> Index:
        """Read from a file; FormatError if it is damaged or something else.

        Args:
            path: what `save` wrote.
            mmap: leave vectors in the file and map it. The file must then stay as it is.
        """
        return cls._of(_core.Index.load(_convert.file_path("path", path), bool(mmap)))

    @classmethod
    def from_hnswlib(
        cls,
        path: Path,
        dim: int,
        space: Metric = "l2",
        *,
        ids: Ids | None = None,
        dtype: Dtype = "f32",
        layout: Layout = "auto",
        rescore: Rescore | None = None,
        seed: int = 0,
        graph: GraphChoice = "auto",
        num_threads: int = -1,
        progress: Progress = None,
    ) -> Index:
        """Read what hnswlib's `save_index` wrote, with its links where they are as good as new ones.

        Args:
            path: the file. It states neither its space nor, but for its size, its dimension.
            dim: components of a vector, as given to `hnswlib.Index`.
            space: as given to `hnswlib.Index`. Under "cosine" hnswlib keeps vectors at unit length, and so does this.
            ids: ids of your own by label, such as the names of rows: label 7 becomes `ids[7]`. None for the labels.
            dtype: how the new index stores vectors. `M` and `ef_construction` are the file's.
            layout: of the new index, as `Index` takes it.
            rescore: of the new index, as `Index` takes it.
            seed: of the new index, for the levels of vectors added later.
            graph: "keep": the file's links, or ValueError where they cannot be; "build": links of its own; "auto":
                the file's, but under "ip", where links chosen by inner product strand rows, and where more was removed
                than is left. `imported` says what came of it.
            num_threads: to build with; -1 for every core.
            progress: True for a bar on standard error, or a function of (done, total): of bytes while reading, then
                of vectors while building.

        Returns:
            The index. Elements that were marked as deleted are not in it.

        Raises:
            FormatError: a file that is damaged, or no such file. Every length, id, level and degree is checked.
            ValueError: another dimension, a space that does not fit, a label beyond `ids`.
        """
        core, graph_used, reason, removed = _core.import_hnswlib(
            _convert.file_path("path", path),
            _convert.integer("dim", dim, 1),
            _convert.choice("space", space, METRICS),
            None if ids is None else _convert.ids("ids", ids),
            form(dtype, layout, rescore, seed, graph, num_threads),
            _progress.hook(progress, "importing", "steps"),
        )
        return cls._imported(core, Imported("hnswlib", graph_used, reason, removed))

    @classmethod
    def from_faiss(
        cls,
        path: Path,
        metric: Metric | None = None,
        *,
        ids: Ids | None = None,
        dtype: Dtype = "f32",
        layout: Layout = "auto",
        rescore: Rescore | None = None,
        seed: int = 0,
        graph: GraphChoice = "auto",
        num_threads: int = -1,
        progress: Progress = None,
    ) -> Index:
        """Read what `faiss.write_index` wrote, with its links where they are as good as new ones.

        `IndexHNSWFlat`, `IndexHNSWSQ` with 8 bits and `IndexFlat` are read, in an `IndexIDMap` or `IndexIDMap2` or not.

        Args:
            path: the file.
            metric: None for the file's, "ip" or "l2". "cosine" makes an index by cosine of one by inner product whose
                vectors all have unit length, as is usual with faiss; the order of answers is the same.
            ids: ids of your own by label, which is the position, or the id of the map. None for the labels.
            dtype: how the new index stores vectors; codes of 8 bits are decoded first, as faiss does it. `M` and
                `ef_construction` are the file's.
            layout: of the new index, as `Index` takes it.
            rescore: of the new index, as `Index` takes it.
            seed: of the new index, for the levels of vectors added later.
            graph: as `from_hnswlib` takes it.
            num_threads: to build with; -1 for every core.
            progress: as `from_hnswlib` takes it.

        Raises:
            FormatError: a file that is damaged, of another type, or no such file. Every length, id, level and degree is
                checked.
            ValueError: another metric, a label beyond `ids`.
        """
        core, graph_used, reason, removed = _core.import_faiss(
            _convert.file_path("path", path),
            _convert.optional_choice("metric", metric, METRICS),
            None if ids is None else _convert.ids("ids", ids),
            form(dtype, layout, rescore, seed, graph, num_threads),
            _progress.hook(progress, "importing", "steps"),
        )
        return cls._imported(core, Imported("faiss", graph_used, reason, removed))

    @classmethod
    def _imported(cls, core: _core.Index, imported: Imported) -> Index:
        index = cls._of(core)
        index.imported = imported
        return index

    def __repr__(self) -> str:
        return (
            f"<Index of {len(self):,} vectors, dim={self.dim}, metric={self.metric!r}, dtype={self.dtype!r}>"
        )


def hits(
    found: NDArray[np.int64] | list[list[str | None]], scores: NDArray[np.float32], path: str, single: bool
) -> Hits:
    """The extension's answer as `Hits`."""
    ids = _convert.id_table_out(found, scores.shape[1])
    return Hits(ids[0], scores[0], path) if single else Hits(ids, scores, path)


def dot(queries: Vectors, items: Vectors) -> NDArray[np.float32]:
    """Inner products of every query with every item, as float32.

    Args:
        queries: (q, dim) or (dim,), floats or int8.
        items: (n, dim): float32, float16 (scored without a copy) or other floats; int8 where queries are.

    Returns:
        (q, n), or (n,) for one query. The bits are the same on every instruction set.
    """
    items_array = _convert.array("items", items)
    queries_array = _convert.array("queries", queries)
    if items_array.ndim != 2:
        raise _convert.invalid("items", "a matrix (n, dim)", f"an array of shape {items_array.shape}")
    if (items_array.dtype == np.int8) != (queries_array.dtype == np.int8):
        raise _convert.wrong_type(
            "items", "int8 with int8, floats with floats", f"{queries_array.dtype} with {items_array.dtype}"
        )
    if items_array.dtype == np.int8:
        if queries_array.ndim not in (1, 2):
            raise _convert.invalid(
                "queries", "(dim,) or (q, dim)", f"an array of shape {queries_array.shape}"
            )
        codes = np.ascontiguousarray(np.atleast_2d(queries_array))
        out = _core.dot_i8(codes, np.ascontiguousarray(items_array))
        return out[0] if queries_array.ndim == 1 else out
    matrix, single = _convert.one_or_many("queries", queries_array)
    if items_array.dtype == np.float16 and items_array.dtype.isnative:
        out = _core.dot_f16(matrix, np.ascontiguousarray(items_array).view(np.uint16))
    else:
        out = _core.dot_f32(matrix, _convert.floats("items", items))
    return out[0] if single else out


def topk(queries: Vectors, items: Vectors, k: int, metric: Metric = "ip", num_threads: int = 1) -> Hits:
    """Exact search over a plain array: the k best rows of `items` for each query.

    Args:
        queries: (q, dim) or (dim,) of any float type.
        items: (n, dim) of any float type; float16 and float32 are searched without a copy.
        k: how many; where items are fewer, the rest is -1 and NaN.
        metric: "ip", "cosine" or "l2".
        num_threads: over the items; -1 for every core.

    Returns:
        Hits whose ids are row numbers.
    """
    matrix, single = _convert.one_or_many("queries", queries)
    rest = (
        _convert.integer("k", k, 1),
        _convert.choice("metric", metric, METRICS),
        _convert.threads(num_threads),
    )
    items_array = _convert.array("items", items)
    if items_array.ndim == 2 and items_array.dtype == np.float16 and items_array.dtype.isnative:
        halves = np.ascontiguousarray(items_array).view(np.uint16)
        ids, scores = _core.topk_f16(matrix, halves, *rest)
    else:
        ids, scores = _core.topk_f32(matrix, _convert.matrix("items", items), *rest)
    return hits(ids, scores, "exact", single)


def cpu_features() -> dict[str, Any]:
    """What the kernels run on: "isa" is in use, "available" are those that this CPU has."""
    return _core.cpu_features()
