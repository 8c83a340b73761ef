"""What the ranks of a run do, in processes that tests start: ``python ranks_cases.py FOLDER CHECKPOINT``."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from model_cases import BRIEF, columns_problem, loader, mse, numbers

import equishare as es
from equishare import ranks
from equishare.problems.network.session import NetworkSession

SMALL = type("Small", (NetworkSession,), {"at_once": 2})
# After the first stages of a search, and before its last.
LOSSES_TO_LIVE = 60
_losses = 0


def problem_of_parts(**more):
    """A network whose replicas are fitted two or three at a time."""
    problem = columns_problem(count=60, train=30, dropout=0.3, **more)
    problem.Session = SMALL
    return problem


def mortal(output, y):
    """A loss of a rank that may die: it kills itself when it has counted down."""
    global _losses
    _losses += 1
    if os.environ.get("RANK") == os.environ.get("DYING", "none") and _losses == LOSSES_TO_LIVE:
        os.kill(os.getpid(), signal.SIGKILL)
    return mse(output, y)


def mortal_problem():
    problem = problem_of_parts()
    problem = es.ModelProblem(problem.model, (problem.train.x, problem.train.y), (problem.val.x, problem.val.y), mortal)
    problem.Session = SMALL
    return problem


def answers():
    """Answers to problems of every kind, as numbers to be compared bit by bit."""
    rng = np.random.default_rng(0)
    means = [es.MeanProblem(rng.normal(size=(40, 6)) + np.repeat([0, 2], 3)) for _ in range(3)]
    x = rng.normal(size=(60, 4))
    maps = [es.LinearProblem(x, x @ np.roll(np.eye(4), i, 0) + rng.normal(size=(60, 4))) for i in range(3)]
    network = problem_of_parts()
    x, y = network.train.x[0], network.train.y
    from_loader = es.ModelProblem(network.model, loader((x, y), 10), loader((x, y), 10), mse)
    from_loader.Session = SMALL
    return {
        "means": of(es.discover(means, resamples=2)),
        "bilevel": of(es.discover(means, "bilevel", steps=20)),
        "maps": of(es.discover(maps)),
        "network": of([es.discover(network, resamples=2, **BRIEF["auto"])]),
        "network, bilevel": of([es.discover(network, "bilevel", **{**BRIEF["bilevel"], "restarts": 5})]),
        "networks": of(es.discover([network, problem_of_parts(seed=1)], **BRIEF["auto"])),
        "loader": of([es.discover(from_loader, "no_sharing", steps=5)]),
    }


def of(found):
    """All numbers of discoveries, with what resamples told."""
    return [numbers(d) | {name: one.labels.tolist() for name, one in d.confidences.items()} for d in found]


def errors():
    """What each rank says of what goes wrong on one."""
    rank = dist.get_rank()

    class Local(Exception):
        def __init__(self, one, two):
            super().__init__(one)

    def fails(item):
        if item in (1, 2):
            raise Local(f"item {item}", None) if item == 1 else KeyError(item)
        return item

    calls = [
        lambda: ranks.mapped(fails, range(4)),
        lambda: ranks.mapped(fails, [0, 2]),
        lambda: es.discover(es.MeanProblem(np.random.default_rng(rank).normal(size=(20, 3)))),
        lambda: es.discover(problem_of_parts(), seed=rank, **BRIEF["auto"]),
        lambda: es.discover(problem_of_parts(), checkpoint="no folder/search.pt", **BRIEF["auto"]),
    ]
    said = [_said(call) for call in calls]
    nested = ranks.mapped(lambda i: ranks.mapped(lambda j: 10 * i + j, range(3)), range(3))
    return said, nested, ranks.mapped(lambda i: rank, range(5))


def _said(call):
    try:
        return repr(call())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def search(path):
    """The answer of a search with a checkpoint."""
    return numbers(es.discover(mortal_problem(), checkpoint=path, **BRIEF["auto"]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    folder, path = sys.argv[1:]
    own = Path(folder) / os.environ["RANK"]
    own.write_text(json.dumps({"answers": answers(), "errors": errors()}), encoding="utf-8")
    own.with_suffix(".lost").write_text(_said(lambda: search(path)), encoding="utf-8")
