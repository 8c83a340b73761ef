"""The procedure of the authors' 2022 code for Gaussian data, in plain PyTorch.

Written from its description, with the settings of that code, as the baseline of
``bench_discovery.py``: one problem at a time, restarts one after another, the loss over the
validation samples at every step, and the column norm as the trace of the elementwise square root
of AᵀA, at O(K³). Nothing is made slower than that code needs it, and nothing faster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

RESTARTS = 3
STEPS = 1000
LEARNING_RATE = 2e-2
WEIGHT_DECAY = 1e-4
PENALTY = 1e-2
INITIAL_STD = 0.1
INSIDE_LOG = 1e-6


@dataclass(frozen=True)
class Answer:
    """Labels (K,) of the hard partition and the means (K,) refitted on all samples."""

    labels: np.ndarray
    theta: np.ndarray


def initial_logits(num_entries: int, seed: int, restarts: int = RESTARTS) -> torch.Tensor:
    """Draw the starting points (restarts, K, K)."""
    generator = torch.Generator().manual_seed(seed)
    return INITIAL_STD * torch.randn((restarts, num_entries, num_entries), generator=generator)


def soft_means(logits: torch.Tensor, train_mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return θ = A (A / colsum A)ᵀ x̄ and A = softmax(logits)."""
    assignment = torch.softmax(logits, dim=1)
    normalised = assignment / assignment.sum(dim=0, keepdim=True)
    return assignment @ (normalised.T @ train_mean), assignment


def penalty(assignment: torch.Tensor) -> torch.Tensor:
    """Return the column norm, computed by way of AᵀA, plus the mean entropy of the rows."""
    column_norm = torch.trace(torch.sqrt(assignment.T @ assignment))
    entropy = -(assignment * torch.log(assignment + INSIDE_LOG)).sum(dim=1).mean()
    return column_norm + entropy


def descend(
    train: torch.Tensor, val: torch.Tensor, start: torch.Tensor, steps: int = STEPS
) -> tuple[torch.Tensor, float]:
    """Run one restart; return the final logits (K, K) and the final total loss."""
    logits = start.clone().requires_grad_()
    optimiser = torch.optim.RMSprop([logits], lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(steps):
        optimiser.zero_grad()
        theta, assignment = soft_means(logits, train.mean(dim=0))
        fit = torch.nn.functional.mse_loss(theta.repeat(len(val), 1), val)
        loss = fit + PENALTY * penalty(assignment)
        loss.backward()
        optimiser.step()
    return logits.detach(), float(loss.detach())


def discover(train: np.ndarray, val: np.ndarray, starts: torch.Tensor, steps: int = STEPS) -> Answer:
    """Run all restarts one after another, keep the one of least loss, harden and refit."""
    train_tensor = torch.from_numpy(train).float()
    val_tensor = torch.from_numpy(val).float()
    runs = [descend(train_tensor, val_tensor, start, steps) for start in starts]
    best = min(runs, key=lambda run: run[1])[0]
    labels = np.unique(best.argmax(dim=1).numpy(), return_inverse=True)[1].reshape(-1)
    mean = np.concatenate([train, val]).mean(axis=0)
    group_mean = np.bincount(labels, weights=mean) / np.bincount(labels)
    return Answer(labels, group_mean[labels])
