"""scikit-learn estimators: regressions whose equal weights are found and tied, and factors whose levels are merged.

scikit-learn is an extra: ``pip install 'equishare[sklearn]'``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    from equishare.extras import installing

    raise ImportError(f"equishare.sklearn needs scikit-learn: {installing('sklearn')}") from error

from equishare.discover import discover
from equishare.problems.factors import FactorProblem
from equishare.problems.families import Family
from equishare.problems.generalized import GeneralizedLinearProblem
from equishare.problems.levels import codes_in, columns_of, named_levels
from equishare.problems.linear import LinearProblem
from equishare.result.discovery import Discovery

__all__ = ["LevelMerger", "SharedLinearRegression", "SharedLogisticRegression", "SharedPoissonRegressor"]


class _Shared(BaseEstimator):
    """What the regressions have in common."""

    def __init__(
        self, *, method: str = "auto", fit_intercept: bool = True, averaged: bool = False, random_state: int = 0
    ) -> None:
        self.method = method
        self.fit_intercept = fit_intercept
        self.averaged = averaged
        self.random_state = random_state

    def _discovered(self, x: np.ndarray, y: np.ndarray, family: str) -> None:
        """Fit y (n, O) on x; columns that do not vary get the weight 0."""
        seed = 0 if self.random_state is None else int(self.random_state)
        varies = np.ptp(x, axis=0) > 1e-12 * np.abs(x).max(0) if len(x) > 1 else np.zeros(x.shape[1], bool)
        outputs = y.shape[1]
        self.discovery_: Discovery | None = None
        weight, bias = np.zeros((outputs, x.shape[1])), np.zeros(outputs)
        self.labels_ = np.zeros((outputs, x.shape[1]), int)
        if varies.any() and np.ptp(y, axis=0).any():
            kept = x[:, varies]
            options: dict[str, Any] = {"bias": bool(self.fit_intercept), "seed": seed}
            if family == "gaussian":
                problem: Any = _named(LinearProblem(kept, y, **options), self, varies)
                try:
                    found = discover(problem, self.method, seed=seed)
                except ValueError:
                    if self.method != "auto":
                        raise
                    # Samples that do not determine the weights: the fit of least norm.
                    found = discover(problem, "no_sharing", seed=seed)
            else:
                problem = _named(GeneralizedLinearProblem(kept, y, family=family, **options), self, varies)
                found = discover(problem, self.method, seed=seed)
            self.discovery_ = found
            weight[:, varies] = found.posterior_mean if self.averaged else found.theta
            bias = np.zeros(outputs) if found.bias is None else np.asarray(found.bias)
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
        random_state: seed.

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
        random_state: seed.

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
        self._discovered(X, Family("poisson").checked(y), "poisson")
        self.coef_, self.intercept_ = self._weight[0], float(self._bias[0])
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Expected counts (n,)."""
        return Family("poisson").mean(self._eta(X)[:, 0])

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
        random_state: seed.

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


class LevelMerger(TransformerMixin, BaseEstimator):
    """Merges the levels of factors that have the same effect on y, so that any model can follow in a pipeline.

    Each column of the input is a factor; see :class:`equishare.FactorProblem`. The output has the number of the group
    of each level; levels that were never seen are −1. One-hot coding of the output has as many columns as there are
    groups.

    Args:
        family: ``gaussian``, ``binomial`` (two classes) or ``poisson``.
        method: of :func:`equishare.discover`.
        drop: leave out factors whose levels are all tied.
        random_state: seed.

    Attributes:
        groups_: for each column the group of each level by name.
        discovery_: the :class:`equishare.Discovery`; None where nothing varies.
        n_features_in_: number of columns.
        feature_names_in_: names of the columns, where they have some.
    """

    def __init__(
        self, *, family: str = "gaussian", method: str = "auto", drop: bool = False, random_state: int = 0
    ) -> None:
        self.family = family
        self.method = method
        self.drop = drop
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> LevelMerger:  # noqa: N803
        """Find which levels have the same effect on y."""
        table = self._columns(X, reset=True, y=y)
        target = np.asarray(y)
        target = target[:, 0] if target.ndim == 2 and target.shape[1] == 1 else target
        if self.family == "binomial":
            classes, target = np.unique(target, return_inverse=True)
            if len(classes) > 2:
                raise ValueError(f"y must have two classes for family 'binomial', got {len(classes)}")
        seed = 0 if self.random_state is None else int(self.random_state)
        levels: dict[str, Any] = {}
        self.discovery_: Discovery | None = None
        try:
            problem = FactorProblem(table, target.astype(float), family=self.family, seed=seed)
            self.discovery_ = found = discover(problem, self.method, seed=seed)
            names = found.levels
            levels = {
                name: dict(zip(names[name], own.labels.tolist(), strict=True)) for name, own in found.partitions.items()
            }
        except ValueError as error:
            if "must vary" not in str(error) and "two levels" not in str(error):
                raise
            levels = {name: dict.fromkeys(named_levels(column)[0], 0) for name, column in table.items()}
        self.groups_ = levels
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """(n, J) group of each entry; −1 for levels that were never seen."""
        check_is_fitted(self)
        table = self._columns(X, reset=False)
        found = []
        for (name, column), kept in zip(table.items(), self._kept(), strict=True):
            if kept:
                own = self.groups_[name]
                labels = np.array([*own.values(), -1])
                found.append(labels[codes_in(list(own), column)])
        return np.stack(found, 1) if found else np.empty((len(next(iter(table.values()))), 0), int)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the output's columns: those of the input that are kept."""
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            names = [f"x{i}" for i in range(self.n_features_in_)] if input_features is None else input_features
        names = np.asarray(names, dtype=object)
        if len(names) != self.n_features_in_:
            raise ValueError(f"input_features should have length equal to number of features ({self.n_features_in_})")
        return names[np.array(self._kept())]

    def _kept(self) -> list[bool]:
        return [not self.drop or len(set(own.values())) > 1 for own in self.groups_.values()]

    def _columns(self, X: Any, reset: bool, y: Any = None) -> dict[str, Any]:  # noqa: N803
        options: dict[str, Any] = {"dtype": None, "ensure_all_finite": "allow-nan", "reset": reset}
        if reset:
            if y is None:
                raise ValueError("This LevelMerger estimator requires y to be passed, but the target y is None.")
            checked, _ = validate_data(self, X, y, ensure_min_samples=2, multi_output=True, **options)
        else:
            checked = validate_data(self, X, **options)
        named = columns_of(X) if hasattr(X, "columns") else columns_of(np.asarray(checked))
        return {name: _whole(column) for name, column in named.items()}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _whole(column: Any) -> Any:
    """Numbers with fractions as text: each is a category here."""
    array = np.asarray(column)
    if array.dtype.kind == "f" and (array[np.isfinite(array)] % 1).any():
        return np.array([None if one != one else repr(float(one)) for one in array.tolist()], dtype=object)
    return column
