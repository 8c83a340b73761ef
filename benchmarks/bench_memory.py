"""Memory at its peak, as a multiple of the data, of problems and of the command line: ``python bench_memory.py``.

Every row runs in a process of its own. From the peak of its resident memory that of the same call on a hundredth of
the rows is taken off: what is left belongs to the data.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

COLUMNS = 20
SMALLER = 100


def arrays(rows: int, dtype: str) -> np.ndarray:
    """(rows, COLUMNS) samples with five different means, without a copy in another precision."""
    x = np.random.default_rng(0).standard_normal((rows, COLUMNS), dtype=dtype)
    x += np.arange(COLUMNS, dtype=dtype) // 4
    return x


def problem(kind: str, rows: int, dtype: str) -> None:
    import equishare as es

    x = arrays(rows, dtype)
    if kind == "means":
        es.discover(es.MeanProblem(x), resamples=0)
    elif kind == "map":
        es.LinearProblem(x[:, : COLUMNS // 2], x[:, COLUMNS // 2 :])


def write(path: Path, rows: int) -> None:
    import pandas

    x = arrays(rows, "float64")
    if path.suffix == ".npy":
        np.save(path, x)
    elif path.suffix == ".npz":
        np.savez(path, samples=x)
    else:
        frame = pandas.DataFrame(x, columns=[f"c{i}" for i in range(COLUMNS)])
        frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)


def peak(*arguments: str) -> int:
    """Bytes at the peak of a process that does one row."""
    code = "import resource, runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='row')"
    command = [sys.executable, "-c", code, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[-1])


def row(arguments: list[str]) -> None:
    kind, *more = arguments
    if kind == "file":
        from equishare import cli

        try:
            cli.main(["discover", more[0], "--means", "--resamples", "0", "--quiet"])
        except SystemExit as ended:
            assert not ended.code, ended.code
    else:
        problem(kind, int(more[0]), more[1])
    unit = 1 if sys.platform == "darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=200, help="of the data")
    size = parser.parse_args().megabytes * 1_000_000
    print(f"{'data':22} {'MB':>6} {'peak / data':>12}")
    for kind in ("means", "map"):
        for dtype in ("float32", "float64"):
            rows = size // (COLUMNS * np.dtype(dtype).itemsize)
            used = peak(kind, str(rows), dtype) - peak(kind, str(rows // SMALLER), dtype)
            print(f"{f'{kind}, {dtype}':22} {size / 1e6:6.0f} {used / size:12.2f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".npy", ".npz", ".parquet", ".csv", ".csv.gz"):
            rows = size // (COLUMNS * 8)
            paths = [Path(folder) / f"{count}{suffix}" for count in (rows, rows // SMALLER)]
            for path, count in zip(paths, (rows, rows // SMALLER), strict=True):
                write(path, count)
            used = peak("file", str(paths[0])) - peak("file", str(paths[1]))
            print(f"{f'discover data{suffix}':22} {size / 1e6:6.0f} {used / size:12.2f}", flush=True)
            for path in paths:
                path.unlink()


if __name__ == "__main__":
    main()
elif __name__ == "row":
    row(sys.argv[1:])
