#!/usr/bin/env python3
"""Kills a study at random moments and shows that nothing of it is lost.

    python3 scripts/kill.py --binary target/release/foregrad --kills 80
    python3 scripts/kill.py --kills 12                                   the short form

A round runs one study to its end with the same command, over and over, while SIGKILL hits the parent, a child or all of
them. The next start does not wait for children that lost their parent and are still at work. After a round every row,
every metric and every tensor of every last checkpoint must be what an undisturbed study has, bit for bit; only times and
the machine may differ. Rounds go on until as many kills have hit a live process as were asked for.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

STUDY = """
name = "kill"
question = "Is anything lost?"
seeds = [0, 1]

[base]
epochs = 3
batch = 16
probe-every = 7
data = { dataset = "glyphs", train-limit = 160, test-limit = 40 }
model = { name = "small-net", width = 0.05 }

[[axis]]
name = "guess"
values = [
    { name = "local", estimator.guess = "local" },
    { name = "mixed", estimator.guess = "local", estimator.mix = 1, optimizer.kind = "adam", optimizer.rate = 0.01 },
    { name = "gaussian", estimator.guess = "gaussian", optimizer.rate = 0.005 },
]
"""

# What differs between two undisturbed runs: times and the machine.
OF_THE_MACHINE = {"machine", "seconds", "images_per_second", "images-per-second", "peak_memory", "peak-memory"}

# No start takes as long: what does, hangs.
PATIENCE = 300


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, default=pathlib.Path("target/release/foregrad"))
    parser.add_argument("--kills", type=int, default=80, help="kills that must hit a live process (default 80)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="leave the folder of a study that differs")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="foregrad-kill-"))
    try:
        wrong = Trial(arguments, folder).run()
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if wrong else 0)


class Trial:
    def __init__(self, arguments, folder):
        self.binary = arguments.binary.resolve()
        self.wanted = arguments.kills
        self.draws = random.Random(arguments.seed)
        self.folder = folder
        self.hits = {"parent": 0, "child": 0, "all": 0}
        self.starts = self.missed = 0
        (folder / "kill.toml").write_text(STUDY)

    def run(self):
        began = time.monotonic()
        process = self.start("whole")
        if process.wait(PATIENCE) != 0:
            return self.fail("whole", "the undisturbed study failed")
        self.undisturbed = time.monotonic() - began
        print(f"undisturbed: {self.undisturbed:.1f} s, {len(runs(self.folder / 'whole'))} runs", flush=True)
        expected = content(self.folder / "whole")
        rounds = 0
        while sum(self.hits.values()) < self.wanted:
            rounds += 1
            problem = self.round(f"round-{rounds}")
            found = content(self.folder / f"round-{rounds}")
            problem = problem or difference(expected, found)
            if problem:
                return self.fail(f"round-{rounds}", problem)
            print(f"round {rounds}: the same after {sum(self.hits.values())} kills so far", flush=True)
            shutil.rmtree(self.folder / f"round-{rounds}")
        each = ", ".join(f"{count} of {what}" for what, count in self.hits.items())
        print(f"{sum(self.hits.values())} kills that hit a live process ({each}) in {rounds} rounds and {self.starts} starts,")
        print(f"{self.missed} that came too late; rows, metrics and tensors are the same bit for bit")
        return False

    def fail(self, out, problem):
        print(f"FAILED in {self.folder / out} after {self.hits}: {problem}\n{self.messages(out)}")
        return True

    def messages(self, out):
        log = self.folder / f"{out}.log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else ""

    def start(self, out):
        """The study in a process group of its own, so that parent and children can be hit together."""
        self.starts += 1
        command = [self.binary, "study", "kill.toml", "--jobs", "2", "--threads", "2", "--out", out, "--quiet"]
        with open(self.folder / f"{out}.log", "ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def round(self, out):
        """Kills and starts until the study is done; what is wrong, if anything."""
        for _ in range(200):
            process = self.start(out)
            # With enough kills, one more start is left to itself.
            killing = False
            while sum(self.hits.values()) < self.wanted and process.poll() is None:
                killing = True
                self.kill(process, self.draws.uniform(0.01, 0.5) * self.undisturbed)
            if process.poll() == -signal.SIGKILL:
                continue
            try:
                code = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return f"it hangs: no end within {PATIENCE} s"
            if code == 0:
                return None
            # A parent whose child was killed says so and ends with 1.
            if code != 1 or not killing:
                return f"exit code {code}"
        return "200 starts do not finish it"

    def kill(self, process, delay):
        """Kills after a delay; whether a live process was hit."""
        what = self.draws.choice(list(self.hits))
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            pass
        alive = children(process.pid)
        victims = {"parent": [process.pid], "child": alive[:1], "all": [process.pid, *alive]}[what]
        if process.poll() is not None or not victims:
            self.missed += 1
            return False
        for victim in victims:
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.hits[what] += 1
        if what != "child":
            process.wait(PATIENCE)
        return True


def children(parent):
    """The living children of a process, in no particular order."""
    try:
        tasks = pathlib.Path(f"/proc/{parent}/task").glob("*/children")
        return [int(child) for task in tasks for child in task.read_text().split()]
    except OSError:
        return []


def runs(out):
    return sorted((out / "runs").iterdir())


def content(out):
    """All that must be the same: rows, records of epochs and probes, the last checkpoints' tensors; no file left unfinished."""
    found = {}
    for run in runs(out):
        for name in ["row.json", "metrics.jsonl", "probes.jsonl"]:
            file = run / name
            lines = file.read_text().splitlines() if file.exists() else ["null"]
            text = ["".join(lines)] if name == "row.json" else lines
            found[run.name, name] = [stable(json.loads(line)) for line in text]
        checkpoints = sorted(run.glob("checkpoint-*.safetensors"))
        found[run.name, "unfinished"] = [file.name for file in run.iterdir() if file.name.startswith(".")]
        found[run.name, "checkpoint"] = tensors(checkpoints[-1]) if checkpoints else None
    return found


def stable(value):
    """A record without what belongs to the machine; numbers keep every digit."""
    if isinstance(value, dict):
        return {key: stable(inner) for key, inner in value.items() if key not in OF_THE_MACHINE}
    if isinstance(value, list):
        return [stable(inner) for inner in value]
    return repr(value)


def tensors(file):
    """Name, type, shape and bytes of every tensor of a safetensors file."""
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    header.pop("__metadata__", None)
    return file.name, {
        name: (about["dtype"], about["shape"], body[slice(*about["data_offsets"])]) for name, about in header.items()
    }


def difference(expected, found):
    """The first difference, if there is one."""
    if expected.keys() != found.keys():
        return f"other files: {sorted(expected.keys() ^ found.keys())}"
    for (run, name), value in expected.items():
        if value != found[run, name]:
            return f"{run}: {name} differs:\n{str(value)[:1500]}\n{str(found[run, name])[:1500]}"
    return None


if __name__ == "__main__":
    main()
