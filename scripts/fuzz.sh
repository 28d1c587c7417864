#!/bin/bash
# Fuzzes every parser, or the ones named, for MINUTES in all; needs cargo-fuzz (`cargo install cargo-fuzz`) and a C++ compiler.
#
#     scripts/fuzz.sh MINUTES [PARSER...]
#
# FUZZ_OPTIONS go to cargo-fuzz: `--dev -s none` builds in a third of the time, without AddressSanitizer.
#
# First a parser with a planted mistake must be found out. What is found lies in fuzz/artifacts; put it into fuzz/corpus/PARSER,
# where the ordinary tests (`cargo test --test parsers`) try it for ever.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:?usage: scripts/fuzz.sh MINUTES [PARSER...]}; shift
parsers=${*:-$(ls fuzz/corpus)}
export RUSTC_BOOTSTRAP=1 # sanitizers and coverage on the stable toolchain
options=(${FUZZ_OPTIONS:-})

fuzz() { # PARSER SECONDS
    local found; found=$(mktemp -d) # new inputs: the committed corpus stays small
    mkdir -p "fuzz/artifacts/$1" "fuzz/corpus/$1"
    PARSER=$1 cargo fuzz run "${options[@]}" parse "$found" "fuzz/corpus/$1" -- -max_total_time="$2" \
        -artifact_prefix="fuzz/artifacts/$1/" -max_len=1024 -malloc_limit_mb=64 -timeout=10 -verbosity=0 -print_final_stats=1
    local status=$?
    rm -rf "$found"
    return $status
}

cargo fuzz build "${options[@]}" parse
fuzz planted 60 >/dev/null 2>&1 || true
if ! ls fuzz/artifacts/planted/crash-* >/dev/null 2>&1; then
    echo "the planted mistake was not found: this fuzzer finds nothing" >&2
    exit 1
fi
rm -rf fuzz/artifacts/planted fuzz/corpus/planted
seconds=$((minutes * 60 / $(wc -w <<<"$parsers")))
bad=""
for parser in $parsers; do
    echo "== $parser, $seconds s"
    fuzz "$parser" $((seconds > 0 ? seconds : 1)) || bad="$bad $parser"
done
[ -z "$bad" ] || { echo "found something in:$bad (see fuzz/artifacts)"; exit 1; }
echo "nothing found in $(wc -w <<<"$parsers") parsers"
