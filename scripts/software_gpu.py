#!/usr/bin/env python3
"""Runs the program on a GPU that is software: SwiftShader, the Vulkan driver in Debian's package `chromium`.

    cargo build --profile check-gpu --package foregrad-cli --features wgpu --target-dir target/gpu
    python3 scripts/software_gpu.py

It tries devices that are not there and drivers that are broken; the identities of `check`; a step of every named method beside
the CPU's; a run that is stopped and gone on with beside one that is not; and `bench`. The first failure ends it with 1 and says
what it is; so does a missing driver. Only the standard library is needed.

--driver takes another driver's file (Mesa's: /usr/share/vulkan/icd.d/lvp_icd.x86_64.json); --machine takes this machine's own
drivers, and with them its GPU.
"""

import argparse
import ctypes.util
import json
import math
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from same_bits import newest, tensors, write_batch  # noqa: E402

SWIFTSHADER = pathlib.Path("/usr/lib/chromium/vk_swiftshader_icd.json")
# Wide enough for the channel groups of a method; norms of the trunk that a step of eight images can bear.
RUN = "--dataset glyphs --train-limit 64 --test-limit 32 --batch 16 --width 0.125 --epochs 1"
# By a network's activation: |difference| / |update| of a tensor from the CPU's in double precision, at most. A rectifier whose input
# is rounded to the other side of 0 moves an update by parts in a thousand; a smooth activation moves as far as single precision
# rounds. A direction may be nearly at right angles to the gradient: its derivative is a small difference of large numbers, so
# that a device may also be as far as a few times the CPU's own single precision, or as a derivative's rounding is of the
# derivative, but never further than a rectifier's.
LIMITS, OF_SINGLE, ROUNDING = {"gelu": 1e-4, "relu": 1e-2}, 4, 1e-6
# A difference of losses divides their rounding by its step: so far that what else a device does differently is seen.
FAR = "--finite-difference-step 1e-2"
BENCH = "--methods backprop,local-weight-network-forward --model small-net --width 0.125 --batch 8 --steps 2"
TRAIN = "--dataset glyphs --train-limit 128 --test-limit 32 --batch 16 --width 0.125 --epochs 3 --seed 3 --quiet"
# How far the tensors and losses of a run that was stopped may be from those of one that was not: a device may choose other
# kernels in another process, which add in another order. And how far a run's losses on the CPU may be.
RESUMED, FIGURES = 1e-3, 0.05
# Parts whose identities the short form looks at.
SHORT = ["conv2d", "_norm", "pool", "residual", "cnn, ", "small-net, group", "gaussian, weight, network", "local, weight, block"]
# All identities take long where every shape is a program to be compiled.
IDENTITIES = 3600
# No command takes as long: one that does, hangs.
PATIENCE = 900


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=pathlib.Path("target/gpu/check-gpu/foregrad"))
    parser.add_argument("--device", default="wgpu")
    parser.add_argument("--driver", type=pathlib.Path, default=SWIFTSHADER)
    parser.add_argument("--machine", action="store_true", help="the drivers that this machine has")
    parser.add_argument("--short", action="store_true", help="identities of some parts, a step of every third method")
    parser.add_argument("--only", choices=[part.__name__ for part in PARTS], help="one part")
    parser.add_argument("--exec", nargs=argparse.REMAINDER, metavar="WORD", help="give the program these words instead")
    arguments = parser.parse_args()
    if not arguments.binary.is_file():
        fail(f"there is no {arguments.binary}: build it as is said in --help")
    if not arguments.machine and not arguments.driver.is_file():
        fail(f"there is no driver {arguments.driver} (apt-get install chromium)")
    with tempfile.TemporaryDirectory(prefix="foregrad-gpu-") as folder:
        folder = pathlib.Path(folder)
        driver = None if arguments.machine else arguments.driver
        gpu = Gpu(arguments.binary.resolve(), arguments.device, folder, environment(driver, folder), driver)
        gpu.every = 3 if arguments.short else 1
        gpu.parts = SHORT if arguments.short else [""]
        if arguments.exec:
            sys.exit(handed_over([gpu.binary, *arguments.exec], gpu.environment))
        for part in PARTS:
            if arguments.only in (None, part.__name__) and not (arguments.machine and part in (drivers, deaths)):
                began = time.monotonic()
                part(gpu)
                print(f"{part.__name__}: {time.monotonic() - began:.0f} s", flush=True)


