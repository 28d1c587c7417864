#!/usr/bin/env python3
"""What a step costs on many machines, by a model with measured constants: prints the table of docs/scale.md.

    python3 scripts/scale.py
    python3 scripts/scale.py --latency 2e-6 --overhead 1e-6 --bandwidth 12.5e9 --step 1.0

    scalars      up   ceil(log2 R) L              down   (R - 1) o + L         each rank sends 8 (k + 2) bytes
    update       up   ceil(log2 R) (L + S / B)    down   ceil(log2 R) (L + S / B)
    all-reduce   2 (R - 1) L + 2 (R - 1) / R S / B                             a ring, as gradients are exchanged elsewhere

R ranks, S bytes of an update, L seconds until a small message is there, o seconds that sending one keeps the sender, B bytes a second. Behind
each time stands its part of a step, which computes for as long as `--step` says besides.
"""

import argparse
import math


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency", type=float, default=2e-6, help="seconds (default: 2e-6, a fast network)")
    parser.add_argument("--overhead", type=float, default=1e-6, help="seconds (default: 1e-6)")
    parser.add_argument("--bandwidth", type=float, default=12.5e9, help="bytes a second (default: 12.5e9, 100 Gbit/s)")
    parser.add_argument("--step", type=float, default=1.0, help="seconds that a step computes (default: 1)")
    arguments = parser.parse_args()
    print("| network | R | scalars, ms | update by our tree, ms | all-reduce of gradients, ms | bytes a rank sends: scalars | update |")
    print("|---|---|---|---|---|---|---|")
    for name, weights in [("ResNet-18", 11_173_962), ("a billion weights", 1_000_000_000)]:
        for ranks in [4, 64, 4096]:
            print(row(name, ranks, 4 * weights, arguments))


def row(name, ranks, size, given):
    levels = math.ceil(math.log2(ranks))
    scalars = levels * given.latency + (ranks - 1) * given.overhead + given.latency
    transfer = given.latency + size / given.bandwidth
    tree = 2 * levels * transfer
    ring = 2 * (ranks - 1) * given.latency + 2 * (ranks - 1) / ranks * size / given.bandwidth
    part = lambda seconds: f"{1e3 * seconds:.3g} ({100 * seconds / (seconds + given.step):.2g} %)"
    times = " | ".join(part(seconds) for seconds in [scalars, tree, ring])
    return f"| {name} | {ranks} | {times} | {8 * (1 + 2)} | {size:,} or more |"


if __name__ == "__main__":
    main()
