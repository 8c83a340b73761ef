"""Estimators of scikit-learn; they need the extra ``sklearn``."""

from equishare.sklearn.covariance import SharedCovariance

__all__ = ["SharedCovariance"]
