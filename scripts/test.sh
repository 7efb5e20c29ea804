#!/usr/bin/env bash
# make test: everything that has to hold before a change goes in. Cheap checks first; the first failure ends it.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

bash scripts/lint.sh
need_rust
step "cargo test"
PYO3_PYTHON="$PWD/$PY" cargo test --locked --workspace
need_venv
need_wheel test
step "pytest"
# shellcheck disable=SC2086
"$PY" -m pytest ${ARGS:-}
step "stubtest"
"$PY" -m mypy.stubtest perso_core._core
step "mypy"
# The sources against each other, then the cases against the package as installed.
(cd python && "../$PY" -m mypy --config-file ../pyproject.toml -p perso_core)
"$PY" -m mypy tests/typing
step "all checks passed"
