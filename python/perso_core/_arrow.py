"""Arrow streams out of tables and files."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _convert
from ._core import FormatError

_PARQUET = b"PAR1"
_ARROW = b"ARROW1"
_PAGES = 2**20
_BATCH = 4 * 2**20


def stream(table: object, columns: list[str] | None) -> object:
    """A table itself, or a reader over a file's columns (None for all), which reads batch by batch."""
    return stream_and_rows(table, columns)[0]


def stream_and_rows(table: object, columns: list[str] | None) -> tuple[object, int | None]:
    """The same, and how many rows it will have where that is known without reading."""
    if is_table(table):
        # Of pyarrow and of polars. A length may be a query of its own (DuckDB), so nobody is asked for one.
        rows = getattr(table, "num_rows", getattr(table, "height", None))
        return table, rows if type(rows) is int and rows >= 0 else None
    if not isinstance(table, str | PathLike):
        expected = "an Arrow table (anything with __arrow_c_stream__) or the path of a Parquet or Arrow file"
        raise _convert.wrong_type("table", expected, _convert.kind_of(table))
    return _read(_convert.file_path("table", table), columns)


def dims(path: str, columns: list[str]) -> dict[str, int]:
    """The length of the lists in some columns of a file, by its first row."""
    reader: Any = stream(path, columns)
    if not hasattr(reader, "read_next_batch"):
        reader = reader.to_reader()
    found: dict[str, int] = {}
    for batch in reader:
        for column in columns if batch.num_rows else ():
            first = batch.column(batch.schema.get_field_index(column))[0].as_py()
            if not isinstance(first, list) or not first:
                raise _convert.invalid(
                    "table", f"lists of floats in column {column!r}", _convert.kind_of(first)
                )
            found[column] = len(first)
        if found:
            return found
    raise _convert.invalid("table", "at least one row", f"{path} without any")


def _read(path: str, columns: list[str] | None) -> tuple[object, int | None]:
    with open(path, "rb") as opened:
        magic = opened.read(6)
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ImportError(
            "reading Parquet and Arrow files needs pyarrow:  pip install 'perso_core[arrow]'"
        ) from None
    file: Any
    try:
        if magic.startswith(_PARQUET):
            # By default all of the file is fetched ahead, and a row group at once where it is not; like this it is pages.
            file = pq.ParquetFile(path, pre_buffer=False, buffer_size=_PAGES)
            schema = file.schema_arrow
        elif magic.startswith(_ARROW):
            file = pa.ipc.open_file(pa.memory_map(path))
            schema = file.schema
        else:
            file = pa.ipc.open_stream(path)
            schema = file.schema
    except pa.ArrowInvalid as error:
        raise FormatError(f"{path} is no Parquet or Arrow file: {error}") from None
    _check(path, schema, columns)
    # In the file's order, which is the one that batches come in.
    kept = schema if columns is None else pa.schema([field for field in schema if field.name in columns])
    if magic.startswith(_PARQUET):
        rows = file.metadata.num_rows
        groups = (file.metadata.row_group(i) for i in range(file.num_row_groups))
        # What a file holds of a row, so that a batch is of about as many bytes whatever a row is.
        size = sum(group.total_byte_size for group in groups) // max(rows, 1)
        batches = file.iter_batches(min(max(_BATCH // max(size, 1), 64), 65_536), columns=kept.names)
        return pa.RecordBatchReader.from_batches(kept, batches), rows
    if magic.startswith(_ARROW):
        parts = (file.get_batch(i) for i in range(file.num_record_batches))
    else:
        parts = iter(file)
    return pa.RecordBatchReader.from_batches(kept, (part.select(kept.names) for part in parts)), None


def _check(path: str, schema: Any, columns: list[str] | None) -> None:
    for column in columns or ():
        if column not in schema.names:
            raise _convert.invalid("table", f"a column {column!r}", f"{path} with the columns {schema.names}")


# --- columns as arrays -----------------------------------------------------------------------------


def pyarrow(what: str) -> Any:
    """The module, or an error that says what needs it and how to get it."""
    try:
        import pyarrow as pa
    except ImportError:
        raise ImportError(f"{what} needs pyarrow:  pip install 'perso_core[arrow]'") from None
    return pa


def is_table(value: object) -> bool:
    """Whether it hands over Arrow data."""
    return hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__")


def is_path(value: object) -> bool:
    """Whether it names a file, as a decision record as JSON text does not."""
    return isinstance(value, PathLike) or (isinstance(value, str) and not value.lstrip().startswith("{"))


def as_table(argument: str, value: object) -> Any:
    """A pyarrow table of anything that hands over Arrow data, or of a Parquet or Arrow file."""
    if not is_table(value) and not isinstance(value, str | PathLike):
        expected = "an Arrow table (anything with __arrow_c_stream__) or the path of a Parquet or Arrow file"
        raise _convert.wrong_type(argument, expected, _convert.kind_of(value))
    pa = pyarrow("reading an Arrow table")
    return pa.table(stream(value, None))


def numbers(argument: str, table: Any, column: str) -> NDArray[np.float64]:
    """A column of finite numbers as float64."""
    found = _column(argument, table, column)
    pa = pyarrow("reading an Arrow table")
    kind = found.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise _convert.wrong_type(f"{argument}[{column!r}]", "a column of numbers", f"a column of {kind}")
    values = np.array(found.to_numpy(zero_copy_only=False), dtype=np.float64)
    return _convert.reals(f"{argument}[{column!r}]", values, 1)


def labels(argument: str, table: Any, column: str) -> list[Any]:
    """A column of ids or names as a list, without nulls."""
    return list(_column(argument, table, column).to_pylist())


def _column(argument: str, table: Any, column: str) -> Any:
    if column not in table.column_names:
        raise _convert.invalid(
            argument, f"a column {column!r}", f"a table with the columns {table.column_names}"
        )
    found = table.column(column).combine_chunks()
    if found.null_count:
        raise _convert.invalid(f"{argument}[{column!r}]", "no nulls", f"{found.null_count} of {len(found)}")
    return found
