"""Replicas of a model as one batch: the same numbers as one by one."""

import copy

import numpy as np
import pytest
import torch
from model_cases import Branching, Columns, columns_data, linear_data, loader, made, mse, split
from torch import nn

import equishare as es
from equishare.problems.network.batches import Batches, HeldOut
from equishare.problems.network.fit import Plan, Start, fit
from equishare.problems.network.patterns import Pattern, free_state, hard_state
from equishare.problems.network.replicas import Replicas, psi, stacked
from equishare.problems.network.training import Training
from equishare.sharing import assignments, impose, shared_parameters


def perceptron(*between):
    return nn.Sequential(nn.Linear(3, 4), *between, nn.Tanh(), nn.Linear(4, 3))


class Branched(nn.Module):
    """A branch on data, which has no batching rule."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 3)

    def forward(self, x):
        hidden = self.first(x)
        return self.second(torch.tanh(hidden) if hidden.sum() > 0 else torch.relu(hidden))


class Recurrent(nn.Module):
    """A GRU, whose kernel has no batching rule, over the features as steps."""

    def __init__(self):
        super().__init__()
        self.gru, self.second = nn.GRU(1, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.second(self.gru(x[..., None])[0][:, -1])


# Model, what is shared with which axis and number of groups, and whether vmap takes it.
CASES = {
    "entries": (perceptron, [("0.weight", None, 5)], True),
    "all entries": (perceptron, [("2.weight", None, None)], True),
    "rows": (perceptron, [("0.weight", 0, 3)], True),
    "columns": (perceptron, [("0.weight", 1, None)], True),
    "tied": (Columns, [(("weight", "bias"), 0, 3)], True),
    "two": (perceptron, [("0.weight", None, 4), (("2.weight", "2.bias"), 0, None)], True),
    "normalised": (lambda: perceptron(nn.LayerNorm(4)), [("1.weight", None, 2)], True),
    "branch": (Branched, [("first.weight", None, 5)], False),
    "recurrent": (Recurrent, [("second.weight", 1, 2)], False),
}


def case(name, count=1, own=False):
    build, shared, _ = CASES[name]

    def shareable():
        model = build()
        for names, dim, groups in shared:
            es.share(model, names, groups, dim)
        return model

    model = made(shareable)
    data = columns_data if build is Columns else linear_data
    return [es.ModelProblem(model, *split(data(10 * i if own else 0, 20), 12), mse) for i in range(count)]


def random_state(replicas, count, hard):
    """Replicas with random numbers; ψ as it is for the groups."""
    generator = torch.Generator().manual_seed(1)

    def noisy(state):
        return {n: t + torch.randn(t.shape, generator=generator, dtype=t.dtype) for n, t in state.items()}

    if not hard:
        return noisy(stacked(replicas.soft_start, count)), noisy(stacked(replicas.logits, count))
    labels = [[torch.randint(3, (s.num_entries,), generator=generator) for s in replicas.slots] for _ in range(count)]
    patterns = [Pattern([one.numpy() for one in row]) for row in labels]
    return hard_state(replicas, patterns, noisy(stacked(replicas.start, count)), mean=True)


def replica(replicas, lower, upper, r):
    """A model of its own with the numbers of one replica."""
    model = copy.deepcopy(replicas.problems[0].model)
    groups = {}
    for slot, assignment in zip(replicas.slots, assignments(model), strict=True):
        if upper[slot.key].is_floating_point():
            assignment.logits.data = upper[slot.key][r].detach().clone()
            continue
        labels = es.Partition(upper[slot.key][r].numpy())
        groups |= {name: labels.num_groups for name in slot.names}
        shared = shared_parameters(model)
        impose(
            model, {n: labels.labels.reshape(shared[n].shape) if shared[n].dim is None else labels for n in slot.names}
        )
    own = dict(model.named_parameters())
    for name, values in lower.items():
        target = psi(model, name) if name in shared_parameters(model) else own[name]
        target.data = values[r][: groups.get(name)].detach().clone()
    return model


@pytest.mark.parametrize("own", [False, True], ids=["common data", "own data"])
@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
@pytest.mark.parametrize("name", CASES)
def test_replicas_are_models_of_their_own(name, hard, own):
    problems = case(name, 3 if own else 1, own)
    replicas = Replicas(problems)
    assert replicas.vmapped == CASES[name][2]
    lower, upper = random_state(replicas, 3, hard)
    lower = {name: t.requires_grad_() for name, t in lower.items()}
    if not hard:
        upper = {name: t.requires_grad_() for name, t in upper.items()}
    owner = [2, 0, 1] if own else [0, 0, 0]
    held_out = HeldOut(problems, "train", owner)
    losses = replicas.held_losses(lower, upper, stacked(replicas.buffers, 3), held_out)
    losses.sum().backward()
    with torch.no_grad():
        blocks, sizes = replicas.block_losses(lower, upper, stacked(replicas.buffers, 3), held_out)
    assert sizes.tolist() == [4, 4, 4]
    for r in range(3):
        model, (x, y) = replica(replicas, lower, upper, r), problems[owner[r]].train.first()
        loss = mse(model(*x), y)
        loss.backward()
        assert losses[r].item() == pytest.approx(loss.item(), rel=1e-10)
        parts = [mse(model(*(t[i : i + 4] for t in x)), y[i : i + 4]).item() for i in range(0, 12, 4)]
        if name != "branch":
            assert blocks[r] == pytest.approx(parts, rel=1e-10)
        own_parameters = dict(model.named_parameters())
        for key, tensor in lower.items():
            single = psi(model, key) if key in shared_parameters(model) else own_parameters[key]
            assert torch.allclose(tensor.grad[r][: len(single.grad)], single.grad, atol=1e-10)
        for key, assignment in zip(upper, assignments(model), strict=True):
            if not hard:
                assert torch.allclose(upper[key].grad[r], assignment.logits.grad, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_the_soft_start_is_the_model_and_free_entries_are_theirs(name):
    (problem,) = case(name)
    replicas = Replicas([problem])
    x, y = problem.train.first()
    loss = replicas.losses(
        stacked(replicas.soft_start, 1), stacked(replicas.logits, 1), stacked(replicas.buffers, 1), (x, y), False
    )
    assert loss.item() == pytest.approx(mse(problem.model(*x), y).item(), rel=1e-10)
    lower, upper = random_state(replicas, 2, hard=True)
    free = free_state(replicas, lower, upper)
    both = [
        replicas.losses(lower, upper, stacked(replicas.buffers, 2), (x, y), False),
        replicas.losses(free, {}, stacked(replicas.buffers, 2), (x, y), False),
    ]
    assert torch.allclose(*both, atol=1e-12)


def test_making_replicas_leaves_model_and_generator():
    (problem,) = case("tied")
    problem.model.drop.p = 0.5
    problem.model.train()
    state, before = copy.deepcopy(problem.model.state_dict()), torch.get_rng_state()
    replicas = Replicas([problem])
    assert replicas.at_once() >= 1
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(t, problem.model.state_dict()[name]) for name, t in state.items())
    assert problem.model.weight.shape == (4, 3, 2)


TRAINING = Training(lr=0.03, batch_size=6, average=0.0)


def run(replicas, count=3, training=TRAINING, steps=20, seed=0):
    lower, upper = random_state(replicas, count, hard=True)
    buffers = stacked(replicas.buffers, count)
    start = Start([0] * count, lower, upper, buffers)
    return fit(
        replicas,
        start,
        Plan(training, steps, torch.full((count,), training.lr, dtype=torch.float64), seed),
        lambda n: None,
    )


@pytest.mark.parametrize("name", ["entries", "tied", "two", "branch"])
def test_parts_of_the_replicas_give_what_all_at_once_give(name):
    whole, parts = run(Replicas(case(name)), 4), run(Replicas(case(name), at_once=2), 4)
    assert torch.allclose(parts.loss, whole.loss, atol=1e-12)
    assert torch.equal(parts.step, whole.step)
    assert all(torch.allclose(parts.lower[name], t, atol=1e-10) for name, t in whole.lower.items())


def branch(looped):
    """Modules that change no number, but of which replicas have to run one by one if they are to."""
    return [Branching()] if looped else []


@pytest.mark.parametrize("looped", [False, True])
def test_buffers_train_for_each_replica_and_come_back(looped):
    def build():
        model = perceptron(nn.BatchNorm1d(4), *branch(looped))
        es.share(model, "0.weight", dim=0)
        return model

    problem = es.ModelProblem(made(build), *split(linear_data(0, 20), 12), mse)
    replicas = Replicas([problem])
    assert replicas.vmapped != looped
    fitted = run(replicas, steps=5)
    means = fitted.buffers["1.running_mean"]
    assert means.shape == (3, 4)
    assert (means.std(0) > 1e-3).all()
    assert fitted.buffers["1.num_batches_tracked"].tolist() == fitted.step.tolist()
    found = es.discover(problem, "no_sharing", steps=5, lr=0.1)
    assert found.model[1].num_batches_tracked > 0
    assert (found.model[1].running_mean != 0).all()
    assert problem.model[1].num_batches_tracked == 0


@pytest.mark.parametrize("looped", [False, True])
def test_dropout_differs_between_replicas_and_comes_from_the_seed(looped):
    def build():
        model = perceptron(nn.Dropout(0.5), *branch(looped))
        es.share(model, "0.weight", dim=0)
        return model

    problem = es.ModelProblem(made(build), *split(linear_data(0, 20), 12), mse)
    replicas = Replicas([problem])
    assert replicas.vmapped != looped
    replicas.twin.train()
    one = (
        stacked(replicas.start, 2),
        {},
        stacked(replicas.buffers, 2),
        problem.train.first(),
        False,
    )
    first, second = replicas.losses(*one)
    assert first != second
    fits = [run(replicas, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(fits[0].loss, fits[1].loss)
    assert not torch.equal(fits[0].loss, fits[2].loss)


class Several(nn.Module):
    """Returns more than rows: nothing, a number, and a state with the samples along another axis."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(3, 3)

    def forward(self, x):
        y = self.map(x)
        return {"out": y, "none": None, "norm": y.square().mean(), "state": y.T[None], "name": "linear"}


