"""A covariance whose equal entries are found, as an estimator of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.covariance import EmpiricalCovariance
from sklearn.utils.validation import validate_data

from equishare.discover import discover
from equishare.problems import CovarianceProblem


class SharedCovariance(EmpiricalCovariance):
    """The covariance of samples whose variables may be interchangeable.

    ``discover(CovarianceProblem(X))`` looks for a group of permutations of the variables that leaves the covariance as
    it is, and for other ties. ``covariance_`` is the mean of the covariance given the data, averaged over these
    patterns: it is shrunk toward them as far as the evidence goes, and has an inverse with fewer samples than variables
    too. Everything else is as in ``sklearn.covariance``: ``score``, ``error_norm``, ``mahalanobis``, ``get_precision``.

    Args:
        tied: ``covariance_`` is the estimate whose tied entries are equal, ``discovery_.theta``, in place of the mean.
            It may have no inverse.
        store_precision: whether ``precision_`` is kept.
        assume_centered: whether means are known to be zero.
        random_state: seed of the split into samples that fit and samples that validate; None: 0.

    Attributes:
        covariance_: (p, p).
        precision_: (p, p) its inverse.
        location_: (p,) means.
        labels_: (p, p) group of each entry.
        discovery_: the :class:`equishare.Discovery`, with ``symmetry()``, ``report(path)`` and all else.
        n_features_in_, feature_names_in_: as in all estimators.
    """

    def __init__(
        self,
        *,
        tied: bool = False,
        store_precision: bool = True,
        assume_centered: bool = False,
        random_state: int | None = 0,
    ) -> None:
        super().__init__(store_precision=store_precision, assume_centered=assume_centered)
        self.tied = tied
        self.random_state = random_state

    def fit(self, X: Any, y: None = None) -> SharedCovariance:
        """Find the pattern and the covariance.

        Args:
            X: (n, p) samples, of at least three rows and two columns; a data frame's names go into ``discovery_``.
            y: ignored.

        Raises:
            ValueError: as :class:`equishare.CovarianceProblem`.
        """
        named = X
        X = validate_data(
            self,
            X,
            dtype=[np.float64, np.float32],
            ensure_min_samples=3 - bool(self.assume_centered),
            ensure_min_features=2,
        )
        data = named if hasattr(named, "columns") and hasattr(self, "feature_names_in_") else X
        seed = 0 if self.random_state is None else int(self.random_state)
        problem = CovarianceProblem(data, center=not self.assume_centered, seed=seed)
        self.discovery_ = discover(problem, seed=seed)
        self.labels_ = self.discovery_.partition.labels
        self.location_ = np.zeros(X.shape[1]) if self.assume_centered else X.mean(0)
        self._set_covariance(self.discovery_.theta if self.tied else self.discovery_.posterior_mean)
        return self
