#!/usr/bin/env python3
"""Lets system calls of the binary fail, from outside, and shows that nothing is lost.

    python3 scripts/strace.py --binary target/release/foregrad
    python3 scripts/strace.py --short                                    the short form

Every case lets one call of a tiny run or study fail at its n-th time, by `strace -e inject` (Linux; Debian's strace 6.1).
Then the same command is given again, untouched, and must end with the weights of an undisturbed run, bit for bit. The
failing command itself must end with 1 (2 where a read fails), name the file, never panic, and leave whole every row and
checkpoint that is there.
A folder that cannot be brought to the disk after a rename is a warning and no more.
Without strace it says that it is skipped; with CI=true in the environment that is a failure.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from kill import tensors  # noqa: E402

TRAIN = "train --width 0.05 --train-limit 64 --test-limit 20 --batch 16 --epochs 2 --threads 1 --quiet --out {out}"

STUDY = """
name = "tiny"
question = "Is anything lost?"
[base]
epochs = 2
batch = 16
threads = 1
data = { dataset = "glyphs", train-limit = 64, test-limit = 20 }
model = { name = "small-net", width = 0.05 }
[[axis]]
name = "guess"
key = "estimator.guess"
values = ["local", "exact"]
[base.estimator]
target = "local"
"""

# System calls that do the same, and the error they end with.
FAULTS = [
    ("fsync,fdatasync", "EIO"),
    ("write,pwrite64,writev", "ENOSPC"),
    ("write,pwrite64,writev", "EIO"),
    ("rename,renameat,renameat2", "EIO"),
    ("openat", "EACCES"),
    ("openat", "EMFILE"),
]

# Moments of a call that are tried: all would take an hour.
MOMENTS, FEW = 12, 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, default=pathlib.Path("target/release/foregrad"))
    parser.add_argument("--short", action="store_true", help="a few moments of every call")
    arguments = parser.parse_args()
    if shutil.which("strace") is None:
        print("skipped: there is no strace here (apt-get install strace)")
        sys.exit(1 if os.environ.get("CI") == "true" else 0)
    with tempfile.TemporaryDirectory(prefix="foregrad-strace-") as folder:
        trial = Trial(arguments.binary.resolve(), pathlib.Path(folder), FEW if arguments.short else MOMENTS)
        wrong = trial.run()
    sys.exit(1 if wrong else 0)


class Trial:
    def __init__(self, binary, folder, moments):
        self.binary, self.folder, self.moments = binary, folder, moments
        self.wrong = []
        (folder / "tiny.toml").write_text(STUDY)

    def run(self):
        for name, command in [("train", TRAIN), ("study", "study tiny.toml --threads 1 --quiet --out {out}")]:
            whole = self.folder / f"{name}-whole"
            if self.foregrad(command, whole).returncode != 0:
                print(f"{name}: the undisturbed one fails")
                return True
            for calls, error in FAULTS:
                tried = self.disturb(name, command, calls, error, weights(whole))
                print(f"{name}: {tried} cases of {calls} with {error}", flush=True)
        print("\n\n".join(self.wrong + [f"{len(self.wrong)} wrong"]))
        return bool(self.wrong)

    def disturb(self, name, command, calls, error, expected):
        """Lets calls on the run's own files fail, one a case; how many were tried."""
        profile = self.folder / f"{name}-profile"
        self.foregrad(command, profile, self.strace(calls))
        moments = own_calls(self.log(), profile)
        shutil.rmtree(profile)
        step = max(1, len(moments) // self.moments)
        tried = 0
        for number, (call, when) in enumerate(moments[::step]):
            out = self.folder / f"{name}-{number}"
            inject = f"inject={call}:error={error}:when={when}"
            done = self.foregrad(command, out, self.strace(calls, "-e", inject))
            hit = [line for line in self.log() if "(INJECTED)" in line]
            # The same number of a call may be another thread's or another file's.
            if hit and all(out.name in str(path_of(line, self.folder)) for line in hit):
                tried += 1
                for problem in self.problems(command, out, done, hit, expected):
                    self.wrong.append(f"{inject}: {problem}\n{hit[0]}\nexit code {done.returncode}: {done.stderr[-800:]}")
            shutil.rmtree(out, ignore_errors=True)
        return tried

    def problems(self, command, out, done, hit, expected):
        """What is wrong with how a command met a fault, and with how the next one goes on."""
        only_folders = all(path_of(line, self.folder).is_dir() for line in hit)
        if "panicked" in done.stderr:
            yield "it panics"
        if only_folders and "fsync" in hit[0] and done.returncode != 0:
            yield "a folder that cannot be synced is no reason to end"
        # Input that cannot be read ends with 2; threads that count alike may each be hit, a reader among them.
        reads = any("O_RDONLY" in line for line in hit)
        if done.returncode not in (0, 1) and not (done.returncode == 2 and reads):
            yield "it must end with 1"
        if done.returncode == 0 and weights(out) != expected:
            yield "it ends with 0 and something is missing"
        if done.returncode != 0 and out.name not in done.stderr:
            yield "no file is named"
        yield from damaged(out)
        again = self.go_on(command, out)
        if again.returncode != 0 and "that are done" not in again.stderr:
            yield f"it does not go on: {again.stderr[-800:]}"
        elif weights(out) != expected:
            yield "after going on, the weights are others"

    def go_on(self, command, out):
        if not command.startswith("train"):
            return self.foregrad(command, out)
        if list(out.glob("checkpoint-*.safetensors")):
            return self.foregrad("train --resume --threads 1 --quiet --out {out}", out)
        return self.foregrad(command + " --overwrite", out)

    def foregrad(self, command, out, prefix=()):
        words = command.format(out=out.name).split()
        return subprocess.run(
            [*prefix, self.binary, *words],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=300,
        )

    def strace(self, calls, *inject):
        return ["strace", "-f", "-qq", "-y", "-s", "300", "-o", str(self.folder / "log"), "-e", f"trace={calls}", *inject]

    def log(self):
        return (self.folder / "log").read_text(errors="replace").splitlines()


def own_calls(log, out):
    """Call and number, counted thread by thread as strace does, of every call on a file of a run."""
    counts, found = {}, []
    for line in log:
        thread, _, rest = line.partition(" ")
        call = rest.strip().partition("(")[0]
        if "resumed>" in rest or not call.isidentifier() and not call.isalnum():
            continue
        counts[thread, call] = counts.get((thread, call), 0) + 1
        if out.name in str(path_of(rest, out.parent)) and (call, counts[thread, call]) not in found:
            found.append((call, counts[thread, call]))
    return found


def path_of(line, folder):
    """The file of a traced call: of its descriptor, or its last name."""
    descriptor = re.search(r"\(\d+<([^>]*)>", line)
    names = re.findall(r'"([^"]*)"', line)
    return folder / (descriptor.group(1) if descriptor else names[-1] if names else "")


def run_folders(out):
    return sorted((out / "runs").iterdir()) if (out / "runs").is_dir() else [out]


def weights(out):
    """The tensors of every run's last checkpoint."""
    newest = {run.name if run != out else "": sorted(run.glob("checkpoint-*.safetensors"))[-1:] for run in run_folders(out)}
    return {name: [tensors(file) for file in files] for name, files in newest.items()}


def damaged(out):
    """Rows and checkpoints that are not whole."""
    for run in run_folders(out):
        for file in [*run.glob("checkpoint-*.safetensors"), *run.glob("row.json")]:
            try:
                json.loads(file.read_text()) if file.suffix == ".json" else tensors(file)
            except (ValueError, KeyError, OSError, struct.error) as error:
                yield f"{file} is damaged: {error}"


if __name__ == "__main__":
    main()
