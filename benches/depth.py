#!/usr/bin/env python3
"""How time and memory of a step grow with depth: which methods keep something for every block, and how much.

    cargo build --release && python3 benches/depth.py --binary target/release/foregrad --batch 32

ResNet-18 with 2, 4, 8 and 16 residual blocks a stage, and its convolutions without skips (`resnet18-16b`). Checkpointed backprop is there twice: with
a checkpoint at every block, and at the spacing, of several (`--spacings`) at which its peak was lowest. What follows `--` goes to `foregrad bench`.

Prints a Markdown table: seconds of the fastest step, peak MiB of the process, and those above the program's own and the weights'; of each of them the
growth from one block to the next, as the slope between the two deepest of the ResNets. Every process measures one method, and times are medians over all
rounds, in each of which every method of a network runs once.
"""

import argparse
import json
import statistics
import sys

from running import arguments_and_options, printed

CHECKPOINTED = "backprop-checkpointed"
DISTANT = f"{CHECKPOINTED}, distant"
METHODS = ["backprop", CHECKPOINTED, "local-weight-network-forward", "jvp-weights"]
ROWS = ["backprop", CHECKPOINTED, DISTANT, "local-weight-network-forward", "jvp-weights"]
TRUNK = "resnet18-16b"
MEBIBYTE = 2**20


class Bench:
    """`foregrad bench` with what all its runs share."""

    def __init__(self, arguments, options):
        self.rounds = arguments.rounds
        self.command = [arguments.binary, "bench", "--json", "--batch", str(arguments.batch), *options]
        self.steps = ["--steps", str(arguments.steps)]

    def run(self, methods, options):
        command = [*self.command, "--methods", ",".join(methods), *map(str, options)]
        return {method["method"]: method for method in json.loads(printed(command))["methods"]}

    def own(self, network):
        """MiB of the program before it has a network, and of the network's weights and averages."""
        account = self.run(["forward"], [*network, "--memory", "--steps", 1, "--warm-up", 0])["forward"]["account"]
        of_network = [share["bytes"] for share in account["shares"] if share["owner"] in ("weights", "averages")]
        return (account["program"] + sum(of_network)) / MEBIBYTE

    def measured(self, methods, options):
        """Seconds and MiB of each method."""
        rounds = [self.run(methods, [*options, *self.steps]) for _ in range(self.rounds)]

        def median(method, what):
            return statistics.median(once[method][what] for once in rounds)

        return {method: (median(method, "minimum_seconds"), median(method, "peak_memory") / MEBIBYTE) for method in methods}


def measured(bench, network, spacings):
    """Of each method: seconds, MiB, MiB above the program's and the weights', and what to name beside it."""
    own = bench.own(network)
    methods = {name: (*both, "") for name, both in bench.measured(METHODS, network).items()}
    at = {}
    for spacing in spacings:
        at[spacing] = bench.measured([CHECKPOINTED], [*network, "--checkpoint-spacing", spacing])[CHECKPOINTED]
        print(f"{' '.join(map(str, network))}: every {spacing} blocks {at[spacing][1]:.0f} MiB", file=sys.stderr)
    best = min(at, key=lambda spacing: at[spacing][1])
    methods[DISTANT] = (*at[best], f", every {best} blocks")
    return {name: (seconds, mib, mib - own, note) for name, (seconds, mib, note) in methods.items()}


def row(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def table(networks):
    """`networks` are names with their depths and what was measured, the ResNets from the shallowest to the deepest first."""
    deepest = [network for network in networks if network[0] != TRUNK][-2:]
    row("method", "network", "s", "MiB", "MiB above program and weights")
    row("---", "---", "--:", "--:", "--:")
    for method in ROWS:
        for name, _, of_methods in networks:
            seconds, mib, above, note = of_methods[method]
            row(method, name + note, f"{seconds:.3f}", f"{mib:.0f}", f"{above:.1f}")
        if len(deepest) == 2:
            (_, shallow, before), (_, deep, after) = deepest
            slopes = [(after[method][of] - before[method][of]) / (deep - shallow) for of in range(3)]
            row(method, "a block more", f"{slopes[0]:.4f}", f"{slopes[1]:.2f}", f"{slopes[2]:.2f}")


def numbers(text):
    return [int(number) for number in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/foregrad")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--blocks", type=numbers, default=[2, 4, 8, 16], help="residual blocks a stage [default: 2,4,8,16]")
    parser.add_argument("--spacings", type=numbers, default=[2, 3, 4, 6, 8], help="between checkpoints [default: 2,3,4,6,8]")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    arguments, options = arguments_and_options(parser)
    bench = Bench(arguments, options)
    networks = [
        *((f"{4 * n} residual blocks", 4 * n, ["--model", "resnet18-8b", "--blocks-per-stage", n]) for n in arguments.blocks),
        (TRUNK, 16, ["--model", TRUNK]),
    ]
    table([(name, depth, measured(bench, flags, arguments.spacings)) for name, depth, flags in networks])


if __name__ == "__main__":
    main()
