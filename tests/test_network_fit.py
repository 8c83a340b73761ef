"""Training replicas: what is kept, when it ends, and that it is what a loop in PyTorch gives."""

import copy
import math

import numpy as np
import pytest
import torch
from model_cases import columns_problem, linear, linear_data, linear_problem, loader, mse, split

import equishare as es
from equishare.problems.network.batches import HeldOut
from equishare.problems.network.fit import Average, Plan, Start, clip_replicas, fit, look
from equishare.problems.network.patterns import Pattern, all_free, hard_state
from equishare.problems.network.replicas import Replicas, stacked
from equishare.problems.network.samples import Stream
from equishare.problems.network.training import Training

TIED = Pattern([np.array([0, 1, 2, 2, 0, 1, 1, 2, 0])])
LABELS = torch.tensor(TIED.labels[0])


def run(problem, training, steps=30, patterns=(TIED,), sets=("train", "val"), scale=None, seed=0, ticks=None, **more):
    replicas = problem if isinstance(problem, Replicas) else Replicas([problem])
    count = len(patterns)
    lower, upper = hard_state(replicas, list(patterns), stacked(replicas.start, count), mean=True)
    if scale is not None:
        lower = {n: t * torch.as_tensor(scale).view(-1, *(1,) * (t.dim() - 1)) for n, t in lower.items()}
    buffers = stacked(replicas.buffers, count)
    tick = (lambda n: None) if ticks is None else ticks.append
    rates = torch.full((count,), training.lr, dtype=torch.float64)
    plan = Plan(training, steps, rates, seed, sets, **more)
    return fit(replicas, Start([0] * count, lower, upper, buffers), plan, tick)


def loop(problem, labels, training, steps, seed=0, clip=None):
    """The same in plain PyTorch: a hardened model, AdamW, and its losses before each step and at the end."""
    model = copy.deepcopy(problem.model)
    entries = model.parametrizations.weight.original.detach().clone()
    es.sharing.impose(model, {"weight": labels})
    model.weight = entries.view(3, 3)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=training.weight_decay)
    stream = Stream(problem.train, training.batch_size, seed)
    losses, states = [], []
    for step in range(steps + 1):
        with torch.no_grad():
            losses.append(mse(model(*problem.val.x), problem.val.y).item())
            states.append(model.weight.clone())
        x, y = stream.next_batch()
        optimizer.param_groups[0]["lr"] = training.lr * training.decay(step, steps)
        optimizer.zero_grad()
        mse(model(*x), y).backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    return losses, states


TRAININGS = [
    Training(lr=0.1, average=0.0),
    Training(lr=0.3, average=0.0, schedule="constant"),
    Training(lr=0.1, average=0.0, weight_decay=0.5),
    Training(lr=0.1, average=0.0, clip=0.01),
    Training(lr=0.1, average=0.0, batch_size=7),
]


@pytest.mark.parametrize("training", TRAININGS)
def test_a_fit_is_the_loop_and_keeps_the_best_state(training):
    problem = linear_problem()
    labels = es.Partition(TIED.labels[0].reshape(3, 3))
    losses, states = loop(problem, labels, training, 30, clip=training.clip)
    best = int(np.argmin(losses))
    tolerance = 1e-9 if training.clip is None else 1e-5  # clip_grad_norm_ adds 1e-6 to the norm
    found = run(problem, training)
    assert found.step.tolist() == [best]
    assert found.loss.item() == pytest.approx(losses[best], rel=tolerance)
    assert torch.allclose(found.lower["weight"][0][LABELS].view(3, 3), states[best], atol=tolerance)
    until = run(problem, training, sets=("train", None), until=torch.tensor([4]))
    assert until.step.tolist() == [4]
    assert torch.allclose(until.lower["weight"][0][LABELS].view(3, 3), states[4], atol=tolerance)


def test_the_schedule_falls_to_nothing():
    rates = [Training(lr=2.0).decay(step, 10) for step in (0, 5, 10)]
    assert rates == pytest.approx([1.0, 0.5, 0.0])
    assert Training(lr=2.0, schedule="constant").decay(9, 10) == 1.0


def test_each_replica_stops_where_it_is_told_to():
    patterns = [TIED, TIED, TIED]
    training = Training(lr=0.1, average=0.0)
    together = run(linear_problem(), training, patterns=patterns, sets=("train", None), until=torch.tensor([5, 0, 30]))
    assert together.step.tolist() == [5, 0, 30]
    assert together.loss.tolist() == [math.inf] * 3
    for r, end in enumerate([5, 0, 30]):
        alone = run(linear_problem(), training, sets=("train", None), until=torch.tensor([end]))
        assert torch.allclose(together.lower["weight"][r], alone.lower["weight"][0])


def test_the_start_is_kept_only_if_it_has_not_moved_on():
    problem = linear_problem()
    exact = run(problem, Training(lr=0.1, average=0.0), steps=300)
    replicas = Replicas([problem])
    upper = {"weight": LABELS[None]}
    start, training = Start([0], exact.lower, upper, exact.buffers), Training(lr=10.0, average=0.0, schedule="constant")
    assert exact.loss.dtype == torch.float64
    stayed = fit(replicas, start, Plan(training, 10, torch.tensor([10.0]), 0), lambda n: None)
    moved = fit(replicas, start, Plan(training, 10, torch.tensor([10.0]), 0, moved=True), lambda n: None)
    assert stayed.step.tolist() == [0] and torch.equal(stayed.loss, exact.loss)
    assert moved.step.item() > 0 and moved.loss > 2 * exact.loss


