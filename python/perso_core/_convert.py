"""Python values to what the extension takes. Everything here checks a form; meaning is the core's."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta, timezone
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray

MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_INT64 = np.iinfo(np.int64)


def invalid(argument: str, expected: str, got: object) -> ValueError:
    """A wrong value, in the form that the core's errors have."""
    return ValueError(f"{argument}: expected {expected}, got {got}")


def wrong_type(argument: str, expected: str, got: object) -> TypeError:
    """A wrong type, in the same form."""
    return TypeError(f"{argument}: expected {expected}, got {got}")


def kind_of(value: object) -> str:
    """What a value is, for an error message."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} with shape {value.shape}"
    text = repr(value)
    return f"{type(value).__name__} {text}" if len(text) <= 60 else type(value).__name__


def kind_of_secret(value: object) -> str:
    """What a value is, without what it says."""
    return f"{len(value)} bytes" if isinstance(value, bytes) else type(value).__name__


# --- numbers ---------------------------------------------------------------------------------------


def integer(argument: str, value: object, low: int, high: int = 2**63 - 1) -> int:
    """An integer from `low` to `high`; a bool is none."""
    expected = f"an integer of at least {low}" if high == 2**63 - 1 else f"an integer from {low} to {high}"
    if isinstance(value, bool | np.bool_):
        raise wrong_type(argument, expected, value)
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise wrong_type(argument, expected, kind_of(value)) from None
    if not low <= number <= high:
        raise invalid(argument, expected, number)
    return number


def threads(value: object) -> int:
    """A thread count; -1 stands for every core."""
    number = integer("num_threads", value, -(2**63))
    if number < 1 and number != -1:
        raise invalid("num_threads", "at least 1, or -1 for every core", number)
    return number


def seed(value: object) -> int:
    """A seed."""
    return integer("seed", value, 0, 2**64 - 1)


def real(argument: str, value: object) -> float:
    """A finite number; a bool is none."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise wrong_type(argument, "a number", kind_of(value))
    number = float(value)
    if not np.isfinite(number):
        raise invalid(argument, "a finite number", number)
    return number


def unit(argument: str, value: object) -> float:
    """A number from 0 to 1."""
    number = real(argument, value)
    if not 0.0 <= number <= 1.0:
        raise invalid(argument, "a number from 0 to 1", number)
    return number


def flag(argument: str, value: object) -> bool:
    """A bool, and nothing that is merely true."""
    if not isinstance(value, bool | np.bool_):
        raise wrong_type(argument, "a bool", kind_of(value))
    return bool(value)


def choice(argument: str, value: object, among: tuple[str, ...]) -> str:
    """One of some names."""
    if not isinstance(value, str):
        raise wrong_type(argument, "one of " + ", ".join(map(repr, among)), kind_of(value))
    if value not in among:
        raise invalid(argument, "one of " + ", ".join(map(repr, among)), repr(value))
    return value


def optional_choice(argument: str, value: object, among: tuple[str, ...]) -> str | None:
    """One of some names, or None."""
    if value is None:
        return None
    expected = "None or " + " or ".join(map(repr, among))
    if not isinstance(value, str):
        raise wrong_type(argument, expected, kind_of(value))
    if value not in among:
        raise invalid(argument, expected, repr(value))
    return value


def text(argument: str, value: object) -> str:
    """Text of at least one character."""
    if not isinstance(value, str):
        raise wrong_type(argument, "a str", kind_of(value))
    if not value:
        raise invalid(argument, "at least one character", "''")
    return value


def file_path(argument: str, value: object) -> str:
    """A path of the file system."""
    if not isinstance(value, str | PathLike):
        raise wrong_type(argument, "a str or os.PathLike", kind_of(value))
    path = fspath(value)
    if not isinstance(path, str):
        raise wrong_type(argument, "a path as text", kind_of(path))
    return path


