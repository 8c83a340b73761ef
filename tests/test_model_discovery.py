"""Discovery for models: every method, what it gives back, and what it leaves alone."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from model_cases import (
    BRIEF,
    COLUMN_LABELS,
    LINEAR_LABELS,
    Branching,
    columns_data,
    columns_problem,
    linear_data,
    linear_problem,
    loader,
    made,
    mse,
    numbers,
    split,
)
from torch import nn

import equishare as es
from equishare.problems.network.replicas import Replicas, psi
from equishare.problems.network.session import NetworkSession
from equishare.sharing import shared_parameters

FINDS = {
    "columns": {
        "auto": {},
        "bilevel": {"steps": 40, "lr": 0.1, "fit_steps": 50, "refit_steps": 50, "restarts": 2},
        "oracle": {"steps": 50, "lr": 0.1, "partition": COLUMN_LABELS},
        "no_sharing": {"steps": 50, "lr": 0.1},
    },
    "linear": {
        "auto": {},
        "bilevel": {"steps": 40, "lr": 0.1, "fit_steps": 50, "refit_steps": 200, "restarts": 2},
        "oracle": {"steps": 200, "lr": 0.1, "partition": LINEAR_LABELS},
        "no_sharing": {"steps": 200, "lr": 0.1},
    },
}
PROBLEMS = {"columns": columns_problem, "linear": partial(linear_problem, count=240, train=120)}
TRUTH = {"columns": es.Partition(COLUMN_LABELS), "linear": es.Partition(LINEAR_LABELS)}


@pytest.mark.parametrize("method", ["auto", "bilevel", "oracle", "no_sharing"])
@pytest.mark.parametrize("case", PROBLEMS)
def test_known_sharing_is_found(case, method):
    problem, truth = PROBLEMS[case](), TRUTH[case]
    found = es.discover(problem, method, **FINDS[case][method])
    expected = es.Partition(np.arange(len(truth)).reshape(truth.shape)) if method == "no_sharing" else truth
    assert found.partition == expected
    assert found.partition.shape == truth.shape
    names = ["weight", "bias"] if case == "columns" else ["weight"]
    assert list(found.partitions) == names
    assert all(np.array_equal(p.labels, expected.labels) for p in found.partitions.values())
    assert (found.method, found.seed, found.complete) == (method, 0, True)
    assert found.validation_loss < 0.05
    if method != "no_sharing":
        assert found.validation_loss < found.no_sharing_loss
    else:
        assert found.validation_loss == pytest.approx(found.no_sharing_loss)
    for name, theta in found.theta.items():
        assert not theta.requires_grad
        owner = getattr(found.model, name)
        assert torch.equal(theta, owner)
        assert len(psi(found.model, name)) == expected.num_groups
        rows = theta if case == "columns" else theta.flatten()
        labels = torch.tensor(expected.labels.ravel())
        assert all(torch.equal(a, b) == (i == j) for a, i in zip(rows, labels) for b, j in zip(rows, labels))  # noqa: B905
    assert len({len(column) for column in found.history.values()}) <= 1
    if method in ("auto", "bilevel"):
        first = "num_groups" if method == "auto" else "step"
        assert list(found.history)[:2] == [first, "validation_loss"]
        assert (np.diff(found.history[first]) > 0).all()


SLOW = pytest.mark.slow
LISTS = [
    ("linear", "auto"),
    ("linear", "bilevel"),
    ("columns", "oracle"),
    ("linear", "no_sharing"),
    pytest.param("columns", "auto", marks=SLOW),
]


@pytest.mark.parametrize(("case", "method"), LISTS)
def test_a_list_gives_what_its_problems_give_alone(case, method):
    problems = [PROBLEMS[case](seed) for seed in range(2)]
    # Rates and lengths that are found may differ where problems are trained together.
    options = FINDS[case][method] or {"steps": 60, "lr": 0.1, "refit_steps": 60}
    several = options | ({"partition": [options["partition"]] * 2} if method == "oracle" else {})
    together = es.discover(problems, method, **several)
    assert isinstance(together, list)
    for problem, found in zip(problems, together, strict=True):
        alone = es.discover(problem, method, **options)
        assert alone.partitions == found.partitions
        assert alone.validation_loss == pytest.approx(found.validation_loss, rel=0.02)
        x, y = problem.val.first()
        assert mse(found.model(*x), y).item() == pytest.approx(mse(alone.model(*x), y).item(), rel=0.1)


def test_oracles_of_a_list_may_differ():
    partitions = [COLUMN_LABELS, {"bias": [0, 0, 1, 1]}]
    found = es.discover([columns_problem(s) for s in range(2)], "oracle", partition=partitions, steps=5)
    assert [d.partition.labels.tolist() for d in found] == [[0, 1, 0, 1], [0, 0, 1, 1]]
    for partition in (COLUMN_LABELS, COLUMN_LABELS.tolist(), [es.Partition(COLUMN_LABELS)], {"bias": COLUMN_LABELS}):
        (one,) = es.discover([columns_problem()], "oracle", partition=partition, steps=2)
        assert one.partition == es.Partition(COLUMN_LABELS)
    for partition in (COLUMN_LABELS, COLUMN_LABELS.tolist(), [es.Partition(COLUMN_LABELS)] * 2):
        both = es.discover([columns_problem(s) for s in range(2)], "oracle", partition=partition, steps=2)
        assert [d.partition for d in both] == [es.Partition(COLUMN_LABELS)] * 2
    with pytest.raises(ValueError, match="one partition for each of the 2 problems, got 3"):
        es.discover([columns_problem(s) for s in range(2)], "oracle", partition=[COLUMN_LABELS] * 3, steps=5)


def plain_fit(problem, x, y, labels, steps, lr):
    """A hardened model, trained without any of the package's machinery, after each step."""
    model = copy.deepcopy(problem.model)
    entries = model.parametrizations.weight.original.detach().clone()
    es.sharing.impose(model, {"weight": labels})
    groups = [int(np.flatnonzero(labels.labels.ravel() == g)[0]) for g in range(labels.num_groups)]
    model.parametrizations.weight.original.data = entries[groups]
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    for step in range(steps + 1):
        yield model
        optimizer.param_groups[0]["lr"] = lr * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        optimizer.zero_grad()
        mse(model(x), y).backward()
        optimizer.step()


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("method", ["auto", "oracle"])
def test_losses_are_of_fits_on_train_and_the_model_of_one_on_all(method, stopped):
    stop = linear_data(50, 30)
    problem = linear_problem(stop=stop if stopped else None)
    options = {"steps": 40, "average": 0.0, "lr": 0.05}
    if method == "auto":
        options["refit_steps"] = 320
    else:
        options["partition"] = LINEAR_LABELS
    found = es.discover(problem, method, **options)
    (x, y), (vx, vy) = ((s.x[0], s.y) for s in (problem.train, problem.val))
    free = es.Partition(np.arange(9).reshape(3, 3))

    def losses(labels, steps):
        found = looked([mse(model(vx), vy).item() for model in plain_fit(problem, x, y, labels, steps, 0.05)], steps)
        # The last state counts where an earlier one is not clearly better.
        return [np.inf] * steps + found[-1:] if found[-1] <= 1.05 * min(found) else found

    def looked(found, steps):
        # Held-out samples are looked at 50 times.
        return [loss if i % max(1, steps // 50) == 0 or i == steps else np.inf for i, loss in enumerate(found)]

    # A fit that is not done is repeated with twice as many steps; all that is reported is of one number of them. One
    # that is worse than the search is not what is reported: 320 steps are enough.
    tried = {steps: losses(found.partition, steps) for steps in (40, 80, 160, 320)}
    steps = min(tried, key=lambda steps: abs(min(tried[steps]) - found.validation_loss))
    assert found.validation_loss == pytest.approx(min(tried[steps]), rel=1e-9)
    assert found.no_sharing_loss == pytest.approx(min(losses(free, steps)), rel=1e-9)
    best = int(np.argmin(tried[steps]))
    both = torch.cat((x, vx)), torch.cat((y, vy))
    fits = [m.weight.detach().clone() for m in plain_fit(problem, *both, found.partition, steps, 0.05)]
    if stopped:
        best = int(np.argmin(looked([mse(stop[0] @ weight.T, stop[1]).item() for weight in fits], steps)))
    assert torch.allclose(found.theta["weight"], fits[best], atol=1e-9)


@pytest.mark.parametrize("method", BRIEF)
@pytest.mark.parametrize("kind", ["whole", "batches", "loader"])
def test_everything_comes_from_the_seed(method, kind):
    def run(seed):
        torch.manual_seed(len(calls))
        calls.append(seed)
        problem = columns_problem(dropout=0.2)
        if kind == "loader":
            train, val = ((s.x[0], s.y) for s in (problem.train, problem.val))
            problem = es.ModelProblem(problem.model, loader(train, 20), loader(val, 30), mse)
        before = torch.get_rng_state()
        options = {"batch_size": 16} if kind == "batches" else {}
        found = es.discover(problem, method, seed=seed, **options, **{**BRIEF[method], "lr": 0.05})
        assert torch.equal(torch.get_rng_state(), before)
        return numbers(found)

    calls = []
    first, second, other = run(3), run(3), run(4)
    assert first == second
    assert first != other


@pytest.mark.parametrize("method", ["auto", "bilevel", "oracle", "no_sharing"])
def test_the_model_of_the_problem_stays_as_it_was(method):
    problem = linear_problem()
    model = nn.Sequential(problem.model, nn.BatchNorm1d(3).double(), nn.Dropout(0.1))
    problem = es.ModelProblem(model, *(((s.x[0], s.y)) for s in (problem.train, problem.val)), mse)
    model[1].eval()
    state, ids = copy.deepcopy(model.state_dict()), [id(p) for p in model.parameters()]
    options = BRIEF.get(method, {"steps": 3}) | ({"partition": LINEAR_LABELS} if method == "oracle" else {})
    found = es.discover(problem, method, **options)
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    assert [id(p) for p in model.parameters()] == ids
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert [module.training for module in model] == [True, False, True]
    assert not any(module.training for module in found.model)
    assert not next(iter(shared_parameters(model).values())).assignment.is_hard
    assert not {p.data_ptr() for p in model.parameters()} & {p.data_ptr() for p in found.model.parameters()}
    x, y = problem.val.first()
    mse(found.model(*x), y).backward()


@pytest.mark.parametrize("method", ["auto", "bilevel", "oracle", "no_sharing"])
def test_progress_rises_and_ends_at_the_total(method):
    seen = []
    options = BRIEF.get(method, {"steps": 3}) | ({"partition": LINEAR_LABELS} if method == "oracle" else {})
    es.discover(linear_problem(), method, progress=lambda done, total: seen.append((done, total)), **options)
    done = [d for d, _ in seen]
    assert done == sorted(done) and len(set(done)) > 3
    assert len({total for _, total in seen}) == 1
    assert seen[-1][0] == seen[-1][1] and seen[-2][0] < seen[-1][1]


def test_a_bar_is_silent_without_a_terminal(capfd):
    es.discover(linear_problem(), progress=True, **BRIEF["auto"])
    assert capfd.readouterr() == ("", "")


GRADIENTS = [
    ("direct", None),
    ("identity", {"alpha": 0.1}),
    ("neumann", {"iterations": 3}),
    ("cg", {"iterations": 4, "damping": 0.1}),
    ("exact", {"damping": 0.1}),
    ("unrolled", {"iterations": 2, "alpha": 0.01}),
]


@pytest.mark.parametrize("looped", [False, True])
@pytest.mark.parametrize(("name", "options"), GRADIENTS)
def test_every_hypergradient_runs_on_minibatches(name, options, looped):
    problem = columns_problem()
    if looped:
        problem.model.drop = Branching()
    assert Replicas([problem]).vmapped != looped
    found = es.discover(
        problem, "bilevel", hypergradient=name, hypergradient_options=options, batch_size=20,
        clip=1.0, outer_clip=1.0, penalty_schedule="constant", refine=False, **BRIEF["bilevel"],
    )  # fmt: skip
    assert np.isfinite(found.validation_loss)
    assert all(np.isfinite(column).all() for column in found.history.values())
    assert list(found.history) == ["step", "validation_loss", "entropy", "column_norm"]


def test_patience_ends_the_relaxed_search():
    seen = []
    options = BRIEF["bilevel"] | {"steps": 200, "patience": 2, "lr": 5.0, "schedule": "constant"}
    found = es.discover(linear_problem(), "bilevel", progress=lambda *done: seen.append(done), **options)
    assert found.history["step"][-1] < 200
    assert seen[-1][0] == seen[-1][1]


class Marked(nn.Module):
    """A linear map that gives NaN where its first mark is 1. Each restart has the marks in another order."""

    def __init__(self):
        super().__init__()
        self.map, self.mark = nn.Linear(3, 3, bias=False), nn.Parameter(torch.zeros(40))

    def forward(self, x):
        return self.map(x) * torch.where(self.mark[0] > 0.5, torch.nan, 1.0) + 0 * self.mark.sum()


def marked_problem(mark):
    """The relaxed search starts from these marks, the fits of hard patterns from zeros."""

    class Session(NetworkSession):
        def __post_init__(self):
            super().__post_init__()
            self.replicas.soft_start["mark"] = mark.double()

    def build():
        model = Marked()
        es.share(model, "map.weight")
        return model

    problem = es.ModelProblem(made(build), *split(linear_data(), 40), mse)
    problem.Session = Session
    return problem


# Of three restarts, the first of which has the marks in their order.
MARKS = {"the first": [1.0] + 39 * [0.1], "all others": [0.1] + 39 * [1.0], "all": 40 * [1.0]}


@pytest.mark.parametrize("hypergradient", ["direct", "identity", "cg"])
@pytest.mark.parametrize("bad", MARKS)
def test_restarts_that_diverge_are_left_out(bad, hypergradient):
    problem = marked_problem(torch.tensor(MARKS[bad]))
    options = BRIEF["bilevel"] | {"restarts": 3, "hypergradient": hypergradient}
    if bad == "all":
        with pytest.raises(FloatingPointError, match="loss of every restart is NaN or infinite"):
            es.discover(problem, "bilevel", **options)
    else:
        found = es.discover(problem, "bilevel", **options)
        assert np.isfinite(found.validation_loss) and np.isfinite(found.history["validation_loss"]).all()


def test_loaders_of_one_batch_give_what_tensors_give():
    data = columns_data(0, 60), columns_data(30, 60)
    tensors = es.ModelProblem(columns_problem().model, *data, mse)
    batch = [torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*d), batch_size=60) for d in data]
    loaders = es.ModelProblem(columns_problem().model, *batch, mse)
    found = [es.discover(p, lr=0.03, steps=5, refit_steps=5) for p in (tensors, loaders)]
    assert found[0].partitions == found[1].partitions
    assert found[0].validation_loss == pytest.approx(found[1].validation_loss, rel=1e-6)
