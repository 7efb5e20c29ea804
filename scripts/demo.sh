#!/usr/bin/env bash
# make demo: from nothing to a slate with reasons.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

need_rust
need_venv
need_wheel demo
step "perso-core demo"
# ARGS is a list of words on purpose.
# shellcheck disable=SC2086
exec "$VENV/bin/perso-core" demo ${ARGS:-}
