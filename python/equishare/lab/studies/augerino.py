"""Augerino for the sum of numbers: a model without sharing, averaged over permutations that are learned.

    f(x) = mean over s of g(P_s x),   P_s = sinkhorn((M + Gumbel noise) / τ)

The permutations are relaxed (doubly stochastic), and they act on embedded digits. The logits M are learned with g;
as in Augerino, a small bonus keeps the distribution wide. One draw of S permutations serves all samples of a batch.

Source: Benton, Finzi, Izmailov, Wilson, "Learning Invariances in Neural Networks", NeurIPS 2020; for permutations with
the Gumbel-Sinkhorn distribution (Mena et al. 2018), as Yeh et al. 2022 compare with it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from equishare.lab.studies.sum_data import HIDDEN, SYMBOLS, Sets, SumModel, mean_absolute_error, scale

TEMPERATURE = 0.1
SINKHORN_STEPS = 20
#: Weight of the mean entropy of the rows of M: wide distributions are preferred.
WIDTH_BONUS = 0.01
STEPS, RATE, BATCH, LOOK_EVERY = 600, 1e-3, 100, 10
#: Rate of M, which one softmax saturates: at the rate of the weights it would hardly move.
PERMUTATION_RATE = 0.1
# Numbers held at a time when the test set is predicted.
_AT_A_TIME = 1 << 24


class Augerino(nn.Module):
    """The model and the distribution of permutations.

    Args:
        length: L positions.
        samples: S, permutations that a prediction averages over.
    """

    def __init__(self, length: int, samples: int) -> None:
        super().__init__()
        self.model = SumModel(length)
        self.samples = samples
        self.permutation_logits = nn.Parameter(torch.empty(length, length).uniform_(-0.1, 0.1))

    def permutations(self) -> Tensor:
        """S relaxed permutations (S, L, L), drawn anew."""
        uniform = torch.rand(self.samples, *self.permutation_logits.shape).clamp_(1e-9, 1 - 1e-7)
        logs = (self.permutation_logits - torch.log(-torch.log(uniform))) / TEMPERATURE
        for _ in range(SINKHORN_STEPS):
            logs = logs.log_softmax(-1).log_softmax(-2)
        return logs.exp()

    def forward(self, x: Tensor) -> Tensor:
        """Predictions (n,) for digits (n, L), averaged over S permutations."""
        model, length = self.model, self.model.length
        # What position l makes of the digit at position j, without the bias: W_l e(x_j).
        table = functional.linear(model.embedding.weight, model.weight.flatten(0, 1))
        table = table.view(SYMBOLS, length, HIDDEN).transpose(0, 1)
        features = table[:, x.T].reshape(length, length, -1)  # (l, j, n · HIDDEN)
        mixed = torch.bmm(self.permutations().transpose(0, 1), features)  # (l, S, n · HIDDEN)
        mixed = mixed.view(length, self.samples, -1, HIDDEN) + model.bias[:, None, None]
        return model.out(functional.relu(mixed).sum(0)).squeeze(-1).mean(0)

    def width(self) -> Tensor:
        """Mean entropy of the rows of the permutation logits."""
        logs = self.permutation_logits.log_softmax(-1)
        return -(logs.exp() * logs).sum(-1).mean()


def fit_augerino(sets: Sets, samples: int, seed: int, steps: int = STEPS) -> Augerino:
    """Train on train and val, stopped early by stop; torch's generator is left as it was."""
    centre, spread = scale(sets)
    x = torch.cat((sets["train"][0], sets["val"][0]))
    y = (torch.cat((sets["train"][1], sets["val"][1])) - centre) / spread
    x_stop, y_stop = sets["stop"][0], (sets["stop"][1] - centre) / spread
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        augerino = Augerino(x.shape[1], samples)
        groups: list[dict[str, Any]] = [
            {"params": augerino.model.parameters()},
            {"params": [augerino.permutation_logits], "lr": PERMUTATION_RATE},
        ]
        optimizer = torch.optim.AdamW(groups, RATE, weight_decay=0.0, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        best, state = float("inf"), augerino.state_dict()
        for step in range(steps):
            index = torch.randperm(len(y))[:BATCH]
            loss = mean_absolute_error(augerino(x[index]), y[index]) - WIDTH_BONUS * augerino.width()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % LOOK_EVERY == LOOK_EVERY - 1 or step == steps - 1:
                with torch.no_grad():
                    held = float(mean_absolute_error(augerino(x_stop), y_stop))
                if held < best:
                    best, state = held, {name: t.clone() for name, t in augerino.state_dict().items()}
        augerino.load_state_dict(state)
    return augerino


def predict_in_chunks(augerino: Augerino, x: Tensor, seed: int) -> Tensor:
    """Predictions (n,) for many digits; torch's generator is left as it was."""
    chunk = max(1, _AT_A_TIME // (augerino.samples * augerino.model.length * HIDDEN))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        return torch.cat([augerino(part) for part in x.split(chunk)])
