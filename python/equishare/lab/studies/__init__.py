"""The experiments of ``equishare reproduce``: data generators, tables and figures.

Every experiment is a function ``run(trials=None, seed=0, progress=None) -> Experiment``. Some take a part of their
cells, cases or families by keyword.
"""

from __future__ import annotations

from collections.abc import Callable

from equishare.lab.studies import (
    bound,
    calibration,
    clean,
    correlation,
    covariance,
    denoising,
    everyday,
    factors,
    gaussian,
    glm,
    invention,
    level_calibration,
    model_calibration,
    models,
    peers,
    photographs,
    rings,
    sum_of_numbers,
    symmetry,
)
from equishare.lab.studies.result import Experiment

EXPERIMENTS: dict[str, Callable[..., Experiment]] = {
    "gaussian": gaussian.run,
    "sum": sum_of_numbers.run,
    "models": models.run,
    "correlation": correlation.run,
    "denoising": denoising.run,
    "rings": rings.run,
    "photographs": photographs.run,
    "symmetry": symmetry.run,
    "invention": invention.run,
    "clean": clean.run,
    "covariance": covariance.run,
    "bound": bound.run,
    "calibration": calibration.run,
    "model-calibration": model_calibration.run,
    "level-calibration": level_calibration.run,
    "factors": factors.run,
    "glm": glm.run,
    "everyday": everyday.run,
    "peers": peers.run,
}

__all__ = ["EXPERIMENTS"]