def fail(reason):
    print(f"FAILED  {reason}", flush=True)
    sys.exit(1)


def environment(driver, folder):
    """A loader that sees one driver and no other, and nothing of this user's caches."""
    chosen = dict(os.environ, HOME=str(folder), XDG_CACHE_HOME=str(folder / "cache"), XDG_RUNTIME_DIR=str(folder))
    if driver is None:
        return chosen
    chosen.pop("VK_ICD_FILENAMES", None)
    # OpenGL would stand in where Vulkan has no driver.
    chosen.update(VK_DRIVER_FILES=str(driver.resolve()), __EGL_VENDOR_LIBRARY_FILENAMES=str(folder / "none.json"))
    own = driver.resolve().parent / "libvulkan.so.1"
    if ctypes.util.find_library("vulkan") is None and own.is_file():
        # The browser's loader alone, not the libraries beside it.
        (folder / "loader").mkdir()
        (folder / "loader" / own.name).symlink_to(own)
        chosen["LD_LIBRARY_PATH"] = f"{folder / 'loader'}:{chosen.get('LD_LIBRARY_PATH', '')}"
    return chosen


def handed_over(command, environment):
    """A command in the foreground; the terminal's Ctrl-C reaches it by itself."""
    with subprocess.Popen(command, env=environment) as child:
        signal.signal(signal.SIGINT, lambda *_: child.send_signal(signal.SIGINT))
        return child.wait()


class Gpu:
    def __init__(self, binary, device, folder, environment, driver):
        self.binary, self.device, self.folder, self.environment, self.driver = binary, device, folder, environment, driver

    def ended(self, *command, words=(), environment=None, patience=PATIENCE):
        """A command's end, whatever it is; `words` are taken as they are."""
        command = [self.binary, *(word for part in command for word in str(part).split(" ")), *words]
        chosen = self.environment if environment is None else environment
        options = {"capture_output": True, "text": True, "cwd": self.folder, "env": chosen, "timeout": patience}
        try:
            return subprocess.run(command, **options)
        except subprocess.TimeoutExpired:
            fail(f"{' '.join(map(str, command))} has not ended after {patience} s")

    def run(self, *command):
        """A command's standard output; it has to succeed."""
        done = self.ended(*command)
        if done.returncode:
            said = done.stderr or done.stdout
            fail(f"foregrad {' '.join(map(str, command))} ended with {done.returncode}:\n{said[-3000:]}")
        return done.stdout


