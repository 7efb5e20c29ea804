#!/usr/bin/env bash
# make bench-filters: filtered searches beside peers', in the environment of bench-peers.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv_dir=.venv-peers
source scripts/common.sh
parse_args

need_rust
need_venv
need_wheel bench-peers
step "peers"
for peer in "hnswlib>=0.8" "faiss-cpu>=1.9" "qdrant-edge-py>=0.9"; do
    "$PY" -m pip install --quiet --disable-pip-version-check "$peer" || echo "  $peer: not installed, left out"
done
step "filtered searches"
exec "$PY" -m bench.filters ${args[@]+"${args[@]}"}
