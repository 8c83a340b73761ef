"""Processor time of ``import torch``, of ``import equishare`` with all of its names, and of help and a usage error.

    python benchmarks/bench_start.py

Each in a process of its own, in turn; the least of several times.
"""

import resource
import subprocess
import sys

NAMES = "import equishare\nfor name in equishare.__all__: getattr(equishare, name)"
COMMANDS = {
    "import torch": ["-c", "import torch"],
    "import equishare": ["-c", "import equishare"],
    "import equishare, every name": ["-c", NAMES],
    "equishare --help": ["-m", "equishare", "--help"],
    "equishare discover --help": ["-m", "equishare", "discover", "--help"],
    "equishare discover --nonsense": ["-m", "equishare", "discover", "--nonsense"],
}
TURNS = 7


def seconds(arguments: list[str]) -> float:
    """Processor time, of user and system, of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != (2 if "--nonsense" in arguments else 0):
        raise SystemExit(f"python {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Print a table."""
    turns = [{name: seconds(own) for name, own in COMMANDS.items()} for _ in range(TURNS)]
    found = {name: min(turn[name] for turn in turns) for name in COMMANDS}
    for name, own in found.items():
        print(f"{name:32} {own:6.2f} s   {own / found['import torch']:5.2f} × import torch")


if __name__ == "__main__":
    main()
