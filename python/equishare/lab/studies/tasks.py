"""Many tasks with one symmetry: translation-equivariant maps, each with a filter of its own and few samples.

A task is y = W x + noise with W (O, I) the cross-correlation with a filter drawn from N(0, 1), O = I − kernel + 1, and
x ~ N(0, 1). A pattern is found on some tasks. It is then fitted on the samples of tasks not seen before, and scored by
the mean squared error against noiseless outputs, and by the partition distance PD to the true pattern, in which the
zero entries are one more group.

Source: Zhou, Knowles, Finn 2021, Meta-learning symmetries by reparameterization: 70 inputs, 68 outputs, a filter of 3,
20 samples a task, rank 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from equishare.discover import MethodName, discover
from equishare.lab.studies.cells import number_of_trials
from equishare.lab.studies.result import Table, mean_and_interval
from equishare.partition import Partition, partition_distance
from equishare.problems import LinearProblem
from equishare.problems.network.problem import ModelProblem
from equishare.sharing import share

NOISE = 0.1
NEW_TASKS = 20
#: Rates and steps of the searches on networks.
FITS: dict[str, dict[str, Any]] = {"auto": {"lr": 3e-2, "steps": 300}, "bilevel": {"lr": 3e-2, "steps": 200}}
# The most groups that are looked for.
_COLUMNS = 32


@dataclass(frozen=True)
class Size:
    """One row of settings: I inputs, a filter of length kernel, so many tasks, samples of each, and trials."""

    inputs: int
    kernel: int
    tasks: int
    samples: int
    trials: int = 1


#: Sizes of the table. Of the large one a trial takes minutes.
SIZES = (Size(10, 3, 32, 20, trials=3), Size(70, 3, 64, 20))


@dataclass(frozen=True)
class Draw:
    """Tasks to learn from, and new ones; x (T, n, I), y (T, n, O), weights (T, O, I)."""

    x: np.ndarray
    y: np.ndarray
    new_x: np.ndarray
    new_y: np.ndarray
    new_weights: np.ndarray
    truth: Partition

    @property
    def shape(self) -> tuple[int, int]:
        """(O, I)."""
        return self.new_weights.shape[1:]

    def problems(self) -> list[LinearProblem]:
        """Each task as a linear problem; half of its samples validate."""
        half = self.x.shape[1] // 2
        return [
            LinearProblem(x[:half], y[:half], x_val=x[half:], y_val=y[half:], bias=False)
            for x, y in zip(self.x, self.y, strict=True)
        ]


def draw(rng: np.random.Generator, size: Size) -> Draw:
    """Draw the tasks of one trial."""
    outputs = size.inputs - size.kernel + 1
    o = np.arange(outputs)
    labels = np.zeros((outputs, size.inputs), np.int64)
    for j in range(size.kernel):
        labels[o, o + j] = j + 1

    def some(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        values = np.concatenate([np.zeros((count, 1)), rng.standard_normal((count, size.kernel))], axis=1)
        weights = values[:, labels]
        x = rng.standard_normal((count, size.samples, size.inputs))
        noise = NOISE * rng.standard_normal((count, size.samples, outputs))
        return x, x @ weights.transpose(0, 2, 1) + noise, weights

    (x, y, _), (new_x, new_y, new_weights) = some(size.tasks), some(NEW_TASKS)
    return Draw(x, y, new_x, new_y, new_weights, Partition(labels))


class Maps(nn.Module):
    """Linear maps of all tasks at once: x (n, T, I) → y (n, T, O), from one weight (O I, T)."""

    def __init__(self, tasks: int, outputs: int, inputs: int) -> None:
        super().__init__()
        self.shape = outputs, inputs, tasks
        self.weight = nn.Parameter(torch.zeros(outputs * inputs, tasks))
        nn.init.normal_(self.weight, std=inputs**-0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs of all tasks."""
        return torch.einsum("nti,oit->nto", x, self.weight.view(self.shape))


def by_slices(drawn: Draw, seed: int, method: MethodName = "auto") -> np.ndarray:
    """The pattern of a search on networks where the values that an entry has in all tasks are one slice."""
    outputs, inputs = drawn.shape
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Maps(len(drawn.x), outputs, inputs)
        share(model, "weight", num_groups=min(_COLUMNS, len(model.weight)), dim=0)
    x, y = (torch.from_numpy(one).float().transpose(0, 1).contiguous() for one in (drawn.x, drawn.y))
    half = len(x) // 2
    problem = ModelProblem(model, (x[:half], y[:half]), (x[half:], y[half:]), nn.functional.mse_loss)
    options = FITS[method]
    return discover(problem, method, seed=seed, **options).partitions["weight"].labels


def _of_first(method: str) -> Callable[[Draw, int], np.ndarray]:
    return lambda drawn, seed: discover(drawn.problems()[0], method, seed=seed, resamples=0).partition.labels


#: How each row of the table comes to its pattern, from a draw and a seed.
METHODS: dict[str, Callable[[Draw, int], np.ndarray]] = {
    "no sharing": lambda drawn, seed: np.arange(drawn.truth.labels.size),
    "oracle": lambda drawn, seed: drawn.truth.labels,
    "weight sharing, one task": _of_first("weight_sharing"),
    "SLOPE, one task": _of_first("slope"),
    "MSR, all tasks": lambda drawn, seed: discover(drawn.problems(), "msr", seed=seed)[0].partition.labels,
    "bilevel, all tasks": partial(by_slices, method="bilevel"),
    "auto, all tasks": by_slices,
}


def table(trials: int | None, seed: int, tick: Callable[[], None], sizes: tuple[Size, ...] = SIZES) -> Table:
    """All methods on all sizes; ``trials`` lowers their numbers of trials."""
    rows = []
    for i, size in enumerate(sizes):
        count = number_of_trials(trials, size.trials)
        draws = [draw(np.random.default_rng([seed, i, trial]), size) for trial in range(count)]
        for method, find in METHODS.items():
            start = time.perf_counter()
            found = [find(drawn, seed).reshape(drawn.shape) for drawn in draws]
            seconds = (time.perf_counter() - start) / count
            scores = {
                "pd": [float(partition_distance(p, d.truth.labels)) for p, d in zip(found, draws, strict=True)],
                "test_error": [test_error(p, d) for p, d in zip(found, draws, strict=True)],
            }
            row = {"I": size.inputs, "tasks": size.tasks, "samples": size.samples, "method": method}
            for name, values in scores.items():
                row[name], row[f"{name}_ci"] = mean_and_interval(values)
            rows.append({**row, "trials": count, "seconds": seconds})
            tick()
    title = "Cross-correlation with a filter of 3, many tasks: the pattern, and the error on tasks not seen before"
    return Table("tasks", title, ("I", "tasks", "samples"), ("pd", "test_error"), (), rows)


def test_error(labels: np.ndarray, drawn: Draw) -> float:
    """Mean squared error per output on noiseless outputs of new tasks; their samples fit the values of groups."""
    errors = []
    for x, y, weight in zip(drawn.new_x, drawn.new_y, drawn.new_weights, strict=True):
        half = len(x) // 2
        problem = LinearProblem(x[:half], y[:half], x_val=x[half:], y_val=y[half:], bias=False)
        (values,) = problem.refit((labels,)).values.values()
        errors.append(np.sum((values[labels] - weight) ** 2) / len(weight))
    return float(np.mean(errors))
