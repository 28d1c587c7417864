#!/usr/bin/env python3
"""Compares allocators: builds of the program that differ in nothing else, alternating, each method in a process of its own.

    cargo build --release && cp target/release/foregrad own
    cargo build --release --features foregrad-cli/allocator-jemalloc && cp target/release/foregrad jemalloc
    python3 benches/allocators.py own=./own jemalloc=./jemalloc --rounds 5 -- --batch 64

(features: allocator-system, allocator-jemalloc, allocator-mimalloc.) A build is NAME=PATH, with variables of its environment behind commas, as those
of glibc: kept=./system,MALLOC_TRIM_THRESHOLD_=4294967296,MALLOC_MMAP_THRESHOLD_=4294967296. What follows `--` goes to `foregrad bench`.

Prints a Markdown table: of each method and build the median over all rounds of each round's fastest step, over the first build's, and the median of the
peaks of resident memory. The last column is the largest spread of any build in the row: its slowest round over its median. A ratio within it is noise.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import tempfile

from running import arguments_and_options, printed

METHODS = ["forward", "backprop", "backprop-checkpointed", "local-weight-network-forward", "jvp-weights"]


class Build:
    """A binary under a name, with variables of its environment."""

    def __init__(self, text, folder):
        self.name, rest = text.split("=", 1)
        path, *variables = rest.split(",")
        self.environment = {**os.environ, **dict(variable.split("=", 1) for variable in variables)}
        # Copies made in the same way: how many pages of a program are resident depends on how its file came to be.
        self.binary = shutil.copy2(path, pathlib.Path(folder) / self.name)

    def measured(self, method, options):
        command = [self.binary, "bench", "--json", "--methods", method, *options]
        return json.loads(printed(command, env=self.environment))["methods"][0]


def row(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def compare(builds, arguments, options):
    row("method", *(f"{build.name}: {what}" for build in builds for what in ["time", "MiB"]), "spread")
    row("---", *["--:"] * (2 * len(builds) + 1))
    for method in arguments.methods.split(","):
        rounds = [[build.measured(method, options) for build in builds] for _ in range(arguments.rounds)]
        of_builds = list(zip(*rounds))
        times = [[once["minimum_seconds"] for once in own] for own in of_builds]
        seconds = [statistics.median(own) for own in times]
        memory = [statistics.median(once["peak_memory"] / 2**20 for once in own) for own in of_builds]
        cells = [text for own, peak in zip(seconds, memory) for text in (f"{own / seconds[0]:.2f}", f"{peak:.0f}")]
        row(method, *cells, f"{max(max(own) / median for own, median in zip(times, seconds)):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builds", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--methods", default=",".join(METHODS), help="separated by commas [default: %(default)s]")
    arguments, options = arguments_and_options(parser)
    with tempfile.TemporaryDirectory() as folder:
        compare([Build(text, folder) for text in arguments.builds], arguments, options)


if __name__ == "__main__":
    main()