def reals(argument: str, value: object, ndim: int) -> NDArray[np.float64]:
    """A float64 array of so many dimensions, finite; bool counts as 0 and 1."""
    found = array(argument, value)
    if found.ndim != ndim:
        raise invalid(argument, f"{ndim} dimension{'s' * (ndim > 1)}", f"an array of shape {found.shape}")
    if found.dtype.kind not in "fiub":
        raise wrong_type(argument, "an array of numbers", kind_of(found))
    converted = np.ascontiguousarray(found, dtype=np.float64)
    bad = ~np.isfinite(converted)
    if bad.any():
        place = ", ".join(map(str, np.argwhere(bad)[0]))
        raise invalid(argument, "finite numbers", f"{converted[bad][0]} at position {place}")
    return converted


def probabilities(argument: str, value: object, ndim: int) -> NDArray[np.float64]:
    """The same, from 0 to 1."""
    found = reals(argument, value, ndim)
    bad = (found < 0) | (found > 1)
    if bad.any():
        place = ", ".join(map(str, np.argwhere(bad)[0]))
        raise invalid(argument, "probabilities from 0 to 1", f"{found[bad][0]} at position {place}")
    return found


# --- vectors ---------------------------------------------------------------------------------------


def array(argument: str, value: object) -> NDArray[Any]:
    """Anything array-like, by DLPack where that is all it offers."""
    if isinstance(value, np.ndarray):
        _unmasked(argument, value)
        return value
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return np.from_dlpack(value)
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise wrong_type(
            argument, "a rectangular array of floats", f"{type(value).__name__} ({error})"
        ) from None


def _unmasked(argument: str, value: NDArray[Any]) -> None:
    """Refuses masked values, which a plain array would show."""
    if type(value) is not np.ndarray and np.ma.is_masked(value):
        raise invalid(argument, "an array without masked values", "a masked array")


def floats(argument: str, value: object) -> NDArray[np.float32]:
    """float32, C-contiguous, with the dimensions that came; no copy where it is that already."""
    found = array(argument, value)
    if found.dtype == np.float32 and found.flags.c_contiguous and found.flags.aligned:
        return found
    kind = found.dtype.kind
    # Whole numbers in a list are meant as numbers; an integer array may be codes, which are not vectors.
    if kind != "f" and not (kind in "iu" and not isinstance(value, np.ndarray)) and found.size:
        raise wrong_type(argument, "an array of floats", f"an array of {found.dtype}")
    with np.errstate(over="ignore"):
        converted = np.require(found, np.float32, ["C", "A"])
    if kind == "f" and found.dtype.itemsize > 4 and not np.array_equal(np.isinf(found), np.isinf(converted)):
        raise invalid(argument, "numbers within the range of float32", f"{np.abs(found).max():.3g}")
    return converted


def matrix(argument: str, value: object) -> NDArray[np.float32]:
    """A float32 matrix."""
    found = floats(argument, value)
    if found.ndim != 2:
        raise invalid(argument, "a matrix (n, dim)", f"an array of shape {found.shape}")
    return found


def one_or_many(argument: str, value: object) -> tuple[NDArray[np.float32], bool]:
    """A float32 matrix, and whether it came as one vector."""
    found = floats(argument, value)
    if found.ndim == 1:
        return found[np.newaxis], True
    if found.ndim != 2:
        raise invalid(argument, "a vector (dim,) or a matrix (n, dim)", f"an array of shape {found.shape}")
    return found, False


def by_space(argument: str, value: object, only: str) -> dict[str, NDArray[np.float32]]:
    """Arrays by space; a bare array gets the name `only`."""
    if not isinstance(value, Mapping):
        return {only: floats(argument, value)}
    named = {}
    for name, given in value.items():
        if not isinstance(name, str):
            raise wrong_type(argument, "names of spaces as keys", kind_of(name))
        named[name] = floats(f"{argument}[{name!r}]", given)
    return named


# --- ids -------------------------------------------------------------------------------------------

_IDS = "a sequence of int or str ids"