def drivers(gpu):
    """Every device that is not there is refused: exit code 2, the reason, the devices that are there, and no panic."""
    broken = gpu.folder / "broken.json"
    library = gpu.folder / "libbroken.so"
    library.write_bytes(b"no library")
    broken.write_text(json.dumps({"file_format_version": "1.0.0", "ICD": {"library_path": str(library), "api_version": "1.0.5"}}))
    (gpu.folder / "unreadable.json").write_text("{")
    no_driver = [("a driver's file that is not there", "missing.json"), ("a driver's library that is none", "broken.json")]
    no_driver += [("a driver's file that is none", "unreadable.json")]
    # Without a name the loader takes what is installed.
    has_drivers = any(list(pathlib.Path(place).glob("*.json")) for place in ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"])
    no_driver += [] if has_drivers else [("no driver named", None)]
    cases = [(f"--device {name}", name, gpu.environment["VK_DRIVER_FILES"], words) for name, words in REFUSED]
    cases += [(what, "wgpu", file, "no GPU was found") for what, file in no_driver]
    for what, device, file, words in cases:
        chosen = dict(gpu.environment)
        chosen.pop("VK_DRIVER_FILES")
        if file is not None:
            chosen["VK_DRIVER_FILES"] = str(gpu.folder / file)
        for command in ["check --dtype f32 --only relu --quiet", "train --epochs 1 --train-limit 16 --quiet --out refused"]:
            done = gpu.ended(command, "--device", device, environment=chosen)
            wrong = [f"the exit code is {done.returncode}"] if done.returncode != 2 else []
            wrong += [f"`{words}` is not said"] if words not in done.stderr else []
            wrong += ["it panics"] if "panicked" in done.stderr else []
            wrong += ["something is written"] if done.stdout or (gpu.folder / "refused").exists() else []
            if wrong:
                fail(f"{what}, {command.split()[0]}: {', '.join(wrong)}:\n{done.stderr[-2000:]}")
    print(f"{len(cases)} devices that are not there or do not work, each with two commands: refused")


def deaths(gpu):
    """A driver that dies at once, and one that dies in the middle of a run: an error that names the device, exit code 1, no
    panic, and a run that goes on once the driver lives again."""
    behind = json.loads(gpu.driver.read_text())["ICD"]["library_path"]
    chosen = dict(gpu.environment, VK_DRIVER_FILES=str(gpu.folder / "dying.json"), DYING_DRIVER=str(gpu.driver.parent / behind))
    library = gpu.folder / "dying.so"
    built = subprocess.run(["cc", "-shared", "-fPIC", "-o", library, DYING, "-ldl"], capture_output=True, text=True)
    if built.returncode:
        fail(f"{DYING} cannot be built:\n{built.stderr}")
    description = {"file_format_version": "1.0.0", "ICD": {"library_path": str(library), "api_version": "1.0.5"}}
    (gpu.folder / "dying.json").write_text(json.dumps(description))
    out, run = gpu.folder / "dead", TRAIN.replace("--train-limit 128", "--train-limit 64")
    # Several times: how the driver's threads stand when the program ends is chance.
    for after, words, code in DEATHS * 3:
        done = gpu.ended("train", run, "--device", gpu.device, "--overwrite --out", out, environment=dict(chosen, DYING_AFTER=str(after)))
        if "panicked" in done.stderr or words not in done.stderr or done.returncode != code:
            fail(f"a driver that dies at submission {after}: the run ended with {done.returncode}:\n{done.stderr[-3000:]}")
    if not any(out.glob("checkpoint-*.safetensors")):
        fail(f"a driver that dies at submission {after} left no checkpoint: {done.stderr[-3000:]}")
    gpu.run("train --resume --quiet --device", gpu.device, "--out", out)
    print("a driver that dies, at once, in the first step and after a checkpoint: said, and the run was gone on with")


DYING = pathlib.Path(__file__).resolve().parent / "dying_driver.c"
# The submission that it dies at, what is said, and the exit code.
DEATHS = [(1, "which does not answer", 2), (64, "stopped working", 1), (1024, "stopped working", 1)]
# Names, and what is said of them.
REFUSED = [
    ("wgpu:7", "one that is there: `cpu`, `wgpu`"),
    ("wgpu:", "no number after its colon"),
    ("wgpu:one", "no number after its colon"),
    ("wgpu:99999999999999999999", "no number after its colon"),
    ("wgpx", "did you mean `wgpu`"),
    ("cuda", "built without `cuda`"),
    ("cpu:1", "unknown device"),
]


def identities(gpu):
    entries = []
    for part in gpu.parts:
        only = ["--only", part] if part else []
        done = gpu.ended("check --json --quiet --dtype f32 --device", gpu.device, words=only, patience=IDENTITIES)
        if not done.stdout:
            fail(f"check {part} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        own = json.loads(done.stdout)["entries"]
        wrong = [entry for entry in own if not entry["worst"] <= entry["limit"]]
        if wrong or done.returncode or not own:
            fail(f"of {len(own)} identities {len(wrong)} do not hold: {wrong[:3]}")
        entries += own
    nearest = max(entries, key=lambda entry: entry["worst"] / entry["limit"])
    name = f"{nearest['group']} {nearest['name']}, {nearest['identity']}"
    print(f"{len(entries)} identities hold; the nearest to its limit: {name}, {nearest['worst']:.1e} of {nearest['limit']:.0e}")


def steps(gpu):
    """A step of every method from a checkpoint, which holds momentum and trained heads, on the CPU and on the device."""
    methods = json.loads(gpu.run("methods --json"))[:: gpu.every]
    write_batch(gpu.folder / "batch.safetensors")
    for activation, limit in LIMITS.items():
        spec = gpu.run("model show small-net --width 1 --image 1x28x28").replace('"relu"', f'"{activation}"')
        (gpu.folder / f"{activation}.toml").write_text(spec)
        network = gpu.folder / activation
        gpu.run("train --quiet --device cpu --model", f"{activation}.toml", RUN, "--out", network)
        worst = max((worst_gap(gpu, newest(network), method, limit), method["name"]) for method in methods)
        print(f"{len(methods)} methods on {activation}: every tensor's update within {worst[0]:.1e} of the CPU's ({worst[1]}; at most {limit:.0e})", flush=True)


def worst_gap(gpu, checkpoint, method, limit):
    """The worst of a method's tensors."""
    on_each = [update(gpu, checkpoint, method, *on) for on in [("cpu", "f64"), ("cpu", "f32"), (gpu.device, "f32")]]
    (exact, derivative), (single, _), (given, _) = on_each
    if not exact or exact.keys() != given.keys():
        fail(f"{method['name']}: the updates have other tensors: {sorted(exact.keys() ^ given.keys())[:5]}")
    gaps = {name: gap(values, given[name]) for name, values in exact.items()}
    name = max(gaps, key=lambda name: math.inf if math.isnan(gaps[name]) else gaps[name])
    own = max(gap(values, single[name]) for name, values in exact.items())
    told = f"{method['name']}, {checkpoint.parent.name}: {name} is {gaps[name]:.1e} of its norm from the CPU's (whose f32 is {own:.1e} from its f64; smallest derivative {derivative:.1e})"
    of_derivative = min(LIMITS["relu"], ROUNDING / derivative) if derivative else 0.0
    if not gaps[name] <= max(limit, OF_SINGLE * own, of_derivative):
        fail(f"{told}; at most {limit:.0e}")
    if gaps[name] > limit:
        print(told, flush=True)
        return 0.0
    return gaps[name]


def update(gpu, checkpoint, method, device, dtype):
    """A step's update by tensor, and the smallest derivative of a slot along its direction: the root of its units' mean square."""
    out = gpu.folder / "step.safetensors"
    flags = [method["flags"], "--dtype", dtype, "--device", device]
    flags += [FAR] if method["settings"].get("estimator.mode") == "finite-difference" else []
    gpu.run("step --weights", checkpoint, "--batch batch.safetensors --out", out, *flags)
    known = numbers(out)
    scalars = [values for name, values in known.items() if name.startswith("scalar/")]
    mean_squares = [sum(value * value for value in values) / len(values) for values in scalars]
    return {name: values for name, values in known.items() if name.startswith("update/")}, math.sqrt(min(mean_squares, default=0.0))


def numbers(path):
    kinds = {"F32": (4, "f"), "F64": (8, "d")}
    known = {name: (kinds[dtype], data) for name, (dtype, _, data) in tensors(path).items() if dtype in kinds}
    return {name: struct.unpack(f"<{len(data) // size}{kind}", data) for name, ((size, kind), data) in known.items()}


def gap(expected, given):
    """|difference| / |expected|; 0 of two that are both 0."""
    difference = math.sqrt(sum((a - b) ** 2 for a, b in zip(expected, given)))
    return difference / (math.sqrt(sum(a * a for a in expected)) or 1.0)


def runs(gpu):
    """A run that is stopped in its second epoch and gone on with, beside one that is not, and beside the CPU's."""
    command = ["train", *TRAIN.split(), "--device", gpu.device]
    whole, stopped, on_cpu = (gpu.folder / name for name in ["whole", "stopped", "on-cpu"])
    gpu.run(*command, "--out", whole)
    gpu.run(*command[:-1], "cpu", "--out", on_cpu)
    started = subprocess.Popen(
        [gpu.binary, *command, "--out", stopped], cwd=gpu.folder, env=gpu.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    while started.poll() is None and not any(stopped.glob("checkpoint-*.safetensors")):
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    said, _ = started.communicate(timeout=PATIENCE)
    if started.returncode != 130:
        fail(f"a run that was asked to stop ended with {started.returncode} and not with 130:\n{said[-2000:]}")
    epochs_before = len(epochs(stopped))
    gpu.run("train --resume --quiet --device", gpu.device, "--out", stopped)
    expected = state(whole)
    far = {name: gap(expected[name], values) for name, values in state(stopped).items()}
    if far.keys() != expected.keys() or not max(far.values()) <= RESUMED:
        fail(f"a run that was stopped and gone on with ends elsewhere: {max(far.values()):.1e} of a tensor's norm")
    figures = [epochs(folder) for folder in [whole, stopped, on_cpu]]
    apart = [max(abs(a - b) for a, b in zip(figures[0], other, strict=True)) for other in figures[1:]]
    if not apart[0] <= RESUMED:
        fail(f"a run that was stopped and gone on with has other figures: {figures[:2]}")
    if not apart[1] <= FIGURES:
        fail(f"the CPU's run has other figures: {figures[0]} and {figures[2]}")
    same = "the same bits" if max(far.values()) == 0 else f"tensors within {max(far.values()):.1e}"
    print(
        f"a run stopped after {epochs_before} of {len(figures[0])} epochs and gone on with: {same}, losses within {apart[0]:.1e}; "
        f"the CPU's losses within {apart[1]:.1e}"
    )


def not_finite(gpu):
    """A number that is none, anywhere in what a step makes, is seen at that step: drivers may leave it out of a maximum."""
    for value in [math.nan, math.inf, -math.inf]:
        out = gpu.folder / f"with-{value}"
        gpu.run("train", TRAIN.replace("--epochs 3", "--epochs 1"), "--device cpu --out", out)
        checkpoint = newest(out)
        content = bytearray(checkpoint.read_bytes())
        begin = 8 + struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8:begin])
        # The second number of the optimiser's buffer of the first weight.
        begin += header["optimizer.buffer.blocks.0.0.weight"]["data_offsets"][0] + 4
        content[begin : begin + 4] = struct.pack("<f", value)
        checkpoint.write_bytes(content)
        done = gpu.ended("train --resume --epochs 2 --quiet --device", gpu.device, "--out", out)
        if done.returncode != 1 or "a parameter after the update is not finite" not in done.stderr:
            fail(f"{value} in the optimiser's buffer: the run ended with {done.returncode}:\n{done.stderr[-2000:]}")
    print("not a number, infinity and minus infinity in one parameter: seen at once")


def state(folder):
    return numbers(newest(folder))


def epochs(folder):
    """The training losses of the network, epoch by epoch."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["train"][-1]["loss"] for line in lines]


def timings(gpu):
    report = json.loads(gpu.run("bench --json --device", gpu.device, BENCH))
    for method in report["methods"]:
        print(f"{method['method']}: {sorted(method['seconds'])[len(method['seconds']) // 2]:.2f} s a step")
    if len(report["methods"]) != 2 or any(not second > 0 for method in report["methods"] for second in method["seconds"]):
        fail(f"bench has not measured two methods: {report}")


PARTS = [drivers, identities, steps, runs, not_finite, deaths, timings]

if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
