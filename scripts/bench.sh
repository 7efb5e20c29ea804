#!/usr/bin/env bash
# make bench: the suite in bench/, on the release wheel.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

need_rust
need_venv
need_wheel bench
"$PY" -m pip install --quiet "$(echo dist/perso_core-*.whl)[peers]" ||
    echo "hnswlib does not build here (it needs a C++ compiler): the benchmarks run without a peer"
step "benchmarks"
# shellcheck disable=SC2086
exec "$PY" -m pytest bench --benchmark-only ${ARGS:-}
