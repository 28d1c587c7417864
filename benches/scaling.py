#!/usr/bin/env python3
"""How time and memory of a step grow with batch, width, depth and threads.

    cargo build --release && python3 benches/scaling.py --binary target/release/foregrad

Prints two Markdown tables: the first as `foregrad bench` finds every size, each method in a process of its own; the second
the gain of a second thread beside that of plain multiply-adds in registers, which two threads of one core share.
"""

import argparse
import json

from running import printed

METHODS = ["forward", "backprop", "local-weight-network-forward"]
SIZES = [
    *(("batch", "--batch", size) for size in (32, 64, 128, 256, 512)),
    *(("width", "--width", size) for size in (0.5, 1, 2)),
    *(("residual blocks a stage", "--blocks-per-stage", size) for size in (1, 2, 4)),
]


def bench(arguments, *options):
    command = [arguments.binary, "bench", "--json", "--methods", ",".join(METHODS), "--steps", str(arguments.steps)]
    report = json.loads(printed([*command, *options]))
    return {method["method"]: method for method in report["methods"]}, report["peak_operations_per_second"]


def row(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def grow(arguments):
    row("what", "size", *(f"{method}: s (GFLOP/s) MiB" for method in METHODS))
    row(*["---"] * (2 + len(METHODS)))
    for what, flag, size in SIZES:
        methods, _ = bench(arguments, flag, size)
        cells = []
        for method in METHODS:
            measured = methods[method]
            rate = measured["operations"] / measured["median_seconds"] * 1e-9
            cells.append(f"{measured['median_seconds']:.2f} ({rate:.0f}) {measured['peak_memory'] / 2**20:.0f}")
        row(what, str(size), *cells)


def threads(arguments):
    print()
    row("round", *METHODS, "multiply-adds")
    row(*["---"] * (2 + len(METHODS)))
    for number in range(arguments.rounds):
        (one, peak_of_one), (two, peak_of_two) = (bench(arguments, "--threads", count) for count in (1, 2))
        gains = [one[method]["minimum_seconds"] / two[method]["minimum_seconds"] for method in METHODS]
        row(str(number), *(f"{gain:.2f}" for gain in gains), f"{peak_of_two / peak_of_one:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/foregrad")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    grow(arguments)
    threads(arguments)


if __name__ == "__main__":
    main()
