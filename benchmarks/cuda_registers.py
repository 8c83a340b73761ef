"""Registers, spills and shared memory of the CUDA kernels, as ptxas reports them.

    python benchmarks/cuda_registers.py          the float32 kernels, Markdown
    python benchmarks/cuda_registers.py --all    every kernel

Compiles csrc/cuda for each architecture; needs nvcc and c++filt, no device.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
ARCHITECTURES = (75, 80, 90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every kernel, not the float32 ones alone")
    parser.add_argument("--jobs", type=int, default=2, help="compilers at a time")
    everything = parser.parse_args()
    sources = sorted((ROOT / "csrc" / "cuda").glob("*.cu"))
    jobs = [(source, architecture) for source in sources for architecture in ARCHITECTURES]
    kernels: dict[str, dict[int, tuple[int, int, int]]] = defaultdict(dict)
    with ThreadPoolExecutor(everything.jobs) as pool:
        for (_, architecture), report in zip(jobs, pool.map(lambda job: compile_one(*job), jobs), strict=True):
            for name, use in report.items():
                kernels[name][architecture] = use
    print(f"| kernel | {' | '.join(f'sm_{a}' for a in ARCHITECTURES)} | shared memory |")
    print("|---|" + "---|" * (len(ARCHITECTURES) + 1))
    shown = [name for name in sorted(kernels) if everything.all or is_float(name)]
    for name in shown:
        use = kernels[name]
        registers = " | ".join(cell(use.get(a)) for a in ARCHITECTURES)
        print(f"| `{name}` | {registers} | {max(static for _, _, static in use.values())} |")
    spilling = sum(spill > 0 for use in kernels.values() for _, spill, _ in use.values())
    most = max(registers for use in kernels.values() for registers, _, _ in use.values())
    versions = sum(len(use) for use in kernels.values())
    print(f"\n{len(kernels)} kernels, {versions} with their architectures: at most {most} registers, {spilling} spill.")


def compile_one(source: Path, architecture: int) -> dict[str, tuple[int, int, int]]:
    """Registers, bytes spilled and bytes of static shared memory, by name of kernel."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ["-std=c++17", "-O3", f"-I{ROOT / 'csrc'}", f"-arch=sm_{architecture}", "-Xptxas", "-v"]
        command = ["nvcc", *flags, "-cubin", str(source), "-o", f"{folder}/out.cubin"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    names, uses, spill = [], [], 0
    for line in done.stderr.splitlines():
        if found := re.search(r"Compiling entry function '(\w+)'", line):
            names.append(found[1])
        elif found := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            spill = int(found[1]) + int(found[2])
        elif found := re.search(r"Used (\d+) registers", line):
            static = re.search(r"(\d+) bytes smem", line)
            uses.append((int(found[1]), spill, int(static[1]) if static else 0))
    plain = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True).stdout.splitlines()
    return {readable(name): use for name, use in zip(plain, uses, strict=True)}


def readable(name: str) -> str:
    for noise in ("equishare::cuda::", "equishare::", "(anonymous namespace)::", "void "):
        name = name.replace(noise, "")
    kinds = ("penalties", "joint", "relaxation", "relaxation_step")
    name = re.sub(r"\(Backward\)(\d)", lambda found: kinds[int(found[1])], name)
    return name[: name.rindex("(")].replace(" >", ">").strip()


def is_float(name: str) -> bool:
    return not re.search(r"double|float16|long|short|\bint\b", re.sub(r"add_chunks<double, float>", "", name))


def cell(use: tuple[int, int, int] | None) -> str:
    if use is None:
        return ""
    registers, spill, _ = use
    return f"{registers}, {spill} bytes spilled" if spill else f"{registers}"


if __name__ == "__main__":
    main()
