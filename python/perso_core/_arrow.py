"""Arrow streams out of tables and files."""

from __future__ import annotations

from os import PathLike
from typing import Any

from . import _convert
from ._core import FormatError

_PARQUET = b"PAR1"
_ARROW = b"ARROW1"


def stream(table: object, columns: list[str] | None) -> object:
    """A table itself, or a reader over a file's columns (None for all)."""
    if hasattr(table, "__arrow_c_stream__") or hasattr(table, "__arrow_c_array__"):
        return table
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


def _read(path: str, columns: list[str] | None) -> object:
    with open(path, "rb") as file:
        magic = file.read(6)
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ImportError(
            "reading Parquet and Arrow files needs pyarrow:  pip install 'perso_core[arrow]'"
        ) from None
    try:
        if magic.startswith(_PARQUET):
            file = pq.ParquetFile(path)
            schema = file.schema_arrow
            _check(path, schema, columns)
            # In the file's order, which is the one that batches come in.
            kept = (
                schema if columns is None else pa.schema([field for field in schema if field.name in columns])
            )
            return pa.RecordBatchReader.from_batches(kept, file.iter_batches(columns=kept.names))
        if magic.startswith(_ARROW):
            whole: Any = pa.ipc.open_file(pa.memory_map(path)).read_all()
        else:
            whole = pa.ipc.open_stream(path).read_all()
    except pa.ArrowInvalid as error:
        raise FormatError(f"{path} is no Parquet or Arrow file: {error}") from None
    _check(path, whole.schema, columns)
    return whole if columns is None else whole.select(columns)


def _check(path: str, schema: Any, columns: list[str] | None) -> None:
    for column in columns or ():
        if column not in schema.names:
            raise _convert.invalid("table", f"a column {column!r}", f"{path} with the columns {schema.names}")
