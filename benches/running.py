"""What the scripts of this folder share: their command line, and a program that is run for what it prints."""

import subprocess
import sys


def arguments_and_options(parser):
    """A script's own arguments, and what follows `--`."""
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    return parser.parse_args(sys.argv[1:end]), sys.argv[end + 1 :]


def printed(command, **kwargs):
    """What a command prints; where it fails, the script ends with what it says."""
    command = list(map(str, command))
    result = subprocess.run(command, capture_output=True, text=True, **kwargs)
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stderr}")
    return result.stdout
