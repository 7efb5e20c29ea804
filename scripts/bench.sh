#!/usr/bin/env bash
# make bench: the suite in bench/, on the release wheel.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

need_rust
need_venv
need_wheel bench
step "benchmarks"
# shellcheck disable=SC2086
exec "$PY" -m pytest bench --benchmark-only ${ARGS:-}
