"""Which variables are interchangeable? Columns of digits that were turned on a drum, and the parts of flowers.

    python examples/turned_digits.py
    python examples/turned_digits.py --samples 60

A sample is one of scikit-learn's handwritten digits, rolled up to a drum of eight columns that is turned by a random
angle; the eight variables are the mean ink of its columns. Any turn is as likely, so turning the drum leaves the
covariance as it is, and so does reading it backwards: the group is D_8, and of 36 variances and covariances five are
left. The four lengths of an iris, with as many samples, have no such group.
"""

from __future__ import annotations

import argparse

import numpy as np

import equishare as es

COLUMNS = 8


def load_columns() -> np.ndarray:
    """Mean ink of the columns of every digit, (1797, 8)."""
    from sklearn.datasets import load_digits

    return load_digits().images.mean(axis=1)


def turned(columns: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """So many digits, each turned by an angle of its own: (count, 8)."""
    chosen = columns[rng.choice(len(columns), count, replace=False)]
    angles = rng.integers(COLUMNS, size=(count, 1))
    return np.take_along_axis(chosen, (np.arange(COLUMNS) + angles) % COLUMNS, axis=1)


def true_covariance(columns: np.ndarray) -> np.ndarray:
    """The covariance of all digits under all turns, (8, 8)."""
    every = np.concatenate([np.roll(columns, angle, axis=1) for angle in range(COLUMNS)])
    return np.cov(every.T)


def main(arguments: list[str] | None = None) -> None:
    """Print the groups, and how far the covariances are from the true one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if not 10 <= options.samples <= 1797:
        parser.error(f"--samples must be 10 to 1797, the number of digits, got {options.samples}")

    from sklearn.datasets import load_iris

    columns = load_columns()
    x = turned(columns, options.samples, np.random.default_rng(options.seed))
    found = es.discover(es.CovarianceProblem(x))
    group = found.symmetry()
    print(f"drum: {found.partition.num_groups} different numbers of {COLUMNS * (COLUMNS + 1) // 2}")
    print(f"drum: {group.explanation}")
    truth = true_covariance(columns)
    for name, own in (("samples alone", np.cov(x.T)), ("tied", found.theta), ("posterior mean", found.posterior_mean)):
        print(f"error of the covariance, {name}: {np.linalg.norm(own - truth) / np.linalg.norm(truth):.3f}")

    flowers = es.discover(es.CovarianceProblem(load_iris(as_frame=True).data))
    print(f"iris: {flowers.symmetry().explanation}")


if __name__ == "__main__":
    main()
