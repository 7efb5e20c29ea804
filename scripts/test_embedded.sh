#!/usr/bin/env bash
# make test-embedded: the C library as a device has it. Its size; one slate from Python, from C, and from C on an emulated
# aarch64, the same bytes; and the kernels' differential tests on that processor, so that the NEON rows are executed.
#
# Exits with 3 when something could not be done because a tool is missing: it says which, and the rest has passed.
# INSTALL=1 fetches what is missing: as root on Debian and Ubuntu the packages, for everybody the source of Rust's
# standard library (scripts/cross.sh). `--quick` leaves out what takes minutes under emulation.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
source scripts/cross.sh

readonly DEVICE=aarch64-unknown-linux-gnu
# Bytes of the shared library, stripped. The goal is 1,000,000 for the one without catalogs: docs/embedded.md has where
# they are.
readonly MOST_CAPSULES=2200000
readonly MOST_ALL=3000000
quick=0
[[ "${1:-}" != --quick ]] || quick=1
skipped=()
skip() {
    printf 'skipped: %s\n' "$1" >&2
    skipped+=("$1")
}

# library TARGET FEATURES...: builds the library with these features (cargo's own words) and sets `built` to its folder. An
# rlib beside it would have cargo leave out link-time optimisation, so the kinds are named.
library() {
    local target=$1 kinds=(-p perso-capi --profile embedded --lib --crate-type "cdylib,staticlib")
    shift
    if [[ "$target" == host ]]; then
        cargo rustc --locked "${kinds[@]}" "$@"
        built=${CARGO_TARGET_DIR:-target}/embedded
    else
        cross_cargo "$target" rustc "${kinds[@]}" "$@"
        built=target/cross/$target/embedded
    fi
}

# size_of NAME LIMIT: prints the size of the library in `built`, and fails where it is more.
size_of() {
    local bytes
    bytes=$(wc -c <"$built/libperso_core_capi.so")
    printf '%s: %d bytes\n' "$1" "$bytes"
    ((bytes <= $2)) || fail "$1 has $bytes bytes; at most $2 are allowed."
}

# parity_program COMPILER: links rust/capi/ctest/parity.c with the static library in `built`.
parity_program() {
    "$1" -std=c99 -pedantic -Wall -Wextra -Werror -O1 -I rust/capi/include rust/capi/ctest/parity.c -o "$built/parity" \
        "$built/libperso_core_capi.a" -lgcc_s -lutil -lrt -lpthread -lm -ldl
}

need_rust
need_venv
need_wheel test
mkdir -p build/embedded

step "library of this machine"
[[ "$(uname -s)" == Linux ]] || { echo "skipped: sizes and emulation are for Linux" >&2; exit 3; }
library host --no-default-features
size_of "capsules alone" "$MOST_CAPSULES"
library host
size_of "with catalogs" "$MOST_ALL"
parity_program "${CC:-cc}"
programs="$built/parity"

emulator=()
if [[ "$(uname -m)" == aarch64 ]]; then
    : # This machine is the device.
else
    want_packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
    has_std "$DEVICE" || want_std_source
    if ! command -v aarch64-linux-gnu-gcc >/dev/null; then
        skip "aarch64: there is no aarch64-linux-gnu-gcc (Debian: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross)"
    elif ! command -v qemu-aarch64-static >/dev/null; then
        skip "aarch64: there is no qemu-aarch64-static (Debian: qemu-user-static)"
    elif ! has_std "$DEVICE" && [[ -z "$(std_source)" ]]; then
        skip "aarch64: no standard library; rustup target add $DEVICE, or rustup component add rust-src, or INSTALL=1"
    else
        # The C library has to be that of the loader, or threads hang, whatever else of the processor's is installed.
        emulator=(qemu-aarch64-static -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=/usr/aarch64-linux-gnu/lib)
        export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
        export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="${emulator[*]}"
        step "library of aarch64"
        library "$DEVICE" --no-default-features
        size_of "capsules alone" "$MOST_CAPSULES"
        library "$DEVICE"
        size_of "with catalogs" "$MOST_ALL"
        parity_program aarch64-linux-gnu-gcc
        programs+=$'\n'"${emulator[*]} $built/parity"
    fi
fi

step "parity: Python, C${emulator[*]:+, C on aarch64}"
PERSO_CORE_PARITY="$programs" "$PY" -m pytest tests/test_parity.py -q

if ((${#emulator[@]})); then
    step "kernels on aarch64"
    cross_cargo "$DEVICE" test -p perso-kernels
    if ((!quick)); then
        step "ranking on aarch64"
        cross_cargo "$DEVICE" test -p perso-core --test rank_oracle --test rank_record --test rank_sampling
    fi
fi

if ((${#skipped[@]})); then
    step "passed, but not all of it was run: ${skipped[*]}"
    exit 3
fi
step "embedded: all checks passed"
