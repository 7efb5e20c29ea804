#!/usr/bin/env bash
# make bench: the suite in bench/, on the release wheel.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
parse_args

need_rust
need_venv
need_wheel bench
step "benchmarks"
exec "$PY" -m pytest bench --benchmark-only ${args[@]+"${args[@]}"}
