"""Names for the argument types that several modules share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from .filters import CompiledFilter, Field, Filter
    from .interests import Interests
    from .profile import Profile

Metric: TypeAlias = Literal["ip", "cosine", "l2"]
Dtype: TypeAlias = Literal["f32", "f16", "i8"]
Layout: TypeAlias = Literal["auto", "exact", "compact", "local"]
Rescore: TypeAlias = Literal["f16"]
GraphChoice: TypeAlias = Literal["auto", "keep", "build"]
Sync: TypeAlias = Literal["always", "never"]
Normalize: TypeAlias = Literal["none", "minmax", "zscore", "rank"]
Shape: TypeAlias = Literal["exponential", "linear", "gauss"]

METRICS = ("ip", "cosine", "l2")
DTYPES = ("f32", "f16", "i8")
LAYOUTS = ("auto", "exact", "compact", "local")
RESCORES = ("f16",)
SYNCS = ("always", "never")
NORMALIZERS = ("none", "minmax", "zscore", "rank")
SHAPES = ("exponential", "linear", "gauss")

Path: TypeAlias = Union[str, "PathLike[str]"]
Table: TypeAlias = Union["ArrowStream", "ArrowArray", Path]
"""Anything with `__arrow_c_stream__` or `__arrow_c_array__`, or the path of a Parquet or Arrow file."""


class SupportsDLPack(Protocol):
    """A tensor of another library, on the CPU."""

    def __dlpack__(self, *, stream: Any = ...) -> Any: ...

    def __dlpack_device__(self) -> tuple[int, int]: ...


class Expression(Protocol):
    """A `pyarrow.compute.Expression`."""

    def to_substrait(self, schema: Any, allow_arrow_extensions: bool = ...) -> Any: ...

    def equals(self, other: Any) -> bool: ...


class ArrowStream(Protocol):
    """A table of another library, handed over through the Arrow PyCapsule interface."""

    def __arrow_c_stream__(self, requested_schema: object | None = ...) -> object: ...


class ArrowArray(Protocol):
    """The same in one piece: a batch of rows, as an array of structs."""

    def __arrow_c_array__(self, requested_schema: object | None = ...) -> tuple[object, object]: ...


class ArrowTable(Protocol):
    """A table that this library hands over, as often as somebody asks for it."""

    def __arrow_c_stream__(self, requested_schema: object | None = ...) -> object: ...

    def __len__(self) -> int: ...

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Name and type of each column."""
        ...


Vectors: TypeAlias = ArrayLike | SupportsDLPack
"""One or two dimensions of floats: an array, nested sequences, or a DLPack tensor."""

Id: TypeAlias = int | str
Ids: TypeAlias = Sequence[int] | Sequence[str] | Iterable[int] | Iterable[str] | NDArray[Any]
"""Integers within int64, or text; one kind in a catalog."""

Moment: TypeAlias = datetime | date | np.datetime64 | str | float
Progress: TypeAlias = Callable[[int, int], object] | Literal[True] | None

_Vectors: TypeAlias = "Vectors | Interests | Sequence[Interests] | Profile"
User: TypeAlias = "_Vectors | Mapping[str, _Vectors] | None"
Signals: TypeAlias = Mapping[str, Mapping[Any, float] | Sequence["float | None"] | NDArray[Any]]
Lists: TypeAlias = Mapping[str, Ids | Mapping[Any, float]]
Models: TypeAlias = Mapping[str, Any]
Target: TypeAlias = Mapping[Any, float]
Pins: TypeAlias = Mapping[int, Id]
Allow: TypeAlias = Mapping[str, bool]
_Plain: TypeAlias = Ids | Sequence[bool] | NDArray[np.bool_]
Plain: TypeAlias = "_Plain | CompiledFilter"
PlainEach: TypeAlias = "Plain | Sequence[Plain | None]"
Where: TypeAlias = "_Plain | Filter | Field | CompiledFilter | Expression"
WhereEach: TypeAlias = "Where | Sequence[Where | None]"