def ids(argument: str, value: object, *, ordered: bool = True) -> NDArray[np.int64] | list[str]:
    """An int64 array or a list of str. A set has no order, so it is no list of ids where order counts."""
    if isinstance(value, str | bytes | Mapping) or (ordered and isinstance(value, AbstractSet)):
        raise wrong_type(argument, _IDS, kind_of(value))
    if isinstance(value, np.ndarray):
        _unmasked(argument, value)
        found = value
    elif hasattr(value, "__array__"):
        found = np.asarray(value)
    elif isinstance(value, Iterable):
        listed = list(value)
        if any(isinstance(item, str) for item in listed):
            return _texts(argument, listed)
        try:
            found = np.asarray(listed)
        except (ValueError, OverflowError):
            raise wrong_type(argument, _IDS, kind_of(value)) from None
        if found.dtype.kind == "f" and all(isinstance(item, int | np.integer) for item in listed):
            # NumPy has no type that holds both uint64 and int64.
            return np.fromiter((_int64(argument, item) for item in listed), np.int64, len(listed))
    else:
        raise wrong_type(argument, _IDS, kind_of(value))
    if found.ndim != 1:
        raise invalid(argument, "one dimension", f"an array of shape {found.shape}")
    if found.size == 0:
        return np.empty(0, np.int64)
    if found.dtype.kind in "UO" or found.dtype.kind == "T":
        listed = found.tolist()
        if any(isinstance(item, str) for item in listed):
            return _texts(argument, listed)
        return np.fromiter((_int64(argument, item) for item in listed), np.int64, len(listed))
    if found.dtype.kind == "u" and int(found.max()) > _INT64.max:
        raise invalid(argument, "integers within int64", found.max())
    if found.dtype.kind not in "iu":
        raise wrong_type(argument, _IDS, f"an array of {found.dtype}")
    return np.require(found, np.int64, ["C", "A"])


def _texts(argument: str, listed: list[Any]) -> list[str]:
    for i, item in enumerate(listed):
        if not isinstance(item, str):
            raise wrong_type(argument, "ids of one kind, str here", f"{kind_of(item)} at position {i}")
        if not item.isascii():
            try:
                item.encode()
            except UnicodeEncodeError:
                raise invalid(argument, "Unicode text", f"a lone surrogate in {item!r}") from None
    return listed


def _int64(argument: str, item: object) -> int:
    if isinstance(item, bool) or not isinstance(item, int | np.integer):
        raise wrong_type(argument, _IDS, kind_of(item))
    if not _INT64.min <= item <= _INT64.max:
        raise invalid(argument, "integers within int64", item)
    return int(item)


def optional_ids(argument: str, value: object) -> NDArray[np.int64] | list[str] | None:
    """Ids as a set, or None."""
    return None if value is None else ids(argument, value, ordered=False)


def one_id(argument: str, value: object) -> int | str:
    """One id."""
    return value if isinstance(value, str) else _int64(argument, value)


def mask_or_ids(argument: str, value: object) -> NDArray[np.bool_] | NDArray[np.int64] | list[str] | None:
    """A bool mask, or ids as a set, or None."""
    if value is None:
        return None
    if isinstance(value, list | tuple) and value and isinstance(value[0], bool | np.bool_):
        value = np.asarray(value)
    if hasattr(value, "__array__") or isinstance(value, np.ndarray):
        found = np.asarray(value)
        if isinstance(value, np.ndarray):
            _unmasked(argument, value)
        if found.dtype == np.bool_:
            if found.ndim != 1:
                raise invalid(argument, "a mask of one dimension", f"an array of shape {found.shape}")
            return np.ascontiguousarray(found)
    return ids(argument, value, ordered=False)


def ids_out(found: NDArray[np.int64] | list[str] | list[str | None]) -> NDArray[Any]:
    """Ids as users see them: an int64 array, or an object array of str."""
    return np.array(found, dtype=object) if isinstance(found, list) else found


def id_table_out(found: NDArray[np.int64] | list[list[str | None]], k: int) -> NDArray[Any]:
    """The same for the answers to several queries; None or -1 where there is none."""
    if not isinstance(found, list):
        return found
    out = np.empty((len(found), k), dtype=object)
    for row, line in zip(out, found, strict=True):
        row[:] = line
    return out


