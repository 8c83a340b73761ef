"""Cross-correlation: a linear map with a shift structure.

y[o] = Σ_j x[o + j] g[j] + noise with the kernel g = 1, 3, 5, … and the valid boundary, so W is
(O, I) with O = I − kernel + 1 and W[o, o + j] = g[j]; the zero entries are one more group.
x ~ N(0, 1), noise N(0, 0.1): 0.1 is the variance. Scored by the partition distance PD and by the
test error, the mean squared error per output against 10,000 noiseless outputs.

Source: Yeh, Hu, Hasegawa-Johnson, Schwing, "Equivariance Discovery by Learned
Parameter-Sharing", AISTATS 2022, which states PD = 0 for I = 3 and 5 without a table.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from equishare.lab.studies.cells import Cell, Draws, Plan, Scores, experiment
from equishare.partition import Partition, partition_distance
from equishare.problems import LinearProblem
from equishare.result.discovery import Discovery

TRIALS = 20
NUM_VAL = 100
NUM_TEST = 10_000
NOISE_VARIANCE = 0.1
METHODS = ("no sharing", "oracle", "gap", "merge", "bilevel", "sinkhorn", "auto")
# Sinkhorn's blocks of 32 by 32 take minutes.
METHODS_LARGE = tuple(method for method in METHODS if method != "sinkhorn")
METHODS_WIDE = ("no sharing", "oracle", "gap", "auto")
#: (I, kernel, training samples, methods, PD printed in the paper)
CELLS = (
    (3, 2, 50, METHODS, 0.0),
    (5, 3, 50, METHODS, 0.0),
    (7, 3, 50, METHODS, None),
    (10, 3, 50, METHODS, None),
    (10, 3, 20, METHODS, None),
    (32, 5, 50, METHODS_LARGE, None),
    (64, 5, 50, METHODS_WIDE, None),
)


def plans() -> list[Plan]:
    """The one table."""
    cells = [
        Cell(
            {"I": inputs, "kernel": kernel, "train": train},
            partial(draw, inputs=inputs, kernel=kernel, train=train),
            methods,
            TRIALS,
            {} if printed is None else {"bilevel": {"paper_pd": printed}},
        )
        for inputs, kernel, train, methods, printed in CELLS
    ]
    title = "Cross-correlation y[o] = Σ_j x[o + j] g[j], 100 validation samples"
    return [Plan("correlation", title, ("pd", "test_error"), cells)]


run = experiment("correlation", plans)


def correlation_matrix(inputs: int, kernel: int) -> np.ndarray:
    """Return W (O, I) with W[o, o + j] = 1 + 2 j for j < ``kernel``, zero elsewhere."""
    outputs = inputs - kernel + 1
    weight = np.zeros((outputs, inputs))
    for j in range(kernel):
        weight[np.arange(outputs), np.arange(outputs) + j] = 1 + 2 * j
    return weight


def draw(rng: np.random.Generator, trials: int, *, inputs: int, kernel: int, train: int) -> Draws:
    """Draw the trials of one cell; each has its own training, validation and test samples."""
    weight = correlation_matrix(inputs, kernel)
    truth = Partition(weight.astype(np.int64))
    problems, tests = [], []
    for _ in range(trials):
        x = rng.standard_normal((train + NUM_VAL, inputs))
        noise = np.sqrt(NOISE_VARIANCE) * rng.standard_normal((len(x), len(weight)))
        y = x @ weight.T + noise
        problems.append(LinearProblem(x[:train], y[:train], x_val=x[train:], y_val=y[train:]))
        tests.append(rng.standard_normal((NUM_TEST, inputs)))

    def score(trial: int, answer: Discovery) -> Scores:
        residual = tests[trial] @ (answer.theta - weight).T + answer.bias
        return {
            "pd": float(partition_distance(answer.partition, truth)),
            "test_error": float(np.mean(residual**2)),
        }

    return Draws(problems, [truth] * trials, score)
