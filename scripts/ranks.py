#!/usr/bin/env python3
"""Trains with several processes on MPI and shows that they are one run: the same bits, few bytes, nothing lost.

    python3 scripts/ranks.py --binary target/release/foregrad
    python3 scripts/ranks.py --kills 3 --short                           the short form, which runs with every change

The binary is built with `cargo build --release --workspace --features foregrad-cli/mpi`. Every run is compared with one process that
computes as many parts itself: every tensor of the last checkpoint, bit for bit, and every score.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from kill import children, stable, tensors

DATA = "--dataset glyphs --train-limit 480 --test-limit 600 --width 0.05 --threads 1".split()
STUDY = """
name = "ranks"
question = "Does it matter how many processes share a batch?"
launcher = "mpirun --oversubscribe -n {ranks}"

[base]
epochs = 2
batch = 120
data = { dataset = "glyphs", train-limit = 480, test-limit = 120 }
model = { name = "small-net", width = 0.05 }

[[axis]]
name = "processes"
values = [
    { name = "one", ranks = 1, micro-batches = 4 },
    { name = "two", ranks = 2, micro-batches = 2 },
    { name = "four", ranks = 4, micro-batches = 1 },
]
"""

# Open MPI in a container: its only user is root, and no process may read another's memory.
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
}

# What ends later has hung.
PATIENCE = 120

METHODS = {
    "gaussian": "--guess gaussian --last-block estimated --norm group --head-norm group",
    "gaussian, 16 directions, batch norm": "--guess gaussian --directions 16 --last-block estimated",
    "low-rank, mixed": "--guess low-rank --granularity block --mix 2 --lr 0.005",
    "momentum": "--guess momentum --directions 3 --lr 0.005",
    "local": "--guess local",
    "local, mixed with baselines": "--guess local --granularity block --mix 2",
    "local, measured every 2 steps": "--guess local --measure-every 2",
    "local, activity space": "--guess local --space activity",
    "composite": "--guess local+gaussian:2 --space activity",
    "feedback": "--guess feedback --space activity",
    "backprop": "--guess exact --mode oracle",
}
# With a checkpoint after every few steps.
OFTEN = METHODS["local, mixed with baselines"] + " --checkpoint-steps 3"
SHORT = ["gaussian", "local, mixed with baselines", "local, activity space", "backprop"]

# (ranks, parts of each) that share 4 parts, and such with other numbers.
SPLITS = [(4, 1), (2, 2), (3, 1), (5, 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, default=pathlib.Path("target/release/foregrad"))
    parser.add_argument("--kills", type=int, default=10, help="kills of a rank (default 10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="fewer methods")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="foregrad-ranks-"))
    try:
        trial = Trial(arguments, folder)
        trial.splits()
        trial.stop()
        trial.kill()
        trial.terminate()
        trial.bench()
        trial.study()
        trial.refusals()
    except Failed as failed:
        sys.exit(f"FAILED: {failed}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Failed(Exception):
    pass


class Trial:
    def __init__(self, arguments, folder):
        self.binary = arguments.binary.resolve()
        self.methods = {name: METHODS[name] for name in (SHORT if arguments.short else METHODS)}
        self.kills = arguments.kills
        self.draws = random.Random(arguments.seed)
        self.folder = folder

    def command(self, out, ranks, parts, flags):
        length = [] if "--epochs" in flags else ["--epochs", "3"]
        length += [] if "--batch" in flags else ["--batch", "120"]
        return self.among(ranks, ["train", *DATA, *length, *flags.split(), "--micro-batches", str(parts), "--out", out])

    def among(self, ranks, words):
        """The program with some words, started once or as so many processes."""
        own = [str(self.binary), *words]
        return own if ranks == 1 else ["mpirun", "--oversubscribe", "-n", str(ranks), *own]

    def start(self, command, **kwargs):
        environment = dict(os.environ, **OPEN_MPI)
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, **kwargs
        )

    def ended(self, process, expected):
        try:
            said, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed(f"no end after {PATIENCE} s: {process.args}") from None
        if expected is not None and process.returncode not in expected:
            raise Failed(f"ended with {process.returncode}: {process.args}\n{said[-3000:]}")
        return said

    def run(self, out, ranks, parts, flags):
        self.ended(self.start(self.command(out, ranks, parts, flags)), [0])
        return self.content(out)

    def content(self, out):
        last = sorted((self.folder / out).glob("checkpoint-*.safetensors"))[-1]
        records = [{key: value for key, value in record.items() if key != "bytes_a_step"} for record in self.records(out)]
        return tensors(last), stable(records)

    def records(self, out):
        return [json.loads(line) for line in (self.folder / out / "metrics.jsonl").read_text().splitlines()]

    def check(self, name, expected, found):
        for what, own, other in zip(["the tensors", "the scores"], expected, found):
            if own != other:
                raise Failed(f"{what} of {name} differ")

    def splits(self):
        """All splits of as many parts give the same bits; bytes are told."""
        for name, flags in self.methods.items():
            alone = {}
            told = []
            for ranks, parts in SPLITS:
                count = ranks * parts
                if count not in alone:
                    alone[count] = self.run(f"alone-{count}", 1, count, flags)
                found = self.run("shared", ranks, parts, flags)
                self.check(f"`{name}` by {ranks} ranks of {parts} parts", alone[count], found)
                told.append(f"{ranks} x {parts}: {self.records('shared')[0]['bytes_a_step']}")
                shutil.rmtree(self.folder / "shared")
            for count in alone:
                shutil.rmtree(self.folder / f"alone-{count}")
            print(f"{name}: the same bits; bytes a step {', '.join(told)}", flush=True)

    def stop(self):
        """SIGUSR2 to mpirun stops all ranks with a checkpoint, and another number of ranks goes on."""
        flags = METHODS["local, mixed with baselines"] + " --epochs 40"
        self.interrupted(signal.SIGUSR2, flags, 40, [(4, 1), (2, 2)])
        print("stopped by SIGUSR2 with 4 ranks and gone on with 2: the same bits", flush=True)

    def interrupted(self, sent, flags, epochs, splits):
        """A run that a signal to mpirun ends after its first epoch, and that goes on in another split; gives the seconds until it ended."""
        before, after = splits
        expected = self.run("alone", 1, before[0] * before[1], flags)
        process = self.start(self.command("interrupted", *before, flags))
        self.wait_for(self.folder / "interrupted", process)
        process.send_signal(sent)
        began = time.monotonic()
        self.ended(process, None)
        seconds = time.monotonic() - began
        if len(self.records("interrupted")) >= epochs:
            raise Failed(f"the run was over before {sent.name} could end it")
        self.ended(self.start([*self.command("interrupted", *after, flags), "--resume"]), [0])
        self.check(f"a run that {sent.name} ended, gone on with", expected, self.content("interrupted"))
        shutil.rmtree(self.folder / "interrupted")
        shutil.rmtree(self.folder / "alone")
        return seconds

    def wait_for(self, folder, process):
        """Until the first epoch is told."""
        began = time.monotonic()
        while not (folder / "metrics.jsonl").exists() or not (folder / "metrics.jsonl").read_text():
            if process.poll() is not None or time.monotonic() - began > PATIENCE:
                raise Failed(f"no epoch was told: {self.ended(process, None)[-3000:]}")
            time.sleep(0.02)

    def kill(self):
        """A rank that is killed ends the job at once; any later start goes on to the same bits."""
        flags = f"{OFTEN} --epochs 12"
        expected = self.run("alone", 1, 3, flags)
        slowest = 0.0
        hits = starts = 0
        while hits < self.kills:
            starts += 1
            process = self.start([*self.command("killed", 3, 1, flags), "--resume-or-start"], start_new_session=True)
            time.sleep(self.draws.uniform(0.3, 3.0))
            ranks = children(process.pid)
            if ranks and process.poll() is None:
                os.kill(self.draws.choice(ranks), signal.SIGKILL)
                began = time.monotonic()
                self.ended(process, None)
                slowest = max(slowest, time.monotonic() - began)
                hits += 1
                if slowest > 10:
                    raise Failed(f"{slowest:.1f} s until the job ended")
            else:
                self.ended(process, [0])
            if process.returncode == 0:
                self.check("a run with killed ranks", expected, self.content("killed"))
                shutil.rmtree(self.folder / "killed")
        self.ended(self.start([*self.command("killed", 3, 1, flags), "--resume-or-start"]), [0])
        self.check("a run with killed ranks", expected, self.content("killed"))
        print(f"{hits} kills of a rank in {starts} starts: the job ended within {slowest:.1f} s, the same bits", flush=True)
        shutil.rmtree(self.folder / "killed")
        shutil.rmtree(self.folder / "alone")

    def terminate(self):
        """SIGTERM to mpirun, after which it kills all ranks: what is lost are the steps since the last checkpoint."""
        seconds = self.interrupted(signal.SIGTERM, f"{OFTEN} --epochs 12", 12, [(3, 1), (3, 1)])
        print(f"SIGTERM to mpirun: the job ended within {seconds:.1f} s, the same bits", flush=True)

    def bench(self):
        """The bench counts what a step sends."""
        sent = {}
        for name, ranks in [("jvp-weights", 1), ("jvp-weights", 3), ("backprop", 3)]:
            words = ["bench", *"--width 0.05 --model small-net --batch 12 --threads 1 --json".split(), "--methods", name]
            report = json.loads(self.ended(self.start(self.among(ranks, words)), [0]).splitlines()[-1])
            sent[name, ranks] = report["methods"][0].get("bytes_a_step")
            if report["ranks"] != ranks or not report["methods"][0]["peak_memory"]:
                raise Failed(f"a bench of {ranks} processes: {report}")
        if sent["jvp-weights", 1] is not None or not 0 < sent["jvp-weights", 3] < sent["backprop", 3]:
            raise Failed(f"bytes a step by the bench: {sent}")
        print(f"bench of 3 processes: {sent['jvp-weights', 3]} bytes a step for `jvp-weights`, {sent['backprop', 3]} for `backprop`")

    def study(self):
        """Runs of a study that are several processes each."""
        (self.folder / "ranks.toml").write_text(STUDY)
        command = [self.binary, "study", "ranks.toml", "--threads", "2", "--jobs", "1", "--out", "study", "--quiet"]
        self.ended(self.start(command), [0])
        runs = sorted((self.folder / "study" / "runs").iterdir())
        if len(runs) != 3:
            raise Failed(f"3 runs were asked for: {runs}")
        first, *others = [self.content(run) for run in runs]
        for run, found in zip(runs[1:], others):
            self.check(f"`{run.name}` and `{runs[0].name}`", first, found)
        print("a study of runs with 1, 2 and 4 processes: the same bits", flush=True)

    def refusals(self):
        """What is refused is told once, and ends the job."""
        command = self.command("refused", 4, 1, "--guess local --batch 90")
        said = self.ended(self.start(command), [2])
        if said.count("batch is 90") != 1:
            raise Failed(f"a batch that 4 does not divide:\n{said}")
        kernels = {"FOREGRAD_KERNELS": "portable"}
        own = self.command("refused", 1, 1, "--guess local")
        words = [f"{name}={value}" for name, value in kernels.items()]
        command = ["mpirun", "--oversubscribe", "-n", "1", *own, ":", "-n", "1", "env", *words, *own]
        said = self.ended(self.start(command), [1])
        if "the program of rank 1" not in said:
            raise Failed(f"ranks with other instructions:\n{said}")
        print("refused: a batch that cannot be shared out, ranks with other instructions", flush=True)


if __name__ == "__main__":
    main()
