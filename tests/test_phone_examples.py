"""The phones in Kotlin and Swift print what the one in C prints, byte for byte, where their compilers are installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import c_library
import perso_core as pc
from world import AT, world

PHONE = c_library.ROOT / "examples" / "phone"
NOW, TAPS = str(int(AT.timestamp())), ["2", "5"]


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    """A signed capsule and its public key."""
    folder = tmp_path_factory.mktemp("feed")
    cat, _, _ = world(4, n=120)
    plan = pc.ProfilePlan("b", {"click": 1.0, "skip": -0.5}, prior_strength=2.0)
    policy = pc.Policy(60, pc.Blend({"b": 1.0}, pop=0.3), pc.MMR(0.3, "b"), explore=pc.EpsilonGreedy(0.1))
    key = pc.generate_key()
    ids = cat.ids.tolist()[:100]
    pc.capsule(ids, cat, policy, ttl="1h", key=key, at=AT, profile=plan).save(folder / "feed.capsule")
    (folder / "key").write_bytes(key.public)
    return [folder / "feed.capsule", folder / "key"]


@pytest.fixture(scope="module")
def in_c(feed, tmp_path_factory):
    """What the C program prints, and where the shared library lies that it was built beside."""
    program = c_library.compiled(PHONE / "phone.c", tmp_path_factory.mktemp("c"))
    return subprocess.check_output([program, *feed, NOW, *TAPS]), c_library.library().parent


def need(*tools):
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def same(command, feed, expected, environment=None):
    """The same feed for the same taps, and the same words for a capsule that has expired."""
    how = {"capture_output": True, "env": {**os.environ, **(environment or {})}}
    done = subprocess.run([*command, *feed, NOW, *TAPS], **how)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == expected
    late = subprocess.run([*command, *feed, str(int(NOW) + 3600)], **how)
    assert late.returncode == 1 and late.stderr.decode().splitlines()[-1].startswith("expired: ")


@pytest.mark.slow
def test_kotlin(feed, tmp_path, request):
    need("kotlinc", "java")
    jna = Path(os.environ.get("JNA_JAR", "/usr/share/java/jna.jar"))
    if not jna.is_file():
        pytest.skip("JNA is not installed: libjna-java on Debian, or JNA_JAR=/path/to/jna.jar")
    expected, libraries = request.getfixturevalue("in_c")
    jar = tmp_path / "phone.jar"
    sources = sorted((PHONE / "kotlin").glob("*.kt"))
    subprocess.run(["kotlinc", "-cp", jna, *sources, "-include-runtime", "-d", jar], check=True)
    paths = f"{jar}{os.pathsep}{jna}"
    same(
        ["java", f"-Djna.library.path={libraries}", "-cp", paths, "phone.PhoneKt"],
        feed,
        expected,
    )


@pytest.mark.slow
def test_swift(feed, tmp_path, request):
    need("swift", "pkg-config")
    expected, libraries = request.getfixturevalue("in_c")
    package = shutil.copytree(PHONE / "swift", tmp_path / "swift")
    (tmp_path / "perso_core.pc").write_text(
        "Name: perso_core\nDescription: as built\nVersion: 0\n"
        f"Cflags: -I{c_library.INCLUDE}\nLibs: -L{libraries} -lperso_core_capi\n"
    )
    environment = {"PKG_CONFIG_PATH": str(tmp_path), "LD_LIBRARY_PATH": str(libraries)}
    build = ["swift", "build", "--package-path", package, "--product", "phone"]
    subprocess.run(build, check=True, env={**os.environ, **environment})
    same([package / ".build" / "debug" / "phone"], feed, expected, environment)
