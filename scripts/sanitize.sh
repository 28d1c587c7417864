#!/usr/bin/env bash
# Reads and writes out of bounds in the kernels: their tests under AddressSanitizer on every instruction set of the machine, then
# under valgrind, which sees memory that was never written too (it knows no AVX-512, so the AVX2 path runs). Not on the program: its
# own heap hides overruns.
# Usage: scripts/sanitize.sh [TEST NAMES...]. Fails with the first finding; prints each run's count of tests.
set -euo pipefail
cd "$(dirname "$0")/.."
# Few cases a property: valgrind is some fifty times slower than the machine.
export PROPTEST_CASES=${PROPTEST_CASES:-4}

for path in native $(grep -qw avx512f /proc/cpuinfo && echo avx2) portable; do
    echo "AddressSanitizer, $path:"
    # Part of the compiler, but not yet of its stable flags; and a build of its own, so that no other is made anew, cut up to be made quickly.
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address FOREGRAD_KERNELS=$path cargo test --quiet --release \
        --config 'profile.release.package.foregrad-kernels.codegen-units=16' \
        --package foregrad-kernels --lib --target x86_64-unknown-linux-gnu --target-dir target/address -- "$@"
done

echo "valgrind:"
# The build that all tests share: of one package, its dependencies would be built anew with fewer features.
binary=$(cargo test --release --workspace --lib --no-run --message-format json | python3 -c '
import json, sys
built = (json.loads(line) for line in sys.stdin)
print(*[one["executable"] for one in built if one.get("executable") and one["target"]["name"] == "foregrad_kernels"])')
# Left out: the measured peak, which is one of time alone, and the table of large convolutions, which takes valgrind too long.
valgrind --quiet --error-exitcode=1 --leak-check=no "$binary" --test-threads 1 --skip operations --skip maps_match "$@"