def test_patience_ends_a_fit_and_its_steps_count_as_done():
    ticks = []
    training = Training(lr=20.0, average=0.0, schedule="constant", patience=2)
    fitted = run(linear_problem(), training, steps=200, ticks=ticks)
    assert fitted.step.tolist() == [0]
    assert sum(ticks) == 200
    assert len(ticks) < 50
    whole = []
    run(linear_problem(), Training(lr=20.0, patience=None), steps=200, ticks=whole)
    assert whole == [1] * 200


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_replica_that_diverges_leaves_the_others_alone(clip):
    training = Training(lr=0.1, average=0.0, clip=clip)
    alone = run(linear_problem(), training, scale=[1.0])
    for bad in (math.nan, math.inf, 1e200):
        together = run(linear_problem(), training, patterns=[TIED] * 3, scale=[bad, 1.0, 1.0])
        assert not together.loss[0] < 1e100
        assert together.loss[1:].tolist() == pytest.approx([alone.loss.item()] * 2)
        assert torch.allclose(together.lower["weight"][1], alone.lower["weight"][0])
    assert math.isinf(together.loss[0])


def test_a_huge_rate_keeps_the_start():
    fitted = run(linear_problem(), Training(lr=1e200, average=0.0), steps=5)
    assert fitted.step.tolist() == [0]
    assert torch.isfinite(fitted.lower["weight"]).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e200])
def test_a_start_without_any_finite_loss_is_an_error(bad):
    with pytest.raises(FloatingPointError, match="NaN or infinite before the first step"):
        run(linear_problem(), Training(lr=1e-3), patterns=[TIED, TIED], scale=[bad, bad])


def test_looks_give_infinity_where_the_loss_is_not_finite():
    problem = linear_problem()
    replicas = Replicas([problem])
    lower = stacked(replicas.start, 4)
    lower["weight"] *= torch.tensor([1.0, math.nan, math.inf, 1e200])[:, None]
    loss = look(replicas, lower, {}, {}, HeldOut([problem], "val", [0] * 4))
    assert math.isfinite(loss[0])
    assert loss[1:].tolist() == [math.inf] * 3


def test_averages():
    plain = {"w": torch.zeros(2)}
    assert Average(plain, 0.0).state["w"].data_ptr() == plain["w"].data_ptr()
    weight = {"w": torch.zeros(1)}
    average = Average(weight, 0.5)
    values = []
    for _ in range(19):
        weight["w"] += 1.0
        average.update()
        values.append(average.state["w"].item())
    # First the last tenth of the steps, then a decay of 0.5: half a step and another behind.
    assert values[0] == pytest.approx(0.9)
    assert values[-1] == pytest.approx(18, abs=0.01)


def test_what_is_kept_is_the_average_that_was_judged():
    problem = linear_problem()
    training = Training(lr=0.5, average=0.9, schedule="constant")
    replicas = Replicas([problem])
    fitted = run(replicas, training)
    upper = {"weight": LABELS[None]}
    again = look(replicas, fitted.lower, upper, fitted.buffers, HeldOut([problem], "val", [0]))
    assert torch.equal(again, fitted.loss)


def test_gradients_are_clipped_for_each_replica_over_all_tensors():
    tensors = [torch.zeros(3, 2, requires_grad=True), torch.zeros(3, requires_grad=True), torch.zeros(3)]
    tensors[0].grad = torch.tensor([[3.0, 0.0], [0.3, 0.0], [0.0, 0.0]])
    tensors[1].grad = torch.tensor([4.0, 0.4, 0.0])
    clip_replicas(tensors, 1.0)
    assert torch.allclose(tensors[0].grad, torch.tensor([[0.6, 0.0], [0.3, 0.0], [0.0, 0.0]]))
    assert torch.allclose(tensors[1].grad, torch.tensor([0.8, 0.4, 0.0]))


@pytest.mark.parametrize("kind", ["tensors", "loader"])
def test_fits_come_from_the_seed_alone(kind):
    problem = columns_problem(dropout=0.3)
    if kind == "loader":
        train, val = ((problem.train.x[0], problem.train.y), (problem.val.x[0], problem.val.y))
        problem = es.ModelProblem(problem.model, loader(train), loader(val), mse)
    training = Training(lr=0.05, batch_size=16)
    fits = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(fits))
        before = torch.get_rng_state()
        replicas = Replicas([problem])
        fits.append(run(replicas, training, patterns=[all_free(replicas)] * 2, seed=seed))
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(fits[0].loss, fits[1].loss)
    assert all(torch.equal(t, fits[1].lower[name]) for name, t in fits[0].lower.items())
    assert not torch.equal(fits[0].loss, fits[2].loss)
    assert fits[0].loss[0] != fits[0].loss[1]


def test_parameters_that_the_loss_does_not_reach_stay():
    model = linear()
    model.register_parameter("spare", torch.nn.Parameter(torch.ones(2, dtype=torch.float64)))
    problem = es.ModelProblem(model, *split(linear_data(0, 40), 20), mse)
    fitted = run(problem, Training(lr=0.1, clip=1.0))
    assert fitted.lower["spare"].tolist() == [[1.0, 1.0]]
