#!/usr/bin/env bash
# make bench-peers: this library beside its peers, in an environment of their own.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv_dir=.venv-peers
source scripts/common.sh
parse_args

need_rust
need_venv
need_wheel bench-peers
step "peers"
"$PY" -m bench.peers.install
step "benchmarks beside peers"
exec "$PY" -m bench.peers ${args[@]+"${args[@]}"}
