"""The procedure of the authors' 2022 code for the sum of numbers, in plain PyTorch.

Written from its description, with the settings of that code, as the baseline of ``bench_sum.py``:
three starts one after another, a Python loop over the positions, full batches, a hypergradient by a
Neumann series whose Hessian-vector products are double backward passes, and one fit from scratch for
the hardened partition of each start. Nothing is made slower than that code needs it, and nothing faster.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Inputs (n, L) integers and labels (n,) or (n, 1).
Arrays = tuple[np.ndarray, np.ndarray]
#: Inputs (n, L) and standardised labels (n, 1).
Batch = tuple[Tensor, Tensor]
#: Called after each outer epoch with "search" and after each epoch of a fit with "fit" or "refit", then the start
#: (from 0), the epochs done and the most there can be.
Progress = Callable[[str, int, int, int], None]

INSIDE_LOG = 1e-6
IMPROVED = 1.0001
PREDICT_AT_ONCE = 10_000


@dataclass(frozen=True)
class Settings:
    """The settings of that code: of the model, the penalties, the search and the fits with a fixed partition."""

    symbols: int = 11
    features: int = 500
    hidden: int = 50
    initial_range: float = 0.1

    penalty: float = 0.05
    entropy_share: float = 0.5

    outer_epochs: int = 500
    inner_steps: int = 250
    inner_rate: float = 1e-3
    inner_decay: float = 1e-3
    outer_rate: float = 1e-2
    outer_factor: float = 0.5
    outer_plateau: int = 50
    outer_patience: int = 100
    warm_up: int = 30
    neumann_terms: int = 20
    clip: float = 25.0

    fit_epochs: int = 100_000
    fit_rate: float = 1e-3
    fit_factor: float = 0.25
    fit_plateau: int = 1000
    fit_patience: int = 1000


class SharedSum(nn.Module):
    """y = head(Σ_k relu(W_k e(x_k) + b_k)) with W = A · weights and b = A · bias."""

    def __init__(self, length: int, settings: Settings) -> None:
        super().__init__()
        near_zero = settings.initial_range
        # Drawn in the order of that code, so that a seed gives the same start.
        self.embedding = nn.Embedding(settings.symbols, settings.features, padding_idx=0)
        self.head = nn.Linear(settings.hidden, 1)
        self.weights = nn.Parameter(torch.empty(length, settings.hidden, settings.features))
        self.bias = nn.Parameter(torch.empty(length, settings.hidden))
        self.logits = nn.Parameter(torch.empty(length, length))
        nn.init.xavier_uniform_(self.weights)
        nn.init.uniform_(self.bias, -near_zero, near_zero)
        nn.init.uniform_(self.logits, -near_zero, near_zero)

    def assignment(self) -> Tensor:
        """A (L, L)."""
        return torch.exp(F.log_softmax(self.logits, dim=1))

    def lower_parameters(self) -> list[nn.Parameter]:
        """All parameters but the logits."""
        return [parameter for name, parameter in self.named_parameters() if name != "logits"]

    def forward(self, x: Tensor) -> Tensor:
        features = self.embedding(x)
        assignment = self.assignment()
        length = len(assignment)
        weights = (assignment @ self.weights.reshape(length, -1)).view_as(self.weights)
        bias = assignment @ self.bias
        positions = [F.linear(features[:, k], weights[k], bias[k]) for k in range(length)]
        return self.head(torch.relu(torch.stack(positions, dim=1)).sum(dim=1))


@dataclass(frozen=True)
class Fitted:
    """A model of standardised labels, with the mean and the standard deviation that undo it."""

    model: SharedSum
    mean: float
    std: float

    @torch.no_grad()
    def predict(self, x: np.ndarray | Tensor) -> np.ndarray:
        """Predictions (n,) in the units of the labels; in parts, for the memory of the features."""
        parts = torch.as_tensor(x, dtype=torch.int64).split(PREDICT_AT_ONCE)
        return torch.cat([self.model(part)[:, 0] for part in parts]).numpy() * self.std + self.mean


@dataclass(frozen=True)
class Answer:
    """What the procedure finds.

    Attributes:
        labels: (L,) groups of the start that won, numbered by its columns of A.
        fitted: The refit on training and validation samples.
        winner: The start that won.
        scores: Validation loss of each start after hardening and fitting.
        outer_epochs: Outer epochs of each start.
        inner_steps: Inner steps of each start.
        fit_epochs: Epochs of the fit of each start, and of the refit.
    """

    labels: np.ndarray
    fitted: Fitted
    winner: int
    scores: list[float]
    outer_epochs: list[int]
    inner_steps: list[int]
    fit_epochs: list[int]


class Best:
    """The best model so far, and how many epochs may still pass without a better one."""

    def __init__(self, model: SharedSum, patience: int) -> None:
        self.value, self.model = float("inf"), model
        self.patience = self.left = patience

    def runs_out(self) -> bool:
        """Count an epoch; whether none was left."""
        if self.left == 0:
            return True
        self.left -= 1
        return False

    def offer(self, model: SharedSum, value: float) -> None:
        """Keep a copy if the value is clearly lower."""
        if self.value > value * IMPROVED:
            self.value, self.model, self.left = value, copy.deepcopy(model), self.patience


def loss(model: SharedSum, batch: Batch) -> Tensor:
    """Mean absolute error of the standardised labels."""
    return F.l1_loss(model(batch[0]), batch[1])


def penalty(model: SharedSum, settings: Settings) -> Tensor:
    """Return the column norm over L, computed by way of AᵀA, plus a share of the mean entropy of the rows."""
    assignment = model.assignment()
    column_norm = torch.trace(torch.sqrt(assignment.T @ assignment)) / len(assignment)
    inside = assignment + INSIDE_LOG
    entropy = -(inside * torch.log(inside)).sum(dim=1).mean()
    return settings.penalty * (column_norm + settings.entropy_share * entropy)


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """All tensors as one vector."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def hypergradient(model: SharedSum, train: Batch, val: Batch, settings: Settings) -> Tensor:
    """∂U/∂Λ − (∂²L/∂Λ∂w) p with p = Σ_{j=0}^{terms} (I − αH)^j ∂U/∂w and α the outer learning rate.

    That code leaves out the factor α before the sum, so that its indirect term is 1/α times the one of the
    Neumann series for H⁻¹; so does this.
    """
    parameters = model.lower_parameters()
    val_loss = loss(model, val)
    term = flat(torch.autograd.grad(val_loss, parameters, retain_graph=True))
    (direct,) = torch.autograd.grad(val_loss + penalty(model, settings), model.logits)
    slope = flat(torch.autograd.grad(loss(model, train), parameters, create_graph=True))
    solution = term
    for _ in range(settings.neumann_terms):
        curved = torch.autograd.grad(slope, parameters, grad_outputs=term, retain_graph=True)
        term = term - settings.outer_rate * flat(curved)
        solution = solution + term
    (indirect,) = torch.autograd.grad(slope, model.logits, grad_outputs=solution)
    return direct - indirect


