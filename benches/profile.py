#!/usr/bin/env python3
"""Where the time of a step goes, by kind of work: samples of `perf`, each put down to the kernel that it was taken in.

    CARGO_PROFILE_RELEASE_DEBUG=line-tables-only cargo build --release --package foregrad-cli --target-dir target/profile
    python3 benches/profile.py backprop local-weight-network-forward -- --steps 5
    python3 benches/profile.py backprop -- --model small-net --width 0.25 --threads 1 --steps 200

What follows `--` goes to `foregrad bench`. Needs Linux's `perf`, and `readelf` and `addr2line` of binutils. The measured peak of the machine, which the
bench takes first, does not count; making the network does, so that a profile wants many steps.
"""

import argparse
import collections
import pathlib
import re
import sys
import tempfile

from running import arguments_and_options, printed

KERNELS = "crates/kernels/src/"

# Kinds by the first of these that stands in the name of any file on the way to a sample.
KINDS = [
    ("operations.rs", None),
    ("winograd/panel.rs", "tiles: weights' transforms"),
    ("winograd/product.rs", "tiles: products"),
    ("winograd/by_sample", "narrow sums"),
    ("winograd/by_line.rs", "narrow weights' cotangents"),
    ("winograd/", "tiles: pixels' transforms"),
    ("convolution/", "plain convolutions"),
    ("channels", "norms, rectifiers, sums over channels"),
    ("random.rs", "random numbers"),
    (KERNELS, "pools, gates, others of the kernels"),
]
CLEARING = re.compile("memset|clear_page|clear_huge")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=pathlib.Path("target/profile/release/foregrad"))
    parser.add_argument("methods", nargs="+")
    arguments, options = arguments_and_options(parser)
    shares = {method: profile(arguments.binary.resolve(), method, options) for method in arguments.methods}
    kinds = sorted({kind for own in shares.values() for kind in own}, key=lambda kind: -max(own[kind] for own in shares.values()))
    print("| part of the time | " + " | ".join(f"`{method}`" for method in shares) + " |")
    print("|---" * (len(shares) + 1) + "|")
    for kind in kinds:
        print(f"| {kind} | " + " | ".join(f"{100 * own[kind]:.0f} %" for own in shares.values()) + " |")


def profile(binary, method, options):
    """The part of each kind in a method's samples."""
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/perf.data"
        # Without random addresses the bench's child, which measures, has its code where its parent has it.
        printed(["perf", "record", "-F", "499", "-o", data, "setarch", "-R", binary, "bench", "--methods", method, *options])
        lines = printed(["perf", "script", "-i", data, "-F", "ip,sym,dso"]).splitlines()
        offset = offset_of(binary, printed(["perf", "script", "-i", data, "--show-mmap-events"]))
    own, counts = collections.Counter(), collections.Counter()
    for line in filter(str.strip, lines):
        address, rest = line.split(None, 1)
        if rest.rstrip().endswith(f"/{binary.name})"):
            own[int(address, 16) - offset] += 1
        else:
            counts["clearing memory" if CLEARING.search(rest) else "system and libraries"] += 1
    for address, kind in kinds_of(binary, list(own)):
        counts[kind] += own[address]
    del counts[None]
    total = sum(counts.values())
    return collections.defaultdict(float, {kind: count / total for kind, count in counts.items()})


def offset_of(binary, maps):
    """What an address of the running program is beyond that of its file."""
    found = re.search(rf"\[(0x[0-9a-f]+)\(0x[0-9a-f]+\) @ (0x[0-9a-f]+|0) [^\n]*r-xp [^\n]*/{re.escape(binary.name)}\n", maps)
    start, place = int(found[1], 16), int(found[2], 16)
    for line in printed(["readelf", "-lW", binary]).splitlines():
        words = line.split()
        if words[:1] == ["LOAD"] and int(words[1], 16) & ~0xFFF == place:
            return start - (int(words[2], 16) & ~0xFFF)
    sys.exit(f"{binary} has no code where it was mapped from")


def kinds_of(binary, addresses):
    """Every address with its kind, by the files of the calls that were put in line there."""
    told = printed(["addr2line", "-i", "-f", "-a", "-e", binary], input="\n".join(map(hex, addresses)))
    blocks = re.split(r"^0x[0-9a-f]+\n", told, flags=re.MULTILINE)[1:]
    for address, block in zip(addresses, blocks, strict=True):
        files = [file for file in block.splitlines()[1::2] if KERNELS in file]
        kind = next((kind for part, kind in KINDS if any(part in file for file in files)), "everything else")
        yield address, kind


if __name__ == "__main__":
    main()
