"""A transformer of scikit-learn that merges the levels of factors."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from equishare.discover import discover
from equishare.problems.factors import FactorProblem
from equishare.problems.levels import codes_in, columns_of, named_levels
from equishare.result.discovery import Discovery
from equishare.sklearn.seeds import seed_of

__all__ = ["LevelMerger"]


class LevelMerger(TransformerMixin, BaseEstimator):
    """Merges the levels of factors that have the same effect on y, so that any model can follow in a pipeline.

    Each column of the input is a factor; see :class:`equishare.FactorProblem`. The output has the number of the group
    of each level; levels that were never seen are −1. One-hot coding of the output has as many columns as there are
    groups.

    Args:
        family: ``gaussian``, ``binomial`` (two classes) or ``poisson``.
        method: of :func:`equishare.discover`.
        drop: leave out factors whose levels are all tied.
        random_state: seed of all that is drawn: an integer, None (0), or a generator of numpy.

    Attributes:
        groups_: for each column the group of each level by name.
        discovery_: the :class:`equishare.Discovery`; None where nothing varies.
        n_features_in_: number of columns.
        feature_names_in_: names of the columns, where they have some.
    """

    def __init__(
        self, *, family: str = "gaussian", method: str = "auto", drop: bool = False, random_state: Any = 0
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
        try:
            target = target.astype(float)
        except (TypeError, ValueError):
            raise ValueError(
                f"y must hold numbers for family {self.family!r}, got {str(target[0])!r}: family='binomial' takes two "
                "classes by name"
            ) from None
        seed = seed_of(self.random_state)
        self.discovery_: Discovery | None = None
        self.groups_ = {name: dict.fromkeys(named_levels(column)[0], 0) for name, column in table.items()}
        # Nothing can be told of an outcome that does not vary, nor of one level.
        if np.ptp(target) != 0 and max(map(len, self.groups_.values())) > 1:
            problem = FactorProblem(table, target, family=self.family, seed=seed)
            self.discovery_ = found = discover(problem, self.method, seed=seed)
            names = found.levels
            self.groups_ = {
                name: dict(zip(names[name], own.labels.tolist(), strict=True)) for name, own in found.partitions.items()
            }
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
        # Of columns of several extension types pandas and scikit-learn find no common one.
        given, X = X, X.astype(object) if type(X).__module__.partition(".")[0] == "pandas" else X  # noqa: N806
        if reset:
            if y is None:
                raise ValueError("This LevelMerger estimator requires y to be passed, but the target y is None.")
            checked, _ = validate_data(self, X, y, ensure_min_samples=2, multi_output=True, **options)
        else:
            checked = validate_data(self, X, **options)
        named = columns_of(given) if hasattr(given, "columns") else columns_of(np.asarray(checked))
        return {name: _named(column) for name, column in named.items()}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _named(column: Any) -> Any:
    """Numbers as text, one by one, so that a value has one name whatever the rest of the column is."""
    array = np.asarray(column)
    if array.dtype.kind != "f" and not (array.dtype == object and any(isinstance(one, float) for one in array)):
        return column
    return np.array([_text(one) for one in array.tolist()], dtype=object)


def _text(value: Any) -> Any:
    if not isinstance(value, float) or value != value:
        return None if isinstance(value, float) else value
    return str(int(value)) if value.is_integer() else repr(value)