def test_outputs_may_hold_more_than_rows():
    def build():
        model = Several()
        es.share(model, "map.weight")
        return model

    problem = es.ModelProblem(made(build), *split(linear_data(0, 40), 20), lambda out, y: mse(out["out"], y))
    assert Replicas([problem]).vmapped
    assert np.isfinite(es.discover(problem, steps=4, refit_steps=4).validation_loss)


@pytest.mark.parametrize(("kind", "sizes"), [("tensors", [4] * 10), ("loader", [4, 4] * 5), ("batches", [40])])
def test_losses_of_blocks_average_to_the_loss(kind, sizes):
    data = linear_data(0, 40)
    val = data if kind == "tensors" else loader(data, batch_size=8 if kind == "loader" else 40)
    train = data if kind == "tensors" else loader(data)
    problem = es.ModelProblem(case("entries")[0].model, train, val, mse)
    replicas = Replicas([problem])
    lower, upper = random_state(replicas, 2, hard=True)
    held_out = HeldOut([problem], "val", [0, 0])
    losses, found = replicas.block_losses(lower, upper, {}, held_out)
    if kind == "batches":
        sizes = [4] * 10
    assert found.tolist() == sizes
    mean = replicas.held_losses(lower, upper, {}, held_out).numpy()
    assert np.average(losses, axis=1, weights=found) == pytest.approx(mean)


