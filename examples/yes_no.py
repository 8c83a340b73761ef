"""Is a tumour malignant? Which measurements weigh alike? A question of yes or no.

    python examples/yes_no.py
    python examples/yes_no.py --report yes_no.html

scikit-learn's 569 biopsies with thirty measurements of cell nuclei, in units of their spread. Many measure nearly the
same, so that thirty free weights of a logistic regression mean little. Weights that are tied are few, and can be read.
"""

# %%
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import equishare as es
from equishare.sklearn import SharedLogisticRegression


# %% 1 is malignant.
def find(train_size: int = 200, seed: int = 0) -> tuple[SharedLogisticRegression, dict[str, float]]:
    """The estimator, and mean log losses on the biopsies it has not seen."""
    data = load_breast_cancer(as_frame=True)
    x, x_test, y, y_test = train_test_split(
        data.data, 1 - data.target, train_size=train_size, random_state=seed, stratify=data.target
    )
    scale = StandardScaler().set_output(transform="pandas").fit(x)
    shared = SharedLogisticRegression(random_state=seed).fit(scale.transform(x), y)
    averaged = SharedLogisticRegression(averaged=True, random_state=seed).fit(scale.transform(x), y)
    free = SharedLogisticRegression(method="no_sharing", random_state=seed).fit(scale.transform(x), y)
    x_test = scale.transform(x_test)
    losses = {
        "thirty free weights": log_loss(y_test, free.predict_proba(x_test)),
        "weights as found": log_loss(y_test, shared.predict_proba(x_test)),
        "averaged over patterns": log_loss(y_test, averaged.predict_proba(x_test)),
    }
    return shared, losses


# %%
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", type=Path, help="write the report here, ending in .html")
    parser.add_argument("--train", type=int, default=200, help="biopsies to fit, at least 60")
    given = parser.parse_args()
    if not 60 <= given.train <= 500:
        parser.error(f"train must be 60 to 500, got {given.train}")
    shared, losses = find(given.train)
    found = shared.discovery_
    assert isinstance(found, es.Discovery)
    print(f"{shared.n_features_in_} weights in {shared.n_groups_} groups")
    for group in range(shared.n_groups_):
        own = shared.labels_[0] == group
        names = ", ".join(shared.feature_names_in_[own])
        print(f"{shared.coef_[0, np.flatnonzero(own)[0]]:+.2f}: {names}")
    print()
    for name, loss in losses.items():
        print(f"{name}: log loss {loss:.3f}")
    if given.report is not None:
        found.report(given.report)


if __name__ == "__main__":
    main()
