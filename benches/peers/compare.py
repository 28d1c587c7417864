#!/usr/bin/env python3
"""Compares Foregrad's steps with PyTorch's and JAX's on this machine, alternating (A B A B), one process each.

    pip install -r benches/peers/requirements.txt
    cargo build --release && python3 benches/peers/compare.py --binary target/release/foregrad

A ratio is Foregrad's median of all rounds over the peer's; below 1 is faster, or smaller. Machines are noisy: only the
ratios of one run mean anything.
"""

import argparse
import json
import pathlib
import statistics
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from running import printed

# Foregrad's method, the peer, the peer's method.
PAIRS = [
    ("forward", "pytorch", "forward"),
    ("forward", "jax", "forward"),
    ("backprop", "pytorch", "backprop"),
    ("backprop", "jax", "backprop"),
    ("backprop-checkpointed", "pytorch", "backprop-checkpointed"),
    ("backprop-checkpointed", "jax", "backprop-checkpointed"),
    ("jvp-weights", "pytorch", "jvp-weights"),
    ("jvp-weights", "jax", "jvp-weights"),
    ("jvp-weights", "pytorch", "backprop"),
    ("jvp-weights-low-rank", "pytorch", "backprop"),
    ("local-weight-tensor-oracle", "pytorch", "local-weight-tensor-oracle"),
    ("local-weight-tensor-oracle", "jax", "local-weight-tensor-oracle"),
    ("local-activity-oracle", "pytorch", "local-activity-oracle"),
    ("local-activity-oracle", "pytorch", "local-activity-oracle-two-passes"),
    ("local-activity-oracle", "jax", "local-activity-oracle"),
    ("local-weight-network-forward", "pytorch", "backprop"),
    ("local-weight-network-forward", "pytorch", "backprop-checkpointed"),
    ("local-activity-mixed-forward", "pytorch", "backprop"),
    ("local-activity-mixed-forward", "pytorch", "backprop-checkpointed"),
]


def measured(command):
    return json.loads(printed(command).splitlines()[-1])


def options(arguments):
    """What both sides are told: the peers have the same names for it."""
    options = ["--batch", arguments.batch, "--steps", arguments.steps]
    if arguments.threads:
        options += ["--threads", arguments.threads]
    if arguments.model != "resnet18-8b":
        options += ["--model", arguments.model, "--width", arguments.width]
    return map(str, options)


def foregrad(arguments, method):
    report = measured([arguments.binary, "bench", "--json", "--methods", method, *options(arguments)])
    return report["methods"][0]


def peer(arguments, name, method):
    return measured([sys.executable, HERE / f"{name}_step.py", "--method", method, *options(arguments)])


def compare(arguments, own, name, method):
    rounds = [(foregrad(arguments, own), peer(arguments, name, method)) for _ in range(arguments.rounds)]
    seconds = [statistics.median(s for r in rounds for s in r[side]["seconds"]) for side in (0, 1)]
    memory = [max(r[side]["peak_memory"] for r in rounds) / 2**20 for side in (0, 1)]
    return {
        "method": own,
        "peer": name,
        "peer_method": method,
        "seconds": seconds,
        "time_ratio": seconds[0] / seconds[1],
        "peak_mib": memory,
        "memory_ratio": memory[0] / memory[1],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/foregrad")
    parser.add_argument("--model", choices=["resnet18-8b", "small-net", "mlp"], default="resnet18-8b")
    parser.add_argument("--width", type=float, default=1.0, help="of small-net and mlp, which only PyTorch has, and without heads")
    parser.add_argument("--threads", type=int, help="all processors if left out; JAX takes no other number")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default="", help="pairs whose names contain this")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.json:
        print("| step | against | s | its s | time | MiB | its MiB | memory |\n|---|---|---|---|---|---|---|---|", flush=True)
    rows = []
    for own, name, method in PAIRS:
        has_no_peer = arguments.model != "resnet18-8b" and (name == "jax" or own.startswith("local"))
        if has_no_peer or arguments.only not in f"{own} {name} {method}":
            continue
        row = compare(arguments, own, name, method)
        rows.append(row)
        (a, b), (c, d) = row["seconds"], row["peak_mib"]
        cells = [own, f"{name} {method}", f"{a:.3g}", f"{b:.3g}", f"**{row['time_ratio']:.2f}**"]
        cells += [f"{c:.0f}", f"{d:.0f}", f"**{row['memory_ratio']:.2f}**"]
        if not arguments.json:
            print("| " + " | ".join(cells) + " |", flush=True)
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