@pytest.mark.parametrize(
    ("batch_size", "chunk", "sizes"),
    [(None, 5, [5, 5, 2]), (1, 5, [4, 4, 4]), (2, 5, [5, 5, 2]), (2, 100, [8, 4]), (3, 100, [12])],
)
def test_held_out_samples_come_in_chunks(batch_size, chunk, sizes):
    problems = case("entries", 2, own=True)
    replicas = Replicas(problems)
    lower, upper = random_state(replicas, 3, hard=True)
    whole = replicas.held_losses(lower, upper, {}, HeldOut(problems, "train", [0, 1, 1]))
    parts = HeldOut(problems, "train", [0, 1, 1], batch_size, chunk)
    assert [y.shape[1] for (_, y), _ in parts] == sizes
    assert torch.allclose(replicas.held_losses(lower, upper, {}, parts), whole)


def test_each_replica_gets_the_samples_of_its_problem():
    problems = case("entries", 2, own=True)
    batches = Batches(problems, "train", [1, 0, 1], batch_size=5, seed=0)
    (x,), y = batches.next()[0]
    assert x.shape == (3, 5, 3)
    assert torch.equal(x[0], x[2]) and not torch.equal(x[0], x[1])
    index = [problems[1].train.x[0].tolist().index(row) for row in x[0].tolist()]
    assert torch.equal(problems[0].train.y[index], y[1])
