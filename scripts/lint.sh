#!/usr/bin/env bash
# make lint: formatting and lints. make format: the same, mending what can be mended.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

need_rust
need_rust_lints
need_venv
ruff=$(sed -n 's/^ *"\(ruff==[^"]*\)".*/\1/p' pyproject.toml)
"$PY" -m ruff --version >/dev/null 2>&1 || "$PY" -m pip install --quiet "$ruff"

if [[ "${1:-}" == --fix ]]; then
    cargo fmt --all
    "$PY" -m ruff check --quiet --fix .
    "$PY" -m ruff format --quiet .
    exit
fi
step "rustfmt"
cargo fmt --all --check
step "what the schema of capsules gives"
bash scripts/capsule_schema.sh --check
step "clippy"
PYO3_PYTHON="$PWD/$PY" cargo clippy --locked --workspace --all-targets -- -D warnings
step "ruff"
"$PY" -m ruff check .
"$PY" -m ruff format --check .
