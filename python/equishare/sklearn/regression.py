"""Regressions of scikit-learn whose equal weights are found and tied."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from equishare.discover import discover
from equishare.problems.families import Family
from equishare.problems.generalized import GeneralizedLinearProblem
from equishare.problems.least_squares import Undetermined
from equishare.problems.linear import LinearProblem
from equishare.result.discovery import Discovery
from equishare.sklearn.seeds import seed_of

__all__ = ["SharedLinearRegression", "SharedLogisticRegression", "SharedPoissonRegressor"]


class _Shared(BaseEstimator):
    """What the regressions have in common."""

    def __init__(
        self, *, method: str = "auto", fit_intercept: bool = True, averaged: bool = False, random_state: Any = 0
    ) -> None:
        self.method = method
        self.fit_intercept = fit_intercept
        self.averaged = averaged
        self.random_state = random_state

    def _discovered(self, x: np.ndarray, y: np.ndarray, family: str) -> None:
        """Fit y (n, O) on x; columns that tell nothing get the weight 0."""
        seed = seed_of(self.random_state)
        # Without an intercept a constant tells something: a column of ones is the user's own intercept.
        about = (lambda one: np.ptp(one, axis=0)) if self.fit_intercept else (lambda one: np.abs(one).max(0))
        varies = about(x) > 1e-12 * np.abs(x).max(0)
        outputs = y.shape[1]
        self.discovery_: Discovery | None = None
        weight, bias = np.zeros((outputs, x.shape[1])), np.zeros(outputs)
        self.labels_ = np.zeros((outputs, x.shape[1]), int)
        if varies.any() and about(y).any():
            kept = x[:, varies]
            options: dict[str, Any] = {"bias": bool(self.fit_intercept), "seed": seed}
            if family == "gaussian":
                problem: Any = _named(LinearProblem(kept, y, **options), self, varies)
                try:
                    found = discover(problem, self.method, seed=seed, resamples=0)
                except Undetermined:
                    if self.method != "auto":
                        raise
                    # The fit of least norm.
                    found = discover(problem, "no_sharing", seed=seed)
            else:
                options["weights"] = np.ones(len(y))  # with which counts may be rates
                problem = _named(GeneralizedLinearProblem(kept, y, family=family, **options), self, varies)
                found = discover(problem, self.method, seed=seed, resamples=0)
            self.discovery_ = found
            weight[:, varies] = found.posterior_mean if self.averaged else found.theta
            own = found.posterior_bias if self.averaged else found.bias
            bias = np.zeros(outputs) if own is None else np.asarray(own)
            self.labels_[:, varies] = found.partition.labels
            self.labels_[:, ~varies] = found.partition.num_groups
        elif self.fit_intercept:
            bias = np.array([_constant(Family(family), float(own.mean())) for own in y.T])
        self._weight, self._bias = weight, bias
        self.n_groups_ = int(self.labels_.max()) + 1

    def _eta(self, x: Any) -> np.ndarray:
        check_is_fitted(self)
        x = validate_data(self, x, reset=False, dtype=[np.float64, np.float32])
        return np.asarray(x @ self._weight.T + self._bias)


def _named(problem: Any, estimator: _Shared, kept: np.ndarray) -> Any:
    """A problem whose inputs have the names that the estimator was given."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        slot = problem.slots[0]
        problem.slots = (replace(slot, labels=((), tuple(map(str, names[kept])))),)
    return problem


def _constant(family: Family, mean: float) -> float:
    if family.is_gaussian:
        return mean
    return family.start(float(np.clip(mean, 1e-9, 1 - 1e-9 if family.name == "binomial" else np.inf)))


