"""Select among the candidates, refit, and report: written once for every method."""

from __future__ import annotations

import numpy as np

from equishare.methods.proposal import Proposal
from equishare.result.discovery import Discovery
from equishare.problems.lower import fit_values
from equishare.partition import Partition
from equishare.problems.linear import Problem


def validation_loss(problem: Problem, labels: np.ndarray) -> float:
    """Validation loss of the fit on the training samples."""
    weight = fit_values(problem.train, labels, int(labels.max()) + 1)[labels]
    return problem.val.loss(weight, problem.train.bias(weight))


def conclude(problem: Problem, proposal: Proposal, method: str, seed: int) -> Discovery:
    """The best candidate, its values refitted on training and validation samples together.

    Of equal candidates the one with the fewest groups wins, then the first.
    """
    groups = np.array([labels.max() + 1 for labels in proposal.labels])
    losses = proposal.losses
    if losses is None:
        losses = np.array([validation_loss(problem, labels) for labels in proposal.labels])
    scores = losses if proposal.scores is None else proposal.scores
    best = min(range(len(groups)), key=lambda i: (scores[i], groups[i]))
    partition = Partition(proposal.labels[best].reshape(problem.shape))
    labels = partition.labels.reshape(problem.weight_shape)
    values = fit_values(problem.pooled, labels, partition.num_groups)
    weight = values[labels]
    everything = np.arange(labels.size).reshape(labels.shape)
    return Discovery(
        partition=partition,
        values=values + problem.origin,
        bias=problem.pooled.bias(weight) if problem.has_bias else None,
        validation_loss=float(losses[best]),
        no_sharing_loss=validation_loss(problem, everything),
        method=method,
        seed=seed,
        history=proposal.history or {"num_groups": groups, "validation_loss": losses},
    )
