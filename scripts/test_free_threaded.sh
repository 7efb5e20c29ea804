#!/usr/bin/env bash
# make test-free-threaded: the Python tests under a CPython without the GIL, and threads that do everything at once.
# PYTHON_FREE_THREADED names the interpreter, 3.14t or later (pyo3 refuses 3.13t). Its wheel is built for that version alone: there
# is no stable ABI without the GIL. What it needs is installed where there is a wheel for such an interpreter; tests of
# what is missing are skipped, or left out below, and the script says which.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv_dir=.venv-free-threaded
source scripts/common.sh
parse_args

[[ -n "${PYTHON_FREE_THREADED:-}" ]] || fail "PYTHON_FREE_THREADED names no interpreter." \
    "A CPython built with --disable-gil: make test-free-threaded PYTHON_FREE_THREADED=python3.14t"
"$PYTHON_FREE_THREADED" -c 'import sys, sysconfig; sys.exit(not sysconfig.get_config_var("Py_GIL_DISABLED"))' ||
    fail "PYTHON_FREE_THREADED=$PYTHON_FREE_THREADED does not run, or has a GIL."
PYTHON=$PYTHON_FREE_THREADED
need_rust
need_venv
# Artifacts of another interpreter than that of the ordinary build, each of which would make the other stale.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/free-threaded"
"$PY" -m maturin --version >/dev/null 2>&1 || "$PY" -m pip install --quiet "maturin>=1.9,<2"
step "wheel"
rm -rf build/free-threaded
"$PY" -m maturin build --release --out build/free-threaded --interpreter "$PY"
"$PY" -m pip install --quiet --force-reinstall --no-deps build/free-threaded/perso_core-*.whl
step "packages"
"$PY" -m pip install --quiet --only-binary=:all: "numpy>=1.23" "pytest>=8" "hypothesis>=6.100" "jsonschema>=4.18"
for package in "pyarrow>=14" "scipy>=1.11" "scikit-learn>=1.3" "polars>=1" "duckdb>=1.1" "pandas>=2.2" "nanoarrow>=0.5" \
    "rich>=13" "jinja2>=3.1" "threadpoolctl>=3.1" "ir-measures>=0.3.7" "implicit>=0.7.2" "h5py>=3.8" "matplotlib>=3.8"; do
    "$PY" -m pip install --quiet --only-binary=:all: "$package" 2>/dev/null || echo "no wheel of $package: left out"
done
# A module that is not declared safe switches the GIL on again and warns; here it stays off whatever is imported, which
# is what the tests are for, and perso_core itself is asked without this.
step "import alone"
"$PY" -W error -c 'import sys, perso_core; sys.exit(sys._is_gil_enabled())' ||
    fail "Importing perso_core switched the GIL on."
step "pytest without the GIL"
# Left out: what looks at the ordinary wheel in dist/, and the demo, where what it is made of is missing.
ignored=(--ignore=tests/test_packaging.py)
"$PY" -c 'import implicit, ir_measures, sklearn' 2>/dev/null ||
    ignored+=(--ignore-glob='tests/test_demo*.py' --ignore=tests/test_cli.py --ignore=tests/test_bench_peers.py)
printf '%s\n' "${ignored[@]}"
PYTHON_GIL=0 "$PY" -m pytest -p no:cacheprovider "${ignored[@]}" ${args[@]+"${args[@]}"}
step "threads that do everything at once, for ${PERSO_CORE_STRESS_SECONDS:-30} s"
PERSO_CORE_STRESS_SECONDS=${PERSO_CORE_STRESS_SECONDS:-30} PYTHON_GIL=0 "$PY" -m pytest -p no:cacheprovider tests/test_stress.py
step "all checks passed without the GIL"