# What a datetime can hold, in microseconds since the epoch.
_EARLIEST = (datetime.min.replace(tzinfo=timezone.utc) - EPOCH) // MICROSECOND
_LATEST = (datetime.max.replace(tzinfo=timezone.utc) - EPOCH) // MICROSECOND
_MOMENTS = "a moment within the years 1 to 9999"


# --- time ------------------------------------------------------------------------------------------


def microseconds(argument: str, value: object) -> int:
    """Microseconds since the epoch; a time without a zone is UTC."""
    if isinstance(value, np.datetime64):
        if np.isnat(value):
            raise invalid(argument, "a moment", "NaT")
        count = int(value.astype("datetime64[us]").astype(np.int64))
        if not _EARLIEST <= count <= _LATEST:
            raise invalid(argument, _MOMENTS, value)
        return count
    if isinstance(value, datetime):
        moment = value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)
        return (moment - EPOCH) // MICROSECOND
    if isinstance(value, date):
        return (datetime(value.year, value.month, value.day, tzinfo=timezone.utc) - EPOCH) // MICROSECOND
    if isinstance(value, str):
        try:
            # Python 3.10 reads no "Z".
            return microseconds(
                argument, datetime.fromisoformat(value[:-1] + "+00:00" if value[-1:] in "Zz" else value)
            )
        except ValueError:
            raise invalid(argument, "a moment as ISO 8601, like 2026-11-23T12:00:00Z", repr(value)) from None
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise wrong_type(argument, "a datetime, an ISO 8601 text or seconds since the epoch", kind_of(value))
    count = round(real(argument, value) * 1e6) if not isinstance(value, int) else value * 1_000_000
    if not _EARLIEST <= count <= _LATEST:
        raise invalid(argument, _MOMENTS, f"{value} seconds since the epoch")
    return count


def moment_out(value: int) -> datetime:
    """Microseconds since the epoch as an aware datetime."""
    return EPOCH + value * MICROSECOND


def stored_moment_out(value: int) -> datetime | np.datetime64:
    """The same for what a table may have brought in: a moment that no datetime has is a np.datetime64."""
    return moment_out(value) if _EARLIEST <= value <= _LATEST else np.datetime64(value, "us")


# --- attributes ------------------------------------------------------------------------------------


