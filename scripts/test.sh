#!/usr/bin/env bash
# make test: everything that has to hold before a change goes in. Cheap checks first; the first failure ends it.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
parse_args

bash scripts/lint.sh
need_rust
step "cargo test"
PYO3_PYTHON="$PWD/$PY" cargo test --locked --workspace
need_venv
need_wheel test
step "pytest"
"$PY" -m pytest ${args[@]+"${args[@]}"}
step "source distribution"
# It has its own Cargo.toml, without the crates that the wheel does not need: it must compile as it is.
rm -rf build/sdist
mkdir -p build
"$PY" -m maturin sdist --out build/sdist 2>build/sdist.log || { cat build/sdist.log >&2; exit 1; }
tar -xzf build/sdist/perso_core-*.tar.gz -C build/sdist
(
    target=${CARGO_TARGET_DIR:-target}
    [[ "$target" == /* ]] || target="$PWD/$target"
    python="$PWD/$PY"
    cd build/sdist/perso_core-*/
    CARGO_TARGET_DIR="$target" PYO3_PYTHON="$python" cargo check --locked --package perso-python
)
step "stubtest"
"$PY" -m mypy.stubtest perso_core._core
step "mypy"
# The sources against each other, then the cases against the package as installed.
(cd python && "../$PY" -m mypy --config-file ../pyproject.toml -p perso_core)
"$PY" -m mypy tests/typing
step "the device's library, quick form"
# 3 means that a tool for the other processor is missing; what could be done has passed.
embedded=0
bash scripts/test_embedded.sh --quick || embedded=$?
((embedded == 0 || embedded == 3)) || exit "$embedded"
step "bench-check, quick form"
# The last, because it is what a busy machine can best do without: 3 means that nothing could be counted.
want_valgrind
gate=0
"$PY" -m bench.check --quick || gate=$?
if ((gate == 3)); then
    step "all checks passed, except that instructions were NOT counted (the reason is above)"
    exit
fi
((gate == 0)) || exit "$gate"
step "all checks passed"
