"""Searches that are cut off: by an error, by Ctrl-C, and what is left on the disk."""

import math
import os

import numpy as np
import pytest
import torch
from model_cases import BRIEF, columns_data, columns_problem, linear_problem, loader, mse, numbers, split

import equishare as es
from equishare.problems.network.checkpoint import Checkpoint
from equishare.problems.network.session import NetworkSession


class Cut(Exception):
    """What ends a search here."""


class After:
    """Progress that raises an error at a call."""

    def __init__(self, call, error=Cut, times=math.inf):
        self.call, self.error, self.left, self.calls = call, error, times, 0

    def __call__(self, done, total):
        self.calls += 1
        if self.calls >= self.call and self.left:
            self.left -= 1
            raise self.error


def make_problem(kind):
    problem = columns_problem(count=60, train=30, dropout=0.3)
    if kind == "loader":
        train, val = split(columns_data(count=60), 30)
        return es.ModelProblem(problem.model, loader(train, 10), loader(val, 10), mse, stop=loader(val, 30))
    return problem


def options_of(method, kind, **more):
    own = {"hypergradient": "neumann", "hypergradient_options": {"iterations": 2}} if method == "bilevel" else {}
    return BRIEF[method] | own | ({"batch_size": 8} if kind == "batches" else {}) | {"lr": 0.05} | more