def attributes(value: object, known: Mapping[str, str]) -> dict[str, tuple[str, list[Any]]]:
    """Attribute columns as (type, values); `known` are the types of columns that are there already."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise wrong_type("attributes", "a mapping of names to sequences", kind_of(value))
    columns = {}
    for name, values in value.items():
        if not isinstance(name, str):
            raise wrong_type("attributes", "names as keys", kind_of(name))
        columns[name] = _column(f"attributes[{name!r}]", values, known.get(name))
    return columns


_BY_DTYPE = {"b": "bool", "i": "int", "u": "int", "f": "float", "M": "timestamp"}
_TYPES = "bool, int, float, datetime, str or list[str]"


def _column(argument: str, values: object, known: str | None) -> tuple[str, list[Any]]:
    if isinstance(values, str | bytes | Mapping | AbstractSet) or not isinstance(values, Iterable):
        raise wrong_type(argument, f"a sequence of {_TYPES}", kind_of(values))
    if hasattr(values, "__array__"):
        found = np.asarray(values)
        if found.ndim == 1 and found.dtype.kind in _BY_DTYPE:
            kind = _BY_DTYPE[found.dtype.kind]
            if kind == "timestamp":
                nothing = np.isnat(found)
                numbers = found.astype("datetime64[us]").astype(np.int64)
                outside = ~nothing & ((numbers < _EARLIEST) | (numbers > _LATEST))
                if outside.any():
                    raise invalid(argument, _MOMENTS, found[outside][0])
                paired = zip(nothing.tolist(), numbers.tolist(), strict=True)
                return kind, [None if no else number for no, number in paired]
            return _promoted(kind, found.tolist(), known)
        listed = found.tolist() if found.ndim == 1 else list(found)
    else:
        listed = list(values)
    kinds = {_kind(argument, value) for value in listed if value is not None}
    if kinds == {"int", "float"}:
        kinds = {"float"}
    if len(kinds) > 1:
        raise wrong_type(argument, f"values of one type ({_TYPES})", " and ".join(sorted(kinds)))
    if not kinds:
        if known is None and listed:
            raise invalid(argument, "a value that tells the type of a new attribute", "None only")
        return known or "str", listed
    kind = kinds.pop()
    if kind == "timestamp":
        listed = [None if value is None else microseconds(argument, value) for value in listed]
    elif kind == "list[str]":
        listed = [None if value is None else list(value) for value in listed]
    elif kind == "float":
        listed = [None if value is None else float(value) for value in listed]
    elif kind in ("int", "bool"):
        listed = [value.item() if isinstance(value, np.generic) else value for value in listed]
    return _promoted(kind, listed, known)


def _promoted(kind: str, listed: list[Any], known: str | None) -> tuple[str, list[Any]]:
    """Whole numbers are numbers: they go into a float column."""
    if kind == "int" and known == "float":
        return known, [None if value is None else float(value) for value in listed]
    return kind, listed


def _kind(argument: str, value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return "bool"
    if isinstance(value, int | np.integer):
        return "int"
    if isinstance(value, float | np.floating):
        return "float"
    if isinstance(value, date | np.datetime64):
        return "timestamp"
    if isinstance(value, str):
        return "str"
    if isinstance(value, list | tuple | np.ndarray):
        return "list[str]"
    raise wrong_type(argument, f"values of {_TYPES}, or None", kind_of(value))


# --- consent ---------------------------------------------------------------------------------------

CATEGORIES = ("profile", "history", "signals")


def allowed(argument: str, value: object) -> tuple[bool, bool, bool]:
    """Whether each category of personal input may be used; what is not named may."""
    if not isinstance(value, Mapping):
        raise wrong_type(argument, "a mapping of categories to bools, or None", kind_of(value))
    found = dict.fromkeys(CATEGORIES, True)
    for name, may in value.items():
        if name not in CATEGORIES:
            raise invalid(argument, "keys among " + ", ".join(map(repr, CATEGORIES)), repr(name))
        if not isinstance(may, bool):
            raise wrong_type(f"{argument}[{name!r}]", "a bool", kind_of(may))
        found[name] = may
    return found["profile"], found["history"], found["signals"]


# --- signals ---------------------------------------------------------------------------------------


def signals(value: object) -> dict[str, Any]:
    """Signals as float64 arrays (NaN for None) or pairs of ids and float64 arrays."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise wrong_type("signals", "a mapping of names to numbers", kind_of(value))
    out: dict[str, Any] = {}
    for name, given in value.items():
        if not isinstance(name, str):
            raise wrong_type("signals", "names as keys", kind_of(name))
        argument = f"signals[{name!r}]"
        if isinstance(given, Mapping):
            kept = {key: number for key, number in given.items() if number is not None}
            out[name] = (ids(argument, list(kept)), doubles(argument, list(kept.values())))
        else:
            out[name] = doubles(argument, given)
    return out


def doubles(argument: str, value: object) -> NDArray[np.float64]:
    """A float64 vector; None becomes NaN, and a NaN that somebody wrote is refused."""
    if isinstance(value, str | bytes):
        raise wrong_type(argument, "a sequence of numbers", kind_of(value))
    found = array(argument, value)
    if found.ndim != 1:
        raise invalid(argument, "one dimension", f"an array of shape {found.shape}")
    missing = None
    if found.dtype == object:
        missing = np.array([item is None for item in found], dtype=bool)
        found = np.array([0.0 if item is None else real(argument, item) for item in found])
    elif found.dtype.kind not in "fiu" and found.size:
        raise wrong_type(argument, "a sequence of numbers", f"an array of {found.dtype}")
    numbers = found.astype(np.float64)
    bad = ~np.isfinite(numbers)
    if bad.any():
        raise invalid(argument, "finite numbers", f"{numbers[bad][0]} at position {int(bad.argmax())}")
    if missing is not None:
        numbers[missing] = np.nan
    return numbers
