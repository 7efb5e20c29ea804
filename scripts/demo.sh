#!/usr/bin/env bash
# make demo: from nothing to a slate with reasons.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
parse_args

need_rust
need_venv
need_wheel demo
step "perso-core demo"
exec "$VENV/bin/perso-core" demo ${args[@]+"${args[@]}"}
