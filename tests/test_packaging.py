"""What the wheel promises: NumPy alone, types, a quick import, a small file."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

import perso_core as pc

ROOT = Path(__file__).parents[1]


def test_numpy_is_the_only_requirement() -> None:
    required = [r for r in importlib.metadata.requires("perso_core") or [] if "extra ==" not in r]
    assert [re.split(r"[^\w-]", one)[0] for one in required] == ["numpy"]


def test_the_version_is_one() -> None:
    workspace = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    assert pc.__version__ == importlib.metadata.version("perso_core")
    assert f'version = "{pc.__version__}"' in workspace


def test_types_are_shipped() -> None:
    package = files("perso_core")
    assert package.joinpath("py.typed").is_file()
    assert package.joinpath("_core.pyi").is_file()


def test_all_is_what_there_is() -> None:
    assert sorted(pc.__all__) == sorted(set(pc.__all__))
    for name in pc.__all__:
        assert getattr(pc, name).__doc__, f"{name} has no docstring"


def test_public_things_are_documented() -> None:
    bare = []
    for name in pc.__all__:
        thing = getattr(pc, name)
        if isinstance(thing, type):
            members = [(f"{name}.{n}", m) for n, m in vars(thing).items() if not n.startswith("_")]
            bare += [n for n, m in members if (callable(m) or isinstance(m, property)) and not m.__doc__]
    assert bare == []


def in_fresh_python(script: str) -> str:
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_import_is_quick() -> None:
    script = (
        "import numpy, time; start = time.process_time(); import perso_core; "
        "print(time.process_time() - start)"
    )
    # CPU time, and the best of several: what the import costs, not what else the machine does.
    seconds = min(float(in_fresh_python(script)) for _ in range(7))
    assert seconds < 0.1


def test_import_loads_nothing_heavy() -> None:
    script = (
        "import numpy, sys; before = set(sys.modules); import perso_core; print(*set(sys.modules) - before)"
    )
    loaded = {name.partition(".")[0] for name in in_fresh_python(script).split()}
    heavy = {
        "pyarrow",
        "pandas",
        "scipy",
        "sklearn",
        "implicit",
        "rich",
        "matplotlib",
        "argparse",
        "multiprocessing",
    }
    assert loaded & heavy == set()
    assert "perso_core.demo" not in in_fresh_python("import perso_core, sys; print(*sys.modules)")


def test_a_debug_build_says_so_at_import() -> None:
    script = (
        "import warnings\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    import perso_core\n"
        "said = any(w.category is RuntimeWarning and 'debug build' in str(w.message) for w in caught)\n"
        "print(said == perso_core._core.debug_build)"
    )
    assert in_fresh_python(script) == "True"


def built() -> list[Path]:
    return sorted((ROOT / "dist").glob("perso_core-*.whl"))


@pytest.mark.skipif(not built(), reason="no wheel in dist/: make test builds one")
def test_the_wheel_is_small_and_serves_every_python() -> None:
    for wheel in built():
        # 3.46 MB when capsules, their signatures and routing had come; a fifth is Arrow's.
        assert wheel.stat().st_size < 3_600_000
        assert "-cp310-abi3-" in wheel.name
        names = zipfile.ZipFile(wheel).namelist()
        assert any(name.endswith("LICENSE") for name in names)
        assert sum(name.endswith((".so", ".pyd")) for name in names) == 1
