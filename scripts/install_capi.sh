#!/usr/bin/env bash
# make install-capi: the C library, static and shared, its header, and what pkg-config is to know.
#
#   PREFIX=/usr/local   where they will be found: PREFIX/lib, PREFIX/include
#   DESTDIR=            put in front of every path that is written, for those who make packages
#   CAPI_PROFILE=...    the cargo profile (default: release)
#   CAPI_ARGS='...'     more for cargo, such as --no-default-features for a library without catalogs
#   CAPI_FROM=folder    install libraries that are there already instead of building them
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

prefix=${PREFIX:-/usr/local}
[[ "$prefix" == /* ]] || fail "PREFIX has to be an absolute path, and is: $prefix"
abi=$(capi_abi)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)

# The name that a program asks for when it starts: another ABI is another name.
case "$(uname -s)" in
Darwin)
    shared=libperso_core_capi.dylib
    named=libperso_core_capi.$abi.dylib
    flag="-Wl,-install_name,$prefix/lib/$named"
    needs="-lc -lm"
    ;;
*)
    shared=libperso_core_capi.so
    named=libperso_core_capi.so.$abi
    flag="-Wl,-soname,$named"
    needs="-lgcc_s -lutil -lrt -lpthread -lm -ldl"
    ;;
esac

from=${CAPI_FROM:-}
if [[ -z "$from" ]]; then
    need_rust
    profile=${CAPI_PROFILE:-release}
    step "C library ($profile)"
    eval "args=(${CAPI_ARGS:-})"
    cargo rustc --locked --profile "$profile" --package perso-capi --lib --crate-type staticlib,cdylib \
        ${args[@]+"${args[@]}"} -- -C link-arg="$flag"
    # The folders of these two have an older name.
    case "$profile" in dev | test) folder=debug ;; *) folder=$profile ;; esac
    from="${CARGO_TARGET_DIR:-target}/$folder"
fi

to="${DESTDIR:-}$prefix"
step "into $to"
install -d "$to/include" "$to/lib/pkgconfig"
install -m 644 rust/capi/include/perso_core.h "$to/include/perso_core.h"
install -m 644 "$from/libperso_core_capi.a" "$to/lib/libperso_core_capi.a"
install -m 755 "$from/$shared" "$to/lib/$named"
ln -sf "$named" "$to/lib/$shared"
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" -e "s|@NEEDS@|$needs|" rust/capi/perso_core.pc.in \
    >"$to/lib/pkgconfig/perso_core.pc"
echo "Programs find it with: pkg-config --cflags --libs perso_core"
