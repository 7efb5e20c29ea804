#!/usr/bin/env bash
# make clean: back to what git knows, except for files of your own.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rm -rf target .venv .venv-peers .venv-free-threaded dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
find python tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
find python -name '_core*.so' -delete 2>/dev/null || true
