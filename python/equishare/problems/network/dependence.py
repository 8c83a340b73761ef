"""Whether what a network predicts depends on its inputs: a permutation test on held-out samples."""

from __future__ import annotations

import math
from typing import Any

import scipy
import torch

from equishare.problems.network.fit import Start
from equishare.problems.network.replicas import Replicas, taken

# Of so many losses one may be the least by chance; what is less is told by their normal tail.
_PERMUTATIONS = 999
# Of so many held-out samples at most; more would say the same.
_SAMPLES = 1024


def dependence(replicas: Replicas, problem: Any, fitted: Start, candidates: int) -> float:
    """p-value of the test that the labels of the validation samples do not depend on their inputs.

    Labels are given to other samples at random. Where they do not depend on the inputs, the loss of a network that has
    not seen them is as likely to be the least among the losses with M such permutations as any other (Fisher 1935):
    ``p = (1 + number of losses not above its own) / (M + 1)``; where its own is the least, p is the tail of the normal
    distribution with their mean and variance, if that is less. The network is the best of several on the same samples,
    so p is multiplied by their number (Bonferroni).

    Args:
        replicas: of the model.
        problem: whose validation samples, the first batch of a DataLoader, are taken.
        fitted: one replica, fitted to the training samples.
        candidates: how many were compared on the validation samples.

    Returns:
        NaN where the loss does not look at the labels, or there is one sample.
    """
    x, y = problem.val.first()
    x, y = tuple(t[:_SAMPLES] for t in x), y[:_SAMPLES]
    generator = torch.Generator().manual_seed(0)
    replicas.twin.eval()
    with torch.no_grad():
        full = taken(replicas.entries(fitted.lower, fitted.upper), 0)
        output = replicas.output(full, taken(fitted.buffers, 0), x)
        own = float(problem.loss(output, y))
        orders = (torch.randperm(len(y), generator=generator).to(y.device) for _ in range(_PERMUTATIONS))
        others = torch.tensor([float(problem.loss(output, y[order])) for order in orders], dtype=torch.float64)
    if not math.isfinite(own) or (others == own).all():
        return math.nan
    below = int((others <= own).sum())
    p = (1 + below) / (_PERMUTATIONS + 1)
    if not below:
        p = min(p, float(scipy.special.ndtr((own - float(others.mean())) / float(others.std()))))
    return min(1.0, p * candidates)
