"""What would go wrong in a search without a word: refused at construction, or made to work."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from model_cases import linear, linear_data, made, mse, split
from torch import nn

import equishare as es

TRAIN, VAL = split(linear_data(), 40)
BRIEF = {"steps": 6, "restarts": 1, "refit_steps": 6}


class Around(nn.Module):
    """The shared layer with something before and after it."""

    def __init__(self, before=lambda x: x, after=lambda y: y):
        super().__init__()
        self.layer, self.before, self.after = linear(), before, after

    def forward(self, x):
        return self.after(self.layer(self.before(x)))


def problem(model=None, loss=mse, train=TRAIN, val=VAL):
    return es.ModelProblem(linear() if model is None else model, train, val, loss)


class TestWrites:
    @pytest.mark.parametrize(
        "write", [lambda x: x.sub_(1), lambda x: x.div_(2), lambda x: torch.nn.functional.relu(x, inplace=True)]
    )
    def test_into_inputs_are_refused_and_undone(self, write):
        x = TRAIN[0].clone()
        with pytest.raises(ValueError, match=r"but input 0 of train is changed: write x = x / 2"):
            problem(Around(before=write), train=(x, TRAIN[1]))
        assert torch.equal(x, TRAIN[0])

    def test_into_targets_are_refused(self):
        with pytest.raises(ValueError, match="but y of train is changed"):
            problem(loss=lambda out, y: (y.sub_(out.detach())).square().mean() + 0 * out.sum())

    def test_into_the_inputs_of_the_error_of_a_function_do_no_harm(self):
        group = es.symmetry_group([[0, 1, 2], [2, 0, 1], [1, 2, 0]])
        x = np.random.default_rng(0).normal(size=(20, 3))
        kept = x.copy()

        def halve(rows):
            rows /= 2
            return rows

        assert es.equivariance_error(halve, group, x).errors.max() < 1e-12
        module = Around(before=lambda x: x.div_(2))
        es.equivariance_error(module, group, x)
        assert np.array_equal(x, kept)


class TestReach:
    def test_a_parameter_that_the_loss_does_not_reach(self):
        class Listed(nn.Module):
            def __init__(self):
                super().__init__()
                self.used, self.layer = nn.Linear(3, 3).double(), linear()

            def forward(self, x):
                return self.used(x)

        for model in (Listed(), Around(after=lambda y: y.detach()), Around(after=lambda y: 0 * y)):
            with pytest.raises(
                ValueError, match=r"does not change with (layer\.)?weight: share only what forward uses"
            ):
                problem(model)

    def test_a_gradient_that_happens_to_be_zero_is_none(self):
        model = made(lambda: nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)))
        nn.init.zeros_(model[1].weight)
        es.share(model, "0.weight")
        problem(model)

    def test_the_model_stays_as_it_was(self):
        model = linear()
        before = {name: t.clone() for name, t in model.state_dict().items()}
        problem(model)
        assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
        assert all(p.grad is None for p in model.parameters())


@dataclass
class Output:
    logits: torch.Tensor
    loss: torch.Tensor


class TestOutputs:
    """Models return what they like: the losses of blocks, and so the answer, are the same."""

    KINDS = {
        "sequence first": (lambda y: y.T, lambda out, y: mse(out.T, y)),
        "flattened": (lambda y: y.reshape(-1), lambda out, y: mse(out.view(-1, 3), y)),
        "data class": (lambda y: Output(y, y.sum()), lambda out, y: mse(out.logits, y)),
        "dict": (lambda y: {"logits": y, "of all": y.mean()}, lambda out, y: mse(out["logits"], y)),
        "distribution": (
            lambda y: torch.distributions.Normal(y, 1.0, validate_args=False),
            lambda out, y: mse(out.mean, y),
        ),
    }

    @pytest.mark.parametrize(("after", "loss"), KINDS.values(), ids=KINDS)
    def test_of_any_kind(self, after, loss):
        found = es.discover(problem(Around(after=after), loss), **BRIEF)
        same = es.discover(problem(Around()), **BRIEF)
        assert list(found.partitions.values()) == list(same.partitions.values())
        assert found.validation_loss == pytest.approx(same.validation_loss, rel=1e-9)

    def test_a_loss_computed_inside(self):
        class Inside(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = linear()

            def forward(self, x, y):
                out = self.layer(x)
                return {"loss": mse(out, y), "logits": out}

        train, val = (((x, y), y) for x, y in (TRAIN, VAL))
        found = es.discover(problem(Inside(), lambda out, y: out["loss"], train, val), **BRIEF)
        same = es.discover(problem(Around()), **BRIEF)
        assert list(found.partitions.values()) == list(same.partitions.values())
        assert found.validation_loss == pytest.approx(same.validation_loss, rel=1e-9)


class TestLosses:
    def test_one_that_sums_is_refused(self):
        with pytest.raises(ValueError, match="loss must be the mean over the samples, got one that doubles"):
            problem(loss=lambda out, y: (out - y).square().sum())

    def test_models_and_losses_for_batches_of_one_size(self):
        problem(Around(after=lambda y: y.view(40, 3)))
        problem(loss=lambda out, y: mse(out, y) + torch.linalg.cholesky(out.mT @ out + torch.eye(3)).sum() * 0)
        problem(loss=lambda out, y: (mse(out, y) * torch.ones(40, dtype=out.dtype)[: len(out)].view(40)).mean())

    def test_one_that_spreads_the_targets_is_refused(self):
        model = made(lambda: nn.Linear(3, 1))
        es.share(model, "weight")
        one = tuple((x, y[:, 0]) for x, y in (TRAIN, VAL))
        with pytest.raises(ValueError, match=r"x \(40, 3\) and y \(40,\): .*target size"):
            es.ModelProblem(model, *one, nn.functional.mse_loss)

    def test_dict_inputs_are_explained(self):
        with pytest.raises(TypeError, match="x of train must be a tensor, an array or a tuple of them, got a dict"):
            problem(train=({"x": TRAIN[0]}, TRAIN[1]))

    def test_a_last_batch_of_one(self):
        model = nn.Sequential(linear(), nn.BatchNorm1d(3).double())
        data = torch.utils.data.TensorDataset(*(t[:13] for t in TRAIN))
        load = torch.utils.data.DataLoader
        with pytest.raises(ValueError, match="train has a batch of one sample, .* drop_last=True"):
            problem(model, train=load(data, 4), val=load(data, 5))
        problem(model, train=load(data, 4, drop_last=True), val=load(data, 5))
        problem(linear(), train=load(data, 4), val=load(data, 5))


class TestModes:
    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
    def test_a_caller_without_gradients(self, mode):
        expected = es.discover(problem(), **BRIEF)
        with mode():
            x, y = TRAIN[0].clone(), TRAIN[1].clone()
            found = es.discover(problem(train=(x, y)) if mode is torch.no_grad else expected_problem(x, y), **BRIEF)
        assert found.partition == expected.partition
        assert found.validation_loss == expected.validation_loss

    def test_a_model_made_for_inference_is_refused(self):
        with torch.inference_mode():
            model = linear()
        with pytest.raises(ValueError, match="made outside of torch.inference_mode"):
            problem(model)

    def test_the_model_of_the_answer_is_in_evaluation_mode(self):
        model = nn.Sequential(linear(), nn.Dropout(0.5))
        found = es.discover(problem(model), **BRIEF)
        assert torch.equal(found.model(TRAIN[0]), found.model(TRAIN[0]))


LINEAR = linear()


def expected_problem(x, y):
    return problem(LINEAR, train=(x, y))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
        self.read = nn.Linear(4, 1)

    def forward(self, x):
        return self.read(self.attention(x).mean(1))[:, 0]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("auto", BRIEF),
        ("bilevel", {"steps": 2, "restarts": 1, "hypergradient": "cg", "refit_steps": 4, "fit_steps": 4}),
    ],
)
def test_attention(method, options):
    model = made(Attention)
    es.share(model, "attention.linear1.weight", dim=0)
    x = torch.randn(40, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = x.sum((1, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = es.discover(es.ModelProblem(model, (x[:20], y[:20]), (x[20:], y[20:]), mse), method, **options)
    assert torch.backends.mha.get_fastpath_enabled()
    assert np.isfinite(found.validation_loss)


class TestShare:
    @pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
    @pytest.mark.parametrize(("option", "value"), [("max_norm", 1.0), ("padding_idx", 0)])
    def test_embeddings_that_do_more_than_read(self, kind, option, value):
        with pytest.raises(ValueError, match=rf"'weight' belongs to an embedding with {option}={value}"):
            es.share(kind(5, 3, **{option: value}), "weight", dim=0)
