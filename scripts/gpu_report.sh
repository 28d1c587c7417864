#!/usr/bin/env bash
# What a machine with a GPU says of the program, in one call, under ten minutes, in one file: the checks of software_gpu.py on its own
# driver, `bench` at two batch sizes beside PyTorch on the same card (single precision, with TF32 off and on) if PyTorch is there, and as
# many rows of Table 3, an epoch each, as the time allows.
# Usage: scripts/gpu_report.sh [FILE]      (gpu-report.txt)
# It needs Python, a Vulkan driver with its loader (libvulkan.so.1), and a binary that can be copied from another machine:
#   cargo build --release --package foregrad-cli --features wgpu --target-dir target/gpu
# Settings: BINARY, DEVICE (wgpu), SECONDS_IN_ALL (570), BATCHES ("128 1024"), MODEL (flags of a network; for PyTorch too), METHODS, STEPS,
# CHECKS ("identities runs steps"), DRIVER (a Vulkan driver's file instead of the machine's own), FOREGRAD_DATA (CIFAR-10; else drawn pictures).
# What takes too long is cut off, and the file says so: only a check that fails makes the whole fail.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu-report.txt}
binary=$(realpath "${BINARY:-target/gpu/release/foregrad}")
device=${DEVICE:-wgpu}
in_all=${SECONDS_IN_ALL:-570}
batches=${BATCHES:-128 1024}
methods=${METHODS:-forward,backprop,jvp-weights,local-weight-tensor-oracle,local-weight-network-forward}
steps=${STEPS:-5}
checks=${CHECKS-identities runs steps}
read -r -a model <<< "${MODEL:-}"
if [[ -n ${DRIVER:-} ]]; then driver=(--driver "$DRIVER"); else driver=(--machine); fi
gpu=(python3 -B scripts/software_gpu.py --binary "$binary" "${driver[@]}")
test -x "$binary" || { echo "there is no $binary: build it as the head of this script says" >&2; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# section MOST_SECONDS TITLE COMMAND...: the command's words in the file, cut off where its time, or that of all, is over.
section() {
    local most=$1 title=$2 left=$((in_all - SECONDS)) began=$SECONDS
    shift 2
    { echo; echo "## $title"; } >> "$out"
    if ((left < 5)); then
        echo "left out: no time is left" >> "$out"
        return 0
    fi
    timeout --signal INT --kill-after 10 $((most < left ? most : left)) "$@" >> "$out" 2>&1
    local code=$?
    case $code in
        0) echo "($((SECONDS - began)) s)" >> "$out" ;;
        124 | 137) echo "cut off after $((SECONDS - began)) s" >> "$out" ;;
        *) echo "ended with $code" >> "$out" ;;
    esac
    return $code
}

check() {
    section "$1" "$2" "${gpu[@]}" --device "$device" --only "$3"
    local code=$?
    ((code == 0 || code == 124 || code == 137)) || failed=1
}

echo "# $("$binary" --version), $(date -u +%Y-%m-%dT%H:%MZ)" > "$out"
section 20 "Machine" bash -c 'uname -srm; nproc; nvidia-smi --query-gpu=name,driver_version,clocks.sm,power.draw,utilization.gpu --format=csv 2> /dev/null ||
    echo "no nvidia-smi"'
for part in $checks; do
    check 120 "Check: $part" "$part"
done
for batch in $batches; do
    section 60 "Bench, batch $batch" "${gpu[@]}" --exec bench --device "$device" --batch "$batch" --steps "$steps" --warm-up 2 \
        --methods "$methods" "${model[@]}"
    if python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2> /dev/null; then
        for method in forward backprop jvp-weights local-weight-tensor-oracle; do
            for precision in "" --tf32; do
                section 30 "PyTorch, batch $batch, $method $precision" python3 -B benches/peers/pytorch_step.py --device cuda --method "$method" \
                    --batch "$batch" --steps "$steps" $precision "${model[@]}"
            done
        done
    else
        echo "PyTorch with a GPU is not here" >> "$out"
    fi
done

data=glyphs-colour
test -n "${FOREGRAD_DATA:-}" && data=cifar10
sed -e 's/^seeds = .*/seeds = [0]/' -e 's/^epochs = .*/epochs = 1/' -e "s/\"cifar10\"/\"$data\"/" crates/lab/studies/table3.toml > "$scratch/rows.toml"
section "$in_all" "Rows of Table 3, one epoch each, on $data" "${gpu[@]}" --exec study "$scratch/rows.toml" --device "$device" \
    --out "$scratch/rows" --json --quiet
echo "wrote $out in $SECONDS s" >&2
exit $failed
