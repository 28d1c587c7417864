#!/usr/bin/env python3
"""Tells whether two builds of the program compute the same, to the last bit, and whether the new one goes on with the old one's files.

    python3 scripts/same_bits.py OLD NEW [--short]

A step of every named method that both know in f32 and f64, the new program's also on two threads; a run whose first epoch is the old program's and whose second
the new one's; a study of which each program runs a half; the quick study as a whole (not with --short). Only the standard library is
needed. Prints a line for each comparison; ends with 1 if anything differs.
"""

import argparse
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

# The file, so that both run the same one.
QUICK = pathlib.Path(__file__).resolve().parent.parent / "crates/lab/studies/quick.toml"
# Eight channels and more, which the groups of a method divide.
RUN = "--dataset glyphs --train-limit 256 --test-limit 64 --batch 32 --width 0.125"
STUDY = """
name = "halves"
question = "Do two programs agree?"
seeds = [0, 1]
[base]
epochs = 2
batch = 32
data = { dataset = "glyphs", train-limit = 128, test-limit = 64 }
model = { name = "small-net", width = 0.1 }
[[axis]]
name = "guess"
key = "estimator.guess"
values = ["local", "gaussian"]
"""
# Names in outputs that were changed, old to new.
RENAMED = {"/block.": "/blocks.", "loss/head.": "loss/heads."}

# What steps of older programs do not write: the estimator's state, seen in the runs that are continued.
UNCOMPARED = "state/"


def run(program, arguments, **options):
    result = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, **options)
    if result.returncode:
        sys.exit(f"{program} {' '.join(map(str, arguments))} failed:\n{result.stderr}")
    return result.stdout


def tensors(path):
    """The tensors of a safetensors file as bytes, by name."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)

    def renamed(name):
        for old, new in RENAMED.items():
            name = name.replace(old, new)
        return name

    def data(entry):
        begin, end = entry["data_offsets"]
        return entry["dtype"], entry["shape"], content[8 + length + begin : 8 + length + end]

    return {renamed(name): data(entry) for name, entry in header.items()}


def write_batch(path, samples=8, shape=(1, 28, 28)):
    """Images of a fixed pattern with labels."""
    count = samples * shape[0] * shape[1] * shape[2]
    images = struct.pack(f"<{count}f", *(((i * 2654435761) % 1000) / 500 - 1 for i in range(count)))
    labels = struct.pack(f"<{samples}q", *(i % 10 for i in range(samples)))
    header = {
        "images": {"dtype": "F32", "shape": [samples, *shape], "data_offsets": [0, len(images)]},
        "labels": {"dtype": "I64", "shape": [samples], "data_offsets": [len(images), len(images) + len(labels)]},
    }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + images + labels)


class Verdict:
    def __init__(self):
        self.compared, self.wrong = 0, 0

    def say(self, name, differing):
        self.compared += 1
        if differing:
            self.wrong += 1
            print(f"DIFFERS  {name}: {', '.join(sorted(differing)[:5])}", flush=True)
        else:
            print(f"same     {name}", flush=True)


def differing(a, b):
    return {name for name in a.keys() | b.keys() if a.get(name) != b.get(name)}


def newest(folder):
    return max(folder.glob("checkpoint-*.safetensors"))


def steps(old, new, folder, verdict):
    """Every method's step from a checkpoint, which holds momentum and trained heads."""
    run(old, ["train", *RUN.split(), "--epochs", 1, "--out", folder / "first", "--quiet"])
    checkpoint, batch = newest(folder / "first"), folder / "batch.safetensors"
    write_batch(batch)
    named = [{method["name"]: method for method in json.loads(run(program, ["methods", "--json"]))} for program in (old, new)]
    for method in [method for name, method in named[1].items() if name in named[0]]:
        for dtype in ["f32", "f64"]:
            found = []
            for program, threads in [(old, 1), (new, 1), (new, 2)]:
                out = folder / "step.safetensors"
                flags = [*method["flags"].split(), "--dtype", dtype, "--threads", threads]
                run(program, ["step", "--weights", checkpoint, "--batch", batch, "--out", out, *flags])
                found.append({name: data for name, data in tensors(out).items() if not name.startswith(UNCOMPARED)})
            verdict.say(f"step {method['name']}, {dtype}, old and new", differing(found[0], found[1]))
            verdict.say(f"step {method['name']}, {dtype}, one thread and two", differing(found[1], found[2]))


def resumed(old, new, folder, verdict):
    """The old program's first epoch, then each one's second, and the new one's whole run on another number of threads."""
    for number, method in enumerate([[], ["--mix", 1], ["--optimizer", "adam", "--space", "activity"]]):
        own = folder / f"resumed-{number}"
        own.mkdir()
        resumed_once(old, new, own, verdict, [*RUN.split(), "--seed", 3, *method], " ".join(map(str, method)))


def resumed_once(old, new, folder, verdict, flags, name):
    run(old, ["train", *flags, "--epochs", 1, "--out", folder / "half", "--quiet"])
    shutil.copytree(folder / "half", folder / "half-new")
    run(old, ["train", "--resume", "--epochs", 2, "--out", folder / "half", "--quiet"])
    run(new, ["train", "--resume", "--epochs", 2, "--out", folder / "half-new", "--quiet"])
    run(new, ["train", *flags, "--epochs", 2, "--threads", 1, "--out", folder / "whole-new", "--quiet"])
    expected = tensors(newest(folder / "half"))
    verdict.say(f"a run that the new program goes on with {name}", differing(expected, tensors(newest(folder / "half-new"))))
    verdict.say(f"the whole run on one thread {name}", differing(expected, tensors(newest(folder / "whole-new"))))


def rows(program, study, out, *more):
    lines = run(program, ["study", study, "--out", out, "--json", "--quiet", *more]).splitlines()
    found = [json.loads(line) for line in lines]
    for row in found:
        row["ending"].get("done", {}).pop("operations", None)  # older programs count none
    return {row.pop("run"): row for row in found if row.pop("machine")}


def studies(old, new, folder, verdict, short):
    file = folder / "halves.toml"
    file.write_text(STUDY)
    rows(old, file, folder / "shared", "--shard", "0/2")
    halves, whole = rows(new, file, folder / "shared"), rows(old, file, folder / "whole")
    verdict.say(f"a study that the new program ends, {len(whole)} runs", differing(halves, whole))
    if not short:
        quick = [rows(program, QUICK, folder / f"quick-{number}") for number, program in enumerate([old, new])]
        verdict.say(f"the quick study, {len(quick[0])} runs", differing(*quick))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=pathlib.Path)
    parser.add_argument("new", type=pathlib.Path)
    parser.add_argument("--short", action="store_true", help="without the quick study")
    arguments = parser.parse_args()
    old, new = arguments.old.resolve(), arguments.new.resolve()
    verdict = Verdict()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        steps(old, new, folder, verdict)
        resumed(old, new, folder, verdict)
        studies(old, new, folder, verdict, arguments.short)
    print(f"{verdict.compared} comparisons, {verdict.wrong} differ")
    sys.exit(1 if verdict.wrong else 0)


if __name__ == "__main__":
    main()
