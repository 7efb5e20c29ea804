# Shared by the scripts beside it: finds the tools, keeps .venv, builds and installs the wheel.
# Source it from the root of the checkout; everything it names is relative to that.

set -euo pipefail

# A script that wants an environment of its own sets venv_dir first.
readonly VENV=${venv_dir:-.venv}
readonly PY="$VENV/bin/python"

step() { printf '\n=== %s\n' "$*"; }

# ARGS into the array `args`, as a shell would split it: make bench ARGS="-k 'search or rank'". Where it is used,
# the odd form of the expansion is for the bash of macOS, to which an empty array is an unset one.
parse_args() { eval "args=(${ARGS:-})"; }

fail() {
    printf '\nerror: %s\n' "$1" >&2
    shift
    if (($#)); then printf '       %s\n' "$@" >&2; fi
    exit 1
}

# Rust, new enough, with a linker for it.
need_rust() {
    if ! command -v cargo >/dev/null && [[ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]]; then
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    fi
    command -v cargo >/dev/null || fail "Rust is missing: there is no 'cargo' on the PATH." \
        "Install it from https://rustup.rs and open a new shell."
    local need have
    need=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
    have=$(rustc --version 2>/dev/null | awk '{print $2}') || true
    [[ -n "$have" ]] || fail "'cargo' is there, but 'rustc --version' does not run." "Try: rustup default stable"
    if [[ "$(printf '%s\n%s\n' "$need" "${have%%-*}" | sort -V | head -n 1)" != "$need" ]]; then
        fail "Rust $need or later is needed, this is Rust $have." "Try: rustup update stable"
    fi
    command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null ||
        fail "A C linker is missing: Rust needs 'cc' to link." \
            "Debian and Ubuntu: apt install gcc libc6-dev.  macOS: xcode-select --install"
}

# rustfmt and clippy.
need_rust_lints() {
    local tool
    for tool in fmt clippy; do
        cargo "$tool" --version >/dev/null 2>&1 || fail "'cargo $tool' is missing." \
            "Try: rustup component add rustfmt clippy"
    done
}

# Prints a Python that can make the virtual environment.
find_python() {
    local probe='import sys; sys.exit(not (sys.implementation.name == "cpython" and sys.version_info >= (3, 10)))'
    local candidate seen=""
    if [[ -n "${PYTHON:-}" ]]; then
        "$PYTHON" -c "$probe" 2>/dev/null ||
            fail "PYTHON=$PYTHON does not run, or is not CPython 3.10 or later."
        candidate=$PYTHON
    else
        for candidate in python3.13 python3.12 python3.11 python3.10 python3 python ""; do
            [[ -n "$candidate" ]] || break
            # A version manager may leave a command that exists and does not run, so each one is tried.
            "$candidate" -c "$probe" >/dev/null 2>&1 && break
            if "$candidate" --version >/dev/null 2>&1; then
                seen="$seen $("$candidate" --version 2>&1 | tr ' ' '-')"
            fi
        done
        [[ -n "$candidate" ]] || fail "CPython 3.10 or later is missing (found:${seen:- no Python at all})." \
            "Install one, or name one: make PYTHON=/path/to/python3 ..."
    fi
    "$candidate" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$candidate has no 'venv' module, so no virtual environment can be made." \
            "Debian and Ubuntu: apt install python3-venv"
    printf '%s\n' "$candidate"
}

# A virtual environment in the checkout, made again when the checkout moved or its Python went away.
need_venv() {
    local python origin
    # An environment that works is kept, unless PYTHON asks for a particular interpreter.
    if [[ -z "${PYTHON:-}" && -f "$VENV/.origin" ]] && "$PY" -c 'import pip' 2>/dev/null &&
        [[ "$(cat "$VENV/.origin")" == "$PWD|"* ]]; then
        return
    fi
    python=$(find_python)
    origin="$PWD|$("$python" -c 'import sys; print(sys.base_prefix, sys.version)' | tr '\n' ' ')"
    if [[ -f "$VENV/.origin" && "$(cat "$VENV/.origin")" == "$origin" ]] && "$PY" -c 'import pip' 2>/dev/null; then
        return
    fi
    step "virtual environment in $VENV ($("$python" --version))"
    rm -rf "$VENV"
    "$python" -m venv "$VENV"
    printf '%s' "$origin" >"$VENV/.origin"
}

# hash FILE...: one line that changes when one of them does.
hash_of() {
    "$PY" -c 'import hashlib, pathlib, sys
print(hashlib.sha256(b"".join(pathlib.Path(p).read_bytes() for p in sys.argv[1:])).hexdigest())' "$@"
}

# need_wheel EXTRAS: the release wheel, installed with these extras ("demo", "test,bench").
# cargo decides what to compile again; pip runs only when the wheel or the requirements changed.
need_wheel() {
    local extras=$1 wheel stamp="$VENV/.installed-$1" want core
    if ! "$PY" -m maturin --version >/dev/null 2>&1; then
        step "build tool"
        "$PY" -m pip install --quiet "maturin>=1.9,<2"
    fi
    step "release wheel"
    rm -f dist/perso_core-*.whl
    # The interpreter is named, so that cargo's build scripts see the same one each time.
    "$PY" -m maturin build --release --out dist --interpreter "$PY"
    wheel=$(echo dist/perso_core-*.whl)
    core="$VENV/.wheel"
    want="$(hash_of "$wheel") $(hash_of pyproject.toml)"
    if [[ ! -f "$stamp" || "$(cut -d' ' -f2 "$stamp")" != "${want##* }" ]]; then
        step "packages: $extras"
        "$PY" -m pip install --quiet "$wheel[$extras]"
        printf '%s\n' "$want" >"$stamp"
    fi
    if [[ ! -f "$core" || "$(cat "$core")" != "$want" ]]; then
        "$PY" -m pip install --quiet --no-deps --force-reinstall "$wheel"
        printf '%s\n' "$want" >"$core"
    fi
}

# capi_abi: prints the version of the C library's ABI, which its name on a system ends with.
capi_abi() { sed -n 's/^#define PC_ABI_VERSION \([0-9]*\)$/\1/p' rust/capi/include/perso_core.h; }

# valgrind, where it can be had: installed when this is root on Debian or Ubuntu, as in a container that runs the
# checks. Without it bench.check says that it has not counted, and why; nothing else needs it.
want_valgrind() {
    if command -v valgrind >/dev/null || [[ "$(uname -sm)" != "Linux x86_64" ]]; then return; fi
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then return; fi
    step "valgrind"
    export DEBIAN_FRONTEND=noninteractive
    { timeout 60 apt-get update -qq && timeout 120 apt-get install -qq -y --no-install-recommends valgrind; } \
        >/dev/null 2>&1 || echo "valgrind could not be installed by apt-get"
}
