"""Estimators of scikit-learn; they need ``pip install 'equishare[sklearn]'``."""

try:
    from equishare.sklearn.covariance import SharedCovariance
    from equishare.sklearn.levels import LevelMerger
    from equishare.sklearn.regression import SharedLinearRegression, SharedLogisticRegression, SharedPoissonRegressor
except ImportError as error:
    from equishare.extras import installing

    raise ImportError(f"equishare.sklearn needs scikit-learn 1.6 or later ({error}): {installing('sklearn')}") from None

__all__ = [
    "LevelMerger",
    "SharedCovariance",
    "SharedLinearRegression",
    "SharedLogisticRegression",
    "SharedPoissonRegressor",
]
