"""A first hour with equishare, and how long each step takes.

    python examples/first_hour.py FOLDER

A table with names of its own, the command that asks it, the answer in Python, a notebook, a model of one's own, and the
page that goes to a colleague. The data are simulated: six stations around a field, and the heat that flows through its
six sides. It needs the extra "test", which brings what runs a notebook.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import torch
from nbclient import NotebookClient

import equishare as es

STATIONS = ["n", "ne", "se", "s", "sw", "nw"]
NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebooks" / "first_hour.ipynb"


def main() -> None:
    """Go through the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="is made, and gets all files")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with step("write a table"):
        table = weather()
        table.to_csv(folder / "weather.csv", index=False)
    with step("ask it, and be told how to ask"):
        refused = equishare(folder, "weather.csv")
        assert refused.returncode == 2, refused
        options = re.search(r"--inputs '(\S+)' --outputs '(\S+)'", refused.stderr)
        assert options is not None, refused.stderr
    with step("ask it so, and read the answer"):
        asked = ["--inputs", options[1], "--outputs", options[2], "--ignore", "minute", "--out", "answer"]
        answered = equishare(folder, "weather.csv", *asked)
        assert answered.returncode == 0, answered.stderr
        print(answered.stdout)
    with step("use it in Python"):
        found = es.Discovery.load(folder / "answer" / "discovery.npz")
        table_out = pd.DataFrame(found.predict(table), columns=list(found.names[0]))
        print(found)
        print(table_out.head(3).round(2))
        with open(folder / "answer" / "labels.json", encoding="utf-8") as file:
            print("R²", round(json.load(file)["r_squared"], 3))
    with step("run a notebook"):
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
        nbformat.write(notebook, folder / "first_hour.ipynb")
    with step("share inside a model"):
        model = own_model(table)
        print(model)
    with step("send the page"):
        page = (folder / "answer" / "report.html").read_text(encoding="utf-8")
        outside = re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', page)
        print(f"report.html: {len(page) / 1e3:.0f} kB, one file, {len(outside)} links to others")


def weather(samples: int = 400) -> pd.DataFrame:
    """Temperatures of the stations and flows through the sides: each side sees the stations in the same way."""
    rng = np.random.default_rng(0)
    temperatures = 15 + 5 * rng.normal(size=(samples, 6))
    seen = np.array([1.2, 0.4, -0.3, -0.8, -0.3, 0.4])[(np.arange(6) - np.arange(6)[:, None]) % 6]
    flows = temperatures @ seen.T + 2 * rng.normal(size=(samples, 6))
    columns = {"minute": np.arange(samples)}
    columns |= {f"temp_{name}": column for name, column in zip(STATIONS, temperatures.T, strict=True)}
    columns |= {f"flow_{name}": column for name, column in zip(STATIONS, flows.T, strict=True)}
    return pd.DataFrame(columns)


def own_model(table: pd.DataFrame) -> es.Discovery:
    """A network on the same table; any of the 36 weights of its first layer may be equal."""
    x = torch.tensor(table.filter(like="temp_").to_numpy(), dtype=torch.float32)
    y = torch.tensor(table.filter(like="flow_").to_numpy(), dtype=torch.float32)
    x, y = (x - x.mean(0)) / x.std(), y - y.mean(0)
    torch.manual_seed(0)
    model = torch.nn.Linear(6, 6)
    es.share(model, "weight")
    problem = es.ModelProblem(model, (x[:200], y[:200]), (x[200:], y[200:]), torch.nn.functional.mse_loss)
    return es.discover(problem)


def equishare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder."""
    command = [sys.executable, "-m", "equishare", "discover", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print how long a step took."""
    start = time.perf_counter()
    yield
    print(f"-- {what}: {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
