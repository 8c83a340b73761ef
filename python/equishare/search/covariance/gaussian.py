"""A likelihood with one peak, under a normal prior: what the prior costs, and where it draws the peak.

With gradient g and information J at δ = 0 and the prior ``δ ~ N(m, R Rᵀ)``, Laplace's method gives

    log ∫ exp(gᵀδ − ½ δᵀJδ) N(δ; m, R Rᵀ) dδ = gᵀm − ½ mᵀJm − ½ log det K + ½ hᵀK⁻¹h,
    h = Rᵀ(g − J m),   K = I + RᵀJR,

and the mean of δ is ``m + R K⁻¹ h``. R may have fewer columns than rows: then δ − m lies in their span.
"""

from __future__ import annotations

import numpy as np
import scipy


def integrated(
    gradient: np.ndarray, information: np.ndarray, root: np.ndarray, mean: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """log of the integral above, and the mean of δ.

    Args:
        gradient: g (d,).
        information: J (d, d).
        root: R (d, r).
        mean: m (d,); None: zero.
    """
    start = np.zeros(len(gradient)) if mean is None else mean
    moved = information @ start
    right = root.T @ (gradient - moved)
    # The routines of LAPACK themselves: of few variables the checks around them take ten times as long.
    lower, failed = scipy.linalg.lapack.dpotrf(np.eye(root.shape[1]) + root.T @ information @ root, lower=1)
    if failed:
        raise np.linalg.LinAlgError("the information is not positive semidefinite")
    solved = scipy.linalg.lapack.dpotrs(lower, right, lower=1)[0]
    log_det = 2 * np.log(np.diag(lower)).sum()
    value = gradient @ start - 0.5 * start @ moved - 0.5 * log_det + 0.5 * right @ solved
    return float(value), start + root @ solved