def search(
    model: SharedSum, train: Batch, val: Batch, settings: Settings, progress: Callable[[int], None]
) -> tuple[np.ndarray, int, int]:
    """Run one start; return labels (L,) of the best model, outer epochs and inner steps."""
    inner = torch.optim.AdamW(model.lower_parameters(), lr=settings.inner_rate, weight_decay=settings.inner_decay)
    outer = torch.optim.Adam([model.logits], lr=settings.outer_rate)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        outer, factor=settings.outer_factor, patience=settings.outer_plateau, cooldown=0
    )
    best = Best(model, settings.outer_patience)
    epochs = 0
    for epoch in range(settings.outer_epochs):
        for _ in range(settings.inner_steps):
            inner.zero_grad()
            loss(model, train).backward()
            inner.step()
        model.logits.grad = hypergradient(model, train, val, settings)
        nn.utils.clip_grad_norm_([model.logits], settings.clip)
        outer.step()
        epochs += 1
        progress(epochs)
        if best.runs_out():
            break
        with torch.no_grad():
            objective = float(loss(model, val) + penalty(model, settings))
        if epoch >= settings.warm_up:
            scheduler.step(objective)
            best.offer(model, objective)
    labels = best.model.assignment().argmax(dim=1).numpy()
    return labels, epochs, epochs * settings.inner_steps


