"""The C library, built by cargo, and programs of rust/capi/ctest compiled with it: for tests that hold C beside Python."""

import functools
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "rust" / "capi" / "include"
PROGRAMS = ROOT / "rust" / "capi" / "ctest"
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread"]
# What a static library needs of the system.
NEEDS = {
    "linux": ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"],
    "darwin": ["-lc", "-lm"],
}


def cargo():
    """The command, from the path or from where rustup puts it; the test is skipped where there is none."""
    home = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
    found = shutil.which("cargo") or shutil.which(home / "bin" / "cargo")
    if found is None:
        pytest.skip("there is no cargo to build the C library with")
    return found


@functools.cache
def library():
    """The static library, as `cargo test` has it: built if that has not been done."""
    if sys.platform not in NEEDS:
        pytest.skip(f"what a static library needs is not known of {sys.platform}")
    command = [cargo(), "build", "--quiet", "--locked", "--profile", "test", "--package", "perso-capi"]
    subprocess.run(command, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return (ROOT / target / "debug" / "libperso_core_capi.a").resolve()


def compiler():
    """A C compiler; the test is skipped where there is none."""
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return name
    return pytest.skip("there is no C compiler")


def compiled(source, folder):
    """A C source, compiled and linked with the library."""
    program = folder / pathlib.Path(source).stem
    command = [compiler(), "-std=c99", *STRICT, "-I", INCLUDE, source, "-o", program, library()]
    subprocess.run([*command, *NEEDS[sys.platform]], check=True)
    return program
