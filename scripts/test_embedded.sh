#!/usr/bin/env bash
# make test-embedded: the C library as a device has it. Its sizes; one slate from Python, from C, and from C on emulated
# processors (aarch64, armv7), the same bytes; and the kernels' differential tests on these, so that the NEON rows are
# executed. The smallest library (make capi-small) is held to its size and to the same bytes too.
#
# Exits with 3 when something could not be done because a tool is missing: it says which, and the rest has passed.
# INSTALL=1 fetches what is missing: as root on Debian and Ubuntu the packages, for everybody the source of Rust's
# standard library (scripts/cross.sh). `--quick` leaves out what takes minutes: armv7, ranking under emulation, parity of the
# smallest.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
source scripts/cross.sh

# Bytes of the shared library, stripped: profile.embedded with capsules alone and with all features, then the smallest with
# capsules alone, which is to stay under 1,000,000 on a device. docs/embedded.md has what is in them.
declare -rA MOST_CAPSULES=([x86_64]=2150000 [aarch64]=1760000 [armv7]=1800000)
declare -rA MOST_ALL=([x86_64]=2900000 [aarch64]=2420000 [armv7]=2430000)
declare -rA MOST_SMALL=([x86_64]=1280000 [aarch64]=1000000)
# What the static library needs of the system, as its pkg-config file has it (scripts/install_capi.sh).
readonly SYSTEM=(-lgcc_s -lutil -lrt -lpthread -lm -ldl)
quick=0
[[ "${1:-}" != --quick ]] || quick=1
skipped=()
skip() {
    printf 'skipped: %s\n' "$1" >&2
    skipped+=("$1")
}
programs=""

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

# smallest TARGET FEATURES...: the same for the smallest library.
smallest() {
    local target=$1
    shift
    small_cargo "$target" rustc -p perso-capi --lib --crate-type "cdylib,staticlib" "$@"
    built=target/small/$target/embedded-small
}

# size_of NAME LIMIT: prints the size of the library in `built`, and fails where it is more.
size_of() {
    local bytes
    bytes=$(wc -c <"$built/libperso_core_capi.so")
    printf '%s: %d bytes\n' "$1" "$bytes"
    ((bytes <= $2)) || fail "$1: the library has $bytes bytes; at most $2 are allowed."
}

# parity_program COMPILER [EMULATOR...]: links rust/capi/ctest/parity.c with the static library in `built`, for the test of
# parity below to run.
parity_program() {
    local compiler=$1
    shift
    "$compiler" -std=c99 -pedantic -Wall -Wextra -Werror -O1 -I rust/capi/include rust/capi/ctest/parity.c -o "$built/parity" \
        "$built/libperso_core_capi.a" "${SYSTEM[@]}"
    programs+="${*:+$* }$built/parity"$'\n'
}

# emulated TARGET TRIPLE PACKAGES...: whether programs for a Rust target can be built with the gcc for TRIPLE and run; if so,
# cargo knows how from here on, and `emulator` is what runs them.
emulated() {
    local target=$1 triple=$2 name=${1%%-*} qemu variable
    shift 2
    qemu=qemu-${name/armv7/arm}-static
    want_packages "$@" qemu-user-static
    has_std "$target" || want_std_source
    if ! command -v "$triple-gcc" >/dev/null; then
        skip "$name: there is no $triple-gcc (Debian: $*)"
    elif ! command -v "$qemu" >/dev/null; then
        skip "$name: there is no $qemu (Debian: qemu-user-static)"
    elif ! has_std "$target" && [[ -z "$(std_source)" ]]; then
        skip "$name: no standard library; rustup target add $target, or rustup component add rust-src, or INSTALL=1"
    else
        # The C library has to be that of the loader, or threads hang, whatever else of the processor's is installed.
        emulator=("$qemu" -L "/usr/$triple" -E "LD_LIBRARY_PATH=/usr/$triple/lib")
        variable=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")
        export "${variable}_LINKER=$triple-gcc" "${variable}_RUNNER=${emulator[*]}"
        return 0
    fi
    return 1
}

need_rust
need_venv
need_wheel test
mkdir -p build/embedded

[[ "$(uname -s)" == Linux ]] || { echo "skipped: sizes and emulation are for Linux" >&2; exit 3; }
machine=$(uname -m)
host=$(rustc -vV | sed -n 's/^host: //p')
step "library of this machine"
library host --no-default-features
size_of "$machine, capsules alone" "${MOST_CAPSULES[$machine]:-3000000}"
library host
size_of "$machine, with catalogs" "${MOST_ALL[$machine]:-3000000}"
parity_program "${CC:-cc}"
if ((!quick)); then
    want_std_source
    if [[ -z "$(std_source)" ]]; then
        skip "smallest library of this machine: no source of the standard library; rustup component add rust-src, or INSTALL=1"
    else
        step "smallest library of this machine"
        smallest "$host" --no-default-features
        size_of "$machine, smallest" "${MOST_SMALL[$machine]:-1300000}"
        smallest "$host"
        parity_program "${CC:-cc}"
        # What it refuses for want of memory it refuses without unwinding.
        "${CC:-cc}" -std=c99 -O1 -I rust/capi/include rust/capi/ctest/memory.c -o "$built/memory" \
            "$built/libperso_core_capi.a" "${SYSTEM[@]}"
        "$built/memory" || (($? == 77)) || fail "memory.c: the smallest library does not report a want of memory."
    fi
fi

# on_device TARGET TRIPLE: libraries and kernels of an emulated processor.
on_device() {
    local target=$1 triple=$2 name=${1%%-*}
    step "library of $name"
    library "$target" --no-default-features
    size_of "$name, capsules alone" "${MOST_CAPSULES[$name]}"
    library "$target"
    size_of "$name, with catalogs" "${MOST_ALL[$name]}"
    parity_program "$triple-gcc" "${emulator[@]}"
    if [[ "$name" != aarch64 ]]; then
        : # The smallest is watched where the limit is about devices of today.
    elif [[ -n "$(std_source)" ]]; then
        step "smallest library of $name"
        smallest "$target" --no-default-features
        size_of "$name, smallest" "${MOST_SMALL[$name]}"
        if ((!quick)); then
            smallest "$target"
            parity_program "$triple-gcc" "${emulator[@]}"
        fi
    else
        skip "smallest library of $name: no source of the standard library; rustup component add rust-src, or INSTALL=1"
    fi
    step "kernels on $name"
    cross_cargo "$target" test -p perso-kernels
}

aarch64=aarch64-unknown-linux-gnu
armv7=armv7-unknown-linux-gnueabihf
# A machine that is the device needs no emulator.
if [[ "$machine" != aarch64 ]] && emulated "$aarch64" aarch64-linux-gnu gcc-aarch64-linux-gnu libc6-dev-arm64-cross; then
    on_device "$aarch64" aarch64-linux-gnu
    if ((!quick)); then
        step "ranking on aarch64"
        cross_cargo "$aarch64" test -p perso-core --test rank_oracle --test rank_record --test rank_sampling
    fi
fi
if ((!quick)) && emulated "$armv7" arm-linux-gnueabihf gcc-arm-linux-gnueabihf libc6-dev-armhf-cross; then
    on_device "$armv7" arm-linux-gnueabihf
fi

step "parity: Python and C"
printf '%s' "$programs"
PERSO_CORE_PARITY="$programs" "$PY" -m pytest tests/test_parity.py -q

if ((${#skipped[@]})); then
    step "passed, but not all of it was run: ${skipped[*]}"
    exit 3
fi
step "embedded: all checks passed"
