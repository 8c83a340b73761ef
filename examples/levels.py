"""Which bands of body mass, blood pressure and age foretell the same course of diabetes? Levels of factors.

    python examples/levels.py
    python examples/levels.py --report levels.html

scikit-learn's 442 patients; y is how far the disease has gone a year later. Six measurements are cut into ten bands of
equally many patients, and of each only neighbouring bands may share an effect. The result is a table as doctors use
one: few bands, each with its effect, and measurements that tell nothing beside the others left out.
"""

# %%
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import OneHotEncoder

import equishare as es

BANDS = 10
COLUMNS = ("age", "bmi", "bp", "s3", "s5", "s6")


# %% The table: text in every column. "03" is the fourth tenth of the patients.
def load() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The bands of each patient, and the course of the disease."""
    data = load_diabetes()
    table = {}
    for name in COLUMNS:
        column = data.data[:, data.feature_names.index(name)]
        inner = np.quantile(column, np.arange(1, BANDS) / BANDS)
        table[name] = np.array([f"{band:02d}" for band in np.searchsorted(inner, column)])
    table["sex"] = np.where(data.data[:, data.feature_names.index("sex")] > 0, "one", "other")
    return table, data.target


# %% Fit on a part of the patients, and look how well the others are told.
def find(seed: int = 0) -> tuple[es.Discovery, dict[str, float]]:
    """The answer from two thirds of the patients, and mean squared errors on the others."""
    table, y = load()
    train = np.random.default_rng(seed).permutation(len(y)) < 2 * len(y) // 3
    fit, rest = ({name: column[rows] for name, column in table.items()} for rows in (train, ~train))
    found = es.discover(es.FactorProblem(fit, y[train], ordered=COLUMNS), seed=seed)
    one_hot = OneHotEncoder(drop="first", handle_unknown="ignore").fit(_rows(fit))
    free = LinearRegression().fit(one_hot.transform(_rows(fit)), y[train])
    guesses = {
        "the mean": np.full((~train).sum(), y[train].mean()),
        "every band its own effect": free.predict(one_hot.transform(_rows(rest))),
        "bands as found": found.predict(rest),
        "averaged over patterns": found.predict(rest, averaged=True),
    }
    return found, {name: float(np.mean((own - y[~train]) ** 2)) for name, own in guesses.items()}


def _rows(table: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack(list(table.values()), axis=1)


# %%
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", type=Path, help="write the report here, ending in .html")
    parser.add_argument("--seed", type=int, default=0, help="of the patients to fit")
    given = parser.parse_args()
    found, errors = find(given.seed)
    for name, pattern in found.partitions.items():
        levels, effects = np.array(found.levels[name]), found.theta[name]
        if pattern.num_groups == 1:
            print(f"{name}: no effect beside the others")
            continue
        bands = [levels[pattern.labels == group] for group in range(pattern.num_groups)]
        shown = [f"{', '.join(own)}: {effects[pattern.labels == group][0]:+.1f}" for group, own in enumerate(bands)]
        print(f"{name}: {'; '.join(shown)}")
    print()
    for name, error in errors.items():
        print(f"{name}: mean squared error {error:.0f}")
    if given.report is not None:
        found.report(given.report)


if __name__ == "__main__":
    main()