def standard_fit(
    model: SharedSum, train: Batch, stop: Batch, settings: Settings, progress: Callable[[int], None]
) -> tuple[Best, int]:
    """Fit all but the logits on one set; keep the best on the other. Return it and the number of epochs."""
    torch.manual_seed(0)
    optimiser = torch.optim.Adam(model.lower_parameters(), lr=settings.fit_rate)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=settings.fit_factor, patience=settings.fit_plateau
    )
    best = Best(model, settings.fit_patience)
    epochs = 0
    for _ in range(settings.fit_epochs):
        optimiser.zero_grad()
        train_loss = loss(model, train)
        train_loss.backward()
        optimiser.step()
        scheduler.step(train_loss.item())
        epochs += 1
        progress(epochs)
        if best.runs_out():
            break
        with torch.no_grad():
            value = float(loss(model, stop))
        best.offer(model, value)
    return best, epochs


def starting_model(start: int, length: int, settings: Settings) -> SharedSum:
    """The same model for each start; logits as drawn (0), with the opposite sign (1) or drawn once more (2)."""
    torch.manual_seed(0)
    model = SharedSum(length, settings)
    with torch.no_grad():
        if start == 1:
            model.logits.mul_(-1)
        elif start == 2:
            model.logits.uniform_(-settings.initial_range, settings.initial_range)
    return model


def hard_model(labels: np.ndarray, seed: int, settings: Settings) -> SharedSum:
    """A fresh model whose logits say the labels and stay."""
    torch.manual_seed(seed)
    model = SharedSum(len(labels), settings)
    one_hot = F.one_hot(torch.from_numpy(labels), len(labels))
    model.logits.data.copy_(10.0 * one_hot - 5.0)
    model.logits.requires_grad_(False)
    return model


def discover(
    train: Arrays,
    val: Arrays,
    hyper: Arrays,
    settings: Settings | None = None,
    progress: Progress = lambda stage, start, done, total: None,
) -> Answer:
    """Search from three starts, fit the partition of each, keep the best on val, refit on train and val.

    Args:
        train: samples of the inner problem and of the fits.
        val: samples of the outer problem and of the choice between starts.
        hyper: samples that end the refit.
        settings: those of that code where None.
        progress: see ``Progress``; an exception it raises ends the procedure.
    """
    settings = settings or Settings()
    known = np.concatenate([np.ravel(train[1]), np.ravel(val[1])])
    mean, std = float(known.mean()), float(known.std())

    def batch(x: np.ndarray, y: np.ndarray) -> Batch:
        target = (np.reshape(y, (-1, 1)) - mean) / std
        return torch.as_tensor(x, dtype=torch.int64), torch.as_tensor(target, dtype=torch.get_default_dtype())

    train_batch, val_batch, hyper_batch = batch(*train), batch(*val), batch(*hyper)
    both = (torch.cat([train_batch[0], val_batch[0]]), torch.cat([train_batch[1], val_batch[1]]))
    found, scores, outer_epochs, inner_steps, fit_epochs = [], [], [], [], []
    for start in range(3):

        def tick(stage: str, total: int, start: int = start) -> Callable[[int], None]:
            return lambda done: progress(stage, start, done, total)

        model = starting_model(start, train_batch[0].shape[1], settings)
        labels, epochs, steps = search(model, train_batch, val_batch, settings, tick("search", settings.outer_epochs))
        found.append(labels)
        outer_epochs.append(epochs)
        inner_steps.append(steps)
        hard = hard_model(labels, 1, settings)
        best, epochs = standard_fit(hard, train_batch, val_batch, settings, tick("fit", settings.fit_epochs))
        scores.append(best.value)
        fit_epochs.append(epochs)
    winner = int(np.argmin(scores))
    hard = hard_model(found[winner], 2, settings)
    best, epochs = standard_fit(
        hard, both, hyper_batch, settings, lambda done: progress("refit", winner, done, settings.fit_epochs)
    )
    fit_epochs.append(epochs)
    return Answer(found[winner], Fitted(best.model, mean, std), winner, scores, outer_epochs, inner_steps, fit_epochs)
