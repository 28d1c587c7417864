#!/usr/bin/env python3
"""Compares the steps of two builds of the program on this machine, alternating (A B A B), each method in a process of its own.

    python3 benches/builds.py OLD NEW --rounds 5 -- --model resnet18-8b --width 0.25 --batch 64 --threads 1

What follows `--` goes to `foregrad bench`. A ratio is of the medians over all rounds of each round's fastest step, NEW over OLD; below 1 is faster, or smaller. The last
columns are the spread of one build: its slowest round over its median. A ratio within it is noise.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import tempfile

from running import arguments_and_options, printed


def measured(binary, method, options):
    return json.loads(printed([binary, "bench", "--json", "--methods", method, *options]))["methods"][0]


def known(binary):
    """The methods that a build measures: what it says are available when it is asked for another."""
    result = subprocess.run([binary, "bench", "--methods", "none"], capture_output=True, text=True)
    return result.stderr.split("available: ")[1].strip().split(", ")


def alike(folder, binaries):
    """Copies of both builds made in the same way: how many pages of a program are resident depends on how its file came to be."""
    copies = [str(pathlib.Path(folder) / name) for name in ["old", "new"]]
    return [shutil.copy2(binary, copy) for binary, copy in zip(binaries, copies)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--methods", help="separated by commas [default: all that both builds have]")
    arguments, options = arguments_and_options(parser)
    with tempfile.TemporaryDirectory() as folder:
        compare(alike(folder, [arguments.old, arguments.new]), arguments, options)


def compare(builds, arguments, options):
    common = set(known(builds[0])) & set(known(builds[1]))
    methods = arguments.methods.split(",") if arguments.methods else [m for m in known(builds[1]) if m in common]
    print(f"{'method':<32} {'old s':>8} {'new s':>8} {'ratio':>6} {'old MiB':>8} {'new MiB':>8} {'ratio':>6}  spread")
    for method in methods:
        rounds = [
            [measured(binary, method, options) for binary in builds]
            for _ in range(arguments.rounds)
        ]
        times = [[once[build]["minimum_seconds"] for once in rounds] for build in [0, 1]]
        seconds = [statistics.median(own) for own in times]
        memory = [statistics.median(once[build]["peak_memory"] / 2**20 for once in rounds) for build in [0, 1]]
        spread = [max(own) / median for own, median in zip(times, seconds)]
        print(
            f"{method:<32} {seconds[0]:8.3f} {seconds[1]:8.3f} {seconds[1] / seconds[0]:6.2f} {memory[0]:8.0f} {memory[1]:8.0f}"
            f" {memory[1] / memory[0]:6.2f}  {spread[0]:.2f} {spread[1]:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
