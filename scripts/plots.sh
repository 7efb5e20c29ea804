#!/usr/bin/env bash
# make plots: docs/plots/*.svg, drawn by running the release wheel.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
parse_args

need_rust
need_venv
need_wheel docs
step "plots"
exec "$PY" docs/plots/make.py ${args[@]+"${args[@]}"}