class SharedLinearRegression(RegressorMixin, _Shared):
    """Least squares ``y = W x + b`` whose equal weights are found and tied; see :class:`equishare.LinearProblem`.

    Args:
        method: of :func:`equishare.discover`.
        fit_intercept: whether to fit b.
        averaged: predict with the weights averaged over patterns instead of those of the one pattern.
        random_state: seed of all that is drawn: an integer, None (0), or a generator of numpy.

    Attributes:
        coef_: (I,) weights, or (O, I) for several outputs.
        intercept_: b.
        labels_: (O, I) group of each weight.
        n_groups_: number of groups.
        discovery_: the :class:`equishare.Discovery`; None where nothing varies.
        n_features_in_: I.
        feature_names_in_: names of the columns, where they have some.
    """

    def fit(self, X: Any, y: Any) -> SharedLinearRegression:  # noqa: N803
        """Find which weights are equal, and fit their values."""
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, dtype=np.float64, ensure_min_samples=2)  # noqa: N806
        y = np.asarray(y, float)
        self._discovered(X, y[:, None] if y.ndim == 1 else y, "gaussian")
        self.coef_ = self._weight[0] if y.ndim == 1 else self._weight
        self.intercept_ = float(self._bias[0]) if y.ndim == 1 else self._bias
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Outputs (n,), or (n, O)."""
        eta = self._eta(X)
        return eta[:, 0] if np.ndim(self.intercept_) == 0 else eta

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class SharedPoissonRegressor(RegressorMixin, _Shared):
    """Poisson regression with the log link whose equal weights are found and tied.

    See :class:`equishare.GeneralizedLinearProblem`. Outcomes are counts, or other numbers that
    are not negative.

    Args:
        method: of :func:`equishare.discover`.
        fit_intercept: whether to fit b.
        averaged: predict with the weights averaged over patterns instead of those of the one pattern.
        random_state: seed of all that is drawn: an integer, None (0), or a generator of numpy.

    Attributes:
        coef_: (I,) weights.
        intercept_: b.
        labels_: (1, I) group of each weight.
        n_groups_: number of groups.
        discovery_: the :class:`equishare.Discovery`; None where nothing varies.
        n_features_in_: I.
        feature_names_in_: names of the columns, where they have some.
    """

    def fit(self, X: Any, y: Any) -> SharedPoissonRegressor:  # noqa: N803
        """Find which weights are equal, and fit their values."""
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64, ensure_min_samples=2)  # noqa: N806
        y = np.asarray(y, float)
        family = Family("poisson")
        counts = family.checked(y, rates=True)
        if not self.fit_intercept:  # which of no events at all is told, if nothing else
            family.check_varies(counts, np.zeros(counts.shape), bias=False)
        self._discovered(X, counts, "poisson")
        self.coef_, self.intercept_ = self._weight[0], float(self._bias[0])
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Expected counts (n,)."""
        return Family("poisson").expected(self._eta(X)[:, 0])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags


class SharedLogisticRegression(ClassifierMixin, _Shared):
    """Logistic regression of two classes whose equal weights are found and tied.

    See :class:`equishare.GeneralizedLinearProblem`.

    Args:
        method: of :func:`equishare.discover`.
        fit_intercept: whether to fit b.
        averaged: predict with the weights averaged over patterns instead of those of the one pattern.
        random_state: seed of all that is drawn: an integer, None (0), or a generator of numpy.

    Attributes:
        classes_: the two classes.
        coef_: (1, I) weights of the log odds of the second class.
        intercept_: (1,) b.
        labels_: (1, I) group of each weight.
        n_groups_: number of groups.
        discovery_: the :class:`equishare.Discovery`; None where nothing varies.
        n_features_in_: I.
        feature_names_in_: names of the columns, where they have some.
    """

    def fit(self, X: Any, y: Any) -> SharedLogisticRegression:  # noqa: N803
        """Find which weights are equal, and fit their values."""
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)  # noqa: N806
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) > 2:
            raise ValueError(
                f"Only binary classification is supported. The type of the target is multiclass: {len(self.classes_)} "
                "classes"
            )
        if len(self.classes_) < 2:
            raise ValueError("Classifier can't train when only one class is present.")
        self._discovered(X, codes[:, None].astype(float), "binomial")
        self.coef_, self.intercept_ = self._weight, self._bias
        return self

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """Log odds (n,) of the second class."""
        return self._eta(X)[:, 0]

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """(n, 2) probabilities of the classes."""
        p = Family("binomial").mean(self.decision_function(X))
        return np.stack([1 - p, p], 1)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The more probable class (n,)."""
        second = (self.decision_function(X) > 0).astype(int)
        return np.asarray(self.classes_[second])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
