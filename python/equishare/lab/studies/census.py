"""The Adult census as SCOPE's paper uses it: who earns more than 50,000, from 452 of 45,222 rows.

Eight factors of 2 to 41 levels, two numeric columns, 100 of the published splits; the error is that of the class on all
other rows whose levels were seen. ``adult.npz`` holds the data and the splits of the authors' public results
(bgs25/scope-experiments); the data are UCI's Adult.
"""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np

from equishare.lab.studies.cells import Cell, Draws, Plan, Scores
from equishare.problems import FactorProblem
from equishare.result.discovery import Discovery

TRIALS = 100
#: Mean errors over the same 100 splits, from the authors' results.
PUBLISHED = {"scope": 0.1903, "random_forest": 0.1939, "glm": 0.2005, "lasso": 0.2016}


def plan() -> Plan:
    """One cell; a trial is a published split, the first ones first."""
    columns = {f"published_{name}": error for name, error in PUBLISHED.items()}
    cell = Cell({"rows": 452}, draw, ("no sharing", "auto"), TRIALS, {"auto": columns})
    title = "Adult census: error of the pattern and of the average over patterns on all other rows, free parameters"
    return Plan("census", title, ("error", "error_average", "parameters"), [cell])


def draw(rng: np.random.Generator, trials: int) -> Draws:
    """The first of the published splits; nothing is drawn."""
    with files(__package__).joinpath("adult.npz").open("rb") as file:
        data = dict(np.load(file))
    y, codes, numeric = data["y"].astype(float), data["codes"], data["numeric"]
    names, numbers = data["factor_names"].tolist(), data["numeric_names"].tolist()
    levels = [np.array(own) for own in json.loads(str(data["levels"]))]

    def table(rows: np.ndarray) -> dict[str, np.ndarray]:
        factors = {name: levels[j][codes[rows, j]] for j, name in enumerate(names)}
        return factors | {name: numeric[rows, j] for j, name in enumerate(numbers)}

    problems, tests = [], []
    for train in data["splits"][:trials]:
        problems.append(FactorProblem(table(train), y[train], family="binomial", numeric=numbers))
        seen = [np.isin(codes[:, j], codes[train, j]) for j in range(len(names))]
        tests.append(np.setdiff1d(np.flatnonzero(np.all(seen, axis=0)), train))

    def score(trial: int, answer: Discovery) -> Scores:
        rows = tests[trial]
        new = table(rows)
        wrong = [((answer.predict(new, averaged=own) > 0.5) != y[rows]).mean() for own in (False, True)]
        free = 1 + len(numbers) + sum(own.num_groups - 1 for own in answer.partitions.values())
        return {"error": float(wrong[0]), "error_average": float(wrong[1]), "parameters": float(free)}

    return Draws(problems, [None] * trials, score)
