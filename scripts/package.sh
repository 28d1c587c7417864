#!/usr/bin/env bash
# Packs every crate as it would be published, and checks the unpacked crates by themselves: nothing outside of a package is needed.
# Usage: [FEATURES=...] scripts/package.sh [--allow-dirty]
set -euo pipefail
cd "$(dirname "$0")/.."

cargo package --quiet --workspace --no-verify "$@"
unpacked=target/package/unpacked
rm -rf $unpacked && mkdir -p $unpacked
for crate in target/package/foregrad*.crate; do
    tar -xzf "$crate" -C $unpacked
done
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
# A package asks the registry for its siblings: they are the ones beside it.
{
    echo '[workspace]'
    echo 'resolver = "3"'
    echo 'members = ["*"]'
    echo '[patch.crates-io]'
    for name in foregrad-kernels foregrad foregrad-lab; do
        echo "$name = { path = \"$name-$version\" }"
    done
} > $unpacked/Cargo.toml
cp Cargo.lock $unpacked/
cargo check --quiet --release --workspace --features "${FEATURES:-}" --manifest-path $unpacked/Cargo.toml --target-dir target
echo "packed, unpacked and checked: $(ls $unpacked | grep -c -- "-$version\$") crates"
