"""SharedCovariance among the estimators of scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from equishare.sklearn import SharedCovariance

COVARIANCE = 0.3 + 0.4 * np.kron(np.eye(3), np.ones((3, 3))) + 0.3 * np.eye(9)


def drawn(count, seed=0):
    return np.random.default_rng(seed).multivariate_normal(np.arange(9), COVARIANCE, size=count)


@pytest.mark.slow
def test_check_estimator():
    check_estimator(SharedCovariance(), on_skip=None)


def test_it_is_nearer_to_the_truth():
    x = drawn(100)
    own = SharedCovariance().fit(x)
    for other in (EmpiricalCovariance(), LedoitWolf()):
        assert own.error_norm(COVARIANCE) < other.fit(x).error_norm(COVARIANCE)
    assert own.discovery_.symmetry().order == 1296
    assert own.labels_.shape == (9, 9)
    assert np.allclose(own.covariance_ @ own.precision_, np.eye(9))
    assert np.allclose(own.location_, x.mean(0))
    assert own.mahalanobis(x).shape == (100,)


def test_scores_on_other_samples():
    x = drawn(40)
    own, empirical = (cross_val_score(one, x, cv=3).mean() for one in (SharedCovariance(), EmpiricalCovariance()))
    assert own > empirical


def test_tied_and_means_that_are_known():
    x = drawn(60) - np.arange(9)
    own = SharedCovariance(tied=True, assume_centered=True, store_precision=False).fit(x)
    assert np.array_equal(own.covariance_, own.discovery_.theta)
    assert own.precision_ is None
    assert not own.location_.any()


def test_a_seed_may_be_left_out():
    x = drawn(30)[:, :4]
    assert np.array_equal(SharedCovariance(random_state=None).fit(x).covariance_, SharedCovariance().fit(x).covariance_)


def test_names_of_a_data_frame():
    names = [f"v{i}" for i in range(9)]
    own = SharedCovariance().fit(pd.DataFrame(drawn(30), columns=names))
    assert own.feature_names_in_.tolist() == list(own.discovery_.names[0]) == names


@pytest.mark.slow
def test_search_over_parameters_and_clones():
    search = GridSearchCV(SharedCovariance(), {"tied": [False, True]}, cv=2).fit(drawn(40))
    assert search.best_estimator_.covariance_.shape == (9, 9)
    copied = clone(SharedCovariance(tied=True, random_state=3))
    assert (copied.tied, copied.random_state) == (True, 3)
    assert "SharedCovariance" in search.best_estimator_._repr_html_()
