#!/usr/bin/env bash
# make capi-small: the C library as small as it gets, static and shared: profile.embedded-small, a standard library made for
# size, identical functions folded. A panic in it ends the process: docs/embedded.md.
#
#   TARGET=...      a Rust target (default: this machine's); cargo wants to know its linker, as always
#                   (CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc)
#   CAPI_ARGS=...   more for cargo (default: --no-default-features, capsules alone; CAPI_ARGS=--all-features for all)
#   INSTALL=1       fetches the source of the standard library where the toolchain has none (scripts/cross.sh)
#
# `make install-capi CAPI_FROM=folder`, with the folder this prints, installs it.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
source scripts/cross.sh

need_rust
want_std_source
target=${TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
eval "args=(${CAPI_ARGS:---no-default-features})"
step "smallest C library ($target)"
flag=()
if [[ "$target" == *-linux-* ]]; then
    # As scripts/install_capi.sh names it.
    flag=(-- -C "link-arg=-Wl,-soname,libperso_core_capi.so.$(capi_abi)")
fi
small_cargo "$target" rustc --package perso-capi --lib --crate-type cdylib,staticlib \
    ${args[@]+"${args[@]}"} ${flag[@]+"${flag[@]}"}
folder=target/small/$target/embedded-small
wc -c "$folder"/libperso_core_capi.*[!d]
echo "in $folder"
