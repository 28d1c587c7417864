#!/usr/bin/env python3
"""Runs every method of the table of docs/results/recorded.md and prints the table.

    python3 scripts/recorded_runs.py --binary target/release/foregrad --data DIR --out runs/recorded

DIR holds `cifar-10-batches-bin` and `fashion-mnist`. A run that is done is not run again, so an interrupted recording
goes on where it stopped. One line a run goes to `OUT/rows.jsonl`; `--table` only prints the table of those rows.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import time

# The methods of `foregrad methods` with the flags that are not theirs: the paper's learning rates for random guesses.
METHODS = [
    ("backprop", ""),
    ("local-learning", ""),
    ("local-weight-network-forward", ""),
    ("local-weight-block-forward", ""),
    ("local-weight-tensor-oracle", ""),
    ("local-activity-forward", ""),
    ("local-weight-mixed-forward", ""),
    ("local-activity-mixed-forward", ""),
    ("horizon-1-weight-network", ""),
    ("horizon-2-weight-network", ""),
    ("local-weight-block-intermediate", ""),
    ("ntk-weight-network", ""),
    ("ntk-activity", ""),
    ("gaussian-weight-network", "--lr 0.005"),
    ("jvp-activities", "--lr 0.01"),
    ("rademacher-weight-network", "--lr 0.005"),
    ("rademacher-activity", "--lr 0.01"),
]

SMALL = "--model small-net --width 0.25 --schedule cosine"
DATASETS = {
    "cifar10": "--dataset cifar10 --model resnet18-8b --width 0.125 --schedule cosine --train-limit 20000 --test-limit 4000 --epochs 4",
    "glyphs": f"--dataset glyphs {SMALL} --train-limit 4000 --test-limit 2000 --epochs 5",
    "fashion-mnist": f"--dataset fashion-mnist {SMALL} --train-limit 5000 --test-limit 4000 --epochs 2",
}
ORDER = [("cifar10", 0), ("glyphs", 0), ("glyphs", 1), ("fashion-mnist", 0), ("fashion-mnist", 1), ("cifar10", 1)]


def folder_of(dataset, data):
    return {"cifar10": f"--data-dir {data}", "fashion-mnist": f"--data-dir {data}/fashion-mnist"}.get(dataset, "")


def flags_of(binary):
    """The flags of every method, its own ones and ours."""
    listed = subprocess.run([binary, "methods", "--json"], capture_output=True, text=True, check=True).stdout
    own = {method["name"]: method["flags"] for method in json.loads(listed)}
    return [(name, f"{own[name]} {more}".strip()) for name, more in METHODS]


def record(arguments, methods, rows):
    done = {(row["dataset"], row["method"], row["seed"]) for row in read(rows)}
    for dataset, seed in ORDER:
        for number, (method, flags) in enumerate(methods):
            if (dataset, method, seed) in done:
                continue
            out = arguments.out / f"{dataset}-{number:02}-{seed}"
            command = f"train {DATASETS[dataset]} {flags} --seed {seed}"
            full = f"{arguments.binary} {command} {folder_of(dataset, arguments.data)} --out {out} --overwrite --quiet --json"
            began, before = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
            result = subprocess.run(full.split(), capture_output=True, text=True)
            row = {"dataset": dataset, "method": method, "seed": seed, "command": f"foregrad {command}"}
            if result.returncode == 0:
                epochs = [json.loads(line) for line in result.stdout.splitlines()]
                row["accuracy"] = 100 * epochs[-1]["test"][-1]["accuracy"]
                row["train_seconds"] = sum(epoch["seconds"] for epoch in epochs)
                row["peak_mib"] = epochs[-1]["peak_memory"] / 2**20
            else:
                row["error"] = result.stderr.strip().splitlines()[-1]
            row["wall_seconds"] = time.time() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            row["cpu_seconds"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            with rows.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), file=sys.stderr)


def read(rows):
    return [json.loads(line) for line in rows.read_text().splitlines()] if rows.exists() else []


def table(methods, rows):
    names = ["glyphs", "fashion-mnist", "cifar10"]
    for name in names:
        print(f"* {name}: `foregrad train {DATASETS[name]} FLAGS --seed S`")
    print("\n| method | FLAGS | " + " | ".join(f"{name}: % | CPU s | MiB" for name in names) + " |")
    print("|---" * (2 + 3 * len(names)) + "|")
    for method, flags in methods:
        cells = []
        for dataset in names:
            found = [row for row in rows if row["method"] == method and row["dataset"] == dataset]
            good = sorted((row for row in found if "accuracy" in row), key=lambda row: row["seed"])
            if not good:
                cells += ["failed" if found else "-", "-", "-"]
                continue
            # Seconds of one core: what a machine that does other things too disturbs least.
            seconds = sum(row["cpu_seconds"] for row in good) / len(good)
            accuracy = " ".join(f"{row['accuracy']:.1f}" for row in good)
            cells += [accuracy, f"{seconds:.0f}", f"{good[-1]['peak_mib']:.0f}"]
        print(f"| {method} | `{flags}` | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/foregrad")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("data"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/recorded"))
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = arguments.out / "rows.jsonl"
    methods = flags_of(arguments.binary)
    if not arguments.table:
        record(arguments, methods, rows)
    table(methods, read(rows))


if __name__ == "__main__":
    main()
