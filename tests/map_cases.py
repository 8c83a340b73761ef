"""Linear maps with noise."""

import numpy as np

import equishare as es


def map_problem(weight: np.ndarray, samples: int, rng: np.random.Generator, noise: float = 1.0) -> es.LinearProblem:
    """y = W x + noise with white inputs; half of the samples fit, half validate."""
    x = rng.standard_normal((samples, weight.shape[1]))
    y = x @ weight.T + noise * rng.standard_normal((samples, weight.shape[0]))
    half = samples // 2
    return es.LinearProblem(x[:half], y[:half], x_val=x[half:], y_val=y[half:])
