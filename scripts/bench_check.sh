#!/usr/bin/env bash
# make bench-check: instruction counts and paired ratios against bench/record.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
parse_args

need_rust
need_venv
need_wheel bench
want_valgrind
step "bench-check"
exec "$PY" -m bench.check ${args[@]+"${args[@]}"}
