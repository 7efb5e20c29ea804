#!/usr/bin/env bash
# make fuzz: every target of fuzz/ for FUZZ_SECONDS seconds (10), one after the other; the first finding ends it.
# FUZZ_TARGETS="policy faiss_file" picks some. See fuzz/README.md.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

need_rust
command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null ||
    fail "A C++ compiler is missing: libFuzzer is built from source." "Debian and Ubuntu: apt install g++"

# What `cargo fuzz build -s none` passes to the compiler, so that a stable toolchain is enough and nothing needs to be
# installed: counters at every edge, and the operands of comparisons. The target is named because only then do these
# flags leave build scripts and macros alone.
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
cd fuzz
targets=${FUZZ_TARGETS:-$(sed -n 's/^path = "fuzz_targets\/\(.*\)\.rs"/\1/p' Cargo.toml)}
step "fuzz targets"
cargo build --locked --release --bins --target "$host"
step "seeds"
RUSTFLAGS="" cargo run --locked --quiet --example seeds

for target in $targets; do
    case $target in
        index_file | catalog_file) longest=8192 ;;
        raw_file) longest=16384 ;;
        record) longest=32768 ;;
        capsule) longest=8192 ;;
        *) longest=4096 ;;
    esac
    step "$target, ${FUZZ_SECONDS:=10} s"
    mkdir -p "corpus/$target" "artifacts/$target"
    log="artifacts/$target.log"
    if ! "target/$host/release/$target" -max_total_time="$FUZZ_SECONDS" -max_len="$longest" -rss_limit_mb=512 \
        -artifact_prefix="artifacts/$target/" -print_final_stats=1 "corpus/$target" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        fail "$target has a finding: fuzz/artifacts/$target/" \
            "Run it again with: fuzz/target/$host/release/$target FILE"
    fi
    sed -n 's/^stat::number_of_executed_units: */inputs run: /p; s/^stat::average_exec_per_sec: */a second: /p' "$log"
    grep -o 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$log" | tail -n 1
done
step "no finding"
