# Shared by the scripts that build for other processors: a standard library for each, a linker, an emulator.
# Source it after common.sh, from the root of the checkout.
#
# A target's standard library is the toolchain's own where `rustup target add` put it. Without that it is made from its
# source (cargo -Zbuild-std, which wants the source of exactly this toolchain's version): the component rust-src, or
# the package rust-src of Debian, taken apart into build/embedded.

readonly CROSS_SOURCE=build/embedded/rust-src

# may_install: whether packages may be fetched: in CI, and where INSTALL=1 asks for it.
may_install() { [[ -n "${CI:-}" || "${INSTALL:-}" == 1 ]]; }

# want_packages PACKAGE...: Debian packages that are not there yet, where this is root and may install.
want_packages() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok' || missing+=("$package")
    done
    if ((${#missing[@]} == 0)) || ((EUID != 0)) || ! may_install; then return; fi
    step "packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    { timeout 120 apt-get update -qq && timeout 300 apt-get install -qq -y --no-install-recommends "${missing[@]}"; } \
        >/dev/null 2>&1 || echo "could not be installed by apt-get"
}

# has_std TARGET: whether the toolchain has a standard library for it.
has_std() {
    compgen -G "$(rustc --print target-libdir --target "$1" 2>/dev/null)/libstd-*.rlib" >/dev/null
}

# std_source: prints where the source of this toolchain's standard library lies; nothing where there is none.
std_source() {
    local version folder
    version=$(rustc --version | awk '{print $2}')
    for folder in "$(rustc --print sysroot)/lib/rustlib/src/rust" "$PWD/$CROSS_SOURCE/$version"; do
        if [[ -f "$folder/library/std/Cargo.toml" ]]; then
            printf '%s\n' "$folder/library"
            return
        fi
    done
}

# want_std_source: fetches Debian's package of the source, where some suite has this version. No root is needed: the lists
# and the package stay in build/embedded, and the system knows nothing of them.
want_std_source() {
    local version mirror keys=/usr/share/keyrings/debian-archive-keyring.gpg folder=build/embedded/apt suite found options
    if [[ -n "$(std_source)" ]] || ! may_install || ! command -v apt-get >/dev/null || [[ ! -f "$keys" ]]; then return; fi
    version=$(rustc --version | awk '{print $2}')
    # The mirror that the system itself uses.
    mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        sed -n 's/^Debian|Debian|//p' | head -n 1)
    [[ -n "$mirror" ]] || return 0
    step "source of Rust $version's standard library"
    rm -rf "$folder"
    mkdir -p "$folder"/{lists,cache}/partial
    # Mirrors keep a version for as long as one of these has it.
    for suite in stable-backports unstable; do
        echo "deb [signed-by=$keys] $mirror $suite main"
    done >"$folder/sources.list"
    options=(-o "Dir::Etc::sourcelist=$PWD/$folder/sources.list" -o "Dir::Etc::sourceparts=/dev/null"
        -o "Dir::State::lists=$PWD/$folder/lists" -o "Dir::Cache=$PWD/$folder/cache" -o "APT::Architectures=amd64"
        -o "Acquire::Languages=none" -o "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false" -o "APT::Sandbox::User=root")
    timeout 120 apt-get "${options[@]}" update -qq >/dev/null 2>&1 || true
    found=$(apt-cache "${options[@]}" madison rust-src 2>/dev/null | awk '{print $3}' | grep -F "$version+" | head -n 1) || true
    if [[ -z "$found" ]]; then
        echo "no suite of Debian has rust-src $version"
        return
    fi
    (cd "$folder" && timeout 300 apt-get "${options[@]}" download -qq "rust-src=$found") >/dev/null 2>&1 || true
    if ! compgen -G "$folder/rust-src_*.deb" >/dev/null; then
        echo "rust-src $found could not be downloaded"
        return
    fi
    mkdir -p "$CROSS_SOURCE"
    rm -rf "${CROSS_SOURCE:?}/$version" "$folder/out"
    mkdir "$folder/out"
    dpkg-deb --fsys-tarfile "$folder"/rust-src_*.deb |
        tar -x -C "$folder/out" --strip-components 4 --wildcards --no-wildcards-match-slash \
            './usr/src/rustc-*/library'
    mv "$folder/out" "$CROSS_SOURCE/$version"
    rm -rf "$folder"
}

# cross_cargo TARGET COMMAND ARG...: cargo for a target, in a target directory of its own, as the two ways to have a
# standard library and the flag that allows the second would make each other's work stale.
cross_cargo() {
    local target=$1 command=$2
    shift 2
    if has_std "$target"; then
        CARGO_TARGET_DIR=target/cross cargo "$command" --locked --target "$target" "$@"
    else
        CARGO_TARGET_DIR=target/cross RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT="$(std_source)" \
            cargo "$command" --locked -Zbuild-std --target "$target" "$@"
    fi
}

# small_cargo TARGET COMMAND ARG...: cargo with profile.embedded-small for a target (this machine's has to be named too, so that
# the flags are for the library alone), and with what a profile cannot say: a standard library made for size and without
# unwinding tables, where its source is; identical functions folded, where the toolchain's own linker can.
small_cargo() {
    local target=$1 command=$2 source linker flags=() std=()
    shift 2
    source=$(std_source)
    if [[ -n "$source" ]]; then
        std=(-Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size)
        flags+=(-Cforce-unwind-tables=no)
    else
        echo "no source of the standard library: the one there is stays as large as it is (rustup component add rust-src)" >&2
    fi
    linker=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/gcc-ld
    if [[ "$target" == *-linux-* && -x "$linker/ld.lld" ]]; then
        flags+=("-Clink-arg=-B$linker" -Clink-arg=-fuse-ld=lld -Clink-arg=-Wl,--icf=all)
    else
        echo "no lld of the toolchain's for $target: identical functions are not folded" >&2
    fi
    CARGO_TARGET_DIR=target/small RUSTFLAGS="${RUSTFLAGS:-} ${flags[*]}" \
        ${source:+env RUSTC_BOOTSTRAP=1 "__CARGO_TESTS_ONLY_SRC_ROOT=$source"} \
        cargo "$command" --locked --profile embedded-small --target "$target" ${std[@]+"${std[@]}"} "$@"
}