@pytest.mark.parametrize("method", BRIEF)
@pytest.mark.parametrize("kind", ["whole", "batches", "loader"])
def test_a_search_that_was_cut_off_ends_like_one_that_was_not(method, kind, tmp_path):
    problem, options = make_problem(kind), options_of(method, kind)
    count = After(math.inf)
    unbroken = numbers(es.discover(problem, method, seed=1, progress=count, **options))
    path = tmp_path / "search.pt"
    cut = 0
    for call in (1, 12, count.calls // 2, count.calls - 3):
        torch.rand(call)
        try:
            es.discover(problem, method, seed=1, progress=After(call), checkpoint=path, **options)
        except Cut:
            cut += 1
    assert cut >= 3
    ended = es.discover(problem, method, seed=1, checkpoint=path, **options)
    assert numbers(ended) == unbroken
    again = After(math.inf)
    assert numbers(es.discover(problem, method, seed=1, progress=again, checkpoint=path, **options)) == unbroken
    assert again.calls < 20
    assert os.listdir(tmp_path) == ["search.pt"]


def problem_in_parts(count):
    """A problem of whose replicas so many are worth a batch of their own."""
    problem = linear_problem()
    problem.Session = type("InParts", (NetworkSession,), {"at_once": count})
    return problem


@pytest.mark.parametrize("patience", [None, 1])
def test_replicas_in_parts_go_on_with_as_many_at_a_time(patience, tmp_path):
    options = options_of("bilevel", "whole", restarts=4, steps=12, patience=patience, hypergradient="direct")
    options.pop("hypergradient_options")
    unbroken = numbers(es.discover(problem_in_parts(2), "bilevel", **options))
    for call in (3, 15):
        path = tmp_path / f"{call}.pt"
        with pytest.raises(Cut):
            es.discover(problem_in_parts(2), "bilevel", progress=After(call), checkpoint=path, **options)
        # There may be another amount of free memory by now.
        ended = es.discover(problem_in_parts(7), "bilevel", checkpoint=path, **options)
        assert numbers(ended) == unbroken


def other_problem(what):
    if what == "data":
        return columns_problem(seed=1, count=60, train=30)
    if what == "stop":
        return columns_problem(count=60, train=30, stop=columns_data(5, 10))
    if what == "loss":
        train, val = split(columns_data(count=60), 30)
        return es.ModelProblem(columns_problem().model, train, val, lambda a, b: mse(a, b))
    if what == "model":
        return columns_problem(count=60, train=30, dropout=0.1)
    return columns_problem(count=60, train=30)


CHANGES = {
    "data": {},
    "stop": {},
    "loss": {},
    "model": {},
    "seed": {"seed": 5},
    "lr": {"lr": 0.1},
    "steps": {"steps": 5},
    "refit_steps": {"refit_steps": 9},
    "batch_size": {"batch_size": 9},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "search.pt"
    es.discover(columns_problem(count=60, train=30), checkpoint=path, **BRIEF["auto"])
    return path


@pytest.mark.parametrize("what", CHANGES)
def test_checkpoints_of_other_searches_are_refused(what, finished):
    before = finished.read_bytes()
    with pytest.raises(ValueError, match="is of another search: model, data, loss, method, seed or options differ"):
        es.discover(other_problem(what), checkpoint=finished, **(BRIEF["auto"] | CHANGES[what]))
    with pytest.raises(ValueError, match="is of another search"):
        es.discover(other_problem(None), "bilevel", checkpoint=finished, **BRIEF["bilevel"])
    assert finished.read_bytes() == before


def test_checkpoints_of_other_loaders_are_refused(tmp_path):
    problems = []
    for seed in range(2):
        train, val = split(columns_data(seed, count=60), 30)
        problems.append(es.ModelProblem(columns_problem().model, loader(train, 30), loader(val, 30), mse))
    path, options = tmp_path / "search.pt", {"steps": 2, "refit_steps": 2}
    es.discover(problems[0], checkpoint=path, **options)
    with pytest.raises(ValueError, match="is of another search"):
        es.discover(problems[1], checkpoint=path, **options)


def damaged(path):
    whole = path.read_bytes()
    yield b""
    yield b"no checkpoint"
    yield np.random.default_rng(0).bytes(500)
    yield b"\x80\x02}q\x00."
    yield whole[: len(whole) // 2]
    yield whole[:-30]
    yield whole[:200] + bytes(100) + whole[300:]


def test_damaged_checkpoints_are_refused(finished, tmp_path):
    path = tmp_path / "damaged.pt"
    for content in damaged(finished):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged.pt' is no checkpoint of a search, or it is damaged"):
            es.discover(columns_problem(count=60, train=30), checkpoint=path, **BRIEF["auto"])
    torch.save({"format": "something else"}, path)
    with pytest.raises(ValueError, match="is no checkpoint of a search"):
        es.discover(columns_problem(count=60, train=30), checkpoint=path, **BRIEF["auto"])
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="is no checkpoint of a search"):
        es.discover(columns_problem(count=60, train=30), checkpoint=path, **BRIEF["auto"])


@pytest.mark.parametrize("method", BRIEF)
def test_paths_that_cannot_be_written_are_refused_before_the_work(method, tmp_path):
    def nothing(done, total):
        pytest.fail("work was done")

    for path, error in ((tmp_path / "no" / "a.pt", FileNotFoundError), (tmp_path, IsADirectoryError)):
        with pytest.raises(error, match=str(path.parent if path != tmp_path else path)):
            es.discover(linear_problem(), method, progress=nothing, checkpoint=path, **BRIEF[method])


@pytest.mark.parametrize("name", ["run", ".run", "run.pt", "a run"])
def test_a_checkpoint_may_have_any_name(name, tmp_path):
    kept = Checkpoint(tmp_path / name, "a search")
    kept.keep("losses", [1.0, 2.0])
    assert Checkpoint(tmp_path / name, "a search").get("losses") == [1.0, 2.0]


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "kept.pt"
    kept = Checkpoint(path, "about")
    kept.keep("one", torch.ones(3))
    before = path.read_bytes()

    def full(content, target):
        target.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="disk full"):
        kept.keep("two", torch.ones(3))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["kept.pt"]
    monkeypatch.undo()
    assert Checkpoint(path, "about").get("one").tolist() == [1, 1, 1]
    assert Checkpoint(path, "about").get("two") is None


def check_partial(found, problem):
    assert not found.complete
    assert found.no_sharing_loss > 0
    x, y = problem.val.first()
    found.model.eval()
    assert mse(found.model(*x), y).item() == pytest.approx(found.validation_loss)
    assert len(found.partition) == 4


@pytest.mark.parametrize("times", [1, math.inf])
def test_ctrl_c_in_auto_gives_the_best_so_far(times, tmp_path):
    problem, options = make_problem("whole"), {"steps": 3, "refit_steps": 4, "lr": 1e-3}
    count = After(math.inf)
    whole = es.discover(problem, progress=count, **options)
    with pytest.raises(KeyboardInterrupt):
        es.discover(problem, progress=After(3, KeyboardInterrupt, times), **options)
    # The network without sharing comes first. From then on it is the best so far.
    for call in (options["refit_steps"] + 2, count.calls // 2, count.calls - 3):
        path = tmp_path / f"{call}.pt"
        found = es.discover(problem, progress=After(call, KeyboardInterrupt, times), checkpoint=path, **options)
        check_partial(found, problem)
        assert list(found.history) == ["num_groups", "validation_loss"]
        assert numbers(es.discover(problem, checkpoint=path, **options)) == numbers(whole)
    # In the final fits the pattern is found already.
    assert found.partitions == whole.partitions


def test_ctrl_c_in_bilevel_gives_the_best_so_far(tmp_path):
    problem, options = make_problem("whole"), BRIEF["bilevel"]
    count = After(math.inf)
    whole = es.discover(problem, "bilevel", progress=count, **options)
    first = options["refit_steps"]
    for call in (first + 2, first + 4, count.calls - 3):
        path = tmp_path / f"{call}.pt"
        stop = After(call, KeyboardInterrupt, 1)
        found = es.discover(problem, "bilevel", progress=stop, checkpoint=path, **options)
        check_partial(found, problem)
        ended = es.discover(problem, "bilevel", checkpoint=path, **options)
        assert numbers(ended) == numbers(whole)
    with pytest.raises(KeyboardInterrupt):
        es.discover(problem, "bilevel", progress=After(2, KeyboardInterrupt), **options)


def test_ctrl_c_in_a_list_gives_all_of_them():
    problems = [columns_problem(seed, count=60, train=30) for seed in range(2)]
    found = es.discover(problems, progress=After(40, KeyboardInterrupt), **BRIEF["auto"])
    for one, problem in zip(found, problems, strict=True):
        check_partial(one, problem)


@pytest.mark.parametrize("method", ["oracle", "no_sharing"])
def test_ctrl_c_in_a_single_fit_is_raised(method):
    options = {"partition": [0, 1, 0, 1]} if method == "oracle" else {}
    with pytest.raises(KeyboardInterrupt):
        es.discover(columns_problem(), method, progress=After(3, KeyboardInterrupt), steps=9, **options)
